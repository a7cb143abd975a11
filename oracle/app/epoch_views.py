"""The committee epochs of each configured chain, by clients of their own.

What they say decides which of the node's keys signs and whether a rotation is due, never what else is signed: an endpoint that lies here can
delay and no more.
"""

from contextlib import AsyncExitStack

from bridges.evm.client import EvmClient
from bridges.evm.committee import CommitteeState as EvmState
from bridges.evm.committee import EvmCommitteeView
from bridges.solana.client import SolanaClient
from bridges.solana.committee import CommitteeState as SolanaState
from bridges.solana.committee import SolanaCommitteeView
from oracle.app.keyring import EpochView
from oracle.config import EvmConfig, NodeConfig, SolanaConfig
from oracle.protocol.finality import Depth, FinalizedTag
from oracle.protocol.types import Account, Chain, CommitteeEpoch, Endpoint, evm_account


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


async def epoch_views(config: NodeConfig, stack: AsyncExitStack) -> dict[Endpoint, EpochView]:
    """A view of each chain of the configuration. Raises ConfigError for an endpoint of another chain."""
    views: dict[Endpoint, EpochView] = {}
    for entry in config.evm:
        gateway = evm_account(_bytes(entry.gateway))
        client = await stack.enter_async_context(EvmClient([str(url) for url in entry.rpc_urls], entry.chain_id))
        finality = FinalizedTag() if entry.finality == "finalized" else Depth(entry.finality)
        views[evm_endpoint(entry)] = EvmEpochs(client, gateway, finality)
    for cluster in config.solana:
        program = Account(_bytes(cluster.program))
        reader = await stack.enter_async_context(SolanaClient(str(cluster.rpc_urls[0]), _bytes(cluster.genesis_hash)))
        views[solana_endpoint(cluster)] = SolanaEpochs(SolanaCommitteeView(reader, program), program)
    return views


def evm_endpoint(config: EvmConfig) -> Endpoint:
    """The gateway of an EVM chain."""
    return Endpoint(Chain.evm(config.chain_id), evm_account(_bytes(config.gateway)))


def solana_endpoint(config: SolanaConfig) -> Endpoint:
    """The program of a Solana cluster."""
    return Endpoint(Chain.solana(_bytes(config.genesis_hash)), Account(_bytes(config.program)))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
