"""A node that runs forgets what is long over, in small pieces, and goes on meanwhile; nothing that is owed is ever touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oracle.errors import JournalError, NotAuthorised
from oracle.journal import Journal
from oracle.node import Node, pruning
from oracle.node.limits import Limits, Retention
from oracle.node.pruning import Pruned, prune
from oracle.node.schedule import periodic_work
from oracle.pipeline import Confirmed, DeadLettered, Expired, Millis, Observed, Pipeline, Stage
from oracle.protocol.message import Message
from tests.support.network import Network
from tests.support.samples import EVM, evm_request, plain_message

ALL = (1, 2, 3, 4)
DAY = 86_400_000
PATIENCE = 60.0


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made


@pytest.fixture
async def node(network: Network) -> Node:
    """One member alone, cut off, which knows what its test tells it."""
    network.evm.available = network.solana.available = False
    made = network.start(1).running
    made.limits = Limits(retention=Retention(10.0, 1000, 100.0, 5))
    return made


async def finished(node: Node, count: int, at: int = 0) -> list[Message]:
    messages = [plain_message(sequence=at + number) for number in range(1, count + 1)]
    await node.record(*(Observed(message, Millis(at)) for message in messages))
    await node.record(*(Confirmed(message.digest, message.digest, Millis(at)) for message in messages))
    return messages


async def left_on_disk(network: Network) -> Pipeline:
    """What the member would know after a restart."""
    await network.stop(1)
    journal, pipeline = Journal(network.members[1].directory / "journal.sqlite"), Pipeline()
    for event in journal.replay():
        pipeline.apply(event)
    journal.close()
    return pipeline


async def test_prune__finished_longer_than_kept__goes_from_memory_and_disk(network: Network, node: Node) -> None:
    await finished(node, 350)
    (young,) = await finished(node, 1, at=9000)
    waiting = plain_message(sequence=7000)
    await node.record(Observed(waiting, Millis(0)))
    assert await prune(node, Millis(10_001)) == Pruned(350, 0)
    kept = [young, waiting]
    assert [work.message for work in node.pipeline.works()] == kept
    assert await prune(node, Millis(10_001)) == Pruned(0, 0)
    with pytest.raises(NotAuthorised, match="not reached"):
        node.pipeline.authorise([plain_message(sequence=1).digest], Millis(0))
    assert [work.message for work in (await left_on_disk(network)).works()] == kept


async def test_prune__more_than_are_kept__the_oldest_go_before_their_time(node: Node) -> None:
    messages = await finished(node, 1200)
    assert await prune(node, Millis(1)) == Pruned(200, 0)
    assert [work.message for work in node.pipeline.works()] == messages[200:]


async def test_prune__very_much__is_left_to_the_next_call(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MOST", 300)
    await finished(node, 450)
    assert (await prune(node, Millis(DAY))).forgotten == 300
    assert (await prune(node, Millis(DAY))).forgotten == 150


async def test_prune__dead_letters__are_dropped_when_long_dead_or_too_many(network: Network, node: Node) -> None:
    messages = [plain_message(sequence=number) for number in range(1, 9)]
    for at, message in enumerate(messages):
        await node.record(Observed(message, Millis(0)))
        await node.record(DeadLettered(message.digest, message.digest, 1, "refused", Millis(at)))
    assert await prune(node, Millis(5000)) == Pruned(0, 3), "five may wait for the operator"
    assert [work.message for work in node.pipeline.dead()] == messages[3:]
    assert await prune(node, Millis(100_004)) == Pruned(8 - 4, 1), (
        "what was dropped is over, and forgotten like the rest"
    )
    pipeline = await left_on_disk(network)
    assert [work.stage for work in pipeline.works()] == [Stage.DEAD] * 4


async def test_prune__dropped_message_that_can_expire__stays_until_its_sender_was_told(node: Node) -> None:
    message = plain_message(expiry=10**9)
    await node.record(Observed(message, Millis(0)))
    await node.record(DeadLettered(message.digest, message.digest, 1, "refused", Millis(0)))
    assert await prune(node, Millis(10 * DAY)) == Pruned(0, 1)
    work = node.pipeline.work(message.digest)
    assert work is not None
    assert work.stage is Stage.DROPPED


async def test_prune__disk_full__nothing_is_gone_and_the_next_call_does_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await finished(node, 5)

    def fail(works: object) -> int:
        raise JournalError("The journal cannot be used: database or disk is full.")

    with monkeypatch.context() as full:
        full.setattr(node._journal, "forget", fail)
        with pytest.raises(JournalError):
            await prune(node, Millis(DAY))
    assert sum(1 for _ in node.pipeline.works()) == 5
    assert (await prune(node, Millis(DAY))).forgotten == 5


async def test_prune__while_messages_go_their_way__loses_none_of_them(network: Network) -> None:
    for member in ALL:
        network.start(member).running.limits = Limits(retention=Retention(0.0, 0))
    nodes = [network.members[member].running for member in ALL]
    messages = [plain_message(sequence=number) for number in range(1, 101)]
    for message in messages:
        network.evm.append(message)

    async def step() -> bool:
        for node in nodes:
            await prune(node, Millis(node.clock() + 1))
        done = all(network.delivered(network.solana, message) for message in messages)
        return done and not any(list(node.pipeline.works()) for node in nodes)

    async with asyncio.timeout(2 * PATIENCE):
        while not await step():
            await asyncio.sleep(0.02)
    assert len(network.solana.delivered) == len(messages)
    assert all(node.pipeline.waiting(EVM) == 0 for node in nodes)
    assert not any(node.pipeline.stages() for node in nodes)


async def test_prune__events_that_come_late__find_nothing_and_harm_nothing(node: Node) -> None:
    (message,) = await finished(node, 1)
    request = evm_request(sequence=99)
    await node.record(Observed(request, Millis(0)))
    await node.record(Expired(request.digest, Millis(0)))
    assert (await prune(node, Millis(DAY))).forgotten == 2
    node.dispatcher._update()
    await node.record(Observed(message, Millis(1)))
    assert node.pipeline.waiting(EVM) == 1, "observed again, it is looked for on its destination like any other"


async def test_periodic_work__prune__runs_by_itself(node: Node) -> None:
    await finished(node, 3)
    async with periodic_work(node):
        async with asyncio.timeout(PATIENCE):
            while list(node.pipeline.works()):
                await asyncio.sleep(0.02)
