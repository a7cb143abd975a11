"""The hash functions of RFC 9591 §6.5, FROST(secp256k1, SHA-256), over RFC 9380's expand_message_xmd.

Guarantees: `H1`…`H5` are exactly the RFC's; what they derive from a secret is overwritten before they return.
Does not choose messages, draw randomness, or know of participants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from bridges.frost.group import ORDER, UNIFORM_BYTES, Scalar, SecretScalar, wipe_fresh_bytes

CONTEXT: Final = b"FROST-secp256k1-SHA256-v1"
"""contextString, RFC 9591 §6.5."""
NONCE_RANDOMNESS_BYTES: Final = 32
"""Random bytes that go into one nonce, RFC 9591 §4.1."""

_BLOCK: Final = 64  # SHA-256 input block, s_in_bytes of RFC 9380
_DIGEST: Final = 32
_UNIFORM_TAIL: Final = UNIFORM_BYTES.to_bytes(2, "big") + b"\x00"


def expand_message_xmd(parts: Iterable[bytes | bytearray | memoryview], dst: bytes, length: int) -> bytearray:
    """RFC 9380 §5.3.1 with SHA-256 over the concatenated parts. Intermediate digests are wiped, for they may be secret."""
    blocks = -(-length // _DIGEST)
    if not 0 < len(dst) <= 255 or not 0 < blocks <= 255:
        raise ValueError("expand_message_xmd takes a tag of 1 to 255 bytes and yields 1 to 8160 bytes.")
    dst_prime = dst + bytes([len(dst)])
    hasher = hashlib.sha256(bytes(_BLOCK))
    for part in parts:
        hasher.update(part)
    hasher.update(length.to_bytes(2, "big") + b"\x00" + dst_prime)
    b0 = hasher.digest()
    # Fixed-size buffers throughout: a bytearray that grows leaves copies behind.
    out, mixed = bytearray(length), bytearray(b0)
    for index in range(blocks):
        block_hash = hashlib.sha256(mixed)
        block_hash.update(bytes([index + 1]) + dst_prime)
        digest = block_hash.digest()
        for position in range(_DIGEST if index + 1 < blocks else 0):
            mixed[position] = b0[position] ^ digest[position]
        start = index * _DIGEST
        out[start : start + _DIGEST] = memoryview(digest)[: length - start]
        wipe_fresh_bytes(digest)
    mixed[:] = bytes(_DIGEST)
    wipe_fresh_bytes(b0)
    return out


def hash_to_scalar(message: bytes, tag: bytes) -> Scalar:
    """RFC 9380 hash_to_field with m = 1, count = 1, modulo the group's order. For public messages."""
    dst_prime = CONTEXT + tag + bytes([len(CONTEXT) + len(tag)])
    # expand_message_xmd written out for its two blocks: a session of t signers hashes t binding factors, and nothing here is secret.
    b0 = hashlib.sha256(bytes(_BLOCK) + message + _UNIFORM_TAIL + dst_prime).digest()
    b1 = hashlib.sha256(b0 + b"\x01" + dst_prime).digest()
    mixed = (int.from_bytes(b0, "big") ^ int.from_bytes(b1, "big")).to_bytes(_DIGEST, "big")
    b2 = hashlib.sha256(mixed + b"\x02" + dst_prime).digest()
    return Scalar(int.from_bytes((b1 + b2)[:UNIFORM_BYTES], "big") % ORDER)


def h1(message: bytes) -> Scalar:
    """Binding factors (`rho`)."""
    return hash_to_scalar(message, b"rho")


def h2(message: bytes) -> Scalar:
    """The Schnorr challenge (`chal`)."""
    return hash_to_scalar(message, b"chal")


def h3(randomness: bytes, secret: SecretScalar) -> SecretScalar:
    """nonce_generate, RFC 9591 §4.1: hedges bad randomness with the signing share. Raises ValueError unless given 32 bytes."""
    if len(randomness) != NONCE_RANDOMNESS_BYTES:
        raise ValueError(f"A signing nonce takes {NONCE_RANDOMNESS_BYTES} random bytes, not {len(randomness)}.")
    uniform = expand_message_xmd((randomness, secret.view()), CONTEXT + b"nonce", UNIFORM_BYTES)
    nonce = SecretScalar.from_uniform(uniform)
    uniform[:] = bytes(len(uniform))
    return nonce


def h4(message: bytes) -> bytes:
    """Message digest (`msg`), 32 bytes."""
    return hashlib.sha256(CONTEXT + b"msg" + message).digest()


def h5(message: bytes) -> bytes:
    """Commitment list digest (`com`), 32 bytes."""
    return hashlib.sha256(CONTEXT + b"com" + message).digest()
