"""k of m endpoints: one reader, submitter and ledger over those of several RPC endpoints of one chain.

Guarantees, as long as fewer than k endpoints lie together: a message is shown only when k endpoints showed the very same one; a delivery is
called final, and a message lapsed, only when k say so; a token's locked amount is never taken for more, nor its minted amount for less, than
k endpoints vouch for. Never fewer than k: with too few that answer, the operation is Transient. An endpoint that is slow, fails or
contradicts k others is counted and named, and rested for a while; while it rests it is not waited for.

A message that fewer than k endpoints have shown is not forgotten: the cursor stays before it, so that a restart reads it again. With k = m = 1
this is the endpoint itself. It does not know what a chain is; comparing is all that it does.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

import structlog

from oracle.errors import ChainError, ConfigError, Rejected, Transient
from oracle.ports import (
    ChainReader,
    ChainSubmitter,
    Cursor,
    DeliveryState,
    Reading,
    Receipt,
    Submission,
    TokenHolding,
    TokenLedger,
    TokenSide,
)
from oracle.protocol.message import Message
from oracle.protocol.types import Account, Digest, Endpoint

log = structlog.get_logger("sibyl.agreement")

P = TypeVar("P")
T = TypeVar("T")

GRACE_SECONDS = 0.25
"""How long the rest are waited for once k have answered."""
ANSWER_SECONDS = 20.0
"""How long any endpoint is waited for."""
FIRST_REST, LONGEST_REST = 1.0, 60.0
MAX_SHOWN = 65_536
"""Sequences whose digest is remembered, to notice an endpoint that shows another message for one of them later."""
MAX_UNCONFIRMED = 1_024
"""Messages of one endpoint alone that may wait for others; it is then not read further until they have come."""
_ORDER = (DeliveryState.ABSENT, DeliveryState.INCLUDED, DeliveryState.FINAL)


@dataclass(slots=True)
class EndpointHealth:
    """What one endpoint was like; times on the monotonic clock, in seconds."""

    name: str
    answers: int = 0
    failures: int = 0
    slow: int = 0
    contradictions: int = 0
    rests_until: float = 0.0
    last_error: str = ""
    _streak: int = 0

    def answered(self) -> None:
        """It did its work."""
        self.answers += 1
        self._streak = 0

    def failed(self, error: str, now: float) -> None:
        """It answered wrongly, or not at all: it rests, longer each time."""
        self.failures += 1
        self._streak += 1
        self.last_error = error
        self.rests_until = now + min(LONGEST_REST, FIRST_REST * 2.0 ** min(self._streak - 1, 10))

    def contradicted(self, what: str, now: float) -> None:
        """It said something else than k others."""
        self.contradictions += 1
        log.error("endpoint contradicts the others", endpoint=self.name, what=what)
        self.failed(what, now)


@dataclass(slots=True)
class Endpoints(Generic[P]):
    """m ports of one chain, of which k must agree."""

    ports: tuple[P, ...]
    health: tuple[EndpointHealth, ...]
    needed: int
    chain: str
    clock: Callable[[], float] = time.monotonic
    grace: float = GRACE_SECONDS

    @classmethod
    def of(cls, named: Sequence[tuple[str, P]], needed: int, chain: str) -> "Endpoints[P]":
        """Endpoints by name. Raises ConfigError unless 1 ≤ needed ≤ their number."""
        if not 1 <= needed <= len(named):
            raise ConfigError(f"{chain} has {len(named)} RPC endpoints, so {needed} of them cannot agree.")
        return cls(tuple(port for _, port in named), tuple(EndpointHealth(name) for name, _ in named), needed, chain)

    async def ask(
        self, question: Callable[[int, P], Awaitable[T]], enough: Callable[[dict[int, T]], bool]
    ) -> dict[int, T]:
        """Answers by endpoint number: at least k, as soon as they are `enough` and the rest had a moment to answer too.

        Raises Transient when fewer than k answer.
        """
        answers: dict[int, T] = {}
        tasks = {asyncio.ensure_future(self._asked(number, question)): number for number in self._awake()}
        waiting = set(tasks)
        try:
            while waiting:
                complete = len(answers) >= self.needed and enough(answers)
                done, waiting = await asyncio.wait(
                    waiting, timeout=self.grace if complete else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    break
                for task in done:
                    if (answer := task.result()) is not None:
                        answers[tasks[task]] = answer[0]
        finally:
            for task in waiting:
                task.cancel()
                self.health[tasks[task]].slow += 1
            await asyncio.gather(*waiting, return_exceptions=True)
        if len(answers) < self.needed:
            raise self._too_few(len(answers))
        return answers

    async def agreed(self, what: str, question: Callable[[int, P], Awaitable[T]]) -> T:
        """The answer that k endpoints gave alike; who says otherwise is counted. Raises Transient when there is none."""

        def alike(told: dict[int, T]) -> list[int]:
            groups = [[number for number, one in told.items() if one == answer] for answer in told.values()]
            return max(groups, key=len, default=[])

        told = await self.ask(question, lambda answers: len(alike(answers)) >= self.needed)
        most = alike(told)
        if len(most) < self.needed:
            raise Transient(
                f"The RPC endpoints of {self.chain} do not agree on {what}: {self.needed} of {len(self.ports)} must say the same."
            )
        for number in told.keys() - set(most):
            self.health[number].contradicted(f"another answer than {len(most)} others for {what}", self.clock())
        return told[most[0]]

    def _awake(self) -> list[int]:
        """Endpoints that do not rest; all of them when too few would be left."""
        now = self.clock()
        awake = [number for number, health in enumerate(self.health) if health.rests_until <= now]
        return awake if len(awake) >= self.needed else list(range(len(self.ports)))

    async def _asked(self, number: int, question: Callable[[int, P], Awaitable[T]]) -> tuple[T] | None:
        health = self.health[number]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await question(number, self.ports[number])
        except ChainError as error:
            health.failed(str(error), self.clock())
            return None
        except TimeoutError:
            health.failed(f"no answer within {ANSWER_SECONDS:g} s", self.clock())
            return None
        health.answered()
        return (answer,)

    def _too_few(self, count: int) -> Transient:
        errors = "; ".join(f"{one.name}: {one.last_error.rstrip('.')}" for one in self.health if one.last_error)
        return Transient(
            f"{count} of {len(self.ports)} RPC endpoints of {self.chain} answered, and {self.needed} must agree ({errors})."
        )


@dataclass(slots=True)
class _Shown:
    """A message that too few endpoints have shown yet. `since`: a cursor before it, for each endpoint that showed it."""

    message: Message
    since: dict[int, Cursor] = field(default_factory=dict)


class AgreedReader:
    """A `ChainReader`: posts that k of m readers have shown alike."""

    def __init__(self, endpoints: Endpoints[ChainReader]) -> None:
        self._endpoints = endpoints
        self._cursors: list[Cursor] | None = None
        self._told = Cursor(-1)
        self._pending: dict[Digest, _Shown] = {}
        self._shown: OrderedDict[int, Digest] = OrderedDict()

    @property
    def origin(self) -> Endpoint:
        """The gateway that is read."""
        return self._endpoints.ports[0].origin

    @property
    def health(self) -> tuple[EndpointHealth, ...]:
        """What each endpoint was like."""
        return self._endpoints.health

    async def read(self, cursor: Cursor) -> Reading:
        """Posts that k endpoints agree on, since `cursor`. Raises Transient."""
        if self._cursors is None or cursor != self._told:
            # A first call, or a caller that goes on elsewhere: all begin there.
            self._cursors = [cursor] * len(self._endpoints.ports)
            self._pending.clear()
            self._shown.clear()
        cursors = self._cursors
        unconfirmed = Counter(number for one in self._pending.values() for number in one.since)

        async def one_reading(number: int, reader: ChainReader) -> Reading:
            if unconfirmed[number] >= MAX_UNCONFIRMED:
                return Reading((), cursors[number])
            return await reader.read(cursors[number])

        readings = await self._endpoints.ask(one_reading, lambda _: True)
        for number, reading in readings.items():
            self._take(number, reading, cursors[number])
            cursors[number] = reading.cursor
        agreed = sorted(self._agreed(), key=lambda message: message.sequence)
        self._told = max(cursor, self._safe_cursor(cursors))
        return Reading(tuple(agreed), self._told)

    def _take(self, number: int, reading: Reading, since: Cursor) -> None:
        for message in reading.messages:
            known = self._shown.get(message.sequence)
            if known is None:
                self._pending.setdefault(message.digest, _Shown(message)).since[number] = since
            elif known != message.digest:
                self._contradiction(number, message.sequence)

    def _agreed(self) -> list[Message]:
        agreed = [one for one in self._pending.values() if len(one.since) >= self._endpoints.needed]
        for one in agreed:
            sequence = one.message.sequence
            self._shown[sequence] = one.message.digest
            for rival in [other for other in self._pending.values() if other.message.sequence == sequence]:
                del self._pending[rival.message.digest]
                if rival is not one:
                    for number in rival.since:
                        self._contradiction(number, sequence)
        while len(self._shown) > MAX_SHOWN:
            self._shown.popitem(last=False)
        return [one.message for one in agreed]

    def _contradiction(self, number: int, sequence: int) -> None:
        what = (
            f"another message for sequence {sequence} of {self.origin.chain} than {self._endpoints.needed} others show"
        )
        self._endpoints.health[number].contradicted(what, self._endpoints.clock())

    def _safe_cursor(self, cursors: Sequence[Cursor]) -> Cursor:
        """What k endpoints have read, but not past a message that some have shown and too few have confirmed."""
        read_by_enough = sorted(cursors, reverse=True)[self._endpoints.needed - 1]
        return min([read_by_enough, *(since for one in self._pending.values() for since in one.since.values())])


class AgreedSubmitter:
    """A `ChainSubmitter`: sends through one endpoint at a time, and believes k of m about what became of it."""

    def __init__(self, endpoints: Endpoints[ChainSubmitter]) -> None:
        self._endpoints = endpoints
        self._delivering: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    @property
    def destination(self) -> Endpoint:
        """The gateway that is delivered to."""
        return self._endpoints.ports[0].destination

    async def submit(self, submission: Submission) -> Receipt | None:
        """Deliver through the first endpoint that does. Raises Transient or Rejected, the last endpoint's, when none does.

        An endpoint's word that the message was there already, or is refused, is not believed alone.
        """
        async with self._delivering.setdefault(submission.message.digest, asyncio.Lock()):
            if await self.state(submission.message) is not DeliveryState.ABSENT:
                return None
            return await self._submit(submission)

    async def _submit(self, submission: Submission) -> Receipt | None:
        last: ChainError = Transient(f"No RPC endpoint of {self._endpoints.chain} can be used.")
        refusals = 0
        for number, submitter in enumerate(self._endpoints.ports):
            try:
                receipt = await submitter.submit(submission)
            except Rejected as error:
                last, refusals = error, refusals + 1
            except ChainError as error:
                self._endpoints.health[number].failed(str(error), self._endpoints.clock())
                last = error
            else:
                if receipt is not None or await self.state(submission.message) is not DeliveryState.ABSENT:
                    return receipt
                last = Transient(f"{self._endpoints.health[number].name} has the message delivered, the others do not.")
            if refusals >= self._endpoints.needed:
                break
        raise last

    async def state(self, message: Message) -> DeliveryState:
        """The furthest state that k endpoints vouch for. Raises Transient."""
        told = await self._endpoints.ask(lambda _, submitter: submitter.state(message), self._same)
        vouched = sorted((_ORDER.index(state) for state in told.values()), reverse=True)[self._endpoints.needed - 1]
        return _ORDER[vouched]

    def _same(self, told: dict[int, DeliveryState]) -> bool:
        return any(list(told.values()).count(state) >= self._endpoints.needed for state in _ORDER)

    async def lapsed(self, message: Message) -> bool:
        """Whether k endpoints say that it can never be delivered any more. Raises Transient."""
        told = await self._endpoints.ask(lambda _, submitter: submitter.lapsed(message), lambda _: True)
        return list(told.values()).count(True) >= self._endpoints.needed


class AgreedLedger:
    """A `TokenLedger`: of each token what k of m endpoints vouch for, locked at least and minted at most."""

    def __init__(self, endpoints: Endpoints[TokenLedger]) -> None:
        self._endpoints = endpoints

    async def holdings(self) -> tuple[TokenHolding, ...]:
        """All tokens that k endpoints know. Raises Transient."""
        told = await self._endpoints.ask(lambda _, ledger: ledger.holdings(), lambda _: True)
        by_token: dict[tuple[Account, object], list[TokenHolding]] = {}
        for holdings in told.values():
            for one in holdings:
                by_token.setdefault((one.bridge, one.side), []).append(one)
        known = (rows for rows in by_token.values() if len(rows) >= self._endpoints.needed)
        return tuple(self._vouched(rows) for rows in known)

    def _vouched(self, rows: list[TokenHolding]) -> TokenHolding:
        """Fewer than k endpoints cannot raise what is locked, nor lower what is minted, nor raise an alarm of their own."""
        first, place = rows[0], self._endpoints.needed - 1
        most_first = first.side is TokenSide.NATIVE

        def pick(amounts: list[int]) -> int:
            return sorted(amounts, reverse=most_first)[place]

        return TokenHolding(
            first.bridge,
            first.native_token,
            first.side,
            first.wire_decimals,
            pick([row.counter for row in rows]),
            pick([row.held for row in rows]),
        )
