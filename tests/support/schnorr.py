"""One-key RFC 9591 signatures for tests: what a committee's key signs, without a committee.

The signature is FROST(secp256k1, SHA-256)'s: z = k + e·sk with e = H2(R ‖ P ‖ message). The nonce is derived from the message, so runs repeat.
Never for anything but tests: its arithmetic is not constant-time.
"""

import hashlib
from dataclasses import dataclass, field

from coincurve import PrivateKey, PublicKey

from oracle.ports import GroupAttestation
from oracle.protocol.hashing import batch_signing_hash, keccak256
from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch, Digest

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
KEY_TAG = b"SIBYL_KEY_V1".ljust(32, b"\0")
_DST = b"FROST-secp256k1-SHA256-v1chal"


def challenge(nonce_point: bytes, public_key: bytes, message: bytes) -> int:
    """H2 (RFC 9591 section 6.5): hash_to_field with expand_message_xmd(SHA-256) and 48 bytes (RFC 9380 section 5)."""
    suffix = _DST + bytes([len(_DST)])
    first = hashlib.sha256(bytes(64) + nonce_point + public_key + message + b"\0\x30\0" + suffix).digest()
    block = hashlib.sha256(first + b"\1" + suffix).digest()
    wide = block + hashlib.sha256(bytes(a ^ b for a, b in zip(first, block, strict=True)) + b"\2" + suffix).digest()
    return int.from_bytes(wide[:48]) % ORDER


@dataclass(frozen=True, slots=True)
class SchnorrKey:
    """A group key whose one secret is known."""

    secret: int = field(repr=False)

    @classmethod
    def seeded(cls, label: str) -> "SchnorrKey":
        """A key that depends on the label only."""
        return cls(int.from_bytes(keccak256(b"sibyl test key", label.encode())) % (ORDER - 1) + 1)

    @property
    def public(self) -> bytes:
        """SEC1 compressed, 33 bytes."""
        return PrivateKey.from_int(self.secret).public_key.format()

    @property
    def px(self) -> int:
        """x of the public key; below the group's order for nearly every key, as the contracts want."""
        return int.from_bytes(self.public[1:])

    @property
    def parity(self) -> int:
        """Parity of its y."""
        return self.public[0] - 2

    def sign(self, message: bytes) -> bytes:
        """R(33) ‖ z(32)."""
        seed = keccak256(b"sibyl test nonce", self.secret.to_bytes(32), message)
        nonce = int.from_bytes(seed) % (ORDER - 1) + 1
        point = PrivateKey.from_int(nonce).public_key.format()
        z = (nonce + challenge(point, self.public, message) * self.secret) % ORDER
        return point + z.to_bytes(32)

    def attest(self, *messages: Message, epoch: int = 1) -> GroupAttestation:
        """A signature over a batch of these messages, in this order."""
        digests = tuple(Digest(message.digest) for message in messages)
        return GroupAttestation(CommitteeEpoch(epoch), self.sign(batch_signing_hash(digests)), digests)

    def proof_of_possession(self, epoch: int = 1) -> bytes:
        """Signature over this key's registration (PROTOCOL.md §6), R(33) ‖ z(32)."""
        words = (epoch, self.px, self.parity)
        return self.sign(keccak256(KEY_TAG, *(word.to_bytes(32) for word in words)))


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """z·G = R + e·P."""
    z = int.from_bytes(signature[33:])
    if len(signature) != 65 or not 0 < z < ORDER:
        return False
    try:
        nonce_point, key = PublicKey(signature[:33]), PublicKey(public_key)
    except ValueError:
        return False
    e = challenge(signature[:33], public_key, message)
    right = PublicKey.combine_keys([nonce_point, key.multiply(e.to_bytes(32))])
    return PrivateKey.from_int(z).public_key == right
