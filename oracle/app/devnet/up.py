"""`sibyl devnet up`: the devnet, kept running until Ctrl-C."""

import asyncio
import signal
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from oracle.app.chaos.weather import Weather
from oracle.app.devnet.file import DevnetFile, default_path
from oracle.app.devnet.network import Devnet, DevnetOptions, running_devnet
from oracle.app.setup import run_setup
from oracle.errors import ChainError

WATCH_SECONDS = 1.0


async def run_devnet(
    console: Console,
    nodes: int,
    ports: tuple[int, int],
    directory: Path | None,
    *,
    model: str | None = None,
    guarded: bool = False,
    chaos: int | None = None,
) -> None:
    """Set up, start, tell where everything is, and wait. `chaos`: seed of the faults that it suffers meanwhile; none for a quiet devnet.

    `model`: what questions are about, by name or id; the demonstration's unless given.

    Raises ChainError when one of its processes ends by itself.
    """
    toolchain = run_setup(console)
    options = DevnetOptions(nodes=nodes, evm_port=ports[0], solana_port=ports[1], guarded=guarded)
    if model is not None:
        options = replace(options, model=model)

    def tell(line: str) -> None:
        console.print(f"[dim]·[/] {line}", highlight=False)

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    path = default_path()
    weather = None if chaos is None else Weather(chaos, tell)
    before = None if weather is None else weather.tangling
    async with running_devnet(toolchain, options, tell, directory, before_nodes=before) as devnet:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        told = devnet.file()
        told.write(path)
        try:
            console.print(_summary(told))
            console.print(
                f"\nThis is also in {path}. Ask with [bold]sibyl request[/]; end with Ctrl-C.", highlight=False
            )
            if chaos is not None:
                tell(f"chaos by seed {chaos}: faults all the time")
            async with nullcontext() if weather is None else weather.blowing(devnet):
                await _until_stopped(devnet, stop, nodes_too=weather is None)
        finally:
            path.unlink(missing_ok=True)
            tell("ending every process")


async def _until_stopped(devnet: Devnet, stop: asyncio.Event, *, nodes_too: bool) -> None:
    """`nodes_too`: nodes may not end either; under chaos the storm itself looks after them."""
    children = [devnet.evm.child, devnet.solana.child]
    if nodes_too:
        children += [node.child for node in devnet.nodes if node.child]
    while not stop.is_set():
        for child in children:
            if child.exit_code is not None:
                raise ChainError(
                    f"{child.name} ended with status {child.exit_code}. Its log ends: {child.log_tail()[-800:]}"
                )
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await stop.wait()
        except TimeoutError:
            continue


def _summary(told: DevnetFile) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    evm, solana = told.evm, told.solana
    entries = {
        "EVM RPC": f"{evm.rpc_url}  (chain id {evm.chain_id})",
        "gateway, hub": f"{evm.gateway}  {evm.hub}",
        "consumer": evm.consumer,
        "EVM user's key": evm.user_key,
        "Solana RPC": f"{solana.rpc_url}  (websocket {solana.ws_url})",
        "Sibyl program": solana.program,
        "consumer program": solana.consumer_program,
        "verifier program": solana.verifier_program,
        "models": ", ".join(f"{name} {model_id}" for name, model_id in told.models.items()),
        "committee": f"{told.quorum} of {len(told.nodes)} sign, group key {told.group_key} (all shares on this machine: for a devnet only)",
        "directory": str(told.directory),
    }
    for name, value in entries.items():
        table.add_row(name, value)
    for node in told.nodes:
        table.add_row(f"node {node.identifier}", f"{node.status_url}/health  peers {node.peer_url}  pid {node.pid}")
    return table
