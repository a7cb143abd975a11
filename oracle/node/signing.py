"""How a node coordinates signatures over batches of what waits, and what it does with those that others coordinated.

Guarantees: one batch's signature is recorded for every work that it covers and told to the peers once; a work that is alone goes out at once; a
batch that fails leaves its works to smaller ones (`batches`), a work that fails alone to growing pauses; a signature that arrives before this
node has reached what it covers is kept, and counts when it has. Signatures of peers are checked and believed from nobody.
Does not decide what may be signed: every signer's own pipeline does.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import structlog

from oracle.errors import NotAuthorised, SibylError, SigningError
from oracle.node.batches import Batch, Batching, BatchLimits, Waiting, digests_of
from oracle.node.epochs import make_room
from oracle.node.gossip import TOPIC_ATTESTATION, decode_attestation, encode_attestation
from oracle.node.lanes import Turns
from oracle.pipeline import Attested, Sign, Work
from oracle.ports import GroupAttestation
from oracle.protocol.errors import ProtocolError
from oracle.protocol.quorum import quorum
from oracle.protocol.types import CommitteeEpoch, Digest

if TYPE_CHECKING:
    from oracle.node.core import Node

log = structlog.get_logger("sibyl.node")

MAX_EARLY = 16_384
"""Digests whose signature came before this node had reached them."""
LONGEST_PATIENCE = 15.0
WINDOW = 1024
"""Works that wait which are looked at for one plan: more than can be signed at once, so that a flood of them costs no more than these."""


class BatchSigner:
    """Signs what waits, for one node. `start` is called whenever something may have changed."""

    def __init__(self, node: "Node", pause_seconds: Callable[[int], float], limits: BatchLimits | None = None) -> None:
        """`pause_seconds(failures)`: how long a work rests that failed so often."""
        self._node = node
        self._pause_seconds = pause_seconds
        self._batching = Batching(limits)
        self._enough = quorum(len(node.member.committee)) - 1
        # Work -> (monotonic time until which it rests, how often it failed alone).
        self._rests: dict[Digest, tuple[float, int]] = {}
        self._early: OrderedDict[Digest, GroupAttestation] = OrderedDict()
        self._last_seconds = 0.0

    def start(self, group: asyncio.TaskGroup, owed: Turns) -> None:
        """Begin to sign what is to be signed now of all that is owed, in the order of their turns."""
        if not owed and not self._rests:
            return
        now = time.monotonic()
        self._rests = {work_id: rest for work_id, rest in self._rests.items() if Sign(work_id) in owed}
        waiting: list[Waiting] = []
        for errand in owed:
            work_id = errand.effect.work_id
            resting = work_id in self._rests and self._rests[work_id][0] > now
            if resting or self._batching.signing(work_id):
                continue
            if (work := self._node.pipeline.work(work_id)) is not None and work.to_sign:
                waiting.append(self._waiting(work))
            if len(waiting) >= WINDOW:
                break
        for batch in self._batching.begin(waiting, now, self._rests):
            group.create_task(self._attempt(batch), name="sign")

    def _waiting(self, work: Work) -> Waiting:
        depth = min(self._node.ports.branch_depth(work.deliverables[digest]) for digest in work.to_sign)
        work_id = work.message.digest
        return Waiting(work_id, work.to_sign, depth, self._batching.company(work_id), self._epochs(work))

    def _epochs(self, work: Work) -> frozenset[CommitteeEpoch] | None:
        """The epochs that all destinations of a work take; None when that is not known. One signature has one epoch."""
        taken = [self._node.ports.accepted(work.deliverables[digest].destination) for digest in work.to_sign]
        known = [epochs for epochs in taken if epochs is not None]
        return frozenset.intersection(*known) if len(known) == len(taken) else None

    async def _attempt(self, batch: Batch) -> None:
        signed = False
        try:
            await self._sign(batch)
            signed = True
        except (SibylError, ProtocolError) as error:
            self._rest(batch, error)
        finally:
            self._batching.ended(batch, time.monotonic(), signed=signed)
            self._node.wake()

    async def _sign(self, batch: Batch) -> None:
        node, digests = self._node, digests_of(batch)
        began = time.monotonic()
        try:
            # A batch that one of its messages holds up must not hold up the others for as long as signing may take.
            async with asyncio.timeout(self._patience() if len(batch) > 1 else None):
                attestation = await node.ports.committee.sign(digests)
            self._last_seconds = time.monotonic() - began
        except TimeoutError:
            raise SigningError(f"No signature over a batch of {len(batch)} came about in time.") from None
        except SigningError:
            if len(batch) == 1:
                # A member that was away when the proof was spread has nothing to check; it gets it again before the next attempt.
                await node.duties.spread_proof_again(batch[0].work_id)
            raise
        refusal = await self._keep([work.work_id for work in batch], attestation)
        if refusal is not None:
            raise refusal
        node.metrics.signed(len(batch))
        await node.ports.peers.publish(TOPIC_ATTESTATION, encode_attestation(attestation), self._enough)

    def _patience(self) -> float:
        """For a batch of several works: more on a slow machine or network, where every signature takes long."""
        least = self._batching.limits.patience
        return min(max(least, 3 * self._last_seconds), max(least, LONGEST_PATIENCE))

    def _rest(self, batch: Batch, error: Exception) -> None:
        self._node.metrics.failed("sign", error)
        until = time.monotonic() + self._pause_seconds(1)
        for work in batch:
            _, failures = self._rests.get(work.work_id, (0.0, 0))
            if len(batch) == 1:
                failures += 1
                until = time.monotonic() + self._pause_seconds(failures)
            self._rests[work.work_id] = until, failures
        log.warning("signing failed", works=len(batch), first=batch[0].work_id.hex()[:16], error=str(error))

    # ---- what peers coordinated ----

    async def take(self, peer: int, body: bytes) -> bytes:
        """A signature that a peer coordinated: checked under the group key, then kept for each message that it covers.

        Raises NotAuthorised for one that is not the committee's, or that contradicts all that this node has reached of it.
        """
        node, attestation = self._node, decode_attestation(body)
        if not node.ports.committee.check(attestation):
            node.metrics.bad_signatures.labels(peer=str(peer)).inc()
            log.error("bad signature", peer=peer)
            raise NotAuthorised("That is not the committee's signature.")
        reached: dict[Digest, None] = {}
        early = 0
        for digest in attestation.digests:
            work = node.pipeline.owner(digest)
            if work is None or work.ready_at is None:
                early += 1
                self._remember(digest, attestation)
            else:
                reached[work.message.digest] = None
        refusal = await self._keep(list(reached), attestation)
        if refusal is not None and not early:
            raise NotAuthorised(str(refusal)) from refusal
        return b""

    def _remember(self, digest: Digest, attestation: GroupAttestation) -> None:
        self._early[digest] = attestation
        self._early.move_to_end(digest)
        while len(self._early) > MAX_EARLY:
            self._early.popitem(last=False)

    async def keep_early(self, changed: Iterable[Digest]) -> None:
        """Record the signatures that came before this node had reached what they cover, as far as it has now, of the works that changed.

        What cannot be recorded is forgotten: the work is then signed again, or learnt of from its destination.
        """
        if not self._early:
            return
        ready: dict[int, tuple[GroupAttestation, dict[Digest, None]]] = {}
        for work_id in changed:
            work = self._node.pipeline.work(work_id)
            if work is None or work.ready_at is None:
                continue
            for digest in work.deliverables:
                if (attestation := self._early.pop(digest, None)) is not None:
                    ready.setdefault(id(attestation), (attestation, {}))[1][work_id] = None
        for attestation, works in ready.values():
            try:
                await self._keep(list(works), attestation)
            except SibylError as error:
                self._node.metrics.failed("attestation", error)
                log.warning("early signature not kept", error=str(error))

    async def _keep(
        self, works: Sequence[Digest], attestation: GroupAttestation
    ) -> ProtocolError | NotAuthorised | None:
        """Record a signature for all works that take it, in one write. None if one did or there was none; otherwise why not."""
        node, events = self._node, []
        refusal: ProtocolError | NotAuthorised | None = None
        for work_id in works:
            event = Attested(work_id, attestation, node.clock())
            try:
                if (work := node.pipeline.work(work_id)) is not None:
                    await make_room(node, work, attestation)
                node.pipeline.preview(event)
            except (ProtocolError, NotAuthorised) as error:
                refusal = error
            else:
                events.append(event)
        if not events:
            return refusal
        try:
            await node.record(*events)
        except ProtocolError:
            # One of them ended or lapsed meanwhile.
            return await self._keep_each(events)
        return None

    async def _keep_each(self, events: Sequence[Attested]) -> ProtocolError | None:
        refusals = []
        for event in events:
            try:
                await self._node.record(event)
            except ProtocolError as error:
                refusals.append(error)
        return refusals[-1] if len(refusals) == len(events) else None
