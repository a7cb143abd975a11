"""Prepares everything that a devnet needs: tools, contracts, Solana programs, the demonstration models.

Each step is cached by content by the part that owns it, so a second run takes a second or two. A step that fails ends
the set-up with that part's own error; steps done before it stay done. `python -m oracle.app.setup` runs it from the shell.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.status import Status

from oracle.app.toolchain import Progress, Toolchain, ensure_toolchain
from oracle.errors import SibylError

DEMONSTRATION_MODEL = "tumour"
GUARD_MODEL = "risk"
"""For the token bridge's guard. Its verifier is compiled by whoever registers it: two to three seconds that most set-ups need not spend."""


@dataclass(frozen=True, slots=True)
class Step:
    """One part of the set-up: `run` does nothing that is done already and tells its progress."""

    title: str
    run: Callable[[Progress], object]


def run_setup(console: Console | None = None) -> Toolchain:
    """Runs every step with a line for each, and returns the tools.

    Raises:
        SibylError: a step failed; the message says what to do.
    """
    console = console or Console()
    found: list[Toolchain] = []
    run_steps([Step("node, chains and compilers", lambda progress: found.append(ensure_toolchain(progress)))], console)
    run_steps(build_steps(found[0]), console)
    return found[0]


def build_steps(toolchain: Toolchain) -> list[Step]:
    """The steps that build from source. Their modules load only now: they take a second, and the tools come first."""
    from circuits.catalogue import ensure_model
    from contracts.evm.build import build_evm, compile_verifier
    from contracts.solana.build import build_programs

    def model(progress: Progress) -> None:
        compile_verifier(toolchain, ensure_model(DEMONSTRATION_MODEL, progress=progress).verifier_sol)

    return [
        Step("EVM contracts", lambda progress: build_evm(toolchain, progress)),
        Step("Solana programs", build_programs),
        Step(f"model “{DEMONSTRATION_MODEL}”, its circuit and verifier", model),
        Step(f"model “{GUARD_MODEL}” and its circuit", lambda progress: ensure_model(GUARD_MODEL, progress=progress)),
    ]


def run_steps(steps: Sequence[Step], console: Console) -> None:
    """Runs the steps in order. What a step tells is shown while it runs: as one changing line in a terminal, else as lines."""
    for step in steps:
        started = time.monotonic()
        with _progress(step.title, console) as progress:
            try:
                step.run(progress)
            except BaseException:
                console.print(f"[red]✗[/] {step.title}", highlight=False)
                raise
        seconds = time.monotonic() - started
        console.print(f"[green]✓[/] {step.title} [dim]{seconds:.1f} s[/]", highlight=False)


@contextmanager
def _progress(title: str, console: Console) -> Iterator[Progress]:
    if not console.is_terminal:
        yield lambda line: console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        return
    with Status(f"{title} …", console=console) as status:
        yield lambda line: status.update(f"{title}: {line}")


def main() -> int:
    """The command line; returns the exit status."""
    try:
        run_setup()
    except SibylError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
