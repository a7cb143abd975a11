"""The tuning of models, measured for `make bench`: against what ezkl itself would choose, and our proving against bare `ezkl.prove`.

The baseline is ezkl's own guide: default settings, `calibrate_settings` for “resources” on twenty rows, then keys and a proof. It is proven for the
sigmoid network, where it takes minutes and gigabytes; for the reference models it is calibrated and its cost computed by the model that the search
uses, because their proofs would take hours. Seconds are the processor's, on one thread.
"""

import asyncio
import json
import statistics
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from circuits import mlp
from circuits.cache import Json, Progress, quiet
from circuits.catalogue import BUILDERS, ModelArtifacts, ensure_model
from circuits.compile import local_srs, run_step
from circuits.errors import ModelError
from circuits.prover import LocalProver, ProverLimits
from circuits.tuning.cost import Shape
from circuits.tuning.doctor import Examined, examine
from circuits.tuning.floats import Rows
from circuits.tuning.search import Found, Goal, Wish, search
from circuits.tuning.trials import Trials
from oracle.app.figures import Bound, Figure, judged

CALIBRATION_ROWS = 20
BASELINE_SECONDS, SRS_SECONDS = 5400.0, 1800.0
SEARCH_SECONDS = 180.0
BASELINE_MEMORY_MB = 16_384
PROOFS = 5
SIGMOID = "Tuned proof of the sigmoid network, times cheaper than ezkl's default calibration"
REFERENCE = "Tuned proofs of the reference models, times cheaper than ezkl's default calibration (least)"
OVERHEAD = "Proving through the worker, times bare ezkl.prove"
BOUNDS = {SIGMOID: Bound(20, "×", "higher"), REFERENCE: Bound(1, "×", "higher"), OVERHEAD: Bound(1.1, "×")}


async def model_figures(command: str, progress: Progress = quiet) -> list[Figure]:
    """All figures of this module. Raises ModelError when a model cannot be built."""
    sigmoid = await asyncio.to_thread(sigmoid_ratio, progress)
    reference = await asyncio.to_thread(least_reference_ratio, progress)
    overhead = await proving_overhead(await asyncio.to_thread(ensure_model, "tumour"), progress)
    measured = {SIGMOID: sigmoid, REFERENCE: reference, OVERHEAD: overhead}
    return [judged(name, value, BOUNDS[name], command) for name, value in measured.items()]


def sigmoid_ratio(progress: Progress = quiet) -> float:
    """How many times longer the default circuit of the sigmoid network takes to prove than the tuned one, both proven."""
    with tempfile.TemporaryDirectory(prefix="sibyl-bench-") as name:
        files = write_sigmoid_network(Path(name))
        rows = np.load(files[1])["input"][:CALIBRATION_ROWS].astype(np.float64)
        tuned = _tuned(examine(*files), progress).chosen.cost.prove_seconds
        progress("calibrating the sigmoid network as ezkl's guide does")
        default = _calibrated(files[0], rows)
        arguments = default["run_args"]
        k = arguments["logrows"] if isinstance(arguments, dict) else None
        if not isinstance(k, int):
            raise ModelError("ezkl's calibration told no number of rows.")
        srs = local_srs(k, deadline=SRS_SECONDS, progress=progress)
        progress(f"proving its default circuit (k={k}; minutes)")
        with _copied(files[0]) as directory:
            measured = run_step(
                "trial",
                Path(directory),
                BASELINE_SECONDS,
                run_args=arguments,
                rows=rows[:1].tolist(),
                srs=str(srs.path.resolve()),
                memory_mb=BASELINE_MEMORY_MB,
            )
        seconds = measured.get("prove_seconds") if isinstance(measured, dict) else None
        if not isinstance(seconds, float):
            raise ModelError("ezkl's default circuit was not proven.")
        progress(f"default {seconds:.1f} s at k={k}, tuned {tuned:.2f} s")
        return seconds / tuned


def least_reference_ratio(progress: Progress = quiet) -> float:
    """The least ratio of work (2^k × bytes of the proof), default against tuned, over the models that come with Sibyl."""
    ratios = {name: _reference_ratio(ensure_model(name, progress=progress), progress) for name in sorted(BUILDERS)}
    return min(ratios.values())


