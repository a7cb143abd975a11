"""Real nodes over chains in memory, under load: a dead destination keeps nobody waiting, nor does a greedy requester, and what is too much at a time
is read later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.errors import Rejected, Transient
from oracle.node.limits import HOUR, Limits, Patience
from oracle.pipeline import Stage
from oracle.ports import Receipt, Submission
from oracle.protocol.message import Message
from oracle.protocol.types import Account, Digest, Kind, Sequence, UnixSeconds
from tests.support.memory_chain import MemorySubmitter
from tests.support.network import Network
from tests.support.samples import CONSUMER, EVM, SOLANA, SOLANA_CONSUMER, plain_message, seeded

ALL = (1, 2, 3, 4)
PATIENCE = 60.0


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made


def to_evm(*, sequence: int, sender: Account = SOLANA_CONSUMER) -> Message:
    return Message(Kind.MESSAGE, SOLANA, EVM, Sequence(sequence), sender, CONSUMER, UnixSeconds(0), b"hello")


def hang_at(chain_of: Network, monkeypatch: pytest.MonkeyPatch) -> list[Digest]:
    """Deliveries to Solana never end, and no look at it does. Which began."""
    begun: list[Digest] = []
    submit, state = MemorySubmitter.submit, MemorySubmitter.state

    async def hung_submit(self: MemorySubmitter, submission: Submission) -> Receipt | None:
        if self.destination == SOLANA:
            begun.append(submission.message.digest)
            await asyncio.Event().wait()
        return await submit(self, submission)

    async def hung_state(self: MemorySubmitter, message: Message) -> object:
        if self.destination == SOLANA:
            await asyncio.Event().wait()
        return await state(self, message)

    monkeypatch.setattr(MemorySubmitter, "submit", hung_submit)
    monkeypatch.setattr(MemorySubmitter, "state", hung_state)
    return begun


async def test_load__destination_that_hangs_with_hundreds_waiting__the_other_is_served(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = hang_at(network, monkeypatch)
    for member in ALL:
        network.start(member)
    most = network.members[1].running.limits.submits
    network.evm.append(*(plain_message(sequence=number) for number in range(1, 301)))
    # Every member has taken on as many deliveries to the dead chain as it ever does.
    await network.until(lambda: len(begun) >= len(ALL) * most, PATIENCE)
    served = [to_evm(sequence=number) for number in range(1, 21)]
    network.solana.append(*served)
    await network.until(lambda: all(network.delivered(network.evm, message) for message in served), PATIENCE)
    assert len(begun) == len(ALL) * most, "and never more"
    assert not network.solana.delivered


async def test_load__destination_that_fails__the_other_is_served_and_it_catches_up_when_it_is_back(
    network: Network,
) -> None:
    network.solana.available = False
    for member in ALL:
        network.start(member)
    waiting = [plain_message(sequence=number) for number in range(1, 121)]
    network.evm.append(*waiting)
    home = Message(Kind.MESSAGE, EVM, EVM, Sequence(121), CONSUMER, CONSUMER, UnixSeconds(0), b"home")
    network.evm.append(home)
    await network.until(lambda: network.delivered(network.evm, home), PATIENCE)
    assert not network.solana.delivered
    network.solana.available = True
    await network.until(lambda: all(network.delivered(network.solana, message) for message in waiting), PATIENCE)
    assert len(network.solana.delivered) == len(waiting)


async def test_load__a_thousand_of_one_requester__another_is_not_kept_waiting(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[int] = []
    submit = MemorySubmitter.submit

    async def slow_submit(self: MemorySubmitter, submission: Submission) -> Receipt | None:
        await asyncio.sleep(0.02)
        receipt = await submit(self, submission)
        if receipt is not None:
            order.append(submission.message.sequence)
        return receipt

    monkeypatch.setattr(MemorySubmitter, "submit", slow_submit)
    for member in ALL:
        network.start(member)
        network.members[member].running.dispatcher._limits = Limits(submits=2)
    greedy = [plain_message(sequence=number) for number in range(1, 1001)]
    modest = replace(plain_message(sequence=1001), sender=Account(bytes(12) + seeded("modest", 20)))
    network.evm.append(*greedy, modest)
    await network.until(lambda: 1001 in order, 2 * PATIENCE)
    assert order.index(1001) < 500, "it does not wait for all that were there before it"


async def test_load__more_than_a_node_takes_on__is_read_later_and_nothing_is_lost(network: Network) -> None:
    most = 10
    network.solana.available = False
    for member in ALL:
        network.start(member).running.limits = Limits(open_works=most)
    messages = [plain_message(sequence=number) for number in range(1, 201)]
    for message in messages:
        network.evm.append(message)
    nodes = [network.members[member].running for member in ALL]
    await network.until(lambda: all(node.readers[EVM].held for node in nodes), PATIENCE)
    in_a_reading = 64
    assert all(most <= node.pipeline.waiting(EVM) < most + in_a_reading for node in nodes)
    network.solana.available = True
    await network.until(lambda: all(network.delivered(network.solana, message) for message in messages), 2 * PATIENCE)
    await network.until(lambda: network.everyone_finished(ALL), PATIENCE)
    assert not any(node.readers[EVM].held for node in nodes)
    assert all(sum(1 for _ in node.pipeline.works()) == len(messages) for node in nodes)


# ---- what cannot be delivered ----


def refuse(monkeypatch: pytest.MonkeyPatch, refused: set[Digest], error: Callable[[str], Exception]) -> list[Digest]:
    """Deliveries of these messages fail, while `refused` names them. Which were tried."""
    tried: list[Digest] = []
    submit = MemorySubmitter.submit

    async def judged(self: MemorySubmitter, submission: Submission) -> Receipt | None:
        digest = submission.message.digest
        if digest in refused:
            tried.append(digest)
            raise error("The recipient refuses this message.")
        return await submit(self, submission)

    monkeypatch.setattr(MemorySubmitter, "submit", judged)
    return tried


QUICK = Limits(patience=Patience(refused_tries=3, refused_seconds=0.0, failed_tries=3, failed_seconds=HOUR))


def start_impatient(network: Network) -> None:
    for member in ALL:
        network.start(member).running.dispatcher._limits = QUICK


def stages(network: Network, message: Message) -> set[Stage]:
    works = [network.members[member].running.pipeline.work(message.digest) for member in ALL]
    return {work.stage for work in works if work is not None}


async def test_dead_letter__refused_again_and_again__is_given_up_with_its_reason_and_the_rest_goes_on(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = plain_message(sequence=1), plain_message(sequence=2)
    tried = refuse(monkeypatch, {bad.digest}, Rejected)
    start_impatient(network)
    network.evm.append(bad, good)
    await network.until(lambda: stages(network, bad) == {Stage.DEAD}, PATIENCE)
    await network.until(lambda: stages(network, good) == {Stage.CONFIRMED}, PATIENCE)
    assert len(tried) == len(ALL) * QUICK.patience.refused_tries, "bounded tries"
    work = network.members[1].running.pipeline.work(bad.digest)
    assert work is not None
    assert work.dead[0].reason == "The recipient refuses this message."


def paused(sentence: str) -> Rejected:
    return Rejected(sentence, reason="EnforcedPause")


@pytest.mark.parametrize("error", [Transient, paused], ids=["fails", "paused"])
async def test_dead_letter__destination_that_takes_nothing_for_a_while__is_not_given_up(
    network: Network, monkeypatch: pytest.MonkeyPatch, error: Callable[[str], Exception]
) -> None:
    """Tries and time, both: three tries are over in a second, the hour is not."""
    message, refused = plain_message(), set[Digest]()
    refused.add(message.digest)
    tried = refuse(monkeypatch, refused, error)
    start_impatient(network)
    network.evm.append(message)
    await network.until(lambda: len(tried) > 2 * len(ALL) * QUICK.patience.failed_tries, PATIENCE)
    assert Stage.DEAD not in stages(network, message)
    refused.clear()
    await network.until(lambda: stages(network, message) == {Stage.CONFIRMED}, PATIENCE)


async def test_dead_letter__given_up_by_all_and_delivered_by_somebody_else__is_not_dead(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oracle.node.dispatch.SHELVED_CHECK_SECONDS", 0.1)
    message = plain_message()
    refuse(monkeypatch, {message.digest}, Rejected)
    start_impatient(network)
    network.evm.append(message)
    await network.until(lambda: stages(network, message) == {Stage.DEAD}, PATIENCE)
    network.solana.delivered[EVM, message.sequence] = (message.digest, len(network.solana.blocks))
    await network.until(lambda: network.everyone_finished(ALL), PATIENCE)
    assert stages(network, message) == {Stage.CONFIRMED}
