"""`sibyl soak`: a devnet under random faults for some minutes, then the audit of every message."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oracle.app.logs import quiet_logs


def add_commands(app: typer.Typer, console: Console) -> None:
    """Add the command to `app`."""

    @app.command()
    def soak(
        minutes: Annotated[float, typer.Option(min=0.2, max=10_080, help="How long faults happen.")] = 2.0,
        seed: Annotated[
            int | None, typer.Option(help="Of the faults and the traffic; a random one unless given. It is printed.")
        ] = None,
        nodes: Annotated[int, typer.Option(min=4, max=7, help="Members of the committee.")] = 4,
        json_file: Annotated[Path | None, typer.Option("--json", help="Also write the report to this file.")] = None,
        keep: Annotated[
            Path | None,
            typer.Option(help="Keep the devnet's directory (logs, journals) here instead of a temporary one."),
        ] = None,
    ) -> None:
        """Let a devnet with traffic both ways suffer random faults, then check that nothing was lost, doubled or leaked."""
        from oracle.app.chaos.soak import Wanted
        from oracle.app.chaos.soak import soak as run
        from oracle.app.setup import run_setup

        quiet_logs()
        toolchain = run_setup(console)
        wanted = Wanted(60 * minutes, secrets.randbelow(1 << 32) if seed is None else seed, nodes, keep)
        console.print(f"seed {wanted.seed}", highlight=False)

        def tell(line: str) -> None:
            console.print(f"[dim]·[/] {line}", highlight=False)

        report = asyncio.run(run(toolchain, wanted, tell))
        console.print(report.table())
        if json_file is not None:
            json_file.write_text(report.to_json() + "\n")
        if not report.well:
            raise typer.Exit(1)
