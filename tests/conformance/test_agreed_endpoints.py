"""Two of three endpoints of one chain in memory, held to the rules of the ports: all honest, and with one that lies or is down."""

from collections.abc import Callable

import pytest

from oracle.node.agreement import AgreedReader, AgreedSubmitter, Endpoints
from oracle.ports import ChainReader, ChainSubmitter, Cursor, DeliveryState, Reading, Receipt, Submission
from oracle.protocol.message import Message
from oracle.protocol.types import Endpoint
from tests.conformance.chain_suite import ReaderSuite, SubmitterSuite
from tests.conformance.test_memory_chain import MemoryWorld
from tests.support import samples
from tests.support.memory_chain import MemoryChain, MemoryReader, MemorySubmitter


class BlindReader(MemoryReader):
    """Shows no message, and has read everything."""

    async def read(self, cursor: Cursor) -> Reading:
        reading = await super().read(cursor)
        return Reading((), reading.cursor)


class InventingReader(MemoryReader):
    """Shows a message that nobody posted, with each reading."""

    async def read(self, cursor: Cursor) -> Reading:
        reading = await super().read(cursor)
        return Reading((samples.plain_message(sequence=1, payload=b"invented"),), reading.cursor)


class DeadReader(MemoryReader):
    """Its endpoint is down."""

    def __init__(self, chain: MemoryChain) -> None:
        super().__init__(MemoryChain(chain.endpoint, chain.group_key, available=False))


class DenyingSubmitter(MemorySubmitter):
    """Says that nothing was ever delivered."""

    async def state(self, message: Message) -> DeliveryState:
        return DeliveryState.ABSENT


class AffirmingSubmitter(MemorySubmitter):
    """Says that everything is delivered and final, and so sends nothing."""

    async def state(self, message: Message) -> DeliveryState:
        return DeliveryState.FINAL

    async def submit(self, submission: Submission) -> Receipt | None:
        return None


ReaderMaker = Callable[[MemoryChain], ChainReader]
SubmitterMaker = Callable[[MemoryChain], ChainSubmitter]


class AgreedWorld(MemoryWorld):
    """The third endpoint is `odd`."""

    def __init__(self, reader: ReaderMaker, submitter: SubmitterMaker) -> None:
        super().__init__()
        self._odd_reader, self._odd_submitter = reader, submitter

    def reader(self) -> ChainReader:
        readers: list[ChainReader] = [self._odd_reader(self.chain), MemoryReader(self.chain), MemoryReader(self.chain)]
        return AgreedReader(Endpoints.of(list(zip("abc", readers, strict=True)), 2, "the chain in memory"))

    def submitter(self) -> ChainSubmitter:
        submitters = [self._odd_submitter(self.chain), MemorySubmitter(self.chain), MemorySubmitter(self.chain)]
        return AgreedSubmitter(Endpoints.of(list(zip("abc", submitters, strict=True)), 2, "the chain in memory"))


@pytest.fixture(
    params=[
        (MemoryReader, MemorySubmitter),
        (BlindReader, DenyingSubmitter),
        (InventingReader, AffirmingSubmitter),
        (DeadReader, MemorySubmitter),
    ],
    ids=["honest", "blind and denying", "inventing and affirming", "dead"],
)
def world(request: pytest.FixtureRequest) -> AgreedWorld:
    return AgreedWorld(*request.param)


class TestAgreed(ReaderSuite, SubmitterSuite):
    """All of the suite."""


def test_origin_and_destination__are_those_of_the_endpoints(world: AgreedWorld) -> None:
    here: Endpoint = samples.EVM
    assert (world.reader().origin, world.submitter().destination) == (here, here)
