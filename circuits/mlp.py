"""Multilayer perceptrons as plain ONNX (Gemm, Relu), and proven bounds on what their circuits do. For builds only: needs numpy and onnx.

Weights are put on the circuit's fixed-point grid before export, so the ONNX model and the circuit have the same parameters, and they differ in
activations' rounding alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats = npt.NDArray[np.float64]
OPSET = 13
_FLOAT32_EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True, slots=True)
class Layer:
    """x ↦ x @ weights + bias."""

    weights: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds for every input within the range."""

    preactivation: float
    """Largest |input of a ReLU| or |output|."""
    error: float
    """Largest |float32 output - circuit output|."""


def on_grid(layer: Layer, scale: int) -> Layer:
    """The layer with parameters rounded to multiples of 2^-scale."""
    unit = 2.0**scale
    return Layer(np.round(layer.weights * unit) / unit, np.round(layer.bias * unit) / unit)


def bounds(layers: list[Layer], input_range: float, scale: int) -> Bounds:
    """Interval bounds over all inputs with |x| ≤ `input_range`, for parameters on the grid.

    Each layer's sum is exact in the circuit until it is brought back to `scale` bits, which moves it by at most one unit; float32 moves it by at most
    (terms + 1) roundings of the sum of magnitudes.
    """
    unit = 2.0**-scale
    size = np.full(layers[0].weights.shape[0], input_range)
    error = np.zeros_like(size)
    largest = 0.0
    for layer in layers:
        magnitude = np.abs(layer.weights)
        size = size @ magnitude + np.abs(layer.bias)
        rounding = (layer.weights.shape[0] + 1) * _FLOAT32_EPSILON * size
        error = error @ magnitude + unit + rounding
        largest = max(largest, float(size.max()))
    return Bounds(preactivation=largest, error=float(error.max()))


def export(layers: list[Layer], path: Path, name: str) -> None:
    """Write the network, ReLU between layers and none after the last, as float32 ONNX with one row of input."""
    nodes, parameters = [], []
    current = "input"
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        parameters.append(numpy_helper.from_array(layer.weights.astype(np.float32), f"weights{number}"))
        parameters.append(numpy_helper.from_array(layer.bias.astype(np.float32), f"bias{number}"))
        result = "logit" if last else f"sum{number}"
        nodes.append(helper.make_node("Gemm", [current, f"weights{number}", f"bias{number}"], [result]))
        if not last:
            current = f"active{number}"
            nodes.append(helper.make_node("Relu", [result], [current]))
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, layers[0].weights.shape[0]])
    exit_ = helper.make_tensor_value_info("logit", TensorProto.FLOAT, [1, layers[-1].weights.shape[1]])
    graph = helper.make_graph(nodes, name, [entry], [exit_], parameters)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="sibyl"
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
