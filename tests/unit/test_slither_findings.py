"""What slither finds is compared with what was accepted; the copy that it reads fits the sources. Slither itself does not run here."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from oracle.app.slither_findings import (
    ACCEPTED,
    Finding,
    copy_project,
    differences,
    finding_of,
    read_accepted,
    read_findings,
    run,
)
from oracle.app.toolchain import ROOT
from oracle.errors import ConfigError

PROJECT = ROOT / "contracts" / "evm"
DESCRIPTION = (
    "A.f(uint256) (src/A.sol#{0}-1{0}) is odd:\n\tCalls:\n\t- b = c() (src/A.sol#{0})\n\t- a = g() (src/A.sol#{0})\n"
)


def fake_slither(directory: Path, report: object, status: int) -> dict[str, str]:
    """An environment whose slither writes `report` where `--json` says."""
    (directory / "answer").write_text(json.dumps(report))
    program = directory / "slither"
    program.write_text(f'#!/bin/sh\n[ "$1" = . ] || exit 9\ncp {directory}/answer "$5"\nexit {status}\n')
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin"}


def project(directory: Path, accepted: str) -> Path:
    """A project as slither needs it, with these findings accepted."""
    shutil.copytree(PROJECT / "src", directory / "src")
    for name in ("foundry.toml", "solc.mjs", "package.json", "slither.config.json"):
        shutil.copy2(PROJECT / name, directory / name)
    (directory / ACCEPTED).write_text(accepted)
    return directory


def report_of(*lines: int) -> dict[str, object]:
    found = [{"check": "odd", "description": DESCRIPTION.format(line)} for line in lines]
    return {"success": True, "results": {"detectors": found}}


@pytest.mark.parametrize(
    ("accepted", "lines", "status"),
    [
        pytest.param('odd = ["A.f(uint256) is odd | a = g() | b = c()"]', (7,), 0, id="as accepted"),
        pytest.param('odd = ["A.f(uint256) is odd | a = g() | b = c()"]', (7, 8), 1, id="twice"),
        pytest.param("", (7,), 1, id="new"),
        pytest.param('odd = ["A.f(uint256) is odd | a = g() | b = c()"]', (), 1, id="gone"),
        pytest.param('even = ["A.f(uint256) is odd | a = g() | b = c()"]', (7,), 1, id="another detector"),
        pytest.param("", (), 0, id="nothing"),
    ],
)
def test_run__findings__are_compared(tmp_path: Path, accepted: str, lines: tuple[int, ...], status: int) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "bin").mkdir()
    source = project(tmp_path / "evm", accepted)
    environment = fake_slither(tmp_path / "bin", report_of(*lines), 255 if lines else 0)
    assert run(source, tmp_path / "work", tmp_path, environment, ()) == status


@pytest.mark.parametrize("report", [{"success": False, "error": "x", "results": {}}, [], "half"])
def test_run__slither_that_crashed__is_no_success(tmp_path: Path, report: object) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "bin").mkdir()
    environment = fake_slither(tmp_path / "bin", report, 1)
    with pytest.raises(ConfigError, match="did not finish"):
        run(project(tmp_path / "evm", ""), tmp_path / "work", tmp_path, environment, ())


def test_run__report_of_an_earlier_run__is_not_read(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "report.json").write_text(json.dumps(report_of()))
    (tmp_path / "bin").mkdir()
    environment = fake_slither(tmp_path / "bin", {}, 0)
    (tmp_path / "bin" / "answer").unlink()
    with pytest.raises(ConfigError, match="did not finish"):
        run(project(tmp_path / "evm", ""), tmp_path / "work", tmp_path, environment, ())


def test_finding_of__other_lines_and_order__is_the_same() -> None:
    turned = "A.f(uint256) (src/A.sol#3-9) is odd:\n\tCalls:\n\t- a = g() (src/A.sol#4)\n\t- b = c() (src/A.sol#5)\n"
    assert finding_of("odd", DESCRIPTION.format(7)) == finding_of("odd", turned)
    assert finding_of("odd", DESCRIPTION.format(7)) != finding_of("odd", turned.replace("g()", "h()"))


def test_differences__new_and_gone__are_both_named() -> None:
    new, gone = differences(Counter([Finding("a: x")]), Counter([Finding("b: y")]))
    assert (new[:3], new[-4:]) == ("New", "a: x")
    assert (gone[:9], gone[-4:]) == ("No longer", "b: y")


def test_copy_project__sources__differ_by_one_name_on_the_same_lines(tmp_path: Path) -> None:
    copy_project(PROJECT, tmp_path / "copy", tmp_path)
    changed = []
    for path in sorted((PROJECT / "src").rglob("*.sol")):
        before, after = (
            base.read_text(encoding="utf-8").splitlines()
            for base in (path, tmp_path / "copy" / path.relative_to(PROJECT))
        )
        changed += [line for line, other in zip(before, after, strict=True) if line != other]
    assert changed == ["library Blueprints {", 'import {Blueprints as BlueprintCode} from "./Blueprint.sol";']


def test_copy_project__rewrite_that_no_longer_fits__is_refused(tmp_path: Path) -> None:
    source = project(tmp_path / "evm", "")
    (source / "src" / "tokens" / "Blueprint.sol").unlink()
    with pytest.raises(ConfigError, match=r"Blueprint\.sol no longer has"):
        copy_project(source, tmp_path / "copy", tmp_path)


def test_accepted__each_detector__has_a_reason() -> None:
    reasons = (PROJECT / "SLITHER.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in reasons.splitlines() if line.startswith("|")]
    accepted = read_accepted(PROJECT / ACCEPTED)
    assert accepted
    for finding in accepted:
        assert any(finding.partition(":")[0] in row for row in rows), finding


def test_read_accepted__no_toml__is_refused(tmp_path: Path) -> None:
    (tmp_path / ACCEPTED).write_text("odd = [")
    with pytest.raises(ConfigError, match="restore it"):
        read_accepted(tmp_path / ACCEPTED)


def test_read_findings__no_report__is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did not finish"):
        read_findings(tmp_path / "none.json")
