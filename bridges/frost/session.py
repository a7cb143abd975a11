"""The coordinator between processes: it asks the members' signers and drives the ROAST machine (`roast`).

Guarantees: what `sign` returns verifies under the group public key; any number of signings run at once up to a bound; every wait
is bounded; whoever is silent is passed over and not waited for; who broke the protocol or fell silent after committing is
named, counted and logged, and no more than n−t+1 sessions are opened for one signature.
Does not persist anything, or hold it against a member in a later call that it failed in this one. The members' side, and why
concurrent sessions are safe: `signer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog

from bridges.frost.coordinator import SESSION_ID_BYTES, CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import (
    Busy,
    DecodeError,
    KeyMaterialError,
    NonceSpent,
    NotAuthorised,
    PeerRefused,
    TooFewSigners,
    TooManySignings,
)
from bridges.frost.group import Identifier
from bridges.frost.keygen import GroupPublicKey, Randomness
from bridges.frost.roast import Roast, Session, Standing
from bridges.frost.signer import COMMIT_PATH, SHARE_PATH, Authorise, Signer, SignerLimits
from bridges.frost.signer_port import SignerPort
from bridges.frost.signing import GroupSignature, NonceCommitment
from bridges.frost.transport import PeerCaller
from oracle.protocol.errors import ProtocolError

__all__ = [
    "COMMIT_PATH",
    "SHARE_PATH",
    "Authorise",
    "CoordinatorCounts",
    "CoordinatorLimits",
    "Signer",
    "SignerLimits",
    "SigningCoordinator",
]

_log: Final = structlog.get_logger(__name__)
_RANDOM: Final = random.SystemRandom()

_HONEST_CODES: Final = frozenset({"not_authorised", NonceSpent.code, Busy.code})
_LEAST_PATIENCE: Final = 0.05
"""Seconds that a session gets at least beyond what its quicker signers took, before another is opened beside it. At most it gets half of
`round_seconds`: when all are slow because there is much to do, more sessions would only add to it."""

_Reply: TypeAlias = bytes | ProtocolError | NotAuthorised


@dataclass(frozen=True, slots=True)
class CoordinatorLimits:
    """Bounds on one call of `SigningCoordinator.sign`, and on how many run at once."""

    attempts: int = 8
    """How often a member is asked for its first commitment; the sessions themselves are bounded by n−t+1."""
    round_seconds: float = 3.0
    """For one member to answer one question. It delays nobody but the silent one."""
    total_seconds: float = 20.0
    pause_seconds: float = 0.1
    """Mean wait before asking a member again that was not ready; doubles each time, with jitter."""
    concurrent: int = 64
    """Signings that run at once; below a signer's `pending_per_peer`."""
    waiting: int = 1024
    """Signings that wait for their turn, within their `total_seconds`; beyond it TooManySignings is raised at once."""


@dataclass(slots=True)
class CoordinatorCounts:
    """What a coordinator has seen since it started, by member where it names one."""

    signatures: int = 0
    failures: int = 0
    sessions: int = 0
    malicious: Counter[int] = field(default_factory=Counter)
    """Broke the protocol."""
    passed_over: Counter[int] = field(default_factory=Counter)
    """Refused, or did not answer in time, after it had committed."""
    overtaken: Counter[int] = field(default_factory=Counter)
    """Had not answered in a session when a later one without it was done."""


@dataclass(slots=True)
class _Ledger:
    """What one call of `sign` has learnt about the participants."""

    refusals: dict[int, str] = field(default_factory=dict)
    excluded: set[int] = field(default_factory=set)
    culprits: set[int] = field(default_factory=set)


