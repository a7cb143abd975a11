"""Values that the protocol refuses, each by a sentence; and known numbers of quorum, encoding and names."""

import pytest

from oracle.protocol import constants as c
from oracle.protocol.encoding import FIELD_MODULUS, INT64_MAX, dequantise, from_field, quantise, to_field
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.finality import Depth, FinalizedTag
from oracle.protocol.hashing import batch_signing_hash, branch_signing_hash, key_possession_hash, merkle_branch
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import InferenceRequest, InferenceResult, Message, Outcome, Remote, result_messages
from oracle.protocol.quorum import quorum
from oracle.protocol.types import (
    Account,
    Chain,
    ChainType,
    Digest,
    Endpoint,
    Kind,
    Policy,
    Sequence,
    Status,
    UnixSeconds,
    check_account,
    evm_account,
)
from tests.support.samples import CONSUMER, EVM, HUB, MODEL, SOLANA, TO_SOLANA, evm_request, plain_message

OTHER = Remote(Policy.BOTH, Endpoint(Chain.evm(5), EVM.gateway), HUB, CONSUMER)


# ---- chains, accounts, finality ----


@pytest.mark.parametrize("chain_id", [0, -1, 1 << 64])
def test_chain__evm_id_out_of_range__is_refused(chain_id: int) -> None:
    with pytest.raises(EncodeError, match=r"between 1 and 2\^64 - 1"):
        Chain.evm(chain_id)


@pytest.mark.parametrize("reference", [bytes(32), (1 << 64).to_bytes(32), b"\1" + bytes(31)])
def test_chain__evm_reference_out_of_range__is_refused(reference: bytes) -> None:
    with pytest.raises(EncodeError, match="chain id"):
        Chain(ChainType.EIP155, reference)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_chain__reference_of_another_length__is_refused(length: int) -> None:
    with pytest.raises(EncodeError, match="32 bytes"):
        Chain.solana(b"\1" * length)


def test_chain__names_and_ids__are_readable() -> None:
    assert str(Chain.evm(31337)) == "eip155:31337"
    assert Chain.evm((1 << 64) - 1).chain_id == (1 << 64) - 1
    assert str(SOLANA.chain) == f"solana:{SOLANA.chain.reference.hex()[:16]}"
    with pytest.raises(EncodeError, match="Only an EVM chain"):
        _ = SOLANA.chain.chain_id


def test_account__wrong_length_or_padding__is_refused() -> None:
    for chain_type in ChainType:
        with pytest.raises(EncodeError, match="32 bytes"):
            check_account(chain_type, bytes(20))
    with pytest.raises(EncodeError, match="left-padded"):
        check_account(ChainType.EIP155, b"\1" * 32)
    check_account(ChainType.SOLANA, b"\1" * 32)
    with pytest.raises(EncodeError, match="20 bytes"):
        evm_account(bytes(32))


def test_endpoint__gateway_that_is_no_evm_address__is_refused() -> None:
    with pytest.raises(EncodeError, match="left-padded"):
        Endpoint(EVM.chain, Account(b"\1" * 32))


def test_finality__depth_below_one__is_refused() -> None:
    assert Depth(1).blocks == 1
    assert FinalizedTag() == FinalizedTag()
    for blocks in (0, -5):
        with pytest.raises(EncodeError, match="at least one block"):
            Depth(blocks)


# ---- messages ----


def a_message(**changes: object) -> Message:
    fields = {
        "kind": Kind.MESSAGE, "origin": EVM, "destination": SOLANA, "sequence": Sequence(1), "sender": CONSUMER,
        "recipient": TO_SOLANA.consumer, "expiry": UnixSeconds(0), "payload": b"",
    }  # fmt: skip
    return Message(**(fields | changes))  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sequence": Sequence(0)}, "start at 1"),
        ({"sequence": Sequence(1 << 64)}, "sequence"),
        ({"expiry": UnixSeconds(-1)}, "expiry"),
        ({"expiry": UnixSeconds(1 << 64)}, "expiry"),
        ({"payload": bytes(c.MAX_PAYLOAD_SIZE + 1)}, "at most 16384 bytes"),
        ({"sender": Account(b"\1" * 32)}, "left-padded"),
        ({"destination": EVM, "recipient": Account(b"\1" * 32)}, "left-padded"),
        ({"recipient": Account(b"")}, "32 bytes"),
    ],
)
def test_message__impossible_field__never_reaches_the_wire(changes: dict[str, object], words: str) -> None:
    with pytest.raises(EncodeError, match=words):
        a_message(**changes).to_bytes()


