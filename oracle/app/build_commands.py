"""`sibyl model build`: the reference models, each made on this machine from its script and its data."""

from typing import Annotated

import typer
from rich.console import Console


def add_commands(app: typer.Typer, console: Console) -> None:
    """Add the command to `app`."""

    @app.command()
    def build(
        name: Annotated[
            str | None, typer.Argument(help="Name of a reference model; without it they are listed.")
        ] = None,
    ) -> None:
        """Train, compile and check a reference model, for devnets. What is built already is taken from the cache."""
        from circuits.catalogue import BUILDERS, ensure_model

        if name is None:
            console.print("Reference models: " + ", ".join(sorted(BUILDERS)), highlight=False)
            return
        with console.status(f"building {name} …") as status:
            found = ensure_model(name, progress=lambda line: status.update(f"{line} …"))
        console.print(f"[bold]{found.name}[/]  0x{found.model_id.hex()}", highlight=False, soft_wrap=True)
        measured = found.card.measured
        console.print(
            f"k {found.k}, {measured.accuracy:.1%} right of {measured.heldout_rows} held-out rows, "
            f"{measured.decision_flips} decisions changed by the circuit",
            highlight=False,
        )
