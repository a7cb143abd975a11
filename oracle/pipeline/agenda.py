"""What one member owes now, kept up to date by what changed: the same as `Pipeline.due`, without looking at every open work each time.

A work is looked at again when its state changed (`touch`) or when a moment has come from which on `due` may say something else of it
(`owed.moments`). Pure and deterministic: times are arguments, and for any order of calls the answer depends on the works and the time alone.
"""

import heapq
from collections.abc import Iterable

from oracle.pipeline.events import Millis
from oracle.pipeline.owed import Effect, Member, due, moments
from oracle.pipeline.pipeline import Pipeline
from oracle.protocol.types import Digest

_NOTHING: tuple[Effect, ...] = ()


class Agenda:
    """The effects that `member` owes for the works of `pipeline`."""

    def __init__(self, pipeline: Pipeline, member: Member) -> None:
        self._pipeline, self._member = pipeline, member
        self._owed: dict[Digest, tuple[Effect, ...]] = {}
        self._touched: dict[Digest, None] = dict.fromkeys(work.message.digest for work in pipeline.open_works())
        self._next: dict[Digest, int] = {}
        self._heap: list[tuple[int, Digest]] = []
        self._now = Millis(0)

    def touch(self, work_ids: Iterable[Digest]) -> None:
        """The state of these works changed, or they are gone."""
        self._touched.update(dict.fromkeys(work_ids))

    def owed(self, work_id: Digest) -> tuple[Effect, ...]:
        """What is owed for one work, as of the last `update`."""
        return self._owed.get(work_id, _NOTHING)

    def update(self, now: Millis) -> dict[Digest, tuple[Effect, ...]]:
        """The works for which something else is owed at `now` than at the last call, each with all that is owed for it."""
        if now < self._now:
            # The clock went back: a moment that had come may be to come again.
            self.touch(self._owed)
            self.touch(self._next)
        self._now = now
        while self._heap and self._heap[0][0] <= now:
            moment, work_id = heapq.heappop(self._heap)
            if self._next.get(work_id) == moment:
                self._touched[work_id] = None
        changed = {}
        for work_id in self._touched:
            effects = self._look(work_id, now)
            if effects != self._owed.get(work_id, _NOTHING):
                changed[work_id] = effects
                if effects:
                    self._owed[work_id] = effects
                else:
                    del self._owed[work_id]
        self._touched = {}
        return changed

    def _look(self, work_id: Digest, now: Millis) -> tuple[Effect, ...]:
        work = self._pipeline.work(work_id)
        self._next.pop(work_id, None)
        if work is None or work.finished:
            return _NOTHING
        later = min((moment for moment in moments(work, self._member) if moment > now), default=None)
        if later is not None:
            self._next[work_id] = later
            heapq.heappush(self._heap, (later, work_id))
            self._tidy()
        return tuple(due(work, self._member, now))

    def _tidy(self) -> None:
        """Entries that no longer count go when they are the greater part; so the heap is as large as what is open."""
        if len(self._heap) > 2 * len(self._next) + 64:
            self._heap = [(moment, work_id) for work_id, moment in self._next.items()]
            heapq.heapify(self._heap)
