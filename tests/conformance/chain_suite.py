"""What every `ChainReader` and `ChainSubmitter` must do, whatever the chain (oracle/ports.py). Each adapter plugs in by a `World`.

    class TestEvm(ReaderSuite, SubmitterSuite):
        @pytest.fixture
        async def world(self): yield EvmWorld(...)

A world starts with one registered peer (`peer`), whose group key signs (`key`, epoch 1), and no post.
"""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from oracle.errors import Rejected
from oracle.ports import (
    ChainReader,
    ChainSubmitter,
    Cursor,
    DeliveryState,
    GroupAttestation,
    Receipt,
    Submission,
)
from oracle.protocol.message import InferenceRequest, Message
from oracle.protocol.types import (
    Account,
    Chain,
    CommitteeEpoch,
    Endpoint,
    Kind,
    ModelId,
    Policy,
    Sequence,
    UnixSeconds,
)
from tests.support.schnorr import SchnorrKey

PATIENCE = 60.0
"""Seconds within which a chain makes final what it was asked to."""


class World(ABC):
    """A chain under test."""

    key: SchnorrKey
    """Secret of the registered group key."""
    peer: Endpoint
    """Registered origin on another chain; messages to it can be posted."""

    @abstractmethod
    def reader(self) -> ChainReader:
        """A fresh reader, as after a restart."""

    @abstractmethod
    def submitter(self) -> ChainSubmitter:
        """A fresh submitter, as after a restart."""

    @abstractmethod
    async def post(self, payload: bytes) -> Message:
        """Post a KIND_MESSAGE to the peer; the message as posted. It may not be final yet."""

    @abstractmethod
    async def finalise(self) -> None:
        """Make everything so far final, or wait until it is."""

    @abstractmethod
    def recipient(self) -> Account:
        """An account that takes a KIND_MESSAGE."""

    @abstractmethod
    def unfinalised(self) -> bool:
        """Whether what was posted stays unfinalised until `finalise`."""

    async def first_cursor(self) -> Cursor:
        """Where reading starts; 0 unless the world has a reason."""
        return Cursor(0)


def inbound(world: World, sequence: int, payload: bytes = b"in", **changes: object) -> Message:
    """A message from the peer to this chain."""
    message = Message(
        Kind.MESSAGE,
        world.peer,
        world.submitter().destination,
        Sequence(sequence),
        world.peer.gateway,
        world.recipient(),
        UnixSeconds(0),
        payload,
    )
    return replace(message, **changes)  # type: ignore[arg-type]  # the tests name fields of Message


async def read_all(reader: ChainReader, cursor: Cursor) -> tuple[tuple[Message, ...], Cursor]:
    """Read until nothing more comes and the cursor stands."""
    messages: list[Message] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            reading = await reader.read(cursor)
            messages += reading.messages
            if not reading.messages and reading.cursor == cursor:
                return tuple(messages), cursor
            cursor = reading.cursor


class ReaderSuite:
    """Rules of `ChainReader`."""

    async def test_reader__nothing_posted__returns_at_once_without_messages(self, world: World) -> None:
        await world.finalise()
        messages, cursor = await read_all(world.reader(), await world.first_cursor())
        assert messages == ()
        assert cursor >= await world.first_cursor()

    async def test_reader__unfinalised_post__is_not_returned_before_it_is_final(self, world: World) -> None:
        if not world.unfinalised():
            pytest.skip("This world makes everything final at once.")
        await world.finalise()
        reader = world.reader()
        message = await world.post(b"early")
        before, cursor = await read_all(reader, await world.first_cursor())
        assert before == ()
        await world.finalise()
        after, _ = await read_all(reader, cursor)
        assert after == (message,)

    async def test_reader__several_posts__come_once_in_the_order_of_their_sequences(self, world: World) -> None:
        posted = tuple([await world.post(bytes([i]) * i) for i in range(5)])
        await world.finalise()
        reader = world.reader()
        messages, cursor = await read_all(reader, await world.first_cursor())
        assert messages == posted
        assert [message.sequence for message in messages] == [1, 2, 3, 4, 5]
        assert {message.origin for message in messages} == {reader.origin}
        assert await read_all(reader, cursor) == ((), cursor)

    async def test_reader__same_cursor_twice__returns_the_same(self, world: World) -> None:
        await world.post(b"again")
        await world.finalise()
        reader, start = world.reader(), await world.first_cursor()
        assert (await read_all(reader, start))[0] == (await read_all(reader, start))[0]

    async def test_reader__restart_at_a_cursor__goes_on_without_loss_or_repetition(self, world: World) -> None:
        first = await world.post(b"before")
        await world.finalise()
        before, cursor = await read_all(world.reader(), await world.first_cursor())
        second = await world.post(b"after")
        await world.finalise()
        after, _ = await read_all(world.reader(), cursor)
        everything, _ = await read_all(world.reader(), await world.first_cursor())
        assert (before, after) == ((first,), (second,))
        assert everything == (first, second)


