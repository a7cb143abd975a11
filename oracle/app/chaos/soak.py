"""The soak test: a devnet with traffic both ways under a storm of faults, then calm, then the audit. One report, as a table and as JSON."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import aiohttp
from rich.console import Group
from rich.table import Table
from rich.text import Text

from circuits.prover import LocalProver
from oracle.app.asking import DevnetUser, open_user
from oracle.app.chaos.audit import Audit, Verdict
from oracle.app.chaos.plan import plan
from oracle.app.chaos.storm import Storm
from oracle.app.chaos.tangle import Tangle, tangled
from oracle.app.chaos.traffic import Traffic
from oracle.app.chaos.watch import JUDGED_SECONDS, MAX_SLOPE, Slope, Watch
from oracle.app.devnet.network import Devnet, DevnetOptions, running_devnet
from oracle.app.devnet.nodes import NodeProcess
from oracle.app.tokens import ETHER, SOL, TokenUser, open_tokens
from oracle.app.toolchain import Toolchain
from oracle.protocol.types import Digest

SETTLE_SECONDS = 420.0
"""Longest wait for the last message, after all faults are over. Deadlines of the traffic lie below it."""
SEND_EVERY = 1.5
"""Seconds between two acts of the user, on average."""
WRAP_LAMPORTS = 10**9
PREPARE_SECONDS = 120.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """How long the storm lasts, in seconds; its seed; how many nodes; and where the devnet lives (a temporary directory unless given)."""

    seconds: float
    seed: int
    nodes: int = 4
    directory: Path | None = None


@dataclass(frozen=True, slots=True)
class SoakReport:
    """What happened, and what was checked."""

    seed: int
    seconds: float
    faults: dict[str, int]
    missed: dict[str, int]
    sent: dict[str, int]
    not_sent: dict[str, int]
    refused: dict[str, str]
    lies: dict[str, int]
    settled_after: float
    verdicts: list[Verdict] = field(default_factory=list)
    memory: list[Slope] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether every check passed."""
        return all(one.well for one in self.verdicts)

    def to_json(self) -> str:
        """All of it."""
        return json.dumps({"ok": self.well, **asdict(self)}, indent=1)

    def table(self) -> Group:
        """For a terminal."""
        happened = Table(box=None, header_style="bold", title=f"Storm of {self.seconds:.0f} s", title_justify="left")
        for column in ("faults", "", "traffic", ""):
            happened.add_column(column)
        left = [(name, str(count)) for name, count in sorted(self.faults.items())]
        left += [(f"{name}: lies", str(count)) for name, count in self.lies.items()]
        right = [(name, str(count)) for name, count in sorted(self.sent.items())]
        right += [(f"not sent: {name}", str(count)) for name, count in sorted(self.not_sent.items())]
        for row in range(max(len(left), len(right))):
            happened.add_row(
                *(left[row] if row < len(left) else ("", "")), *(right[row] if row < len(right) else ("", ""))
            )
        checks = Table(box=None, header_style="bold", title="Audit", title_justify="left")
        for column in ("", "what", "finding"):
            checks.add_column(column, overflow="fold")
        for one in self.verdicts:
            checks.add_row(Text("ok", "green") if one.well else Text("no", "red"), one.what, Text(one.said))
        memory = Table(box=None, header_style="bold", title="Memory of the nodes (longest life)", title_justify="left")
        for column in ("node", "seconds fitted", "MB a minute", "MB at the end"):
            memory.add_column(column, justify="right")
        for life in self.memory:
            memory.add_row(
                str(life.node), f"{life.seconds:.0f}", f"{life.megabytes_a_minute:+.2f}", f"{life.megabytes:.0f}"
            )
        refused = [Text(f"not taken by the chain: {name}: {why}", "yellow") for name, why in self.refused.items()]
        end = "all is well" if self.well else "something is wrong"
        said = f"seed {self.seed}: {end}; settled {self.settled_after:.0f} s after the storm"
        return Group(happened, *refused, checks, memory, Text(said, "bold green" if self.well else "bold red"))


async def soak(toolchain: Toolchain, wanted: Wanted, tell: Tell) -> SoakReport:
    """Run it all. Raises what starting a devnet raises; everything that is started ends with it."""
    async with AsyncExitStack() as outside:
        report, watch = await _on_devnet(toolchain, wanted, tell, outside)
    alive = await watch.leaked()
    said = f"{len(watch.seen)} processes lived, all have ended" if not alive else f"still alive: {', '.join(alive)}"
    report.verdicts.append(Verdict("no process leaked", not alive, said))
    return report


