"""What members tell one another beside signing: proofs and signatures. Both are checked by the receiver and believed from nobody.

Wire forms (between members only, never on a chain; integers big-endian): a proof is `request id (32) ‖ proof`; a signature is
`epoch (4) ‖ R ‖ z (65) ‖ count (2) ‖ digests (32 each)`.
"""

from dataclasses import dataclass

from oracle.ports import GroupAttestation
from oracle.protocol.errors import DecodeError
from oracle.protocol.types import WORD, CommitteeEpoch, Digest

TOPIC_PROOF = "/v1/proof"
TOPIC_ATTESTATION = "/v1/attestation"
MAX_BATCH = 1024
MAX_PROOF_SIZE = 1 << 20
_SIGNATURE = 65
_HEADER = 4 + _SIGNATURE + 2


@dataclass(frozen=True, slots=True)
class ProofNotice:
    """A member's proof for a request."""

    request_id: Digest
    proof: bytes

    def to_bytes(self) -> bytes:
        """Wire form."""
        return self.request_id + self.proof

    @classmethod
    def from_bytes(cls, data: bytes) -> "ProofNotice":
        """Raises DecodeError."""
        if not WORD < len(data) <= WORD + MAX_PROOF_SIZE:
            raise DecodeError("A proof notice is a request id and a proof of at most 1 MiB.")
        return cls(Digest(data[:WORD]), data[WORD:])


def encode_digests(digests: tuple[Digest, ...]) -> bytes:
    """`count (2) ‖ digests`: what a coordinator asks to be signed."""
    return len(digests).to_bytes(2) + b"".join(digests)


def decode_digests(data: bytes) -> tuple[Digest, ...]:
    """Raises DecodeError unless `data` is one to MAX_BATCH digests."""
    count = int.from_bytes(data[:2])
    if not 1 <= count <= MAX_BATCH or len(data) != 2 + WORD * count:
        raise DecodeError(f"A batch is a count of 1 to {MAX_BATCH} and as many digests.")
    return tuple(Digest(data[2 + WORD * i : 2 + WORD * (i + 1)]) for i in range(count))


def encode_attestation(attestation: GroupAttestation) -> bytes:
    """Wire form of a signature."""
    return attestation.epoch.to_bytes(4) + attestation.signature + encode_digests(attestation.digests)


def decode_attestation(data: bytes) -> GroupAttestation:
    """Raises DecodeError."""
    if len(data) < _HEADER:
        raise DecodeError("A signature notice is cut short.")
    digests = decode_digests(data[4 + _SIGNATURE :])
    return GroupAttestation(CommitteeEpoch(int.from_bytes(data[:4])), data[4 : 4 + _SIGNATURE], digests)
