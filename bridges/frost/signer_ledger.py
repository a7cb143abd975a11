"""The signer's own memory of what it has signed: for each message's place, the one body.

A place is (kind, origin, sequence, destination); what shares all but the sequence is a stream. Guarantees: once `record` has returned,
its entries are on disk (synchronous=FULL), and no other body is ever recorded for any of their places, across restarts; the file is
private, held by one process, and tied to one group key. A file that is damaged is refused, not repaired.
It does not grow for ever: of each stream it remembers the entries with the highest sequences, `remembered` of them or a few more. What it
forgets it takes the right to sign with it: at and below the highest sequence that it forgot of a stream, no body is taken any more, be it
new, another one, or the same. Entries and that mark change in one transaction, and the mark never falls.
Does not hold bodies, nonces or shares, and knows nothing of what another machine with a copy of the share has signed.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridges.frost.errors import FrostError, KeystoreError
from oracle.protocol.hashing import message_digest
from oracle.protocol.message import Message, encode_endpoint
from oracle.protocol.types import Digest

_SCHEMA_VERSION: Final = "2"
"""2 added `forgotten`. A program of version 1 refuses the file, for it would not heed that table; this one takes over a file of 1."""
REMEMBERED: Final = 1_000_000
"""Entries of a stream: about 200 MB. Of a stream that has fewer nothing is ever too old."""
_SLACK: Final = 1_024
"""Entries more than `remembered`, at most, before they are forgotten at once."""
_SEQUENCE: Final = 8
"""Bytes at a place's end; big-endian, so that the places of a stream are ordered by sequence."""


class LedgerError(FrostError):
    """The ledger cannot be read or written. Nothing is signed without it."""

    code = "ledger"


class Conflict(FrostError):
    """A place for which another body was signed before."""

    code = "conflict"


