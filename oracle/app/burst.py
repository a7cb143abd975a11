"""A burst of token transfers, both ways at once, through a running devnet: what it checks is that none is lost and none doubled.

Every transfer has an amount of its own, and what arrives is compared with what was sent to the last unit, on the user's accounts and on the
bridge's counters. The rate is wall clock of one machine that runs both chains, all nodes and the sender.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from oracle.app.asking import EVM, SOLANA
from oracle.app.tokens import ETHER, NATIVE_MINT, SOL, Token, TokenUser
from oracle.errors import Transient

BURST_SECONDS = 900.0
SETTLE_SECONDS = 3.0
"""How long the balances are watched after all has arrived, for what may come twice."""
AT_ONCE = 32
"""Transactions of the sender under way on the EVM chain."""
SENDS_A_TRANSACTION = 4
"""Transfers in one Solana transaction: as many as fit its 1,232 bytes."""
POLL_SECONDS = 0.5
BASE_AMOUNT = 1_000
"""Wire units of the smallest transfer; number i carries i more."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of it: transfers each way, and seconds from the first sending to the last arrival."""

    each_way: int
    seconds: float

    @property
    def rate(self) -> float:
        """Transfers a second, both ways together."""
        return 2 * self.each_way / self.seconds


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction: the token's smallest units of each transfer, on the chain where they leave and where they arrive."""

    token: Token
    origin: str
    to: str
    debits: tuple[int, ...]
    credits: tuple[int, ...]
    held_before: int

    @property
    def expected(self) -> int:
        return self.held_before + sum(self.credits)


async def transfer_burst(tokens: TokenUser, each_way: int, tell: Tell) -> Burst:
    """Send `each_way` transfers of ether to Solana and as many of SOL to the EVM chain, at once. Both tokens are registered already.

    Raises Transient when something is lost (after a deadline), doubled, or miscounted.
    """
    ways = (await _plan(tokens, ETHER, EVM, each_way), await _plan(tokens, SOL, SOLANA, each_way))
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(_send_ether(tokens, ways[0]))
        group.create_task(_send_sol(tokens, ways[1]))
        arrived = group.create_task(_arrived(tokens, ways, tell))
    seconds = arrived.result() - started
    await asyncio.sleep(SETTLE_SECONDS)
    for way in ways:
        await _check(tokens, way)
    return Burst(each_way, seconds)


async def _plan(tokens: TokenUser, name: str, origin: str, count: int) -> _Way:
    token, to = await tokens.token(name), SOLANA if origin == EVM else EVM
    wires = [BASE_AMOUNT + number for number in range(count)]
    wire_decimals = min(token.decimals(EVM), token.decimals(SOLANA))
    debits, credits_ = (
        tuple(wire * 10 ** (token.decimals(chain) - wire_decimals) for wire in wires) for chain in (origin, to)
    )
    return _Way(token, origin, to, debits, credits_, await tokens.balance(token, to))


async def _send_ether(tokens: TokenUser, way: _Way) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(amount: int) -> None:
        async with room:
            await tokens.evm.transfer_ether(tokens.address(SOLANA), amount)

    async with asyncio.TaskGroup() as group:
        for amount in way.debits:
            group.create_task(one(amount))


async def _send_sol(tokens: TokenUser, way: _Way) -> None:
    await tokens.solana.wrap(sum(way.debits))
    for start in range(0, len(way.debits), SENDS_A_TRANSACTION):
        await tokens.solana.transfer_several(
            NATIVE_MINT, tokens.address(EVM), way.debits[start : start + SENDS_A_TRANSACTION]
        )


async def _arrived(tokens: TokenUser, ways: tuple[_Way, ...], tell: Tell) -> float:
    """The moment at which the last transfer was there."""
    told: list[int] = []
    try:
        async with asyncio.timeout(BURST_SECONDS):
            while True:
                missing = [way.expected - await tokens.balance(way.token, way.to) for way in ways]
                done = [sum(credit for credit in way.credits) - left for way, left in zip(ways, missing, strict=True)]
                parts = [100 * have // sum(way.credits) for way, have in zip(ways, done, strict=True)]
                if parts != told:
                    told = parts
                    tell(f"{parts[0]} % of the ether is on Solana, {parts[1]} % of the SOL on the EVM chain")
                if all(left <= 0 for left in missing):
                    return time.monotonic()
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as error:
        raise Transient(f"After {BURST_SECONDS:g} s only {told} % of the two ways had arrived.") from error


async def _check(tokens: TokenUser, way: _Way) -> None:
    held = await tokens.balance(way.token, way.to)
    if held != way.expected:
        raise Transient(f"{held} of {way.token.symbol} arrived on {way.to}, and {way.expected} were sent.")
    evm, solana = await tokens.evm.status(way.token.token_id), await tokens.solana.status(way.token.mint)
    if evm.outstanding != solana.token.outstanding:
        raise Transient(
            f"The bridge counts {evm.outstanding} of {way.token.symbol} on EVM and {solana.token.outstanding} on Solana."
        )
