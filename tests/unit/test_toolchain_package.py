"""The wheel: complete, equal to what was built, and free of the checkout's own files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from contracts import package


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    root = tmp_path / "artifacts"
    for name in ("evm/Gateway.json", "solana/sibyl.so"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(name.encode())
    return root


def wheel(directory: Path, artifacts: Path, changes: dict[str, bytes | None]) -> Path:
    """A wheel with everything required, but for `changes` (None: left out)."""
    found = {f"contracts/artifacts/{p.relative_to(artifacts)}": p.read_bytes() for p in artifacts.rglob("*.*")}
    content: dict[str, bytes | None] = {**dict.fromkeys(package.REQUIRED, b""), **found, **changes}
    path = directory / "sibyl-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def test_package__complete_wheel__passes_and_counts_artefacts(tmp_path: Path, artifacts: Path) -> None:
    assert package.check_wheel(wheel(tmp_path, artifacts, {}), artifacts) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contracts/artifacts/solana/sibyl.so": None}, "lacks contracts/artifacts/solana/sibyl.so"),
        ({"contracts/artifacts/evm/Gateway.json": b"other"}, "not the one that was just built"),
        ({"oracle/app/devnet/surfnet.mjs": None}, "lacks oracle/app/devnet/surfnet.mjs"),
        ({"contracts/evm/node_modules/solc/soljson.js": b""}, "belongs to a checkout: contracts/evm/node_modules"),
        ({"tests/unit/test_x.py": b""}, "belongs to a checkout: tests/unit"),
    ],
)
def test_package__wrong_wheel__is_refused(
    changes: dict[str, bytes | None], said: str, tmp_path: Path, artifacts: Path
) -> None:
    with pytest.raises(package.PackageError, match=said):
        package.check_wheel(wheel(tmp_path, artifacts, changes), artifacts)


def test_package__contracts_not_compiled__says_what_to_do(artifacts: Path) -> None:
    (artifacts / "solana/sibyl.so").unlink()
    with pytest.raises(package.PackageError, match=r"no compiled contracts \(\.so\)\. Run `make setup` first"):
        package.require_artifacts(artifacts)
