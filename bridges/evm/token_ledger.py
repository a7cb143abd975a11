"""What an EVM chain holds of each bridged token at one final block, for the nodes' watch (TOKENS.md §7).

Guarantees: every amount is read at the same block, which is final; a page of tokens costs one call, so that many tokens need few calls; a token
that does not tell its vault's balance counts as an empty vault, and no token can stop the reading of others. It compares nothing.
"""

from eth_typing import BlockNumber, ChecksumAddress

from bridges.evm.abi import account_of, address_of, interface
from bridges.evm.answers import Header
from bridges.evm.client import EvmClient
from oracle.errors import DecodeError, Rejected, Transient
from oracle.ports import TokenHolding, TokenSide
from oracle.protocol.finality import Depth, Finality, FinalizedTag
from oracle.protocol.types import Account

PAGE = 50
"""Tokens in one call: at most 250,000 gas each, within any endpoint's allowance for a call."""


class EvmTokenLedger:
    """A `TokenLedger` over one factory."""

    def __init__(self, client: EvmClient, factory: Account, finality: Finality | None = None) -> None:
        self._client, self._factory = client, address_of(factory)
        self._finality = finality or FinalizedTag()

    async def holdings(self) -> tuple[TokenHolding, ...]:
        """All registered tokens at the newest final block. Raises Transient."""
        head = await _final_head(self._client, self._finality)
        if head is None:
            return ()
        return await read_holdings(self._client, self._factory, head.number)


async def read_holdings(client: EvmClient, factory: ChecksumAddress, block: int) -> tuple[TokenHolding, ...]:
    """All registered tokens at one block, PAGE to a call. Raises Transient, also before the factory was deployed."""
    found: list[TokenHolding] = []
    while True:
        data = interface("TokenFactory").encode("holdings", len(found), PAGE)
        try:
            answer = await client.call(factory, data, block=BlockNumber(block))
            (rows,) = interface("TokenFactory").decode("holdings", answer)
        except (DecodeError, Rejected) as error:
            raise Transient(f"{error} Check the token factory's address {factory}, as of block {block}.") from error
        found += [_holding(row) for row in rows]
        if len(rows) < PAGE:
            return tuple(found)


def _holding(row: tuple[bytes, str, bool, int, int, int]) -> TokenHolding:
    native_token, bridge, native, decimals, counter, held = row
    side = TokenSide.NATIVE if native else TokenSide.WRAPPED
    return TokenHolding(account_of(bridge), Account(native_token), side, decimals, counter, held)


async def _final_head(client: EvmClient, finality: Finality) -> Header | None:
    match finality:
        case FinalizedTag():
            return await client.block("finalized")
        case Depth(blocks):
            number = await client.block_number() - blocks
            return await client.block(BlockNumber(number)) if number >= 0 else None
