"""Encoders for every instruction of the token program (TOKENS.md §5): data and accounts in the order that the program checks.

Guarantees: lengths and ranges are checked here, bumps are found here. It does not know whether the program will agree. No I/O.
"""

from dataclasses import dataclass
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import TransferParams, transfer

from bridges.solana.instructions import NEVER
from bridges.solana.layout import ProgramAddresses
from bridges.solana.tokens_layout import (
    ASSOCIATED,
    NATIVE_MINT,
    TOKEN,
    TOKEN_2022,
    QueuedAccount,
    TokenAccount,
    TokenAddresses,
    TokenKind,
    associated,
)
from oracle.protocol import constants as c
from oracle.protocol.errors import EncodeError
from oracle.protocol.message import Message, encode_endpoint
from oracle.protocol.types import ADDRESS, WORD, Account, ChainType, Digest, Endpoint, UnixSeconds, check_account


def le(value: int, size: int, name: str) -> bytes:
    """Little-endian. Raises EncodeError when it does not fit."""
    if not 0 <= value < 1 << (8 * size):
        raise EncodeError(f"{name} is {value}; it must be a whole number of {size} bytes.")
    return value.to_bytes(size, "little")


def reads(key: Pubkey) -> AccountMeta:
    """An account that is read."""
    return AccountMeta(key, is_signer=False, is_writable=False)


def writes(key: Pubkey) -> AccountMeta:
    """An account that is changed."""
    return AccountMeta(key, is_signer=False, is_writable=True)


def signs(key: Pubkey, *, writable: bool = True) -> AccountMeta:
    """An account that signs."""
    return AccountMeta(key, is_signer=True, is_writable=writable)


SYSTEM: Final = reads(SYSTEM_PROGRAM)
_CREATE_IDEMPOTENT: Final = 1
_CLOSE_ACCOUNT: Final = 9
_SYNC_NATIVE: Final = 17


@dataclass(frozen=True, slots=True)
class Programs:
    """The two programs that work together: the token program and the Sibyl program."""

    tokens: TokenAddresses
    sibyl: ProgramAddresses

    @property
    def authority(self) -> Pubkey:
        """The bridge authority."""
        return self.tokens.bridge.address


@dataclass(frozen=True, slots=True)
class Link:
    """The EVM side of a deployment: gateway, factory, and CREATE2 init-code hashes of NativeBridge and WrappedBridge."""

    origin: Endpoint
    factory: Account
    native_init_code_hash: bytes
    wrapped_init_code_hash: bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """What is chosen once, at initialisation: who may pause, and two delays in seconds (of a queued transfer, of an act of governance)."""

    guardian: Pubkey
    queue_delay: int
    governance_delay: int


def initialise(at: Programs, authority: Pubkey, link: Link, settings: Settings) -> Instruction:
    """Creates [bridge]; `authority` is the upgrade authority and becomes the governance authority."""
    if len(link.native_init_code_hash) != WORD or len(link.wrapped_init_code_hash) != WORD:
        raise EncodeError("A hash of creation code has 32 bytes.")
    check_account(ChainType.EIP155, link.factory)
    data = b"".join(
        (
            bytes([c.TOKENS_INSTRUCTION_INITIALISE, at.tokens.bridge.bump]),
            encode_endpoint(link.origin),
            link.factory,
            link.native_init_code_hash,
            link.wrapped_init_code_hash,
            bytes(settings.guardian),
            le(settings.queue_delay, 4, "queue delay"),
            le(settings.governance_delay, 4, "governance delay"),
        )
    )
    accounts = [
        signs(authority),
        writes(at.authority),
        reads(at.tokens.program_data),
        reads(at.sibyl.program),
        reads(at.sibyl.config.address),
        SYSTEM,
    ]
    return Instruction(at.tokens.program, data, accounts)


def _posting(at: Programs, sequence: int, destination: Endpoint) -> tuple[bytes, list[AccountMeta]]:
    outbox = at.sibyl.outbox(sequence)
    accounts = [
        reads(at.sibyl.program),
        writes(at.sibyl.config.address),
        writes(outbox.address),
        reads(at.sibyl.peer(destination).address),
        SYSTEM,
    ]
    return bytes([outbox.bump]) + le(sequence, 8, "sequence"), accounts


def register_token(
    at: Programs, payer: Pubkey, mint: Pubkey, token_program: Pubkey, sequence: int, destination: Endpoint
) -> Instruction:
    """Registers a mint of this chain and sends its registration; again: sends it again. `sequence`: Sibyl's next one."""
    token, vault = at.tokens.native(mint), at.tokens.vault(mint)
    post, posting = _posting(at, sequence, destination)
    accounts = [
        signs(payer),
        writes(at.authority),
        writes(token.address),
        reads(mint),
        writes(vault.address),
        reads(token_program),
        *posting,
    ]
    data = bytes([c.TOKENS_INSTRUCTION_REGISTER_TOKEN, token.bump, vault.bump]) + post
    return Instruction(at.tokens.program, data, accounts)


