"""From a trained model to a published one: ONNX, circuit, keys, card and held-out rows in one cache entry.

What every build script shares. A script gives the layers of a multilayer perceptron (`Trained`), or a network whose bounds it has proven
(`TrainedNetwork`). The card's numbers are measured here, on the rows that the script held out, with the float model (onnxruntime) beside the circuit.
Raises ModelError when the input range cannot be proven safe or the accuracy is below the script's own goal.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import onnx

from circuits import cache, mlp
from circuits.cache import Json, Progress
from circuits.card import Card, InputFeature, Measured, write_card
from circuits.catalogue import KIND
from circuits.compile import PACKAGES, CircuitSettings, Srs, compile_model, local_srs, quantised_outputs
from circuits.errors import ModelError
from circuits.models.net import Network
from oracle.protocol.encoding import INT64_MAX, dequantise, quantise

_SOURCES = (
    "circuits/mlp.py",
    "circuits/card.py",
    "circuits/compile.py",
    "circuits/ezkl_child.py",
    "circuits/models/assemble.py",
    "circuits/models/net.py",
)
"""A change in any of these makes a new entry."""

_PACKAGES = ("ezkl", "onnx", "onnxruntime", "numpy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Example:
    """A held-out row."""

    row: int
    raw: tuple[float, ...]
    label: int
    """Its place in the recipe's labels (a bool is one of two)."""


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
    labels: tuple[str, ...]
    circuit: CircuitSettings
    input_range: float
    """Largest |standardised input| accepted."""
    accuracy_goal: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What training a multilayer perceptron gives."""

    layers: list[mlp.Layer]
    features: tuple[InputFeature, ...]
    heldout: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """What training anything else gives."""

    network: Network
    features: tuple[InputFeature, ...]
    heldout: tuple[Example, ...]


def build_entry(
    recipe: Recipe,
    script: Path,
    train: Callable[[], Trained | TrainedNetwork],
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


def assemble(
    directory: Path, recipe: Recipe, trained: Trained | TrainedNetwork, srs: Srs, progress: Progress
) -> Mapping[str, Json]:
    """Write the model into `directory`; returns the facts for its manifest."""
    scale = recipe.circuit.scale
    bound = int(recipe.input_range * 2**scale)
    network = trained.network if isinstance(trained, TrainedNetwork) else perceptron(recipe, trained.layers, directory)
    _check_limits(recipe, network, bound)
    onnx.save(network.model, str(directory / "model.onnx"))
    rows = [_quantised(recipe, trained.features, example, bound) for example in trained.heldout]
    grid = [list(dequantise(row, scale)) for row in rows]
    compiled = compile_model(
        directory / "model.onnx", directory, recipe.circuit, srs, sample=tuple(grid[0]), progress=progress
    )
    if (compiled.input_scale, compiled.output_scale) != (scale, network.output_scale):
        raise ModelError(
            f"ezkl chose other scales than {scale} and {network.output_scale}: {compiled.input_scale}, {compiled.output_scale}."
        )
    progress("Measuring accuracy and quantisation error on the held-out rows")
    card = _card(recipe, trained.features, network.error)
    measured = _measure(directory, grid, trained.heldout, card, network.output_scale)
    if measured.accuracy < recipe.accuracy_goal or measured.error_max > network.error:
        raise ModelError(f"The model “{recipe.name}” misses its goals: {measured}, error bound {network.error}.")
    write_card(replace(card, measured=measured), directory / "card.toml")
    _write_heldout(directory / "heldout.json", recipe, trained, rows)
    return {**compiled.meta(), "name": recipe.name, "input_bound": bound}


def perceptron(recipe: Recipe, layers: list[mlp.Layer], directory: Path) -> Network:
    """The network of the layers, written to `directory` on the way."""
    scale = recipe.circuit.scale
    layers = [mlp.on_grid(layer, scale) for layer in layers]
    limits = mlp.bounds(layers, recipe.input_range, scale)
    mlp.export(layers, directory / "model.onnx", recipe.name)
    reach = int((limits.preactivation + limits.error) * 2**scale)
    return Network(onnx.load(str(directory / "model.onnx")), scale, limits.error, reach)


def _check_limits(recipe: Recipe, network: Network, bound: int) -> None:
    circuit = recipe.circuit
    room = circuit.decomp_base**circuit.decomp_legs
    if network.reach >= room:
        raise ModelError(
            f"Inputs of ±{recipe.input_range:g} can reach {network.reach} inside the circuit, which holds {room}; "
            "narrow the input range or add a leg."
        )
    if bound >= 1 << 24 or network.reach >= INT64_MAX:
        raise ModelError("Inputs beyond 24 bits do not pass float32 unchanged; narrow the input range or the scale.")


def _quantised(recipe: Recipe, features: tuple[InputFeature, ...], example: Example, bound: int) -> tuple[int, ...]:
    row = [(value - f.mean) / f.scale for value, f in zip(example.raw, features, strict=True)]
    return quantise(row, recipe.circuit.scale, bound=bound, names=[f.name for f in features])


def _measure(
    directory: Path, grid: list[list[float]], examples: tuple[Example, ...], card: Card, output_scale: int
) -> Measured:
    import onnxruntime  # builds alone need it in this process

    session = onnxruntime.InferenceSession(str(directory / "model.onnx"), providers=["CPUExecutionProvider"])
    floats = [session.run(None, {"input": np.array([row], np.float32)})[0].ravel().tolist() for row in grid]
    found = [dequantise(outputs, output_scale) for outputs in quantised_outputs(directory, grid)]
    errors = [
        max(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in zip(found, floats, strict=True)
    ]
    right = sum(card.decide(value) == card.labels[e.label] for value, e in zip(found, examples, strict=True))
    return Measured(
        heldout_rows=len(grid),
        accuracy=round(right / len(grid), 4),
        error_max=max(errors),
        error_mean=sum(errors) / len(errors),
        decision_flips=sum(card.decide(a) != card.decide(b) for a, b in zip(found, floats, strict=True)),
    )


def _card(recipe: Recipe, features: tuple[InputFeature, ...], error_bound: float) -> Card:
    """The card, but for what is measured."""
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
        error_bound=error_bound,
        measured=Measured(0, 0.0, 0.0, 0.0, 0),
    )


def _write_heldout(path: Path, recipe: Recipe, trained: Trained | TrainedNetwork, rows: list[tuple[int, ...]]) -> None:
    names = [feature.name for feature in trained.features]
    written = [
        {
            "row": example.row,
            "label": recipe.labels[example.label],
            "inputs": list(row),
            "raw": dict(zip(names, example.raw, strict=True)),
        }
        for example, row in zip(trained.heldout, rows, strict=True)
    ]
    path.write_text(json.dumps(written, indent=1) + "\n")
