"""The artefact cache: whole entries or none, damage found, concurrent builders."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from circuits.cache import MANIFEST, Json, cache_root, check_entry, content_key, ensure_entry
from circuits.errors import CacheError, CorruptEntryError


class Builder:
    """Writes one file and counts how often it was asked to."""

    def __init__(self, text: str = "artefact", seconds: float = 0.0) -> None:
        self.runs = 0
        self._text = text
        self._seconds = seconds

    def __call__(self, directory: Path) -> Mapping[str, Json]:
        self.runs += 1
        time.sleep(self._seconds)
        (directory / "file").write_text(self._text)
        return {"made": "here"}


def test_ensure_entry__second_call__builds_once(tmp_path: Path) -> None:
    builder = Builder()
    first = ensure_entry("kind", "key", builder, root=tmp_path)
    second = ensure_entry("kind", "key", builder, root=tmp_path)
    assert builder.runs == 1
    assert first == second
    assert first.meta == {"made": "here"}
    assert first.path == tmp_path / "kind" / "key"


def test_ensure_entry__eight_builders_at_once__one_builds(tmp_path: Path) -> None:
    builder = Builder(seconds=0.2)
    with ThreadPoolExecutor(8) as threads:
        entries = list(threads.map(lambda _: ensure_entry("kind", "key", builder, root=tmp_path), range(8)))
    assert builder.runs == 1
    assert len({entry.path for entry in entries}) == 1


@pytest.mark.parametrize("damage", ["change", "truncate", "remove", "no manifest", "half a manifest", "wrong form"])
def test_ensure_entry__damaged__rebuilt_with_a_message(tmp_path: Path, damage: str) -> None:
    builder = Builder()
    entry = ensure_entry("kind", "key", builder, root=tmp_path)
    manifest = entry.path / MANIFEST
    match damage:
        case "change":
            (entry.path / "file").write_text("Artefact")
        case "truncate":
            (entry.path / "file").write_bytes(b"")
        case "remove":
            (entry.path / "file").unlink()
        case "no manifest":
            manifest.unlink()
        case "half a manifest":
            manifest.write_bytes(manifest.read_bytes()[:40])
        case _:
            manifest.write_text(json.dumps(["not", "an", "object"]))
    with pytest.raises(CorruptEntryError):
        check_entry(entry.path)
    said: list[str] = []
    rebuilt = ensure_entry("kind", "key", builder, root=tmp_path, progress=said.append)
    assert builder.runs == 2
    assert (rebuilt.path / "file").read_text() == "artefact"
    assert any("damaged" in message for message in said)


def test_check_entry__manifest_names_a_file_elsewhere__refused(tmp_path: Path) -> None:
    entry = ensure_entry("kind", "key", Builder(), root=tmp_path)
    manifest = json.loads((entry.path / MANIFEST).read_text())
    (tmp_path / "kind" / "outside").write_text("artefact")
    manifest["files"]["../outside"] = manifest["files"]["file"]
    (entry.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorruptEntryError):
        check_entry(entry.path)


def test_ensure_entry__build_fails__leaves_nothing(tmp_path: Path) -> None:
    def fail(directory: Path) -> Mapping[str, Json]:
        (directory / "half").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        ensure_entry("kind", "key", fail, root=tmp_path)
    assert [path.name for path in (tmp_path / "kind").iterdir()] == [".key.lock"]


def test_ensure_entry__builder_killed_half_way__next_one_builds(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom circuits.cache import ensure_entry\n"
        "def build(directory):\n    (directory / 'file').write_text('half')\n    print('in', flush=True)\n    time.sleep(60)\n"
        "ensure_entry('kind', 'key', build, root=Path(sys.argv[1]))\n"
    )
    checkout = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=checkout, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        with pytest.raises(CacheError, match="has been building"):
            ensure_entry("kind", "key", Builder(), root=tmp_path, lock_seconds=0.2)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        entry = ensure_entry("kind", "key", Builder("whole"), root=tmp_path, lock_seconds=5)
    finally:
        process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
    assert (entry.path / "file").read_text() == "whole"
    assert sorted(path.name for path in (tmp_path / "kind").iterdir()) == [".key.lock", "key"]


def test_content_key__parts_moved_between_names__differs() -> None:
    keys = {
        content_key({"a": "bc"}),
        content_key({"ab": "c"}),
        content_key({"a": "b", "c": ""}),
        content_key({"a": b"bd"}),
    }
    assert len(keys) == 4
    assert content_key({"x": "1", "y": "2"}) == content_key({"y": "2", "x": "1"})


def test_cache_root__environment__wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIBYL_CACHE", str(tmp_path))
    assert cache_root() == tmp_path.resolve()
    monkeypatch.delenv("SIBYL_CACHE")
    assert cache_root().parts[-2:] == ("build", "cache")
    assert "SIBYL_CACHE" not in os.environ
