"""Calls, answers, events and errors of Sibyl's contracts as bytes, from the compiled contracts' own ABI.

Guarantees: the ABI comes from `contracts.evm.artifacts` alone; a custom Solidity error is named from the ABI of any of Sibyl's contracts
(with the revert data of a recipient opened up, but never taken for the gateway's own error); what does not decode raises DecodeError.
It opens no connection.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_typing import ChecksumAddress
from eth_utils.abi import (
    abi_to_signature,
    event_abi_to_log_topic,
    function_abi_to_4byte_selector,
    get_abi_input_names,
    get_abi_input_types,
    get_abi_output_types,
)
from eth_utils.address import to_checksum_address

from bridges.evm import refusals, token_refusals
from contracts.evm import artifacts
from oracle.errors import ConfigError, DecodeError, EncodeError
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import ADDRESS, WORD, Account, evm_account

CONTRACTS = (
    *("Gateway", "Committee", "ModelRegistry", "OracleHub", "FeeSplitter", "Timelock", "TumourConsumer"),
    *token_refusals.CONTRACTS,
)
"""Artefacts whose errors are known by name."""
_SELECTOR = 4
_ERROR_STRING = bytes.fromhex("08c379a0")  # Error(string), Solidity's `revert("…")`
_PANIC = bytes.fromhex("4e487b71")  # Panic(uint256), Solidity's failed assertions and arithmetic
_SHOWN = 64
_NESTED = ("RecipientReverted",)
"""Errors whose last argument is what a callee reverted with."""


def address_of(account: bytes) -> ChecksumAddress:
    """EIP-55 text of a 20-byte address or of its left-padded 32 bytes."""
    if len(account) == WORD and not any(account[: WORD - ADDRESS]):
        account = account[WORD - ADDRESS :]
    if len(account) != ADDRESS:
        raise EncodeError(f"An EVM address has 20 bytes, or 32 with zeros on its left; got {len(account)} bytes.")
    return to_checksum_address(account)


def account_of(address: str) -> Account:
    """Left-padded 32 bytes of an address as text."""
    try:
        return evm_account(bytes.fromhex(address.removeprefix("0x")))
    except ValueError as error:
        raise EncodeError(f"'{address}' is not an EVM address: give 0x and 40 hexadecimal digits.") from error


@dataclass(frozen=True, slots=True)
class Revert:
    """Why a call reverted. `name` is the error's name or empty; `sentence` is for people and opens up what a callee said."""

    name: str
    sentence: str


