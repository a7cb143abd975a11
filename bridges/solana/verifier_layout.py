"""Accounts of the verifier program as Python values, and the addresses where they lie (PROTOCOL.md §7).

Guarantees: a decoder takes only an account that the expected program owns, of a possible length, with the right type and version bytes and
zeros in reserved fields, and raises nothing but `DecodeError`. It does not check an account's address: whoever fetched it derived the
address first; and it does not check that a sealed key's content has its hash, which the program did. No I/O.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from solders.pubkey import Pubkey

from bridges.solana.layout import UPGRADEABLE_LOADER, AccountData, Pda
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import WORD

PROOF_SIZE: Final = c.VERIFIER_PROOF_SIZE
"""Bytes of a packed proof and its hint."""
PROOF_START: Final = c.VERIFIER_PROOF_ACCOUNT_SIZE


@lru_cache(maxsize=1024)
def _derive(program: Pubkey, *seeds: bytes) -> Pda:
    return Pda(*Pubkey.find_program_address(list(seeds), program))


def key_hash(content: bytes) -> bytes:
    """What names, and seals, the key account of this content."""
    return keccak256(content)


@dataclass(frozen=True, slots=True)
class VerifierAddresses:
    """The addresses of one deployed verifier program."""

    program: Pubkey

    @property
    def program_data(self) -> Pubkey:
        """The loader's account that holds the code and the upgrade authority."""
        return _derive(UPGRADEABLE_LOADER, bytes(self.program)).address

    def key(self, content_hash: bytes, payer: Pubkey) -> Pda:
        """[key, keccak256 of the content, payer]."""
        return _derive(self.program, c.VERIFIER_SEED_KEY, _word(content_hash, "A content's hash"), bytes(payer))

    def proof(self, label: bytes, payer: Pubkey) -> Pda:
        """[proof, label, payer]; the label of a delivery is its request's id."""
        return _derive(self.program, c.VERIFIER_SEED_PROOF, _word(label, "A label"), bytes(payer))


def _word(value: bytes, name: str) -> bytes:
    if len(value) != WORD:
        raise EncodeError(f"{name} has {WORD} bytes, not {len(value)}.")
    return value


def _check(account: AccountData, program: Pubkey, name: str, kind: int, header: int) -> None:
    if account.owner != program:
        raise DecodeError(f"The {name} account belongs to {account.owner}, not to the verifier program {program}.")
    if len(account.data) < header:
        raise DecodeError(f"The {name} account has {len(account.data)} bytes, its header alone {header}.")
    if account.data[0] != kind or account.data[1] != c.ACCOUNT_LAYOUT_VERSION:
        raise DecodeError(f"The {name} account's type or layout version is another one.")


@dataclass(frozen=True, slots=True)
class KeyAccount:
    """[key, content hash, payer]. `content` is what was written so far: shorter than `size` until a larger key's account has grown."""

    sealed: bool
    size: int
    payer: Pubkey
    content_hash: bytes
    content: bytes = field(repr=False)

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "KeyAccount":
        """Raises DecodeError."""
        _check(account, program, "verifying-key", c.VERIFIER_ACCOUNT_KEY, c.VERIFIER_KEY_ACCOUNT_SIZE)
        data = account.data
        at = c.VERIFIER_KEY_ACCOUNT_SIZE_OFFSET
        size = int.from_bytes(data[at : at + 4], "little")
        sealed = data[c.VERIFIER_KEY_ACCOUNT_SEALED_OFFSET]
        content = data[c.VERIFIER_KEY_ACCOUNT_SIZE :]
        if sealed > 1 or len(content) > size or (sealed and len(content) != size):
            raise DecodeError("The verifying-key account's seal or size is impossible.")
        return cls(
            sealed == 1,
            size,
            Pubkey(data[c.VERIFIER_KEY_ACCOUNT_PAYER_OFFSET :][:WORD]),
            data[c.VERIFIER_KEY_ACCOUNT_HASH_OFFSET :][:WORD],
            content,
        )


@dataclass(frozen=True, slots=True)
class ProofAccount:
    """[proof, label, payer]: the first bytes of a packed proof and its hint."""

    payer: Pubkey
    label: bytes
    content: bytes = field(repr=False)

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "ProofAccount":
        """Raises DecodeError."""
        _check(account, program, "proof", c.VERIFIER_ACCOUNT_PROOF, c.VERIFIER_PROOF_ACCOUNT_SIZE)
        data, at = account.data, c.VERIFIER_PROOF_ACCOUNT_RESERVED_OFFSET
        if any(data[at : c.VERIFIER_PROOF_ACCOUNT_PAYER_OFFSET]):
            raise DecodeError("A reserved field of the proof account is not zero.")
        if len(data) > PROOF_START + PROOF_SIZE:
            raise DecodeError("The proof account holds more than a proof.")
        return cls(
            Pubkey(data[c.VERIFIER_PROOF_ACCOUNT_PAYER_OFFSET :][:WORD]),
            data[c.VERIFIER_PROOF_ACCOUNT_LABEL_OFFSET :][:WORD],
            data[PROOF_START:],
        )
