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

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bridges.frost.dealing import Dealing
from bridges.frost.dkg_checks import (
    Kind,
    evidence,
    wrong_certificate_text,
)
from bridges.frost.dkg_messages import (
    Certificate,
    Phase,
    Quotes,
    SessionKey,
    Signed,
    Statement,
    WrongCertificate,
)
from bridges.frost.dkg_talk import Sign
from bridges.frost.errors import DecodeError, GroupError, IllegalTransition, KeyMaterialError
from bridges.frost.group import UNIFORM_BYTES, Identifier, Scalar, SecretScalar
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


class Resharer(Dealing):
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
        super().__init__(reshare_rules(resharing), who, session, sign, _COLLECTED, randomness)
        self._resharing = resharing
        self._public: PublicKeyPackage | None = None
        self._result: ReshareResult | None = None
        self._polynomial = self._dealt(share) if who in resharing.dealers else []
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
    def result(self) -> ReshareResult | None:
        """What all new members certified, once they have."""
        return self._result

    def certify(self) -> None:
        """Sign the result. Call it when `provisional` has been kept where a crash does not lose it. Raises IllegalTransition."""
        share = self.provisional
        if share is None:
            raise IllegalTransition("There is nothing to certify yet, or it was certified already.")
        self._say(Phase.CERTIFICATE, Certificate(self._key_hash(share.public), Scalar(0), Quotes(())).to_bytes())

    # ---- messages

    def _take(self, message: Signed, body: Statement) -> None:
        if not isinstance(body, Certificate):
            super()._take(message, body)
            return
        sender = message.head.sender
        self._certificates[sender] = body
        if self._public is None or body.key_hash != self._key_hash(self._public):
            raise self._wrong_certificate(sender, message)

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
        if self._polynomial:
            self._say(Phase.COMMIT, self._own_commitments().to_bytes())
        else:
            self._say(Phase.COMMIT, SessionKey(self._session_key.public_key().public_bytes_raw()).to_bytes())

    def _conclude_phase(self, phase: Phase) -> None:
        steps = {
            Phase.COMMIT: lambda: self._say(Phase.ECHO, self._view(Phase.COMMIT).to_bytes()),
            Phase.ECHO: self._deal_shares,
            Phase.SHARE: self._add_up,
            Phase.CERTIFICATE: self._conclude,
        }
        steps[phase]()

    def _deal_shares(self) -> None:
        self._deal_to(self._resharing.receivers if self._polynomial else ())
        # Who gets no share waits for none, and the only dealer but for oneself may be oneself.
        self._advance_if_complete(Phase.SHARE)

    def _add_up(self) -> None:
        def package() -> PublicKeyPackage:
            return reshared_package(self._resharing, self._commitments)

        if self._receives:
            self._share = self._added_up(package)
            self._public = self._share.public
            return
        with contextlib.suppress(GroupError, KeyMaterialError, DecodeError):
            self._public = package()  # otherwise the new members will name who did not give them what belongs to it

    def _conclude(self) -> None:
        if self._public is None:
            raise IllegalTransition("There is no key to conclude with.")
        self._result = ReshareResult(
            self._share,
            self._public,
            self._session,
            self._transcript,
            self._key_hash(self._public),
            self._signed_certificates(),
        )