class SigningCoordinator:
    """Runs signings over the local signer and remote ones. Keeps only counts between calls; calls may overlap."""

    def __init__(
        self,
        signer: SignerPort,
        peers: Mapping[int, PeerCaller],
        *,
        limits: CoordinatorLimits | None = None,
        randomness: Randomness = os.urandom,
        on_excluded: Callable[[int, str], None] | None = None,
    ) -> None:
        """`peers`: the other participants by identifier. `on_excluded(identifier, reason)` hears of each exclusion.

        Raises KeyMaterialError unless local and remote are exactly the committee's participants.
        """
        self.signer = signer
        self.public = signer.share.public
        self.local = signer.share.identifier
        self.peers = {Identifier(peer_id): peer for peer_id, peer in peers.items()}
        self.limits = limits or CoordinatorLimits()
        self.randomness = randomness
        self.counts = CoordinatorCounts()
        self._on_excluded = on_excluded
        self._turns = asyncio.Semaphore(self.limits.concurrent)
        self._calls = 0
        if {*self.peers, self.local} != set(self.public.participants) or self.local in self.peers:
            raise KeyMaterialError(
                "The coordinator needs a way to each other participant of the committee, and to no one else."
            )

    @property
    def group_public_key(self) -> GroupPublicKey:
        """The key under which signatures verify."""
        return self.public.group_public_key

    async def sign(self, context: bytes) -> GroupSignature:
        """One committee signature over what `authorise` makes of `context`.

        Raises NotAuthorised if this node itself would not sign, TooFewSigners (a SigningError) when no quorum is left or at the deadline,
        TooManySignings (a SigningError) if too many wait already, DecodeError for a context that is empty or too long.
        """
        CommitRequest(bytes(SESSION_ID_BYTES), context)
        if self._calls >= self.limits.concurrent + self.limits.waiting:
            raise TooManySignings(f"{self._calls} signatures are being made already; ask again later.")
        ledger = _Ledger()
        self._calls += 1
        try:
            async with asyncio.timeout(self.limits.total_seconds), self._turns:
                message = await self.signer.authorised_message(context)
                signature = await _Signing(self, context, message, ledger).run()
        except TimeoutError:
            raise self._too_few(f"No signature within {self.limits.total_seconds:g} s", ledger) from None
        finally:
            self._calls -= 1
        if signature is None:
            raise self._too_few("Too few participants signed", ledger)
        self.counts.signatures += 1
        return signature

    def exclude(self, who: Identifier, reason: str, ledger: _Ledger, *, malicious: bool, culprit: bool) -> None:
        """Note that a member takes no further part in one signing."""
        ledger.refusals[who] = reason
        if who in ledger.excluded and not malicious:
            return
        ledger.excluded.add(who)
        if culprit:
            ledger.culprits.add(who)
        (self.counts.malicious if malicious else self.counts.passed_over)[who] += 1
        _log.warning("frost_signer_excluded", signer=who, reason=reason, culprit=culprit, malicious=malicious)
        if self._on_excluded is not None:
            self._on_excluded(who, reason)

    def _too_few(self, headline: str, ledger: _Ledger) -> TooFewSigners:
        said = (
            "; ".join(f"{who}: {reason.rstrip('.')}" for who, reason in sorted(ledger.refusals.items())) or "no answer"
        )
        text = f"{headline}; {self.public.threshold} are needed of {len(self.public.participants)} ({said})."
        self.counts.failures += 1
        _log.error("frost_too_few_signers", refusals=ledger.refusals, culprits=sorted(ledger.culprits))
        return TooFewSigners(text, ledger.refusals, ledger.culprits)


