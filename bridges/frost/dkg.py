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
from typing import Final

from bridges.frost.dealing import Dealing
from bridges.frost.dkg_checks import (
    Kind,
    certificate_fits,
    dkg_rules,
    evidence,
    group_key,
    possession_package,
    public_package,
    wrong_certificate_text,
)
from bridges.frost.dkg_messages import (
    Certificate,
    Phase,
    Roster,
    Signed,
    Statement,
    UnusableGroupKey,
    WrongCertificate,
)
from bridges.frost.dkg_talk import Sign
from bridges.frost.errors import (
    DecodeError,
    GroupError,
    IllegalTransition,
    InvalidSignature,
)
from bridges.frost.group import UNIFORM_BYTES, Identifier, Scalar, SecretScalar
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


class Participant(Dealing):
    """One member's part in one session. Give `receive` what others sent, and send them what `message` returns."""

    def __init__(self, roster: Roster, who: Identifier, session: bytes, sign: Sign, randomness: Randomness) -> None:
        """Raises KeyMaterialError for a stranger. Use it once: a session id never comes again."""
        super().__init__(dkg_rules(roster), who, session, sign, _COLLECTED, randomness)
        self._roster = roster
        self._nonces: dict[Identifier, NonceCommitment] = {}
        self._signing: SigningNonces | None = None
        self._result: DkgResult | None = None
        self._polynomial = [SecretScalar.from_uniform(randomness(UNIFORM_BYTES)) for _ in range(roster.threshold)]
        self._say(Phase.COMMIT, self._own_commitments().to_bytes())

    # ---- what the shell sees

    def speakers(self, phase: Phase) -> tuple[Identifier, ...]:
        """Everybody, in every phase."""
        return self._roster.participants

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
        digest = self._key_hash(share.public)
        self._say(Phase.CERTIFICATE, Certificate(digest, z, self._view(Phase.READY)).to_bytes())

    def abandon(self) -> None:
        """As `Dealing`'s; the signing nonces are wiped too."""
        super().abandon()
        if self._result is None and self._signing is not None:
            self._signing.drop()

    # ---- messages

    def _take(self, message: Signed, body: Statement) -> None:
        sender = message.head.sender
        match body:
            case NonceCommitment():
                self._nonces[sender] = body
            case Certificate():
                self._require_one_view(message, body.quotes)
                self._certificates[sender] = body
                if self._share is None or body.key_hash != self._key_hash(self._share.public):
                    raise self._wrong_certificate(sender, message)
            case _:
                super()._take(message, body)

    # ---- the steps

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
        self._deal_to(self._roster.participants)

    def _add_up(self) -> None:
        self._share = self._added_up(lambda: public_package(self._roster, self._commitments))
        self._signing = commit(self._share, self._randomness(COMMIT_RANDOMNESS_BYTES))
        self._say(Phase.READY, self._signing.commitment.to_bytes())

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
        self._result = DkgResult(
            share,
            self._session,
            self._transcript,
            self._key_hash(share.public),
            signature,
            self._signed_certificates(),
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
