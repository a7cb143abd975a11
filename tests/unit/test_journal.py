"""The journal keeps what it was given, in order, and says so when it cannot."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from oracle import journal_rows as rows
from oracle.errors import JournalError
from oracle.journal import Journal
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
    Pipeline,
    Proved,
    Retried,
    Vanished,
)
from oracle.ports import Cursor, GroupAttestation
from oracle.protocol.message import Outcome, encode_endpoint
from oracle.protocol.types import CommitteeEpoch, Digest, Status
from tests.support.samples import EVM, evm_request, plain_message, rotation_post


def history() -> tuple[Event, ...]:
    """Every kind of event, as a real request and an expired one make them."""
    request, other = evm_request(sequence=1), evm_request(sequence=2)
    outcome = Outcome(Status.ANSWERED, (-5,), 13)
    events: list[Event] = [
        Observed(request, Millis(1)),
        Inferred(request.digest, outcome, Millis(2)),
        Proved(request.digest, b"p" * 32, 3, Millis(3)),
    ]
    pipeline = Pipeline()
    for event in events:
        pipeline.apply(event)
    work = pipeline.work(request.digest)
    assert work is not None
    signed = GroupAttestation(CommitteeEpoch(1), b"s" * 65, work.to_sign)
    events += [Attested(request.digest, signed, Millis(4)), Outdated(request.digest, signed.epoch, Millis(4))]
    events.append(Attested(request.digest, signed, Millis(4)))
    for digest in work.deliverables:
        events += [Delivered(request.digest, digest, Millis(5)), Vanished(request.digest, digest, Millis(5))]
        events += [Confirmed(request.digest, digest, Millis(6))]
    expiring, rotation = plain_message(sequence=4, expiry=9), rotation_post(sequence=5)
    events += [Observed(expiring, Millis(7)), Lapsed(expiring.digest, Millis(10_000))]
    events += [Observed(rotation, Millis(7)), Approved(rotation.digest, Millis(8))]
    events += [
        Observed(plain_message(sequence=3), Millis(7)),
        DeadLettered(
            plain_message(sequence=3).digest, plain_message(sequence=3).digest, 1, "It is refused.", Millis(8)
        ),
        Retried(plain_message(sequence=3).digest, plain_message(sequence=3).digest, 1, Millis(9)),
        DeadLettered(plain_message(sequence=3).digest, plain_message(sequence=3).digest, 2, "Again.", Millis(10)),
        Dropped(plain_message(sequence=3).digest, plain_message(sequence=3).digest, 2, Millis(11)),
        Observed(other, Millis(8)),
        Expired(other.digest, Millis(9)),
    ]
    return tuple(events)


def test_journal__every_kind_of_event__comes_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    for event in history():
        journal.append((event,))
    journal.close()
    assert tuple(Journal(tmp_path / "journal.sqlite").replay()) == history()


def test_journal__append_after_replay__continues_the_checksums(tmp_path: Path) -> None:
    first = Journal(tmp_path / "j")
    first.append(history()[:3])
    first.close()
    second = Journal(tmp_path / "j")
    list(second.replay())
    second.append(history()[3:])
    second.close()
    assert tuple(Journal(tmp_path / "j").replay()) == history()


def test_journal__new_file__is_private(tmp_path: Path) -> None:
    Journal(tmp_path / "j")
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_journal__cursor__is_written_with_its_events(tmp_path: Path) -> None:
    origin = plain_message(sequence=1).origin
    journal = Journal(tmp_path / "j")
    assert journal.cursor(origin) == 0
    journal.append(history()[:1], (origin, Cursor(17)))
    journal.append((), (origin, Cursor(18)))
    journal.close()
    assert Journal(tmp_path / "j").cursor(origin) == 18


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET body = replace(body, '\"at\":2', '\"at\":3') WHERE id = 2",
        "UPDATE events SET work = zeroblob(32) WHERE id = 3",
        "UPDATE events SET reference = zeroblob(32) WHERE id = 3",
        "UPDATE events SET reference = NULL WHERE id = 3",
        "UPDATE events SET previous = 1 WHERE id = 3",
        "DELETE FROM events WHERE id = 1",
        "DELETE FROM signatures",
        "UPDATE signatures SET body = zeroblob(200)",
        "DELETE FROM events WHERE id = 2",
        "UPDATE events SET id = 100 WHERE id = 1",
        "UPDATE events SET kind = 'Expired' WHERE id = 4",
    ],
)
def test_journal__row_changed_lost_or_moved__is_named(tmp_path: Path, damage: str) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(history())
    journal.close()
    with sqlite3.connect(tmp_path / "j") as db:
        assert db.execute(damage).rowcount == 1
    db.close()
    with pytest.raises(JournalError, match=r"damaged .*event"):
        list(Journal(tmp_path / "j").replay())


def test_journal__not_a_database__says_so(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"not a database" * 100)
    with pytest.raises(JournalError, match="damaged"):
        Journal(tmp_path / "j")


def test_journal__truncated_file__says_so(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(history())
    journal.close()
    data = (tmp_path / "j").read_bytes()
    (tmp_path / "j").write_bytes(data[: len(data) // 2])
    with pytest.raises(JournalError, match="damaged"):
        list(Journal(tmp_path / "j").replay())


def test_journal__already_open__names_the_other_process(tmp_path: Path) -> None:
    held = Journal(tmp_path / "j")
    held.append(history()[:1])
    with pytest.raises(JournalError, match="in use by another process"):
        Journal(tmp_path / "j")


def test_journal__other_schema__names_both_versions(tmp_path: Path) -> None:
    Journal(tmp_path / "j").close()
    with sqlite3.connect(tmp_path / "j") as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    db.close()
    with pytest.raises(JournalError, match="schema 99, this program writes 3"):
        Journal(tmp_path / "j")


def test_journal__journal_of_another_member__is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.identify("member 1")
    journal.identify("member 1")
    with pytest.raises(JournalError, match="belongs to member 1, but this node is member 2"):
        journal.identify("member 2")


def test_journal__directory_cannot_be_made__says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(tmp_path / "file" / "j")


def test_journal__disk_full__writes_nothing_and_goes_on_later(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(history()[:2])
    journal.limit_pages(1)
    origin = plain_message(sequence=1).origin
    many = tuple(Observed(plain_message(sequence=n, payload=b"x" * 4000), Millis(9)) for n in range(1, 20))
    with pytest.raises(JournalError, match="full"):
        journal.append(many, (origin, Cursor(5)))
    journal.limit_pages(1 << 30)
    assert journal.cursor(origin) == 0
    journal.append(history()[2:3])
    journal.close()
    assert tuple(Journal(tmp_path / "j").replay()) == history()[:3]


def test_journal__proof__is_kept_by_its_hash(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    proof_id = journal.save_proof(b"proof", 1.5)
    assert journal.save_proof(b"proof") == proof_id
    assert journal.proof(proof_id) == (b"proof", 1.5)
    with pytest.raises(JournalError, match="holds no proof"):
        journal.proof(b"x" * 32)


def test_journal__every_kind_of_event_there_is__is_in_the_history() -> None:
    assert {type(event) for event in history()} == set(Event.__args__)


def test_journal__end_cut_off__is_noticed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(history())
    journal.close()
    with sqlite3.connect(tmp_path / "j") as db:
        db.execute("DELETE FROM events WHERE id = (SELECT max(id) FROM events)")
    db.close()
    with pytest.raises(JournalError, match="last events are missing"):
        list(Journal(tmp_path / "j").replay())


OLD_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, checksum BLOB NOT NULL) STRICT;
CREATE TABLE cursors (origin BLOB PRIMARY KEY, cursor INTEGER NOT NULL) STRICT;
CREATE TABLE proofs (id BLOB PRIMARY KEY, proof BLOB NOT NULL, seconds REAL) STRICT;
"""


