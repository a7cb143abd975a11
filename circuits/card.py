"""The model card (`card.toml`): what a model is for, what its numbers mean, and how far to trust them.

A card is written by the model's build from what it measured, and read back here. Nothing in it is needed to check a proof.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from circuits.errors import ModelError
from oracle.protocol.encoding import quantise
from oracle.protocol.errors import EncodeError


@dataclass(frozen=True, slots=True)
class InputFeature:
    """One input: a consumer sends (raw - mean) / scale, in fixed point."""

    name: str
    mean: float
    scale: float
    low: float | None = None
    high: float | None = None
    """The calibrated range of what is sent, where the build knows it: outside of it nobody measured the circuit, and a request is refused."""

    def outside(self, value: float) -> str:
        """Why a value that is sent is refused; empty when it lies within the calibrated range."""
        if (self.low is None or value >= self.low) and (self.high is None or value <= self.high):
            return ""
        low = "-∞" if self.low is None else f"{self._raw(self.low):g}"
        high = "∞" if self.high is None else f"{self._raw(self.high):g}"
        return (
            f"{self.name} is {self._raw(value):g}, outside the calibrated range from {low} to {high}: "
            "the model's accuracy was never measured there, so it does not answer"
        )

    def _raw(self, value: float) -> float:
        return value * self.scale + self.mean


@dataclass(frozen=True, slots=True)
class Measured:
    """What the build measured on rows that the training never saw."""

    heldout_rows: int
    accuracy: float
    """Share of held-out rows whose quantised output gives the true label, or the float model's where `labelled` is false."""
    error_max: float
    """Largest |quantised - float| output."""
    error_mean: float
    decision_flips: int
    """Rows that the quantised output labels otherwise than the float output."""
    labelled: bool = True
    """Whether the build knew the true labels."""


@dataclass(frozen=True, slots=True)
class Card:
    """A parsed card."""

    name: str
    version: str
    description: str
    licence: str
    data_source: str
    data_licence: str
    inputs: tuple[InputFeature, ...]
    output_meaning: str
    labels: tuple[str, ...]
    """With one output: label of an output ≤ 0, label of an output > 0. With several: one label for each, and the largest output decides."""
    input_range: float
    """Largest |standardised input| for which the circuit is shown to work."""
    error_bound: float
    """No answer differs more between float and circuit: nodes refuse one that does."""
    measured: Measured
    error_bound_derived: bool = True
    """Whether the bound follows from the weights for every input within range; else it is a multiple of the largest difference that was measured."""
    off_circuit: str = ""
    """Name of the function that the consumer applies to the proven outputs (a `Function` of `circuits.tuning.rewritten`); empty for none."""
    formula: str = ""
    """That function, exactly: y is the model's output, x the proven ones."""

    def label(self, logit: float) -> str:
        """The label that an output stands for, for a model with one output."""
        return self.labels[1] if logit > 0 else self.labels[0]

    def decide(self, outputs: Sequence[float]) -> str:
        """The label that the outputs of one row stand for; of equal ones the first. Raises ModelError when there are not as many as the model has."""
        if len(outputs) == 1 and len(self.labels) == 2:
            return self.label(outputs[0])
        if len(outputs) != len(self.labels):
            raise ModelError(
                f"The model {self.name} has {len(self.labels)} labels, not {len(outputs)} outputs to choose from."
            )
        return self.labels[max(range(len(outputs)), key=outputs.__getitem__)]

    def quantise_raw(self, raw: Mapping[str, float], scale: int) -> tuple[int, ...]:
        """Inputs of a request from raw features by name.

        Raises ModelError naming a feature that is missing or unknown, EncodeError naming one that is not finite or out of range.
        """
        names = [feature.name for feature in self.inputs]
        if missing := [name for name in names if name not in raw]:
            raise ModelError(f"The model {self.name} needs the feature “{missing[0]}”; it takes {', '.join(names)}.")
        if unknown := [name for name in raw if name not in names]:
            raise ModelError(f"The model {self.name} has no feature “{unknown[0]}”; it takes {', '.join(names)}.")
        try:
            row = [(float(raw[feature.name]) - feature.mean) / feature.scale for feature in self.inputs]
        except OverflowError as error:  # a whole number beyond floats
            raise EncodeError(f"A feature of the model {self.name} is far out of range: {error}.") from error
        quantised = quantise(row, scale, bound=int(self.input_range * 2**scale), names=names)
        self.check_calibrated(quantised, scale)
        return quantised

    def check_calibrated(self, inputs: Sequence[int], scale: int) -> None:
        """Raise EncodeError, naming the feature and its range, when an input in fixed point lies outside what the build calibrated."""
        half = 2.0 ** -(scale + 1)  # a value at the range's end may have been rounded out of it
        for feature, value in zip(self.inputs, inputs, strict=False):
            number = value * 2.0**-scale
            if (why := feature.outside(number)) and feature.outside(number - half) and feature.outside(number + half):
                raise EncodeError(f"{why}.")


