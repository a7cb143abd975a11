"""The guard's risk model, for real: trained, judged on transfers it never saw, proven, attacked."""

import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import pytest_asyncio
from onnx import numpy_helper

from circuits import mlp
from circuits.catalogue import ModelArtifacts, ensure_model, find_model
from circuits.compile import PACKAGES, child_environment
from circuits.models.risk.build import CAUGHT, RECIPE, RECOMMENDED_BOUND, SEED, STOPPED_IN_ERROR, train
from circuits.models.risk.features import NAMES, ONE, SCALE, U64_MAX, Transfer, features
from circuits.models.risk.population import population
from circuits.prover import LocalProver

Floats = npt.NDArray[np.float64]
Score = Callable[[list[tuple[int, ...]]], Floats]

TOKEN = 10**9
"""Wire units of one token of nine decimals."""

QUIET = Transfer(
    amount=1000 * TOKEN,
    total=1_000_000 * TOKEN,
    bucket_available=200_000 * TOKEN,
    moved_today=20_000 * TOKEN,
    fresh=False,
    inbound=False,
)
"""A thousandth of the total, on a quiet day, out, by an account that has used the bridge before."""

ORDINARY = {
    "everyday, out": QUIET,
    "everyday, in": replace(QUIET, inbound=True),
    "a newcomer's first, out": replace(QUIET, fresh=True),
    "a newcomer's first, in": replace(QUIET, fresh=True, inbound=True),
    "one unit": replace(QUIET, amount=1),
    "a twentieth of the total to a known account": replace(QUIET, amount=50_000 * TOKEN, inbound=True),
    "a tenth of the total out, without a limit": replace(QUIET, amount=100_000 * TOKEN, bucket_available=None),
    "small on a busy day": replace(QUIET, moved_today=500_000 * TOKEN, inbound=True),
    "the first transfer of a bridge": Transfer(5 * TOKEN, 0, None, 0, fresh=True, inbound=False),
    "the first payout of a wrapped token": Transfer(TOKEN, 0, None, 0, fresh=True, inbound=True),
}

THEFTS = {
    "the whole vault to a fresh account": replace(
        QUIET, amount=QUIET.total, bucket_available=None, fresh=True, inbound=True
    ),
    "the whole vault to a prepared account": replace(QUIET, amount=QUIET.total, bucket_available=None, inbound=True),
    "half the vault to a fresh account": replace(
        QUIET, amount=500_000 * TOKEN, bucket_available=None, fresh=True, inbound=True
    ),
    "half the vault to a prepared account, first thing in the day": replace(
        QUIET, amount=500_000 * TOKEN, bucket_available=None, moved_today=0, inbound=True
    ),
    "more than the total": replace(QUIET, amount=2 * QUIET.total, bucket_available=None, inbound=True),
    "all that the limit lets through": replace(QUIET, amount=200_000 * TOKEN, fresh=True, inbound=True),
    "late in a burst": replace(
        QUIET, amount=100_000 * TOKEN, bucket_available=None, moved_today=900_000 * TOKEN, fresh=True, inbound=True
    ),
    "late in a burst to a prepared account": replace(
        QUIET, amount=150_000 * TOKEN, moved_today=1_200_000 * TOKEN, inbound=True
    ),
    "the last of a vault that was emptied today": replace(
        QUIET, amount=40_000 * TOKEN, total=50_000 * TOKEN, moved_today=950_000 * TOKEN, inbound=True
    ),
    "most of the minted tokens out in one go": replace(
        QUIET, amount=600_000 * TOKEN, bucket_available=None, moved_today=400_000 * TOKEN, fresh=True
    ),
}


@pytest.fixture(scope="module")
def risk() -> ModelArtifacts:
    return ensure_model("risk")


@pytest_asyncio.fixture
async def prover(risk: ModelArtifacts) -> AsyncIterator[LocalProver]:
    async with LocalProver([risk], devnet=True) as running:
        yield running


@pytest.fixture(scope="module")
def score(risk: ModelArtifacts) -> Score:
    """Float outputs of the exported model for rows as the chain gives them."""
    session = onnxruntime.InferenceSession(str(risk.onnx), providers=["CPUExecutionProvider"])

    def run(rows: list[tuple[int, ...]]) -> Floats:
        return np.array(
            [session.run(None, {"input": np.array([row], np.float32) / ONE})[0][0][0] for row in rows], np.float64
        )

    return run


# ---- what it knows ----


