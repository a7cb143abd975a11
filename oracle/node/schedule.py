"""Periodic work beside the pipeline, by APScheduler: looks at the node's health, at peers, money and keys; forgets what is long over.

Never in the pipeline's way: each job is short, runs at most once at a time, and a late one is skipped rather than made up for. Nothing here decides
what is signed or delivered, so a job that fails is logged and counted, shown in the status, and the node goes on. Jobs keep nothing between
processes: each runs when the node starts, so a restart makes none of them late.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from oracle.node.care import Care, JobState
from oracle.node.core import Node
from oracle.node.pruning import prune
from oracle.node.status import health

log = structlog.get_logger("sibyl.schedule")

HEALTH_SECONDS = 30
PEERS_SECONDS = 10
MONEY_SECONDS = 60
KEYS_SECONDS = 6 * 3600
PRUNE_SECONDS = 300


@asynccontextmanager
async def periodic_work(node: Node, care: Care | None = None) -> AsyncIterator[AsyncIOScheduler]:
    """Run the jobs while the block lasts."""
    watched = care or Care()

    async def look_at_health() -> None:
        report_health(node, watched)

    async def forget_what_is_over() -> None:
        await prune(node, node.clock())

    works: dict[str, tuple[float, Callable[[], Awaitable[None]]]] = {
        "health": (HEALTH_SECONDS, look_at_health),
        "peers": (PEERS_SECONDS, watched.look_at_peers),
        "money": (MONEY_SECONDS, watched.look_at_money),
        "keys": (KEYS_SECONDS, watched.look_at_keys),
        "prune": (PRUNE_SECONDS, forget_what_is_over),
    }
    scheduler = AsyncIOScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": HEALTH_SECONDS}
    )
    running: dict[str, asyncio.Future[None]] = {}

    async def start(name: str, work: Callable[[], Awaitable[None]]) -> None:
        # The scheduler says when; the task is this block's own, which ends it in good order.
        before = running.get(name)
        if before is None or before.done():
            running[name] = asyncio.ensure_future(watched.run_job(name, work))
            if before is not None:
                before.result()  # an error that was not expected: the scheduler logs it, and the job goes on

    for name, (seconds, work) in works.items():
        watched.jobs[name] = JobState(name, seconds)
        # The first look at health comes after its interval: at the start no chain has been read yet.
        first = {} if name == "health" else {"next_run_time": datetime.now(UTC)}
        scheduler.add_job(start, "interval", seconds=seconds, args=[name, work], id=name, **first)
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown(wait=False)
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)


def report_health(node: Node, care: Care | None = None) -> None:
    """Log how the node is, as a warning when a chain has not been read for too long, and refresh the gauges."""
    well, report = health(node, care)
    node.metrics.open_works.set(sum(1 for _ in node.pipeline.open_works()))
    (log.info if well else log.warning)("health", **report)
