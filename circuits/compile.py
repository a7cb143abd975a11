"""ONNX → circuit, keys and Solidity verifier, in the one-column family that every Sibyl model uses unless it is told otherwise.

Settings are fixed, never calibrated (calibration is not deterministic): one inner column, no lookups, range checks in base 128, parameters fixed
(which binds the weights to the verifying key), inputs and outputs public. `circuits.tuning` searches for other settings and hands them in here.
From one ONNX file and one SRS the settings, keys and verifier come out byte for byte the same; `network.compiled` does not, so workers compile it
again from the ONNX file and settings that the model id binds.

The model id is keccak256(DOMAIN_MODEL ‖ keccak256(onnx) ‖ keccak256(settings) ‖ keccak256(vk)), where settings are canonical JSON: sorted keys, no
spaces, without `timestamp`; `settings.json` is written in that form. The vk depends on the SRS, so the id does too.

Does not do: train or export models, choose an SRS. `local_srs` makes one whose secret this machine has seen: for devnets only, and marked so.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from circuits.cache import Json, Progress, content_key, ensure_entry, quiet
from circuits.errors import ModelError
from oracle.protocol import constants
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import ModelId

PACKAGES = Path(__file__).resolve().parent.parent
"""Directory that holds the `circuits` package: a child process must find it whatever its working directory."""

FAMILY_PROOF_LENGTH = 1952
"""Bytes of every proof of the one-column family: 16 points and 29 evaluations. A circuit that spills into more columns has longer ones."""

_VOLATILE = frozenset({"timestamp"})
_DEAD_PROXY = "http://127.0.0.1:9"
"""Nothing listens on the discard port: ezkl's attempt to download a compiler ends at once and never leaves the machine."""


@dataclass(frozen=True, slots=True)
class CircuitSettings:
    """The tuned settings of one circuit.

    A ReLU's input, at `scale` bits after the point, must stay below `decomp_base ** decomp_legs`: the builder proves that for the whole input range.
    """

    scale: int
    """Bits after the point of inputs and, unless the next fields say otherwise, of parameters and outputs."""
    logrows: int
    """k: the circuit has 2^k rows."""
    decomp_legs: int = 4
    decomp_base: int = 128
    param_scale: int | None = None
    """Bits after the point of parameters; those of inputs unless given."""
    rebase_multiplier: int = 1
    """A product is rounded when it has more bits after the point than this many times the larger scale. Each rounding costs 47 rows or more, so
    a network that is shallow enough is cheapest when nothing is rounded, and then its arithmetic is exact too."""
    inner_cols: int = 1
    lookup_range: tuple[int, int] = (0, 0)
    """Smallest and largest argument of the lookup tables; both 0 for a circuit without any. ezkl hangs on an argument outside."""
    input_visibility: str = "public"
    """“public”, “hashed” or “polycommit”. What is compiled for nodes has public inputs; the others are for measuring."""
    family: bool = True
    """Refuse a circuit outside the one-column family, whose verifier shape all models share and Solana can check."""

    def run_args(self) -> dict[str, Json]:
        """ezkl's names for these settings and for those that the family fixes."""
        return {
            "input_visibility": self.input_visibility,
            "output_visibility": "public",
            "param_visibility": "fixed",
            "input_scale": self.scale,
            "param_scale": self.scale if self.param_scale is None else self.param_scale,
            "scale_rebase_multiplier": self.rebase_multiplier,
            "logrows": self.logrows,
            "num_inner_cols": self.inner_cols,
            "decomp_base": self.decomp_base,
            "decomp_legs": self.decomp_legs,
            "disable_freivalds": True,
            "lookup_range": list(self.lookup_range),
            "check_mode": "unsafe",
        }


@dataclass(frozen=True, slots=True)
class Srs:
    """A structured reference string on disk, whose SHA-256 was checked."""

    path: Path
    k: int
    sha256: str
    devnet_only: bool
    """Its secret was made on some single machine, so that machine could forge proofs."""


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """What `compile_model` wrote into `directory`."""

    directory: Path
    model_id: ModelId
    input_count: int
    output_count: int
    input_scale: int
    output_scale: int
    k: int
    proof_length: int
    srs: Srs

    def meta(self) -> dict[str, Json]:
        """The facts that go into the manifest."""
        return {
            "model_id": self.model_id.hex(),
            "input_count": self.input_count,
            "output_count": self.output_count,
            "input_scale": self.input_scale,
            "output_scale": self.output_scale,
            "k": self.k,
            "proof_length": self.proof_length,
            "ezkl": version("ezkl"),
            "srs_sha256": self.srs.sha256,
            "devnet_only": self.srs.devnet_only,
        }


