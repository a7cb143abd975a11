"""Looks at a node's journal while the node is stopped: whether it is whole, what it holds, and what is long over."""

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from oracle.errors import ConfigError
from oracle.journal import Journal
from oracle.node.status import describe
from oracle.pipeline import Millis, Pipeline

CHUNK = 1000
"""Works that are forgotten in one transaction."""


def _open(path: Path) -> Journal:
    if not path.is_file():
        raise ConfigError(f"There is no journal {path}. Name the journal.sqlite in the node's data directory.")
    return Journal(path)


def _replayed(journal: Journal) -> tuple[Pipeline, Counter[str]]:
    pipeline, kinds = Pipeline(), Counter[str]()
    for event in journal.replay():
        pipeline.apply(event)
        kinds[type(event).__name__] += 1
    return pipeline, kinds


def verify(path: Path, console: Console) -> None:
    """Replay the whole journal and say what it holds. Raises JournalError at the first thing that is wrong."""
    journal = _open(path)
    try:
        pipeline, kinds = _replayed(journal)
    finally:
        journal.close()
    table = Table("event", "count", box=None, header_style="bold")
    for kind, count in kinds.items():
        table.add_row(kind, f"{count:,}")
    console.print(table)
    stages = Counter(work.stage.value for work in pipeline.works())
    told = ", ".join(f"{count:,} {stage}" for stage, count in stages.items()) or "none"
    console.print(f"The journal is whole. Messages: {told}.", highlight=False)


def export(path: Path, output: TextIO) -> int:
    """Write every message that the journal knows as one line of JSON, as a node's status port shows it; how many."""
    journal = _open(path)
    try:
        pipeline, _ = _replayed(journal)
    finally:
        journal.close()
    works = tuple(pipeline.works())
    for work in works:
        output.write(json.dumps(describe(work, None, {}), separators=(",", ":")) + "\n")
    return len(works)


def compact(path: Path, days: float, now: datetime) -> tuple[int, int]:
    """Forget messages that are finished and were observed more than `days` ago; (messages, events) that went."""
    moment = Millis(int((now - timedelta(days=days)).timestamp() * 1000))
    journal = _open(path)
    try:
        pipeline, _ = _replayed(journal)
        over = pipeline.finished_before(moment)
        removed = sum(journal.forget(over[start : start + CHUNK]) for start in range(0, len(over), CHUNK))
        journal.forget_unnamed_proofs()
        return len(over), removed
    finally:
        journal.close()
