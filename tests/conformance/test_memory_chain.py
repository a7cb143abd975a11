"""The chain in memory, held to the rules of the ports."""

import pytest

from oracle.errors import Reorged, Transient
from oracle.ports import ChainReader, ChainSubmitter, Cursor
from oracle.protocol.message import Message
from oracle.protocol.types import Account
from tests.conformance.chain_suite import ReaderSuite, SubmitterSuite, World
from tests.support import samples
from tests.support.memory_chain import MemoryChain, MemoryReader, MemorySubmitter
from tests.support.schnorr import SchnorrKey


class MemoryWorld(World):
    """Knows the Solana program of the samples as its peer."""

    def __init__(self) -> None:
        self.key, self.peer = SchnorrKey.seeded("group"), samples.SOLANA
        self.chain = MemoryChain(samples.EVM, self.key.public, {self.peer}, now=1_000_000)

    def reader(self) -> ChainReader:
        return MemoryReader(self.chain)

    def submitter(self) -> ChainSubmitter:
        return MemorySubmitter(self.chain)

    async def post(self, payload: bytes) -> Message:
        return self.chain.post(self.peer, samples.CONSUMER, samples.SOLANA_CONSUMER, payload)

    async def finalise(self) -> None:
        self.chain.finalise()

    def recipient(self) -> Account:
        return samples.CONSUMER

    def unfinalised(self) -> bool:
        return True


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestMemoryChain(ReaderSuite, SubmitterSuite):
    """All of the suite."""


async def test_memory_chain__reorg_under_the_cursor__is_reported(world: MemoryWorld) -> None:
    reader = world.reader()
    await world.post(b"gone")
    await world.finalise()
    reading = await reader.read(Cursor(0))
    world.chain.reorg(3)
    with pytest.raises(Reorged):
        await reader.read(reading.cursor)


async def test_memory_chain__endpoint_down__is_transient(world: MemoryWorld) -> None:
    world.chain.available = False
    with pytest.raises(Transient):
        await world.reader().read(Cursor(0))
