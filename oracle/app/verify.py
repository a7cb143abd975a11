"""`python -m oracle.app.verify halmos|slither [ARGUMENTS…]`: the two verification tools on the EVM contracts.

Guarantees: both run as programs of their own (they are AGPL-3.0, and nothing here imports them), in a virtual environment of their own under
`build/verify`, installed from `requirements-verify.lock` by hash; what they compile lies under `build/` too. The exit status of halmos
says whether every claim was proved (`oracle/app/proofs.py`), or is its own when it is given arguments; slither's says whether it
found what is accepted and nothing else (`oracle/app/slither_findings.py`), likewise.
"""

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oracle.app import proofs, slither_findings
from oracle.app.toolchain import Toolchain, ensure_toolchain
from oracle.errors import ConfigError

_LOCK: Final = "requirements-verify.lock"
_INSTALL_SECONDS: Final = 900
_TOOLS: Final = ("halmos", "slither")
_HALMOS_ARGUMENTS: Final = ("--root", ".", "--loop", "64", "--solver-timeout-assertion", "60000")


def ensure_tools(root: Path) -> Path:
    """The directory of both programs, installed when the lock file changed. Raises ConfigError."""
    home, lock = root / "build" / "verify", root / _LOCK
    programs, stamp, wanted = home / "bin", home / ".installed", hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return programs
    venv.create(home, with_pip=True, clear=True)
    command = [str(programs / "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(lock)]
    try:
        installed = subprocess.run(command, timeout=_INSTALL_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        installed = False
    if not installed:
        raise ConfigError(
            f"The tools of {_LOCK} could not be installed: check the package index's settings and the network."
        )
    stamp.write_text(wanted, encoding="utf-8")
    return programs


def run(toolchain: Toolchain, tool: str, arguments: Sequence[str]) -> int:
    """Run one tool on the contracts; its exit status."""
    out = toolchain.root / "build" / tool
    environment = toolchain.forge_environment()
    path = (ensure_tools(toolchain.root), toolchain.forge.parent, environment["PATH"])
    environment |= {
        "PATH": os.pathsep.join(str(part) for part in path),
        "FOUNDRY_OUT": str(out / "out"),
        "FOUNDRY_CACHE_PATH": str(out / "cache"),
    }
    directory = toolchain.root / "contracts" / "evm"
    if tool == "slither":
        # The copy that it reads has its own output directories, as foundry.toml names them.
        environment = {
            name: value for name, value in environment.items() if name not in {"FOUNDRY_OUT", "FOUNDRY_CACHE_PATH"}
        }
        return slither_findings.run(directory, out, toolchain.node_modules, environment, arguments)
    # Only the proofs and what they import, without `via_ir`, whose compilation takes minutes.
    environment |= {"FOUNDRY_SRC": "test/symbolic", "FOUNDRY_TEST": "test/symbolic"}
    command = [tool, *_HALMOS_ARGUMENTS, "--forge-build-out", os.path.relpath(out / "out", directory)]
    if not arguments:
        return proofs.prove(directory, out, command, environment)
    return subprocess.run([*command, *arguments], cwd=directory, env=environment, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Runs the tool named first with the other arguments added."""
    if not arguments or arguments[0] not in _TOOLS:
        sys.stderr.write("Name a tool: python -m oracle.app.verify halmos|slither [ARGUMENTS…]\n")
        return 2
    try:
        return run(ensure_toolchain(lambda line: print(f"  {line}", file=sys.stderr)), arguments[0], arguments[1:])
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
