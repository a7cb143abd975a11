"""Storm after storm over a devnet that somebody works with (`sibyl devnet up --chaos`), until it is told to stop."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from oracle.app.chaos.plan import plan
from oracle.app.chaos.storm import Storm
from oracle.app.chaos.tangle import Tangle, tangled
from oracle.app.chaos.watch import Watch
from oracle.app.devnet.network import Devnet
from oracle.app.devnet.nodes import NodeProcess
from oracle.errors import ChainError

STORM_SECONDS = 600.0
"""Of one plan of faults; the next follows at once."""

Tell = Callable[[str], None]


class Weather:
    """Faults by `seed` for one devnet. A node that gives up by itself ends it: nothing here may make one do that."""

    def __init__(self, seed: int, tell: Tell) -> None:
        self._rng = random.Random(seed)
        self._tell = tell
        self._tangle: Tangle | None = None

    @asynccontextmanager
    async def tangling(self, nodes: Sequence[NodeProcess]) -> AsyncIterator[None]:
        """Lead the nodes' configurations through wires that can fail (for `running_devnet`, before its nodes start)."""
        victim, first = self._rng.randint(1, len(nodes)), self._rng.random() < 0.5
        async with tangled(nodes, victim, first) as self._tangle:
            yield

    @asynccontextmanager
    async def blowing(self, devnet: Devnet) -> AsyncIterator[None]:
        """Let faults happen while the block lasts. Raises ChainError, in a group, when a node gave up."""
        async with asyncio.TaskGroup() as group:
            storms = group.create_task(self._storms(devnet))
            try:
                yield
            finally:
                storms.cancel()

    async def _storms(self, devnet: Devnet) -> None:
        if self._tangle is None:
            raise RuntimeError("the devnet was started without its wires")
        storm = Storm(devnet, self._tangle, Watch(devnet), self._tell)
        while True:
            await storm.run(plan(self._rng.getrandbits(32), STORM_SECONDS, len(devnet.nodes)))
            if storm.ended:
                raise ChainError(f"A node gave up under chaos: {storm.ended[0]}")
