"""One suite for every prover: the local workers with a real circuit, and the in-memory fake."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from circuits.catalogue import ensure_model
from circuits.memory import InMemoryProver
from circuits.prover import LocalProver
from oracle.errors import InferenceError
from oracle.ports import ModelInfo, Prover
from oracle.protocol.types import ModelId, Status

INPUTS = (4096, -2048)
STRANGER = ModelId(bytes(31) + b"\x01")


@dataclass(frozen=True)
class Subject:
    prover: Prover
    info: ModelInfo


@pytest_asyncio.fixture(params=["local", "memory"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    model = ensure_model("tiny")
    if request.param == "memory":
        yield Subject(InMemoryProver([model.info]), model.info)
        return
    async with LocalProver([model], devnet=True) as prover:
        yield Subject(prover, model.info)


async def test_model__known_and_unknown__told_apart(subject: Subject) -> None:
    assert subject.prover.model(subject.info.model_id) == subject.info
    assert subject.prover.model(STRANGER) is None


async def test_infer__twice__same_outputs_close_to_the_float_model(subject: Subject) -> None:
    first = await subject.prover.infer(subject.info.model_id, INPUTS)
    assert first == await subject.prover.infer(subject.info.model_id, INPUTS)
    assert len(first.outputs) == len(first.float_outputs) == subject.info.output_count
    scale = 2**subject.info.output_scale
    assert all(abs(q / scale - f) < 0.01 for q, f in zip(first.outputs, first.float_outputs, strict=True))


async def test_prove__then_verify__accepted_with_the_inferred_outputs(subject: Subject) -> None:
    made = await subject.prover.prove(subject.info.model_id, INPUTS)
    assert made.outputs == (await subject.prover.infer(subject.info.model_id, INPUTS)).outputs
    assert made.seconds >= 0
    assert await subject.prover.verify(subject.info.model_id, INPUTS, made.outputs, made.proof)
    assert made.proof.hex() not in repr(made)


async def test_verify__anything_altered__refused(subject: Subject) -> None:
    prover, model_id = subject.prover, subject.info.model_id
    made = await prover.prove(model_id, INPUTS)
    outputs, proof = made.outputs, made.proof
    flipped = bytes([*proof[:40], proof[40] ^ 1, *proof[41:]])
    flipped_scalar = bytes([*proof[:1000], proof[1000] ^ 1, *proof[1001:]])
    for bad in (
        b"",
        proof[:-1],
        proof[:-32],
        proof + bytes(1),
        proof + bytes(32),
        flipped,
        flipped_scalar,
        bytes(len(proof)),
    ):
        assert not await prover.verify(model_id, INPUTS, outputs, bad)
    assert not await prover.verify(model_id, (INPUTS[0] + 1, INPUTS[1]), outputs, proof)
    assert not await prover.verify(model_id, (INPUTS[1], INPUTS[0]), outputs, proof)
    assert not await prover.verify(model_id, INPUTS, (outputs[0] + 1,), proof)
    assert not await prover.verify(model_id, INPUTS, (-outputs[0],), proof)
    assert await prover.verify(model_id, INPUTS, outputs, proof)


async def test_verify__wrong_shapes_or_ranges__refused_without_an_error(subject: Subject) -> None:
    prover, info = subject.prover, subject.info
    made = await prover.prove(info.model_id, INPUTS)
    for inputs, outputs in (
        ((), made.outputs),
        (INPUTS[:1], made.outputs),
        ((*INPUTS, 0), made.outputs),
        (INPUTS, ()),
        (INPUTS, (*made.outputs, 0)),
        (INPUTS, (1 << 63,)),
        ((info.input_bound + 1, 0), made.outputs),
        ((INPUTS[0], INPUTS[1], *made.outputs), ()),
    ):
        assert not await prover.verify(info.model_id, inputs, outputs, made.proof)


@pytest.mark.parametrize(
    ("inputs", "status"),
    [
        ((), Status.WRONG_SHAPE),
        ((1,), Status.WRONG_SHAPE),
        ((1, 2, 3), Status.WRONG_SHAPE),
        ((1 << 62, 0), Status.OUT_OF_RANGE),
        ((0, -(1 << 70)), Status.OUT_OF_RANGE),
    ],
)
async def test_request__bad_inputs__refused_with_the_protocols_status(
    subject: Subject, inputs: tuple[int, ...], status: Status
) -> None:
    for ask in (subject.prover.infer, subject.prover.prove):
        with pytest.raises(InferenceError) as caught:
            await ask(subject.info.model_id, inputs)
        assert caught.value.status is status
        assert str(caught.value).endswith(".")


async def test_request__at_the_bound_and_one_beyond__accepted_and_refused(subject: Subject) -> None:
    bound = subject.info.input_bound
    for corner in ((bound, bound), (bound, -bound), (-bound, bound), (-bound, -bound)):
        await subject.prover.infer(subject.info.model_id, corner)
    with pytest.raises(InferenceError) as caught:
        await subject.prover.infer(subject.info.model_id, (0, bound + 1))
    assert caught.value.status is Status.OUT_OF_RANGE


async def test_request__unknown_model__refused_with_the_protocols_status(subject: Subject) -> None:
    prover = subject.prover
    for asked in (
        prover.infer(STRANGER, INPUTS),
        prover.prove(STRANGER, INPUTS),
        prover.verify(STRANGER, INPUTS, (0,), b""),
    ):
        with pytest.raises(InferenceError) as caught:
            await asked
        assert caught.value.status is Status.UNKNOWN_MODEL
