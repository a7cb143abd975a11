"""Rewrites of the graph that every model may need: a static batch of one, float32, constants folded, normalisations folded into layers.

onnxruntime's own basic optimisations do the folding of constants and what belongs to them (they keep to standard operators). It folds a batch
normalisation into a convolution only, so those after Gemm and MatMul are folded here, and any other becomes one multiplication and one addition.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from circuits.errors import ModelError
from circuits.tuning.floats import Rows, onnxruntime_errors
from circuits.tuning.rewritten import Rewritten

_STANDARD = ("", "ai.onnx")
_WIDE = {TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A deep copy: rewrites never change what they are given."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def constants_of(model: onnx.ModelProto) -> dict[str, Rows]:
    """The initialisers by name, as numpy arrays of their own type."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def consumers_of(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    """The nodes that read a tensor."""
    return [node for node in model.graph.node if name in node.input]


def is_output(model: onnx.ModelProto, name: str) -> bool:
    """Whether a tensor is one of the model's outputs."""
    return any(output.name == name for output in model.graph.output)


def batch_of_one(model: onnx.ModelProto) -> Rewritten | None:
    """Fix a first dimension that is symbolic or unknown: a circuit proves one row."""
    made = copy_of(model)
    found = False
    for value in (*made.graph.input, *made.graph.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.shape.dim:
            first = value.type.tensor_type.shape.dim[0]
            if not first.dim_value:
                found = True
                first.ClearField("dim_param")
                first.dim_value = 1
    if not found:
        return None
    del made.graph.value_info[:]  # they may still name the dynamic dimension
    return Rewritten(made, "fixed the batch at one row")


def narrow_floats(model: onnx.ModelProto) -> Rewritten | None:
    """float64 and half precision become float32: ezkl reads that, and a circuit's fixed point has fewer digits still."""
    made = copy_of(model)
    changed = 0
    for position, tensor in enumerate(made.graph.initializer):
        if tensor.data_type in _WIDE:
            narrow = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
            made.graph.initializer[position].CopyFrom(narrow)
            changed += 1
    for node in made.graph.node:
        changed += sum(_narrow_attribute(node, attribute) for attribute in node.attribute)
    for value in (*made.graph.input, *made.graph.output, *made.graph.value_info):
        if value.type.tensor_type.elem_type in _WIDE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            changed += 1
    return Rewritten(made, "turned float64 and half precision into float32") if changed else None


def _narrow_attribute(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> bool:
    if attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type in _WIDE:
        attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32)))
        return True
    if attribute.name in ("to", "dtype") and node.op_type in ("Cast", "EyeLike") and attribute.i in _WIDE:
        attribute.i = TensorProto.FLOAT
        return True
    return False


def explicit_strides(model: onnx.ModelProto) -> Rewritten | None:
    """Strides, dilations and pads that a convolution leaves to their defaults are written out: ezkl asks for them."""
    made = copy_of(model)
    ranks = {tensor.name: len(tensor.dims) - 2 for tensor in made.graph.initializer}
    changed = 0
    for node in made.graph.node:
        rank = ranks.get(node.input[1], 0) if node.op_type in ("Conv", "ConvTranspose") and len(node.input) > 1 else 0
        given = {attribute.name: attribute for attribute in node.attribute}
        automatic = "auto_pad" in given and given["auto_pad"].s not in (b"NOTSET", b"")
        for name, value in (("strides", [1] * rank), ("dilations", [1] * rank), ("pads", [0] * 2 * rank)):
            if rank > 0 and name not in given and not (automatic and name == "pads"):
                node.attribute.append(helper.make_attribute(name, value))
                changed += 1
    return Rewritten(made, "wrote out the default strides and pads of convolutions") if changed else None


def fold_constants(model: onnx.ModelProto) -> Rewritten | None:
    """What depends on no input is computed now, and operators that do nothing go, by onnxruntime's basic optimisations."""
    import onnxruntime  # builds alone need it

    with tempfile.TemporaryDirectory(prefix="sibyl-fold-") as directory:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(directory) / "folded.onnx")
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except onnxruntime_errors():
            return None  # `rewrite_all` tells of a model that onnxruntime does not load
        made = onnx.load(options.optimized_model_filepath)
    before, after = len(model.graph.node), len(made.graph.node)
    if after >= before or any(node.domain not in _STANDARD for node in made.graph.node):
        return None
    used = [opset for opset in made.opset_import if opset.domain in _STANDARD]
    del made.opset_import[:]
    made.opset_import.extend(used)
    made.producer_name = "sibyl"
    return Rewritten(made, f"folded constants and idle operators: {before} operators became {after}")


