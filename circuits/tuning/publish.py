"""From a chosen circuit to a model of the catalogue: the same entry that a build script of `circuits.models` makes.

Guarantees: the numbers on the card were measured on held-out rows with the very circuit that is published; an entry appears whole or not at all, and
from the same model, sample and settings it is the same entry. Does not do: search.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from circuits import cache
from circuits.cache import Json, Progress, quiet
from circuits.card import Card, InputFeature, Measured, write_card
from circuits.catalogue import BUILDERS, KIND, ModelArtifacts, open_model
from circuits.compile import PACKAGES, CircuitSettings, Srs, compile_model, quantised_outputs
from circuits.errors import ModelError
from circuits.tuning.floats import FloatModel, Rows
from circuits.tuning.sample import Sample
from circuits.tuning.subject import STRESS_ROWS, Subject
from oracle.protocol import constants
from oracle.protocol.encoding import dequantise, quantise

MOST_HELDOUT = 256
"""Held-out rows that are measured; more cost time and tell little."""

_SOURCES = ("circuits/card.py", "circuits/compile.py", "circuits/ezkl_child.py", "circuits/tuning/publish.py")
"""A change in any of these makes a new entry."""

Places = npt.NDArray[np.intp]
_ERROR_MARGIN = 4.0
_FLOAT32_SHARE = 1e-5
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Labelling:
    """What only the user knows of a model."""

    name: str
    description: str = ""
    licence: str = "unstated"
    data_licence: str = "unstated"
    labels: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise ModelError for a name that the catalogue cannot take."""
        if not _NAME.fullmatch(self.name):
            raise ModelError(
                f"A model's name is a letter and up to 39 letters, digits or dashes in lower case, not “{self.name}”."
            )
        if self.name in BUILDERS:
            raise ModelError(f"“{self.name}” is the name of a model that comes with Sibyl; choose another.")


def publish(
    subject: Subject,
    sample: Sample,
    circuit: CircuitSettings,
    labelling: Labelling,
    srs: Srs,
    *,
    root: Path | None = None,
    deadline: float = 600.0,
    progress: Progress = quiet,
) -> ModelArtifacts:
    """The model as an entry of the catalogue, from the cache or built now. Raises ModelError."""
    labelling.check()
    told = json.dumps([asdict(circuit), asdict(labelling)], sort_keys=True)
    parts: dict[str, str | bytes] = {
        "what": "tuned",
        "onnx": subject.onnx,
        "sample": sample.rows.tobytes(),
        "settings": told,
        "srs": srs.sha256,
    }
    labels = b"" if sample.labels is None else sample.labels.tobytes()
    sources: dict[str, str | bytes] = {name: (PACKAGES / name).read_bytes() for name in _SOURCES}
    key = cache.content_key({**parts, **sources, "labels": labels, "ezkl": version("ezkl"), "source": sample.source})

    def build(directory: Path) -> Mapping[str, Json]:
        return _assemble(directory, subject, sample, circuit, labelling, srs, deadline, progress)

    return open_model(cache.ensure_entry(KIND, key, build, root=root, progress=progress).path)


def _assemble(
    directory: Path,
    subject: Subject,
    sample: Sample,
    circuit: CircuitSettings,
    labelling: Labelling,
    srs: Srs,
    deadline: float,
    progress: Progress,
) -> Mapping[str, Json]:
    (directory / "model.onnx").write_bytes(subject.onnx)
    _, places = sample.split()
    places = places[:MOST_HELDOUT]
    bound = int(np.ceil(subject.largest_input * 2.0**circuit.scale))
    rows = [quantise(row, circuit.scale, bound=bound) for row in sample.rows[places]]
    grid = [list(dequantise(row, circuit.scale)) for row in rows]
    path = directory / "model.onnx"
    compiled = compile_model(path, directory, circuit, srs, sample=tuple(grid[0]), deadline=deadline, progress=progress)
    if compiled.input_scale != circuit.scale:
        raise ModelError(f"ezkl chose the input scale {compiled.input_scale}, not {circuit.scale}.")
    if max(compiled.input_scale, compiled.output_scale) > constants.MAX_SCALE:
        raise ModelError(
            f"The outputs have {compiled.output_scale} bits after the point; chains take {constants.MAX_SCALE} at most."
        )
    progress(f"Measuring the error on {len(places)} held-out rows")
    corners = [quantise(row, circuit.scale, bound=bound) for row in subject.rows[STRESS_ROWS : subject.stressed]]
    edges = [list(dequantise(row, circuit.scale)) for row in corners]
    whole = quantised_outputs(directory, [*grid, *edges], deadline=deadline)
    outputs = [np.array(row, np.float64) / 2.0**compiled.output_scale for row in whole]
    measured = _measure(subject, sample, places, outputs[: len(grid)])
    # What float32 alone can move, should the circuit be exact on all these rows.
    least = 2.0**-compiled.output_scale + _FLOAT32_SHARE * subject.spread
    gap = _largest_gap(subject, outputs, [*grid, *edges])
    bound_of_error = _ERROR_MARGIN * max(gap, measured.error_max) + least
    card = _card(subject, sample, labelling, measured, bound_of_error, len(outputs[0]))
    write_card(card, directory / "card.toml")
    _write_heldout(directory / "heldout.json", card, places, sample, rows, outputs[: len(rows)])
    return {
        **compiled.meta(),
        "name": labelling.name,
        "input_bound": bound,
        "tuned": json.loads(json.dumps(asdict(circuit))),
    }


