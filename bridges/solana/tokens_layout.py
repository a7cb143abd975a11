"""Accounts of the token program as Python values, the addresses where they lie, and the few bytes of SPL Token's accounts that the
bridge reads (TOKENS.md §5).

Guarantees: a decoder takes only an account that the expected program owns, of its layout's length, with the right type and version bytes,
and raises nothing but `DecodeError`. It does not check an account's address: whoever fetched it derived the address first. No I/O.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from solders.pubkey import Pubkey

from bridges.solana.layout import UPGRADEABLE_LOADER, AccountData, Pda
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.message import origin_hash
from oracle.protocol.tokens import create2_address
from oracle.protocol.types import WORD, Account, Chain, ChainType, Digest, Endpoint, UnixSeconds

TOKEN: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
NATIVE_MINT: Final = Pubkey.from_string("So11111111111111111111111111111111111111112")
"""Mint of wrapped SOL."""
UNLIMITED: Final = c.TOKENS_UNLIMITED

_TOKEN_ACCOUNT: Final = 165
_MINT: Final = 82
_AMOUNT_AT: Final = 64
_STATE_AT: Final = 108
_INITIALISED: Final = 1
_SUPPLY_AT: Final = 36
_DECIMALS_AT: Final = 44


class TokenKind(IntEnum):
    """Where the token lives (`TOKENS_KIND_*`)."""

    NATIVE = c.TOKENS_KIND_NATIVE
    WRAPPED = c.TOKENS_KIND_WRAPPED


@lru_cache(maxsize=4096)
def _derive(program: Pubkey, *seeds: bytes) -> Pda:
    return Pda(*Pubkey.find_program_address(list(seeds), program))


def associated(owner: Pubkey, mint: Pubkey, token_program: Pubkey) -> Pda:
    """The associated token account of `owner`."""
    return _derive(ASSOCIATED, bytes(owner), bytes(token_program), bytes(mint))


@dataclass(frozen=True, slots=True)
class TokenAddresses:
    """The addresses of one deployed token program."""

    program: Pubkey

    @property
    def bridge(self) -> Pda:
        """[bridge]: the bridge authority."""
        return _derive(self.program, c.TOKENS_SEED_BRIDGE)

    @property
    def program_data(self) -> Pubkey:
        """The loader's account that holds the code and the upgrade authority."""
        return _derive(UPGRADEABLE_LOADER, bytes(self.program)).address

    def native(self, mint: Pubkey) -> Pda:
        """[token, mint]."""
        return _derive(self.program, c.TOKENS_SEED_TOKEN, bytes(mint))

    def wrapped(self, origin: Endpoint, evm_bridge: Account) -> Pda:
        """[token, origin hash, EVM bridge]."""
        return _derive(self.program, c.TOKENS_SEED_TOKEN, origin_hash(origin), evm_bridge)

    def wrapped_mint(self, origin: Endpoint, evm_bridge: Account) -> Pda:
        """[mint, origin hash, EVM bridge]."""
        return _derive(self.program, c.TOKENS_SEED_MINT, origin_hash(origin), evm_bridge)

    def vault(self, mint: Pubkey) -> Pda:
        """[vault, mint]."""
        return _derive(self.program, c.TOKENS_SEED_VAULT, bytes(mint))

    def queued(self, digest: Digest) -> Pda:
        """[queued, digest]."""
        return _derive(self.program, c.TOKENS_SEED_QUEUED, digest)

    def scheduled(self, operation: bytes) -> Pda:
        """[scheduled, operation]."""
        return _derive(self.program, c.TOKENS_SEED_SCHEDULED, operation)


class _Fields:
    """Little-endian fields of one account, at the offsets of protocol.toml."""

    __slots__ = ("data",)

    def __init__(self, account: AccountData, program: Pubkey, name: str, kind: int, size: int) -> None:
        self.data = account.data
        if account.owner != program:
            raise DecodeError(f"The {name} account belongs to {account.owner}, not to the token program {program}.")
        if len(self.data) != size:
            raise DecodeError(f"The {name} account has {len(self.data)} bytes, its layout {size}.")
        if self.data[0] != kind or self.data[1] != c.ACCOUNT_LAYOUT_VERSION:
            raise DecodeError(f"The {name} account's type or layout version is another one.")

    def uint(self, offset: int, size: int = 8) -> int:
        return int.from_bytes(self.data[offset : offset + size], "little")

    def word(self, offset: int) -> bytes:
        return self.data[offset : offset + WORD]

    def account(self, offset: int) -> Account:
        return Account(self.word(offset))

    def key(self, offset: int) -> Pubkey:
        return Pubkey(self.word(offset))


