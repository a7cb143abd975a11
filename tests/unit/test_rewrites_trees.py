"""Tree ensembles as exporters write them, rewritten into plain tensors: the same numbers from onnxruntime, at ties too, and what is refused."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from circuits.models import scikit
from circuits.rewrites import CLASSICAL, trees_to_tensors
from circuits.rewrites.ensemble import parse
from circuits.tuning.floats import FloatModel
from circuits.tuning.rewrite import rewrite_all
from circuits.tuning.rewritten import Function, Rewritten

Floats = npt.NDArray[np.float64]
FEATURES = 5
POST = ("NONE", "LOGISTIC", "SOFTMAX")
SCALE = 3
"""Few bits, so that random inputs and thresholds often meet."""


def answers(model: onnx.ModelProto, rows: Floats) -> list[dict[str, Floats]]:
    found = FloatModel(model)
    return [found.outputs(row) for row in rows]


def gap(before: onnx.ModelProto, after: Rewritten, rows: Floats, output: str = "scores") -> float:
    """Largest difference of one output of `before` to the only one of `after`, with what was taken off put on again."""
    pairs = zip(answers(before, rows), answers(after.model, rows), strict=True)
    function = after.off_circuit.apply if after.off_circuit else np.asarray
    return max(float(np.abs(was[output] - function(next(iter(now.values())))).max()) for was, now in pairs)


def plain(model: onnx.ModelProto) -> bool:
    return all(node.domain in ("", "ai.onnx") for node in model.graph.node) and len(model.graph.output) == 1


# ---- random ensembles in every form ----


def _grow(
    draw: np.random.Generator, modes: list[str], trees: int, depth: int
) -> dict[str, list[int] | list[float] | list[str]]:
    """`nodes_*` of random trees, uneven, some of one leaf, some with a split asked twice; thresholds on a coarse grid."""
    rows: list[tuple[int, int, int, float, str, int, int]] = []
    for tree in range(trees):
        nodes: list[list[object]] = []

        def add(left: int, nodes: list[list[object]] = nodes) -> int:
            number = len(nodes)
            nodes.append([number, 0, 0.0, "LEAF", 0, 0])
            if left and draw.random() < 0.8:
                feature, value = int(draw.integers(FEATURES)), float(draw.integers(-12, 13)) / 2**SCALE
                mode = modes[int(draw.integers(len(modes)))]
                yes, no = add(left - 1), add(left - 1)
                nodes[number] = [number, feature, value, mode, yes, no]
            return number

        add(depth)
        rows += [(tree, *node) for node in nodes]
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    return {f"nodes_{name}": list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _node(kind: str, outputs: list[str], attributes: dict[str, object], version: int = 3) -> onnx.ModelProto:
    node = helper.make_node(kind, ["input"], outputs, domain="ai.onnx.ml")
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, FEATURES])
    exits = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)]
    if "label" in outputs:
        exits.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, None))
    graph = helper.make_graph([node], "trees", [entry], exits)
    opsets = [helper.make_opsetid("ai.onnx.ml", version), helper.make_opsetid("", 15)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def classifier(
    seed: int, classes: int, post: str, modes: list[str], *, one_score: bool = False, base: bool = False
) -> onnx.ModelProto:
    """As lightgbm and xgboost are exported: one score for two classes (class 0 named throughout), else a score for each class."""
    draw = np.random.default_rng(seed)
    attributes: dict[str, object] = dict(_grow(draw, modes, 6, 4))
    attributes |= _weights(draw, attributes, "class", 1 if one_score else classes)
    attributes |= {"classlabels_int64s": list(range(classes)), "post_transform": post}
    if base:
        attributes["base_values"] = [float(value) for value in draw.normal(size=1 if one_score else classes)]
    return _node("TreeEnsembleClassifier", ["label", "scores"], attributes)


def regressor(seed: int, targets: int, aggregate: str, post: str, modes: list[str]) -> onnx.ModelProto:
    draw = np.random.default_rng(seed)
    attributes: dict[str, object] = dict(_grow(draw, modes, 5, 3))
    attributes |= _weights(draw, attributes, "target", targets)
    attributes |= {"n_targets": targets, "aggregate_function": aggregate, "post_transform": post}
    return _node("TreeEnsembleRegressor", ["scores"], attributes)


def _weights(draw: np.random.Generator, attributes: dict[str, object], what: str, targets: int) -> dict[str, object]:
    trees, nodes, modes = (list(attributes[f"nodes_{name}"]) for name in ("treeids", "nodeids", "modes"))
    leaves = [place for place, mode in enumerate(modes) if mode == "LEAF"]
    rows = [(trees[place], nodes[place], target, float(draw.normal())) for place in leaves for target in range(targets)]
    names = (f"{what}_treeids", f"{what}_nodeids", f"{what}_ids", f"{what}_weights")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def grid_rows(seed: int, count: int = 40) -> Floats:
    """Rows on the grid of the thresholds: a fifth of the comparisons are ties."""
    return np.random.default_rng(seed).integers(-13, 14, (count, FEATURES)) / 2**SCALE


MODES = {
    "scikit-learn and lightgbm": ["BRANCH_LEQ"],
    "xgboost": ["BRANCH_LT"],
    "others": ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"],
}
FORMS: list[tuple[str, Callable[[int, list[str]], onnx.ModelProto]]] = [
    *(
        (f"two classes, one score, {post}", lambda s, m, p=post: classifier(s, 2, p, m, one_score=True, base=True))
        for post in POST[:2]
    ),
    *((f"two classes, two scores, {post}", lambda s, m, p=post: classifier(s, 2, p, m)) for post in POST),
    *((f"three classes, {post}", lambda s, m, p=post: classifier(s, 3, p, m, base=True)) for post in POST),
    ("regression", lambda s, m: regressor(s, 1, "SUM", "NONE", m)),
    ("regression of two, averaged", lambda s, m: regressor(s, 2, "AVERAGE", "NONE", m)),
]


@pytest.mark.parametrize("exact_grid", [None, SCALE], ids=["any float", "grid"])
@pytest.mark.parametrize("modes", MODES.values(), ids=MODES.keys())
@pytest.mark.parametrize("form", [form for _, form in FORMS], ids=[name for name, _ in FORMS])
def test_trees__random_ensembles_with_ties__as_onnxruntime(
    form: Callable[[int, list[str]], onnx.ModelProto], modes: list[str], exact_grid: int | None
) -> None:
    for seed in range(2):
        model = form(seed, modes)
        before = model.SerializeToString()
        made = trees_to_tensors(model, input_scale=exact_grid)
        assert made is not None
        assert model.SerializeToString() == before
        assert plain(made.model)
        onnx.checker.check_model(made.model, full_check=True)
        assert gap(model, made, grid_rows(seed)) < 1e-5


def test_trees__inputs_beside_the_thresholds__exact_for_every_float() -> None:
    model = classifier(1, 3, "NONE", MODES["others"])
    made = trees_to_tensors(model)
    assert made is not None
    splits = parse(model.graph.node[0])
    assert splits is not None
    around = [np.nextafter(np.float32(split.value), np.float32(side)) for split in splits.splits for side in (-9, 9)]
    draw = np.random.default_rng(5)
    assert gap(model, made, draw.choice(np.array(around, np.float64), (80, FEATURES))) < 1e-5


def test_trees__equal_splits__compared_once() -> None:
    made = trees_to_tensors(classifier(3, 3, "NONE", ["BRANCH_LEQ"]), input_scale=SCALE)
    assert made is not None
    ensemble = parse(classifier(3, 3, "NONE", ["BRANCH_LEQ"]).graph.node[0])
    assert ensemble is not None
    distinct = {(split.feature, split.value) for split in ensemble.splits}
    assert len(distinct) < len(ensemble.splits)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.model.graph.initializer}
    (sub,) = (
        node for node in made.model.graph.node if node.op_type == "Sub" and node.input[1] in held and node.output[0]
    )
    assert held[sub.input[1]].shape == (len(distinct), 1)
    assert f"into {len(distinct)} comparisons" in made.what


# ---- version 5 ----


def test_trees__version_5__as_onnxruntime() -> None:
    # x0 <= 0.5 ? (x1 < -0.25 ? 1 : 2) : 4   +   a tree of one leaf, written as a split with twice the same leaf: 8
    attributes: dict[str, object] = {
        "tree_roots": [0, 2],
        "nodes_splits": numpy_helper.from_array(np.array([0.5, -0.25, 0.0], np.float32)),
        "nodes_modes": numpy_helper.from_array(np.array([0, 1, 0], np.uint8)),
        "nodes_featureids": [0, 1, 0],
        "nodes_truenodeids": [1, 0, 3],
        "nodes_trueleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 1, 3],
        "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 0, 0, 0],
        "leaf_weights": numpy_helper.from_array(np.array([1, 2, 4, 8], np.float32)),
        "n_targets": 1,
        "aggregate_function": 1,
        "post_transform": 0,
    }
    model = _node("TreeEnsemble", ["scores"], attributes, version=5)
    rows = np.array([[x, y, 0, 0, 0] for x in (0.0, 0.5, 0.625) for y in (-0.5, -0.25, 0.0)])
    for scale in (None, SCALE):
        made = trees_to_tensors(model, input_scale=scale)
        assert made is not None
        found = [float(next(iter(one.values()))[0]) for one in answers(made.model, rows)]
        assert found == [9, 10, 10, 9, 10, 10, 12, 12, 12]
        assert gap(model, made, rows) == 0


# ---- what the project's own exporter gives ----


def test_scikit__forest_and_boosting__as_scikit_learn_and_rewritten() -> None:
    wine, cancer = load_wine(), load_breast_cancer()
    forest = RandomForestClassifier(8, max_depth=4, random_state=1).fit(wine.data, wine.target)
    grown = [one.tree_ for one in forest.estimators_]
    model = scikit.classifier(grown, [tree.value[:, 0, :] / len(grown) for tree in grown], 13, 3)
    found = np.array([one["scores"] for one in answers(model, wine.data)])
    assert np.abs(found - forest.predict_proba(wine.data.astype(np.float32))).max() < 1e-6
    made = trees_to_tensors(model)
    assert made is not None
    assert gap(model, made, wine.data) < 1e-6

    boosted = GradientBoostingClassifier(n_estimators=10, random_state=1).fit(cancer.data, cancer.target)
    grown = [one.tree_ for one in boosted.estimators_[:, 0]]
    share = cancer.target.mean()
    weights = [tree.value[:, :, 0] * boosted.learning_rate for tree in grown]
    model = scikit.classifier(grown, weights, 30, 2, post="LOGISTIC", base=[float(np.log(share / (1 - share)))])
    found = np.array([one["scores"] for one in answers(model, cancer.data)])
    assert np.abs(found - boosted.predict_proba(cancer.data.astype(np.float32))).max() < 1e-6
    made = trees_to_tensors(model)
    assert made is not None
    assert made.off_circuit is not None
    assert made.off_circuit.function is Function.SIGMOID_PAIR
    assert gap(model, made, cancer.data) < 1e-6


def test_rewrite_all__exported_pipeline_with_zipmap_and_open_batch__one_plain_tensor_of_logits() -> None:
    model = classifier(2, 2, "LOGISTIC", ["BRANCH_LEQ"], one_score=True, base=True)
    graph = model.graph
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    graph.node.append(helper.make_node("Cast", ["label"], ["output_label"], to=TensorProto.INT64))
    graph.node.append(
        helper.make_node("ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    )
    del graph.output[:]
    mapping = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    graph.output.append(helper.make_tensor_value_info("output_label", TensorProto.INT64, None))
    graph.output.append(onnx.ValueInfoProto(name="output_probability", type=helper.make_sequence_type_proto(mapping)))
    from circuits.tuning.folding import batch_of_one

    prepared = rewrite_all(model, grid_rows(2), [batch_of_one, *CLASSICAL])
    assert prepared.refused == ()
    assert plain(prepared.model)
    assert prepared.off_circuit is not None
    assert prepared.off_circuit.function is Function.SIGMOID_PAIR
    assert prepared.largest_difference < 1e-5


# ---- what is left alone ----


def _with(model: onnx.ModelProto, name: str, value: object) -> onnx.ModelProto:
    node = model.graph.node[0]
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])
    return model


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("post_transform", "PROBIT"),
        ("post_transform", "SOFTMAX_ZERO"),
        ("aggregate_function", "MAX"),
        ("nodes_modes", ["BRANCH_EQ"] * 40),
        ("nodes_truenodeids", [0] * 40),
        ("nodes_truenodeids", [99] * 40),
        ("target_nodeids", [0] * 40),
        ("base_values", [1.0, 2.0]),
        ("nodes_featureids", [0]),
    ],
)
def test_trees__unsupported_or_broken__left_alone(name: str, value: object) -> None:
    model = regressor(0, 1, "SUM", "NONE", ["BRANCH_LEQ"])
    size = len(next(one for one in model.graph.node[0].attribute if one.name == "nodes_treeids").ints)
    if isinstance(value, list) and len(value) == 40:
        leaves = next(one for one in model.graph.node[0].attribute if one.name == "target_nodeids").ints
        value = value[: len(leaves) if name == "target_nodeids" else size]
    assert trees_to_tensors(_with(model, name, value)) is None


def test_trees__several_rows_or_none_that_is_a_tree__left_alone() -> None:
    model = regressor(0, 1, "SUM", "NONE", ["BRANCH_LEQ"])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    assert trees_to_tensors(model) is None
    other = _node("Normalizer", ["scores"], {"norm": "L1"})
    assert trees_to_tensors(other) is None
