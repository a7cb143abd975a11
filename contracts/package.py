"""Builds the wheel and checks that it carries what an installation without compilers needs.

`python -m contracts.package` (after `make setup`, which compiles) writes one wheel into `dist/` and fails when the compiled
contracts are missing from it, differ from those just built, or when something that belongs to a checkout slipped in.
The build backend comes from `requirements-build.lock`; nothing is fetched.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "contracts" / "artifacts"
BUILD_SECONDS = 300
REQUIRED = ("oracle/app/devnet/surfnet.mjs", "oracle/protocol/constants.py", "contracts/protocol.toml")
"""Files that are no Python modules or are generated, and are needed at run time."""
CHAINS = {"evm": ".json", "solana": ".so"}
"""Directory of each chain's artefacts → the suffix of its compiled contracts."""
UNWANTED = ("node_modules/", "/out/", "__pycache__/", ".zig-cache/", "/tests/", "/build/")


class PackageError(Exception):
    """The wheel cannot be built or is not complete; the message says what to do."""


def build_wheel(destination: Path) -> Path:
    """Builds the wheel into `destination` and returns its path."""
    require_artifacts(ARTIFACTS)
    destination.mkdir(parents=True, exist_ok=True)
    before = {path: path.stat().st_mtime_ns for path in destination.glob("*.whl")}
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(destination)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode != 0:
        raise PackageError(f"The wheel was not built:\n{done.stdout}{done.stderr}")
    made = [path for path in destination.glob("*.whl") if path.stat().st_mtime_ns != before.get(path)]
    if len(made) != 1:
        raise PackageError(
            f"The build left {len(made)} new wheels in {destination} instead of one; empty it and try again."
        )
    return made[0]


def require_artifacts(artifacts: Path) -> list[Path]:
    """Every file under `artifacts`; PackageError when a chain has no compiled contract there."""
    for chain, suffix in CHAINS.items():
        if not list((artifacts / chain).rglob(f"*{suffix}")):
            raise PackageError(f"{artifacts / chain} holds no compiled contracts ({suffix}). Run `make setup` first.")
    return sorted(path for path in artifacts.rglob("*") if path.is_file())


def check_wheel(wheel: Path, artifacts: Path) -> int:
    """Compares the wheel with the artefacts; returns how many it carries.

    Raises:
        PackageError: a file is missing, differs, or does not belong into a wheel.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for path in require_artifacts(artifacts):
            name = f"contracts/artifacts/{path.relative_to(artifacts).as_posix()}"
            if name not in names:
                raise PackageError(f"{wheel.name} lacks {name}. Check `artifacts` in pyproject.toml.")
            if archive.read(name) != path.read_bytes():
                raise PackageError(
                    f"{name} in {wheel.name} is not the one that was just built. Run `make wheel` again."
                )
    for name in REQUIRED:
        if name not in names:
            raise PackageError(f"{wheel.name} lacks {name}.")
    if strangers := sorted(name for name in names if any(part in f"/{name}" for part in UNWANTED)):
        raise PackageError(f"{wheel.name} carries what belongs to a checkout: {', '.join(strangers[:5])}.")
    return sum(name.startswith("contracts/artifacts/") for name in names)


def main(arguments: Sequence[str]) -> int:
    """The command line: an optional directory for the wheel (default `dist`)."""
    try:
        wheel = build_wheel(Path(arguments[0]) if arguments else ROOT / "dist")
        count = check_wheel(wheel, ARTIFACTS)
    except PackageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{wheel} ({wheel.stat().st_size / 1e6:.1f} MB, {count} contract artefacts)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
