"""The tumour classifier, for real: built, proven, attacked."""

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from circuits.cache import write_manifest
from circuits.catalogue import ModelArtifacts, ensure_model, find_model, list_models, open_model
from circuits.compile import PACKAGES, ceremony_srs, child_environment, local_srs
from circuits.errors import ModelError
from circuits.prover import LocalProver
from oracle.errors import ProofError


@pytest.fixture(scope="module")
def tumour() -> ModelArtifacts:
    return ensure_model("tumour")


@pytest_asyncio.fixture
async def prover(tumour: ModelArtifacts) -> AsyncIterator[LocalProver]:
    async with LocalProver([tumour], devnet=True) as running:
        yield running


async def test_tumour__all_heldout_patients__accurate_and_as_the_card_says(
    tumour: ModelArtifacts, prover: LocalProver
) -> None:
    rows = tumour.heldout()
    right, gaps, flips = 0, [], 0
    for row in rows:
        found = await prover.infer(tumour.model_id, row.inputs)
        value = found.outputs[0] / 2**tumour.output_scale
        right += tumour.card.label(value) == row.label
        flips += tumour.card.label(value) != tumour.card.label(found.float_outputs[0])
        gaps.append(abs(value - found.float_outputs[0]))
    measured = tumour.card.measured
    assert len(rows) == measured.heldout_rows == 114
    assert right / len(rows) >= 0.95
    assert round(right / len(rows), 4) == measured.accuracy
    assert flips == measured.decision_flips == 0
    assert max(gaps) == pytest.approx(measured.error_max)
    assert max(gaps) <= tumour.card.error_bound


def test_tumour__heldout_raw_features__give_the_heldout_inputs(tumour: ModelArtifacts) -> None:
    for row in tumour.heldout():
        assert tumour.card.quantise_raw(row.raw, tumour.input_scale) == row.inputs


def test_tumour__shape__is_the_one_column_family(tumour: ModelArtifacts) -> None:
    assert (tumour.input_count, tumour.output_count) == (30, 1)
    assert (tumour.k, tumour.proof_length) == (11, 1952)
    settings = json.loads(tumour.settings.read_bytes())
    assert settings["required_lookups"] == []
    assert settings["run_args"]["param_visibility"] == "Fixed"
    assert "timestamp" not in settings
    solidity = tumour.verifier_sol.read_text()
    assert "contract Halo2Verifier {" in solidity
    assert f"eq({tumour.proof_length:#06x}, proof.length)" in solidity
    assert f"{tumour.input_count + tumour.output_count:#066x}) // num_instances" in solidity


async def test_tumour__two_patients__proofs_do_not_transfer(tumour: ModelArtifacts, prover: LocalProver) -> None:
    one, other = tumour.heldout()[:2]
    proof = await prover.prove(tumour.model_id, one.inputs)
    assert await prover.verify(tumour.model_id, one.inputs, proof.outputs, proof.proof)
    assert not await prover.verify(tumour.model_id, other.inputs, proof.outputs, proof.proof)
    answer = (await prover.infer(tumour.model_id, other.inputs)).outputs
    assert not await prover.verify(tumour.model_id, one.inputs, answer, proof.proof)


def test_worker__doctored_witness__proof_never_leaves(tumour: ModelArtifacts, tmp_path: Path) -> None:
    # The liar's way: prove another output than the circuit's. ezkl proves it without complaint; the worker's own check does not.
    script = """
import json, sys
from pathlib import Path
from circuits.errors import JobFailedError
from circuits.field import to_ezkl_hex
from circuits.jobs import Job, Task
from circuits.worker import Bench
directory, model_id, inputs, scratch = sys.argv[1], sys.argv[2], tuple(json.loads(sys.argv[3])), Path(sys.argv[4])
bench = Bench(scratch)
loaded = bench.load(Job(Task.PROVE, directory, model_id))
path = scratch / "w.json"
outputs = bench.witness(loaded, inputs, path)
witness = json.loads(path.read_text())
lie = tuple(-value for value in outputs)
witness["outputs"] = [[to_ezkl_hex(value) for value in lie]]
path.write_text(json.dumps(witness))
for claimed in (lie, outputs):
    try:
        bench.prove_witness(loaded, path, inputs, claimed)
        print("left")
    except JobFailedError as error:
        print(error.kind, "verify" in str(error))
"""
    inputs = json.dumps(tumour.heldout()[0].inputs)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tumour.directory), tumour.model_id.hex(), inputs, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=child_environment(tmp_path),
        check=True,
    )
    assert "proof True" in done.stdout
    assert done.stdout.splitlines()[0] == "proof True"


def _copy(model: ModelArtifacts, to: Path) -> Path:
    shutil.copytree(model.directory, to)
    return to


