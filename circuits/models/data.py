"""scikit-learn's bundled data sets for the build scripts: loaded, put on the fixed-point grid, split by a seed. For builds only.

Nothing is downloaded. Rows are rounded to the grid that a request's inputs have before anything is trained, so that what a model learns is what it is
asked.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from circuits.card import InputFeature
from circuits.errors import ModelError
from circuits.models.assemble import Example

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
SEED = 2026


@dataclass(frozen=True, slots=True)
class Split:
    """Rows that training sees, and a stratified share that it does not. `rows` are raw, `inputs` what a request carries."""

    features: tuple[InputFeature, ...]
    rows: Floats
    inputs: Floats
    labels: Labels
    seen: tuple[int, ...]
    heldout: tuple[int, ...]

    def examples(self) -> tuple[Example, ...]:
        """The held-out rows."""
        return tuple(Example(row, tuple(map(float, self.rows[row])), int(self.labels[row])) for row in self.heldout)


def bundled(name: str, **options: bool) -> Any:  # scikit-learn has no types
    """A data set of scikit-learn's: `load_<name>`. Raises ModelError when scikit-learn is not installed."""
    try:
        import sklearn.datasets
    except ImportError as error:
        raise ModelError("Training needs scikit-learn; install sibyl[build] or copy a built model.") from error
    return getattr(sklearn.datasets, f"load_{name}")(**options)


def split(rows: Floats, labels: Labels, features: tuple[InputFeature, ...], scale: int, share: float = 0.2) -> Split:
    """The rows as inputs on the grid of `scale` bits, a share of them held out."""
    from sklearn.model_selection import train_test_split

    inputs = (rows - [f.mean for f in features]) / [f.scale for f in features]
    inputs = np.sign(inputs) * np.floor(np.abs(inputs) * 2.0**scale + 0.5) / 2.0**scale
    chosen = train_test_split(range(len(labels)), test_size=share, random_state=SEED, stratify=labels)
    seen, heldout = (tuple(sorted(part)) for part in chosen)
    return Split(features, rows, inputs, labels, seen, heldout)


def halved(names: list[str], rows: Floats) -> tuple[InputFeature, ...]:
    """Features that are sent divided by a power of two, so that those of `rows` lie within ±1: all that trees need, and exact."""
    largest = np.abs(rows).max(axis=0)
    return tuple(
        InputFeature(_plain(name), 0.0, 2.0 ** math.ceil(math.log2(top)))
        for name, top in zip(names, largest, strict=True)
    )


def standardised(names: list[str], rows: Floats) -> tuple[InputFeature, ...]:
    """Features that are sent as (raw - mean) / deviation over `rows`, with six digits."""
    columns = zip(names, rows.T, strict=True)
    return tuple(InputFeature(_plain(name), _six(column.mean()), _six(column.std())) for name, column in columns)


def _plain(name: str) -> str:
    return name.replace(" ", "_").replace("/", "_per_")


def _six(value: float) -> float:
    return float(f"{value:.6g}")
