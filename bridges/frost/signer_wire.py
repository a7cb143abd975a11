"""The bytes between a node and its signer process (oracle/docs/SIGNER.md). Pure.

A frame is `length (4) ‖ version (1) ‖ operation or status (1) ‖ payload`, where length counts what follows it; integers are big-endian.
Guarantees: decoding accepts exactly what encoding makes, and raises only DecodeError; every count and length is bounded before it
is used. There is no operation that names a value to be signed: what is signed follows from the bodies of a `BatchRequest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bridges.frost.coordinator import SESSION_ID_BYTES
from bridges.frost.errors import DecodeError
from bridges.frost.group import MAX_PARTICIPANTS, POINT_BYTES, Identifier, Point, identifier
from bridges.frost.keygen import GroupPublicKey, Origin, PublicKeyPackage
from bridges.frost.keystore import PublicShare
from bridges.frost.signing import MESSAGE_BYTES, NonceCommitment
from oracle.protocol import constants as c

VERSION: Final = 1
LENGTH_BYTES: Final = 4
HEAD_BYTES: Final = 2
MAX_BATCH: Final = 1024
"""Messages of one batch; as many as a node's context may name."""
MAX_BODY: Final = c.BODY_SIZE + c.MAX_PAYLOAD_SIZE
MAX_FRAME: Final = 20 << 20
"""Bytes after the length: a whole batch of the largest bodies fits."""
MAX_REPLY: Final = 1 << 17
MAX_REASON: Final = 500
INSTANCE_BYTES: Final = 16
_ORIGINS: Final = {Origin.DKG: 1, Origin.DEALER: 2}
_ID: Final = 2


class Operation(IntEnum):
    """What a node may ask."""

    PUBLIC = 1
    COMMIT = 2
    SHARE = 3
    FORGET = 4
    COUNTERS = 5


class Reply(IntEnum):
    """How a request ended. Anything but OK comes with a sentence."""

    OK = 0
    MALFORMED = 1
    REFUSED = 2
    """One of the signer's own rules; the same request will be refused again."""
    NONCE_SPENT = 3
    BUSY = 4
    SESSION_IN_USE = 5
    BAD_COMMITMENTS = 6
    FAILED = 7
    """The signer itself is at fault, such as a full disk under its ledger."""


def frame(head: int, payload: bytes) -> bytes:
    """A whole frame, ready to be sent."""
    return (HEAD_BYTES + len(payload)).to_bytes(LENGTH_BYTES) + bytes([VERSION, head]) + payload


def frame_length(data: bytes, bound: int) -> int:
    """What the first four bytes announce. Raises DecodeError outside the bound, before anything else is read."""
    length = int.from_bytes(data)
    if len(data) != LENGTH_BYTES or not HEAD_BYTES <= length <= bound:
        raise DecodeError(f"A frame of {length} bytes is outside the bounds of {HEAD_BYTES} to {bound}.")
    return length


def open_frame(data: bytes) -> tuple[int, bytes]:
    """(operation or status, payload). Raises DecodeError for another version."""
    if len(data) < HEAD_BYTES or data[0] != VERSION:
        raise DecodeError(f"This end speaks version {VERSION} of the signer's interface.")
    return data[1], data[HEAD_BYTES:]


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """COMMIT: coordinator (2) ‖ session id (16) ‖ count (2) ‖ count × [length (4) ‖ body]."""

    coordinator: Identifier
    session_id: bytes
    bodies: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.session_id) != SESSION_ID_BYTES:
            raise DecodeError(f"A session id is {SESSION_ID_BYTES} bytes, not {len(self.session_id)}.")
        if not 1 <= len(self.bodies) <= MAX_BATCH:
            raise DecodeError(f"A batch is 1 to {MAX_BATCH} bodies, not {len(self.bodies)}.")
        for body in self.bodies:
            if not c.BODY_SIZE <= len(body) <= MAX_BODY:
                raise DecodeError(f"A body is {c.BODY_SIZE} to {MAX_BODY} bytes, not {len(body)}.")

    def to_bytes(self) -> bytes:
        """Payload of COMMIT."""
        parts = [self.coordinator.to_bytes(_ID), self.session_id, len(self.bodies).to_bytes(2)]
        for body in self.bodies:
            parts += (len(body).to_bytes(4), body)
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> BatchRequest:
        """Raises DecodeError."""
        head = _ID + SESSION_ID_BYTES + 2
        if len(data) < head:
            raise DecodeError("A request for a commitment is cut short.")
        count, at, bodies = int.from_bytes(data[head - 2 : head]), head, []
        if count > MAX_BATCH:
            raise DecodeError(f"A batch is 1 to {MAX_BATCH} bodies, not {count}.")
        for _ in range(count):
            size = int.from_bytes(data[at : at + 4])
            body = data[at + 4 : at + 4 + size]
            if size > MAX_BODY or len(body) != size or at + 4 > len(data):
                raise DecodeError("A body is not as long as it declares.")
            bodies.append(body)
            at += 4 + size
        if at != len(data):
            raise DecodeError(f"A request for a commitment has {len(data) - at} trailing bytes.")
        return cls(identifier(int.from_bytes(data[:_ID])), data[_ID : _ID + SESSION_ID_BYTES], tuple(bodies))


