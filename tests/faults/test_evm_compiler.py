"""A Solidity compiler that never ends is stopped together with what it started, and the user is told."""

import subprocess
from pathlib import Path

import psutil
import pytest

from contracts.evm import build
from contracts.evm.build import BuildError


def test_evm_build__compiler_that_hangs__is_stopped_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_COMPILE_SECONDS", 1.0)
    script = 'sleep 600 & echo $! > "$1"; wait'
    with pytest.raises(BuildError, match="did not finish within"):
        build._run(["/bin/sh", "-c", script, "compiler", str(tmp_path / "child")], tmp_path, {"PATH": "/usr/bin:/bin"})
    child = int((tmp_path / "child").read_text())
    if psutil.pid_exists(child):  # killed, and perhaps not yet collected by whoever inherits it
        psutil.wait_procs([psutil.Process(child)], timeout=10)
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_evm_build__compiler_that_ends__gives_what_it_printed(tmp_path: Path) -> None:
    done = build._run(["/bin/sh", "-c", "cat; echo told >&2; exit 3"], tmp_path, {"PATH": "/usr/bin:/bin"}, "input")
    assert isinstance(done, subprocess.CompletedProcess)
    assert (done.returncode, done.stdout, done.stderr) == (3, "input", "told\n")
