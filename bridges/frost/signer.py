"""The signer: one member's side of both rounds, which answers coordinators.

Guarantees: it signs only what its own `authorise` returns for a context, asked in both rounds, never a value that a coordinator
names; nonces live in memory only, are bounded in number and age, belong to one coordinator, one session id and one context, and
are taken out before anything else happens to a share request, so that no second answer is possible; refusals are counted by
coordinator and logged.
Does not decide what is right to sign, and persists nothing.

Why nonces made in advance are safe here. ROAST asks for the next commitment together with a share, so at times a signer holds
a nonce of which it does not know in which session, over which commitments, it will serve. FROST is proven for that: a signer's
effective nonce is d + rho·e, and rho hashes the group key, the message and the whole list of commitments. Whoever opens many
sessions at once (Drijvers; ROS) chooses among lists, but each choice draws every rho anew, so the challenges of concurrent
sessions are never linear in something that he controls. This code asks for more: such a nonce is bound to the coordinator and
context of the session before, it is never used for another message, and `authorise` decides again before it is used. A
commitment that serves *any* context would save the first round trip; it is left out, since what a nonce may serve would then
be decided by the coordinator alone until the last moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import (
    DecodeError,
    FrostError,
    IllegalTransition,
    KeyMaterialError,
    NonceSpent,
    NotAuthorised,
)
from bridges.frost.keygen import KeyShare, Randomness
from bridges.frost.signing import (
    COMMIT_RANDOMNESS_BYTES,
    MESSAGE_BYTES,
    NonceCommitment,
    SigningNonces,
    commit,
    prepare,
    sign,
)
from bridges.frost.transport import PeerServer
from oracle.protocol.errors import ProtocolError

_log: Final = structlog.get_logger(__name__)

COMMIT_PATH: Final = "/frost/v1/commit"
SHARE_PATH: Final = "/frost/v1/share"

Authorise = Callable[[bytes], Awaitable[bytes]]
"""Given a context, checks that the node's own pipeline reached all of it and returns the 32 bytes to sign, or raises
NotAuthorised(reason). The reason is shown to the coordinator."""


async def decided(authorise: Authorise, context: bytes, seconds: float) -> bytes:
    """The 32 bytes that `authorise` allows for a context. Raises NotAuthorised, also when that takes too long, and DecodeError for others."""
    try:
        async with asyncio.timeout(seconds):
            message = await authorise(context)
    except TimeoutError:
        raise NotAuthorised("This node could not decide in time whether to sign; ask again.") from None
    if len(message) != MESSAGE_BYTES:
        raise DecodeError(f"authorise must return {MESSAGE_BYTES} bytes, not {len(message)}; correct the node.")
    return message


@dataclass(frozen=True, slots=True)
class SignerLimits:
    """Bounds on a signer."""

    pending_per_peer: int = 128
    """Unused nonces kept for one coordinator. Beyond it the oldest spares are wiped (nonces made in case a session fails), then the
    oldest of all."""
    nonce_seconds: float = 60.0
    """Age at which unused nonces are wiped."""
    authorise_seconds: float = 2.0
    """For the node to decide; below the coordinator's `round_seconds`, so that the refusal still arrives."""


