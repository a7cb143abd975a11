"""Small ONNX models, drawn from a seed, for the tests of doctor and compile."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def draw(seed: int) -> np.random.Generator:
    """A seeded source."""
    return np.random.default_rng(seed)


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    entry: Sequence[int | str],
    exit_: Sequence[int | str] | None,
    constants: Sequence[onnx.TensorProto] = (),
    dtype: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model from “input” to the last node's first output."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("input", dtype, list(entry))],
        [helper.make_tensor_value_info(nodes[-1].output[0], dtype, None if exit_ is None else list(exit_))],
        list(constants),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def mlp(
    sizes: Sequence[int], *, act: str = "Relu", last: str | None = None, batch: int | str = 1, seed: int = 0
) -> onnx.ModelProto:
    """A multilayer perceptron, its weights drawn from the seed."""
    source = draw(seed)
    nodes, constants, current = list[onnx.NodeProto](), list[onnx.TensorProto](), "input"
    for number, (width, next_width) in enumerate(pairwise(sizes)):
        weights = source.normal(size=(width, next_width)) / np.sqrt(width)
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"w{number}"))
        bias = source.normal(size=next_width) / 10
        constants.append(numpy_helper.from_array(bias.astype(np.float32), f"b{number}"))
        nodes.append(helper.make_node("Gemm", [current, f"w{number}", f"b{number}"], [f"s{number}"]))
        current = f"s{number}"
        if number < len(sizes) - 2:
            nodes.append(helper.make_node(act, [current], [f"a{number}"]))
            current = f"a{number}"
    if last:
        nodes.append(helper.make_node(last, [current], ["y"]))
    return graph_of(nodes, [batch, sizes[0]], [batch, sizes[-1]], constants)