def test_risk__six_thousand_unseen_transfers__as_the_card_says_and_better_than_any_rule_of_one_feature(
    risk: ModelArtifacts, score: Score
) -> None:
    unseen = population(SEED + 77, 6000)
    rows = [features(labelled.transfer) for labelled in unseen]
    theft = np.array([labelled.theft for labelled in unseen])
    stopped = score(rows) * ONE >= RECOMMENDED_BOUND
    columns = np.array(rows).T
    # The best that hindsight could do with one threshold on one feature; a threshold above all of them stops nothing.
    rules = [float(((column > at) == theft).mean()) for column in columns for at in np.unique(column)]
    assert 0.75 < 1 - theft.mean() <= max(rules) < 0.9
    assert (stopped == theft).mean() > 0.94
    assert stopped[theft].mean() == pytest.approx(CAUGHT, abs=0.01)
    assert stopped[~theft].mean() == pytest.approx(STOPPED_IN_ERROR, abs=0.005)
    assert f"stops {CAUGHT:.0%} of the thefts and {STOPPED_IN_ERROR:.0%} of the others" in risk.card.output_meaning


async def test_risk__hand_made_transfers__fall_on_the_right_sides_of_the_bound(
    risk: ModelArtifacts, prover: LocalProver
) -> None:
    assert len(ORDINARY) == len(THEFTS) == 10
    for name, transfer in ORDINARY.items():
        output = (await prover.infer(risk.model_id, features(transfer))).outputs[0]
        assert output < RECOMMENDED_BOUND - ONE // 4, name  # with room, not by chance
    for name, transfer in THEFTS.items():
        output = (await prover.infer(risk.model_id, features(transfer))).outputs[0]
        assert output >= RECOMMENDED_BOUND + ONE // 4, name