def token_address(at: Programs, token: TokenAccount, origin: Endpoint) -> Pubkey:
    """Where a token's account lies."""
    if token.kind is TokenKind.NATIVE:
        return at.tokens.native(token.mint).address
    return at.tokens.wrapped(origin, token.evm_bridge).address


def vault_of(at: Programs, token: TokenAccount) -> Pubkey:
    """A wrapped token has no vault; its mint stands there."""
    return at.tokens.vault(token.mint).address if token.kind is TokenKind.NATIVE else token.mint


@dataclass(frozen=True, slots=True)
class Sending:
    """A transfer to an EVM address: `amount` in smallest units of the mint, of which what is below one wire unit stays.

    `expiry` in Unix seconds (NEVER here means the default lifetime); `fee` in wire units, out of the amount, for whoever delivers.
    """

    sender: Pubkey
    source: Pubkey
    recipient: Account
    amount: int
    expiry: UnixSeconds = NEVER
    fee: int = 0


def send_tokens(
    at: Programs, token: TokenAccount, sending: Sending, sequence: int, destination: Endpoint
) -> Instruction:
    """Locks or burns, and sends the transfer."""
    check_account(ChainType.EIP155, sending.recipient)
    post, posting = _posting(at, sequence, destination)
    data = b"".join(
        (
            bytes([c.TOKENS_INSTRUCTION_SEND_TOKENS]),
            post,
            sending.recipient[WORD - ADDRESS :],
            le(sending.amount, 8, "amount"),
            le(sending.expiry, 8, "expiry"),
            le(sending.fee, 8, "fee"),
        )
    )
    accounts = [
        signs(sending.sender),
        writes(at.authority),
        writes(token_address(at, token, destination)),
        writes(token.mint),
        writes(sending.source),
        writes(vault_of(at, token)),
        reads(token.token_program),
        *posting,
    ]
    return Instruction(at.tokens.program, data, accounts)


def _payout(at: Programs, token: TokenAccount, recipient: Pubkey, *, create: bool) -> tuple[bytes, list[AccountMeta]]:
    target = associated(recipient, token.mint, token.token_program)
    accounts = [
        writes(token.mint),
        writes(vault_of(at, token)),
        writes(target.address),
        reads(token.token_program),
    ]
    if create:
        accounts += [reads(recipient), reads(ASSOCIATED), SYSTEM]
    return bytes([target.bump]), accounts


def _inbox(at: Programs, digest: Digest, payer: Pubkey) -> list[AccountMeta]:
    return [writes(at.sibyl.inbox(digest).address), writes(payer), reads(at.sibyl.program)]


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivered message and who paid for its inbox account."""

    message: Message
    payer: Pubkey


def redeem(
    at: Programs,
    payer: Pubkey,
    token: TokenAccount,
    delivered: Delivered,
    recipient: Pubkey,
    *,
    create: bool,
    fee_account: Pubkey | None = None,
) -> Instruction:
    """Mints or releases to the associated account of `recipient`; `create` it when it is absent (three more accounts).

    `fee_account`: a token account of the payer, which gets the fee that the transfer offers (one more account).
    """
    bump, paying = _payout(at, token, recipient, create=create)
    message = delivered.message
    accounts = [
        signs(payer),
        reads(at.authority),
        writes(token_address(at, token, message.origin)),
        *_inbox(at, message.digest, delivered.payer),
        *paying,
        *([] if fee_account is None else [writes(fee_account)]),
    ]
    return Instruction(at.tokens.program, bytes([c.TOKENS_INSTRUCTION_REDEEM]) + bump, accounts)


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A delivered non-delivery of a transfer of this program: who paid for its inbox account, where the transfer was to go, and its expiry."""

    notice: Message
    payer: Pubkey
    destination: Endpoint
    expiry: UnixSeconds


def refund(
    at: Programs, payer: Pubkey, token: TokenAccount, lapsed: Lapsed, sender: Pubkey, *, create: bool
) -> Instruction:
    """Gives a transfer that expired undelivered back to the associated account of its `sender`."""
    bump, paying = _payout(at, token, sender, create=create)
    accounts = [
        signs(payer),
        reads(at.authority),
        writes(token_address(at, token, lapsed.destination)),
        *_inbox(at, lapsed.notice.digest, lapsed.payer),
        *paying,
    ]
    data = bytes([c.TOKENS_INSTRUCTION_REFUND]) + bump + le(lapsed.expiry, 8, "expiry")
    return Instruction(at.tokens.program, data, accounts)


