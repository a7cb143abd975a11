"""Rewrites that make a model provable or cheaper, each checked against onnxruntime on the sample before it is kept.

A rewrite is a function from a model to what became of it, or None when it finds nothing to do. `rewrite_all` goes through `REWRITES` again and again
until none finds anything, and keeps a result only if it gives what the model before it gave, on every row of the sample. A rewrite may take the last
function off the circuit: then the proven output is that function's argument, and `OffCircuit` says exactly what the consumer applies to it.

Does not do: judge whether the result can be proven (see `doctor`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from circuits.cache import Progress, quiet
from circuits.errors import ModelError
from circuits.rewrites import CLASSICAL
from circuits.tuning.floats import FloatModel, Rows
from circuits.tuning.folding import batch_of_one, explicit_strides, fold_batch_norms, fold_constants, narrow_floats
from circuits.tuning.last_function import last_function
from circuits.tuning.rewritten import Function, OffCircuit, Rewrite, Rewritten

__all__ = ["REWRITES", "Function", "OffCircuit", "Prepared", "Rewrite", "Rewritten", "difference", "rewrite_all"]

TOLERANCE = 1e-4
"""Largest difference, relative to the largest output of the sample or to 1, that a rewrite makes: room for float32's rounding in another order."""

_ROUNDS = 64
"""Rewrites that still find something after so many steps never end."""

REWRITES: list[Rewrite] = [
    batch_of_one,
    *CLASSICAL,
    narrow_floats,
    fold_constants,
    fold_batch_norms,
    explicit_strides,
    last_function,
]
"""In the order in which they are tried: whatever replaces operators first, then folding, last what is taken off the circuit."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model after all rewrites."""

    model: onnx.ModelProto
    steps: tuple[str, ...]
    """What was done, in order."""
    refused: tuple[str, ...]
    """Rewrites whose result differed from the model's, and by how much; they were not used."""
    off_circuit: OffCircuit | None
    largest_difference: float
    """Largest relative difference that any one step made on the sample."""


def difference(before: onnx.ModelProto, after: Rewritten, rows: Rows) -> float:
    """Largest |before - after| over the rows, relative to the largest output or to 1; infinite when no output of `before` has the form of `after`'s.

    A model with several outputs (a label and probabilities) may lose all but one; the one that is nearest counts.
    """
    was, now = FloatModel(before), FloatModel(after.model)
    function = after.off_circuit
    gaps: dict[str, float] = {}
    largest = 1.0
    for row in rows:
        found = next(iter(now.outputs(row).values()), np.empty(0))
        found = function.apply(found) if function else found
        for name, value in was.outputs(row).items():
            same = value.shape == found.shape and bool(np.isfinite(found).all())
            gap = float(np.abs(value - found).max(initial=0.0)) if same else np.inf
            gaps[name] = max(gaps.get(name, 0.0), gap)
            largest = max(largest, float(np.abs(value).max(initial=0.0))) if same else largest
    return min(gaps.values(), default=np.inf) / largest


def rewrite_all(
    model: onnx.ModelProto, rows: Rows, rewrites: Sequence[Rewrite] | None = None, progress: Progress = quiet
) -> Prepared:
    """The model after every rewrite that holds on `rows`, which must not be empty. Raises ModelError when rewrites never end or the model fails."""
    if not len(rows):
        raise ModelError("The sample has no rows, so no rewrite can be checked.")
    open_rewrites = list(REWRITES if rewrites is None else rewrites)
    state = Prepared(model, (), (), None, 0.0)
    for _ in range(_ROUNDS):
        for rewrite in tuple(open_rewrites):
            made = rewrite(state.model)
            if made is None or (made.off_circuit and state.off_circuit):
                continue
            gap = difference(state.model, made, rows)
            if gap > TOLERANCE:
                open_rewrites.remove(rewrite)
                refused = f"{made.what} would change the output by {gap:.2g}"
                state = replace(state, refused=(*state.refused, refused))
                continue
            progress(made.what)
            state = replace(
                state,
                model=made.model,
                steps=(*state.steps, made.what),
                off_circuit=state.off_circuit or made.off_circuit,
                largest_difference=max(state.largest_difference, gap),
            )
            break
        else:
            return state
    raise ModelError(f"The rewrites of this model never end; the last was “{state.steps[-1] if state.steps else ''}”.")
