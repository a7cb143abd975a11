"""`make bench`: measures the bounds that the project sets itself (`oracle/app/figures.py`) on a real devnet.

Machines differ and are shared, so nothing here fails a test: it prints a table and writes JSON. Times are wall clock on this machine;
gas, compute units and sizes are exact.
"""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bridges.evm.abi import account_of
from bridges.evm.account import EvmAccount
from bridges.evm.sender import Call, Sender
from circuits.catalogue import ensure_model
from oracle.app.asking import EVM, SOLANA, DevnetUser, open_user
from oracle.app.burst import transfer_burst
from oracle.app.devnet.network import DevnetOptions, running_devnet
from oracle.app.figures import Figure, figure, figures_table, write_figures
from oracle.app.load import request_load
from oracle.app.model_bench import model_figures
from oracle.app.node_bench import node_figures
from oracle.app.scale import frost_figures
from oracle.app.setup import DEMONSTRATION_MODEL, run_setup
from oracle.app.tokens import ETHER, SOL, open_tokens
from oracle.app.toolchain import Toolchain
from oracle.app.verifier_figures import verifier_figures
from oracle.errors import ConfigError, SibylError, Transient
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import Account, Digest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "make bench"
FRESH_COMMAND = "sibyl bench --fresh-clone"
DEMO_SECONDS, CLONE_SECONDS, DELIVERY_SECONDS = 300.0, 1800.0, 60.0
MESSAGES = 3
BURST = 500
LOAD, PACE = 900, 18.0
"""Requests, and how many a second: a little over a thousand a minute."""
SIGNATURE_TEST = "test_verify__gas__within_the_bound"
SIGNATURE_LOG = "gas of the signature check: "
RECEIVE_MESSAGE = keccak256(b"receiveMessage(bytes32,bytes,bytes)")[:4]


Part = tuple[str, str, Callable[[], Awaitable[Sequence[Figure]]]]
"""Its name for `--only`, what is said of it, and how it is measured."""


async def run_bench(console: Console, output: Path, only: Sequence[str], fresh_clone: bool) -> None:
    """Measure everything (or the parts in `only`), print the table, write the JSON. A part that fails is named, and does not take the others with it.

    Raises ConfigError for a part that is none, SibylError at the end when a part failed.
    """
    toolchain = cache(partial(run_setup, console))
    parts = _parts(toolchain, console)
    known = [name for name, _, _ in parts]
    if unknown := set(only) - set(known):
        raise ConfigError(f"The benchmark has no part “{min(unknown)}”; its parts are {', '.join(known)}.")
    parts = [part for part in parts if not only or part[0] in only]
    toolchain()
    if fresh_clone:
        parts.insert(0, ("clone", "cloning and running the demo there", _fresh_clone))
    figures: list[Figure] = []
    failed: list[str] = []
    for name, title, measure in parts:
        console.print(f"[dim]·[/] {title}", highlight=False)
        try:
            found = await measure()
        except (SibylError, ProtocolError) as error:
            failed.append(name)
            console.print(f"  [red]{escape(str(error))}[/]", highlight=False)
            continue
        figures += found
        for one in found:
            console.print(f"  {one.name}: {one.value:,g} {one.unit}", highlight=False)
    figures.sort(key=lambda one: one.name)
    console.print()
    console.print(figures_table(figures))
    write_figures(figures, output)
    console.print(f"\nWritten to {output}.", highlight=False)
    if failed:
        raise SibylError(f"Not measured, since they failed: {', '.join(failed)}.")


