"""`sibyl journal …`: the commands on a stopped node's journal. What they do is in `journal_tools`; this parses."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oracle.errors import ConfigError

JournalPath = Annotated[Path, typer.Argument(help="journal.sqlite in the node's data directory; the node is stopped.")]
Output = Annotated[Path | None, typer.Option(help="File to write; standard output unless given.")]
Days = Annotated[float, typer.Option(min=0, help="Keep what was observed within so many days.")]


def add_commands(app: typer.Typer, console: Console) -> None:
    """Put the commands on `sibyl journal`."""

    @app.command("verify")
    def journal_verify(journal: JournalPath) -> None:
        """Read a stopped node's whole journal and say whether anything is missing or changed."""
        from oracle.app.journal_tools import verify

        verify(journal, console)

    @app.command("export")
    def journal_export(journal: JournalPath, output: Output = None) -> None:
        """Write every message that a stopped node knows, with what became of it, as a line of JSON each."""
        from oracle.app.journal_tools import export

        if output is None:
            export(journal, sys.stdout)
            return
        try:
            with output.open("x") as file:
                count = export(journal, file)
        except OSError as error:
            raise ConfigError(f"{output} cannot be written: {error.strerror}.") from error
        console.print(f"{count:,} messages written to {output}.", highlight=False)

    @app.command("compact")
    def journal_compact(journal: JournalPath, days: Days = 30.0) -> None:
        """Forget messages that are delivered and final, or closed, for so many days. The chains remember them."""
        from oracle.app.journal_tools import compact

        messages, events = compact(journal, days, datetime.now(UTC))
        console.print(f"{messages:,} messages forgotten, {events:,} events removed.", highlight=False)
