"""The Solana reader at an endpoint that lies, lags or forgets: nothing false is passed on, and nothing is lost."""

from dataclasses import replace

import pytest
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana.client import SolanaClient
from bridges.solana.layout import AccountData
from bridges.solana.reader import MAX_MARKS, SolanaReader
from oracle.errors import Reorged, Transient
from oracle.ports import Cursor
from oracle.protocol.types import Account, Kind
from tests.support import samples
from tests.support.samples import seeded
from tests.support.solana_rpc import AT, PROGRAM, RpcError, ScriptedRpc, config, hold, outbox, owned, posted


async def test_reader__idle_poll__is_one_call(rpc: ScriptedRpc, client: SolanaClient) -> None:
    await client.connect()
    hold(rpc, posted(1))
    reader = SolanaReader(client, PROGRAM)
    await reader.read(Cursor(0))
    before = rpc.total
    assert (await reader.read(Cursor(2))).messages == ()
    assert rpc.total == before + 1


async def test_reader__many_posts__come_in_portions_of_a_hundred(rpc: ScriptedRpc, client: SolanaClient) -> None:
    messages = tuple(posted(i) for i in range(1, 251))
    hold(rpc, *messages)
    reader, cursor, portions = SolanaReader(client, PROGRAM), Cursor(0), []
    for _ in range(3):
        reading = await reader.read(cursor)
        cursor = reading.cursor
        portions.append(reading.messages)
    assert [len(portion) for portion in portions] == [100, 100, 50]
    assert sum(portions, ()) == messages
    assert cursor == 251


async def test_reader__closed_or_merely_funded_address__is_skipped(rpc: ScriptedRpc, client: SolanaClient) -> None:
    hold(rpc, posted(1), posted(4), upto=4)
    rpc.accounts[AT.outbox(3).address] = AccountData(SYSTEM_PROGRAM, 890_880, b"")  # anybody can send lamports there
    reading = await SolanaReader(client, PROGRAM).read(Cursor(0))
    assert reading.messages == (posted(1), posted(4))
    assert reading.cursor == 5


def _forged() -> dict[str, AccountData]:
    good, body = outbox(posted(1)), posted(1).to_bytes()
    elsewhere = replace(posted(1), origin=replace(samples.SOLANA, gateway=Account(seeded("impostor"))))
    request = replace(posted(1), kind=Kind.INFERENCE_REQUEST)
    return {
        "another owner": owned(good.data, Pubkey(seeded("attacker"))),
        "truncated": owned(good.data[:-1]),
        "trailing byte": owned(good.data + b"\0"),
        "another type": owned(b"\6" + good.data[1:]),
        "another version": owned(b"\5\2" + good.data[2:]),
        "doctored body": owned(good.data[: -len(body)] + body[:-1] + b"!"),
        "another sequence": outbox(posted(2)),
        "another origin": outbox(elsewhere),
        "request for another gateway": outbox(request),
    }


@pytest.mark.parametrize("forgery", _forged().values(), ids=_forged().keys())
async def test_reader__account_that_contradicts_the_program__is_never_passed_on(
    rpc: ScriptedRpc, client: SolanaClient, forgery: AccountData
) -> None:
    hold(rpc, posted(1))
    rpc.accounts[AT.outbox(1).address] = forgery
    with pytest.raises(Transient, match="contradicts the program"):
        await SolanaReader(client, PROGRAM).read(Cursor(0))


async def test_reader__configuration_of_another_cluster__is_refused(rpc: ScriptedRpc, client: SolanaClient) -> None:
    hold(rpc, posted(1))
    rpc.accounts[AT.config.address] = config(2, seeded("another cluster"))
    with pytest.raises(Transient, match="another cluster"):
        await SolanaReader(client, PROGRAM).read(Cursor(0))


async def test_reader__program_that_is_not_there_yet__is_transient(rpc: ScriptedRpc, client: SolanaClient) -> None:
    with pytest.raises(Transient, match="check its id"):
        await SolanaReader(client, PROGRAM).read(Cursor(0))


