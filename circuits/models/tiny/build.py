"""Compile a two-feature model with written weights (`python -m circuits.models.tiny.build`).

For tests and first steps: it says on which side of a bent line a point lies. Needs no training data and builds in a few seconds.
"""

import sys
from pathlib import Path

import numpy as np

from circuits.cache import Progress, quiet
from circuits.card import InputFeature
from circuits.compile import CircuitSettings
from circuits.mlp import Layer
from circuits.models.assemble import Example, Recipe, Trained, build_entry

RECIPE = Recipe(
    name="tiny",
    version="1.0.0",
    description="Says whether the point (x, y) lies above the line y = |x| - 1. For tests.",
    licence="Apache-2.0",
    data_source="none: the weights are written by hand",
    data_licence="Apache-2.0",
    output_meaning="Logit: above when greater than 0; probability = 1 / (1 + exp(-logit)).",
    labels=("below", "above"),
    circuit=CircuitSettings(scale=12, logrows=9),
    input_range=8.0,
    accuracy_goal=1.0,
)


def train() -> Trained:
    """The written weights, and a grid of points as held-out rows."""
    # y - |x| + 1 = relu(y + 8) - 8 - relu(x) - relu(-x) + 1 for |y| ≤ 8.
    first = Layer(np.array([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]), np.array([0.0, 0.0, 8.0]))
    second = Layer(np.array([[-1.0], [-1.0], [1.0]]), np.array([-7.0]))
    points = [(x / 4, y / 4) for x in range(-8, 9, 4) for y in range(-7, 8, 4)]
    heldout = tuple(Example(row, (x, y), y - abs(x) + 1 > 0) for row, (x, y) in enumerate(points))
    features = (InputFeature("x", 0.0, 1.0), InputFeature("y", 0.0, 1.0))
    return Trained([first, second], features, heldout)


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    return build_entry(RECIPE, Path(__file__), train, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
