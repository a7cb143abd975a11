"""Keeps proofs from taking more memory than there is: one that does not fit waits for those that run, or is refused, and nothing is swapped.

What a proof needs is estimated from its proving key (measured: 38 MB and 2.2 times the key; counted here with a margin). What there is: the free
memory of the machine, or of the control group when that is less, and what the pool's own workers hold already. Does not do: limit a process that
takes more than it was thought to (its deadline ends it), or see what another program takes a moment later.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

from circuits.errors import MemoryShortError

MIB: Final = 1 << 20
BASE: Final = 64 * MIB
"""A worker with its libraries and a small circuit."""
KEYS: Final = 4
"""Times the proving key's size."""
RESERVE: Final = 128 * MIB
"""What is left for everything else."""
_GROUP: Final = Path("/sys/fs/cgroup")


def proof_memory(proving_key: int) -> int:
    """Bytes that proving needs under a proving key of so many bytes."""
    return BASE + KEYS * proving_key


def available_memory(group: Path = _GROUP) -> int:
    """Bytes that processes can take without swapping."""
    free = int(psutil.virtual_memory().available)
    try:
        most, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return min(free, max(0, int(most) - int(used)))
    except (OSError, ValueError):  # no such group, or “max”: no limit
        return free


def resident(pids: tuple[int, ...]) -> int:
    """Bytes that these processes hold; one that has ended holds none."""
    total = 0
    for pid in pids:
        try:
            total += int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            continue
    return total


class MemoryGuard:
    """Hands out memory that is there. `held` tells what the pool's workers hold now: a job will use that first."""

    def __init__(self, held: Callable[[], int], available: Callable[[], int] = available_memory) -> None:
        self._held, self._available = held, available
        self._promised: dict[object, int] = {}
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def room(self, need: int) -> AsyncIterator[None]:
        """Hold `need` bytes for the block; waits while others hold what is missing.

        Raises MemoryShortError when it would not fit even if this were the only one.
        """
        if need <= 0:
            yield
            return
        while need + sum(self._promised.values()) > (total := self._total()):
            if not self._promised:
                raise MemoryShortError(
                    f"The proof needs about {need // MIB:,} MB of memory, and {max(0, total) // MIB:,} MB can be had. "
                    "Give this machine more, end other programs, or use a smaller circuit."
                )
            await self._freed.wait()
        mark = object()
        self._promised[mark] = need
        try:
            yield
        finally:
            del self._promised[mark]
            self._freed.set()
            self._freed = asyncio.Event()

    def _total(self) -> int:
        return self._available() + self._held() - RESERVE