def old_body(event: Event) -> str:
    """As schemas 1 and 2 wrote it: the message, the proof's hash and the whole signature in each row."""
    row = json.loads(rows.encode(event))
    if not isinstance(event, Observed):
        row["work"] = event.work_id.hex()
    if isinstance(event, Proved):
        row["proof"] = event.proof_id.hex()
    if isinstance(event, Attested):
        signed = event.attestation
        row |= {
            "epoch": signed.epoch,
            "signature": signed.signature.hex(),
            "digests": [d.hex() for d in signed.digests],
        }
    return json.dumps(row, separators=(",", ":"))


def old_journal(path: Path, schema: int, damage: str = "") -> None:
    """A file as an older schema wrote it."""
    checksum = rows.checksum_of_schema_1 if schema == 1 else rows.checksum_of_schema_2
    path.touch(mode=0o600)
    with sqlite3.connect(path) as db:
        db.executescript(OLD_SCHEMA)
        last = b""
        for event in history():
            last = checksum(last, type(event).__name__, old_body(event))
            row = (type(event).__name__, old_body(event), last)
            db.execute("INSERT INTO events (kind, body, checksum) VALUES (?, ?, ?)", row)
        db.execute("INSERT INTO meta VALUES ('schema', ?)", (str(schema),))
        if schema > 1:
            db.execute("INSERT INTO meta VALUES ('head', ?)", (last.hex(),))
        db.execute("INSERT INTO cursors VALUES (?, 7)", (encode_endpoint(EVM),))
        if damage:
            assert db.execute(damage).rowcount
    db.close()