def test_risk__half_of_any_rich_vault_paid_out__stopped_whatever_else_the_thief_arranges(score: Score) -> None:
    # The least suspicious of its kind: known account, nothing moved, no limit. Everything else is riskier, because the model is monotone.
    totals = [1000 * TOKEN << doubling for doubling in range(24)]
    rows = [features(Transfer(total // 2, total, None, 0, fresh=False, inbound=True)) for total in totals]
    assert (score(rows) * ONE >= RECOMMENDED_BOUND).all()


async def test_risk__what_the_card_says_it_gets_wrong__it_gets_wrong(risk: ModelArtifacts, prover: LocalProver) -> None:
    # When one of these turns right, the card has to say so.
    patient = replace(QUIET, amount=100_000 * TOKEN, bucket_available=None, inbound=True)
    young = Transfer(1000 * TOKEN, 0, None, 0, fresh=True, inbound=True)
    assert (await prover.infer(risk.model_id, features(patient))).outputs[0] < RECOMMENDED_BOUND
    assert "a tenth of the vault on a quiet day to an account that he prepared" in risk.card.description
    assert (await prover.infer(risk.model_id, features(young))).outputs[0] >= RECOMMENDED_BOUND
    assert "stops the first large payouts of a young bridge" in risk.card.description


# ---- what it cannot do ----


def test_risk__weights__have_the_signs_that_make_it_monotone(risk: ModelArtifacts) -> None:
    graph = onnx.load(str(risk.onnx)).graph
    held = {parameter.name: numpy_helper.to_array(parameter) for parameter in graph.initializer}
    (worry, calm), (worried, calmed) = held["weights0"].T, held["weights1"][:, 0]
    assert (worry >= 0).all()
    assert worried > 0
    assert (calm <= 0).all()
    assert calmed < 0
    assert ((worry > 0) | (calm < 0)).all(), "no feature is without effect"


def test_risk__any_feature_grows__risk_never_falls(score: Score) -> None:
    steps = [(0, 5 * ONE, 11 * ONE, 16 * ONE), (0, 300, ONE), (0, 500, ONE), (0, ONE, 4 * ONE), (0, ONE), (0, ONE)]
    grid = list(itertools.product(*steps))
    found = score(grid).reshape([len(values) for values in steps])
    for axis in range(len(steps)):
        assert (np.diff(found, axis=axis) >= -1e-5).all(), NAMES[axis]  # float32's own rounding


# ---- the circuit ----


def test_risk__shape__is_what_the_chain_gives(risk: ModelArtifacts) -> None:
    assert (risk.input_count, risk.output_count, risk.k, risk.proof_length) == (6, 1, 9, 1952)
    assert risk.input_scale == risk.output_scale == SCALE <= 10
    assert risk.input_bound == 16 * ONE
    assert risk.input_names == NAMES
    assert risk.card.label(RECOMMENDED_BOUND / ONE) == "ordinary"
    assert risk.card.label((RECOMMENDED_BOUND + 1) / ONE) == "theft"
    settings = json.loads(risk.settings.read_bytes())
    assert settings["required_lookups"] == []
    assert settings["run_args"]["num_inner_cols"] == 1
    assert settings["run_args"]["param_visibility"] == "Fixed"


def test_risk__card__says_that_it_is_made_up_and_for_what_it_is_not(risk: ModelArtifacts) -> None:
    said = risk.card.description + risk.card.data_source
    for needed in ("demonstration", "made-up transfers", "Not for real money", "invented"):
        assert needed in said
    assert f"below {RECOMMENDED_BOUND}." in risk.card.output_meaning


async def test_risk__circuit_and_onnxruntime__agree_within_the_cards_error(
    risk: ModelArtifacts, prover: LocalProver
) -> None:
    rows = [row.inputs for row in risk.heldout()[:60]]
    rows += [features(transfer) for transfer in (*ORDINARY.values(), *THEFTS.values())]
    rows += [(0,) * 6, (16 * ONE,) * 6, features(Transfer(U64_MAX, 0, 0, U64_MAX, fresh=True, inbound=True))]
    gaps = []
    for row in rows:
        found = await prover.infer(risk.model_id, row)
        gaps.append(abs(found.outputs[0] / ONE - found.float_outputs[0]))
    assert max(gaps) <= risk.card.error_bound < 0.01
    assert max(gaps[:60]) <= risk.card.measured.error_max


async def test_risk__heldout_rows__labelled_as_well_as_the_card_says(risk: ModelArtifacts, prover: LocalProver) -> None:
    rows = risk.heldout()
    right = 0
    for row in rows:
        assert risk.card.quantise_raw(row.raw, SCALE) == row.inputs  # nothing is lost between features and request
        output = (await prover.infer(risk.model_id, row.inputs)).outputs[0]
        right += risk.card.label(output / ONE) == row.label
    assert len(rows) == risk.card.measured.heldout_rows
    assert round(right / len(rows), 4) == risk.card.measured.accuracy >= RECIPE.accuracy_goal


async def test_risk__proof_of_a_theft__holds_for_its_own_score_alone(risk: ModelArtifacts, prover: LocalProver) -> None:
    theft = features(THEFTS["the whole vault to a fresh account"])
    calm = features(QUIET)
    proof = await prover.prove(risk.model_id, theft)
    assert proof.outputs[0] >= RECOMMENDED_BOUND
    assert await prover.verify(risk.model_id, theft, proof.outputs, proof.proof)
    harmless = (await prover.infer(risk.model_id, calm)).outputs
    for lie in (harmless, (RECOMMENDED_BOUND - 1,), (proof.outputs[0] - 1,), (-proof.outputs[0],)):
        assert not await prover.verify(risk.model_id, theft, lie, proof.proof)
    assert not await prover.verify(risk.model_id, calm, proof.outputs, proof.proof)
    calm_proof = await prover.prove(risk.model_id, calm)
    assert await prover.verify(risk.model_id, calm, harmless, calm_proof.proof)
    assert not await prover.verify(risk.model_id, theft, harmless, calm_proof.proof)


# ---- the build and the commands ----


def test_risk__trained_again_in_another_process__same_onnx(risk: ModelArtifacts, tmp_path: Path) -> None:
    mlp.export([mlp.on_grid(layer, SCALE) for layer in train().layers], tmp_path / "here.onnx", "risk")
    script = """
import sys
from pathlib import Path
from circuits import mlp
from circuits.models.risk.build import train
from circuits.models.risk.features import SCALE
mlp.export([mlp.on_grid(layer, SCALE) for layer in train().layers], Path(sys.argv[1]), "risk")
"""
    # The other process has one thread, this one as many as there are cores.
    command = [sys.executable, "-c", script, str(tmp_path / "there.onnx")]
    subprocess.run(command, timeout=120, env=child_environment(tmp_path), cwd=PACKAGES, check=True)
    built = risk.onnx.read_bytes()
    assert (tmp_path / "here.onnx").read_bytes() == built
    assert (tmp_path / "there.onnx").read_bytes() == built


def test_population__same_seed__same_transfers_and_a_fifth_are_thefts() -> None:
    first = population(5, 500)
    assert first == population(5, 500)
    assert first != population(6, 500)
    assert 0.15 < sum(labelled.theft for labelled in first) / len(first) < 0.25


def test_model_commands__risk__listed_shown_and_sampled(risk: ModelArtifacts) -> None:
    def sibyl(*arguments: str) -> str:
        command = [sys.executable, "-m", "oracle.app.cli", "model", *arguments]
        return subprocess.run(command, timeout=60, capture_output=True, text=True, cwd=PACKAGES, check=True).stdout

    assert "risk" in sibyl("list")
    assert "made-up transfers" in " ".join(sibyl("show", "risk").split())
    newest = find_model("risk")
    assert json.loads(sibyl("sample", "risk", "--row", "7")) == newest.heldout()[7].raw
    assert tuple(newest.heldout()[7].raw) == NAMES
