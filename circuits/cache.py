"""Content-keyed cache of built artefacts.

The root is `SIBYL_CACHE`, else `build/cache` of a checkout, else the user's cache directory. An entry is a directory `<kind>/<key>/` with a
`manifest.json` that holds size, SHA-256 and Keccak-256 of every other file. Guarantees: an entry appears whole (built beside, then renamed) or not
at all; of several builders of one key one builds and the others wait and use it; an entry that does not match its manifest is rebuilt, and said so.
Does not do: protect against somebody who may write to the cache (he can write a manifest too); a model's id does that.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from circuits.errors import CacheError, CorruptEntryError
from oracle.protocol.hashing import keccak256

MANIFEST = "manifest.json"
FORMAT = 1
"""Version of the manifest; part of every key."""

LOCK_SECONDS = 600.0
_POLL_SECONDS = 0.1

Progress = Callable[[str], None]
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def quiet(message: str) -> None:
    """The progress callback that says nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A checked cache entry: its directory and the builder's own facts about it."""

    path: Path
    meta: dict[str, Json]


def cache_root() -> Path:
    """Where artefacts live on this machine."""
    if named := os.environ.get("SIBYL_CACHE"):
        return Path(named).expanduser().resolve()
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / "build" / "cache"
    return platformdirs.user_cache_path("sibyl")


def content_key(parts: Mapping[str, str | bytes]) -> str:
    """Key of whatever is built from exactly these named parts: 32 hex digits."""
    state = hashlib.sha256(b"sibyl-cache-%d" % FORMAT)
    for name in sorted(parts):
        value = parts[name]
        raw = value.encode() if isinstance(value, str) else value
        for chunk in (name.encode(), raw):
            state.update(len(chunk).to_bytes(8) + chunk)
    return state.hexdigest()[:32]


def describe_files(directory: Path) -> dict[str, Json]:
    """Size, SHA-256 and Keccak-256 of each file of a directory, the manifest apart."""
    described: dict[str, Json] = {}
    for path in sorted(directory.iterdir()):
        if path.name != MANIFEST:
            raw = path.read_bytes()
            sha256, keccak = hashlib.sha256(raw).hexdigest(), keccak256(raw).hex()
            described[path.name] = {"size": len(raw), "sha256": sha256, "keccak256": keccak}
    return described


def write_manifest(directory: Path, meta: Mapping[str, Json]) -> None:
    """Seal a directory: record its files and the builder's facts."""
    manifest = {"format": FORMAT, "files": describe_files(directory), "meta": dict(meta)}
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def check_entry(directory: Path) -> Entry:
    """The entry at `directory`. Raises CorruptEntryError, naming the file, unless every file is there and as its manifest says."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        files, meta = manifest["files"], manifest["meta"]
        if manifest["format"] != FORMAT or not isinstance(files, dict) or not isinstance(meta, dict):
            raise CorruptEntryError(f"{directory}: the manifest has a form that this version does not know.")
        for name, facts in files.items():
            raw = (directory / name).read_bytes()
            if Path(name).name != name or hashlib.sha256(raw).hexdigest() != facts["sha256"]:
                raise CorruptEntryError(f"{directory}: the file {name} is not the one that was built.")
    except FileNotFoundError as error:
        raise CorruptEntryError(f"{directory}: {Path(error.filename).name} is missing.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptEntryError(f"{directory}: the manifest cannot be read ({error}).") from error
    return Entry(directory, meta)


def ensure_entry(
    kind: str,
    key: str,
    build: Callable[[Path], Mapping[str, Json]],
    *,
    root: Path | None = None,
    progress: Progress = quiet,
    lock_seconds: float = LOCK_SECONDS,
) -> Entry:
    """The entry `kind/key`, built by `build(directory) -> meta` if it is not there or not whole.

    Raises CacheError when another builder holds the entry for longer than `lock_seconds`, and whatever `build` raises.
    """
    home = (root or cache_root()) / kind
    final = home / key
    if final.is_dir():
        try:
            return check_entry(final)
        except CorruptEntryError as error:
            progress(f"The cache is damaged and is built anew: {error}")
    home.mkdir(parents=True, exist_ok=True)
    with _lock(home / f".{key}.lock", lock_seconds):
        return _build_locked(home, key, build)


def _build_locked(home: Path, key: str, build: Callable[[Path], Mapping[str, Json]]) -> Entry:
    final = home / key
    for leftover in home.glob(f".{key}.new-*"):  # of a builder that was killed: we hold its lock
        shutil.rmtree(leftover, ignore_errors=True)
    if final.is_dir():
        try:
            return check_entry(final)  # another builder was faster
        except CorruptEntryError:
            doomed = home / f".{key}.new-{secrets.token_hex(4)}"
            final.rename(doomed)
            shutil.rmtree(doomed)
    work = home / f".{key}.new-{secrets.token_hex(4)}"
    work.mkdir()
    try:
        write_manifest(work, build(work))
        work.rename(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return check_entry(final)


@contextmanager
def _lock(path: Path, seconds: float) -> Iterator[None]:
    # flock dies with its holder, so a killed builder never blocks the next one.
    deadline = time.monotonic() + seconds
    with path.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CacheError(
                        f"Another process has been building {path.parent} for more than {seconds:.0f} s; end it or wait."
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield
