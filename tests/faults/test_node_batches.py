"""A whole committee that signs in batches: how many signatures a burst takes, and what one message can hold up that others have not reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from oracle.node.batches import BatchLimits
from oracle.node.gossip import encode_attestation
from oracle.pipeline import Observed, Stage, Takeover, Work
from oracle.ports import Cursor, Reading
from oracle.protocol.hashing import merkle_branch
from oracle.protocol.message import Message
from oracle.protocol.quorum import duty_order
from tests.support.memory_chain import MemoryReader
from tests.support.network import Network
from tests.support.samples import SOLANA, evm_request, plain_message

ALL = (1, 2, 3, 4)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made


def post(network: Network, count: int, first: int = 1) -> list[Message]:
    """A burst: all in one block."""
    messages = [plain_message(sequence=first + number) for number in range(count)]
    network.evm.append(*messages)
    return messages


def signatures(network: Network, members: Iterable[int] = ALL) -> int:
    return sum(int(network.members[i].running.metrics.signatures._value.get()) for i in members)


def work(network: Network, member: int, message: Message) -> Work:
    found = network.members[member].running.pipeline.work(message.digest)
    assert found is not None
    return found


def hide(network: Network, monkeypatch: pytest.MonkeyPatch, hidden: dict[int, set[bytes]]) -> None:
    """These members' endpoints do not show these messages, by digest."""
    read = MemoryReader.read
    blind = {
        id(reader): digests
        for member, digests in hidden.items()
        for reader, _ in network.members[member].running.ports.readers
    }

    async def shown(self: MemoryReader, cursor: Cursor) -> Reading:
        reading = await read(self, cursor)
        kept = (message for message in reading.messages if message.digest not in blind.get(id(self), set()))
        return Reading(tuple(kept), reading.cursor)

    monkeypatch.setattr(MemoryReader, "read", shown)


async def show(network: Network, member: int, message: Message) -> None:
    """The member reaches it after all."""
    node = network.members[member].running
    await node.record(Observed(message, node.clock()))


async def test_batches__burst__takes_few_signatures_and_delivers_each_once(network: Network) -> None:
    for member in ALL:
        network.start(member)
    messages = post(network, 200)
    await network.until(
        lambda: all(network.delivered(network.solana, m) for m in messages) and network.everyone_finished(ALL), 60
    )
    assert len(network.solana.delivered) == 200
    # Each of the four coordinates about a quarter; without batches it would be 200.
    assert signatures(network) <= 40
    sizes = {len(attestation.digests) for m in messages if (attestation := work(network, 1, m).attestation)}
    assert max(sizes) > 8


async def test_batches__lone_message__is_signed_at_once_with_an_empty_branch(network: Network) -> None:
    for member in ALL:
        network.start(member)
    for sequence in range(1, 4):
        (message,) = post(network, 1, sequence)
        await network.until(lambda m=message: network.delivered(network.solana, m) and network.everyone_finished(ALL))  # type: ignore[misc]  # a default binds the loop's variable
        attestations = [a for i in ALL if (a := work(network, i, message).attestation) is not None]
        assert attestations
        assert all(a.digests == (message.digest,) for a in attestations)
        assert merkle_branch(attestations[0].digests, 0) == ()
    assert signatures(network) == 3


async def test_batches__narrow_destination__gets_no_longer_branch_than_it_carries(network: Network) -> None:
    for member in ALL:
        node = network.start(member).running
        node.ports = node.ports.__class__(
            **{name: getattr(node.ports, name) for name in node.ports.__dataclass_fields__ if name != "branch_depth"},
            branch_depth=lambda message: 2 if message.destination == SOLANA else 16,
        )
    messages = post(network, 60)
    await network.until(lambda: all(network.delivered(network.solana, m) for m in messages), 60)
    attested = [a for m in messages for i in ALL if (a := work(network, i, m).attestation) is not None]
    assert {len(attestation.digests) for attestation in attested} <= {1, 2, 3, 4}
    assert any(len(attestation.digests) > 1 for attestation in attested)


