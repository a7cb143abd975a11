"""What will go wrong and when: a list of faults drawn from a seed. Pure: the same seed, time and committee give the same list.

How the processes meet the faults is not repeated with it, since they run on a machine's clock.
"""

import random
from dataclasses import dataclass
from enum import Enum

from oracle.app.chaos.poison import LIES, Mode

MEAN_SECONDS = 4.0
"""Between two faults, on average; they overlap."""
CALM_SECONDS = 3.0
"""Before the first."""
MAX_REORG = 1
"""Blocks. An EVM devnet calls a block final once two more were made, and one more may be made while anvil reorganises: two would now and then
replace a block that was final already, which no chain with finality does."""


class What(Enum):
    """Kinds of faults."""

    DELAY = "delay"
    """A wire, or all of a node's, becomes slow."""
    SILENCE = "drop"
    """A wire swallows what it is given."""
    CUT = "cut"
    """A wire is broken and refuses new connections."""
    PARTITION = "partition"
    """A node loses all of its wires."""
    KILL = "kill"
    """A node is killed (SIGKILL), and started again later."""
    FREEZE = "freeze"
    """A node stands still (SIGSTOP), and goes on later."""
    STALL = "stall"
    """A chain stands still."""
    REORG = "reorg"
    """The newest blocks of the EVM chain are replaced by empty ones; their transactions are lost."""
    POISON = "poison"
    """One endpoint of the victim lies."""


WEIGHTS = {
    What.DELAY: 5,
    What.SILENCE: 4,
    What.CUT: 4,
    What.PARTITION: 2,
    What.KILL: 4,
    What.FREEZE: 2,
    What.STALL: 1,
    What.REORG: 4,
    What.POISON: 4,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it begins, how long it lasts (seconds), which node (or, for a wire, which of all by `pick`), and how bad it is.

    `pick` in [0, 1) chooses among what there is then; `strength` is seconds of delay or blocks of a reorg.
    """

    at: float
    what: What
    lasts: float
    node: int
    pick: float
    strength: float
    chain: str = "evm"
    mode: Mode = Mode.HONEST

    def __str__(self) -> str:
        match self.what:
            case What.REORG:
                return f"the EVM chain loses {int(self.strength)} blocks"
            case What.POISON:
                return f"the poisoned {self.chain} endpoint is {self.mode.value} for {self.lasts:.0f} s"
            case What.STALL:
                return f"{self.chain} stands still for {self.lasts:.0f} s"
            case What.DELAY | What.SILENCE | What.CUT:
                return f"{self.what.value} of a wire for {self.lasts:.0f} s"
        return f"{self.what.value} of node {self.node} for {self.lasts:.0f} s"


def plan(seed: int, seconds: float, nodes: int) -> tuple[Fault, ...]:
    """Faults within `seconds`, each kind at least once if there is time for nine, in the order of their beginnings."""
    rng = random.Random(seed)
    times: list[float] = []
    at = CALM_SECONDS
    while at < seconds:
        times.append(at)
        at += rng.uniform(0.25, 1.75) * MEAN_SECONDS
    kinds = list(What)
    rng.shuffle(kinds)
    kinds += rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=max(0, len(times) - len(kinds)))
    rng.shuffle(kinds := kinds[: len(times)])
    return tuple(_fault(rng, at, what, nodes) for at, what in zip(times, kinds, strict=False))


def _fault(rng: random.Random, at: float, what: What, nodes: int) -> Fault:
    lasts = {What.STALL: rng.uniform(1, 4), What.REORG: 0.0, What.KILL: rng.uniform(1, 12)}
    strength = float(rng.randint(1, MAX_REORG)) if what is What.REORG else rng.choice((0.05, 0.2, 0.5, 1.0))
    return Fault(
        at,
        what,
        lasts.get(what, rng.uniform(2, 15)),
        rng.randint(1, nodes),
        rng.random(),
        strength,
        rng.choice(("evm", "solana")),
        rng.choice(LIES) if what is What.POISON else Mode.HONEST,
    )
