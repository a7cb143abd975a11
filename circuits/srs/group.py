"""Many points of G1 at once: weighted sums, and the Fourier transform over a group that turns powers of τ into the Lagrange basis.

Plain Python over Jacobian coordinates. Variable-time: an SRS is public.
"""

from collections.abc import Callable, Sequence
from typing import Final

from circuits.halo2.curve import Affine, P, Point, R, root_of_unity

Jacobian = tuple[int, int, int]
"""(X, Y, Z) for x = X/Z², y = Y/Z³; Z = 0 at infinity."""
INFINITY: Final[Jacobian] = (1, 1, 0)
_WINDOW: Final = 4
_MASK: Final = (1 << _WINDOW) - 1


def lift(point: Point) -> Jacobian:
    """The same point in Jacobian coordinates."""
    return INFINITY if point is None else (point[0], point[1], 1)


def double(a: Jacobian) -> Jacobian:
    """2a. The curve has odd order, so no point but infinity doubles to infinity."""
    x, y, z = a
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def add(a: Jacobian, b: Jacobian) -> Jacobian:
    """a + b."""
    x1, y1, z1 = a
    x2, y2, z2 = b
    if z1 == 0:
        return b
    if z2 == 0:
        return a
    zz1, zz2 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * zz2 % P, x2 * zz1 % P
    s1, s2 = y1 * z2 * zz2 % P, y2 * z1 * zz1 % P
    h, r = (u2 - u1) % P, (s2 - s1) % P
    if h == 0:
        return double(a) if r == 0 else INFINITY
    hh = h * h % P
    hhh, v = h * hh % P, u1 * hh % P
    x3 = (r * r - hhh - 2 * v) % P
    return x3, (r * (v - x3) - s1 * hhh) % P, z1 * z2 * h % P


def negate(a: Jacobian) -> Jacobian:
    """−a."""
    return a[0], -a[1] % P, a[2]


def multiply(a: Jacobian, scalar: int) -> Jacobian:
    """scalar·a, four bits at a time."""
    scalar %= R
    if scalar == 0 or a[2] == 0:
        return INFINITY
    table = [INFINITY, a]
    for _ in range(_MASK - 1):
        table.append(add(table[-1], a))
    total = INFINITY
    for shift in range((scalar.bit_length() - 1) // _WINDOW * _WINDOW, -1, -_WINDOW):
        for _ in range(_WINDOW):
            total = double(total)
        if digit := scalar >> shift & _MASK:
            total = add(total, table[digit])
    return total


def weighted_sum(points: Sequence[Affine], scalars: Sequence[int]) -> Point:
    """Σ scalarᵢ·pointᵢ (Pippenger: one bucket for each value of a digit)."""
    bits = max((scalar.bit_length() for scalar in scalars), default=0)
    width = max(2, min(12, len(points).bit_length() - 3))
    total = INFINITY
    for shift in range((bits + width - 1) // width * width - width, -1, -width):
        for _ in range(width):
            total = double(total)
        buckets = [INFINITY] * (1 << width)
        for point, scalar in zip(points, scalars, strict=True):
            if digit := scalar >> shift & ((1 << width) - 1):
                buckets[digit] = add(buckets[digit], (point[0], point[1], 1))
        running = column = INFINITY
        for bucket in reversed(buckets[1:]):
            running = add(running, bucket)
            column = add(column, running)
        total = add(total, column)
    return to_affine([total])[0]


def to_affine(points: Sequence[Jacobian]) -> list[Point]:
    """Affine coordinates, with one inversion for all."""
    products, total = [], 1
    for _, _, z in points:
        products.append(total)
        total = total * (z or 1) % P
    inverse = pow(total, -1, P)
    found: list[Point] = [None] * len(points)
    for place in range(len(points) - 1, -1, -1):
        x, y, z = points[place]
        if z:
            i = inverse * products[place] % P
            inverse = inverse * z % P
            found[place] = (x * i * i % P, y * i * i * i % P)
    return found


def lagrange_basis(powers: Sequence[Affine], k: int, progress: Callable[[int, int], None] | None = None) -> list[Point]:
    """Lⱼ(τ)·G1 of τⁱ·G1, for j and i below 2^k: the inverse transform (1/n)·Σᵢ ω^(−ij)·τⁱ·G1, k·2^(k−1) multiplications.

    `progress` is told (rounds done, k).
    """
    n = 1 << k
    values = [lift(powers[_reversed(i, k)]) for i in range(n)]
    for level in range(k):
        half = 1 << level
        root = pow(root_of_unity(level + 1), -1, R)
        for offset in range(half):
            factor = pow(root, offset, R)
            for low in range(offset, n, 2 * half):
                turned = values[low + half] if offset == 0 else multiply(values[low + half], factor)
                values[low], values[low + half] = add(values[low], turned), add(values[low], negate(turned))
        if progress:
            progress(level + 1, k)
    scale = pow(n, -1, R)
    return to_affine([multiply(value, scale) for value in values])


def _reversed(number: int, bits: int) -> int:
    return int(format(number, f"0{bits}b")[::-1], 2) if bits else 0
