"""The processes of a devnet: which there were, which outlived it, and how much memory the nodes took over time.

It samples, so a process that lives for less than a second may go unseen. Memory is the resident set of a node's own process; its workers
come and go with the work.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from oracle.app.devnet.network import Devnet

SAMPLE_SECONDS = 1.0
WARM_UP_SECONDS = 60.0
"""The first minute of a process's life: libraries are loaded and caches fill."""
JUDGED_SECONDS = 300.0
"""Shorter than this, a slope says more of the moment than of a leak."""
MAX_SLOPE = 4.0
"""MB a minute that count as flat: a journal's index and the open works grow a little while there is traffic."""
GONE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Slope:
    """One life of one node's process: seconds that were fitted, MB a minute (least squares), and MB at the end."""

    node: int
    seconds: float
    megabytes_a_minute: float
    megabytes: float

    @property
    def judged(self) -> bool:
        """Whether it was watched for long enough to say anything."""
        return self.seconds >= JUDGED_SECONDS


def slope(points: list[tuple[float, float]]) -> float:
    """Of a least-squares line through (x, y); 0 for fewer than two different x."""
    count = len(points)
    mean_x, mean_y = (sum(column) / count for column in zip(*points, strict=True)) if points else (0.0, 0.0)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


@dataclass(slots=True)
class Watch:
    """Samples while `run` is under way."""

    devnet: Devnet
    clock: Callable[[], float] = time.monotonic
    seen: dict[tuple[int, float], str] = field(default_factory=dict)
    """Every process of the devnet, by id and time of birth, with its name."""
    memory: dict[tuple[int, int], list[tuple[float, float]]] = field(default_factory=dict)
    """By node and process id: (seconds, MB)."""

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Look once."""
        for child in (self.devnet.evm.child, self.devnet.solana.child):
            self._family(child.pid, child.name)
        for node in self.devnet.nodes:
            if node.child is None or node.child.exit_code is not None:
                continue
            resident = self._family(node.child.pid, node.child.name)
            if resident is not None:
                self.memory.setdefault((node.identifier, node.child.pid), []).append((self.clock(), resident / 2**20))

    def _family(self, pid: int, name: str) -> int | None:
        """Remember a process and what descends from it; its resident bytes, if it lives."""
        try:
            process = psutil.Process(pid)
            self.seen[pid, process.create_time()] = name
            for one in process.children(recursive=True):
                self.seen[one.pid, one.create_time()] = f"a child of {name}"
            resident: int = process.memory_info().rss
        except psutil.NoSuchProcess:
            return None
        return resident

    def slopes(self) -> list[Slope]:
        """The longest life of each node after its warm-up."""
        longest: dict[int, Slope] = {}
        for (node, _), points in self.memory.items():
            warm = [point for point in points if point[0] - points[0][0] >= WARM_UP_SECONDS] or points[-1:]
            one = Slope(node, warm[-1][0] - warm[0][0], 60 * slope(warm), points[-1][1])
            if node not in longest or one.seconds > longest[node].seconds:
                longest[node] = one
        return [longest[node] for node in sorted(longest)]

    async def leaked(self) -> list[str]:
        """Processes that still live some seconds after the devnet ended."""
        deadline = self.clock() + GONE_SECONDS
        while alive := [f"{name} ({pid})" for (pid, born), name in self.seen.items() if _lives(pid, born)]:
            if self.clock() > deadline:
                break
            await asyncio.sleep(0.2)
        return alive


def _lives(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() == born and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
