"""From a request to an outcome: each refusal, and that a failure of this machine is none."""

import pytest

from circuits.memory import InMemoryProver
from oracle.errors import DecodeError, InferenceError, ProofError
from oracle.inference import infer
from oracle.ports import Inference, ModelInfo
from oracle.protocol.message import Message, Outcome, Remote
from oracle.protocol.types import Chain, Endpoint, Kind, Policy, Sequence, Status, UnixSeconds, evm_account
from tests.support.network import MODEL_INFO
from tests.support.samples import CONSUMER, EVM, HUB, SOLANA, SOLANA_CONSUMER, TO_SOLANA, evm_request

BOUND = MODEL_INFO.input_bound
OTHER_EVM = Endpoint(Chain.evm(5), evm_account(b"\5" * 20))


class FailingProver(InMemoryProver):
    """Holds the model; its worker says `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__([MODEL_INFO])
        self.error = error

    async def infer(self, model_id: object, inputs: object) -> Inference:
        raise self.error


class UntouchedProver(FailingProver):
    """Whoever asks it to run fails the test."""

    def __init__(self) -> None:
        super().__init__(AssertionError("a refused request reached the model"))


def on_solana(request: Message, policy: Policy, remotes: tuple[Remote, ...] = ()) -> Message:
    """The same question, asked on Solana."""
    asked = evm_request(policy=policy, remotes=remotes)
    account = SOLANA.gateway
    return Message(
        Kind.INFERENCE_REQUEST, SOLANA, SOLANA, Sequence(1), SOLANA_CONSUMER, account, request.expiry, asked.payload
    )


async def test_infer__good_request__is_answered_at_the_models_scale() -> None:
    outcome = await infer(InMemoryProver([MODEL_INFO]), evm_request(inputs=(1, -2, 3)))
    assert outcome == Outcome(Status.ANSWERED, (2,), MODEL_INFO.output_scale)


async def test_infer__unknown_model__is_refused() -> None:
    assert await infer(InMemoryProver([]), evm_request()) == Outcome(Status.UNKNOWN_MODEL)


@pytest.mark.parametrize("inputs", [(1,), (1, 2), (1, 2, 3, 4)])
async def test_infer__other_number_of_inputs__is_refused(inputs: tuple[int, ...]) -> None:
    assert await infer(UntouchedProver(), evm_request(inputs=inputs)) == Outcome(Status.WRONG_SHAPE)


@pytest.mark.parametrize("value", [BOUND + 1, -BOUND - 1, (1 << 63) - 1, -(1 << 63)])
async def test_infer__input_beyond_the_bound__is_refused(value: int) -> None:
    assert await infer(UntouchedProver(), evm_request(inputs=(0, value, 0))) == Outcome(Status.OUT_OF_RANGE)


async def test_infer__input_at_the_bound__is_answered() -> None:
    outcome = await infer(InMemoryProver([MODEL_INFO]), evm_request(inputs=(BOUND, -BOUND, 0)))
    assert outcome.status is Status.ANSWERED


async def test_infer__both_on_solana__is_refused() -> None:
    request = on_solana(evm_request(), Policy.BOTH)
    assert await infer(UntouchedProver(), request) == Outcome(Status.UNSUPPORTED_POLICY)


async def test_infer__both_at_a_solana_remote__is_refused_everywhere() -> None:
    remote = Remote(Policy.BOTH, SOLANA, SOLANA.gateway, SOLANA_CONSUMER)
    request = evm_request(policy=Policy.ATTESTED, remotes=(remote,))
    assert await infer(UntouchedProver(), request) == Outcome(Status.UNSUPPORTED_POLICY)


@pytest.mark.parametrize("policy", [Policy.ATTESTED, Policy.PROVEN, Policy.RECOMPUTED])
async def test_infer__policies_of_solana__are_served(policy: Policy) -> None:
    outcome = await infer(InMemoryProver([MODEL_INFO]), on_solana(evm_request(), policy))
    assert outcome.status is Status.ANSWERED


async def test_infer__recomputed_at_a_remote__is_served() -> None:
    request = evm_request(remotes=(Remote(Policy.RECOMPUTED, OTHER_EVM, HUB, CONSUMER),))
    assert (await infer(InMemoryProver([MODEL_INFO]), request)).status is Status.ANSWERED


@pytest.mark.parametrize("policy", [Policy.ATTESTED, Policy.PROVEN, Policy.BOTH, Policy.RECOMPUTED])
async def test_infer__policies_of_evm__are_served(policy: Policy) -> None:
    outcome = await infer(InMemoryProver([MODEL_INFO]), evm_request(policy=policy, remotes=()))
    assert outcome.status is Status.ANSWERED


async def test_infer__attested_between_both_chains__is_served() -> None:
    to_evm = Remote(Policy.BOTH, EVM, HUB, CONSUMER)
    for request in (evm_request(remotes=(TO_SOLANA,)), on_solana(evm_request(), Policy.ATTESTED, (to_evm,))):
        assert (await infer(InMemoryProver([MODEL_INFO]), request)).status is Status.ANSWERED


@pytest.mark.parametrize("status", [Status.INFERENCE_FAILED, Status.OUT_OF_RANGE, Status.WRONG_SHAPE])
async def test_infer__model_says_no__its_status_is_the_refusal(status: Status) -> None:
    prover = FailingProver(InferenceError("no output", status=status))
    assert await infer(prover, evm_request()) == Outcome(status)


async def test_infer__worker_died__is_tried_again_and_not_refused() -> None:
    with pytest.raises(ProofError, match="killed"):
        await infer(FailingProver(ProofError("The worker was killed.")), evm_request())


async def test_infer__malformed_request__is_a_decode_error() -> None:
    request = Message(
        Kind.INFERENCE_REQUEST, EVM, EVM, Sequence(1), CONSUMER, HUB, UnixSeconds(1), evm_request().payload[:-1]
    )
    with pytest.raises(DecodeError, match="request's payload"):
        await infer(InMemoryProver([MODEL_INFO]), request)


async def test_infer__outcome__does_not_depend_on_who_asks_or_when() -> None:
    """Two honest nodes that saw the same inputs build the same answer."""
    info = ModelInfo(MODEL_INFO.model_id, "other name", 3, 1, 13, MODEL_INFO.output_scale, BOUND)
    first = await infer(InMemoryProver([MODEL_INFO]), evm_request(sequence=1))
    second = await infer(InMemoryProver([info]), evm_request(sequence=2, expiry=5))
    assert first == second
