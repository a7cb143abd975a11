"""What a model computes in floating point, by onnxruntime, one row at a time. For builds only.

Guarantees: one thread, so that a row gives the same numbers on every run of one machine. Does not do: judge a model (see `inspect`).
"""

import numpy as np
import numpy.typing as npt
import onnx

from circuits.errors import ModelError

Rows = npt.NDArray[np.float64]
"""Rows of a sample, flattened: (rows, inputs)."""

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


class FloatModel:
    """An onnxruntime session over a model in memory."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Raises ModelError when onnxruntime does not take the model."""
        import onnxruntime  # half a second that a command that needs no model should not pay

        self._errors: tuple[type[Exception], ...] = (*onnxruntime_errors(), ValueError)

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except self._errors as error:
            raise ModelError(f"onnxruntime does not load the model: {_first_line(error)}") from error
        entries = self._session.get_inputs()
        if len(entries) != 1:
            raise ModelError(f"A model has exactly one input tensor; this one has {len(entries)}.")
        self._entry = entries[0]
        if self._entry.type not in _DTYPES:
            raise ModelError(f"The model's input holds {self._entry.type}; export it with float32 inputs.")

    @property
    def output_names(self) -> tuple[str, ...]:
        """In the model's order."""
        return tuple(output.name for output in self._session.get_outputs())

    def outputs(self, row: npt.NDArray[np.float64]) -> dict[str, Rows]:
        """Every numeric output of one row, flattened. Raises ModelError when the model fails on it."""
        shape = [length if isinstance(length, int) else 1 for length in self._entry.shape]
        try:
            entry = row.astype(_DTYPES[self._entry.type]).reshape(shape)
            found = self._session.run(None, {self._entry.name: entry})
        except self._errors as error:
            raise ModelError(
                f"onnxruntime does not run the model on a row of the sample: {_first_line(error)}"
            ) from error
        flat = ((name, _flat(value)) for name, value in zip(self.output_names, found, strict=True))
        return {name: value for name, value in flat if value is not None}


def onnxruntime_errors() -> tuple[type[Exception], ...]:
    """Everything that onnxruntime raises for a model: classes of its own that have no common base, and RuntimeError."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found = [one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)]
    return (RuntimeError, *found)


def _flat(value: object) -> Rows | None:
    if (
        isinstance(value, list) and value and isinstance(value[0], dict)
    ):  # ZipMap: one mapping from class to probability
        value = list(value[0].values())
    array = np.asarray(value)
    return array.astype(np.float64).ravel() if array.dtype.kind in "fiub" else None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
