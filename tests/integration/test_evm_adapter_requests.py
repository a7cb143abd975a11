"""Requests, answers and refusals through the real contracts on anvil, asked and delivered by the EVM adapter."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from bridges.evm.abi import account_of
from bridges.evm.deploy import GroupKey, deploy
from bridges.evm.reader import EvmReader
from bridges.evm.requester import AskReceipt, EvmRequester
from bridges.evm.sender import Call, Sender
from bridges.evm.submitter import EvmSubmitter
from oracle.errors import Rejected, Transient
from oracle.ports import Cursor, DeliveryState, Submission
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import InferenceRequest, Message, Outcome, Remote, result_messages
from oracle.protocol.types import Chain, Endpoint, Kind, ModelId, Policy, Status, UnixSeconds, evm_account
from tests.support import samples
from tests.support.evm_chain import (
    OPERATORS,
    PRICE,
    PROOF,
    QUICK,
    RECEIVER,
    Anvil,
    Deployed,
    anvil,
    deployed,
    plan,
    reverting,
    selector,
)
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]
INPUTS = (1, -2, 3)
OUTCOME = Outcome(Status.ANSWERED, (-(1 << 14),), 14)
REFUSAL = Outcome(Status.INFERENCE_FAILED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    async with anvil(tmp_path_factory.mktemp("anvil")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def contracts(chain: Anvil) -> AsyncIterator[Deployed]:
    async with deployed(chain) as made:
        yield made


async def asked(contracts: Deployed, policy: Policy, **options: object) -> AskReceipt:
    """A request for the samples' model, an hour long."""
    requester = contracts.requester()
    deadline = UnixSeconds(await requester.chain_time() + 3600)
    return await requester.ask(ModelId(samples.MODEL), INPUTS, policy, deadline, **options)  # type: ignore[arg-type]


def submitter(contracts: Deployed, index: int = 1) -> EvmSubmitter:
    return EvmSubmitter(contracts.sender(index), contracts.gateway, contracts.hub)


def submission(
    contracts: Deployed, request: Message, outcome: Outcome = OUTCOME, *, proof: bytes = PROOF
) -> Submission:
    """The home result with whatever it may need."""
    result = result_messages(request, outcome)[0]
    return Submission(result, contracts.key.attest(result), request, proof)


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("through_consumer", [False, True])
async def test_request__answered__reaches_hub_and_consumer(
    contracts: Deployed, policy: Policy, through_consumer: bool
) -> None:
    receipt = await asked(contracts, policy, through_consumer=through_consumer)
    requester, deliver = contracts.requester(), submitter(contracts)
    await contracts.anvil.mine()
    (read,) = (await EvmReader(contracts.client, contracts.gateway).read(Cursor(0))).messages
    assert read == receipt.body
    assert read.digest == receipt.request_id
    assert await requester.answer(receipt.request_id) is None
    sent = submission(contracts, read)
    if policy is Policy.PROVEN:
        sent = replace(sent, attestation=None)
    assert await deliver.state(sent.message) is DeliveryState.ABSENT
    delivered = await deliver.submit(sent)
    assert delivered is not None
    assert delivered.size > len(read.to_bytes())
    assert await deliver.state(sent.message) is DeliveryState.INCLUDED
    assert await deliver.submit(sent) is None
    await contracts.anvil.mine()
    assert await deliver.state(sent.message) is DeliveryState.FINAL
    answer = await requester.answer(receipt.request_id)
    assert answer is not None
    assert (answer.status, answer.policy, answer.outputs, answer.values) == (
        Status.ANSWERED,
        policy,
        (-(1 << 14),),
        (-1.0,),
    )
    if through_consumer:
        diagnosis = await requester.diagnosis(receipt.request_id)
        assert diagnosis is not None
        assert (diagnosis.malignant, diagnosis.logit) == (False, -1.0)
    assert await requester.state(receipt.request_id) == "answered"


@pytest.mark.parametrize("policy", list(Policy))
async def test_request__refused__gives_the_fee_back(contracts: Deployed, policy: Policy) -> None:
    receipt = await asked(contracts, policy)
    sent = submission(contracts, receipt.body, REFUSAL)
    assert await submitter(contracts).submit(replace(sent, zk_proof=None)) is not None
    requester = contracts.requester()
    answer = await requester.answer(receipt.request_id)
    assert answer is not None
    assert (answer.status, answer.outputs) == (Status.INFERENCE_FAILED, ())
    assert await submitter(contracts).state(sent.message) is not DeliveryState.ABSENT
    assert await requester.credit() == PRICE
    await requester.withdraw()
    assert await requester.credit() == 0


