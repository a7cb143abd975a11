"""Signing between processes: the signer that answers coordinators, and the coordinator that asks signers.

Guarantees, for a signer: it signs only what its own `authorise` returns for a context, asked in both rounds, never a value
that a coordinator names; nonces live in memory only, are bounded in number and age, belong to one coordinator and one
session, and are taken out before anything else happens to a share request, so that no second answer is possible.
For a coordinator: what `sign` returns verifies under the group public key; every wait is bounded, and so are attempts; who
broke the protocol or fell silent after committing is excluded from further attempts of that call and named.
Does not decide what is right to sign, persist anything, or remember culprits from one call to the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import structlog

from bridges.frost.coordinator import (
    SESSION_ID_BYTES,
    CommitRequest,
    ShareRequest,
    SigningSession,
)
from bridges.frost.errors import (
    Busy,
    DecodeError,
    FrostError,
    IllegalTransition,
    InvalidShare,
    KeyMaterialError,
    NonceSpent,
    NotAuthorised,
    PeerRefused,
    TooFewSigners,
)
from bridges.frost.group import Identifier
from bridges.frost.keygen import GroupPublicKey, KeyShare, Randomness
from bridges.frost.signing import (
    COMMIT_RANDOMNESS_BYTES,
    MESSAGE_BYTES,
    GroupSignature,
    NonceCommitment,
    SignatureShare,
    SigningNonces,
    SigningPackage,
    commit,
    prepare,
    sign,
)
from bridges.frost.transport import PeerCaller, PeerServer

_log: Final = structlog.get_logger(__name__)

COMMIT_PATH: Final = "/frost/v1/commit"
SHARE_PATH: Final = "/frost/v1/share"

_HONEST_CODES: Final = frozenset({"not_authorised", NonceSpent.code, Busy.code})

_Reply: TypeAlias = bytes | FrostError | NotAuthorised

Authorise = Callable[[bytes], Awaitable[bytes]]
"""Given a context, checks that the node's own pipeline reached all of it and returns the 32 bytes to sign, or raises
NotAuthorised(reason). The reason is shown to the coordinator."""


@dataclass(frozen=True, slots=True)
class SignerLimits:
    """Bounds on a signer."""

    pending_per_peer: int = 64
    """Unused nonces kept for one coordinator; the oldest are wiped beyond it."""
    nonce_seconds: float = 60.0
    """Age at which unused nonces are wiped."""
    authorise_seconds: float = 2.0
    """For the node to decide; below the coordinator's `round_seconds`, so that the refusal still arrives."""


@dataclass(slots=True)
class _Pending:
    nonces: SigningNonces
    context: bytes
    message: bytes
    born: float


