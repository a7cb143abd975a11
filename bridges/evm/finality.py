"""Answers of one contract at one final block.

Guarantees: block, clock and answers are of one and the same block, which the chain's finality rule calls final: what an endpoint says of a block
that it replaced meanwhile is refused. It trusts its endpoint otherwise.
"""

from dataclasses import dataclass

from eth_typing import ChecksumAddress

from bridges.evm.answers import Header
from bridges.evm.client import EvmClient
from oracle.errors import Rejected, Transient
from oracle.protocol.finality import Depth, Finality, FinalizedTag


@dataclass(frozen=True, slots=True)
class FinalAnswers:
    """What was asked at `block`; an answer is empty where the contract did not exist then."""

    block: Header
    answers: tuple[bytes, ...]


async def final_header(client: EvmClient, finality: Finality) -> Header | None:
    """The newest final block; None when there is none yet. Raises Transient."""
    match finality:
        case FinalizedTag():
            return await client.block("finalized")
        case Depth(blocks):
            number = await client.block_number() - blocks
            return await client.block(number) if number >= 0 else None


async def ask_at(client: EvmClient, block: Header, to: ChecksumAddress, *calls: bytes) -> FinalAnswers:
    """The contract's answers at one block, by its number, which every endpoint takes; its hash must be the same afterwards.

    Raises Transient, also when the contract refuses: it is asked nothing that Sibyl's contracts refuse.
    """
    try:
        answers = tuple([await client.call(to, call, block=block.number) for call in calls])
    except Rejected as error:
        raise Transient(f"The contract at {to} does not answer as Sibyl's: {error}") from error
    again = await client.block(block.number)
    if again is None or again.hash != block.hash:
        raise Transient(f"Block {block.number} of {client.chain} was replaced while it was read; try again.")
    return FinalAnswers(block, answers)
