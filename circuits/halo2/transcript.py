"""Proof bytes and the Fiat–Shamir transcript: what is absorbed, in which order, and the challenges that come out.

Layout of a proof, 1,952 bytes: 14 points (x ‖ y, 64 bytes), 29 evaluations (32 bytes), 2 points; all big-endian. Guarantees: every point is on the
curve and not infinity, every scalar and coordinate canonical, the length exact. The challenges follow halo2's Keccak transcript as the Solidity
verifier computes it: each is Keccak-256(state ‖ what was absorbed since) mod R, where the state is the last hash, unreduced; a challenge with
nothing absorbed before it hashes state ‖ 0x01.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from circuits.halo2.curve import Affine, R, on_curve
from circuits.halo2.errors import RejectedProof
from circuits.halo2.key import Key
from oracle.protocol.hashing import keccak256

POINT_NAMES: Final = (
    "a_0", "a_1", "a_2",
    "m_0", "m_1",
    "z_0", "z_1", "phi_0", "phi_1", "random",
    "h_0", "h_1", "h_2", "h_3",
    "w", "w_prime",
)  # fmt: skip
"""Commitments in proof order: advice; lookup multiplicities; grand products, lookup sums, the random polynomial; quotient pieces; openings."""
EVALUATION_NAMES: Final = (
    "a_0", "a_1", "a_2", "a_2_prev",
    "f_0", "f_1", "f_2", "f_3", "f_4", "f_5", "f_6", "f_7",
    "random",
    "sigma_0", "sigma_1", "sigma_2", "sigma_3", "sigma_4",
    "z_0", "z_0_next", "z_0_last", "z_1", "z_1_next",
    "phi_0", "phi_0_next", "m_0", "phi_1", "phi_1_next", "m_1",
)  # fmt: skip
"""Evaluations in proof order, at x; `_next` at ωx, `_prev` at ω⁻¹x, `_last` at ω⁻⁶x."""
CHALLENGE_NAMES: Final = ("theta", "beta", "gamma", "y", "x", "zeta", "nu", "mu")
OPENING_POINTS: Final = 2
PROOF_LENGTH: Final = 64 * len(POINT_NAMES) + 32 * len(EVALUATION_NAMES)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose form was checked."""

    points: dict[str, Affine]
    evaluations: dict[str, int]


@dataclass(frozen=True, slots=True)
class Challenges:
    """What the verifier draws, each in [0, R). `theta` would compress lookups of several columns; this family has none, so nothing uses it."""

    theta: int
    beta: int
    gamma: int
    y: int
    x: int
    zeta: int
    nu: int
    mu: int


def parse_proof(data: bytes) -> Proof:
    """Raises RejectedProof for a wrong length, a point off the curve or at infinity, or a scalar that is not canonical."""
    if len(data) != PROOF_LENGTH:
        raise RejectedProof("form", f"A proof has {PROOF_LENGTH} bytes, this has {len(data)}.")
    words = [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]
    opening = len(words) - 2 * OPENING_POINTS
    scalars = opening - len(EVALUATION_NAMES)
    coordinates = words[:scalars] + words[opening:]
    points = dict(zip(POINT_NAMES, zip(coordinates[::2], coordinates[1::2], strict=True), strict=True))
    for name, (x, y) in points.items():
        # (0, 0), which the curve's precompiles take for infinity, is not on the curve.
        if not on_curve(x, y):
            raise RejectedProof("point", f"The proof's point {name} is not on the curve.")
    evaluations = dict(zip(EVALUATION_NAMES, words[scalars:opening], strict=True))
    for name, value in evaluations.items():
        if value >= R:
            raise RejectedProof("scalar", f"The proof's evaluation {name} is not canonical.")
    return Proof(points, evaluations)


def check_instances(key: Key, instances: Sequence[int]) -> None:
    """Raises RejectedProof for a wrong number of instances, or one that is not a canonical scalar."""
    if len(instances) != key.instance_count:
        raise RejectedProof("form", f"The circuit has {key.instance_count} instances, not {len(instances)}.")
    if any(not 0 <= value < R for value in instances):
        raise RejectedProof("scalar", "An instance is not a canonical scalar.")


class Transcript:
    """The running hash."""

    def __init__(self, digest: int) -> None:
        self._buffer = _word(digest)
        self._fresh = True

    def absorb_scalar(self, value: int) -> None:
        """A scalar, as 32 big-endian bytes."""
        self._buffer += _word(value)
        self._fresh = True

    def absorb_point(self, point: Affine) -> None:
        """x ‖ y."""
        self._buffer += _word(point[0]) + _word(point[1])
        self._fresh = True

    def squeeze(self) -> int:
        """The next challenge."""
        self._buffer = keccak256(self._buffer if self._fresh else self._buffer + b"\x01")
        self._fresh = False
        return int.from_bytes(self._buffer, "big") % R


def draw(key: Key, proof: Proof, instances: Sequence[int]) -> Challenges:
    """All challenges, in the order of the protocol."""
    transcript = Transcript(key.digest)
    for value in instances:
        transcript.absorb_scalar(value)

    def after(*names: str) -> int:
        for name in names:
            transcript.absorb_point(proof.points[name])
        return transcript.squeeze()

    theta = after("a_0", "a_1", "a_2")
    beta = after("m_0", "m_1")
    gamma = after()
    y = after("z_0", "z_1", "phi_0", "phi_1", "random")
    x = after("h_0", "h_1", "h_2", "h_3")
    for value in proof.evaluations.values():
        transcript.absorb_scalar(value)
    zeta = after()
    nu = after()
    mu = after("w")
    return Challenges(theta, beta, gamma, y, x, zeta, nu, mu)


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
