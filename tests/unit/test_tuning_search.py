"""What the search chooses, judged with trials that are computed instead of run; the cost model against what was measured; the front and its plot."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from circuits.compile import CircuitSettings, Srs
from circuits.errors import ModelError
from circuits.tuning.cost import Shape, cost_of, estimate, smallest_k
from circuits.tuning.operators import problem_of
from circuits.tuning.pareto import front_table, merits, pareto_front, plot
from circuits.tuning.rewrite import rewrite_all
from circuits.tuning.sample import Sample
from circuits.tuning.search import Found, Goal, Option, Wish, search
from circuits.tuning.subject import CORNER_ROWS, STRESS, Subject, calibrated_range, make_subject
from circuits.tuning.trials import Measurement, Probe, TrialFailedError, Trials
from tests.support.tuning_models import draw, mlp


@pytest.fixture(scope="module")
def subject() -> Subject:
    sample = Sample(draw(3).normal(size=(60, 4)), (4,), None, "drawn.npz")
    return make_subject(rewrite_all(mlp([4, 3, 1], last="Sigmoid"), sample.rows), sample)


class ComputedTrials(Trials):
    """An ezkl of arithmetic: errors halve with each bit of scale, rows follow legs, a proof has the length that the cost model says."""

    def __init__(self, subject: Subject, *, lookups: int = 0, rows: int = 100, fails: str = "") -> None:
        self._subject, self._lookups, self._base_rows, self._fails = subject, lookups, rows, fails
        self.measured: list[CircuitSettings] = []

    def probe(self, circuit: CircuitSettings, count: int, seconds: float) -> Probe:
        if self._fails:
            raise TrialFailedError(self._fails)
        scale = circuit.scale * min(circuit.rebase_multiplier, 2)
        wrong = 2.0 ** -(circuit.scale - 2)
        values = [[round(float(x + wrong) * 2**scale) for x in row] for row in self._subject.floats[:count]]
        rows = self._base_rows * circuit.decomp_legs // circuit.rebase_multiplier
        arguments = (1 << circuit.scale,) * len(values)
        return Probe(rows, scale, 4, 1, self._lookups, arguments, tuple(map(tuple, values)))

    def measure(self, circuit: CircuitSettings, srs: Srs, memory_mb: int, deadline: float) -> Measurement:
        self.measured.append(circuit)
        tables = circuit.lookup_range[1] - circuit.lookup_range[0]
        shape = Shape(self._base_rows * circuit.decomp_legs, circuit.inner_cols, circuit.logrows, 5, tables)
        cost = cost_of(circuit.logrows, 1952 if circuit.family else shape.proof_length + 64, 5)
        return Measurement(cost.setup_seconds, cost.prove_seconds, cost.memory_mb, cost.proof_length, 5)


def no_srs(k: int) -> Srs:
    return Srs(Path("nowhere"), k, "", devnet_only=True)


@pytest.mark.parametrize("goal", list(Goal))
def test_search__each_goal__no_other_proven_option_is_better_by_it(subject: Subject, goal: Goal) -> None:
    found = search(subject, Wish(goal), ComputedTrials(subject, rows=900), no_srs)
    chosen, proven = found.chosen, [one for one in found.options if one.measured]
    assert chosen in proven
    best = {
        Goal.GAS: lambda one: one.cost.gas,
        Goal.MEMORY: lambda one: one.cost.memory_mb,
        Goal.PROVE_TIME: lambda one: one.cost.prove_seconds,
        Goal.ACCURACY: lambda one: one.accuracy.error_max,
    }[goal]
    assert best(chosen) == min(map(best, proven))
    assert chosen.family


def test_search__accuracy_goal__takes_a_larger_scale_than_gas(subject: Subject) -> None:
    accurate = search(subject, Wish(Goal.ACCURACY), ComputedTrials(subject, rows=900), no_srs).chosen
    assert accurate.circuit.scale == 14
    assert accurate.accuracy.error_max == pytest.approx(2**-12, rel=0.2)


def test_search__output_scale_that_no_chain_takes__not_chosen(subject: Subject) -> None:
    class Deep(ComputedTrials):
        def probe(self, circuit: CircuitSettings, count: int, seconds: float) -> Probe:
            found = super().probe(circuit, count, seconds)
            return replace(found, output_scale=31) if circuit.rebase_multiplier > 1 else found

    found = search(subject, Wish(), Deep(subject), no_srs)
    assert {option.circuit.rebase_multiplier for option in found.options} == {1}


def test_search__error_that_is_tolerated__kept_by_what_is_chosen(subject: Subject) -> None:
    for limit in (0.3, 0.01, 0.001):
        chosen = search(subject, Wish(max_error=limit), ComputedTrials(subject), no_srs).chosen
        assert chosen.accuracy.error_max <= limit


def test_search__no_scale_is_accurate_enough__the_nearest_and_a_note(subject: Subject) -> None:
    found = search(subject, Wish(max_error=1e-9), ComputedTrials(subject), no_srs)
    assert found.chosen.circuit.scale == 14
    assert "No scale keeps the error within 1e-09" in found.notes[0]


def test_search__same_trials__same_choice(subject: Subject) -> None:
    first, second = (search(subject, Wish(), ComputedTrials(subject, rows=500), no_srs) for _ in range(2))
    assert first.chosen.circuit == second.chosen.circuit


def test_search__memory_limit__refused_with_what_is_needed(subject: Subject) -> None:
    with pytest.raises(ModelError, match=r"needs about .* MB to prove, more than the limit of 70 MB; raise --memory"):
        search(subject, Wish(memory_mb=70), ComputedTrials(subject, rows=20_000), no_srs)


def test_search__never_measures_beyond_the_memory_limit(subject: Subject) -> None:
    trials = ComputedTrials(subject, rows=900)
    search(subject, Wish(memory_mb=90), trials, no_srs)
    assert all(cost_of(circuit.logrows, 1952, 5).memory_mb <= 90 for circuit in trials.measured)


def test_search__every_circuit_fails__the_reason_told(subject: Subject) -> None:
    with pytest.raises(ModelError, match="ezkl makes no circuit of this model: Unimplemented"):
        search(subject, Wish(), ComputedTrials(subject, fails="Unimplemented(Mish)"), no_srs)


def test_search__lookups__outside_the_family_with_a_range_and_a_note(subject: Subject) -> None:
    found = search(subject, Wish(), ComputedTrials(subject, lookups=1), no_srs)
    low, high = found.chosen.circuit.lookup_range
    assert (low, high) == (-high, high)
    assert high >= 1.5 * (1 << found.chosen.circuit.scale)
    assert not found.chosen.family
    assert any("EVM chains only" in note for note in found.notes)


def test_search__private__the_chosen_circuit_with_private_inputs_at_the_smallest_size_that_holds(
    subject: Subject,
) -> None:
    class Hashing(ComputedTrials):
        def measure(self, circuit: CircuitSettings, srs: Srs, memory_mb: int, deadline: float) -> Measurement:
            if circuit.input_visibility == "hashed" and circuit.logrows < 7:
                raise TrialFailedError("the hash does not fit")
            return super().measure(circuit, srs, memory_mb, deadline)

    found = search(subject, Wish(private=True), Hashing(subject, rows=150), no_srs)
    assert found.chosen.circuit.logrows == 6
    assert [option.circuit.input_visibility for option in found.private] == ["hashed", "polycommit"]
    assert [option.circuit.logrows for option in found.private] == [7, 6]
    assert all(option.circuit.input_visibility == "public" for option in found.options)
    cells = " ".join(str(cell) for cell in front_table(found).columns[2].cells)
    assert "inputs hashed" in cells


def test_search__inputs_too_large__refused_with_advice(subject: Subject) -> None:
    huge = replace(subject, high=subject.high * 1e8)
    with pytest.raises(ModelError, match="scale the features to a smaller range"):
        search(huge, Wish(), ComputedTrials(huge), no_srs)


def test_calibrated_range__constant_and_varying_inputs__widened() -> None:
    low, high = calibrated_range(np.array([[0.0, 5.0, 0.0], [10.0, 5.0, 0.0]]))
    assert low == pytest.approx([-1.0, 4.5, -0.1])
    assert high == pytest.approx([11.0, 5.5, 0.1])


def test_make_subject__stress_rows__four_times_as_far_out_as_the_corners(subject: Subject) -> None:
    centre, half = (subject.low + subject.high) / 2, (subject.high - subject.low) / 2
    distances = np.abs(subject.rows - centre) / half
    assert distances[:CORNER_ROWS] == pytest.approx(STRESS, rel=1e-5)
    assert distances[CORNER_ROWS : subject.stressed] == pytest.approx(1.0, rel=1e-5)


def test_compare__decisions_that_changed__counted(subject: Subject) -> None:
    found = [np.array([0.1]), np.array([-0.2]), np.array([0.0])]
    accuracy = replace(subject, signs=True).compare(found, [np.array([0.2]), np.array([0.1]), np.array([-1.0])])
    assert (accuracy.rows, accuracy.decision_flips) == (3, 1)
    assert accuracy.error_max == pytest.approx(1.0)
    assert subject.decisions(np.array([0.1, 0.5, 0.2])) == 1


# What was measured with ezkl 23.0.5 on one thread: k, bytes of proof, seconds, MB, gas of the transaction (17 instances; 0: too large to deploy).
RUNS = [
    (9, 1952, 0.23, 63, 415_031),
    (13, 1952, 2.04, 104, 415_279),
    (14, 1952, 3.96, 153, 415_404),
    (15, 1952, 7.02, 254, 415_397),
    (12, 3136, 1.77, 97, 550_809),
    (12, 3072, 1.91, 91, 541_072),
    (11, 5344, 1.62, 85, 0),
    (11, 5120, 2.06, 107, 0),
    (15, 2272, 8.51, 290, 456_480),
]


@pytest.mark.parametrize(("k", "proof", "seconds", "memory", "gas"), RUNS)
def test_cost_of__measured_runs__near(k: int, proof: int, seconds: float, memory: float, gas: int) -> None:
    cost = cost_of(k, proof, 17)
    assert cost.prove_seconds == pytest.approx(seconds, rel=0.4)
    assert cost.memory_mb == pytest.approx(memory, rel=0.2)
    assert cost.deployable == (gas > 0)
    assert cost.gas == pytest.approx(gas or cost.gas, rel=0.02)


def test_shape__proof_length__as_measured() -> None:
    assert Shape(5570, 1, 13, 17).proof_length == 1952
    assert Shape(5570, 1, 12, 17).proof_length == 3136
    assert Shape(2785, 2, 12, 17).proof_length == 3072
    assert Shape(1018, 1, 15, 17, 32_000).proof_length == 2272
    assert smallest_k(5570) == 13
    assert smallest_k(370, 32_000) == 15
    assert not estimate(Shape(100_000, 1, 10, 17)).deployable


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Gelu", "Erf"),
        ("ai.onnx.ml.TreeEnsembleClassifier", "plain tensors"),
        ("com.microsoft.FusedGemm", "no standard ONNX domain"),
        ("StringNormalizer", "works on text"),
    ],
)
def test_problem_of__known_operators__names_the_replacement(name: str, part: str) -> None:
    assert part in problem_of(name)
    assert name in problem_of(name)


@pytest.mark.parametrize("name", ["Gemm", "Relu", "Conv", "NeverHeardOf", "ai.onnx.Add"])
def test_problem_of__others__left_to_ezkl(name: str) -> None:
    assert problem_of(name) == ""


def _found(subject: Subject) -> Found:
    return search(subject, Wish(), ComputedTrials(subject, rows=900), no_srs)


def test_pareto_front__no_option_beaten_by_another(subject: Subject) -> None:
    found = _found(subject)
    front = pareto_front(found.options)
    assert front
    for one in front:
        for other in found.options:
            assert not _better(other, one)
    for left_out in (option for option in found.options if all(option is not one for one in front)):
        assert any(_better(one, left_out) or merits(one) == merits(left_out) for one in front)


def _better(one: Option, other: Option) -> bool:
    pairs = list(zip(merits(one), merits(other), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def test_front_table__chosen__one_arrow(subject: Subject) -> None:
    table = front_table(_found(subject))
    assert list(table.columns[0].cells).count("→") == 1


def test_plot__any_title__well_formed_with_a_mark_for_each_option(subject: Subject) -> None:
    found = _found(subject)
    drawn = ElementTree.fromstring(plot(found, "<a & b>"))  # noqa: S314 - our own text
    circles = drawn.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * (len(found.options) + 1)
    assert "<a & b>: error" in "".join(drawn.itertext())