def test_message__largest_payload__goes_round() -> None:
    message = a_message(payload=b"\xa5" * c.MAX_PAYLOAD_SIZE)
    assert Message.from_bytes(message.to_bytes()) == message


def test_message__payload_over_the_bound_on_the_wire__is_a_decode_error() -> None:
    body = a_message(payload=bytes(c.MAX_PAYLOAD_SIZE)).to_bytes()
    longer = body[:214] + (c.MAX_PAYLOAD_SIZE + 1).to_bytes(2) + body[216:] + b"\0"
    with pytest.raises(DecodeError, match="at most 16384"):
        Message.from_bytes(longer)


def test_message__payload__is_not_shown_by_repr() -> None:
    assert "7365637265" not in repr(a_message(payload=b"secret")).lower()
    assert "secret" not in repr(a_message(payload=b"secret"))


def a_request(**changes: object) -> InferenceRequest:
    fields = {
        "model_id": MODEL,
        "fee": 1,
        "callback_gas_limit": 2,
        "policy": Policy.ATTESTED,
        "remotes": (),
        "inputs": (1,),
    }
    return InferenceRequest(**(fields | changes))  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_id": b"short"}, "model id has 32 bytes"),
        ({"inputs": ()}, "1 to 1024 inputs"),
        ({"inputs": (0,) * 1025}, "1 to 1024 inputs"),
        ({"inputs": (0, 1 << 63)}, "input number 1"),
        ({"fee": -1}, "fee"),
        ({"fee": 1 << 128}, "fee"),
        ({"callback_gas_limit": 1 << 32}, "callback gas limit"),
        ({"remotes": (TO_SOLANA, TO_SOLANA)}, "share a chain"),
        ({"remotes": (TO_SOLANA,), "policy": Policy.PROVEN}, "under PROVEN has no remotes"),
        ({"remotes": (Remote(Policy.PROVEN, SOLANA, SOLANA.gateway, SOLANA.gateway),)}, "cannot take PROVEN"),
        (
            {"remotes": tuple(Remote(Policy.BOTH, Endpoint(Chain.evm(n), HUB), HUB, HUB) for n in range(1, 6))},
            "at most 4 remotes",
        ),
    ],
)
def test_request__impossible_field__never_reaches_the_wire(changes: dict[str, object], words: str) -> None:
    with pytest.raises(EncodeError, match=words):
        a_request(**changes).to_bytes()


def a_result(**changes: object) -> InferenceResult:
    word = b"\7" * 32
    fields = {
        "status": Status.ANSWERED, "policy": Policy.BOTH, "model_id": MODEL, "request_id": word, "input_commitment": word,
        "requester": word, "consumer": word, "callback_gas_limit": 0, "output_scale": 13, "outputs": (1,),
    }  # fmt: skip
    return InferenceResult(**(fields | changes))  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outputs": ()}, "An answer has outputs"),
        ({"status": Status.UNKNOWN_MODEL}, "a refusal has none"),
        ({"status": Status.UNKNOWN_MODEL, "outputs": ()}, "0 in a refusal"),
        ({"outputs": (0,) * 65}, "at most 64 outputs"),
        ({"outputs": (-(1 << 63) - 1,)}, "outside int64"),
        ({"output_scale": 31}, "at most 30"),
        ({"output_scale": -1}, "output scale"),
        ({"callback_gas_limit": -1}, "callback gas limit"),
        ({"requester": b""}, "requester has 32 bytes"),
    ],
)
def test_result__impossible_field__never_reaches_the_wire(changes: dict[str, object], words: str) -> None:
    with pytest.raises(EncodeError, match=words):
        a_result(**changes).to_bytes()