def _endpoint(data: bytes) -> Endpoint:
    try:
        chain = Chain(ChainType(int.from_bytes(data[:2])), data[2 : 2 + WORD])
        return Endpoint(chain, Account(data[2 + WORD :]))
    except (EncodeError, ValueError) as error:
        raise DecodeError(f"The bridge account's origin is invalid: {error}") from error


@dataclass(frozen=True, slots=True)
class BridgeAccount:
    """[bridge]: what this deployment is linked to. `queue_delay` and `governance_delay` in seconds."""

    paused: bool
    queue_delay: int
    governance_delay: int
    sibyl: Pubkey
    origin: Endpoint
    chain_reference: bytes
    factory: Account
    native_init_code_hash: bytes
    wrapped_init_code_hash: bytes
    authority: Pubkey
    guardian: Pubkey

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "BridgeAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "bridge", c.TOKENS_ACCOUNT_BRIDGE, c.TOKENS_BRIDGE_ACCOUNT_SIZE)
        start = c.TOKENS_BRIDGE_ACCOUNT_ORIGIN_OFFSET
        return cls(
            f.data[c.TOKENS_BRIDGE_ACCOUNT_PAUSED_OFFSET] != 0,
            f.uint(c.TOKENS_BRIDGE_ACCOUNT_QUEUE_DELAY_OFFSET, 4),
            f.uint(c.TOKENS_BRIDGE_ACCOUNT_GOVERNANCE_DELAY_OFFSET, 4),
            f.key(c.TOKENS_BRIDGE_ACCOUNT_SIBYL_OFFSET),
            _endpoint(f.data[start : c.TOKENS_BRIDGE_ACCOUNT_RESERVED_OFFSET]),
            f.word(c.TOKENS_BRIDGE_ACCOUNT_CHAIN_REFERENCE_OFFSET),
            f.account(c.TOKENS_BRIDGE_ACCOUNT_FACTORY_OFFSET),
            f.word(c.TOKENS_BRIDGE_ACCOUNT_NATIVE_INIT_CODE_HASH_OFFSET),
            f.word(c.TOKENS_BRIDGE_ACCOUNT_WRAPPED_INIT_CODE_HASH_OFFSET),
            f.key(c.TOKENS_BRIDGE_ACCOUNT_AUTHORITY_OFFSET),
            f.key(c.TOKENS_BRIDGE_ACCOUNT_GUARDIAN_OFFSET),
        )

    def evm_bridge(self, kind: TokenKind, native_token: Account) -> Account:
        """The EVM contract that speaks for a token: NativeBridge of an ERC-20 (wrapped here), WrappedBridge of a mint (native here)."""
        hashes = {TokenKind.NATIVE: self.wrapped_init_code_hash, TokenKind.WRAPPED: self.native_init_code_hash}
        return create2_address(self.factory, native_token, hashes[kind])


class Bucket(NamedTuple):
    """A token bucket in wire units: holds at most `capacity`, gains `refill` each second, held `level` at `updated`."""

    capacity: int
    refill: int
    level: int
    updated: int

    def available(self, now: int) -> int:
        """What it holds at `now`."""
        if self.capacity == UNLIMITED:
            return UNLIMITED
        return min(self.capacity, self.level + max(0, now - self.updated) * self.refill)


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """[token, ...]: one token of the bridge. `outstanding`, `cap` and `exit_left` in wire units.

    `paused_since` (0: it is not paused alone) and `exit_begin` (0: no emergency exit) in Unix seconds.
    """

    kind: TokenKind
    wire_decimals: int
    native_decimals: int
    paused: bool
    outstanding: int
    cap: int
    outbound: Bucket
    inbound: Bucket
    paused_since: UnixSeconds
    exit_begin: UnixSeconds
    exit_left: int
    mint: Pubkey
    token_program: Pubkey
    evm_bridge: Account
    native_token: Account

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "TokenAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "token", c.TOKENS_ACCOUNT_TOKEN, c.TOKENS_TOKEN_ACCOUNT_SIZE)
        kind = f.data[c.TOKENS_TOKEN_ACCOUNT_KIND_OFFSET]
        if kind not in set(TokenKind):
            raise DecodeError(f"A token account has no kind {kind}.")

        def bucket(at: int) -> Bucket:
            return Bucket(*(f.uint(at + 8 * index) for index in range(4)))

        return cls(
            TokenKind(kind),
            f.data[c.TOKENS_TOKEN_ACCOUNT_WIRE_DECIMALS_OFFSET],
            f.data[c.TOKENS_TOKEN_ACCOUNT_NATIVE_DECIMALS_OFFSET],
            f.data[c.TOKENS_TOKEN_ACCOUNT_PAUSED_OFFSET] != 0,
            f.uint(c.TOKENS_TOKEN_ACCOUNT_OUTSTANDING_OFFSET),
            f.uint(c.TOKENS_TOKEN_ACCOUNT_CAP_OFFSET),
            bucket(c.TOKENS_TOKEN_ACCOUNT_OUTBOUND_CAPACITY_OFFSET),
            bucket(c.TOKENS_TOKEN_ACCOUNT_INBOUND_CAPACITY_OFFSET),
            UnixSeconds(f.uint(c.TOKENS_TOKEN_ACCOUNT_PAUSED_SINCE_OFFSET)),
            UnixSeconds(f.uint(c.TOKENS_TOKEN_ACCOUNT_EXIT_BEGIN_OFFSET)),
            f.uint(c.TOKENS_TOKEN_ACCOUNT_EXIT_LEFT_OFFSET),
            f.key(c.TOKENS_TOKEN_ACCOUNT_MINT_OFFSET),
            f.key(c.TOKENS_TOKEN_ACCOUNT_TOKEN_PROGRAM_OFFSET),
            f.account(c.TOKENS_TOKEN_ACCOUNT_EVM_BRIDGE_OFFSET),
            f.account(c.TOKENS_TOKEN_ACCOUNT_NATIVE_TOKEN_OFFSET),
        )


