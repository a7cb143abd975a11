"""What takes a delivered token message: finds its token, and builds the instruction that redeems it (TOKENS.md §5), or gives back
what was not delivered.

Guarantees: what it builds is for the one message given; whether it is due is decided by the token program. It reads accounts at the
confirmed commitment and remembers only what never changes (which token an EVM bridge speaks for). It sends nothing.
"""

from dataclasses import dataclass
from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from bridges.solana import tokens_instructions as ti
from bridges.solana.client import SolanaClient
from bridges.solana.layout import AccountData, InboxAccount, OutboxAccount, ProgramAddresses
from bridges.solana.tokens_layout import (
    BridgeAccount,
    TokenAccount,
    TokenAddresses,
    TokenKind,
    associated,
    token_account_is,
)
from oracle.errors import Rejected, Transient
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError
from oracle.protocol.message import Message, NonDelivery
from oracle.protocol.tokens import TokenRegistration, TokenTransfer
from oracle.protocol.types import Account, ChainType, Kind

OVER_LIMIT: Final = "OverLimit"
"""The token program's name for a transfer over the rate limit."""
IS_TOKEN: Final = (0, bytes([c.TOKENS_ACCOUNT_TOKEN, c.ACCOUNT_LAYOUT_VERSION]))
"""What a token's account begins with, for searches by memcmp."""


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
        found = await self._client.find(self.at.tokens.program, [IS_TOKEN], "confirmed")
        return tuple([self._decoded(one.account) for one in found])

    async def _find(self, offset: int, value: bytes) -> TokenAccount | None:
        origin = (await self.bridge()).origin
        for one in await self._client.find(self.at.tokens.program, [IS_TOKEN, (offset, value)], "confirmed"):
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


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """Whether a relayer takes the fees that transfers offer: where it has a token account already, and where it wants one.

    `create_for` names mints of this chain for which the relayer's token account is created when a fee is offered (rent of about 0.002 SOL, once for
    each). Anybody can register a worthless token and offer fees in it, so accounts are never created for a mint that is not named.
    """

    take: bool = True
    create_for: frozenset[Pubkey] = frozenset()


class TokenRedeemer:
    """Builds what takes a message to the bridge authority, on behalf of `payer`, who also paid for its inbox account.

    `fees`: whether the payer takes the fees that transfers offer.
    """

    def __init__(self, lookup: TokenLookup, payer: Pubkey, fees: FeePolicy | None = None) -> None:
        self._lookup, self._payer, self._fees = lookup, payer, fees or FeePolicy()

    def concerns(self, message: Message) -> bool:
        """Whether the message, or the word that one was not delivered, is for the bridge authority."""
        kinds = (Kind.MESSAGE, Kind.NON_DELIVERY)
        return message.kind in kinds and message.recipient == bytes(self._lookup.at.authority)

    async def redeem_instruction(self, message: Message, inbox_payer: Pubkey | None = None) -> Instruction | None:
        """Redeems a transfer, accepts a registration or refunds what was not delivered; None for a message that no instruction would take."""
        if message.kind is Kind.NON_DELIVERY:
            return await self._refund(message, inbox_payer)
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
        create = await self._absent(token, recipient)
        fee_account = await self._fee_account(token, transfer)
        return ti.redeem(
            self._lookup.at, self._payer, token, delivered, recipient, create=create, fee_account=fee_account
        )

    async def fee_account_instruction(self, message: Message) -> Instruction | None:
        """Creates the account that the fee of this transfer would go to; None when there is no fee to take, or an account already.

        For mints that the policy names; to be sent before the message is delivered.
        """
        if not self._fees.create_for or message.kind is not Kind.MESSAGE:
            return None
        try:
            transfer = self._transfer(message)
        except DecodeError:
            return None
        token = await self._lookup.by_evm_bridge(message.sender)
        if token is None or token.mint not in self._fees.create_for or not self._takes_fee(transfer):
            return None
        if not await self._absent(token, self._payer):
            return None
        return ti.create_associated(self._payer, self._payer, token.mint, token.token_program)

    def _takes_fee(self, transfer: TokenTransfer) -> bool:
        return transfer.fee > 0 and self._fees.take and transfer.recipient != bytes(self._payer)

    async def _fee_account(self, token: TokenAccount, transfer: TokenTransfer) -> Pubkey | None:
        if not self._takes_fee(transfer):
            return None
        own = associated(self._payer, token.mint, token.token_program).address
        found = await self._lookup.account(own)
        usable = found is not None and token_account_is(found, self._payer, token.mint, token.token_program)
        return own if usable else None

    async def _absent(self, token: TokenAccount, owner: Pubkey) -> bool:
        return await self._lookup.account(associated(owner, token.mint, token.token_program).address) is None

    async def _refund(self, notice: Message, inbox_payer: Pubkey | None) -> Instruction | None:
        found = await self._lapsed(notice, inbox_payer)
        if found is None:
            return None
        token, lapsed, sender = found
        create = await self._absent(token, sender)
        return ti.refund(self._lookup.at, self._payer, token, lapsed, sender, create=create)

    async def _lapsed(
        self, notice: Message, inbox_payer: Pubkey | None
    ) -> tuple[TokenAccount, ti.Lapsed, Pubkey] | None:
        """The transfer that was not delivered, from its outbox account: its token, its expiry and its sender."""
        sibyl = self._lookup.at.sibyl
        try:
            told = NonDelivery.from_bytes(notice.payload)
            found = await self._lookup.account(sibyl.outbox(notice.sequence).address)
            sent = None if found is None else OutboxAccount.decode(found, sibyl.program).message
            if sent is None or sent.digest != told.digest:
                return None  # closed, or no message of this program
            transfer = TokenTransfer.from_bytes(
                sent.payload, origin=ChainType.SOLANA, destination=sent.destination.chain.chain_type
            )
        except DecodeError:
            return None
        token = await self._lookup.by_evm_bridge(sent.recipient)
        if token is None:
            return None
        lapsed = ti.Lapsed(notice, inbox_payer or self._payer, sent.destination, sent.expiry)
        return token, lapsed, Pubkey(transfer.sender.account)

    async def enqueue_instruction(self, message: Message, inbox_payer: Pubkey | None = None) -> Instruction | None:
        """Queues a transfer, or the refund of one, over the inbound limit; None for another message."""
        if message.kind is Kind.NON_DELIVERY:
            found = await self._lapsed(message, inbox_payer)
            return None if found is None else ti.enqueue_refund(self._lookup.at, self._payer, found[0], found[1])
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
