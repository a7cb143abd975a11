"""What halmos must prove, and whether it did: every claim of `contracts/evm/test/symbolic`, a line each.

A claim is a function of the one contract `…Proof` of a file there:

- `check_…`: no input breaks an assertion. A loop that was cut short is a warning to halmos, and a failure here.
- `refute_…`: something false, for which halmos must find a counterexample. It shows that what a `check_` speaks of can happen at all.

It fails unless each was judged so; one that halmos did not run, or not to its end, is a failure. It does not install or compile anything.
"""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from oracle.errors import ConfigError

_SECONDS: Final = 3600
"""Longest wait for the claims of one kind in one contract."""
_CONTRACT: Final = re.compile(r"^contract (\w+Proof) is Symbolic", re.MULTILINE)
_CLAIM: Final = re.compile(r"^    function ((?:check|refute)_\w+)\(", re.MULTILINE)
_PASS: Final = 0
_COUNTEREXAMPLE: Final = 1
"""Exit codes of one test in the JSON that halmos writes."""


def claims(directory: Path) -> list[tuple[str, str, list[str]]]:
    """(contract, kind, names of its claims) for each kind of claim that a contract of proofs makes. Raises ConfigError."""
    every: list[tuple[str, str, list[str]]] = []
    for source in sorted((directory / "test" / "symbolic").glob("*.sol")):
        text = source.read_text(encoding="utf-8")
        names = _CLAIM.findall(text)
        contracts = _CONTRACT.findall(text)
        if len(contracts) != (1 if names else 0):
            raise ConfigError(
                f"{source.name} must hold one contract `…Proof is Symbolic` for its claims, and has {len(contracts)}."
            )
        for kind in ("check", "refute"):
            if found := [name for name in names if name.startswith(kind)]:
                every.append((contracts[0], kind, found))
    if not every:
        raise ConfigError("There are no claims under contracts/evm/test/symbolic: restore its files.")
    return every


def judge(kind: str, test: Mapping[str, object] | None) -> str:
    """What became of a claim, from its entry in halmos's JSON; empty when it is as it should be."""
    if test is None:
        return "halmos did not run it"
    code, cut = test.get("exitcode"), test.get("num_bounded_loops")
    if kind == "refute":
        return "" if code == _COUNTEREXAMPLE else f"no counterexample (code {code}), so the proofs may say nothing"
    if code != _PASS:
        return "a counterexample" if code == _COUNTEREXAMPLE else f"not proved (code {code})"
    return "" if cut == 0 else f"{cut} loops were cut short: give it a greater --loop"


def prove(directory: Path, out: Path, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Have `command` (halmos with its settings) prove the claims of the Foundry project in `directory`; 0 when each is as it should be."""
    out.mkdir(parents=True, exist_ok=True)
    failures = 0
    for contract, kind, names in claims(directory):
        log, report = out / f"{contract}-{kind}.log", out / f"{contract}-{kind}.json"
        report.unlink(missing_ok=True)
        chosen = ["--contract", contract, "--function", f"{kind}_", *(["--early-exit"] if kind == "refute" else [])]
        _run([*command, *chosen, "--no-status", "--json-output", str(report)], directory, environment, log)
        tests = _tests(report)
        for name in names:
            test = tests.get(name)
            trouble = judge(kind, test)
            failures += bool(trouble)
            verdict = "FAILED " if trouble else "proved " if kind == "check" else "refuted"
            reason = f": {trouble}; see {log}" if trouble else ""
            print(f"{verdict} {contract}.{name}{_seconds(test)}{reason}", flush=True)
    return 1 if failures else 0


def _run(command: Sequence[str], directory: Path, environment: Mapping[str, str], log: Path) -> None:
    """Run halmos, its output in `log`. What it proved, its report says; without one, nothing."""
    with log.open("wb") as file:
        try:
            subprocess.run(
                command,
                cwd=directory,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            file.write(f"No end within {_SECONDS} s.\n".encode())


def _tests(report: Path) -> dict[str, Mapping[str, object]]:
    """Test by name, from what halmos wrote; empty when it wrote nothing."""
    try:
        results = json.loads(report.read_text(encoding="utf-8"))["test_results"]
        return {test["name"].partition("(")[0]: test for tests in results.values() for test in tests}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _seconds(test: Mapping[str, object] | None) -> str:
    time = test.get("time") if test else None
    return f"  {time[0]:.0f} s" if isinstance(time, list) and time else ""
