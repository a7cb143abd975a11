"""Linear models and what exporters put around them → plain tensors: LinearClassifier, LinearRegressor, Scaler, Normalizer, ZipMap, label outputs.

A classifier of two classes is proven to its one logit wherever its probabilities are the model's end: the pair (1 - p, p) is the consumer's, and a
normalisation of such a pair does nothing and goes. Everything else becomes standard operators with the same result in float32.

Does not do: the post transforms PROBIT and SOFTMAX_ZERO (the operator stays, and the model cannot be proven); a Normalizer's rows of zeros, which
onnxruntime leaves alone and plain arithmetic divides by zero.
"""

import numpy as np
import onnx
from onnx import helper

from circuits.rewrites.ensemble import POSTS, Floats
from circuits.rewrites.surgery import Patch, copy_of, drop_label, is_final, one_row, pass_by_zipmaps, patch_for, replace
from circuits.tuning.rewritten import Function, OffCircuit, Rewritten

_ML = "ai.onnx.ml"


def linear_to_tensors(model: onnx.ModelProto) -> Rewritten | None:
    """The model with its first LinearClassifier or LinearRegressor as a Gemm; None when it has none that is supported."""
    if not one_row(model):
        return None
    for position, node in enumerate(model.graph.node):
        if node.domain == _ML and node.op_type == "LinearRegressor":
            return _regressor(model, position, node)
        if node.domain == _ML and node.op_type == "LinearClassifier":
            return _classifier(model, position, node)
    return None


def scaler_to_tensors(model: onnx.ModelProto) -> Rewritten | None:
    """The model with its first Scaler as a subtraction and a multiplication."""
    for position, node in enumerate(model.graph.node):
        if node.domain == _ML and node.op_type == "Scaler" and one_row(model):
            found = _attributes(node)
            offset, scale = (np.array(_numbers(found, name)) for name in ("offset", "scale"))
            width = max(len(offset), len(scale))
            patch = patch_for(model, "scaler")
            moved = patch.add("Sub", node.input[0], patch.constant(offset[None])) if offset.any() else node.input[0]
            patch.add("Mul", moved, patch.constant(scale[None]), output=node.output[0])
            made = replace(model, position, patch, node.output[0], [1, width])
            return Rewritten(made, "turned a Scaler into a subtraction and a multiplication")
    return None


def normalizer_to_tensors(model: onnx.ModelProto) -> Rewritten | None:
    """The model with its first Normalizer as a division by the row's norm."""
    for position, node in enumerate(model.graph.node):
        if node.domain == _ML and node.op_type == "Normalizer" and one_row(model):
            norm = _text(_attributes(node).get("norm", "MAX"))
            patch = patch_for(model, "normalizer")
            entry = node.input[0]
            if norm == "L1":
                length = patch.sum(patch.add("Abs", entry), 1)
            elif norm == "L2":
                length = patch.add("Sqrt", patch.sum(patch.add("Mul", entry, entry), 1))
            elif norm == "MAX" and patch.opset < 18:
                length = patch.add("ReduceMax", entry, axes=[1], keepdims=1)
            else:
                return None
            patch.add("Div", entry, length, output=node.output[0])
            made = replace(model, position, patch, node.output[0], None)
            return Rewritten(made, f"turned a Normalizer ({norm}) into plain arithmetic")
    return None


def scores_only(model: onnx.ModelProto) -> Rewritten | None:
    """The model without ZipMaps, and without outputs that are no floats (labels) when it has others: a circuit has one output tensor."""
    made = copy_of(model)
    zipped = any(node.op_type == "ZipMap" for node in made.graph.node)
    if zipped:
        pass_by_zipmaps(made)
    floats = {
        output.name
        for output in made.graph.output
        if output.type.tensor_type.elem_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    }
    labels = [output.name for output in made.graph.output if output.name not in floats]
    if not floats or not (labels or zipped):
        return None
    for label in labels:
        drop_label(made, label)
    what = " and ".join(["took out a ZipMap"] * zipped + [f"left out the output “{label}”" for label in labels])
    return Rewritten(made, what)


