"""The two rounds of RFC 9591 §5, share verification, aggregation, and verification of the result. Pure.

Guarantees: signing nonces are single-use (`sign` wipes them before it returns, whatever happens); `aggregate` returns only a
signature that verifies under the group key; `verify` refuses what the verifiers on both chains refuse (z = 0, z ≥ n, R the
identity or off the curve, a group key with x ≥ n). Each message type owns its bytes; any other bytes raise DecodeError.
Does not decide whom to ask or what to sign, and draws no randomness: see `coordinator` and `session`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridges.frost import ciphersuite
from bridges.frost.ciphersuite import NONCE_RANDOMNESS_BYTES
from bridges.frost.errors import DecodeError, GroupError, InvalidSignature, KeyMaterialError, NonceSpent
from bridges.frost.group import (
    ORDER,
    POINT_BYTES,
    SCALAR_BYTES,
    Identifier,
    Point,
    Scalar,
    SecretScalar,
    base_times,
    identifier,
    point_sum,
    scalar_from_bytes,
    scalar_to_bytes,
)
from bridges.frost.keygen import GroupPublicKey, KeyShare, PublicKeyPackage, lagrange_coefficient

MESSAGE_BYTES: Final = 32
"""Every message the committee signs is one Keccak-256 digest."""
COMMIT_RANDOMNESS_BYTES: Final = 2 * NONCE_RANDOMNESS_BYTES
IDENTIFIER_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class NonceCommitment:
    """Round one's public output: identifier(2) ‖ hiding(33) ‖ binding(33)."""

    LENGTH = IDENTIFIER_BYTES + 2 * POINT_BYTES

    identifier: Identifier
    hiding: Point
    binding: Point

    def to_bytes(self) -> bytes:
        """68 bytes."""
        return self.identifier.to_bytes(IDENTIFIER_BYTES, "big") + self.hiding.encoded + self.binding.encoded

    @classmethod
    def from_bytes(cls, data: bytes) -> NonceCommitment:
        """Raises DecodeError unless `data` is exactly 68 valid bytes."""
        if len(data) != cls.LENGTH:
            raise DecodeError(f"A nonce commitment is {cls.LENGTH} bytes, not {len(data)}.")
        who = identifier(int.from_bytes(data[:IDENTIFIER_BYTES], "big"))
        split = IDENTIFIER_BYTES + POINT_BYTES
        return cls(who, Point.from_bytes(data[IDENTIFIER_BYTES:split]), Point.from_bytes(data[split:]))


@dataclass(frozen=True, slots=True)
class SignatureShare:
    """Round two's output: identifier(2) ‖ z_i(32)."""

    LENGTH = IDENTIFIER_BYTES + SCALAR_BYTES

    identifier: Identifier
    z: Scalar

    def to_bytes(self) -> bytes:
        """34 bytes."""
        return self.identifier.to_bytes(IDENTIFIER_BYTES, "big") + scalar_to_bytes(self.z)

    @classmethod
    def from_bytes(cls, data: bytes) -> SignatureShare:
        """Raises DecodeError unless `data` is exactly 34 valid bytes."""
        if len(data) != cls.LENGTH:
            raise DecodeError(f"A signature share is {cls.LENGTH} bytes, not {len(data)}.")
        who = identifier(int.from_bytes(data[:IDENTIFIER_BYTES], "big"))
        return cls(who, scalar_from_bytes(data[IDENTIFIER_BYTES:]))


@dataclass(frozen=True, slots=True)
class GroupSignature:
    """A Schnorr signature by the committee: R(33) ‖ z(32), with 0 < z < n."""

    LENGTH = POINT_BYTES + SCALAR_BYTES

    r: Point
    z: Scalar

    def __post_init__(self) -> None:
        if not 0 < self.z < ORDER:
            raise DecodeError("A signature's z must be between 1 and the group's order minus 1.")

    def to_bytes(self) -> bytes:
        """65 bytes."""
        return self.r.encoded + scalar_to_bytes(self.z)

    @classmethod
    def from_bytes(cls, data: bytes) -> GroupSignature:
        """Raises DecodeError for a wrong length, R off the curve, z = 0 and z ≥ n."""
        if len(data) != cls.LENGTH:
            raise DecodeError(f"A group signature is {cls.LENGTH} bytes, not {len(data)}.")
        return cls(Point.from_bytes(data[:POINT_BYTES]), scalar_from_bytes(data[POINT_BYTES:]))

    def r_uncompressed(self) -> tuple[int, int]:
        """(Rx, Ry), the form in which EVM calldata carries R beside z."""
        return self.r.coordinates()


