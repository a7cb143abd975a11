"""A folder anywhere, by fsspec: local path, http(s) URL, S3 URL, or fsspec's memory (tests).

Guarantees: errors of fsspec and of what is behind it become StoreError; no kind of folder but these (fsspec knows dozens, some of which run commands
or unpack archives); names are joined only when each part is plain, so nothing outside the folder can be named; every request over the network ends.
Does not do: believe a size or a content.
"""

import asyncio
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast
from urllib.parse import urlsplit

import aiohttp
import fsspec
from fsspec.exceptions import FSTimeoutError

from circuits.errors import StoreError

KINDS: Final = ("file", "http", "https", "s3", "memory")
CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 30.0
"""Longest silence of a server."""
SLOWEST: Final = 32 << 10
"""Bytes a second: a transfer that is slower on the whole is given up."""
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_EXTRAS: Final = {"s3": "pip install 'sibyl[s3]'"}


def plain_name(name: str) -> bool:
    """Whether a file's name is one, and no path: letters, digits, dot, dash, underscore, beginning with a letter or digit."""
    return _PART.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Folder:
    """A place to read from and perhaps write to. Make one with `open_folder`."""

    location: str
    """As the user gave it, without a password."""
    kind: str
    root: str
    files: Any = field(repr=False)
    """fsspec's file system; it has no types."""

    @property
    def writable(self) -> bool:
        """Whether anything can be put there."""
        return self.kind not in ("http", "https")

    def path(self, *parts: str) -> str:
        """The path of a file below. Raises StoreError for a part that is not a plain name."""
        for part in parts:
            if not plain_name(part):
                raise StoreError(
                    f"“{part[:80]}” is no name of a file in a store; the store {self.location} is not to be trusted."
                )
        return "/".join((self.root, *parts))

    @contextmanager
    def reading(self, *parts: str, start: int = 0) -> Iterator[IO[bytes]]:
        """A file of the folder, open at byte `start`. Raises StoreError also for what fails while it is read."""
        name = "/".join(parts)
        with self.mapped(name):
            handle = self._open(self.path(*parts), start, name)
            try:
                yield handle
            finally:
                handle.close()

    def _open(self, path: str, start: int, name: str) -> IO[bytes]:
        if self.kind not in ("http", "https"):
            handle = cast(IO[bytes], self.files.open(path, "rb"))
            handle.seek(start)
            return handle
        if start:
            handle = cast(IO[bytes], self.files.open(path, "rb"))
            try:
                handle.seek(start)
                handle.read(1)  # only now is the server asked for a part
                handle.seek(start)
            except (ValueError, aiohttp.ClientResponseError):
                handle.close()  # it gives no parts
            else:
                return handle
        handle = cast(IO[bytes], self.files.open(path, "rb", block_size=0))  # one stream, from the beginning
        _skip(handle, start, name, self.location)
        return handle

    def small(self, *parts: str, limit: int) -> bytes:
        """A whole file of at most `limit` bytes."""
        with self.reading(*parts) as handle:
            data = handle.read(limit + 1)
            # A stream may give less than was asked for.
            while len(data) <= limit and (more := handle.read(limit + 1 - len(data))):
                data += more
        if len(data) > limit:
            raise StoreError(
                f"The file {'/'.join(parts)} of {self.location} has more than {limit:,} bytes, and is not read."
            )
        return data

    def size(self, *parts: str) -> int | None:
        """How long the folder says that a file is; None when there is no such file."""
        try:
            with self.mapped("/".join(parts)):
                found = self.files.info(self.path(*parts)).get("size")
        except MissingError:
            return None
        return found if isinstance(found, int) else -1

    def put(self, source: Path, *parts: str) -> None:
        """Write a file, whole or not at all, replacing one of that name."""
        self._must_write()
        target = self.path(*parts)
        with self.mapped("/".join(parts)):
            if self.kind != "file":  # an object appears when it is complete
                self.files.put_file(str(source), target)
                return
            final = Path(target)
            final.parent.mkdir(parents=True, exist_ok=True)
            beside = final.with_name(f".{final.name}.new")
            shutil.copyfile(source, beside)
            beside.replace(final)

    def _must_write(self) -> None:
        if not self.writable:
            raise StoreError(
                f"{self.location} can only be read. Publish to a local folder, and put that folder behind the gateway (such as with ipfs add -r)."
            )

    @contextmanager
    def mapped(self, what: str) -> Iterator[None]:
        """Errors of the file system become StoreError."""
        try:
            yield
        except FileNotFoundError as error:
            if error.__cause__ is not None and getattr(error.__cause__, "status", 404) != 404:
                raise StoreError(f"The store {self.location} failed at {what}: {_short(error.__cause__)}") from error
            if isinstance(error.__cause__, TimeoutError | OSError) or _is_connection(error.__cause__):
                raise StoreError(
                    f"The store {self.location} does not answer, or not in time ({_short(error.__cause__)}); try again."
                ) from error
            raise MissingError(f"The store {self.location} has no {what}.") from error
        except (TimeoutError, FSTimeoutError, asyncio.IncompleteReadError) as error:
            raise StoreError(
                f"The store {self.location} did not give {what} in time; try again, it goes on where it was."
            ) from error
        except _failures() as error:
            raise StoreError(f"The store {self.location} failed at {what}: {_short(error)}") from error


class MissingError(StoreError):
    """The store has no such file."""


def _failures() -> tuple[type[Exception], ...]:
    """What back ends raise. botocore's own errors (no connection, no credentials) are known only where s3fs is installed, and loaded then."""
    plain = (OSError, aiohttp.ClientError, ValueError)
    module = sys.modules.get("botocore.exceptions")
    return plain if module is None else (*plain, module.BotoCoreError, module.ClientError)


def _is_connection(error: BaseException | None) -> bool:
    return isinstance(error, aiohttp.ClientError) and not isinstance(error, aiohttp.ClientResponseError)


def _skip(handle: IO[bytes], count: int, name: str, location: str) -> None:
    while count > 0:
        chunk = handle.read(min(1 << 20, count))
        if not chunk:
            raise StoreError(
                f"The file {name} of {location} is shorter than what is here of it already. Use another source."
            )
        count -= len(chunk)


def _short(error: BaseException | None) -> str:
    # A back end's message can be a whole page, and can hold a URL with its password.
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return re.sub(r"//[^/@\s]*@", "//", text)[:200]


def open_folder(location: str, *, most: int = 0) -> Folder:
    """The folder at a path or URL; `most` bytes will be read of a file at most, which bounds the time. Raises StoreError."""
    kind, _, rest = location.partition("://")
    if not rest:
        kind = "file"
    if kind not in KINDS or "::" in location:
        raise StoreError(
            f"A store is a local folder, or a URL that begins with http://, https:// or s3://; not “{_clean(location)}”."
        )
    options: dict[str, object] = {"skip_instance_cache": True, "use_listings_cache": False}
    if kind in ("http", "https"):
        seconds = READ_SECONDS + most / SLOWEST
        options["client_kwargs"] = {
            "timeout": aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
        }
    if kind == "memory":
        options = {}
    try:
        files = fsspec.filesystem(kind, **options)
    except ImportError as error:
        raise StoreError(f"A store on {kind} needs more packages: {_EXTRAS.get(kind, error)}") from error
    root = (
        str(Path(location).expanduser().resolve()) if kind == "file" and not rest else files._strip_protocol(location)
    )
    return Folder(_clean(location), kind, str(root).rstrip("/"), files)


def _clean(location: str) -> str:
    if "://" not in location:
        return location
    parts = urlsplit(location)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