def fold_batch_norms(model: onnx.ModelProto) -> Rewritten | None:
    """Each batch normalisation goes into the Gemm or MatMul before it, or becomes y = a x + b."""
    made = copy_of(model)
    folded = 0
    for node in tuple(made.graph.node):
        if node.op_type == "BatchNormalization" and _fold_one(made, node, folded):
            folded += 1
    if not folded:
        return None
    _drop_unused(made)
    del made.graph.value_info[:]
    return Rewritten(
        made, f"folded {folded} batch normalisation{'s' if folded > 1 else ''} into the layers before them"
    )


def _fold_one(model: onnx.ModelProto, node: onnx.NodeProto, number: int) -> bool:
    known = constants_of(model)
    if any(name not in known for name in node.input[1:5]) or len([name for name in node.output if name]) != 1:
        return False
    scale, shift, mean, variance = (known[name].astype(np.float64) for name in node.input[1:5])
    epsilon = next((one.f for one in node.attribute if one.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(variance + epsilon)
    offset = shift - mean * factor
    before = next((one for one in model.graph.node if node.input[0] in one.output), None)
    alone = len(consumers_of(model, node.input[0])) == 1 and not is_output(model, node.input[0])
    position = list(model.graph.node).index(node)
    if before is not None and alone and _plain_dense(before, known):
        weights = known[before.input[1]].astype(np.float64)
        transposed = any(one.name == "transB" and one.i for one in before.attribute)
        bias = known[before.input[2]].astype(np.float64) if len(before.input) > 2 else np.zeros_like(factor)
        names = f"folded_weights{number}", f"folded_bias{number}"
        _add_constant(model, names[0], weights * (factor[:, None] if transposed else factor))
        _add_constant(model, names[1], bias * factor + offset)
        fused = helper.make_node("Gemm", [before.input[0], *names], [node.output[0]])
        fused.attribute.append(helper.make_attribute("transB", int(transposed)))
        model.graph.node.remove(before)
        position = list(model.graph.node).index(node)
        nodes = [fused]
    else:
        names = f"norm_factor{number}", f"norm_offset{number}"
        shape = _channel_shape(model, node, len(factor))
        if shape is None:
            return False
        _add_constant(model, names[0], factor.reshape(shape))
        _add_constant(model, names[1], offset.reshape(shape))
        middle = f"normed{number}"
        nodes = [
            helper.make_node("Mul", [node.input[0], names[0]], [middle]),
            helper.make_node("Add", [middle, names[1]], [node.output[0]]),
        ]
    model.graph.node.remove(node)
    for one in reversed(nodes):
        model.graph.node.insert(position, one)
    return True


def _plain_dense(node: onnx.NodeProto, known: dict[str, Rows]) -> bool:
    """Whether a node is x @ constant (+ constant), with no factors."""
    if node.op_type not in ("Gemm", "MatMul") or any(name not in known for name in node.input[1:]):
        return False
    if known[node.input[1]].ndim != 2:
        return False
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return (
        attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA", 0)
    )


def _channel_shape(model: onnx.ModelProto, node: onnx.NodeProto, channels: int) -> tuple[int, ...] | None:
    """A shape in which a vector of channels broadcasts against the node's input."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, RuntimeError):
        return None
    values = (*inferred.graph.value_info, *inferred.graph.input)
    found = next((value for value in values if value.name == node.input[0]), None)
    rank = len(found.type.tensor_type.shape.dim) if found is not None else 0
    return (1, channels, *([1] * (rank - 2))) if rank >= 2 else None


def _add_constant(model: onnx.ModelProto, name: str, value: Rows) -> None:
    if any(tensor.name == name for tensor in model.graph.initializer):
        raise ModelError(f"The model already has a tensor called “{name}”; rename it.")
    model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))


def _drop_unused(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
