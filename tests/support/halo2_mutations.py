"""Ways to spoil a proof. Every one leaves something that must be refused; none changes nothing."""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise

from circuits.halo2.curve import P, R, add, negate
from circuits.halo2.transcript import EVALUATION_NAMES, POINT_NAMES, PROOF_LENGTH
from tests.support.halo2 import Case, changed

POINT_OFFSETS = (*range(0, 64 * 14, 64), PROOF_LENGTH - 128, PROOF_LENGTH - 64)
SCALAR_OFFSETS = tuple(64 * 14 + 32 * i for i in range(len(EVALUATION_NAMES)))
INFINITY = bytes(64)
GENERATOR = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")


def spliced(case: Case, name: str, at: int, patch: bytes) -> Case:
    """The case with other bytes at an offset."""
    return changed(case, name, proof=case.proof[:at] + patch + case.proof[at + len(patch) :])


def word(case: Case, at: int) -> int:
    """The big-endian word at an offset."""
    return int.from_bytes(case.proof[at : at + 32], "big")


def flips(case: Case, each: int, seed: str = "flips") -> Iterator[Case]:
    """In each 32-byte word of the proof, `each` bytes with one bit turned."""
    draw = random.Random(seed)
    for start in range(0, len(case.proof), 32):
        for at in draw.sample(range(start, start + 32), each):
            bit = 1 << draw.randrange(8)
            yield spliced(case, f"byte {at} ^ {bit}", at, bytes([case.proof[at] ^ bit]))


def points(case: Case) -> Iterator[Case]:
    """Each point replaced by infinity, its negative, another point; its coordinates made non-canonical or swapped."""
    for name, at in zip(POINT_NAMES, POINT_OFFSETS, strict=True):
        x, y = word(case, at), word(case, at + 32)
        doubled, negative = add((x, y), (x, y)), negate((x, y))
        assert doubled is not None
        assert negative is not None
        patches = {
            "infinity": INFINITY,
            "generator": GENERATOR,
            "negated": _pair(negative),
            "doubled": _pair(doubled),
            "x + p": _pair((x + P, y)),
            "y + p": _pair((x, y + P)),
            "swapped coordinates": _pair((y, x)),
            # Arkworks reads these two bits as flags.
            "y's bit 254 set": _pair((x, y | 1 << 254)),
            "y's bit 255 set": _pair((x, y | 1 << 255)),
            "x = 2^256 − 1": b"\xff" * 32 + case.proof[at + 32 : at + 64],
        }
        for kind, patch in patches.items():
            yield spliced(case, f"{name}: {kind}", at, patch)


def swaps(case: Case) -> Iterator[Case]:
    """Neighbouring points, then neighbouring evaluations, exchanged."""
    for size, offsets in ((64, POINT_OFFSETS), (32, SCALAR_OFFSETS)):
        for one, other in pairwise(offsets):
            a, b = case.proof[one : one + size], case.proof[other : other + size]
            if a != b:
                swapped = spliced(case, f"swap {one} and {other}", one, b)
                yield spliced(swapped, swapped.name, other, a)


def scalars(case: Case, values: Sequence[str]) -> Iterator[Case]:
    """Each evaluation made non-canonical, zero, or one more."""
    for name, at in zip(EVALUATION_NAMES, SCALAR_OFFSETS, strict=True):
        value = word(case, at)
        patches = {"plus r": value + R, "r": R, "max": 2**256 - 1, "one more": (value + 1) % R, "zero": 0}
        for kind in values:
            if patches[kind] != value:
                yield spliced(case, f"{name}: {kind}", at, patches[kind].to_bytes(32, "big"))


def instances(case: Case, kinds: Sequence[str] = ("+ 1", "− 1", "negated", "+ r", "max")) -> Iterator[Case]:
    """Each instance one more, one less, negated, non-canonical; one too few, one too many, all reversed."""
    for i, value in enumerate(case.instances):
        for kind, other in {
            "+ 1": (value + 1) % R,
            "− 1": (value - 1) % R,
            "negated": -value % R,
            "+ r": value + R,
            "max": 2**256 - 1,
        }.items():
            if kind in kinds and other != value:
                yield changed(
                    case, f"instance {i} {kind}", instances=(*case.instances[:i], other, *case.instances[i + 1 :])
                )
    yield changed(case, "last instance missing", instances=case.instances[:-1])
    yield changed(case, "no instance", instances=())
    yield changed(case, "a zero instance more", instances=(*case.instances, 0))
    if case.instances[0] != case.instances[-1]:
        yield changed(case, "instances reversed", instances=case.instances[::-1])


def lengths(case: Case) -> Iterator[Case]:
    """Truncated and extended proofs."""
    for cut in (1, 31, 32, 64, 128, PROOF_LENGTH):
        yield changed(case, f"{cut} bytes short", proof=case.proof[: PROOF_LENGTH - cut])
    for more in (1, 32, 64):
        yield changed(case, f"{more} zero bytes more", proof=case.proof + bytes(more))
    yield changed(case, "twice", proof=case.proof * 2)
    yield changed(case, "first word moved to the end", proof=case.proof[32:] + case.proof[:32])


def mixtures(case: Case, other: Case) -> Iterator[Case]:
    """Parts of two honest proofs of one model, cut between points or evaluations."""
    for at in (*POINT_OFFSETS[1:], *SCALAR_OFFSETS[::7]):
        yield changed(case, f"two proofs joined at {at}", proof=case.proof[:at] + other.proof[at:])


def _pair(point: tuple[int, int]) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in point)
