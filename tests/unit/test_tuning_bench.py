"""The benchmark's network is the same on every run, and its baseline is judged in its own favour."""

from pathlib import Path

import pytest

from circuits.catalogue import ensure_model
from circuits.errors import ModelError
from circuits.tuning.doctor import examine
from oracle.app import model_bench
from oracle.app.model_bench import BOUNDS, write_sigmoid_network


def test_sigmoid_network__written_twice__same_bytes_and_a_sigmoid_to_take_off(tmp_path: Path) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written.append(write_sigmoid_network(tmp_path / name))
    assert written[0][0].read_bytes() == written[1][0].read_bytes()
    examined = examine(*written[0])
    assert examined.prepared.off_circuit is not None
    assert examined.prepared.off_circuit.function.value == "sigmoid"
    assert examined.subject.spread > 10  # a trained network is sure of itself, which is what makes lookups large


def test_default_work__known_calibration__two_columns_at_2_to_15() -> None:
    model = ensure_model("tiny")
    arguments = {"logrows": 15, "num_inner_cols": 2, "lookup_range": [0, 0]}
    work = model_bench._default_work({"run_args": arguments, "num_rows": 258, "lookups": 0}, model)
    assert work == 3072 << 15
    with pytest.raises(ModelError, match="told"):
        model_bench._default_work({"run_args": 3, "num_rows": 258, "lookups": 0}, model)


def test_bounds__every_figure__as_the_issue_asks() -> None:
    assert sorted((bound.goal, bound.better) for bound in BOUNDS.values()) == [
        (1, "higher"),
        (1.1, "lower"),
        (20, "higher"),
    ]
