"""Payloads, amounts and addresses of the token bridge (TOKENS.md §1–3): the reference for all languages.

Guarantees: of the many ABI encodings of a value one is taken, `abi.encode`'s own (canonical offsets, exact length, zero padding, nothing
trailing), so that equal payloads are equal bytes; whatever the bytes, a decoder raises DecodeError and nothing else. It does not know who may
say what: that a message comes from the right bridge, and that a recipient is not refused, is for the chains to check.
"""

from dataclasses import dataclass

from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.hashing import keccak256
from oracle.protocol.interop import InteropAddress
from oracle.protocol.types import ADDRESS, WORD, Account, ChainType, check_account, evm_account

MAX_WIRE_DECIMALS = c.TOKENS_MAX_WIRE_DECIMALS
"""Most decimals of an amount on the wire (TOKENS.md §2)."""
MAX_WIRE_AMOUNT = (1 << 64) - 1
"""Largest amount in one message, in wire units."""
MAX_NATIVE_DECIMALS = 66
"""Most decimals of an ERC-20 that the bridge takes: with more, MAX_WIRE_AMOUNT in its smallest unit would pass 256 bits."""
MAX_NAME = c.TOKENS_MAX_NAME
"""Bytes of a token's name in a registration."""
MAX_SYMBOL = c.TOKENS_MAX_SYMBOL
"""Bytes of a token's symbol in a registration."""

_TRANSFER_HEAD = 4 * WORD
_REGISTRATION_HEAD = 4 * WORD


def wire_decimals(native_decimals: int) -> int:
    """Decimals of a token's amounts on the wire. Raises EncodeError for decimals that no token of the bridge has."""
    if not 0 <= native_decimals <= MAX_NATIVE_DECIMALS:
        raise EncodeError(
            f"A token of the bridge has 0 to {MAX_NATIVE_DECIMALS} decimals, this one has {native_decimals}."
        )
    return min(native_decimals, MAX_WIRE_DECIMALS)


def wire_scale(native_decimals: int) -> int:
    """Smallest units of the token in one wire unit."""
    scale: int = 10 ** (native_decimals - wire_decimals(native_decimals))
    return scale


def to_wire(amount: int, native_decimals: int) -> int:
    """Wire units in `amount` (in the token's smallest unit); what is below one wire unit stays with the sender.

    Raises EncodeError below one wire unit and over MAX_WIRE_AMOUNT.
    """
    scale = wire_scale(native_decimals)
    wire = amount // scale
    if wire < 1:
        raise EncodeError(
            f"The least that can cross is {scale} of the token's smallest units; give more than {amount}."
        )
    if wire > MAX_WIRE_AMOUNT:
        most = MAX_WIRE_AMOUNT * scale
        raise EncodeError(f"At most {most} of the token's smallest units can cross at once; split up {amount}.")
    return wire


def from_wire(amount: int, native_decimals: int) -> int:
    """The token's smallest units in `amount` wire units: exactly what the native side takes and gives."""
    return amount * wire_scale(native_decimals)


@dataclass(frozen=True, slots=True)
class TokenTransfer:
    """`abi.encode(bytes from, bytes to, uint256 amount, uint256 fee)`.

    `recipient` is 32 bytes, an EVM address left-padded. `amount` is in wire units; `fee` is the part of it that pays whoever delivers.
    """

    sender: InteropAddress
    destination: ChainType
    recipient: Account
    amount: int
    fee: int = 0

    def __post_init__(self) -> None:
        check_account(self.destination, self.recipient)
        if not 1 <= self.amount <= MAX_WIRE_AMOUNT:
            raise EncodeError(f"A transfer moves 1 to {MAX_WIRE_AMOUNT} wire units, not {self.amount}.")
        if not 0 <= self.fee < self.amount:
            raise EncodeError(f"The fee is paid out of the amount of {self.amount} and less than it, not {self.fee}.")

    def to_bytes(self) -> bytes:
        """The payload."""
        sender, recipient = _bytes(self.sender.to_bytes()), _bytes(_bare(self.destination, self.recipient))
        offsets = _word(_TRANSFER_HEAD) + _word(_TRANSFER_HEAD + len(sender))
        return offsets + _word(self.amount) + _word(self.fee) + sender + recipient

    @classmethod
    def from_bytes(cls, data: bytes, *, origin: ChainType, destination: ChainType) -> "TokenTransfer":
        """Parse strictly the payload of a message that goes from a chain of one type to one of another. Raises DecodeError."""
        reader = _Reader(data, _TRANSFER_HEAD)
        reader.begin_dynamic(0, "from")
        sender = InteropAddress.from_bytes(reader.dynamic("from", 1, len(data)))
        reader.begin_dynamic(1, "to")
        size = ADDRESS if destination is ChainType.EIP155 else WORD
        recipient = reader.dynamic("to", size, size)
        reader.finish()
        if sender.chain.chain_type is not origin:
            raise DecodeError("The sender of this transfer lies on another kind of chain than the message comes from.")
        amount = reader.number(2)
        if not 1 <= amount <= MAX_WIRE_AMOUNT:
            raise DecodeError(f"A transfer moves 1 to {MAX_WIRE_AMOUNT} wire units, this one {amount}.")
        fee = reader.number(3)
        if fee >= amount:
            raise DecodeError("The fee of this transfer is not less than its amount.")
        return cls(sender, destination, Account(bytes(WORD - size) + recipient), amount, fee)


