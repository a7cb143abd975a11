"""The signer behind its rules: it answers for batches of bodies, and for nothing else. No socket, no file but the ledger.

Guarantees: what is signed is computed from the bodies by `Rules`; no share leaves before the ledger has the batch on disk; a
session belongs to the coordinator that began it and to its one batch, also in the session that follows; every refusal is logged
and counted by its reason; nonces live in memory only, so they die with this process.
Does not believe the node about anything. It cannot see the chains, so a node that is taken over can have each place signed once,
within kinds, gateways and rates.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import structlog

from bridges.frost.coordinator import CommitRequest, ShareRequest
from bridges.frost.errors import Busy, FrostError, NonceSpent, NotAuthorised
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.rates import TokenBucket
from bridges.frost.signer import Signer, SignerLimits
from bridges.frost.signer_ledger import Ledger
from bridges.frost.signer_rules import Batch, RuleRefused, Rules
from bridges.frost.signer_wire import CommitReply
from bridges.frost.signing import NonceCommitment

_log: Final = structlog.get_logger(__name__)

MAX_HELD: Final = 131_072
"""Messages in batches whose sessions are open; the oldest sessions are forgotten beyond it (about 40 MB)."""
MAX_KNOWN: Final = 32_768
"""Messages in batches that the rules have approved and that need not be judged again."""
LIMITS: Final = SignerLimits()


@dataclass(frozen=True, slots=True)
class _Held:
    batch: Batch
    born: float


class SignerService:
    """One key share, its rules and its ledger. Call `close` to wipe the nonces and the share."""

    def __init__(
        self,
        share: KeyShare,
        rules: Rules,
        ledger: Ledger,
        rate: TokenBucket,
        *,
        limits: SignerLimits = LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share, self._rules, self._ledger, self._rate = share, rules, ledger, rate
        self._limits, self._clock = limits, clock
        self._signer = Signer(share, _batch_itself, limits=limits, clock=clock)
        # Oldest first: (coordinator, session id) -> what the session signs.
        self._held: OrderedDict[tuple[int, bytes], _Held] = OrderedDict()
        self._held_messages = 0
        # Least recently asked for first: hash of the bodies -> what the rules made of them.
        self._known: OrderedDict[bytes, Batch] = OrderedDict()
        self._known_messages = 0
        self.counts: Counter[str] = Counter()

    @property
    def share(self) -> KeyShare:
        """The key share that this signer uses."""
        return self._share

    @property
    def pending(self) -> int:
        """How many unused nonces are held."""
        return self._signer.pending

    async def commit(self, coordinator: Identifier, session_id: bytes, bodies: Sequence[bytes]) -> CommitReply:
        """A commitment for a batch, and what of it will be signed. Raises RuleRefused, Conflict, Busy, LedgerError, and as `Signer.answer_commit`."""
        with self._counted(coordinator):
            self._require_member(coordinator)
            if self._rate.take(1.0, self._clock()) > 0:
                raise Busy("This signer is asked for more sessions than its rate allows; ask again later.")
            batch = self._approved(bodies)
            self._ledger.check(batch.entries)
            request = CommitRequest(session_id, batch.signing_hash)
            _batch_in_hand.set(batch.signing_hash)
            reply = await self._signer.answer_commit(coordinator, request.to_bytes())
            self._hold(coordinator, session_id, batch)
            self.counts["commitments"] += 1
            return CommitReply(NonceCommitment.from_bytes(reply), batch.signing_hash)

    async def sign(self, coordinator: Identifier, request: bytes) -> bytes:
        """A share for the batch of a session, once. Raises Conflict, LedgerError, and as `Signer.answer_share`."""
        with self._counted(coordinator):
            self._require_member(coordinator)
            asked = ShareRequest.from_bytes(request)
            held = self._let_go(coordinator, asked.session_id)
            if held is None:
                raise NonceSpent("This signer has no such session: it was used, is too old, or died with its process.")
            try:
                # On disk before the share exists. A share that then fails leaves its place taken by a body that passed the rules.
                recorded = await self._ledger.record(held.batch.entries)
            except BaseException:
                self._signer.forget(coordinator, asked.session_id)
                raise
            _batch_in_hand.set(held.batch.signing_hash)
            reply = await self._signer.answer_share(coordinator, request)
            if asked.following is not None:
                self._hold(coordinator, asked.following, held.batch)
            self.counts["shares"] += 1
            self.counts["messages"] += recorded
            return reply

    def forget(self, coordinator: Identifier, session_ids: Sequence[bytes]) -> None:
        """Wipe the nonces of sessions that will not come about."""
        for session_id in session_ids:
            self._let_go(coordinator, session_id)
            self._signer.forget(coordinator, session_id)

    def counters(self) -> dict[str, int]:
        """Since this process started; refusals by reason."""
        return {**self.counts, "pending": self.pending, "ledger": len(self._ledger)}

    def close(self) -> None:
        """Wipe all nonces and the share, and let go of the ledger."""
        self._signer.close()
        self._share.signing_share.wipe()
        self._held.clear()
        self._ledger.close()

    def _require_member(self, coordinator: Identifier) -> None:
        if coordinator not in self._share.public.verifying_shares:
            raise RuleRefused("coordinator", f"Coordinator {coordinator} is not a member of this committee.")

    def _approved(self, bodies: Sequence[bytes]) -> Batch:
        """As `Rules.approve`, whose answer depends on the bodies alone; a large batch that is asked for again costs one hash."""
        state = hashlib.sha256()
        for body in bodies:
            state.update(len(body).to_bytes(4))
            state.update(body)
        key = state.digest()
        batch = self._known.get(key)
        if batch is not None:
            self._known.move_to_end(key)
            return batch
        batch = self._known[key] = self._rules.approve(bodies)
        self._known_messages += len(batch.entries)
        while self._known_messages > MAX_KNOWN and len(self._known) > 1:
            self._known_messages -= len(self._known.popitem(last=False)[1].entries)
        return batch

    def _hold(self, coordinator: int, session_id: bytes, batch: Batch) -> None:
        horizon = self._clock() - self._limits.nonce_seconds
        self._let_go(coordinator, session_id)
        self._held[coordinator, session_id] = _Held(batch, self._clock())
        self._held_messages += len(batch.entries)
        while self._held_messages > MAX_HELD or next(iter(self._held.values())).born <= horizon:
            who, oldest = next(iter(self._held))
            self._let_go(who, oldest)
            self._signer.forget(who, oldest)

    def _let_go(self, coordinator: int, session_id: bytes) -> _Held | None:
        held = self._held.pop((coordinator, session_id), None)
        if held is not None:
            self._held_messages -= len(held.batch.entries)
        return held

    @contextlib.contextmanager
    def _counted(self, coordinator: int) -> Iterator[None]:
        try:
            yield
        except (FrostError, NotAuthorised) as error:
            reason = error.code if isinstance(error, FrostError) else "not_authorised"
            reason = error.rule if isinstance(error, RuleRefused) else reason
            self.counts[f"refused_{reason}"] += 1
            _log.warning("signer_refused", coordinator=coordinator, reason=reason, error=str(error))
            raise


_batch_in_hand: ContextVar[bytes] = ContextVar("_batch_in_hand")
"""The signing hash of the batch that the present request was approved and recorded for."""


async def _batch_itself(context: bytes) -> bytes:
    """`authorise` of the signer inside, whose contexts are signing hashes.

    While a share waited for the disk, its session's nonces may have been evicted and its id taken for another batch: what was recorded
    and what would be signed must be the same.
    """
    if context != _batch_in_hand.get():
        raise NotAuthorised("This session belongs to another batch than the one that was recorded; commit again.")
    return context