@dataclass(frozen=True, slots=True)
class QueuedAccount:
    """[queued, digest]: an inbound transfer that waits until `releasable_at`. `token` is the [token, ...] account."""

    amount: int
    releasable_at: UnixSeconds
    token: Pubkey
    recipient: Pubkey
    payer: Pubkey
    digest: Digest

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "QueuedAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "queued", c.TOKENS_ACCOUNT_QUEUED, c.TOKENS_QUEUED_ACCOUNT_SIZE)
        return cls(
            f.uint(c.TOKENS_QUEUED_ACCOUNT_AMOUNT_OFFSET),
            UnixSeconds(f.uint(c.TOKENS_QUEUED_ACCOUNT_RELEASABLE_AT_OFFSET)),
            f.key(c.TOKENS_QUEUED_ACCOUNT_TOKEN_OFFSET),
            f.key(c.TOKENS_QUEUED_ACCOUNT_RECIPIENT_OFFSET),
            f.key(c.TOKENS_QUEUED_ACCOUNT_PAYER_OFFSET),
            Digest(f.word(c.TOKENS_QUEUED_ACCOUNT_DIGEST_OFFSET)),
        )


@dataclass(frozen=True, slots=True)
class ScheduledAccount:
    """[scheduled, operation]: an announced act of governance, which may be carried out from `ready_at`. `payer` gets the rent back."""

    ready_at: UnixSeconds
    payer: Pubkey
    operation: bytes

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "ScheduledAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "scheduled", c.TOKENS_ACCOUNT_SCHEDULED, c.TOKENS_SCHEDULED_ACCOUNT_SIZE)
        return cls(
            UnixSeconds(f.uint(c.TOKENS_SCHEDULED_ACCOUNT_READY_AT_OFFSET)),
            f.key(c.TOKENS_SCHEDULED_ACCOUNT_PAYER_OFFSET),
            f.word(c.TOKENS_SCHEDULED_ACCOUNT_OPERATION_OFFSET),
        )


def token_amount(account: AccountData) -> int:
    """Smallest units in an SPL token account. Raises DecodeError when it is none."""
    if account.owner not in (TOKEN, TOKEN_2022) or len(account.data) < _TOKEN_ACCOUNT:
        raise DecodeError("This is not a token account of SPL Token or Token-2022.")
    return int.from_bytes(account.data[_AMOUNT_AT : _AMOUNT_AT + 8], "little")


def token_account_is(account: AccountData, owner: Pubkey, mint: Pubkey, token_program: Pubkey) -> bool:
    """Whether this is a token account of that owner and mint that can be paid into (initialised, not frozen)."""
    data = account.data
    if account.owner != token_program or len(data) < _TOKEN_ACCOUNT or data[_STATE_AT] != _INITIALISED:
        return False
    return (data[:WORD], data[WORD:_AMOUNT_AT]) == (bytes(mint), bytes(owner))


def mint_supply(account: AccountData) -> int:
    """Smallest units of an SPL mint that exist. Raises DecodeError when it is none."""
    mint_decimals(account)
    return int.from_bytes(account.data[_SUPPLY_AT : _SUPPLY_AT + 8], "little")


def mint_decimals(account: AccountData) -> int:
    """Decimals of an SPL mint. Raises DecodeError when it is none."""
    if account.owner not in (TOKEN, TOKEN_2022) or len(account.data) < _MINT:
        raise DecodeError("This is not a mint of SPL Token or Token-2022.")
    return account.data[_DECIMALS_AT]