async def test_request__proven__pays_the_account_that_answered(contracts: Deployed) -> None:
    receipt = await asked(contracts, Policy.PROVEN)
    before = await contracts.requester().credit(contracts.sender(3).address)
    await submitter(contracts, 3).submit(replace(submission(contracts, receipt.body), attestation=None))
    assert await contracts.requester().credit(contracts.sender(3).address) == before + PRICE


async def test_request__consumer_callback_gas__is_delivered_whole(contracts: Deployed) -> None:
    """63/64 rule: the callback gets its two million gas however little it uses in the estimate."""
    receipt = await asked(contracts, Policy.ATTESTED, through_consumer=True, callback_gas_limit=2_000_000)
    assert await submitter(contracts).submit(submission(contracts, receipt.body)) is not None
    assert await contracts.requester().diagnosis(receipt.request_id) is not None


async def test_request__two_members_answer_at_once__one_delivers_and_nobody_fails(contracts: Deployed) -> None:
    receipt = await asked(contracts, Policy.BOTH)
    sent = submission(contracts, receipt.body)
    await contracts.anvil.automine(False)
    try:
        running = [asyncio.create_task(submitter(contracts, index).submit(sent)) for index in (1, 3)]
        await asyncio.sleep(0.5)
        await contracts.anvil.mine(1)
        async with asyncio.timeout(20):
            outcomes = [await task for task in running]
    finally:
        await contracts.anvil.automine(True)
    assert sorted(outcome is None for outcome in outcomes) == [False, True]


# ---- lies are refused, each by name ----


@pytest.mark.parametrize(
    ("policy", "change", "reason"),
    [
        (Policy.BOTH, lambda s: replace(s, zk_proof=None), "ProofRequired"),
        (Policy.BOTH, lambda s: replace(s, request=None), "ProofRequired"),
        (Policy.BOTH, lambda s: replace(s, attestation=None), "InvalidSignature"),
        (Policy.BOTH, lambda s: replace(s, zk_proof=PROOF + b"\0"), "WrongProofLength"),
        (Policy.PROVEN, lambda s: replace(s, zk_proof=PROOF[:-1]), "WrongProofLength"),
        (Policy.PROVEN, lambda s: replace(s, zk_proof=b""), "WrongProofLength"),
        (Policy.BOTH, lambda s: replace(s, request=samples.evm_request()), "ResultMismatch"),
        (Policy.PROVEN, lambda s: replace(s, request=samples.evm_request()), "ResultMismatch"),
    ],
)
async def test_submit__doctored_answer__is_rejected_by_name(contracts: Deployed, policy, change, reason) -> None:  # type: ignore[no-untyped-def]
    receipt = await asked(contracts, policy)
    with pytest.raises(Rejected) as caught:
        await submitter(contracts).submit(change(submission(contracts, receipt.body)))
    assert caught.value.reason == reason
    assert await contracts.requester().state(receipt.request_id) == "pending"


async def test_submit__bad_proof__is_rejected(contracts: Deployed) -> None:
    verifier = contracts.deployment.verifiers[0]
    assert verifier is not None
    await contracts.anvil.set_code(verifier, bytes.fromhex("5f5ffd"))
    for policy in (Policy.PROVEN, Policy.BOTH):
        receipt = await asked(contracts, policy)
        with pytest.raises(Rejected, match="does not show these outputs") as caught:
            await submitter(contracts).submit(submission(contracts, receipt.body))
        assert caught.value.reason == "InvalidProof"


async def test_submit__signed_answer_under_proven__is_rejected(contracts: Deployed) -> None:
    receipt = await asked(contracts, Policy.PROVEN)
    result = result_messages(receipt.body, OUTCOME)[0]
    attestation = contracts.key.attest(result)
    from bridges.evm.abi import interface
    from bridges.evm.points import split_signature

    data = interface("Gateway").encode(
        "deliver", (1, *split_signature(attestation.signature)), [(result.to_bytes(), [])]
    )
    with pytest.raises(Rejected, match="by its proof alone") as caught:
        await contracts.sender().send(Call(contracts.deployment.gateway, data))
    assert caught.value.reason == "RecipientReverted"


