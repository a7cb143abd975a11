"""A model and its sample, made ready for trials: the calibrated range of each input, the rows that tell most, what the floats say, how errors count.

The range of an input is what the sample shows, widened by a tenth. Stress rows lie four times as far out as the range's corners: a circuit that holds
them has room to spare for whatever lies within the range. That is a test and no proof; what does not fit has no witness, and so is refused, never
mis-answered. Accuracy is judged on held-out rows alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from circuits.errors import ModelError
from circuits.tuning.floats import FloatModel, Rows
from circuits.tuning.rewrite import Prepared
from circuits.tuning.rewritten import OffCircuit
from circuits.tuning.sample import Sample

WIDEN = 0.1
STRESS = 4.0
CORNER_ROWS, HELDOUT_ROWS = 6, 24
STRESS_ROWS = CORNER_ROWS
_MOST_SLOPES, _MOST_ROWS = 512, 2000
MAX_ERROR_SHARE = 0.01
"""Error that is tolerated unless told otherwise, as a share of how far the outputs of the sample lie apart."""

_FLOAT32_BITS = 24


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Differences of the circuit's outputs from onnxruntime's, on held-out rows as they are, before any rounding of inputs."""

    rows: int
    error_max: float
    error_mean: float
    decision_flips: int


@dataclass(frozen=True, slots=True)
class Subject:
    """See the module."""

    onnx: bytes
    off_circuit: OffCircuit | None
    low: Rows
    high: Rows
    rows: Rows
    """Stress rows, corners, held-out rows, in this order."""
    floats: tuple[Rows, ...]
    """What onnxruntime gives for each of them."""
    heldout: Rows
    """All held-out rows."""
    spread: float
    """Largest minus smallest output of the sample."""
    signs: bool
    """Whether the sign of the only output is a decision: it takes both in the sample."""
    source: str

    @property
    def stressed(self) -> int:
        """How many rows at the front are there to test the range."""
        return STRESS_ROWS + CORNER_ROWS

    @property
    def largest_input(self) -> float:
        """Largest magnitude within the calibrated range."""
        return float(max(np.abs(self.low).max(), np.abs(self.high).max()))

    @property
    def tolerated(self) -> float:
        """The error that is tolerated unless told otherwise."""
        return MAX_ERROR_SHARE * self.spread

    def takes_scale(self, scale: int) -> bool:
        """Whether inputs of the range pass float32 unchanged at this scale."""
        return self.largest_input * 2.0**scale < 2.0**_FLOAT32_BITS

    def decisions(self, outputs: Rows) -> int:
        """The class that the outputs of one row stand for; 0 when they stand for none."""
        if len(outputs) > 1:
            return int(np.argmax(outputs))
        return int(outputs[0] > 0) if self.signs else 0

    def accuracy(self, found: Sequence[tuple[int, ...]], scale: int) -> Accuracy:
        """Of the circuit's outputs for `rows` (or the first of them), held-out rows counting alone. Raises ModelError when none is among them."""
        values = [np.array(row, np.float64) / 2.0**scale for row in found[self.stressed :]]
        return self.compare(values, self.floats[self.stressed :])

    def compare(self, found: Sequence[Rows], expected: Sequence[Rows]) -> Accuracy:
        """The same for rows of numbers; `expected` may be longer."""
        if not found:
            raise ModelError("The circuit is so slow that there was no time for a single held-out row.")
        pairs = list(zip(found, expected, strict=False))
        errors = [float(np.abs(a - b).max()) for a, b in pairs]
        flips = sum(self.decisions(a) != self.decisions(b) for a, b in pairs)
        return Accuracy(len(errors), max(errors), sum(errors) / len(errors), flips)


def make_subject(prepared: Prepared, sample: Sample) -> Subject:
    """Raises ModelError when the sample has too few rows or the model gives no finite numbers on it."""
    _, heldout = sample.split()
    low, high = calibrated_range(sample.rows)
    model = FloatModel(prepared.model)
    tested = _stress_rows(low, high, model)
    rows = np.concatenate([tested, sample.rows[heldout][:HELDOUT_ROWS]]).astype(np.float32).astype(np.float64)
    floats = tuple(_only(model, row) for row in rows)
    every = max(1, len(sample.rows) // _MOST_ROWS)
    all_floats = np.array([_only(model, row) for row in sample.rows[::every]])
    if not np.isfinite(all_floats).all():
        raise ModelError("The model gives values that are not finite on rows of the sample.")
    return Subject(
        onnx=prepared.model.SerializeToString(deterministic=True),
        off_circuit=prepared.off_circuit,
        low=low,
        high=high,
        rows=rows,
        floats=floats,
        heldout=sample.rows[heldout].astype(np.float32).astype(np.float64),
        spread=float(all_floats.max() - all_floats.min()) or max(1.0, float(np.abs(all_floats).max())),
        signs=all_floats.shape[1] == 1 and bool((all_floats > 0).any() and (all_floats <= 0).any()),
        source=sample.source,
    )


def calibrated_range(rows: Rows) -> tuple[Rows, Rows]:
    """Smallest and largest value of each input, widened by a tenth of how far they lie apart (or of their size, for a constant)."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    apart = high - low
    margin = WIDEN * np.where(apart > 0, apart, np.maximum(np.abs(high), 1.0))
    return low - margin, high + margin


def _stress_rows(low: Rows, high: Rows, model: FloatModel) -> Rows:
    """Corners of the range, among them those that drive the outputs furthest (by slopes at the centre): stressed, then as they are."""
    centre, half = (low + high) / 2, (high - low) / 2
    source = np.random.default_rng(2026)
    signs = source.choice([-1.0, 1.0], (CORNER_ROWS, len(low)))
    signs[:2] = [[1.0], [-1.0]]
    if len(low) <= _MOST_SLOPES:
        steps = np.diag(half)
        slopes = np.array([_only(model, centre + step).sum() - _only(model, centre - step).sum() for step in steps])
        signs[2:4] = np.where(slopes >= 0, 1.0, -1.0), np.where(slopes >= 0, -1.0, 1.0)
    return np.asarray(np.concatenate([centre + STRESS * half * signs, centre + half * signs]), np.float64)


def peak(model: onnx.ModelProto, rows: Rows) -> float:
    """Largest magnitude of any float tensor inside the model on these rows: what the circuit's range checks must hold."""
    made = onnx.ModelProto()
    made.CopyFrom(onnx.shape_inference.infer_shapes(model))
    outputs = {output.name for output in made.graph.output}
    inner = [one for one in made.graph.value_info if one.type.tensor_type.elem_type == onnx.TensorProto.FLOAT]
    made.graph.output.extend(one for one in inner if one.name not in outputs)
    session = FloatModel(made)
    largest = float(np.abs(rows).max())
    for row in rows:
        for value in session.outputs(row).values():
            finite = value[np.isfinite(value)]
            largest = max(largest, float(np.abs(finite).max(initial=0.0)))
    return largest


def _only(model: FloatModel, row: Rows) -> Rows:
    outputs = list(model.outputs(row).values())
    if len(outputs) != 1:
        raise ModelError(f"A model has exactly one output tensor of numbers; this one has {len(outputs)}.")
    return outputs[0]
