"""Verifying keys of the one-column family: parsed strictly, and written as the bytes that the Solana program takes.

The source is the VKA that ezkl writes beside each model (`vka.bin`): the constants of the circuit, followed by the verifier's equations in the
code of ezkl's reusable verifier. The equations of every circuit of the family are the same, so their hash is pinned here: a circuit of another
shape (a lookup, a second column, hashed inputs, another ezkl) is refused, never verified by equations that are not its own.

What can be derived is derived and compared (n⁻¹, ω and its powers); points must be on their curves. Does not do: say that the digest belongs to
the commitments. Whoever registers a key answers for that, as for an EVM verifier; the model id binds both to the ONNX file.
"""

from dataclasses import dataclass
from typing import Final

from circuits.halo2.curve import G1, Affine, Point, R, inverse, on_curve, root_of_unity
from circuits.halo2.errors import KeyFormatError
from circuits.halo2.pairing import G2, Twisted, on_twist
from oracle.protocol.hashing import keccak256

WORD: Final = 32
FIXED: Final = 8
"""Fixed columns: constants, two range tables, two range selectors, three gate selectors."""
PERMUTED: Final = 5
"""Columns under copy constraints: three advice, one fixed, one instance."""
UNUSABLE: Final = 6
"""Rows at the end of each column: five blinding rows and the one before them, on which the grand products end."""
EVALUATIONS: Final = 29
MIN_K: Final = 4
MAX_K: Final = 24

KEY_TAG: Final = b"SIBYLH21"
"""First bytes of a serialised key: Sibyl, Halo2, the one-column family's first form."""
KEY_LENGTH: Final = len(KEY_TAG) + 2 * 4 + WORD + 4 * WORD + 2 * WORD * (FIXED + PERMUTED)
"""1,008 bytes."""

_VKA_WORDS: Final = 126
_HEADER: Final = 8
"""The VKA begins with the number of its words, as eight little-endian bytes."""
_PROGRAM: Final = (range(24, 34), range(60, 125))
"""Words that hold equations. The 126th says how a reusable verifier rescales plain inputs; no proof depends on it."""
FAMILY_PROGRAM: Final = "38696f3d5dcccaf66c09d0f1472ad165a0c9623ef5b388b077ef68fbb10685df"
"""Keccak-256 of those words: ezkl 23.0.5, one inner column, range checks [−1, 1] and [0, base − 1], no lookups."""


@dataclass(frozen=True, slots=True)
class Key:
    """One circuit under one structured reference string. Construct it by `from_vka` or `from_bytes`, which check it."""

    k: int
    """The circuit has 2^k rows."""
    instance_count: int
    digest: int
    """halo2's hash of the pinned verifying key, in [0, R): the transcript begins with it."""
    neg_s_g2: Twisted
    """−s·G2, with s the secret of the reference string."""
    fixed: tuple[Point, ...]
    """Commitments to the fixed columns; a column of zeros commits to infinity."""
    permutation: tuple[Affine, ...]
    """Commitments to the permutation polynomials σ."""

    @property
    def rows(self) -> int:
        """n = 2^k."""
        return 1 << self.k

    @property
    def omega(self) -> int:
        """Generator of the domain of n points."""
        return root_of_unity(self.k)

    @classmethod
    def from_vka(cls, data: bytes) -> "Key":
        """ezkl's VKA, as the file holds it. Raises KeyFormatError."""
        if len(data) != _HEADER + WORD * _VKA_WORDS or int.from_bytes(data[:_HEADER], "little") != _VKA_WORDS:
            raise KeyFormatError(f"A VKA of the one-column family has {_VKA_WORDS} words and nothing else.")
        body = data[_HEADER:]
        words = [int.from_bytes(body[at : at + WORD], "big") for at in range(0, len(body), WORD)]
        program = keccak256(*(body[WORD * r.start : WORD * r.stop] for r in _PROGRAM)).hex()
        if program != FAMILY_PROGRAM:
            raise KeyFormatError("The circuit's equations are not those of the one-column family.")
        if words[3] != EVALUATIONS or words[1] != _VK_POINTER or any(words[i] for i in (4, 10, 11, 12, 13)):
            raise KeyFormatError("The circuit has another number of evaluations, simple inputs or an accumulator.")
        if (words[14], words[15]) != G1 or _twisted(words[16:20]) != G2:
            raise KeyFormatError("The key names other generators than BN254's.")
        points = [_point(x, y) for x, y in zip(words[34:60:2], words[35:60:2], strict=True)]
        key = _checked(words[5], words[2], words[0], _twisted(words[20:24]), points)
        last = pow(key.omega, -UNUSABLE, R)
        if words[6:10] != [inverse(key.rows), key.omega, inverse(key.omega), last]:
            raise KeyFormatError("The key's roots of unity are not those of its number of rows.")
        return key

    def to_bytes(self) -> bytes:
        """KEY_TAG, k and the number of instances (u32, little-endian), then big-endian words: digest, −s·G2 (x₁, x₀, y₁, y₀), commitments."""
        (x0, x1), (y0, y1) = self.neg_s_g2
        words = [self.digest, x1, x0, y1, y0]
        for point in (*self.fixed, *self.permutation):
            words.extend(point or (0, 0))
        counts = self.k.to_bytes(4, "little") + self.instance_count.to_bytes(4, "little")
        return KEY_TAG + counts + b"".join(word.to_bytes(WORD, "big") for word in words)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Key":
        """The inverse of `to_bytes`; any other bytes raise KeyFormatError."""
        if len(data) != KEY_LENGTH or data[: len(KEY_TAG)] != KEY_TAG:
            raise KeyFormatError(f"A serialised key has {KEY_LENGTH} bytes and begins with its tag.")
        k, instance_count = (int.from_bytes(data[at : at + 4], "little") for at in (8, 12))
        words = [int.from_bytes(data[at : at + WORD], "big") for at in range(16, KEY_LENGTH, WORD)]
        points = [_point(x, y) for x, y in zip(words[5::2], words[6::2], strict=True)]
        return _checked(k, instance_count, words[0], _twisted(words[1:5]), points)

    def hash(self) -> bytes:
        """Keccak-256 of the serialised key: what seals it on a chain."""
        return keccak256(self.to_bytes())


_VK_POINTER: Final = 0x05A0
"""Where ezkl's verifier keeps its key: fixed by the family's memory layout."""


def _twisted(words: list[int]) -> Twisted:
    x1, x0, y1, y0 = words
    return (x0, x1), (y0, y1)


def _point(x: int, y: int) -> Point:
    if x == 0 and y == 0:
        return None
    if not on_curve(x, y):
        raise KeyFormatError("A commitment of the key is not on the curve.")
    return x, y


def _checked(k: int, instance_count: int, digest: int, neg_s_g2: Twisted, points: list[Point]) -> Key:
    if not MIN_K <= k <= MAX_K:
        raise KeyFormatError(f"The circuit's k must be {MIN_K} to {MAX_K}, not {k}.")
    if not 1 <= instance_count <= (1 << k) - UNUSABLE:
        raise KeyFormatError("The circuit has no public instance, or more than its column holds.")
    if digest >= R:
        raise KeyFormatError("The key's digest is not a canonical scalar.")
    if not on_twist(neg_s_g2):
        raise KeyFormatError("The reference string's point is not in G2.")
    permutation = [point for point in points[FIXED:] if point is not None]
    if len(permutation) != PERMUTED:
        raise KeyFormatError("A permutation commitment is the point at infinity.")
    return Key(k, instance_count, digest, neg_s_g2, tuple(points[:FIXED]), tuple(permutation))
