"""A user of a devnet under chaos: asks on both chains under every policy, and sends tokens both ways, at random, until it is told to stop.

Its own ways to the chains do not fail, but the chains do: what it sent may vanish in a reorg, so what it believes to have posted is no truth. The
audit reads the chains; from here it takes only the posts of which no trace remains on a chain once they are refunded.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from oracle.app.asking import EVM, SOLANA, DevnetUser, Question
from oracle.app.tokens import ETHER, SOL, Terms, TokenUser
from oracle.errors import Rejected, SibylError
from oracle.protocol.errors import ProtocolError
from oracle.protocol.message import Message
from oracle.protocol.types import Digest, Policy

AT_ONCE = 8
"""Sendings under way."""
DEADLINE_SECONDS = 90
"""Of most requests: longer than most faults."""
SHORT_SECONDS = 12
"""Of some, and of some transfers: under chaos they often pass, and what was paid must come back."""
SEND_SECONDS = 60.0
SMALLEST, LARGEST = 1_000, 50_000
"""Wire units of a transfer."""

WAYS: tuple[tuple[str, Policy, Policy | None], ...] = (
    (EVM, Policy.BOTH, Policy.ATTESTED),
    (EVM, Policy.ATTESTED, Policy.ATTESTED),
    (EVM, Policy.ATTESTED, None),
    (EVM, Policy.PROVEN, None),
    (EVM, Policy.RECOMPUTED, None),
    (SOLANA, Policy.ATTESTED, Policy.BOTH),
    (SOLANA, Policy.ATTESTED, Policy.ATTESTED),
    (SOLANA, Policy.RECOMPUTED, None),
)
"""Chain that asks, its policy, and the other chain's."""


@dataclass(slots=True)
class Traffic:
    """Sends by `rng`. `sent` counts by kind; `failed` by error; `posted` are bodies that were seen posted."""

    user: DevnetUser
    tokens: TokenUser
    rng: random.Random
    sent: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    posted: dict[Digest, Message] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Ways of asking that the chain does not take, and why: they are not tried again."""

    async def run(self, stop: asyncio.Event, mean_seconds: float) -> None:
        """Send until `stop`, something every `mean_seconds` on average; then wait for what is under way."""
        room = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await room.acquire()
                what, act = self._something()
                group.create_task(self._try(room, what, act), name=what)
                try:
                    async with asyncio.timeout(self.rng.uniform(0.3, 1.7) * mean_seconds):
                        await stop.wait()
                except TimeoutError:
                    continue

    async def _try(self, room: asyncio.Semaphore, what: str, act: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await act()
            self.sent[what] += 1
        except (SibylError, ProtocolError) as error:
            self.failed[f"{what}: {type(error).__name__}"] += 1
            if isinstance(error, Rejected) and error.reason in ("UnsupportedPolicy", "InvalidPolicy"):
                self.refused[what] = str(error)
        except TimeoutError:
            self.failed[f"{what}: not sent in time"] += 1
        finally:
            room.release()

    def _something(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        if self.rng.random() < 0.5:
            return self._transfer()
        way = self.rng.choice([way for way in WAYS if _name(way) not in self.refused])
        short = self.rng.random() < 0.15
        rows = self.user.model.heldout()
        question = Question(self.rng.choice(rows).inputs, *way)
        deadline = SHORT_SECONDS if short else DEADLINE_SECONDS

        async def ask() -> None:
            asked = await self.user.ask(question, deadline)
            self.posted[asked.request_id] = asked.request

        return _name(way), ask

    def _transfer(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        name, origin = self.rng.choice(((ETHER, EVM), (ETHER, SOLANA), (SOL, SOLANA), (SOL, EVM)))
        to = SOLANA if origin == EVM else EVM
        wire = self.rng.randint(SMALLEST, LARGEST)
        terms = Terms(SHORT_SECONDS if self.rng.random() < 0.15 else None)

        async def send() -> None:
            token = await self.tokens.token(name)
            amount = wire * 10 ** (token.decimals(origin) - token.wire_decimals)
            await self.tokens.send(token, origin, amount, self.tokens.address(to), terms)

        return f"{name} {origin} to {to}", send


def _name(way: tuple[str, Policy, Policy | None]) -> str:
    origin, policy, remote = way
    return f"request {origin} {policy.name}" + ("" if remote is None else f", elsewhere {remote.name}")
