"""The node's own figures are measured on what they say."""

from pathlib import Path

from oracle.app.figures import BOUNDS
from oracle.app.node_bench import BATCH, MESSAGES, REQUESTS, restart, seconds_of_a_look, write_journal
from oracle.journal import Journal
from oracle.pipeline import Pipeline, Stage


def test_write_journal__a_few_works__are_finished_and_read_by_a_restart(tmp_path: Path) -> None:
    works = 2 * BATCH
    count = write_journal(tmp_path / "j", works)
    assert restart(tmp_path / "j") == count
    pipeline = Pipeline()
    journal = Journal(tmp_path / "j")
    for event in journal.replay():
        pipeline.apply(event)
    journal.close()
    assert pipeline.stages() == {Stage.CONFIRMED: works}


def test_write_journal__as_the_benchmark_has_it__is_a_hundred_thousand_events(tmp_path: Path) -> None:
    works = 4 * BATCH
    events = write_journal(tmp_path / "j", works)
    whole = events * (MESSAGES + REQUESTS) // works
    assert 100_000 <= whole < 104_000


def test_seconds_of_a_look__is_not_nothing() -> None:
    assert seconds_of_a_look(10, 3) > 0
    assert BOUNDS["Restart to serving, 100,000 journalled events"].goal == 5.0
