"""Linear models and what exporters put around them, rewritten into plain tensors: the same numbers from onnxruntime, and one output."""

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from circuits.rewrites import CLASSICAL, linear_to_tensors, normalizer_to_tensors, scaler_to_tensors, scores_only
from circuits.tuning.floats import FloatModel
from circuits.tuning.rewrite import rewrite_all
from circuits.tuning.rewritten import Function, Rewritten

Floats = npt.NDArray[np.float64]
ML = "ai.onnx.ml"
ROWS = np.random.default_rng(3).normal(size=(20, 4))


def model(nodes: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto], features: int = 4) -> onnx.ModelProto:
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, features])
    graph = helper.make_graph(nodes, "linear", [entry], outputs)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def value(name: str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None)


def mapping(name: str) -> onnx.ValueInfoProto:
    found = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return onnx.ValueInfoProto(name=name, type=helper.make_sequence_type_proto(found))


def classifier(
    weights: Floats, bias: Floats, post: str, classes: int, entry: str = "input", output: str = "scores"
) -> onnx.NodeProto:
    return helper.make_node(
        "LinearClassifier",
        [entry],
        ["label", output],
        domain=ML,
        coefficients=weights.ravel().tolist(),
        intercepts=bias.tolist(),
        post_transform=post,
        classlabels_ints=list(range(classes)),
    )


def gap(before: onnx.ModelProto, after: Rewritten, rows: Floats, output: str = "scores") -> float:
    was, now = FloatModel(before), FloatModel(after.model)
    function = after.off_circuit.apply if after.off_circuit else np.asarray
    return max(
        float(np.abs(was.outputs(row)[output] - function(next(iter(now.outputs(row).values())))).max()) for row in rows
    )


def plain(made: onnx.ModelProto) -> bool:
    return all(node.domain in ("", "ai.onnx") for node in made.graph.node) and len(made.graph.output) == 1


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("classes", [2, 3])
def test_linear_classifier__scores_of_each_class__as_onnxruntime(post: str, classes: int) -> None:
    draw = np.random.default_rng(classes)
    node = classifier(draw.normal(size=(classes, 4)), draw.normal(size=classes), post, classes)
    given = model([node], [value("label", TensorProto.INT64), value("scores")])
    made = linear_to_tensors(given)
    assert made is not None
    assert plain(made.model)
    assert gap(given, made, ROWS) < 1e-5
    onnx.checker.check_model(made.model, full_check=True)


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC"])
def test_linear_classifier__one_score_for_two_classes__as_onnxruntime(post: str) -> None:
    node = classifier(np.array([[1.0, -2.0, 0.5, 0.25]]), np.array([0.125]), post, 2)
    given = model([node], [value("label", TensorProto.INT64), value("scores")])
    made = linear_to_tensors(given)
    assert made is not None
    assert plain(made.model)
    assert (made.off_circuit is not None) == (post == "LOGISTIC")
    assert gap(given, made, ROWS) < 1e-5


def test_linear_classifier__probabilities_used_further__stay_in_the_circuit() -> None:
    node = classifier(np.array([[1.0, -2.0, 0.5, 0.25]]), np.array([0.125]), "LOGISTIC", 2)
    given = model([node, helper.make_node("Neg", ["scores"], ["minus"])], [value("minus")])
    made = linear_to_tensors(given)
    assert made is not None
    assert made.off_circuit is None
    assert gap(given, made, ROWS, "minus") < 1e-5


@pytest.mark.parametrize(("post", "classes"), [("PROBIT", 2), ("SOFTMAX_ZERO", 3), ("SOFTMAX", 2)])
def test_linear_classifier__unsupported__left_alone(post: str, classes: int) -> None:
    rows = 1 if post == "SOFTMAX" else classes
    node = classifier(np.ones((rows, 4)), np.ones(rows), post, classes)
    assert linear_to_tensors(model([node], [value("label", TensorProto.INT64), value("scores")])) is None


@pytest.mark.parametrize("targets", [1, 3])
def test_linear_regressor__one_or_several__as_onnxruntime(targets: int) -> None:
    draw = np.random.default_rng(targets)
    coefficients, bias = draw.normal(size=4 * targets).tolist(), draw.normal(size=targets).tolist()
    node = helper.make_node(
        "LinearRegressor", ["input"], ["scores"], domain=ML, coefficients=coefficients, intercepts=bias, targets=targets
    )
    given = model([node], [value("scores")])
    made = linear_to_tensors(given)
    assert made is not None
    assert plain(made.model)
    assert gap(given, made, ROWS) < 1e-5


