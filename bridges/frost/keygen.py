"""The committee's key material: the group public key, verifying shares, and one participant's signing share.

Guarantees: a `GroupPublicKey` has x below the group's order, as the verifiers on both chains need; a `PublicKeyPackage` has
all its verifying shares on one polynomial of degree t-1 through the group key; a `KeyShare` fits its package. Whatever
made a key is recorded in `origin`: `dkg` makes keys that nobody ever holds. A dealer (RFC 9591 appendix C) sees the whole secret; only
tests have one, and its keys serve on a devnet alone.
Does not store keys (`keystore`) and draws no randomness of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Never

from bridges.frost.errors import DecodeError, GroupError, KeyMaterialError
from bridges.frost.group import (
    MAX_PARTICIPANTS,
    ORDER,
    Identifier,
    Point,
    Scalar,
    SecretScalar,
    identifier,
    point_sum,
)

Randomness = Callable[[int], bytes]
"""Draws that many uniform bytes; `os.urandom` everywhere but in tests and vectors."""


_DUAL_TAG: Final = b"SIBYL_FROST_ONE_POLYNOMIAL_V1"


class Origin(StrEnum):
    """How a key came to be."""

    DEALER = "dealer"
    DKG = "dkg"


@dataclass(frozen=True, slots=True)
class GroupPublicKey:
    """The committee's public key P, with P.x < n: ecrecover and sol_secp256k1_recover take P.x as the `r` of a signature."""

    point: Point

    def __post_init__(self) -> None:
        if self.x >= ORDER:
            raise DecodeError("A group public key's x coordinate must be below the group's order; make another key.")

    @classmethod
    def from_bytes(cls, data: bytes) -> GroupPublicKey:
        """33 bytes compressed. Raises DecodeError off the curve, for the identity, and for x ≥ n."""
        return cls(Point.from_bytes(data))

    def to_bytes(self) -> bytes:
        """33 bytes compressed."""
        return self.point.to_bytes()

    @property
    def x(self) -> int:
        """The x coordinate, below n."""
        return int.from_bytes(self.point.encoded[1:], "big")

    @property
    def parity(self) -> int:
        """0 if y is even, 1 if it is odd."""
        return self.point.encoded[0] & 1


@dataclass(frozen=True, slots=True)
class PublicKeyPackage:
    """What everybody knows of one committee's key. `verifying_shares` has an entry for each participant."""

    group_public_key: GroupPublicKey
    threshold: int
    verifying_shares: Mapping[Identifier, Point]
    origin: Origin

    def __post_init__(self) -> None:
        shares = {identifier(i): self.verifying_shares[i] for i in sorted(self.verifying_shares)}
        object.__setattr__(self, "verifying_shares", MappingProxyType(shares))
        if not 2 <= self.threshold <= len(shares) <= MAX_PARTICIPANTS:
            raise KeyMaterialError(
                f"A threshold of {self.threshold} does not fit {len(shares)} participants; it must be 2 to their number."
            )
        try:
            self._check_one_polynomial()
        except GroupError as error:
            raise KeyMaterialError(f"The verifying shares cannot belong to one key: {error}") from error

    def _check_one_polynomial(self) -> None:
        base = list(self.verifying_shares)[: self.threshold]
        points = {Identifier(0): self.group_public_key.point, **self.verifying_shares}
        if not _on_one_polynomial(points, self.threshold):
            self._say_what_does_not_fit(base)
        if self._interpolated(base[:-1], 0) == self.group_public_key.point:
            raise KeyMaterialError(
                "Fewer participants than the threshold says can sign with this key; correct the threshold."
            )

    def _say_what_does_not_fit(self, base: list[Identifier]) -> Never:
        """Look at one share after the other, which takes long, for a sentence that says what is wrong. Raises KeyMaterialError or GroupError."""
        if self._interpolated(base, 0) != self.group_public_key.point:
            raise KeyMaterialError("The verifying shares do not add up to the group public key.")
        for other in list(self.verifying_shares)[self.threshold :]:
            if self._interpolated(base, other) != self.verifying_shares[other]:
                raise KeyMaterialError(
                    f"The verifying share of participant {other} is not on the polynomial of the others.", (other,)
                )
        raise KeyMaterialError("The verifying shares are not on one polynomial.")

    def _interpolated(self, base: list[Identifier], at: int) -> Point:
        return point_sum([self.verifying_shares[i].times(lagrange_coefficient(i, base, at)) for i in base])

    @property
    def participants(self) -> tuple[Identifier, ...]:
        """All identifiers, ascending."""
        return tuple(self.verifying_shares)

    def verifying_share(self, who: Identifier) -> Point:
        """Raises KeyMaterialError for somebody outside the committee."""
        try:
            return self.verifying_shares[who]
        except KeyError:
            raise KeyMaterialError(f"Participant {who} is not a member of this committee.") from None


@dataclass(frozen=True, slots=True)
class KeyShare:
    """One participant's signing share beside the public package. The share is redacted in repr."""

    identifier: Identifier
    signing_share: SecretScalar = field(repr=False)
    public: PublicKeyPackage

    def __post_init__(self) -> None:
        if self.signing_share.public_point() != self.public.verifying_share(self.identifier):
            raise KeyMaterialError(
                f"The signing share does not match participant {self.identifier}'s verifying share; restore the right key file."
            )


def lagrange_coefficient(who: Identifier, among: list[Identifier] | tuple[Identifier, ...], at: int = 0) -> Scalar:
    """RFC 9591 §4.2 derive_interpolating_value, evaluated at `at`. Raises KeyMaterialError on a duplicate or an absence."""
    if who not in among or len(set(among)) != len(among):
        raise KeyMaterialError("Interpolation needs distinct identifiers that include the participant's own.")
    numerator, denominator = 1, 1
    for other in among:
        if other != who:
            numerator = numerator * (other - at) % ORDER
            denominator = denominator * (other - who) % ORDER
    return Scalar(numerator * pow(denominator, -1, ORDER) % ORDER)


def _on_one_polynomial(points: Mapping[Identifier, Point], threshold: int) -> bool:
    """Whether these points, public ones, are values of one polynomial of degree `threshold` - 1 at their identifiers.

    The values of all such polynomials are a Reed-Solomon code, so a word of its dual code, m(x_i) / prod_j (x_i - x_j) for any m of degree
    len(points) - threshold - 1, is orthogonal to them, and a random one is to nothing else but with probability 1/n (SCRAPE, Cascudo and
    David 2017, section 2.1). That is one multiplication a point. The m here is a hash of all points: who chooses them cannot choose it too.
    """
    state = hashlib.sha256(_DUAL_TAG + threshold.to_bytes(2, "big"))
    for who, point in points.items():
        state.update(who.to_bytes(2, "big") + point.encoded)
    seed, terms = state.digest(), []
    degree = len(points) - threshold - 1
    draws = (hashlib.sha512(_DUAL_TAG + seed + k.to_bytes(2, "big")).digest() for k in range(degree + 1))
    dual = [int.from_bytes(draw, "big") % ORDER for draw in draws]
    try:
        for at, point in points.items():
            value, weight = 0, 1
            for coefficient in dual:
                value = (value * at + coefficient) % ORDER
            for other in points:
                weight = weight * (at - other) % ORDER if other != at else weight
            terms.append(point.times(Scalar(value * pow(weight, -1, ORDER) % ORDER)))
        # The whole is the identity, which has no encoding: all but one add up to the negative of that one.
        return point_sum(terms[:-1]) == terms[-1].negated()
    except GroupError:
        return False
