"""`sibyl model doctor` and `sibyl model compile`: from an ONNX file and a sample of its inputs to a model of the catalogue."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from oracle.errors import ConfigError

if TYPE_CHECKING:
    from circuits.catalogue import ModelArtifacts
    from circuits.compile import Srs
    from circuits.tuning.doctor import Verdict
    from circuits.tuning.publish import Labelling
    from circuits.tuning.search import Found, Wish

SRS_SECONDS = 900.0
"""A local reference string of 2^18 points on a busy machine; each is made once."""
GOALS = ("prove-time", "gas", "memory", "accuracy")


def add_commands(app: typer.Typer, console: Console) -> None:
    """Register the commands of this module."""

    @app.command("doctor")
    def model_doctor(
        model: Annotated[Path, typer.Argument(help="An ONNX file.")],
        data: Annotated[
            Path, typer.Option(help="Rows of its input, as .npz (one array named like the input) or .npy.")
        ],
    ) -> None:
        """Say in plain words whether a model can be proven, what that would cost, and what would make it cheaper. Exit status 1 when it cannot."""
        from circuits.tuning.doctor import diagnose

        with _told(console, "Looking at the model") as progress:
            verdict = diagnose(model, data, progress=progress)
        show_verdict(console, model, verdict)
        if not verdict.provable:
            raise typer.Exit(1)

    @app.command("compile")
    def model_compile(
        model: Annotated[Path, typer.Argument(help="An ONNX file.")],
        data: Annotated[Path, typer.Option(help="Rows of its input; an array “labels” may hold the true classes.")],
        name: Annotated[str, typer.Option(help="What the catalogue shall call it.")],
        goal: Annotated[str, typer.Option(help="What is to be cheap: prove-time, gas, memory or accuracy.")] = "gas",
        seconds: Annotated[float, typer.Option(min=5, help="Time budget of the search.")] = 300.0,
        memory: Annotated[int, typer.Option(min=128, help="Memory that a proof may take, in MB.")] = 4096,
        max_error: Annotated[
            float | None,
            typer.Option(help="Largest error of a proven output; a hundredth of the outputs' spread unless given."),
        ] = None,
        any_shape: Annotated[
            bool, typer.Option("--any-shape", help="Also choose circuits that Solana cannot check.")
        ] = False,
        private: Annotated[
            bool, typer.Option("--private", help="Also measure the chosen circuit with inputs that no chain sees.")
        ] = False,
        labels: Annotated[str, typer.Option(help="Names of the classes, with commas between.")] = "",
        features: Annotated[str, typer.Option(help="Names of the inputs, with commas between.")] = "",
        description: Annotated[str, typer.Option(help="One sentence for the card.")] = "",
        licence: Annotated[str, typer.Option(help="The model's licence.")] = "unstated",
        ceremony: Annotated[
            bool, typer.Option("--ceremony", help="Use the ceremony's reference string; a devnet's own unless given.")
        ] = False,
        plot: Annotated[Path | None, typer.Option(help="Where the plot goes; NAME.svg unless given.")] = None,
    ) -> None:
        """Search for the cheapest circuit of a model and put it into the catalogue. Interrupted, it goes on where it was."""
        from circuits.tuning.publish import Labelling
        from circuits.tuning.search import Goal, Wish

        if goal not in GOALS:
            raise ConfigError(f"--goal is {', '.join(GOALS)}; not “{goal}”.")
        labelling = Labelling(name, description, licence, labels=_names(labels), features=_names(features))
        labelling.check()
        wish = Wish(Goal(goal), seconds, memory, max_error, any_shape, private)
        compile_file(console, (model, data), wish, labelling, plot or Path(f"{name}.svg"), ceremony=ceremony)


def compile_file(
    console: Console, files: tuple[Path, Path], wish: "Wish", labelling: "Labelling", plot_file: Path, *, ceremony: bool
) -> None:
    """Examine, search, publish and tell. Raises ModelError."""
    from circuits.tuning.doctor import examine
    from circuits.tuning.pareto import plot
    from circuits.tuning.publish import publish
    from circuits.tuning.search import search
    from circuits.tuning.trials import Trials

    with _told(console, "Looking at the model") as progress:
        examined = examine(*files, progress=progress)
        subject = examined.subject
        trials = Trials(subject.onnx, subject.rows)
        found = search(subject, wish, trials, _srs(ceremony), progress)
        chosen = found.chosen.circuit
        model = publish(subject, examined.sample, chosen, labelling, _srs(ceremony)(chosen.logrows), progress=progress)
    for step in examined.prepared.steps:
        console.print(f"[dim]·[/] {escape(step)}", highlight=False)
    if trials.found:
        console.print(
            f"[dim]·[/] {trials.found} trials were remembered from before, {trials.ran} made now", highlight=False
        )
    plot_file.write_text(plot(found, model.name))
    show_found(console, found)
    show_model(console, model)
    console.print(f"\nThe plot is in {plot_file}.", highlight=False)


def show_verdict(console: Console, path: Path, verdict: "Verdict") -> None:
    """The doctor's report."""
    facts = verdict.facts
    if facts is not None:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("inputs", escape("; ".join(map(str, facts.inputs))))
        table.add_row("outputs", escape("; ".join(map(str, facts.outputs))))
        table.add_row("operators", escape(", ".join(f"{name} {count}×" for name, count in facts.operators)))
        table.add_row("parameters", f"{facts.parameters:,}")
        table.add_row("made by", escape(f"{facts.producer}, opset {facts.opset}"))
        console.print(table)
        console.print()
    if verdict.provable:
        console.print(f"[bold green]✓[/] {escape(path.name)} can be proven here.", highlight=False)
    else:
        console.print(f"[bold red]✗[/] {escape(path.name)} cannot be proven as it is:", highlight=False)
        _list(console, verdict.problems)
    if verdict.estimate is not None:
        shape, cost = verdict.estimate.shape, verdict.estimate.cost
        lookups = f", lookup tables: {verdict.estimate.lookups}" if verdict.estimate.lookups else ""
        console.print(
            f"  about {shape.rows:,} rows (k={shape.k}{lookups}); a proof takes {cost.prove_seconds:.1f} s and {cost.memory_mb:,.0f} MB on one "
            f"thread, has {cost.proof_length:,} bytes and costs {cost.gas:,} gas to check on an EVM chain",
            highlight=False,
        )
    if verdict.accuracy:
        console.print(f"  {escape(verdict.accuracy)}", highlight=False)
    if verdict.off_circuit:
        console.print(f"  proven is x; a consumer applies {escape(verdict.off_circuit)}", highlight=False)
    for title, lines in (
        ("What compile does first:", verdict.rewrites),
        ("The sample:", verdict.remarks),
        ("Cheaper:", verdict.cheaper),
    ):
        if lines:
            console.print(f"\n[bold]{title}[/]")
            _list(console, lines)


