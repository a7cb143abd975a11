"""An RPC endpoint that lies, lags, breaks or is another cluster's: the Solana adapter says so, and passes nothing false on."""

import asyncio
import json
import logging
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana.client import RetryPolicy, SolanaClient
from bridges.solana.layout import AccountData, ProgramAddresses
from bridges.solana.reader import MAX_MARKS, SolanaReader
from bridges.solana.requester import SolanaRequester
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.transactions import SendPolicy, TransactionSender, load_keypair
from oracle.errors import ConfigError, Rejected, Reorged, Transient
from oracle.ports import Cursor, DeliveryState, Submission
from oracle.protocol import types as protocol
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import Account, Kind, Sequence, UnixSeconds
from tests.support import samples
from tests.support.samples import seeded
from tests.support.schnorr import SchnorrKey
from tests.support.solana_rpc import GENESIS, Hang, RpcError, ScriptedRpc, Status, account_json, scripted_rpc

PROGRAM = samples.SOLANA.gateway
AT = ProgramAddresses(Pubkey(PROGRAM))
QUICK = RetryPolicy(timeout=0.3, attempts=3, deadline=2.0)
FAST = SendPolicy(poll_interval=0.01, resend_interval=0.05, deadline=3.0, blockhashes=3, meta_deadline=0.05)
KEY = SchnorrKey.seeded("group")


@pytest.fixture
async def rpc() -> AsyncIterator[ScriptedRpc]:
    async with scripted_rpc() as server:
        yield server


@pytest.fixture
async def client(rpc: ScriptedRpc) -> AsyncIterator[SolanaClient]:
    async with SolanaClient(rpc.url, GENESIS, policy=QUICK) as opened:
        yield opened


def owned(data: bytes, owner: Pubkey = AT.program) -> AccountData:
    return AccountData(owner, 1_000_000, data)


def config(next_sequence: int, reference: bytes = GENESIS) -> AccountData:
    return owned(
        struct.pack("<BBBBIQQ", 1, 1, 255, 0, 1, next_sequence, 0)
        + seeded("authority")
        + seeded("treasury")
        + reference
    )


def posted(sequence: int, payload: bytes = b"hello") -> Message:
    sender = Account(seeded("sender"))
    return Message(
        Kind.MESSAGE, samples.SOLANA, samples.EVM, Sequence(sequence), sender, samples.CONSUMER, UnixSeconds(0), payload
    )


def outbox(message: Message) -> AccountData:
    body = message.to_bytes()
    state = 1 if message.kind is Kind.MESSAGE else 2
    head = struct.pack("<BBBBIQQQ", 5, 1, 254, state, len(body), message.sequence, 0, message.expiry)
    return owned(head + message.sender + message.digest + body)


def hold(rpc: ScriptedRpc, *messages: Message, upto: int | None = None) -> None:
    """Let the program have these posts."""
    rpc.accounts[AT.config.address] = config(1 + (upto or len(messages)))
    for message in messages:
        rpc.accounts[AT.outbox(message.sequence).address] = outbox(message)


# ---- the endpoint ----


async def test_client__wrong_genesis_hash__is_a_configuration_error_and_nothing_else_is_asked(rpc: ScriptedRpc) -> None:
    async with SolanaClient(rpc.url, seeded("another cluster"), policy=QUICK) as client:
        with pytest.raises(ConfigError, match="Name an endpoint of the configured cluster"):
            await SolanaReader(client, PROGRAM).read(Cursor(0))
    assert set(rpc.calls) == {"getGenesisHash"}


async def test_client__genesis_hash__is_asked_once(rpc: ScriptedRpc, client: SolanaClient) -> None:
    await asyncio.gather(*(client.slot("finalized") for _ in range(5)))
    assert len(rpc.calls["getGenesisHash"]) == 1


