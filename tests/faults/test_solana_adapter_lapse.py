"""What a submitter says of a message that can no longer be delivered, and which committee it sees, when its endpoint lags, lies or is odd."""

import struct
from collections.abc import AsyncIterator

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.sysvar import CLOCK

from bridges.solana.client import RetryPolicy, SolanaClient
from bridges.solana.clock import MAX_SIGHTINGS, SYSVAR, ClusterClock, Sighting
from bridges.solana.committee import CommitteeState, SolanaCommitteeView
from bridges.solana.layout import AccountData, ProgramAddresses
from bridges.solana.submitter import SolanaSubmitter
from oracle.errors import Transient
from oracle.protocol.types import CommitteeEpoch
from tests.support import samples
from tests.support.samples import seeded
from tests.support.solana_rpc import GENESIS, ScriptedRpc, scripted_rpc

PROGRAM = samples.SOLANA.gateway
AT = ProgramAddresses(Pubkey(PROGRAM))
EXPIRY = 1_000
MESSAGE = samples.plain_message(sequence=5, expiry=EXPIRY)
REPLAY = AT.replay(MESSAGE.origin, MESSAGE.sequence).address


@pytest.fixture
async def rpc() -> AsyncIterator[ScriptedRpc]:
    async with scripted_rpc() as server:
        yield server


@pytest.fixture
async def client(rpc: ScriptedRpc) -> AsyncIterator[SolanaClient]:
    policy = RetryPolicy(timeout=0.3, attempts=2, deadline=2.0)
    async with SolanaClient(rpc.url, GENESIS, policy=policy) as opened:
        yield opened


@pytest.fixture
def submitter(client: SolanaClient) -> SolanaSubmitter:
    return SolanaSubmitter(client, PROGRAM, Keypair())


def clock(time: int, slot: int = 100) -> AccountData:
    return AccountData(SYSVAR, 1, struct.pack("<QqQQq", slot, 0, 0, 0, time))


