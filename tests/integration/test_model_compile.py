"""An ONNX file becomes a model of the catalogue with real keys: chosen by proofs, promised by measurement, refused outside its range."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from circuits.catalogue import ModelArtifacts, find_model
from circuits.compile import CircuitSettings, local_srs
from circuits.errors import ModelError
from circuits.prover import LocalProver, ProverLimits
from circuits.tuning import search as search_module
from circuits.tuning.doctor import Examined, examine
from circuits.tuning.floats import FloatModel
from circuits.tuning.publish import Labelling, publish
from circuits.tuning.search import Found, Goal, Wish, search
from circuits.tuning.trials import TrialFailedError, Trials
from oracle.app.cli import app
from oracle.errors import InferenceError
from oracle.protocol.encoding import dequantise
from oracle.protocol.errors import EncodeError
from oracle.protocol.types import Status
from tests.support.tuning_models import draw, mlp

LABELLING = Labelling("drawn", "A drawn network.", "Apache-2.0", labels=("no", "yes"), features=("a", "b", "c"))
PATIENT = ProverLimits(load_seconds=280, infer_seconds=280, verify_seconds=280, prove_seconds=280)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuned")


@pytest.fixture(scope="module")
def files(root: Path) -> tuple[Path, Path]:
    onnx.save(mlp([3, 2, 1], last="Sigmoid", batch="N", seed=2), str(root / "m.onnx"))
    rows = draw(5).normal(size=(30, 3)).astype(np.float32)
    np.savez(root / "s.npz", input=rows)
    return root / "m.onnx", root / "s.npz"


@pytest.fixture(scope="module")
def examined(files: tuple[Path, Path]) -> Examined:
    return examine(*files)


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Fewer scales: the always-run tests stay short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "SCALES", (6, 8))
        patch.setattr(search_module, "REBASES", (1, 4))
        yield


@pytest.fixture(scope="module")
def found(examined: Examined, root: Path, narrow: None) -> Found:
    trials = Trials(examined.subject.onnx, examined.subject.rows, root)
    return search(examined.subject, Wish(Goal.GAS, seconds=1000), trials, partial(local_srs, root=root))


@pytest.fixture(scope="module")
def model(examined: Examined, found: Found, root: Path) -> ModelArtifacts:
    circuit = found.chosen.circuit
    return publish(
        examined.subject, examined.sample, circuit, LABELLING, local_srs(circuit.logrows, root=root), root=root
    )


def test_search__tiny_network__proven_in_the_family_within_the_tolerated_error(
    found: Found, examined: Examined
) -> None:
    chosen = found.chosen
    assert chosen.measured
    assert chosen.family
    assert chosen.circuit.logrows <= 9
    assert chosen.cost.proof_length == 1952
    assert chosen.accuracy.error_max <= examined.subject.tolerated
    assert chosen.accuracy.decision_flips == 0


def test_search__again__every_trial_remembered_and_the_same_choice(
    found: Found, examined: Examined, root: Path
) -> None:
    trials = Trials(examined.subject.onnx, examined.subject.rows, root)
    again = search(examined.subject, Wish(Goal.GAS, seconds=1000), trials, partial(local_srs, root=root))
    assert (trials.ran, again.chosen) == (0, found.chosen)
    assert trials.found > 4


def test_search__interrupted__the_trial_under_way_is_made_again(examined: Examined, tmp_path: Path) -> None:
    trials = Trials(examined.subject.onnx, examined.subject.rows, tmp_path)
    circuit = CircuitSettings(scale=6, logrows=20, decomp_base=1 << 14, family=False)
    trials.probe(circuit, 1, 1.0)
    (remembered,) = trials.folder.glob("probe-*.json")
    remembered.write_bytes(remembered.read_bytes()[:40])  # the power went
    again = Trials(examined.subject.onnx, examined.subject.rows, tmp_path)
    assert again.probe(circuit, 1, 1.0).input_count == 3
    assert (again.ran, again.found) == (1, 0)


def test_trials__circuit_that_cannot_hold_the_rows__fails_and_is_remembered(examined: Examined, tmp_path: Path) -> None:
    trials = Trials(examined.subject.onnx, examined.subject.rows, tmp_path)
    small = CircuitSettings(scale=8, logrows=20, decomp_base=16, decomp_legs=1, family=False)
    for _ in range(2):
        with pytest.raises(TrialFailedError):
            trials.probe(small, examined.subject.stressed, 20.0)
    assert (trials.ran, trials.found) == (1, 1)


def test_trials__memory_limit__a_proof_that_took_more_is_not_used(examined: Examined, tmp_path: Path) -> None:
    trials = Trials(examined.subject.onnx, examined.subject.rows, tmp_path)
    with pytest.raises(TrialFailedError, match="more than the limit of 1 MB"):
        trials.measure(CircuitSettings(scale=8, logrows=9, family=False), local_srs(9), 1, 250.0)


def test_trials__deadline__a_hanging_trial_is_ended(examined: Examined, tmp_path: Path) -> None:
    trials = Trials(examined.subject.onnx, examined.subject.rows, tmp_path)
    with pytest.raises(TrialFailedError, match="took more than"):
        trials.measure(CircuitSettings(scale=8, logrows=9), local_srs(9), 4096, 0.01)


def test_publish__model__in_the_catalogue_with_its_promise(
    model: ModelArtifacts, examined: Examined, root: Path
) -> None:
    assert find_model("drawn", root).model_id == model.model_id
    card = model.card
    assert (card.off_circuit, card.labels, card.measured.labelled) == ("sigmoid", ("no", "yes"), False)
    assert card.measured.heldout_rows == 10
    assert 0 < card.measured.error_mean <= card.measured.error_max <= examined.subject.tolerated
    assert card.measured.decision_flips == 0
    assert card.error_bound >= card.measured.error_max
    assert [feature.name for feature in card.inputs] == ["a", "b", "c"]
    for feature, low, high in zip(card.inputs, examined.sample.rows.min(0), examined.sample.rows.max(0), strict=True):
        assert feature.low is not None
        assert feature.high is not None
        assert feature.low < low < high < feature.high


def test_publish__again__the_same_model(model: ModelArtifacts, examined: Examined, found: Found, root: Path) -> None:
    circuit = found.chosen.circuit
    again = publish(
        examined.subject, examined.sample, circuit, LABELLING, local_srs(circuit.logrows, root=root), root=root
    )
    assert (again.model_id, again.directory) == (model.model_id, model.directory)


@pytest.mark.parametrize("name", ["Tumour", "tumour", "", "a b", "x" * 41, "../x"])
def test_publish__bad_or_taken_name__refused(examined: Examined, found: Found, root: Path, name: str) -> None:
    with pytest.raises(ModelError, match="name"):
        publish(examined.subject, examined.sample, found.chosen.circuit, Labelling(name), local_srs(9), root=root)


async def test_prover__tuned_model__proves_answers_and_refuses_outside_its_range(
    model: ModelArtifacts, examined: Examined, tmp_path: Path
) -> None:
    row = model.heldout()[0]
    async with LocalProver([model], devnet=True, limits=PATIENT, scratch=tmp_path) as prover:
        proof = await prover.prove(model.model_id, row.inputs)
        assert await prover.verify(model.model_id, row.inputs, proof.outputs, proof.proof)
        (logit,) = dequantise(proof.outputs, model.output_scale)
        (expected,) = FloatModel(examined.prepared.model).outputs(np.array(list(row.raw.values()))).values()
        assert abs(logit - expected[0]) <= model.card.measured.error_max
        assert row.label == model.card.label(logit)
        ends = [feature.high or 0.0 for feature in model.card.inputs]
        place = ends.index(
            min(ends)
        )  # its end lies within the bound that all inputs share, which is the largest of all
        beyond = round(ends[place] * 2**model.input_scale) + 2
        assert beyond <= model.input_bound
        wrong = tuple(beyond if number == place else value for number, value in enumerate(row.inputs))
        with pytest.raises(InferenceError, match="outside the calibrated range") as refusal:
            await prover.infer(model.model_id, wrong)
        assert refusal.value.status is Status.OUT_OF_RANGE


def test_card__raw_row_outside__named(model: ModelArtifacts) -> None:
    raw = model.heldout()[0].raw
    with pytest.raises(EncodeError, match=r"a is .*outside the calibrated range|outside the model's range"):
        model.card.quantise_raw({**raw, "a": 99.0}, model.input_scale)


@pytest.mark.usefixtures("narrow")
def test_cli__doctor_and_compile__say_what_they_found(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path, model: ModelArtifacts
) -> None:
    monkeypatch.setenv("SIBYL_CACHE", str(root))
    run = CliRunner()
    doctor = run.invoke(app, ["model", "doctor", str(files[0]), "--data", str(files[1])])
    assert doctor.exit_code == 0, doctor.output
    assert "m.onnx can be proven here" in doctor.output
    picture = tmp_path / "plot.svg"
    arguments = ["--name", "drawn", "--seconds", "1000", "--labels", "no,yes", "--features", "a,b,c"]
    described = ["--description", LABELLING.description, "--licence", LABELLING.licence, "--plot", str(picture)]
    compiled = run.invoke(
        app, ["model", "compile", *map(str, files[:1]), "--data", str(files[1]), *arguments, *described]
    )
    assert compiled.exit_code == 0, compiled.output
    assert f"0x{model.model_id.hex()}" in compiled.output
    assert "trials were remembered from before, 0 made now" in compiled.output
    assert "a consumer applies y[i] = 1 / (1 + exp(-x[i]))" in compiled.output
    assert picture.read_text().startswith("<svg")


def test_cli__doctor_of_a_bad_file__exit_status_and_sentence(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(files[0].read_bytes()[:60])
    doctor = CliRunner().invoke(app, ["model", "doctor", str(tmp_path / "bad.onnx"), "--data", str(files[1])])
    assert doctor.exit_code == 1
    assert "not an ONNX file, or it was cut short" in doctor.output


def test_manifest__says_with_what_settings_it_was_tuned(model: ModelArtifacts, found: Found) -> None:
    meta = json.loads((model.directory / "manifest.json").read_bytes())["meta"]
    assert meta["tuned"]["scale"] == found.chosen.circuit.scale
    assert meta["devnet_only"] is True