async def test_reader__accounts_are_never_older_than_the_configuration(rpc: ScriptedRpc, client: SolanaClient) -> None:
    """A balancer's second node is behind: it would show a gap where there is a message."""
    hold(rpc, posted(1))
    fresh = rpc.answers["getMultipleAccounts"]
    assert callable(fresh)

    def second_is_behind(params: list[object]) -> object:
        if params[0] == [str(AT.config.address)]:
            return fresh(params)
        assert isinstance(params[1], dict)
        assert params[1]["minContextSlot"] == rpc.slot
        return {"context": {"slot": rpc.slot - 1}, "value": [None]}

    rpc.answers["getMultipleAccounts"] = second_is_behind
    with pytest.raises(Transient, match="is behind"):
        await SolanaReader(client, PROGRAM).read(Cursor(0))
    rpc.answers["getMultipleAccounts"] = lambda params: (
        fresh(params) if len(rpc.calls) == 0 else RpcError(-32016, "not reached")
    )
    with pytest.raises(Transient, match="-32016"):
        await SolanaReader(client, PROGRAM).read(Cursor(0))


async def test_reader__node_that_forgot_a_slot_it_had_answered_for__is_transient(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    hold(rpc, posted(1))
    reader = SolanaReader(client, PROGRAM)
    reading = await reader.read(Cursor(0))
    rpc.slot, rpc.accounts[AT.config.address] = 50, config(1)
    with pytest.raises(Transient, match="is behind"):
        await reader.read(reading.cursor)


async def test_reader__fewer_posts_than_were_read__is_a_reorg_unless_the_node_is_behind(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    hold(rpc, posted(1))
    with pytest.raises(Reorged, match="now has 1"):
        await SolanaReader(client, PROGRAM).read(Cursor(5))
    rpc.accounts.clear()
    with pytest.raises(Reorged, match="now has 0"):
        await SolanaReader(client, PROGRAM).read(Cursor(5))
    rpc.answers["getHealth"] = RpcError(-32005, "Node is behind by 42 slots")
    with pytest.raises(Transient, match="is behind the cluster"):
        await SolanaReader(client, PROGRAM).read(Cursor(5))


async def test_reader__node_that_ignores_the_commitment__gets_nothing_unfinalised_through(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    """surfnet answers "finalized" reads for its newest slot; so may others."""
    final = 69
    rpc.answers["getSlot"] = lambda _params: final
    hold(rpc, posted(1))
    reader = SolanaReader(client, PROGRAM)
    assert await reader.read(Cursor(0)) == await reader.read(Cursor(1))
    rpc.slot, final = 110, 99
    assert (await reader.read(Cursor(1))).messages == ()
    hold(rpc, posted(1), posted(2))
    final = 100  # the slot at which post 1, but not post 2, had been seen
    reading = await reader.read(Cursor(1))
    assert reading.messages == (posted(1),)
    final = 110
    assert (await reader.read(reading.cursor)).messages == (posted(2),)


async def test_reader__restart_on_such_a_node__takes_the_slot_of_the_last_post(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    hold(rpc, posted(1))
    rpc.answers["getSlot"] = lambda _params: 69
    rpc.answers["getSignaturesForAddress"] = [{"slot": 70}]
    assert (await SolanaReader(client, PROGRAM).read(Cursor(0))).messages == ()
    rpc.answers["getSignaturesForAddress"] = [{"slot": 69}]
    assert (await SolanaReader(client, PROGRAM).read(Cursor(0))).messages == (posted(1),)
    assert rpc.calls["getSignaturesForAddress"][-1][0] == str(AT.outbox(1).address)


async def test_reader__posts_faster_than_finality__keep_a_bounded_memory_and_lose_nothing(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    reader, messages = SolanaReader(client, PROGRAM), []
    rpc.answers["getSlot"] = lambda _params: 0
    for i in range(1, MAX_MARKS + 20):
        messages.append(posted(i))
        hold(rpc, *messages)
        rpc.slot += 1
        assert (await reader.read(Cursor(1))).messages == ()
    rpc.answers["getSlot"] = lambda _params: rpc.slot
    first = await reader.read(Cursor(1))
    second = await reader.read(first.cursor)
    assert first.messages + second.messages == tuple(messages)
