"""The node: one owned task group around the pure pipeline.

Order of every step: journal first, act second, confirm third. An event is on disk before the pipeline shows it, and the pipeline alone says
what is due. All effects are safe to repeat, so a crash at any point is answered by `due` after replay.

It does not talk to a chain, a peer or a model itself; the ports do. What is expected to fail (SibylError, ProtocolError) is logged and tried
again with growing pauses; anything else ends the group, and the process with it.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from oracle.errors import SibylError
from oracle.node.agreement import EndpointHealth
from oracle.node.demand import ProofDesk
from oracle.node.dispatch import Dispatcher, pause_seconds
from oracle.node.duties import Duties
from oracle.node.limits import Limits
from oracle.node.metrics import Metrics
from oracle.node.signing import BatchSigner
from oracle.pipeline import Event, Member, Millis, Observed, Pipeline, Work
from oracle.ports import ChainReader, ChainSubmitter, Cursor, Peers, Prover, Receipt, SigningCommittee
from oracle.protocol.constants import MERKLE_MAX_DEPTH
from oracle.protocol.errors import ProtocolError
from oracle.protocol.message import Message, Outcome
from oracle.protocol.types import CommitteeEpoch, Digest, Endpoint

T = TypeVar("T")
log = structlog.get_logger("sibyl.node")

MAX_RECEIPTS = 10_000
ROOM_SECONDS = 5.0
"""Between two looks whether there is room to read on."""


class EventLog(Protocol):
    """The journal, as the node needs it (see `oracle.journal`). Calls block; the node makes them from one thread. All raise JournalError."""

    def replay(self) -> Iterator[Event]:
        """Every event that was ever appended, in order."""

    def append(self, events: tuple[Event, ...], cursor: tuple[Endpoint, Cursor] | None = None) -> None:
        """All of it is on disk when this returns, or nothing is."""

    def cursor(self, origin: Endpoint) -> Cursor:
        """Where the reader of `origin` goes on; 0 at first."""

    def forget(self, works: Iterable[Digest]) -> int:
        """Remove all events of these works at once, or none; how many."""

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
    held: bool = False
    """Whether it waits for room: as many messages of this chain are open as the node takes on."""


def wall_clock() -> Millis:
    """This node's clock."""
    return Millis(time.time_ns() // 1_000_000)


class Node:
    """A committee member. `run` serves until it is cancelled."""

    def __init__(
        self,
        member: Member,
        journal: EventLog,
        ports: Ports,
        metrics: Metrics,
        clock: Callable[[], Millis] = wall_clock,
        limits: Limits | None = None,
    ) -> None:
        self.member = member
        self.ports = ports
        self.metrics = metrics
        self.clock = clock
        self.limits = limits or Limits()
        self.pipeline = Pipeline()
        self.readers = {reader.origin: ReaderHealth() for reader, _ in ports.readers}
        self._journal = journal
        # One thread owns the journal's file, so that a slow disk never holds up the event loop.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._record_lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()
        self.duties = Duties(self)
        self.demands = ProofDesk(self)
        self.signing = BatchSigner(self, pause_seconds, self.limits.batches)
        self.receipts: OrderedDict[Digest, Receipt] = OrderedDict()
        self._replay()
        self.dispatcher = Dispatcher(self, self.limits)

    def _replay(self) -> None:
        kinds: Counter[str] = Counter()
        for event in self._journal.replay():
            self.pipeline.apply(event)
            kinds[type(event).__name__] += 1
        for kind, count in kinds.items():
            self.metrics.events.labels(kind=kind).inc(count)
        log.info("journal replayed", events=kinds.total(), open=sum(1 for _ in self.pipeline.open_works()))

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
            self.dispatcher.touch(event.work_id for event in news)
            async with self._changed:
                self._changed.notify_all()
            self._wake.set()

    async def forget(self, works: Sequence[Digest]) -> None:
        """Drop finished works from disk, then from memory. Raises JournalError or IllegalTransition; then nothing is gone."""
        async with self._record_lock:
            self.pipeline.require_finished(works)
            await self._on_disk(self._journal.forget, works)
            self.duties.forget(works)
            self.pipeline.forget(works)
            self.dispatcher.touch(works)

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
                group.create_task(self.dispatcher.run(group, self._wake), name="dispatch")
                group.create_task(self.demands.serve(), name="proofs on demand")
        finally:
            self._disk.submit(self._journal.close)
            self._disk.shutdown(wait=True)

    async def _read(self, reader: ChainReader, rest: float) -> None:
        health = self.readers[reader.origin]
        cursor = await self._on_disk(self._journal.cursor, reader.origin)
        failures = 0
        while True:
            health.cursor = cursor
            await self._room(reader.origin)
            try:
                reading = await reader.read(cursor)
                await self._observe(reader.origin, reading.messages, reading.cursor, cursor)
            except (SibylError, ProtocolError) as error:
                failures += 1
                health.last_error = str(error)
                self.metrics.failed("read", error)
                log.warning("reading failed", chain=str(reader.origin.chain), error=str(error), failures=failures)
                await asyncio.sleep(pause_seconds(failures))
                continue
            failures = 0
            health.last_success = time.monotonic()
            if reading.cursor == cursor:
                await asyncio.sleep(rest)
            cursor = reading.cursor

    async def _room(self, origin: Endpoint) -> None:
        """Wait until there is room for more messages of a chain. What is not read stays on the chain, and is read from the cursor on."""
        health, most = self.readers[origin], self.limits.open_works
        while self.pipeline.waiting(origin) >= most:
            if not health.held:
                health.held = True
                log.warning("not read for want of room", chain=str(origin.chain), open=most)
            health.last_success = time.monotonic()
            await self.wait_until(lambda: self.pipeline.waiting(origin) < most, ROOM_SECONDS)
        health.held = False

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
