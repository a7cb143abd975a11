"""Figures and the bounds they are held to: one list for the benchmark and the demo, so that a bound is stated once."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.table import Table

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A goal in `unit`, and which direction is better. Without a goal the figure is measured and shown."""

    goal: float | None
    unit: str
    better: Better = "lower"


BOUNDS: dict[str, Bound] = {
    "EVM signature check, execution": Bound(4_600, "gas"),
    "EVM attested delivery, 64-byte payload, whole transaction": Bound(75_000, "gas"),
    "EVM proven delivery with callback, whole transaction": Bound(560_000, "gas"),
    "Solana delivery, transactions": Bound(1, "transactions"),
    "Solana delivery": Bound(60_000, "CU"),
    "Solana program": Bound(60 * 1024, "bytes"),
    "Solana proven delivery, transactions": Bound(3, "transactions"),
    "Solana proven delivery, verifying transaction": Bound(500_000, "CU"),
    "Solana verifier, unpacking": Bound(None, "CU"),
    "Solana verifier, transcript": Bound(None, "CU"),
    "Solana verifier, evaluations": Bound(None, "CU"),
    "Solana verifier, multi-scalar multiplication": Bound(None, "CU"),
    "Solana verifier, pairing": Bound(None, "CU"),
    "Solana verifier, whole proof": Bound(500_000, "CU"),
    "EVM attested token delivery, existing account, whole transaction": Bound(130_000, "gas"),
    "Solana token delivery, existing account": Bound(120_000, "CU"),
    "Request to delivered, beyond finality and proving (median)": Bound(2.0, "s"),
    "Node resident memory, workers included (largest)": Bound(300.0, "MB"),
    "Token transfers, 500 each way at once, every balance exact": Bound(None, "transfers/s", "higher"),
    "Requests under RECOMPUTED, sustained": Bound(1_000, "requests/min", "higher"),
    "Request under RECOMPUTED at half that pace, beyond finality, p50": Bound(1.0, "s"),
    "Request under RECOMPUTED at half that pace, beyond finality, p99": Bound(3.0, "s"),
    "Restart to serving, 100,000 journalled events": Bound(5.0, "s"),
    "A look at what is due, 10,000 open messages, one changed": Bound(None, "ms"),
    "Second demo, all cached": Bound(60.0, "s"),
    "Fresh clone to the demo's table": Bound(360.0, "s"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value beside its goal, and the command that measured it."""

    name: str
    value: float
    unit: str
    goal: float | None
    better: Better
    met: bool
    command: str


def figure(name: str, value: float, command: str) -> Figure:
    """The figure called `name`, judged by its bound."""
    bound = BOUNDS[name]
    return judged(name, value, bound, command)


def judged(name: str, value: float, bound: Bound, command: str) -> Figure:
    """A figure beside a bound."""
    sign = 1 if bound.better == "lower" else -1
    met = bound.goal is None or sign * value <= sign * bound.goal
    return Figure(name, round(value, 3), bound.unit, bound.goal, bound.better, met, command)


def figures_table(figures: Sequence[Figure]) -> Table:
    """For a terminal."""
    table = Table("figure", title="Bounds", title_justify="left", box=None, header_style="bold")
    for column in ("measured", "goal"):
        table.add_column(column, justify="right")
    table.add_column("")
    for one in figures:
        sign = "≤" if one.better == "lower" else "≥"
        mark = "[green]met[/]" if one.met else "[red]not met[/]"
        if one.goal is None:
            table.add_row(one.name, f"{one.value:,g} {one.unit}", "–", "")
            continue
        table.add_row(one.name, f"{one.value:,g} {one.unit}", f"{sign} {one.goal:,g}", mark)
    return table


def write_figures(figures: Sequence[Figure], path: Path) -> None:
    """As JSON: a list of objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in figures], indent=1) + "\n")
