"""A sample of a model's inputs (`.npz` or `.npy`), checked before anything is computed from it, and split once into calibration and held-out rows.

Guarantees: at least one row, every value finite, one shape. The split depends on the rows alone, so that a search that is taken up again judges by
the same held-out rows. Does not do: decide whether the rows are typical of what will be asked; only their owner knows.
"""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from circuits.errors import ModelError
from circuits.tuning.floats import Rows

LABELS = ("labels", "label", "y", "target")
"""Keys under which a sample may hold the true classes."""

HELDOUT_SHARE = 3
"""One row of so many is held out."""

_MAX_VALUES = 1 << 26


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of inputs, flattened, and what they were."""

    rows: Rows
    shape: tuple[int, ...]
    """Of one row, without the batch."""
    labels: npt.NDArray[np.int64] | None
    """The true class of each row, when the file holds it."""
    source: str
    """The file's name, for the card."""

    def split(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Indices of the calibration rows and of the held-out rows. Raises ModelError when there are fewer than two rows."""
        count = len(self.rows)
        if count < 2:
            raise ModelError(
                "The sample has one row; accuracy is measured on rows that the tuning does not see, so give two or more (fifty are better)."
            )
        seed = int.from_bytes(hashlib.sha256(self.rows.tobytes()).digest()[:8])
        order = np.random.default_rng(seed).permutation(count)
        heldout = max(1, count // HELDOUT_SHARE)
        return np.sort(order[heldout:]), np.sort(order[:heldout])


def read_sample(path: Path, input_name: str | None = None) -> Sample:
    """The sample in `path`: a `.npy` array, or a `.npz` whose array has the input's name or is the only one besides labels.

    Raises ModelError, in a sentence, for a file that is missing, damaged or empty, for keys that do not fit, and for values that are not finite.
    """
    arrays = _load(path)
    labels = next((arrays.pop(name) for name in LABELS if name in arrays and len(arrays) > 1), None)
    if not arrays:
        raise ModelError(f"The sample {path.name} holds no arrays.")
    if input_name in arrays:
        values = arrays[input_name]
    elif len(arrays) == 1 and (
        path.suffix == ".npy" or input_name is None or set(arrays) <= {"x", "X", "data", "arr_0", "input", "inputs"}
    ):
        values = next(iter(arrays.values()))
    else:
        raise ModelError(
            f"The sample {path.name} holds {', '.join(f'“{name}”' for name in sorted(arrays))}, "
            f"but the model's input is called “{input_name}”; save the rows under that name: np.savez(file, {input_name}=rows)."
        )
    rows = _checked(path, values)
    return Sample(rows.reshape(len(rows), -1), values.shape[1:], _checked_labels(path, labels, len(rows)), path.name)


def _load(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with path.open("rb") as handle:
            found = np.load(handle, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return {"": found}
            return {name: found[name] for name in found.files}
    except OSError as error:
        raise ModelError(f"The sample {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"The sample {path.name} is not a numpy file of plain numbers (.npz or .npy), or it is damaged: {error}."
        ) from error


def _checked(path: Path, values: npt.NDArray[np.generic]) -> Rows:
    if values.dtype.kind not in "fiub":
        raise ModelError(f"The sample {path.name} holds values of type {values.dtype}; give numbers.")
    if values.ndim < 2:
        raise ModelError(
            f"The sample {path.name} has the shape {values.shape}; its first dimension counts rows and the others are the model's input, "
            "so a single row is rows[None]."
        )
    if not values.size:
        raise ModelError(f"The sample {path.name} is empty (its shape is {values.shape}); give some rows of real data.")
    if values.size > _MAX_VALUES:
        raise ModelError(f"The sample {path.name} holds {values.size:,} values; some hundred rows are enough.")
    rows = values.astype(np.float64)
    bad = np.argwhere(~np.isfinite(rows.reshape(len(rows), -1)))
    if len(bad):
        row, place = (int(part) for part in bad[0])
        value = rows.reshape(len(rows), -1)[row, place]
        raise ModelError(
            f"The sample {path.name} holds {value} at input {place} of row {row} ({len(bad)} such value{'s' if len(bad) > 1 else ''}); "
            "a circuit knows finite numbers only: fill or drop them."
        )
    return rows


def _checked_labels(path: Path, labels: npt.NDArray[np.generic] | None, rows: int) -> npt.NDArray[np.int64] | None:
    if labels is None:
        return None
    if labels.shape not in ((rows,), (rows, 1)) or labels.dtype.kind not in "iub":
        raise ModelError(
            f"The labels in {path.name} have the shape {labels.shape} and type {labels.dtype}; give one whole number for each of the {rows} rows."
        )
    return labels.astype(np.int64).ravel()
