"""Rewrites of ai.onnx.ml's operators (exports of scikit-learn, XGBoost and LightGBM) to plain tensors that a circuit takes."""

from circuits.rewrites.linear import linear_to_tensors, normalizer_to_tensors, scaler_to_tensors, scores_only
from circuits.rewrites.trees import trees_to_tensors

__all__ = [
    "CLASSICAL",
    "linear_to_tensors",
    "normalizer_to_tensors",
    "scaler_to_tensors",
    "scores_only",
    "trees_to_tensors",
]

CLASSICAL = (trees_to_tensors, linear_to_tensors, scaler_to_tensors, normalizer_to_tensors, scores_only)
"""In the order in which they are tried: what knows the whole pattern of a classifier comes before what takes one operator away."""
