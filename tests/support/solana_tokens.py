"""The token program beside the Sibyl program in LiteSVM: mints, accounts, delivered messages and transfers for its tests.

Mints and token accounts are placed as the token programs would have written them; everything that moves tokens goes through the
real SPL Token, Token-2022 and associated-token programs, which LiteSVM carries.
"""

from dataclasses import dataclass, field, replace

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.layout import OutboxAccount
from bridges.solana.tokens_layout import (
    ASSOCIATED,
    NATIVE_MINT,
    TOKEN,
    TOKEN_2022,
    BridgeAccount,
    TokenAccount,
    TokenAddresses,
    TokenKind,
    associated,
    token_amount,
)
from contracts.solana.build import build_programs
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message, non_delivery_message
from oracle.protocol.tokens import TokenRegistration, TokenTransfer, create2_address
from oracle.protocol.types import Account, ChainType, Digest, Endpoint, Kind, Sequence, UnixSeconds, evm_account
from tests.support import solana_program as sp

FACTORY = evm_account(bytes([0xFA] * 20))
LINK = ti.Link(sp.EVM, FACTORY, bytes([0x11] * 32), bytes([0x22] * 32))
QUEUE_DELAY = 3600
GOVERNANCE_DELAY = 86_400
ERC20 = evm_account(bytes([0xC0] * 20))
OTHER_ERC20 = evm_account(bytes([0xC1] * 20))
EVM_RECIPIENT = evm_account(bytes([0xAB] * 20))
RENT = 10_000_000


def native_bridge(token: Account = ERC20) -> Account:
    """The EVM contract that speaks for an ERC-20."""
    return create2_address(FACTORY, token, LINK.native_init_code_hash)


def wrapped_bridge(mint: Pubkey) -> Account:
    """The EVM contract that speaks for an SPL mint."""
    return create2_address(FACTORY, bytes(mint), LINK.wrapped_init_code_hash)


def mint_bytes(authority: Pubkey | None, decimals: int, extensions: bytes = b"", supply: int = 1 << 60) -> bytes:
    """An SPL mint; with `extensions`, padded and typed as Token-2022 does it."""
    key = (b"\1\0\0\0" + bytes(authority)) if authority else bytes(36)
    base = key + supply.to_bytes(8, "little") + bytes([decimals, 1]) + bytes(36)
    return base + (bytes(165 - len(base)) + b"\1" + extensions if extensions else b"")


def extension(kind: int, value: bytes) -> bytes:
    """One extension of a mint."""
    return kind.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value


def metadata(mint: Pubkey, name: bytes, symbol: bytes) -> bytes:
    """Metadata pointer to the mint itself, and the metadata."""
    text = b"".join(len(one).to_bytes(4, "little") + one for one in (name, symbol, b""))
    return extension(18, bytes(32) + bytes(mint)) + extension(19, bytes(32) + bytes(mint) + text + bytes(4))


def account_bytes(mint: Pubkey, owner: Pubkey, amount: int, state: int = 1) -> bytes:
    """An SPL token account."""
    return bytes(mint) + bytes(owner) + amount.to_bytes(8, "little") + bytes(36) + bytes([state]) + bytes(56)


