"""A worker process (`python -m circuits.worker SCRATCH`): jobs as lines on stdin, replies as lines on stdout, one at a time.

Guarantees: a proof leaves only after this process verified it; a verdict rests on instances rebuilt from the job, on a proof of exactly the right
length, and on the verifying key that the model id binds; the circuit is compiled here from the ONNX file and settings that the id binds, never taken
from a file beside them. Native code may hang, panic or hold the interpreter's lock, so the kernel's alarm ends a job that the parent cannot,
and end of input (the parent died) ends the process. Does not do: queues, retries, judging requests (see `circuits.admission`).
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import ezkl

from circuits.catalogue import ModelArtifacts, open_model
from circuits.errors import JobFailedError, ModelError
from circuits.field import from_ezkl_hex, to_ezkl_hex
from circuits.jobs import FailureKind, Job, Reply, Task, decode_job, encode_failure, encode_reply
from oracle.protocol.encoding import INT64_MAX, dequantise

Floats = Callable[[tuple[float, ...]], tuple[float, ...]]

MAX_LOADED = 16
"""Models kept ready at once; the one loaded first gives way."""

EXIT_PANIC = 3


def is_panic(error: BaseException) -> bool:
    """Whether ezkl's native code panicked. pyo3's exception cannot be imported, and is no Exception."""
    return type(error).__name__ == "PanicException"


@dataclass(slots=True)
class Loaded:
    """A model ready for work."""

    artifacts: ModelArtifacts
    circuit: Path
    floats: Floats | None = field(default=None)


class Bench:
    """The worker's models and its private directory."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._loaded: dict[str, Loaded] = {}

    def run(self, job: Job) -> Reply:
        """Do one job. Raises JobFailedError."""
        loaded = self.load(job)
        match job.task:
            case Task.LOAD:
                return Reply()
            case Task.INFER:
                return self._infer(loaded, job.inputs)
            case Task.PROVE:
                return self._prove(loaded, job.inputs)
            case Task.VERIFY:
                return Reply(valid=self.verify(loaded, job.inputs, job.outputs, bytes.fromhex(job.proof)))

    def load(self, job: Job) -> Loaded:
        """The model that a job names, checked once against its manifest and id."""
        if (known := self._loaded.get(job.model_id)) is not None:
            return known
        try:
            artifacts = open_model(Path(job.directory))
            if artifacts.model_id.hex() != job.model_id:
                raise ModelError(f"{job.directory} holds the model {artifacts.model_id.hex()}, not {job.model_id}.")
            circuit = self._scratch / f"{job.model_id}.compiled"
            ezkl.compile_circuit(str(artifacts.onnx), str(circuit), str(artifacts.settings))
        except (ModelError, RuntimeError) as error:
            raise JobFailedError(FailureKind.MODEL, str(error)) from error
        if len(self._loaded) >= MAX_LOADED:
            self._loaded.pop(next(iter(self._loaded)))
        return self._loaded.setdefault(job.model_id, Loaded(artifacts, circuit))

    def witness(self, loaded: Loaded, inputs: tuple[int, ...], output: Path | None = None) -> tuple[int, ...]:
        """The circuit's outputs for `inputs`; the witness goes to `output` if that is given."""
        row = list(dequantise(inputs, loaded.artifacts.input_scale))
        data = json.dumps({"input_data": [row]})
        try:
            found = ezkl.gen_witness(data, str(loaded.circuit), str(output) if output else None, None, None)
        except RuntimeError as error:
            # What the circuit cannot hold is the request's fault; a file that cannot be read is this machine's.
            kind = FailureKind.INFERENCE if "[halo2]" in str(error) else FailureKind.PROOF
            raise JobFailedError(kind, f"The circuit has no witness for these inputs: {error}") from error
        if tuple(from_ezkl_hex(felt) for felt in found["inputs"][0]) != inputs:
            raise JobFailedError(FailureKind.PROOF, "ezkl changed the inputs on their way into the circuit.")
        outputs = tuple(from_ezkl_hex(felt) for felt in found["outputs"][0])
        if len(outputs) != loaded.artifacts.output_count or any(abs(value) > INT64_MAX for value in outputs):
            raise JobFailedError(FailureKind.INFERENCE, "The circuit's outputs do not have the model's shape or range.")
        return outputs

    def _infer(self, loaded: Loaded, inputs: tuple[int, ...]) -> Reply:
        artifacts = loaded.artifacts
        if loaded.floats is None:
            loaded.floats = _session(artifacts.onnx)
        floats = loaded.floats(dequantise(inputs, artifacts.input_scale))
        outputs = self.witness(loaded, inputs)
        check_agreement(dequantise(outputs, artifacts.output_scale), floats, artifacts.card.error_bound)
        return Reply(outputs=outputs, float_outputs=floats)

    def _prove(self, loaded: Loaded, inputs: tuple[int, ...]) -> Reply:
        path = self._scratch / "witness.json"
        outputs = self.witness(loaded, inputs, path)
        proof, seconds = self.prove_witness(loaded, path, inputs, outputs)
        return Reply(outputs=outputs, proof=proof.hex(), seconds=seconds)

    def prove_witness(
        self, loaded: Loaded, witness: Path, inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> tuple[bytes, float]:
        """A proof of a witness file and the seconds that proving took. ezkl proves whatever the file says, so the proof is verified here."""
        artifacts = loaded.artifacts
        began = time.monotonic()
        try:
            made = ezkl.prove(str(witness), str(loaded.circuit), str(artifacts.proving_key), None, str(artifacts.srs))
        except RuntimeError as error:
            raise JobFailedError(FailureKind.PROOF, f"ezkl made no proof: {error}") from error
        seconds = time.monotonic() - began
        proof = (
            bytes.fromhex(made["proof"].removeprefix("0x")) if isinstance(made["proof"], str) else bytes(made["proof"])
        )
        if not self.verify(loaded, inputs, outputs, proof):
            raise JobFailedError(FailureKind.PROOF, "The new proof does not verify; it is not used.")
        return proof, seconds

    def verify(self, loaded: Loaded, inputs: tuple[int, ...], outputs: tuple[int, ...], proof: bytes) -> bool:
        """Whether the proof shows that the model takes `inputs` to `outputs`."""
        artifacts = loaded.artifacts
        shape = (artifacts.proof_length, artifacts.input_count, artifacts.output_count)
        if (len(proof), len(inputs), len(outputs)) != shape:
            return False
        path = self._scratch / "proof.json"
        path.write_text(json.dumps(proof_document((*inputs, *outputs), proof)))
        files = (str(artifacts.settings), str(artifacts.verifying_key), str(artifacts.srs))
        try:
            return ezkl.verify(str(path), *files, False) is True
        except RuntimeError as error:
            if "[halo2]" in str(error):
                return False
            raise JobFailedError(FailureKind.PROOF, f"ezkl could not check the proof: {error}") from error


def proof_document(values: tuple[int, ...], proof: bytes) -> dict[str, object]:
    """ezkl's proof file with the instances `values`; everything that it might read besides is empty."""
    empty = dict.fromkeys(("protocol", "hex_proof", "split", "pretty_public_inputs", "timestamp", "version"))
    return {**empty, "instances": [[to_ezkl_hex(value) for value in values]], "proof": list(proof)}


def check_agreement(quantised: tuple[float, ...], floats: tuple[float, ...], bound: float) -> None:
    """Raise JobFailedError unless each circuit output is within `bound` of onnxruntime's; the bound is proven, so a larger gap is a fault."""
    for a, b in zip(quantised, floats, strict=True):
        if not abs(a - b) <= bound:  # also when b is not a number
            raise JobFailedError(
                FailureKind.INFERENCE,
                f"onnxruntime gives {b:g}, the circuit {a:g}: they differ by more than the model's bound of {bound:g}.",
            )


def _session(onnx: Path) -> Floats:
    # Imported on first use: a worker that only proves or verifies stays 20 MB smaller.
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]

    def run(row: tuple[float, ...]) -> tuple[float, ...]:
        outputs = session.run(None, {entry.name: np.array(row, np.float32).reshape(entry.shape)})
        return tuple(float(value) for value in np.asarray(outputs[0]).ravel())

    return run


