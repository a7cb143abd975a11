"""The committee epochs that one Sibyl program keeps (PROTOCOL.md §3, §7), for whoever rotates keys.

Guarantees: what is returned is the program's own account at its derived address, judged by the cluster's own clock. It trusts its endpoint
for that, as every reader of one endpoint does, and changes nothing.
"""

from dataclasses import dataclass

from solders.pubkey import Pubkey

from bridges.solana.client import Commitment, SolanaClient
from bridges.solana.clock import ClusterClock
from bridges.solana.layout import CommitteeAccount, ConfigAccount, ProgramAddresses
from oracle.errors import Transient
from oracle.protocol.errors import DecodeError
from oracle.protocol.types import Account, CommitteeEpoch, UnixSeconds


@dataclass(frozen=True, slots=True)
class CommitteeState:
    """One epoch: x-only group key (32 bytes) and parity; its signatures are taken from `valid_from` to `valid_until` (0: no end)."""

    epoch: CommitteeEpoch
    px: bytes
    parity: int
    valid_from: UnixSeconds
    valid_until: UnixSeconds


class SolanaCommitteeView:
    """Reads the epochs of the program `program` (32 bytes)."""

    def __init__(self, client: SolanaClient, program: Account) -> None:
        self._client = client
        self._addresses = ProgramAddresses(Pubkey(program))
        self._clock = ClusterClock(client)

    async def active(self, commitment: Commitment = "confirmed") -> CommitteeState:
        """The newest epoch that has begun by the cluster's clock. Raises Transient."""
        newest = await self.newest(commitment)
        if (await self._clock.read(commitment)).time >= newest.valid_from:
            return newest
        # At most one epoch is pending at a time, so the one before has begun.
        before = await self.epoch(CommitteeEpoch(newest.epoch - 1), commitment)
        if before is None:
            raise self._contradiction(f"Epoch {newest.epoch} has not begun, and the one before does not exist.")
        return before

    async def newest(self, commitment: Commitment = "confirmed") -> CommitteeState:
        """The newest epoch, whether it has begun or not: the next rotation must bring its number plus 1. Raises Transient."""
        account = (await self._client.accounts([self._addresses.config.address], commitment)).accounts[0]
        if account is None or account.vacant:
            raise Transient(f"There is no configured Sibyl program at {self._addresses.program} yet. Check its id.")
        try:
            current = ConfigAccount.decode(account, self._addresses.program).current_epoch
        except DecodeError as error:
            raise self._contradiction(str(error)) from error
        found = await self.epoch(current, commitment)
        if found is None:  # vetoed between the two reads, or the endpoint is behind
            raise self._contradiction(f"Its newest epoch {current} does not exist (any more).")
        return found

    async def epoch(self, epoch: CommitteeEpoch, commitment: Commitment = "confirmed") -> CommitteeState | None:
        """One epoch; None when it does not exist (yet, or any more). Raises Transient."""
        address = self._addresses.committee(epoch).address
        account = (await self._client.accounts([address], commitment)).accounts[0]
        if account is None or account.vacant:
            return None
        try:
            found = CommitteeAccount.decode(account, self._addresses.program)
        except DecodeError as error:
            raise self._contradiction(str(error)) from error
        return CommitteeState(
            found.epoch, found.group_key_x, found.group_key_parity, found.valid_from, found.valid_until
        )

    def _contradiction(self, what: str) -> Transient:
        return Transient(
            f"The Solana RPC endpoint contradicts the program {self._addresses.program}. {what} Ask again, or use another endpoint."
        )
