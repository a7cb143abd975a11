"""What an ONNX file is: operators, shapes, types, sizes. Nothing is run here.

Guarantees: whatever the file holds, either facts or a ModelError in a sentence. Does not do: judge (see `doctor`).
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from circuits.errors import ModelError
from circuits.tuning.folding import copy_of

MAX_BYTES = 512 << 20
"""Far beyond what can be proven on one machine, and small enough to read."""


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """An input or output. A dimension that is not fixed is its symbol, or “?”."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    @property
    def dynamic(self) -> tuple[tuple[int, str], ...]:
        """Places and names of dimensions that are not fixed, the batch apart."""
        return tuple(
            (place, str(length)) for place, length in enumerate(self.shape) if place and isinstance(length, str)
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} [{', '.join(str(length) for length in self.shape)}]"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a file says of itself."""

    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    operators: tuple[tuple[str, int], ...]
    """Names (with the domain, where it is not the standard one) and how often, the most frequent first."""
    parameters: int
    opset: int
    producer: str


def read_model(path: Path) -> onnx.ModelProto:
    """The model in `path`. Raises ModelError for a file that is missing, too large, truncated, not ONNX or not valid."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(
                f"{path.name} has {size >> 20} MB; a model of more than {MAX_BYTES >> 20} MB cannot be proven here."
            )
        model = onnx.load(str(path))
    except OSError as error:
        raise ModelError(f"The model {path} cannot be read: {error.strerror or error}.") from error
    except DecodeError as error:
        raise ModelError(f"{path.name} is not an ONNX file, or it was cut short; export it again.") from error
    except onnx.checker.ValidationError as error:
        raise ModelError(
            f"{path.name} keeps weights in another file that is not there or not allowed: {_line(error)}"
        ) from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path.name} is not an ONNX file, or it was cut short: it holds no operators.")
    try:
        if any(not value.type.tensor_type.HasField("shape") for value in model.graph.output):
            model = onnx.shape_inference.infer_shapes(model)  # some exporters leave it out, and the checker wants it
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path.name} is not valid ONNX: {_line(error)}") from error
    return model


def facts_of(model: onnx.ModelProto) -> ModelFacts:
    """The facts of a model."""
    constants = {tensor.name for tensor in model.graph.initializer}
    operators = Counter(
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in _nodes(model.graph)
    )
    return ModelFacts(
        inputs=tuple(_tensor(value) for value in model.graph.input if value.name not in constants),
        outputs=tuple(_tensor(value) for value in model.graph.output),
        operators=tuple(operators.most_common()),
        parameters=sum(int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer),
        opset=next((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), 0),
        producer=f"{model.producer_name} {model.producer_version}".strip() or "unknown",
    )


def with_shape(model: onnx.ModelProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    """The model with its input fixed at one row of `shape`. Raises ModelError when the model's own fixed dimensions are others."""
    facts = facts_of(model)
    own = facts.inputs[0].shape
    expected = (1, *shape)
    clash = len(own) != len(expected) or any(
        isinstance(length, int) and length != wanted for length, wanted in zip(own[1:], expected[1:], strict=False)
    )
    if clash:
        one = " × ".join(str(length) for length in own[1:]) or "a single number"
        raise ModelError(
            f"Each row of the sample has the shape {' × '.join(map(str, shape))}, but the model's input {facts.inputs[0]} takes {one}."
        )
    if isinstance(own[0], int) and own[0] > 1:
        raise ModelError(
            f"The model takes {own[0]} rows at once ({facts.inputs[0]}); export it with one row, or a free batch."
        )
    made = copy_of(model)
    entry = next(value for value in made.graph.input if value.name == facts.inputs[0].name)
    dynamic = facts.inputs[0].dynamic
    for dimension, length in zip(entry.type.tensor_type.shape.dim, expected, strict=True):
        dimension.ClearField("dim_param")
        dimension.dim_value = length
    if dynamic:
        del made.graph.value_info[:]
        for value in made.graph.output:
            value.type.tensor_type.ClearField("shape")
        made = onnx.shape_inference.infer_shapes(made)
    return made


def _tensor(value: onnx.ValueInfoProto) -> TensorFacts:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return TensorFacts(value.name, str(kind).removesuffix("_type"), ())
    tensor = value.type.tensor_type
    shape = tuple(one.dim_value or one.dim_param or "?" for one in tensor.shape.dim)
    return TensorFacts(value.name, TensorProto.DataType.Name(tensor.elem_type).lower(), shape)


def _nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Every node, those of inner graphs (If, Loop, Scan) too."""
    found = list[onnx.NodeProto]()
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found += _nodes(attribute.g)
    return found


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
