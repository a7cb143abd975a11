"""`sibyl journal`, on journals as nodes write them."""

import io
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from oracle.app.cli import app
from oracle.app.journal_tools import compact, export, verify
from oracle.errors import ConfigError, JournalError
from oracle.journal import Journal
from oracle.pipeline import Confirmed, Lapsed, Millis, Observed
from tests.support.samples import plain_message

DAY = 86_400_000
DONE, OPEN, GONE = plain_message(sequence=1), plain_message(sequence=2), plain_message(sequence=3, expiry=5)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    written = Journal(tmp_path / "journal.sqlite")
    written.append((Observed(DONE, Millis(DAY)), Observed(OPEN, Millis(DAY)), Observed(GONE, Millis(DAY))))
    written.append((Confirmed(DONE.digest, DONE.digest, Millis(DAY + 1)), Lapsed(GONE.digest, Millis(DAY + 2))))
    written.close()
    return written.path


def test_verify__whole_journal__says_what_it_holds(journal: Path) -> None:
    told = io.StringIO()
    verify(journal, Console(file=told, width=120))
    assert "The journal is whole. Messages: 1 confirmed, 2 observed." in told.getvalue()


def test_verify__changed_event__is_an_error(journal: Path) -> None:
    with sqlite3.connect(journal) as db:
        db.execute("UPDATE events SET kind = 'Expired' WHERE id = 4")
    db.close()
    with pytest.raises(JournalError, match="event 4 has a wrong checksum"):
        verify(journal, Console(file=io.StringIO()))


def test_export__every_message__is_a_line_of_json(journal: Path) -> None:
    output = io.StringIO()
    assert export(journal, output) == 3
    rows = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [row["id"] for row in rows] == ["0x" + one.digest.hex() for one in (DONE, OPEN, GONE)]
    assert [(row["stage"], row["lapsed"]) for row in rows] == [
        ("confirmed", False),
        ("observed", False),
        ("observed", True),
    ]


def test_compact__finished_and_old__is_forgotten(journal: Path) -> None:
    def at(days: float) -> datetime:
        return datetime.fromtimestamp(days * 86_400, UTC)

    assert compact(journal, 30, at(20)) == (0, 0)
    assert compact(journal, 30, at(32)) == (1, 2)
    reopened = Journal(journal)
    assert [event.work_id for event in reopened.replay()] == [OPEN.digest, GONE.digest, GONE.digest]
    reopened.close()


def test_journal__no_such_file__is_not_created(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no journal"):
        verify(tmp_path / "nothing", Console(file=io.StringIO()))
    assert not (tmp_path / "nothing").exists()


def test_cli__journal_commands__work_on_a_file(journal: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert "is whole" in run(app, ["journal", "verify", str(journal)]).output
    exported = tmp_path / "out.jsonl"
    assert run(app, ["journal", "export", str(journal), "--output", str(exported)]).exit_code == 0
    assert len(exported.read_text().splitlines()) == 3
    assert "1 messages forgotten" in run(app, ["journal", "compact", str(journal), "--days", "1"]).output
