"""BN254 (alt_bn128, EIP-196): its two prime fields and the group G1.

Points are affine pairs of canonical integers; `None` is the point at infinity. Functions assume points that `on_curve` was asked about. G1 has
prime order, so a point on the curve is in the group. Variable-time: public data only.
"""

from typing import Final

P: Final = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""Base field: coordinates (EIP-196)."""
R: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Scalar field: order of G1, and the field of the circuit (EIP-196)."""
TWO_ADICITY: Final = 28
"""2^28 divides R − 1 and 2^29 does not."""
GENERATOR: Final = 7
"""Smallest generator of the scalar field's multiplicative group (the one halo2curves takes)."""
DELTA: Final = pow(GENERATOR, 1 << TWO_ADICITY, R)
"""Separates the cosets of the permutation argument's columns: a generator of the subgroup of odd order."""

Affine = tuple[int, int]
Point = Affine | None
G1: Final[Affine] = (1, 2)

_Jacobian = tuple[int, int, int]
"""(X, Y, Z) for x = X/Z², y = Y/Z³; Z = 0 at infinity."""


def on_curve(x: int, y: int) -> bool:
    """Whether (x, y) is a point of G1 other than infinity, both coordinates canonical."""
    return 0 <= x < P and 0 <= y < P and (y * y - x * x * x - 3) % P == 0


def inverse(value: int) -> int:
    """1/value in the scalar field. Raises ZeroDivisionError for zero."""
    if value % R == 0:
        raise ZeroDivisionError("zero has no inverse in the scalar field")
    return pow(value, -1, R)


def root_of_unity(k: int) -> int:
    """The generator ω of the subgroup of order 2^k that halo2 uses: 7^((R−1)/2^28), squared 28 − k times."""
    return pow(GENERATOR, (R - 1) >> k, R)


def negate(point: Point) -> Point:
    """−point."""
    return None if point is None else (point[0], -point[1] % P)


def add(a: Point, b: Point) -> Point:
    """a + b."""
    if a is None or b is None:
        return b if a is None else a
    (x1, y1), (x2, y2) = a, b
    if x1 == x2:
        if (y1 + y2) % P == 0:
            return None
        slope = 3 * x1 * x1 * pow(2 * y1, -1, P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P)
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P


def multiply(point: Point, scalar: int) -> Point:
    """scalar · point, for a scalar of any size."""
    if point is None:
        return None
    x, y = point
    total: _Jacobian = (1, 1, 0)
    for bit in bin(scalar % R)[2:]:
        total = _double(total)
        if bit == "1":
            total = _add_affine(total, x, y)
    return _affine(total)


def _double(point: _Jacobian) -> _Jacobian:
    x, y, z = point
    yy = y * y % P
    s = 4 * x * yy % P
    m = 3 * x * x % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * yy * yy) % P, 2 * y * z % P


def _add_affine(point: _Jacobian, x2: int, y2: int) -> _Jacobian:
    x1, y1, z1 = point
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % P
    h = (x2 * zz - x1) % P
    r = (y2 * zz * z1 - y1) % P
    if h == 0:
        # The same x: the same point, or its negative.
        return _double(point) if r == 0 else (1, 1, 0)
    hh = h * h % P
    v = x1 * hh % P
    x3 = (r * r - h * hh - 2 * v) % P
    return x3, (r * (v - x3) - y1 * h * hh) % P, z1 * h % P


def _affine(point: _Jacobian) -> Point:
    x, y, z = point
    if z == 0:
        return None
    i = pow(z, -1, P)
    return x * i * i % P, y * i * i * i % P
