"""The messages of distributed key generation, who may send them, and what can go wrong. Pure.

Guarantees: a `Roster` names n members by certificates that differ, all with ed25519 keys, and its `context` stands for all of it; a
`Signed` message is bound to context, session, phase, sender and body by its sender's identity key; each body owns `to_bytes` and
`from_bytes`, and any other bytes raise DecodeError.
Errors form a tree by who is to blame: `DkgFault` names members and, where a third party can be shown, carries `evidence`.
Does not judge whether what a message says is true: see `dkg_checks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar, Final, Protocol, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridges.frost.errors import DecodeError, Equivocation, FrostError, KeyMaterialError
from bridges.frost.group import (
    MAX_PARTICIPANTS,
    POINT_BYTES,
    SCALAR_BYTES,
    Identifier,
    Point,
    Scalar,
    scalar_from_bytes,
    scalar_to_bytes,
)
from bridges.frost.group import identifier as checked_identifier
from bridges.frost.signing import NonceCommitment
from oracle.protocol.quorum import quorum

HASH_BYTES: Final = 32
SESSION_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
"""An ed25519 signature."""
X25519_BYTES: Final = 32
NAME_CHARACTERS: Final = 64
CIPHERTEXT_BYTES: Final = SCALAR_BYTES + 16
"""A share and its Poly1305 tag."""
MAX_MESSAGE_BYTES: Final = 131_072
"""Bound on one signed message; a certificate among 1,000 members takes 96 KB."""
_ID: Final = 2
_CONTEXT_TAG: Final = b"SIBYL_DKG_CONTEXT_V1"
_SIGN_TAG: Final = b"SIBYL_DKG_MESSAGE_V1"
_SESSION_TAG: Final = b"SIBYL_DKG_SESSION_V1"


class DkgError(FrostError):
    """The ceremony ended without a key. Nothing was kept; run it again."""

    code: ClassVar[str] = "dkg"


class MemberSilent(DkgError):
    """Members did not answer within a deadline; `culprits` names them. Nobody can prove silence, so there is no evidence."""

    code = "dkg_silent"


class MemberLeft(DkgError):
    """A member ended or restarted its part. Run the ceremony again once all are ready."""

    code = "dkg_left"


class UnusableGroupKey(DkgError):
    """The group key's x is not below the group's order, by chance alone. Start a new session."""

    code = "dkg_key"


class DkgFault(DkgError):
    """`culprits` broke the protocol. `evidence` convinces a third party through `dkg_checks.verify_evidence`, unless it is empty."""

    code = "dkg_fault"

    def __init__(self, message: str, culprits: Iterable[int] = (), evidence: bytes = b"") -> None:
        super().__init__(message, culprits)
        self.evidence = evidence


class NotSigned(DkgFault, DecodeError):
    """Bytes that no member signed for this ceremony: garbage, another session's, another member's. The channel names who sent them."""

    code = "dkg_not_signed"


class MalformedStatement(DkgFault, DecodeError):
    """A member signed bytes that are not a message of this protocol, or whose proof does not hold."""

    code = "dkg_malformed"


class BadProof(MalformedStatement):
    """A member's proof of possession does not hold, so it may not know its own secret (a rogue key)."""

    code = "dkg_bad_proof"


class DkgEquivocation(DkgFault, Equivocation):
    """A member signed two different messages where the protocol has one."""

    code = "dkg_equivocation"


class BadShare(DkgFault):
    """A member gave a share that does not fit its commitments."""

    code = "dkg_bad_share"


class FalseComplaint(DkgFault):
    """A member complained about a share that is right."""

    code = "dkg_false_complaint"


class WrongCertificate(DkgFault):
    """A member certified something else than the key that its own messages lead to."""

    code = "dkg_wrong_certificate"


class Phase(IntEnum):
    """The steps of a ceremony, in order; COMPLAINT stands beside them."""

    HELLO = 0
    COMMIT = 1
    ECHO = 2
    SHARE = 3
    READY = 4
    CERTIFICATE = 5
    COMPLAINT = 6


class Assembly(Protocol):
    """Members that speak with one another in sessions: to make a key (`Roster`), or to hand it on (`reshare_messages.Resharing`)."""

    @property
    def context(self) -> bytes:
        """32 bytes that stand for who they are and what they do."""

    @property
    def participants(self) -> tuple[Identifier, ...]:
        """All of them, ascending."""

    def signed_by(self, head: Head, digest: bytes, signature: bytes) -> bool:
        """Whether `head.sender` signed a body with this SHA-256 `digest` under `head`."""


