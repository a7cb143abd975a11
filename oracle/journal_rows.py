"""How an event is a row of the journal, and how older schemas wrote it. Pure.

A row is (number, number of the row before, kind, work, reference, body): `work` the message's digest, `reference` the hash of the proof or of
the signature that the event names, `body` the rest as JSON. Its checksum covers all of that, so a row that was changed, moved, or lost before
another is found; the checksums are against accidents, not against whoever can write the file.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Final, TypedDict

from oracle.pipeline import (
    Approved,
    Attested,
    Confirmed,
    DeadLettered,
    Delivered,
    Dropped,
    Event,
    Expired,
    Inferred,
    Lapsed,
    Millis,
    Observed,
    Outdated,
    Proved,
    Retried,
    Vanished,
)
from oracle.ports import GroupAttestation
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import Message, Outcome
from oracle.protocol.types import WORD, CommitteeEpoch, Digest, Status

_CHECK_SIZE: Final = 8
_HEAD: Final = 6


class Row(TypedDict, total=False):
    """JSON form of any event; which keys are there depends on its kind."""

    at: int
    body: str
    status: int
    outputs: list[int]
    output_scale: int
    prover: int
    epoch: int
    digest: str
    number: int
    reason: str


class OldRow(Row, total=False):
    """What was in the body up to schema 2."""

    work: str
    proof: str
    signature: str
    digests: list[str]


def encode(event: Event) -> str:
    """The body of an event's row."""
    row: Row = {"at": event.at}
    match event:
        case Observed(message=message):
            row["body"] = message.to_bytes().hex()
        case Inferred(outcome=outcome):
            row |= {"status": outcome.status, "outputs": list(outcome.outputs), "output_scale": outcome.output_scale}
        case Proved(prover=prover):
            row["prover"] = prover
        case Outdated(epoch=epoch):
            row["epoch"] = epoch
        case Delivered(digest=digest) | Confirmed(digest=digest) | Vanished(digest=digest):
            row["digest"] = digest.hex()
        case DeadLettered(digest=digest, number=number, reason=reason):
            row |= {"digest": digest.hex(), "number": number, "reason": reason}
        case Retried(digest=digest, number=number) | Dropped(digest=digest, number=number):
            row |= {"digest": digest.hex(), "number": number}
        case Attested() | Expired() | Approved() | Lapsed():
            pass
    return json.dumps(row, separators=(",", ":"))


def _digest(row: Row) -> Digest:
    return Digest(bytes.fromhex(row["digest"]))


Signature = Callable[[bytes], GroupAttestation]
"""The signature that a reference names."""

_DECODERS: Final[dict[str, Callable[[Digest, Millis, Row, bytes, Signature], Event]]] = {
    "Observed": lambda work, at, row, ref, signed: Observed(Message.from_bytes(bytes.fromhex(row["body"])), at),
    "Inferred": lambda work, at, row, ref, signed: Inferred(
        work, Outcome(Status(row["status"]), tuple(row["outputs"]), row["output_scale"]), at
    ),
    "Proved": lambda work, at, row, ref, signed: Proved(work, ref, row["prover"], at),
    "Attested": lambda work, at, row, ref, signed: Attested(work, signed(ref), at),
    "Outdated": lambda work, at, row, ref, signed: Outdated(work, CommitteeEpoch(row["epoch"]), at),
    "Delivered": lambda work, at, row, ref, signed: Delivered(work, _digest(row), at),
    "Confirmed": lambda work, at, row, ref, signed: Confirmed(work, _digest(row), at),
    "Vanished": lambda work, at, row, ref, signed: Vanished(work, _digest(row), at),
    "DeadLettered": lambda work, at, row, ref, signed: DeadLettered(
        work, _digest(row), row["number"], row["reason"], at
    ),
    "Retried": lambda work, at, row, ref, signed: Retried(work, _digest(row), row["number"], at),
    "Dropped": lambda work, at, row, ref, signed: Dropped(work, _digest(row), row["number"], at),
    "Expired": lambda work, at, row, ref, signed: Expired(work, at),
    "Approved": lambda work, at, row, ref, signed: Approved(work, at),
    "Lapsed": lambda work, at, row, ref, signed: Lapsed(work, at),
}


def decode(kind: str, work: bytes, reference: bytes | None, body: str, signature: Signature) -> Event:
    """The event of a row. Raises KeyError, ValueError or ProtocolError."""
    row: Row = json.loads(body)
    event = _DECODERS[kind](Digest(work), Millis(row["at"]), row, reference or b"", signature)
    if event.work_id != work:
        raise ValueError("it is another message's")
    return event


def reference(event: Event) -> bytes | None:
    """The hash of what an event names and another table holds."""
    if isinstance(event, Proved):
        return event.proof_id
    return signature_id(encode_signature(event.attestation)) if isinstance(event, Attested) else None


def encode_signature(attestation: GroupAttestation) -> bytes:
    """A committee signature, which many works share: `epoch (4) ‖ size (2) ‖ signature ‖ digests (32 each)`."""
    size = len(attestation.signature).to_bytes(2)
    return b"".join((attestation.epoch.to_bytes(4), size, attestation.signature, *attestation.digests))


def decode_signature(data: bytes) -> GroupAttestation:
    """Raises ValueError."""
    end = _HEAD + int.from_bytes(data[4:_HEAD])
    if len(data) < end or (len(data) - end) % WORD:
        raise ValueError("a signature is cut short")
    digests = tuple(Digest(data[start : start + WORD]) for start in range(end, len(data), WORD))
    return GroupAttestation(CommitteeEpoch(int.from_bytes(data[:4])), data[_HEAD:end], digests)


def signature_id(data: bytes) -> bytes:
    """What names a signature in the file."""
    return hashlib.blake2b(data, digest_size=WORD).digest()


def checksum(number: int, previous: int, kind: str, work: bytes, reference: bytes | None, body: str) -> bytes:
    """8 bytes over a whole row."""
    head = f"{number} {previous} {kind} ".encode()
    return hashlib.blake2b(b"".join((head, work, reference or b"", body.encode())), digest_size=_CHECK_SIZE).digest()


# ---- older schemas: (number, kind, body, checksum chained from row to row) ----

OldChecksum = Callable[[bytes, str, str], bytes]
"""`(the row before's, kind, body)` to 8 bytes."""


def checksum_of_schema_2(previous: bytes, kind: str, body: str) -> bytes:
    """Schema 2's."""
    return hashlib.blake2b(b"".join((previous, kind.encode(), b"\0", body.encode())), digest_size=_CHECK_SIZE).digest()


def checksum_of_schema_1(previous: bytes, kind: str, body: str) -> bytes:
    """Schema 1's."""
    return keccak256(previous, kind.encode(), b"\0", body.encode())[:_CHECK_SIZE]


def decode_old(kind: str, body: str) -> Event:
    """An event as schemas 1 and 2 wrote it. Raises KeyError, ValueError or ProtocolError."""
    row: OldRow = json.loads(body)

    def signed(_: bytes) -> GroupAttestation:
        digests = tuple(Digest(bytes.fromhex(digest)) for digest in row["digests"])
        return GroupAttestation(CommitteeEpoch(row["epoch"]), bytes.fromhex(row["signature"]), digests)

    work = Digest(bytes.fromhex(row.get("work", "")))
    return _DECODERS[kind](work, Millis(row["at"]), row, bytes.fromhex(row.get("proof", "")), signed)
