"""Value types of the protocol.

Each says what was checked: a `Digest` is 32 bytes, an `Endpoint` names a chain that this version knows. They are frozen, hashable
and compare by value. They do no I/O and hold no secrets.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

from oracle.protocol import constants as c
from oracle.protocol.errors import EncodeError

Digest = NewType("Digest", bytes)
"""keccak256 over a domain tag and a message body (PROTOCOL.md §1), 32 bytes. A request's digest is its request id."""

ModelId = NewType("ModelId", bytes)
"""PROTOCOL.md §5, 32 bytes."""

Account = NewType("Account", bytes)
"""An account on some chain, 32 bytes; a 20-byte EVM address is left-padded with zeros."""

Sequence = NewType("Sequence", int)
"""Number of a post at its origin gateway, from 1."""

CommitteeEpoch = NewType("CommitteeEpoch", int)
"""Number of a committee's group key, from 1."""

UnixSeconds = NewType("UnixSeconds", int)
"""Seconds since 1970 on some chain's clock."""

WORD = 32
ADDRESS = 20


class Kind(IntEnum):
    """What a message is (`KIND_*`)."""

    MESSAGE = c.KIND_MESSAGE
    INFERENCE_REQUEST = c.KIND_INFERENCE_REQUEST
    INFERENCE_RESULT = c.KIND_INFERENCE_RESULT
    NON_DELIVERY = c.KIND_NON_DELIVERY
    ROTATION = c.KIND_ROTATION


class Policy(IntEnum):
    """What a destination checks before it takes an answer (`POLICY_*`)."""

    ATTESTED = c.POLICY_ATTESTED
    PROVEN = c.POLICY_PROVEN
    BOTH = c.POLICY_BOTH
    RECOMPUTED = c.POLICY_RECOMPUTED

    @property
    def signed(self) -> bool:
        """Whether an answer under this policy carries a committee signature."""
        return self is not Policy.PROVEN

    @property
    def chain_checks_proof(self) -> bool:
        """Whether the destination itself verifies the ezkl proof."""
        return self in (Policy.PROVEN, Policy.BOTH)


class Status(IntEnum):
    """Outcome of a request (`STATUS_*`); everything but ANSWERED is a refusal that sends the fee back."""

    ANSWERED = c.STATUS_ANSWERED
    UNKNOWN_MODEL = c.STATUS_UNKNOWN_MODEL
    WRONG_SHAPE = c.STATUS_WRONG_SHAPE
    OUT_OF_RANGE = c.STATUS_OUT_OF_RANGE
    INFERENCE_FAILED = c.STATUS_INFERENCE_FAILED
    UNSUPPORTED_POLICY = c.STATUS_UNSUPPORTED_POLICY


class ChainType(IntEnum):
    """ERC-7930 chain type (`CHAIN_TYPE_*`)."""

    EIP155 = c.CHAIN_TYPE_EIP155
    SOLANA = c.CHAIN_TYPE_SOLANA


@dataclass(frozen=True, slots=True, order=True)
class Chain:
    """A chain: its ERC-7930 type, and its reference left-padded to 32 bytes (an EVM chain id, a Solana genesis hash)."""

    chain_type: ChainType
    reference: bytes

    def __post_init__(self) -> None:
        if len(self.reference) != WORD:
            raise EncodeError(f"A chain reference has 32 bytes, not {len(self.reference)}.")
        if self.chain_type is ChainType.EIP155 and not 0 < int.from_bytes(self.reference) < 1 << 64:
            raise EncodeError("An EVM chain id lies between 1 and 2^64 - 1.")

    @classmethod
    def evm(cls, chain_id: int) -> "Chain":
        """The EVM chain with this EIP-155 chain id."""
        if not 0 < chain_id < 1 << 64:
            raise EncodeError(f"An EVM chain id lies between 1 and 2^64 - 1, not {chain_id}.")
        return cls(ChainType.EIP155, chain_id.to_bytes(WORD))

    @classmethod
    def solana(cls, genesis_hash: bytes) -> "Chain":
        """The Solana cluster with this 32-byte genesis hash."""
        return cls(ChainType.SOLANA, genesis_hash)

    @property
    def chain_id(self) -> int:
        """EIP-155 chain id. Raises EncodeError for another kind of chain."""
        if self.chain_type is not ChainType.EIP155:
            raise EncodeError("Only an EVM chain has a chain id.")
        return int.from_bytes(self.reference)

    def __str__(self) -> str:
        if self.chain_type is ChainType.EIP155:
            return f"eip155:{self.chain_id}"
        return f"solana:{self.reference.hex()[:16]}"

    __repr__ = __str__


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A gateway on a chain: where a message comes from, or where it goes."""

    chain: Chain
    gateway: Account

    def __post_init__(self) -> None:
        check_account(self.chain.chain_type, self.gateway)


def check_account(chain_type: ChainType, account: bytes) -> None:
    """Raise EncodeError unless `account` is 32 bytes and, on an EVM chain, a left-padded 20-byte address."""
    if len(account) != WORD:
        raise EncodeError(f"An account has 32 bytes, not {len(account)}.")
    if chain_type is ChainType.EIP155 and any(account[: WORD - ADDRESS]):
        raise EncodeError("An EVM address is 20 bytes, left-padded with zeros.")


def evm_account(address: bytes) -> Account:
    """Left-pad a 20-byte EVM address."""
    if len(address) != ADDRESS:
        raise EncodeError(f"An EVM address has 20 bytes, not {len(address)}.")
    return Account(bytes(WORD - ADDRESS) + address)