def _regressor(model: onnx.ModelProto, position: int, node: onnx.NodeProto) -> Rewritten | None:
    found = _attributes(node)
    weights, bias = _matrix(found)
    post = _text(found.get("post_transform", "NONE"))
    if post not in POSTS:
        return None
    patch = patch_for(model, "linear")
    _finish(patch, _gemm(patch, node.input[0], weights, bias), post, node.output[0])
    made = replace(model, position, patch, node.output[0], [1, weights.shape[1]])
    return Rewritten(made, "turned a LinearRegressor into a matrix product")


def _classifier(model: onnx.ModelProto, position: int, node: onnx.NodeProto) -> Rewritten | None:
    found = _attributes(node)
    weights, bias = _matrix(found)
    post = _text(found.get("post_transform", "NONE"))
    labels = found.get("classlabels_ints") or found.get("classlabels_strings") or []
    classes = len(labels) if isinstance(labels, list) else 0
    one_score = weights.shape[1] == 1
    if post not in POSTS or classes < 2 or (one_score and (classes > 2 or post == "SOFTMAX")):
        return None
    mirrored = classes == 2 and not one_score and np.array_equal(weights[:, 0], -weights[:, 1]) and bias[0] == -bias[1]
    patch, scores, entry = patch_for(model, "linear"), node.output[1], node.input[0]
    what = "turned a LinearClassifier into a matrix product"
    if post == "LOGISTIC" and (one_score or mirrored):
        return _pair(model, position, (weights[:, -1:], bias[-1:]), what)
    if one_score:
        total = _gemm(patch, entry, weights, bias)
        low = patch.add("Sub", patch.constant([[1.0]]), total)
        patch.add("Concat", low, total, output=scores, axis=1)
    else:
        _finish(patch, _gemm(patch, entry, weights, bias), post, scores)
    return Rewritten(replace(model, position, patch, scores, [1, classes], label=node.output[0]), what)


def _pair(model: onnx.ModelProto, position: int, layer: tuple[Floats, Floats], what: str) -> Rewritten:
    """Two probabilities from one logit: off the circuit when nothing but a normalisation follows."""
    node = model.graph.node[position]
    patch, scores = patch_for(model, "linear"), node.output[1]
    readers = [one for one in model.graph.node if scores in one.input]
    norm = readers[0] if len(readers) == 1 and _keeps_pairs(readers[0]) else None
    end = norm.output[0] if norm is not None else scores
    total = _gemm(patch, node.input[0], *layer)
    if is_final(model, end):
        if norm is not None:
            model = copy_of(model)
            model.graph.node.remove(norm)
        patch.add("Identity", total, output=end)
        made = replace(model, position, patch, end, [1, 1], label=node.output[0])
        return Rewritten(made, what, OffCircuit(Function.SIGMOID_PAIR))
    high = patch.add("Sigmoid", total)
    low = patch.add("Sub", patch.constant([[1.0]]), high)
    patch.add("Concat", low, high, output=scores, axis=1)
    return Rewritten(replace(model, position, patch, scores, [1, 2], label=node.output[0]), what)


def _keeps_pairs(node: onnx.NodeProto) -> bool:
    """Whether a node leaves two shares that add up to 1 as they are."""
    return node.domain == _ML and node.op_type == "Normalizer" and _text(_attributes(node).get("norm", "MAX")) == "L1"


def _gemm(patch: Patch, entry: str, weights: Floats, bias: Floats) -> str:
    return patch.add("Gemm", entry, patch.constant(weights), patch.constant(bias))


def _finish(patch: Patch, total: str, post: str, output: str) -> None:
    if post == "SOFTMAX":
        patch.add("Softmax", total, output=output, axis=1)
    else:
        patch.add("Sigmoid" if post == "LOGISTIC" else "Identity", total, output=output)


def _matrix(found: dict[str, object]) -> tuple[Floats, Floats]:
    """Weights (inputs, scores) and bias."""
    coefficients = np.array(_numbers(found, "coefficients"))
    bias = np.array(_numbers(found, "intercepts")) if found.get("intercepts") else np.zeros(_targets(found))
    return coefficients.reshape(len(bias), -1).T, bias


def _targets(found: dict[str, object]) -> int:
    return int(str(found.get("targets", 1)))


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _numbers(found: dict[str, object], name: str) -> list[float]:
    values = found[name]
    return [float(value) for value in values] if isinstance(values, list) else []


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
