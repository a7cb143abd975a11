"""The command line `sibyl`. Every failure that can be expected ends in a sentence and exit status 1; a traceback is a bug."""

import asyncio
import json
import logging
import secrets
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from oracle.app import (
    build_commands,
    committee_commands,
    dead_letter_commands,
    journal_commands,
    keystore_commands,
    model_commands,
    proof_commands,
    soak_commands,
    srs_commands,
    store_commands,
)
from oracle.app.logs import configure_logs
from oracle.errors import ConfigError, SibylError
from oracle.protocol.errors import ProtocolError

T = TypeVar("T")

app = typer.Typer(
    name="sibyl",
    help="A cross-chain AI oracle: a contract asks a model, a committee answers, each chain checks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
node_app = typer.Typer(help="The oracle daemon.", no_args_is_help=True)
devnet_app = typer.Typer(
    help="A local EVM chain, a local Solana chain and a committee on this machine.", no_args_is_help=True
)
model_app = typer.Typer(help="Models that this machine has compiled.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens of the running devnet's bridge.", no_args_is_help=True)
bridge_app = typer.Typer(help="The running devnet's token bridge.", no_args_is_help=True)
transfer_app = typer.Typer()
app.add_typer(transfer_app, name="transfer")
app.add_typer(token_app, name="token")
app.add_typer(bridge_app, name="bridge")
app.add_typer(node_app, name="node")
app.add_typer(devnet_app, name="devnet")
app.add_typer(model_app, name="model")
journal_app = typer.Typer(help="A node's journal. The node must not be running.", no_args_is_help=True)
app.add_typer(journal_app, name="journal")
dead_letter_app = typer.Typer(help="Messages that a node gave up delivering.", no_args_is_help=True)
app.add_typer(dead_letter_app, name="dead-letter")
committee_app = typer.Typer(help="A committee's keys: made, handed on, renewed.", no_args_is_help=True)
app.add_typer(committee_app, name="committee")

WIDE = 132
"""Columns of a table that goes to a file or a pipe; a terminal says its own width."""

console = Console(width=None if sys.stdout.isatty() else WIDE)


@app.command()
def setup() -> None:
    """Build what a devnet needs: tools, contracts, Solana programs, the demonstration model. Cached by content."""
    from oracle.app.setup import run_setup

    run_setup(console)


@app.command()
def demo(
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write what was shown to this file.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Keep the devnet's directory (logs, journals) here instead of a temporary one.")
    ] = None,
) -> None:
    """Show the whole road: two chains, four nodes, real proofs, one signature; then show that lying does not work."""
    from oracle.app.demo.run import run_demo

    # Its refusals are shown in the tables; the library's own log of them would only repeat that.
    configure_logs(json_lines=False, level=logging.CRITICAL)
    report = _run(run_demo(console, keep))
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1) + "\n")
    if not report["ok"]:
        raise typer.Exit(1)


