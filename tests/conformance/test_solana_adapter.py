"""The Solana adapter against the real program on surfnet, held to the rules of the ports."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridges.solana.reader import SolanaReader
from bridges.solana.submitter import SolanaSubmitter
from oracle.ports import ChainReader, ChainSubmitter
from oracle.protocol.message import Message
from oracle.protocol.types import Account
from tests.conformance.chain_suite import ReaderSuite, SubmitterSuite, World
from tests.support import samples
from tests.support.solana_world import SolanaNet, solana_net

pytestmark = pytest.mark.devnet


class SolanaWorld(World):
    """A program that knows the EVM gateway of the samples as its peer."""

    def __init__(self, net: SolanaNet) -> None:
        self.net, self.key, self.peer = net, net.key, samples.EVM

    def reader(self) -> ChainReader:
        return SolanaReader(self.net.client, self.net.program)

    def submitter(self) -> ChainSubmitter:
        return SolanaSubmitter(self.net.client, self.net.program, self.net.authority)

    async def post(self, payload: bytes) -> Message:
        return (await self.net.requester().send_message(self.peer, samples.CONSUMER, payload)).body

    async def finalise(self) -> None:
        await self.net.finalise()

    def recipient(self) -> Account:
        return samples.SOLANA_CONSUMER

    def unfinalised(self) -> bool:
        return True


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SolanaWorld]:
    async with solana_net(tmp_path) as net:
        yield SolanaWorld(net)


class TestSolana(ReaderSuite, SubmitterSuite):
    """All of the suite."""
