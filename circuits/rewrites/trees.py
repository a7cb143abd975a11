"""Tree ensembles → plain tensors: one comparison for each distinct split, then the leaves chosen level by level. For builds only.

A comparison costs a circuit about 17 rows (a sign by decomposition) and is made once, however many trees ask it. What follows costs 4 rows a split
and target: with s = ±1 for the answer, a node's value is (high + low + s (high - low)) / 2, and the halves are put into the leaves beforehand (a
power of two for each level), so nothing is divided or rounded. 20 trees of depth 3 fit k = 12, where sums of path conditions need 15.

With `input_scale` the thresholds go half a unit beside the fixed-point grid: no input of a request can equal one, and the circuit takes exactly the
branch that the model takes for inputs on the grid. Without it the comparison is the model's own (Greater, 9 rows dearer), exact for every float; in
the circuit an input within half a unit of a threshold may then go either way.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto

from circuits.rewrites.ensemble import ABOVE, Ensemble, Floats, Split, parse
from circuits.rewrites.surgery import Patch, is_final, one_row, patch_for, replace
from circuits.tuning.rewritten import Function, OffCircuit, Rewritten

Question = tuple[int, float, str]
"""A feature, a threshold, a comparison."""


def trees_to_tensors(model: onnx.ModelProto, *, input_scale: int | None = None) -> Rewritten | None:
    """The model with its first tree ensemble as plain tensors; None when it has none that is supported, or more than one row of input.

    `input_scale`: bits after the point of the inputs, when they are known to lie on that grid.
    """
    if not one_row(model):
        return None
    for position, node in enumerate(model.graph.node):
        ensemble = parse(node)
        if ensemble is not None:
            return _rewritten(model, position, ensemble, input_scale)
    return None


def _rewritten(model: onnx.ModelProto, position: int, ensemble: Ensemble, input_scale: int | None) -> Rewritten:
    node = model.graph.node[position]
    patch = patch_for(model, "trees")
    classifier = node.op_type == "TreeEnsembleClassifier"
    scores = node.output[1] if classifier else node.output[0]
    total = emit(patch, ensemble, node.input[0], input_scale)
    off = None
    count = 2 if ensemble.pair else ensemble.leaves.shape[1]
    if ensemble.pair and ensemble.post == "LOGISTIC" and is_final(model, scores):
        off, count = OffCircuit(Function.SIGMOID_PAIR), 1
        patch.add("Identity", total, output=scores)
    elif ensemble.pair:
        _pair(patch, ensemble, total, scores)
    elif ensemble.post == "NONE":
        patch.add("Identity", total, output=scores)
    elif ensemble.post == "LOGISTIC":
        patch.add("Sigmoid", total, output=scores)
    else:
        patch.add("Softmax", total, output=scores, axis=1)
    made = replace(model, position, patch, scores, [1, count], label=node.output[0] if classifier else None)
    asked = len(_questions(ensemble, input_scale))
    what = f"turned {len(ensemble.roots)} trees with {len(ensemble.splits)} splits into {asked} comparisons and plain arithmetic"
    return Rewritten(made, what, off)


def _pair(patch: Patch, ensemble: Ensemble, total: str, scores: str) -> None:
    """Two scores from one, as onnxruntime makes them."""
    if ensemble.post == "LOGISTIC":
        high = patch.add("Sigmoid", total)
        low = patch.add("Sub", patch.constant([[1.0]]), high)
    elif ensemble.post == "SOFTMAX":
        low, high = patch.add("Neg", total), total
    else:
        high = total
        low = patch.add("Sub", patch.constant([[1.0]]), total) if ensemble.positive else patch.add("Neg", total)
    if ensemble.post == "SOFTMAX":
        patch.add("Softmax", patch.add("Concat", low, high, axis=1), output=scores, axis=1)
    else:
        patch.add("Concat", low, high, output=scores, axis=1)


def emit(patch: Patch, ensemble: Ensemble, entry: str, input_scale: int | None) -> str:
    """Add the ensemble's arithmetic to a patch; returns the tensor of its sums, (1, targets)."""
    questions = _questions(ensemble, input_scale)
    answers = _ask(patch, questions, entry, input_scale) if questions else ""
    signed = input_scale is not None
    place = {question: number for number, question in enumerate(questions)}
    values, where = "", dict[int, int]()
    for depth in range(ensemble.depth - 1, -1, -1):
        level = ensemble.levels()[depth]
        chosen = [place[_question(ensemble.splits[number], input_scale)] for number in level]
        values, where = _choose(patch, ensemble, level, depth, (answers, chosen, signed), (values, where))
    lone = [~ref for ref in ensemble.roots if ref < 0]  # trees of one leaf
    base = ensemble.base + ensemble.leaves[lone].sum(axis=0)
    if not values:
        # Constant, but in the form of a sum over the input, so that the graph still has one.
        zero = patch.add("Mul", patch.sum(entry, 1), patch.constant([[0.0]]))
        return patch.add("Add", zero, patch.constant(base[None]))
    total = patch.sum(values, 0)
    return patch.add("Add", total, patch.constant(base[None])) if base.any() else total


