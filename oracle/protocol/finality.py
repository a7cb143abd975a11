"""Finality as a type: what a chain must have said before a node believes an event (design: each origin's own finality)."""

from dataclasses import dataclass

from oracle.protocol.errors import EncodeError


@dataclass(frozen=True, slots=True)
class FinalizedTag:
    """The chain's own `finalized` mark (EVM block tag, Solana commitment)."""


@dataclass(frozen=True, slots=True)
class Depth:
    """A number of blocks on top, for an EVM chain without finality of its own."""

    blocks: int

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise EncodeError("A finality depth is at least one block.")


Finality = FinalizedTag | Depth