def canonical_settings(raw: bytes) -> bytes:
    """Settings as the model id hashes them: JSON with sorted keys, no spaces, without what changes from run to run."""
    settings = json.loads(raw)
    if not isinstance(settings, dict):
        raise ModelError("The circuit settings are not a JSON object.")
    kept = {name: value for name, value in settings.items() if name not in _VOLATILE}
    return json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()


def settled(raw: bytes) -> bytes:
    """Settings as ezkl wrote them, made canonical and independent of its hash order.

    ezkl lists the range checks in an order that changes from run to run, and lays out the circuit in the order it finds here: unsorted, one model
    has several verifying keys.
    """
    settings = json.loads(raw)
    settings["required_range_checks"] = sorted(settings["required_range_checks"])
    return canonical_settings(json.dumps(settings).encode())


def model_id_of(onnx: bytes, settings: bytes, vk: bytes) -> ModelId:
    """PROTOCOL.md §5. `settings` in any form; they are made canonical here."""
    parts = (keccak256(onnx), keccak256(canonical_settings(settings)), keccak256(vk))
    return ModelId(keccak256(constants.DOMAIN_MODEL, *parts))


def child_environment(home: Path) -> dict[str, str]:
    """Environment of a process that loads ezkl: one thread, no network, a home directory of its own."""
    keep = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    one_thread = dict.fromkeys(
        ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MALLOC_ARENA_MAX"), "1"
    )
    no_network = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _DEAD_PROXY)
    return environment | one_thread | no_network | {"HOME": str(home), "PYTHONPATH": str(PACKAGES)}


def run_step(step: str, directory: Path, deadline: float, **arguments: Json) -> Json:
    """Run one step of `circuits.ezkl_child` in `directory`. Raises ModelError when it fails or takes longer than `deadline` seconds."""
    job = json.dumps({"step": step, "directory": str(directory.resolve()), **arguments})
    with tempfile.TemporaryDirectory(prefix="sibyl-home-") as home:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "circuits.ezkl_child"],
                input=job.encode(),
                capture_output=True,
                timeout=deadline,
                env=child_environment(Path(home)),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"The step “{step}” of the circuit's build took more than {deadline:.0f} s and was ended."
            ) from None
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip()[-600:]
        raise ModelError(f"The step “{step}” of the circuit's build failed: {tail or f'exit code {done.returncode}'}")
    reply: Json = json.loads(done.stdout)
    return reply


def local_srs(k: int, *, root: Path | None = None, progress: Progress = quiet, deadline: float = 120.0) -> Srs:
    """A devnet-only SRS of this machine, made once for each k and kept in the cache."""

    def build(directory: Path) -> Mapping[str, Json]:
        progress(f"Making a local reference string with 2^{k} points (for devnets only)")
        run_step("srs", directory, deadline, logrows=k)
        return {"kind": "local", "k": k, "devnet_only": True}

    key = content_key({"what": "local-srs", "k": str(k), "ezkl": version("ezkl")})
    entry = ensure_entry("srs", key, build, root=root, progress=progress)
    path = entry.path / "kzg.srs"
    return Srs(path, k, hashlib.sha256(path.read_bytes()).hexdigest(), devnet_only=True)


def ceremony_srs(path: Path, k: int, sha256: str) -> Srs:
    """A ceremony's SRS, whose file must have the published hash. Raises ModelError when it has another."""
    # Checked here, before ezkl sees the file: ezkl deletes a file whose hash does not match.
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != sha256.lower():
        raise ModelError(
            f"{path} has the SHA-256 {actual}, not the ceremony's {sha256}; fetch the published file again."
        )
    return Srs(path, k, actual, devnet_only=False)


