"""ROAST (Ruffing, Ronge, Jin, Schneider-Bensch, Schröder, CCS 2022): robust signing over unmodified RFC 9591 shares. Pure.

    AWAITED --commitment--> READY --open--> SIGNING --share and next commitment--> READY --open--> ...
    any --pass_over--> PASSED_OVER (final)        any --broke the protocol--> MALICIOUS (final)

A session is opened over t members that are READY. Its signers answer with their share *and* the commitment for whatever session comes
next, so that who answers is at once ready again, and nobody waits for who does not. What holds whatever arrives, in whatever order:
- At most n−t+1 sessions are ever opened. A member is in at most one session that it has not answered, and enters another only when its
  last share is known to be good; so each session that came to nothing has a member of its own that is silent or MALICIOUS, and with t
  members that answer honestly one of n−t+1 sessions has no such member.
- `signature` verifies under the group public key.
- Shares are summed, and the sum is verified. A share is looked at alone only when the sum of its session fails, or before its maker
  enters another session: an honest run pays for one verification.
- Only who contradicted the protocol is MALICIOUS: a share that does not verify, a second and different share, a word in another's name, a
  nonce offered twice. Silence and refusals are not blamed here.
- A call that does not fit the state raises IllegalTransition, and nothing happens.
Does not send, wait, retry or decide when: see `session`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from bridges.frost.errors import DecodeError, GroupError, IllegalTransition, InvalidSignature
from bridges.frost.group import Identifier, Point
from bridges.frost.keygen import PublicKeyPackage
from bridges.frost.signing import (
    MESSAGE_BYTES,
    GroupSignature,
    NonceCommitment,
    SignatureShare,
    SigningPackage,
    aggregate,
    find_culprits,
    prepare,
    verify_share,
)


class Standing(Enum):
    """Where a member is in this signing."""

    AWAITED = "awaited"
    """It has not committed yet."""
    READY = "ready"
    """It has a commitment that no session has used."""
    SIGNING = "signing"
    """Its share is asked for."""
    PASSED_OVER = "passed over"
    """It fell silent or refused: nothing more is expected of it."""
    MALICIOUS = "malicious"
    """It broke the protocol: nothing more is taken from it."""


_GONE = frozenset({Standing.PASSED_OVER, Standing.MALICIOUS})


@dataclass(slots=True)
class Session:
    """One try: t members' commitments, and the shares that came so far."""

    number: int
    """From 0, in the order of opening."""
    package: SigningPackage
    shares: dict[Identifier, SignatureShare] = field(default_factory=dict)
    failed: bool = False
    """Whether a share in it is known to be bad."""

    @property
    def missing(self) -> tuple[Identifier, ...]:
        """Whose share has not come, ascending."""
        return tuple(who for who in self.package.signers if who not in self.shares)


