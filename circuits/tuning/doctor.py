"""`sibyl model doctor`: whether a model can be proven here, in plain words, before any long work.

Guarantees: a verdict for any file whatever, each problem with what to do about it; no more than a minute's work (one circuit is laid out, no key is
made); estimates by `cost` from ezkl's own count of rows. Does not do: search, prove or change anything.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from circuits.cache import Progress, quiet
from circuits.compile import CircuitSettings
from circuits.errors import ModelError
from circuits.tuning.cost import MAX_K, Cost, Shape, estimate, smallest_k
from circuits.tuning.inspect import ModelFacts, facts_of, read_model, with_shape
from circuits.tuning.operators import LOOKUP_OPERATORS, problem_of
from circuits.tuning.rewrite import Prepared, rewrite_all
from circuits.tuning.sample import Sample, read_sample
from circuits.tuning.subject import STRESS_ROWS, Subject, make_subject, peak
from circuits.tuning.trials import TrialFailedError, Trials
from oracle.protocol import constants

CHECKED_ROWS = 64
"""Rows of the sample on which rewrites are checked."""

_SCALE, _LEGS = 8, 3
_PROBE_SECONDS = 20.0
_OUTLIER = 50.0
_UNLIKE = 1000.0
_MANY_INPUTS = 64


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an untuned but sensible circuit of the model would take."""

    shape: Shape
    cost: Cost
    lookups: int


