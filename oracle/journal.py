"""The journal: every event of the pipeline, the readers' cursors, the signatures and the proofs, in one SQLite file (WAL).

Guarantees: an event and the cursor that goes with it are on disk (synchronous=FULL) before `append` returns, or neither is; events come back in the
order in which they were appended; each row carries a checksum and the number of the row before it, so a row that was changed, moved, or lost is
found at start and named, and so is a journal whose end was cut off; one process at a time holds the file; an older schema is brought up to date in
one transaction; a signature is kept once for all works that it covers; what is forgotten goes piece by piece, at a cost of what goes and not of
what stays. A full disk or one that became read-only raises JournalError and changes nothing; the journal goes on when that has passed.
It does not judge events: only what the pipeline accepted is appended. Whoever can write the file can forge it: the checksums
are against accidents.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from oracle import journal_rows as rows
from oracle.errors import JournalError
from oracle.pipeline import Attested, Event
from oracle.ports import Cursor, GroupAttestation
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import encode_endpoint
from oracle.protocol.types import Digest, Endpoint

SCHEMA_VERSION: Final = 3
MAX_SIGNATURES: Final = 1024
"""Signatures that are remembered while events are read, so that works share them in memory as they do in the file."""
_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, previous INTEGER NOT NULL, kind TEXT NOT NULL, work BLOB NOT NULL, reference BLOB, body TEXT NOT NULL,
    checksum BLOB NOT NULL
) STRICT;
CREATE INDEX events_work ON events (work);
CREATE INDEX events_reference ON events (reference) WHERE reference IS NOT NULL;
CREATE TABLE signatures (id BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE cursors (origin BLOB PRIMARY KEY, cursor INTEGER NOT NULL) STRICT;
CREATE TABLE proofs (id BLOB PRIMARY KEY, proof BLOB NOT NULL, seconds REAL) STRICT;
"""
_INSERT: Final = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"


