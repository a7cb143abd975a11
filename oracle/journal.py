"""The journal: every event of the pipeline, the readers' cursors and the proofs, in one SQLite file (WAL).

Guarantees: an event and the cursor that goes with it are on disk (synchronous=FULL) before `append` returns, or neither is; events come back in the
order in which they were appended; each row carries a chained checksum, so a row that was changed, reordered, or lost before another is found at
start and named, and so is a journal whose end was cut off; one process at a time holds the file; a file of an older schema is brought up to date in
one transaction. It does not judge events: only what the pipeline accepted is appended. Whoever can write the file can forge it: the checksums
are against accidents.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypedDict

from oracle.errors import JournalError
from oracle.pipeline import (
    Approved,
    Attested,
    Confirmed,
    DeadLettered,
    Delivered,
    Dropped,
    Event,
    Expired,
    Inferred,
    Lapsed,
    Millis,
    Observed,
    Outdated,
    Proved,
    Retried,
    Vanished,
)
from oracle.ports import Cursor, GroupAttestation
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import Message, Outcome, encode_endpoint
from oracle.protocol.types import CommitteeEpoch, Digest, Endpoint, Status

SCHEMA_VERSION: Final = 2
_CHECK_SIZE: Final = 8
_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, checksum BLOB NOT NULL) STRICT;
CREATE TABLE cursors (origin BLOB PRIMARY KEY, cursor INTEGER NOT NULL) STRICT;
CREATE TABLE proofs (id BLOB PRIMARY KEY, proof BLOB NOT NULL, seconds REAL) STRICT;
"""


class _Row(TypedDict, total=False):
    """JSON form of any event; which keys are there depends on its kind."""

    work: str
    at: int
    body: str
    status: int
    outputs: list[int]
    output_scale: int
    proof: str
    prover: int
    epoch: int
    signature: str
    digests: list[str]
    digest: str
    number: int
    reason: str


def _encode(event: Event) -> _Row:
    row: _Row = {"at": event.at}
    if not isinstance(event, Observed):
        row["work"] = event.work_id.hex()
    match event:
        case Observed(message=message):
            row["body"] = message.to_bytes().hex()
        case Inferred(outcome=outcome):
            row |= {"status": outcome.status, "outputs": list(outcome.outputs), "output_scale": outcome.output_scale}
        case Proved(proof_id=proof_id, prover=prover):
            row |= {"proof": proof_id.hex(), "prover": prover}
        case Attested(attestation=attestation):
            row |= {"epoch": attestation.epoch, "signature": attestation.signature.hex()}
            row["digests"] = [digest.hex() for digest in attestation.digests]
        case Outdated(epoch=epoch):
            row["epoch"] = epoch
        case Delivered(digest=digest) | Confirmed(digest=digest) | Vanished(digest=digest):
            row["digest"] = digest.hex()
        case DeadLettered(digest=digest, number=number, reason=reason):
            row |= {"digest": digest.hex(), "number": number, "reason": reason}
        case Retried(digest=digest, number=number) | Dropped(digest=digest, number=number):
            row |= {"digest": digest.hex(), "number": number}
        case Expired() | Approved() | Lapsed():
            pass
    return row


def _digest(row: _Row) -> Digest:
    return Digest(bytes.fromhex(row["digest"]))


def _attestation(row: _Row) -> GroupAttestation:
    digests = tuple(Digest(bytes.fromhex(digest)) for digest in row["digests"])
    return GroupAttestation(CommitteeEpoch(row["epoch"]), bytes.fromhex(row["signature"]), digests)


_DECODERS: Final[dict[str, Callable[[Digest, Millis, _Row], Event]]] = {
    "Inferred": lambda work, at, row: Inferred(
        work, Outcome(Status(row["status"]), tuple(row["outputs"]), row["output_scale"]), at
    ),
    "Proved": lambda work, at, row: Proved(work, bytes.fromhex(row["proof"]), row["prover"], at),
    "Attested": lambda work, at, row: Attested(work, _attestation(row), at),
    "Outdated": lambda work, at, row: Outdated(work, CommitteeEpoch(row["epoch"]), at),
    "Delivered": lambda work, at, row: Delivered(work, _digest(row), at),
    "Confirmed": lambda work, at, row: Confirmed(work, _digest(row), at),
    "Vanished": lambda work, at, row: Vanished(work, _digest(row), at),
    "DeadLettered": lambda work, at, row: DeadLettered(work, _digest(row), row["number"], row["reason"], at),
    "Retried": lambda work, at, row: Retried(work, _digest(row), row["number"], at),
    "Dropped": lambda work, at, row: Dropped(work, _digest(row), row["number"], at),
    "Expired": lambda work, at, row: Expired(work, at),
    "Approved": lambda work, at, row: Approved(work, at),
    "Lapsed": lambda work, at, row: Lapsed(work, at),
}


def _decode(kind: str, row: _Row) -> Event:
    at = Millis(row["at"])
    if kind == "Observed":
        return Observed(Message.from_bytes(bytes.fromhex(row["body"])), at)
    return _DECODERS[kind](Digest(bytes.fromhex(row["work"])), at, row)