class SubmitterSuite:
    """Rules of `ChainSubmitter`."""

    async def test_submitter__signed_message__is_delivered_and_becomes_final(self, world: World) -> None:
        submitter, message = world.submitter(), inbound(world, 1)
        assert await submitter.state(message) is DeliveryState.ABSENT
        receipt = await submitter.submit(Submission(message, world.key.attest(message)))
        assert isinstance(receipt, Receipt)
        assert receipt.transaction
        assert receipt.cost > 0
        assert receipt.size > 0
        assert await submitter.state(message) in (DeliveryState.INCLUDED, DeliveryState.FINAL)
        await world.finalise()
        assert await submitter.state(message) is DeliveryState.FINAL

    async def test_submitter__second_submission__is_none(self, world: World) -> None:
        message = inbound(world, 1)
        submission = Submission(message, world.key.attest(message))
        assert await world.submitter().submit(submission) is not None
        assert await world.submitter().submit(submission) is None

    async def test_submitter__order_of_sequences__does_not_matter(self, world: World) -> None:
        submitter = world.submitter()
        for sequence in (1030, 2, 1):
            message = inbound(world, sequence)
            assert await submitter.submit(Submission(message, world.key.attest(message))) is not None
        assert await submitter.state(inbound(world, 3)) is DeliveryState.ABSENT

    async def test_submitter__batch_of_three__delivers_each_under_one_signature(self, world: World) -> None:
        messages = [inbound(world, i, bytes([i])) for i in (1, 2, 3)]
        attestation = world.key.attest(*messages)
        for message in messages:
            assert await world.submitter().submit(Submission(message, attestation)) is not None

    async def test_submitter__same_message_at_once__is_delivered_once(self, world: World) -> None:
        message = inbound(world, 1)
        submission = Submission(message, world.key.attest(message))
        submitter = world.submitter()
        outcomes = await asyncio.gather(*(submitter.submit(submission) for _ in range(4)))
        assert sum(outcome is not None for outcome in outcomes) == 1

    async def test_submitter__several_messages_at_once__are_all_delivered(self, world: World) -> None:
        submitter = world.submitter()
        messages = [inbound(world, i) for i in range(1, 5)]
        outcomes = await asyncio.gather(*(submitter.submit(Submission(m, world.key.attest(m))) for m in messages))
        assert all(outcome is not None for outcome in outcomes)

    async def refused(self, world: World, submission: Submission) -> Rejected:
        """Submit what must be refused and leave no trace."""
        with pytest.raises(Rejected) as caught:
            await world.submitter().submit(submission)
        assert await world.submitter().state(submission.message) is DeliveryState.ABSENT
        assert str(caught.value).endswith(".")
        return caught.value

    async def test_submitter__signature_of_another_key__is_rejected(self, world: World) -> None:
        message = inbound(world, 1)
        await self.refused(world, Submission(message, SchnorrKey.seeded("stranger").attest(message)))

    async def test_submitter__doctored_message__is_rejected(self, world: World) -> None:
        signed, doctored = inbound(world, 1), inbound(world, 1, b"doctored")
        attestation = world.key.attest(signed)
        await self.refused(world, Submission(doctored, attestation))
        await self.refused(world, Submission(doctored, replace(attestation, digests=(doctored.digest,))))

    async def test_submitter__unknown_epoch__is_rejected(self, world: World) -> None:
        message = inbound(world, 1)
        await self.refused(world, Submission(message, world.key.attest(message, epoch=7)))

    async def test_submitter__no_signature__is_rejected(self, world: World) -> None:
        await self.refused(world, Submission(inbound(world, 1)))

    @pytest.mark.parametrize("signature", [b"", bytes(65), b"\2" + bytes(64), b"\2" + b"\xff" * 64, b"\2" * 64])
    async def test_submitter__malformed_signature__is_rejected(self, world: World, signature: bytes) -> None:
        message = inbound(world, 1)
        attestation = GroupAttestation(CommitteeEpoch(1), signature, (message.digest,))
        await self.refused(world, Submission(message, attestation))

    async def test_submitter__message_for_another_gateway__is_rejected(self, world: World) -> None:
        here = world.submitter().destination
        elsewhere = Endpoint(Chain.evm(424242), Account(bytes(12) + b"\x42" * 20))
        message = inbound(world, 1, destination=elsewhere, recipient=elsewhere.gateway)
        assert elsewhere != here
        await self.refused(world, Submission(message, world.key.attest(message)))

    async def test_submitter__unknown_origin__is_rejected(self, world: World) -> None:
        stranger = Endpoint(Chain.evm(424242), Account(bytes(12) + b"\x42" * 20))
        message = inbound(world, 1, origin=stranger, sender=stranger.gateway)
        await self.refused(world, Submission(message, world.key.attest(message)))

    async def test_submitter__expired_message__is_rejected(self, world: World) -> None:
        message = inbound(world, 1, expiry=UnixSeconds(1))
        await self.refused(world, Submission(message, world.key.attest(message)))

    async def test_submitter__request__is_never_delivered(self, world: World) -> None:
        payload = InferenceRequest(ModelId(bytes(32)), 0, 0, Policy.ATTESTED, (), (1,)).to_bytes()
        message = inbound(world, 1, kind=Kind.INFERENCE_REQUEST, payload=payload)
        await self.refused(world, Submission(message, world.key.attest(message)))