def write_card(card: Card, path: Path) -> None:
    """Write a card as TOML."""
    document = tomlkit.document()
    for name in ("name", "version", "description", "licence"):
        document[name] = getattr(card, name)
    document["data"] = {"source": card.data_source, "licence": card.data_licence}
    output = {"meaning": card.output_meaning, "labels": list(card.labels), "error_bound": card.error_bound}
    output["error_bound_derived"] = card.error_bound_derived
    if card.off_circuit:
        output["off_circuit"] = {"function": card.off_circuit, "formula": card.formula}
    document["output"] = output
    document["measured"] = {name: getattr(card.measured, name) for name in Measured.__dataclass_fields__}
    table = tomlkit.table()
    table["range"] = card.input_range
    table["meaning"] = "each input is (raw - mean) / scale, sent as fixed point"
    features = tomlkit.aot()
    for feature in card.inputs:
        described = {"name": feature.name, "mean": feature.mean, "scale": feature.scale}
        calibrated = {"low": feature.low, "high": feature.high}
        features.append(tomlkit.item(described | {name: end for name, end in calibrated.items() if end is not None}))
    table["features"] = features
    document["input"] = table
    path.write_text(tomlkit.dumps(document))


def read_card(path: Path) -> Card:
    """Read a card. Raises ModelError naming the file and what is wrong with it."""
    try:
        found = tomllib.loads(path.read_text())
        return Card(
            name=found["name"],
            version=found["version"],
            description=found["description"],
            licence=found["licence"],
            data_source=found["data"]["source"],
            data_licence=found["data"]["licence"],
            inputs=tuple(
                InputFeature(f["name"], f["mean"], f["scale"], f.get("low"), f.get("high"))
                for f in found["input"]["features"]
            ),
            output_meaning=found["output"]["meaning"],
            labels=_labels(found["output"]["labels"]),
            input_range=found["input"]["range"],
            error_bound=found["output"]["error_bound"],
            measured=Measured(**found["measured"]),
            error_bound_derived=found["output"].get("error_bound_derived", True),
            off_circuit=found["output"].get("off_circuit", {}).get("function", ""),
            formula=found["output"].get("off_circuit", {}).get("formula", ""),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"The model card {path} cannot be read: {error!r}.") from error


def _labels(found: object) -> tuple[str, ...]:
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(label, str) for label in found):
        raise ValueError("a model has at least two labels")
    return tuple(found)


def heldout_rows(path: Path) -> tuple["HeldoutRow", ...]:
    """Read a model's `heldout.json`. Raises ModelError when it is not what a build writes."""
    try:
        return tuple(
            HeldoutRow(row["row"], row["label"], tuple(row["inputs"]), dict(row["raw"]))
            for row in json.loads(path.read_bytes())
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"The held-out rows {path} cannot be read: {error!r}.") from error


@dataclass(frozen=True, slots=True)
class HeldoutRow:
    """One row that the training never saw."""

    row: int
    """Its number in the data set (a patient's index)."""
    label: str
    inputs: tuple[int, ...]
    """As a request carries them."""
    raw: dict[str, float]