def _measure(subject: Subject, sample: Sample, places: Places, outputs: list[Rows]) -> Measured:
    """What the card promises: the circuit on rounded inputs against the floats on the inputs as they are."""
    floats = FloatModel(onnx.load_from_string(subject.onnx))
    exact = [_only(floats, row) for row in sample.rows[places]]
    accuracy = subject.compare(outputs, exact)
    truth = None if sample.labels is None else [int(label) for label in sample.labels[places]]
    wanted = truth if truth is not None else [subject.decisions(row) for row in exact]
    right = sum(subject.decisions(row) == label for row, label in zip(outputs, wanted, strict=True))
    return Measured(
        heldout_rows=len(outputs),
        accuracy=round(right / len(outputs), 4),
        error_max=accuracy.error_max,
        error_mean=accuracy.error_mean,
        decision_flips=accuracy.decision_flips,
        labelled=truth is not None,
    )


def _largest_gap(subject: Subject, outputs: list[Rows], grid: list[list[float]]) -> float:
    """Largest difference on the same rounded inputs, which is what nodes compare: held-out rows and corners of the range."""
    floats = FloatModel(onnx.load_from_string(subject.onnx))
    return max(float(np.abs(a - _only(floats, np.array(row))).max()) for a, row in zip(outputs, grid, strict=True))


def _only(model: FloatModel, row: Rows) -> Rows:
    return next(iter(model.outputs(row).values()))


def _card(
    subject: Subject, sample: Sample, labelling: Labelling, measured: Measured, error_bound: float, outputs: int
) -> Card:
    names = labelling.features or tuple(f"x{place}" for place in range(len(subject.low)))
    if len(names) != len(subject.low):
        raise ModelError(f"The model has {len(subject.low)} inputs, but {len(names)} names were given.")
    labels = labelling.labels or (
        ("negative", "positive") if outputs == 1 else tuple(str(place) for place in range(outputs))
    )
    if len(labels) != max(2, outputs):
        raise ModelError(
            f"The model has {outputs} output{'s' if outputs > 1 else ''}, so it takes {max(2, outputs)} labels, not {len(labels)}."
        )
    off = subject.off_circuit
    meaning = (
        "x, the proven output, is the model's own"
        if off is None
        else f"x is proven; the model's own output y is {off.formula}"
    )
    return Card(
        name=labelling.name,
        version="1.0.0",
        description=labelling.description or f"Compiled by sibyl from an ONNX file, calibrated on {sample.source}.",
        licence=labelling.licence,
        data_source=sample.source,
        data_licence=labelling.data_licence,
        inputs=tuple(
            InputFeature(name, 0.0, 1.0, float(low), float(high))
            for name, low, high in zip(names, subject.low, subject.high, strict=True)
        ),
        output_meaning=f"{meaning}; x = fixed point / 2^(output scale).",
        labels=labels,
        input_range=subject.largest_input,
        error_bound=error_bound,
        measured=measured,
        error_bound_derived=False,
        off_circuit="" if off is None else off.function.value,
        formula="" if off is None else off.formula,
    )


def _write_heldout(
    path: Path, card: Card, places: Places, sample: Sample, rows: list[tuple[int, ...]], outputs: list[Rows]
) -> None:
    """Rows to ask with; the label is the true one where the sample has it, else what the circuit says."""
    names = [feature.name for feature in card.inputs]
    written = []
    for place, row, output in zip(places, rows, outputs, strict=True):
        label = card.decide([float(value) for value in output])
        if sample.labels is not None and 0 <= sample.labels[place] < len(card.labels):
            label = card.labels[int(sample.labels[place])]
        raw = {name: float(value) for name, value in zip(names, sample.rows[place], strict=True)}
        written.append({"row": int(place), "label": label, "inputs": list(row), "raw": raw})
    path.write_text(json.dumps(written, indent=1) + "\n")
