"""The wire format for all values and all bytes: round trips, one encoding for each value, DecodeError and nothing else."""

from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.protocol.errors import DecodeError
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import (
    InferenceRequest,
    InferenceResult,
    Message,
    Outcome,
    encode_endpoint,
    origin_hash,
    result_messages,
)
from oracle.protocol.types import Kind
from tests.support.samples import evm_request
from tests.support.strategies import PATIENT, accounts, chains, endpoints, messages, outcomes, posted_requests
from tests.support.strategies import requests as request_payloads
from tests.support.strategies import results as result_payloads


class Encoded(Protocol):
    def to_bytes(self) -> bytes: ...


Decoder = Callable[[bytes], Encoded]
interop_addresses = chains.flatmap(lambda chain: accounts(chain).map(lambda account: InteropAddress(chain, account)))
VALUES: dict[str, tuple[Decoder, st.SearchStrategy[Encoded]]] = {
    "message": (Message.from_bytes, messages()),
    "request": (InferenceRequest.from_bytes, request_payloads()),
    "result": (InferenceResult.from_bytes, result_payloads()),
    "interop": (InteropAddress.from_bytes, interop_addresses),
}
each_kind = pytest.mark.parametrize("kind", VALUES)


@each_kind
@PATIENT
@given(st.data())
def test_wire__any_value__goes_round(kind: str, data: st.DataObject) -> None:
    decode, values = VALUES[kind]
    value = data.draw(values)
    assert decode(value.to_bytes()) == value


def only_canonical(decode: Decoder, raw: bytes) -> bool:
    """Whether `raw` was taken; then it is the one encoding of its value. Anything but DecodeError escapes."""
    said = ""
    try:
        assert decode(raw).to_bytes() == raw
    except DecodeError as error:
        said = str(error)
    assert not said or said.endswith("."), "errors are sentences"
    return not said


@each_kind
@PATIENT
@given(st.data())
def test_wire__any_bytes__canonical_or_a_decode_error(kind: str, data: st.DataObject) -> None:
    only_canonical(VALUES[kind][0], data.draw(st.binary(max_size=400)))


@each_kind
@PATIENT
@given(st.data())
def test_wire__value_with_one_changed_byte__another_value_or_a_decode_error(kind: str, data: st.DataObject) -> None:
    decode, values = VALUES[kind]
    value = data.draw(values)
    raw = value.to_bytes()
    place = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:place] + bytes([raw[place] ^ data.draw(st.integers(1, 255))]) + raw[place + 1 :]
    if only_canonical(decode, changed):
        assert decode(changed) != value


@each_kind
@PATIENT
@given(st.data())
def test_wire__value_cut_or_extended__is_a_decode_error(kind: str, data: st.DataObject) -> None:
    decode, values = VALUES[kind]
    raw = data.draw(values).to_bytes()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    for wrong in (cut, raw + data.draw(st.binary(min_size=1, max_size=40))):
        with pytest.raises(DecodeError):
            decode(wrong)


@PATIENT
@given(messages(), messages())
def test_digest__two_messages__differ_unless_they_are_one(one: Message, other: Message) -> None:
    assert (one.digest == other.digest) == (one == other)


@PATIENT
@given(messages())
def test_origin_hash__is_of_the_bytes_that_the_specification_names(message: Message) -> None:
    assert message.to_bytes()[2:68] == encode_endpoint(message.origin)
    assert message.to_bytes()[68:134] == encode_endpoint(message.destination)


@PATIENT
@given(endpoints, endpoints)
def test_origin_hash__two_origins__differ_unless_they_are_one(one: object, other: object) -> None:
    assert (origin_hash(one) == origin_hash(other)) == (one == other)  # type: ignore[arg-type]  # endpoints


@PATIENT
@given(posted_requests(), outcomes())
def test_results__any_request_and_outcome__one_for_each_destination_and_each_decodes(
    request: Message, outcome: Outcome
) -> None:
    asked = InferenceRequest.from_bytes(request.payload)
    made = result_messages(request, outcome)
    assert [message.destination for message in made] == [request.origin, *(r.destination for r in asked.remotes)]
    assert len({message.digest for message in made}) == len(made)
    for message in made:
        assert Message.from_bytes(message.to_bytes()) == message
        result = InferenceResult.from_bytes(message.payload)
        assert Outcome(result.status, result.outputs, result.output_scale) == outcome
        assert result.request_id == request.digest
        assert (message.kind, message.sequence, message.expiry) == (
            Kind.INFERENCE_RESULT,
            request.sequence,
            request.expiry,
        )


@PATIENT
@given(outcomes(), outcomes())
def test_results__two_outcomes__share_no_digest(one: Outcome, other: Outcome) -> None:
    """Whoever signs the digests of one outcome has signed nothing of another."""
    request = evm_request()
    digests = [{message.digest for message in result_messages(request, outcome)} for outcome in (one, other)]
    assert digests[0].isdisjoint(digests[1]) == (one != other)


@PATIENT
@given(posted_requests())
def test_input_commitment__depends_on_the_inputs_alone(request: Message) -> None:
    asked = InferenceRequest.from_bytes(request.payload)
    other = InferenceRequest(asked.model_id, asked.fee + 1 & (1 << 128) - 1, 0, asked.policy, (), asked.inputs)
    assert asked.input_commitment == other.input_commitment
    changed = (*asked.inputs[:-1], asked.inputs[-1] ^ 1)
    assert InferenceRequest(asked.model_id, 0, 0, asked.policy, (), changed).input_commitment != asked.input_commitment
