"""The bytes between node and signer: round trips, and any other bytes raise DecodeError alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.frost.errors import DecodeError, FrostError
from bridges.frost.group import MAX_PARTICIPANTS, Identifier
from bridges.frost.keystore import PublicShare
from bridges.frost.signer_wire import (
    HEAD_BYTES,
    LENGTH_BYTES,
    MAX_BATCH,
    MAX_BODY,
    MAX_FRAME,
    BatchRequest,
    CommitReply,
    PublicReply,
    decode_counters,
    decode_forget,
    decode_share,
    encode_counters,
    encode_forget,
    encode_share,
    frame,
    frame_length,
    open_frame,
)
from oracle.protocol.constants import BODY_SIZE
from tests.support.dealer import deal
from tests.support.samples import plain_message

SHARE = deal(4, 3, os.urandom)[0]
PUBLIC = PublicReply(PublicShare(SHARE.identifier, SHARE.public), bytes(range(16)))
BATCH = BatchRequest(Identifier(2), bytes(16), tuple(plain_message(sequence=i).to_bytes() for i in (1, 2)))
members = st.integers(1, MAX_PARTICIPANTS).map(Identifier)
sessions = st.binary(min_size=16, max_size=16)
bodies = st.lists(st.binary(min_size=BODY_SIZE, max_size=BODY_SIZE + 40), min_size=1, max_size=5)
DECODERS: list[Callable[[bytes], object]] = [
    BatchRequest.from_bytes,
    PublicReply.from_bytes,
    CommitReply.from_bytes,
    decode_counters,
    decode_forget,
    decode_share,
    open_frame,
]


@given(members, sessions, bodies)
def test_batch__round_trip__is_the_same(who: Identifier, session: bytes, made: list[bytes]) -> None:
    batch = BatchRequest(who, session, tuple(made))
    assert BatchRequest.from_bytes(batch.to_bytes()) == batch


@given(members, st.lists(sessions, min_size=1, max_size=4), st.binary(max_size=50))
def test_small_requests__round_trip__are_the_same(who: Identifier, ids: list[bytes], data: bytes) -> None:
    assert decode_forget(encode_forget(who, tuple(ids))) == (who, tuple(ids))
    assert decode_share(encode_share(who, data)) == (who, data)


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=30), st.integers(0, (1 << 64) - 1), max_size=6))
def test_counters__round_trip__are_the_same(counters: dict[str, int]) -> None:
    assert decode_counters(encode_counters(counters)) == counters


def test_public__round_trip__is_the_same() -> None:
    assert PublicReply.from_bytes(PUBLIC.to_bytes()) == PUBLIC


@given(st.sampled_from(DECODERS), st.binary(max_size=400))
def test_decoders__any_bytes__raise_their_own_errors_alone(decode: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(FrostError):
        decode(data)


@given(st.data())
def test_batch_and_public__bent_bytes__are_refused_or_canonical(data: st.DataObject) -> None:
    """What is accepted is exactly what would be written: no two encodings of one thing."""
    for valid, kind in ((BATCH.to_bytes(), BatchRequest), (PUBLIC.to_bytes(), PublicReply)):
        at = data.draw(st.integers(0, len(valid) - 1))
        cut = data.draw(st.sampled_from(["flip", "cut", "add"]))
        bent = bytearray(valid)
        if cut == "flip":
            bent[at] ^= data.draw(st.integers(1, 255))
        bent = bent[:at] if cut == "cut" else bent + (b"\0" if cut == "add" else b"")
        try:
            made = kind.from_bytes(bytes(bent))
        except FrostError:
            continue
        assert made.to_bytes() == bytes(bent)


@pytest.mark.parametrize("length", [0, 1, MAX_FRAME + 1, 0xFFFFFFFF])
def test_frame__length_out_of_bounds__is_refused_before_it_is_read(length: int) -> None:
    with pytest.raises(DecodeError, match="outside the bounds"):
        frame_length(length.to_bytes(4), MAX_FRAME)


def test_frame__largest_batch_of_largest_bodies__fits() -> None:
    largest = BatchRequest(Identifier(1), bytes(16), tuple(bytes(MAX_BODY) for _ in range(MAX_BATCH))).to_bytes()
    data = frame(2, largest)
    assert frame_length(data[:LENGTH_BYTES], MAX_FRAME) == len(data) - LENGTH_BYTES == HEAD_BYTES + len(largest)
    with pytest.raises(DecodeError):
        BatchRequest(Identifier(1), bytes(16), tuple(bytes(BODY_SIZE) for _ in range(MAX_BATCH + 1)))


@pytest.mark.parametrize("data", [b"", b"\1", b"\0\1", b"\2\1payload"])
def test_frame__another_version__is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="version 1"):
        open_frame(data)