class Interface:
    """One contract's functions and events."""

    def __init__(self, name: str, abi: Sequence[Any]) -> None:
        self.name = name
        self._functions = {entry["name"]: entry for entry in abi if entry["type"] == "function"}
        # Of functions that share a name no two take as many arguments.
        self._overloads = {(e["name"], len(e["inputs"])): e for e in abi if e["type"] == "function"}
        self._events = {entry["name"]: entry for entry in abi if entry["type"] == "event"}
        self._errors = {entry["name"]: entry for entry in abi if entry["type"] == "error"}
        self._constructor: Any = next(
            (e for e in abi if e["type"] == "constructor"), {"type": "constructor", "inputs": []}
        )

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Calldata. Structs are tuples, addresses text or 20 bytes. Raises EncodeError."""
        # With a wrong number of arguments some entry of the name says what it does not take.
        entry = self._overloads.get((function, len(arguments)), self._functions[function])
        return function_abi_to_4byte_selector(entry) + self._encode(function, entry, arguments)

    def encode_constructor(self, *arguments: Any) -> bytes:
        """What follows the creation code."""
        return self._encode("constructor", self._constructor, arguments)

    def _encode(self, what: str, entry: Any, arguments: tuple[Any, ...]) -> bytes:
        types = get_abi_input_types(entry)
        try:
            return abi_encode(types, arguments)
        except (EncodingError, ValueError, TypeError) as error:
            raise EncodeError(f"{self.name}.{what} does not take these arguments: {error}") from error

    def decode(self, function: str, data: bytes) -> tuple[Any, ...]:
        """Return values. Raises DecodeError, also when there is no contract (empty data)."""
        if not data:
            raise DecodeError(f"There is no {self.name} contract at this address.")
        return _decode(get_abi_output_types(self._functions[function]), data, f"the answer of {self.name}.{function}")

    def topic(self, event: str) -> bytes:
        """First topic of an event's logs."""
        return event_abi_to_log_topic(self._events[event])

    def decode_event(self, event: str, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """An event's arguments by name. Raises DecodeError; indexed arguments must be of value types."""
        entry = self._events[event]
        indexed = [i for i in entry["inputs"] if i["indexed"]]
        plain = [i for i in entry["inputs"] if not i["indexed"]]
        if len(topics) != 1 + len(indexed) or bytes(topics[0]) != self.topic(event):
            raise DecodeError(f"This log is not the event {event} of {self.name}.")
        values = {
            i["name"]: _decode([i["type"]], bytes(topic), f"a topic of {event}")[0]
            for i, topic in zip(indexed, topics[1:], strict=True)
        }
        decoded = _decode(
            get_abi_input_types({"type": "event", "name": event, "inputs": plain}), data, f"event {event}"
        )
        return values | dict(zip((i["name"] for i in plain), decoded, strict=True))

    def errors(self) -> Iterable[tuple[bytes, Any]]:
        """(selector, ABI entry) of each custom error."""
        return ((keccak256(abi_to_signature(e).encode())[:_SELECTOR], e) for e in self._errors.values())


def _decode(types: Sequence[str], data: bytes, what: str) -> tuple[Any, ...]:
    try:
        return abi_decode(types, data)
    except (DecodingError, ValueError, OverflowError) as error:
        raise DecodeError(f"The bytes of {what} do not decode: {error}") from error


@cache
def interface(name: str) -> Interface:
    """The interface of a compiled contract. Raises ConfigError when it was not compiled."""
    return Interface(name, _artifact(name).abi)


def creation_code(name: str, *arguments: Any) -> bytes:
    """What deploys a compiled contract with these constructor arguments. Raises ConfigError when it was not compiled."""
    return _artifact(name).bytecode + interface(name).encode_constructor(*arguments)


def _artifact(name: str) -> artifacts.ContractArtifact:
    try:
        return artifacts.load(name)
    except artifacts.ArtifactError as error:
        raise ConfigError(str(error)) from error


@cache
def _known_errors() -> dict[bytes, Any]:
    return dict(entry for name in CONTRACTS for entry in interface(name).errors())


def decode_revert(data: bytes) -> Revert:
    """The reason in revert data. Never raises on any bytes."""
    return _decode_revert(data, _known_errors())


def _decode_revert(data: bytes, known: Mapping[bytes, Any]) -> Revert:
    selector, body = data[:_SELECTOR], data[_SELECTOR:]
    if not data:
        return Revert("", "The contract refused without a reason.")
    try:
        if selector == _ERROR_STRING:
            return Revert("Error", f"The contract refused: {_decode(['string'], body, 'a revert string')[0]}.")
        if selector == _PANIC:
            return Revert("Panic", f"The contract broke: Panic(0x{_decode(['uint256'], body, 'a panic')[0]:02x}).")
        entry = known.get(selector)
        if entry is None:
            return Revert("", f"The contract refused with an error of its own, 0x{data[:_SHOWN].hex()}.")
        arguments = _decode(get_abi_input_types(entry), body, abi_to_signature(entry))
    except DecodeError:
        return Revert("", f"The contract refused with malformed data, 0x{data[:_SHOWN].hex()}.")
    return Revert(entry["name"], _sentence(entry, arguments, known))


def _sentence(entry: Any, arguments: tuple[Any, ...], known: Mapping[bytes, Any]) -> str:
    name, names = entry["name"], get_abi_input_names(entry)
    shown = {str(key): _show(value) for key, value in zip(names, arguments, strict=True)}
    if name in _NESTED:
        inner = _decode_revert(arguments[-1], known)
        shown[str(names[-1])] = inner.sentence.removesuffix(".") + (f" ({inner.name})" if inner.name else "")
    listed = ", ".join(f"{key}={value}" for key, value in shown.items())
    return refusals.sentence(name, shown) or f"The contract refused: {name}({listed})."


def _show(value: Any) -> str:
    if not isinstance(value, bytes):
        return str(value)
    text = value.rstrip(b"\0")
    # Fields that carry ASCII (such as the name of a mismatching field) read better as text; hashes stay hexadecimal.
    if text and len(text) < len(value) and text.isascii() and text.decode().isprintable():
        return text.decode()
    return "0x" + value.hex()
