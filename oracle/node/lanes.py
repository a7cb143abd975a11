"""Which of the effects that are owed run next. Pure: times are arguments, in seconds of one clock; holds no task.

Rules:
1. Every effect is in one lane: a duty at a place (a destination, or an origin). A lane has a cap of its own, so that a slow or dead place
   holds up nobody who waits for another.
2. In a lane requesters take turns, and each one's effects go oldest first. While more than `full` wait and some of them pay, the requester
   whose next effect pays most has the turn, but each fourth turn goes to who has waited longest: nobody starves.
3. What failed rests, and then waits behind its like. Repeated tries take at most half of a lane, so that what always fails never keeps what
   is new from being tried. A success lets two that rest after failures try at once: a place that was away and is back is soon served again.
4. An effect that is no longer owed is forgotten at once; if it runs, when it ends. Memory is that of what is owed.
"""

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from oracle.pipeline import Effect

AGING = 4
"""While a lane is full, each turn of so many goes by waiting and not by fee."""
RELEASED = 2
"""Resting tries that a success in their lane lets go."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A duty at a place."""

    duty: str
    place: Hashable = None


class _State(Enum):
    WAITING, RESTING, RUNNING, GONE = range(4)


@dataclass(slots=True, eq=False)
class Errand:
    """An effect on its way."""

    effect: Effect
    lane: Lane
    requester: Hashable
    fee: int = 0
    failures: int = 0
    state: _State = _State.WAITING
    rests_until: float = 0.0
    is_try: bool = False
    """Whether it runs, or ran last, as a repeated try."""


class Turns:
    """Errands of one lane that wait, by requester (rule 2)."""

    def __init__(self, full: int) -> None:
        self._full = full
        self._queues: OrderedDict[Hashable, OrderedDict[Effect, Errand]] = OrderedDict()
        self._effects: set[Effect] = set()
        self._paying = 0
        self._turn = 0

    def __len__(self) -> int:
        return len(self._effects)

    def __contains__(self, effect: Effect) -> bool:
        return effect in self._effects

    def add(self, errand: Errand) -> None:
        """It waits from now on."""
        self._queues.setdefault(errand.requester, OrderedDict())[errand.effect] = errand
        self._effects.add(errand.effect)
        self._paying += errand.fee > 0

    def remove(self, errand: Errand) -> None:
        """It waits no longer."""
        queue = self._queues.get(errand.requester)
        if queue is None or queue.pop(errand.effect, None) is None:
            return
        self._effects.discard(errand.effect)
        self._paying -= errand.fee > 0
        if not queue:
            del self._queues[errand.requester]

    def pop(self) -> Errand:
        """The next one. There must be one."""
        requester = next(iter(self._queues))
        if len(self._effects) > self._full and self._paying:
            self._turn += 1
            if self._turn % AGING:
                # Of equals the first is taken, which is who has waited longest.
                requester = max(self._queues, key=lambda one: next(iter(self._queues[one].values())).fee)
        errand = next(iter(self._queues[requester].values()))
        self._queues.move_to_end(requester)
        self.remove(errand)
        return errand

    def __iter__(self) -> Iterator[Errand]:
        """All of them, each requester's next before anybody's second."""
        queues = [iter(queue.values()) for queue in self._queues.values()]
        while queues:
            left = []
            for queue in queues:
                errand = next(queue, None)
                if errand is not None:
                    yield errand
                    left.append(queue)
            queues = left


