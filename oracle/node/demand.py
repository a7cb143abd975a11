"""Proofs on demand: of answers under RECOMPUTED, which the committee signed without one (PROTOCOL.md §4).

Anyone may ask, so what asking can cost is bounded: a request that was paid for is proven at most once here, one at a time, behind a short queue,
and only while the node still keeps the request. A proof that was checked is kept and shown like every other; nothing is signed or delivered for it.
A demand is not journalled: after a restart it is made again by whoever still waits.
"""

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

import structlog

from oracle.errors import SibylError
from oracle.pipeline import Work
from oracle.protocol.errors import ProtocolError
from oracle.protocol.types import Digest, Kind, Status

if TYPE_CHECKING:
    from oracle.node.core import Node

log = structlog.get_logger("sibyl.node")

MAX_WAITING = 32
"""Demands that wait for their turn."""


class Demand(Enum):
    """What became of a demand."""

    UNKNOWN = "unknown"
    """This node does not keep that request (any more)."""
    NOTHING = "nothing to prove"
    """No request, or none that this node answered."""
    FULL = "full"
    WAITING = "waiting"
    DONE = "done"


class ProofDesk:
    """Takes demands, and makes one proof after the other for one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._waiting: asyncio.Queue[Digest] = asyncio.Queue(MAX_WAITING)
        self._known: set[Digest] = set()

    def demand(self, request_id: Digest) -> Demand:
        """Ask for the proof of an answered request; repeat to hear when it is there."""
        work = self._node.pipeline.work(request_id)
        if work is None:
            return Demand.UNKNOWN
        if work.proof_id is not None:
            return Demand.DONE
        if not _provable(work):
            return Demand.NOTHING
        if request_id in self._known:
            return Demand.WAITING
        if self._waiting.full():
            return Demand.FULL
        self._known.add(request_id)
        self._waiting.put_nowait(request_id)
        return Demand.WAITING

    async def serve(self) -> None:
        """Make what is demanded until cancelled. A proof that fails is demanded again by whoever wants it."""
        while True:
            request_id = await self._waiting.get()
            try:
                await self._prove(request_id)
            except (SibylError, ProtocolError) as error:
                self._node.metrics.failed("demand", error)
                log.warning("no proof on demand", request=request_id.hex()[:16], error=str(error))
            finally:
                self._known.discard(request_id)

    async def _prove(self, request_id: Digest) -> None:
        work = self._node.pipeline.work(request_id)
        if work is None or work.proof_id is not None or not _provable(work):
            return
        proof_id = await self._node.duties.make_proof(work)
        log.info("proved on demand", request=request_id.hex()[:16], proof=proof_id.hex()[:16])


def _provable(work: Work) -> bool:
    """Whether this node answered the request: what is on its way to be proven anyhow is left to its own duty."""
    answered = work.outcome is not None and work.outcome.status is Status.ANSWERED
    return work.message.kind is Kind.INFERENCE_REQUEST and answered and work.ready_at is not None