def show_found(console: Console, found: "Found") -> None:
    """The Pareto front, and what should be known of the search."""
    from circuits.tuning.pareto import front_table

    console.print()
    console.print(front_table(found))
    console.print(
        "[dim]→ chosen; ≈ estimated, the others were proven (seconds of one thread); * outside the one-column family. "
        "Gas follows the proof's size.[/]",
        highlight=False,
    )
    _list(console, found.notes)


def show_model(console: Console, model: "ModelArtifacts") -> None:
    """What was published, and how it is asked."""
    card, measured = model.card, model.card.measured
    truth = "right" if measured.labelled else "as the float model"
    console.print(f"\n[bold green]✓[/] [bold]{model.name}[/]  0x{model.model_id.hex()}", highlight=False)
    console.print(
        f"  promise, on {measured.heldout_rows} held-out rows: error at most {measured.error_max:.3g}, {measured.error_mean:.3g} on average; "
        f"{measured.decision_flips} decisions changed; {measured.accuracy:.1%} {truth}",
        highlight=False,
    )
    if card.formula:
        console.print(f"  a consumer applies {escape(card.formula)} to the proven x", highlight=False)
    console.print(
        f"  try it: sibyl devnet up --model {model.name}, then sibyl model sample {model.name} > row.json and\n"
        f"  sibyl request --model {model.name} --input row.json",
        highlight=False,
    )


def _list(console: Console, lines: "tuple[str, ...] | list[str]") -> None:
    for line in lines:
        console.print(f"  [dim]·[/] {escape(line)}", highlight=False)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _srs(ceremony: bool) -> "Callable[[int], Srs]":
    if ceremony:
        from circuits.srs.acquire import ceremony_srs

        return ceremony_srs
    from circuits.compile import local_srs

    return lambda k: local_srs(k, deadline=SRS_SECONDS)


@contextmanager
def _told(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    """Progress: one changing line with the time on a terminal, else a line for each step with its second."""
    started = time.monotonic()
    if not console.is_terminal:
        yield lambda line: console.print(f"{time.monotonic() - started:6.1f} s  {line}", markup=False, highlight=False)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda line: bar.update(task, description=line)
