"""The watch over bridged tokens: what it takes for a shortfall, and what it then refuses (oracle/node/solvency.py)."""

import asyncio
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.errors import Transient
from oracle.node.solvency import ALARM_LOOKS, MAX_AGE_SECONDS, TokenWatch, uncovered
from oracle.ports import TokenHolding, TokenSide
from oracle.protocol.types import Account, evm_account
from tests.support.samples import EVM, SOLANA, plain_message, seeded

AUTHORITY = Account(seeded("bridge authority"))
BRIDGE, OTHER = evm_account(seeded("bridge", 20)), evm_account(seeded("another bridge", 20))
TOKEN = evm_account(seeded("token", 20))
OUT = replace(plain_message(), sender=BRIDGE, recipient=AUTHORITY)
BACK = replace(OUT, origin=SOLANA, destination=EVM, sender=AUTHORITY, recipient=BRIDGE)
OUT_OTHER = replace(OUT, sender=OTHER)


def native(amount: int, *, held: int | None = None, bridge: Account = BRIDGE) -> TokenHolding:
    return TokenHolding(bridge, TOKEN, TokenSide.NATIVE, 9, amount, amount if held is None else held)


def wrapped(amount: int, *, held: int | None = None, bridge: Account = BRIDGE) -> TokenHolding:
    return TokenHolding(bridge, TOKEN, TokenSide.WRAPPED, 9, amount, amount if held is None else held)


@dataclass
class Ledger:
    """A chain in memory: what it holds can be changed between two looks."""

    tokens: tuple[TokenHolding, ...] = ()
    up: bool = True

    async def holdings(self) -> tuple[TokenHolding, ...]:
        if not self.up:
            raise Transient("The endpoint in memory is down.")
        return self.tokens


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def watch(home: Ledger, away: Ledger, clock: Clock | None = None) -> TokenWatch:
    return TokenWatch((home, away), frozenset({AUTHORITY}), clock or Clock())


def look(watcher: TokenWatch, times: int = 1) -> None:
    for _ in range(times):
        asyncio.run(watcher.look())


def test_watch__covered_token__is_signed_for() -> None:
    watcher = watch(Ledger((native(100),)), Ledger((wrapped(100),)))
    look(watcher, 10)
    assert watcher.objection(OUT) is None
    assert watcher.alarms() == ()


@pytest.mark.parametrize(
    ("home", "away"),
    [
        ((native(99),), (wrapped(100),)),
        ((native(100, held=99),), (wrapped(100),)),  # a vault that somebody emptied past the counter
        ((native(100),), (wrapped(100, held=101),)),  # a supply that no message explains
        ((), (wrapped(1),)),  # minted for a token that nobody registered
        ((wrapped(1),), (native(0),)),  # the same the other way round
    ],
)
def test_watch__more_minted_than_locked__nothing_of_that_token_is_signed(
    home: tuple[TokenHolding, ...], away: tuple[TokenHolding, ...]
) -> None:
    watcher = watch(Ledger((*home, native(5, bridge=OTHER))), Ledger((*away, wrapped(5, bridge=OTHER))))
    look(watcher, ALARM_LOOKS + 2)
    objection = watcher.objection(OUT)
    assert objection is not None
    assert BRIDGE.hex()[24:] in objection
    assert watcher.alarms() == (objection,)
    assert watcher.objection(BACK) == objection
    assert watcher.objection(OUT_OTHER) is None, "another token goes on"
    assert watcher.objection(plain_message()) is None, "messages of users go on"


def test_watch__shortfall_that_went_away_by_itself__stays_an_alarm() -> None:
    home = Ledger((native(1),))
    watcher = watch(home, Ledger((wrapped(2),)))
    look(watcher, ALARM_LOOKS + 2)
    home.tokens = (native(2),)
    look(watcher, 5)
    assert watcher.alarms()


def test_watch__shortfall_in_fewer_looks_than_it_takes__is_no_alarm() -> None:
    home = Ledger((native(2),))
    watcher = watch(home, Ledger((wrapped(2),)))
    look(watcher)
    for _ in range(5):
        home.tokens = (native(1),)
        look(watcher, ALARM_LOOKS - 1)
        home.tokens = (native(2),)
        look(watcher)
    assert watcher.alarms() == ()


def test_watch__not_looked_yet_or_not_for_long__signs_nothing_of_tokens() -> None:
    clock, away = Clock(), Ledger((wrapped(1),))
    watcher = watch(Ledger((native(1),)), away, clock)
    assert watcher.objection(OUT) is not None
    assert watcher.objection(plain_message()) is None
    look(watcher)
    assert watcher.objection(OUT) is None
    away.up = False
    clock.now += MAX_AGE_SECONDS + 1
    look(watcher)
    assert watcher.objection(OUT) is not None
    away.up = True
    look(watcher)
    assert watcher.objection(OUT) is None


def test_watch__chain_that_fails_now_and_then__is_never_compared_with_an_old_reading() -> None:
    home, away = Ledger((native(1),)), Ledger((wrapped(1),))
    watcher = watch(home, away)
    for amount in range(1, 30):
        # Between a failed look and the next, both sides have moved on.
        away.up = False
        look(watcher)
        home.tokens, away.tokens, away.up = (native(amount),), (wrapped(amount),), True
        look(watcher)
    assert watcher.alarms() == ()


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=40), data=st.data())
def test_uncovered__honest_moves_between_the_readings__are_no_shortfall(
    steps: list[tuple[bool, int]], data: st.DataObject
) -> None:
    """What is minted was locked before, and what is released was burnt before; the three readings lie anywhere among the moves."""
    locked = minted = 50
    history = [(locked, minted)]
    for outwards, amount in steps:
        change = amount if outwards else -min(amount, minted)
        locked, minted = locked + change, minted + change
        history.append((locked, minted))
    first, middle, last = sorted(data.draw(st.lists(st.integers(0, len(steps)), min_size=3, max_size=3)))
    lacking = uncovered(
        {BRIDGE: native(history[middle][0])},
        {BRIDGE: wrapped(history[first][1])},
        {BRIDGE: wrapped(history[last][1])},
    )
    # Only a burn with its release within the first gap together with a lock and its mint within the second can look like one.
    released = any(not outwards for outwards, _ in steps[first:middle])
    locked_again = any(outwards for outwards, _ in steps[middle:last])
    assert not lacking or (released and locked_again)
