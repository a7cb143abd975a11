"""The whole verification, and its trace: every challenge, evaluation and point by name, for other implementations to compare with."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from circuits.halo2.constraints import constraints, lagrange, quotient
from circuits.halo2.curve import Affine, Point
from circuits.halo2.errors import RejectedProof
from circuits.halo2.key import Key
from circuits.halo2.opening import claim, left_side, quotient_commitment
from circuits.halo2.pairing import G2, product_is_one
from circuits.halo2.transcript import check_instances, draw, parse_proof


@dataclass(frozen=True, slots=True)
class Trace:
    """What the verifier computed on its way. Scalars are canonical integers below R."""

    scalars: dict[str, int]
    """theta beta gamma y x zeta nu mu; x_n l_0 l_last l_blind instance; constraint.<name>; quotient; point.<rotation>; set_scalar.<i>;
    set_value.<i>; value; w_scalar."""
    points: dict[str, Point]
    """quotient (the commitment [h]); pairing_left (paired with G2); pairing_right (W′, paired with −s·G2)."""
    accepted: bool
    """The pairing's verdict: whether the proof holds."""


def examine(key: Key, proof: bytes, instances: Sequence[int]) -> Trace:
    """Run every step, whatever the verdict. Raises RejectedProof only for what cannot be computed with: a bad form, point or scalar."""
    parsed = parse_proof(proof)
    check_instances(key, instances)
    challenges = draw(key, parsed, instances)
    domain = lagrange(key, challenges.x, instances)
    values = constraints(parsed.evaluations, challenges, domain)
    h = quotient(values, challenges.y, domain.x_n)
    made = claim(key, parsed.evaluations, h, challenges)
    h_point = quotient_commitment(parsed, domain.x_n)
    left, right = left_side(key, parsed, h_point, made, challenges), parsed.points["w_prime"]
    scalars = {**asdict(challenges), **asdict(domain), "quotient": h, "value": made.value, "w_scalar": made.w_scalar}
    scalars |= {f"constraint.{name}": value for name, value in values}
    scalars |= {f"point.{name}": value for name, value in made.points.items()}
    scalars |= {f"set_scalar.{i}": value for i, value in enumerate(made.set_scalars)}
    scalars |= {f"set_value.{i}": value for i, value in enumerate(made.set_values)}
    return Trace(
        scalars=scalars,
        points={"quotient": h_point, "pairing_left": left, "pairing_right": right},
        accepted=_opens(key, left, right),
    )


def verify(key: Key, proof: bytes, instances: Sequence[int]) -> Trace:
    """The trace of a proof that holds. Raises RejectedProof for any other."""
    trace = examine(key, proof, instances)
    if not trace.accepted:
        raise RejectedProof("pairing", "The proof does not hold: its evaluations do not belong to its commitments.")
    return trace


def accepts(key: Key, proof: bytes, instances: Sequence[int]) -> bool:
    """Whether the proof holds."""
    try:
        return examine(key, proof, instances).accepted
    except RejectedProof:
        return False


def _opens(key: Key, left: Point, right: Affine) -> bool:
    return product_is_one([(left, G2), (right, key.neg_s_g2)])
