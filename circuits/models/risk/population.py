"""Made-up transfers that the risk model is trained and tested on: ordinary ones and thefts, from written assumptions.

Every transfer is drawn as the integers that a bridge would know (`features.Transfer`), so the model sees it through the same arithmetic as on chain.
Guarantees: the same transfers for the same seed and numpy. Nothing here was measured on a real bridge: kinds, sizes and frequencies are assumptions.

Ordinary (four fifths): everyday transfers of about a thousandth of the total, a quarter of them by newcomers; large moves of funds and market makers,
2 to 20 % of the total, nine in ten by known accounts; busy days, on which up to the whole total has moved before; first transfers of young bridges,
whose total is nothing or little. Thefts (one fifth): most of the vault at once; a burst of payouts, each after others of the same day; an amount just
below what the rate limit lets through; stolen tokens that leave by the bridge. Seven thefts in ten use an account never seen before: the others
prepared one by a small transfer, which costs them next to nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from circuits.models.risk.features import U64_MAX, Transfer

Random = np.random.Generator
THEFT_SHARE = 0.2
"""Far above what any bridge sees: the model is to learn what thefts look like, not how rare they are."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A transfer and what it was made as."""

    transfer: Transfer
    theft: bool


def population(seed: int, size: int) -> tuple[Labelled, ...]:
    """`size` transfers in random order."""
    random = np.random.default_rng(seed)
    thefts = random.random(size) < THEFT_SHARE
    return tuple(Labelled(_draw(random, _THEFTS if theft else _ORDINARY), bool(theft)) for theft in thefts)


Kind = Callable[[Random], Transfer]


def _draw(random: Random, kinds: tuple[tuple[float, Kind], ...]) -> Transfer:
    chosen = random.choice(len(kinds), p=[share for share, _ in kinds])
    return kinds[chosen][1](random)


def _transfer(
    random: Random, total: float, share: float, recent: float, fresh: float, inbound: float, used: float | None = None
) -> Transfer:
    """A transfer of `share` of `total` after `recent` of it, when `used` of the bucket is what it takes (None: a usual bucket).

    `fresh` and `inbound` are probabilities.
    """
    amount = max(1, min(U64_MAX, int(total * share)))
    return Transfer(
        amount=amount,
        total=int(total),
        bucket_available=_bucket(random, total, amount, recent) if used is None else min(U64_MAX, int(amount / used)),
        moved_today=int(total * recent),
        fresh=bool(random.random() < fresh),
        inbound=bool(random.random() < inbound),
    )


def _bucket(random: Random, total: float, amount: int, recent: float) -> int | None:
    """A third of the bridges have no limit; the others let through 5 to 100 % of the total, less what a quarter of the day's moves still takes up."""
    if random.random() < 1 / 3:
        return None
    capacity = total * _log_uniform(random, 0.05, 1.0)
    # What is over the limit is queued or refused before the guard is asked, so the amount always fits.
    return min(U64_MAX, max(amount, int(capacity - total * recent / 4)))


def _log_uniform(random: Random, least: float, most: float) -> float:
    return float(np.exp(random.uniform(np.log(least), np.log(most))))


def _total(random: Random) -> float:
    """One token of nine decimals to ten thousand million."""
    return _log_uniform(random, 1e9, 1e19)


def _usual_recent(random: Random) -> float:
    """About 2 % of the total by this time of the day, now and then ten times that."""
    return min(4.0, float(random.lognormal(np.log(0.02), 1.2)))


def _everyday(random: Random) -> Transfer:
    share = min(0.5, float(random.lognormal(np.log(0.001), 1.8)))
    return _transfer(random, _total(random), share, _usual_recent(random), fresh=0.25, inbound=0.5)


def _large(random: Random) -> Transfer:
    share = _log_uniform(random, 0.02, 0.2)
    return _transfer(random, _total(random), share, _usual_recent(random), fresh=0.1, inbound=0.5)


def _busy_day(random: Random) -> Transfer:
    share = min(0.2, float(random.lognormal(np.log(0.002), 1.5)))
    return _transfer(random, _total(random), share, _log_uniform(random, 0.1, 1.0), fresh=0.3, inbound=0.5)


def _young(random: Random) -> Transfer:
    """A bridge's first transfers, at most a hundred tokens."""
    total = 0.0 if random.random() < 0.3 else _log_uniform(random, 1e4, 1e11)
    amount = _log_uniform(random, 1e3, 1e11)
    fresh, inbound = random.random() < 0.7, random.random() < 0.4
    if inbound and total:
        amount = min(amount, total)
    return Transfer(int(amount), int(total), None, int(total * random.uniform(0, 1)), bool(fresh), bool(inbound))


def _rich_total(random: Random) -> float:
    """Thieves go where something is: a thousand tokens or more."""
    return _log_uniform(random, 1e12, 1e19)


def _drain(random: Random) -> Transfer:
    share = random.uniform(0.3, 1.0)
    return _transfer(random, _rich_total(random), share, _usual_recent(random), fresh=0.7, inbound=0.97)


def _burst(random: Random) -> Transfer:
    share, recent = _log_uniform(random, 0.02, 0.4), _log_uniform(random, 0.1, 4.0)
    return _transfer(random, _rich_total(random), share, recent, fresh=0.7, inbound=0.97)


def _under_the_limit(random: Random) -> Transfer:
    share, used = _log_uniform(random, 0.05, 0.5), random.uniform(0.9, 1.0)
    return _transfer(random, _rich_total(random), share, _usual_recent(random), fresh=0.7, inbound=0.97, used=used)


def _laundering(random: Random) -> Transfer:
    share, recent = random.uniform(0.1, 0.8), _log_uniform(random, 0.05, 1.5)
    return _transfer(random, _rich_total(random), share, recent, fresh=0.7, inbound=0.0)


_ORDINARY: tuple[tuple[float, Kind], ...] = ((0.55, _everyday), (0.2, _large), (0.17, _busy_day), (0.08, _young))
_THEFTS: tuple[tuple[float, Kind], ...] = ((0.4, _drain), (0.35, _burst), (0.15, _under_the_limit), (0.1, _laundering))
