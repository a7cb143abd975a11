"""One ezkl call in a process of its own (`python -m circuits.ezkl_child`): a JSON job on stdin, a JSON reply on stdout.

ezkl may panic, hang or hold the interpreter's lock, so the builder never calls it in its own process. Not for the node's run-time jobs:
those go through `circuits.pool`.
"""

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import TypedDict

import ezkl

from circuits.field import from_ezkl_hex

_NO_SOLC = "svm error"
"""ezkl writes the .sol, then looks for a solc of its own and fails; the contract is compiled by the project's pinned compiler."""


class Job(TypedDict, total=False):
    """Arguments of a step; paths are file names in `directory`."""

    step: str
    directory: str
    run_args: dict[str, str | int | bool | list[int]]
    srs: str
    logrows: int
    rows: list[list[float]]
    seconds: float
    memory_mb: int


def _settings(job: Job) -> object:
    run_args = ezkl.PyRunArgs()
    for name, value in job["run_args"].items():
        setattr(run_args, name, tuple(value) if isinstance(value, list) else value)
    return ezkl.gen_settings("model.onnx", "settings.json", py_run_args=run_args)


def _compile(_job: Job) -> object:
    return ezkl.compile_circuit("model.onnx", "network.compiled", "settings.json")


def _srs(job: Job) -> object:
    ezkl.gen_srs("kzg.srs", job["logrows"])
    return True


def _setup(job: Job) -> object:
    return ezkl.setup("network.compiled", "vk.key", "pk.key", job["srs"], None, False)


def _verifier(job: Job) -> object:
    async def create() -> None:
        try:
            await ezkl.create_evm_verifier("vk.key", "settings.json", "verifier.sol", "verifier.abi", job["srs"], False)
        except RuntimeError as error:
            if _NO_SOLC not in str(error):
                raise

    asyncio.run(create())
    return Path("verifier.sol").is_file()


def _vka(job: Job) -> object:
    async def create() -> bool:
        return bool(await ezkl.create_evm_vka("vk.key", "settings.json", "vka.bin", job["srs"]))

    return asyncio.run(create())


def _witness(job: Job) -> object:
    outputs = []
    for row in job["rows"]:
        witness = ezkl.gen_witness(json.dumps({"input_data": [row]}), "network.compiled", None, None, None)
        outputs.append([from_ezkl_hex(felt) for felt in witness["outputs"][0]])
    return outputs


def _prove(job: Job) -> object:
    ezkl.gen_witness(json.dumps({"input_data": [job["rows"][0]]}), "network.compiled", "sample.witness", None, None)
    ezkl.prove("sample.witness", "network.compiled", "pk.key", "sample.proof", job["srs"])
    good = ezkl.verify("sample.proof", "settings.json", "vk.key", job["srs"], False)
    length = len(json.loads(Path("sample.proof").read_bytes())["proof"])
    for name in ("sample.witness", "sample.proof"):
        Path(name).unlink()
    return length if good is True else 0


def _sorted_settings() -> dict[str, object]:
    """The settings, with what ezkl writes in the order of a hash put in order: see `circuits.compile.settled`."""
    settings: dict[str, object] = json.loads(Path("settings.json").read_bytes())
    checks = settings["required_range_checks"]
    settings["required_range_checks"] = sorted(checks) if isinstance(checks, list) else checks
    Path("settings.json").write_text(json.dumps(settings))
    return settings


def _probe(job: Job) -> object:
    """The circuit's size, and its outputs for as many rows as `seconds` allow, at least one. No keys are made."""
    end = time.monotonic() + job["seconds"]
    _settings(job)
    settings = _sorted_settings()
    _compile(job)
    outputs: list[list[int]] = []
    lookups: list[list[int]] = []
    failure = ""
    for row in job["rows"]:
        if outputs and time.monotonic() > end:
            break
        try:
            witness = ezkl.gen_witness(json.dumps({"input_data": [row]}), "network.compiled", None, None, None)
        except RuntimeError as error:
            failure = str(error)
            break
        outputs.append([from_ezkl_hex(felt) for felt in witness["outputs"][0]])
        lookups.append([witness["min_lookup_inputs"], witness["max_lookup_inputs"]])
    kept = ("num_rows", "model_instance_shapes", "model_output_scales", "model_input_scales", "required_lookups")
    facts = {name: settings[name] for name in kept}
    return {**facts, "outputs": outputs, "lookups": lookups, "failure": failure}


def _trial(job: Job) -> object:
    """Keys, one proof and its check, timed, within an address space of `memory_mb`."""
    limit = job["memory_mb"] << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    _settings(job)
    _sorted_settings()
    _compile(job)
    began = time.process_time()  # on one thread, what an idle machine's clock would show
    _setup(job)
    setup = time.process_time() - began
    row = json.dumps({"input_data": [job["rows"][0]]})
    ezkl.gen_witness(row, "network.compiled", "sample.witness", "vk.key", job["srs"])
    began = time.process_time()
    proof = ezkl.prove("sample.witness", "network.compiled", "pk.key", "sample.proof", job["srs"])
    prove = time.process_time() - began
    good = ezkl.verify("sample.proof", "settings.json", "vk.key", job["srs"], False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    return {
        "valid": good is True,
        "setup_seconds": setup,
        "prove_seconds": prove,
        "memory_mb": peak,
        "proof_length": len(json.loads(Path("sample.proof").read_bytes())["proof"]),
        "instances": len(proof["instances"][0]),
    }


def _calibrate(job: Job) -> object:
    """What ezkl itself would choose: its default settings, calibrated on the rows as its guide does it. For comparison only."""
    Path("rows.json").write_text(json.dumps({"input_data": [[value for row in job["rows"] for value in row]]}))
    ezkl.gen_settings("model.onnx", "settings.json", py_run_args=None)
    ezkl.calibrate_settings("rows.json", "model.onnx", "settings.json", "resources", 2.0, None, [1], None)
    settings = json.loads(Path("settings.json").read_bytes())
    numbers = {name: value for name, value in settings["run_args"].items() if isinstance(value, int | list)}
    numbers.pop("variables", None)
    return {"run_args": numbers, "num_rows": settings["num_rows"], "lookups": len(settings["required_lookups"])}


STEPS = {
    "settings": _settings,
    "compile": _compile,
    "srs": _srs,
    "setup": _setup,
    "verifier": _verifier,
    "vka": _vka,
    "witness": _witness,
    "prove": _prove,
    "probe": _probe,
    "trial": _trial,
    "calibrate": _calibrate,
}


def main() -> None:
    """Run the job on stdin in its directory."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what ezkl prints must not mix with the reply
    job: Job = json.loads(sys.stdin.read())
    os.chdir(job["directory"])
    json.dump(STEPS[job["step"]](job), replies)
    replies.close()
    # ezkl's own threads may still run and crash the interpreter while it shuts down (1 run in 20 after create_evm_verifier).
    os._exit(0)


if __name__ == "__main__":
    main()