def replay(*sequences: int) -> AccountData:
    bitmap = bytearray(128)
    for sequence in sequences:
        bitmap[sequence // 8] |= 1 << sequence % 8
    return AccountData(AT.program, 1, struct.pack("<BBB5xQ", 7, 1, 255, 0) + bytes(bitmap))


async def test_lapsed__past_the_expiry_and_not_delivered__is_true(rpc: ScriptedRpc, submitter: SolanaSubmitter) -> None:
    rpc.accounts[CLOCK] = clock(EXPIRY + 1)
    assert await submitter.lapsed(MESSAGE)
    rpc.accounts[REPLAY] = replay(4, 6)
    assert await submitter.lapsed(MESSAGE)
    rpc.accounts[REPLAY] = AccountData(SYSTEM_PROGRAM, 1, b"")  # lamports sent there by anybody
    assert await submitter.lapsed(MESSAGE)


async def test_lapsed__delivered__is_false(rpc: ScriptedRpc, submitter: SolanaSubmitter) -> None:
    rpc.accounts |= {CLOCK: clock(EXPIRY + 1), REPLAY: replay(5)}
    assert not await submitter.lapsed(MESSAGE)


@pytest.mark.parametrize("time", [0, EXPIRY - 1, EXPIRY, -1])
async def test_lapsed__not_past_the_expiry__is_false(rpc: ScriptedRpc, submitter: SolanaSubmitter, time: int) -> None:
    rpc.accounts[CLOCK] = clock(time)
    assert not await submitter.lapsed(MESSAGE)


async def test_lapsed__without_expiry_or_for_another_destination__is_false_and_asks_nothing(
    rpc: ScriptedRpc, submitter: SolanaSubmitter
) -> None:
    rpc.accounts[CLOCK] = clock(EXPIRY + 1)
    assert not await submitter.lapsed(samples.plain_message())
    assert not await submitter.lapsed(samples.evm_request(expiry=EXPIRY))
    assert rpc.total == 0


async def test_lapsed__clock_of_a_slot_that_is_not_final__waits_until_it_is(
    rpc: ScriptedRpc, submitter: SolanaSubmitter
) -> None:
    # As surfnet answers: for its newest slot, whatever the commitment.
    rpc.accounts[CLOCK], rpc.slot = clock(EXPIRY + 1, 200), 200
    rpc.answers["getSlot"] = lambda _params: 199
    assert not await submitter.lapsed(MESSAGE)
    rpc.accounts[CLOCK], rpc.slot = clock(EXPIRY + 2, 230), 230
    rpc.answers["getSlot"] = lambda _params: 200
    assert await submitter.lapsed(MESSAGE)


async def test_lapsed__clock_that_names_a_later_slot_than_its_answer__counts_from_the_later(
    rpc: ScriptedRpc, submitter: SolanaSubmitter
) -> None:
    rpc.accounts[CLOCK] = clock(EXPIRY + 1, 101)
    assert not await submitter.lapsed(MESSAGE)
    rpc.answers["getSlot"] = lambda _params: 101
    rpc.slot = 101
    assert await submitter.lapsed(MESSAGE)


async def test_lapsed__bitmap_older_than_the_clock__is_no_evidence(
    rpc: ScriptedRpc, submitter: SolanaSubmitter
) -> None:
    """A node that is behind shows no delivery that happened since."""
    rpc.accounts[CLOCK] = clock(EXPIRY + 1)
    answer = rpc.answers["getMultipleAccounts"]
    assert callable(answer)

    def lagging(params: list[object]) -> object:
        return answer(params) if params[0] == [str(CLOCK)] else {"context": {"slot": 99}, "value": [None]}

    rpc.answers["getMultipleAccounts"] = lagging
    with pytest.raises(Transient, match="behind"):
        await submitter.lapsed(MESSAGE)


async def test_lapsed__clock_is_read_before_the_bitmap__never_the_other_way(
    rpc: ScriptedRpc, submitter: SolanaSubmitter
) -> None:
    rpc.accounts[CLOCK] = clock(EXPIRY + 1)
    await submitter.lapsed(MESSAGE)
    asked = [params[0] for params in rpc.calls["getMultipleAccounts"]]
    assert asked == [[str(CLOCK)], [str(REPLAY)]]
    assert [params[1] for params in rpc.calls["getMultipleAccounts"]][1]["minContextSlot"] == 100  # type: ignore[index]  # JSON


@pytest.mark.parametrize(
    "forged",
    [
        None,
        AccountData(SYSTEM_PROGRAM, 1, clock(EXPIRY + 1).data),
        AccountData(SYSVAR, 1, clock(EXPIRY + 1).data[:-1]),
        AccountData(SYSVAR, 1, b""),
    ],
)
async def test_lapsed__no_clock_or_a_strange_one__is_transient(
    rpc: ScriptedRpc, submitter: SolanaSubmitter, forged: AccountData | None
) -> None:
    if forged is not None:
        rpc.accounts[CLOCK] = forged
    with pytest.raises(Transient, match="clock"):
        await submitter.lapsed(MESSAGE)


async def test_clock__many_sightings_that_never_become_final__are_bounded(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    watched = ClusterClock(client)
    rpc.answers["getSlot"] = lambda _params: 0
    for second in range(1, MAX_SIGHTINGS + 5):
        rpc.accounts[CLOCK], rpc.slot = clock(second, second), second
        assert await watched.final() is None
    rpc.answers["getSlot"] = lambda _params: MAX_SIGHTINGS + 5
    assert await watched.final() == Sighting(MAX_SIGHTINGS, MAX_SIGHTINGS)


async def test_clock__that_goes_back__never_takes_a_later_time_away(rpc: ScriptedRpc, client: SolanaClient) -> None:
    watched = ClusterClock(client)
    rpc.accounts[CLOCK] = clock(50)
    assert await watched.final() == Sighting(100, 50)
    rpc.accounts[CLOCK] = clock(40)
    assert await watched.final() == Sighting(100, 50)


# ---- the committee ----


def committee(epoch: int, valid_from: int, valid_until: int = 0) -> AccountData:
    data = struct.pack("<BBBBIQQ", 2, 1, 255, 1, epoch, valid_from, valid_until) + seeded(f"key {epoch}")
    return AccountData(AT.program, 1, data)


def configured(rpc: ScriptedRpc, epoch: int) -> None:
    data = struct.pack("<BBBBIQQ", 1, 1, 255, 0, epoch, 1, 60) + seeded("authority") + seeded("treasury") + GENESIS
    rpc.accounts[AT.config.address] = AccountData(AT.program, 1, data)


async def test_committee_view__newest_begun_or_pending__the_active_one_is_told(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    view = SolanaCommitteeView(client, PROGRAM)
    configured(rpc, 2)
    rpc.accounts[AT.committee(CommitteeEpoch(1)).address] = committee(1, 10, 160)
    rpc.accounts[AT.committee(CommitteeEpoch(2)).address] = committee(2, 100)
    rpc.accounts[CLOCK] = clock(99)
    assert await view.active() == CommitteeState(1, seeded("key 1"), 1, 10, 160)
    assert (await view.newest()).epoch == 2
    rpc.accounts[CLOCK] = clock(100)
    assert await view.active() == CommitteeState(2, seeded("key 2"), 1, 100, 0)
    assert await view.epoch(CommitteeEpoch(3)) is None


async def test_committee_view__no_program_or_contradictions__is_transient(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    view = SolanaCommitteeView(client, PROGRAM)
    with pytest.raises(Transient, match="no configured"):
        await view.active()
    configured(rpc, 2)
    rpc.accounts[CLOCK] = clock(99)
    with pytest.raises(Transient, match="newest epoch 2 does not exist"):
        await view.active()
    rpc.accounts[AT.committee(CommitteeEpoch(2)).address] = committee(2, 100)
    with pytest.raises(Transient, match="the one before does not exist"):
        await view.active()
    rpc.accounts[AT.committee(CommitteeEpoch(2)).address] = AccountData(AT.program, 1, b"short")
    with pytest.raises(Transient, match="contradicts"):
        await view.active()
    rpc.accounts[AT.config.address] = AccountData(AT.program, 1, b"short")
    with pytest.raises(Transient, match="contradicts"):
        await view.active()
