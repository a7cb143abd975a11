"""The rewrite that takes a model's last monotone function off the circuit.

A sigmoid inside a circuit costs lookups, which cost rows, gas and accuracy; outside it is free and exact.
The proven output is the function's argument.
"""

import onnx
from onnx import TensorProto, helper

from circuits.tuning.folding import consumers_of, copy_of
from circuits.tuning.rewritten import Function, OffCircuit, Rewritten

_FUNCTIONS = {
    "Sigmoid": Function.SIGMOID,
    "Softmax": Function.SOFTMAX,
    "LogSoftmax": Function.LOG_SOFTMAX,
    "Tanh": Function.TANH,
    "Exp": Function.EXP,
    "Softplus": Function.SOFTPLUS,
}
_OVER_ALL = {Function.SOFTMAX, Function.LOG_SOFTMAX}
_TRANSPARENT = ("Identity", "Flatten", "Squeeze", "Unsqueeze", "Reshape")
"""Operators after the function that leave the flattened outputs as they are."""


def last_function(model: onnx.ModelProto) -> Rewritten | None:
    """The model up to the argument of its last function, when that is one that a consumer can apply."""
    if len(model.graph.output) != 1:
        return None
    node, after = _producer(model, model.graph.output[0].name), list[onnx.NodeProto]()
    while node is not None and node.op_type in _TRANSPARENT and len(consumers_of(model, node.input[0])) == 1:
        after.append(node)
        node = _producer(model, node.input[0])
    if node is None or node.op_type not in _FUNCTIONS or len(consumers_of(model, node.output[0])) > 1:
        return None
    function = _FUNCTIONS[node.op_type]
    shape = _shape(model, node.input[0])
    if function in _OVER_ALL and not _covers_all(node, shape):
        return None
    if shape is None:
        return None
    made = copy_of(model)
    for gone in (node, *after):
        made.graph.node.remove(gone)
    if not made.graph.node:
        return None  # it is the whole model: nothing would be left to prove
    del made.graph.output[:]
    made.graph.output.append(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, shape))
    kept = [value for value in made.graph.value_info if value.name != node.input[0]]
    del made.graph.value_info[:]
    made.graph.value_info.extend(kept)
    return Rewritten(made, f"took the last function ({function.value}) off the circuit", OffCircuit(function))


def _producer(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    return next((node for node in model.graph.node if name in node.output), None)


def _shape(model: onnx.ModelProto, name: str) -> list[int] | None:
    """The static shape of a tensor; None when it is not known."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, RuntimeError):
        return None
    values = (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    found = next((value for value in values if value.name == name), None)
    if found is None:
        return None
    shape = [dimension.dim_value for dimension in found.type.tensor_type.shape.dim]
    return shape if all(shape) else None


def _covers_all(node: onnx.NodeProto, shape: list[int] | None) -> bool:
    """Whether the function runs over all values of the row at once: only then is its formula that of `OffCircuit`."""
    if not shape:
        return False
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
    return all(length == 1 for place, length in enumerate(shape) if place != axis % len(shape))
