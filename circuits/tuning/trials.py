"""Trials of one circuit each, in child processes with a deadline, remembered in a folder that is keyed by all that decides their outcome.

A *probe* tells a circuit's size and its outputs; a *measurement* makes keys and a proof. Guarantees: a trial that ended is never run again, whoever
interrupts the search; a failed or overlong one is remembered with its reason, an interrupted one is not. Does not do: choose (see `search`).
"""

import hashlib
import json
import re
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from circuits.cache import Json, cache_root, content_key
from circuits.compile import PACKAGES, CircuitSettings, Srs, run_step
from circuits.errors import ModelError
from circuits.tuning.floats import Rows

KIND = "tuning"
PROBE_SECONDS = 60.0
"""A circuit that ezkl cannot lay out in this time is too large to be proven here."""

_ADDRESS_SPACE = 1.35
_ADDRESS_BASE_MB = 1024
"""A process reserves more addresses than it uses memory: libraries, thread stacks, mapped files."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a circuit is, without keys."""

    rows: int
    """Rows of one inner column."""
    output_scale: int
    input_count: int
    output_count: int
    lookups: int
    """Number of lookup tables that it needs."""
    lookup_inputs: tuple[int, ...]
    """Largest magnitude that each row sent to a table."""
    outputs: tuple[tuple[int, ...], ...]
    """For as many of the rows as there was time for, in their order."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One proof that was made and verified. Seconds are the processor's, on one thread."""

    setup_seconds: float
    prove_seconds: float
    memory_mb: float
    proof_length: int
    instances: int


class TrialFailedError(ModelError):
    """This circuit does not work; another may. The message says how it failed."""


class Trials:
    """The trials of one model on one sample."""

    def __init__(self, onnx: bytes, rows: Rows, root: Path | None = None) -> None:
        """`rows`: inputs that every probe runs, the most telling first."""
        self._onnx = onnx
        self._rows = rows
        parts: dict[str, str | bytes] = {"onnx": onnx, "rows": rows.tobytes(), "ezkl": version("ezkl")}
        parts["child"] = (PACKAGES / "circuits" / "ezkl_child.py").read_bytes()
        self.folder = (root or cache_root()) / KIND / content_key(parts)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ran, self.found = 0, 0
        """Trials that were run now, and those that were found from before."""

    def probe(self, circuit: CircuitSettings, count: int, seconds: float) -> Probe:
        """Size, and outputs of the first `count` rows or of as many as about `seconds` allow. Raises TrialFailedError."""
        found = self._remembered(f"probe-{count}", circuit, lambda: self._run_probe(circuit, count, seconds))
        if found.get("failure"):
            raise TrialFailedError(f"The circuit does not hold every row within the range: {_tail(found['failure'])}")
        return _parse_probe(found)

    def measure(self, circuit: CircuitSettings, srs: Srs, memory_mb: int, deadline: float) -> Measurement:
        """Keys and a proof. Raises TrialFailedError."""
        found = self._remembered("measure", circuit, lambda: self._run_trial(circuit, srs, memory_mb, deadline))
        if found.get("valid") is not True:
            raise TrialFailedError("The proof of this circuit does not verify.")
        made = Measurement(
            setup_seconds=_number(found["setup_seconds"]),
            prove_seconds=_number(found["prove_seconds"]),
            memory_mb=_number(found["memory_mb"]),
            proof_length=int(_number(found["proof_length"])),
            instances=int(_number(found["instances"])),
        )
        if made.memory_mb > memory_mb:
            raise TrialFailedError(f"The proof took {made.memory_mb:,.0f} MB, more than the limit of {memory_mb:,} MB.")
        return made

    def _run_probe(self, circuit: CircuitSettings, count: int, seconds: float) -> Json:
        with self._directory() as directory:
            return run_step(
                "probe",
                Path(directory),
                seconds + PROBE_SECONDS,
                run_args=circuit.run_args(),
                rows=self._rows[:count].tolist(),
                seconds=seconds,
            )

    def _run_trial(self, circuit: CircuitSettings, srs: Srs, memory_mb: int, deadline: float) -> Json:
        with self._directory() as directory:
            return run_step(
                "trial",
                Path(directory),
                deadline,
                run_args=circuit.run_args(),
                rows=self._rows[:1].tolist(),
                srs=str(srs.path.resolve()),
                memory_mb=int(memory_mb * _ADDRESS_SPACE) + _ADDRESS_BASE_MB,
            )

    def _directory(self) -> tempfile.TemporaryDirectory[str]:
        made = tempfile.TemporaryDirectory(prefix="sibyl-trial-")
        (Path(made.name) / "model.onnx").write_bytes(self._onnx)
        return made

    def _remembered(self, kind: str, circuit: CircuitSettings, run: Callable[[], Json]) -> dict[str, Json]:
        told = json.dumps(asdict(circuit), sort_keys=True)
        path = self.folder / f"{kind}-{hashlib.sha256(told.encode()).hexdigest()[:24]}.json"
        known = _read(path)
        if known is not None:
            self.found += 1
        else:
            self.ran += 1
            try:
                result = run()
                known = result if isinstance(result, dict) else {"error": "ezkl's process gave no answer."}
            except ModelError as error:
                known = {"error": reason_of(str(error))}
            _write(path, {**known, "circuit": json.loads(told)})
        if isinstance(error_text := known.get("error"), str):
            raise TrialFailedError(error_text)
        return known


def reason_of(told: str) -> str:
    """What a failed step says, in one line: its last, which names the error, without the traceback before it."""
    if unknown := re.search(r"Unimplemented\((\w+)\)", told):
        return f"ezkl does not know the operator {unknown[1]}; write it with others, or leave it to the consumer."
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    last = lines[-1] if lines else "no reason was given"
    return re.sub(r"^[\w.]+(Error|Exception): ", "", last)[:300]


def _read(path: Path) -> dict[str, Json] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # a file that was cut short is as good as none
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, content: dict[str, Json]) -> None:
    beside = path.with_suffix(f".{secrets.token_hex(4)}.new")
    beside.write_text(json.dumps(content))
    beside.replace(path)


def _parse_probe(found: dict[str, Json]) -> Probe:
    try:
        entry, exit_ = _list(found["model_instance_shapes"])
        (scale,) = _list(found["model_output_scales"])
        return Probe(
            rows=int(_number(found["num_rows"])),
            output_scale=int(_number(scale)),
            input_count=int(np.prod([int(_number(length)) for length in _list(entry)], dtype=np.int64)),
            output_count=int(np.prod([int(_number(length)) for length in _list(exit_)], dtype=np.int64)),
            lookups=len(_list(found["required_lookups"])),
            lookup_inputs=tuple(max(abs(int(_number(end))) for end in _list(row)) for row in _list(found["lookups"])),
            outputs=tuple(tuple(int(_number(value)) for value in _list(row)) for row in _list(found["outputs"])),
        )
    except (KeyError, ValueError) as error:
        raise TrialFailedError(f"ezkl laid the circuit out in a form that is not known here: {error!r}.") from error


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list")
    return value


def _number(value: Json) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def _tail(value: Json) -> str:
    return str(value).strip()[-200:]
