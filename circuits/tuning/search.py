"""The search for the cheapest settings of one model: probes first, then proofs of the most promising, all within a time budget.

Accuracy depends on the scale and on where products are rounded, cost on how range checks are laid out; so the first are probed with room to spare,
and only what is accurate enough is laid out in several ways. Sizes come from ezkl, costs from `cost` until a proof was made. Guarantees: what is
chosen was proven and verified, within the memory limit; every trial is remembered, so that a search that was interrupted goes on. Does not do: ezkl's
calibration, which is neither deterministic nor near the optimum.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import onnx

from circuits.cache import Progress, quiet
from circuits.compile import CircuitSettings, Srs
from circuits.errors import ModelError
from circuits.tuning.cost import MAX_K, Cost, Shape, cost_of, estimate, smallest_k
from circuits.tuning.subject import STRESS_ROWS, Accuracy, Subject, peak
from circuits.tuning.trials import Measurement, Probe, TrialFailedError, Trials
from oracle.protocol import constants

SCALES = (4, 5, 6, 7, 8, 10, 12, 14)
REBASES = (1, 2, 4, 8)
_ROOMY = CircuitSettings(scale=0, logrows=MAX_K, decomp_base=1 << 14, decomp_legs=4, family=False)
_LEGS = (2, 3, 4, 5, 6, 8)
_MIN_BASE_BITS, _MAX_BASE_BITS = 4, 13
_LOOKUP_MARGIN = 1.5
_MAX_TABLE = 1 << 18
PRIVATE = ("hashed", "polycommit")
_PRIVATE_K = 2
"""How many sizes larger a circuit with private inputs may be."""
_LAID_OUT = 8
"""Pairs of scale and rebase whose layouts are tried."""
_MEASURED = 4
"""Proofs that are made, at most, each of another shape."""
_PROBE_SHARE = 0.4
"""Of the time budget, before proofs begin."""


class Goal(StrEnum):
    """What is to be cheap."""

    PROVE_TIME = "prove-time"
    GAS = "gas"
    MEMORY = "memory"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks of a search."""

    goal: Goal = Goal.GAS
    seconds: float = 300.0
    memory_mb: int = 4096
    max_error: float | None = None
    """Largest error of a proven output that is tolerated; a hundredth of the outputs' spread unless given."""
    any_shape: bool = False
    """Also choose circuits outside the one-column family, which Solana cannot check."""
    private: bool = False
    """Also measure what the chosen circuit costs with inputs that no chain sees."""


@dataclass(frozen=True, slots=True)
class Option:
    """One circuit, with what it gives and costs."""

    circuit: CircuitSettings
    output_scale: int
    accuracy: Accuracy
    shape: Shape
    cost: Cost
    measured: bool

    @property
    def family(self) -> bool:
        """Whether the circuit belongs to the one-column family."""
        return self.shape.in_family


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    options: tuple[Option, ...]
    chosen: Option
    notes: tuple[str, ...]
    """What the user should know: limits that bit, trials that failed."""
    private: tuple[Option, ...] = ()
    """The chosen circuit with hashed and with committed inputs, for comparison."""


def search(
    subject: Subject, wish: Wish, trials: Trials, srs: Callable[[int], Srs], progress: Progress = quiet
) -> Found:
    """The best circuit for the wish, and all that were looked at. Raises ModelError, saying what to change, when there is none."""
    return _Search(subject, wish, trials, srs, progress).run()


