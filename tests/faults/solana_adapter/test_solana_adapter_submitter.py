"""Transactions on Solana that are dropped, expire, come twice or cannot be paid: a delivery is made once, and what failed is said."""

import asyncio
import struct
from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana.client import SolanaClient
from bridges.solana.layout import AccountData
from bridges.solana.requester import SolanaRequester
from bridges.solana.submitter import SolanaSubmitter
from oracle.errors import Rejected, Transient
from oracle.ports import DeliveryState, Submission
from oracle.protocol import types as protocol
from oracle.protocol.message import Outcome, result_messages
from tests.support import samples
from tests.support.samples import seeded
from tests.support.solana_rpc import (
    AT,
    FAST,
    KEY,
    PROGRAM,
    Cluster,
    Hang,
    ScriptedRpc,
    Status,
    account_json,
    config,
    owned,
    posted,
)

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