async def _on_devnet(
    toolchain: Toolchain, wanted: Wanted, tell: Tell, stack: AsyncExitStack
) -> tuple[SoakReport, Watch]:
    rng = random.Random(wanted.seed)
    victim, first = rng.randint(1, wanted.nodes), rng.random() < 0.5
    tangles: list[Tangle] = []

    @asynccontextmanager
    async def before(nodes: Sequence[NodeProcess]) -> AsyncIterator[None]:
        async with tangled(nodes, victim, first) as tangle:
            tangles.append(tangle)
            yield

    options = DevnetOptions(nodes=wanted.nodes, prove_takeover=4.0)
    devnet = await stack.enter_async_context(
        running_devnet(toolchain, options, tell, wanted.directory, before_nodes=before)
    )
    user = await stack.enter_async_context(open_user(devnet.file(), devnet.model))
    tokens = await stack.enter_async_context(open_tokens(user))
    prover = await stack.enter_async_context(LocalProver([devnet.model], devnet=True, scratch=devnet.directory))
    watch = Watch(devnet)
    storm = Storm(devnet, tangles[0], watch, tell)
    tell("making ether and SOL known on both chains")
    audit = Audit(user, tokens, prover, await _prepared(tokens))
    traffic = Traffic(user, tokens, rng)
    started = time.monotonic()
    background = [asyncio.ensure_future(watch.run()), asyncio.ensure_future(audit.follow())]
    try:
        await _storm(storm, traffic, wanted, tell)
        tell("the storm is over; waiting until everything has settled")
        await storm.everybody_up()
        over = time.monotonic()
        caught_up = await audit.caught_up(SETTLE_SECONDS)
        await audit.settle(SETTLE_SECONDS)
        settled = time.monotonic() - over
        finished = await _finished(user, devnet, SETTLE_SECONDS)
        storm.note_ended()
        verdicts = [
            Verdict("both chains were read to their ends", caught_up, "final posts, from direct endpoints"),
            *await audit.verdicts(),
            finished,
            _nodes_lived(storm),
            _no_tracebacks(devnet),
            *_memory(watch),
        ]
    finally:
        for task in background:
            task.cancel()
        for task in background:
            with suppress(asyncio.CancelledError):
                await task
    lies = {endpoint.name: endpoint.lies for endpoint in tangles[0].poisoned.values()}
    tell(f"{audit.refunds} refunds were taken, {audit.redeemed} deliveries redeemed by hand")
    return SoakReport(
        wanted.seed, over - started, dict(storm.happened), dict(storm.missed), dict(traffic.sent), dict(traffic.failed),
        traffic.refused, lies, settled, verdicts, watch.slopes(),
    ), watch  # fmt: skip


async def _prepared(tokens: TokenUser) -> frozenset[Digest]:
    """Register ether and SOL, and wrap what the traffic will send; the registrations."""
    digests = [await tokens.register(name) for name in (ETHER, SOL)]
    for digest in digests:
        await tokens.follow(digest, lambda _: None, PREPARE_SECONDS, "confirmed")
    await tokens.solana.wrap(WRAP_LAMPORTS)
    return frozenset(digests)


async def _storm(storm: Storm, traffic: Traffic, wanted: Wanted, tell: Tell) -> None:
    faults = plan(wanted.seed, wanted.seconds, wanted.nodes)
    tell(f"seed {wanted.seed}: {len(faults)} faults within {wanted.seconds:.0f} s")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.run(stop, SEND_EVERY))
        try:
            begun = time.monotonic()
            await storm.run(faults)
            await asyncio.sleep(max(0.0, begun + wanted.seconds - time.monotonic()))
        finally:
            stop.set()


async def _finished(user: DevnetUser, devnet: Devnet, timeout: float) -> Verdict:
    """Whether every node itself has come to the end of every message it knows, in time."""
    deadline = time.monotonic() + timeout
    told: dict[int, object] = {}
    while time.monotonic() < deadline:
        for node in devnet.nodes:
            with suppress(aiohttp.ClientError, TimeoutError):  # it is busy; the next look tells
                async with user.http.get(f"{node.status_url}/health") as reply:
                    report = await reply.json()
                    told[node.identifier] = report["messages"] if report["ok"] else report
        if len(told) == len(devnet.nodes) and all(
            isinstance(one, dict) and set(one) <= {"confirmed", "expired"} for one in told.values()
        ):
            return Verdict(
                "every node finished every message", True, "; ".join(f"node {n}: {one}" for n, one in told.items())
            )
        await asyncio.sleep(1.0)
    return Verdict("every node finished every message", False, "; ".join(f"node {n}: {one}" for n, one in told.items()))


def _nodes_lived(storm: Storm) -> Verdict:
    return Verdict("no node gave up", not storm.ended, "; ".join(storm.ended) or "only those ended that were killed")


def _no_tracebacks(devnet: Devnet) -> Verdict:
    broken = []
    for node in devnet.nodes:
        log = (node.directory / "node.log").read_text(errors="replace")
        where = log.find("Traceback")
        if where >= 0:
            broken.append(f"node {node.identifier}: {log[where : where + 2_000]}")
    return Verdict(
        "no node met an error that it did not expect", not broken, "; ".join(broken) or "no traceback in a log"
    )


def _memory(watch: Watch) -> list[Verdict]:
    slopes = watch.slopes()
    judged = [one for one in slopes if one.judged]
    steep = [
        f"node {one.node} {one.megabytes_a_minute:+.1f} MB/min" for one in judged if one.megabytes_a_minute > MAX_SLOPE
    ]
    if not judged:
        longest = max((one.seconds for one in slopes), default=0.0)
        said = f"not judged: no node lived for {JUDGED_SECONDS:.0f} s beyond its first minute (the longest {longest:.0f} s)"
        return [Verdict("memory is flat", True, said)]
    said = f"{len(judged)} nodes, at most {max(one.megabytes_a_minute for one in judged):+.2f} MB a minute"
    return [Verdict("memory is flat", not steep, ", ".join(steep) or said)]