@pytest.mark.parametrize(
    "name", ["model.onnx", "settings.json", "vk.key", "pk.key", "kzg.srs", "card.toml", "verifier.sol"]
)
def test_open_model__one_byte_changed__refused(tumour: ModelArtifacts, tmp_path: Path, name: str) -> None:
    directory = _copy(tumour, tmp_path / "model")
    raw = bytearray((directory / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (directory / name).write_bytes(raw)
    with pytest.raises(ModelError, match="damaged"):
        open_model(directory)


@pytest.mark.parametrize("name", ["model.onnx", "vk.key"])
def test_open_model__changed_with_a_fresh_manifest__id_betrays_it(
    tumour: ModelArtifacts, tmp_path: Path, name: str
) -> None:
    directory = _copy(tumour, tmp_path / "model")
    meta = json.loads((directory / "manifest.json").read_text())["meta"]
    (directory / name).write_bytes((directory / name).read_bytes() + b"\0")
    write_manifest(directory, meta)
    with pytest.raises(ModelError, match="claims the id"):
        open_model(directory)


async def test_worker__compiled_circuit_replaced__not_used(tumour: ModelArtifacts, tmp_path: Path) -> None:
    # The compiled circuit is not bound by the model id, so a worker makes its own.
    directory = _copy(tumour, tmp_path / "model")
    meta = json.loads((directory / "manifest.json").read_text())["meta"]
    (directory / "network.compiled").write_bytes((ensure_model("tiny").directory / "network.compiled").read_bytes())
    write_manifest(directory, meta)
    row = tumour.heldout()[0]
    async with LocalProver([open_model(directory)], devnet=True) as running:
        found = await running.infer(tumour.model_id, row.inputs)
        assert tumour.card.label(found.outputs[0]) == row.label


async def test_prover__model_damaged_after_it_was_opened__no_refusal_is_signed(
    tumour: ModelArtifacts, tmp_path: Path
) -> None:
    directory = _copy(tumour, tmp_path / "model")
    model = open_model(directory)
    (directory / "vk.key").write_bytes(b"")
    async with LocalProver([model], devnet=True) as running:
        with pytest.raises(ProofError, match="damaged"):
            await running.infer(model.model_id, model.heldout()[0].inputs)


def test_local_prover__local_srs_outside_a_devnet__refused(tumour: ModelArtifacts) -> None:
    assert tumour.devnet_only
    with pytest.raises(ModelError, match="forge"):
        LocalProver([tumour])
    with pytest.raises(ModelError, match="forge"):
        LocalProver([tumour], accepted_srs=frozenset({tumour.srs_sha256}))


def test_local_prover__manifest_claims_a_ceremony__only_a_listed_one_is_taken(
    tumour: ModelArtifacts, tmp_path: Path
) -> None:
    directory = _copy(tumour, tmp_path / "model")
    meta = json.loads((directory / "manifest.json").read_text())["meta"]
    write_manifest(directory, {**meta, "devnet_only": False})
    claimed = open_model(directory)
    with pytest.raises(ModelError, match="trusted ceremony"):
        LocalProver([claimed])
    assert LocalProver([claimed], accepted_srs=frozenset({claimed.srs_sha256})).model(claimed.model_id)


def test_ceremony_srs__another_hash__refused_and_the_file_kept(tumour: ModelArtifacts) -> None:
    with pytest.raises(ModelError, match="published"):
        ceremony_srs(tumour.srs, tumour.k, "00" * 32)
    assert tumour.srs.is_file()
    taken = ceremony_srs(tumour.srs, tumour.k, tumour.srs_sha256.upper())
    assert not taken.devnet_only


def test_build__two_caches_with_one_srs__same_model(tumour: ModelArtifacts, tmp_path: Path) -> None:
    # ezkl's own SRS is random, and the vk rests on it: a second cache that is to give the same id needs the same file.
    shutil.copytree(local_srs(tumour.k).path.parents[1], tmp_path / "srs")
    again = ensure_model("tumour", root=tmp_path)
    assert again.directory != tumour.directory
    assert again.model_id == tumour.model_id
    for name in (
        "model.onnx",
        "settings.json",
        "vk.key",
        "pk.key",
        "verifier.sol",
        "vka.bin",
        "card.toml",
        "heldout.json",
    ):
        assert (again.directory / name).read_bytes() == (tumour.directory / name).read_bytes(), name


def test_ensure_model__entry_damaged__rebuilt_with_the_same_id(tmp_path: Path) -> None:
    first = ensure_model("tiny", root=tmp_path)
    (first.directory / "pk.key").write_bytes(b"not a key")
    damaged: list[ModelError] = []
    assert list_models(tmp_path, on_damaged=damaged.append) == ()
    assert len(damaged) == 1
    said: list[str] = []
    again = ensure_model("tiny", root=tmp_path, progress=said.append)
    assert again == first
    assert any("damaged" in message for message in said)
    assert [model.name for model in list_models(tmp_path)] == ["tiny"]


def test_find_model__by_name_id_or_prefix__found(tmp_path: Path) -> None:
    tiny = ensure_model("tiny", root=tmp_path)
    for wanted in ("tiny", tiny.model_id.hex(), "0x" + tiny.model_id.hex()[:8].upper()):
        assert find_model(wanted, tmp_path) == tiny
    for wanted in ("large", "ab", "0" * 64):
        with pytest.raises(ModelError, match="tiny"):
            find_model(wanted, tmp_path)
    with pytest.raises(ModelError, match="tumour"):
        ensure_model("unheard-of", root=tmp_path)


def test_node_side_modules__imported__load_no_model_library() -> None:
    script = (
        "import sys, circuits.prover, circuits.catalogue, circuits.memory\n"
        "print(sorted({'ezkl', 'onnx', 'onnxruntime', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=PACKAGES, check=True
    )
    assert done.stdout.strip() == "[]"