@dataclass(slots=True)
class TokenBench:
    """Both programs, initialised and linked to the EVM peer of `sp`."""

    bench: sp.Bench
    at: ti.Programs
    guardian: Keypair = field(default_factory=Keypair)
    sequence: int = 0

    @property
    def user(self) -> Pubkey:
        """Pays, and holds tokens."""
        return self.bench.user.pubkey()

    @property
    def authority(self) -> Pubkey:
        """The bridge authority."""
        return self.at.authority

    # ---- state ----

    def bridge(self) -> BridgeAccount:
        """[bridge]."""
        return BridgeAccount.decode(self.bench.data(self.authority), self.at.tokens.program)

    def token(self, address: Pubkey) -> TokenAccount:
        """[token, ...]."""
        return TokenAccount.decode(self.bench.data(address), self.at.tokens.program)

    def wrapped(self, erc20: Account = ERC20) -> TokenAccount:
        """The wrapped token of an ERC-20."""
        return self.token(self.at.tokens.wrapped(sp.EVM, native_bridge(erc20)).address)

    def native(self, mint: Pubkey) -> TokenAccount:
        """The native token of a mint."""
        return self.token(self.at.tokens.native(mint).address)

    def address(self, token: TokenAccount) -> Pubkey:
        """Where its account lies."""
        return ti.token_address(self.at, token, sp.EVM)

    def held(self, owner: Pubkey, token: TokenAccount) -> int:
        """Amount in the owner's associated account; 0 for no account."""
        target = associated(owner, token.mint, token.token_program).address
        return token_amount(self.bench.data(target)) if self.bench.exists(target) else 0

    def supply(self, mint: Pubkey) -> int:
        """A mint's supply."""
        return int.from_bytes(self.bench.data(mint).data[36:44], "little")

    def posted(self, sequence: int) -> Message:
        """What Sibyl's outbox holds."""
        return OutboxAccount.decode(
            self.bench.data(self.at.sibyl.outbox(sequence).address), self.at.sibyl.program
        ).message

    # ---- placing ----

    def mint(self, program: Pubkey = TOKEN, decimals: int = 6, extensions: bytes = b"") -> Pubkey:
        """A mint of somebody."""
        key = Keypair().pubkey()
        self.bench.put(key, mint_bytes(Keypair().pubkey(), decimals, extensions), program)
        return key

    def give(self, owner: Pubkey, mint: Pubkey, amount: int, program: Pubkey = TOKEN) -> Pubkey:
        """An associated account with `amount`."""
        target = associated(owner, mint, program).address
        self.bench.put(target, account_bytes(mint, owner, amount), program)
        return target

    # ---- messages in ----

    def inbound(
        self, sender: Account, payload: bytes, *, origin: Endpoint = sp.EVM, recipient: bytes | None = None
    ) -> Message:
        """A message from the EVM chain to the bridge authority, with a sequence of its own."""
        self.sequence += 1
        return Message(
            Kind.MESSAGE, origin, self.bench.home, Sequence(self.sequence), sender,
            Account(recipient or bytes(self.authority)), UnixSeconds(0), payload,
        )  # fmt: skip

    def deliver(self, message: Message) -> ti.Delivered:
        """Deliver it."""
        self.bench.accepted(self.bench.delivery(message))
        return ti.Delivered(message, self.user)

    def registration(
        self, erc20: Account = ERC20, decimals: int = 9, name: bytes = b"Example", symbol: bytes = b"EX"
    ) -> Message:
        """A registration of an ERC-20 by the factory."""
        return self.inbound(FACTORY, TokenRegistration(erc20, decimals, name, symbol).to_bytes())

    def accept(self, delivered: ti.Delivered, erc20: Account = ERC20) -> Instruction:
        """The accept_registration instruction."""
        return ti.accept_registration(self.at, self.user, native_bridge(erc20), delivered)

    def register_wrapped(self, erc20: Account = ERC20, decimals: int = 9) -> TokenAccount:
        """Deliver and accept a registration."""
        self.bench.accepted(self.accept(self.deliver(self.registration(erc20, decimals)), erc20))
        return self.wrapped(erc20)

    def transfer_in(self, token: TokenAccount, recipient: Pubkey, amount: int, fee: int = 0) -> Message:
        """A transfer message from the token's EVM bridge."""
        sender = InteropAddress(sp.EVM.chain, sp.EVM_USER)
        payload = TokenTransfer(sender, ChainType.SOLANA, Account(bytes(recipient)), amount, fee).to_bytes()
        return self.inbound(token.evm_bridge, payload)

    def redeem(
        self,
        token: TokenAccount,
        delivered: ti.Delivered,
        recipient: Pubkey,
        *,
        create: bool = True,
        fee_account: Pubkey | None = None,
    ) -> Instruction:
        """The redeem instruction."""
        at = self.at
        return ti.redeem(at, self.user, token, delivered, recipient, create=create, fee_account=fee_account)

    def receive(self, token: TokenAccount, recipient: Pubkey, amount: int) -> Digest:
        """Deliver and redeem a transfer."""
        delivered = self.deliver(self.transfer_in(token, recipient, amount))
        self.bench.accepted(self.redeem(token, delivered, recipient))
        return delivered.message.digest

    # ---- messages out ----

    def send(
        self,
        token: TokenAccount,
        amount: int,
        recipient: Account = EVM_RECIPIENT,
        sender: Pubkey | None = None,
        *,
        expiry: int = 0,
        fee: int = 0,
    ) -> Instruction:
        """The send_tokens instruction of the user."""
        who = sender or self.user
        source = associated(who, token.mint, token.token_program).address
        sending = ti.Sending(who, source, recipient, amount, UnixSeconds(expiry), fee)
        return ti.send_tokens(self.at, token, sending, self.bench.next_sequence(), sp.EVM)

    def sent(self, token: TokenAccount, amount: int, *, expiry: int = 0, fee: int = 0) -> Message:
        """Send, and return the posted message."""
        sequence = self.bench.next_sequence()
        self.bench.accepted(self.send(token, amount, expiry=expiry, fee=fee))
        return self.posted(sequence)

    def notice(self, message: Message) -> ti.Lapsed:
        """The committee's word that a transfer expired undelivered, delivered."""
        notice = non_delivery_message(message)
        self.bench.accepted(self.bench.delivery(notice))
        return ti.Lapsed(notice, self.user, sp.EVM, message.expiry)

    def refund(
        self, token: TokenAccount, lapsed: ti.Lapsed, sender: Pubkey | None = None, *, create: bool = True
    ) -> Instruction:
        """The refund instruction."""
        return ti.refund(self.at, self.user, token, lapsed, sender or self.user, create=create)

    def register(self, mint: Pubkey, program: Pubkey = TOKEN) -> Instruction:
        """The register_token instruction."""
        return ti.register_token(self.at, self.user, mint, program, self.bench.next_sequence(), sp.EVM)

    def register_native(self, program: Pubkey = TOKEN, decimals: int = 6, extensions: bytes = b"") -> TokenAccount:
        """A mint, registered."""
        mint = self.mint(program, decimals, extensions)
        self.bench.accepted(self.register(mint, program))
        return self.native(mint)

    @property
    def governance(self) -> Pubkey:
        """The governance authority."""
        return self.bench.authority.pubkey()

    def announce(self, act: tg.Act) -> None:
        """Announce an act of governance."""
        self.bench.accepted(tg.schedule(self.at, self.governance, act), signers=(self.bench.authority,))

    def act(self, act: tg.Act, token: TokenAccount | None = None) -> Instruction:
        """The instruction that carries out what was announced."""
        return tg.carry_out(self.at, self.governance, act, self.governance, token)

    def govern(self, act: tg.Act, token: TokenAccount | None = None) -> None:
        """Announce an act and carry it out at once (on a bench without a delay)."""
        step = tg.schedule(self.at, self.governance, act)
        self.bench.accepted(step, self.act(act, token), signers=(self.bench.authority,))

    def limit(self, token: TokenAccount, limits: tg.Limits) -> None:
        """Set limits as governance."""
        self.govern(tg.set_limits(self.address(token), limits))

    def pause(self, token: TokenAccount | None = None, *, paused: bool = True) -> None:
        """Pause (or not) as governance."""
        address = None if token is None else self.address(token)
        if paused:
            self.bench.accepted(tg.pause(self.at, self.governance, address), signers=(self.bench.authority,))
        else:
            self.govern(tg.unpause(address))