def _reference_ratio(model: ModelArtifacts, progress: Progress) -> float:
    rows = np.array([row.inputs for row in model.heldout()], np.float64) / 2.0**model.input_scale
    with tempfile.TemporaryDirectory(prefix="sibyl-bench-") as name:
        entry = onnx.load(str(model.onnx)).graph.input[0]
        shape = [one.dim_value for one in entry.type.tensor_type.shape.dim][1:]
        sample = Path(name) / "sample.npy"
        np.save(sample, rows.reshape(-1, *shape))
        chosen = _tuned(examine(model.onnx, sample), progress).chosen
    default = _calibrated(model.onnx, rows[:CALIBRATION_ROWS])
    ratio = _default_work(default, model) / (chosen.cost.proof_length << chosen.circuit.logrows)
    progress(f"{model.name}: tuned k={chosen.circuit.logrows}, {ratio:.1f} times cheaper than the default")
    return ratio


def _default_work(default: dict[str, Json], model: ModelArtifacts) -> float:
    """What the default circuit costs by the cost model, whose proof length is estimated without its further columns: in its favour."""
    arguments, rows = default["run_args"], default["num_rows"]
    if not isinstance(arguments, dict) or not isinstance(rows, int):
        raise ModelError("ezkl's calibration told no settings.")
    k, columns, lookups = arguments["logrows"], arguments["num_inner_cols"], arguments["lookup_range"]
    if not isinstance(k, int) or not isinstance(columns, int) or not isinstance(lookups, list):
        raise ModelError("ezkl's calibration told settings of another form.")
    low, high = (value if isinstance(value, int) else 0 for value in lookups)
    tables = high - low if default["lookups"] else 0
    shape = Shape(rows, columns, k, model.input_count + model.output_count, tables)
    return float(shape.proof_length << k)


def _tuned(examined: Examined, progress: Progress) -> Found:
    trials = Trials(examined.subject.onnx, examined.subject.rows)
    wish = Wish(Goal.PROVE_TIME, SEARCH_SECONDS, any_shape=True)
    return search(examined.subject, wish, trials, partial(local_srs, deadline=SRS_SECONDS), progress)


def _calibrated(path: Path, rows: Rows) -> dict[str, Json]:
    with _copied(path) as directory:
        found = run_step("calibrate", Path(directory), BASELINE_SECONDS, rows=rows.tolist())
    if not isinstance(found, dict):
        raise ModelError("ezkl's calibration gave no settings.")
    return found


def _copied(path: Path) -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="sibyl-bench-")
    (Path(made.name) / "model.onnx").write_bytes(path.read_bytes())
    return made


def write_sigmoid_network(directory: Path) -> tuple[Path, Path]:
    """A network of 16-32-16-1 with a sigmoid output, trained from a seed on drawn data, and the rows that it did not see."""
    from sklearn.datasets import make_classification
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    values, classes = make_classification(600, 16, n_informative=10, random_state=2026)
    values = (values - values.mean(0)) / values.std(0)
    network = MLPClassifier((32, 16), max_iter=400, tol=0.0, n_iter_no_change=400, random_state=2026)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 400 rounds are meant
        network.fit(values[:480], classes[:480])
    layers = [mlp.Layer(weights, bias) for weights, bias in zip(network.coefs_, network.intercepts_, strict=True)]
    model, sample = directory / "sigmoid.onnx", directory / "sigmoid.npz"
    mlp.export(layers, model, "sigmoid")
    made = onnx.load(str(model))
    made.graph.node.append(onnx.helper.make_node("Sigmoid", ["logit"], ["probability"]))
    made.graph.output[0].name = "probability"
    onnx.save(made, str(model))
    np.savez(sample, input=values[480:].astype(np.float32), labels=classes[480:])
    return model, sample


async def proving_overhead(model: ModelArtifacts, progress: Progress = quiet) -> float:
    """Median wall time of a proof through the pool (witness, proof, its check, both ways of the pipe) over that of `ezkl.prove` alone."""
    rows = [row.inputs for row in model.heldout()[:PROOFS]]
    settings = json.loads(model.settings.read_bytes())["run_args"]
    progress(f"proving {PROOFS} rows of {model.name} through a worker (k={settings['logrows']})")
    whole, bare = list[float](), list[float]()
    patient = ProverLimits(load_seconds=600, infer_seconds=600, verify_seconds=600, prove_seconds=600)
    async with LocalProver([model], devnet=True, limits=patient) as prover:
        await prover.warm()
        for inputs in rows:
            began = time.monotonic()
            proof = await prover.prove(model.model_id, inputs)
            whole.append(time.monotonic() - began)
            bare.append(proof.seconds)
    return statistics.median(a / b for a, b in zip(whole, bare, strict=True))
