"""ERC-7930 interoperable addresses, version 1: `version(2) ‖ chain type(2) ‖ length(1) ‖ chain reference ‖ length(1) ‖ address`.

EVM chain references are the chain id in the fewest bytes; Solana's are the 32-byte genesis hash (CAIP-350 profiles).
"""

from dataclasses import dataclass

from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.types import ADDRESS, WORD, Account, Chain, ChainType, check_account

_HEADER = 5


@dataclass(frozen=True, slots=True)
class InteropAddress:
    """An account on a named chain."""

    chain: Chain
    account: Account

    def __post_init__(self) -> None:
        check_account(self.chain.chain_type, self.account)

    def to_bytes(self) -> bytes:
        """Binary form (ERC-7930 section "Binary representation")."""
        if self.chain.chain_type is ChainType.EIP155:
            reference, address = self.chain.reference.lstrip(b"\0"), self.account[WORD - ADDRESS :]
        else:
            reference, address = self.chain.reference, bytes(self.account)
        head = c.INTEROP_VERSION.to_bytes(2) + self.chain.chain_type.to_bytes(2)
        return head + bytes([len(reference)]) + reference + bytes([len(address)]) + address

    @classmethod
    def from_bytes(cls, data: bytes) -> "InteropAddress":
        """Parse strictly. Raises DecodeError on another version, an unknown chain type, wrong lengths or trailing bytes."""
        if len(data) < _HEADER + 1 or int.from_bytes(data[:2]) != c.INTEROP_VERSION:
            raise DecodeError("Not an ERC-7930 address of version 1.")
        reference_end = _HEADER + data[4]
        reference, rest = data[_HEADER:reference_end], data[reference_end:]
        if len(rest) < 1 or len(rest) != 1 + rest[0]:
            raise DecodeError("The lengths in this ERC-7930 address do not add up.")
        address = rest[1:]
        try:
            if int.from_bytes(data[2:4]) == ChainType.EIP155:
                return cls._evm(reference, address)
            chain = Chain(ChainType(int.from_bytes(data[2:4])), reference)
            return cls(chain, Account(address))
        except (EncodeError, ValueError) as error:
            raise DecodeError(f"Not a usable ERC-7930 address: {str(error).rstrip('.')}.") from error

    @classmethod
    def _evm(cls, reference: bytes, address: bytes) -> "InteropAddress":
        if len(address) != ADDRESS or not reference or reference[0] == 0:
            raise DecodeError("An EVM address has 20 bytes, and its chain id no leading zero byte.")
        return cls(Chain.evm(int.from_bytes(reference)), Account(bytes(WORD - ADDRESS) + address))