async def test_submit__other_outputs_than_signed__is_rejected(contracts: Deployed) -> None:
    receipt = await asked(contracts, Policy.ATTESTED)
    honest = submission(contracts, receipt.body)
    lie = result_messages(receipt.body, Outcome(Status.ANSWERED, (1 << 14,), 14))[0]
    assert honest.attestation is not None
    attestation = replace(honest.attestation, digests=(lie.digest,))
    with pytest.raises(Rejected) as caught:
        await submitter(contracts).submit(replace(honest, message=lie, attestation=attestation))
    assert caught.value.reason == "InvalidSignature"


async def test_submit__recipient_that_pretends_a_replay__is_not_taken_for_delivered(contracts: Deployed) -> None:
    """A recipient may revert with the gateway's own error; only the gateway's state counts."""
    await contracts.anvil.set_code("0x" + "ab" * 20, reverting(selector("AlreadyDelivered(bytes32)")))
    message = Message(
        Kind.MESSAGE, samples.SOLANA, submitter(contracts).destination, samples.plain_message().sequence,
        samples.SOLANA_CONSUMER, evm_account(b"\xab" * 20), UnixSeconds(0), b"x",
    )  # fmt: skip
    sent = Submission(message, contracts.key.attest(message))
    with pytest.raises(Rejected) as caught:
        await submitter(contracts).submit(sent)
    assert caught.value.reason == "RecipientReverted"
    await contracts.anvil.set_code("0x" + "ab" * 20, RECEIVER)
    assert await submitter(contracts).submit(sent) is not None


async def test_submit__message_to_the_hub__never_reaches_it(contracts: Deployed) -> None:
    message = Message(
        Kind.MESSAGE, samples.SOLANA, submitter(contracts).destination, samples.plain_message().sequence,
        samples.SOLANA_CONSUMER, contracts.hub, UnixSeconds(0), b"x",
    )  # fmt: skip
    with pytest.raises(Rejected) as caught:
        await submitter(contracts).submit(Submission(message, contracts.key.attest(message)))
    assert caught.value.reason == "WrongRecipient"


async def test_submit__paused_gateway__is_transient_and_goes_on_after(contracts: Deployed) -> None:
    from bridges.evm.abi import interface

    receipt = await asked(contracts, Policy.ATTESTED)
    owner = contracts.sender(0)
    await owner.send(Call(contracts.deployment.gateway, interface("Gateway").encode("pause")))
    with pytest.raises(Transient, match="paused"):
        await submitter(contracts).submit(submission(contracts, receipt.body))
    await owner.send(Call(contracts.deployment.gateway, interface("Gateway").encode("unpause")))
    assert await submitter(contracts).submit(submission(contracts, receipt.body)) is not None


# ---- what the user gets wrong ----

TO_SOLANA = Remote(Policy.ATTESTED, samples.SOLANA, samples.SOLANA.gateway, samples.SOLANA_CONSUMER)
TO_ITSELF = Remote(Policy.ATTESTED, Endpoint(Chain.evm(31337), samples.HUB), samples.HUB, samples.CONSUMER)


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        ({"model_id": b"\1" * 32}, "ModelUnknown", "does not know model"),
        ({"inputs": (1, 2)}, "WrongInputCount", "takes 3 inputs, this request has 2"),
        ({"inputs": (1, 2, -1_000_001)}, "InputOutOfRange", "Input number 2 is -1000001"),
        ({"fee": PRICE - 1}, "FeeTooLow", "below the model's price"),
        ({"deadline": 1}, "DeadlinePassed", "not in the future"),
        ({"policy": Policy.PROVEN, "remotes": (TO_SOLANA,)}, None, "."),
        ({"remotes": (TO_SOLANA, TO_SOLANA)}, "DuplicateChain", "same chain"),
        ({"remotes": (TO_ITSELF,)}, "DuplicateChain", "same chain"),
        ({"callback_gas_limit": 2_000_001}, "CallbackGasTooHigh", "at most 2000000"),
    ],
)
async def test_ask__bad_request__is_refused_in_words_without_a_transaction(
    contracts: Deployed, options: dict[str, object], reason: str | None, words: str
) -> None:
    requester = contracts.requester()
    nonce = await contracts.client.account_nonce(requester.address, "latest")
    request: dict[str, object] = {
        "model_id": samples.MODEL, "inputs": INPUTS, "policy": Policy.ATTESTED, "deadline": 2_000_000_000_0, "fee": PRICE,
    }  # fmt: skip
    with pytest.raises(Rejected, match=words) as caught:
        await requester.ask(**{**request, **options})  # type: ignore[arg-type]
    assert reason is None or caught.value.reason == reason
    assert await contracts.client.account_nonce(requester.address, "latest") == nonce


