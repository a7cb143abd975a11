"""How much a node does and keeps at a time, how long it tries, and what it forgets. Every queue of the node has its bound here."""

from dataclasses import dataclass, field

from oracle.node.batches import BatchLimits

HOUR = 3600.0
DAY = 24 * HOUR
CLOSED = frozenset(
    (
        *("EnforcedPause", "BridgePaused", "UnknownEpoch", "EpochNotBegun", "EpochEnded"),  # EVM
        *("Paused", "WrongEpoch", "PendingEpoch", "EndedEpoch"),  # Solana
    )
)
"""Reasons of a refusal, as contracts and programs name them, that say nothing about the message: the destination takes none now."""


@dataclass(frozen=True, slots=True)
class Patience:
    """When a message is undeliverable: after so many tries and so long, both. Seconds are counted from when it could first be delivered."""

    refused_tries: int = 20
    refused_seconds: float = HOUR
    """For a destination that refuses it: something there may still be mended."""
    failed_tries: int = 100
    failed_seconds: float = 7 * DAY
    """For a destination that cannot be reached, fails, or is closed to all (`CLOSED`): that may take days."""


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of works that are over. The chains remember the rest: a message that is observed again is found delivered."""

    finished_seconds: float = 30 * DAY
    finished_works: int = 50_000
    """The oldest finished works beyond these are forgotten sooner."""
    dead_seconds: float = 90 * DAY
    dead_works: int = 10_000
    """What was given up longer ago, or is beyond these, is dropped without the operator, the oldest first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """All bounds of a node."""

    batches: BatchLimits = field(default_factory=BatchLimits)
    patience: Patience = field(default_factory=Patience)
    retention: Retention = field(default_factory=Retention)
    open_works: int = 20_000
    """Messages from one chain for which something is owed. While there are more it is not read: what is posted there meanwhile stays on
    the chain, and is read when there is room. One reading may go over the bound."""
    full: int = 256
    """When more than these wait for one duty at one place, those that pay most go first three times in four."""
    submits: int = 64
    """Deliveries to one destination at a time. These caps hold for each duty at each place by itself: none can take another's."""
    checks: int = 8
    """Looks at one destination for what arrived there."""
    infers: int = 32
    """Inferences for one origin."""
    proves: int = 8
    """Proofs for one origin."""
    others: int = 8
    """Of any other duty."""
