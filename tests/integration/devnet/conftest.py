"""A devnet for all tests of a module, every node of which runs again when a test begins; what its nodes logged is shown when one fails."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.devnet import World, open_world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[World]:
    async with open_world() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(devnet: World) -> AsyncIterator[World]:
    await devnet.everybody_up()
    sizes = devnet.log_sizes()
    yield devnet
    devnet.print_logs(sizes)
