"""Real proofs, and the two verifiers that they were made for: `ezkl.verify` in a process of its own, and ezkl's Solidity verifier on an anvil.

`python -m tests.support.halo2` is that process: a JSON job on stdin, the reply on stdout. It hands ezkl exactly the bytes and instances of a case
(the strict parsing that `circuits.worker` does around ezkl is a length check, done here too).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp

from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.compile import child_environment
from circuits.halo2 import Key

PROVE_SECONDS = 120.0
VERIFY_SECONDS = 280.0


@dataclass(frozen=True, slots=True)
class Case:
    """A proof and the instances that it is held against."""

    name: str
    proof: bytes
    instances: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """A model with an honest proof."""

    model: ModelArtifacts
    key: Key
    honest: Case


@lru_cache
def sample(name: str, row: int = 0) -> Sample:
    """The model's proof for one of its held-out rows, made afresh in this process."""
    model = ensure_model(name)
    reply = _child(
        {"task": "prove", "directory": str(model.directory), "inputs": list(model.heldout()[row].inputs)}, PROVE_SECONDS
    )
    key = Key.from_vka((model.directory / "vka.bin").read_bytes())
    honest = Case("honest", bytes.fromhex(reply["proof"]), tuple(int(word, 16) for word in reply["instances"]))
    return Sample(model, key, honest)


def ezkl_verdicts(model: ModelArtifacts, cases: Sequence[Case], *, srs: Path | None = None) -> list[bool]:
    """What `ezkl.verify` says of each case under the model's key; only proofs of the right length reach it."""
    job = {
        "task": "verify",
        "directory": str(model.directory),
        "srs": str(srs or model.srs),
        "cases": [[case.proof.hex(), [f"{value:x}" for value in case.instances]] for case in cases],
    }
    return [bool(verdict) for verdict in _child(job, VERIFY_SECONDS)["verdicts"]]


async def evm_verdicts(rpc_url: str, address: str, cases: Sequence[Case]) -> list[bool]:
    """What the Solidity verifier says of each case: true, or a revert. One request for all."""
    calls = [
        {
            "jsonrpc": "2.0",
            "id": i,
            "method": "eth_call",
            "params": [{"to": address, "data": "0x" + calldata(case).hex(), "gas": "0x2dc6c0"}, "latest"],
        }
        for i, case in enumerate(cases)
    ]
    timeout = aiohttp.ClientTimeout(total=VERIFY_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.post(rpc_url, json=calls) as response:
        answers: list[dict[str, Any]] = await response.json()
    found = {answer["id"]: answer for answer in answers}
    return [_true(found[i]) for i in range(len(cases))]


def calldata(case: Case) -> bytes:
    """verifyProof(bytes, uint256[])."""
    padded = case.proof + bytes(-len(case.proof) % 32)
    words = [64, 96 + len(padded), len(case.proof)]
    tail = [len(case.instances), *case.instances]
    return bytes.fromhex("1e8e1e13") + _words(words) + padded + _words(tail)


def _words(values: Sequence[int]) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def _true(answer: dict[str, Any]) -> bool:
    if "error" in answer:
        assert "revert" in answer["error"]["message"], answer
        return False
    assert int(answer["result"], 16) == 1, answer
    return True


def changed(case: Case, name: str, *, proof: bytes | None = None, instances: Sequence[int] | None = None) -> Case:
    """The case with another proof or other instances."""
    return replace(
        case,
        name=name,
        proof=case.proof if proof is None else proof,
        instances=case.instances if instances is None else tuple(instances),
    )


def _child(job: dict[str, Any], deadline: float) -> Any:
    with tempfile.TemporaryDirectory(prefix="sibyl-halo2-") as home:
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.halo2", home],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=deadline,
            env=child_environment(Path(home)),
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return json.loads(done.stdout)


@contextmanager
def _replies() -> Iterator[Any]:
    """The real standard output; whatever native code prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    yield replies
    replies.close()


def _prove(job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    from circuits.jobs import Job, Task
    from circuits.worker import Bench

    model = _open(job)
    inputs = tuple(job["inputs"])
    task = Job(
        task=Task.PROVE, directory=job["directory"], model_id=model.model_id.hex(), inputs=inputs, alarm=PROVE_SECONDS
    )
    reply = Bench(scratch).run(task)
    from circuits.field import instances

    return {"proof": reply.proof, "instances": [f"{value:x}" for value in instances(inputs, reply.outputs)]}


def _open(job: dict[str, Any]) -> ModelArtifacts:
    from circuits.catalogue import open_model

    return open_model(Path(job["directory"]))


def _verify(job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    model = _open(job)
    path = scratch / "proof.json"
    return {"verdicts": [_verdict(model, job["srs"], path, bytes.fromhex(p), i) for p, i in job["cases"]]}


def _verdict(model: ModelArtifacts, srs: str, path: Path, proof: bytes, instances: list[str]) -> bool:
    import ezkl

    from circuits.worker import is_panic, proof_document

    if len(proof) != model.proof_length:
        return False  # ezkl ignores what follows a proof; nobody in this project asks it then
    document = proof_document((), proof)
    document["instances"] = [[int(word, 16).to_bytes(32, "little").hex() for word in instances]]
    path.write_text(json.dumps(document))
    try:
        return ezkl.verify(str(path), str(model.settings), str(model.verifying_key), srs, False) is True
    except RuntimeError:
        return False
    except BaseException as error:
        if is_panic(error):
            return False
        raise


def main() -> None:
    """One job."""
    with _replies() as replies:
        job = json.loads(sys.stdin.read())
        task = _prove if job["task"] == "prove" else _verify
        json.dump(task(job, Path(sys.argv[1])), replies)
    os._exit(0)  # ezkl's own threads may still run


if __name__ == "__main__":
    main()