def _parts(toolchain: Callable[[], Toolchain], console: Console) -> list[Part]:
    def tell(line: str) -> None:
        console.print(f"  [dim]{escape(line)}[/]", highlight=False)

    async def scale() -> Sequence[Figure]:
        measured = await frost_figures(tell)
        console.print(measured.table())
        return measured.figures

    async def on_a_devnet(measure: Callable[[DevnetUser], Awaitable[Sequence[Figure]]]) -> Sequence[Figure]:
        async with (
            running_devnet(toolchain(), DevnetOptions()) as devnet,
            open_user(devnet.file(), devnet.model) as user,
        ):
            return await measure(user)

    async def verifier() -> Sequence[Figure]:
        return await verifier_figures(ensure_model(DEMONSTRATION_MODEL), COMMAND)

    async def signature() -> Sequence[Figure]:
        return [figure("EVM signature check, execution", await _signature_check(toolchain()), COMMAND)]

    return [
        ("demo", "running the demo", _demo),
        ("verifier", "checking a proof in Solana's runtime, phase by phase", verifier),
        ("signature", "checking a signature on EVM", signature),
        ("deliveries", "delivering messages of 64 bytes, and tokens", partial(on_a_devnet, _deliveries)),
        ("burst", f"sending {BURST} transfers each way at once", partial(on_a_devnet, partial(_burst, tell=tell))),
        ("load", f"asking {LOAD} questions under RECOMPUTED", partial(on_a_devnet, partial(_load, tell=tell))),
        ("node", "starting a node again on 100,000 events", partial(node_figures, COMMAND)),
        ("frost", "making keys and signing with committees of 5 to 100", scale),
        ("models", "tuning models, and proving as ezkl would have it", partial(model_figures, COMMAND, tell)),
    ]


async def _demo() -> list[Figure]:
    """The demo's own figures, and its wall time from typing to table."""
    with tempfile.TemporaryDirectory(prefix="sibyl-bench-") as directory:
        report = Path(directory) / "demo.json"
        started = time.monotonic()
        await _make_demo(ROOT, report, DEMO_SECONDS)
        whole = figure("Second demo, all cached", time.monotonic() - started, COMMAND)
        return [Figure(**entry) for entry in json.loads(report.read_text())["figures"]] + [whole]


async def _fresh_clone() -> list[Figure]:
    """Clone what is committed, with an empty cache, and run the demo there. The packages' own download caches stay."""
    with tempfile.TemporaryDirectory(prefix="sibyl-bench-") as directory:
        clone = Path(directory) / "sibyl"
        started = time.monotonic()
        await _run(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT, CLONE_SECONDS)
        await _make_demo(clone, Path(directory) / "demo.json", CLONE_SECONDS)
        return [figure("Fresh clone to the demo's table", time.monotonic() - started, FRESH_COMMAND)]


async def _make_demo(checkout: Path, report: Path, timeout: float) -> None:
    if not (checkout / "Makefile").exists():
        raise ConfigError("The benchmark runs from a checkout of the project.")
    arguments = [f"PYTHON={sys.executable}", f"DEMO_ARGS=--json {report}"]
    await _run(["make", "--no-print-directory", "demo", *arguments], checkout, timeout)


async def _run(command: list[str], directory: Path, timeout: float, environment: dict[str, str] | None = None) -> str:
    """What the command printed. Raises SibylError with the end of that when it failed, Transient after `timeout` seconds."""
    program = shutil.which(command[0])
    if program is None:
        raise ConfigError(f"{command[0]} is not installed.")
    process = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        cwd=directory,
        env=environment,  # None: this process's own
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout):
            told, _ = await process.communicate()
    except TimeoutError as error:
        raise Transient(f"{' '.join(command)} did not end within {timeout:g} s.") from error
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        raise SibylError(f"{' '.join(command)} failed:\n{told.decode(errors='replace')[-3000:]}")
    return told.decode(errors="replace")


async def _deliveries(user: DevnetUser) -> list[Figure]:
    return [*await _messages(user), *await _tokens(user)]


async def _messages(user: DevnetUser) -> list[Figure]:
    """Messages from Solana to a recipient that does nothing but say that it took them."""
    sender = Sender(user.evm_client, EvmAccount(user.devnet.evm.stranger_key))
    deployed = await sender.send(Call(None, _taker()))
    if deployed.contract is None:
        raise Transient("The recipient of the benchmark was not deployed.")
    recipient = account_of(deployed.contract)
    costs = [await _message_cost(user, recipient, number) for number in range(MESSAGES)]
    # The first delivery of an origin opens a word of the replay bitmap, and is the dearest.
    return [figure("EVM attested delivery, 64-byte payload, whole transaction", max(costs), COMMAND)]


