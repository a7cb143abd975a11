"""What the circuit demands of the evaluations at x: gates, copy constraints, range checks; folded by y into the quotient's value.

Names as in VERIFIER.md: l_0 is the Lagrange polynomial of the first row, l_last that of row n − 6, l_blind the sum of those of the last five rows.
The constraints are listed in the order in which y folds them (Horner, the first has the highest power).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuits.halo2.curve import DELTA, R, inverse
from circuits.halo2.errors import RejectedProof
from circuits.halo2.key import UNUSABLE, Key
from circuits.halo2.transcript import Challenges

RANGE_DEFAULTS = (R - 1, 0)
"""What a row outside a range check looks up: the smallest value of the ranges [−1, 1] and [0, base − 1]."""


@dataclass(frozen=True, slots=True)
class Lagrange:
    """Values at x of the polynomials that the domain fixes, and of the instance column."""

    x_n: int
    l_0: int
    l_last: int
    l_blind: int
    instance: int


def lagrange(key: Key, x: int, instances: Sequence[int]) -> Lagrange:
    """l_i(x) = ωⁱ·(xⁿ − 1) / (n·(x − ωⁱ)). Raises RejectedProof when x is in the domain, which no honest transcript reaches."""
    x_n = pow(x, key.rows, R)
    if x_n == 1:
        raise RejectedProof("domain", "The challenge x is a point of the domain.")
    common = (x_n - 1) * inverse(key.rows)

    def at(row: int) -> int:
        point = pow(key.omega, row, R)
        return common * point * inverse(x - point) % R

    return Lagrange(
        x_n=x_n,
        l_0=at(0),
        l_last=at(-UNUSABLE),
        l_blind=sum(at(row) for row in range(1 - UNUSABLE, 0)) % R,
        instance=sum(at(row) * value for row, value in enumerate(instances)) % R,
    )


def gates(e: Mapping[str, int]) -> list[tuple[str, int]]:
    """The arithmetic of ezkl's base chip. A selector column s holds 1, 2 or 3 for one of three gates, 0 for none."""
    a, b, c, previous = e["a_0"], e["a_1"], e["a_2"], e["a_2_prev"]

    def chosen(column: str, value: int) -> int:
        # Zero on the other three values of the selector.
        s, product = e[column], e[column]
        for other in {1, 2, 3} - {value}:
            product *= other - s
        return product

    wanted = (
        ("add", "f_5", 1, a + b),
        ("multiply", "f_5", 3, a * b),
        ("subtract", "f_5", 2, a - b),
        ("dot", "f_6", 2, previous + a * b),
        ("dot_start", "f_6", 1, a * b),
        ("product_start", "f_7", 1, b),
        ("product", "f_6", 3, previous * b),
        ("sum_start", "f_7", 3, b),
        ("sum", "f_7", 2, previous + b),
    )
    return [(f"gate_{name}", chosen(column, value) * (c - result) % R) for name, column, value, result in wanted]


def permutation(e: Mapping[str, int], c: Challenges, at: Lagrange) -> list[tuple[str, int]]:
    """Copy constraints (PLONK's grand product), in two chunks of columns: z_0 over the advice, z_1 over f_0 and the instance column."""
    active = 1 - at.l_last - at.l_blind
    columns = (e["a_0"], e["a_1"], e["a_2"], e["f_0"], at.instance)

    def chunk(name: str, members: range) -> int:
        left, right = e[f"{name}_next"], e[name]
        for i in members:
            left = left * (columns[i] + c.beta * e[f"sigma_{i}"] + c.gamma) % R
            right = right * (columns[i] + c.beta * pow(DELTA, i, R) * c.x + c.gamma) % R
        return active * (left - right) % R

    return [
        ("z_starts_at_one", at.l_0 * (1 - e["z_0"]) % R),
        ("z_ends_at_zero_or_one", at.l_last * (e["z_1"] ** 2 - e["z_1"]) % R),
        ("z_chunks_join", at.l_0 * (e["z_1"] - e["z_0_last"]) % R),
        ("z_0_step", chunk("z_0", range(3))),
        ("z_1_step", chunk("z_1", range(3, 5))),
    ]


def range_check(e: Mapping[str, int], c: Challenges, at: Lagrange, i: int) -> list[tuple[str, int]]:
    """a_0, where the selector is on, is in table i (logarithmic derivatives): φ(ωx) − φ(x) = 1/(input + β) − m/(table + β)."""
    selector, phi, default = e[f"f_{3 + i}"], e[f"phi_{i}"], RANGE_DEFAULTS[i]
    value = selector * e["a_0"] + (1 - selector) * default + c.beta
    table = e[f"f_{1 + i}"] + c.beta
    step = table * value * (e[f"phi_{i}_next"] - phi) - (table - e[f"m_{i}"] * value)
    return [
        (f"phi_{i}_starts_at_zero", at.l_0 * phi % R),
        (f"phi_{i}_ends_at_zero", at.l_last * phi % R),
        (f"phi_{i}_step", (1 - at.l_last - at.l_blind) * step % R),
    ]


def constraints(e: Mapping[str, int], c: Challenges, at: Lagrange) -> list[tuple[str, int]]:
    """Every constraint's value at x, in folding order."""
    # Two gates of the range checks' selectors that ezkl leaves empty; they keep their powers of y.
    empty = [("empty_0", 0), ("empty_1", 0)]
    return [
        *gates(e), *empty, *permutation(e, c, at), *range_check(e, c, at, 0), *range_check(e, c, at, 1)
    ]  # fmt: skip


def quotient(values: Sequence[tuple[str, int]], y: int, x_n: int) -> int:
    """h(x): the folded constraints divided by the vanishing polynomial xⁿ − 1."""
    folded = 0
    for _, value in values:
        folded = (folded * y + value) % R
    return folded * inverse(x_n - 1) % R
