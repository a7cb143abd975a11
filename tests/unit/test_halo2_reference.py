"""The reference verifier on stored proofs: every value of the trace, what a key may look like, and what is refused at which step."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from circuits.halo2 import Key, KeyFormatError, RejectedProof, accepts, examine, verify
from circuits.halo2.constraints import gates, lagrange
from circuits.halo2.curve import P, R, root_of_unity
from circuits.halo2.key import KEY_LENGTH
from circuits.halo2.packed import pack, unpack
from circuits.halo2.prepared import hint, prepare
from circuits.halo2.transcript import EVALUATION_NAMES, PROOF_LENGTH, Transcript
from oracle.protocol.hashing import keccak256

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "halo2.json").read_text())[
    "vectors"
]
TINY = VECTORS[0]


def _parts(vector: dict[str, Any]) -> tuple[Key, bytes, tuple[int, ...]]:
    key = Key.from_bytes(bytes.fromhex(vector["key"]))
    return key, bytes.fromhex(vector["proof"]), tuple(int(word, 16) for word in vector["instances"])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["model"])
def test_verify__stored_proof__every_value_as_stored(vector: dict[str, Any]) -> None:
    key, proof, instances = _parts(vector)
    trace = verify(key, proof, instances)
    assert key.hash().hex() == vector["key_hash"]
    assert {name: f"{value:064x}" for name, value in trace.scalars.items()} == vector["scalars"]
    points = {name: "".join(f"{c:064x}" for c in point or (0, 0)) for name, point in trace.points.items()}
    assert points == vector["points"]
    assert all(0 <= value < R for value in trace.scalars.values())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["model"])
def test_prepared__stored_proof__what_programs_are_given(vector: dict[str, Any]) -> None:
    key, proof, instances = _parts(vector)
    content = prepare(key)
    assert keccak256(content).hex() == vector["prepared_hash"]
    assert len(content) == 1008 + 72 * (20 + 2 * len(instances))
    assert hint(key, proof, instances).hex() == vector["hint"]
    assert pack(proof).hex() == vector["packed"]
    assert unpack(pack(proof)) == proof


def test_hint__stored_proof__one_over_all_that_is_divided_by() -> None:
    key, proof, instances = _parts(TINY)
    c = examine(key, proof, instances).scalars
    rows = [c["x"] - pow(key.omega, row, R) for row in (-6, -5, -4, -3, -2, -1, 0, 0, 1, 2)]
    points = [c["mu"] - c[f"point.{name}"] for name in ("last", "prev", "next")]
    product = c["x"] * (c["x_n"] - 1) * math.prod(rows) * math.prod(points)
    assert int(TINY["hint"], 16) * product % R == 2**261 % R


def test_hint__spoilt_proof__refused() -> None:
    key, proof, instances = _parts(TINY)
    for bad in (proof[:-1], bytes(64) + proof[64:]):
        with pytest.raises(RejectedProof):
            hint(key, bad, instances)
    with pytest.raises(RejectedProof):
        hint(key, proof, instances[:-1])


def test_verify__every_constraint_of_an_honest_proof__is_not_zero_at_x() -> None:
    # The quotient identity holds as a whole; a constraint that were zero at a random x would be zero everywhere, and check nothing.
    key, proof, instances = _parts(TINY)
    named = examine(key, proof, instances).scalars
    zero = {name.removeprefix("constraint.") for name, value in named.items() if value == 0}
    # This model uses neither products nor sums: the last selector's column is zero, which its commitment says too.
    assert key.fixed[7] is None
    assert zero == {"empty_0", "empty_1", "gate_product_start", "gate_sum_start", "gate_sum"}


@pytest.mark.parametrize(
    ("step", "change"),
    [
        ("form", lambda proof: proof[:-1]),
        ("form", lambda proof: proof + bytes(32)),
        ("form", lambda proof: b""),
        ("point", lambda proof: bytes(64) + proof[64:]),
        ("point", lambda proof: P.to_bytes(32, "big") + proof[32:]),
        ("point", lambda proof: proof[:-1] + bytes([proof[-1] ^ 1])),
        ("scalar", lambda proof: proof[:896] + R.to_bytes(32, "big") + proof[928:]),
        ("pairing", lambda proof: proof[:896] + bytes(32) + proof[928:]),
    ],
)
def test_verify__spoilt_proof__refused_at_its_step(step: str, change: Callable[[bytes], bytes]) -> None:
    key, proof, instances = _parts(TINY)
    with pytest.raises(RejectedProof) as refused:
        verify(key, change(proof), instances)
    assert refused.value.step == step
    assert not accepts(key, change(proof), instances)


@pytest.mark.parametrize("instances", [(), (1, 2), (1, 2, 3, 4), (1, 2, R), (1, 2, -1)])
def test_examine__wrong_or_uncanonical_instances__refused(instances: tuple[int, ...]) -> None:
    key, proof, _ = _parts(TINY)
    with pytest.raises(RejectedProof):
        examine(key, proof, instances)


@pytest.mark.parametrize("field", ["digest", "fixed", "permutation", "neg_s_g2", "k"])
def test_verify__any_part_of_the_key_changed__refused(field: str) -> None:
    key, proof, instances = _parts(TINY)
    other, _, _ = _parts(VECTORS[1])
    assert not accepts(replace(key, **{field: getattr(other, field)}), proof, instances)


def test_key__bytes__round_trip() -> None:
    for vector in VECTORS:
        key, _, _ = _parts(vector)
        assert key.to_bytes().hex() == vector["key"]
        assert len(key.to_bytes()) == KEY_LENGTH == 1008


@pytest.mark.parametrize(
    ("at", "patch"),
    [
        (0, b"X"),
        (8, (3).to_bytes(4, "little")),
        (8, (25).to_bytes(4, "little")),
        (12, bytes(4)),
        (12, (507).to_bytes(4, "little")),
        (16, R.to_bytes(32, "big")),
        (48, P.to_bytes(32, "big")),
        (175, b"\xaa"),
        (176, P.to_bytes(32, "big")),
        (239, b"\xaa\xbb"),
        (1008 - 64, bytes(64)),
        (1008, b"\0"),
    ],
)
def test_key__bytes_of_no_key__refused(at: int, patch: bytes) -> None:
    data = bytes.fromhex(TINY["key"])
    with pytest.raises(KeyFormatError):
        Key.from_bytes(data[:at] + patch + data[at + len(patch) :])


def test_key__vka_of_another_length_or_program__refused() -> None:
    with pytest.raises(KeyFormatError):
        Key.from_vka(b"")
    with pytest.raises(KeyFormatError, match="equations"):
        Key.from_vka((126).to_bytes(8, "little") + bytes(32 * 126))


def test_transcript__two_challenges_in_a_row__second_hashes_a_one() -> None:
    transcript = Transcript(5)
    transcript.absorb_scalar(6)
    first = keccak256((5).to_bytes(32, "big"), (6).to_bytes(32, "big"))
    assert transcript.squeeze() == int.from_bytes(first, "big") % R
    second = keccak256(first, b"\1")
    assert transcript.squeeze() == int.from_bytes(second, "big") % R
    transcript.absorb_point((1, 2))
    third = keccak256(second, (1).to_bytes(32, "big"), (2).to_bytes(32, "big"))
    assert transcript.squeeze() == int.from_bytes(third, "big") % R


def test_lagrange__point_of_the_domain__refused() -> None:
    key, _, instances = _parts(TINY)
    for x in (1, key.omega, pow(key.omega, 300, R)):
        with pytest.raises(RejectedProof, match="domain"):
            lagrange(key, x, instances)


def test_lagrange__instances_as_values__interpolated() -> None:
    # The instance polynomial through (ωⁱ, vᵢ) and zero elsewhere, by the inverse transform written out.
    key, _, _ = _parts(TINY)
    values, x, n, w = (3, R - 4, 5), 123456789, key.rows, root_of_unity(key.k)
    coefficients = [sum(v * pow(w, -i * j, R) for i, v in enumerate(values)) * pow(n, -1, R) % R for j in range(n)]
    assert lagrange(key, x, values).instance == sum(c * pow(x, j, R) for j, c in enumerate(coefficients)) % R


@pytest.mark.parametrize(
    ("gate", "selector", "value", "result"),
    [
        ("add", "f_5", 1, 3 + 5),
        ("multiply", "f_5", 3, 3 * 5),
        ("subtract", "f_5", 2, 3 - 5),
        ("dot_start", "f_6", 1, 3 * 5),
        ("dot", "f_6", 2, 7 + 3 * 5),
        ("product", "f_6", 3, 7 * 5),
        ("product_start", "f_7", 1, 5),
        ("sum", "f_7", 2, 7 + 5),
        ("sum_start", "f_7", 3, 5),
    ],
)
def test_gates__selected__only_the_right_result_is_zero(gate: str, selector: str, value: int, result: int) -> None:
    row = dict.fromkeys(EVALUATION_NAMES, 0) | {"a_0": 3, "a_1": 5, "a_2": result % R, "a_2_prev": 7, selector: value}
    assert all(found == 0 for _, found in gates(row))
    wrong = dict(gates({**row, "a_2": (result + 1) % R}))
    assert [name for name, found in wrong.items() if found] == [f"gate_{gate}"]


def test_layout__lengths__are_those_of_the_family() -> None:
    assert PROOF_LENGTH == 1952
    assert len(EVALUATION_NAMES) == 29