class Journal:
    """An open journal. Calls block for as long as the disk needs; the node makes them from one thread of their own."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, mode 0600.

        Raises JournalError when it is in use by another process, not a journal, damaged, or of another version.
        """
        self.path = path
        self._last = 0
        with self._mapped():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        # No table at all: the file is new, or the process that made it died before it wrote any.
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            with self._transaction():
                self._create(_SCHEMA)
                self._set_meta("schema", str(SCHEMA_VERSION))
                self._set_meta("head", "0")
        (damage,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if damage != "ok":
            raise JournalError(self._damaged(str(damage)))
        version = self._meta("schema")
        if version in ("1", "2"):
            self._from_old_schema(version)
        elif version != str(SCHEMA_VERSION):
            raise JournalError(
                f"The journal {self.path} has schema {version}, this program writes {SCHEMA_VERSION}. "
                "Run the version of sibyl that wrote it, or move the file away to start afresh."
            )
        head = self._meta("head") or ""
        if not head.isdecimal():
            raise JournalError(self._damaged("it does not say how many events it has"))
        self._last = int(head)

    def _create(self, schema: str) -> None:
        for statement in schema.split(";")[:-1]:
            self._db.execute(statement)

    def _meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _from_old_schema(self, version: str) -> None:
        """Schemas 1 and 2 chained checksums, and kept a signature with each event; schema 1 had nothing that told of a lost end."""
        with self._transaction():
            events = list(self._old_events(version))
            for table in ("events", "signatures"):
                self._db.execute(f"DROP TABLE IF EXISTS {table}")
            kept = ("meta", "cursors", "proofs")
            self._create(
                ";".join(one for one in _SCHEMA.split(";") if not any(f"TABLE {name} " in one for name in kept))
            )
            last = self._insert(events, 0)
            self._set_meta("head", str(last))
            self._set_meta("schema", str(SCHEMA_VERSION))

    def _old_events(self, version: str) -> Iterator[Event]:
        last, checksum = b"", rows.checksum_of_schema_1 if version == "1" else rows.checksum_of_schema_2
        for number, kind, body, found in self._db.execute("SELECT id, kind, body, checksum FROM events ORDER BY id"):
            last = checksum(last, kind, body)
            if found != last:
                raise JournalError(self._damaged(f"event {number} has a wrong checksum"))
            try:
                yield rows.decode_old(kind, body)
            except (KeyError, ValueError, ProtocolError) as error:
                raise JournalError(self._damaged(f"event {number} cannot be read: {error}")) from error
        if version != "1" and last.hex() != self._meta("head"):
            raise JournalError(self._damaged("its last events are missing"))

    def _insert(self, events: Iterable[Event], last: int) -> int:
        """Write events, and the signatures that they name, after number `last`; the new last. Within a transaction of the caller."""
        written: dict[int, bytes] = {}
        """Signatures of this call, by identity: a batch's works share one object."""
        for event in events:
            if isinstance(event, Attested):
                reference = written.get(id(event.attestation))
                if reference is None:
                    data = rows.encode_signature(event.attestation)
                    reference = written[id(event.attestation)] = rows.signature_id(data)
                    self._db.execute("INSERT OR IGNORE INTO signatures VALUES (?, ?)", (reference, data))
            else:
                reference = rows.reference(event)
            number, kind, body = last + 1, type(event).__name__, rows.encode(event)
            check = rows.checksum(number, last, kind, event.work_id, reference, body)
            self._db.execute(_INSERT, (number, last, kind, event.work_id, reference, body, check))
            last = number
        return last

    def _damaged(self, how: str) -> str:
        return (
            f"The journal {self.path} is damaged ({how}). Restore it from a backup, or move it away: the node then reads "
            "both chains again from their beginning, and nothing is delivered twice because the chains remember."
        )

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """SQLite's and the file system's errors become JournalError."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise JournalError(
                    f"The journal {self.path} is in use by another process. Stop that node first."
                ) from error
            raise JournalError(
                f"The journal {self.path} cannot be used: {error}. Check the disk and its permissions."
            ) from error
        except sqlite3.DatabaseError as error:
            raise JournalError(self._damaged(str(error))) from error
        except OSError as error:
            raise JournalError(
                f"The journal {self.path} cannot be opened: {error.strerror}. Check the disk and its permissions."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # When the disk is full or fails SQLite may have rolled back by itself, also while it committed.
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            raise

    def identify(self, member: str, keys: Sequence[str] = ()) -> None:
        """Tie the file to one member, and to the group keys of its committee: it stays this member's while one key leads to the next.

        Raises JournalError when it belongs to another member, or to none of these keys.
        """
        identity = " ".join((member, *keys))
        with self._mapped():
            row = self._db.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()
            known = identity if row is None else str(row[0])
            before = known.removeprefix(member).split()
            same = known == member if not keys else bool(set(keys) & set(before))
            if not known.startswith(member) or not same:
                raise JournalError(
                    f"The journal {self.path} belongs to {known}, but this node is {identity}. "
                    "Use the journal of this node, or give it a new data directory."
                )
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('identity', ?)", (identity,))

    def replay(self) -> Iterator[Event]:
        """All events from the first on. Raises JournalError at the first row that is not what was written."""
        signatures: OrderedDict[bytes, GroupAttestation] = OrderedDict()

        def signature(reference: bytes) -> GroupAttestation:
            found = signatures.get(reference)
            if found is None:
                found = signatures[reference] = self._signature(reference)
                if len(signatures) > MAX_SIGNATURES:
                    signatures.popitem(last=False)
            return found

        last = 0
        with self._mapped():
            every = "SELECT id, previous, kind, work, reference, body, checksum FROM events ORDER BY id"
            for number, previous, kind, work, reference, body, found in self._db.execute(every):
                if found != rows.checksum(number, previous, kind, work, reference, body):
                    raise JournalError(self._damaged(f"event {number} has a wrong checksum"))
                if previous != last:
                    raise JournalError(self._damaged(f"event {previous} is missing before event {number}"))
                last = number
                try:
                    event = rows.decode(kind, work, reference, body, signature)
                except (KeyError, ValueError, ProtocolError) as error:
                    raise JournalError(self._damaged(f"event {number} cannot be read: {error}")) from error
                yield event
            if last != self._last:
                raise JournalError(self._damaged("its last events are missing"))

    def _signature(self, reference: bytes) -> GroupAttestation:
        """Raises ValueError when it is not what was written."""
        row = self._db.execute("SELECT body FROM signatures WHERE id = ?", (reference,)).fetchone()
        if row is None or rows.signature_id(row[0]) != reference:
            raise ValueError("its signature is missing or was changed")
        return rows.decode_signature(row[0])

    def append(self, events: tuple[Event, ...], cursor: tuple[Endpoint, Cursor] | None = None) -> None:
        """Write events, and a reader's new cursor, in one transaction. Raises JournalError; then nothing was written."""
        with self._mapped(), self._transaction():
            last = self._insert(events, self._last)
            self._set_meta("head", str(last))
            if cursor is not None:
                key = encode_endpoint(cursor[0])
                self._db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (key, cursor[1]))
        self._last = last

    def cursor(self, origin: Endpoint) -> Cursor:
        """Where the reader of `origin` goes on; 0 at first."""
        with self._mapped():
            row = self._db.execute("SELECT cursor FROM cursors WHERE origin = ?", (encode_endpoint(origin),)).fetchone()
        return Cursor(0 if row is None else row[0])

    def save_proof(self, proof: bytes, seconds: float | None = None) -> bytes:
        """Keep a proof by its keccak256, which is returned. `seconds`: how long this node took to make it."""
        proof_id = keccak256(proof)
        with self._mapped():
            self._db.execute("INSERT OR IGNORE INTO proofs VALUES (?, ?, ?)", (proof_id, proof, seconds))
        return proof_id

    def proof(self, proof_id: bytes) -> tuple[bytes, float | None]:
        """The proof with this keccak256 and the seconds that making it took here. Raises JournalError when it is not there."""
        with self._mapped():
            row = self._db.execute("SELECT proof, seconds FROM proofs WHERE id = ?", (proof_id,)).fetchone()
        if row is None:
            raise JournalError(f"The journal {self.path} holds no proof 0x{proof_id.hex()}.")
        return row[0], row[1]

    def forget(self, works: Iterable[Digest]) -> int:
        """Remove all events of these works, and the proofs and signatures that no event names any more; how many events went.

        In one transaction: after a crash all of it is there, or none. Raises JournalError.
        """
        gone: dict[int, tuple[int, bytes | None]] = {}
        with self._mapped(), self._transaction():
            for work in works:
                found = self._db.execute("SELECT id, previous, reference FROM events WHERE work = ?", (work,))
                gone |= {number: (previous, reference) for number, previous, reference in found}
            self._db.executemany("DELETE FROM events WHERE id = ?", [(number,) for number in gone])
            last = self._relink(gone)
            for reference in {reference for _, reference in gone.values() if reference is not None}:
                for table in ("proofs", "signatures"):
                    self._db.execute(
                        f"DELETE FROM {table} WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM events WHERE reference = ?1)",  # noqa: S608 - names of this file
                        (reference,),
                    )
        self._last = last
        return len(gone)

    def _relink(self, gone: dict[int, tuple[int, bytes | None]]) -> int:
        """Let the row after each run of removed ones name the row before it. The new last number."""
        last, run_begins = self._last, 0
        following = "SELECT id, kind, work, reference, body FROM events WHERE id > ? ORDER BY id LIMIT 1"
        numbers = sorted(gone)
        for number, next_gone in zip(numbers, [*numbers[1:], 0], strict=False):
            if gone[number][0] not in gone:
                run_begins = gone[number][0]
            if next_gone and gone[next_gone][0] == number:
                continue  # within a run
            row = self._db.execute(following, (number,)).fetchone()
            if row is None:
                last = run_begins
                continue
            after, kind, work, reference, body = row
            check = rows.checksum(after, run_begins, kind, work, reference, body)
            self._db.execute("UPDATE events SET previous = ?, checksum = ? WHERE id = ?", (run_begins, check, after))
        self._set_meta("head", str(last))
        return last

    def forget_unnamed_proofs(self) -> int:
        """Remove proofs that no event names, as a crash between keeping one and recording it leaves; how many. Not while a node runs."""
        with self._mapped(), self._transaction():
            unnamed = "DELETE FROM proofs WHERE id NOT IN (SELECT reference FROM events WHERE reference IS NOT NULL)"
            return self._db.execute(unnamed).rowcount

    def limit_pages(self, pages: int) -> None:
        """Let the file grow to at most `pages` SQLite pages (or what it has already); an append beyond that raises JournalError."""
        with self._mapped():
            self._db.execute(f"PRAGMA max_page_count = {int(pages)}")

    def close(self) -> None:
        """Release the file."""
        with self._mapped():
            self._db.close()
