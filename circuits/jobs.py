"""What a worker pool and its workers say to each other: one JSON object a line.

Both ends are this package on one machine, but the reader is strict all the same: a worker that was hit by a bug in native code may write anything.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from circuits.errors import JobFailedError

LINE_LIMIT = 4 << 20
"""Longest line, in bytes: far above 1,024 inputs or any proof."""


class Task(StrEnum):
    """What a worker can do."""

    LOAD = "load"
    INFER = "infer"
    PROVE = "prove"
    VERIFY = "verify"


class FailureKind(StrEnum):
    """How a job failed in a healthy worker."""

    INFERENCE = "inference"
    """The model gives no valid output for these inputs, on any machine."""
    PROOF = "proof"
    """The proof could not be made or checked here."""
    MODEL = "model"
    """The model's files on this machine are damaged."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. `directory` is the model's; `alarm` seconds after which the worker's own kernel timer ends it."""

    task: Task
    directory: str
    model_id: str
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    proof: str = ""
    alarm: float = 0.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a job; fields that a task does not fill stay empty."""

    outputs: tuple[int, ...] = ()
    float_outputs: tuple[float, ...] = ()
    proof: str = ""
    seconds: float = 0.0
    valid: bool = False


def encode_job(job: Job) -> bytes:
    """A job as a line."""
    return json.dumps(asdict(job)).encode() + b"\n"


def decode_job(line: bytes) -> Job:
    """The job of a line."""
    found = json.loads(line)
    for name in ("inputs", "outputs"):
        found[name] = tuple(found[name])
    return Job(**{**found, "task": Task(found["task"])})


def encode_reply(reply: Reply) -> bytes:
    """A reply as a line."""
    return json.dumps({"reply": asdict(reply)}).encode() + b"\n"


def encode_failure(kind: FailureKind, message: str) -> bytes:
    """A failure as a line."""
    return json.dumps({"failed": kind.value, "message": message}).encode() + b"\n"


def decode_reply(line: bytes) -> Reply:
    """The reply of a line. Raises JobFailedError when the line tells of a failure, ValueError when it is no reply at all."""
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    if "failed" in found:
        raise JobFailedError(FailureKind(found["failed"]), str(found["message"]))
    try:
        reply = found["reply"]
        return Reply(
            outputs=tuple(int(value) for value in reply["outputs"]),
            float_outputs=tuple(float(value) for value in reply["float_outputs"]),
            proof=str(reply["proof"]),
            seconds=float(reply["seconds"]),
            valid=reply["valid"] is True,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a reply: {error}") from error