@devnet_app.command("up")
def devnet_up(
    nodes: Annotated[int, typer.Option(min=4, max=7, help="Members of the committee; ⌊2n/3⌋+1 of them must sign.")] = 4,
    evm_port: Annotated[int, typer.Option(help="Port of the EVM chain; 0 takes a free one.")] = 8545,
    solana_port: Annotated[
        int, typer.Option(help="Port of the Solana chain (its websocket is one above); 0: free ones.")
    ] = 8899,
    directory: Annotated[
        Path | None, typer.Option(help="Where keys, logs and journals go; a temporary one by default.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="What is asked there: a name or id of `sibyl model list`; tumour unless given.")
    ] = None,
    guard: Annotated[
        bool, typer.Option(help="Register ether with a guard: more than 100 ether need a risk score of the oracle.")
    ] = False,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Faults all the time: dead nodes, broken wires, reorgs, lying endpoints.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of the faults; a random one unless given. It is printed.")] = None,
) -> None:
    """Start the devnet and keep it running until Ctrl-C, which ends all of it."""
    from oracle.app.devnet.up import run_devnet

    _quiet_logs()
    if seed is not None and not chaos:
        raise ConfigError("--seed is of the faults that --chaos brings: give both.")
    faults = None if not chaos else secrets.randbelow(1 << 32) if seed is None else seed
    _run(run_devnet(console, nodes, (evm_port, solana_port), directory, model=model, guarded=guard, chaos=faults))


@node_app.command("run")
def node_run(
    config: Annotated[Path, typer.Option(help="The node's configuration.")] = Path("node.toml"),
) -> None:
    """Run one member of a committee until SIGINT or SIGTERM; SIGHUP reads the configuration again. Logs go to standard error."""
    from oracle.app.daemon import serve
    from oracle.config import load_config

    settings = load_config(config)
    configure_logs(json_lines=settings.log_json)
    _run(serve(settings, lambda: load_config(config)))


@node_app.command("check")
def node_check(
    config: Annotated[Path, typer.Option(help="The node's configuration.")] = Path("node.toml"),
) -> None:
    """Look at everything that a node needs before it is started, and say how to mend what is missing."""
    from oracle.app.preflight import check, show
    from oracle.config import load_config

    _quiet_logs()
    if not show(_run(check(load_config(config))), console):
        raise typer.Exit(1)


@app.command()
def relay(
    config: Annotated[Path, typer.Option(help="The relayer's configuration.")] = Path("relay.toml"),
) -> None:
    """Deliver what the committee signed, without being a member of it. Logs go to standard error."""
    from oracle.app.relay import serve_relay
    from oracle.config import load_relay_config

    settings = load_relay_config(config)
    configure_logs(json_lines=settings.log_json)
    _run(serve_relay(settings))


@model_app.command("list")
def model_list() -> None:
    """List the models in this machine's cache."""
    from circuits.catalogue import list_models

    table = Table(
        "name",
        Column("model id", overflow="fold"),
        "inputs",
        "outputs",
        "k",
        "proof",
        "accuracy",
        box=None,
        header_style="bold",
    )
    for model in list_models():
        table.add_row(
            model.name,
            f"0x{model.model_id.hex()}",
            str(model.input_count),
            str(model.output_count),
            str(model.k),
            f"{model.proof_length:,} bytes",
            f"{model.card.measured.accuracy:.1%}",
        )
    if not table.row_count:
        raise ConfigError("No model is compiled on this machine. Build the demonstration model with: sibyl setup")
    console.print(table)


@model_app.command("show")
def model_show(model: Annotated[str, typer.Argument(help="Name or id of a model.")] = "tumour") -> None:
    """Show a model's card: what it is for, how good it is, what its inputs are."""
    from circuits.catalogue import find_model

    found = find_model(model)
    console.print(f"[bold]{found.name}[/]  0x{found.model_id.hex()}", highlight=False)
    console.print((found.directory / "card.toml").read_text(), markup=False, highlight=False)


@model_app.command("sample")
def model_sample(
    model: Annotated[str, typer.Argument(help="Name or id of a model.")] = "tumour",
    row: Annotated[int, typer.Option(min=0, help="Which of the rows that training never saw.")] = 0,
) -> None:
    """Print one held-out row as JSON, ready for `sibyl request --input`."""
    from circuits.catalogue import find_model

    rows = find_model(model).heldout()
    if row >= len(rows):
        raise ConfigError(f"The model {model} has {len(rows)} held-out rows; choose one from 0 to {len(rows) - 1}.")
    console.print_json(json.dumps(rows[row].raw))


proof_app = typer.Typer(help="Proofs of past answers, for anyone.", no_args_is_help=True)
app.add_typer(proof_app, name="proof")
proof_commands.add_commands(proof_app, console)
srs_app = typer.Typer(help="Reference strings that proofs rest on.", no_args_is_help=True)
app.add_typer(srs_app, name="srs")
srs_commands.add_commands(srs_app, console)
build_commands.add_commands(model_app, console)
store_commands.add_commands(model_app, console)
committee_commands.add_commands(committee_app, console)
keystore_commands.add_commands(committee_app, console)
journal_commands.add_commands(journal_app, console)
dead_letter_commands.add_commands(dead_letter_app, console)
model_commands.add_commands(model_app, console)
soak_commands.add_commands(app, console)


@app.command()
def status(
    nodes: Annotated[
        list[str] | None, typer.Argument(help="Status ports, such as http://127.0.0.1:7101; the devnet's unless given.")
    ] = None,
    once: Annotated[bool, typer.Option(help="Look once; exit status 1 when a node is not well.")] = False,
) -> None:
    """Show how nodes are: chains, messages, alarms. Live on a terminal, until Ctrl-C."""
    from oracle.app.devnet.file import load
    from oracle.app.status_view import run_status

    urls = nodes or [node.status_url for node in load().nodes]
    if not _run(run_status(console, urls, once or not console.is_terminal)):
        raise typer.Exit(1)


@app.command()
def request(
    input_file: Annotated[
        Path,
        typer.Option("--input", help="JSON: an object of the model's raw features by name (see `sibyl model sample`)."),
    ],
    model: Annotated[str, typer.Option(help="Name or id of the model.")] = "tumour",
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", help="Chain that asks: evm (the usual one) or solana; under proven the one that uses the answer."
        ),
    ] = None,
    to: Annotated[str, typer.Option(help="Chain that uses the answer: evm or solana.")] = "evm",
    policy: Annotated[
        str,
        typer.Option(
            help="What that chain checks: attested (signature), proven (proof; asked and answered on one chain), both, or "
            "recomputed (signature of members who ran the model and saw no proof)."
        ),
    ] = "attested",
    deadline: Annotated[int, typer.Option(min=10, help="Seconds until an unanswered request can be refunded.")] = 600,
) -> None:
    """Ask a model on the running devnet, by hand, and wait for the answer."""
    from oracle.app.ask import run_request

    _quiet_logs()
    _run(run_request(console, model, input_file, (origin, to, policy), deadline))


