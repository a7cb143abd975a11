"""Encoders for every instruction of the verifier program (PROTOCOL.md §7): data and accounts in the order that the program checks.

Guarantees: lengths and ranges are checked here, so what is sent is well-formed; bumps are found here. It does not know whether the
program will agree. No I/O.
"""

from collections.abc import Sequence
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana.verifier_layout import PROOF_SIZE, VerifierAddresses, key_hash
from oracle.protocol import constants as c
from oracle.protocol.errors import EncodeError
from oracle.protocol.types import WORD

KEY_CHUNK: Final = 960
"""Bytes of a key that one transaction writes, with room for two instructions of the compute budget."""
FIRST_CHUNK: Final = 900
"""Bytes of a proof that the transaction which creates its account writes, with the same room. A fulfilling transaction then brings the
rest of the proof and up to 11 outputs."""

_SYSTEM: Final = AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False)


def _writes(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=True)


def _signs(key: Pubkey, *, writable: bool) -> AccountMeta:
    return AccountMeta(key, is_signer=True, is_writable=writable)


def _le(value: int, size: int, name: str) -> bytes:
    if not 0 <= value < 1 << (8 * size):
        raise EncodeError(f"{name} is {value}; it must be a whole number of {size} bytes.")
    return value.to_bytes(size, "little")


def create_key(at: VerifierAddresses, payer: Pubkey, content_hash: bytes, size: int) -> Instruction:
    """An empty key account for a content of `size` bytes with this Keccak hash. The rent of the whole is paid now."""
    pda = at.key(content_hash, payer)
    data = bytes([c.VERIFIER_INSTRUCTION_CREATE_KEY, pda.bump]) + content_hash + _le(size, 4, "size")
    return Instruction(at.program, data, [_signs(payer, writable=True), _writes(pda.address), _SYSTEM])


def write_key(at: VerifierAddresses, payer: Pubkey, content_hash: bytes, offset: int, chunk: bytes) -> Instruction:
    """A part of the content. Each writing makes the account larger by up to VERIFIER_GROWTH bytes, so that of a large key the first parts
    must arrive first."""
    data = bytes([c.VERIFIER_INSTRUCTION_WRITE_KEY]) + _le(offset, 4, "offset") + chunk
    accounts = [_signs(payer, writable=False), _writes(at.key(content_hash, payer).address)]
    return Instruction(at.program, data, accounts)


def seal_key(at: VerifierAddresses, payer: Pubkey, content_hash: bytes) -> Instruction:
    """The content is complete: from now on it never changes, and proofs are checked under it."""
    accounts = [_signs(payer, writable=False), _writes(at.key(content_hash, payer).address)]
    return Instruction(at.program, bytes([c.VERIFIER_INSTRUCTION_SEAL_KEY]), accounts)


def close_key(at: VerifierAddresses, payer: Pubkey, content_hash: bytes) -> Instruction:
    """Rent of an unsealed key account back to its payer."""
    accounts = [_signs(payer, writable=True), _writes(at.key(content_hash, payer).address)]
    return Instruction(at.program, bytes([c.VERIFIER_INSTRUCTION_CLOSE_KEY]), accounts)


def key_steps(at: VerifierAddresses, payer: Pubkey, content: bytes) -> list[Instruction]:
    """All that uploads and seals a key, one instruction a transaction: creation first, then the parts in order, the seal last."""
    hashed = key_hash(content)
    parts = range(0, len(content), KEY_CHUNK)
    return [
        create_key(at, payer, hashed, len(content)),
        *(write_key(at, payer, hashed, start, content[start : start + KEY_CHUNK]) for start in parts),
        seal_key(at, payer, hashed),
    ]


def create_proof(at: VerifierAddresses, payer: Pubkey, label: bytes, size: int, chunk: bytes) -> Instruction:
    """An account for the first `size` bytes of packed proof ‖ hint, with the first `chunk` of them written. Its rent is for `size` bytes."""
    if not len(chunk) <= size <= PROOF_SIZE:
        raise EncodeError(f"A proof account holds its first chunk and at most {PROOF_SIZE} bytes, not {size}.")
    pda = at.proof(label, payer)
    data = bytes([c.VERIFIER_INSTRUCTION_CREATE_PROOF, pda.bump]) + label + _le(size, 2, "size") + chunk
    return Instruction(at.program, data, [_signs(payer, writable=True), _writes(pda.address), _SYSTEM])


def write_proof(at: VerifierAddresses, payer: Pubkey, label: bytes, offset: int, chunk: bytes) -> Instruction:
    """A part of the proof, within the account's size."""
    data = bytes([c.VERIFIER_INSTRUCTION_WRITE_PROOF]) + _le(offset, 2, "offset") + chunk
    return Instruction(at.program, data, [_signs(payer, writable=False), _writes(at.proof(label, payer).address)])


def close_proof(at: VerifierAddresses, payer: Pubkey, label: bytes) -> Instruction:
    """Rent of a proof account back to its payer."""
    accounts = [_signs(payer, writable=True), _writes(at.proof(label, payer).address)]
    return Instruction(at.program, bytes([c.VERIFIER_INSTRUCTION_CLOSE_PROOF]), accounts)


def verify(
    at: VerifierAddresses, payer: Pubkey, key: Pubkey, label: bytes, instances: Sequence[bytes], tail: bytes
) -> Instruction:
    """Checks a proof by itself; `tail` completes what the proof account holds. `fulfil` of the Sibyl program calls the same."""
    if any(len(word) != WORD for word in instances):
        raise EncodeError(f"An instance has {WORD} bytes.")
    count = _le(len(instances), 2, "instance count")
    data = bytes([c.VERIFIER_INSTRUCTION_VERIFY]) + count + b"".join(instances) + tail
    accounts = [
        AccountMeta(key, is_signer=False, is_writable=False),
        _writes(at.proof(label, payer).address),
        _signs(payer, writable=True),
    ]
    return Instruction(at.program, data, accounts)
