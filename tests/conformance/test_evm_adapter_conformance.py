"""The EVM adapter on a real anvil, held to the rules of the ports."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bridges.evm.reader import EvmReader
from bridges.evm.submitter import EvmSubmitter
from oracle.ports import ChainReader, ChainSubmitter, Cursor
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message
from oracle.protocol.types import Account, evm_account
from tests.conformance.chain_suite import ReaderSuite, SubmitterSuite, World
from tests.support import samples
from tests.support.evm_chain import RECEIVER, Anvil, Deployed, anvil, deployed

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]
RECIPIENT = evm_account(samples.seeded("recipient", 20))


class EvmWorld(World):
    """Contracts of their own on the module's anvil."""

    def __init__(self, contracts: Deployed) -> None:
        self.contracts, self.key, self.peer = contracts, contracts.key, samples.SOLANA

    def reader(self) -> ChainReader:
        return EvmReader(self.contracts.client, self.contracts.gateway, start_block=self.contracts.deployment.block)

    def submitter(self) -> ChainSubmitter:
        return EvmSubmitter(self.contracts.sender(), self.contracts.gateway, self.contracts.hub)

    async def post(self, payload: bytes) -> Message:
        to = InteropAddress(self.peer.chain, samples.SOLANA_CONSUMER)
        return (await self.contracts.requester().send_message(to, payload)).body

    async def finalise(self) -> None:
        await self.contracts.anvil.mine()

    def recipient(self) -> Account:
        return RECIPIENT

    def unfinalised(self) -> bool:
        return True

    async def first_cursor(self) -> Cursor:
        return Cursor(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    async with anvil(tmp_path_factory.mktemp("anvil")) as running:
        await running.set_code("0x" + RECIPIENT[12:].hex(), RECEIVER)
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def world(chain: Anvil) -> AsyncIterator[World]:
    async with deployed(chain) as contracts:
        yield EvmWorld(contracts)


class TestEvmAdapter(ReaderSuite, SubmitterSuite):
    """All of the suite."""