def accept_registration(at: Programs, payer: Pubkey, evm_bridge: Account, delivered: Delivered) -> Instruction:
    """Creates the wrapped token whose EVM bridge is `evm_bridge`, or puts a repeated registration away."""
    message = delivered.message
    token = at.tokens.wrapped(message.origin, evm_bridge)
    mint = at.tokens.wrapped_mint(message.origin, evm_bridge)
    accounts = [
        signs(payer),
        reads(at.authority),
        writes(token.address),
        writes(mint.address),
        *_inbox(at, message.digest, delivered.payer),
        reads(TOKEN_2022),
        SYSTEM,
    ]
    data = bytes([c.TOKENS_INSTRUCTION_ACCEPT_REGISTRATION, token.bump, mint.bump])
    return Instruction(at.tokens.program, data, accounts)


def enqueue(at: Programs, payer: Pubkey, token: TokenAccount, delivered: Delivered) -> Instruction:
    """Moves a delivered transfer that is over the inbound limit into the queue."""
    return _enqueue(at, payer, token_address(at, token, delivered.message.origin), delivered, b"")


def enqueue_refund(at: Programs, payer: Pubkey, token: TokenAccount, lapsed: Lapsed) -> Instruction:
    """Moves a refund that is over the inbound limit into the queue."""
    delivered = Delivered(lapsed.notice, lapsed.payer)
    expiry = le(lapsed.expiry, 8, "expiry")
    return _enqueue(at, payer, token_address(at, token, lapsed.destination), delivered, expiry)


def _enqueue(at: Programs, payer: Pubkey, token: Pubkey, delivered: Delivered, more: bytes) -> Instruction:
    digest = delivered.message.digest
    queued = at.tokens.queued(digest)
    accounts = [
        signs(payer),
        reads(at.authority),
        reads(token),
        *_inbox(at, digest, delivered.payer),
        writes(queued.address),
        SYSTEM,
    ]
    return Instruction(at.tokens.program, bytes([c.TOKENS_INSTRUCTION_ENQUEUE, queued.bump]) + more, accounts)


def release(at: Programs, payer: Pubkey, token: TokenAccount, queued: QueuedAccount, *, create: bool) -> Instruction:
    """Pays a queued transfer out after the delay."""
    bump, paying = _payout(at, token, queued.recipient, create=create)
    accounts = [
        signs(payer),
        reads(at.authority),
        writes(queued.token),
        writes(at.tokens.queued(queued.digest).address),
        writes(queued.payer),
        *paying,
    ]
    return Instruction(at.tokens.program, bytes([c.TOKENS_INSTRUCTION_RELEASE]) + bump, accounts)


def close_sent(at: Programs, sequence: int, sender: Pubkey) -> Instruction:
    """Long after its expiry: the rent of a transfer's outbox account to the transfer's `sender`. Anyone may send it."""
    accounts = [
        writes(at.authority),
        writes(at.sibyl.outbox(sequence).address),
        writes(sender),
        reads(at.sibyl.program),
    ]
    return Instruction(at.tokens.program, bytes([c.TOKENS_INSTRUCTION_CLOSE_SENT]), accounts)


def create_associated(payer: Pubkey, owner: Pubkey, mint: Pubkey, token_program: Pubkey) -> Instruction:
    """Creates the associated account of `owner` unless it exists."""
    target = associated(owner, mint, token_program).address
    accounts = [signs(payer), writes(target), reads(owner), reads(mint), SYSTEM, reads(token_program)]
    return Instruction(ASSOCIATED, bytes([_CREATE_IDEMPOTENT]), accounts)


def wrap_instructions(owner: Pubkey, lamports: int) -> list[Instruction]:
    """Moves lamports of `owner` into its associated account of the native mint."""
    target = associated(owner, NATIVE_MINT, TOKEN).address
    return [
        create_associated(owner, owner, NATIVE_MINT, TOKEN),
        transfer(TransferParams(from_pubkey=owner, to_pubkey=target, lamports=lamports)),
        Instruction(TOKEN, bytes([_SYNC_NATIVE]), [writes(target)]),
    ]


def unwrap_instruction(owner: Pubkey) -> Instruction:
    """Gives all of the owner's wrapped SOL back as lamports, and the rent of its account."""
    target = associated(owner, NATIVE_MINT, TOKEN).address
    accounts = [writes(target), writes(owner), signs(owner, writable=False)]
    return Instruction(TOKEN, bytes([_CLOSE_ACCOUNT]), accounts)