class _Signing:
    """One call of `sign`: a task for each member asks it and hands its answers to the ROAST machine, which says what to do next."""

    def __init__(self, owner: SigningCoordinator, context: bytes, message: bytes, ledger: _Ledger) -> None:
        self._owner, self._limits = owner, owner.limits
        self._context, self._message, self._ledger = context, message, ledger
        self._roast = Roast(owner.public, message)
        self._orders: dict[Identifier, asyncio.Queue[Session]] = {
            who: asyncio.Queue(1) for who in owner.public.participants
        }
        self._news = asyncio.Event()
        self._named: set[Identifier] = set()
        # When the last session was opened, and since when there could be another beside it.
        self._opened_at = 0.0
        self._could_open_at: float | None = None
        # A cancellation can get lost in a call that answers in that very turn; this cannot.
        self._over = False

    async def run(self) -> GroupSignature | None:
        """The signature, or None when no quorum is left."""
        # Who is asked first tends to sign: in any order, so that the work is everybody's.
        asked = _RANDOM.sample(list(self._orders), len(self._orders))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow(who)) for who in asked]
            try:
                await self._until_over()
            finally:
                self._over = True
                for task in tasks:
                    task.cancel()
        signature = self._roast.signature
        if signature is not None:
            self._tell_of(signature)
        return signature

    def _tell_of(self, signature: GroupSignature) -> None:
        sessions = self._roast.sessions
        winner = next(session for session in sessions if session.package.r == signature.r)
        overtaken = sorted(
            {
                who
                for session in sessions[: winner.number]
                for who in session.missing
                if self._roast.standing(who) is Standing.SIGNING
            }
        )
        self._owner.counts.overtaken.update(overtaken)
        _log.info(
            "frost_signed",
            signers=winner.package.signers,
            session=winner.number,
            sessions=len(sessions),
            overtaken=overtaken,
            message=self._message.hex(),
        )

    # ---- when

    async def _until_over(self) -> None:
        roast, loop, give_up_at = self._roast, asyncio.get_running_loop(), None
        while roast.signature is None:
            self._news.clear()
            wake_at = self._open_sessions(loop.time())
            self._name_the_blamed()
            if roast.hopeless:
                # The rest are heard for a moment, so that the error can name them rightly.
                give_up_at = give_up_at or loop.time() + self._limits.pause_seconds
                unheard = self._unheard()
                if not unheard or loop.time() >= give_up_at:
                    for who in unheard:
                        self._ledger.refusals[who] = "It had not answered when the quorum was out of reach."
                    return
                wake_at = give_up_at
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(wake_at):
                    await self._news.wait()
        self._name_the_blamed()

    def _open_sessions(self, now: float) -> float | None:
        """Open what is to be opened now. When to look again without news; None for never.

        The first session is opened at once, and so is the next when none is pending. Beside a pending session another is opened when that
        one has had three times what it took to have t members ready for more: a slow link is not yet silence.
        """
        roast = self._roast
        while roast.can_open:
            self._could_open_at = self._could_open_at or now
            took = self._could_open_at - self._opened_at
            patience = max(_LEAST_PATIENCE, min(2 * took, self._limits.round_seconds / 2))
            if roast.pending and now < self._could_open_at + patience:
                return self._could_open_at + patience
            session = roast.open()
            self._could_open_at = None
            if session is not None:
                self._opened_at = now
                self._owner.counts.sessions += 1
                for who in session.package.signers:
                    self._orders[who].put_nowait(session)
        self._could_open_at = None
        return None

    def _unheard(self) -> list[Identifier]:
        standing, refusals = self._roast.standing, self._ledger.refusals
        return [who for who in self._orders if standing(who) is Standing.AWAITED and who not in refusals]

    def _name_the_blamed(self) -> None:
        for who in self._roast.blamed.keys() - self._named:
            self._named.add(who)
            self._owner.exclude(who, self._roast.blamed[who], self._ledger, malicious=True, culprit=True)

    # ---- one member

    async def _follow(self, who: Identifier) -> None:
        """Ask one member for a commitment, and then for a share in each session that it is given, until it is out or all is over."""
        session_id = await self._first_commitment(who)
        try:
            while session_id is not None and not self._over:
                session = await self._orders[who].get()
                session_id = await self._share(who, session, session_id)
        finally:
            if who == self._owner.local and session_id is not None:
                self._owner.signer.forget(who, session_id)
        self._news.set()

    async def _first_commitment(self, who: Identifier) -> bytes | None:
        """The session id under which the member committed; None if it is out."""
        pause = self._limits.pause_seconds
        for attempt in range(1, self._limits.attempts + 1):
            session_id = self._owner.randomness(SESSION_ID_BYTES)
            reply = await self._ask(who, COMMIT_PATH, CommitRequest(session_id, self._context).to_bytes())
            self._news.set()
            if self._over or self._roast.signature is not None:
                return session_id
            if isinstance(reply, bytes):
                self._ledger.refusals.pop(who, None)
                try:
                    self._roast.add_commitment(who, NonceCommitment.from_bytes(reply))
                except DecodeError as error:
                    self._roast.blame(who, str(error))
                return session_id if self._roast.standing(who) is Standing.READY else None
            self._ledger.refusals[who] = str(reply)
            if attempt < self._limits.attempts:
                # Nobody is to blame yet: a member that is behind, busy or restarting gets a moment.
                await asyncio.sleep(pause * _RANDOM.uniform(0.5, 1.5))
                pause *= 2
        self._roast.pass_over(who)
        return None

    async def _share(self, who: Identifier, session: Session, session_id: bytes) -> bytes | None:
        """Have the member sign. The session id of its next commitment; None if it is out."""
        following = self._owner.randomness(SESSION_ID_BYTES)
        request = ShareRequest(session_id, session.package.commitments, following)
        reply = await self._ask(who, SHARE_PATH, request.to_bytes())
        self._news.set()
        if self._roast.signature is not None:
            return following
        if not isinstance(reply, bytes):
            self._roast.pass_over(who)
            culprit = not _may_be_honest(reply)
            self._owner.exclude(who, str(reply), self._ledger, malicious=False, culprit=culprit)
            return None
        try:
            answer = ShareReply.from_bytes(reply)
            if answer.following is None:
                raise DecodeError("The signature share came without the commitment that was asked for.")
            self._roast.add_share(session.number, who, answer.share, answer.following)
        except DecodeError as error:
            self._roast.blame(who, str(error))
        return following if self._roast.standing(who) is Standing.READY else None

    async def _ask(self, who: Identifier, path: str, body: bytes) -> _Reply:
        signer = self._owner.signer
        try:
            if who != self._owner.local:
                return await self._owner.peers[who].call(path, body, self._limits.round_seconds)
            if path == COMMIT_PATH:
                return await signer.answer_commit(who, body)
            return await signer.answer_share(who, body)
        except (ProtocolError, NotAuthorised) as error:
            return error


def _may_be_honest(refusal: ProtocolError | NotAuthorised) -> bool:
    """A signer that commits and then says no may have seen a reorg or restarted: it is left out, and not blamed."""
    if isinstance(refusal, PeerRefused):
        return refusal.peer_code in _HONEST_CODES
    return isinstance(refusal, (NotAuthorised, NonceSpent, Busy))
