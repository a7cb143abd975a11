"""What this chain holds of each bridged token, for the nodes' watch (TOKENS.md §7).

Guarantees: a token's counter and what is really held are of one state, which the endpoint calls final; amounts are rounded so that a
difference is never hidden (held down, minted up). A token's account counts only at its derived address. The number of calls is one, and one
for every fifty tokens. It trusts its endpoint for the rest; an endpoint that answers for a newer state than the final one shows what is
about to become final.
"""

from collections.abc import Sequence
from typing import Final

from solders.pubkey import Pubkey

from bridges.solana import tokens_instructions as ti
from bridges.solana.client import MAX_ACCOUNTS, FoundAccount, SolanaClient
from bridges.solana.layout import AccountData
from bridges.solana.tokens_layout import TokenAccount, TokenKind, mint_supply, token_amount
from bridges.solana.tokens_redeemer import IS_TOKEN, TokenLookup
from oracle.errors import Rejected, Transient
from oracle.ports import TokenHolding, TokenSide
from oracle.protocol.errors import DecodeError
from oracle.protocol.types import Account, Endpoint

_AT_ONCE: Final = MAX_ACCOUNTS // 2
"""Tokens in one call: each has an account, and a vault or mint."""
_SIDES: Final = {TokenKind.NATIVE: TokenSide.NATIVE, TokenKind.WRAPPED: TokenSide.WRAPPED}


class SolanaTokenLedger:
    """The port `TokenLedger` for the token program `tokens` beside the Sibyl program `sibyl` (32 bytes each)."""

    def __init__(self, client: SolanaClient, sibyl: Account, tokens: Account) -> None:
        self._client = client
        self._lookup = TokenLookup(client, sibyl, tokens)
        self._origin: Endpoint | None = None

    async def holdings(self) -> tuple[TokenHolding, ...]:
        """Every registered token. Raises Transient."""
        origin = await self._linked()
        found = await self._client.find(self._lookup.at.tokens.program, [IS_TOKEN], "finalized")
        places = [(one.address, self._holder(origin, one)) for one in found]
        holdings: list[TokenHolding] = []
        places.sort(key=lambda place: bytes(place[0]))
        for start in range(0, len(places), _AT_ONCE):
            holdings += await self._read(places[start : start + _AT_ONCE])
        return tuple(holdings)

    async def _linked(self) -> Endpoint:
        if self._origin is None:
            try:
                self._origin = (await self._lookup.bridge()).origin  # the program has no instruction that changes it
            except Rejected as error:
                raise Transient(str(error)) from error
        return self._origin

    def _holder(self, origin: Endpoint, found: FoundAccount) -> Pubkey:
        """Where the tokens are: the vault of a native token, the mint of a wrapped one. Neither ever changes."""
        token = self._decoded(found.account)
        if ti.token_address(self._lookup.at, token, origin) != found.address:
            raise self._contradiction("A token's account lies at another address than its seeds give.")
        return self._lookup.at.tokens.vault(token.mint).address if token.kind is TokenKind.NATIVE else token.mint

    async def _read(self, places: Sequence[tuple[Pubkey, Pubkey]]) -> list[TokenHolding]:
        keys = [key for place in places for key in place]
        accounts = (await self._client.accounts(keys, "finalized")).accounts
        return [self._holding(token, holder) for token, holder in zip(accounts[::2], accounts[1::2], strict=True)]

    def _holding(self, account: AccountData | None, holder: AccountData | None) -> TokenHolding:
        if account is None or holder is None:
            raise self._contradiction("A token's account, vault or mint vanished.")
        token = self._decoded(account)
        unit = 10 ** (token.native_decimals - token.wire_decimals)
        try:
            held = token_amount(holder) // unit if token.kind is TokenKind.NATIVE else -(-mint_supply(holder) // unit)
        except DecodeError as error:
            raise self._contradiction(str(error)) from error
        side, wire = _SIDES[token.kind], token.wire_decimals
        return TokenHolding(token.evm_bridge, token.native_token, side, wire, token.outstanding, held)

    def _decoded(self, account: AccountData) -> TokenAccount:
        try:
            return TokenAccount.decode(account, self._lookup.at.tokens.program)
        except DecodeError as error:
            raise self._contradiction(str(error)) from error

    def _contradiction(self, what: str) -> Transient:
        program = self._lookup.at.tokens.program
        return Transient(
            f"The Solana RPC endpoint contradicts the token program {program}. {what} Use another endpoint."
        )
