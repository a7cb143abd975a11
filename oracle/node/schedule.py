"""Periodic work beside the pipeline, by APScheduler: a look at the node's own health, and forgetting what is long over.

Never in the pipeline's way: each job is short, runs at most once at a time, and a late one is skipped rather than made up for. Nothing here decides
what is signed or delivered, so a job that fails is logged and counted, and the node goes on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from oracle.node.core import Node
from oracle.node.status import health

log = structlog.get_logger("sibyl.schedule")

HEALTH_SECONDS = 30


@asynccontextmanager
async def periodic_work(node: Node) -> AsyncIterator[AsyncIOScheduler]:
    """Run the jobs while the block lasts."""
    scheduler = AsyncIOScheduler(
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": HEALTH_SECONDS}
    )
    scheduler.add_job(report_health, "interval", seconds=HEALTH_SECONDS, args=[node], id="health")
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown(wait=False)


def report_health(node: Node) -> None:
    """Log how the node is, as a warning when a chain has not been read for too long, and refresh the gauges."""
    well, report = health(node)
    node.metrics.open_works.set(sum(1 for _ in node.pipeline.open_works()))
    (log.info if well else log.warning)("health", **report)