@pytest.mark.parametrize("kind", ["plain", "requests among them"])
async def test_batches__one_message_that_a_quorum_has_not_reached__holds_up_nobody_for_good(
    network: Network, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Members 3 and 4 do not see one message, so nobody can have it signed; it stands in the middle of what its coordinator wants signed.

    Nobody takes over from that coordinator: it has to find its own way to sign what is beside the message.
    """
    monkeypatch.setattr("tests.support.network.TAKEOVER", Takeover(prove=1500, sign=600_000, submit=700))
    messages = [plain_message(sequence=1 + number) for number in range(40)]
    if kind != "plain":
        messages[10:14] = [evm_request(sequence=11 + number) for number in range(4)]
    unseen = next(m for m in messages[15:] if duty_order(ALL, m.digest, "sign")[0] in (1, 2))
    for member in ALL:
        network.start(member)
    hide(network, monkeypatch, {3: {unseen.digest}, 4: {unseen.digest}})
    network.evm.append(*messages)
    others = [message for message in messages if message is not unseen]
    await network.until(lambda: all(network.delivered(network.solana, message) for message in others), 90)
    assert not network.delivered(network.solana, unseen)
    coordinator = duty_order(ALL, unseen.digest, "sign")[0]
    await network.until(lambda: failures(network, coordinator) > 0)
    assert all(work(network, member, unseen).attestation is None for member in (1, 2))
    for member in (3, 4):
        await show(network, member, unseen)
    await network.until(lambda: network.delivered(network.solana, unseen) and network.everyone_finished(ALL), 60)


async def test_batches__message_that_one_member_has_not_reached__the_others_sign_it_in_the_batch(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member in ALL:
        network.start(member)
    messages = [plain_message(sequence=1 + number) for number in range(30)]
    unseen = messages[7]
    hide(network, monkeypatch, {4: {unseen.digest}})
    network.evm.append(*messages)
    await network.until(lambda: all(network.delivered(network.solana, message) for message in messages), 60)
    # The signature reached member 4 before the message did. It counts as soon as the message is there.
    node = network.members[4].running
    assert node.pipeline.work(unseen.digest) is None
    coordinated = signatures(network, (4,))
    await show(network, 4, unseen)
    await network.until(lambda: work(network, 4, unseen).stage in (Stage.ATTESTED, Stage.DELIVERED, Stage.CONFIRMED))
    await network.until(lambda: network.everyone_finished(ALL))
    assert signatures(network, (4,)) == coordinated


async def test_batches__one_member_silent__a_burst_is_signed_by_the_rest(network: Network) -> None:
    network.down.add(2)
    for member in (1, 3, 4):
        network.start(member)
    messages = post(network, 80)
    await network.until(lambda: all(network.delivered(network.solana, message) for message in messages), 60)
    assert signatures(network, (1, 3, 4)) <= 40


async def test_batches__quorum_away_and_back__everything_that_waited_is_signed(network: Network) -> None:
    network.start(1)
    network.start(2)
    messages = post(network, 50)
    await network.until(lambda: bool(failures(network, 1)))
    assert not network.solana.delivered
    network.start(3)
    await network.until(
        lambda: all(network.delivered(network.solana, m) for m in messages) and network.everyone_finished((1, 2, 3)), 90
    )


def failures(network: Network, member: int) -> int:
    registry = network.members[member].running.metrics.registry
    return sum(
        int(sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "sibyl_failures_total" and sample.labels["duty"] == "sign"
    )


async def test_batches__gossiped_signature__is_applied_to_every_work_and_repeated_without_effect(
    network: Network,
) -> None:
    for member in ALL:
        network.start(member)
    messages = post(network, 40)
    await network.until(lambda: network.everyone_finished(ALL) and bool(network.solana.delivered), 60)
    batch = next(a for m in messages if (a := work(network, 1, m).attestation) is not None and len(a.digests) > 1)
    node = network.members[3].running
    before = [work(network, 3, message) for message in messages]
    await node.duties.take_attestation(1, encode_attestation(batch))
    assert [work(network, 3, message) for message in messages] == before


async def test_batches__limits__are_kept(network: Network) -> None:
    limits = BatchLimits(size=4)
    for member in ALL:
        network.start(member).running.signing._batching.limits = limits
    messages = post(network, 60)
    await network.until(lambda: all(network.delivered(network.solana, message) for message in messages), 60)
    assert all(len(a.digests) <= 4 for m in messages for i in ALL if (a := work(network, i, m).attestation) is not None)
