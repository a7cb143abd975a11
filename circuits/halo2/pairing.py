"""The pairing check of EIP-197: whether Π e(Aᵢ, Bᵢ) = 1, for Aᵢ in G1 and fixed Bᵢ in G2.

Plain ate pairing (loop t − 1 = 6u², no Frobenius steps): any non-degenerate pairing gives the same verdict, and this one is the shortest to read.
GT is F_p[w]/(w¹² − 18w⁶ + 82), so that i = w⁶ − 9 has i² = −1, and F_p² = F_p(i) lies inside. A product in GT is one multiplication of big
integers (the coefficients side by side, each in a slot wide enough for its sum), which is why this is fast enough for thousands of proofs.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from circuits.halo2.curve import Affine, P, Point, R

Fp2 = tuple[int, int]
"""(c0, c1) = c0 + c1·i."""
Twisted = tuple[Fp2, Fp2]
"""A point of the twist y² = x³ + 3/(9 + i), other than infinity."""
_Fp12 = tuple[int, ...]

G2: Final[Twisted] = (
    (
        0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
        0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    ),
    (
        0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
        0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    ),
)
"""Generator of G2 (EIP-197)."""

_U: Final = 4965661367192848881
"""The parameter of this Barreto–Naehrig curve."""
_LOOP: Final = 6 * _U * _U
_HARD: Final = divmod((P**4 - P**2 + 1) // R, P**2)
"""The final exponent is (p⁶ − 1)·(p² + 1)·(high·p² + low)."""
_SLOT: Final = 544
"""Bits of a slot, whole bytes: twelve products of 508 bits need 512."""
_SLOT_BYTES: Final = _SLOT // 8
_ONE: Final[_Fp12] = (1, *([0] * 11))


def _multiply2(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] * b[0] - a[1] * b[1]) % P, (a[0] * b[1] + a[1] * b[0]) % P


def _inverse2(a: Fp2) -> Fp2:
    norm = pow(a[0] * a[0] + a[1] * a[1], -1, P)
    return a[0] * norm % P, -a[1] * norm % P


def _subtract2(a: Fp2, b: Fp2) -> Fp2:
    return (a[0] - b[0]) % P, (a[1] - b[1]) % P


_B2: Final = _multiply2((3, 0), _inverse2((9, 1)))


def on_twist(point: Twisted) -> bool:
    """Whether the point is in G2: canonical, on the twist, and of order R (the twist has more points than G2)."""
    x, y = point
    if not all(0 <= c < P for c in (*x, *y)):
        return False
    cubic = _multiply2(_multiply2(x, x), x)
    if _multiply2(y, y) != ((cubic[0] + _B2[0]) % P, (cubic[1] + _B2[1]) % P):
        return False
    return _is_of_order_r(point)


def _is_of_order_r(point: Twisted) -> bool:
    # (R − 1)·B = −B, without ever adding to infinity.
    total = point
    for bit in bin(R - 1)[3:]:
        doubled = _double(total)
        if doubled is None:
            return False
        total = doubled[0]
        if bit == "1":
            summed = _add(total, point)
            if summed is None:
                return False
            total = summed[0]
    return total == (point[0], _subtract2((0, 0), point[1]))


def _double(a: Twisted) -> tuple[Twisted, Fp2] | None:
    """2a and the tangent's slope."""
    x, y = a
    if y == (0, 0):
        return None
    xx = _multiply2(x, x)
    slope = _multiply2((3 * xx[0], 3 * xx[1]), _inverse2((2 * y[0], 2 * y[1])))
    return _third(a, x, slope), slope


def _add(a: Twisted, b: Twisted) -> tuple[Twisted, Fp2] | None:
    """a + b and the chord's slope."""
    if a[0] == b[0]:
        return _double(a) if a[1] == b[1] else None
    slope = _multiply2(_subtract2(b[1], a[1]), _inverse2(_subtract2(b[0], a[0])))
    return _third(a, b[0], slope), slope


def _third(a: Twisted, x2: Fp2, slope: Fp2) -> Twisted:
    square = _multiply2(slope, slope)
    x3 = _subtract2(_subtract2(square, a[0]), x2)
    return x3, _subtract2(_multiply2(slope, _subtract2(a[0], x3)), a[1])


