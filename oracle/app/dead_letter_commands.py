"""`sibyl dead-letter list|retry|drop`: what a node gave up delivering, and what becomes of it.

For a node that runs they go over its control socket (`control`); for one that does not, to its journal, which nobody else can hold meanwhile.
"""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oracle.errors import ConfigError

Config = Annotated[Path, typer.Option(help="The node's configuration.")]
Digests = Annotated[list[str] | None, typer.Argument(help="Digests of dead letters, as the list shows them.")]
All = Annotated[bool, typer.Option("--all", help="Every dead letter that there is now.")]


def add_commands(app: typer.Typer, console: Console) -> None:
    """Put the commands on `sibyl dead-letter`."""

    @app.command("list")
    def dead_letter_list(config: Config = Path("node.toml")) -> None:
        """Show what this node gave up delivering, and why. What others deliver meanwhile leaves the list by itself."""
        _show(_do(_directory(config), "list", ()), console)

    @app.command("retry")
    def dead_letter_retry(digests: Digests = None, every: All = False, config: Config = Path("node.toml")) -> None:
        """Try again to deliver, with new patience."""
        _judge(_directory(config), "retry", digests, every, console)

    @app.command("drop")
    def dead_letter_drop(digests: Digests = None, every: All = False, config: Config = Path("node.toml")) -> None:
        """Never sign or deliver them again on this node. Others still may; a message that expires is still told to its sender."""
        _judge(_directory(config), "drop", digests, every, console)


def _directory(config: Path) -> Path:
    from oracle.config import load_config

    return load_config(config).data_dir


def _judge(directory: Path, verdict: str, digests: list[str] | None, every: bool, console: Console) -> None:
    if bool(digests) == every:
        raise ConfigError("Name digests of dead letters, or give --all.")
    named = tuple(digests or (letter["digest"] for letter in _do(directory, "list", ())))
    left = _do(directory, verdict, named) if named else []
    done = "are tried again" if verdict == "retry" else "are dropped"
    console.print(f"{len(named):,} {done}; {len(left):,} left.", highlight=False)


def _do(directory: Path, command: str, digests: tuple[str, ...]) -> list[dict[str, Any]]:
    """By the node if it runs, else on its journal; the letters that are dead then."""
    from oracle.app.control import call

    letters = asyncio.run(call(directory, command, digests))
    return _do_on_journal(directory / "journal.sqlite", command, digests) if letters is None else letters


def _do_on_journal(path: Path, command: str, digests: tuple[str, ...]) -> list[dict[str, Any]]:
    from oracle.app.control import parse_digest
    from oracle.journal import Journal
    from oracle.node.letters import Verdict, decide, described
    from oracle.pipeline import Millis, Pipeline

    if not path.is_file():
        raise ConfigError(f"There is no journal {path}; the node has never run.")
    journal, pipeline = Journal(path), Pipeline()
    try:
        for event in journal.replay():
            pipeline.apply(event)
        now = Millis(time.time_ns() // 1_000_000)
        # All of them are judged before any is written.
        decided = (
            [] if command == "list" else [decide(pipeline, parse_digest(one), Verdict(command), now) for one in digests]
        )
        for event in decided:
            if pipeline.preview(event) is not pipeline.work(event.work_id):
                journal.append((event,))
                pipeline.apply(event)
        return list(described(pipeline))
    finally:
        journal.close()


def _show(letters: list[dict[str, Any]], console: Console) -> None:
    if not letters:
        console.print("No dead letters.")
        return
    table = Table("given up", "from", "to", "digest", "reason", box=None, header_style="bold")
    for letter in letters:
        at = datetime.fromtimestamp(letter["at"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        times = f" ({letter['given_up']}×)" if letter["given_up"] > 1 else ""
        origin = f"{letter['origin']} #{letter['sequence']}"
        # The reason is a chain's own text: it must not be read as markup.
        table.add_row(at + times, origin, letter["destination"], letter["digest"], escape(letter["reason"]))
    console.print(table)
