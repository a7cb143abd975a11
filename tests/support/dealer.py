"""RFC 9591 appendix C's trusted dealer, for tests: it sees the whole secret, so its keys are marked as a dealer's."""

from __future__ import annotations

from bridges.frost.errors import DecodeError, KeyMaterialError
from bridges.frost.group import (
    MAX_PARTICIPANTS,
    UNIFORM_BYTES,
    Identifier,
    Scalar,
    SecretScalar,
    identifier,
)
from bridges.frost.keygen import GroupPublicKey, KeyShare, Origin, PublicKeyPackage, Randomness


def deal(participants: int, threshold: int, randomness: Randomness) -> tuple[KeyShare, ...]:
    """Split a fresh key among identifiers 1..participants (RFC 9591 appendix C).

    Draws again until the group key's x is below n. Raises KeyMaterialError for a threshold that does not fit.
    """
    if not 2 <= threshold <= participants <= MAX_PARTICIPANTS:
        raise KeyMaterialError(f"A threshold of {threshold} does not fit {participants} participants.")
    while True:
        secret = _random_scalar(randomness)
        try:
            GroupPublicKey(secret.public_point())
        except DecodeError:
            continue
        coefficients = [_random_scalar(randomness) for _ in range(threshold - 1)]
        return deal_secret(secret, coefficients, participants)


def deal_secret(secret: SecretScalar, coefficients: list[SecretScalar], participants: int) -> tuple[KeyShare, ...]:
    """Split a given secret over a given polynomial, coefficients lowest degree first; wipes them all."""
    group = GroupPublicKey(secret.public_point())
    shares: dict[Identifier, SecretScalar] = {}
    for i in range(1, participants + 1):
        value = coefficients[-1].copy()
        for coefficient in (*reversed(coefficients[:-1]), secret):
            value.times(Scalar(i))
            value.plus(coefficient)
        shares[identifier(i)] = value
    for spent in (secret, *coefficients):
        spent.wipe()
    verifying = {who: share.public_point() for who, share in shares.items()}
    public = PublicKeyPackage(group, len(coefficients) + 1, verifying, Origin.DEALER)
    return tuple(KeyShare(who, share, public) for who, share in shares.items())


def _random_scalar(randomness: Randomness) -> SecretScalar:
    return SecretScalar.from_uniform(randomness(UNIFORM_BYTES))
