"""The EVM reader against a scripted endpoint: gaps, lies, reorgs, lagging and pruned nodes; and what a poll costs."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bridges.evm.client import EvmClient, RetryPolicy
from bridges.evm.reader import MAX_MESSAGES, EvmReader
from oracle.errors import ConfigError, EncodeError, Reorged, Transient
from oracle.ports import Cursor
from oracle.protocol.finality import Depth
from oracle.protocol.message import Message
from oracle.protocol.types import Account, Sequence
from tests.support import samples
from tests.support.rpc_server import RpcServer, ScriptedGateway, rpc_server

ONCE = RetryPolicy(attempts=1, deadline=5.0)
START = Cursor(0)


@dataclass
class Scene:
    """A scripted gateway, its endpoint, and a client."""

    gateway: ScriptedGateway
    server: RpcServer
    client: EvmClient

    def reader(self, **options: Any) -> EvmReader:
        return EvmReader(self.client, samples.EVM.gateway, **options)

    def post(self, *blocks: int) -> list[Message]:
        """One post in each of these blocks."""
        first = 1 + sum(len(posts) for posts in self.gateway.posts.values())
        posted = [self.gateway.post(b, samples.plain_message(sequence=first + i)) for i, b in enumerate(blocks)]
        self.gateway.head = self.gateway.final = max(self.gateway.final, *blocks, 0)
        return posted


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    gateway = ScriptedGateway(samples.EVM, head=10, final=10)
    async with rpc_server(gateway.methods()) as server, EvmClient(server.url, 31337, retries=ONCE) as client:
        server.calls.clear()
        yield Scene(gateway, server, client)


# ---- what it returns, and what that costs ----


async def test_reader__idle_chain__costs_one_request_without_and_two_with_a_new_block(scene: Scene) -> None:
    reader = scene.reader()
    cursor = (await reader.read(START)).cursor
    scene.server.calls.clear()
    assert (await reader.read(cursor)).cursor == cursor == 11
    assert [method for method, _ in scene.server.calls] == ["eth_getBlockByNumber"]
    scene.gateway.head = scene.gateway.final = 11
    scene.server.calls.clear()
    assert (await reader.read(cursor)).cursor == 12
    assert [method for method, _ in scene.server.calls] == ["eth_getBlockByNumber", "eth_call"]


async def test_reader__posts_in_several_blocks__come_in_order_with_the_next_block_as_cursor(scene: Scene) -> None:
    posted = scene.post(3, 3, 7, 12)
    reading = await scene.reader().read(START)
    assert list(reading.messages) == posted
    assert reading.cursor == 13


async def test_reader__post_above_the_final_block__waits(scene: Scene) -> None:
    reader = scene.reader()
    (posted,) = scene.post(12)
    scene.gateway.final = 11
    first = await reader.read(START)
    assert (first.messages, first.cursor) == ((), 12)
    scene.gateway.final = 12
    assert (await reader.read(first.cursor)).messages == (posted,)


async def test_reader__depth__counts_blocks_on_top(scene: Scene) -> None:
    (posted,) = scene.post(8)
    scene.gateway.head, scene.gateway.final = 10, 10
    assert (await scene.reader(finality=Depth(3)).read(START)).messages == ()
    assert (await scene.reader(finality=Depth(2)).read(START)).messages == (posted,)


async def test_reader__chain_younger_than_the_depth__returns_nothing(scene: Scene) -> None:
    reading = await scene.reader(finality=Depth(64)).read(START)
    assert (reading.messages, reading.cursor) == ((), START)


async def test_reader__long_way_to_go__asks_for_bounded_ranges_and_loses_nothing(scene: Scene) -> None:
    posted = scene.post(50, 950, 2_500)
    reader, cursor, messages = scene.reader(max_blocks=100), START, []
    while cursor <= 2_500:
        reading = await reader.read(cursor)
        assert reading.cursor > cursor
        messages += reading.messages
        cursor = reading.cursor
    assert messages == posted
    assert max(end - start + 1 for start, end in scene.gateway.ranges) <= 100


async def test_reader__more_messages_than_a_reading_holds__are_cut_between_blocks(scene: Scene) -> None:
    posted = scene.post(*([4] * 200 + [5] * 200 + [6] * 300))
    reader, cursor, sizes, messages = scene.reader(), START, [], []
    for _ in range(3):
        reading = await reader.read(cursor)
        sizes.append(len(reading.messages))
        messages += reading.messages
        cursor = reading.cursor
    assert sizes == [200, 200, 300]
    assert max(sizes[:2]) <= MAX_MESSAGES
    assert messages == posted


async def test_reader__range_too_large_for_the_endpoint__asks_for_less_until_it_works(scene: Scene) -> None:
    (posted,) = scene.post(400)
    scene.gateway.most_blocks = 130
    reader, cursor, failures = scene.reader(max_blocks=1_000), START, 0
    for _ in range(20):
        try:
            reading = await reader.read(cursor)
        except Transient:
            failures += 1
            continue
        cursor = reading.cursor
        if reading.messages:
            break
    assert reading.messages == (posted,)
    assert 0 < failures < 10


async def test_reader__start_block__spares_what_lies_before(scene: Scene) -> None:
    scene.gateway.head = scene.gateway.final = 5_000
    (posted,) = scene.post(4_990)
    assert (await scene.reader(start_block=4_900).read(START)).messages == (posted,)
    assert scene.gateway.ranges == [(4_900, 5_000)]


# ---- missing logs ----


async def test_reader__log_left_out__transient_and_nothing_is_lost(scene: Scene) -> None:
    posted = scene.post(3, 4, 5)
    scene.gateway.hide = {2}
    reader = scene.reader()
    for _ in range(2):
        with pytest.raises(Transient, match="left out posts"):
            await reader.read(START)
    scene.gateway.hide = set()
    assert list((await reader.read(START)).messages) == posted


@pytest.mark.parametrize("hidden", [{1}, {3}, {1, 2, 3}])
async def test_reader__first_last_or_all_logs_left_out__transient(scene: Scene, hidden: set[int]) -> None:
    scene.post(3, 4, 5)
    scene.gateway.hide = hidden
    with pytest.raises(Transient, match="left out posts"):
        await scene.reader().read(START)


async def test_reader__restart_at_a_cursor_and_next_log_left_out__transient(scene: Scene) -> None:
    scene.post(3, 8, 9)
    scene.gateway.hide = {2}
    with pytest.raises(Transient, match="sequences 2 to 3"):
        await scene.reader().read(Cursor(5))


async def test_reader__endpoint_without_old_state__reads_on_after_a_restart(scene: Scene) -> None:
    posted = scene.post(3, 2_000, 3_000)
    scene.gateway.pruned_below = 2_990
    reader, cursor, messages = scene.reader(max_blocks=500), Cursor(5), []
    while cursor <= 3_000:
        reading = await reader.read(cursor)
        messages += reading.messages
        cursor = reading.cursor
    assert messages == posted[1:]


async def test_reader__log_left_out_where_no_state_vouches__is_found_by_the_gap_that_follows(scene: Scene) -> None:
    posted = scene.post(3, 700, 1_700)
    scene.gateway.pruned_below, scene.gateway.hide = 1_690, {2}
    reader, cursor, messages, failures = scene.reader(max_blocks=500), START, [], 0
    for _ in range(20):
        try:
            reading = await reader.read(cursor)
        except Transient:
            failures, scene.gateway.hide = failures + 1, set()
            continue
        messages += reading.messages
        cursor = reading.cursor
        if cursor > 1_700:
            break
    assert messages == posted
    assert failures == 1


# ---- lies ----

Doctor = Callable[[dict[str, Any]], dict[str, Any]]


def _with_body(change: Callable[[Message], Message], gateway: ScriptedGateway) -> Doctor:
    """Logs whose body is another message's, with the digest that fits."""

    def doctor(log: dict[str, Any]) -> dict[str, Any]:
        changed = change(samples.plain_message(sequence=1))
        other = gateway.log(3, changed, log["address"])
        return {**log, "data": other["data"], "topics": [*log["topics"][:2], other["topics"][2]]}

    return doctor


