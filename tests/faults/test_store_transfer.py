"""One file out of a store that lies, stops or never ends: nothing wrong is kept, nothing of the user's is touched, and a second try goes on."""

import fcntl
import hashlib
import os
import socket
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuits.errors import StoreError
from circuits.store import folder, transfer
from circuits.store.folder import MissingError, open_folder
from circuits.store.transfer import bring
from tests.support.folder_server import FolderServer, folder_server

DATA = bytes(range(256)) * 1024
SHA = hashlib.sha256(DATA).hexdigest()
NAME = ("blob.bin",)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "CHUNK", 1 << 14)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FolderServer]:
    root = tmp_path / "served"
    root.mkdir()
    (root / NAME[0]).write_bytes(DATA)
    with folder_server(root) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "home" / "blob.bin"


def _bring(location: str, target: Path, size: int = len(DATA), sha256: str = SHA) -> Path:
    return bring(open_folder(location, most=size), NAME, target, size=size, sha256=sha256)


def _parts(target: Path) -> list[Path]:
    return sorted(target.parent.glob(".*.part"))


@pytest.mark.parametrize("ranges", [True, False])
def test_bring__honest_server__gives_the_file_and_leaves_no_other(
    server: FolderServer, target: Path, ranges: bool
) -> None:
    server.ranges = ranges
    _bring(server.url, target)
    assert target.read_bytes() == DATA
    assert os.listdir(target.parent) == [target.name]  # noqa: PTH208 - hidden files count


@pytest.mark.parametrize("ranges", [True, False])
def test_bring__connection_lost__next_try_goes_on(server: FolderServer, target: Path, ranges: bool) -> None:
    target.parent.mkdir()
    part = target.with_name(f".{target.name}.{SHA[:16]}.part")
    part.write_bytes(DATA[:100_000])
    server.ranges = ranges
    _bring(server.url, target)
    assert target.read_bytes() == DATA
    if ranges:
        starts = [int(asked.removeprefix("bytes=").partition("-")[0]) for _, asked in server.asked if asked]
        assert 100_000 in starts
        assert not any(0 < start < 100_000 for start in starts)


def test_bring__body_cut_off__is_an_error_and_keeps_what_came(server: FolderServer, target: Path) -> None:
    server.ranges, server.cut = False, 50_000
    with pytest.raises(StoreError):
        _bring(server.url, target)
    assert not target.exists()
    server.cut = None
    _bring(server.url, target)
    assert target.read_bytes() == DATA


def test_bring__wrong_bytes_of_an_earlier_try__are_replaced(server: FolderServer, target: Path) -> None:
    target.parent.mkdir()
    part = target.with_name(f".{target.name}.{SHA[:16]}.part")
    part.write_bytes(b"\xee" * 100_000)
    _bring(server.url, target)
    assert target.read_bytes() == DATA
    assert _parts(target) == []


def test_bring__one_bit_changed__is_thrown_away(server: FolderServer, target: Path) -> None:
    server.lie = lambda data: data[:5] + bytes([data[5] ^ 1]) + data[6:]
    with pytest.raises(StoreError, match="is not the one that was asked for"):
        _bring(server.url, target)
    assert not target.exists()
    assert _parts(target) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_bring__longer_file__is_not_taken(server: FolderServer, target: Path, ranges: bool) -> None:
    server.ranges, server.lie = ranges, lambda data: data + b"more"
    with pytest.raises(StoreError, match="more than 262,144 bytes"):
        _bring(server.url, target)
    assert not target.exists()
    assert all(path.stat().st_size <= len(DATA) for path in _parts(target))


def test_bring__shorter_file__is_not_taken(server: FolderServer, target: Path) -> None:
    server.lie = lambda data: data[:-1]
    with pytest.raises(StoreError, match="only 262,143 of 262,144 bytes"):
        _bring(server.url, target)
    assert not target.exists()


def test_bring__body_without_end__stops_at_the_size(server: FolderServer, target: Path) -> None:
    server.endless = True
    with pytest.raises(StoreError):
        _bring(server.url, target)
    assert not target.exists()
    assert all(path.stat().st_size <= len(DATA) for path in _parts(target))


