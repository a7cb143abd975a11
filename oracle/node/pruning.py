"""Forgetting what is long over, in a node that runs: bounded memory, and a journal that does not grow for ever (`Retention`).

`prune` is meant to be called every few minutes. It works in small pieces, and between two of them everything else of the node has its turn;
what it does not get done in one call the next one does. On disk first, then in memory, like every step of the node; after a crash in
between the work is just not there any more. Nothing for which anything is owed is ever touched: what was given up is dropped first, by an
event of its own, when it is long dead, and a message that can still expire stays until its sender was told.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from oracle.pipeline import Dropped, Millis

if TYPE_CHECKING:
    from oracle.node.core import Node

log = structlog.get_logger("sibyl.node")

PIECE = 100
"""Works that are forgotten at a time: some milliseconds of the journal's thread."""
MOST = 10_000
"""Works that one call forgets."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call did: works that were forgotten, messages that were dropped."""

    forgotten: int
    dropped: int


async def prune(node: "Node", now: Millis) -> Pruned:
    """Drop what is dead too long, and forget what is finished too long. Raises JournalError; then the rest stays for the next call."""
    dropped = await _drop(node, now)
    retention, forgotten = node.limits.retention, 0
    before = Millis(now - int(retention.finished_seconds * 1000))
    while forgotten < MOST:
        pipeline = node.pipeline
        over = pipeline.finished_beyond(retention.finished_works, PIECE) or pipeline.finished_before(before, PIECE)
        if not over:
            break
        await node.forget(over)
        forgotten += len(over)
    if dropped or forgotten:
        log.info("pruned", forgotten=forgotten, dropped=dropped)
    return Pruned(forgotten, dropped)


async def _drop(node: "Node", now: Millis) -> int:
    retention = node.limits.retention
    letters = [(work, letter) for work in node.pipeline.dead() for letter in work.dead]
    beyond = len(letters) - retention.dead_works
    letters.sort(key=lambda entry: entry[1].at)
    dropped = 0
    for position, (work, letter) in enumerate(letters):
        if position < beyond or letter.at < now - retention.dead_seconds * 1000:
            await node.record(Dropped(work.message.digest, letter.digest, letter.number, now))
            dropped += 1
    return dropped
