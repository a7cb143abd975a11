"""Resharing: t old members of a committee hand its key on to new members. One participant as a state machine. Pure.

    COMMIT --all--> ECHO --all--> SHARE --the dealers'--> certify() --> CERTIFICATE --all new members'--> done

Each dealer shares its own old share, weighted by its Lagrange coefficient, by a fresh polynomial; a new share is the sum of what all
dealers gave. What holds whatever arrives:
- The group key stays: the commitments must begin with the dealers' old verifying shares, whose sum it is.
- Nobody ever holds the group's secret, and what old members know is of no use beside new shares: the polynomials are fresh.
- The new share appears only when all new members certified one and the same result. Until then the old shares are what counts.
- A fault raises `DkgFault` with the culprits and evidence for third parties, as in `dkg`; the session is over, its secrets are wiped.
What it cannot do: take from old members what they keep. t of them who keep their shares can still sign; against them only another key
helps, that is a rotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bridges.frost.ciphersuite import NONCE_RANDOMNESS_BYTES
from bridges.frost.dkg_checks import (
    Kind,
    Link,
    bad_share_text,
    evidence,
    key_hash,
    prove_possession,
    seal,
    share_fits,
    transcript_hash,
    unseal,
    wrong_certificate_text,
)
from bridges.frost.dkg_messages import (
    X25519_BYTES,
    BadShare,
    Certificate,
    Commitments,
    Complaint,
    MalformedStatement,
    NotSigned,
    Phase,
    Quotes,
    SealedShare,
    SessionKey,
    Signed,
    Statement,
    UnusableGroupKey,
    WrongCertificate,
)
from bridges.frost.dkg_talk import Conversation, Sign
from bridges.frost.errors import DecodeError, GroupError, IllegalTransition, KeyMaterialError
from bridges.frost.group import UNIFORM_BYTES, Identifier, Scalar, SecretScalar, wipe_fresh_bytes
from bridges.frost.keygen import KeyShare, PublicKeyPackage, Randomness, lagrange_coefficient
from bridges.frost.reshare_checks import Resharing, reshare_rules, reshared_package

_COLLECTED: Final = (Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.CERTIFICATE)


@dataclass(frozen=True, slots=True)
class ReshareResult:
    """A key that all new members certified to hold. `share` is None for a dealer that is not one of them."""

    share: KeyShare | None = field(repr=False)
    public: PublicKeyPackage
    session: bytes
    transcript: bytes
    key_hash: bytes
    """For operators to compare."""
    certificates: Mapping[Identifier, bytes]
    """Each new member's signed CERTIFICATE message."""


