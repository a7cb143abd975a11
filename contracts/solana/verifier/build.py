"""Builds the verifier's probe: a test-only program that runs the verifier's stages and field arithmetic on given bytes. Never deployed.

The deployed program, `main.zig` beside it, is built with the others (`contracts.solana.build`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from circuits.cache import Json, content_key, ensure_entry
from contracts.solana.build import compile_object
from contracts.solana.link import link

HERE: Final = Path(__file__).resolve().parent
_STEPS: Final = ("build.py", "ir.py", "link.py")
_PROGRAM_ONLY: Final = frozenset({"main.zig", "errors.zig", "state.zig"})
"""Files that the deployed program has and the probe does not import."""


def build_verifier_probe(mode: str = "ReleaseSafe") -> bytes:
    """The probe's executable, from the cache when these very sources were built before. Raises BuildError."""

    def build(directory: Path) -> Mapping[str, Json]:
        executable = link(compile_object(HERE / "probe.zig", directory, (), mode))
        (directory / "probe.so").write_bytes(executable)
        return {"size": len(executable)}

    files = [path for path in HERE.glob("*.zig") if path.name not in _PROGRAM_ONLY]
    sources: dict[str, str | bytes] = {path.name: path.read_bytes() for path in files}
    sources |= {f"steps/{name}": (HERE.parent / name).read_bytes() for name in _STEPS}
    key = content_key(sources | {"ziglang": metadata.version("ziglang"), "program": "verifier-probe", "mode": mode})
    return (ensure_entry("solana", key, build).path / "probe.so").read_bytes()
