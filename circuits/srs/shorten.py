"""A smaller SRS from a larger one of the same ceremony: the powers are cut off, and their Lagrange basis is computed anew.

The result is byte for byte the ceremony's own file for the smaller k, so its published hash proves that this was done right. It costs k·2^(k−1)
multiplications in plain Python (k=9 some ten seconds, k=13 several minutes), so for a large k the file itself is the better source.
"""

import io
from typing import Final

from circuits.cache import Progress, quiet
from circuits.errors import SrsError
from circuits.srs.format import SrsFile, write_srs
from circuits.srs.group import lagrange_basis

LARGEST: Final = 14
"""Largest k that is worth computing here."""


def shortened(srs: SrsFile, k: int, progress: Progress = quiet) -> bytes:
    """The file for `k` out of `srs`. Raises SrsError when `srs` is smaller, or `k` too large to compute."""
    if k > srs.k:
        raise SrsError(f"{srs.path} is for k={srs.k}; nothing larger can be made of it. Fetch the file for k={k}.")
    if k > LARGEST:
        raise SrsError(
            f"Shortening to k={k} would take hours here (at most {LARGEST}); fetch the ceremony's file for k={k}."
        )
    powers = list(srs.powers(0, 1 << k))
    progress(f"Computing the Lagrange basis of 2^{k} points")
    basis = lagrange_basis(
        powers, k, lambda done, all_: progress(f"Computing the Lagrange basis: round {done} of {all_}")
    )
    finite = [point for point in basis if point is not None]
    if len(finite) != len(basis):
        raise SrsError(f"{srs.path}: its secret is a root of unity, which no ceremony's is. Get another file.")
    target = io.BytesIO()
    write_srs(target, k, powers, finite, srs.g2, srs.s_g2)
    return target.getvalue()
