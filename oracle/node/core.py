"""The node: one owned task group around the pure pipeline.

Order of every step: journal first, act second, confirm third. An event is on disk before the pipeline shows it, and the pipeline alone says
what is due. All effects are safe to repeat, so a crash at any point is answered by `due` after replay.

It does not talk to a chain, a peer or a model itself; the ports do. What is expected to fail (SibylError, ProtocolError) is logged and tried
again with growing pauses; anything else ends the group, and the process with it.
"""

import asyncio
import math
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from oracle.errors import SibylError
from oracle.node.agreement import EndpointHealth
from oracle.node.batches import BatchLimits
from oracle.node.duties import Duties
from oracle.node.metrics import Metrics
from oracle.node.signing import BatchSigner
from oracle.pipeline import Check, Effect, Event, Member, Millis, Observed, Pipeline, Sign, Submit, Work
from oracle.ports import ChainReader, ChainSubmitter, Cursor, Peers, Prover, Receipt, SigningCommittee
from oracle.protocol.constants import MERKLE_MAX_DEPTH
from oracle.protocol.errors import ProtocolError
from oracle.protocol.message import Message, Outcome
from oracle.protocol.types import CommitteeEpoch, Digest, Endpoint

T = TypeVar("T")
log = structlog.get_logger("sibyl.node")

TICK_SECONDS = 0.05
LONGEST_LULL = 0.5
"""Between two looks at what is due, when each look is long."""
MAX_RUNNING = 64
"""Effects that run at once; what is beyond that waits its turn, oldest work first."""
MAX_RECEIPTS = 10_000
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
CHECK_SECONDS = 0.3
"""Between two looks at a delivery that has not changed, while few works are open; with more of them each is looked at less often."""
MAX_CHECKS = 8
"""Looks at deliveries that run at once: they must never keep a delivery itself waiting."""


class EventLog(Protocol):
    """The journal, as the node needs it (see `oracle.journal`). Calls block; the node makes them from one thread. All raise JournalError."""

    def replay(self) -> Iterator[Event]:
        """Every event that was ever appended, in order."""

    def append(self, events: tuple[Event, ...], cursor: tuple[Endpoint, Cursor] | None = None) -> None:
        """All of it is on disk when this returns, or nothing is."""

    def cursor(self, origin: Endpoint) -> Cursor:
        """Where the reader of `origin` goes on; 0 at first."""

    def save_proof(self, proof: bytes, seconds: float | None = None) -> bytes:
        """Keep a proof; its keccak256."""

    def proof(self, proof_id: bytes) -> tuple[bytes, float | None]:
        """A kept proof, and the seconds that making it took here."""

    def close(self) -> None:
        """Release it."""


async def _approves_nothing(rotation: Message) -> bool:
    return False


def _any_epoch(destination: Endpoint) -> frozenset[CommitteeEpoch] | None:
    return None


def _no_objection(message: Message) -> str | None:
    return None


def _any_depth(message: Message) -> int:
    return MERKLE_MAX_DEPTH


@dataclass(frozen=True, slots=True)
class Ports:
    """The node's ways to the world; `readers` with the seconds to rest when there was nothing new."""

    readers: tuple[tuple[ChainReader, float], ...]
    submitters: dict[Endpoint, ChainSubmitter]
    infer: Callable[[Message], Awaitable[Outcome]]
    """This node's own outcome of a request. Raises ProofError when a worker failed (try again)."""
    prover: Prover
    committee: SigningCommittee
    peers: Peers
    approves: Callable[[Message], Awaitable[bool]] = field(default=_approves_nothing)
    """Whether the operator holds the very key that a rotation brings."""
    accepted: Callable[[Endpoint], frozenset[CommitteeEpoch] | None] = field(default=_any_epoch)
    """The committee epochs whose signatures a destination takes, by a final state of it; None when that is not known."""
    objection: Callable[[Message], str | None] = field(default=_no_objection)
    """Why a message, as it was posted, must not be signed now; None when nothing speaks against it. Asked before each signature share."""
    branch_depth: Callable[[Message], int] = field(default=_any_depth)
    """Levels of a Merkle branch that a delivery of the message can carry: how many messages may share its signature."""
    endpoints: Mapping[Endpoint, Sequence[EndpointHealth]] = field(default_factory=dict)
    """By chain, what each of its RPC endpoints was like; only where there are several."""
    alarms: Callable[[], tuple[str, ...]] = field(default=tuple)
    """What an operator must look at at once, a sentence each; the node is not healthy meanwhile."""


