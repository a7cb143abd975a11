"""The watch over bridged tokens: what was minted on one chain must be locked on the other (TOKENS.md §7).

Guarantees: while it cannot say that a token was covered a moment ago, it objects to signing anything to or from that token's bridge, and to
nothing else; a shortfall that it has seen in several looks in a row stays an objection until the node is restarted, whatever comes after.
Two chains are never read at one moment, so a lock or a burn that is under way may look like a shortfall: minted is read before and after
locked, and only what was short against both is counted.

It does not read chains itself (the ledgers do), and it decides nothing about delivery: what is signed already can still be delivered.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from oracle.errors import ChainError
from oracle.ports import TokenHolding, TokenLedger, TokenSide
from oracle.protocol.message import Message
from oracle.protocol.types import Account

log = structlog.get_logger("sibyl.solvency")

MAX_AGE_SECONDS = 30.0
"""Age of the last whole look beyond which nothing of a token is signed."""
LOOK_SECONDS = 2.0
"""Between two looks."""
ALARM_LOOKS = 3
"""Looks in a row that must find a shortfall before it is taken for one."""

Holdings = Mapping[Account, TokenHolding]


def uncovered(locked: Holdings, before: Holdings, after: Holdings) -> dict[Account, int]:
    """Wire units that each token of `locked`'s chain lacks, against minted as it was both `before` and `after` locked was read.

    A token that is minted but not locked anywhere lacks all of it.
    """
    lacking = {}
    for bridge in before.keys() & after.keys():
        first, last = before[bridge], after[bridge]
        if first.side is not TokenSide.WRAPPED or last.side is not TokenSide.WRAPPED:
            continue
        minted = min(max(first.counter, first.held), max(last.counter, last.held))
        native = locked.get(bridge)
        covered = 0 if native is None or native.side is not TokenSide.NATIVE else min(native.counter, native.held)
        if minted > covered:
            lacking[bridge] = minted - covered
    return lacking


@dataclass(slots=True)
class TokenWatch:
    """The watch of one node over the tokens between two chains. `look` is to be called every few seconds."""

    ledgers: tuple[TokenLedger, ...]
    """Of the two chains; none for a node that watches no tokens."""
    authorities: frozenset[Account]
    """The bridge authorities (Solana): every token message has one at its one end, and the token's EVM bridge at the other."""
    clock: Callable[[], float] = time.monotonic
    alarmed: dict[Account, int] = field(default_factory=dict)
    """Tokens that are not covered, by their EVM bridge, and the wire units that they lacked when it was found."""
    _streaks: dict[Account, int] = field(default_factory=dict)
    _last: list[Holdings] = field(default_factory=list)
    """The newest readings, of the two ledgers in turn."""
    _looked_at: float | None = None

    async def look(self) -> None:
        """Read both chains once more and judge. A chain that cannot be read makes the look fail, and looks grow old."""
        try:
            for ledger in self.ledgers:
                self._take({holding.bridge: holding for holding in await ledger.holdings()})
        except ChainError as error:
            # Readings that are far apart must not be compared.
            self._last.clear()
            log.warning("tokens not looked at", error=str(error))
            return
        self._looked_at = self.clock()

    def _take(self, holdings: Holdings) -> None:
        """Readings alternate between the two chains, so each lies between two of the other."""
        self._last = [*self._last[-2:], holdings]
        if len(self._last) == 3:
            before, locked, after = self._last
            self._judge(locked, uncovered(locked, before, after))

    def _judge(self, locked: Holdings, lacking: Mapping[Account, int]) -> None:
        for bridge in {
            bridge for bridge, holding in locked.items() if holding.side is TokenSide.NATIVE
        } - lacking.keys():
            self._streaks.pop(bridge, None)
        for bridge, amount in lacking.items():
            self._streaks[bridge] = self._streaks.get(bridge, 0) + 1
            if self._streaks[bridge] >= ALARM_LOOKS and bridge not in self.alarmed:
                self.alarmed[bridge] = amount
                log.critical("token not covered", bridge=bridge.hex(), lacking=amount)

    def objection(self, message: Message) -> str | None:
        """Why this node must not sign `message` (as it was posted) now; None for what is no token's, and for what is covered."""
        bridge = self._bridge_of(message)
        if bridge is None:
            return None
        if self._looked_at is None or self.clock() - self._looked_at > MAX_AGE_SECONDS:
            return "This node has not been able to see for a while whether the bridge's tokens are covered."
        return self._alarm(bridge) if bridge in self.alarmed else None

    def alarms(self) -> tuple[str, ...]:
        """What is wrong, a sentence each, for health and logs."""
        return tuple(self._alarm(bridge) for bridge in self.alarmed)

    def _alarm(self, bridge: Account) -> str:
        return (
            f"More of the token of bridge 0x{bridge.hex()[24:]} is minted than is locked ({self.alarmed[bridge]} wire units too much); "
            "this node signs nothing of it. Find out why before you restart the node."
        )

    def _bridge_of(self, message: Message) -> Account | None:
        if message.recipient in self.authorities:
            return message.sender
        if message.sender in self.authorities:
            return message.recipient
        return None


@asynccontextmanager
async def watching(watch: TokenWatch, rest: float = LOOK_SECONDS) -> AsyncIterator[None]:
    """Look again and again while the block lasts. Should looking ever end before it, looks grow old and the watch objects to everything."""

    async def look_on() -> None:
        while True:
            await watch.look()
            await asyncio.sleep(rest)

    task = asyncio.ensure_future(look_on())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