@dataclass(slots=True)
class _LaneState:
    cap: int
    new: Turns
    again: OrderedDict[Effect, Errand] = field(default_factory=OrderedDict)
    resting: list[tuple[float, int, Errand]] = field(default_factory=list)
    members: int = 0
    running: int = 0
    running_tries: int = 0
    again_next: bool = False

    def next(self) -> Errand | None:
        """What runs next; rule 3."""
        if self.running >= self.cap:
            return None
        may_try = bool(self.again) and self.running_tries < max(1, self.cap // 2)
        self.again_next = not self.again_next
        if may_try and (self.again_next or not self.new):
            return self.again.popitem(last=False)[1]
        return self.new.pop() if self.new else None


class Lanes:
    """All errands of a node."""

    def __init__(self, cap: Callable[[Lane], int], full: int) -> None:
        self._cap, self._full = cap, full
        self._lanes: dict[Lane, _LaneState] = {}
        self._errands: dict[Effect, Errand] = {}
        self._leaving: dict[Effect, Errand] = {}
        """Not owed any more, but still under way."""
        self._order = count()

    def __len__(self) -> int:
        return len(self._errands)

    def running(self, effect: Effect) -> bool:
        """Whether it is under way."""
        errand = self._errands.get(effect)
        return effect in self._leaving or (errand is not None and errand.state is _State.RUNNING)

    def crowd(self, lane: Lane) -> float:
        """How many times more errands a lane has than may run in it at once; at least 1."""
        state = self._lanes.get(lane)
        return 1.0 if state is None else max(1.0, state.members / state.cap)

    def waiting(self) -> dict[Lane, int]:
        """Errands of each lane that are not running."""
        return {lane: state.members - state.running for lane, state in self._lanes.items()}

    def owe(self, errand: Errand) -> Errand:
        """It is owed from now on, and must not be known yet. What stands for it: the same effect may still be under way from before."""
        before = self._leaving.pop(errand.effect, None)
        if before is not None:
            before.state = _State.RUNNING
            self._errands[before.effect] = before
            return before
        state = self._lanes.get(errand.lane)
        if state is None:
            state = self._lanes[errand.lane] = _LaneState(self._cap(errand.lane), Turns(self._full))
        self._errands[errand.effect] = errand
        state.members += 1
        state.new.add(errand)
        return errand

    def cancel(self, effect: Effect) -> None:
        """It is not owed any more."""
        errand = self._errands.pop(effect, None)
        if errand is None:
            return
        state = self._lanes[errand.lane]
        if errand.state is _State.WAITING:
            state.new.remove(errand)
            state.again.pop(effect, None)
        if errand.state is _State.RUNNING:
            self._leaving[effect] = errand
        else:
            state.members -= 1
        errand.state = _State.GONE
        self._tidy(state)

    def begin(self, now: float) -> list[Errand]:
        """What is to run now; it is under way until it has `ended`."""
        started = []
        for state in self._lanes.values():
            while state.resting and state.resting[0][0] <= now:
                self._wake(state, heapq.heappop(state.resting))
            while (errand := state.next()) is not None:
                errand.state = _State.RUNNING
                errand.is_try = errand.failures > 0
                state.running += 1
                state.running_tries += errand.is_try
                started.append(errand)
        return started

    def ended(self, errand: Errand, rest_until: float, *, failed: bool | None) -> None:
        """It is over: it failed, it succeeded (`failed` False), or there was nothing to learn (None). If it is still owed it rests."""
        state = self._lanes[errand.lane]
        state.running -= 1
        state.running_tries -= errand.is_try
        if failed is False:
            self._release(state)
        if errand.state is _State.GONE:
            state.members -= 1
            del self._leaving[errand.effect]
        else:
            errand.failures = errand.failures + 1 if failed else 0
            errand.state, errand.rests_until = _State.RESTING, rest_until
            heapq.heappush(state.resting, (rest_until, next(self._order), errand))

    def _wake(self, state: _LaneState, entry: tuple[float, int, Errand]) -> None:
        until, _, errand = entry
        if errand.state is not _State.RESTING or errand.rests_until != until:
            return  # it was cancelled, or let go before its time
        errand.state = _State.WAITING
        if errand.failures:
            state.again[errand.effect] = errand
        else:
            state.new.add(errand)

    def _release(self, state: _LaneState) -> None:
        released = 0
        while state.resting and released < RELEASED and state.resting[0][2].failures:
            entry = heapq.heappop(state.resting)
            released += entry[2].state is _State.RESTING
            self._wake(state, entry)

    def _tidy(self, state: _LaneState) -> None:
        if len(state.resting) > 2 * state.members + 64:
            state.resting = [entry for entry in state.resting if entry[2].state is _State.RESTING]
            heapq.heapify(state.resting)
