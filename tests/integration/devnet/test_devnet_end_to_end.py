"""Everything at once, for real: anvil, surfnet and four node processes answer, prove, sign, deliver, refuse and refund.

Cited by the invariants: an answer is the model's; one signature serves both chains; nothing is lost, doubled or overpaid; a refusal gives the
whole fee back; after the deadline the fee is the requester's and an answer comes too late.
"""

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio
from rich.console import Console
from solders.keypair import Keypair

from bridges.evm.abi import account_of, interface
from bridges.evm.governance import Timelock, act
from bridges.evm.points import split_signature
from bridges.evm.sender import Call
from bridges.solana.deploy import SolanaGovernance
from bridges.solana.layout import InboxAccount, OutboxState
from oracle.app import proof_commands
from oracle.app.asking import EVM, FEE_LAMPORTS, SOLANA, Asked, Question
from oracle.app.demo.lies import Liar
from oracle.app.devnet.network import DEPLOYER, PRICE_LAMPORTS, PRICE_WEI, STRANGER
from oracle.app.load import request_load
from oracle.errors import Rejected
from oracle.pipeline import Stage
from oracle.ports import Submission
from oracle.protocol.hashing import keccak256
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import InferenceRequest, Message, Outcome, Remote, result_messages
from oracle.protocol.types import Account, ModelId, Policy, Status, UnixSeconds
from tests.support.devnet import ANSWER_SECONDS, TRANSACTION_LAMPORTS, World
from tests.support.evm_chain import RECEIVER

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