@pytest.mark.parametrize("schema", [1, 2])
def test_journal__file_of_an_older_schema__is_brought_up_to_date_and_goes_on(tmp_path: Path, schema: int) -> None:
    old_journal(tmp_path / "j", schema)
    journal = Journal(tmp_path / "j")
    assert tuple(journal.replay()) == history()
    assert journal.cursor(EVM) == 7
    more = Observed(plain_message(sequence=77), Millis(99))
    journal.append((more,))
    journal.close()
    assert tuple(Journal(tmp_path / "j").replay()) == (*history(), more)


@pytest.mark.parametrize("schema", [1, 2])
def test_journal__damaged_file_of_an_older_schema__is_refused_and_left_as_it_was(tmp_path: Path, schema: int) -> None:
    old_journal(tmp_path / "j", schema, "UPDATE events SET body = replace(body, '2', '3') WHERE id = 2")
    for _ in range(2):
        with pytest.raises(JournalError, match="event 2 has a wrong checksum"):
            Journal(tmp_path / "j")


def test_journal__end_of_a_file_of_schema_2_cut_off__is_noticed(tmp_path: Path) -> None:
    old_journal(tmp_path / "j", 2, "DELETE FROM events WHERE id = (SELECT max(id) FROM events)")
    with pytest.raises(JournalError, match="last events are missing"):
        Journal(tmp_path / "j")


def test_journal__signature_over_a_batch__is_kept_once_and_shared_by_its_works(tmp_path: Path) -> None:
    messages = [plain_message(sequence=number) for number in range(1, 65)]
    signed = GroupAttestation(CommitteeEpoch(1), b"s" * 65, tuple(message.digest for message in messages))
    journal = Journal(tmp_path / "j")
    for message in messages:
        journal.append((Observed(message, Millis(1)),))
        journal.append((Attested(message.digest, signed, Millis(2)),))
    assert journal._db.execute("SELECT count(*) FROM signatures").fetchone() == (1,)
    found = [event.attestation for event in journal.replay() if isinstance(event, Attested)]
    assert len(found) == 64
    assert all(one is found[0] for one in found)
    assert found[0] == signed
    assert journal.forget([message.digest for message in messages[:63]]) == 126
    assert [event.attestation for event in journal.replay() if isinstance(event, Attested)] == [signed]
    journal.forget([messages[63].digest])
    assert journal._db.execute("SELECT count(*) FROM signatures").fetchone() == (0,)