@pytest.mark.parametrize(
    ("offset", "scale"), [([0.5, -1.0, 2.0, 0.0], [2.0, 0.5, 1.0, 4.0]), ([0.0], [3.0]), ([0.5], [3.0])]
)
def test_scaler__vectors_and_single_numbers__as_onnxruntime(offset: list[float], scale: list[float]) -> None:
    node = helper.make_node("Scaler", ["input"], ["scaled"], domain=ML, offset=offset, scale=scale)
    given = model([node, helper.make_node("Neg", ["scaled"], ["scores"])], [value("scores")])
    made = scaler_to_tensors(given)
    assert made is not None
    assert plain(made.model)
    assert gap(given, made, ROWS) < 1e-5


@pytest.mark.parametrize("norm", ["L1", "L2", "MAX"])
def test_normalizer__each_norm__as_onnxruntime(norm: str) -> None:
    node = helper.make_node("Normalizer", ["input"], ["scores"], domain=ML, norm=norm)
    given = model([node], [value("scores")])
    made = normalizer_to_tensors(given)
    assert made is not None
    assert plain(made.model)
    assert gap(given, made, ROWS) < 1e-5


def test_scores_only__zipmap_and_label_after_a_standard_model__one_tensor() -> None:
    nodes = [
        helper.make_node("Softmax", ["input"], ["chances"], axis=1),
        helper.make_node("ArgMax", ["input"], ["label"], axis=1, keepdims=0),
        helper.make_node("ZipMap", ["chances"], ["scores"], domain=ML, classlabels_int64s=[0, 1, 2, 3]),
    ]
    given = model(nodes, [value("label", TensorProto.INT64), mapping("scores")])
    made = scores_only(given)
    assert made is not None
    assert plain(made.model)
    assert [node.op_type for node in made.model.graph.node] == ["Softmax"]
    assert gap(given, made, ROWS) < 1e-5
    assert scores_only(made.model) is None


# ---- whole pipelines, as skl2onnx writes them ----


def test_rewrite_all__scaled_logistic_regression__its_logit() -> None:
    data = load_breast_cancer()
    scaler = StandardScaler().fit(data.data)
    fitted = LogisticRegression(max_iter=1000).fit(scaler.transform(data.data), data.target)
    weights, bias = np.vstack([-fitted.coef_, fitted.coef_]), np.concatenate([-fitted.intercept_, fitted.intercept_])
    scale = (1 / scaler.scale_).tolist()
    nodes = [
        helper.make_node("Scaler", ["input"], ["scaled"], domain=ML, offset=scaler.mean_.tolist(), scale=scale),
        classifier(weights, bias, "LOGISTIC", 2, "scaled", "raw"),
        helper.make_node("Normalizer", ["raw"], ["probabilities"], domain=ML, norm="L1"),
        helper.make_node("Cast", ["label"], ["output_label"], to=TensorProto.INT64),
        helper.make_node("ZipMap", ["probabilities"], ["output_probability"], domain=ML, classlabels_int64s=[0, 1]),
    ]
    given = model(nodes, [value("output_label", TensorProto.INT64), mapping("output_probability")], 30)
    rows = data.data[:100].astype(np.float32).astype(np.float64)
    prepared = rewrite_all(given, rows, CLASSICAL)
    assert prepared.refused == ()
    assert plain(prepared.model)
    assert prepared.off_circuit is not None
    assert prepared.off_circuit.function is Function.SIGMOID_PAIR
    found = FloatModel(prepared.model)
    logits = np.array([next(iter(found.outputs(row).values()))[0] for row in rows])
    assert np.abs(logits - fitted.decision_function(scaler.transform(rows))).max() < 1e-4


def test_rewrite_all__three_classes_one_against_the_rest__probabilities_in_the_circuit() -> None:
    data = load_wine()
    scaled = StandardScaler().fit_transform(data.data)
    fitted = [LogisticRegression().fit(scaled, data.target == label) for label in range(3)]
    weights, bias = np.vstack([one.coef_ for one in fitted]), np.concatenate([one.intercept_ for one in fitted])
    nodes = [
        classifier(weights, bias, "LOGISTIC", 3, "input", "raw"),
        helper.make_node("Normalizer", ["raw"], ["probabilities"], domain=ML, norm="L1"),
        helper.make_node("ZipMap", ["probabilities"], ["output_probability"], domain=ML, classlabels_int64s=[0, 1, 2]),
    ]
    given = model(nodes, [value("label", TensorProto.INT64), mapping("output_probability")], 13)
    prepared = rewrite_all(given, scaled[:50], CLASSICAL)
    assert prepared.refused == ()
    assert plain(prepared.model)
    assert prepared.off_circuit is None
    assert prepared.largest_difference < 1e-5