def _topic(index: int) -> Doctor:
    def doctor(log: dict[str, Any]) -> dict[str, Any]:
        topics = list(log["topics"])
        topics[index] = "0x" + (99).to_bytes(32).hex()
        return {**log, "topics": topics}

    return doctor


LIES: dict[str, Callable[[ScriptedGateway], Doctor]] = {
    "foreign origin": lambda gateway: _with_body(lambda m: replace(m, origin=samples.SOLANA), gateway),
    "other gateway of the same chain": lambda gateway: _with_body(
        lambda m: replace(m, origin=replace(m.origin, gateway=samples.HUB)), gateway
    ),
    "sequence of another post": lambda gateway: _with_body(lambda m: replace(m, sequence=Sequence(2)), gateway),
    "wrong digest": lambda gateway: _topic(2),
    "wrong sequence": lambda gateway: _topic(1),
    "another event": lambda gateway: _topic(0),
    "missing topic": lambda gateway: lambda log: {**log, "topics": log["topics"][:2]},
    "another contract": lambda gateway: lambda log: {**log, "address": "0x" + "99" * 20},
    "block outside the range": lambda gateway: lambda log: {**log, "blockNumber": "0x63"},
    "removed": lambda gateway: lambda log: {**log, "removed": True},
    "empty data": lambda gateway: lambda log: {**log, "data": "0x"},
    "huge length": lambda gateway: lambda log: {**log, "data": "0x" + "00" * 31 + "20" + "ff" * 32},
    "body cut": lambda gateway: lambda log: {**log, "data": "0x" + "00" * 31 + "20" + "00" * 31 + "05" + "01" * 32},
    "no number": lambda gateway: lambda log: {**log, "blockNumber": None},
}