def _question(split: Split, input_scale: int | None) -> Question:
    if input_scale is None:
        return split.feature, split.value, split.comparison
    grid = math.ldexp(split.value, input_scale)
    half = math.floor(grid) + 0.5 if split.comparison == ABOVE else math.ceil(grid) - 0.5
    return split.feature, math.ldexp(half, -input_scale), ABOVE


def _questions(ensemble: Ensemble, input_scale: int | None) -> list[Question]:
    """Distinct, those of one comparison together."""
    return sorted({_question(split, input_scale) for split in ensemble.splits}, key=lambda one: (one[2], *one[:2]))


def _ask(patch: Patch, questions: list[Question], entry: str, input_scale: int | None) -> str:
    """The answers, (questions, 1): ±1 on the grid, else 1 and 0."""
    column = patch.add("Reshape", entry, patch.constant([-1, 1], np.int64))
    if input_scale is not None:
        # Twice the input, so that half a unit is a whole one.
        column = patch.add("Add", column, column)
        asked = patch.add("Gather", column, patch.constant([one[0] for one in questions], np.int64), axis=0)
        beside = patch.add("Sub", asked, patch.constant([[2 * one[1]] for one in questions]))
        return patch.add("Sign", beside)
    parts = []
    for comparison in sorted({one[2] for one in questions}):
        of_this = [one for one in questions if one[2] == comparison]
        asked = patch.add("Gather", column, patch.constant([one[0] for one in of_this], np.int64), axis=0)
        limits = patch.constant([[one[1]] for one in of_this])
        if comparison == ABOVE:
            parts.append(patch.add("Cast", patch.add("Greater", asked, limits), to=TensorProto.FLOAT))
        else:
            below = patch.add("Cast", patch.add("Greater", limits, asked), to=TensorProto.FLOAT)
            parts.append(patch.add("Sub", patch.constant([[1.0]]), below))
    return parts[0] if len(parts) == 1 else patch.add("Concat", *parts, axis=0)


def _choose(
    patch: Patch,
    ensemble: Ensemble,
    level: tuple[int, ...],
    depth: int,
    answers: tuple[str, list[int], bool],
    below: tuple[str, dict[int, int]],
) -> tuple[str, dict[int, int]]:
    """Values of the splits of one level, (splits, targets), and the place of each. `below`: the same for the next level."""
    tensor, chosen, signed = answers
    ends = [
        at for at, number in enumerate(level) if ensemble.splits[number].high < 0 and ensemble.splits[number].low < 0
    ]
    inner = [at for at in range(len(level)) if at not in set(ends)]
    parts = []
    for places, pick in ((ends, _pick_constants), (inner, _pick_values)):
        if places:
            asked = patch.add("Gather", tensor, patch.constant([chosen[at] for at in places], np.int64), axis=0)
            splits = [ensemble.splits[level[at]] for at in places]
            parts.append(pick(patch, asked, splits, _weights(ensemble, depth, signed), below, signed))
    joined = parts[0] if len(parts) == 1 else patch.add("Concat", *parts, axis=0)
    return joined, {level[at]: place for place, at in enumerate((*ends, *inner))}


def _weights(ensemble: Ensemble, depth: int, signed: bool) -> Floats:
    """The leaves as a split at `depth` reads them: halved for each level that doubles them on the way up."""
    return ensemble.leaves / 2.0 ** (depth + 1) if signed else ensemble.leaves


def _pick_constants(
    patch: Patch, asked: str, splits: list[Split], weights: Floats, _below: tuple[str, dict[int, int]], signed: bool
) -> str:
    high = weights[[~split.high for split in splits]]
    low = weights[[~split.low for split in splits]]
    step = patch.add("Mul", asked, patch.constant(high - low))
    return patch.add("Add", step, patch.constant(high + low if signed else low))


def _pick_values(
    patch: Patch, asked: str, splits: list[Split], weights: Floats, below: tuple[str, dict[int, int]], signed: bool
) -> str:
    tensor, where = below
    refs = [ref for split in splits for ref in (split.high, split.low) if ref < 0]
    if refs:
        tensor = patch.add("Concat", tensor, patch.constant(weights[[~ref for ref in refs]]), axis=0)
    places: list[int] = []
    leaf = len(where)
    for split in splits:
        for ref in (split.high, split.low):
            places.append(where[ref] if ref >= 0 else leaf)
            leaf += ref < 0
    high = patch.add("Gather", tensor, patch.constant(places[0::2], np.int64), axis=0)
    low = patch.add("Gather", tensor, patch.constant(places[1::2], np.int64), axis=0)
    step = patch.add("Mul", asked, patch.add("Sub", high, low))
    return patch.add("Add", step, patch.add("Add", high, low) if signed else low)