async def test_client__endpoint_that_hangs__is_transient_within_the_deadline(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    await client.connect()
    rpc.answers["getSlot"] = Hang()
    started = time.monotonic()
    with pytest.raises(Transient, match=r"did not answer getSlot within 0.3 s"):
        await client.slot("finalized")
    assert time.monotonic() - started < QUICK.deadline + QUICK.timeout
    assert len(rpc.calls["getSlot"]) == QUICK.attempts


@pytest.mark.parametrize("fault", [Status(429), Status(500), Status(503), Status(200, "<html>"), Status(200, "{}")])
async def test_client__broken_answer__is_tried_again_and_then_transient(
    rpc: ScriptedRpc, client: SolanaClient, fault: Status
) -> None:
    rpc.answers["getSlot"] = fault
    with pytest.raises(Transient) as caught:
        await client.slot("finalized")
    assert len(rpc.calls["getSlot"]) == QUICK.attempts
    assert str(caught.value).endswith(".")


async def test_client__fault_that_passes__is_not_noticed(rpc: ScriptedRpc, client: SolanaClient) -> None:
    answers: list[object] = [Status(429), RpcError(-32005, "Node is behind by 42 slots"), 7]
    rpc.answers["getSlot"] = lambda _params: answers.pop(0)
    assert await client.slot("finalized") == 7


async def test_client__nobody_listens__is_transient() -> None:
    async with SolanaClient("http://127.0.0.1:1", GENESIS, policy=QUICK) as client:
        with pytest.raises(Transient, match="cannot be reached"):
            await client.connect()


@pytest.mark.parametrize(
    "value",
    [
        {"context": {"slot": 100}, "value": []},
        {"context": {"slot": 100}, "value": [{"data": ["!!", "base64"], "owner": str(SYSTEM_PROGRAM), "lamports": 1}]},
        {"context": {"slot": 100}, "value": [{"data": ["", "base64"], "owner": "not base58 0OIl", "lamports": 1}]},
        {
            "context": {"slot": 100},
            "value": [{"data": ["", "jsonParsed"], "owner": str(SYSTEM_PROGRAM), "lamports": 1}],
        },
        {"context": {"slot": -1}, "value": [None]},
        {"value": [None]},
        None,
        [],
    ],
)
async def test_client__malformed_accounts__are_transient(rpc: ScriptedRpc, client: SolanaClient, value: object) -> None:
    rpc.answers["getMultipleAccounts"] = lambda _params: value
    with pytest.raises(Transient):
        await client.accounts([AT.program], "finalized")


async def test_client__api_key_in_the_address__is_never_shown(
    rpc: ScriptedRpc, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    secret = "very-secret-key"
    rpc.answers["getSlot"] = Status(403)
    async with SolanaClient(f"{rpc.url}{secret}?api-key={secret}", GENESIS, policy=QUICK) as client:
        with pytest.raises(Transient, match="Check its address and key") as caught:
            await client.slot("finalized")
        assert secret not in repr(client)
    assert secret not in str(caught.value)
    ours = [record for record in caplog.records if record.name != "aiohttp.access"]  # that is the server of this test
    assert not any(secret in record.getMessage() for record in ours)


@pytest.mark.parametrize("address", ["", "localhost:8899", "ftp://x", "http://", "http://[::1", "http://x:99999"])
def test_client__malformed_address__is_a_configuration_error(address: str) -> None:
    with pytest.raises(ConfigError, match="Solana RPC address"):
        SolanaClient(address, GENESIS)


# ---- reading ----


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


# ---- sending ----


class Cluster:
    """Just enough of a cluster to take one transaction."""

    def __init__(self, rpc: ScriptedRpc) -> None:
        self.valid, self.status, self.sent = True, None, 0  # type: bool, object, int
        self.error: object = None
        self.hashes = 0
        rpc.answers |= {
            "getLatestBlockhash": self._blockhash,
            "isBlockhashValid": lambda _params: {"value": self.valid},
            "simulateTransaction": lambda _params: {"value": {"err": self.error, "logs": [], "unitsConsumed": 1000}},
            "sendTransaction": self._send,
            "getSignatureStatuses": lambda _params: {"value": [self.status]},
            "getTransaction": {"meta": {"computeUnitsConsumed": 987, "logMessages": []}},
        }

    def _blockhash(self, _params: object) -> object:
        self.hashes += 1
        return {"value": {"blockhash": str(Hash(seeded(f"hash {self.hashes}"))), "lastValidBlockHeight": 1}}

    def _send(self, _params: object) -> object:
        self.sent += 1
        return "signature"

    def land(self, error: object = None) -> None:
        self.status = {"slot": 101, "err": error, "confirmationStatus": "confirmed"}


MESSAGE = samples.plain_message()
SUBMISSION = Submission(MESSAGE, KEY.attest(MESSAGE))


def submitter(client: SolanaClient) -> SolanaSubmitter:
    return SolanaSubmitter(client, PROGRAM, Keypair(), FAST)


async def test_submitter__transaction_that_lands__reports_units_of_its_meta(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    cluster = Cluster(rpc)
    cluster.land()
    receipt = await submitter(client).submit(SUBMISSION)
    assert receipt is not None
    assert receipt.cost == 987
    assert 600 < receipt.size <= 1232


async def test_submitter__endpoint_without_transaction_history__reports_simulated_units(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    cluster = Cluster(rpc)
    cluster.land()
    rpc.answers["getTransaction"] = None
    receipt = await submitter(client).submit(SUBMISSION)
    assert receipt is not None
    assert receipt.cost == 1000


async def test_submitter__dropped_transaction__is_sent_again(rpc: ScriptedRpc, client: SolanaClient) -> None:
    cluster = Cluster(rpc)
    send = cluster._send

    def third_lands(params: object) -> object:
        if cluster.sent == 2:
            cluster.land()
        return send(params)

    rpc.answers["sendTransaction"] = third_lands
    assert await submitter(client).submit(SUBMISSION) is not None
    assert (cluster.sent, cluster.hashes) == (3, 1)


async def test_submitter__lost_answer_to_a_transaction_that_landed__is_a_delivery(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    cluster = Cluster(rpc)

    def lost(_params: object) -> object:
        cluster.land()
        return Status(502)

    rpc.answers["sendTransaction"] = lost
    assert await submitter(client).submit(SUBMISSION) is not None


async def test_submitter__expired_blockhash__is_replaced_and_the_delivery_goes_on(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    cluster = Cluster(rpc)
    cluster.valid = False

    def blockhash(_params: object) -> object:
        if cluster.hashes == 1:
            cluster.valid = True
            cluster.land()
        return cluster._blockhash(_params)

    rpc.answers["getLatestBlockhash"] = blockhash
    assert await submitter(client).submit(SUBMISSION) is not None
    assert cluster.hashes == 2


async def test_submitter__blockhashes_that_keep_expiring__end_as_transient(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    cluster = Cluster(rpc)
    cluster.valid = False
    with pytest.raises(Transient, match="expired 3 times"):
        await submitter(client).submit(SUBMISSION)
    assert cluster.hashes == FAST.blockhashes


async def test_submitter__never_confirmed__ends_at_the_deadline(rpc: ScriptedRpc, client: SolanaClient) -> None:
    Cluster(rpc)
    sender = SolanaSubmitter(client, PROGRAM, Keypair(), replace(FAST, deadline=0.5))
    with pytest.raises(Transient, match="did not confirm"):
        await sender.submit(SUBMISSION)


async def test_submitter__processed_only__is_not_yet_delivered(rpc: ScriptedRpc, client: SolanaClient) -> None:
    cluster = Cluster(rpc)
    cluster.status = {"slot": 101, "err": None, "confirmationStatus": "processed"}
    sender = SolanaSubmitter(client, PROGRAM, Keypair(), replace(FAST, deadline=0.5))
    with pytest.raises(Transient):
        await sender.submit(SUBMISSION)


async def test_submitter__another_node_was_first__is_none(rpc: ScriptedRpc, client: SolanaClient) -> None:
    cluster, already = Cluster(rpc), {"InstructionError": [1, {"Custom": 404}]}
    cluster.error = already
    assert await submitter(client).submit(SUBMISSION) is None
    assert cluster.sent == 0
    cluster.error = None
    cluster.land(already)  # it was first between simulation and landing
    assert await submitter(client).submit(SUBMISSION) is None


async def test_submitter__own_transaction_that_seemed_lost__counts_as_delivered(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    """The first blockhash "expired", but the transaction had landed: the program then refuses the second."""
    cluster = Cluster(rpc)
    cluster.valid = False

    def landed_after_all(_params: object) -> object:
        if cluster.hashes == 1:
            cluster.error = {"InstructionError": [1, {"Custom": 404}]}
            cluster.land()
        return cluster._blockhash(_params)

    rpc.answers["getLatestBlockhash"] = landed_after_all
    assert await submitter(client).submit(SUBMISSION) is not None


async def test_submitter__unfunded_payer__is_transient_and_says_fund_it(rpc: ScriptedRpc, client: SolanaClient) -> None:
    Cluster(rpc).error = "AccountNotFound"
    with pytest.raises(Transient, match="Fund it"):
        await submitter(client).submit(SUBMISSION)


async def test_submitter__payload_over_a_packet__is_rejected_with_the_excess(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    cluster = Cluster(rpc)
    large = samples.plain_message(payload=bytes(600))
    with pytest.raises(Rejected, match="shorten the payload by") as caught:
        await submitter(client).submit(Submission(large, KEY.attest(large)))
    assert caught.value.reason == "TransactionTooLarge"
    assert cluster.sent == 0


async def test_submitter__wrong_destination_or_attestation__asks_nobody(rpc: ScriptedRpc, client: SolanaClient) -> None:
    back = posted(1)
    for submission, reason in (
        (Submission(back, KEY.attest(back)), "WrongDestination"),
        (Submission(MESSAGE), "InvalidSignature"),
        (Submission(MESSAGE, KEY.attest(posted(2))), "InvalidSignature"),
    ):
        with pytest.raises(Rejected) as caught:
            await submitter(client).submit(submission)
        assert caught.value.reason == reason
    assert rpc.total == 0


@pytest.mark.parametrize(
    "at_call",
    ["getLatestBlockhash", "simulateTransaction", "sendTransaction", "getSignatureStatuses", "getTransaction"],
)
async def test_submitter__cancelled_at_each_call__leaves_it_usable(
    rpc: ScriptedRpc, client: SolanaClient, at_call: str
) -> None:
    cluster = Cluster(rpc)
    cluster.land()
    await client.connect()
    usual, reached = rpc.answers[at_call], asyncio.Event()

    async def stop() -> object:
        reached.set()
        return Hang()

    rpc.answers[at_call] = lambda _params: stop()
    sender = submitter(client)
    async with asyncio.timeout(5):
        task = asyncio.ensure_future(sender.submit(SUBMISSION))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    rpc.answers[at_call] = usual
    assert await sender.submit(SUBMISSION) is not None


def replay(sequence: int) -> AccountData:
    bitmap = bytearray(128)
    bitmap[sequence % 1024 // 8] |= 1 << sequence % 8
    return owned(struct.pack("<BBB5xQ", 7, 1, 255, sequence // 1024) + bytes(bitmap))


async def test_submitter__state__follows_the_finalised_slot_too(rpc: ScriptedRpc, client: SolanaClient) -> None:
    sender, address = submitter(client), AT.replay(MESSAGE.origin, MESSAGE.sequence).address
    assert await sender.state(MESSAGE) is DeliveryState.ABSENT
    rpc.accounts[address] = AccountData(SYSTEM_PROGRAM, 1, b"")
    assert await sender.state(MESSAGE) is DeliveryState.ABSENT
    rpc.accounts[address] = replay(MESSAGE.sequence)
    rpc.answers["getSlot"] = lambda _params: 99
    assert await sender.state(MESSAGE) is DeliveryState.INCLUDED
    rpc.answers["getSlot"] = lambda _params: 100
    assert await sender.state(MESSAGE) is DeliveryState.FINAL
    rpc.accounts[address] = replay(MESSAGE.sequence + 1)
    assert await sender.state(MESSAGE) is DeliveryState.ABSENT


async def test_submitter__state_confirmed_but_not_finalised__is_included(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    fresh = rpc.answers["getMultipleAccounts"]
    assert callable(fresh)
    rpc.accounts[AT.replay(MESSAGE.origin, MESSAGE.sequence).address] = replay(MESSAGE.sequence)

    def by_commitment(params: list[object]) -> object:
        assert isinstance(params[1], dict)
        return fresh(params) if params[1]["commitment"] == "confirmed" else {"context": {"slot": 69}, "value": [None]}

    rpc.answers["getMultipleAccounts"] = by_commitment
    assert await submitter(client).state(MESSAGE) is DeliveryState.INCLUDED


async def test_submitter__replay_account_of_another_window__is_refused(rpc: ScriptedRpc, client: SolanaClient) -> None:
    rpc.accounts[AT.replay(MESSAGE.origin, MESSAGE.sequence).address] = replay(5000)
    with pytest.raises(Transient, match="contradicts the program"):
        await submitter(client).state(MESSAGE)


async def test_requester__sequence_taken_by_another__is_tried_with_the_next(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    cluster = Cluster(rpc)
    cluster.land()
    rpc.accounts[AT.config.address] = config(4)

    def simulate(_params: object) -> object:
        if len(rpc.calls["simulateTransaction"]) == 1:
            rpc.accounts[AT.config.address] = config(5)
            return {"value": {"err": {"InstructionError": [1, {"Custom": 500}]}, "logs": []}}
        return {"value": {"err": None, "unitsConsumed": 5}}

    rpc.answers["simulateTransaction"] = simulate
    receipt = await SolanaRequester(client, PROGRAM, Keypair(), FAST).send_message(samples.EVM, samples.CONSUMER, b"x")
    assert receipt.sequence == 5
    assert receipt.request_id == receipt.body.digest


async def test_requester__inbox_at_another_address_than_its_digest__is_no_answer(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    result = result_messages(samples.evm_request(), Outcome(protocol.Status.ANSWERED, (1,), 0))[1]
    body = result.to_bytes()
    data = struct.pack("<BBBBIQI4x", 6, 1, 254, 3, len(body), 1, 1) + seeded("payer") + result.digest + body
    requester = SolanaRequester(client, PROGRAM, Keypair(), FAST)
    right = {"pubkey": str(AT.inbox(result.digest).address), "account": account_json(owned(data))}
    rpc.answers["getProgramAccounts"] = [right]
    found = await requester.answer(samples.evm_request().digest)
    assert found is not None
    assert found.result.outputs == (1,)
    rpc.answers["getProgramAccounts"] = [right | {"pubkey": str(Pubkey(seeded("forged")))}]
    with pytest.raises(Transient, match="another address"):
        await requester.answer(samples.evm_request().digest)


# ---- keys ----


def test_keys__file_that_others_may_read__is_refused(tmp_path: Path) -> None:
    key, path = Keypair(), tmp_path / "payer.json"
    path.write_text(json.dumps(list(bytes(key))))
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_keypair(path)
    path.chmod(0o600)
    assert load_keypair(path) == key


@pytest.mark.parametrize(
    "content", ["", "[]", "[1,2]", "{}", '"secret"', "[" + "1," * 63 + "256]", "[" + "1," * 63 + "1]"]
)
def test_keys__file_without_a_key__is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "payer.json"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not a Solana key file") as caught:
        load_keypair(path)
    assert caught.value.__cause__ is None


def test_keys__missing_file_or_link__is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_keypair(tmp_path / "none.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_keypair(tmp_path / "link.json")


async def test_keys__secret__is_in_no_repr(client: SolanaClient) -> None:
    key = Keypair()
    for thing in (
        TransactionSender(client, key),
        SolanaSubmitter(client, PROGRAM, key),
        SolanaRequester(client, PROGRAM, key),
    ):
        assert str(key) not in repr(thing)
        assert str(key.secret()) not in repr(thing)