T = TypeVar("T")
COUNTING_RECEIVER = bytes.fromhex("5f546001015f55") + RECEIVER
"""Runtime code that takes every message and counts them in its first storage slot."""
UNHELD_MODEL = ModelId(keccak256(b"a model that no node holds"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answered(devnet: World) -> Asked:
    """A malignant case, asked by the EVM consumer under BOTH, and for Solana under ATTESTED."""
    row = next(row for row in devnet.user.model.heldout() if row.label == "malignant")
    asked = await devnet.user.ask(Question(row.inputs, EVM, Policy.BOTH, Policy.ATTESTED))
    return await devnet.user.arrivals(asked, ANSWER_SECONDS)


def patient(world: World, number: int) -> tuple[int, ...]:
    """Inputs of one of the held-out rows."""
    rows = world.user.model.heldout()
    return rows[number % len(rows)].inputs


async def soon(world: World, seconds: int = 600) -> UnixSeconds:
    """A deadline that is `seconds` away on both chains."""
    return UnixSeconds(max(await world.user.evm.chain_time(), int(time.time())) + seconds)


def to_solana(world: World) -> Remote:
    """The answer on Solana too, for the user's own account."""
    at = world.user.solana_endpoint
    return Remote(Policy.ATTESTED, at, at.gateway, Account(bytes(world.solana_user.pubkey())))


def to_evm(world: World, policy: Policy) -> Remote:
    """The answer on the EVM chain too, for the example consumer."""
    contracts = world.devnet.evm_contracts
    return Remote(policy, world.user.evm_endpoint, account_of(contracts.hub), account_of(str(contracts.consumer)))


# ---- answers ----


async def test_evm_request__both_and_attested_on_solana__one_signature_for_two_digests_and_two_decisions(
    world: World, answered: Asked
) -> None:
    outcome = await world.truth(answered.question.inputs)
    assert {a.chain: (a.outputs, a.decided) for a in answered.arrivals} == {
        EVM: (outcome.outputs, True),
        SOLANA: (outcome.outputs, True),
    }
    await world.assert_once(answered.request, outcome)
    await world.until_stage(answered.request_id, Stage.CONFIRMED)
    digests = [f"0x{message.digest.hex()}" for message in result_messages(answered.request, outcome)]
    reports = [await world.report(node, answered.request_id) for node in world.nodes]
    attestations = [report["attestation"] for report in reports if report is not None]
    assert [told["digests"] for told in attestations] == [digests] * 4
    (signature,) = {told["signature"] for told in attestations}
    big_r, z = bytes.fromhex(signature[2:])[:33], bytes.fromhex(signature[2:])[33:]
    transactions = {arrival.chain: arrival.transaction for arrival in answered.arrivals}
    on_evm = await world.rpc(world.evm_rpc, "eth_getTransactionByHash", transactions[EVM])
    assert big_r[1:].hex() in on_evm["input"]
    assert z.hex() in on_evm["input"]
    config = {"encoding": "base64", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
    on_solana = await world.rpc(world.devnet.solana.rpc_url, "getTransaction", transactions[SOLANA], config)
    assert big_r + z in base64.b64decode(on_solana["transaction"][0])


async def test_delivered_answers__delivered_again_by_a_stranger__refused_on_both_chains(
    world: World, answered: Asked
) -> None:
    liar = Liar(world.devnet, world.user)
    refusals = await liar.replay(await liar.signed(answered))
    assert len(refusals) == 2
    assert all("AlreadyDelivered" in refusal.why for refusal in refusals)
    await world.assert_once(answered.request, await world.truth(answered.question.inputs))


async def test_past_answer__both_and_attested__anyone_checks_it_from_the_chains_records(
    world: World, answered: Asked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(proof_commands, "load", lambda: world.user.devnet)

    async def check(proof: Path | None) -> tuple[bool, str]:
        shown = StringIO()
        console = Console(file=shown, width=200)
        holds = await proof_commands.run_verify(console, answered.request_id, None, [], (proof, None), ANSWER_SECONDS)
        return holds, shown.getvalue()

    holds, said = await check(None)
    assert holds
    for chain in (world.user.evm_endpoint.chain, world.user.solana_endpoint.chain):
        assert f"as posted on {world.user.evm_endpoint.chain}" in said
        assert str(chain) in said
    bent = tmp_path / "bent.proof"
    proof = answered.zk_proof
    assert proof is not None
    bent.write_bytes(proof[:-1] + bytes([proof[-1] ^ 1]))
    holds, said = await check(bent)
    assert not holds
    assert said.count("does not hold") == 2


async def test_evm_request__proven__answered_without_a_signature_and_the_node_that_did_is_paid(world: World) -> None:
    before = await world.evm_fees()
    asked = await world.user.ask(Question(patient(world, 3), EVM, Policy.PROVEN))
    await world.answered_once(asked)
    await world.until_stage(asked.request_id, Stage.CONFIRMED)
    for node in world.nodes:
        report = await world.report(node, asked.request_id)
        assert report is not None
        assert report["attestation"] is None
        assert [item["signed"] for item in report["deliverables"]] == [False]
    after = await world.evm_fees()
    assert (after[0] - before[0], after[1] - before[1]) == (0, PRICE_WEI)


async def test_evm_request__proven_by_a_stranger_before_the_nodes__the_stranger_is_paid(world: World) -> None:
    inputs, stranger = patient(world, 4), world.stranger()
    made = await world.prover.prove(world.user.model.model_id, inputs)
    fees, credit = await world.evm_fees(), await stranger.credit()
    asked = await world.user.ask(Question(inputs, EVM, Policy.PROVEN))
    (message,) = result_messages(asked.request, await world.truth(inputs))
    receipt = await world.evm_submitter().submit(Submission(message, None, asked.request, made.proof))
    assert receipt is not None
    await world.answered_once(asked)
    await world.until_stage(asked.request_id, Stage.CONFIRMED)
    assert await stranger.credit() - credit == PRICE_WEI
    assert await world.evm_fees() == fees
    balance = await world.evm_balance(stranger.address)
    cost = await world.evm_gas_cost(await stranger.withdraw())
    assert await world.evm_balance(stranger.address) == balance + credit + PRICE_WEI - cost


async def test_recomputed_requests__answered_without_a_proof_and_proven_when_somebody_asks(world: World) -> None:
    load = await request_load(world.user, 12, 6.0)
    assert (load.requests, len(load.beyond_finality)) == (12, 12)
    inputs = patient(world, 6)
    for origin in (EVM, SOLANA):
        asked = await world.user.ask(Question(inputs, origin, Policy.RECOMPUTED, Policy.RECOMPUTED))
        await world.answered_once(asked)
        assert asked.zk_proof is None
    node = world.nodes[1].status_url
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            async with world.user.http.post(f"{node}/messages/0x{asked.request_id.hex()}/proof") as reply:
                assert reply.status in (200, 202)
                if reply.status == 200:
                    break
            await asyncio.sleep(0.2)
    report = await world.report(world.nodes[1], asked.request_id)
    assert report is not None
    proof = await world.user.fetch_proof(node, report["proof"]["id"])
    assert proof is not None
    outputs = (await world.truth(inputs)).outputs
    assert await world.prover.verify(world.user.model.model_id, inputs, outputs, proof)
    await world.assert_once(asked.request, await world.truth(inputs))


async def test_solana_requests__evm_attested_and_both__answered_and_decided_once_on_both_chains(world: World) -> None:
    asked = await asyncio.gather(
        world.user.ask(Question(patient(world, 5), SOLANA, Policy.ATTESTED, Policy.ATTESTED)),
        world.user.ask(Question(patient(world, 6), SOLANA, Policy.ATTESTED, Policy.BOTH)),
    )
    await asyncio.gather(*(world.answered_once(one) for one in asked))
    for one in asked:
        await world.until_stage(one.request_id, Stage.CONFIRMED)


# ---- messages ----


async def test_message__from_evm_to_solana__delivered_exactly_once(world: World) -> None:
    recipient = Account(bytes(Keypair().pubkey()))
    at = InteropAddress(world.user.solana_endpoint.chain, recipient)
    sent = await world.user.evm.send_message(at, b"from the EVM chain")
    await world.until_stage(sent.request_id, Stage.CONFIRMED)
    inbox = world.user.solana.addresses.inbox(sent.request_id).address
    (account,) = (await world.user.solana_client.accounts([inbox], "confirmed")).accounts
    assert account is not None
    delivered = InboxAccount.decode(account, world.devnet.solana_programs.program)
    assert delivered.message == sent.body
    assert (delivered.message.recipient, delivered.message.payload) == (recipient, b"from the EVM chain")
    again = Submission(sent.body, world.signed_by_committee([sent.body]))
    assert await world.solana_submitter().submit(again) is None  # the program said "already delivered"


async def test_message__from_solana_to_evm__delivered_exactly_once(world: World) -> None:
    recipient = "0x" + keccak256(b"counting receiver")[:20].hex()
    await world.rpc(world.evm_rpc, "anvil_setCode", recipient, "0x" + COUNTING_RECEIVER.hex())
    sent = await world.user.solana.send_message(world.user.evm_endpoint, account_of(recipient), b"from Solana")
    await world.until_stage(sent.request_id, Stage.CONFIRMED)
    assert int(await world.rpc(world.evm_rpc, "eth_getStorageAt", recipient, "0x0", "latest"), 16) == 1
    assert await world.evm_logs("Gateway", "MessageDelivered", sent.request_id) == 1
    data = _deliver_call(world, sent.body)
    with pytest.raises(Rejected) as refusal:
        await world.evm_sender(STRANGER).send(data)
    assert refusal.value.reason == "AlreadyDelivered"
    assert int(await world.rpc(world.evm_rpc, "eth_getStorageAt", recipient, "0x0", "latest"), 16) == 1


def _deliver_call(world: World, message: Message) -> Call:
    """The gateway's `deliver` under a fresh true signature."""
    signed = world.signed_by_committee([message])
    envelope = (signed.epoch, *split_signature(signed.signature))
    data = interface("Gateway").encode("deliver", envelope, [(message.to_bytes(), [])])
    return Call(world.devnet.evm_contracts.gateway, data)


# ---- refusals ----


async def test_request__input_over_the_models_bound__refused_on_chain_and_nothing_is_posted(world: World) -> None:
    inputs = (world.user.model.input_bound + 1, *patient(world, 0)[1:])
    evm_balance, next_sequence = (
        await world.evm_balance(world.user.evm.address),
        (await world.user.solana.config()).next_sequence,
    )
    with pytest.raises(Rejected) as on_evm:
        await world.user.ask(Question(inputs, EVM, Policy.BOTH))
    assert on_evm.value.reason == "InputOutOfRange"
    with pytest.raises(Rejected) as on_solana:
        await world.user.ask(Question(inputs, SOLANA, Policy.ATTESTED))
    assert on_solana.value.reason == "InputOutOfBounds"
    assert await world.evm_balance(world.user.evm.address) == evm_balance
    assert (await world.user.solana.config()).next_sequence == next_sequence


async def test_evm_requests__model_that_no_node_holds__signed_refusals_everywhere_and_the_whole_fee_is_back(
    world: World,
) -> None:
    await _register_unheld_model(world)
    user, fees = world.user.evm, await world.evm_fees()
    credit, balance = await user.credit(), await world.evm_balance(user.address)
    deadline = await soon(world)
    both = await user.ask(UNHELD_MODEL, (1, 2, 3), Policy.BOTH, deadline, fee=777_777, remotes=(to_solana(world),))
    proven = await user.ask(UNHELD_MODEL, (1, 2, 3), Policy.PROVEN, deadline, fee=888_888)
    for asked in (both, proven):
        await world.until_stage(asked.request_id, Stage.CONFIRMED)
        await world.assert_once(asked.body, Outcome(Status.UNKNOWN_MODEL))
        assert await user.state(asked.request_id) == "refused"
    assert await user.credit() - credit == 777_777 + 888_888
    assert await world.evm_fees() == fees
    hashes = [both.transaction, proven.transaction, await user.withdraw()]
    costs = sum([await world.evm_gas_cost(transaction) for transaction in hashes])
    assert await world.evm_balance(user.address) == balance + credit - costs


async def _register_unheld_model(world: World) -> None:
    contracts, model = world.devnet.evm_contracts, world.user.model
    shape = (3, 1, 7, 7, 1 << 20, model.proof_length, 1000, bytes(32), True)
    timelock = Timelock(world.evm_sender(DEPLOYER), world.devnet.evm_timelock)
    entry = (UNHELD_MODEL, str(contracts.verifiers[0]), *shape)
    await timelock.carry_out([act("ModelRegistry", contracts.registry, "register", entry)])


async def test_solana_request__input_over_the_nodes_bound__signed_refusals_everywhere_and_the_whole_fee_is_back(
    world: World,
) -> None:
    user, client, treasury = world.user.solana, world.user.solana_client, await world.solana_treasury()
    governance = SolanaGovernance.of(
        client, Account(bytes(world.devnet.solana_programs.program)), world.devnet.solana.payer
    )
    registered = await user.model(world.user.model.model_id)
    assert registered is not None
    balance = await client.balance(user.key)
    # The chain's registry errs, so that the chain lets pass what the nodes must not answer.
    await governance.register_model(replace(registered, input_bound=1 << 40))
    try:
        inputs = (world.user.model.input_bound + 1, *patient(world, 0)[1:])
        asked = InferenceRequest(
            registered.model_id, FEE_LAMPORTS, 0, Policy.ATTESTED, (to_evm(world, Policy.BOTH),), inputs
        )
        posted = await user.ask(asked, await soon(world))
        await world.until_stage(posted.request_id, Stage.CONFIRMED)
    finally:
        await governance.register_model(registered)
    await world.assert_once(posted.body, Outcome(Status.OUT_OF_RANGE))
    outbox = await user.post(posted.sequence)
    assert outbox is not None
    assert (outbox.state, outbox.fee) == (OutboxState.REFUSED, 0)
    await user.close_outbox(posted.sequence)
    assert await client.balance(user.key) == balance - 2 * TRANSACTION_LAMPORTS
    assert await world.solana_treasury() == treasury


# ---- many at once ----


async def test_ten_requests__at_once_from_both_chains__each_answered_once_and_paid_exactly(world: World) -> None:
    evm_fees, lamports = await world.evm_fees(), await world.solana_treasury()
    ways = [
        (EVM, Policy.BOTH, Policy.ATTESTED),
        (EVM, Policy.BOTH, Policy.ATTESTED),
        (EVM, Policy.ATTESTED, Policy.ATTESTED),
        (EVM, Policy.ATTESTED, None),
        (EVM, Policy.PROVEN, None),
        (SOLANA, Policy.ATTESTED, Policy.BOTH),
        (SOLANA, Policy.ATTESTED, Policy.ATTESTED),
        (SOLANA, Policy.ATTESTED, Policy.ATTESTED),
        (SOLANA, Policy.ATTESTED, None),
        (SOLANA, Policy.ATTESTED, None),
    ]
    questions = [Question(patient(world, 10 + number), *way) for number, way in enumerate(ways)]
    asked = await asyncio.gather(*(world.user.ask(question) for question in questions))
    assert len({one.request_id for one in asked}) == 10
    await asyncio.gather(*(world.answered_once(one, 2 * ANSWER_SECONDS) for one in asked))
    for one in asked:
        await world.until_stage(one.request_id, Stage.CONFIRMED)
    treasury, nodes = await world.evm_fees()
    assert (treasury - evm_fees[0], nodes - evm_fees[1]) == (4 * PRICE_WEI, PRICE_WEI)
    assert await world.solana_treasury() - lamports == 5 * FEE_LAMPORTS
    # Nothing is pending, so what the hub holds is what it owes: no fee was paid twice or kept.
    assert await world.evm_balance(world.devnet.evm_contracts.hub) == await world.evm_owed()
    for node in world.nodes:
        assert set((await world.health(node))["messages"]) == {"confirmed"}


# ---- too late ----


async def test_requests__no_node_answers_before_the_deadline__refunded_and_a_late_answer_is_refused(
    world: World,
) -> None:
    await world.stop(*world.nodes)
    evm, solana, client, inputs = world.user.evm, world.user.solana, world.user.solana_client, patient(world, 1)
    fees, lamports = await world.evm_fees(), await world.solana_treasury()
    wei, credit, balance = await world.evm_balance(evm.address), await evm.credit(), await client.balance(solana.key)
    deadline, model = await soon(world, 5), world.user.model.model_id
    attested = await evm.ask(model, inputs, Policy.ATTESTED, deadline, remotes=(to_solana(world),))
    proven = await evm.ask(model, inputs, Policy.PROVEN, deadline)
    asked = InferenceRequest(model, PRICE_LAMPORTS, 0, Policy.ATTESTED, (to_evm(world, Policy.ATTESTED),), inputs)
    on_solana = await solana.ask(asked, deadline)
    with pytest.raises(Rejected) as early:
        await evm.refund(attested.request_id)
    assert early.value.reason == "DeadlineNotPassed"
    with pytest.raises(Rejected) as early:
        await solana.refund(on_solana.sequence)
    assert early.value.reason == "TooEarly"

    hashes = [attested.transaction, proven.transaction]
    for one in (attested, proven):
        hashes.append(await _once_it_is_time("DeadlineNotPassed", partial(evm.refund, one.request_id)))
    await _once_it_is_time("TooEarly", partial(solana.refund, on_solana.sequence))
    assert await evm.credit() - credit == 2 * PRICE_WEI
    hashes.append(await evm.withdraw())
    costs = sum([await world.evm_gas_cost(transaction) for transaction in hashes])
    assert await world.evm_balance(evm.address) == wei + credit - costs
    assert await client.balance(solana.key) == balance - 2 * TRANSACTION_LAMPORTS
    with pytest.raises(Rejected) as twice:
        await evm.refund(attested.request_id)
    assert twice.value.reason == "NotPending"

    for request in (attested.body, proven.body, on_solana.body):
        await _late_answers_are_refused(world, request)
    await world.everybody_up()
    await world.until_stage(attested.request_id, Stage.OBSERVED)
    await asyncio.sleep(2)  # time enough for a node that would answer all the same
    for node in world.nodes:
        chains = (await world.health(node))["chains"]
        assert chains[str(solana.endpoint.chain)]["cursor"] == on_solana.sequence + 1
    assert [await evm.state(one.request_id) for one in (attested, proven)] == ["refunded", "refunded"]
    assert await world.results_on_solana(on_solana.request_id) == 0
    assert await world.results_on_solana(attested.request_id) == 0
    assert (await world.evm_fees(), await world.solana_treasury()) == (fees, lamports)


async def _once_it_is_time(too_early: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until the chain's clock passed the deadline."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await attempt()
            except Rejected as error:
                if error.reason != too_early:
                    raise
            await asyncio.sleep(0.3)


async def _late_answers_are_refused(world: World, request: Message) -> None:
    """The model's own answer with a true signature and a true proof, after the deadline."""
    asked = InferenceRequest.from_bytes(request.payload)
    made = await world.prover.prove(asked.model_id, asked.inputs)
    messages = result_messages(request, await world.truth(asked.inputs))
    attestation = world.signed_by_committee(messages)
    for message in messages:
        on_evm = message.destination == world.user.evm_endpoint
        submitter = world.evm_submitter() if on_evm else world.solana_submitter()
        with pytest.raises(Rejected) as late:
            await submitter.submit(Submission(message, attestation, request, made.proof))
        assert late.value.reason in ("Expired", "NotPending", "WrongOwner", "DeadlinePassed"), late.value
