"""What members send one another: read strictly, whatever the bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.node.gossip import (
    MAX_BATCH,
    MAX_PROOF_SIZE,
    ProofNotice,
    decode_attestation,
    decode_digests,
    encode_attestation,
    encode_digests,
)
from oracle.ports import GroupAttestation
from oracle.protocol.errors import DecodeError
from oracle.protocol.types import CommitteeEpoch, Digest
from tests.support.strategies import PATIENT, digests

batches = st.lists(digests, min_size=1, max_size=20).map(tuple)
attestations = st.builds(
    GroupAttestation,
    st.integers(0, (1 << 32) - 1).map(CommitteeEpoch),
    st.binary(min_size=65, max_size=65),
    batches,
)
notices = st.builds(ProofNotice, digests, st.binary(min_size=1, max_size=300))


@PATIENT
@given(notices)
def test_proof_notice__any__goes_round(notice: ProofNotice) -> None:
    assert ProofNotice.from_bytes(notice.to_bytes()) == notice


@PATIENT
@given(attestations)
def test_attestation__any__goes_round(attestation: GroupAttestation) -> None:
    assert decode_attestation(encode_attestation(attestation)) == attestation


@PATIENT
@given(batches)
def test_digests__any__go_round(batch: tuple[Digest, ...]) -> None:
    assert decode_digests(encode_digests(batch)) == batch


@PATIENT
@given(st.binary(max_size=300))
def test_gossip__any_bytes__canonical_or_a_decode_error(raw: bytes) -> None:
    try:
        assert ProofNotice.from_bytes(raw).to_bytes() == raw
    except DecodeError:
        assert len(raw) <= 32
    try:
        assert encode_digests(decode_digests(raw)) == raw
    except DecodeError:
        assert len(raw) < 2 or int.from_bytes(raw[:2]) != (len(raw) - 2) / 32 or len(raw) == 2
    try:
        assert encode_attestation(decode_attestation(raw)) == raw
    except DecodeError:
        assert len(raw) < 71 or int.from_bytes(raw[69:71]) != (len(raw) - 71) / 32 or len(raw) == 71


@PATIENT
@given(attestations, st.data())
def test_attestation__cut_or_extended__is_a_decode_error(attestation: GroupAttestation, data: st.DataObject) -> None:
    raw = encode_attestation(attestation)
    for wrong in (raw[: data.draw(st.integers(0, len(raw) - 1))], raw + data.draw(st.binary(min_size=1, max_size=70))):
        with pytest.raises(DecodeError):
            decode_attestation(wrong)


def test_proof_notice__size__is_bounded_on_both_sides() -> None:
    request_id = b"r" * 32
    assert ProofNotice.from_bytes(request_id + b"p" * MAX_PROOF_SIZE).proof == b"p" * MAX_PROOF_SIZE
    for wrong in (b"", request_id[:-1], request_id, request_id + b"p" * (MAX_PROOF_SIZE + 1)):
        with pytest.raises(DecodeError, match="at most 1 MiB"):
            ProofNotice.from_bytes(wrong)


def test_digests__number__is_bounded_on_both_sides() -> None:
    most = tuple(Digest(number.to_bytes(32)) for number in range(MAX_BATCH))
    assert decode_digests(encode_digests(most)) == most
    over = (*most, Digest(b"x" * 32))
    for wrong in (b"", b"\0", b"\0\0", encode_digests(over), b"\0\1" + b"x" * 31, b"\0\1" + b"x" * 33):
        with pytest.raises(DecodeError, match="1 to 1024"):
            decode_digests(wrong)
