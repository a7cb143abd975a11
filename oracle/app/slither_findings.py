"""Runs slither on the EVM contracts, and compares what it finds with what was looked at and accepted.

Guarantees: the whole of `src/` is analysed, on a copy under `build/slither`; no file of the checkout is written. The status is 0 only when the
findings are exactly those of `contracts/evm/slither.accepted.toml` (the reasons are in `SLITHER.md` beside it): a new one fails the command,
and so does an accepted one that is gone. Line numbers do not count, so that moved code needs no second look and changed code gets one.

The copy differs from the sources by one name, for slither 0.11.6 stops with an assertion of its own on an imported name of which another is an
alias when a parent of the contract declares the first: `import {Blueprints as BlueprintCode}` in `TokenFactory`, whose parent `ITokenFactory`
has a struct `Blueprints`. There the library itself is called `BlueprintCode`. The bytecode is the same with either name.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NewType

from oracle.errors import ConfigError

Finding = NewType("Finding", str)
"""A detector's name, and what it says without positions, on one line."""

ACCEPTED: Final = "slither.accepted.toml"
_CONFIGURATION: Final = "slither.config.json"
_SECONDS: Final = 900
_COPIED: Final = ("foundry.toml", "solc.mjs", "package.json")
_REWRITES: Final = {
    "src/tokens/Blueprint.sol": ("library Blueprints {", "library BlueprintCode {"),
    "src/tokens/TokenFactory.sol": ("{Blueprints as BlueprintCode}", "{BlueprintCode}"),
}
_POSITION: Final = re.compile(r" \([^()\s]+\.sol#[0-9-]+\)")


def copy_project(source: Path, copy: Path, node_modules: Path) -> None:
    """A new copy of what slither compiles, with the rewritten name. Raises ConfigError when a rewrite does not fit the source."""
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(source / "src", copy / "src")
    for name in _COPIED:
        shutil.copy2(source / name, copy / name)
    (copy / "node_modules").symlink_to(node_modules, target_is_directory=True)
    for name, (old, new) in _REWRITES.items():
        path = copy / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text.count(old) != 1:
            raise ConfigError(
                f"contracts/evm/{name} no longer has {old!r} once: adapt _REWRITES in oracle/app/slither_findings.py."
            )
        path.write_text(text.replace(old, new), encoding="utf-8")


def finding_of(detector: str, description: str) -> Finding:
    """What identifies a finding. Headings add nothing, and the order of the lines but the first is slither's own whim."""
    first, *rest = (
        " ".join(line.split()).removeprefix("- ") for line in _POSITION.sub("", description).strip().splitlines()
    )
    details = sorted({line for line in rest if not line.endswith(":")})
    return Finding(f"{detector}: {' | '.join([first.removesuffix(':').rstrip(), *details])}")


def read_findings(path: Path) -> Counter[Finding]:
    """The findings in slither's JSON. Raises ConfigError when it did not finish."""
    try:
        report: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        report = None
    match report:
        case {"success": True, "results": dict(results)}:
            return Counter(finding_of(item["check"], item["description"]) for item in results.get("detectors", []))
    raise ConfigError("slither did not finish, so nothing is known of the contracts: what it says is above.")


def read_accepted(path: Path) -> Counter[Finding]:
    """The findings that were accepted: one list for each detector. Raises ConfigError."""
    try:
        lists = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read ({error}): restore it.") from error
    return Counter(Finding(f"{detector}: {finding}") for detector, findings in lists.items() for finding in findings)


def differences(found: Counter[Finding], accepted: Counter[Finding]) -> tuple[str, ...]:
    """A sentence for each finding that is new, and for each accepted one that is gone."""
    new = [
        f"New, so change the code, or accept it in {ACCEPTED} with a reason in SLITHER.md: {item}"
        for item in (found - accepted).elements()
    ]
    gone = [f"No longer found, so take it out of {ACCEPTED}: {item}" for item in (accepted - found).elements()]
    return (*new, *gone)


def run(project: Path, work: Path, node_modules: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> int:
    """Slither on a copy of `project` in `work`. With arguments it is slither's own run and status, without the comparison.

    Raises:
        ConfigError: the copy cannot be made, or slither did not finish in time or at all.
    """
    copy, report = work / "evm", work / "report.json"
    copy_project(project, copy, node_modules)
    sys.stdout.write(
        "slither reads a copy of the contracts, in which the library Blueprints is called BlueprintCode (SLITHER.md).\n"
    )
    sys.stdout.flush()
    command = ["slither", ".", "--config-file", os.path.relpath(project / _CONFIGURATION, copy)]
    # Without a fixed seed the order of what slither keeps in sets changes from run to run.
    settings = {**environment, "PYTHONHASHSEED": "0"}
    if arguments:
        return subprocess.run([*command, *arguments], cwd=copy, env=settings, check=False).returncode
    report.unlink(missing_ok=True)
    try:
        subprocess.run([*command, "--json", str(report)], cwd=copy, env=settings, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"slither did not finish in {_SECONDS} seconds: run it on a machine with less to do."
        ) from error
    found = read_findings(report)
    problems = differences(found, read_accepted(project / ACCEPTED))
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(
        f"{found.total()} findings, {len(problems)} of them not as accepted in contracts/evm/{ACCEPTED}.\n"
    )
    return 1 if problems else 0