@pytest.mark.parametrize("name", LIES)
async def test_reader__post_that_the_gateway_cannot_have_made__is_never_passed_on(scene: Scene, name: str) -> None:
    scene.post(3)
    scene.gateway.doctor = LIES[name](scene.gateway)
    reader = scene.reader()
    with pytest.raises(Transient):
        await reader.read(START)
    scene.gateway.doctor = lambda log: log
    assert len((await reader.read(START)).messages) == 1


async def test_reader__same_log_twice__is_not_passed_on(scene: Scene) -> None:
    scene.post(3)
    logs = scene.gateway.logs
    scene.server.methods["eth_getLogs"] = lambda query: logs(query) * 2
    with pytest.raises(Transient):
        await scene.reader().read(START)


# ---- reorgs, lagging and wrong endpoints ----


@pytest.mark.parametrize("blocks_since", [0, 1, 5])
async def test_reader__final_block_under_the_cursor_replaced__reorged(scene: Scene, blocks_since: int) -> None:
    reader = scene.reader()
    cursor = (await reader.read(START)).cursor
    scene.gateway.fork_from = 10
    scene.gateway.head = scene.gateway.final = 10 + blocks_since
    with pytest.raises(Reorged, match="another one now"):
        await reader.read(cursor)


async def test_reader__posts_vanish__reorged(scene: Scene) -> None:
    scene.post(3, 12)
    reader = scene.reader()
    cursor = (await reader.read(START)).cursor
    reader._anchor = replace(reader._anchor, parent=None)  # type: ignore[type-var]  # as after a cut between blocks
    scene.gateway.posts.pop(12)
    scene.gateway.head = scene.gateway.final = 14
    with pytest.raises(Reorged, match="the chain was replaced"):
        await reader.read(cursor)


async def test_reader__reorg_between_the_questions__reorged_and_read_again_after(scene: Scene) -> None:
    scene.post(3)
    logs = scene.gateway.logs

    def reorg(query: dict[str, Any]) -> list[dict[str, Any]]:
        scene.gateway.fork_from = 2
        return logs(query)

    scene.server.methods["eth_getLogs"] = reorg
    reader = scene.reader()
    with pytest.raises(Reorged, match="changed while it was read"):
        await reader.read(START)
    assert len((await reader.read(START)).messages) == 1


async def test_reader__endpoint_behind_the_cursor__transient(scene: Scene) -> None:
    with pytest.raises(Transient, match="lags, or serves another chain"):
        await scene.reader().read(Cursor(500))


async def test_reader__no_contract__transient_that_says_so(scene: Scene) -> None:
    scene.server.methods["eth_call"] = lambda *_: "0x"
    with pytest.raises(Transient, match="check the address"):
        await scene.reader().read(START)


async def test_reader__contract_that_is_no_gateway__transient(scene: Scene) -> None:
    scene.server.methods["eth_call"] = lambda *_: "0x1234"
    with pytest.raises(Transient, match="is no gateway"):
        await scene.reader().read(START)


def test_reader__address_with_more_than_20_bytes__is_refused() -> None:
    with pytest.raises(EncodeError):
        EvmReader(EvmClient("http://127.0.0.1:1", 31337), Account(b"\1" * 32))


async def test_reader__endpoint_of_another_chain__config_error_before_anything_is_read() -> None:
    gateway = ScriptedGateway(samples.EVM)
    async with rpc_server(gateway.methods(), chain_id=5) as server:
        with pytest.raises(ConfigError):
            async with EvmClient(server.url, 31337, retries=ONCE):
                pass
        assert {method for method, _ in server.calls} == {"eth_chainId"}