class Roast:
    """The coordinator's side of one signature. `add_*` and `pass_over` take what the channel says is the member's; `open` makes sessions."""

    def __init__(self, public: PublicKeyPackage, message: bytes) -> None:
        """Raises DecodeError unless the message is 32 bytes."""
        if len(message) != MESSAGE_BYTES:
            raise DecodeError(f"The committee signs {MESSAGE_BYTES} bytes, not {len(message)}.")
        self._public, self._message = public, message
        self._standing = dict.fromkeys(public.participants, Standing.AWAITED)
        # Who is READY, the longest first, with the commitment.
        self._ready: dict[Identifier, NonceCommitment] = {}
        self._offered: set[tuple[Identifier, Point]] = set()
        # A member's last share, as long as nobody knows whether it is good.
        self._unverified: dict[Identifier, Session] = {}
        self._sessions: list[Session] = []
        self._blamed: dict[Identifier, str] = {}
        self._signature: GroupSignature | None = None

    # ---- what is so

    @property
    def max_sessions(self) -> int:
        """n−t+1."""
        return len(self._public.participants) - self._public.threshold + 1

    @property
    def sessions(self) -> tuple[Session, ...]:
        """All that were opened."""
        return tuple(self._sessions)

    @property
    def signature(self) -> GroupSignature | None:
        """The group's signature, once a session yielded it."""
        return self._signature

    @property
    def blamed(self) -> Mapping[Identifier, str]:
        """Who is MALICIOUS, and a sentence that says why."""
        return MappingProxyType(self._blamed)

    def standing(self, who: Identifier) -> Standing:
        """Raises KeyMaterialError for a stranger."""
        self._public.verifying_share(who)
        return self._standing[who]

    @property
    def can_open(self) -> bool:
        """Whether enough members are ready for another session. `open` may still find a bad share among them."""
        enough = len(self._ready) >= self._public.threshold
        return enough and len(self._sessions) < self.max_sessions and self._signature is None

    @property
    def pending(self) -> tuple[Session, ...]:
        """Sessions that can still yield the signature: each missing share is awaited, and none is known to be bad."""
        if self._signature is not None:
            return ()
        return tuple(
            session
            for session in self._sessions
            if not session.failed and all(self._standing[who] is Standing.SIGNING for who in session.missing)
        )

    @property
    def hopeless(self) -> bool:
        """Whether no signature can come of this any more: no session is pending, and fewer than t members are left for another."""
        if self._signature is not None or self.pending:
            return False
        left = sum(standing not in _GONE for standing in self._standing.values())
        return left < self._public.threshold or len(self._sessions) >= self.max_sessions

    # ---- what happens

    def add_commitment(self, sender: Identifier, commitment: NonceCommitment) -> None:
        """Round one: an AWAITED member is READY, or MALICIOUS. Raises IllegalTransition in any other state."""
        self._require(sender, Standing.AWAITED, "commitment")
        self._take_commitment(sender, commitment)

    def open(self) -> Session | None:
        """Open a session over the t members that were ready first; None if `can_open` is false or becomes so by what is found.

        Whoever enters a session while its last share is unverified is verified now.
        """
        while self.can_open:
            chosen = list(self._ready)[: self._public.threshold]
            if self._find_bad_shares(chosen):
                continue
            try:
                package = prepare(self._public, self._message, [self._ready[who] for who in chosen])
            except GroupError:
                # The commitments cancel out. Binding factors make that infeasible to aim at, so nobody is blamed.
                self.pass_over(chosen[-1])
                continue
            session = Session(len(self._sessions), package)
            self._sessions.append(session)
            for who in chosen:
                del self._ready[who]
                self._standing[who] = Standing.SIGNING
            return session
        return None

    def add_share(
        self, number: int, sender: Identifier, share: SignatureShare, following: NonceCommitment
    ) -> GroupSignature | None:
        """Round two: a session's share, with the sender's next commitment. The signature, if this share completed it.

        Raises IllegalTransition unless the sender's answer to exactly this session is awaited; a second answer that differs from the
        first makes it MALICIOUS all the same.
        """
        session = self._session_of(number, sender)
        known = session.shares.get(sender)
        if known is not None and known != share and self._standing[sender] is not Standing.MALICIOUS:
            self.blame(sender, f"Participant {sender} gave two signature shares in one session.")
        if known is not None:
            raise IllegalTransition(f"Participant {sender} has answered session {number} already.")
        self._require(sender, Standing.SIGNING, "signature share")
        if share.identifier != sender:
            self._blame_author(sender, share.identifier)
            return None
        session.shares[sender] = share
        self._unverified[sender] = session
        self._take_commitment(sender, following)
        if not session.missing and not session.failed:
            self._conclude(session)
        return self._signature

    def pass_over(self, who: Identifier) -> None:
        """Expect nothing more of a member that is silent or refused. Its earlier shares stay. MALICIOUS members stay what they are."""
        if self.standing(who) is not Standing.MALICIOUS:
            self._standing[who] = Standing.PASSED_OVER
            self._ready.pop(who, None)

    def blame(self, who: Identifier, reason: str) -> None:
        """Take nothing more from a member that broke the protocol; the first reason stays."""
        self.standing(who)
        self._standing[who] = Standing.MALICIOUS
        self._ready.pop(who, None)
        self._blamed.setdefault(who, reason)

    # ---- how

    def _require(self, sender: Identifier, standing: Standing, what: str) -> None:
        found = self.standing(sender)
        if self._signature is not None:
            raise IllegalTransition(f"The signature is done; no {what} is taken any more.")
        if found is not standing:
            raise IllegalTransition(f"Participant {sender} is {found.value}; no {what} of it is due.")

    def _session_of(self, number: int, sender: Identifier) -> Session:
        if not 0 <= number < len(self._sessions) or sender not in self._sessions[number].package.signers:
            raise IllegalTransition(f"Participant {sender} is not among the signers of a session {number}.")
        return self._sessions[number]

    def _take_commitment(self, sender: Identifier, commitment: NonceCommitment) -> None:
        if commitment.identifier != sender:
            self._blame_author(sender, commitment.identifier)
            return
        offered = {(sender, commitment.hiding), (sender, commitment.binding)}
        if offered & self._offered or len(offered) < 2:
            # Two shares under one nonce would give its signing share away, to us first of all.
            self.blame(sender, f"Participant {sender} offered a nonce twice.")
            return
        self._offered |= offered
        self._standing[sender] = Standing.READY
        self._ready[sender] = commitment

    def _blame_author(self, sender: Identifier, claimed: Identifier) -> None:
        self.blame(sender, f"Participant {sender} spoke as participant {claimed}.")

    def _find_bad_shares(self, members: list[Identifier]) -> bool:
        """Verify the unverified last shares of these members, blame the makers of bad ones, and say whether there are any."""
        bad: list[Identifier] = []
        for who in members:
            session = self._unverified.pop(who, None)
            if session is not None and not verify_share(session.package, session.shares[who]):
                bad.append(who)
                session.failed = True
        self._blame_shares(bad)
        return bool(bad)

    def _conclude(self, session: Session) -> None:
        shares = list(session.shares.values())
        try:
            self._signature = aggregate(session.package, shares)
        except InvalidSignature:
            session.failed = True
            self._blame_shares(find_culprits(session.package, shares))
        for who in session.package.signers:
            if self._unverified.get(who) is session:
                del self._unverified[who]

    def _blame_shares(self, bad: list[Identifier] | tuple[Identifier, ...]) -> None:
        names = ", ".join(str(who) for who in bad)
        for who in bad:
            self.blame(who, f"The signature share of {names} does not verify; sign without.")