class Signer:
    """One participant's side of both rounds. Call `register` to serve remote coordinators and `close` to wipe the nonces."""

    def __init__(
        self,
        share: KeyShare,
        authorise: Authorise,
        *,
        limits: SignerLimits | None = None,
        randomness: Randomness = os.urandom,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`authorise` comes from the node. `randomness` and `clock` are arguments for tests."""
        self._share = share
        self._authorise = authorise
        self._limits = limits or SignerLimits()
        self._randomness = randomness
        self._clock = clock
        # Oldest first: (coordinator, session id) -> nonces.
        self._pending: OrderedDict[tuple[int, bytes], _Pending] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def share(self) -> KeyShare:
        """The key share that this signer uses."""
        return self._share

    @property
    def pending(self) -> int:
        """How many unused nonces are held."""
        return len(self._pending)

    def register(self, server: PeerServer) -> None:
        """Serve both rounds to the server's pinned peers."""
        server.route(COMMIT_PATH, self.answer_commit)
        server.route(SHARE_PATH, self.answer_share)

    async def answer_commit(self, peer_id: int, body: bytes) -> bytes:
        """Round one, bytes to bytes, for the authenticated coordinator `peer_id`. Raises DecodeError and as `commit`."""
        return (await self.commit(peer_id, CommitRequest.from_bytes(body))).to_bytes()

    async def answer_share(self, peer_id: int, body: bytes) -> bytes:
        """Round two, bytes to bytes, for the authenticated coordinator `peer_id`. Raises DecodeError and as `sign`."""
        return (await self.sign(peer_id, ShareRequest.from_bytes(body))).to_bytes()

    async def authorised_message(self, context: bytes) -> bytes:
        """The 32 bytes that this node signs for `context`. Raises NotAuthorised, also when deciding takes too long."""
        try:
            async with asyncio.timeout(self._limits.authorise_seconds):
                message = await self._authorise(context)
        except TimeoutError:
            raise NotAuthorised("This node could not decide in time whether to sign; ask again.") from None
        if len(message) != MESSAGE_BYTES:
            raise DecodeError(f"authorise must return {MESSAGE_BYTES} bytes, not {len(message)}; correct the node.")
        return message

    async def commit(self, peer_id: int, request: CommitRequest) -> NonceCommitment:
        """Make nonces for one session. Raises NotAuthorised, and IllegalTransition for a session id still in use."""
        message = await self.authorised_message(request.context)
        self.sweep()
        key = (peer_id, request.session_id)
        if key in self._pending:
            raise IllegalTransition("This session id is in use; a coordinator draws a new one for each session.")
        own = [other for other in self._pending if other[0] == peer_id]
        for oldest in own[: max(0, len(own) + 1 - self._limits.pending_per_peer)]:
            self._pending.pop(oldest).nonces.drop()
        nonces = commit(self._share, self._randomness(COMMIT_RANDOMNESS_BYTES))
        self._pending[key] = _Pending(nonces, request.context, message, self._clock())
        self._schedule_sweep()
        return nonces.commitment

    async def sign(self, peer_id: int, request: ShareRequest) -> SignatureShare:
        """Use a session's nonces, once, whatever comes of it.

        Raises NonceSpent, NotAuthorised, and KeyMaterialError for a list that is not t members' commitments with ours.
        """
        self.sweep()
        pending = self._pending.pop((peer_id, request.session_id), None)
        if pending is None:
            raise NonceSpent(
                "There are no signing nonces for this session: they were used, or are too old; commit again."
            )
        try:
            public = self._share.public
            if len(request.commitments) != public.threshold:
                raise KeyMaterialError(
                    f"A session has exactly {public.threshold} signers, not {len(request.commitments)}."
                )
            if await self.authorised_message(pending.context) != pending.message:
                raise NotAuthorised("What this context means has changed since the commitment; commit again.")
            package = prepare(public, pending.message, request.commitments)
            share = sign(self._share, pending.nonces, package)
        finally:
            pending.nonces.drop()
        _log.info("frost_share_given", coordinator=peer_id, session=request.session_id.hex(), signers=package.signers)
        return share

    def sweep(self) -> None:
        """Wipe nonces that are too old."""
        horizon = self._clock() - self._limits.nonce_seconds
        while self._pending and next(iter(self._pending.values())).born <= horizon:
            self._pending.popitem(last=False)[1].nonces.drop()

    def _schedule_sweep(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._limits.nonce_seconds, self._swept)

    def _swept(self) -> None:
        self._sweeper = None
        self.sweep()
        if self._pending:
            self._schedule_sweep()

    def close(self) -> None:
        """Wipe all unused nonces. The key share stays its owner's."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._pending:
            self._pending.popitem()[1].nonces.drop()


@dataclass(frozen=True, slots=True)
class CoordinatorLimits:
    """Bounds on one call of `SigningCoordinator.sign`."""

    attempts: int = 8
    round_seconds: float = 3.0
    total_seconds: float = 20.0
    pause_seconds: float = 0.1
    """Mean wait before asking again when too few were ready; doubles each time, with jitter."""


@dataclass(slots=True)
class _Ledger:
    """What one call of `sign` has learnt about the participants."""

    refusals: dict[int, str] = field(default_factory=dict)
    excluded: set[int] = field(default_factory=set)
    culprits: set[int] = field(default_factory=set)


class SigningCoordinator:
    """Runs signing sessions over the local signer and remote ones. Keeps nothing between calls; calls may overlap."""

    def __init__(
        self,
        signer: Signer,
        peers: Mapping[int, PeerCaller],
        *,
        limits: CoordinatorLimits | None = None,
        randomness: Randomness = os.urandom,
        on_excluded: Callable[[int, str], None] | None = None,
    ) -> None:
        """`peers`: the other participants by identifier. `on_excluded(identifier, reason)` hears of each exclusion.

        Raises KeyMaterialError unless local and remote are exactly the committee's participants.
        """
        self._signer = signer
        self._public = signer.share.public
        self._local = signer.share.identifier
        self._peers = {Identifier(peer_id): peer for peer_id, peer in peers.items()}
        self._limits = limits or CoordinatorLimits()
        self._randomness = randomness
        self._on_excluded = on_excluded
        if {*self._peers, self._local} != set(self._public.participants) or self._local in self._peers:
            raise KeyMaterialError(
                "The coordinator needs a way to each other participant of the committee, and to no one else."
            )

    @property
    def group_public_key(self) -> GroupPublicKey:
        """The key under which signatures verify."""
        return self._public.group_public_key

    async def sign(self, context: bytes) -> GroupSignature:
        """One committee signature over what `authorise` makes of `context`.

        Raises NotAuthorised if this node itself would not sign, TooFewSigners (a SigningError) after the last attempt or the
        deadline, DecodeError for a context that is empty or too long.
        """
        ledger = _Ledger()
        try:
            async with asyncio.timeout(self._limits.total_seconds):
                return await self._attempts(context, ledger)
        except TimeoutError:
            raise self._too_few(f"No signature within {self._limits.total_seconds:g} s", ledger) from None

    async def _attempts(self, context: bytes, ledger: _Ledger) -> GroupSignature:
        message = await self._signer.authorised_message(context)
        pause = self._limits.pause_seconds
        for attempt in range(1, self._limits.attempts + 1):
            request = CommitRequest(self._randomness(SESSION_ID_BYTES), context)
            session = SigningSession(self._public, message)
            package = await self._collect_commitments(session, request, ledger)
            if package is not None:
                signature = await self._collect_shares(session, request.session_id, package, ledger)
                if signature is not None:
                    _log.info("frost_signed", signers=package.signers, attempt=attempt, message=message.hex())
                    return signature
            if len(self._candidates(ledger)) < self._public.threshold:
                break
            if package is None and attempt < self._limits.attempts:
                # Nobody is to blame yet: peers that are behind, busy or restarting get a moment.
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  # jitter is no secret
                pause *= 2
        raise self._too_few("Too few participants signed", ledger)

    def _candidates(self, ledger: _Ledger) -> list[Identifier]:
        return [who for who in self._public.participants if who not in ledger.excluded]

    async def _collect_commitments(
        self, session: SigningSession, request: CommitRequest, ledger: _Ledger
    ) -> SigningPackage | None:
        """Ask every candidate; the first t to commit are the signers. None if fewer did."""
        package: SigningPackage | None = None
        candidates = self._candidates(ledger)
        replies: asyncio.Queue[tuple[Identifier, _Reply]] = asyncio.Queue(len(candidates))
        unheard, committed = set(candidates), 0
        async with asyncio.TaskGroup() as group:
            body = request.to_bytes()
            tasks = [group.create_task(self._ask(who, COMMIT_PATH, body, replies)) for who in candidates]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as patience:
                    while package is None and unheard:
                        if committed + len(unheard) < self._public.threshold and patience.when() is None:
                            # Out of reach: the rest are heard for a moment, so that the error can name them rightly.
                            patience.reschedule(asyncio.get_running_loop().time() + self._limits.pause_seconds)
                        who, reply = await replies.get()
                        unheard.remove(who)
                        package = self._take_commitment(session, who, reply, ledger)
                        committed += isinstance(reply, bytes) and who not in ledger.excluded
            for task in tasks:
                task.cancel()
        if package is None:
            for who in unheard:
                ledger.refusals.setdefault(who, "It had not answered when the quorum was out of reach.")
        return package

    def _take_commitment(
        self, session: SigningSession, who: Identifier, reply: _Reply, ledger: _Ledger
    ) -> SigningPackage | None:
        if not isinstance(reply, bytes):
            ledger.refusals[who] = str(reply)
            return None
        try:
            package = session.add_commitment(who, NonceCommitment.from_bytes(reply))
        except FrostError as error:
            self._exclude(who, str(error), ledger)
            return None
        ledger.refusals.pop(who, None)
        return package

    async def _collect_shares(
        self, session: SigningSession, session_id: bytes, package: SigningPackage, ledger: _Ledger
    ) -> GroupSignature | None:
        """Ask each signer for its share. None, with somebody excluded, if no signature came of it."""
        signature: GroupSignature | None = None
        replies: asyncio.Queue[tuple[Identifier, _Reply]] = asyncio.Queue(len(package.signers))
        async with asyncio.TaskGroup() as group:
            body = ShareRequest(session_id, package.commitments).to_bytes()
            for signer in package.signers:
                group.create_task(self._ask(signer, SHARE_PATH, body, replies))
            for _ in package.signers:
                who, reply = await replies.get()
                try:
                    if isinstance(reply, bytes):
                        signature = session.add_share(who, SignatureShare.from_bytes(reply))
                    else:
                        self._exclude(who, str(reply), ledger, culprit=not _may_be_honest(reply))
                except InvalidShare as error:
                    for bad in error.culprits:
                        self._exclude(Identifier(bad), str(error), ledger)
                except FrostError as error:
                    self._exclude(who, str(error), ledger)
        return signature

    async def _ask(
        self,
        who: Identifier,
        path: str,
        body: bytes,
        replies: asyncio.Queue[tuple[Identifier, _Reply]],
    ) -> None:
        reply: _Reply
        try:
            if who != self._local:
                reply = await self._peers[who].call(path, body, self._limits.round_seconds)
            elif path == COMMIT_PATH:
                reply = await self._signer.answer_commit(who, body)
            else:
                reply = await self._signer.answer_share(who, body)
        except (FrostError, NotAuthorised) as error:
            reply = error
        await replies.put((who, reply))

    def _exclude(self, who: Identifier, reason: str, ledger: _Ledger, *, culprit: bool = True) -> None:
        ledger.refusals[who] = reason
        ledger.excluded.add(who)
        if culprit:
            ledger.culprits.add(who)
        _log.warning("frost_signer_excluded", signer=who, reason=reason, culprit=culprit)
        if self._on_excluded is not None:
            self._on_excluded(who, reason)

    def _too_few(self, headline: str, ledger: _Ledger) -> TooFewSigners:
        said = (
            "; ".join(f"{who}: {reason.rstrip('.')}" for who, reason in sorted(ledger.refusals.items())) or "no answer"
        )
        text = f"{headline}; {self._public.threshold} are needed of {len(self._public.participants)} ({said})."
        _log.error("frost_too_few_signers", refusals=ledger.refusals, culprits=sorted(ledger.culprits))
        return TooFewSigners(text, ledger.refusals, ledger.culprits)


def _may_be_honest(refusal: FrostError | NotAuthorised) -> bool:
    """A signer that commits and then says no may have seen a reorg or restarted: it is left out, and not blamed."""
    return isinstance(refusal, NotAuthorised) or (
        isinstance(refusal, PeerRefused) and refusal.peer_code in _HONEST_CODES
    )
