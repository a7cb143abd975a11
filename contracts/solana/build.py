"""Builds the Solana programs from their Zig sources: Zig → LLVM IR → BPF object → sBPF v3 executable.

Everything comes from the locked `ziglang` wheel and this package; no platform tools. The result is cached by the content of the
sources, of this build step and the compiler's version, and copied to `contracts/artifacts/solana/` for the wheel. An installation
without the compiler takes the artefacts that the wheel carries. It does not deploy anything (see `deploy.py`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from circuits.cache import Json, Progress, content_key, ensure_entry, quiet
from contracts.solana.ir import rewrite_memory_calls
from contracts.solana.link import link
from oracle.errors import ConfigError

HERE: Final = Path(__file__).resolve().parent
ARTIFACTS: Final = HERE.parent / "artifacts" / "solana"
_COMPILE_SECONDS: Final = 300.0
_TARGET: Final = "bpfel-freestanding"
_CPU: Final = "v2+allows_misaligned_mem_access"
_BACK_END: Final = ("-mllvm", "-bpf-stack-size=4096")


class BuildError(ConfigError):
    """A program did not compile; the message holds the compiler's own words."""


@dataclass(frozen=True, slots=True)
class SolanaArtifacts:
    """The built programs."""

    sibyl_so: Path
    consumer_so: Path
    tokens_so: Path
    verifier_so: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return self.sibyl_so, self.consumer_so, self.tokens_so, self.verifier_so


@dataclass(frozen=True, slots=True)
class Program:
    """One program: the folder of its root file `main.zig`, and the modules that it imports by name."""

    name: str
    folder: str
    modules: tuple[tuple[str, Path], ...]

    def sources(self) -> dict[str, str | bytes]:
        """Everything that decides the result: the Zig files of its folder and its modules' folders, and the steps of this package."""
        folders = (HERE / self.folder, *(path.parent for _, path in self.modules))
        files = [path for folder in folders for path in folder.glob("**/*.zig")]
        files += [HERE / name for name in _STEPS]
        return {path.relative_to(HERE).as_posix(): path.read_bytes() for path in files}


_STEPS: Final = ("build.py", "ir.py", "link.py")
_SIBYL: Final = (("sibyl", HERE / "src" / "sibyl.zig"),)
PROGRAMS: Final = (
    Program("sibyl", "src", ()),
    Program("consumer", "consumer", _SIBYL),
    Program("tokens", "tokens", _SIBYL),
    Program("verifier", "verifier", _SIBYL),
)
_PROBE: Final = Program("probe", "probe", _SIBYL)


def build_programs(progress: Progress | None = None) -> SolanaArtifacts:
    """The Sibyl program, the example consumer, the token program and the verifier, each built unless this very content was built before.

    Raises BuildError when a program does not compile, or when there is neither a compiler nor a shipped artefact.
    """
    say = progress or quiet
    try:
        version = metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        return _shipped()

    return _publish([_built(program, version, say) for program in PROGRAMS])


def build_probe() -> bytes:
    """The test-only program that runs Sibyl's own decoding and signature check on given bytes. Never deployed."""
    return _built(_PROBE, metadata.version("ziglang"), quiet).read_bytes()


def _built(program: Program, version: str, say: Progress) -> Path:
    """The program's executable in the cache."""

    def build(directory: Path) -> Mapping[str, Json]:
        say(f"Compiling the Solana program {program.name} with Zig {version} …")
        executable = link(compile_object(HERE / program.folder / "main.zig", directory, program.modules))
        (directory / f"{program.name}.so").write_bytes(executable)
        return {"size": len(executable), "ziglang": version}

    key = content_key(program.sources() | {"ziglang": version, "program": program.name})
    return ensure_entry("solana", key, build, progress=say).path / f"{program.name}.so"


def compile_object(
    root: Path, directory: Path, modules: tuple[tuple[str, Path], ...] = (), mode: str = "ReleaseSafe"
) -> bytes:
    """The relocatable BPF object of one Zig root file; intermediate files stand in `directory` and are removed."""
    directory = directory.resolve()
    listing, object_file = directory / f"{root.stem}.ll", directory / f"{root.stem}.o"
    dependencies = [argument for name, _ in modules for argument in ("--dep", name)]
    options = ["-target", _TARGET, "-mcpu", _CPU, "-O", mode, "-fstrip", "-fsingle-threaded"]
    _zig(
        ["build-obj", *options, "-fno-emit-bin", f"-femit-llvm-ir={listing}", *dependencies, f"-Mroot={root}"]
        + [f"-M{name}={path}" for name, path in modules],
        directory,
    )
    listing.write_text(rewrite_memory_calls(listing.read_text()))
    _zig(
        ["cc", "-target", _TARGET, f"-mcpu={_CPU}", "-O2", "-c", str(listing), "-o", str(object_file), *_BACK_END],
        directory,
    )
    compiled = object_file.read_bytes()
    listing.unlink()
    object_file.unlink()
    return compiled


def _zig(arguments: list[str], directory: Path) -> None:
    command = [sys.executable, "-m", "ziglang", *arguments]
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=_COMPILE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(
            f"Zig did not finish within {_COMPILE_SECONDS:.0f} s; try again on a quieter machine."
        ) from error
    if done.returncode != 0:
        raise BuildError(f"Zig could not compile a Solana program:\n{done.stderr.strip()}")


def _publish(built: list[Path]) -> SolanaArtifacts:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for source in built:
        target = ARTIFACTS / source.name
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            # Renamed into place: another process may read the old one at this moment.
            fresh = target.with_suffix(f".{source.parent.name}.new")
            shutil.copyfile(source, fresh)
            fresh.replace(target)
    return SolanaArtifacts(*built)


def _shipped() -> SolanaArtifacts:
    shipped = SolanaArtifacts(*(ARTIFACTS / f"{program.name}.so" for program in PROGRAMS))
    if not all(path.is_file() for path in shipped.paths):
        raise BuildError(
            "The Solana programs are not built and there is no compiler: install the extra `sibyl[build]`."
        )
    return shipped


def main() -> None:
    """`python -m contracts.solana.build`: builds the programs and prints where they are and how large."""
    artifacts = build_programs(lambda line: print(line, file=sys.stderr))
    for path in artifacts.paths:
        print(f"{path} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
