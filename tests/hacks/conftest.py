"""Both chains for the hack tests: an anvil for each module, a fresh LiteSVM for each test, a committee of processes that are not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.evm.build import build_evm
from oracle.app.toolchain import ensure_toolchain
from tests.hacks.road_evm import EvmRoad, build_road
from tests.hacks.world import GROUP, RECIPIENT, EvmWorld
from tests.support import solana_program as sp
from tests.support.evm_chain import RECEIVER, anvil, deployed
from tests.support.network import Network
from tests.support.solana_program import Bench


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def evm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EvmWorld]:
    build_evm(ensure_toolchain(lambda line: None))
    async with anvil(tmp_path_factory.mktemp("anvil")) as chain, deployed(chain) as contracts:
        assert contracts.key == GROUP
        await chain.set_code("0x" + RECIPIENT[12:].hex(), RECEIVER)
        yield EvmWorld(contracts)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def evm_road(evm: EvmWorld) -> EvmRoad:
    return await build_road(evm)


@pytest.fixture
def bench() -> Bench:
    return sp.start(GROUP)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made
