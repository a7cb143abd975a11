"""Lets the faults of a plan happen to a running devnet, and undoes each of them when its time is over, also when it is cancelled.

Afterwards every wire is whole, every endpoint honest, and every node runs. A node that ended although nobody killed it is noted with the end of
its log: no fault here may make one give up.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

from oracle.app.chaos.plan import Fault, What
from oracle.app.chaos.poison import Mode
from oracle.app.chaos.tangle import Tangle
from oracle.app.chaos.watch import Watch
from oracle.app.chaos.wires import Wire
from oracle.app.devnet.network import Devnet
from oracle.app.devnet.nodes import NodeProcess
from oracle.app.devnet.process import Child

RPC_SECONDS = 10.0
BACK_SECONDS = 240.0
"""How long a node may take to come back on a busy machine."""
LOG_TAIL = 1_200

Tell = Callable[[str], None]


@dataclass(slots=True)
class Storm:
    """Faults for one devnet. `happened` counts those that did; `ended` are nodes that gave up by themselves."""

    devnet: Devnet
    tangle: Tangle
    watch: Watch
    tell: Tell
    happened: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Faults that found nothing to happen to: a node that was dead already, a chain that did not answer."""
    ended: list[str] = field(default_factory=list)
    _down: set[int] = field(default_factory=set)

    async def run(self, faults: Sequence[Fault]) -> None:
        """Let all of them happen, at their times."""
        begun = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for fault in faults:
                    await asyncio.sleep(max(0.0, begun + fault.at - time.monotonic()))
                    self.note_ended()
                    group.create_task(self._happen(fault), name=fault.what.value)
        finally:
            self.calm()

    def calm(self) -> None:
        """Mend every wire, and let every endpoint tell the truth."""
        for wire in self.tangle.wires:
            wire.mend()
        for endpoint in self.tangle.poisoned.values():
            endpoint.lie(Mode.HONEST)

    async def everybody_up(self) -> None:
        """Start whoever does not run, and wait for all. Raises ChainError with the log's end of one that does not come."""
        self.note_ended()
        for node in self.devnet.nodes:
            if node.child is None:
                await node.start()
        await asyncio.gather(*(node.until_ready(BACK_SECONDS) for node in self.devnet.nodes))

    def note_ended(self) -> None:
        """Look for nodes that gave up, and let them be started again."""
        for node in self.devnet.nodes:
            if node.child is not None and node.child.exit_code is not None and node.identifier not in self._down:
                log = (node.directory / "node.log").read_text(errors="replace")[-LOG_TAIL:]
                self.ended.append(f"node {node.identifier} ended with status {node.child.exit_code}: {log}")
                node.child = None

    # ---- one fault ----

    async def _happen(self, fault: Fault) -> None:
        node = self.devnet.nodes[fault.node - 1]
        wires = self.tangle.wires
        wire = wires[int(fault.pick * len(wires))]
        match fault.what:
            case What.DELAY:
                chosen = self.tangle.of_node(fault.node) if fault.pick > 0.7 else [wire]
                done = await self._wires(fault, chosen, lambda one: setattr(one, "delay", fault.strength))
            case What.SILENCE:
                done = await self._wires(fault, [wire], lambda one: setattr(one, "silent", True))
            case What.CUT:
                done = await self._wires(fault, [wire], Wire.cut)
            case What.PARTITION:
                chosen = self.tangle.of_node(fault.node)
                done = await self._wires(fault, chosen, lambda one: setattr(one, "silent", True))
            case What.KILL:
                done = await self._kill(fault, node)
            case What.FREEZE:
                done = await self._frozen(fault, node.child)
            case What.STALL:
                chain = self.devnet.evm if fault.chain == "evm" else self.devnet.solana
                done = await self._frozen(fault, chain.child)
            case What.REORG:
                done = await self._reorg(fault)
            case What.POISON:
                done = await self._poison(fault)
        (self.happened if done else self.missed)[fault.what.value] += 1

    def _said(self, fault: Fault, what: str = "") -> None:
        self.tell(f"{fault}{f' ({what})' if what else ''}")

    async def _wires(self, fault: Fault, wires: Sequence[Wire], fail: Callable[[Wire], None]) -> bool:
        self._said(fault, wires[0].name if len(wires) == 1 else "all of its wires")
        for wire in wires:
            fail(wire)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            for wire in wires:
                wire.mend()
        return True

    async def _kill(self, fault: Fault, node: NodeProcess) -> bool:
        if node.child is None or node.identifier in self._down:
            return False
        self._said(fault)
        self._down.add(node.identifier)
        try:
            self.watch.sample()
            await node.kill()
            await asyncio.sleep(fault.lasts)
            await node.start()
        finally:
            self._down.discard(node.identifier)
        return True

    async def _frozen(self, fault: Fault, child: Child | None) -> bool:
        if child is None or child.exit_code is not None:
            return False
        self._said(fault)
        os.kill(child.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            # Not to whoever has this id by then, should the process have been killed meanwhile.
            if child.exit_code is None:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGCONT)
        return True

    async def _reorg(self, fault: Fault) -> bool:
        body = {"jsonrpc": "2.0", "id": 1, "method": "anvil_reorg", "params": [int(fault.strength), []]}
        timeout = aiohttp.ClientTimeout(total=RPC_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(self.devnet.evm.rpc_url, json=body) as got,
            ):
                answer = await got.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False  # it stands still
        if "error" in answer:
            self.tell(f"no reorg: {answer['error']}")
            return False
        self._said(fault)
        return True

    async def _poison(self, fault: Fault) -> bool:
        endpoint = self.tangle.poisoned[fault.chain]
        if endpoint.mode is not Mode.HONEST:
            return False
        self._said(fault)
        endpoint.lie(fault.mode)
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            endpoint.lie(Mode.HONEST)
        return True