class _Search:
    def __init__(
        self, subject: Subject, wish: Wish, trials: Trials, srs: Callable[[int], Srs], progress: Progress
    ) -> None:
        self._subject, self._wish, self._trials, self._srs, self._progress = subject, wish, trials, srs, progress
        self._began = time.monotonic()
        self._notes = list[str]()
        self._failures = list[str]()
        self._limit = subject.tolerated if wish.max_error is None else wish.max_error
        tested = subject.rows[: subject.stressed]
        self._peak = peak(onnx.load_from_string(subject.onnx), tested)
        self._speed = 1.0
        """This machine's seconds for each of the cost model's."""

    def run(self) -> Found:
        options = [option for accurate in self._accurate() for option in self._layouts(*accurate)]
        eligible = self._eligible(options)
        measured = self._measure(eligible)
        chosen = min(measured, key=self._rank)
        self._note_choice(chosen)
        rest = [option for option in options if all(option.circuit != one.circuit for one in measured)]
        private = tuple(self._private(chosen)) if self._wish.private else ()
        return Found((*measured, *(self._corrected(one) for one in rest)), chosen, tuple(self._notes), private)

    def _left(self) -> float:
        return self._wish.seconds - (time.monotonic() - self._began)

    def _accurate(self) -> list[tuple[CircuitSettings, Probe, Accuracy]]:
        """Scales and rebases, the most promising first: those within the tolerated error, or the nearest when none is."""
        found = list[tuple[CircuitSettings, Probe, Accuracy]]()
        pairs = [(scale, rebase) for scale in SCALES if self._subject.takes_scale(scale) for rebase in REBASES]
        if not pairs:
            raise ModelError(
                f"Inputs of ±{self._subject.largest_input:g} are too large for fixed point; scale the features to a smaller range before the model."
            )
        deepest = max(REBASES)
        for number, (scale, rebase) in enumerate(_spread_out(pairs)):
            if rebase > deepest:
                continue
            if found and self._left() < (1 - _PROBE_SHARE) * self._wish.seconds:
                self._notes.append(f"The time budget ended the search after {number} of {len(pairs)} scales.")
                break
            self._progress(f"Probing scale {scale}, products rounded after {rebase}× ({number + 1} of {len(pairs)})")
            circuit = replace(_ROOMY, scale=scale, rebase_multiplier=rebase)
            probe = self._probe(circuit, len(self._subject.rows))
            if probe is not None and any(_same(probe, one) for _, one, _ in found):
                deepest = rebase // 2  # the model is too shallow for more, at any scale
            elif probe is not None:
                accuracy = self._subject.accuracy(probe.outputs, probe.output_scale)
                found.append((circuit, probe, accuracy))
        if not found:
            raise ModelError(
                f"ezkl makes no circuit of this model: {self._failures[-1] if self._failures else 'no time was left.'}"
            )
        good = [one for one in found if one[2].error_max <= self._limit and not one[2].decision_flips]
        if not good:
            good = sorted(found, key=lambda one: (one[2].decision_flips, one[2].error_max))[:2]
            self._notes.append(
                f"No scale keeps the error within {self._limit:.3g} without a changed decision; the most accurate are used."
            )
        if self._wish.goal is Goal.ACCURACY:
            return sorted(good, key=lambda one: (one[2].decision_flips, one[2].error_max))[:_LAID_OUT]
        return sorted(good, key=self._smallness)[:_LAID_OUT]

    def _smallness(self, accurate: tuple[CircuitSettings, Probe, Accuracy]) -> tuple[float, ...]:
        circuit, probe, accuracy = accurate
        return smallest_k(probe.rows, 2 * self._lookup_range(circuit, probe)[1]), probe.rows, accuracy.error_max

    def _probe(self, circuit: CircuitSettings, count: int) -> Probe | None:
        try:
            probe = self._trials.probe(circuit, count, max(2.0, self._left() / 8))
        except TrialFailedError as error:
            self._failures.append(str(error))
            return None
        if probe.output_scale > constants.MAX_SCALE:  # no chain takes it
            bits = f"{probe.output_scale} bits after the point, more than {constants.MAX_SCALE}"
            self._failures.append(f"its outputs have {bits}")
            return None
        return probe if len(probe.outputs) >= min(count, self._subject.stressed + 1) else None

    def _layouts(self, roomy: CircuitSettings, known: Probe, accuracy: Accuracy) -> Iterator[Option]:
        """The circuits of one scale and rebase: range checks in several forms, columns, k."""
        lookup_range = self._lookup_range(roomy, known)
        if lookup_range[1] * 2 > _MAX_TABLE:
            self._failures.append(f"its lookup tables would have {2 * lookup_range[1]:,} rows")
            return
        for bits in self._bits(roomy, known):
            held = False
            for legs in _LEGS:
                base_bits = max(_MIN_BASE_BITS, math.ceil(bits / legs))
                if base_bits > _MAX_BASE_BITS:
                    continue
                circuit = replace(roomy, decomp_base=1 << base_bits, decomp_legs=legs)
                probe = self._probe(circuit, self._subject.stressed)
                if probe is None:
                    break  # the stress rows ask for more bits
                held = True
                for shape in self._shapes(probe, lookup_range, base_bits):
                    final = replace(
                        circuit,
                        logrows=shape.k,
                        inner_cols=shape.columns,
                        lookup_range=lookup_range,
                        family=shape.in_family,
                    )
                    yield Option(final, known.output_scale, accuracy, shape, estimate(shape), measured=False)
                if smallest_k(probe.rows) > base_bits:
                    break  # more legs are more rows, and the table is not what asks for this k
            if held:
                return

    def _lookup_range(self, roomy: CircuitSettings, known: Probe) -> tuple[int, int]:
        """What the tables must hold: what rows within the calibrated range sent there, and half as much again."""
        if not known.lookups:
            return (0, 0)
        reach = math.ceil(_LOOKUP_MARGIN * max(1 << roomy.scale, *known.lookup_inputs[STRESS_ROWS:]))
        return (-reach, reach)

    def _bits(self, roomy: CircuitSettings, known: Probe) -> list[int]:
        """Bits that hold the largest inner value; the tightest guess first, which the stress rows may refuse."""
        largest = math.ceil(math.log2(max(self._peak, 2.0))) + 1
        scales = {roomy.scale, max(known.output_scale - roomy.scale, roomy.scale), max(known.output_scale, roomy.scale)}
        return sorted(largest + scale for scale in scales)

    def _shapes(self, probe: Probe, lookup_range: tuple[int, int], base_bits: int) -> Iterator[Shape]:
        tables = lookup_range[1] - lookup_range[0]
        instances = probe.input_count + probe.output_count
        for columns in (1, 2):
            rows = math.ceil(probe.rows / columns)
            whole = max(smallest_k(rows, tables), base_bits + 1, smallest_k(instances))
            for k in (whole, whole - 1):
                if base_bits < k <= MAX_K and smallest_k(instances) <= k and (k == whole or columns == 1):
                    yield Shape(rows, columns, k, instances, tables)

    def _eligible(self, options: list[Option]) -> list[Option]:
        """What may be chosen, the best by estimate first. Raises ModelError when nothing may."""
        if not options:
            why = self._failures[-1] if self._failures else "its lookup tables would be too large"
            raise ModelError(f"No circuit holds the whole range of inputs: {why}")
        small = [option for option in options if option.cost.memory_mb <= self._wish.memory_mb]
        if not small:
            least = min(option.cost.memory_mb for option in options)
            raise ModelError(
                f"The smallest circuit needs about {least:,.0f} MB to prove, more than the limit of {self._wish.memory_mb:,} MB; "
                "raise --memory, make the model smaller or tolerate a larger error."
            )
        shaped = [option for option in small if option.family or self._wish.any_shape]
        if not shaped:
            shaped = small
            self._notes.append(
                "No circuit fits the one-column family, so proofs can be checked on EVM chains only, and cost more gas there."
            )
        return sorted((one for one in shaped if one.cost.deployable), key=self._rank) or sorted(shaped, key=self._rank)

    def _rank(self, option: Option) -> tuple[float, ...]:
        # Not the measured seconds, which are never twice the same: time and memory follow this product.
        work = float(option.cost.proof_length << option.circuit.logrows)
        cost, accuracy = option.cost, option.accuracy
        match self._wish.goal:
            case Goal.PROVE_TIME:
                return (work, cost.gas, accuracy.error_max)
            case Goal.GAS:
                return (cost.gas, work, accuracy.error_max)
            case Goal.MEMORY:
                return (work, accuracy.error_max, cost.gas)
            case Goal.ACCURACY:
                return (accuracy.decision_flips, accuracy.error_max, cost.gas, work)

    def _measure(self, eligible: list[Option]) -> list[Option]:
        """Proofs of the best, while there is time. The first is always made."""
        measured = list[Option]()
        for option in eligible:
            if any(_no_better(option, other) for other in measured):
                continue
            expected = self._speed * (option.cost.prove_seconds + option.cost.setup_seconds)
            if measured and (len(measured) >= _MEASURED or expected > self._left()):
                break
            text = f"k={option.circuit.logrows}, scale {option.circuit.scale}, about {expected:.0f} s"
            self._progress(f"Proving with {text}")
            try:
                made = self._trials.measure(
                    option.circuit, self._srs(option.circuit.logrows), self._wish.memory_mb, 60 + 6 * expected
                )
            except TrialFailedError as error:
                self._failures.append(str(error))
                continue
            self._speed = made.prove_seconds / option.cost.prove_seconds
            measured.append(_measured(option, made))
        if not measured:
            raise ModelError(f"None of the circuits could be proven: {self._failures[-1] if self._failures else ''}")
        return measured

    def _private(self, chosen: Option) -> Iterator[Option]:
        """Proofs of the chosen circuit with private inputs. The hash takes rows too: the smallest k that holds both."""
        for visibility in PRIVATE:
            for k in range(chosen.circuit.logrows, min(chosen.circuit.logrows + _PRIVATE_K, MAX_K) + 1):
                self._progress(f"Proving with {visibility} inputs, k={k}")
                circuit = replace(chosen.circuit, logrows=k, input_visibility=visibility, family=False)
                try:
                    made = self._trials.measure(
                        circuit, self._srs(k), self._wish.memory_mb, 120 + 12 * self._speed * chosen.cost.prove_seconds
                    )
                except TrialFailedError as error:
                    self._failures.append(str(error))
                    continue
                shape = replace(chosen.shape, k=k, instances=made.instances)
                yield _measured(replace(chosen, circuit=circuit, shape=shape), made)
                break
            else:
                self._notes.append(f"No proof with {visibility} inputs was made: {self._failures[-1]}")

    def _corrected(self, option: Option) -> Option:
        cost = option.cost
        corrected = replace(
            cost,
            prove_seconds=cost.prove_seconds * self._speed,
            setup_seconds=cost.setup_seconds * self._speed,
        )
        return replace(option, cost=corrected)

    def _note_choice(self, chosen: Option) -> None:
        if not chosen.cost.deployable:
            self._notes.append(
                "Its verifier is larger than an EVM contract may be: it cannot be registered with proofs on chain."
            )
        if chosen.accuracy.rows < len(self._subject.heldout[: len(self._subject.rows) - self._subject.stressed]):
            self._notes.append(f"There was time for {chosen.accuracy.rows} held-out rows in a probe.")


def _measured(option: Option, made: Measurement) -> Option:
    gas = cost_of(option.circuit.logrows, made.proof_length, made.instances).gas
    cost = Cost(made.prove_seconds, made.setup_seconds, made.memory_mb, gas, made.proof_length)
    return replace(option, cost=cost, measured=True)


def _no_better(option: Option, other: Option) -> bool:
    """Whether an option is dearer than, or as dear as, another and no more accurate: then its proof need not be made."""
    return (
        option.circuit.logrows >= other.circuit.logrows
        and option.cost.proof_length >= other.cost.proof_length
        and option.accuracy.error_max >= other.accuracy.error_max
    )


def _same(one: Probe, other: Probe) -> bool:
    """Whether two probes are of the same circuit: a rebase that a shallow model never reaches changes nothing."""
    return one.rows == other.rows and one.output_scale == other.output_scale and one.outputs == other.outputs


def _spread_out(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Middle scales first: they are the most likely to be chosen, should the time end."""
    return sorted(pairs, key=lambda pair: (abs(pair[0] - 8), pair[1]))