@dataclass(slots=True)
class Verdict:
    """What the doctor says."""

    facts: ModelFacts | None = None
    problems: list[str] = field(default_factory=list)
    """Why the model cannot be proven, each with what to do. None: it can."""
    rewrites: tuple[str, ...] = ()
    """What `compile` would do to the model first."""
    remarks: list[str] = field(default_factory=list)
    """What is worth knowing of the sample."""
    cheaper: list[str] = field(default_factory=list)
    """What would make proofs cheaper."""
    off_circuit: str = ""
    """What a consumer would apply to the proven outputs."""
    estimate: Estimate | None = None
    accuracy: str = ""

    @property
    def provable(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Examined:
    """A model and its sample that passed everything that needs no circuit."""

    prepared: Prepared
    sample: Sample
    subject: Subject


def examine(model_path: Path, sample_path: Path, progress: Progress = quiet) -> Examined:
    """The model, ready for trials. Raises ModelError, in a sentence, for whatever stands in the way."""
    model = read_model(model_path)
    facts = facts_of(model)
    _check_form(facts)
    sample = read_sample(sample_path, facts.inputs[0].name)
    shaped = with_shape(model, sample.shape)
    progress("Rewriting the model and checking it against onnxruntime")
    prepared = rewrite_all(shaped, sample.rows[:CHECKED_ROWS], progress=progress)
    after = facts_of(prepared.model)
    if problems := [found for name, _ in after.operators if (found := problem_of(name))]:
        raise ModelError(" ".join(problems))
    if len(after.outputs) != 1:
        names = ", ".join(output.name for output in after.outputs)
        raise ModelError(
            f"The model has {len(after.outputs)} outputs ({names}); a circuit proves one: export it with the one that counts."
        )
    subject = make_subject(prepared, sample)
    _check_counts(len(subject.low), len(subject.floats[0]))
    return Examined(prepared, sample, subject)


def diagnose(model_path: Path, sample_path: Path, root: Path | None = None, progress: Progress = quiet) -> Verdict:
    """The verdict. Never raises for a bad model or sample: that is what it tells of."""
    verdict = Verdict()
    try:
        verdict.facts = facts_of(read_model(model_path))
        examined = examine(model_path, sample_path, progress)
    except ModelError as error:
        verdict.problems.append(str(error))
        return verdict
    verdict.rewrites = examined.prepared.steps
    verdict.remarks += [f"Not done: {text}." for text in examined.prepared.refused]
    if examined.prepared.off_circuit:
        verdict.off_circuit = examined.prepared.off_circuit.formula
    verdict.remarks += _sample_remarks(examined.sample)
    try:
        progress("Laying out a circuit")
        _estimate(verdict, examined, root)
    except ModelError as error:
        verdict.problems.append(f"ezkl makes no circuit of this model: {error}")
        return verdict
    verdict.cheaper += _cheaper(facts_of(examined.prepared.model), examined.subject, verdict.estimate)
    return verdict


def _check_form(facts: ModelFacts) -> None:
    """Raise ModelError unless there is one input of numbers."""
    if len(facts.inputs) != 1:
        names = ", ".join(f"“{entry.name}”" for entry in facts.inputs) or "none"
        raise ModelError(
            f"A model has exactly one input tensor; this one has {names}: concatenate them into one and split it inside."
        )
    entry = facts.inputs[0]
    if entry.dtype not in ("float", "double", "float16", "bfloat16"):
        raise ModelError(
            f"The model's input {entry} is not of floating point; export the model with float32 inputs and convert inside."
        )
    if not entry.shape:
        raise ModelError(f"The model's input {entry} has no dimensions; export it as a batch of one row.")


def _check_counts(inputs: int, outputs: int) -> None:
    """Raise ModelError when a request or an answer would be longer than the protocol allows."""
    if inputs > constants.MAX_INPUTS:
        raise ModelError(
            f"The model takes {inputs:,} inputs; a request carries {constants.MAX_INPUTS:,} at most: use fewer features."
        )
    if outputs > constants.MAX_OUTPUTS:
        raise ModelError(
            f"The model gives {outputs:,} outputs; an answer carries {constants.MAX_OUTPUTS:,} at most: reduce them inside."
        )


def _estimate(verdict: Verdict, examined: Examined, root: Path | None) -> None:
    subject = examined.subject
    if not subject.takes_scale(_SCALE):
        verdict.problems.append(
            f"Inputs of ±{subject.largest_input:,.0f} are too large for fixed point with {_SCALE} bits after the point; "
            "scale the features to a smaller range before the model (and train it so)."
        )
        return
    largest = peak(onnx.load_from_string(subject.onnx), subject.rows[: subject.stressed])
    bits = math.ceil(math.log2(max(largest, 2.0))) + 1 + _SCALE
    base_bits = max(4, math.ceil(bits / _LEGS))
    circuit = CircuitSettings(scale=_SCALE, logrows=MAX_K, decomp_base=1 << base_bits, decomp_legs=_LEGS, family=False)
    probe = Trials(subject.onnx, subject.rows, root).probe(circuit, len(subject.rows), _PROBE_SECONDS)
    tables = 3 * max(probe.lookup_inputs[STRESS_ROWS:], default=0) if probe.lookups else 0
    instances = probe.input_count + probe.output_count
    k = max(smallest_k(probe.rows, tables), base_bits + 1, smallest_k(instances))
    shape = Shape(probe.rows, 1, k, instances, tables)
    verdict.estimate = Estimate(shape, estimate(shape), probe.lookups)
    if k > MAX_K:
        verdict.problems.append(
            f"Its circuit needs 2^{k} rows, more than the 2^{MAX_K} that can be proven here; make the model smaller."
        )
    try:
        found = subject.accuracy(probe.outputs, probe.output_scale)
    except ModelError as error:
        raise TrialFailedError(str(error)) from error
    flips = f"{found.decision_flips} of {found.rows} held-out decisions changed"
    verdict.accuracy = f"at scale {_SCALE}, untuned: error at most {found.error_max:.3g}, {flips}"


def _sample_remarks(sample: Sample) -> list[str]:
    """What a careful look at the rows shows."""
    rows, remarks = sample.rows, list[str]()
    if len(rows) < 20:
        remarks.append(
            f"The sample has {len(rows)} rows only; accuracy and the calibrated range rest on them. Fifty or more are better."
        )
    if sample.labels is None:
        remarks.append(
            "The sample holds no labels, so the card will tell agreement with the float model, not accuracy (add an array “labels”)."
        )
    middle = np.median(rows, axis=0)
    usual = np.median(np.abs(rows - middle), axis=0)
    distance = np.abs(rows - middle) / np.where(usual > 0, usual, np.inf)
    if float(distance.max(initial=0.0)) > _OUTLIER:
        row, place = (int(part) for part in np.unravel_index(int(distance.argmax()), distance.shape))
        remarks.append(
            f"Input {place} is {rows[row, place]:g} in row {row}, {distance[row, place]:,.0f} times its usual distance from the middle: is that row "
            "right? The calibrated range will include it, which costs digits."
        )
    sizes = np.abs(rows).max(axis=0)
    sizes = sizes[sizes > 0]
    if len(sizes) and float(sizes.max() / sizes.min()) > _UNLIKE:
        remarks.append(
            f"The largest input is {sizes.max() / sizes.min():,.0f} times the smallest: at one fixed-point scale the small ones lose their digits. "
            "Standardise the features before the model."
        )
    return remarks


def _cheaper(facts: ModelFacts, subject: Subject, found: Estimate | None) -> list[str]:
    advice = list[str]()
    inside = [f"{name} ({count}×)" for name, count in facts.operators if name in LOOKUP_OPERATORS]
    if inside:
        advice.append(
            f"{', '.join(inside)} inside the network needs lookup tables, which the one-column family does not have: proofs cost two to four times "
            "as much and cannot be checked on Solana. Train with Relu, LeakyRelu or HardSigmoid instead."
        )
    if found is None:
        return advice
    inputs = len(subject.low)
    if inputs > _MANY_INPUTS:
        advice.append(
            f"{inputs} public inputs cost about {1100 * inputs:,} gas of each proof; fewer features, or a smaller image, save that."
        )
    spare = found.shape.rows / (1 << found.shape.k)
    if spare < 0.55 and found.shape.k > 7:
        advice.append(
            f"It fills {spare:.0%} of 2^{found.shape.k} rows: slightly fewer operations would halve the work. `compile` looks for that."
        )
    else:
        advice.append(
            f"It fills {spare:.0%} of 2^{found.shape.k} rows: `compile` looks for a layout that fits 2^{found.shape.k - 1}."
        )
    return advice