def test_bring__missing_file__says_what_and_where(server: FolderServer, target: Path) -> None:
    with pytest.raises(MissingError, match=r"has no other\.bin"):
        bring(open_folder(server.url), ("other.bin",), target, size=1, sha256=SHA)


def test_bring__nobody_there__is_an_error_without_the_password(target: Path) -> None:
    with pytest.raises(StoreError) as caught:
        _bring("http://user:hunter2@127.0.0.1:9/store", target)
    assert "hunter2" not in str(caught.value)
    assert "http://127.0.0.1:9/store" in str(caught.value)


def test_bring__silent_server__is_given_up(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "READ_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(StoreError, match="in time"):
        _bring(f"http://127.0.0.1:{listening.getsockname()[1]}", target)
    assert not target.exists()


def test_bring__file_that_is_here__is_not_fetched_again(server: FolderServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(DATA)
    _bring(server.url, target)
    assert server.asked == []


def test_bring__other_file_that_is_here__is_left_alone(server: FolderServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"the user's own")
    with pytest.raises(StoreError, match="Move it away; nothing was changed"):
        _bring(server.url, target)
    assert target.read_bytes() == b"the user's own"
    assert server.asked == []


def test_bring__two_at_once__one_is_told_to_wait(server: FolderServer, target: Path) -> None:
    target.parent.mkdir()
    part = target.with_name(f".{target.name}.{SHA[:16]}.part")
    with part.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="Another process is fetching"):
            _bring(server.url, target)
    _bring(server.url, target)
    assert target.read_bytes() == DATA


def test_bring__killed_at_any_moment__leaves_a_whole_file_or_none(
    server: FolderServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only step that makes the target is one rename."""

    def died(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", died)
        with pytest.raises(KeyboardInterrupt):
            _bring(server.url, target)
    assert not target.exists()
    _bring(server.url, target)
    assert target.read_bytes() == DATA


# ---- folders ----


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/x",
        "github://owner:repo@/",
        "zip://x::http://127.0.0.1",
        "simplecache::http://127.0.0.1/x",
        "file://x::zip://y",
        "ssh://127.0.0.1/x",
        "local://x",
        "dask://x",
        "reference://x",
    ],
)
def test_folder__kind_that_is_no_plain_folder__is_refused(location: str) -> None:
    with pytest.raises(StoreError, match="A store is a local folder, or a URL"):
        open_folder(location)


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "/etc/passwd", "a/b", "a\\b", "../x", ".hidden", "a\0b", "a b", "ä", "-rf", "x" * 101, "http:"],
)
def test_folder__name_that_is_a_path__is_refused(tmp_path: Path, name: str) -> None:
    store = open_folder(str(tmp_path))
    with pytest.raises(StoreError, match="is no name of a file in a store"):
        store.path("sha256", name)
    with pytest.raises(StoreError, match="is no name of a file in a store"):
        store.put(tmp_path, name)


def test_folder__s3_without_its_packages__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match=r"pip install 'sibyl\[s3\]'"):
        open_folder("s3://bucket/models")


def test_folder__errors_of_the_s3_client__are_store_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no OSErrors, and their package may be missing: a stand-in has the names that s3fs's client raises."""

    class BotoCoreError(Exception):
        pass

    client = types.ModuleType("botocore.exceptions")
    client.BotoCoreError = client.ClientError = BotoCoreError  # type: ignore[attr-defined] # a stand-in
    monkeypatch.setitem(sys.modules, "botocore.exceptions", client)
    store = open_folder(str(tmp_path))
    with pytest.raises(StoreError, match="Unable to locate credentials"), store.mapped("x"):
        raise BotoCoreError("Unable to locate credentials")


def test_folder__small_file_that_is_huge__is_not_read(server: FolderServer) -> None:
    store = open_folder(server.url)
    assert store.small(*NAME, limit=len(DATA)) == DATA
    with pytest.raises(StoreError, match=r"more than 1,000 bytes"):
        store.small(*NAME, limit=1000)
    server.endless = True
    with pytest.raises(StoreError):
        store.small(*NAME, limit=1000)


def test_folder__gateway__cannot_be_written_to(server: FolderServer, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can only be read"):
        open_folder(server.url).put(tmp_path / "x", "y")
