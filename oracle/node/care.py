"""What an operator must care for beside the messages: peers, money, keys and the periodic jobs themselves. It only looks.

Nothing here is needed for a message to go its way, and all of it begins anew with the process: each job runs at the start and then at its
interval, so a restart loses a look and no more. Warnings ask for the operator's attention; they do not make a node unwell (alarms do).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from oracle.errors import SibylError
from oracle.node.peers import PeerWatch
from oracle.protocol.errors import ProtocolError

log = structlog.get_logger("sibyl.care")

MONEY_SECONDS = 20.0
"""How long one chain is waited for."""
CERTIFICATE_DAYS = 30
KEY_DAYS = 365


@dataclass(slots=True)
class Purse:
    """The account that pays for deliveries on one chain. `low` and `amount` in whole coins; None until it was seen."""

    chain: str
    unit: str
    low: float
    ask: Callable[[], Awaitable[tuple[str, float]]]
    """Its name and what it holds. Raises SibylError."""
    account: str = ""
    amount: float | None = None
    last_error: str = ""

    @property
    def short(self) -> bool:
        """Whether it was seen to hold less than it should."""
        return self.amount is not None and self.amount < self.low


@dataclass(slots=True)
class Dated:
    """Something that grows old: a certificate (days until it ends) or a key share (days since it was made)."""

    what: str
    days: Callable[[], float]
    least: float | None = None
    """Warn when fewer days are left."""
    most: float | None = None
    """Warn when it is older."""
    mend: str = ""

    def warning(self) -> str | None:
        """A sentence, or None."""
        days = self.days()
        if self.least is not None and days < self.least:
            return f"{self.what} ends in {max(0.0, days):.0f} days. {self.mend}"
        if self.most is not None and days > self.most:
            return f"{self.what} is {days:.0f} days old. {self.mend}"
        return None


@dataclass(slots=True)
class JobState:
    """One periodic job: seconds between its runs, how often it ran and failed, when it last began (Unix seconds) and how long that took."""

    name: str
    every: float
    runs: int = 0
    failures: int = 0
    last_run: float | None = None
    last_seconds: float | None = None
    last_error: str = ""


@dataclass(slots=True)
class Care:
    """One node's. Without parts it has nothing to say."""

    peers: PeerWatch | None = None
    purses: tuple[Purse, ...] = ()
    dated: tuple[Dated, ...] = ()
    jobs: dict[str, JobState] = field(default_factory=dict)
    clock: Callable[[], float] = time.time

    async def run_job(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run a job now, and note how it went. What is expected to fail is logged and tried again at the next turn."""
        job = self.jobs[name]
        begun = time.monotonic()
        job.last_run = self.clock()
        job.runs += 1
        try:
            await work()
        except (SibylError, ProtocolError) as error:
            job.failures += 1
            job.last_error = str(error)
            log.warning("periodic job failed", job=name, error=str(error))
        else:
            job.last_error = ""
        finally:
            job.last_seconds = round(time.monotonic() - begun, 3)

    async def look_at_peers(self) -> None:
        """Greet them."""
        if self.peers is not None:
            await self.peers.look()

    async def look_at_money(self) -> None:
        """Ask each chain for the balance of this node's account."""
        await asyncio.gather(*(self._count(purse) for purse in self.purses))

    async def _count(self, purse: Purse) -> None:
        was_short = purse.short
        try:
            async with asyncio.timeout(MONEY_SECONDS):
                purse.account, purse.amount = await purse.ask()
        except (SibylError, TimeoutError) as error:
            purse.last_error = str(error) or f"no answer within {MONEY_SECONDS:g} s"
            return
        purse.last_error = ""
        if purse.short and not was_short:
            log.warning("balance low", chain=purse.chain, account=purse.account, amount=purse.amount, low=purse.low)

    async def look_at_keys(self) -> None:
        """Log what grows old."""
        for one in self.dated:
            if (said := one.warning()) is not None:
                log.warning("grows old", what=said)

    def warnings(self) -> tuple[str, ...]:
        """All that an operator should look at, a sentence each."""
        said = list(self.peers.warnings()) if self.peers is not None else []
        said += [
            f"{purse.account} on {purse.chain} holds {purse.amount:,.4f} {purse.unit}, less than the {purse.low:g} of low_balance: fund it."
            for purse in self.purses
            if purse.short
        ]
        said += [text for one in self.dated if (text := one.warning()) is not None]
        said += [f"The periodic job {job.name} fails: {job.last_error}" for job in self.jobs.values() if job.last_error]
        return tuple(said)
