"""From a tree ensemble in ONNX-ML to a network that the circuit computes exactly. For builds only.

Leaves are rounded to the grid on which their halves (one for each level) still lie on the circuit's, and inputs lie on a grid beside the thresholds,
so circuit and float32 give the same numbers: the error bound is 0.
"""

import numpy as np
import onnx
from onnx import helper

from circuits.compile import CircuitSettings
from circuits.errors import ModelError
from circuits.models.net import Network
from circuits.rewrites.ensemble import parse
from circuits.rewrites.trees import trees_to_tensors


def exact_network(model: onnx.ModelProto, circuit: CircuitSettings, input_range: float) -> Network:
    """The network of a model that is one tree ensemble. Raises ModelError when its sums could leave float32's whole numbers."""
    scale = circuit.scale if circuit.param_scale is None else circuit.param_scale
    rounded = _on_grid(model, scale)
    made = trees_to_tensors(rounded, input_scale=circuit.scale)
    ensemble = parse(rounded.graph.node[0])
    if made is None or ensemble is None:
        raise ModelError("The model is not a tree ensemble that can be put into plain tensors.")
    values = (
        np.abs(ensemble.leaves).max(axis=1).sum() + np.abs(ensemble.base).max()
    )  # more than any sum of any rows' leaves
    compared = 2 * input_range + 2 * max((abs(split.value) for split in ensemble.splits), default=0.0) + 1
    # ezkl brings inputs to the scale of the thresholds, which are parameters.
    reach = max(compared * 2 ** max(scale, circuit.scale), values * 2**scale)
    if reach >= 1 << 24:
        raise ModelError(
            "The trees' sums or comparisons pass 24 bits, where float32 rounds; lower a scale or the input range."
        )
    return Network(made.model, scale, 0.0, int(np.ceil(reach)))


def _on_grid(model: onnx.ModelProto, scale: int) -> onnx.ModelProto:
    """The model with its leaves and base values on the grid of `scale` bits after as many halvings as the trees are deep."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    ensemble = parse(model.graph.node[0])
    if ensemble is None:
        raise ModelError("The model is not a tree ensemble that can be put into plain tensors.")
    unit = 2.0 ** (scale - ensemble.depth)
    node = made.graph.node[0]
    for attribute in node.attribute:
        if attribute.name in ("class_weights", "target_weights", "base_values"):
            values = [float(np.round(value * unit) / unit) for value in attribute.floats]
            attribute.CopyFrom(helper.make_attribute(attribute.name, values))
    return made