class SigningNonces:
    """One participant's nonces for one signature. They live in memory only, and `take` yields them once."""

    __slots__ = ("_binding", "_hiding", "_taken", "commitment")

    def __init__(self, who: Identifier, hiding: SecretScalar, binding: SecretScalar) -> None:
        self._hiding, self._binding, self._taken = hiding, binding, False
        self.commitment = NonceCommitment(who, hiding.public_point(), binding.public_point())

    def take(self) -> tuple[SecretScalar, SecretScalar]:
        """(hiding, binding), for the caller to wipe. Raises NonceSpent the second time: two shares from one nonce reveal the key."""
        if self._taken:
            raise NonceSpent("These signing nonces were used already; commit again.")
        self._taken = True
        return self._hiding, self._binding

    def drop(self) -> None:
        """Wipe them unused (or again)."""
        self._taken = True
        self._hiding.wipe()
        self._binding.wipe()

    def __repr__(self) -> str:
        return f"SigningNonces({self.commitment.identifier}, <redacted>)"


def commit(share: KeyShare, randomness: bytes) -> SigningNonces:
    """Round one, RFC 9591 §5.1. `randomness`: 64 fresh uniform bytes (hiding, then binding); never give the same twice."""
    if len(randomness) != COMMIT_RANDOMNESS_BYTES:
        raise ValueError(f"A commitment takes {COMMIT_RANDOMNESS_BYTES} random bytes, not {len(randomness)}.")
    hiding = ciphersuite.h3(randomness[:NONCE_RANDOMNESS_BYTES], share.signing_share)
    binding = ciphersuite.h3(randomness[NONCE_RANDOMNESS_BYTES:], share.signing_share)
    return SigningNonces(share.identifier, hiding, binding)


def ordered(commitments: Sequence[NonceCommitment]) -> tuple[NonceCommitment, ...]:
    """Sorted by identifier. Raises KeyMaterialError if somebody appears twice."""
    result = tuple(sorted(commitments, key=lambda commitment: commitment.identifier))
    if len({commitment.identifier for commitment in result}) != len(result):
        raise KeyMaterialError("A participant may commit only once in a signing session.")
    return result


def binding_factor_inputs(
    group: GroupPublicKey, commitments: Sequence[NonceCommitment], message: bytes
) -> dict[Identifier, bytes]:
    """rho_input of each participant, RFC 9591 §4.4."""
    listed = ordered(commitments)
    encoded = b"".join(scalar_to_bytes(c.identifier) + c.hiding.encoded + c.binding.encoded for c in listed)
    prefix = group.to_bytes() + ciphersuite.h4(message) + ciphersuite.h5(encoded)
    return {c.identifier: prefix + scalar_to_bytes(c.identifier) for c in listed}


def challenge(r: Point, group: GroupPublicKey, message: bytes) -> Scalar:
    """c = H2(R ‖ P ‖ message), RFC 9591 §4.6."""
    return ciphersuite.h2(r.encoded + group.to_bytes() + message)


@dataclass(frozen=True, slots=True)
class SigningPackage:
    """One session's commitments and message, and all that follows from them. Build it with `prepare`."""

    public: PublicKeyPackage
    message: bytes
    commitments: tuple[NonceCommitment, ...]
    binding_factors: dict[Identifier, Scalar]
    r: Point
    challenge: Scalar

    @property
    def signers(self) -> tuple[Identifier, ...]:
        """Who signs, ascending."""
        return tuple(c.identifier for c in self.commitments)

    def coefficient(self, who: Identifier) -> Scalar:
        """lambda_i · c, the factor of a signing share in its signature share."""
        return Scalar(lagrange_coefficient(who, self.signers) * self.challenge % ORDER)

    def commitment_of(self, who: Identifier) -> NonceCommitment:
        """Raises KeyMaterialError for somebody who is not among the signers."""
        for commitment in self.commitments:
            if commitment.identifier == who:
                return commitment
        raise KeyMaterialError(f"Participant {who} did not commit in this session.")