def _answer(bench: Bench, line: bytes) -> tuple[bytes, bool]:
    """The reply to a line, and whether this process may go on."""
    try:
        job = decode_job(line)
        signal.setitimer(signal.ITIMER_REAL, job.alarm)
        return encode_reply(bench.run(job)), True
    except JobFailedError as error:
        return encode_failure(FailureKind(error.kind), str(error)), True
    except BaseException as error:
        if not is_panic(error):
            raise
        # A panic can leave native state half changed: say so, and let the pool start another process.
        if job.task is Task.VERIFY:
            return encode_reply(Reply(valid=False)), False
        return encode_failure(FailureKind.PROOF, f"ezkl panicked: {error}"), False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def serve(jobs: BinaryIO, replies: BinaryIO, scratch: Path) -> int:
    """Answer jobs until the input ends; returns the exit code."""
    bench = Bench(scratch)
    replies.write(encode_reply(Reply()))  # ready
    replies.flush()
    for line in jobs:
        reply, healthy = _answer(bench, line)
        replies.write(reply)
        replies.flush()
        if not healthy:
            return EXIT_PANIC
    return 0


def main() -> int:
    """Run a worker on this process's own streams."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides when a worker ends
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints must not mix with the replies
    try:
        return serve(sys.stdin.buffer, replies, Path(sys.argv[1]))
    except BrokenPipeError:
        return 0  # the parent is gone
    finally:
        os.dup2(2, replies.fileno())


if __name__ == "__main__":
    sys.exit(main())
