"""Makes the virtual environment of a checkout: `python3 oracle/app/bootstrap.py` (which `make setup` calls).

Standard library only, since it runs before anything is installed. Every package comes from a lock file with hashes.
It uses uv, itself installed by lock file, because that is several times faster; where uv cannot serve (a machine whose
index settings only pip understands) it says so and uses pip. pip's own settings (files and environment) hold for both.
With nothing changed it does nothing and takes milliseconds.
"""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
MINIMUM_PYTHON = (3, 11)
INSTALL_SECONDS = 1800

# What uv calls pip's settings. Values stay out of the arguments, since an index's address may hold a password.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
# Settings of pip under which uv would install something else, or nothing: then pip does the work.
PIP_ONLY = {"client-cert", "keyring-provider", "constraint", "platform", "target", "prefix", "no-binary", "only-binary"}


class BootstrapError(Exception):
    """The environment could not be made; the message says what to do."""


def main() -> int:
    """Brings `.venv` up to date; returns the exit status."""
    if sys.version_info < MINIMUM_PYTHON:
        sys.stderr.write(f"Sibyl needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}.\n")
        return 1
    stamp, wanted = VENV / ".sibyl-installed", content_key()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and environment_python().exists():
        return 0
    try:
        install(stamp)
    except BootstrapError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stamp.write_text(wanted, encoding="utf-8")
    return 0


def content_key() -> str:
    """What the environment depends on: the lock files, the package's metadata and the interpreter."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.lock", "requirements-build.lock", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def environment_python() -> Path:
    """The interpreter of the virtual environment."""
    return VENV / "bin" / "python"


def environment_version() -> tuple[int, ...] | None:
    """Major and minor version of the interpreter that `.venv` was made with."""
    try:
        lines = (VENV / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [line.partition("=")[2].strip() for line in lines if line.startswith("version")]
    return tuple(int(part) for part in found[0].split(".")[:2]) if found else None


def install(stamp: Path) -> None:
    """Makes `.venv` if there is none, installs the locked packages, then the project itself (editable)."""
    stamp.unlink(missing_ok=True)
    if not environment_python().exists() or environment_version() != sys.version_info[:2]:
        say("making .venv")
        venv.create(VENV, with_pip=True, clear=True, symlinks=True)
    python = str(environment_python())
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    say("installing the build tools")
    locked = ["--require-hashes", "--no-deps", "-r"]
    run([*pip, "install", "-qq", *locked, "requirements-build.lock"])
    say("installing the locked packages (about 600 MB; half a minute with uv)")
    if not uv_install(python, [*locked, "requirements.lock"]):
        say("uv cannot use this machine's index settings; installing with pip instead (a minute or two)")
        run([*pip, "install", "-qq", *locked, "requirements.lock"])
    say("installing the project itself")
    run([*pip, "install", "-qq", "--no-deps", "--no-build-isolation", "--no-index", "--editable", "."])


def uv_install(python: str, arguments: Sequence[str]) -> bool:
    """Whether uv installed the packages; its error is shown if it did not."""
    listed = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    settings = pip_settings(listed.stdout)
    uv = VENV / "bin" / "uv"
    if listed.returncode != 0 or settings.keys() & PIP_ONLY or not uv.exists():
        return False
    # pip looks for the best match in all indexes; the hashes of the lock file make that safe.
    command = [str(uv), "pip", "install", "--quiet", "--index-strategy", "unsafe-best-match", "--compile-bytecode"]
    environment = {**uv_environment(settings), **os.environ}
    try:
        return run([*command, "--python", python, *arguments], environment=environment, check=False)
    except OSError:
        return False  # no uv for this platform


def pip_settings(listing: str) -> dict[str, str]:
    """The settings of `pip install` out of `pip config list`; the environment wins over files, as in pip."""
    ranked: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section)
        if rank is None or rank < ranked.get(key, (-1, ""))[0]:
            continue
        try:
            ranked[key] = rank, str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    return {key: value for key, (_, value) in ranked.items()}


def uv_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The same settings in uv's words."""
    environment = {}
    for key, value in settings.items():
        if name := UV_NAMES.get(key):
            environment[name] = ",".join(value.split()) if key == "find-links" else " ".join(value.split())
    return environment


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None, check: bool = True) -> bool:
    """Runs one step in the checkout, its output shown; whether it succeeded.

    Raises:
        BootstrapError: it failed and `check` is set.
    """
    try:
        code = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, timeout=INSTALL_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise BootstrapError(
            f"Stopped after {INSTALL_SECONDS} s: {command[0]}. Check the network and run it again."
        ) from None
    if check and code != 0:
        raise BootstrapError(
            "An installation step failed (its message is above). Check pip's index settings and the network, then run "
            "`make setup` again; what is installed already is kept."
        )
    return code == 0


def say(line: str) -> None:
    """Prints one short line of progress."""
    sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