def test_journal__forgotten_in_any_order__the_rest_replays_and_is_still_checked(tmp_path: Path) -> None:
    generator = random.Random(7)
    messages = [plain_message(sequence=number) for number in range(1, 41)]
    events: list[Event] = [Observed(message, Millis(1)) for message in messages]
    for kind in (Delivered, Confirmed):
        generator.shuffle(messages)
        events += [kind(message.digest, message.digest, Millis(2)) for message in messages]
    journal = Journal(tmp_path / "j")
    journal.append(tuple(events))
    while messages:
        gone = {messages.pop().digest for _ in range(min(len(messages), generator.randint(1, 6)))}
        before = len(events)
        events = [event for event in events if event.work_id not in gone]
        assert journal.forget(gone) == before - len(events)
        assert list(journal.replay()) == events
        more = Observed(plain_message(sequence=100 + len(messages)), Millis(3))
        journal.append((more,))
        events.append(more)
        journal.close()
        journal = Journal(tmp_path / "j")
        assert list(journal.replay()) == events
    with closing(journal):
        journal._db.execute("DELETE FROM events WHERE id = (SELECT min(id) FROM events)")
        with pytest.raises(JournalError, match="is missing before"):
            list(journal.replay())


def test_journal__proof_that_two_works_name__stays_until_both_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    proof = journal.save_proof(b"proof of both")
    requests = [evm_request(sequence=1), evm_request(sequence=2)]
    for request in requests:
        outcome = Outcome(Status.ANSWERED, (-5,), 13)
        journal.append((Observed(request, Millis(1)), Inferred(request.digest, outcome, Millis(2))))
        journal.append((Proved(request.digest, proof, 1, Millis(3)),))
    journal.forget([requests[0].digest])
    assert journal.proof(proof)[0] == b"proof of both"
    journal.forget([requests[1].digest])
    with pytest.raises(JournalError, match="holds no proof"):
        journal.proof(proof)


def test_journal__proof_kept_and_not_yet_recorded__is_not_forgotten_while_the_node_runs(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    message = plain_message()
    journal.append((Observed(message, Millis(1)),))
    proof = journal.save_proof(b"on its way")
    journal.forget([message.digest])
    assert journal.proof(proof)[0] == b"on its way"
    assert journal.forget_unnamed_proofs() == 1


def test_journal__forgotten_works__are_gone_with_their_proofs_and_the_rest_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    one, other = evm_request(sequence=1), evm_request(sequence=2)
    proofs = [journal.save_proof(b"proof of one"), journal.save_proof(b"proof of the other")]
    outcome = Outcome(Status.ANSWERED, (-5,), 13)
    events: dict[Digest, list[Event]] = {}
    for request, proof in zip((one, other), proofs, strict=True):
        events[request.digest] = [
            Observed(request, Millis(1)),
            Inferred(request.digest, outcome, Millis(2)),
            Proved(request.digest, proof, 1, Millis(3)),
        ]
    # As they come: one after the other, not one work after the other.
    for pair in zip(*events.values(), strict=True):
        journal.append(pair)
    assert journal.forget([one.digest]) == 3
    assert journal.forget([one.digest]) == 0
    assert journal.proof(proofs[1])[0] == b"proof of the other"
    with pytest.raises(JournalError):
        journal.proof(proofs[0])
    later = Observed(plain_message(sequence=9), Millis(4))
    journal.append((later,))
    journal.close()
    assert tuple(Journal(tmp_path / "j").replay()) == (*events[other.digest], later)


def test_journal__crash_while_it_forgets__nothing_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(history())
    full = plain_message(sequence=3)

    class Killed(BaseException):
        pass

    def die(_: object) -> None:
        assert journal._db.execute("SELECT count(*) FROM events").fetchone()[0] < len(history())
        raise Killed

    monkeypatch.setattr(journal, "_relink", die)
    with pytest.raises(Killed):
        journal.forget([full.digest])
    journal.close()
    assert tuple(Journal(tmp_path / "j").replay()) == history()