@dataclass(slots=True)
class ReaderHealth:
    """What the last readings of one chain gave; times on the monotonic clock, in seconds."""

    cursor: int = 0
    last_success: float | None = None
    last_error: str = ""


@dataclass(slots=True)
class _Pause:
    until: float
    failures: int = 0


def wall_clock() -> Millis:
    """This node's clock."""
    return Millis(time.time_ns() // 1_000_000)


@dataclass(slots=True)
class _Running:
    """What is under way, and what pauses after a failure or a look that found nothing new."""

    tasks: set[Effect] = field(default_factory=set)
    pauses: dict[Effect, _Pause] = field(default_factory=dict)
    crowd: float = 1.0
    """How many times more deliveries are to be looked at than looks may run at once."""


class Node:
    """A committee member. `run` serves until it is cancelled."""

    def __init__(
        self,
        member: Member,
        journal: EventLog,
        ports: Ports,
        metrics: Metrics,
        clock: Callable[[], Millis] = wall_clock,
        batches: BatchLimits | None = None,
    ) -> None:
        self.member = member
        self.ports = ports
        self.metrics = metrics
        self.clock = clock
        self.pipeline = Pipeline()
        self.readers = {reader.origin: ReaderHealth() for reader, _ in ports.readers}
        self._journal = journal
        # One thread owns the journal's file, so that a slow disk never holds up the event loop.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._record_lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()
        self._running = _Running()
        self.duties = Duties(self)
        self.signing = BatchSigner(self, _pause_seconds, batches)
        self.receipts: OrderedDict[Digest, Receipt] = OrderedDict()
        self._replay()

    def _replay(self) -> None:
        count = 0
        for event in self._journal.replay():
            self.metrics.recorded(event, self.pipeline.apply(event))
            count += 1
        log.info("journal replayed", events=count, open=sum(1 for _ in self.pipeline.open_works()))

    # ---- state ----

    async def record(self, *events: Event, cursor: tuple[Endpoint, Cursor] | None = None) -> None:
        """Journal events that the pipeline accepts, then show them.

        Raises ProtocolError (nothing recorded) when one is illegal, JournalError (nothing recorded) when the disk fails.
        """
        async with self._record_lock:
            news = tuple(
                event for event in events if self.pipeline.preview(event) is not self.pipeline.work(event.work_id)
            )
            if news or cursor is not None:
                await self._on_disk(self._journal.append, news, cursor)
            for event in news:
                work = self.pipeline.apply(event)
                self.metrics.recorded(event, work)
                log.info(
                    "recorded", what=type(event).__name__, request=event.work_id.hex()[:16], stage=work.stage.value
                )
        if news:
            async with self._changed:
                self._changed.notify_all()
            self._wake.set()

    async def _on_disk(self, call: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *arguments)

    async def save_proof(self, proof: bytes, seconds: float | None = None) -> bytes:
        """Keep a proof; its keccak256."""
        return await self._on_disk(self._journal.save_proof, proof, seconds)

    async def proof(self, proof_id: bytes) -> tuple[bytes, float | None]:
        """A kept proof, and the seconds that making it took if this node made it."""
        return await self._on_disk(self._journal.proof, proof_id)

    def keep_receipt(self, digest: Digest, receipt: Receipt) -> None:
        """Remember what a delivery of this node cost, for whoever asks; the oldest go first, and none survives a restart."""
        self.receipts[digest] = receipt
        while len(self.receipts) > MAX_RECEIPTS:
            self.receipts.popitem(last=False)

    def wake(self) -> None:
        """Look again at what is due."""
        self._wake.set()

    async def wait_until(self, holds: Callable[[], bool], timeout: float) -> bool:
        """Whether `holds` became true within `timeout` seconds; asked again after every change of the state."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            return False
        return True

    async def wait_for(self, work_id: Digest, ready: Callable[[Work], bool], timeout: float) -> Work | None:
        """The work once it satisfies `ready`; None after `timeout` seconds."""

        def found() -> Work | None:
            work = self.pipeline.work(work_id)
            return work if work is not None and ready(work) else None

        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: found() is not None)
        except TimeoutError:
            return None
        return found()

    # ---- the shell ----

    async def run(self) -> None:
        """Read, infer, prove, sign and deliver until cancelled. An unexpected error ends the whole group."""
        try:
            async with asyncio.TaskGroup() as group:
                for reader, rest in self.ports.readers:
                    group.create_task(self._read(reader, rest), name=f"read {reader.origin.chain}")
                group.create_task(self._dispatch(group), name="dispatch")
        finally:
            self._disk.submit(self._journal.close)
            self._disk.shutdown(wait=True)

    async def _read(self, reader: ChainReader, rest: float) -> None:
        health = self.readers[reader.origin]
        cursor = await self._on_disk(self._journal.cursor, reader.origin)
        failures = 0
        while True:
            health.cursor = cursor
            try:
                reading = await reader.read(cursor)
                await self._observe(reader.origin, reading.messages, reading.cursor, cursor)
            except (SibylError, ProtocolError) as error:
                failures += 1
                health.last_error = str(error)
                self.metrics.failed("read", error)
                log.warning("reading failed", chain=str(reader.origin.chain), error=str(error), failures=failures)
                await asyncio.sleep(_pause_seconds(failures))
                continue
            failures = 0
            health.last_success = time.monotonic()
            if reading.cursor == cursor:
                await asyncio.sleep(rest)
            cursor = reading.cursor

    async def _observe(self, origin: Endpoint, messages: tuple[Message, ...], cursor: Cursor, before: Cursor) -> None:
        now = self.clock()
        observed = [Observed(message, now) for message in messages]
        for event in tuple(observed):
            try:
                self.pipeline.preview(event)
            except ProtocolError as error:
                # The gateway's own contract cannot post such a message; it must not keep the others from being read.
                observed.remove(event)
                self.metrics.failed("observe", error)
                log.error("post ignored", chain=str(origin.chain), sequence=event.message.sequence, error=str(error))
        if observed or cursor != before:
            await self.record(*observed, cursor=(origin, cursor))

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            used = time.thread_time()
            await self.signing.keep_early()
            signatures = []
            looks: list[Effect] = []
            for effect in self.pipeline.due(self.member, self.clock()):
                if isinstance(effect, Sign):
                    signatures.append(effect)
                elif isinstance(effect, Check):
                    looks.append(effect)
                else:
                    self._start(group, effect, MAX_RUNNING)
            under_way = sum(isinstance(effect, Check) for effect in self._running.tasks)
            self._running.crowd = max(1.0, len(looks) / MAX_CHECKS)
            for effect in looks:
                if under_way >= MAX_CHECKS:
                    break
                under_way += self._start(group, effect, MAX_RUNNING + MAX_CHECKS)
            self.signing.start(group, signatures)
            # With thousands of open works a look takes a while, and each change asks for one: never more than a tenth of the processor.
            await asyncio.sleep(min(LONGEST_LULL, 9 * (time.thread_time() - used)))
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _start(self, group: asyncio.TaskGroup, effect: Effect, most: int) -> bool:
        """Begin an effect unless it runs or rests, or `most` run already; whether it began."""
        if len(self._running.tasks) >= most or not self._may_start(effect):
            return False
        self._running.tasks.add(effect)
        group.create_task(self._attempt(effect), name=type(effect).__name__)
        return True

    def _may_start(self, effect: Effect) -> bool:
        tasks = self._running.tasks
        if effect in tasks:
            return False
        # While a delivery is under way there is no use in asking whether it arrived.
        if isinstance(effect, Check) and Submit(effect.work_id, effect.digest) in tasks:
            return False
        pause = self._running.pauses.get(effect)
        return pause is None or time.monotonic() >= pause.until

    async def _attempt(self, effect: Effect) -> None:
        name = type(effect).__name__.lower()
        try:
            done = await self.duties.perform(effect)
        except (SibylError, ProtocolError) as error:
            self._pause(effect, error)
            self.metrics.failed(name, error)
            log.warning("attempt failed", duty=name, request=effect.work_id.hex()[:16], error=str(error))
        else:
            self._running.pauses.pop(effect, None)
            if not done:
                self._running.pauses[effect] = _Pause(time.monotonic() + CHECK_SECONDS * self._running.crowd)
        finally:
            self._running.tasks.discard(effect)
            self._wake.set()

    def _pause(self, effect: Effect, error: Exception) -> None:
        failures = self._running.pauses.get(effect, _Pause(0.0)).failures + 1
        self._running.pauses[effect] = _Pause(time.monotonic() + _pause_seconds(failures), failures)


def _pause_seconds(failures: int) -> float:
    """Doubling from FIRST_PAUSE to LONGEST_PAUSE, with jitter so that members do not retry in step."""
    longest = min(LONGEST_PAUSE, math.ldexp(FIRST_PAUSE, min(failures, 10)))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
