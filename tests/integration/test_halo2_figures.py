"""The benchmark's phases: the verifier's own stages in Solana's runtime, all of them for an honest proof, none invented for another."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from circuits.halo2 import Key
from oracle.app.figures import BOUNDS, figure
from oracle.app.verifier_figures import PHASES, STAGES, stage_units
from oracle.errors import SibylError
from tests.support import halo2_program
from tests.support.halo2_program import Probe

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "halo2.json").read_text())[
    "vectors"
]


def parts(name: str) -> tuple[Key, bytes, tuple[int, ...]]:
    vector = next(one for one in VECTORS if one["model"] == name)
    instances = tuple(int(word, 16) for word in vector["instances"])
    return Key.from_bytes(bytes.fromhex(vector["key"])), bytes.fromhex(vector["proof"]), instances


def test_phases__all__take_each_stage_once_and_have_a_bound() -> None:
    assert sorted(chain.from_iterable(PHASES.values())) == sorted(STAGES) == sorted(("unpack", *halo2_program.STAGES))
    assert all(f"Solana verifier, {name}" in BOUNDS for name in PHASES)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["model"])
def test_stage_units__honest_proof__those_that_the_stages_take(vector: dict[str, Any]) -> None:
    key, proof, instances = parts(vector["model"])
    units = stage_units(key, proof, instances)
    measured = Probe().verify(key, proof, instances).units
    # The same code with the same bytes; only where the unpacked proof stands differs.
    assert {name: units[name] for name in halo2_program.STAGES} == pytest.approx(measured, rel=0.01)
    assert figure("Solana verifier, whole proof", sum(units.values()), "test").met


def test_stage_units__proof_that_does_not_hold__says_where_it_stopped() -> None:
    key, proof, instances = parts("tiny")
    with pytest.raises(SibylError, match=r"stopped after 11 of 12 stages"):
        stage_units(key, proof, (*instances[:-1], instances[-1] + 1))
