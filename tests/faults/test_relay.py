"""A relayer delivers what the committee signed and nobody delivered, and believes no source."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from oracle.app.relay import Relayer
from oracle.config import RelayConfig
from oracle.node.status import application
from oracle.protocol.errors import DecodeError
from oracle.protocol.types import Policy
from tests.support.memory_chain import MemorySubmitter
from tests.support.network import Network
from tests.support.samples import EVM, SOLANA, evm_request, plain_message

ALL = (1, 2, 3, 4)


@asynccontextmanager
async def relayer(network: Network, apps: list[web.Application]) -> AsyncIterator[Relayer]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(TestServer(app)) for app in apps]
        http = await stack.enter_async_context(aiohttp.ClientSession())
        config = RelayConfig.model_validate(
            {
                "group_key": "0x" + network.evm.group_key.hex(),
                "epoch": 1,
                "sources": [str(server.make_url("/")) for server in servers],
                "poll_seconds": 0.05,
            }
        )
        yield Relayer(config, {chain.endpoint: MemorySubmitter(chain) for chain in network.chains}, http)


@asynccontextmanager
async def relaying(made: Relayer) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        yield
        task.cancel()


async def test_relayer__members_that_deliver_nothing__everything_still_arrives(tmp_path: Path) -> None:
    async with Network(tmp_path, destinations=frozenset()) as network:
        nodes = [network.start(i).running for i in ALL]
        asked, proven = evm_request(sequence=1), evm_request(sequence=2, policy=Policy.PROVEN, remotes=())
        message = plain_message(sequence=3)
        for post in (asked, proven, message):
            network.evm.append(post)
        async with relayer(network, [application(nodes[0])]) as made, relaying(made):
            await network.until(lambda: len(network.evm.delivered) == 2 and len(network.solana.delivered) == 2)
        assert set(network.evm.delivered) == {(EVM, 1), (EVM, 2)}
        assert set(network.solana.delivered) == {(EVM, 1), (EVM, 3)}
        assert len(made.delivered) == 4


async def test_relayer__chain_down__tries_again_later_and_delivers_elsewhere_meanwhile(tmp_path: Path) -> None:
    async with Network(tmp_path, destinations=frozenset({SOLANA})) as network:
        nodes = [network.start(i).running for i in ALL]
        request = evm_request()
        network.evm.append(request)
        await network.until(lambda: network.delivered(network.solana, request))
        async with relayer(network, [application(nodes[1])]) as made:
            network.evm.available = False
            async with asyncio.timeout(2):
                await made.relay_from(str(made.config.sources[0]).rstrip("/"))
            assert not network.evm.delivered
            network.evm.available = True
            async with relaying(made):
                await network.until(lambda: network.delivered(network.evm, request))


def lying(change: Callable[[dict[str, Any]], None], told: list[dict[str, Any]]) -> web.Application:
    async def messages(_: web.Request) -> web.Response:
        for one in told:
            change(one)
        return web.json_response(told)

    app = web.Application()
    app.add_routes([web.get("/messages", messages)])
    return app


def _forge_signature(one: dict[str, Any]) -> None:
    one["attestation"]["signature"] = "0x" + "02" * 65


def _other_epoch(one: dict[str, Any]) -> None:
    one["attestation"]["epoch"] = 2


def _other_digest(one: dict[str, Any]) -> None:
    one["attestation"]["digests"][0] = "0x" + "11" * 32


@pytest.mark.parametrize("change", [_forge_signature, _other_epoch, _other_digest])
async def test_relayer__lying_source__is_not_believed(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    async with Network(tmp_path, destinations=frozenset()) as network:
        nodes = [network.start(i).running for i in ALL]
        network.evm.append(plain_message())
        await network.until(lambda: all(work.attestation for work in nodes[0].pipeline.works()) and _any(nodes[0]))
        async with TestServer(application(nodes[0])) as honest, aiohttp.ClientSession() as http:
            told = await (await http.get(honest.make_url("/messages"))).json()
        async with relayer(network, [lying(change, told)]) as made:
            with pytest.raises(DecodeError, match="not the committee's"):
                await made.relay_from(str(made.config.sources[0]).rstrip("/"))
        assert not network.solana.delivered


def _any(node: Any) -> bool:
    return any(True for _ in node.pipeline.works())


async def test_relayer__source_that_talks_nonsense__does_not_stop_the_others(tmp_path: Path) -> None:
    async def nonsense(_: web.Request) -> web.Response:
        return web.json_response([{"body": "0xzz"}, 7])

    broken = web.Application()
    broken.add_routes([web.get("/messages", nonsense)])
    async with Network(tmp_path, destinations=frozenset()) as network:
        nodes = [network.start(i).running for i in ALL]
        message = plain_message()
        network.evm.append(message)
        async with relayer(network, [broken, application(nodes[2])]) as made, relaying(made):
            await network.until(lambda: network.delivered(network.solana, message))
