"""The signer's own memory of what it has signed: for each message's place, the one body.

A place is (kind, origin, sequence, destination). Guarantees: once `record` has returned, its entries are on disk
(synchronous=FULL), and no other body is ever recorded for any of their places, across restarts; entries are never changed or
removed; the file is private, held by one process, and tied to one group key. A file that is damaged is refused, not repaired.
Does not hold bodies, nonces or shares, and knows nothing of what another machine with a copy of the share has signed.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridges.frost.errors import FrostError, KeystoreError
from oracle.protocol.hashing import message_digest
from oracle.protocol.message import Message, encode_endpoint
from oracle.protocol.types import Digest

_SCHEMA_VERSION: Final = "1"
_QUERY: Final = 400
"""Places a query asks for at once; SQLite takes 999 parameters everywhere."""


class LedgerError(FrostError):
    """The ledger cannot be read or written. Nothing is signed without it."""

    code = "ledger"


class Conflict(FrostError):
    """A place for which another body was signed before."""

    code = "conflict"


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
        return cls(place + message.sequence.to_bytes(8), message_digest(body))


class Ledger:
    """An open ledger. Calls block for as long as the disk needs: one write for a batch that is new, none for one that is known."""

    def __init__(self, path: Path, group_key: bytes) -> None:
        """Open or create, mode 0600. Raises LedgerError when it is damaged, in use, or of another key; KeystoreError if others can read it."""
        self.path = path
        with self._mapped():
            path.touch(mode=0o600)
            if path.stat().st_mode & 0o077 or path.stat().st_uid != os.geteuid():
                raise KeystoreError(f"{path} can be read or written by others; run chmod 600 on it.")
            self._db = sqlite3.connect(path, isolation_level=None, timeout=1)
        try:
            with self._mapped():
                self._open(group_key)
        except BaseException:
            self._db.close()
            raise

    def _open(self, group_key: bytes) -> None:
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS signed (place BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID"
        )
        for name, value in (("schema", _SCHEMA_VERSION), ("group_key", group_key.hex())):
            self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
        self._db.execute("COMMIT")
        if (damage := self._db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise LedgerError(self._damaged(str(damage)))
        meta = dict(self._db.execute("SELECT name, value FROM meta"))
        if meta.get("schema") != _SCHEMA_VERSION:
            raise LedgerError(f"The ledger {self.path} was written by another version; run that one.")
        if meta.get("group_key") != group_key.hex():
            raise LedgerError(f"The ledger {self.path} belongs to another group key; name this key's own ledger.")

    def check(self, entries: Sequence[Entry]) -> list[Entry]:
        """Which of `entries` are new. Raises Conflict if another body was signed for one of their places, LedgerError."""
        known: dict[bytes, bytes] = {}
        with self._mapped():
            for at in range(0, len(entries), _QUERY):
                places = [entry.place for entry in entries[at : at + _QUERY]]
                marks = ",".join("?" * len(places))
                # Only question marks are put into the text.
                known.update(self._db.execute(f"SELECT place, digest FROM signed WHERE place IN ({marks})", places))  # noqa: S608
        for entry in entries:
            if known.get(entry.place, entry.digest) != entry.digest:
                raise Conflict(
                    f"This signer has signed another body for the place of the message 0x{entry.digest.hex()[:16]}…."
                )
        return [entry for entry in entries if entry.place not in known]

    def record(self, entries: Sequence[Entry]) -> int:
        """Have all of `entries` on disk, or none; how many were new. Raises as `check` does."""
        new = self.check(entries)
        if new:
            with self._mapped():
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    # Not OR IGNORE: a place that is taken after all must fail the whole.
                    self._db.executemany("INSERT INTO signed VALUES (?, ?)", [(e.place, e.digest) for e in new])
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
        return len(new)

    def __len__(self) -> int:
        with self._mapped():
            count: int = self._db.execute("SELECT count(*) FROM signed").fetchone()[0]
            return count

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

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
