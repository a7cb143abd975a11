"""Every bad model and sample that is known ends in one clear sentence, from the doctor as from compile, before any long work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from circuits.errors import ModelError
from circuits.tuning.doctor import diagnose, examine
from circuits.tuning.inspect import facts_of, read_model, with_shape
from circuits.tuning.sample import read_sample
from circuits.tuning.trials import reason_of
from tests.support.tuning_models import draw, graph_of, mlp

ROWS = draw(1).normal(size=(12, 4)).astype(np.float32)


@pytest.fixture
def good(tmp_path: Path) -> tuple[Path, Path]:
    model, sample = tmp_path / "model.onnx", tmp_path / "sample.npz"
    onnx.save(mlp([4, 3, 1], last="Sigmoid"), str(model))
    np.savez(sample, input=ROWS)
    return model, sample


def told(model: Path, sample: Path, root: Path) -> str:
    """The one problem that the doctor tells of, which compile must refuse alike."""
    verdict = diagnose(model, sample, root)
    assert not verdict.provable
    (problem,) = verdict.problems
    with pytest.raises(ModelError) as refusal:
        examine(model, sample)
    assert str(refusal.value) == problem
    return problem


def _with(value: float) -> np.ndarray:
    rows = ROWS.copy()
    rows[3, 2] = value
    return rows


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"input": _with(np.nan)}, r"holds nan at input 2 of row 3 \(1 such value\)"),
        ({"input": _with(np.inf)}, "holds inf at input 2 of row 3"),
        ({"input": _with(-np.inf)}, "holds -inf at input 2 of row 3"),
        ({"input": ROWS[:0]}, r"is empty \(its shape is \(0, 4\)\)"),
        ({"features": ROWS, "extra": ROWS}, r"holds “extra”, “features”, but the model's input is called “input”"),
        ({"wrong": ROWS}, r"holds “wrong”, but the model's input is called “input”; save the rows under that name"),
        (
            {"input": ROWS[:, :3]},
            r"Each row of the sample has the shape 3, but the model's input input: float \[1, 4\] takes 4",
        ),
        ({"input": ROWS[0]}, r"has the shape \(4,\); its first dimension counts rows"),
        ({"input": ROWS[:, :, None]}, "has the shape 4 × 1"),
        ({"input": ROWS[:1]}, "has one row; accuracy is measured on rows that the tuning does not see"),
        ({"input": np.full((3, 4), "a")}, "values of type <U1; give numbers"),
        ({"input": ROWS, "labels": np.zeros(5, int)}, "give one whole number for each of the 12 rows"),
    ],
)
def test_sample__bad_rows__one_sentence(
    good: tuple[Path, Path], tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str
) -> None:
    np.savez(good[1], **arrays)
    with pytest.raises(ModelError, match=sentence):
        examine(*good)
    assert not diagnose(*good, tmp_path).provable


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00", b"a,b\n1,2\n"])
def test_sample__not_a_numpy_file__one_sentence(good: tuple[Path, Path], tmp_path: Path, content: bytes) -> None:
    good[1].write_bytes(content)
    assert "not a numpy file of plain numbers" in told(*good, tmp_path)


def test_sample__truncated__one_sentence(good: tuple[Path, Path], tmp_path: Path) -> None:
    whole = good[1].read_bytes()
    good[1].write_bytes(whole[: len(whole) // 2])
    assert "not a numpy file of plain numbers" in told(*good, tmp_path)


def test_sample__with_pickled_objects__never_unpickled(good: tuple[Path, Path], tmp_path: Path) -> None:
    np.savez(good[1], input=np.array([[{"a": 1}]], dtype=object))
    assert "not a numpy file of plain numbers" in told(*good, tmp_path)


def test_sample__not_there__one_sentence(good: tuple[Path, Path], tmp_path: Path) -> None:
    assert "No such file" in told(good[0], tmp_path / "nowhere.npz", tmp_path)


def test_sample__npy_or_a_usual_name__taken(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    np.savez(tmp_path / "x.npz", X=ROWS, y=np.zeros(12, int))
    assert read_sample(tmp_path / "rows.npy", "input").rows == pytest.approx(ROWS)
    assert read_sample(tmp_path / "x.npz", "input").labels is not None


def test_split__same_rows__same_heldout_and_none_shared(good: tuple[Path, Path]) -> None:
    sample = read_sample(good[1], "input")
    calibration, heldout = sample.split()
    again = read_sample(good[1], "input").split()
    assert (again[0].tolist(), again[1].tolist()) == (calibration.tolist(), heldout.tolist())
    assert sorted([*calibration, *heldout]) == list(range(12))
    assert len(heldout) == 4


def test_model__truncated_at_any_length__one_sentence(good: tuple[Path, Path], tmp_path: Path) -> None:
    whole = good[0].read_bytes()
    for length in range(0, len(whole) - 1, 7):
        good[0].write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"not an ONNX file|not valid ONNX|exactly one input"):
            examine(*good)


@pytest.mark.parametrize("content", [b"not a model", b"\x00" * 64, b"{}", b"\x93NUMPY"])
def test_model__not_onnx__one_sentence(good: tuple[Path, Path], tmp_path: Path, content: bytes) -> None:
    good[0].write_bytes(content)
    assert "not an ONNX file, or it was cut short" in told(*good, tmp_path)


def test_model__not_there__one_sentence(good: tuple[Path, Path], tmp_path: Path) -> None:
    assert "No such file" in told(tmp_path / "nowhere.onnx", good[1], tmp_path)


def _unsupported() -> onnx.ModelProto:
    nodes = [helper.make_node("Relu", ["input"], ["a"]), helper.make_node("Mod", ["input", "a"], ["y"], fmod=1)]
    return graph_of(nodes, [1, 4], [1, 4])


def _two_inputs() -> onnx.ModelProto:
    model = graph_of([helper.make_node("Add", ["input", "other"], ["y"])], [1, 4], [1, 4])
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 4]))
    return model


def _two_outputs() -> onnx.ModelProto:
    nodes = [helper.make_node("Neg", ["input"], ["n"]), helper.make_node("Relu", ["input"], ["y"])]
    model = graph_of(nodes, [1, 4], [1, 4])
    model.graph.output.append(helper.make_tensor_value_info("n", TensorProto.FLOAT, [1, 4]))
    return model


def _integers() -> onnx.ModelProto:
    model = graph_of([helper.make_node("Neg", ["input"], ["y"])], [1, 4], [1, 4])
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.INT64
    return model


def _batch_of_two() -> onnx.ModelProto:
    return graph_of([helper.make_node("Relu", ["input"], ["y"])], [2, 4], [2, 4])


def _foreign() -> onnx.ModelProto:
    model = graph_of([helper.make_node("Secret", ["input"], ["y"], domain="com.example")], [1, 4], [1, 4])
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (_unsupported, "The operator Mod cannot be proven: compute the remainder before the model."),
        (_two_inputs, "exactly one input tensor; this one has “input”, “other”"),
        (_two_outputs, r"has 2 outputs (y, n); a circuit proves one"),
        (_integers, "not of floating point"),
        (_batch_of_two, "takes 2 rows at once"),
        (_foreign, "com.example.Secret belongs to no standard ONNX domain"),
    ],
)
def test_model__cannot_be_proven__says_what_to_do(
    good: tuple[Path, Path], tmp_path: Path, build: Callable[[], onnx.ModelProto], sentence: str
) -> None:
    onnx.save(build(), str(good[0]))
    assert sentence in told(*good, tmp_path)


def test_model__weights_in_a_file_that_is_not_there__one_sentence(good: tuple[Path, Path], tmp_path: Path) -> None:
    model = mlp([4, 1])
    onnx.save(model, str(good[0]), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert "weights.bin" in told(*good, tmp_path)


def test_with_shape__dynamic_dimensions__fixed_by_the_sample(good: tuple[Path, Path], tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    nodes = [helper.make_node("MatMul", ["input", "w"], ["h"]), helper.make_node("ReduceSum", ["h"], ["y"], keepdims=0)]
    onnx.save(graph_of(nodes, ["batch", "length", 3], None, [weights]), str(good[0]))
    np.savez(good[1], input=draw(2).normal(size=(5, 7, 3)))
    shaped = with_shape(read_model(good[0]), (7, 3))
    assert facts_of(shaped).inputs[0].shape == (1, 7, 3)
    assert facts_of(read_model(good[0])).inputs[0].dynamic == ((1, "length"),)
    assert examine(*good).subject.low.shape == (21,)


def test_examine__float64__becomes_float32(good: tuple[Path, Path]) -> None:
    weights = numpy_helper.from_array(draw(1).normal(size=(4, 2)), "w")
    model = graph_of(
        [helper.make_node("MatMul", ["input", "w"], ["y"])], ["N", 4], ["N", 2], [weights], TensorProto.DOUBLE
    )
    onnx.save(model, str(good[0]))
    assert "turned float64 and half precision into float32" in examine(*good).prepared.steps
    assert facts_of(examine(*good).prepared.model).inputs[0].dtype == "float"


def test_examine__scikit_learn_pipeline__becomes_plain_tensors(good: tuple[Path, Path]) -> None:
    scaler = helper.make_node("Scaler", ["input"], ["x"], domain="ai.onnx.ml", offset=[0.5] * 4, scale=[2.0] * 4)
    linear = helper.make_node(
        "LinearRegressor", ["x"], ["y"], domain="ai.onnx.ml", coefficients=[1.0, -2.0, 0.5, 3.0], intercepts=[0.25]
    )
    model = graph_of([scaler, linear], ["N", 4], ["N", 1])
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    onnx.save(model, str(good[0]))
    prepared = examine(*good).prepared
    assert {node.domain for node in prepared.model.graph.node} <= {""}
    assert prepared.largest_difference < 1e-5


def test_examine__model_that_gives_infinities__refused(good: tuple[Path, Path], tmp_path: Path) -> None:
    onnx.save(graph_of([helper.make_node("Log", ["input"], ["y"])], [1, 4], [1, 4]), str(good[0]))
    assert "not finite" in told(*good, tmp_path)


def test_diagnose__good_model__provable_with_an_estimate_and_no_key_made(
    good: tuple[Path, Path], tmp_path: Path
) -> None:
    verdict = diagnose(*good, tmp_path)
    assert verdict.provable, verdict.problems
    assert verdict.estimate is not None
    assert verdict.estimate.shape.k <= 10
    assert verdict.estimate.cost.gas > 400_000
    assert verdict.off_circuit == "y[i] = 1 / (1 + exp(-x[i]))"
    assert not list(tmp_path.rglob("*.key"))


def test_diagnose__outlier_and_unlike_features__remarked(good: tuple[Path, Path], tmp_path: Path) -> None:
    rows = draw(8).normal(size=(60, 4))
    rows[:, 1] *= 1e-4
    rows[17, 0] = 5000.0
    np.savez(good[1], input=rows)
    remarks = " ".join(diagnose(*good, tmp_path).remarks)
    assert "Input 0 is 5000 in row 17" in remarks
    assert "Standardise the features" in remarks


def test_diagnose__inputs_beyond_fixed_point__refused_with_advice(good: tuple[Path, Path], tmp_path: Path) -> None:
    np.savez(good[1], input=ROWS * 1e6)
    (problem,) = diagnose(*good, tmp_path).problems
    assert "too large for fixed point" in problem


def test_diagnose__tanh_inside__advises_another_activation(good: tuple[Path, Path], tmp_path: Path) -> None:
    onnx.save(mlp([4, 3, 1], act="Tanh"), str(good[0]))
    verdict = diagnose(*good, tmp_path)
    assert verdict.provable
    assert "Tanh (1×) inside the network needs lookup tables" in verdict.cheaper[0]


def test_diagnose__operator_that_only_ezkl_can_refuse__named_in_one_line(
    good: tuple[Path, Path], tmp_path: Path
) -> None:
    onnx.save(graph_of([helper.make_node("Det", ["input"], ["y"])], [1, 2, 2], [1]), str(good[0]))
    np.savez(good[1], input=draw(1).normal(size=(10, 2, 2)))
    (problem,) = diagnose(*good, tmp_path).problems
    assert problem == (
        "ezkl makes no circuit of this model: ezkl does not know the operator Det; write it with others, or leave it to the consumer."
    )


@pytest.mark.parametrize(
    ("told_by_ezkl", "reason"),
    [
        (
            "The step failed: Traceback\n  File x\nRuntimeError: [halo2] General synthesis error\n",
            "[halo2] General synthesis error",
        ),
        ("memory allocation of 4096 bytes failed", "memory allocation of 4096 bytes failed"),
        ("a\npyo3_runtime.PanicException: index out of bounds", "index out of bounds"),
        ("", "no reason was given"),
    ],
)
def test_reason_of__what_a_child_process_printed__its_last_line(told_by_ezkl: str, reason: str) -> None:
    assert reason_of(told_by_ezkl) == reason
