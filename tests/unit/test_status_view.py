"""`sibyl status` on nodes that run, one that is unwell, one that does not answer, and something that is no node."""

import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from oracle.app.status_view import run_status
from oracle.node import Node
from oracle.node.status import application
from tests.support.network import Network
from tests.support.samples import plain_message


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made


async def shown(*apps: web.Application, further: tuple[str, ...] = ()) -> tuple[str, bool]:
    told = io.StringIO()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(TestServer(app, host="127.0.0.1")) for app in apps]
        urls = [str(server.make_url("")) for server in servers]
        well = await run_status(Console(file=told, width=200), [*urls, *further], once=True)
    return told.getvalue(), well


async def started(network: Network, identifier: int) -> Node:
    node = network.start(identifier).running
    await network.until(lambda: all(reader.last_success is not None for reader in node.readers.values()))
    return node


async def test_status__nodes_that_are_well__are_shown_with_chains_and_messages(network: Network) -> None:
    nodes = [await started(network, number) for number in (1, 2, 3, 4)]
    message = plain_message()
    network.evm.append(message)
    await network.until(lambda: all(node.pipeline.work(message.digest) is not None for node in nodes))
    await network.until(lambda: network.everyone_finished((1, 2, 3, 4)), 30)
    text, well = await shown(*(application(node) for node in nodes))
    assert well
    assert text.count("well") == 4
    assert text.count("1 confirmed") == 4
    assert "eip155:31337" in text


async def test_status__alarm_dead_endpoint_and_silent_node__are_named(network: Network) -> None:
    node = await started(network, 1)
    node.ports = replace(node.ports, alarms=lambda: ("The vault is empty.",))
    network.solana.available = False
    await network.until(lambda: any(reader.last_error for reader in node.readers.values()))
    text, well = await shown(application(node), further=("http://127.0.0.1:1/",))
    assert not well
    assert "not well" in text
    assert "node 1: The vault is empty." in text
    assert "The endpoint in memory is down." in text
    assert "no answer" in text


async def test_status__something_else_at_the_port__is_said_to_be_no_node() -> None:
    async def anything(_: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    app = web.Application()
    app.add_routes([web.get("/health", anything)])
    text, well = await shown(app)
    assert not well
    assert "no node of Sibyl" in text