def compile_model(
    onnx_path: Path,
    directory: Path,
    circuit: CircuitSettings,
    srs: Srs,
    *,
    sample: tuple[float, ...],
    deadline: float = 300.0,
    progress: Progress = quiet,
) -> CompiledModel:
    """Fill `directory` with model.onnx, settings.json, network.compiled, kzg.srs, vk.key, pk.key, verifier.sol and vka.bin.

    `sample` is one row of inputs (already on the fixed-point grid) that is proven and verified before anything is called good.
    `deadline` bounds the whole build in seconds. Raises ModelError.
    """
    if circuit.input_visibility != "public":
        raise ModelError("Nodes serve models with public inputs; compile the circuit with input_visibility “public”.")
    if srs.k != circuit.logrows:
        raise ModelError(f"The reference string is for k={srs.k}, the circuit for k={circuit.logrows}.")
    end = time.monotonic() + deadline

    def step(name: str, **arguments: Json) -> Json:
        return run_step(name, directory, max(1.0, end - time.monotonic()), **arguments)

    if onnx_path.resolve() != (directory / "model.onnx").resolve():
        shutil.copyfile(onnx_path, directory / "model.onnx")
    shutil.copyfile(srs.path, directory / "kzg.srs")
    progress("Compiling the circuit")
    step("settings", run_args=circuit.run_args())
    settings_path = directory / "settings.json"
    settings_path.write_bytes(settled(settings_path.read_bytes()))
    _check_family(settings_path.read_bytes(), circuit)
    step("compile")
    progress("Making the proving and verifying keys")
    step("setup", srs="kzg.srs")
    if step("verifier", srs="kzg.srs") is not True:
        raise ModelError("ezkl wrote no Solidity verifier.")
    (directory / "verifier.abi").unlink(missing_ok=True)
    step("vka", srs="kzg.srs")
    progress("Proving and verifying a first row")
    proof_length = step("prove", srs="kzg.srs", rows=[list(sample)])
    if not isinstance(proof_length, int) or proof_length < 1:
        raise ModelError("The new circuit's first proof does not verify; the build is not used.")
    if circuit.family and proof_length != FAMILY_PROOF_LENGTH:
        raise ModelError(
            f"The model does not fit one column of 2^{circuit.logrows} rows (its proof has {proof_length} bytes, "
            f"not {FAMILY_PROOF_LENGTH}); give it a larger k."
        )
    return _describe(directory, circuit, srs, proof_length)


def _check_family(settings: bytes, circuit: CircuitSettings) -> None:
    """Raise ModelError unless ezkl took the settings as they were meant: no lookups unless with a range, and the rows that were asked for."""
    found = json.loads(settings)
    if found["required_lookups"] and (circuit.family or circuit.lookup_range == (0, 0)):
        raise ModelError(
            "The circuit needs lookup tables, which the one-column family does not have; compile the model with: sibyl model compile"
        )
    if (found["run_args"]["logrows"], found["run_args"]["num_inner_cols"]) != (circuit.logrows, circuit.inner_cols):
        raise ModelError(
            f"The model does not fit a one-column circuit of 2^{circuit.logrows} rows; give it a larger k."
        )
    if len(found["model_instance_shapes"]) != 2 or len(found["model_output_scales"]) != 1:
        raise ModelError("A model has exactly one input tensor and one output tensor.")


def _describe(directory: Path, circuit: CircuitSettings, srs: Srs, proof_length: int) -> CompiledModel:
    onnx, settings, vk = ((directory / name).read_bytes() for name in ("model.onnx", "settings.json", "vk.key"))
    found = json.loads(settings)
    (input_shape, output_shape) = found["model_instance_shapes"]
    return CompiledModel(
        directory=directory,
        model_id=model_id_of(onnx, settings, vk),
        input_count=_size(input_shape),
        output_count=_size(output_shape),
        input_scale=found["model_input_scales"][0],
        output_scale=found["model_output_scales"][0],
        k=circuit.logrows,
        proof_length=proof_length,
        srs=srs,
    )


def _size(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def quantised_outputs(directory: Path, rows: list[list[float]], *, deadline: float = 120.0) -> list[list[int]]:
    """The circuit's fixed-point outputs for rows of inputs: what a build measures its quantisation error with."""
    found = run_step("witness", directory, deadline, rows=[list(row) for row in rows])
    if not isinstance(found, list) or len(found) != len(rows):
        raise ModelError("ezkl did not answer with one output for each row.")
    return [[int(value) for value in row if isinstance(value, int)] for row in found if isinstance(row, list)]
