"""Networks as plain ONNX with a proof of their range and rounding: each tensor carries what holds of it for every input. For builds only.

Parameters are put on the circuit's fixed-point grid. Activations are made of |x|, which costs a circuit 10 to 16 rows where Relu costs 16 to 22:
relu(x) = (x + |x|) / 2 and clip(x) = (|x + 1| - |x - 1|) / 2, whose halves go into the weights before or after. Products are rounded only when they
have more bits than `rebase_multiplier` allows, as ezkl does; a network without such a product is exact in the circuit.

Guarantees, for every input within range: no tensor of the circuit is larger than its `size`, and float32 (onnxruntime) and circuit differ by no more
than its `error`. Does not do: training (see `autodiff`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from circuits.compile import CircuitSettings

Floats = npt.NDArray[np.float64]
OPSET = 13
_ROUNDING = float(np.finfo(np.float32).eps) / 2
"""Of one operation on float32, relative to its result."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the network and what holds of it."""

    name: str
    scale: int
    """Bits after the point in the circuit."""
    size: Floats
    """Largest magnitude of each element, in floats and in the circuit."""
    error: Floats
    """Largest |float32 - circuit| of each element."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        return self.size.shape


@dataclass(frozen=True, slots=True)
class Network:
    """An ONNX model with the bounds that its circuit was proven to keep."""

    model: onnx.ModelProto
    output_scale: int
    error: float
    """Largest |float32 - circuit| of any output."""
    reach: int
    """Largest fixed-point magnitude that the circuit takes apart into legs: it must be below base ** legs."""


class Net:
    """Builds a network from its input to its output, one operator a call."""

    def __init__(self, name: str, circuit: CircuitSettings, inputs: int, input_range: float) -> None:
        self._name, self._circuit, self._inputs = name, circuit, inputs
        self._param_scale = circuit.scale if circuit.param_scale is None else circuit.param_scale
        self._top = max(circuit.scale, self._param_scale) * circuit.rebase_multiplier
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._reach = 0.0
        size = np.full((1, inputs), float(input_range))
        self.input = self._seen(Tensor("input", circuit.scale, size, np.zeros_like(size)))

    # ---- linear ----

    def dense(self, x: Tensor, weights: Floats, bias: Floats | None = None) -> Tensor:
        """x @ weights + bias over the last axis; parameters are rounded to the grid."""
        weights = self.on_grid(weights)
        magnitude = np.abs(weights)
        size, error = x.size @ magnitude, x.error @ magnitude + self._rounding(len(weights), x.size @ magnitude)
        found = self._rebased(
            self._emit("MatMul", x.name, self._constant(weights)), x.scale + self._param_scale, size, error
        )
        return found if bias is None else self.shift(found, bias)

    def conv(self, x: Tensor, kernels: Floats, bias: Floats, stride: int) -> Tensor:
        """A convolution without padding: x (1, in, height, width), kernels (out, in, height, width)."""
        kernels, bias = self.on_grid(kernels), self.on_grid(bias)
        strides = {
            "strides": [stride, stride],
            "pads": [0, 0, 0, 0],
            "kernel_shape": list(kernels.shape[2:]),
            "dilations": [1, 1],
        }
        name = self._emit("Conv", x.name, self._constant(kernels), self._constant(bias), **strides)
        size = _convolved(x.size, np.abs(kernels), stride) + np.abs(bias)[:, None, None]
        terms = kernels[0].size + 1
        error = _convolved(x.error, np.abs(kernels), stride) + self._rounding(terms, size)
        return self._rebased(name, x.scale + self._param_scale, size, error)

    def shift(self, x: Tensor, by: Floats) -> Tensor:
        """x + a constant."""
        by = np.broadcast_to(self.on_grid(by), x.shape)
        size = x.size + np.abs(by)
        scale = max(x.scale, self._param_scale)
        return self._seen(
            Tensor(self._emit("Add", x.name, self._constant(by)), scale, size, x.error + self._rounding(1, size))
        )

    # ---- sums and products of tensors ----

    def add(self, a: Tensor, b: Tensor, *, minus: bool = False) -> Tensor:
        """a + b, or a - b."""
        size = a.size + b.size
        name = self._emit("Sub" if minus else "Add", a.name, b.name)
        return self._seen(Tensor(name, max(a.scale, b.scale), size, a.error + b.error + self._rounding(1, size)))

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        """a · b, element by element."""
        size = a.size * b.size
        error = a.size * b.error + b.size * a.error + a.error * b.error + self._rounding(1, size)
        return self._rebased(self._emit("Mul", a.name, b.name), a.scale + b.scale, size, error)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """a @ b, both of the network."""
        size = a.size @ b.size
        error = a.size @ b.error + a.error @ b.size + a.error @ b.error + self._rounding(a.shape[-1], size)
        return self._rebased(self._emit("MatMul", a.name, b.name), a.scale + b.scale, size, error)

    # ---- activations ----

    def twice_relu(self, x: Tensor) -> Tensor:
        """2 · max(x, 0)."""
        found = self.add(x, self._absolute(x))
        return Tensor(found.name, found.scale, 2 * x.size, 2 * x.error + self._rounding(1, 2 * x.size))

    def clip(self, x: Tensor, half: float) -> Tensor:
        """2 · min(max(x, -half), half)."""
        edge = np.full(x.shape, half)
        found = self.add(self._absolute(self.shift(x, edge)), self._absolute(self.shift(x, -edge)), minus=True)
        error = np.minimum(2 * x.error, 4 * half) + self._rounding(3, 2 * (x.size + 2 * half))
        return Tensor(found.name, found.scale, np.minimum(2 * x.size, 2 * half), error)

    def _absolute(self, x: Tensor) -> Tensor:
        return self._seen(Tensor(self._emit("Abs", x.name), x.scale, x.size, x.error))

    # ---- shapes: these cost a circuit nothing ----

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The same elements in another shape."""
        name = self._emit("Reshape", x.name, self._constant(np.array(shape), np.int64))
        return Tensor(name, x.scale, x.size.reshape(shape), x.error.reshape(shape))

    def transpose(self, x: Tensor) -> Tensor:
        """Rows and columns changed."""
        return Tensor(self._emit("Transpose", x.name, perm=[1, 0]), x.scale, x.size.T, x.error.T)

    def take(self, x: Tensor, columns: Sequence[int]) -> Tensor:
        """Some columns of a matrix."""
        name = self._emit("Gather", x.name, self._constant(np.array(columns), np.int64), axis=1)
        return Tensor(name, x.scale, x.size[:, columns], x.error[:, columns])

    # ---- the end ----

    def done(self, output: Tensor) -> Network:
        """The network whose output is this tensor."""
        self._seen(output)
        entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, self._inputs])
        exit_ = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, list(output.shape))
        graph = helper.make_graph(self._nodes, self._name, [entry], [exit_], self._constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="sibyl"
        )
        onnx.checker.check_model(model, full_check=True)
        return Network(model, output.scale, float(output.error.max()), int(np.ceil(self._reach)))

    def on_grid(self, values: Floats) -> Floats:
        """Parameters rounded to multiples of 2^-param_scale."""
        unit = 2.0**self._param_scale
        return np.asarray(np.round(np.asarray(values, np.float64) * unit) / unit)

    def _rebased(self, name: str, scale: int, size: Floats, error: Floats) -> Tensor:
        if scale > self._top:  # ezkl rounds to the nearest; one whole unit is allowed for
            error, scale = error + 2.0**-self._top, self._top
        return self._seen(Tensor(name, scale, size, error))

    def _seen(self, x: Tensor) -> Tensor:
        self._reach = max(self._reach, float((x.size + x.error).max()) * 2.0**x.scale)
        return x

    def _rounding(self, terms: int, size: Floats) -> Floats:
        return np.asarray((terms + 1) * _ROUNDING * size)

    def _emit(self, operator: str, *inputs: str, **attributes: int | list[int]) -> str:
        name = f"t{len(self._nodes)}"
        made = helper.make_node(operator, list(inputs), [name])
        made.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(made)
        return name

    def _constant(self, value: npt.NDArray[np.generic], dtype: npt.DTypeLike = np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value.astype(dtype)), name))
        return name


def _convolved(x: Floats, kernels: Floats, stride: int) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view(x[0], kernels.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.asarray(np.einsum("chwij,ocij->ohw", windows, kernels)[None])
