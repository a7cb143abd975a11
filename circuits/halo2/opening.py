"""SHPLONK (Boneh, Drake, Fisch, Gabizon 2020, §4): every claimed evaluation against one pair of points.

Four sets of polynomials are opened, S_0 = {x}, S_1 = {ω⁻¹x, x}, S_2 = {ω⁻⁶x, x, ωx}, S_3 = {x, ωx}, within T = {ω⁻⁶x, ω⁻¹x, x, ωx}. With Z_S(μ) the
product of μ − p over S, and everything divided by Z_{T∖S_0}(μ) (as the Solidity verifier does):

    c_i = Z_{T∖S_i}(μ) / Z_{T∖S_0}(μ)
    F = Σ_i νⁱ·c_i·Σ_k ζᵏ·[C_{i,k}] − (Σ_i νⁱ·c_i·r_i(μ))·G1 − Z_{S_0}(μ)·W
    accept if e(F + μ·W′, G2) · e(W′, −s·G2) = 1

where r_i interpolates over S_i the values Σ_k ζᵏ·e_{i,k}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from circuits.halo2.curve import G1, Affine, Point, R, add, inverse, multiply
from circuits.halo2.errors import RejectedProof
from circuits.halo2.key import FIXED, PERMUTED, UNUSABLE, Key
from circuits.halo2.transcript import Challenges, Proof

ROTATIONS: Final = {"last": -UNUSABLE, "prev": -1, "here": 0, "next": 1}
_SUFFIX: Final = {"last": "_last", "prev": "_prev", "here": "", "next": "_next"}

_FIRST_SET: Final = (
    "a_0", "a_1", "m_0", "m_1",
    *(f"f_{i}" for i in range(FIXED)),
    *(f"sigma_{i}" for i in range(PERMUTED)),
    "h", "random",
)  # fmt: skip
SETS: Final[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = (
    (("here",), _FIRST_SET),
    (("prev", "here"), ("a_2",)),
    (("last", "here", "next"), ("z_0",)),
    (("here", "next"), ("z_1", "phi_0", "phi_1")),
)
"""(points, polynomials) of each set; the polynomials by rising power of ζ, the sets by rising power of ν."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The linear combination that has to open to zero."""

    points: dict[str, int]
    """The opening points by rotation."""
    set_scalars: tuple[int, ...]
    """νⁱ·c_i."""
    set_values: tuple[int, ...]
    """r_i(μ)."""
    value: int
    """Σ_i νⁱ·c_i·r_i(μ)."""
    w_scalar: int
    """Z_{S_0}(μ)."""


def claim(key: Key, evaluations: Mapping[str, int], quotient: int, c: Challenges) -> Claim:
    """Everything of the opening that is a scalar. Raises RejectedProof when μ or x makes two points meet, which no honest transcript reaches."""
    points = {name: c.x * pow(key.omega, rotation, R) % R for name, rotation in ROTATIONS.items()}
    if c.x == 0 or c.mu in points.values():
        raise RejectedProof("domain", "A challenge meets an opening point.")
    first = _vanishing(c.mu, [points[name] for name in ROTATIONS if name not in SETS[0][0]])
    known = {**evaluations, "h": quotient}
    scalars, values, total = [], [], 0
    for i, (rotations, names) in enumerate(SETS):
        rest = _vanishing(c.mu, [points[name] for name in ROTATIONS if name not in rotations])
        scalar = pow(c.nu, i, R) * rest * inverse(first) % R
        folded = {points[r]: _fold([known[name + _SUFFIX[r]] for name in names], c.zeta) for r in rotations}
        value = _interpolate(folded, c.mu)
        scalars.append(scalar)
        values.append(value)
        total += scalar * value
    return Claim(points, tuple(scalars), tuple(values), total % R, (c.mu - points["here"]) % R)


def quotient_commitment(proof: Proof, x_n: int) -> Point:
    """[h] = Σ_i x^(n·i)·[h_i]."""
    return _combine([proof.points[f"h_{i}"] for i in range(4)], x_n)


def left_side(key: Key, proof: Proof, h: Point, made: Claim, c: Challenges) -> Point:
    """F + μ·W′: the point that is paired with G2."""
    commitments: dict[str, Point] = {**proof.points, "h": h}
    commitments |= {f"f_{i}": point for i, point in enumerate(key.fixed)}
    commitments |= {f"sigma_{i}": point for i, point in enumerate(key.permutation)}
    total: Point = None
    for (_, names), scalar in zip(SETS, made.set_scalars, strict=True):
        total = add(total, multiply(_combine([commitments[name] for name in names], c.zeta), scalar))
    w, w_prime = proof.points["w"], proof.points["w_prime"]
    rest: tuple[tuple[Affine, int], ...] = ((G1, -made.value), (w, -made.w_scalar), (w_prime, c.mu))
    for point, scalar in rest:
        total = add(total, multiply(point, scalar))
    return total


def _combine(points: Sequence[Point], factor: int) -> Point:
    """Σ factorⁱ·pointᵢ, by Horner."""
    total: Point = None
    for point in reversed(points):
        total = add(multiply(total, factor), point)
    return total


def _fold(values: Sequence[int], factor: int) -> int:
    total = 0
    for value in reversed(values):
        total = (total * factor + value) % R
    return total


def _vanishing(at: int, roots: Sequence[int]) -> int:
    product = 1
    for root in roots:
        product = product * (at - root) % R
    return product


def _interpolate(values: Mapping[int, int], at: int) -> int:
    """The polynomial of least degree through the points, at `at` (Lagrange)."""
    total = 0
    for point, value in values.items():
        others = [other for other in values if other != point]
        total += value * _vanishing(at, others) * inverse(_vanishing(point, others))
    return total % R
