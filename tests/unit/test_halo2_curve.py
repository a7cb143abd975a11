"""The reference verifier's own BN254 against another implementation, and at its edges."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as other

from circuits.halo2.curve import DELTA, G1, P, R, add, inverse, multiply, negate, on_curve, root_of_unity
from circuits.halo2.pairing import G2, Twisted, on_twist, product_is_one

SCALARS = st.integers(0, R - 1) | st.sampled_from([0, 1, 2, R - 1, R - 2])


def _theirs(scalar: int) -> object:
    return tuple(int(c) for c in other.normalize(other.multiply(other.G1, scalar))) if scalar % R else None


def _twist_times(scalar: int) -> Twisted:
    x, y = other.normalize(other.multiply(other.G2, scalar))
    return (int(x.coeffs[0]), int(x.coeffs[1])), (int(y.coeffs[0]), int(y.coeffs[1]))


@settings(max_examples=15, deadline=None)
@given(SCALARS, SCALARS)
def test_curve__multiples_and_sums__as_by_py_ecc(a: int, b: int) -> None:
    assert multiply(G1, a) == _theirs(a)
    assert add(multiply(G1, a), multiply(G1, b)) == multiply(G1, a + b)
    assert add(multiply(G1, a), negate(multiply(G1, a))) is None


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1, P + 2), (P + 1, 2), (1, 3), (-1, 2), (1, -2)])
def test_on_curve__infinity_or_not_canonical_or_beside__no(x: int, y: int) -> None:
    assert on_curve(*G1)
    assert not on_curve(x, y)


def test_field__roots_and_cosets__have_their_orders() -> None:
    for k in (1, 11, 28):
        assert pow(root_of_unity(k), 1 << (k - 1), R) == R - 1
    assert pow(DELTA, (R - 1) >> 28, R) == 1
    assert DELTA != 1
    with pytest.raises(ZeroDivisionError):
        inverse(R)


def test_pairing__bilinear__as_by_py_ecc() -> None:
    draw = random.Random("pairing")
    a, b = draw.randrange(R), draw.randrange(R)
    # e(a·G1, b·G2) · e(−ab·G1, G2) = 1
    pairs = [(multiply(G1, a), _twist_times(b)), (multiply(G1, -a * b), G2)]
    assert product_is_one(pairs)
    assert not product_is_one([pairs[0], (multiply(G1, -a * b + 1), G2)])
    assert not product_is_one(pairs[:1])


def test_pairing__infinity_and_nothing__one() -> None:
    assert product_is_one([])
    assert product_is_one([(None, G2)])
    assert not product_is_one([(None, G2), (G1, G2)])


def test_on_twist__generator_and_multiples__only_they() -> None:
    assert on_twist(G2)
    assert on_twist(_twist_times(12345))
    (x, y) = G2
    assert not on_twist((x, (y[0] + 1, y[1])))
    assert not on_twist((x, (y[0] + P, y[1])))
    assert not on_twist(((0, 0), (0, 0)))


def test_on_twist__on_the_curve_but_of_another_order__no() -> None:
    # The twist has a cofactor: nearly every point with a small x is outside the subgroup.
    found = next(point for x in range(1, 50) if (point := _lift((x, 0))) is not None)
    assert not on_twist(found)


def _lift(x: tuple[int, int]) -> Twisted | None:
    """A point of the twist with this x: the square root in F_p² by exponents (p ≡ 3 mod 4)."""
    fq2 = other.FQ2
    value = fq2(x) ** 3 + other.b2
    candidate = value ** ((P - 3) // 4)
    alpha, root = candidate * candidate * value, candidate * value
    minus_one = fq2((P - 1, 0))
    y = root * fq2((0, 1)) if alpha == minus_one else (alpha + fq2((1, 0))) ** ((P - 1) // 2) * root
    if y * y != value:
        return None
    return x, (int(y.coeffs[0]), int(y.coeffs[1]))
