"""How a rewrite puts plain operators in the place of one ONNX-ML operator: names, constants, outputs that fall away. Pure.

A classifier has a label and scores, and exporters put a ZipMap (a list of mappings) behind the scores. A circuit has one tensor as output: labels and
whatever depends on them alone are dropped (the consumer reads the label off the scores), and a ZipMap is passed by.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
"""Of a model that names no version of the standard operators."""

_STANDARD = ("", "ai.onnx")


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A deep copy: rewrites never change what they are given."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def opset_of(model: onnx.ModelProto) -> int:
    """Version of the standard operators."""
    return next((one.version for one in model.opset_import if one.domain in _STANDARD), OPSET)


def one_row(model: onnx.ModelProto) -> bool:
    """Whether the model has one input, of one row: what a rewrite may flatten."""
    if len(model.graph.input) != 1:
        return False
    shape = model.graph.input[0].type.tensor_type.shape.dim
    return len(shape) == 2 and shape[0].dim_value == 1


@dataclass(slots=True)
class Patch:
    """Nodes and constants that will stand in for a node."""

    prefix: str
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """A new constant; returns its name."""
        name = f"{self.prefix}_c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value).astype(dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: int | str | list[int]) -> str:
        """A new node with one output; returns the output's name."""
        name = output or f"{self.prefix}_{len(self.nodes)}"
        made = helper.make_node(operator, list(inputs), [name])
        made.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(made)
        return name

    def sum(self, tensor: str, axis: int) -> str:
        """ReduceSum over one axis, which stays with length 1."""
        if self.opset < 13:
            return self.add("ReduceSum", tensor, axes=[axis], keepdims=1)
        return self.add("ReduceSum", tensor, self.constant([axis], np.int64), keepdims=1)


def patch_for(model: onnx.ModelProto, what: str) -> Patch:
    """An empty patch whose names no tensor of the model has."""
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    taken |= {tensor.name for tensor in model.graph.initializer} | {value.name for value in model.graph.input}
    number = 0
    while any(name.startswith(f"{what}{number}_") for name in taken):
        number += 1
    return Patch(f"{what}{number}", opset_of(model))


def replace(
    model: onnx.ModelProto,
    position: int,
    patch: Patch,
    scores: str,
    shape: list[int] | None,
    *,
    label: str | None = None,
) -> onnx.ModelProto:
    """A copy of the model with the patch in the place of the node at `position`.

    `scores`: the tensor that the patch makes in the place of the node's; `shape`: its shape (None: as it was); `label`: the output that falls away.
    """
    made = copy_of(model)
    del made.graph.node[position]
    for node in reversed(patch.nodes):
        made.graph.node.insert(position, node)
    made.graph.initializer.extend(patch.constants)
    if not any(one.domain in _STANDARD for one in made.opset_import):
        made.opset_import.append(helper.make_opsetid("", OPSET))
    if label:
        _drop(made, {label})
        pass_by_zipmaps(made)
    for output in made.graph.output:
        if output.name == scores and shape is not None:
            output.CopyFrom(helper.make_tensor_value_info(scores, TensorProto.FLOAT, shape))
    _drop_unused(made)
    del made.graph.value_info[:]  # of tensors that may be gone
    return made


def is_final(model: onnx.ModelProto, tensor: str) -> bool:
    """Whether a tensor goes nowhere but out, straight or through a ZipMap: then a function after it can be taken off the circuit."""
    readers = [node for node in model.graph.node if tensor in node.input]
    outs = {tensor} | {node.output[0] for node in readers if node.op_type == "ZipMap"}
    return all(node.op_type == "ZipMap" for node in readers) and any(one.name in outs for one in model.graph.output)


def _drop(model: onnx.ModelProto, gone: set[str]) -> None:
    """Remove the tensors and whatever depends on them."""
    kept = []
    for node in model.graph.node:  # in topological order
        if gone.intersection(node.input):
            gone.update(node.output)
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    outputs = [output for output in model.graph.output if output.name not in gone]
    del model.graph.output[:]
    model.graph.output.extend(outputs)


def drop_label(model: onnx.ModelProto, output: str) -> None:
    """Leave out one of the model's outputs, and what led to it alone. Changes the model it is given."""
    outputs = [one for one in model.graph.output if one.name != output]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    _drop_unused(model)


def pass_by_zipmaps(model: onnx.ModelProto) -> None:
    """Let the scores out instead of the mapping from class to score. Changes the model it is given."""
    for node in [one for one in model.graph.node if one.op_type == "ZipMap"]:
        classes = next((len(helper.get_attribute_value(one)) for one in node.attribute), 0)
        for output in model.graph.output:
            if output.name == node.output[0]:
                shape = [1, classes]
                output.CopyFrom(helper.make_tensor_value_info(node.input[0], TensorProto.FLOAT, shape))
        model.graph.node.remove(node)


def _drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and constants that lead to no output, and operator sets that nothing uses."""
    needed = {output.name for output in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(kept))
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)
    domains = {node.domain for node in model.graph.node}
    opsets = [one for one in model.opset_import if one.domain in _STANDARD or one.domain in domains]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
