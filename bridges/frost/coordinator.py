"""The messages between a coordinator and a signer. Pure.

Round one asks for a commitment with the context of what is to be signed; round two asks for a share with the list of commitments, and at
the same time for the commitment of a session that may follow (ROAST). Each message owns `to_bytes` and `from_bytes`; any other bytes
raise DecodeError. The reply of round one is `signing.NonceCommitment`.
Does not know what a context means, or in which order messages may come: see `session` and `roast`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bridges.frost.errors import DecodeError
from bridges.frost.group import MAX_PARTICIPANTS
from bridges.frost.signing import NonceCommitment, SignatureShare

SESSION_ID_BYTES: Final = 16
"""Random, chosen by the coordinator for each pair of nonces; a signer scopes it to the coordinator that uses it."""
MAX_CONTEXT_BYTES: Final = 65_536
"""Bound on the context of a session: what the signers need to decide whether to sign."""
_LENGTH_BYTES: Final = 4
_COUNT_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """Round one's question: session id(16) ‖ length of context(4) ‖ context."""

    session_id: bytes
    context: bytes

    def __post_init__(self) -> None:
        _require_session_id(self.session_id)
        if not 0 < len(self.context) <= MAX_CONTEXT_BYTES:
            raise DecodeError(f"A signing context is 1 to {MAX_CONTEXT_BYTES} bytes, not {len(self.context)}.")

    def to_bytes(self) -> bytes:
        """20 bytes and the context."""
        return self.session_id + len(self.context).to_bytes(_LENGTH_BYTES, "big") + self.context

    @classmethod
    def from_bytes(cls, data: bytes) -> CommitRequest:
        """Raises DecodeError for a wrong length, an empty or oversize context."""
        head = SESSION_ID_BYTES + _LENGTH_BYTES
        if len(data) < head or len(data) - head != int.from_bytes(data[SESSION_ID_BYTES:head], "big"):
            raise DecodeError("A commit request must be exactly as long as it declares.")
        return cls(data[:SESSION_ID_BYTES], data[head:])


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """Round two's question: session id(16) ‖ count(2) ‖ count × commitment(68), ascending by identifier ‖ nothing, or session id(16).

    `following`: under which session id the signer shall make nonces for the same context, in case this session comes to nothing.
    """

    session_id: bytes
    commitments: tuple[NonceCommitment, ...]
    following: bytes | None = None

    def __post_init__(self) -> None:
        _require_session_id(self.session_id)
        if not 0 < len(self.commitments) <= MAX_PARTICIPANTS:
            raise DecodeError(
                f"A share request lists 1 to {MAX_PARTICIPANTS} commitments, not {len(self.commitments)}."
            )
        identifiers = [commitment.identifier for commitment in self.commitments]
        if any(left >= right for left, right in pairwise(identifiers)):
            raise DecodeError("Commitments must ascend strictly by identifier.")
        if self.following is not None:
            _require_session_id(self.following)
        if self.following == self.session_id:
            raise DecodeError("The session that follows needs a session id of its own.")

    def to_bytes(self) -> bytes:
        """18 bytes, 68 a commitment, and 16 if a session may follow."""
        body = b"".join(commitment.to_bytes() for commitment in self.commitments)
        count = len(self.commitments).to_bytes(_COUNT_BYTES, "big")
        return self.session_id + count + body + (self.following or b"")

    @classmethod
    def from_bytes(cls, data: bytes) -> ShareRequest:
        """Raises DecodeError for a wrong length, a bad point, and identifiers out of range or out of order."""
        head = SESSION_ID_BYTES + _COUNT_BYTES
        count = int.from_bytes(data[SESSION_ID_BYTES:head], "big")
        end = head + count * NonceCommitment.LENGTH
        if count > MAX_PARTICIPANTS or len(data) not in (end, end + SESSION_ID_BYTES):
            raise DecodeError("A share request must be exactly as long as it declares.")
        chunks = (data[i : i + NonceCommitment.LENGTH] for i in range(head, end, NonceCommitment.LENGTH))
        commitments = tuple(NonceCommitment.from_bytes(chunk) for chunk in chunks)
        return cls(data[:SESSION_ID_BYTES], commitments, data[end:] or None)


@dataclass(frozen=True, slots=True)
class ShareReply:
    """Round two's answer: signature share(34) ‖ nothing, or the commitment(68) for the session that may follow."""

    share: SignatureShare
    following: NonceCommitment | None = None

    def to_bytes(self) -> bytes:
        """34 bytes, or 102."""
        return self.share.to_bytes() + (self.following.to_bytes() if self.following else b"")

    @classmethod
    def from_bytes(cls, data: bytes) -> ShareReply:
        """Raises DecodeError unless `data` is exactly 34 or 102 valid bytes."""
        if len(data) not in (SignatureShare.LENGTH, SignatureShare.LENGTH + NonceCommitment.LENGTH):
            raise DecodeError(f"The answer to a share request cannot be {len(data)} bytes long.")
        share, rest = data[: SignatureShare.LENGTH], data[SignatureShare.LENGTH :]
        return cls(SignatureShare.from_bytes(share), NonceCommitment.from_bytes(rest) if rest else None)


def _require_session_id(session_id: bytes) -> None:
    if len(session_id) != SESSION_ID_BYTES:
        raise DecodeError(f"A session id is {SESSION_ID_BYTES} bytes, not {len(session_id)}.")