def test_results__of_something_else_than_a_request__are_refused() -> None:
    with pytest.raises(DecodeError, match="Only an inference request"):
        result_messages(plain_message(), Outcome(Status.UNKNOWN_MODEL))


def test_results__remote_on_the_origin_chain__are_refused() -> None:
    home = Remote(Policy.BOTH, Endpoint(EVM.chain, HUB), HUB, CONSUMER)
    with pytest.raises(DecodeError, match="another chain than its origin"):
        result_messages(evm_request(remotes=(home,)), Outcome(Status.UNKNOWN_MODEL))


def test_results__fields__are_the_specifications(  # PROTOCOL.md §3, the table
) -> None:
    request = evm_request(policy=Policy.BOTH, remotes=(TO_SOLANA, OTHER))
    outcome = Outcome(Status.ANSWERED, (5, -6), 7)
    made = result_messages(request, outcome)
    assert [message.destination for message in made] == [EVM, SOLANA, OTHER.destination]
    assert [message.recipient for message in made] == [HUB, SOLANA.gateway, HUB]
    payloads = [InferenceResult.from_bytes(message.payload) for message in made]
    assert [payload.policy for payload in payloads] == [Policy.BOTH, Policy.ATTESTED, Policy.BOTH]
    assert [payload.consumer for payload in payloads] == [CONSUMER, TO_SOLANA.consumer, CONSUMER]
    for message, payload in zip(made, payloads, strict=True):
        assert (message.kind, message.origin, message.sequence) == (Kind.INFERENCE_RESULT, EVM, request.sequence)
        assert (message.sender, message.expiry) == (EVM.gateway, request.expiry)
        assert (payload.requester, payload.request_id) == (CONSUMER, request.digest)
        assert (payload.outputs, payload.output_scale, payload.status) == ((5, -6), 7, Status.ANSWERED)


# ---- batches and keys ----


def test_batch__none_twice_or_malformed__is_refused() -> None:
    one = Digest(b"\1" * 32)
    with pytest.raises(EncodeError, match="at least one"):
        batch_signing_hash([])
    with pytest.raises(EncodeError, match="once"):
        batch_signing_hash([one, one])
    with pytest.raises(EncodeError, match="32 bytes"):
        batch_signing_hash([Digest(b"short")])
    for index in (-1, 1):
        with pytest.raises(EncodeError, match="none has index"):
            merkle_branch([one], index)


def test_batch__over_the_depth__is_refused() -> None:
    many = [Digest(number.to_bytes(32)) for number in range((1 << c.MERKLE_MAX_DEPTH) + 1)]
    with pytest.raises(EncodeError, match="at most 65536"):
        batch_signing_hash(many)


def test_branch__too_long_or_of_half_words__is_a_decode_error() -> None:
    one = Digest(b"\1" * 32)
    with pytest.raises(DecodeError, match="at most 16 nodes, not 17"):
        branch_signing_hash(one, [bytes(32)] * 17)
    assert len(branch_signing_hash(one, [bytes(32)] * 16)) == 32
    with pytest.raises(DecodeError, match="32 bytes, not 31"):
        branch_signing_hash(one, [bytes(31)])


@pytest.mark.parametrize(("epoch", "x", "parity"), [(0, 32, 0), (1 << 32, 32, 0), (1, 31, 0), (1, 32, 2), (1, 32, -1)])
def test_key_possession__impossible_key__is_refused(epoch: int, x: int, parity: int) -> None:
    with pytest.raises(EncodeError):
        key_possession_hash(epoch, bytes(x), parity)


