"""The committee epochs of a chain, as each of its endpoints tells them, and as enough of them agree.

They decide which of the node's keys signs and whether a rotation is due, so they are believed like everything else that a signature rests on: what
k of m endpoints say alike, and nothing that fewer say.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bridges.evm.client import EvmClient
from bridges.evm.committee import CommitteeState as EvmState
from bridges.evm.committee import EvmCommitteeView
from bridges.solana.committee import CommitteeState as SolanaState
from bridges.solana.committee import SolanaCommitteeView
from oracle.app.keyring import EpochState, EpochView
from oracle.node.agreement import Endpoints
from oracle.protocol.finality import Depth, FinalizedTag
from oracle.protocol.types import Account, CommitteeEpoch

T = TypeVar("T")


class EvmEpochs:
    """The epochs of a gateway's Committee contract at a final block; the contract is looked up at the first question."""

    def __init__(self, client: EvmClient, gateway: Account, finality: Depth | FinalizedTag) -> None:
        self._client, self._gateway, self._finality = client, gateway, finality
        self._found: EvmCommitteeView | None = None

    async def view(self) -> EvmCommitteeView:
        """The contract's view. Raises Transient."""
        if self._found is None:
            self._found = await EvmCommitteeView.of_gateway(self._client, self._gateway, self._finality)
        return self._found

    async def keeper(self) -> Account:
        """The contract."""
        return (await self.view()).account

    async def active(self) -> EvmState:
        """The newest that has begun."""
        return await (await self.view()).active()

    async def newest(self) -> EvmState:
        """The newest."""
        return await (await self.view()).newest()

    async def epoch(self, epoch: CommitteeEpoch) -> EvmState | None:
        """One of them, if it exists."""
        return await (await self.view()).epoch(epoch)


class SolanaEpochs:
    """A Solana program's epochs at the finalized commitment."""

    def __init__(self, view: SolanaCommitteeView, program: Account) -> None:
        self._view, self._program = view, program

    async def keeper(self) -> Account:
        """The program itself."""
        return self._program

    async def active(self) -> SolanaState:
        """The newest that has begun."""
        return await self._view.active("finalized")

    async def newest(self) -> SolanaState:
        """The newest."""
        return await self._view.newest("finalized")

    async def epoch(self, epoch: CommitteeEpoch) -> SolanaState | None:
        """One of them, if it exists."""
        return await self._view.epoch(epoch, "finalized")


class AgreedEpochs:
    """Epochs that enough endpoints tell alike."""

    def __init__(self, endpoints: Endpoints[EpochView]) -> None:
        self._endpoints = endpoints

    async def keeper(self) -> Account:
        """The account that keeps the group keys. Raises Transient."""
        return await self._agreed("the keeper of the group keys", lambda view: view.keeper())

    async def active(self) -> EpochState:
        """The newest that has begun. Raises Transient."""
        return await self._agreed("the active epoch", lambda view: view.active())

    async def newest(self) -> EpochState:
        """The newest. Raises Transient."""
        return await self._agreed("the newest epoch", lambda view: view.newest())

    async def epoch(self, epoch: CommitteeEpoch) -> EpochState | None:
        """One of them, if it exists. Raises Transient."""
        return await self._agreed(f"epoch {epoch}", lambda view: view.epoch(epoch))

    async def _agreed(self, what: str, question: Callable[[EpochView], Awaitable[T]]) -> T:
        return await self._endpoints.agreed(what, lambda _, view: question(view))
