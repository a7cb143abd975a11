"""The operator's window: `/health` (JSON) and `/metrics` (Prometheus), read-only, on a port of their own (loopback by default)."""

import time
from collections import Counter

from aiohttp import web

from oracle.node.core import Node

STALE_SECONDS = 60.0
"""A chain that has not been read for this long makes the node unhealthy."""


def health(node: Node) -> tuple[bool, dict[str, object]]:
    """Whether the node is well, and what it is doing."""
    now = time.monotonic()
    chains = {}
    for origin, reader in node.readers.items():
        age = None if reader.last_success is None else round(now - reader.last_success, 3)
        chains[str(origin.chain)] = {
            "cursor": reader.cursor,
            "seconds_since_read": age,
            "last_error": reader.last_error,
        }
    well = all(
        reader.last_success is not None and now - reader.last_success < STALE_SECONDS
        for reader in node.readers.values()
    )
    stages = Counter(work.stage.value for work in node.pipeline.works())
    return well, {
        "ok": well,
        "member": node.member.identifier,
        "committee": list(node.member.committee),
        "chains": chains,
        "messages": dict(stages),
    }


def application(node: Node) -> web.Application:
    """The aiohttp application."""

    async def get_health(_: web.Request) -> web.Response:
        well, report = health(node)
        return web.json_response(report, status=200 if well else 503)

    async def get_metrics(_: web.Request) -> web.Response:
        node.metrics.open_works.set(sum(1 for _ in node.pipeline.open_works()))
        return web.Response(body=node.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.add_routes([web.get("/health", get_health), web.get("/metrics", get_metrics)])
    return app
