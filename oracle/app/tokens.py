"""Tokens on a running devnet: register, transfer, follow, and what the bridge holds (TOKENS.md)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from eth_typing import ChecksumAddress
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.evm.abi import account_of, address_of
from bridges.evm.guard import Clearance, ClearanceState, EvmGuard
from bridges.evm.token_permits import PermitAccount
from bridges.evm.tokens import EvmTokens
from bridges.solana.tokens import SolanaTokens
from bridges.solana.tokens_layout import TokenAccount, TokenKind
from oracle.app.asking import EVM, SOLANA, DevnetUser
from oracle.errors import ConfigError, Rejected, Transient
from oracle.protocol.interop import InteropAddress
from oracle.protocol.tokens import wire_decimals
from oracle.protocol.types import Account, Digest, UnixSeconds, evm_account

ETHER, SOL = "ether", "sol"
NATIVE_MINT = Pubkey.from_string("So11111111111111111111111111111111111111112")
SOL_DECIMALS = 9
POLL_SECONDS = 0.1
FOLLOW_SECONDS = 120.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Token:
    """A registered token: its native account and chain, and its form on each chain. Decimals of the smallest unit there."""

    token_id: Account
    home: str
    symbol: str
    evm: ChecksumAddress
    evm_decimals: int
    mint: Pubkey
    solana_decimals: int

    def decimals(self, chain: str) -> int:
        """Of the token's form on `chain`."""
        return self.evm_decimals if chain == EVM else self.solana_decimals

    @property
    def wire_decimals(self) -> int:
        """Of amounts in messages (TOKENS.md §2)."""
        return wire_decimals(self.decimals(self.home))


@dataclass(frozen=True, slots=True)
class Terms:
    """How a transfer goes: seconds until it comes back undelivered (None: a day), and the fee for whoever delivers, in wire units."""

    lifetime: int | None = None
    fee: int = 0


PLAIN = Terms()