Checksum = Callable[[bytes, str, str], bytes]
"""`(the row before's, kind, body)` to 8 bytes."""


def _checksum(previous: bytes, kind: str, body: str) -> bytes:
    return hashlib.blake2b(b"".join((previous, kind.encode(), b"\0", body.encode())), digest_size=_CHECK_SIZE).digest()


def _checksum_of_schema_1(previous: bytes, kind: str, body: str) -> bytes:
    return keccak256(previous, kind.encode(), b"\0", body.encode())[:_CHECK_SIZE]


class Journal:
    """An open journal. Calls block for as long as the disk needs; the node makes them from one thread of their own."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, mode 0600.

        Raises JournalError when it is in use by another process, not a journal, damaged, or of another version.
        """
        self.path = path
        self._last = b""
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
                for statement in _SCHEMA.split(";")[:-1]:
                    self._db.execute(statement)
                self._set_meta("schema", str(SCHEMA_VERSION))
                self._set_meta("head", "")
        (damage,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if damage != "ok":
            raise JournalError(self._damaged(str(damage)))
        version = self._meta("schema")
        if version == "1":
            self._from_schema_1()
        elif version != str(SCHEMA_VERSION):
            raise JournalError(
                f"The journal {self.path} has schema {version}, this program writes {SCHEMA_VERSION}. "
                "Run the version of sibyl that wrote it, or move the file away to start afresh."
            )

    def _meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set_meta(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _from_schema_1(self) -> None:
        """Schema 1 had slower checksums, and nothing that told of a lost end."""
        with self._transaction():
            self._rewrite(list(self._rows(_checksum_of_schema_1)))
            self._set_meta("schema", str(SCHEMA_VERSION))

    def _rows(self, checksum: Checksum) -> Iterator[tuple[int, str, str]]:
        """(number, kind, body) of every event. Raises JournalError at the first whose checksum is wrong."""
        last = b""
        for number, kind, body, found in self._db.execute("SELECT id, kind, body, checksum FROM events ORDER BY id"):
            last = checksum(last, kind, body)
            if found != last:
                raise JournalError(self._damaged(f"event {number} has a wrong checksum"))
            yield number, kind, body
        self._last = last

    def _rewrite(self, rows: list[tuple[int, str, str]]) -> None:
        """Make these all the events there are, within a transaction of the caller."""
        last, checked = b"", []
        for number, kind, body in rows:
            last = _checksum(last, kind, body)
            checked.append((number, kind, body, last))
        self._db.execute("DELETE FROM events")
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", checked)
        self._set_meta("head", last.hex())
        self._last = last

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
            raise JournalError(f"The journal {self.path} cannot be opened: {error}.") from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

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
        with self._mapped():
            for number, kind, body in self._rows(_checksum):
                yield self._decoded(number, kind, body)
            if self._last.hex() != self._meta("head"):
                raise JournalError(self._damaged("its last events are missing"))

    def _decoded(self, number: int, kind: str, body: str) -> Event:
        try:
            return _decode(kind, json.loads(body))
        except (KeyError, ValueError, ProtocolError) as error:
            raise JournalError(self._damaged(f"event {number} cannot be read: {error}")) from error

    def append(self, events: tuple[Event, ...], cursor: tuple[Endpoint, Cursor] | None = None) -> None:
        """Write events, and a reader's new cursor, in one transaction. Raises JournalError; then nothing was written."""
        last = self._last
        rows = []
        for event in events:
            kind, body = type(event).__name__, json.dumps(_encode(event), separators=(",", ":"))
            last = _checksum(last, kind, body)
            rows.append((kind, body, last))
        with self._mapped(), self._transaction():
            self._db.executemany("INSERT INTO events (kind, body, checksum) VALUES (?, ?, ?)", rows)
            self._set_meta("head", last.hex())
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

    def forget(self, works: Collection[Digest]) -> int:
        """Remove all events of these works, and proofs that no event names any more; how many events went.

        In one transaction: after a crash all of it is there, or none. Raises JournalError.
        """
        forgotten = frozenset(works)
        with self._mapped(), self._transaction():
            kept, proofs, gone = [], set(), 0
            for number, kind, body in self._rows(_checksum):
                event = self._decoded(number, kind, body)
                if event.work_id in forgotten:
                    gone += 1
                    continue
                kept.append((number, kind, body))
                if isinstance(event, Proved):
                    proofs.add(event.proof_id)
            if gone:
                self._rewrite(kept)
                every = [row[0] for row in self._db.execute("SELECT id FROM proofs")]
                self._db.executemany("DELETE FROM proofs WHERE id = ?", [(one,) for one in every if one not in proofs])
        return gone

    def limit_pages(self, pages: int) -> None:
        """Let the file grow to at most `pages` SQLite pages (or what it has already); an append beyond that raises JournalError."""
        with self._mapped():
            self._db.execute(f"PRAGMA max_page_count = {int(pages)}")

    def close(self) -> None:
        """Release the file."""
        with self._mapped():
            self._db.close()
