"""Any bytes at all: decoders return what they would encode again, or raise DecodeError, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import DecodeError
from bridges.frost.group import ORDER, Point, Scalar, SecretScalar, base_times, identifier
from bridges.frost.keygen import GroupPublicKey
from bridges.frost.signing import GroupSignature, NonceCommitment, SignatureShare
from oracle.protocol.errors import DecodeError as ProtocolDecodeError
from tests.support.dealer import deal


class Encoded(Protocol):
    def to_bytes(self) -> bytes: ...


Decoder = Callable[[bytes], Encoded]
DECODERS: dict[str, Decoder] = {
    "point": Point.from_bytes,
    "group_public_key": GroupPublicKey.from_bytes,
    "commitment": NonceCommitment.from_bytes,
    "signature_share": SignatureShare.from_bytes,
    "signature": GroupSignature.from_bytes,
    "commit_request": CommitRequest.from_bytes,
    "share_request": ShareRequest.from_bytes,
    "share_request_and_following": ShareRequest.from_bytes,
    "share_reply": ShareReply.from_bytes,
    "share_reply_and_following": ShareReply.from_bytes,
}


def point(k: int) -> Point:
    return base_times(Scalar(k))


SAMPLES: dict[str, Encoded] = {
    "point": point(1),
    "group_public_key": GroupPublicKey(point(2)),
    "commitment": NonceCommitment(identifier(3), point(4), point(5)),
    "signature_share": SignatureShare(identifier(3), Scalar(6)),
    "signature": GroupSignature(point(7), Scalar(8)),
    "commit_request": CommitRequest(bytes(16), b"context"),
    "share_request": ShareRequest(
        bytes(range(16)), tuple(NonceCommitment(identifier(i), point(i), point(i + 9)) for i in (1, 2, 4))
    ),
    "share_request_and_following": ShareRequest(
        bytes(range(16)), (NonceCommitment(identifier(3), point(4), point(5)),), bytes(range(1, 17))
    ),
    "share_reply": ShareReply(SignatureShare(identifier(3), Scalar(6))),
    "share_reply_and_following": ShareReply(
        SignatureShare(identifier(3), Scalar(6)), NonceCommitment(identifier(3), point(4), point(5))
    ),
}
OPTIONAL_END = {"share_request_and_following": 16, "share_reply_and_following": 68}


def check(name: str, data: bytes) -> None:
    try:
        value = DECODERS[name](data)
    except DecodeError:
        return
    assert value.to_bytes() == data


@pytest.mark.parametrize("name", DECODERS)
def test_decoder__own_encoding__round_trips(name: str) -> None:
    sample = SAMPLES[name]
    assert DECODERS[name](sample.to_bytes()) == sample


def test_decode_error__of_this_package__is_the_protocols_and_blames_nobody() -> None:
    with pytest.raises(ProtocolDecodeError) as caught:
        Point.from_bytes(b"")
    assert caught.value.culprits == ()


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.binary(max_size=300))
def test_decoder__any_bytes__decode_or_raise_decode_error(name: str, data: bytes) -> None:
    check(name, data)


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.data())
def test_decoder__one_changed_byte__decodes_or_raises_decode_error(name: str, data: st.DataObject) -> None:
    encoded = bytearray(SAMPLES[name].to_bytes())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] = data.draw(st.integers(0, 255))
    check(name, bytes(encoded))


@pytest.mark.parametrize("name", DECODERS)
def test_decoder__every_truncation_and_extension__raises(name: str) -> None:
    encoded = SAMPLES[name].to_bytes()
    for wrong in [*(encoded[:size] for size in range(len(encoded))), encoded + b"\x00", encoded * 2]:
        if len(wrong) == len(encoded) - OPTIONAL_END.get(name, len(encoded) + 1):
            assert DECODERS[name](wrong).to_bytes() == wrong  # without its optional end it is a message of its own
            continue
        with pytest.raises(DecodeError):
            DECODERS[name](wrong)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("commitment", bytes(2) + point(4).encoded + point(5).encoded),
        ("commitment", b"\xff\xff" + point(4).encoded + point(5).encoded),
        ("commitment", b"\x00\x01" + bytes(33) + point(5).encoded),
        ("commitment", b"\x00\x01" + point(4).encoded + bytes(33)),
        ("signature_share", b"\x00\x01" + ORDER.to_bytes(32, "big")),
        ("signature_share", bytes(2) + bytes(32)),
        ("signature", point(1).encoded + bytes(32)),
        ("signature", point(1).encoded + ORDER.to_bytes(32, "big")),
        ("signature", bytes(33) + (1).to_bytes(32, "big")),
        ("commit_request", bytes(20)),
        ("commit_request", bytes(16) + b"\xff\xff\xff\xff" + b"x"),
        ("commit_request", bytes(16) + (65_537).to_bytes(4, "big") + bytes(65_537)),
        ("share_request", bytes(18)),
        ("share_request", bytes(16) + b"\x00\x01" + SAMPLES["commitment"].to_bytes() + bytes(16)),
        ("share_reply", b"\x00\x01" + bytes(32) + bytes(68)),
        ("share_request", bytes(16) + b"\xff\xff"),
        ("share_request", bytes(16) + b"\x00\x02" + SAMPLES["commitment"].to_bytes() * 2),
    ],
)
def test_decoder__bad_field__raises_decode_error(name: str, data: bytes) -> None:
    with pytest.raises(DecodeError):
        DECODERS[name](data)


def test_share_request__descending_identifiers__raises() -> None:
    down = b"".join(NonceCommitment(identifier(i), point(1), point(2)).to_bytes() for i in (2, 1))
    with pytest.raises(DecodeError):
        ShareRequest.from_bytes(bytes(16) + b"\x00\x02" + down)


@given(key=st.binary(max_size=40), signature=st.binary(max_size=70), message=st.binary(max_size=40))
def test_verify_encoded__any_bytes__is_false_and_never_raises(key: bytes, signature: bytes, message: bytes) -> None:
    assert signing.verify_encoded(key, signature, message) is False


@given(uniform=st.binary(min_size=48, max_size=48).filter(lambda data: any(data[:24])))
def test_secret_scalar__any_uniform_bytes__reduce_as_integers_do(uniform: bytes) -> None:
    expected = int.from_bytes(uniform, "big") % ORDER
    if expected:
        assert int.from_bytes(SecretScalar.from_uniform(uniform).reveal(), "big") == expected


@settings(max_examples=25, deadline=None)
@given(members=st.integers(2, 7), data=st.data(), message=st.binary(min_size=32, max_size=32))
def test_frost__any_committee_and_quorum__signs_what_verifies(
    members: int, data: st.DataObject, message: bytes
) -> None:
    threshold = data.draw(st.integers(2, members))
    dealt = deal(members, threshold, os.urandom)
    chosen = data.draw(st.permutations(dealt))[: data.draw(st.integers(threshold, members))]
    nonces = [signing.commit(share, os.urandom(64)) for share in chosen]
    package = signing.prepare(dealt[0].public, message, [n.commitment for n in nonces])
    made = [signing.sign(share, n, package) for share, n in zip(chosen, nonces, strict=True)]
    assert all(signing.verify_share(package, share) for share in made)
    signature = signing.aggregate(package, made)
    assert signing.verify(dealt[0].public.group_public_key, signature, message)
    assert not signing.verify(dealt[0].public.group_public_key, signature, bytes([message[0] ^ 1]) + message[1:])