async def test_ask__with_a_remote__names_it_in_the_request(contracts: Deployed) -> None:
    receipt = await asked(contracts, Policy.ATTESTED, remotes=(TO_SOLANA,))
    assert InferenceRequest.from_bytes(receipt.body.payload).remotes == (TO_SOLANA,)
    assert [m.destination for m in result_messages(receipt.body, OUTCOME)] == [receipt.body.origin, samples.SOLANA]


async def test_refund__before_and_after_the_deadline(contracts: Deployed) -> None:
    receipt = await asked(contracts, Policy.ATTESTED)
    requester = contracts.requester()
    with pytest.raises(Rejected, match="may still be answered"):
        await requester.refund(receipt.request_id)
    await contracts.anvil.rpc("evm_increaseTime", 4000)
    await contracts.anvil.mine(1)
    await requester.refund(receipt.request_id)
    assert await requester.state(receipt.request_id) == "refunded"
    with pytest.raises(Rejected):
        await submitter(contracts).submit(submission(contracts, receipt.body))
    with pytest.raises(Rejected, match="not pending"):
        await requester.refund(receipt.request_id)


async def test_ask__through_a_consumer_of_another__is_refused(contracts: Deployed) -> None:
    stranger = EvmRequester(
        contracts.sender(3), contracts.gateway, contracts.hub, account_of(contracts.deployment.consumer or "")
    )
    with pytest.raises(Rejected, match="not the owner"):
        await stranger.ask(
            ModelId(samples.MODEL), INPUTS, Policy.ATTESTED, UnixSeconds(20_000_000_000), through_consumer=True
        )


async def test_send_message__chain_without_a_peer__is_refused_in_words(contracts: Deployed) -> None:
    to = InteropAddress(Chain.evm(99), evm_account(b"\1" * 20))
    with pytest.raises(Rejected, match="no gateway on the recipient's chain"):
        await contracts.requester().send_message(to, b"hello")


async def test_answer_for_a_foreign_request__reaches_a_trusting_consumer_only(contracts: Deployed) -> None:
    consumer = account_of(contracts.deployment.consumer or "")
    home = Endpoint(contracts.client.chain, contracts.gateway)
    remote = Remote(Policy.ATTESTED, home, contracts.hub, consumer)
    for sequence, trusting in ((1, False), (2, True)):
        inner = InferenceRequest(ModelId(samples.MODEL), 5, 200_000, Policy.ATTESTED, (remote,), INPUTS)
        request = Message(
            Kind.INFERENCE_REQUEST, samples.SOLANA, samples.SOLANA, samples.evm_request(sequence=sequence).sequence,
            samples.SOLANA_CONSUMER, samples.SOLANA.gateway, UnixSeconds(20_000_000_000), inner.to_bytes(),
        )  # fmt: skip
        if trusting:
            await contracts.requester().trust_source(samples.SOLANA, samples.SOLANA_CONSUMER)
        result = result_messages(request, OUTCOME)[1]
        assert await submitter(contracts).submit(Submission(result, contracts.key.attest(result), request)) is not None
        answer = await contracts.requester().answer(request.digest)
        assert answer is not None
        assert (await contracts.requester().diagnosis(request.digest) is not None) == trusting


async def test_deploy__wrong_proof_of_possession__is_refused_in_words(chain: Anvil) -> None:
    key = SchnorrKey.seeded("group")
    rogue = GroupKey(key.px, key.parity, SchnorrKey.seeded("rogue").proof_of_possession(), 3, OPERATORS)
    async with chain.client() as client:
        with pytest.raises(Rejected, match="did not sign its own registration"):
            await deploy(Sender(client, chain.account(0), QUICK), replace(plan(chain, key), group_key=rogue))


async def test_deploy__reports_each_step_once_and_sums_the_gas(chain: Anvil) -> None:
    steps: list[str] = []
    async with chain.client() as client:
        made = await deploy(
            Sender(client, chain.account(0), QUICK), plan(chain, SchnorrKey.seeded("group")), steps.append
        )
        assert len(steps) == len(set(steps)) + 1 == made.transactions  # setHandler is called for two kinds
        assert made.gas > 5_000_000
        assert await client.block(made.block) is not None