class Forgotten(Conflict):
    """A place so far behind the others of its stream that the ledger has forgotten what was signed for it."""

    code = "forgotten"


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the ledger knows it."""

    place: bytes
    """kind (1) ‖ origin (66) ‖ destination (66) ‖ sequence (8)."""
    digest: Digest

    @classmethod
    def of(cls, message: Message, body: bytes) -> Entry:
        """`body` is `message.to_bytes()`, so that it is encoded once."""
        place = bytes([message.kind]) + encode_endpoint(message.origin) + encode_endpoint(message.destination)
        return cls(place + message.sequence.to_bytes(_SEQUENCE), message_digest(body))

    @property
    def stream(self) -> bytes:
        """The place without its sequence."""
        return self.place[:-_SEQUENCE]


class Ledger:
    """An open ledger. `record` waits for the disk in a thread of its own, for all batches that wait together at once."""

    def __init__(self, path: Path, group_key: bytes, remembered: int = REMEMBERED) -> None:
        """Open or create, mode 0600. `remembered`: entries of each stream.

        Raises LedgerError when it is damaged, in use, or of another key; KeystoreError if others can read it.
        """
        self.path, self._remembered = path, remembered
        # By stream: the highest place that was forgotten, and how many are not. Changed by the writer's thread, after its COMMIT.
        self._forgotten: dict[bytes, bytes] = {}
        self._counts: Counter[bytes] = Counter()
        self._total = 0
        self._lock = self._locked()
        try:
            with self._mapped():
                self._writer = self._connected()
                try:
                    self._open(group_key)
                    # Reads do not wait behind a write.
                    self._reader = self._connected()
                except BaseException:
                    self._writer.close()
                    raise
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._waiting: list[tuple[Sequence[Entry], asyncio.Future[int]]] = []
        self._writing: asyncio.Task[None] | None = None

    def _locked(self) -> int:
        with self._mapped():
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            status = os.fstat(descriptor)
            if status.st_mode & 0o077 or status.st_uid != os.geteuid():
                raise KeystoreError(f"{self.path} can be read or written by others; run chmod 600 on it.")
            # Of the whole file, which SQLite's own locks (of byte ranges, fcntl) do not meet.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise LedgerError(f"The ledger {self.path} is in use by another signer; stop that one first.") from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, timeout=1, check_same_thread=False)

    def _open(self, group_key: bytes) -> None:
        db = self._writer
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
        db.execute(
            "CREATE TABLE IF NOT EXISTS signed (place BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID"
        )
        db.execute(
            "CREATE TABLE IF NOT EXISTS forgotten (stream BLOB PRIMARY KEY, place BLOB NOT NULL) STRICT, WITHOUT ROWID"
        )
        for name, value in (("schema", _SCHEMA_VERSION), ("group_key", group_key.hex())):
            db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
        db.execute("UPDATE meta SET value = ? WHERE name = 'schema' AND value = '1'", (_SCHEMA_VERSION,))
        db.execute("COMMIT")
        if (damage := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise LedgerError(self._damaged(str(damage)))
        meta = dict(db.execute("SELECT name, value FROM meta"))
        if meta.get("schema") != _SCHEMA_VERSION:
            raise LedgerError(f"The ledger {self.path} was written by another version; run that one.")
        if meta.get("group_key") != group_key.hex():
            raise LedgerError(f"The ledger {self.path} belongs to another group key; name this key's own ledger.")
        self._forgotten.update(db.execute("SELECT stream, place FROM forgotten"))
        streams = "SELECT substr(place, 1, length(place) - ?) AS stream, count(*) FROM signed GROUP BY stream"
        self._counts.update(dict(db.execute(streams, (_SEQUENCE,))))
        self._total = self._counts.total()

    def check(self, entries: Sequence[Entry]) -> list[Entry]:
        """Which of `entries` are not on disk. Raises Conflict if another body was signed for one of their places, or may have been; LedgerError."""
        return self._new(self._reader, entries)

    async def record(self, entries: Sequence[Entry]) -> int:
        """Have all of `entries` on disk, or none; how many were new. Raises as `check` does."""
        if not self.check(entries):
            return 0
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, done))
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write_waiting())
        return await done

    async def _write_waiting(self) -> None:
        """Until nobody waits: everything that waits goes to disk in one transaction."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    results = await loop.run_in_executor(self._thread, self._write, [entries for entries, _ in group])
                except LedgerError as error:
                    results = [error] * len(group)
                for (_, done), result in zip(group, results, strict=True):
                    if done.done():
                        continue  # whoever asked has gone; what is recorded stays
                    if isinstance(result, FrostError):
                        done.set_exception(result)
                    else:
                        done.set_result(result)
        finally:
            self._writing = None

    def _write(self, batches: Sequence[Sequence[Entry]]) -> list[int | FrostError]:
        """In the thread: each batch whole, or its conflict; all of it durable when this returns. Raises LedgerError; then nothing is."""
        results: list[int | FrostError] = []
        added: list[Entry] = []
        with self._mapped():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                for entries in batches:
                    try:
                        new = self._new(self._writer, entries)
                    except Conflict as error:
                        results.append(error)
                        continue
                    # Not OR IGNORE: a place that is taken after all must fail the whole.
                    self._writer.executemany("INSERT INTO signed VALUES (?, ?)", [(e.place, e.digest) for e in new])
                    results.append(len(new))
                    added += new
                counts = self._counts + Counter(entry.stream for entry in added)
                forgotten = self._forget(counts)
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
        self._forgotten.update(forgotten)
        self._counts, self._total = counts, counts.total()
        return results

    def _forget(self, counts: Counter[bytes]) -> dict[bytes, bytes]:
        """In a transaction: forget the lowest sequences of streams that hold too many, and correct their `counts`. The new marks."""
        marks: dict[bytes, bytes] = {}
        for stream, count in counts.items():
            if count <= self._remembered + min(_SLACK, self._remembered // 10):
                continue
            span = (stream + bytes(_SEQUENCE), stream + b"\xff" * _SEQUENCE)
            (mark,) = self._writer.execute(
                "SELECT place FROM signed WHERE place BETWEEN ? AND ? ORDER BY place LIMIT 1 OFFSET ?",
                (*span, count - self._remembered - 1),
            ).fetchone()
            self._writer.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", (stream, mark))
            self._writer.execute("DELETE FROM signed WHERE place BETWEEN ? AND ?", (span[0], mark))
            counts[stream], marks[stream] = self._remembered, mark
        return marks

    def _new(self, db: sqlite3.Connection, entries: Sequence[Entry]) -> list[Entry]:
        known: dict[bytes, bytes] = {}
        for entry in entries:
            if entry.place <= self._forgotten.get(entry.stream, b""):
                raise Forgotten(
                    f"The message 0x{entry.digest.hex()[:16]}… is so far behind the others of its kind, origin and destination that "
                    "this signer has forgotten what it signed in its place, and signs nothing there any more."
                )
        with self._mapped():
            for entry in entries:
                known.update(db.execute("SELECT place, digest FROM signed WHERE place = ?", (entry.place,)))
        for entry in entries:
            if known.get(entry.place, entry.digest) != entry.digest:
                raise Conflict(
                    f"This signer has signed another body for the place of the message 0x{entry.digest.hex()[:16]}…."
                )
        return [entry for entry in entries if entry.place not in known]

    def __len__(self) -> int:
        """Entries that are remembered."""
        return self._total

    def close(self) -> None:
        """Let go of the file, after what is being written."""
        self._thread.shutdown()
        for db in (self._reader, self._writer):
            db.close()
        os.close(self._lock)

    def _damaged(self, how: str) -> str:
        return (
            f"The ledger {self.path} is damaged ({how}). Restore it from a backup; starting without it would let this signer "
            "sign a second body for what it has signed before."
        )

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """SQLite's and the file system's errors become LedgerError."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise LedgerError(
                    f"The ledger {self.path} is in use by another signer; stop that one first."
                ) from error
            raise LedgerError(f"The ledger {self.path} cannot be used: {error}. Check the disk.") from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(self._damaged(str(error))) from error
        except OSError as error:
            raise LedgerError(f"The ledger {self.path} cannot be opened: {error.strerror}.") from error