def prepare(public: PublicKeyPackage, message: bytes, commitments: Sequence[NonceCommitment]) -> SigningPackage:
    """Binding factors, group commitment and challenge (RFC 9591 §4.4-4.6).

    Raises KeyMaterialError for fewer than t commitments, strangers or duplicates, GroupError if R would be the identity.
    """
    listed = ordered(commitments)
    if len(listed) < public.threshold:
        raise KeyMaterialError(f"{len(listed)} commitments are fewer than the quorum of {public.threshold}.")
    for commitment in listed:
        public.verifying_share(commitment.identifier)
    inputs = binding_factor_inputs(public.group_public_key, listed, message)
    factors = {who: ciphersuite.h1(data) for who, data in inputs.items()}
    r = point_sum([p for c in listed for p in (c.hiding, c.binding.times(factors[c.identifier]))])
    return SigningPackage(public, message, listed, factors, r, challenge(r, public.group_public_key, message))


def sign(share: KeyShare, nonces: SigningNonces, package: SigningPackage) -> SignatureShare:
    """Round two, RFC 9591 §5.2. The nonces are gone afterwards, also when it raises.

    Raises NonceSpent for used nonces, KeyMaterialError if the package holds another commitment than theirs.
    """
    hiding, binding = nonces.take()
    keyed = share.signing_share.copy()
    try:
        if package.commitment_of(share.identifier) != nonces.commitment:
            raise KeyMaterialError("The session lists a commitment of ours that we did not make for it.")
        # z_i = d_i + e_i·rho_i + lambda_i·s_i·c, accumulated in the buffer of e_i.
        binding.times(package.binding_factors[share.identifier])
        binding.plus(hiding)
        keyed.times(package.coefficient(share.identifier))
        binding.plus(keyed)
        return SignatureShare(share.identifier, scalar_from_bytes(binding.reveal()))
    finally:
        keyed.wipe()
        nonces.drop()


def verify_share(package: SigningPackage, share: SignatureShare) -> bool:
    """RFC 9591 §5.4: z_i·G = D_i + rho_i·E_i + (lambda_i·c)·Y_i."""
    commitment = package.commitment_of(share.identifier)
    factor = package.binding_factors[share.identifier]
    verifying = package.public.verifying_share(share.identifier)
    try:
        expected = point_sum(
            [
                commitment.hiding,
                commitment.binding.times(factor),
                verifying.times(package.coefficient(share.identifier)),
            ]
        )
        return base_times(share.z) == expected
    except GroupError:
        # Zero on either side: an honest share has it with probability 2^-256, and the verifiers refuse it anyway.
        return False


def aggregate(package: SigningPackage, shares: Sequence[SignatureShare]) -> GroupSignature:
    """RFC 9591 §5.3, with its advice followed: the sum is verified before it is returned.

    Raises KeyMaterialError unless exactly the package's signers contribute, InvalidSignature if the sum does not verify.
    """
    if tuple(sorted(share.identifier for share in shares)) != package.signers:
        raise KeyMaterialError("Aggregation needs exactly one share from each participant that committed.")
    z = Scalar(sum(share.z for share in shares) % ORDER)
    group = package.public.group_public_key
    if z == 0 or not _holds(group, package.r, z, package.challenge):
        raise InvalidSignature("The sum of the signature shares does not verify under the group public key.")
    return GroupSignature(package.r, z)


def find_culprits(package: SigningPackage, shares: Sequence[SignatureShare]) -> tuple[Identifier, ...]:
    """Who made a share that does not verify. Costs a few point multiplications a share: only after `aggregate` failed."""
    return tuple(share.identifier for share in shares if not verify_share(package, share))


def verify(group: GroupPublicKey, signature: GroupSignature, message: bytes) -> bool:
    """Whether `signature` is the committee's over a 32-byte message. The types have refused z = 0, z ≥ n, R = 0 and P.x ≥ n."""
    if len(message) != MESSAGE_BYTES:
        return False
    return _holds(group, signature.r, signature.z, challenge(signature.r, group, message))


def verify_encoded(group: bytes, signature: bytes, message: bytes) -> bool:
    """`verify` on untrusted bytes: 33, 65 and 32 of them. Never raises."""
    try:
        return verify(GroupPublicKey.from_bytes(group), GroupSignature.from_bytes(signature), message)
    except DecodeError:
        return False


def _holds(group: GroupPublicKey, r: Point, z: Scalar, c: Scalar) -> bool:
    try:
        return base_times(z) == point_sum([r, group.point.times(c)])
    except GroupError:
        return False
