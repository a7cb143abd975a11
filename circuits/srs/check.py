"""Whether a file is an SRS at all: every point on its curve, and all of them powers of one τ.

Two relations hold for each point, and a random linear combination turns many of them into one pairing check (EIP-197), which a false one passes
with a probability of 2^-128:

    e(τⁱ⁺¹·G1, G2) = e(τⁱ·G1, τ·G2)
    e(Lⱼ·G1, τ·G2 − ωʲ·G2) = e(ωʲ/n·τⁿ⁻¹·G1, τ·G2) · e(−ωʲ/n·G1, G2)          since Lⱼ(τ)·(τ − ωʲ) = (τⁿ − 1)·ωʲ/n

Every point is looked at for being on the curve. The relations are checked for `samples` random places of each kind, always with the first and the
last, or for all of them: a single wrong point among 2^k may escape the samples, so the sample is for telling a file's kind and damage from accidents,
and the hash for a ceremony's file byte by byte. Does not do: say who knows τ.
"""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from circuits.cache import Progress, quiet
from circuits.errors import SrsError
from circuits.halo2.curve import G1, Affine, P, Point, R, inverse, root_of_unity
from circuits.halo2.curve import add as add_points
from circuits.halo2.curve import multiply as times
from circuits.halo2.curve import negate as minus
from circuits.halo2.pairing import G2, Twisted, product_is_one
from circuits.srs.format import SrsFile, open_srs
from circuits.srs.group import weighted_sum
from circuits.srs.published import CEREMONY, NEG_S_G2, published_k

SAMPLES: Final = 64
_RANDOM_BITS: Final = 128
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SrsReport:
    """What a sound file is."""

    path: Path
    k: int
    sha256: str
    ceremony: str | None
    """The name of the ceremony whose published file this is, byte by byte."""
    same_secret: bool
    """Whether its τ is the ceremony's: true also of a file that was shortened from it."""
    relations: int
    """How many relations of each kind were checked."""

    @property
    def devnet_only(self) -> bool:
        """Whether somebody could know its secret: whatever is no published file of a ceremony."""
        return self.ceremony is None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises SrsError."""
    state = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                state.update(chunk)
    except OSError as error:
        raise SrsError(f"The reference string {path} cannot be read: {error.strerror}.") from error
    return state.hexdigest()


def check_srs(path: Path, *, samples: int | None = SAMPLES, progress: Progress = quiet) -> SrsReport:
    """Examine a file; `samples` None checks every relation. Nothing is written or removed. Raises SrsError saying what is wrong."""
    progress(f"Hashing {path.name}")
    sha256 = sha256_of(path)
    named = published_k(sha256)
    srs = open_srs(path)
    if named is not None and named != srs.k:  # two files with one hash: impossible while SHA-256 holds
        raise SrsError(f"{path} has the hash of the ceremony's file for k={named}, and says k={srs.k}.")
    relations = check_structure(srs, samples=samples, progress=progress)
    ours = minus_twisted(srs.s_g2) == NEG_S_G2
    if named is not None and not ours:
        raise SrsError(
            f"{path} has a published hash and another τ·G2 than the ceremony: this program's table is wrong."
        )
    return SrsReport(path, srs.k, sha256, CEREMONY if named else None, ours, relations)


def minus_twisted(point: Twisted) -> Twisted:
    """−point, as a verifying key carries τ·G2."""
    x, (y0, y1) = point
    return x, (-y0 % P, -y1 % P)


def check_structure(srs: SrsFile, *, samples: int | None = SAMPLES, progress: Progress = quiet) -> int:
    """Check the points and their relations; how many relations of each kind were checked. Raises SrsError."""
    n = srs.points
    first = next(srs.powers(0, 1))
    if first != G1 or srs.g2 != G2:
        raise SrsError(f"{srs.path} begins with other generators than those of BN254 (EIP-197).")
    chosen = range(n) if samples is None or samples >= n else _sample(n, samples)
    progress(f"Checking that {2 * n:,} points are on the curve")
    wanted = set(chosen)
    powers = _walk(srs.powers(), {*wanted, *(i + 1 for i in wanted), n - 1})
    lagrange = _walk(srs.lagrange(), wanted)
    progress(f"Checking {len(wanted):,} relations of each kind")
    places = sorted(wanted)
    _check_powers(srs, powers, [i for i in places if i + 1 < n])
    _check_lagrange(srs, lagrange, places, powers[n - 1])
    return len(places)


def _sample(n: int, samples: int) -> Sequence[int]:
    # The attacker who chose the file must not know which places are looked at.
    return sorted({0, n - 1, *(secrets.randbelow(n) for _ in range(samples - 2))})


def _walk(points: Iterator[Affine], wanted: set[int]) -> dict[int, Affine]:
    return {place: point for place, point in enumerate(points) if place in wanted}


def _check_powers(srs: SrsFile, powers: dict[int, Affine], places: list[int]) -> None:
    weights = [secrets.randbits(_RANDOM_BITS) for _ in places]
    low = weighted_sum([powers[i] for i in places], weights)
    high = weighted_sum([powers[i + 1] for i in places], weights)
    if not product_is_one([(high, G2), (minus(low), srs.s_g2)]):
        raise SrsError(
            f"{srs.path}: its powers do not belong to its τ·G2. Somebody made or changed this file; get another."
        )


def _check_lagrange(srs: SrsFile, lagrange: dict[int, Affine], places: list[int], top: Affine) -> None:
    """With cⱼ = rⱼ·ωʲ/n and c their sum: e(Σ rⱼLⱼ − c·τⁿ⁻¹, τ·G2) · e(c·G1 − Σ rⱼωʲLⱼ, G2) = 1."""
    root = root_of_unity(srs.k)
    weights = [secrets.randbits(_RANDOM_BITS) for _ in places]
    turned = [weight * pow(root, j, R) % R for weight, j in zip(weights, places, strict=True)]
    c = sum(turned) * inverse(srs.points) % R
    points = [lagrange[j] for j in places]
    left: Point = add_points(weighted_sum(points, weights), minus(times(top, c)))
    right: Point = add_points(times(G1, c), minus(weighted_sum(points, turned)))
    if not product_is_one([(left, srs.s_g2), (right, G2)]):
        raise SrsError(
            f"{srs.path}: its Lagrange points do not belong to its powers. Somebody made or changed this file; get another."
        )