@lru_cache(maxsize=16)
def _lines(point: Twisted) -> tuple[tuple[bool, Fp2, Fp2], ...]:
    """The Miller loop's lines: (whether to square first, slope λ, λ·x_T − y_T)."""
    lines: list[tuple[bool, Fp2, Fp2]] = []
    total = point
    for bit in bin(_LOOP)[3:]:
        for squares in (True, False) if bit == "1" else (True,):
            step = _double(total) if squares else _add(total, point)
            if step is None:
                raise ValueError("The Miller loop needs a point of order R; ask on_twist first.")
            slope = step[1]
            lines.append((squares, slope, _subtract2(_multiply2(slope, total[0]), total[1])))
            total = step[0]
    return tuple(lines)


def _multiply(a: _Fp12, b: _Fp12) -> _Fp12:
    packed = [int.from_bytes(b"".join(c.to_bytes(_SLOT_BYTES, "little") for c in one), "little") for one in (a, b)]
    product = (packed[0] * packed[1]).to_bytes(24 * _SLOT_BYTES, "little")
    c = [int.from_bytes(product[i : i + _SLOT_BYTES], "little") for i in range(0, 23 * _SLOT_BYTES, _SLOT_BYTES)]
    return _reduce(c)


def _reduce(c: list[int]) -> _Fp12:
    for i in range(len(c) - 1, 11, -1):
        # w¹² = 18w⁶ − 82
        c[i - 6] += 18 * c[i]
        c[i - 12] -= 82 * c[i]
    return tuple(value % P for value in c[:12])


def _times_line(a: _Fp12, line: tuple[Fp2, Fp2], x: int, y: int) -> _Fp12:
    """a · (y − λ·x·w + (λ·x_T − y_T)·w³), where c0 + c1·i = (c0 − 9c1) + c1·w⁶."""
    (slope, constant) = line
    tilt = (-slope[0] * x % P, -slope[1] * x % P)
    terms = ((0, y), (1, tilt[0] - 9 * tilt[1]), (3, constant[0] - 9 * constant[1]), (7, tilt[1]), (9, constant[1]))
    c = [0] * 22
    for shift, factor in terms:
        for i, value in enumerate(a, shift):
            c[i] += factor * value
    return _reduce(c)


def _miller(pairs: Sequence[tuple[Affine, Twisted]]) -> _Fp12:
    """The product of the Miller loops; the squarings are shared."""
    total = _ONE
    for steps in zip(*(_lines(fixed) for _, fixed in pairs), strict=True):
        if steps[0][0]:
            total = _multiply(total, total)
        for (_, slope, constant), (point, _) in zip(steps, pairs, strict=True):
            total = _times_line(total, (slope, constant), *point)
    return total


def _power_p2(a: _Fp12) -> _Fp12:
    """a^(p²): w goes to w·ξ^((p²−1)/6), a sixth root of unity in F_p."""
    return tuple(value * root % P for value, root in zip(a, _ROOTS, strict=True))


def _sixth_root() -> int:
    base, exponent, total = (9, 1), (P * P - 1) // 6, (1, 0)
    for bit in bin(exponent)[2:]:
        total = _multiply2(total, total)
        if bit == "1":
            total = _multiply2(total, base)
    return total[0]


_ROOTS: Final = tuple(pow(_sixth_root(), i, P) for i in range(12))


def _is_one_after_final_exponentiation(a: _Fp12) -> bool:
    b = _multiply(_power_p2(a), a)
    moved = _power_p2(b)
    table = {("1", "0"): moved, ("0", "1"): b, ("1", "1"): _multiply(moved, b)}
    high, low = (bin(part)[2:] for part in _HARD)
    total = _ONE
    for bits in zip(high.rjust(len(low), "0"), low, strict=True):
        total = _multiply(total, total)
        if bits in table:
            total = _multiply(total, table[bits])
    # x^(p⁶−1) = 1 exactly when x^(p⁶) = x; that power sends w to −w, so the odd coefficients are zero.
    return not any(total[1::2])


def product_is_one(pairs: Sequence[tuple[Point, Twisted]]) -> bool:
    """Whether the product of the pairings is one. Points must be on their curves (`on_curve`, `on_twist`)."""
    finite = [(point, fixed) for point, fixed in pairs if point is not None]
    return not finite or _is_one_after_final_exponentiation(_miller(finite))
