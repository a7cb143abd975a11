"""Takes back what deliveries left behind that were cut short: at a node's start, and from time to time.

Only Solana has such leftovers: the rent of proofs that were uploaded for a request which somebody else then answered, or which ran out. Never in
the way of a delivery: what fails here is logged and tried again, and nothing waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import structlog

from oracle.app.chains import ChainPorts
from oracle.errors import SibylError

log = structlog.get_logger("sibyl.tidy")

REST_SECONDS = 600.0
"""Between two looks: longer than most requests last."""
LOOK_SECONDS = 120.0
"""The longest that one look at a chain may take."""


@asynccontextmanager
async def tidying(chains: Sequence[ChainPorts], rest: float = REST_SECONDS) -> AsyncIterator[None]:
    """Tidy at once and then every `rest` seconds, while the block lasts."""

    async def tidy_on() -> None:
        while True:
            for chain in chains:
                await _tidy(chain)
            await asyncio.sleep(rest)

    task = asyncio.ensure_future(tidy_on())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _tidy(chain: ChainPorts) -> None:
    if chain.tidy is None:
        return
    name = str(chain.submitter.destination.chain)
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            closed = await chain.tidy()
    except (SibylError, TimeoutError) as error:
        log.warning("leftovers not looked through", chain=name, error=str(error) or type(error).__name__)
        return
    if closed:
        log.info("proofs that nobody waits for closed, their rent taken back", chain=name, closed=closed)
