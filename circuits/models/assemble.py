"""From trained layers to a published model: ONNX, circuit, keys, card and held-out rows in one cache entry.

What every build script shares. The card's numbers are measured here, on the rows that the script held out, with the float model (onnxruntime) beside
the circuit. Raises ModelError when the input range cannot be proven safe or the accuracy is below the script's own goal.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from circuits import cache, mlp
from circuits.cache import Json, Progress
from circuits.card import Card, InputFeature, Measured, write_card
from circuits.catalogue import KIND
from circuits.compile import PACKAGES, CircuitSettings, Srs, compile_model, local_srs, quantised_outputs
from circuits.errors import ModelError
from oracle.protocol.encoding import INT64_MAX, dequantise, quantise

_SOURCES = (
    "circuits/mlp.py",
    "circuits/card.py",
    "circuits/compile.py",
    "circuits/ezkl_child.py",
    "circuits/models/assemble.py",
)
"""A change in any of these makes a new entry."""

_PACKAGES = ("ezkl", "onnx", "onnxruntime", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Example:
    """A held-out row."""

    row: int
    raw: tuple[float, ...]
    positive: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a build script decides."""

    name: str
    version: str
    description: str
    licence: str
    data_source: str
    data_licence: str
    output_meaning: str
    labels: tuple[str, str]
    circuit: CircuitSettings
    input_range: float
    """Largest |standardised input| accepted."""
    accuracy_goal: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gives."""

    layers: list[mlp.Layer]
    features: tuple[InputFeature, ...]
    heldout: tuple[Example, ...]


def build_entry(
    recipe: Recipe,
    script: Path,
    train: Callable[[], Trained],
    *,
    parts: Sequence[Path] = (),
    root: Path | None,
    progress: Progress,
) -> Path:
    """The directory of the model, from the cache or built now. `parts`: other files that `train` rests on; a change makes a new entry."""
    srs = local_srs(recipe.circuit.logrows, root=root, progress=progress)
    sources = {name: (PACKAGES / name).read_bytes() for name in _SOURCES}
    sources |= {f"part {path.name}": path.read_bytes() for path in parts}
    versions = {name: _version(name) for name in _PACKAGES}
    key = cache.content_key(
        {"name": recipe.name, "script": script.read_bytes(), "srs": srs.sha256, **sources, **versions}
    )

    def build(directory: Path) -> Mapping[str, Json]:
        progress(f"Training the model “{recipe.name}”")
        return assemble(directory, recipe, train(), srs, progress)

    return cache.ensure_entry(KIND, key, build, root=root, progress=progress).path


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def assemble(directory: Path, recipe: Recipe, trained: Trained, srs: Srs, progress: Progress) -> Mapping[str, Json]:
    """Write the model into `directory`; returns the facts for its manifest."""
    scale = recipe.circuit.scale
    layers = [mlp.on_grid(layer, scale) for layer in trained.layers]
    limits = mlp.bounds(layers, recipe.input_range, scale)
    bound = int(recipe.input_range * 2**scale)
    _check_limits(recipe, limits, bound)
    mlp.export(layers, directory / "model.onnx", recipe.name)
    rows = [_quantised(recipe, trained.features, example, bound) for example in trained.heldout]
    grid = [list(dequantise(row, scale)) for row in rows]
    compiled = compile_model(
        directory / "model.onnx", directory, recipe.circuit, srs, sample=tuple(grid[0]), progress=progress
    )
    if (compiled.input_scale, compiled.output_scale) != (scale, scale):
        raise ModelError(f"ezkl chose other scales than {scale}: {compiled.input_scale}, {compiled.output_scale}.")
    progress("Measuring accuracy and quantisation error on the held-out rows")
    measured = _measure(directory, grid, trained.heldout, scale)
    if measured.accuracy < recipe.accuracy_goal or measured.error_max > limits.error:
        raise ModelError(f"The model “{recipe.name}” misses its goals: {measured}, error bound {limits.error}.")
    write_card(_card(recipe, trained.features, limits, measured), directory / "card.toml")
    _write_heldout(directory / "heldout.json", recipe, trained, rows)
    return {**compiled.meta(), "name": recipe.name, "input_bound": bound}


def _check_limits(recipe: Recipe, limits: mlp.Bounds, bound: int) -> None:
    circuit = recipe.circuit
    room = circuit.decomp_base**circuit.decomp_legs / 2**circuit.scale
    if limits.preactivation + limits.error >= room:
        raise ModelError(
            f"Inputs of ±{recipe.input_range:g} can reach {limits.preactivation:.0f} inside the circuit, which holds {room:.0f}; "
            "narrow the input range or add a leg."
        )
    if bound >= 1 << 24 or limits.preactivation * 2**circuit.scale >= INT64_MAX:
        raise ModelError("Inputs beyond 24 bits do not pass float32 unchanged; narrow the input range or the scale.")


def _quantised(recipe: Recipe, features: tuple[InputFeature, ...], example: Example, bound: int) -> tuple[int, ...]:
    row = [(value - f.mean) / f.scale for value, f in zip(example.raw, features, strict=True)]
    return quantise(row, recipe.circuit.scale, bound=bound, names=[f.name for f in features])


def _measure(directory: Path, grid: list[list[float]], examples: tuple[Example, ...], scale: int) -> Measured:
    import onnxruntime  # builds alone need it in this process

    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    floats = [float(session.run(None, {"input": np.array([row], np.float32)})[0][0][0]) for row in grid]
    found = [outputs[0] / 2**scale for outputs in quantised_outputs(directory, grid)]
    errors = [abs(a - b) for a, b in zip(found, floats, strict=True)]
    right = sum((value > 0) == example.positive for value, example in zip(found, examples, strict=True))
    return Measured(
        heldout_rows=len(grid),
        accuracy=round(right / len(grid), 4),
        error_max=max(errors),
        error_mean=sum(errors) / len(errors),
        decision_flips=sum((a > 0) != (b > 0) for a, b in zip(found, floats, strict=True)),
    )


def _card(recipe: Recipe, features: tuple[InputFeature, ...], limits: mlp.Bounds, measured: Measured) -> Card:
    return Card(
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        licence=recipe.licence,
        data_source=recipe.data_source,
        data_licence=recipe.data_licence,
        inputs=features,
        output_meaning=recipe.output_meaning,
        labels=recipe.labels,
        input_range=recipe.input_range,
        error_bound=limits.error,
        measured=measured,
    )


def _write_heldout(path: Path, recipe: Recipe, trained: Trained, rows: list[tuple[int, ...]]) -> None:
    names = [feature.name for feature in trained.features]
    written = [
        {
            "row": example.row,
            "label": recipe.labels[example.positive],
            "inputs": list(row),
            "raw": dict(zip(names, example.raw, strict=True)),
        }
        for example, row in zip(trained.heldout, rows, strict=True)
    ]
    path.write_text(json.dumps(written, indent=1) + "\n")