def _taker() -> bytes:
    """Creation code of a contract whose every call returns `receiveMessage`'s selector."""
    runtime = b"\x63" + RECEIVE_MESSAGE + bytes.fromhex("60e01b5f5260205ff3")
    head = bytes([0x60, len(runtime), 0x80, 0x60, 0x09, 0x5F, 0x39, 0x5F, 0xF3])
    return head + runtime


async def _message_cost(user: DevnetUser, recipient: Account, number: int) -> int:
    payload = keccak256(number.to_bytes(8)) * 2
    sent = await user.solana.send_message(user.evm_endpoint, recipient, payload)
    return await _delivery_cost(user, sent.request_id)


async def _tokens(user: DevnetUser) -> list[Figure]:
    """Ether to Solana and back, each way more than once: the first opens the account, and only the later ones count."""
    async with open_tokens(user) as tokens:
        await tokens.follow(await tokens.register(ETHER), lambda _: None)
        token = await tokens.token(ETHER)
        costs: dict[str, list[int]] = {EVM: [], SOLANA: []}
        for origin, to in ((EVM, SOLANA), (SOLANA, EVM)):
            for _ in range(MESSAGES):
                amount = 10 ** token.decimals(origin) // 100
                digest = await tokens.send(token, origin, amount, tokens.address(to))
                costs[to].append(await _delivery_cost(user, digest))
    return [
        figure("EVM attested token delivery, existing account, whole transaction", max(costs[EVM][1:]), COMMAND),
        figure("Solana token delivery, existing account", max(costs[SOLANA][1:]), COMMAND),
    ]


async def _burst(user: DevnetUser, tell: Callable[[str], None]) -> list[Figure]:
    """Raises Transient when a transfer is lost or doubled: there is a rate only when every balance is exact."""
    async with open_tokens(user) as tokens:
        for name in (ETHER, SOL):
            await tokens.follow(await tokens.register(name), lambda _: None)
        burst = await transfer_burst(tokens, BURST, tell)
    return [figure("Token transfers, 500 each way at once, every balance exact", burst.rate, COMMAND)]


async def _load(user: DevnetUser, tell: Callable[[str], None]) -> list[Figure]:
    """Half the goal's pace for the delay, then all of it for the rate."""
    half = await request_load(user, LOAD // 2, PACE / 2, tell)
    whole = await request_load(user, LOAD, PACE, tell)
    return [
        figure("Requests under RECOMPUTED, sustained", whole.per_minute, COMMAND),
        figure("Request under RECOMPUTED at half that pace, beyond finality, p50", half.quantile(0.5), COMMAND),
        figure("Request under RECOMPUTED at half that pace, beyond finality, p99", half.quantile(0.99), COMMAND),
    ]


async def _delivery_cost(user: DevnetUser, digest: Digest) -> int:
    """What the delivery of a message cost, as the node that made it tells."""
    async with asyncio.timeout(DELIVERY_SECONDS):
        while True:
            for report in await user.node_reports(digest):
                for item in report["deliverables"]:
                    if item["receipt"] is not None:
                        return int(item["receipt"]["cost"])
            await asyncio.sleep(0.1)


async def _signature_check(toolchain: Toolchain) -> float:
    """Gas of the check itself, as the forge test that holds it to its bound reports it."""
    command = [str(toolchain.forge), "test", "-vv", "--json", "--match-test", SIGNATURE_TEST]
    told = await _run(command, ROOT / "contracts" / "evm", DEMO_SECONDS, toolchain.forge_environment())
    for line in told.splitlines():
        if line.startswith("{"):
            suites = json.loads(line)
            for suite in suites.values():
                for result in suite["test_results"].values():
                    for log in result["decoded_logs"]:
                        if log.startswith(SIGNATURE_LOG):
                            return float(log.removeprefix(SIGNATURE_LOG))
    raise SibylError("forge did not report the gas of the signature check.")
