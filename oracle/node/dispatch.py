"""Runs what the pipeline says is due: picks it by lanes, starts it, and has it rest after a failure or a look that found nothing new.

Guarantees: each effect runs once at a time; each duty at each place has room of its own (`lanes`); a message that stays undeliverable
is given up, journalled with its reason, after the tries and the time of `Patience`. What is expected to fail (SibylError, ProtocolError) is
logged and tried again with growing pauses; anything else ends the node's group. Signatures are made over batches (`signing`).
"""

import asyncio
import math
import random
import time
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import structlog

from oracle.errors import ChainError, Rejected, SibylError
from oracle.node.lanes import Errand, Lane, Lanes, Turns
from oracle.node.limits import CLOSED, Limits
from oracle.pipeline import Agenda, Check, DeadLettered, Effect, Infer, Lapse, Prove, Sign, Submit, Work
from oracle.protocol.errors import ProtocolError
from oracle.protocol.message import InferenceRequest, Message
from oracle.protocol.tokens import TokenTransfer
from oracle.protocol.types import Digest, Kind

if TYPE_CHECKING:
    from oracle.node.core import Node

log = structlog.get_logger("sibyl.node")

TICK_SECONDS = 0.05
LONGEST_LULL = 0.5
"""Between two looks at what is due, when each look is long."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
CHECK_SECONDS = 0.3
"""Between two looks at a delivery that has not changed, while few works are open; with more of them each is looked at less often."""
MAX_REASON = 500
"""Characters of a reason that are kept: a chain writes it."""
SHELVED_CHECK_SECONDS = 60.0
"""Between two looks at what this node gave up: others may still deliver it."""
_RANDOM = random.SystemRandom()


def pause_seconds(failures: int) -> float:
    """Doubling from FIRST_PAUSE to LONGEST_PAUSE, with jitter so that members do not retry in step."""
    longest = min(LONGEST_PAUSE, math.ldexp(FIRST_PAUSE, min(failures, 10)))
    return longest * _RANDOM.uniform(0.5, 1.0)


def requester_of(message: Message) -> Hashable:
    """Who takes turns: who sent it; behind a token bridge, who sent tokens by it.

    Any contract can name anybody in such a payload, so the contract itself is always part of it.
    """
    if message.kind is Kind.MESSAGE:
        try:
            transfer = TokenTransfer.from_bytes(
                message.payload,
                origin=message.origin.chain.chain_type,
                destination=message.destination.chain.chain_type,
            )
        except ProtocolError:
            pass
        else:
            return message.origin, message.sender, transfer.sender
    return message.origin, message.sender


class Dispatcher:
    """Carries out what one node owes."""

    def __init__(self, node: "Node", limits: Limits) -> None:
        self._node, self._limits = node, limits
        self._agenda = Agenda(node.pipeline, node.member)
        self._lanes = Lanes(self._cap, limits.full)
        self._owed: dict[Digest, dict[Effect, Errand]] = {}
        self._signs = Turns(limits.full)
        self._fresh: dict[Digest, None] = {}

    def touch(self, work_ids: Iterable[Digest]) -> None:
        """The state of these works changed, or they were forgotten."""
        touched = dict.fromkeys(work_ids)
        self._agenda.touch(touched)
        self._fresh.update(touched)

    def waiting(self) -> dict[Lane, int]:
        """What waits or rests, by lane."""
        return self._lanes.waiting()

    async def run(self, group: asyncio.TaskGroup, wake: asyncio.Event) -> None:
        """Start what is due, whenever something changed or a moment has passed, until cancelled."""
        while True:
            wake.clear()
            used = time.thread_time()
            fresh, self._fresh = self._fresh, {}
            await self._node.signing.keep_early(fresh)
            self._update()
            for errand in self._lanes.begin(time.monotonic()):
                group.create_task(self._attempt(errand), name=type(errand.effect).__name__)
            self._node.signing.start(group, self._signs)
            # With thousands of changes a look takes a while, and each change asks for one: never more than a tenth of the processor.
            await asyncio.sleep(min(LONGEST_LULL, 9 * (time.thread_time() - used)))
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await wake.wait()
            except TimeoutError:
                pass

    def _update(self) -> None:
        """Take in what is owed now and was not before, and the other way round."""
        for work_id, effects in self._agenda.update(self._node.clock()).items():
            owed = self._owed.setdefault(work_id, {})
            for effect in [effect for effect in owed if effect not in effects]:
                errand = owed.pop(effect)
                if isinstance(effect, Sign):
                    self._signs.remove(errand)
                else:
                    self._lanes.cancel(effect)
            work = self._node.pipeline.work(work_id)
            for effect in effects:
                if effect in owed or work is None:
                    continue
                errand = self._errand(work, effect)
                if isinstance(effect, Sign):
                    self._signs.add(errand)
                else:
                    errand = self._lanes.owe(errand)
                owed[effect] = errand
            if not owed:
                del self._owed[work_id]

    def _errand(self, work: Work, effect: Effect) -> Errand:
        message = work.message
        place: Hashable = None
        fee = 0
        if isinstance(effect, Submit | Check):
            place = work.deliverables[effect.digest].destination
        elif isinstance(effect, Lapse):
            place = message.destination
        elif isinstance(effect, Infer | Prove):
            # Fees of different chains cannot be compared, so each origin has its own.
            place, fee = message.origin, InferenceRequest.from_bytes(message.payload).fee
        return Errand(effect, Lane(type(effect).__name__.lower(), place), requester_of(message), fee)

    def _cap(self, lane: Lane) -> int:
        limits = self._limits
        caps = {"submit": limits.submits, "check": limits.checks, "infer": limits.infers, "prove": limits.proves}
        return caps.get(lane.duty, limits.others)

    async def _attempt(self, errand: Errand) -> None:
        effect, failed = errand.effect, None
        rest = 0.0
        # While a delivery is under way there is no use in asking whether it arrived.
        in_vain = isinstance(effect, Check) and self._lanes.running(Submit(effect.work_id, effect.digest))
        try:
            if in_vain or not await self._node.duties.perform(effect):
                rest = self._until_next_look(errand)
            else:
                failed = False
        except (SibylError, ProtocolError) as error:
            failed = True
            rest = pause_seconds(errand.failures + 1) * self._lanes.crowd(errand.lane)
            self._node.metrics.failed(errand.lane.duty, error)
            log.warning("attempt failed", duty=errand.lane.duty, request=effect.work_id.hex()[:16], error=str(error))
            await self._maybe_give_up(errand, error)
        finally:
            self._lanes.ended(errand, time.monotonic() + rest, failed=failed)
            self._node.wake()

    def _until_next_look(self, errand: Errand) -> float:
        work = self._node.pipeline.work(errand.effect.work_id)
        if work is not None and isinstance(errand.effect, Check) and errand.effect.digest in work.shelved:
            return SHELVED_CHECK_SECONDS
        return CHECK_SECONDS * self._lanes.crowd(errand.lane)

    # ---- what cannot be delivered ----

    async def _maybe_give_up(self, errand: Errand, error: Exception) -> None:
        effect, node = errand.effect, self._node
        if not isinstance(effect, Submit) or not isinstance(error, ChainError):
            return
        work = node.pipeline.work(effect.work_id)
        if work is None or not self._is_undeliverable(work, effect.digest, errand.failures + 1, error):
            return
        letter = work.letter(effect.digest)
        number = 1 if letter is None else letter.number + 1
        try:
            await node.record(
                DeadLettered(effect.work_id, effect.digest, number, str(error)[:MAX_REASON], node.clock())
            )
        except (SibylError, ProtocolError) as failure:
            # It was delivered or closed meanwhile, or the disk is full: then it is tried again.
            log.warning("not given up", request=effect.work_id.hex()[:16], error=str(failure))
            return
        log.error("given up", request=effect.work_id.hex()[:16], digest=effect.digest.hex(), reason=str(error))

    def _is_undeliverable(self, work: Work, digest: Digest, tries: int, error: ChainError) -> bool:
        patience = self._limits.patience
        refused = isinstance(error, Rejected) and error.reason not in CLOSED
        enough = patience.refused_tries if refused else patience.failed_tries
        seconds = patience.refused_seconds if refused else patience.failed_seconds
        since = work.attested_at if work.attested_at is not None else work.ready_at
        letter = work.letter(digest)
        if since is None or tries < enough:
            return False
        if letter is not None:
            since = max(since, letter.at)
        return self._node.clock() - since >= seconds * 1000