@dataclass(frozen=True, slots=True)
class TokenRegistration:
    """`abi.encode(bytes32 token, uint8 wireDecimals, bytes name, bytes symbol)`. `token` is the native token's account, 32 bytes."""

    token: Account
    wire_decimals: int
    name: bytes
    symbol: bytes

    def __post_init__(self) -> None:
        if len(self.token) != WORD or not any(self.token):
            raise EncodeError("A token is named by an account of 32 bytes that is not zero.")
        if not 0 <= self.wire_decimals <= MAX_WIRE_DECIMALS:
            raise EncodeError(f"Amounts on the wire have 0 to {MAX_WIRE_DECIMALS} decimals, not {self.wire_decimals}.")
        if not 1 <= len(self.name) <= MAX_NAME or not 1 <= len(self.symbol) <= MAX_SYMBOL:
            raise EncodeError(f"A name has 1 to {MAX_NAME} bytes and a symbol 1 to {MAX_SYMBOL}.")

    def to_bytes(self) -> bytes:
        """The payload, always 256 bytes."""
        name, symbol = _bytes(self.name), _bytes(self.symbol)
        offsets = _word(_REGISTRATION_HEAD) + _word(_REGISTRATION_HEAD + len(name))
        return self.token + _word(self.wire_decimals) + offsets + name + symbol

    @classmethod
    def from_bytes(cls, data: bytes) -> "TokenRegistration":
        """Parse strictly. Raises DecodeError."""
        reader = _Reader(data, _REGISTRATION_HEAD)
        reader.begin_dynamic(2, "name")
        name = reader.dynamic("name", 1, MAX_NAME)
        reader.begin_dynamic(3, "symbol")
        symbol = reader.dynamic("symbol", 1, MAX_SYMBOL)
        reader.finish()
        try:
            return cls(Account(data[:WORD]), reader.number(1), name, symbol)
        except EncodeError as error:
            raise DecodeError(f"Not a token registration: {error}") from error


def create2_address(factory: Account, salt: bytes, init_code_hash: bytes) -> Account:
    """Where a factory deploys with CREATE2 (EIP-1014), left-padded. Raises EncodeError.

    The salt of a bridge and of a wrapped token is the native token's account.
    """
    check_account(ChainType.EIP155, factory)
    if len(salt) != WORD or len(init_code_hash) != WORD:
        raise EncodeError("A salt and a hash of creation code have 32 bytes each.")
    hashed = keccak256(b"\xff", factory[WORD - ADDRESS :], salt, init_code_hash)
    return evm_account(hashed[WORD - ADDRESS :])


def _bare(chain_type: ChainType, account: bytes) -> bytes:
    return account[WORD - ADDRESS :] if chain_type is ChainType.EIP155 else account


def _word(value: int) -> bytes:
    return value.to_bytes(WORD)


def _bytes(value: bytes) -> bytes:
    """A `bytes` of the ABI: its length, and itself padded with zeros to whole words."""
    return _word(len(value)) + value + bytes(-len(value) % WORD)


class _Reader:
    """Reads canonical ABI data front to back: each dynamic value must begin where the one before it ended."""

    def __init__(self, data: bytes, head: int) -> None:
        if len(data) < head:
            raise DecodeError(f"A payload of this kind has at least {head} bytes, not {len(data)}.")
        self._data, self._next = data, head

    def number(self, index: int) -> int:
        """Word number `index` of the head."""
        return int.from_bytes(self._data[index * WORD : (index + 1) * WORD])

    def begin_dynamic(self, index: int, name: str) -> None:
        """Check that the offset in word `index` is the canonical one."""
        if self.number(index) != self._next:
            raise DecodeError(f"The offset of '{name}' is not where abi.encode puts it.")

    def dynamic(self, name: str, least: int, most: int) -> bytes:
        """The `bytes` that comes next, with `least` to `most` bytes."""
        size = int.from_bytes(self._data[self._next : self._next + WORD])
        start = self._next + WORD
        padded = size + -size % WORD
        if len(self._data) < start or len(self._data) - start < padded:
            raise DecodeError(f"The payload ends within '{name}'.")
        if not least <= size <= most:
            raise DecodeError(f"'{name}' has {size} bytes instead of {least} to {most}.")
        self._next = start + padded
        if any(self._data[start + size : self._next]):
            raise DecodeError(f"The padding of '{name}' is not zero.")
        return self._data[start : start + size]

    def finish(self) -> None:
        """Check that nothing follows."""
        if self._next != len(self._data):
            raise DecodeError("Bytes follow the end of the payload.")
