"""The parts of chaos, one by one: a plan is its seed's, a wire fails and mends, an endpoint lies as told, a slope is a slope."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from oracle.app.chaos.plan import MAX_REORG, What, plan
from oracle.app.chaos.poison import LIES, Mode, PoisonedEndpoint, forged, hidden
from oracle.app.chaos.tangle import AGREEING, tangled
from oracle.app.chaos.watch import slope
from oracle.app.chaos.wires import Wire
from oracle.app.devnet.nodes import plan_nodes
from tests.support.rpc_server import RpcServer, rpc_server

PATIENCE = 20.0
ACCOUNT = {"context": {"slot": 7}, "value": [{"data": [base64.b64encode(b"body").decode(), "base64"]}, None]}
LOGS = [{"data": "0x" + "ab" * 40, "topics": ["0x" + "cd" * 32]}]


# ---- plans ----


@given(st.integers(0, 2**32), st.integers(60, 3_600), st.integers(4, 7))
def test_plan__any_seed__repeats_itself_and_stays_within_its_bounds(seed: int, seconds: int, nodes: int) -> None:
    faults = plan(seed, seconds, nodes)
    assert faults == plan(seed, seconds, nodes)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert all(0 < fault.at < seconds and 1 <= fault.node <= nodes for fault in faults)
    assert all(1 <= fault.strength <= MAX_REORG for fault in faults if fault.what is What.REORG)
    assert all((fault.mode is Mode.HONEST) == (fault.what is not What.POISON) for fault in faults)
    assert all(str(fault) for fault in faults)


def test_plan__two_minutes__has_every_kind_of_fault() -> None:
    assert {fault.what for fault in plan(1, 120, 4)} == set(What)


def test_plan__other_seed__is_another_plan() -> None:
    assert plan(1, 300, 4) != plan(2, 300, 4)


# ---- wires ----


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[str, int]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # the wire was cut
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()


async def said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    writer.write(text)
    await writer.drain()
    async with asyncio.timeout(PATIENCE):
        return await reader.readexactly(len(text))


async def said_anew(wire: Wire, text: bytes) -> bytes:
    """On a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        return await said(reader, writer, text)
    finally:
        writer.transport.abort()


async def test_wire__without_faults__carries_every_byte() -> None:
    async with echo() as target, Wire("w", target) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        text = bytes(range(256)) * 1_000
        writer.write(text)
        async with asyncio.timeout(PATIENCE):
            assert await reader.readexactly(len(text)) == text
        assert wire.carried == 2 * len(text)
        writer.transport.abort()


async def test_wire__cut__breaks_what_is_open_and_refuses_what_comes_until_it_is_mended() -> None:
    async with echo() as target, Wire("w", target) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        assert await said(reader, writer, b"before") == b"before"
        wire.cut()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await said_anew(wire, b"meanwhile")
        wire.mend()
        assert await said_anew(wire, b"after") == b"after"
        writer.transport.abort()


async def test_wire__silent__swallows_and_resets_what_lost_bytes_when_it_is_mended() -> None:
    async with echo() as target, Wire("w", target) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        assert await said(reader, writer, b"before") == b"before"
        wire.silent = True
        writer.write(b"lost")
        await writer.drain()
        async with asyncio.timeout(PATIENCE):
            while wire.swallowed < 4:
                await asyncio.sleep(0.01)
        wire.mend()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
        writer.transport.abort()


async def test_wire__target_that_is_gone__ends_the_connection() -> None:
    async with echo() as target:
        gone = target
    async with Wire("w", gone) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(1)
        writer.transport.abort()


# ---- endpoints that lie ----


@asynccontextmanager
async def poisoned() -> AsyncIterator[tuple[PoisonedEndpoint, RpcServer]]:
    blocks = iter(range(1_000_000))
    methods = {
        "eth_getLogs": lambda query: LOGS,
        "eth_blockNumber": lambda: hex(next(blocks)),
        "getMultipleAccounts": lambda *_: ACCOUNT,
        "eth_sendRawTransaction": lambda raw: "0x" + "11" * 32,
    }
    async with rpc_server(methods) as server, PoisonedEndpoint("p", server.url) as endpoint:
        yield endpoint, server


async def ask(endpoint: PoisonedEndpoint, method: str, *params: object) -> dict[str, object]:
    body = {"jsonrpc": "2.0", "id": 5, "method": method, "params": params}
    async with aiohttp.ClientSession() as http, http.post(endpoint.url, json=body) as reply:
        told: dict[str, object] = json.loads(await reply.text())
        return told


async def test_poisoned_endpoint__honest__changes_nothing() -> None:
    async with poisoned() as (endpoint, _):
        assert (await ask(endpoint, "eth_getLogs", {}))["result"] == LOGS
        assert (await ask(endpoint, "getMultipleAccounts", []))["result"] == ACCOUNT
        assert endpoint.lies == 0