class Resharer(Conversation):
    """One member's part in one session."""

    def __init__(
        self,
        resharing: Resharing,
        who: Identifier,
        session: bytes,
        sign: Sign,
        randomness: Randomness,
        share: KeyShare | None = None,
    ) -> None:
        """`share`: a dealer's old share, which stays the caller's. Raises KeyMaterialError for a stranger or another key's share."""
        super().__init__(reshare_rules(resharing), who, session, sign, _COLLECTED)
        self._resharing, self._randomness = resharing, randomness
        self._commitments: dict[Identifier, Commitments] = {}
        self._session_keys: dict[Identifier, bytes] = {}
        self._certificates: dict[Identifier, Certificate] = {}
        self._shares: dict[Identifier, SecretScalar] = {}
        self._transcript = b""
        self._public: PublicKeyPackage | None = None
        self._share: KeyShare | None = None
        self._result: ReshareResult | None = None
        self._polynomial = self._dealt(share) if who in resharing.dealers else []
        seed = randomness(X25519_BYTES)
        self._session_key = X25519PrivateKey.from_private_bytes(seed)
        wipe_fresh_bytes(seed)
        self._open_round_one()

    def _dealt(self, share: KeyShare | None) -> list[SecretScalar]:
        if share is None or share.identifier != self._who or share.public != self._resharing.old:
            raise KeyMaterialError(f"Member {self._who} deals, and needs its share of the key that is handed on.")
        constant = share.signing_share.copy()
        constant.times(lagrange_coefficient(self._who, tuple(self._resharing.dealers)))
        others = range(self._resharing.new.threshold - 1)
        return [constant, *(SecretScalar.from_uniform(self._randomness(UNIFORM_BYTES)) for _ in others)]

    # ---- what the shell sees

    def speakers(self, phase: Phase) -> tuple[Identifier, ...]:
        """All in the first two phases, then the dealers to the new members, then the new members."""
        if phase is Phase.SHARE:
            return tuple(self._resharing.dealers) if self._receives else ()
        return self._resharing.receivers if phase is Phase.CERTIFICATE else self._resharing.participants

    @property
    def _receives(self) -> bool:
        return self._who in self._resharing.receivers

    @property
    def provisional(self) -> KeyShare | None:
        """The share to keep aside before `certify`; None at any other time, and for who is no new member."""
        ready = self._collecting is Phase.CERTIFICATE and (Phase.CERTIFICATE, None) not in self._own
        return self._share if ready else None

    @property
    def result(self) -> ReshareResult | None:
        """What all new members certified, once they have."""
        return self._result

    def certify(self) -> None:
        """Sign the result. Call it when `provisional` has been kept where a crash does not lose it. Raises IllegalTransition."""
        share = self.provisional
        if share is None:
            raise IllegalTransition("There is nothing to certify yet, or it was certified already.")
        self._say(Phase.CERTIFICATE, Certificate(self._key_hash(share.public), Scalar(0), Quotes(())).to_bytes())

    def abandon(self) -> None:
        """End it and wipe all secrets, the certified share excepted. May be called twice."""
        if self._result is not None:
            return
        self._collecting = None
        for secret in (*self._polynomial, *self._shares.values()):
            secret.wipe()
        if self._share is not None:
            self._share.signing_share.wipe()
            self._share = None

    # ---- messages

    def _take(self, message: Signed, body: Statement) -> None:
        sender = message.head.sender
        match body:
            case Commitments():
                self._commitments[sender] = body
                self._session_keys[sender] = body.session_key
            case SessionKey():
                self._session_keys[sender] = body.session_key
            case Quotes():
                self._require_one_view(message, body)
            case SealedShare():
                self._take_share(message, body)
            case Certificate():
                self._certificates[sender] = body
                if self._public is None or body.key_hash != self._key_hash(self._public):
                    raise self._wrong_certificate(sender, message)

    def _take_share(self, message: Signed, body: SealedShare) -> None:
        sender = message.head.sender
        if body.recipient != self._who:
            raise NotSigned(f"Member {sender} sent us member {body.recipient}'s share.", (sender,))
        if body.transcript != self._transcript:
            text = f"Member {sender} gave a share under another transcript than it had echoed."
            proof = evidence(Kind.CONTRADICTION, self._heard[Phase.ECHO][sender].to_bytes(), message.to_bytes())
            raise MalformedStatement(text, (sender,), proof)
        theirs = self._session_keys[sender]
        try:
            self._shares[sender] = unseal(self._link(sender, self._who), body.ciphertext, self._session_key, theirs)
        except DecodeError:
            raise self._complaint(message) from None

    def _complaint(self, share: Signed) -> BadShare:
        whom = share.head.sender
        opened_key = self._session_key.private_bytes_raw()
        complaint = self._signed(Phase.COMPLAINT, Complaint(opened_key, share).to_bytes())
        commits = self._heard[Phase.COMMIT]
        digests = b"".join(self._view(Phase.COMMIT).digests)
        own, theirs = commits[self._who].to_bytes(), commits[whom].to_bytes()
        proof = evidence(Kind.SHARE, complaint.to_bytes(), digests, own, theirs)
        return BadShare(bad_share_text(whom, self._who), (whom,), proof)

    def _wrong_certificate(self, who: Identifier, message: Signed) -> WrongCertificate:
        text = wrong_certificate_text(who)
        if self._public is None:
            # The dealers' polynomials cancel out: whoever certifies has seen no share, but that is shown by the shares alone.
            return WrongCertificate(text, (who,))
        quoted = [self._heard[Phase.COMMIT][i] for i in self._resharing.participants]
        items = (self._heard[Phase.ECHO][who], message, *quoted)
        return WrongCertificate(text, (who,), evidence(Kind.CERTIFICATE, *(item.to_bytes() for item in items)))

    # ---- the steps

    def _open_round_one(self) -> None:
        session_key = self._session_key.public_key().public_bytes_raw()
        if not self._polynomial:
            self._say(Phase.COMMIT, SessionKey(session_key).to_bytes())
            return
        randomness = self._randomness(NONCE_RANDOMNESS_BYTES)
        proof = prove_possession(self._resharing, self._session, self._who, self._polynomial[0], randomness)
        points = tuple(coefficient.public_point() for coefficient in self._polynomial)
        self._say(Phase.COMMIT, Commitments(points, *proof, session_key).to_bytes())

    def _conclude_phase(self, phase: Phase) -> None:
        steps = {
            Phase.COMMIT: lambda: self._say(Phase.ECHO, self._view(Phase.COMMIT).to_bytes()),
            Phase.ECHO: self._deal_shares,
            Phase.SHARE: self._add_up,
            Phase.CERTIFICATE: self._conclude,
        }
        steps[phase]()

    def _deal_shares(self) -> None:
        digests = self._view(Phase.COMMIT).digests
        self._transcript = transcript_hash(self._resharing, self._session, digests)
        for other in self._resharing.receivers if self._polynomial else ():
            share = self._evaluated(other)
            if other == self._who:
                self._shares[other] = share
                continue
            sealed = seal(self._link(self._who, other), share, self._session_key, self._session_keys[other])
            share.wipe()
            self._say(Phase.SHARE, SealedShare(other, self._transcript, sealed).to_bytes(), other)
        for coefficient in self._polynomial:
            coefficient.wipe()
        # Who gets no share waits for none, and the only dealer but for oneself may be oneself.
        self._advance_if_complete(Phase.SHARE)

    def _evaluated(self, at: Identifier) -> SecretScalar:
        value = self._polynomial[-1].copy()
        for coefficient in reversed(self._polynomial[:-1]):
            value.times(Scalar(at))
            value.plus(coefficient)
        return value

    def _link(self, sender: Identifier, recipient: Identifier) -> Link:
        return Link(self._resharing.context, self._session, self._transcript, sender, recipient)

    def _add_up(self) -> None:
        if not self._receives:
            try:
                self._public = reshared_package(self._resharing, self._commitments)
            except (GroupError, KeyMaterialError, DecodeError):
                self._public = None  # the new members will name who did not give them what belongs to it
            return
        total: SecretScalar | None = None
        try:
            for share in self._shares.values():
                if total is None:
                    total = share.copy()
                else:
                    total.plus(share)
            if total is None:
                raise KeyMaterialError("Nobody dealt.")
            self._public = reshared_package(self._resharing, self._commitments)
            self._share = KeyShare(self._who, total, self._public)
        except (DecodeError, GroupError, KeyMaterialError):
            # The sum is checked first; only when it fails is each share looked at.
            if total is not None:
                total.wipe()
            self._name_bad_share()
            raise UnusableGroupKey("The dealers' polynomials cancel out; start another session.") from None
        for share in self._shares.values():
            share.wipe()

    def _name_bad_share(self) -> None:
        for who, share in self._shares.items():
            if not share_fits(share, self._commitments[who].coefficients, self._who):
                raise self._complaint(self._heard[Phase.SHARE][who])

    def _key_hash(self, public: PublicKeyPackage) -> bytes:
        return key_hash(self._resharing, self._session, self._transcript, public)

    def _conclude(self) -> None:
        if self._public is None:
            raise IllegalTransition("There is no key to conclude with.")
        certificates = {who: m.to_bytes() for who, m in sorted(self._heard[Phase.CERTIFICATE].items())}
        self._result = ReshareResult(
            self._share,
            self._public,
            self._session,
            self._transcript,
            self._key_hash(self._public),
            MappingProxyType(certificates),
        )
