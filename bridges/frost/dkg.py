"""Distributed key generation for FROST: one participant as a state machine. Pure: bytes in, bytes out; randomness is an argument.

    COMMIT --all--> ECHO --all--> SHARE --all--> READY --all, certify()--> CERTIFICATE --all--> done

PedPop (FROST's Pedersen DKG with proofs of possession) made safe without a trusted board. What holds whatever arrives:
- Nobody ever holds the group's secret; the key share appears only when all n members certified one and the same key.
- A rogue key needs a proof of possession that it cannot make; a member that signs two things is named by both of its signatures; one
  that gives a bad share is named by its recipient's complaint, and one that complains falsely by its own.
- A fault raises `DkgFault` with the culprits and, where there can be any, evidence for third parties. The session is then over and its
  secrets are wiped. An illegal transition raises `IllegalTransition` and nothing happens.
- A member who speaks last can bias some bits of the group key by trying constant terms (Gennaro et al.). That does not help to forge
  Schnorr signatures, and no other use is made of the key.
Does not send, wait, store or restart: see `dkg_session`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bridges.frost.ciphersuite import NONCE_RANDOMNESS_BYTES
from bridges.frost.dkg_checks import (
    Kind,
    Link,
    bad_share_text,
    certificate_fits,
    dkg_rules,
    evidence,
    group_key,
    key_hash,
    possession_package,
    prove_possession,
    public_package,
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
    Roster,
    SealedShare,
    Signed,
    Statement,
    UnusableGroupKey,
    WrongCertificate,
)
from bridges.frost.dkg_talk import Conversation, Sign
from bridges.frost.errors import (
    DecodeError,
    GroupError,
    IllegalTransition,
    InvalidSignature,
    KeyMaterialError,
)
from bridges.frost.group import UNIFORM_BYTES, Identifier, Scalar, SecretScalar, wipe_fresh_bytes
from bridges.frost.keygen import GroupPublicKey, KeyShare, PublicKeyPackage, Randomness
from bridges.frost.signing import (
    COMMIT_RANDOMNESS_BYTES,
    GroupSignature,
    NonceCommitment,
    SignatureShare,
    SigningNonces,
    aggregate,
    commit,
    sign,
)

_COLLECTED: Final = (Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.READY, Phase.CERTIFICATE)


@dataclass(frozen=True, slots=True)
class DkgResult:
    """A key that all members certified."""

    share: KeyShare
    session: bytes
    transcript: bytes
    key_hash: bytes
    """For operators to compare."""
    proof_of_possession: GroupSignature
    """The new key's signature over `oracle.protocol.hashing.key_possession_hash`."""
    certificates: Mapping[Identifier, bytes]
    """Each member's signed CERTIFICATE message."""


