"""Messages under one committee signature that are to be delivered at the same time share a transaction (PROTOCOL.md §6, `deliver`).

The first that comes leads: it waits a moment for others, delivers all of them and tells them of it. Guarantees: a message whose signature covers
nothing else never waits; who follows is always answered, also when the leader fails or is cancelled; what a shared transaction did not deliver
comes back to its own caller, who tries it alone and learns why. It does not judge what was delivered: the caller asks the chain.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bridges.evm.answers import Mined
from oracle.errors import ChainError
from oracle.ports import Submission

GATHER_SECONDS = 0.1
MAX_DELIVERIES = 24
"""Of one transaction: at most some 2.5 million gas, and calldata far below what nodes relay."""

Deliver = Callable[[Sequence[Submission]], Awaitable[tuple[Mined, int]]]
"""Delivers all of them in one transaction; its receipt and the bytes of its calldata."""


@dataclass(frozen=True, slots=True)
class Share:
    """One message's part of a transaction: gas and calldata bytes divided evenly, rounded up."""

    transaction: str
    gas: int
    size: int


@dataclass(slots=True)
class _Gathering:
    submissions: list[Submission]
    done: "asyncio.Future[Share | None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Gatherer:
    """Brings deliveries of one gateway together, by the signature that covers them."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._open: dict[bytes, _Gathering] = {}

    async def deliver(self, submission: Submission) -> Share | None:
        """This message's share of a transaction that was to deliver it; None when there was none, or it failed as a whole."""
        attestation = submission.attestation
        if attestation is None or len(attestation.digests) == 1:
            return None
        gathering = self._open.get(attestation.signature)
        if gathering is not None:
            gathering.submissions.append(submission)
            if len(gathering.submissions) >= MAX_DELIVERIES:
                del self._open[attestation.signature]
            return await asyncio.shield(gathering.done)
        return await self._lead(attestation.signature, submission)

    async def _lead(self, signature: bytes, submission: Submission) -> Share | None:
        gathering = self._open[signature] = _Gathering([submission])
        share = None
        try:
            await asyncio.sleep(GATHER_SECONDS)
            self._close(signature, gathering)
            together = gathering.submissions
            if len(together) > 1:
                mined, size = await self._deliver(together)
                share = Share(mined.name, -(-mined.gas_used // len(together)), -(-size // len(together)))
        except ChainError:
            share = None  # one of them may be to blame: each is tried alone, and its own caller hears why
        finally:
            self._close(signature, gathering)
            gathering.done.set_result(share)
        return share

    def _close(self, signature: bytes, gathering: _Gathering) -> None:
        """Nobody joins any more. Another gathering under the same signature may be open by now."""
        if self._open.get(signature) is gathering:
            del self._open[signature]
