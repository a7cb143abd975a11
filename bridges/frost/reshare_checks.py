"""Handing a group key on to other members: who takes part, what their messages must satisfy, and how a liar is shown. Pure.

Guarantees: what a dealer commits to begins with its own old share, as everybody knows it from the old verifying shares, so no set of
dealers, however large, can lead to another group key. `verify_reshare_evidence` convicts a member by its own signatures only.
Does not know what one participant has received so far: see `reshare`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bridges.frost.dkg_checks import (
    COMMON_JUDGES,
    Judge,
    Kind,
    Rules,
    Verdict,
    checked,
    judged,
    key_hash,
    only,
    public_package,
    quoted_bodies,
    require_commitments,
    require_complaint,
    require_one_author,
    require_quotes,
    require_recipient,
    require_session_key,
    transcript_hash,
    wrong_certificate_text,
)
from bridges.frost.dkg_messages import (
    HASH_BYTES,
    Certificate,
    Commitments,
    Complaint,
    Head,
    Phase,
    Quotes,
    Roster,
    SealedShare,
    SessionKey,
    Signed,
    Statement,
    WrongCertificate,
    identity_key,
    opened,
    signed_with,
    statement,
)
from bridges.frost.errors import DecodeError, KeyMaterialError
from bridges.frost.group import Identifier, Point
from bridges.frost.keygen import PublicKeyPackage, lagrange_coefficient

MAX_REVISION: Final = (1 << 32) - 1
_OLD_TAG: Final = b"SIBYL_RESHARE_OLD_V1"
_CONTEXT_TAG: Final = b"SIBYL_RESHARE_CONTEXT_V1"


@dataclass(frozen=True, slots=True)
class Resharing:
    """One handing on of a key: t of the old members deal to all of the new ones.

    `old` and `old_hash` are the old public package and what its members certified of it; `dealers` the certificates (DER) of the t old
    members that deal; `new` the new committee at the same epoch; `revision` counts how often the key was handed on. Somebody who is an old
    member and a new one has one number and one certificate in both.
    """

    old: PublicKeyPackage
    old_hash: bytes
    dealers: Mapping[Identifier, bytes]
    new: Roster
    revision: int
    origin: bytes = field(init=False)
    """32 bytes that stand for the old side."""
    context: bytes = field(init=False)
    """32 bytes that stand for all of it."""
    _keys: Mapping[Identifier, Ed25519PublicKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        dealers = {who: self.dealers[who] for who in sorted(self.dealers)}
        if len(dealers) != self.old.threshold or not set(dealers) <= set(self.old.participants):
            raise KeyMaterialError(
                f"Exactly {self.old.threshold} of the old members {list(self.old.participants)} deal, not {list(dealers)}."
            )
        if not 0 < self.revision <= MAX_REVISION or len(self.old_hash) != HASH_BYTES:
            raise KeyMaterialError("A revision is 1 to 2^32 - 1, and a key's hash has 32 bytes.")
        certificates = {**self.new.certificates, **dealers}
        if any(self.new.certificates.get(who, der) != der for who, der in dealers.items()):
            raise KeyMaterialError(
                "A member's number stands for one certificate, before and after. Give newcomers numbers that no old member has; "
                "if a member renewed its certificate, put the new one into both committee files."
            )
        keys = {who: identity_key(who, der) for who, der in certificates.items()}
        if len({key.public_bytes_raw() for key in keys.values()}) != len(keys):
            raise KeyMaterialError("One identity key stands for two members; who stays keeps its number.")
        object.__setattr__(self, "dealers", MappingProxyType(dealers))
        object.__setattr__(self, "_keys", MappingProxyType(dict(sorted(keys.items()))))
        object.__setattr__(self, "origin", self._origin())
        object.__setattr__(self, "context", reshare_context(self.new, self.origin, self.revision))

    def _origin(self) -> bytes:
        old = self.old
        state = hashlib.sha256(_OLD_TAG + self.old_hash + old.group_public_key.to_bytes())
        state.update(old.threshold.to_bytes(2, "big") + len(old.participants).to_bytes(2, "big"))
        for who, point in old.verifying_shares.items():
            state.update(who.to_bytes(2, "big") + point.encoded)
        for who, der in self.dealers.items():
            state.update(who.to_bytes(2, "big") + hashlib.sha256(der).digest())
        return state.digest()

    @property
    def participants(self) -> tuple[Identifier, ...]:
        """Dealers and new members, ascending."""
        return tuple(self._keys)

    @property
    def receivers(self) -> tuple[Identifier, ...]:
        """The new members, ascending."""
        return self.new.participants

    @property
    def leaving(self) -> tuple[Identifier, ...]:
        """Old members that are not among the new ones."""
        return tuple(who for who in self.old.participants if who not in self.new.certificates)

    def signed_by(self, head: Head, digest: bytes, signature: bytes) -> bool:
        """Whether `head.sender` signed a body with this SHA-256 `digest` under `head`."""
        return signed_with(self._keys, self.context, head, digest, signature)

    def constant(self, dealer: Identifier) -> Point:
        """What a dealer's polynomial must begin with: its old verifying share times its Lagrange coefficient among the dealers."""
        return self.old.verifying_share(dealer).times(lagrange_coefficient(dealer, tuple(self.dealers)))


