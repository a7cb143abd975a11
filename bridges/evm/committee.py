"""The committee epochs that one Committee contract keeps (PROTOCOL.md §3, §6), for whoever rotates keys.

Guarantees: what is returned was the contract's state at one final block, judged by that block's clock. It trusts its endpoint for that, as every
reader of one endpoint does. `propose_rotation` posts a rotation; whether the committee signs it is decided elsewhere.
"""

from dataclasses import dataclass
from typing import Any

from bridges.evm.abi import Interface, account_of, address_of, interface
from bridges.evm.answers import Mined
from bridges.evm.client import EvmClient
from bridges.evm.finality import ask_at, final_header
from bridges.evm.sender import Call, Sender
from oracle.errors import DecodeError, Transient
from oracle.protocol.finality import Finality, FinalizedTag
from oracle.protocol.types import Account, CommitteeEpoch, UnixSeconds


@dataclass(frozen=True, slots=True)
class CommitteeState:
    """One epoch: x-only group key (32 bytes) and parity; its signatures are taken from `valid_from` to `valid_until` (0: no end).

    `threshold` of `members` sign.
    """

    epoch: CommitteeEpoch
    px: bytes
    parity: int
    valid_from: UnixSeconds
    valid_until: UnixSeconds
    threshold: int
    members: int


class EvmCommitteeView:
    """Reads the epochs of one Committee contract."""

    def __init__(self, client: EvmClient, committee: Account, finality: Finality | None = None) -> None:
        self._client = client
        self._address = address_of(committee)
        self._finality = finality or FinalizedTag()
        self._abi: Interface = interface("Committee")

    @classmethod
    async def of_gateway(
        cls, client: EvmClient, gateway: Account, finality: Finality | None = None
    ) -> "EvmCommitteeView":
        """The committee whose signatures a gateway takes. Raises Transient."""
        return cls(client, await committee_of(client, gateway), finality)

    @property
    def account(self) -> Account:
        """The contract, left-padded: sender and recipient of its rotations."""
        return account_of(self._address)

    async def active(self) -> CommitteeState:
        """The newest epoch that has begun. Raises Transient, also before the first key."""
        return await self._state("activeEpoch")

    async def newest(self) -> CommitteeState:
        """The newest epoch, begun or not: the next rotation must bring its number plus 1. Raises Transient."""
        return await self._state("newestEpoch")

    async def epoch(self, epoch: CommitteeEpoch) -> CommitteeState | None:
        """One epoch; None when it does not exist (yet, or any more). Raises Transient."""
        newest = await self.newest()
        if not 1 <= epoch <= newest.epoch:
            return None
        return newest if epoch == newest.epoch else await self._key(epoch)

    async def _state(self, function: str) -> CommitteeState:
        epoch = int((await self._ask(function))[0])
        if epoch == 0:
            raise Transient(f"The committee contract {self._address} on {self._client.chain} has no group key yet.")
        return await self._key(CommitteeEpoch(epoch))

    async def _key(self, epoch: CommitteeEpoch) -> CommitteeState:
        px, parity, begin, end, threshold, members = (await self._ask("groupKey", epoch))[0]
        return CommitteeState(
            epoch, int(px).to_bytes(32), parity, UnixSeconds(begin), UnixSeconds(end), threshold, members
        )

    async def _ask(self, function: str, *arguments: object) -> tuple[Any, ...]:
        block = await final_header(self._client, self._finality)
        if block is None:
            raise Transient(f"{self._client.chain} has no final block yet.")
        answers = await ask_at(self._client, block, self._address, self._abi.encode(function, *arguments))
        return _decoded(self._abi, function, answers.answers[0])


async def committee_of(client: EvmClient, gateway: Account) -> Account:
    """The Committee contract of a gateway, which never changes. Raises Transient."""
    abi = interface("Gateway")
    answer = await client.call(address_of(gateway), abi.encode("committee"))
    return account_of(str(_decoded(abi, "committee", answer)[0]))


async def propose_rotation(sender: Sender, committee: Account, payload: bytes) -> Mined:
    """Post a rotation (its payload is `oracle.protocol.message.Rotation`). Raises Rejected with the contract's reason, or Transient."""
    return await sender.send(Call(address_of(committee), interface("Committee").encode("proposeRotation", payload)))


def _decoded(abi: Interface, function: str, answer: bytes) -> tuple[Any, ...]:
    try:
        return abi.decode(function, answer)
    except DecodeError as error:
        raise Transient(str(error)) from error
