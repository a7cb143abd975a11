"""Models and settings that must not become circuits, and build steps that hang or fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from circuits.cache import quiet
from circuits.compile import CircuitSettings, Srs, compile_model, local_srs, run_step
from circuits.errors import ModelError
from circuits.mlp import Layer, export, on_grid
from circuits.models.assemble import Recipe, Trained, assemble
from circuits.models.tiny.build import RECIPE, train


@pytest.fixture
def srs() -> Srs:
    return local_srs(RECIPE.circuit.logrows)


def test_compile_model__too_large_for_one_column__refused(tmp_path: Path, srs: Srs) -> None:
    draw = np.random.default_rng(1)
    wide = Layer(draw.normal(size=(2, 12)), draw.normal(size=12))
    export(
        [on_grid(wide, 12), on_grid(Layer(draw.normal(size=(12, 1)), np.zeros(1)), 12)], tmp_path / "wide.onnx", "wide"
    )
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ModelError, match="larger k"):
        compile_model(tmp_path / "wide.onnx", out, RECIPE.circuit, srs, sample=(0.5, 0.25))


def test_compile_model__sigmoid_inside__refused(tmp_path: Path, srs: Srs) -> None:
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2])
    out = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph([helper.make_node("Sigmoid", ["input"], ["output"])], "sigmoid", [entry], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(ModelError):
        compile_model(tmp_path / "model.onnx", tmp_path, RECIPE.circuit, srs, sample=(0.5, 0.25))


def test_compile_model__not_onnx__refused_with_a_sentence(tmp_path: Path, srs: Srs) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"settings.*failed"):
        compile_model(tmp_path / "model.onnx", tmp_path, RECIPE.circuit, srs, sample=(0.5, 0.25))


def test_compile_model__srs_of_another_k__refused(tmp_path: Path, srs: Srs) -> None:
    with pytest.raises(ModelError, match="k=9"):
        compile_model(tmp_path / "m.onnx", tmp_path, CircuitSettings(scale=12, logrows=10), srs, sample=(0.5, 0.25))


def test_run_step__longer_than_its_deadline__ended(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="more than 1 s"):
        run_step("srs", tmp_path, 1.0, logrows=20)
    assert not (tmp_path / "kzg.srs").exists()


@pytest.mark.parametrize(
    ("recipe", "complaint"),
    [
        (replace(RECIPE, input_range=2.0**17), "narrow"),
        (replace(RECIPE, input_range=8192.0), "24 bits"),
        (replace(RECIPE, circuit=replace(RECIPE.circuit, decomp_legs=2)), "leg"),
    ],
)
def test_assemble__range_beyond_the_circuit__refused(tmp_path: Path, srs: Srs, recipe: Recipe, complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        assemble(tmp_path, recipe, train(), srs, quiet)


def test_assemble__accuracy_below_the_goal__not_published(tmp_path: Path, srs: Srs) -> None:
    honest = train()
    wrong = Trained(honest.layers, honest.features, tuple(replace(e, label=1 - e.label) for e in honest.heldout))
    with pytest.raises(ModelError, match="misses its goals"):
        assemble(tmp_path, RECIPE, wrong, srs, quiet)
    assert not (tmp_path / "card.toml").exists()