@dataclass(frozen=True, slots=True)
class CommitReply:
    """COMMIT's answer: commitment (68) ‖ the 32 bytes that the signer made of the bodies, for the node to compare with its own."""

    commitment: NonceCommitment
    signing_hash: bytes

    def to_bytes(self) -> bytes:
        """100 bytes."""
        return self.commitment.to_bytes() + self.signing_hash

    @classmethod
    def from_bytes(cls, data: bytes) -> CommitReply:
        """Raises DecodeError unless `data` is exactly 100 valid bytes."""
        if len(data) != NonceCommitment.LENGTH + MESSAGE_BYTES:
            raise DecodeError("The signer's commitment is malformed.")
        split = NonceCommitment.LENGTH
        return cls(NonceCommitment.from_bytes(data[:split]), data[split:])


def encode_share(coordinator: int, request: bytes) -> bytes:
    """SHARE: coordinator (2) ‖ `ShareRequest`."""
    return coordinator.to_bytes(_ID) + request


def decode_share(data: bytes) -> tuple[Identifier, bytes]:
    """Raises DecodeError; the `ShareRequest` itself is not judged here."""
    if len(data) < _ID:
        raise DecodeError("A request for a share is cut short.")
    return identifier(int.from_bytes(data[:_ID])), data[_ID:]


def encode_forget(coordinator: int, session_ids: tuple[bytes, ...]) -> bytes:
    """FORGET: coordinator (2) ‖ session ids (16 each)."""
    return coordinator.to_bytes(_ID) + b"".join(session_ids)


def decode_forget(data: bytes) -> tuple[Identifier, tuple[bytes, ...]]:
    """Raises DecodeError for none, more than MAX_BATCH, or a part of one."""
    ids = data[_ID:]
    if not ids or len(ids) % SESSION_ID_BYTES or len(ids) > MAX_BATCH * SESSION_ID_BYTES:
        raise DecodeError(f"What is forgotten is 1 to {MAX_BATCH} session ids.")
    chunks = (ids[i : i + SESSION_ID_BYTES] for i in range(0, len(ids), SESSION_ID_BYTES))
    return identifier(int.from_bytes(data[:_ID])), tuple(chunks)


@dataclass(frozen=True, slots=True)
class PublicReply:
    """PUBLIC: whose share the signer holds, of which key, and which life of the signer this is.

    identifier (2) ‖ threshold (2) ‖ origin (1) ‖ group key (33) ‖ instance (16) ‖ count (2) ‖ count × [identifier (2) ‖ verifying share (33)].
    """

    share: PublicShare
    instance: bytes

    def to_bytes(self) -> bytes:
        """Payload of the reply."""
        public = self.share.public
        entries = (who.to_bytes(_ID) + point.to_bytes() for who, point in public.verifying_shares.items())
        return b"".join(
            (
                self.share.identifier.to_bytes(_ID),
                public.threshold.to_bytes(2),
                bytes([_ORIGINS[public.origin]]),
                public.group_public_key.to_bytes(),
                self.instance,
                len(public.verifying_shares).to_bytes(2),
                *entries,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PublicReply:
        """Raises DecodeError, and KeyMaterialError for a key that contradicts itself."""
        key_at = _ID + 2 + 1
        instance_at = key_at + POINT_BYTES
        head = instance_at + INSTANCE_BYTES + 2
        count, size = int.from_bytes(data[head - 2 : head]), _ID + POINT_BYTES
        origin = next((origin for origin, code in _ORIGINS.items() if data[4:5] == bytes([code])), None)
        if count > MAX_PARTICIPANTS or len(data) != head + count * size or origin is None:
            raise DecodeError("The signer's answer about its key is malformed.")
        shares: dict[Identifier, Point] = {}
        for at in range(head, len(data), size):
            who = identifier(int.from_bytes(data[at : at + _ID]))
            if shares and who <= max(shares):
                raise DecodeError("The signer's answer lists its members out of order.")
            shares[who] = Point.from_bytes(data[at + _ID : at + size])
        key = GroupPublicKey.from_bytes(data[key_at:instance_at])
        public = PublicKeyPackage(key, int.from_bytes(data[_ID : _ID + 2]), shares, origin)
        own = PublicShare(identifier(int.from_bytes(data[:_ID])), public)
        return cls(own, data[instance_at : instance_at + INSTANCE_BYTES])


def encode_counters(counters: Mapping[str, int]) -> bytes:
    """COUNTERS: count (2) ‖ count × [length of name (1) ‖ name ‖ value (8)], by name."""
    parts = [len(counters).to_bytes(2)]
    for name, value in sorted(counters.items()):
        parts += (bytes([len(name)]), name.encode("ascii"), value.to_bytes(8))
    return b"".join(parts)


def decode_counters(data: bytes) -> dict[str, int]:
    """Raises DecodeError."""
    counters: dict[str, int] = {}
    at = 2
    for _ in range(int.from_bytes(data[:2])):
        end = at + 1 + int.from_bytes(data[at : at + 1])
        name = data[at + 1 : end]
        if not name.isascii() or end + 8 > len(data):
            raise DecodeError("The signer's counters are malformed.")
        counters[name.decode("ascii")] = int.from_bytes(data[end : end + 8])
        at = end + 8
    if len(data) < 2 or at != len(data):
        raise DecodeError("The signer's counters are malformed.")
    return counters
