"""Files that only their owner may read: created, read and replaced so that a crash at any step leaves a whole one.

Guarantees: a private file has mode 0600 from its first moment, appears whole or not at all, and never replaces another silently;
`replace_private_file` leaves the old content or the new under the name, never neither and never a mixture; a file that others
could read, that somebody else owns, or that is a link is refused. Errors name the file and never its contents.
Does not encrypt (`sealing`), and cannot take back what a disk keeps of blocks that were overwritten.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bridges.frost.errors import KeystoreError
from bridges.frost.group import wipe_fresh_bytes

MAX_FILE_BYTES: Final = 262_144
"""Bound on a private file; a committee of 1,000 needs 80 KB."""

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_private_file(path: Path, data: bytes) -> None:
    """Create `path` with mode 0600, atomically and durably. Raises KeystoreError if it exists or cannot be written."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, _CREATE, 0o600)
        try:
            _write_all(descriptor, data)
            # A hard link fails if the name is taken, where a rename would replace it.
            path.hardlink_to(temporary)
        finally:
            temporary.unlink()
        _sync_directory(path.parent)
    except FileExistsError:
        raise KeystoreError(f"{path} exists already; move it away first, for a key is never overwritten.") from None
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the only right to replace files beside `path`. Raises KeystoreError if another process has it."""
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeystoreError(f"{path.parent} cannot be opened: {error.strerror}.") from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise KeystoreError(f"Another command is changing the files in {path.parent}; wait for it to end.") from None
    finally:
        os.close(directory)


def leftover(path: Path) -> Path:
    """Where an interrupted replacement of `path` leaves its new content; the next replacement removes it."""
    return path.with_name(f".{path.name}.new")


def replace_private_file(path: Path, data: bytes) -> None:
    """Exchange the content of a private file, atomically and durably; call it inside `exclusive`.

    The old file's blocks are overwritten afterwards, as far as a file system lets: a copy-on-write one or a flash disk keeps them.
    Raises KeystoreError if `path` is not a private file, or cannot be replaced: then it is unchanged.
    """
    temporary = leftover(path)
    old = _opened(path, os.O_RDWR)
    try:
        _require_private(path, os.fstat(old))
        temporary.unlink(missing_ok=True)
        try:
            _write_all(os.open(temporary, _CREATE, 0o600), data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
        status = os.fstat(old)
        if status.st_nlink == 0:
            _write_all(os.dup(old), bytes(status.st_size))
    except OSError as error:
        raise KeystoreError(f"{path} cannot be replaced: {error.strerror}.") from error
    finally:
        os.close(old)


def read_private_buffer(path: Path) -> bytearray:
    """The bytes of a file that only its owner can read, for the caller to wipe. Raises KeystoreError otherwise."""
    descriptor = _opened(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        # The open file is judged, not its name, so that nobody can exchange it in between.
        _require_private(path, os.fstat(descriptor))
        # Read without Python's buffered layer, which would leave a copy behind.
        buffer, size = bytearray(MAX_FILE_BYTES + 1), 0
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            while taken := file.readinto(memoryview(buffer)[size:]):
                size += taken
    except OSError as error:
        raise KeystoreError(f"{path} cannot be read: {error.strerror}.") from error
    finally:
        os.close(descriptor)
    if size > MAX_FILE_BYTES:
        raise KeystoreError(f"{path} is over {MAX_FILE_BYTES} bytes, so it is no key file.")
    content = buffer[:size]
    wipe(buffer)
    return content


def read_private_file(path: Path) -> bytes:
    """As `read_private_buffer`, in `bytes`."""
    buffer = read_private_buffer(path)
    try:
        return bytes(buffer)
    finally:
        wipe(buffer)


def wipe(buffer: bytearray | bytes) -> None:
    """Overwrite a buffer. `bytes` must be as `wipe_fresh_bytes` demands: just made, held by nobody else."""
    if isinstance(buffer, bytearray):
        buffer[:] = bytes(len(buffer))
    elif len(buffer) > 1:
        wipe_fresh_bytes(buffer)


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be opened: {error.strerror}.") from error


def _write_all(descriptor: int, data: bytes) -> None:
    """Write from the start, durably, and close."""
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeystoreError(f"{path} is not a regular file.")
    if status.st_uid != os.geteuid():
        raise KeystoreError(f"{path} belongs to another user; a key file must be the node's own.")
    if status.st_mode & 0o077:
        raise KeystoreError(
            f"{path} can be read or written by others; run chmod 600 on it, and consider the key exposed."
        )
