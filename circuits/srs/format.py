"""The bytes of an SRS file, as halo2 and ezkl read them (`RawBytes`): k as four little-endian bytes, 2^k points τⁱ·G1, 2^k points Lⱼ(τ)·G1
(the Lagrange basis over the 2^k-th roots of unity), G2 and τ·G2: 128·2^k + 260 bytes.

A coordinate is 32 little-endian bytes of its Montgomery form (value·2^256 mod p); an element of F_p² is c0 then c1; a point x then y. A reader here
refuses what is not canonical or not on its curve. Does not do: say whether the points belong together (`circuits.srs.check`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from circuits.errors import SrsError
from circuits.halo2.curve import Affine, P
from circuits.halo2.pairing import Twisted, on_twist
from circuits.srs.published import MAX_K, MIN_K

HEADER: Final = 4
G1_SIZE: Final = 64
G2_SIZE: Final = 128
_WORD: Final = 32
_BATCH: Final = 4096
"""Points that are read at once."""
_MONTGOMERY: Final = (1 << 256) % P
_UNMONTGOMERY: Final = pow(_MONTGOMERY, -1, P)
_THREE: Final = 3 * _MONTGOMERY**3 % P


def size_of(k: int) -> int:
    """Bytes of a file for circuits of 2^k rows."""
    return 2 * G1_SIZE * (1 << k) + HEADER + 2 * G2_SIZE


@dataclass(frozen=True, slots=True)
class SrsFile:
    """A file whose length is right for its k, and whose two points of G2 are points of G2."""

    path: Path
    k: int
    g2: Twisted
    s_g2: Twisted
    """τ·G2."""

    @property
    def points(self) -> int:
        """n = 2^k."""
        return 1 << self.k

    def powers(self, start: int = 0, count: int | None = None) -> Iterator[Affine]:
        """τⁱ·G1 for i from `start`. Raises SrsError at a point that is not on the curve."""
        return self._read("power", HEADER, start, self.points - start if count is None else count)

    def lagrange(self, start: int = 0, count: int | None = None) -> Iterator[Affine]:
        """Lⱼ(τ)·G1 for j from `start`. Raises SrsError at a point that is not on the curve."""
        base = HEADER + G1_SIZE * self.points
        return self._read("Lagrange point", base, start, self.points - start if count is None else count)

    def _read(self, what: str, base: int, start: int, count: int) -> Iterator[Affine]:
        with self.path.open("rb") as handle:
            handle.seek(base + G1_SIZE * start)
            done = 0
            while done < count:
                take = min(_BATCH, count - done)
                yield from decode_points(_exactly(handle, G1_SIZE * take, self.path), f"{what} {{}}", start + done)
                done += take


def open_srs(path: Path) -> SrsFile:
    """Read what a file says of itself. Raises SrsError when it is not an SRS file, or not a whole one."""
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            k = int.from_bytes(_exactly(handle, HEADER, path), "little")
            if not MIN_K <= k <= MAX_K:
                raise SrsError(f"{path} is no reference string: its first bytes are not a k from {MIN_K} to {MAX_K}.")
            if size != size_of(k):
                raise SrsError(
                    f"{path} has {size:,} bytes; a reference string for k={k} has {size_of(k):,}. Fetch it again."
                )
            handle.seek(size - 2 * G2_SIZE)
            g2, s_g2 = _twisted(_exactly(handle, G2_SIZE, path)), _twisted(_exactly(handle, G2_SIZE, path))
    except OSError as error:
        raise SrsError(f"The reference string {path} cannot be read: {error.strerror}.") from error
    for name, point in (("G2", g2), ("τ·G2", s_g2)):
        if not on_twist(point):
            raise SrsError(f"{path}: its point {name} is not in G2. Fetch it again.")
    return SrsFile(path, k, g2, s_g2)


def decode_points(data: bytes, name: str = "point {}", first: int = 0) -> Iterator[Affine]:
    """Points of G1. Raises SrsError at one that is not on the curve; `name` says how to call it, with its number."""
    for at in range(0, len(data), G1_SIZE):
        x = int.from_bytes(data[at : at + _WORD], "little")
        y = int.from_bytes(data[at + _WORD : at + G1_SIZE], "little")
        # In Montgomery form, X = x·m: y² = x³ + 3 is Y²·m = X³ + 3m³. Infinity, (0, 0), is not on the curve.
        if x >= P or y >= P or (y * y * _MONTGOMERY - x * x * x - _THREE) % P:
            raise SrsError(f"The {name.format(first + at // G1_SIZE)} of the reference string is not on the curve.")
        yield x * _UNMONTGOMERY % P, y * _UNMONTGOMERY % P


def write_srs(
    target: BinaryIO, k: int, powers: Iterable[Affine], lagrange: Sequence[Affine], g2: Twisted, s_g2: Twisted
) -> None:
    """Write a whole file. The caller answers for the numbers of points."""
    target.write(k.to_bytes(HEADER, "little"))
    for point in (*powers, *lagrange):
        target.write(_encode(point))
    for x, y in (g2, s_g2):
        target.write(_encode(x) + _encode(y))


def _encode(pair: tuple[int, int]) -> bytes:
    return b"".join((value * _MONTGOMERY % P).to_bytes(_WORD, "little") for value in pair)


def _twisted(data: bytes) -> Twisted:
    words = [int.from_bytes(data[at : at + _WORD], "little") for at in range(0, G2_SIZE, _WORD)]
    # What is not canonical stays so, for on_twist to refuse.
    x0, x1, y0, y1 = (word * _UNMONTGOMERY % P if word < P else word for word in words)
    return (x0, x1), (y0, y1)


def _exactly(handle: BinaryIO, count: int, path: Path) -> bytes:
    data = handle.read(count)
    if len(data) != count:
        raise SrsError(f"{path} ends too early to be a reference string. Fetch it again.")
    return data
