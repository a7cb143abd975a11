"""Proofs with half of each point, for chains where bytes to upload are dear: 1,440 bytes instead of 1,952.

A point is its x as 32 big-endian bytes, with the highest bit set when y is the larger of the two roots (the form of `sol_alt_bn128_compression`).
Unpacking gives back the very bytes of the proof: the transcript, and so the verdict, is about those.
"""

from circuits.halo2.curve import P, on_curve
from circuits.halo2.errors import RejectedProof
from circuits.halo2.transcript import EVALUATION_NAMES, OPENING_POINTS, POINT_NAMES, PROOF_LENGTH

PACKED_LENGTH = PROOF_LENGTH - 32 * len(POINT_NAMES)
_LARGER = 1 << 255
_POINTS = 64 * (len(POINT_NAMES) - OPENING_POINTS)
_EVALUATIONS = 32 * len(EVALUATION_NAMES)


def pack(proof: bytes) -> bytes:
    """The short form of a proof. Raises RejectedProof for a proof of another length or with a point that is none."""
    if len(proof) != PROOF_LENGTH:
        raise RejectedProof("form", f"A proof has {PROOF_LENGTH} bytes, this has {len(proof)}.")
    first, scalars, last = proof[:_POINTS], proof[_POINTS : _POINTS + _EVALUATIONS], proof[_POINTS + _EVALUATIONS :]
    return _halves(first) + scalars + _halves(last)


def unpack(packed: bytes) -> bytes:
    """The proof of a short form. Raises RejectedProof for another length or an x that is on no point."""
    if len(packed) != PACKED_LENGTH:
        raise RejectedProof("form", f"A packed proof has {PACKED_LENGTH} bytes, this has {len(packed)}.")
    at = _POINTS // 2
    return _wholes(packed[:at]) + packed[at : at + _EVALUATIONS] + _wholes(packed[at + _EVALUATIONS :])


def _halves(data: bytes) -> bytes:
    words = [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]
    halves = []
    for x, y in zip(words[::2], words[1::2], strict=True):
        if not on_curve(x, y):
            raise RejectedProof("point", "The proof has a point that is not on the curve.")
        halves.append((x | _LARGER if y > P - y else x).to_bytes(32, "big"))
    return b"".join(halves)


def _wholes(data: bytes) -> bytes:
    points = []
    for at in range(0, len(data), 32):
        word = int.from_bytes(data[at : at + 32], "big")
        x = word & ~_LARGER
        # p ≡ 3 mod 4: this power is a square root where there is one.
        y = pow(x * x * x + 3, (P + 1) // 4, P)
        if not on_curve(x, y):
            raise RejectedProof("point", "The packed proof has an x that is on no point.")
        chosen = max(y, P - y) if word & _LARGER else min(y, P - y)
        points.append(x.to_bytes(32, "big") + chosen.to_bytes(32, "big"))
    return b"".join(points)
