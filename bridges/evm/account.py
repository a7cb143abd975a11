"""The key that pays for and signs this node's EVM transactions.

Guarantees: the key is never shown, logged or compared in public; a key file that others can read is refused. It is not a committee key: whoever
steals it can spend the account's balance, and nothing else.
"""

import os
import stat
from pathlib import Path
from typing import Any

from eth_account import Account as EthAccount
from eth_typing import ChecksumAddress

from oracle.errors import ConfigError

_MAX_FILE = 4096
_PRIVATE_KEY_SIZE = 32


class EvmAccount:
    """An externally owned account whose private key this process holds."""

    __slots__ = ("_local", "address")

    def __init__(self, private_key: bytes | str) -> None:
        """From 32 bytes, or their hexadecimal text. Raises ConfigError, without showing the key."""
        try:
            raw = bytes.fromhex(private_key.strip().removeprefix("0x")) if isinstance(private_key, str) else private_key
            if len(raw) != _PRIVATE_KEY_SIZE:
                raise ValueError
            self._local = EthAccount.from_key(raw)
        except (ValueError, TypeError):
            raise ConfigError(
                "An EVM private key is 32 bytes, as 64 hexadecimal digits, below the group's order."
            ) from None
        self.address: ChecksumAddress = self._local.address

    def __repr__(self) -> str:
        return f"EvmAccount({self.address})"

    @classmethod
    def from_file(cls, path: Path) -> "EvmAccount":
        """From a file that holds the hexadecimal text and that only its owner can read (mode 0600). Raises ConfigError."""
        try:
            with path.open(encoding="ascii") as file:
                # The mode of the open file, not of the name: nothing can be swapped in between.
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                    raise ConfigError(
                        f"Others can read the key file {path}: run chmod 600 on it, and consider its key known."
                    )
                text = file.read(_MAX_FILE)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The key file {path} cannot be read: {type(error).__name__}.") from None
        return cls(text)

    def sign(self, transaction: dict[str, Any]) -> tuple[bytes, bytes]:
        """(raw transaction, its hash)."""
        signed = self._local.sign_transaction(transaction)
        return bytes(signed.raw_transaction), bytes(signed.hash)