@transfer_app.callback(invoke_without_command=True)
def transfer(
    context: typer.Context,
    amount: Annotated[str | None, typer.Option(help="How much, in whole tokens: 1.5", show_default=False)] = None,
    token: Annotated[
        str, typer.Option(help="ether, sol, a symbol, an ERC-20's address or a mint; registered (see `sibyl token`).")
    ] = "ether",  # noqa: S107 - a token to send, no secret
    origin: Annotated[str, typer.Option("--from", help="Chain that sends: evm or solana.")] = "evm",
    to: Annotated[str, typer.Option(help="Chain that receives: evm or solana.")] = "solana",
    recipient: Annotated[
        str | None, typer.Option(help="Account on the receiving chain; the devnet's user by default.")
    ] = None,
    wait_final: Annotated[bool, typer.Option("--final", help="Also wait until the delivery is final.")] = False,
    expires_in: Annotated[
        int | None,
        typer.Option(min=1, max=30 * 86_400, help="Seconds until what is undelivered comes back; a day unless given."),
    ] = None,
    fee: Annotated[
        str | None, typer.Option(help="How much of the amount, in whole tokens, goes to whoever delivers.")
    ] = None,
) -> None:
    """Send tokens across on the running devnet, and show the way: observed, attested, delivered, final."""
    from oracle.app.token_commands import Wishes, run_transfer

    if context.invoked_subcommand is not None:
        return
    if amount is None:
        raise ConfigError("Say how much to send, as --amount 1.5; or follow a transfer with: sibyl transfer status ID")
    _quiet_logs()
    wishes = Wishes(recipient, wait_final, expires_in, fee)
    _run(run_transfer(console, token, amount, (origin, to), wishes))


@transfer_app.command("status")
def transfer_status(
    digest: Annotated[str, typer.Argument(help="The transfer's id, as `sibyl transfer` printed it.")],
) -> None:
    """Show what each node knows of a transfer."""
    from oracle.app.token_commands import run_transfer_status

    _quiet_logs()
    _run(run_transfer_status(console, digest))


@token_app.command("register")
def token_register(
    token: Annotated[str, typer.Argument(help="ether, sol, an ERC-20's address or a mint.")],
) -> None:
    """Make a token known to the other chain. Anyone may, once."""
    from oracle.app.token_commands import run_token_register

    _quiet_logs()
    _run(run_token_register(console, token))


@token_app.command("list")
def token_list() -> None:
    """List the tokens that both chains know."""
    from oracle.app.token_commands import run_token_list

    _quiet_logs()
    _run(run_token_list(console))


@bridge_app.command("status")
def bridge_status() -> None:
    """Show limits left, what waits, and what is locked and minted, by token."""
    from oracle.app.token_commands import run_bridge_status

    _quiet_logs()
    _run(run_bridge_status(console))


@bridge_app.command("release")
def bridge_release(
    digest: Annotated[str, typer.Argument(help="The transfer's id, as `sibyl transfer` printed it.")],
    token: Annotated[str, typer.Option(help="The token it is of.")] = "ether",  # noqa: S107 - no secret
) -> None:
    """Pay out a transfer that waits on the EVM chain: over the rate limit, or for the guard, which is asked first."""
    from oracle.app.token_commands import run_release

    _quiet_logs()
    _run(run_release(console, token, digest))


@app.command()
def bench(
    output: Annotated[Path, typer.Option(help="Where the figures are written as JSON.")] = Path("build/bench.json"),
    fresh_clone: Annotated[
        bool, typer.Option("--fresh-clone", help="Also clone the committed tree and time the demo there (minutes).")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="A part alone, such as burst, load or models; may be repeated. One that there is not names them all."
        ),
    ] = None,
) -> None:
    """Measure the bounds that the project sets itself, and print them beside their goals."""
    from oracle.app.bench import run_bench

    _quiet_logs()
    _run(run_bench(console, output, only or [], fresh_clone))


def _quiet_logs() -> None:
    configure_logs(json_lines=False, level=logging.ERROR)


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _first_expected(error: BaseException) -> SibylError | ProtocolError | None:
    """The failure to show, if everything that went wrong was of the expected kind."""
    if isinstance(error, SibylError | ProtocolError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [_first_expected(inner) for inner in error.exceptions]
        return found[0] if found and all(found) else None
    return None


def main() -> None:
    """Entry point of the `sibyl` command."""
    try:
        app()
    except (SibylError, ProtocolError, ExceptionGroup) as error:
        shown = _first_expected(error)
        if shown is None:
            raise
        Console(stderr=True).print(f"[red]sibyl:[/] {escape(str(shown))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