@dataclass(frozen=True, slots=True)
class Roster:
    """Who makes a key: the committee's name, the epoch of the key, and each member's certificate as DER."""

    name: str
    epoch: int
    certificates: Mapping[Identifier, bytes]
    context: bytes = field(init=False)
    """32 bytes that stand for all of this and for the quorum."""
    _keys: Mapping[Identifier, Ed25519PublicKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        members = {checked_identifier(i): self.certificates[i] for i in sorted(self.certificates)}
        keys = {who: identity_key(who, der) for who, der in members.items()}
        if not 2 <= len(members) <= MAX_PARTICIPANTS:
            raise KeyMaterialError(f"A committee has 2 to {MAX_PARTICIPANTS} members, not {len(members)}.")
        if len({key.public_bytes_raw() for key in keys.values()}) != len(keys):
            raise KeyMaterialError("Two members share one identity key; let each make its own.")
        if not (0 < len(self.name) <= NAME_CHARACTERS and self.name.isascii() and self.name.isprintable()):
            raise KeyMaterialError(f"A committee's name is 1 to {NAME_CHARACTERS} printable ASCII characters.")
        if not 0 < self.epoch < 1 << 32:
            raise KeyMaterialError("A committee's epoch is 1 to 2^32 - 1.")
        object.__setattr__(self, "certificates", MappingProxyType(members))
        object.__setattr__(self, "_keys", MappingProxyType(keys))
        object.__setattr__(self, "context", self._context())

    def _context(self) -> bytes:
        state = hashlib.sha256(_CONTEXT_TAG + len(self.name).to_bytes(2, "big") + self.name.encode())
        state.update(self.epoch.to_bytes(4, "big") + self.threshold.to_bytes(2, "big"))
        state.update(len(self.certificates).to_bytes(2, "big"))
        for who, der in self.certificates.items():
            state.update(who.to_bytes(_ID, "big") + hashlib.sha256(der).digest())
        return state.digest()

    @property
    def participants(self) -> tuple[Identifier, ...]:
        """All members, ascending."""
        return tuple(self.certificates)

    @property
    def threshold(self) -> int:
        """t, how many of them must sign."""
        return quorum(len(self.certificates))

    @property
    def signers(self) -> tuple[Identifier, ...]:
        """The t members that sign the key's proof of possession: the lowest identifiers."""
        return self.participants[: self.threshold]

    def identity_key(self, who: Identifier) -> Ed25519PublicKey:
        """A member's ed25519 key. Raises KeyError for a stranger."""
        return self._keys[who]

    def signed_by(self, head: Head, digest: bytes, signature: bytes) -> bool:
        """Whether `head.sender` signed a body with this SHA-256 `digest` under `head`."""
        return signed_with(self._keys, self.context, head, digest, signature)


def signed_with(
    keys: Mapping[Identifier, Ed25519PublicKey], context: bytes, head: Head, digest: bytes, signature: bytes
) -> bool:
    """Whether the sender's key made `signature` over a body with this digest."""
    key = keys.get(head.sender)
    if key is None:
        return False
    try:
        key.verify(signature, head.preimage(context, digest))
    except InvalidSignature:
        return False
    return True


def identity_key(who: Identifier, der: bytes) -> Ed25519PublicKey:
    """The ed25519 key of a member's certificate. Raises KeyMaterialError."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except ValueError:
        raise KeyMaterialError(
            f"The certificate of member {who} cannot be read; get it from its member again."
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyMaterialError(
            f"The certificate of member {who} has no ed25519 key; make it with `sibyl committee init`."
        )
    return key


def session_id(roster: Assembly, nonces: Mapping[Identifier, bytes], attempt: int) -> bytes:
    """32 bytes that no earlier ceremony can have had, for every member gave a fresh nonce of 32 bytes."""
    if tuple(sorted(nonces)) != roster.participants:
        raise KeyMaterialError("A session needs a nonce from each member and from nobody else.")
    state = hashlib.sha256(_SESSION_TAG + roster.context + attempt.to_bytes(4, "big"))
    for who in roster.participants:
        state.update(nonces[who])
    return state.digest()


@dataclass(frozen=True, slots=True)
class Head:
    """What a message is: phase(1) ‖ sender(2) ‖ session(32)."""

    LENGTH: ClassVar[int] = 1 + _ID + SESSION_BYTES

    phase: Phase
    sender: Identifier
    session: bytes

    def to_bytes(self) -> bytes:
        """35 bytes."""
        return bytes([self.phase]) + self.sender.to_bytes(_ID, "big") + self.session

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Raises DecodeError for a wrong length, an unknown phase, or an identifier out of range."""
        if len(data) != cls.LENGTH:
            raise DecodeError(f"A message's head is {cls.LENGTH} bytes, not {len(data)}.")
        if data[0] not in Phase.__members__.values():
            raise DecodeError(f"There is no phase {data[0]}.")
        return cls(Phase(data[0]), checked_identifier(int.from_bytes(data[1 : 1 + _ID], "big")), data[1 + _ID :])

    def preimage(self, context: bytes, digest: bytes) -> bytes:
        """What the identity key signs."""
        return _SIGN_TAG + context + self.to_bytes() + digest


@dataclass(frozen=True, slots=True)
class Signed:
    """head(35) ‖ signature(64) ‖ body, the signature being over the context, the head and the body's SHA-256."""

    head: Head
    signature: bytes
    body: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the body."""
        return hashlib.sha256(self.body).digest()

    def to_bytes(self) -> bytes:
        """99 bytes and the body."""
        return self.head.to_bytes() + self.signature + self.body

    @classmethod
    def from_bytes(cls, data: bytes) -> Signed:
        """Raises DecodeError for bytes that are too short, too long, or have a bad head. Checks no signature."""
        start = Head.LENGTH + SIGNATURE_BYTES
        if not start <= len(data) <= MAX_MESSAGE_BYTES:
            raise DecodeError(f"A signed message is {start} to {MAX_MESSAGE_BYTES} bytes, not {len(data)}.")
        return cls(Head.from_bytes(data[: Head.LENGTH]), data[Head.LENGTH : start], data[start:])


def opened(roster: Assembly, data: bytes) -> Signed:
    """A message that a member of the roster did sign. Raises DecodeError otherwise."""
    message = Signed.from_bytes(data)
    if not roster.signed_by(message.head, message.digest, message.signature):
        raise DecodeError(f"The message is not signed by member {message.head.sender} for this committee.")
    return message


@dataclass(frozen=True, slots=True)
class Hello:
    """A member is here: a fresh nonce(32)."""

    nonce: bytes

    def to_bytes(self) -> bytes:
        """32 bytes."""
        return self.nonce

    @classmethod
    def from_bytes(cls, data: bytes) -> Hello:
        """Raises DecodeError for a wrong length."""
        return cls(_exactly(data, HASH_BYTES, "greeting"))


@dataclass(frozen=True, slots=True)
class Commitments:
    """Round 1: count(2) ‖ count × C_k(33) ‖ proof R(33) ‖ z(32) ‖ session key(32).

    C_k commits to the coefficient of x^k; (R, z) proves knowledge of the constant term; the session key (X25519) receives shares.
    """

    coefficients: tuple[Point, ...]
    proof_r: Point
    proof_z: Scalar
    session_key: bytes

    def to_bytes(self) -> bytes:
        """99 bytes and 33 a coefficient."""
        points = b"".join(point.encoded for point in self.coefficients)
        proof = self.proof_r.encoded + scalar_to_bytes(self.proof_z)
        return len(self.coefficients).to_bytes(2, "big") + points + proof + self.session_key

    @classmethod
    def from_bytes(cls, data: bytes) -> Commitments:
        """Raises DecodeError for a wrong length, a point off the curve, or a scalar out of range."""
        count = int.from_bytes(data[:2], "big")
        end = 2 + count * POINT_BYTES
        _exactly(data, end + POINT_BYTES + SCALAR_BYTES + X25519_BYTES, "list of commitments")
        if not 2 <= count <= MAX_PARTICIPANTS:
            raise DecodeError(f"A polynomial has 2 to {MAX_PARTICIPANTS} coefficients, not {count}.")
        points = tuple(Point.from_bytes(data[i : i + POINT_BYTES]) for i in range(2, end, POINT_BYTES))
        z_at, key_at = end + POINT_BYTES, end + POINT_BYTES + SCALAR_BYTES
        return cls(points, Point.from_bytes(data[end:z_at]), scalar_from_bytes(data[z_at:key_at]), data[key_at:])


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Round 1 of a member that receives shares and deals none: session key(32), X25519."""

    session_key: bytes

    def to_bytes(self) -> bytes:
        """32 bytes."""
        return self.session_key

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionKey:
        """Raises DecodeError for a wrong length."""
        return cls(_exactly(data, X25519_BYTES, "session key"))


@dataclass(frozen=True, slots=True)
class Entry:
    """What one member is quoted with: digest(32) of its body ‖ its signature(64)."""

    LENGTH: ClassVar[int] = HASH_BYTES + SIGNATURE_BYTES

    digest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Quotes:
    """A member's view of one phase: n × entry(96), ascending by member. It lets anybody see who signed two things."""

    entries: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        """96 bytes a member."""
        return b"".join(entry.digest + entry.signature for entry in self.entries)

    @classmethod
    def from_bytes(cls, data: bytes) -> Quotes:
        """Raises DecodeError unless it holds whole entries."""
        if len(data) % Entry.LENGTH:
            raise DecodeError(f"Quotes come in entries of {Entry.LENGTH} bytes.")
        starts = range(0, len(data), Entry.LENGTH)
        # n members quote n members each in a phase, so it is slices and nothing else.
        return cls(tuple([Entry(data[i : i + HASH_BYTES], data[i + HASH_BYTES : i + Entry.LENGTH]) for i in starts]))

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The digests alone."""
        return tuple(entry.digest for entry in self.entries)


@dataclass(frozen=True, slots=True)
class SealedShare:
    """Round 2, for one recipient: recipient(2) ‖ transcript(32) of round 1 ‖ ciphertext(48)."""

    LENGTH: ClassVar[int] = _ID + HASH_BYTES + CIPHERTEXT_BYTES

    recipient: Identifier
    transcript: bytes
    ciphertext: bytes

    def to_bytes(self) -> bytes:
        """82 bytes."""
        return self.recipient.to_bytes(_ID, "big") + self.transcript + self.ciphertext

    @classmethod
    def from_bytes(cls, data: bytes) -> SealedShare:
        """Raises DecodeError for a wrong length or an identifier out of range."""
        _exactly(data, cls.LENGTH, "sealed share")
        who = checked_identifier(int.from_bytes(data[:_ID], "big"))
        return cls(who, data[_ID : _ID + HASH_BYTES], data[_ID + HASH_BYTES :])


@dataclass(frozen=True, slots=True)
class Certificate:
    """The end: key hash(32) ‖ z(32) ‖ quotes of all READY messages.

    The key hash stands for the whole result (`dkg_checks.key_hash`). z is the member's signature share of the key's proof of
    possession, and zero from the members that are not among `Roster.signers`.
    """

    key_hash: bytes
    z: Scalar
    quotes: Quotes

    def to_bytes(self) -> bytes:
        """64 bytes and 96 a member."""
        return self.key_hash + scalar_to_bytes(self.z) + self.quotes.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Certificate:
        """Raises DecodeError for a wrong length or a scalar out of range."""
        head = HASH_BYTES + SCALAR_BYTES
        if len(data) < head:
            raise DecodeError("A certificate is cut short.")
        return cls(data[:HASH_BYTES], scalar_from_bytes(data[HASH_BYTES:head]), Quotes.from_bytes(data[head:]))


@dataclass(frozen=True, slots=True)
class Complaint:
    """A member opens its session key(32) to show that a signed SHARE message was wrong: session key ‖ that message.

    That gives away the share that the complainer got in this session, which ends here without a key.
    """

    session_key: bytes
    share: Signed

    def to_bytes(self) -> bytes:
        """The 32 bytes and the message."""
        return self.session_key + self.share.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Complaint:
        """Raises DecodeError for anything but a session key and a SHARE message."""
        share = Signed.from_bytes(data[X25519_BYTES:])
        if share.head.phase is not Phase.SHARE:
            raise DecodeError("A complaint is about a share.")
        SealedShare.from_bytes(share.body)
        return cls(data[:X25519_BYTES], share)


Statement: TypeAlias = (
    Hello | Commitments | SessionKey | Quotes | SealedShare | NonceCommitment | Certificate | Complaint
)

_BODIES: Final[dict[Phase, type[Statement]]] = {
    Phase.HELLO: Hello,
    Phase.COMMIT: Commitments,
    Phase.ECHO: Quotes,
    Phase.SHARE: SealedShare,
    Phase.READY: NonceCommitment,
    Phase.CERTIFICATE: Certificate,
    Phase.COMPLAINT: Complaint,
}


def statement(message: Signed) -> Statement:
    """The body of a message, by its phase. Raises DecodeError."""
    return _BODIES[message.head.phase].from_bytes(message.body)


def _exactly(data: bytes, length: int, what: str) -> bytes:
    if len(data) != length:
        raise DecodeError(f"A {what} of this kind is {length} bytes, not {len(data)}.")
    return data
