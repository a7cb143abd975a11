"""What JSON-RPC answers hold, checked: web3.py formats fields that are there, and neither misses nor types the others.

Every parser raises KeyError, TypeError or ValueError on anything but a well-formed answer; the client turns them into Transient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress
from eth_utils.address import to_checksum_address

_HASH_SIZE = 32
_MAX_TOPICS = 4


@dataclass(frozen=True, slots=True)
class Header:
    """A block. `base_fee` in wei per gas, None on a chain without EIP-1559; `timestamp` in Unix seconds."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee: int | None


@dataclass(frozen=True, slots=True)
class Log:
    """One event as it lies in the chain."""

    address: ChecksumAddress
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    removed: bool


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction's receipt."""

    hash: bytes
    succeeded: bool
    gas_used: int
    gas_price: int
    block: int
    contract: ChecksumAddress | None
    logs: tuple[Log, ...]

    @property
    def name(self) -> str:
        """The transaction's hash as text."""
        return "0x" + self.hash.hex()


def header(answer: Mapping[str, Any]) -> Header:
    """Of eth_getBlockByNumber."""
    base_fee = answer.get("baseFeePerGas")
    return Header(
        number=_number(answer["number"]),
        hash=_hash(answer["hash"]),
        parent_hash=_hash(answer["parentHash"]),
        timestamp=_number(answer["timestamp"]),
        base_fee=None if base_fee is None else _number(base_fee),
    )


def log(answer: Mapping[str, Any]) -> Log:
    """Of eth_getLogs or a receipt."""
    topics = tuple(_hash(topic) for topic in answer["topics"])
    if len(topics) > _MAX_TOPICS:
        raise ValueError("a log with more than four topics")
    return Log(
        address=_address(answer["address"]),
        topics=topics,
        data=bytes(_bytes(answer["data"])),
        block=_number(answer["blockNumber"]),
        removed=bool(answer.get("removed")),
    )


def mined(answer: Mapping[str, Any]) -> Mined:
    """Of eth_getTransactionReceipt."""
    contract = answer.get("contractAddress")
    return Mined(
        hash=_hash(answer["transactionHash"]),
        succeeded=_number(answer["status"]) == 1,
        gas_used=_number(answer["gasUsed"]),
        gas_price=_number(answer["effectiveGasPrice"]),
        block=_number(answer["blockNumber"]),
        contract=None if contract is None else _address(contract),
        logs=tuple(log(entry) for entry in answer["logs"]),
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 256:
        raise TypeError("a number is missing")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("bytes are missing")
    return value


def _hash(value: object) -> bytes:
    raw = bytes(_bytes(value))
    if len(raw) != _HASH_SIZE:
        raise ValueError("a hash has 32 bytes")
    return raw


def _address(value: object) -> ChecksumAddress:
    if not isinstance(value, str):
        raise TypeError("an address is missing")
    return to_checksum_address(value)
