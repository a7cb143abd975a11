"""Tools: found, cached by content, refused with a sentence; and the environment's bootstrap reads pip's settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from oracle.app import bootstrap, setup, toolchain
from oracle.app.toolchain import ROOT, ensure_node, ensure_toolchain
from oracle.errors import ConfigError


def silent(_line: str) -> None:
    """Progress that nobody reads."""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose node and npm are scripts: `npm ci` makes the packages' files and counts its runs."""
    for variable in ("SIBYL_NODE", "SIBYL_ANVIL", "SIBYL_FORGE"):
        monkeypatch.delenv(variable, raising=False)
    root = tmp_path / "checkout"
    evm = root / "contracts" / "evm"
    evm.mkdir(parents=True)
    (evm / "package.json").write_text("{}")
    (evm / "package-lock.json").write_text('{"lockfileVersion": 3}')
    executable(evm / "solc.mjs", "true")
    executable(tmp_path / "bin" / "node", "echo v22.1.0")
    system, machine = toolchain.platform_names()
    executable(
        tmp_path / "bin" / "npm",
        'echo "$@" >> npm.calls\nrm -rf node_modules\n'
        + "".join(
            f"mkdir -p node_modules/@foundry-rs/{name}-{system}-{machine}/bin\n"
            f"cp {tmp_path}/bin/node node_modules/@foundry-rs/{name}-{system}-{machine}/bin/{name}\n"
            for name in ("anvil", "forge")
        ),
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return root


def npm_calls(root: Path) -> int:
    calls = root / "contracts" / "evm" / "npm.calls"
    return len(calls.read_text().splitlines()) if calls.exists() else 0


def test_toolchain__first_call__installs_without_scripts_and_second_does_nothing(checkout: Path) -> None:
    told: list[str] = []
    first = ensure_toolchain(told.append, checkout)
    assert len(told) == 1
    assert "--ignore-scripts" in (checkout / "contracts/evm/npm.calls").read_text()
    assert os.access(first.anvil, os.X_OK)
    assert os.access(first.forge, os.X_OK)
    assert ensure_toolchain(told.append, checkout) == first
    assert len(told) == 1
    assert npm_calls(checkout) == 1


def test_toolchain__lock_file_changes__installs_again(checkout: Path) -> None:
    ensure_toolchain(silent, checkout)
    (checkout / "contracts/evm/package-lock.json").write_text('{"lockfileVersion": 3, "x": 1}')
    ensure_toolchain(silent, checkout)
    assert npm_calls(checkout) == 2


def test_toolchain__binary_deleted__is_noticed_and_named(checkout: Path) -> None:
    found = ensure_toolchain(silent, checkout)
    found.forge.unlink()
    with pytest.raises(ConfigError, match=r"no pinned forge .* SIBYL_FORGE"):
        ensure_toolchain(silent, checkout)


def test_toolchain__node_modules_deleted__installs_again(checkout: Path) -> None:
    found = ensure_toolchain(silent, checkout)
    subprocess.run(["/bin/rm", "-rf", found.node_modules], check=True)
    assert ensure_toolchain(silent, checkout) == found
    assert npm_calls(checkout) == 2


def test_toolchain__damaged_cache_file__is_made_anew(checkout: Path) -> None:
    found = ensure_toolchain(silent, checkout)
    for text in ("", "[]", '{"key": 1}', json.dumps({"key": "x", "stamps": {}, "paths": {}})):
        (checkout / "build/toolchain.json").write_text(text)
        assert ensure_toolchain(silent, checkout) == found
    assert npm_calls(checkout) == 1  # what npm installed is still there


def test_toolchain__npm_fails__error_carries_its_log_and_nothing_is_marked_done(checkout: Path, tmp_path: Path) -> None:
    working = (tmp_path / "bin" / "npm").read_text()
    executable(tmp_path / "bin" / "npm", "mkdir -p node_modules; echo the registry said no; exit 7")
    with pytest.raises(ConfigError, match=r"(?s)exit code 7.*make setup.*the registry said no"):
        ensure_toolchain(silent, checkout)
    (tmp_path / "bin" / "npm").write_text(working)
    ensure_toolchain(silent, checkout)


def test_toolchain__own_anvil__is_taken_and_a_wrong_one_refused(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_toolchain(silent, checkout)
    own = executable(tmp_path / "own-anvil", "true")
    monkeypatch.setenv("SIBYL_ANVIL", str(own))
    assert ensure_toolchain(silent, checkout).anvil == own
    monkeypatch.setenv("SIBYL_ANVIL", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match=r"SIBYL_ANVIL=.*nothing is not an executable file"):
        ensure_toolchain(silent, checkout)


@pytest.mark.parametrize("script", ["echo v18.20.0", "echo nonsense", "exit 1"])
def test_toolchain__named_node_is_too_old_or_broken__is_refused(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIBYL_NODE", str(executable(tmp_path / "node", script)))
    with pytest.raises(ConfigError, match=r"SIBYL_NODE=.* is not a node of version 20"):
        ensure_node(silent)


def test_toolchain__not_a_checkout__says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Run this from a checkout"):
        ensure_toolchain(silent, tmp_path)


def test_toolchain__environment__drops_the_callers_foundry_settings(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_PROFILE", "mine")
    monkeypatch.setenv("ETH_RPC_URL", "http://elsewhere")
    found = ensure_toolchain(silent, checkout)
    environment = found.forge_environment()
    assert not {"FOUNDRY_PROFILE", "ETH_RPC_URL"} & environment.keys()
    assert Path(environment["HOME"]).is_relative_to(checkout / "build")
    assert environment["PATH"].startswith(str(found.node.parent))
    assert found.environment(home=tmp_path)["HOME"] == str(tmp_path)


def test_toolchain__this_checkout__runs_and_is_fast_when_cached() -> None:
    found = ensure_toolchain(silent)
    for tool in (found.anvil, found.forge, found.solc):
        environment = found.forge_environment()
        result = subprocess.run([tool, "--version"], env=environment, capture_output=True, text=True, check=True)
        assert "ersion" in result.stdout
    started = time.perf_counter()
    assert ensure_toolchain(silent) == found
    assert time.perf_counter() - started < 1  # measured: 1 ms; the bound only shows that nothing is run


def test_solc__standard_json__compiles_and_reports_errors() -> None:
    found = ensure_toolchain(silent)

    def compile_(source: str) -> dict[str, object]:
        request = {
            "language": "Solidity",
            "sources": {"a.sol": {"content": source}},
            "settings": {"outputSelection": {"*": {"*": ["evm.bytecode.object"]}}},
        }
        result = subprocess.run(
            [found.solc, "--standard-json"],
            env=found.forge_environment(),
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=True,
        )
        answer: dict[str, object] = json.loads(result.stdout)
        return answer

    header = "// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.28;\n"
    assert "contracts" in compile_(header + "contract A { function f() external {} }")
    assert "errors" in compile_(header + "contract A { uint8 x = 300; }")
    unknown = subprocess.run([found.solc, "--bin"], env=found.forge_environment(), capture_output=True, text=True)
    assert unknown.returncode == 2
    assert "--standard-json" in unknown.stderr


def test_toolchain_command__forge_version__is_the_pinned_one_and_other_tools_are_refused() -> None:
    command = [sys.executable, "-m", "oracle.app.toolchain"]
    result = subprocess.run([*command, "forge", "--version"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "1.7.1" in result.stdout
    assert subprocess.run([*command, "rm"], cwd=ROOT, capture_output=True).returncode == 2


# ---- bootstrap ----


def test_bootstrap__pip_settings__environment_wins_and_other_commands_are_ignored() -> None:
    listing = (
        "global.index-url='https://files/simple'\n"
        "global.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'\n"
        "install.index-url='https://install/simple'\n"
        ":env:.find-links='/one /two'\n"
        "global.find-links='/file'\n"
        "download.index-url='https://download/simple'\n"
        "global.cert='/ca.pem'\n"
        "global.damaged=oops\n"
    )
    settings = bootstrap.pip_settings(listing)
    assert bootstrap.uv_environment(settings) == {
        "UV_DEFAULT_INDEX": "https://install/simple",
        "UV_INDEX": "https://a/simple https://b/simple",
        "UV_FIND_LINKS": "/one,/two",
        "SSL_CERT_FILE": "/ca.pem",
    }


def test_bootstrap__setting_that_only_pip_knows__leaves_the_work_to_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CLIENT_CERT", "/client.pem")

    def run(*_arguments: object, **_options: object) -> bool:
        raise AssertionError("uv must not be run")

    monkeypatch.setattr(bootstrap, "run", run)
    assert bootstrap.uv_install(sys.executable, []) is False


def test_bootstrap__failing_step__is_a_sentence() -> None:
    with pytest.raises(bootstrap.BootstrapError, match="make setup"):
        bootstrap.run([sys.executable, "-c", "raise SystemExit(3)"])
    assert bootstrap.run([sys.executable, "-c", "raise SystemExit(3)"], check=False) is False


def test_bootstrap__installed_environment_of_this_content__nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "bin" / "python", "true")
    installs: list[Path] = []
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    monkeypatch.setattr(bootstrap, "install", installs.append)
    assert [bootstrap.main(), bootstrap.main()] == [0, 0]
    assert len(installs) == 1
    (tmp_path / ".sibyl-installed").write_text("of another lock file")
    assert bootstrap.main() == 0
    assert len(installs) == 2


def test_bootstrap__environment_of_another_interpreter__is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "VENV", tmp_path)
    assert bootstrap.environment_version() is None
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.4\n")
    assert bootstrap.environment_version() == (3, 12)


def test_locks__npm__names_no_address_and_pins_every_package_by_hash() -> None:
    lock = json.loads((ROOT / "contracts/evm/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert "resolved" not in entry, name
        assert entry["integrity"].startswith("sha512-"), name


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-build.lock", "requirements-node.lock"])
def test_locks__python__pin_every_package_by_hash(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        assert "==" in line.split()[0], line
        assert "--hash=sha256:" in line, line


# ---- set-up steps ----


def test_setup__steps__run_in_order_and_a_failing_one_ends_it(tmp_path: Path) -> None:
    ran: list[str] = []

    def first(progress: toolchain.Progress) -> None:
        progress("half way")
        ran.append("first")

    def second(_progress: toolchain.Progress) -> None:
        raise ConfigError("Say what to do.")

    steps = [
        setup.Step("first", first),
        setup.Step("second", second),
        setup.Step("third", lambda _progress: ran.append("third")),
    ]
    with (tmp_path / "out").open("w") as file:
        console = Console(file=file, width=80)
        with pytest.raises(ConfigError, match="Say what to do"):
            setup.run_steps(steps, console)
    out = (tmp_path / "out").read_text()
    assert ran == ["first"]
    assert out.index("half way") < out.index("✓ first") < out.index("✗ second")


def test_setup__terminal__shows_a_changing_line(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        console = Console(file=file, width=80, force_terminal=True)
        setup.run_steps([setup.Step("one", lambda progress: progress("working [on it]"))], console)
    assert "✓" in (tmp_path / "out").read_text()
