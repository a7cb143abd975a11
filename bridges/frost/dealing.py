"""What key generation and resharing have in common: members deal secret polynomials to one another. Pure.

Guarantees: a share travels sealed for its recipient, under the transcript that all echoed; one that does not open or does not fit its
dealer's commitments becomes a complaint that convicts the dealer, or whoever complains falsely; the sum of the shares is checked against
the public key before it is anybody's share; polynomials and single shares are wiped as soon as they have been used, and with `abandon`.
Does not know whose secrets are dealt, to whom, or what is certified in the end: see `dkg` and `reshare`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bridges.frost.ciphersuite import NONCE_RANDOMNESS_BYTES
from bridges.frost.dkg_checks import (
    Kind,
    Link,
    Rules,
    bad_share_text,
    evidence,
    key_hash,
    prove_possession,
    seal,
    share_fits,
    transcript_hash,
    unseal,
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
)
from bridges.frost.dkg_talk import Conversation, Sign
from bridges.frost.errors import DecodeError, GroupError, KeyMaterialError
from bridges.frost.group import Identifier, Scalar, SecretScalar, wipe_fresh_bytes
from bridges.frost.keygen import KeyShare, PublicKeyPackage, Randomness


class Dealing(Conversation):
    """One member's part in one session in which shares are dealt. It deals `_polynomial`, lowest degree first, if it has one."""

    def __init__(
        self,
        rules: Rules,
        who: Identifier,
        session: bytes,
        sign: Sign,
        phases: Sequence[Phase],
        randomness: Randomness,
    ) -> None:
        super().__init__(rules, who, session, sign, phases)
        self._randomness = randomness
        self._commitments: dict[Identifier, Commitments] = {}
        self._session_keys: dict[Identifier, bytes] = {}
        self._certificates: dict[Identifier, Certificate] = {}
        self._shares: dict[Identifier, SecretScalar] = {}
        self._transcript = b""
        self._share: KeyShare | None = None
        self._polynomial: list[SecretScalar] = []
        seed = randomness(X25519_BYTES)
        self._session_key = X25519PrivateKey.from_private_bytes(seed)
        wipe_fresh_bytes(seed)

    @property
    @abstractmethod
    def result(self) -> object | None:
        """What was certified, once it was."""

    @property
    def provisional(self) -> KeyShare | None:
        """The share to keep aside before `certify`; None at any other time, and for who gets none."""
        ready = self._collecting is Phase.CERTIFICATE and (Phase.CERTIFICATE, None) not in self._own
        return self._share if ready else None

    def abandon(self) -> None:
        """End it and wipe all secrets, the certified share excepted. May be called twice."""
        if self.result is not None:
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

    # ---- the steps

    def _own_commitments(self) -> Commitments:
        """To the own polynomial, with the proof that its constant term is known."""
        randomness = self._randomness(NONCE_RANDOMNESS_BYTES)
        proof = prove_possession(self._assembly, self._session, self._who, self._polynomial[0], randomness)
        points = tuple(coefficient.public_point() for coefficient in self._polynomial)
        return Commitments(points, *proof, self._session_key.public_key().public_bytes_raw())

    def _deal_to(self, recipients: Iterable[Identifier]) -> None:
        """All have echoed: round 1 has its name, and everybody gets the own polynomial's value, which is then wiped."""
        self._transcript = transcript_hash(self._assembly, self._session, self._view(Phase.COMMIT).digests)
        for other in recipients:
            share = self._evaluated(other)
            if other == self._who:
                self._shares[other] = share
                continue
            sealed = seal(self._link(self._who, other), share, self._session_key, self._session_keys[other])
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
        return Link(self._assembly.context, self._session, self._transcript, sender, recipient)

    def _added_up(self, package: Callable[[], PublicKeyPackage]) -> KeyShare:
        """The sum of all shares, which fits the key. Raises BadShare by evidence, UnusableGroupKey."""
        first, *others = self._shares.values()
        total = first.copy()
        try:
            for share in others:
                total.plus(share)
            made = KeyShare(self._who, total, package())
        except (DecodeError, GroupError, KeyMaterialError):
            # The sum is checked first; only when it fails is each share looked at.
            total.wipe()
            self._name_bad_share()
            raise UnusableGroupKey("The polynomials that were dealt cancel out; start another session.") from None
        for share in self._shares.values():
            share.wipe()
        return made

    def _name_bad_share(self) -> None:
        for who, share in self._shares.items():
            if not share_fits(share, self._commitments[who].coefficients, self._who):
                raise self._complaint(self._heard[Phase.SHARE][who])

    def _key_hash(self, public: PublicKeyPackage) -> bytes:
        return key_hash(self._assembly, self._session, self._transcript, public)

    def _signed_certificates(self) -> Mapping[Identifier, bytes]:
        certificates = self._heard[Phase.CERTIFICATE]
        return MappingProxyType({who: message.to_bytes() for who, message in sorted(certificates.items())})