@dataclass(slots=True)
class SignerCounts:
    """What a signer has done since it started."""

    shares: int = 0
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Refusals by coordinator and code ("not_authorised", "nonce_spent", "decode", ...)."""


@dataclass(slots=True)
class _Pending:
    nonces: SigningNonces
    context: bytes
    message: bytes
    born: float
    spare: bool


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
        # By coordinator, oldest first: session id -> nonces.
        self._pending: dict[int, OrderedDict[bytes, _Pending]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self.counts = SignerCounts()

    @property
    def share(self) -> KeyShare:
        """The key share that this signer uses."""
        return self._share

    @property
    def pending(self) -> int:
        """How many unused nonces are held."""
        return sum(len(held) for held in self._pending.values())

    def register(self, server: PeerServer) -> None:
        """Serve both rounds to the server's pinned peers."""
        server.route(COMMIT_PATH, self.answer_commit)
        server.route(SHARE_PATH, self.answer_share)

    async def answer_commit(self, peer_id: int, body: bytes) -> bytes:
        """Round one, bytes to bytes, for the authenticated coordinator `peer_id`. Raises DecodeError and as `commit`."""
        with self._refusals_counted(peer_id):
            return (await self.commit(peer_id, CommitRequest.from_bytes(body))).to_bytes()

    async def answer_share(self, peer_id: int, body: bytes) -> bytes:
        """Round two, bytes to bytes, for the authenticated coordinator `peer_id`. Raises DecodeError and as `sign`."""
        with self._refusals_counted(peer_id):
            return (await self.sign(peer_id, ShareRequest.from_bytes(body))).to_bytes()

    async def authorised_message(self, context: bytes) -> bytes:
        """The 32 bytes that this node signs for `context`. Raises NotAuthorised, also when deciding takes too long."""
        return await decided(self._authorise, context, self._limits.authorise_seconds)

    async def commit(self, peer_id: int, request: CommitRequest) -> NonceCommitment:
        """Make nonces for one session. Raises NotAuthorised, and IllegalTransition for a session id still in use."""
        message = await self.authorised_message(request.context)
        return self._make(peer_id, request.session_id, request.context, message, spare=False)

    async def sign(self, peer_id: int, request: ShareRequest) -> ShareReply:
        """Use a session's nonces, once, whatever comes of it; and make those of the session that may follow, for the same context.

        Raises NonceSpent, NotAuthorised, and KeyMaterialError for a list that is not t members' commitments with ours.
        """
        pending = self._take(peer_id, request.session_id)
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
        following = None
        if request.following is not None:
            following = self._make(peer_id, request.following, pending.context, pending.message, spare=True)
        self.counts.shares += 1
        _log.info("frost_share_given", coordinator=peer_id, session=request.session_id.hex(), signers=package.signers)
        return ShareReply(share, following)

    def forget(self, peer_id: int, session_id: bytes) -> None:
        """Wipe the nonces of a session that will not come about, if there are any."""
        pending = self._take(peer_id, session_id)
        if pending is not None:
            pending.nonces.drop()

    def sweep(self) -> None:
        """Wipe nonces that are too old."""
        horizon = self._clock() - self._limits.nonce_seconds
        for peer_id, held in list(self._pending.items()):
            while held and next(iter(held.values())).born <= horizon:
                held.popitem(last=False)[1].nonces.drop()
            if not held:
                del self._pending[peer_id]

    def close(self) -> None:
        """Wipe all unused nonces. The key share stays its owner's."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for held in self._pending.values():
            for pending in held.values():
                pending.nonces.drop()
        self._pending.clear()

    def _make(self, peer_id: int, session_id: bytes, context: bytes, message: bytes, *, spare: bool) -> NonceCommitment:
        self.sweep()
        held = self._pending.setdefault(peer_id, OrderedDict())
        if session_id in held:
            raise IllegalTransition("This session id is in use; a coordinator draws a new one for each session.")
        while len(held) >= self._limits.pending_per_peer:
            oldest = next((key for key, value in held.items() if value.spare), next(iter(held)))
            held.pop(oldest).nonces.drop()
        nonces = commit(self._share, self._randomness(COMMIT_RANDOMNESS_BYTES))
        held[session_id] = _Pending(nonces, context, message, self._clock(), spare)
        self._schedule_sweep()
        return nonces.commitment

    def _take(self, peer_id: int, session_id: bytes) -> _Pending | None:
        self.sweep()
        held = self._pending.get(peer_id)
        return held.pop(session_id, None) if held is not None else None

    @contextlib.contextmanager
    def _refusals_counted(self, peer_id: int) -> Iterator[None]:
        try:
            yield
        except (ProtocolError, NotAuthorised) as error:
            code = error.code if isinstance(error, FrostError) else DecodeError.code
            code = "not_authorised" if isinstance(error, NotAuthorised) else code
            self.counts.refused[peer_id, code] += 1
            _log.info("frost_request_refused", coordinator=peer_id, code=code, reason=str(error))
            raise

    def _schedule_sweep(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._limits.nonce_seconds, self._swept)

    def _swept(self) -> None:
        self._sweeper = None
        self.sweep()
        if self._pending:
            self._schedule_sweep()
