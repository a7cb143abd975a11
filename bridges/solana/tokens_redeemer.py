"""What takes a delivered token message: finds its token, and builds the instruction that redeems it (TOKENS.md §5).

Guarantees: what it builds is for the one message given; whether it is due is decided by the token program. It reads accounts at the
confirmed commitment and remembers only what never changes (which token an EVM bridge speaks for). It sends nothing.
"""

from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from bridges.solana import tokens_instructions as ti
from bridges.solana.client import SolanaClient
from bridges.solana.layout import AccountData, InboxAccount, ProgramAddresses
from bridges.solana.tokens_layout import BridgeAccount, TokenAccount, TokenAddresses, TokenKind, associated
from oracle.errors import Rejected, Transient
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError
from oracle.protocol.message import Message
from oracle.protocol.tokens import TokenRegistration, TokenTransfer
from oracle.protocol.types import Account, ChainType, Kind

OVER_LIMIT: Final = "OverLimit"
"""The token program's name for a transfer over the rate limit."""
_TYPE: Final = (0, bytes([c.TOKENS_ACCOUNT_TOKEN, c.ACCOUNT_LAYOUT_VERSION]))


class TokenLookup:
    """Reads the accounts of one token program `tokens` that works with the Sibyl program `sibyl` (32 bytes each)."""

    def __init__(self, client: SolanaClient, sibyl: Account, tokens: Account) -> None:
        self._client = client
        self.at = ti.Programs(TokenAddresses(Pubkey(tokens)), ProgramAddresses(Pubkey(sibyl)))
        self._known: dict[Account, TokenAccount] = {}

    async def account(self, address: Pubkey) -> AccountData | None:
        """An account, unless there is none."""
        found = (await self._client.accounts([address], "confirmed")).accounts[0]
        return None if found is None or found.vacant else found

    async def bridge(self) -> BridgeAccount:
        """[bridge]. Raises Rejected when the program was not initialised."""
        found = await self.account(self.at.authority)
        if found is None:
            raise Rejected(
                f"There is no initialised token program at {self.at.tokens.program}. Check its id.", reason="WrongOwner"
            )
        try:
            return BridgeAccount.decode(found, self.at.tokens.program)
        except DecodeError as error:
            raise self._contradiction(error) from error

    async def by_mint(self, mint: Pubkey) -> TokenAccount | None:
        """The token whose mint on this chain is `mint`."""
        return await self._find(c.TOKENS_TOKEN_ACCOUNT_MINT_OFFSET, bytes(mint))

    async def by_native(self, native_token: Account) -> TokenAccount | None:
        """The token whose native account (padded ERC-20 address, SPL mint) is `native_token`."""
        return await self._find(c.TOKENS_TOKEN_ACCOUNT_NATIVE_TOKEN_OFFSET, native_token)

    async def by_evm_bridge(self, evm_bridge: Account) -> TokenAccount | None:
        """The token for which an EVM contract speaks. Amounts and limits in it may be old: what never changes is remembered."""
        if evm_bridge not in self._known:
            found = await self._find(c.TOKENS_TOKEN_ACCOUNT_EVM_BRIDGE_OFFSET, evm_bridge)
            if found is None:
                return None
            self._known[evm_bridge] = found
        return self._known[evm_bridge]

    async def all(self) -> tuple[TokenAccount, ...]:
        """Every registered token."""
        found = await self._client.find(self.at.tokens.program, [_TYPE], "confirmed")
        return tuple([self._decoded(one.account) for one in found])

    async def _find(self, offset: int, value: bytes) -> TokenAccount | None:
        origin = (await self.bridge()).origin
        for one in await self._client.find(self.at.tokens.program, [_TYPE, (offset, value)], "confirmed"):
            token = self._decoded(one.account)
            if ti.token_address(self.at, token, origin) == one.address:
                return token
        return None

    def _decoded(self, account: AccountData) -> TokenAccount:
        try:
            return TokenAccount.decode(account, self.at.tokens.program)
        except DecodeError as error:
            raise self._contradiction(error) from error

    def _contradiction(self, error: DecodeError) -> Transient:
        return Transient(
            f"The Solana RPC endpoint contradicts the token program {self.at.tokens.program}. {error} Use another endpoint."
        )


class TokenRedeemer:
    """Builds what takes a message to the bridge authority, on behalf of `payer`, who also paid for its inbox account."""

    def __init__(self, lookup: TokenLookup, payer: Pubkey) -> None:
        self._lookup, self._payer = lookup, payer

    def concerns(self, message: Message) -> bool:
        """Whether the message is for the bridge authority."""
        return message.kind is Kind.MESSAGE and message.recipient == bytes(self._lookup.at.authority)

    async def redeem_instruction(self, message: Message, inbox_payer: Pubkey | None = None) -> Instruction | None:
        """Redeems a transfer or accepts a registration; None for a message that no instruction would take."""
        bridge = await self._lookup.bridge()
        delivered = ti.Delivered(message, inbox_payer or self._payer)
        try:
            if message.sender == bridge.factory:
                native_token = TokenRegistration.from_bytes(message.payload).token
                evm_bridge = bridge.evm_bridge(TokenKind.WRAPPED, native_token)
                return ti.accept_registration(self._lookup.at, self._payer, evm_bridge, delivered)
            transfer = self._transfer(message)
        except DecodeError:
            return None
        token = await self._lookup.by_evm_bridge(message.sender)
        if token is None:
            return None
        recipient = Pubkey(transfer.recipient)
        target = associated(recipient, token.mint, token.token_program).address
        create = await self._lookup.account(target) is None
        return ti.redeem(self._lookup.at, self._payer, token, delivered, recipient, create=create)

    async def enqueue_instruction(self, message: Message, inbox_payer: Pubkey | None = None) -> Instruction | None:
        """Queues a transfer over the inbound limit; None for another message."""
        token = await self._lookup.by_evm_bridge(message.sender)
        if token is None:
            return None
        return ti.enqueue(self._lookup.at, self._payer, token, ti.Delivered(message, inbox_payer or self._payer))

    async def inbox_payer(self, message: Message) -> Pubkey | None:
        """Who paid for a delivered message's inbox account; None when there is none (any more)."""
        sibyl = self._lookup.at.sibyl
        found = await self._lookup.account(sibyl.inbox(message.digest).address)
        try:
            return None if found is None else InboxAccount.decode(found, sibyl.program).payer
        except DecodeError as error:
            raise Transient(f"The Solana RPC endpoint contradicts the program {sibyl.program}. {error}") from error

    def _transfer(self, message: Message) -> TokenTransfer:
        origin = message.origin.chain.chain_type
        return TokenTransfer.from_bytes(message.payload, origin=origin, destination=ChainType.SOLANA)
