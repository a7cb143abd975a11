"""What a program on a chain wants beside the proof: the key with everything derived that no proof changes, and the hint of one proof.

A prepared key is the content of a verifying-key account (`contracts/solana/verifier/key.zig` has the same layout): `Key.to_bytes` under another tag,
then field elements, each nine limbs of 29 bits in little-endian words of 64, of degree 1 (value·2^261 mod R) unless said otherwise.

The hint is one inverse, dear to compute and cheap to check. A wrong hint makes the verifier refuse; none can make it accept what it would refuse with
the right one.
"""

from collections.abc import Sequence
from typing import Final

from circuits.halo2.curve import R, inverse
from circuits.halo2.errors import KeyFormatError, RejectedProof
from circuits.halo2.key import KEY_LENGTH, KEY_TAG, UNUSABLE, Key
from circuits.halo2.opening import ROTATIONS
from circuits.halo2.transcript import Challenges, check_instances, draw, parse_proof

PREPARED_TAG: Final = b"SIBYLP21"
LIMBS: Final = 9
LIMB_BITS: Final = 29
MONTGOMERY: Final = 1 << (LIMBS * LIMB_BITS)
HINT_LENGTH: Final = 32


def limbs(value: int, degree: int = 1) -> bytes:
    """value·(2^261)^degree mod R as nine little-endian words of 29 bits each."""
    rest = value * pow(MONTGOMERY, degree, R) % R
    mask = (1 << LIMB_BITS) - 1
    return b"".join((rest >> (LIMB_BITS * i) & mask).to_bytes(8, "little") for i in range(LIMBS))


def prepare(key: Key) -> bytes:
    """The content of the key's account."""
    w, last, n_inverse = key.omega, pow(key.omega, -UNUSABLE, R), inverse(key.rows)
    denominator, numerator = _blind(key)
    elements = [w, inverse(w), last, last * n_inverse, n_inverse, *denominator, *numerator]
    elements += [
        inverse(inverse(w) - 1),
        inverse((last - 1) * (last - w)),
        inverse((1 - last) * (1 - w)),
        inverse((w - last) * (w - 1)),
        inverse(w - 1),
    ]
    rows = [limbs(root) + limbs(root << LIMB_BITS) for root in (pow(w, i, R) for i in range(key.instance_count))]
    return PREPARED_TAG + key.to_bytes()[len(KEY_TAG) :] + b"".join(limbs(value) for value in elements) + b"".join(rows)


def key_in(content: bytes) -> Key:
    """The key in the content of an account. Raises KeyFormatError unless the content is what `prepare` makes of it, to the byte."""
    if content[: len(PREPARED_TAG)] != PREPARED_TAG:
        raise KeyFormatError("A prepared key begins with its tag.")
    key = Key.from_bytes(KEY_TAG + content[len(KEY_TAG) : KEY_LENGTH])
    if prepare(key) != content:
        raise KeyFormatError("The prepared key's derived elements are not those of its key.")
    return key


def hint(key: Key, proof: bytes, instances: Sequence[int]) -> bytes:
    """The hint of a proof, 32 big-endian bytes of degree 1. Raises RejectedProof as `examine` does."""
    check_instances(key, instances)
    return hint_of(key, draw(key, parse_proof(proof), instances))


def hint_of(key: Key, c: Challenges) -> bytes:
    """The hint under known challenges: one over the product of all that the verifier divides by."""
    roots = [pow(key.omega, row, R) for row in range(-UNUSABLE, key.instance_count)]
    points = [c.x * pow(key.omega, ROTATIONS[name], R) for name in ("last", "prev", "next")]
    # Row 0 is that of l_0 and of the first instance: its factor stands twice.
    divisors = [pow(c.x, key.rows, R) - 1, c.x, c.x - 1, *(c.x - root for root in roots), *(c.mu - p for p in points)]
    product = 1
    for divisor in divisors:
        product = product * divisor % R
    if product == 0:
        raise RejectedProof("domain", "A challenge is a point of the domain or meets an opening point.")
    return (MONTGOMERY * inverse(product) % R).to_bytes(32, "big")


def _blind(key: Key) -> tuple[list[int], list[int]]:
    """Σ ωⁱ/(n·(X − ωⁱ)) over the blinding rows as a fraction of polynomials, lowest coefficients first; the denominator without its leading one."""
    roots = [pow(key.omega, row, R) for row in range(1 - UNUSABLE, 0)]
    total = [0] * len(roots)
    for i, root in enumerate(roots):
        others = _product([other for j, other in enumerate(roots) if j != i])
        total = [(a + root * b) % R for a, b in zip(total, others, strict=True)]
    n_inverse = inverse(key.rows)
    return _product(roots)[:-1], [value * n_inverse % R for value in total]


def _product(roots: Sequence[int]) -> list[int]:
    """Π(X − root), lowest coefficient first."""
    found = [1]
    for root in roots:
        found = [(a - root * b) % R for a, b in zip([0, *found], [*found, 0], strict=True)]
    return found