def reshare_context(new: Roster, origin: bytes, revision: int) -> bytes:
    """`Resharing.context`, for who knows of the old side only what stands for it."""
    return hashlib.sha256(_CONTEXT_TAG + revision.to_bytes(4, "big") + origin + new.context).digest()


@dataclass(frozen=True, slots=True)
class Certified:
    """The new members' side of a resharing that is over, to check its certificates by."""

    new: Roster
    origin: bytes
    revision: int

    @property
    def context(self) -> bytes:
        """That of the resharing."""
        return reshare_context(self.new, self.origin, self.revision)

    @property
    def participants(self) -> tuple[Identifier, ...]:
        """The new members, who certified."""
        return self.new.participants

    def signed_by(self, head: Head, digest: bytes, signature: bytes) -> bool:
        """Whether a new member signed this."""
        keys = {head.sender: self.new.identity_key(head.sender)} if head.sender in self.new.certificates else {}
        return signed_with(keys, self.context, head, digest, signature)


def reshare_rules(resharing: Resharing) -> Rules:
    """The rules of resharing."""
    judges: dict[Kind, Judge] = {**COMMON_JUDGES, Kind.CERTIFICATE: partial(_judge_certificate, resharing)}
    return Rules(resharing, partial(_read, resharing), judges)


def verify_reshare_evidence(resharing: Resharing, data: bytes) -> Verdict:
    """Whom this evidence convicts. Raises DecodeError if it convicts nobody."""
    return judged(reshare_rules(resharing), data)


def _read(resharing: Resharing, message: Signed) -> Statement:
    head = message.head
    if head.phase is Phase.COMMIT and head.sender not in resharing.dealers:
        key = SessionKey.from_bytes(message.body)
        require_session_key(key.session_key)
        return key
    body = statement(message)
    match body:
        case Commitments():
            require_commitments(resharing, head, body, resharing.new.threshold)
            if body.coefficients[0] != resharing.constant(head.sender):
                raise DecodeError("it does not begin with the member's old share.")
        case Quotes():
            require_quotes(resharing, body)
        case SealedShare():
            _require(head.sender in resharing.dealers, "its sender deals nothing.")
            require_recipient(head, body, resharing.receivers)
        case Certificate():
            _require(head.sender in resharing.receivers, "its sender gets no share.")
            _require(not body.z and not body.quotes.entries, "a resharing's certificate is a hash alone.")
        case Complaint():
            require_complaint(head, body, tuple(resharing.dealers))
        case _:
            raise DecodeError("a resharing has no such message.")
    return body


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DecodeError(otherwise)


def reshared_package(resharing: Resharing, commitments: Mapping[Identifier, Commitments]) -> PublicKeyPackage:
    """What the dealers' commitments lead to. Raises GroupError or KeyMaterialError, also if that were another group key."""
    public = public_package(resharing.new, {who: commitments[who] for who in resharing.dealers})
    if public.group_public_key != resharing.old.group_public_key:
        raise KeyMaterialError("The dealers' commitments lead to another group key.")
    return replace(public, origin=resharing.old.origin)


def _judge_certificate(resharing: Resharing, rules: Rules, items: list[bytes]) -> Verdict | None:
    """An ECHO and a CERTIFICATE of one member, then all COMMITs that the echo quotes."""
    n = len(resharing.participants)
    echo, message, *commits = (opened(resharing, item) for item in only(items, 2 + n))
    require_one_author([echo, message], (Phase.ECHO, Phase.CERTIFICATE))
    bodies = quoted_bodies(rules, echo, commits)
    certificate = checked(rules, message)
    commitments = {who: body for who, body in bodies.items() if isinstance(body, Commitments)}
    if not isinstance(certificate, Certificate) or len(commitments) != len(resharing.dealers):
        raise DecodeError("The evidence of a certificate is an ECHO, a CERTIFICATE and all COMMITs.")
    transcript = transcript_hash(resharing, echo.head.session, [commit.digest for commit in commits])
    public = reshared_package(resharing, commitments)
    if certificate.key_hash == key_hash(resharing, echo.head.session, transcript, public):
        return None
    who = message.head.sender
    return Verdict(who, message.head.session, WrongCertificate, wrong_certificate_text(who))