@pytest.mark.parametrize("mode", LIES)
async def test_poisoned_endpoint__any_lie__still_names_the_true_chain(mode: Mode) -> None:
    async with poisoned() as (endpoint, _):
        endpoint.lie(mode)
        assert (await ask(endpoint, "eth_chainId"))["result"] == hex(31337)
        assert endpoint.lies == 0


async def test_poisoned_endpoint__hiding__shows_neither_logs_nor_accounts() -> None:
    async with poisoned() as (endpoint, _):
        endpoint.lie(Mode.HIDING)
        assert (await ask(endpoint, "eth_getLogs", {}))["result"] == []
        told = (await ask(endpoint, "getMultipleAccounts", []))["result"]
        assert told == {**ACCOUNT, "value": [None, None]}
        assert endpoint.lies == 2


async def test_poisoned_endpoint__forging__changes_bytes_and_keeps_the_shape() -> None:
    async with poisoned() as (endpoint, _):
        endpoint.lie(Mode.FORGING)
        (log,) = (await ask(endpoint, "eth_getLogs", {}))["result"]  # type: ignore[misc]  # a list, as the assertion says
        assert len(log["data"]) == len(LOGS[0]["data"])
        assert log["data"] != LOGS[0]["data"]
        assert log["topics"] != LOGS[0]["topics"]


async def test_poisoned_endpoint__stale__repeats_its_first_answer_until_it_is_honest_again() -> None:
    async with poisoned() as (endpoint, _):
        endpoint.lie(Mode.STALE)
        first = (await ask(endpoint, "eth_blockNumber"))["result"]
        assert (await ask(endpoint, "eth_blockNumber"))["result"] == first
        endpoint.lie(Mode.HONEST)
        assert (await ask(endpoint, "eth_blockNumber"))["result"] != first


async def test_poisoned_endpoint__swallowing__names_the_transaction_and_never_sends_it() -> None:
    async with poisoned() as (endpoint, server):
        endpoint.lie(Mode.SWALLOWING)
        told = await ask(endpoint, "eth_sendRawTransaction", "0x02c0")
        assert len(str(told["result"])) == 66
        assert server.count("eth_sendRawTransaction") == 0


async def test_poisoned_endpoint__broken_and_refusing__give_no_answer() -> None:
    async with poisoned() as (endpoint, _):
        endpoint.lie(Mode.BROKEN)
        with pytest.raises(ValueError, match="Expecting value"):
            await ask(endpoint, "eth_blockNumber")
        endpoint.lie(Mode.REFUSING)
        assert "error" in await ask(endpoint, "eth_blockNumber")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids),
    )
)
def test_lies__any_answer__are_made_without_an_error(answer: object) -> None:
    json.dumps(forged(answer))
    json.dumps(hidden(answer))


# ---- the tangle ----


async def test_tangled__four_nodes__leads_every_way_through_a_wire_of_its_own(tmp_path: Path) -> None:
    nodes = plan_nodes(tmp_path, 4)
    members = [{"identifier": node.identifier, "endpoint": node.peer_url, "certificate": "c"} for node in nodes]
    chains = {"evm": [{"rpc_url": "http://127.0.0.1:1/"}], "solana": [{"rpc_url": "http://127.0.0.1:2/"}]}
    for node in nodes:
        node.directory.mkdir()
        node.config_path.write_text(tomlkit.dumps({"committee": {"members": members}, **chains}))
    async with tangled(nodes, 2, True) as tangle:
        documents = {node.identifier: tomlkit.parse(node.config_path.read_text()).unwrap() for node in nodes}
        told = [member["endpoint"] for one in documents.values() for member in one["committee"]["members"]]
        assert len(set(told)) == 12 + 4, "a wire for each ordered pair, and each node's own address as it was"
        assert len(tangle.wires) == 12 + 3 * 2 + 2 * 2
        for chain in ("evm", "solana"):
            table = documents[2][chain][0]
            assert table["rpc_url"] == tangle.poisoned[chain].url
            assert (len(table["further_rpc_urls"]), table["rpc_quorum"]) == (2, AGREEING)
            assert documents[1][chain][0]["further_rpc_urls"] == []
        assert len(tangle.of_node(1)) == 6 + 2


# ---- memory ----


@given(st.floats(-50, 50), st.floats(0, 500), st.integers(2, 60))
def test_slope__points_on_a_line__is_the_lines(rise: float, start: float, count: int) -> None:
    assert slope([(x, start + rise * x) for x in range(count)]) == pytest.approx(rise, abs=1e-6)


def test_slope__one_point_or_none__is_flat() -> None:
    assert slope([]) == slope([(1.0, 5.0)]) == 0.0