class Participant(Conversation):
    """One member's part in one session. Give `receive` what others sent, and send them what `message` returns."""

    def __init__(self, roster: Roster, who: Identifier, session: bytes, sign: Sign, randomness: Randomness) -> None:
        """Raises KeyMaterialError for a stranger. Use it once: a session id never comes again."""
        super().__init__(dkg_rules(roster), who, session, sign, _COLLECTED)
        self._roster, self._randomness = roster, randomness
        self._commitments: dict[Identifier, Commitments] = {}
        self._nonces: dict[Identifier, NonceCommitment] = {}
        self._certificates: dict[Identifier, Certificate] = {}
        self._shares: dict[Identifier, SecretScalar] = {}
        self._transcript = b""
        self._share: KeyShare | None = None
        self._signing: SigningNonces | None = None
        self._result: DkgResult | None = None
        self._polynomial = [SecretScalar.from_uniform(randomness(UNIFORM_BYTES)) for _ in range(roster.threshold)]
        seed = randomness(X25519_BYTES)
        self._session_key = X25519PrivateKey.from_private_bytes(seed)
        wipe_fresh_bytes(seed)
        self._open_round_one()

    # ---- what the shell sees

    def speakers(self, phase: Phase) -> tuple[Identifier, ...]:
        """Everybody, in every phase."""
        return self._roster.participants

    @property
    def provisional(self) -> KeyShare | None:
        """The share to keep aside before `certify`; None at any other time."""
        ready = self._collecting is Phase.CERTIFICATE and (Phase.CERTIFICATE, None) not in self._own
        return self._share if ready else None

    @property
    def result(self) -> DkgResult | None:
        """The certified key, once there is one."""
        return self._result

    def certify(self) -> None:
        """Sign the result. Call it when `provisional` has been kept where a crash does not lose it. Raises IllegalTransition."""
        share, signing = self.provisional, self._signing
        if share is None or signing is None:
            raise IllegalTransition("There is nothing to certify yet, or it was certified already.")
        z = Scalar(0)
        if self._who in self._roster.signers:
            try:
                package = possession_package(self._roster, share.public, self._nonces)
            except GroupError:
                self.abandon()
                raise UnusableGroupKey("The nonces of this session cancel out; start another.") from None
            z = sign(share, signing, package).z
        signing.drop()
        digest = key_hash(self._roster, self._session, self._transcript, share.public)
        self._say(Phase.CERTIFICATE, Certificate(digest, z, self._view(Phase.READY)).to_bytes())

    def abandon(self) -> None:
        """End it and wipe all secrets, the certified share excepted. May be called twice."""
        if self._result is not None:
            return
        self._collecting = None
        for secret in (*self._polynomial, *self._shares.values()):
            secret.wipe()
        if self._signing is not None:
            self._signing.drop()
        if self._share is not None:
            self._share.signing_share.wipe()
            self._share = None

    # ---- messages

    def _take(self, message: Signed, body: Statement) -> None:
        sender = message.head.sender
        match body:
            case Commitments():
                self._commitments[sender] = body
            case Quotes():
                self._require_one_view(message, body)
            case SealedShare():
                self._take_share(message, body)
            case NonceCommitment():
                self._nonces[sender] = body
            case Certificate():
                self._require_one_view(message, body.quotes)
                self._certificates[sender] = body
                if self._share is None or body.key_hash != self._key_hash(self._share.public):
                    raise self._wrong_certificate(sender, message)

    def _key_hash(self, public: PublicKeyPackage) -> bytes:
        return key_hash(self._roster, self._session, self._transcript, public)

    # ---- the steps

    def _open_round_one(self) -> None:
        randomness = self._randomness(NONCE_RANDOMNESS_BYTES)
        proof = prove_possession(self._roster, self._session, self._who, self._polynomial[0], randomness)
        points = tuple(coefficient.public_point() for coefficient in self._polynomial)
        body = Commitments(points, *proof, self._session_key.public_key().public_bytes_raw())
        self._say(Phase.COMMIT, body.to_bytes())

    def _conclude_phase(self, phase: Phase) -> None:
        steps = {
            Phase.COMMIT: self._echo,
            Phase.ECHO: self._deal_shares,
            Phase.SHARE: self._add_up,
            Phase.READY: lambda: None,
            Phase.CERTIFICATE: self._conclude,
        }
        steps[phase]()

    def _echo(self) -> None:
        self._say(Phase.ECHO, self._view(Phase.COMMIT).to_bytes())

    def _deal_shares(self) -> None:
        try:
            GroupPublicKey(group_key(self._commitments))
        except (DecodeError, GroupError):
            text = (
                "By chance the group key's x is not below the group's order, as the chains need; start another session."
            )
            raise UnusableGroupKey(text) from None
        digests = self._view(Phase.COMMIT).digests
        self._transcript = transcript_hash(self._roster, self._session, digests)
        for other in self._roster.participants:
            share = self._evaluated(other)
            if other == self._who:
                self._shares[other] = share
                continue
            sealed = seal(self._link(self._who, other), share, self._session_key, self._commitments[other].session_key)
            share.wipe()
            self._say(Phase.SHARE, SealedShare(other, self._transcript, sealed).to_bytes(), other)
        for coefficient in self._polynomial:
            coefficient.wipe()

    def _evaluated(self, at: Identifier) -> SecretScalar:
        value = self._polynomial[-1].copy()
        for coefficient in reversed(self._polynomial[:-1]):
            value.times(Scalar(at))
            value.plus(coefficient)
        return value

    def _link(self, sender: Identifier, recipient: Identifier) -> Link:
        return Link(self._roster.context, self._session, self._transcript, sender, recipient)

    def _take_share(self, message: Signed, body: SealedShare) -> None:
        sender = message.head.sender
        if body.recipient != self._who:
            raise NotSigned(f"Member {sender} sent us member {body.recipient}'s share.", (sender,))
        if body.transcript != self._transcript:
            text = f"Member {sender} gave a share under another transcript than it had echoed."
            proof = evidence(Kind.CONTRADICTION, self._heard[Phase.ECHO][sender].to_bytes(), message.to_bytes())
            raise MalformedStatement(text, (sender,), proof)
        theirs = self._commitments[sender].session_key
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
        proof = evidence(
            Kind.SHARE, complaint.to_bytes(), digests, commits[self._who].to_bytes(), commits[whom].to_bytes()
        )
        return BadShare(bad_share_text(whom, self._who), (whom,), proof)

    def _add_up(self) -> None:
        total = self._shares[self._who].copy()
        try:
            for who, share in self._shares.items():
                if who != self._who:
                    total.plus(share)
            public = public_package(self._roster, self._commitments)
            self._share = KeyShare(self._who, total, public)
        except (DecodeError, GroupError, KeyMaterialError):
            # The sum is checked first; only when it fails is each share looked at.
            total.wipe()
            self._name_bad_share()
            raise UnusableGroupKey("The members' polynomials cancel out; start another session.") from None
        for share in self._shares.values():
            share.wipe()
        self._signing = commit(self._share, self._randomness(COMMIT_RANDOMNESS_BYTES))
        self._say(Phase.READY, self._signing.commitment.to_bytes())

    def _name_bad_share(self) -> None:
        for who, share in self._shares.items():
            if not share_fits(share, self._commitments[who].coefficients, self._who):
                raise self._complaint(self._heard[Phase.SHARE][who])

    def _conclude(self) -> None:
        share = self._share
        if share is None:
            raise IllegalTransition("There is no key to conclude with.")
        try:
            package = possession_package(self._roster, share.public, self._nonces)
            given = [SignatureShare(who, self._certificates[who].z) for who in self._roster.signers]
            signature = aggregate(package, given)
        except InvalidSignature:
            self._name_bad_certificate(share.public)
            raise UnusableGroupKey("The proof of possession does not verify; start another session.") from None
        except GroupError:
            raise UnusableGroupKey("The nonces of this session cancel out; start another.") from None
        certificates = {who: m.to_bytes() for who, m in sorted(self._heard[Phase.CERTIFICATE].items())}
        self._result = DkgResult(
            share,
            self._session,
            self._transcript,
            self._key_hash(share.public),
            signature,
            MappingProxyType(certificates),
        )

    def _name_bad_certificate(self, public: PublicKeyPackage) -> None:
        for who, message in self._heard[Phase.CERTIFICATE].items():
            certificate = self._certificates[who]
            if not certificate_fits(self._roster, message.head, certificate, self._transcript, public, self._nonces):
                raise self._wrong_certificate(who, message)

    def _wrong_certificate(self, who: Identifier, message: Signed) -> WrongCertificate:
        quoted = [self._heard[phase][i] for phase in (Phase.COMMIT, Phase.READY) for i in self._roster.participants]
        items = (self._heard[Phase.ECHO][who], message, *quoted)
        proof = evidence(Kind.CERTIFICATE, *(item.to_bytes() for item in items))
        return WrongCertificate(wrong_certificate_text(who), (who,), proof)