# ---- ERC-7930 ----


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("000100000101", id="no room for an address"),
        pytest.param("0002000001011400000000000000000000000000000000000000ff", id="another version"),
        pytest.param("00010000010014" + "11" * 20, id="chain id zero"),
        pytest.param("0001000002000114" + "11" * 20, id="leading zero in the chain id"),
        pytest.param("000100000014" + "11" * 20, id="no chain id"),
        pytest.param("00010000010113" + "11" * 19, id="19 bytes of address"),
        pytest.param("00010000010114" + "11" * 21, id="trailing byte"),
        pytest.param("00010000010114" + "11" * 19, id="address cut short"),
        pytest.param("0001000009" + "ff" * 9 + "14" + "11" * 20, id="chain id over 64 bits"),
        pytest.param("000100011f" + "22" * 31 + "14" + "11" * 20, id="an unknown chain type"),
        pytest.param("000100021f" + "22" * 31 + "20" + "11" * 32, id="31 bytes of genesis hash"),
        pytest.param("0001000220" + "22" * 32 + "1f" + "11" * 31, id="31 bytes of account"),
    ],
)
def test_interop__malformed__is_a_decode_error(text: str) -> None:
    with pytest.raises(DecodeError):
        InteropAddress.from_bytes(bytes.fromhex(text))


# ---- quorum and numbers ----


def test_quorum__small_committees__are_the_known_numbers() -> None:
    assert [quorum(members) for members in range(1, 11)] == [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]
    for none in (0, -1):
        with pytest.raises(EncodeError, match="at least one member"):
            quorum(none)


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        (0.5, 0, 1), (-0.5, 0, -1), (0.49999999999999994, 0, 0), (1.5, 0, 2), (2.5, 0, 3), (-2.5, 0, -3),
        (0.25, 1, 1), (0.125, 2, 1), (-0.0, 13, 0), (5e-324, 30, 0), (4503599627370495.5, 0, 4503599627370496),
    ],
)  # fmt: skip
def test_quantise__half_way__rounds_away_from_zero_exactly(value: float, scale: int, expected: int) -> None:
    assert quantise([value], scale) == (expected,)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_quantise__not_finite__names_the_feature(value: float) -> None:
    with pytest.raises(EncodeError, match=r"radius is .*; give a finite number"):
        quantise([0.0, value], 13, names=("texture", "radius"))
    with pytest.raises(EncodeError, match="input number 1"):
        quantise([0.0, value], 13, names=("texture",))


@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["plus", "minus"])
def test_quantise__whole_number_beyond_floats__names_the_feature(value: int) -> None:
    """JSON has such numbers, and Python reads them."""
    with pytest.raises(EncodeError, match="radius"):
        quantise([value], 13, names=("radius",))


@pytest.mark.parametrize("value", [8.1, -8.1, 1e300, -1e308, 1.7976931348623157e308])
def test_quantise__beyond_the_bound__names_the_feature_and_the_range(value: float) -> None:
    with pytest.raises(EncodeError, match=r"radius is .*outside the model's range of ±8\."):
        quantise([value], 13, bound=8 << 13, names=("radius",))


def test_quantise__at_the_bound__is_taken_and_half_a_step_beyond_is_not() -> None:
    assert quantise([8.0, -8.0], 1, bound=16) == (16, -16)
    assert quantise([8.0 + 0.25 - 2**-40], 1, bound=16) == (16,)
    with pytest.raises(EncodeError):
        quantise([8.25], 1, bound=16)


def test_quantise__int64__is_never_left() -> None:
    assert quantise([float(1 << 62)], 0) == (1 << 62,)
    with pytest.raises(EncodeError):
        quantise([float(INT64_MAX)], 0)  # rounds to 2^63 as a float


def test_field__edges__are_known_and_others_refused() -> None:
    assert to_field(-1) == FIELD_MODULUS - 1
    assert from_field(FIELD_MODULUS // 2) == FIELD_MODULUS // 2
    assert from_field(FIELD_MODULUS // 2 + 1) == -(FIELD_MODULUS // 2)
    for element in (-1, FIELD_MODULUS):
        with pytest.raises(EncodeError, match="between 0 and r - 1"):
            from_field(element)


def test_dequantise__known_numbers() -> None:
    assert dequantise((-12345, 0, 1 << 13), 13) == (-12345 / 8192, 0.0, 1.0)
