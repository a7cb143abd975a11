"""Tree ensembles as ONNX-ML writes them, parsed into one form. Pure.

Reads TreeEnsembleClassifier, TreeEnsembleRegressor (ai.onnx.ml 1 to 4) and TreeEnsemble (5). Does not do: comparisons for equality or membership
(categorical splits), the aggregates MIN and MAX, and the post transform PROBIT or SOFTMAX_ZERO: `parse` gives None for those, and so for trees that
are no trees.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Floats = npt.NDArray[np.float64]
Ref = int
"""A split's number, or ~n for leaf number n."""

ABOVE, NOT_BELOW = "x > value", "x >= value"

_MODES = {
    "BRANCH_LEQ": (ABOVE, False),
    "BRANCH_GT": (ABOVE, True),
    "BRANCH_LT": (NOT_BELOW, False),
    "BRANCH_GTE": (NOT_BELOW, True),
}
"""Mode → comparison, and whether the true branch is the one where it holds."""
_MODES_V5 = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT")
_POST_V5 = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_AGGREGATES_V5 = ("AVERAGE", "SUM", "MIN", "MAX")
POSTS = ("NONE", "LOGISTIC", "SOFTMAX")


@dataclass(frozen=True, slots=True)
class Split:
    """An inner node."""

    feature: int
    value: float
    comparison: str
    """ABOVE or NOT_BELOW."""
    high: Ref
    """Where a row goes for which the comparison holds."""
    low: Ref


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees whose leaves' weights are summed."""

    splits: tuple[Split, ...]
    leaves: Floats
    """(leaves, targets)."""
    roots: tuple[Ref, ...]
    base: Floats
    """Added to the sum: (targets,)."""
    post: str
    """One of POSTS."""
    pair: bool
    """A classifier of two classes with one score s: its scores are (-s, s), or (1 - s, s) when no weight is negative."""

    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the splits by depth, the roots first."""
        found: list[tuple[int, ...]] = []
        current = tuple(ref for ref in self.roots if ref >= 0)
        while current:
            found.append(current)
            children = (ref for number in current for ref in (self.splits[number].high, self.splits[number].low))
            current = tuple(ref for ref in children if ref >= 0)
        return tuple(found)

    @property
    def depth(self) -> int:
        """Splits on the longest way to a leaf."""
        return len(self.levels())

    @property
    def positive(self) -> bool:
        """Whether no leaf has a negative weight."""
        return bool((self.leaves >= 0).all())


def parse(node: onnx.NodeProto) -> Ensemble | None:
    """The ensemble of a node, or None when it is of another kind, unsupported or malformed."""
    attributes = {one.name.removesuffix("_as_tensor"): _value(one) for one in node.attribute}
    try:
        if node.domain == "ai.onnx.ml" and node.op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
            return _parse_by_nodes(attributes, "class" if node.op_type.endswith("Classifier") else "target")
        if node.domain == "ai.onnx.ml" and node.op_type == "TreeEnsemble":
            return _parse_v5(attributes)
    except (KeyError, IndexError, ValueError, RecursionError):
        return None
    return None


def _value(attribute: onnx.AttributeProto) -> object:
    value = helper.get_attribute_value(attribute)
    return numpy_helper.to_array(value).tolist() if isinstance(value, onnx.TensorProto) else value


Attributes = Mapping[str, object]


def _list(attributes: Attributes, name: str) -> list[object]:
    found = attributes[name]
    if not isinstance(found, Iterable) or isinstance(found, str | bytes):
        raise ValueError(name)
    return list(found)


def _ints(attributes: Attributes, name: str) -> list[int]:
    return [int(str(value)) for value in _list(attributes, name)]


def _floats(attributes: Attributes, name: str) -> list[float]:
    return [float(str(value)) for value in _list(attributes, name)]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _post(attributes: Attributes) -> str:
    post = _text(attributes.get("post_transform", "NONE"))
    if post not in POSTS:
        raise ValueError(post)
    return post


def _parse_by_nodes(attributes: Attributes, what: str) -> Ensemble:
    """Versions 1 to 4: nodes are named by tree and number."""
    names = list(zip(_ints(attributes, "nodes_treeids"), _ints(attributes, "nodes_nodeids"), strict=True))
    modes = [_text(mode) for mode in _list(attributes, "nodes_modes")]
    place = {name: number for number, name in enumerate(names)}
    kinds = [mode == "LEAF" for mode in modes]
    if len(place) != len(names):
        raise ValueError("two nodes of one name")
    number_of = np.where(kinds, ~(np.cumsum(kinds) - 1), np.cumsum(~np.array(kinds)) - 1)
    features, values = _ints(attributes, "nodes_featureids"), _floats(attributes, "nodes_values")
    yes, no = _ints(attributes, "nodes_truenodeids"), _ints(attributes, "nodes_falsenodeids")
    splits = []
    for at, (tree, _) in enumerate(names):
        if not kinds[at]:
            children = (int(number_of[place[tree, yes[at]]]), int(number_of[place[tree, no[at]]]))
            splits.append(_split(features[at], values[at], modes[at], *children))
    targets, pair = _targets(attributes, what)
    leaves = np.zeros((sum(kinds), targets))
    owners = zip(_ints(attributes, f"{what}_treeids"), _ints(attributes, f"{what}_nodeids"), strict=True)
    ids, weights = _ints(attributes, f"{what}_ids"), _floats(attributes, f"{what}_weights")
    for owner, target, weight in zip(owners, ids, weights, strict=True):
        leaf = ~int(number_of[place[owner]])
        if leaf < 0:
            raise ValueError("a split with a weight")
        leaves[leaf, 0 if pair else target] += weight
    children_of_any = {
        (tree, child)
        for (tree, _), kind, *both in zip(names, kinds, yes, no, strict=True)
        if not kind
        for child in both
    }
    roots = tuple(int(number_of[place[name]]) for name in names if name not in children_of_any)
    average = _text(attributes.get("aggregate_function", "SUM"))
    return _checked(splits, leaves, roots, attributes, average, pair)


def _targets(attributes: Attributes, what: str) -> tuple[int, bool]:
    """How many scores there are, and whether one score stands for two classes."""
    if what == "target":
        return int(str(attributes.get("n_targets", 1))), False
    labels = attributes.get("classlabels_int64s") or attributes.get("classlabels_strings")
    classes = len(labels) if isinstance(labels, list) else 0
    if classes < 2:
        raise ValueError("fewer than two classes")
    pair = classes == 2 and set(_ints(attributes, "class_ids")) == {0}  # onnxruntime takes it so for class 0 alone
    return (1 if pair else classes), pair


def _split(feature: int, value: float, mode: str, yes: Ref, no: Ref) -> Split:
    comparison, yes_is_high = _MODES[mode]
    value = float(np.float32(value))
    return Split(feature, value, comparison, *((yes, no) if yes_is_high else (no, yes)))


def _parse_v5(attributes: Attributes) -> Ensemble:
    """Version 5: arrays of splits and of leaves."""
    modes = [_MODES_V5[mode] for mode in _ints(attributes, "nodes_modes")]
    features, values = _ints(attributes, "nodes_featureids"), _floats(attributes, "nodes_splits")
    branches = []
    for branch in ("true", "false"):
        ids, leafs = _ints(attributes, f"nodes_{branch}nodeids"), _ints(attributes, f"nodes_{branch}leafs")
        branches.append([~number if leaf else number for number, leaf in zip(ids, leafs, strict=True)])
    splits = [_split(*of) for of in zip(features, values, modes, *branches, strict=True)]
    targets, weights = _ints(attributes, "leaf_targetids"), _floats(attributes, "leaf_weights")
    leaves = np.zeros((len(targets), int(str(attributes.get("n_targets", 1)))))
    for leaf, (target, weight) in enumerate(zip(targets, weights, strict=True)):
        leaves[leaf, target] = weight
    known = {**attributes, "post_transform": _POST_V5[int(str(attributes.get("post_transform", 0)))]}
    aggregate = _AGGREGATES_V5[int(str(attributes.get("aggregate_function", 1)))]
    # A tree of one leaf is written as a split whose branches are both that leaf, so each root is a split.
    return _checked(splits, leaves, tuple(_ints(attributes, "tree_roots")), known, aggregate, False)


def _checked(
    splits: list[Split], leaves: Floats, roots: tuple[Ref, ...], attributes: Attributes, aggregate: str, pair: bool
) -> Ensemble:
    """The ensemble, its average made a sum. Raises ValueError unless every split and leaf of every tree is reached exactly once from a root."""
    if aggregate not in ("SUM", "AVERAGE") or not roots:
        raise ValueError(aggregate)
    seen: set[Ref] = set()
    open_refs = list(roots)
    while open_refs:
        ref = open_refs.pop()
        if ref in seen and ref >= 0:
            raise ValueError("a split with two parents")
        seen.add(ref)
        if ref >= 0:
            open_refs += [splits[ref].high, splits[ref].low]
        elif ~ref >= len(leaves):
            raise ValueError("a leaf that is not there")
    base = np.array(_floats(attributes, "base_values") if attributes.get("base_values") else [])
    if len(base) not in (0, leaves.shape[1]):
        raise ValueError("base values of another number than targets")
    made = base if len(base) else np.zeros(leaves.shape[1])
    weights = leaves / len(roots) if aggregate == "AVERAGE" else leaves
    return Ensemble(tuple(splits), weights, roots, made, _post(attributes), pair)