def deploy(bench: sp.Bench | None = None) -> TokenBench:
    """Both programs, the token program not initialised; the native mint exists as on a cluster."""
    bench = bench or sp.start()
    tokens = TokenAddresses(Pubkey.new_unique())
    bench.svm.add_program(tokens.program, build_programs().tokens_so.read_bytes())
    sp.set_upgrade_authority(bench, tokens.program_data, bench.authority.pubkey())
    bench.put(NATIVE_MINT, mint_bytes(None, 9, supply=0), TOKEN)
    done = TokenBench(bench, ti.Programs(tokens, bench.at))
    bench.svm.airdrop(done.guardian.pubkey(), sp.FUNDS)
    return done


def initialise(tokens: TokenBench, link: ti.Link = LINK, settings: ti.Settings | None = None) -> Instruction:
    """The initialise instruction of this bench."""
    chosen = settings or ti.Settings(tokens.guardian.pubkey(), QUEUE_DELAY, GOVERNANCE_DELAY)
    return ti.initialise(tokens.at, tokens.bench.authority.pubkey(), link, chosen)


def start(governance_delay: int = 0, bench: sp.Bench | None = None) -> TokenBench:
    """Both programs, ready; acts of governance wait for `governance_delay` seconds."""
    tokens = deploy(bench)
    step = initialise(tokens, settings=ti.Settings(tokens.guardian.pubkey(), QUEUE_DELAY, governance_delay))
    tokens.bench.accepted(step, signers=(tokens.bench.authority,))
    return tokens


def payload(recipient: Pubkey, amount: int = 5) -> bytes:
    """A transfer of wire units from the EVM user."""
    sender = InteropAddress(sp.EVM.chain, sp.EVM_USER)
    return TokenTransfer(sender, ChainType.SOLANA, Account(bytes(recipient)), amount).to_bytes()


def unmoved(tokens: TokenBench, token: TokenAccount, message: Message) -> None:
    """Assert that nothing was minted and the inbox account waits."""
    assert tokens.supply(token.mint) == 0
    assert tokens.bench.exists(tokens.at.sibyl.inbox(message.digest).address)


def outgoing(message: Message) -> TokenTransfer:
    """The transfer in a posted message."""
    return TokenTransfer.from_bytes(message.payload, origin=ChainType.SOLANA, destination=ChainType.EIP155)


__all__ = ["ASSOCIATED", "NATIVE_MINT", "TOKEN", "TOKEN_2022", "TokenBench", "TokenKind", "deploy", "replace", "start"]
