"""`sibyl srs …`: reference strings of circuits, fetched from a ceremony and checked, or made here for a devnet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from circuits.srs.check import SAMPLES, SrsReport, check_srs
from oracle.app.devnet_mark import chains_of
from oracle.errors import ConfigError
from oracle.protocol.errors import EncodeError
from oracle.protocol.types import Chain

DEVNET = "eip155:31337"


def parse_chain(text: str) -> Chain:
    """An EVM chain by its CAIP-2 name, such as eip155:1. Raises ConfigError."""
    kind, _, reference = text.partition(":")
    try:
        if kind == "eip155" and reference.isascii() and reference.isdigit():
            return Chain.evm(int(reference))
    except EncodeError as error:
        raise ConfigError(f"--chain {text}: {error}") from error
    raise ConfigError(
        f"--chain takes an EVM chain as eip155:31337, not “{text}”. For a Solana cluster name the node's configuration with --config."
    )


def add_commands(app: typer.Typer, console: Console) -> None:
    """Add the commands to `app`."""

    @app.command()
    def fetch(
        k: Annotated[int, typer.Option(help="Circuits of up to 2^k rows; `sibyl model list` shows a model's k.")],
        source: Annotated[
            str,
            typer.Option(
                "--from",
                help="A folder or http(s) URL that holds kzg{k}.srs; with “{k}” in it a file of any name; or a local file for a larger k.",
            ),
        ],
        out: Annotated[Path | None, typer.Option(help="Directory for the file; the cache by default.")] = None,
    ) -> None:
        """Bring the ceremony's file for k, and believe it only by its published hash. Goes on where an earlier try ended.

        A model's id depends on its reference string: one that was compiled under a devnet's has another id under the ceremony's.
        """
        from circuits.srs.acquire import fetch_srs

        with _bar(console) as bar:
            task = bar.add_task("", total=None, visible=False)
            report = fetch_srs(
                k,
                source,
                out,
                progress=lambda line: console.print(line, markup=False, highlight=False),
                arrived=lambda done, size: bar.update(task, completed=done, total=size, visible=True),
            )
        _show(console, report)
        _say_ids(console)

    @app.command()
    def check(
        file: Annotated[Path, typer.Argument(help="An SRS file, such as kzg9.srs. It is only read.")],
        full: Annotated[
            bool, typer.Option("--full", help="Check every point's relation to the others, not a random sample.")
        ] = False,
        ceremony: Annotated[
            bool, typer.Option("--ceremony", help="Exit status 1 unless it is a ceremony's published file.")
        ] = False,
    ) -> None:
        """Say what a file is: which k, whether its points are powers of one secret, and whether a ceremony made it."""
        with console.status("checking …") as status:
            report = check_srs(
                file, samples=None if full else SAMPLES, progress=lambda line: status.update(f"{line} …")
            )
        _show(console, report)
        if ceremony and report.devnet_only:
            raise ConfigError(f"{file} is no published file of the ceremony: whoever made it can forge proofs.")

    @app.command()
    def generate(
        k: Annotated[int, typer.Option(help="Circuits of up to 2^k rows.")],
        chain: Annotated[
            list[str] | None,
            typer.Option(help=f"EVM chain on which its models will be used; may be given again. {DEVNET} by default."),
        ] = None,
        config: Annotated[
            Path | None, typer.Option(help="Or a node's configuration: all of its chains must be devnets.")
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Write it to this file as well; it must not be there.")] = None,
    ) -> None:
        """Make a reference string on this machine, for devnets only: whoever runs this could forge proofs under it.

        A devnet is an EVM chain with chain id 31337 or 1337, or a Solana cluster that is not a public one, with endpoints on this machine or a
        private network. Everything else is refused.
        """
        from circuits.srs.acquire import generate_srs
        from oracle.config import load_config

        chains = [(parse_chain(text), ()) for text in chain or ([] if config else [DEVNET])]
        every = [*chains, *(chains_of(load_config(config)) if config else ())]
        with console.status("making a local reference string …"):
            made = generate_srs(k, every, out)
        console.print(f"{made.path}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"k={made.k}  SHA-256 {made.sha256}", highlight=False, soft_wrap=True)
        console.print("[yellow]For devnets only.[/] Nodes elsewhere refuse models that rest on it.", highlight=False)
        _say_ids(console)


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.percentage:>3.0f} %"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield bar


def _say_ids(console: Console) -> None:
    console.print(
        "A model's id depends on its reference string: compiled under another one, the same model has another id.",
        highlight=False,
        soft_wrap=True,
    )


def _show(console: Console, report: SrsReport) -> None:
    console.print(str(report.path), markup=False, highlight=False, soft_wrap=True)
    console.print(f"k={report.k}  SHA-256 {report.sha256}", highlight=False, soft_wrap=True)
    console.print(
        f"All {1 << report.k:,} powers and as many Lagrange points are on the curve; {report.relations:,} relations of each kind hold.",
        highlight=False,
        soft_wrap=True,
    )
    if report.ceremony:
        console.print(f"[green]The published file of the ceremony “{report.ceremony}”.[/]", highlight=False)
        return
    if report.same_secret:
        console.print(
            f"[yellow]It has the ceremony's secret, but is not its published file for k={report.k}.[/] Fetch that one: sibyl srs fetch",
            highlight=False,
            soft_wrap=True,
        )
        return
    console.print(
        "[yellow]No ceremony's: whoever made it can forge proofs. For devnets only.[/]", highlight=False, soft_wrap=True
    )
