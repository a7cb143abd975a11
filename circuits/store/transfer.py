"""Brings one file here: resumed where an earlier try ended, never longer than it may be, and under its name only when its SHA-256 is right.

Guarantees: a file that was here before is left alone, whatever it holds; what arrives goes to a hidden file beside the target (`.NAME.SHA.part`),
which is the only thing this module ever removes; of two processes that fetch one file, one does. Does not do: decide which hash is right.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from circuits.errors import StoreError
from circuits.store.folder import Folder

CHUNK: Final = 1 << 20
Arrived = Callable[[int, int], None]
"""Told (bytes here, bytes of the whole file)."""


def file_sha256(path: Path) -> str:
    """The SHA-256 of a local file, in hex."""
    state = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()


def bring(
    folder: Folder, parts: tuple[str, ...], target: Path, *, size: int, sha256: str, arrived: Arrived | None = None
) -> Path:
    """The file `parts` of `folder`, of exactly `size` bytes and this hash, as `target`. Raises StoreError; then no wrong file is at `target`."""
    if target.exists():
        return _own(target, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{sha256[:16]}.part")
    with part.open("ab") as handle, _alone(handle, target):
        if target.exists():  # another process was faster
            part.unlink(missing_ok=True)
            return _own(target, sha256)
        resumed = part.stat().st_size > 0
        found = _receive(folder, parts, handle, size, arrived)
        if found != sha256.lower() and resumed:  # what an earlier try left may be wrong, and of another source
            os.truncate(part, 0)
            found = _receive(folder, parts, handle, size, arrived)
        if found != sha256.lower():
            part.unlink(missing_ok=True)
            raise StoreError(
                f"The file {'/'.join(parts)} of {folder.location} is not the one that was asked for: its SHA-256 is {found}, "
                f"not {sha256}. The copy was thrown away; use another source."
            )
        os.fsync(handle.fileno())
        part.replace(target)
    return target


def _own(target: Path, sha256: str) -> Path:
    try:
        found = file_sha256(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be read: {error.strerror}.") from error
    if found != sha256.lower():
        raise StoreError(
            f"{target} is here already and has the SHA-256 {found}, not {sha256}. Move it away; nothing was changed."
        )
    return target


def _receive(folder: Folder, parts: tuple[str, ...], handle: IO[bytes], size: int, arrived: Arrived | None) -> str:
    """Read what is missing of the file behind `handle`; the SHA-256 of the whole. Raises StoreError unless it has `size` bytes in the end."""
    name, part = "/".join(parts), Path(handle.name)
    if part.stat().st_size > size:
        os.truncate(part, 0)
    done, state = part.stat().st_size, hashlib.sha256()
    with part.open("rb") as before:
        while chunk := before.read(CHUNK):
            state.update(chunk)
    with folder.reading(*parts, start=done) as source:
        # One byte more than there may be is asked for, and never kept.
        while done <= size and (chunk := source.read(min(CHUNK, size + 1 - done))):
            done += len(chunk)
            if done <= size:
                handle.write(chunk)
                handle.flush()
                state.update(chunk)
            if arrived:
                arrived(min(done, size), size)
    if done != size:
        how = "more than" if done > size else f"only {done:,} of"
        advice = "Use another source." if done > size else "Try again: it goes on from there."
        raise StoreError(f"The file {name} of {folder.location} gave {how} {size:,} bytes. {advice}")
    return state.hexdigest()


@contextmanager
def _alone(handle: IO[bytes], target: Path) -> Iterator[None]:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"Another process is fetching {target} at this moment; wait for it.") from None
    yield