@dataclass(frozen=True, slots=True)
class TokenUser:
    """The devnet's user at both ends of the token bridge."""

    user: DevnetUser
    evm: EvmTokens
    solana: SolanaTokens
    guard: EvmGuard | None = None

    def address(self, chain: str) -> InteropAddress:
        """The user's own account on a chain."""
        if chain == EVM:
            return InteropAddress(self.user.evm_endpoint.chain, account_of(self.evm.address))
        return InteropAddress(self.user.solana_endpoint.chain, Account(bytes(self.solana.key)))

    def recipient(self, chain: str, text: str | None) -> InteropAddress:
        """Who is to get tokens on `chain`: the user unless named. Raises ConfigError."""
        if text is None:
            return self.address(chain)
        try:
            if chain == EVM:
                return InteropAddress(self.user.evm_endpoint.chain, evm_account(bytes.fromhex(text.removeprefix("0x"))))
            return InteropAddress(self.user.solana_endpoint.chain, Account(bytes(Pubkey.from_string(text))))
        except (ValueError, Rejected) as error:
            raise ConfigError(f"“{text}” is not an account on {chain}.") from error

    # ---- registration ----

    def native_account(self, name: str) -> tuple[str, Account]:
        """(home chain, account) of a token by name: ether, sol, an ERC-20's address or a mint. Raises ConfigError."""
        if name == ETHER:
            return EVM, account_of(self.user.devnet.evm.weth)
        if name == SOL:
            return SOLANA, Account(bytes(NATIVE_MINT))
        try:
            if name.startswith("0x"):
                return EVM, evm_account(bytes.fromhex(name[2:]))
            return SOLANA, Account(bytes(Pubkey.from_string(name)))
        except (ValueError, Rejected) as error:
            raise ConfigError(f"“{name}” is no token: give {ETHER}, {SOL}, an ERC-20's address or a mint.") from error

    async def register(self, name: str) -> Digest:
        """Send a token's registration to the other chain; the message's digest. Raises Rejected in words."""
        home, account = self.native_account(name)
        if home == EVM:
            return (await self.evm.register(address_of(account))).digest
        return (await self.solana.register(Pubkey(account))).request_id

    async def tokens(self) -> list[Token]:
        """Every token that both chains know, in the order in which the EVM chain came to know them."""
        found = []
        for entry in await self.evm.tokens():
            account = await self.solana.lookup.by_native(entry.token_id)
            if account is not None:
                decimals = _mint_decimals(account)
                home = EVM if entry.native else SOLANA
                symbol = entry.symbol or str(entry.token)
                found.append(Token(entry.token_id, home, symbol, entry.token, entry.decimals, account.mint, decimals))
        return found

    async def token(self, name: str) -> Token:
        """A token by any name that `native_account` takes, by its wrapped form's address, or by its symbol. Raises ConfigError."""
        known = await self.tokens()
        for token in known:
            names = {token.symbol.lower(), token.evm.lower(), str(token.mint).lower()}
            if name.lower() in names:
                return token
        _, account = self.native_account(name)
        for token in known:
            if token.token_id == account:
                return token
        raise ConfigError(f"The bridge does not know {name}. Register it with: sibyl token register {name}")

    # ---- transfers ----

    async def send(
        self, token: Token, origin: str, amount: int, recipient: InteropAddress, terms: Terms = PLAIN
    ) -> Digest:
        """Send `amount` smallest units of the token's form on `origin`; the transfer's digest. Raises Rejected in words."""
        expiry = 0 if terms.lifetime is None else int(time.time()) + terms.lifetime
        if origin == EVM:
            if token.token_id == account_of(self.user.devnet.evm.weth):
                sent = await self.evm.transfer_ether(recipient, amount, expiry=expiry, fee=terms.fee)
            else:
                sent = await self.evm.transfer(token.token_id, recipient, amount, expiry=expiry, fee=terms.fee)
            return sent.digest
        if token.mint == NATIVE_MINT:
            await self.solana.wrap(amount)
        posted = await self.solana.transfer(token.mint, recipient, amount, expiry=UnixSeconds(expiry), fee=terms.fee)
        return posted.request_id

    # ---- the guard ----

    async def score_out(self, token: Token, amount: int, recipient: InteropAddress, tell: Tell) -> None:
        """Let the guard score a transfer out of the EVM chain that is above its limit, and wait for the score. Raises Rejected when it is denied.

        A transfer that needs no score is none of its business.
        """
        status = await self.evm.status(token.token_id)
        wire = amount // status.token.scale
        if self.guard is None or status.guard != self.guard.address or wire <= status.guard_limit:
            return
        bridge, sender = status.token.bridge, self.evm.address
        known = await self.guard.outbound(bridge, sender, recipient.account, wire)
        if known.state is not ClearanceState.CLEARED:
            asked = await self.guard.ask_outbound(bridge, recipient.account, wire)
            tell(f"above the guard's limit: a risk score is asked for, request 0x{asked.request_id.hex()}")
            known = await self._scored(lambda: self._outbound(bridge, sender, recipient.account, wire))
        self._require_cleared(known, tell)

    async def score_in(self, token: Token, digest: Digest, tell: Tell) -> None:
        """Let the guard score a transfer that waits for it on the EVM chain, and pay it out. Raises Rejected when none waits or it is denied."""
        waiting = await self.evm.waiting(token.token_id, digest)
        if self.guard is None or waiting is None:
            raise Rejected(
                f"No transfer 0x{digest.hex()} of {token.symbol} waits on the EVM chain.", reason="NotQueued"
            )
        bridge = (await self.evm.status(token.token_id)).token.bridge
        if waiting.guarded:
            known = await self.guard.inbound(bridge, digest)
            if known.state is not ClearanceState.CLEARED:
                asked = await self.guard.ask_inbound(bridge, digest)
                tell(f"a risk score is asked for, request 0x{asked.request_id.hex()}")
                known = await self._scored(lambda: self._inbound(bridge, digest))
            self._require_cleared(known, tell)
        await self.evm.release(token.token_id, digest)
        tell("paid out")

    async def _outbound(self, bridge: ChecksumAddress, sender: ChecksumAddress, to: Account, wire: int) -> Clearance:
        if self.guard is None:
            raise ConfigError("This devnet has no guard.")
        return await self.guard.outbound(bridge, sender, to, wire)

    async def _inbound(self, bridge: ChecksumAddress, digest: Digest) -> Clearance:
        if self.guard is None:
            raise ConfigError("This devnet has no guard.")
        return await self.guard.inbound(bridge, digest)

    async def _scored(self, look: Callable[[], Awaitable[Clearance]]) -> Clearance:
        try:
            async with asyncio.timeout(FOLLOW_SECONDS):
                while (found := await look()).state is ClearanceState.ASKED:
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError as error:
            raise Transient(f"The oracle gave no score within {FOLLOW_SECONDS:g} s. Ask again later.") from error
        return found

    @staticmethod
    def _require_cleared(found: Clearance, tell: Tell) -> None:
        if found.state is not ClearanceState.CLEARED:
            raise Rejected(f"The guard says no: the transfer's risk score is {found.score}.", reason="GuardDenied")
        tell(f"cleared by the guard: the transfer's risk score is {found.score}")

    async def follow(
        self, digest: Digest, tell: Tell, timeout: float = FOLLOW_SECONDS, until: str = "delivered"
    ) -> float:
        """Wait until a message is delivered (or final, by "confirmed"), and tell each stage on the way; the seconds that took.

        One that expires is followed until its sender has it back. Raises Transient after `timeout` seconds.
        """
        started, seen = time.monotonic(), ""
        order = ("observed", "attested", "delivered", "confirmed")
        lapsed = False
        while time.monotonic() - started < timeout:
            reports = await self.user.node_reports(digest)
            if not lapsed and any(report["lapsed"] for report in reports):
                lapsed, seen = True, ""
                tell(f"expired undelivered after {time.monotonic() - started:.1f} s; it goes back")
            stages = [report["stage"] for report in reports if report["lapsed"] == lapsed]
            best = max((order.index(stage) for stage in stages if stage in order), default=-1)
            if best >= 0 and order[best] != seen:
                seen = order[best]
                tell(f"{seen} after {time.monotonic() - started:.1f} s")
            if best >= order.index(until):
                return time.monotonic() - started
            await asyncio.sleep(POLL_SECONDS)
        raise Transient(
            f"The message 0x{digest.hex()} was not {until} within {timeout:g} s; it is {seen or 'not seen yet'}. "
            "Follow it with: sibyl transfer status ID"
        )

    async def balance(self, token: Token, chain: str) -> int:
        """The user's holding of the token's form on a chain, in its smallest unit."""
        if chain == EVM:
            return await self.evm.balance(token.evm)
        return await self.solana.balance(token.mint)


