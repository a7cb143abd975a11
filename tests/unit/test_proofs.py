"""The judge of halmos's proofs: what counts as proved, and that nothing else passes. A script stands for halmos; no contract is compiled."""

import json
import os
import sys
from pathlib import Path

import pytest

from oracle.app import proofs
from oracle.errors import ConfigError

_SOURCE = """
contract SmallProof is Symbolic {
    function setUp() public {}
    function check_one__case__result() public {}
    function refute_one__never() public {}
}
"""
_HALMOS = """
import json, os, sys
given = sys.argv[1:]
kind, report = given[given.index("--function") + 1], given[given.index("--json-output") + 1]
tests = [test for test in json.loads(os.environ["TESTS"]) if test["name"].startswith(kind)]
print("halmos says", kind)
if tests:
    with open(report, "w") as file:
        json.dump({"exitcode": 0, "test_results": {"a.sol:SmallProof": tests}}, file)
"""
_PROVED = {"name": "check_one__case__result()", "exitcode": 0, "num_bounded_loops": 0, "time": [12.3, 12.0, 0.3]}
_REFUTED = {"name": "refute_one__never()", "exitcode": 1, "num_bounded_loops": 3, "time": None}


def _project(tmp_path: Path, source: str = _SOURCE) -> Path:
    folder = tmp_path / "evm" / "test" / "symbolic"
    folder.mkdir(parents=True)
    (folder / "Small.sol").write_text(source, encoding="utf-8")
    return tmp_path / "evm"


def _prove(tmp_path: Path, *tests: dict[str, object]) -> int:
    script = tmp_path / "halmos.py"
    script.write_text(_HALMOS, encoding="utf-8")
    environment = os.environ | {"TESTS": json.dumps(tests)}
    return proofs.prove(_project(tmp_path), tmp_path / "out", [sys.executable, str(script)], environment)


def test_prove__proved_and_refuted__passes_with_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _prove(tmp_path, _PROVED, _REFUTED) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["proved  SmallProof.check_one__case__result  12 s", "refuted SmallProof.refute_one__never"]
    assert (tmp_path / "out" / "SmallProof-check.log").read_text(encoding="utf-8") == "halmos says check_\n"


@pytest.mark.parametrize(
    ("check", "refute", "says"),
    [
        ({"exitcode": 1}, {}, "a counterexample"),
        ({"exitcode": 2}, {}, "not proved (code 2)"),
        ({"exitcode": 4}, {}, "not proved (code 4)"),
        ({"num_bounded_loops": 1}, {}, "cut short"),
        ({"num_bounded_loops": None}, {}, "cut short"),
        ({"name": "check_another()"}, {}, "did not run"),
        ({}, {"exitcode": 0}, "no counterexample"),
        ({}, {"exitcode": 2}, "no counterexample"),
        ({}, {"name": "refute_another()"}, "did not run"),
    ],
)
def test_prove__anything_else__fails_and_says_why(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    check: dict[str, object],
    refute: dict[str, object],
    says: str,
) -> None:
    assert _prove(tmp_path, _PROVED | check, _REFUTED | refute) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert says in failed[0]


def test_prove__report_of_an_earlier_run__does_not_count(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for kind, test in (("check", _PROVED), ("refute", _REFUTED)):
        report = {"exitcode": 0, "test_results": {"a.sol:SmallProof": [test]}}
        (tmp_path / "out" / f"SmallProof-{kind}.json").write_text(json.dumps(report), encoding="utf-8")
    assert _prove(tmp_path) == 1


def test_claims__claims_without_a_contract_of_proofs__refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Small\.sol must hold one contract"):
        list(proofs.claims(_project(tmp_path, _SOURCE.replace("SmallProof", "Small"))))


def test_claims__no_claims_at_all__refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no claims"):
        list(proofs.claims(_project(tmp_path, "interface Svm {}\n")))
