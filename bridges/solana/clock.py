"""The cluster's own clock (the Clock sysvar), now and at finality.

Guarantees: `final` names a time only together with a slot that the cluster has finalised, so whatever is later than both can rest on it. The
cluster's clock never goes back. Whether a slot is final is asked for separately, because some nodes answer account reads for newer slots
than the commitment that they were asked for.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey
from solders.sysvar import CLOCK

from bridges.solana.client import Commitment, SolanaClient
from oracle.errors import Transient
from oracle.protocol.types import UnixSeconds

SYSVAR: Final = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
"""Owner of the cluster's own accounts."""
MAX_SIGHTINGS: Final = 64
"""Observations that wait for finality at a time, each of another second."""
_SIZE: Final = 40
_TIME_AT: Final = 32


@dataclass(frozen=True, slots=True)
class Sighting:
    """The clock of one slot."""

    slot: int
    time: UnixSeconds


class ClusterClock:
    """Reads the clock of the client's cluster."""

    def __init__(self, client: SolanaClient) -> None:
        self._client = client
        self._waiting: deque[Sighting] = deque()
        self._final: Sighting | None = None

    async def read(self, commitment: Commitment = "confirmed") -> Sighting:
        """The clock now. Raises Transient."""
        snapshot = await self._client.accounts([CLOCK], commitment)
        account = snapshot.accounts[0]
        if account is None or account.owner != SYSVAR or len(account.data) != _SIZE:
            raise Transient("The Solana RPC endpoint shows no clock. Use another endpoint.")
        slot = max(snapshot.slot, int.from_bytes(account.data[:8], "little"))
        seconds = int.from_bytes(account.data[_TIME_AT:], "little", signed=True)
        return Sighting(slot, UnixSeconds(max(0, seconds)))

    async def final(self) -> Sighting | None:
        """The newest clock seen that the cluster has finalised; None when nothing seen is final yet. Raises Transient."""
        seen = await self.read("finalized")
        newest = self._waiting[-1] if self._waiting else self._final
        if (newest is None or seen.time > newest.time) and len(self._waiting) < MAX_SIGHTINGS:
            self._waiting.append(seen)
        final_slot = await self._client.slot("finalized")
        while self._waiting and self._waiting[0].slot <= final_slot:
            self._final = self._waiting.popleft()
        return self._final
