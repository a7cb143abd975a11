"""What the risk model sees of a transfer: six numbers, computed from integers exactly as the EVM guard computes them on chain.

Guarantees: no float, floor divisions alone, no intermediate beyond 2^138; every result lies in 0 … 16 · `ONE`. Python and Solidity are held to the
same results by `tests/vectors/risk_features.json`. Does not say how a bridge comes by `moved_today` or `fresh`.

One rule for the three shares: `ratio(part, whole, most) = min(most · ONE, ⌊part · ONE / whole⌋)`; of nothing (`whole` = 0) it is `most · ONE` when
`part` is above 0, and 0 when `part` is 0.
"""

from dataclasses import dataclass

SCALE = 10
"""Bits after the point of the model's inputs and output."""

ONE = 1 << SCALE
"""1.0 as the model takes it."""

NAMES = ("log2_amount", "share_of_total", "share_of_bucket", "recent_share", "fresh_recipient", "inbound")
"""The inputs, in the order of the request."""

LOG_STEP = ONE // 4
"""What each bit of the amount counts: log2 / 4, so that 64 bits give 16."""

MOST_RECENT = 4
"""`recent_share` is cut off here: a day that moves four times the total."""

U64_MAX = (1 << 64) - 1
U128_MAX = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer as the bridge knows it just before it happens. All amounts are wire units (TOKENS.md §2)."""

    amount: int
    """1 … 2^64 - 1."""
    total: int
    """Locked (native bridge) or minted (wrapped bridge) before this transfer, 0 … 2^128 - 1."""
    bucket_available: int | None
    """What the rate bucket of this direction lets through at this moment, before this transfer takes its part, 0 … 2^64 - 1; None: no limit."""
    moved_today: int
    """Moved in this direction earlier in the block's UTC day (`timestamp / 86400`), this transfer not counted, 0 … 2^128 - 1."""
    fresh: bool
    """Inbound: the bridge has paid the recipient never before. Outbound: the sender has never before sent through it."""
    inbound: bool
    """True: a payout on this chain. False: a transfer out."""

    def __post_init__(self) -> None:
        available = 0 if self.bucket_available is None else self.bucket_available
        for name, value, least, most in (
            ("amount", self.amount, 1, U64_MAX),
            ("total", self.total, 0, U128_MAX),
            ("bucket_available", available, 0, U64_MAX),
            ("moved_today", self.moved_today, 0, U128_MAX),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}; it lies between {least} and {most}.")


def ratio(part: int, whole: int, most: int) -> int:
    """`part / whole` at the model's scale, cut off at `most`. See the module for a `whole` of 0."""
    if whole == 0:
        return most * ONE if part > 0 else 0
    return min(most * ONE, part * ONE // whole)


def features(transfer: Transfer) -> tuple[int, int, int, int, int, int]:
    """The model's inputs in the order of `NAMES`, int64 with `SCALE` bits after the point."""
    available = transfer.bucket_available
    return (
        transfer.amount.bit_length() * LOG_STEP,
        ratio(transfer.amount, transfer.total, 1),
        0 if available is None else ratio(transfer.amount, available, 1),
        ratio(transfer.moved_today, transfer.total, MOST_RECENT),
        ONE if transfer.fresh else 0,
        ONE if transfer.inbound else 0,
    )
