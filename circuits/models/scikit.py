"""Fitted scikit-learn trees as ONNX-ML, in the form that skl2onnx gives them. For builds only: needs scikit-learn's objects, not its import.

Kept small on purpose: it is what the reference models and the tests of the rewrites need of an exporter, without the exporter.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

Floats = npt.NDArray[np.float64]


class Tree(Protocol):
    """What `sklearn.tree._tree.Tree` offers."""

    node_count: int
    feature: npt.NDArray[np.int64]
    threshold: Floats
    children_left: npt.NDArray[np.int64]
    children_right: npt.NDArray[np.int64]


def node_attributes(trees: Sequence[Tree]) -> dict[str, list[int] | list[float] | list[str]]:
    """The `nodes_*` attributes: a row with feature ≤ threshold takes the true branch."""
    ids = [(number, node) for number, tree in enumerate(trees) for node in range(tree.node_count)]
    leaf = [trees[number].children_left[node] < 0 for number, node in ids]

    def each(name: str, otherwise: int) -> list[int]:
        of_all = (int(getattr(trees[number], name)[node]) for number, node in ids)
        return [otherwise if end else value for value, end in zip(of_all, leaf, strict=True)]

    return {
        "nodes_treeids": [number for number, _ in ids],
        "nodes_nodeids": [node for _, node in ids],
        "nodes_featureids": each("feature", 0),
        "nodes_values": [
            _below(0.0 if end else float(trees[n].threshold[i])) for (n, i), end in zip(ids, leaf, strict=True)
        ],
        "nodes_modes": ["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        "nodes_truenodeids": each("children_left", 0),
        "nodes_falsenodeids": each("children_right", 0),
    }


def _below(threshold: float) -> float:
    """The largest float32 that is not above a threshold: no float32 input takes another branch by it."""
    narrow = np.float32(threshold)
    return float(narrow if narrow <= threshold else np.nextafter(narrow, np.float32(-np.inf)))


def regressor(trees: Sequence[Tree], weights: Sequence[Floats], features: int, *, base: float = 0.0) -> onnx.ModelProto:
    """A model with one TreeEnsembleRegressor. `weights`: for each tree, of each node."""
    attributes: dict[str, object] = dict(node_attributes(trees))
    owners = _leaves(trees)
    attributes |= {
        "target_treeids": [number for number, _ in owners],
        "target_nodeids": [node for _, node in owners],
        "target_ids": [0] * len(owners),
        "target_weights": [float(weights[number][node]) for number, node in owners],
        "n_targets": 1,
        "base_values": [base],
    }
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, features])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1])
    return _model("TreeEnsembleRegressor", attributes, entry, [scores])


def classifier(
    trees: Sequence[Tree],
    weights: Sequence[Floats],
    features: int,
    classes: int,
    *,
    post: str = "NONE",
    base: Sequence[float] = (),
) -> onnx.ModelProto:
    """A model with one TreeEnsembleClassifier and its two outputs. `weights`: for each tree (nodes, classes), or (nodes, 1) for the
    second of two."""
    attributes: dict[str, object] = dict(node_attributes(trees))
    owners = _leaves(trees)
    rows = [
        (number, node, target, float(weights[number][node, target]))
        for number, node in owners
        for target in range(weights[0].shape[1])
    ]
    for name, column in zip(
        ("class_treeids", "class_nodeids", "class_ids", "class_weights"), zip(*rows, strict=True), strict=True
    ):
        attributes[name] = list(column)
    attributes |= {"classlabels_int64s": list(range(classes)), "post_transform": post}
    if base:
        attributes["base_values"] = [float(value) for value in base]
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, features])
    label = helper.make_tensor_value_info("label", TensorProto.INT64, [1])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes])
    return _model("TreeEnsembleClassifier", attributes, entry, [label, scores])


def _leaves(trees: Sequence[Tree]) -> list[tuple[int, int]]:
    return [
        (number, node)
        for number, tree in enumerate(trees)
        for node in range(tree.node_count)
        if tree.children_left[node] < 0
    ]


def _model(
    kind: str, attributes: dict[str, object], entry: onnx.ValueInfoProto, outputs: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    node = helper.make_node(kind, ["input"], [output.name for output in outputs], domain="ai.onnx.ml")
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    graph = helper.make_graph([node], "trees", [entry], outputs)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="sibyl")