def _mint_decimals(account: TokenAccount) -> int:
    return account.native_decimals if account.kind is TokenKind.NATIVE else account.wire_decimals


def parse_amount(text: str, decimals: int) -> int:
    """Smallest units of a decimal amount such as “1.5”. Raises ConfigError for what is no amount, negative, zero, or too fine."""
    try:
        amount = Decimal(text) * 10**decimals
    except InvalidOperation as error:
        raise ConfigError(f"“{text}” is no amount; give a number such as 1.5.") from error
    if not amount.is_finite() or amount <= 0:
        raise ConfigError(f"The amount {text} is not more than zero.")
    if amount != amount.to_integral_value():
        raise ConfigError(f"The amount {text} has more than the token's {decimals} decimals.")
    return int(amount)


def show_amount(amount: int, decimals: int) -> str:
    """A decimal amount without trailing zeros."""
    text = f"{Decimal(amount).scaleb(-decimals):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@asynccontextmanager
async def open_tokens(user: DevnetUser) -> AsyncIterator[TokenUser]:
    """The token bridge for an open devnet user."""
    evm, solana = user.devnet.evm, user.devnet.solana
    key = Keypair.from_bytes(bytes.fromhex(solana.user_key[2:]))
    permits = PermitAccount(evm.user_key)
    program, tokens = (Account(bytes(Pubkey.from_string(one))) for one in (solana.program, solana.tokens_program))
    yield TokenUser(
        user,
        EvmTokens(user.evm_sender, account_of(evm.token_factory), permits),
        SolanaTokens(user.solana_client, program, tokens, key),
        None if evm.guard is None else EvmGuard(user.evm_sender, account_of(evm.guard)),
    )
