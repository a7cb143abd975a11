"""Which waiting works are signed together: one committee signature over a Merkle root (PROTOCOL.md §2). Pure; times are arguments, in seconds.

Rules:
1. Every digest that waits is in exactly one batch, with all others of its work; a batch has at most `size` digests.
2. No branch gets longer than the message's destination can carry (`depth` of its work), except for a work that is too large by itself.
3. Oldest first: batches, and works within one, are in the order of waiting; a younger work never takes the place of an older one.
4. Whoever waits while nothing is being signed goes at once; while something is, a batch goes when it is full or its oldest work waited `delay`.
5. A batch that fails is not tried again as it was: its works may then have a quarter of that company, and in the end each goes alone. So a
   message that other members have not reached holds up those beside it for a few attempts, and nobody for ever. Works that failed alone
   come last, the one whose failure is longest ago first, and use half of the slots at most.
6. After a failure half as many batches are signed at a time, and after each success one more: failures of an overloaded committee do not
   breed further load.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from oracle.protocol import constants as c
from oracle.protocol.types import CommitteeEpoch, Digest

MAX_SIZE = 256


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds on batches; waits in seconds."""

    size: int = 64
    """Digests of one batch, at most MAX_SIZE. Each level of the tree costs its deliveries 32 bytes, and each node a copy of the list."""
    delay: float = 0.05
    """How long a work waits for company while something is being signed."""
    concurrent: int = 8
    """Batches that are signed at a time."""
    patience: float = 2.5
    """For the signature of a batch of several works; a lone work has as long as signing takes."""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_SIZE or self.concurrent < 2:
            raise ValueError(f"A batch has 1 to {MAX_SIZE} digests, and at least two are signed at a time.")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A work that waits for a signature."""

    work_id: Digest
    digests: tuple[Digest, ...]
    depth: int = c.MERKLE_MAX_DEPTH
    """Levels of a branch that every destination of it can carry."""
    company: int = MAX_SIZE
    """Works that may be signed together with it, itself among them."""
    epochs: frozenset[CommitteeEpoch] | None = None
    """The committee epochs that its destinations take; only works of the same ones share a signature."""

    def room(self, size: int) -> int:
        """Digests that a batch with this work may have."""
        return max(len(self.digests), min(size, 1 << max(0, min(self.depth, c.MERKLE_MAX_DEPTH))))


Batch = tuple[Waiting, ...]


def digests_of(batch: Iterable[Waiting]) -> tuple[Digest, ...]:
    """The leaves, in order."""
    return tuple(chain.from_iterable(work.digests for work in batch))


@dataclass(slots=True)
class _Open:
    """A batch that is being filled."""

    epochs: frozenset[CommitteeEpoch] | None
    room: int
    company: int
    first: int
    """Position in the queue of its oldest work."""
    works: list[tuple[int, Waiting]] = field(default_factory=list)
    count: int = 0

    def fits(self, count: int, works: int, room: int, company: int) -> bool:
        return self.count + count <= min(self.room, room) and len(self.works) + works <= min(self.company, company)

    def hosts(self, other: "_Open") -> bool:
        return self.epochs == other.epochs and self.fits(other.count, len(other.works), other.room, other.company)

    def add(self, position: int, work: Waiting) -> None:
        self.works.append((position, work))
        self.count += len(work.digests)


def plan(waiting: Sequence[Waiting], size: int) -> tuple[Batch, ...]:
    """Batches for all of `waiting`, which is in the order of waiting, oldest first.

    Works of equal bounds fill batches of their own, so that one narrow destination does not make every batch small; what is left over of
    several kinds shares a batch where that fits all of them.
    """
    complete: list[_Open] = []
    filling: dict[tuple[frozenset[CommitteeEpoch] | None, int, int], _Open] = {}
    for position, work in enumerate(waiting):
        room, company = work.room(size), work.company
        kind = work.epochs, room, company
        batch = filling.get(kind)
        if batch is not None and not batch.fits(len(work.digests), 1, room, company):
            complete.append(batch)
            batch = None
        if batch is None:
            batch = filling[kind] = _Open(*kind, position)
        batch.add(position, work)
    batches = sorted(complete + _merged(filling.values()), key=lambda batch: batch.first)
    return tuple(tuple(work for _, work in sorted(batch.works, key=lambda entry: entry[0])) for batch in batches)


def _merged(partial: Iterable[_Open]) -> list[_Open]:
    merged: list[_Open] = []
    for batch in sorted(partial, key=lambda batch: batch.first):
        host = next((one for one in merged if one.hosts(batch)), None)
        if host is None:
            merged.append(batch)
            continue
        host.room, host.company = min(host.room, batch.room), min(host.company, batch.company)
        for position, work in batch.works:
            host.add(position, work)
    return merged


class Batching:
    """What is being signed, who has been waiting since when, and in which company a work may go. Holds no task and no clock."""

    def __init__(self, limits: BatchLimits | None = None) -> None:
        self.limits = limits or BatchLimits()
        self._under_way: dict[Digest, Batch] = {}
        self._batches = 0
        self._retries = 0
        self._slots = self.limits.concurrent
        self._since: dict[Digest, float] = {}
        self._company: dict[Digest, int] = {}
        self._failed_alone: dict[Digest, float] = {}

    def signing(self, work_id: Digest) -> bool:
        """Whether the work is in a batch that is under way."""
        return work_id in self._under_way

    def company(self, work_id: Digest) -> int:
        """Works that may be signed together with this one, after what it failed in."""
        return self._company.get(work_id, MAX_SIZE)

    def begin(self, waiting: Sequence[Waiting], now: float, resting: Iterable[Digest] = ()) -> list[Batch]:
        """The batches to sign now. `waiting`: the works to be signed that are not under way, oldest first.

        `resting`: works that are to be signed too, but not now. What they failed in stays known.
        """
        self._forget({work.work_id for work in waiting} | set(resting))
        for work in waiting:
            self._since.setdefault(work.work_id, now)
        chosen = [batch for batch in plan(waiting, self.limits.size) if self._may_go(batch, now)]
        chosen.sort(key=lambda batch: self._failed_alone[batch[0].work_id] if self._is_retry(batch) else float("-inf"))
        started = []
        for batch in chosen:
            retry = self._is_retry(batch)
            if self._batches >= self._slots or (retry and 2 * self._retries >= self._slots):
                continue
            self._batches += 1
            self._retries += retry
            self._under_way |= {work.work_id: batch for work in batch}
            started.append(batch)
        return started

    def ended(self, batch: Batch, now: float, *, signed: bool) -> None:
        """A batch of `begin` is over."""
        self._batches -= 1
        self._retries -= self._is_retry(batch)
        self._slots = min(self.limits.concurrent, self._slots + 1) if signed else max(2, self._slots // 2)
        for work in batch:
            del self._under_way[work.work_id]
            for known in (self._since, self._failed_alone, self._company):
                known.pop(work.work_id, None)
            if not signed:
                self._company[work.work_id] = max(1, len(batch) // 4)
        if not signed and len(batch) == 1:
            self._failed_alone[batch[0].work_id] = now

    def _may_go(self, batch: Batch, now: float) -> bool:
        room = min(work.room(self.limits.size) for work in batch)
        full = len(digests_of(batch)) >= room or len(batch) >= min(work.company for work in batch)
        waited = now - min(self._since[work.work_id] for work in batch)
        return not self._batches or full or waited >= self.limits.delay

    def _is_retry(self, batch: Batch) -> bool:
        return len(batch) == 1 and batch[0].work_id in self._failed_alone

    def _forget(self, waiting: set[Digest]) -> None:
        """A work that neither waits, rests nor is under way has been signed by somebody else, or is over."""
        for known in (self._since, self._failed_alone, self._company):
            for work_id in [work_id for work_id in known if work_id not in waiting and work_id not in self._under_way]:
                del known[work_id]
