"""A committee changes under load: handed on to other members, then rotated. Nothing is stranded, nothing is delivered twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch
from tests.support.reshare import Handover, new_shares
from tests.support.rotation_network import REMOTES, HeldKey, RotatingNetwork, approve, made_key
from tests.support.samples import CONSUMER, EVM, SOLANA, SOLANA_CONSUMER

STAY = (1, 2, 3)


@asynccontextmanager
async def load(network: RotatingNetwork, pause: float = 0.1) -> AsyncIterator[list[Message]]:
    """Messages both ways, all the time; at the end each is delivered, once."""
    posted: list[Message] = []
    stop = asyncio.Event()

    async def post() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            posted.append(network.evm.post(SOLANA, CONSUMER, SOLANA_CONSUMER, b"to solana %d" % number))
            posted.append(network.solana.post(EVM, SOLANA_CONSUMER, CONSUMER, b"to evm %d" % number))
            await asyncio.sleep(pause)

    task = asyncio.create_task(post())
    try:
        yield posted
    finally:
        stop.set()
        await task


def arrived(network: RotatingNetwork, message: Message) -> bool:
    return network.delivered(network.evm if message.destination == EVM else network.solana, message)


async def all_arrive(network: RotatingNetwork, posted: list[Message], seconds: float = 60) -> None:
    await network.until(lambda: all(arrived(network, message) for message in posted), seconds)
    assert len({(m.origin, m.sequence) for m in posted}) == len(posted)
    for chain in network.chains:
        expected = {m.digest for m in posted if m.destination == chain.endpoint}
        taken = {digest for digest, _ in chain.delivered.values()}
        assert expected <= taken


def epoch_of(network: RotatingNetwork, who: int, message: Message) -> int | None:
    work = network.members[who].running.pipeline.work(message.digest)
    return work.attestation.epoch if work is not None and work.attestation is not None else None


def knows_arrival(network: RotatingNetwork, who: int, message: Message) -> bool:
    work = network.members[who].running.pipeline.work(message.digest)
    return work is not None and all(digest in work.delivered for digest in work.deliverables)


async def handed_on(network: RotatingNetwork) -> dict[int, HeldKey]:
    """One membership after another signs, while members restart one by one: 4 leaves, 5 comes."""
    old = {who: member.share for who, member in network.members.items()}
    fresh = new_shares(Handover.of(old, (*STAY, 5)).run())
    new = {who: HeldKey(1, share, revision=1) for who, share in fresh.items()}
    network.newcomer(5, new[5])
    await network.begin(5)
    for who in STAY:
        await network.restart(who, HeldKey(1, old[who]), new[who])
        await asyncio.sleep(0.3)
    await network.stop(4)
    network.down.add(4)
    for who in STAY:
        await network.restart(who, new[who])
        await asyncio.sleep(0.3)
    return new


async def test_reshare__members_change_under_load__nothing_is_stranded(tmp_path: Path) -> None:
    async with RotatingNetwork(tmp_path) as network:
        for who in (1, 2, 3, 4):
            await network.begin(who)
        async with load(network) as posted:
            await asyncio.sleep(0.5)
            await handed_on(network)
            await asyncio.sleep(0.5)
        await all_arrive(network, posted)
        # Member 5 signs now: with member 1 gone, only the three others are left.
        await network.stop(1)
        network.down.add(1)
        last = network.evm.post(SOLANA, CONSUMER, SOLANA_CONSUMER, b"last")
        await network.until(lambda: arrived(network, last))


async def test_rotation__new_key_under_load__old_ends_and_nothing_is_stranded(tmp_path: Path) -> None:
    async with RotatingNetwork(tmp_path) as network:
        for who in (1, 2, 3, 4):
            await network.begin(who)
        async with load(network) as posted:
            await asyncio.sleep(0.3)
            new = await handed_on(network)
            file, shares = made_key((*STAY, 5), epoch=2)
            network.known[2] = file.group_key
            for who in (*STAY, 5):
                approve(network.approved(who), file)
                await network.restart(who, new[who], HeldKey(2, shares[who]))
                await asyncio.sleep(0.2)
            rotation = network.evm.post_rotation(file.rotation(REMOTES))
            await network.until(lambda: all(2 in chain.epochs for chain in network.chains), 60)
            await network.until(
                lambda: all(w.accepted(c.endpoint) == {2} for w in network.watches.values() for c in network.chains), 60
            )
            # The old key is of no use any more: nodes may forget it. One that had not seen where the rotation arrived would sign it again.
            await network.until(lambda: all(knows_arrival(network, who, rotation) for who in (*STAY, 5)), 60)
            for who in (*STAY, 5):
                await network.restart(who, HeldKey(2, shares[who]))
                await asyncio.sleep(0.2)
            late = network.evm.post(SOLANA, CONSUMER, SOLANA_CONSUMER, b"late")
        await all_arrive(network, [*posted, rotation, late])
        signed = {epoch_of(network, who, late) for who in (*STAY, 5)}
        assert 2 in signed
        assert 1 not in signed
        assert 2 not in {epoch_of(network, who, rotation) for who in (*STAY, 5)}


async def test_rotation__signed_under_the_old_key_and_stuck__is_signed_again(tmp_path: Path) -> None:
    async with RotatingNetwork(tmp_path) as network:
        file, shares = made_key((1, 2, 3, 4), epoch=2, overlap=0)
        network.known[2] = file.group_key
        for who in (1, 2, 3, 4):
            approve(network.approved(who), file)
            network.held[who].append(HeldKey(2, shares[who]))
            await network.begin(who)
        await network.until(lambda: all(w.accepted(EVM) and w.accepted(SOLANA) for w in network.watches.values()))
        # Solana is away just when a message has been signed.
        network.solana.available = False
        stuck = network.evm.post(SOLANA, CONSUMER, SOLANA_CONSUMER, b"stuck")
        await network.until(
            lambda: all(
                (work := network.members[i].running.pipeline.work(stuck.digest)) is not None and work.attestation
                for i in (1, 2, 3, 4)
            )
        )
        assert epoch_of(network, 1, stuck) == 1
        network.solana.rotate(file.rotation(REMOTES), 1)
        network.evm.rotate(file.rotation(()), 1)
        await asyncio.sleep(network.solana.activation_delay + 0.1)
        network.solana.available = True
        await network.until(lambda: arrived(network, stuck))
        await network.until(lambda: 2 in {epoch_of(network, who, stuck) for who in (1, 2, 3, 4)})


async def test_rotation__without_the_operators__is_never_signed(tmp_path: Path) -> None:
    async with RotatingNetwork(tmp_path) as network:
        file, _ = made_key((1, 2, 3, 4), epoch=2)
        rotation = file.rotation(REMOTES)
        # Two of four approve; others have nothing, or a file that differs in one field.
        approve(network.approved(1), file)
        approve(network.approved(2), file)
        approve(network.approved(3), replace(file, overlap=file.overlap + 1))
        for who in (1, 2, 3, 4):
            await network.begin(who)
        posts = [network.evm.post_rotation(rotation)]
        # Nobody may leave a chain out, or name another keeper, whoever posts it.
        posts.append(network.evm.post_rotation(replace(rotation, remotes=())))
        elsewhere = (replace(REMOTES[0], committee=SOLANA_CONSUMER),)
        posts.append(network.evm.post_rotation(replace(rotation, remotes=elsewhere)))
        posts.append(network.evm.post_rotation(replace(rotation, epoch=CommitteeEpoch(3))))
        ordinary = network.evm.post(SOLANA, CONSUMER, SOLANA_CONSUMER, b"goes on")
        await network.until(lambda: arrived(network, ordinary))
        await asyncio.sleep(1.0)

        def ready(who: int) -> list[bool]:
            works = [network.members[who].running.pipeline.work(post.digest) for post in posts]
            return [work is not None and work.ready_at is not None for work in works]

        assert ready(1) == ready(2) == [True, False, False, False]
        assert ready(3) == ready(4) == [False] * 4
        assert not any(2 in chain.epochs for chain in network.chains)
        # The third operator comes round: then it goes through, and a second post of the same key is not taken up.
        approve(network.approved(4), file)
        await network.until(lambda: all(2 in chain.epochs for chain in network.chains))
        again = network.evm.post_rotation(rotation)
        await asyncio.sleep(1.0)
        work = network.members[1].running.pipeline.work(again.digest)
        assert work is None or work.ready_at is None


async def test_rotation__node_whose_view_is_old__takes_the_newer_signature_and_delivers_it(tmp_path: Path) -> None:
    """One node cannot read the chains' epochs for a while: it neither renounces what is newer than it knows nor sticks to its own."""
    async with RotatingNetwork(tmp_path) as network:
        file, shares = made_key((1, 2, 3, 4), epoch=2, overlap=0)
        network.known[2] = file.group_key
        for who in (1, 2, 3, 4):
            network.held[who].append(HeldKey(2, shares[who]))
            await network.begin(who)
        await network.until(lambda: all(w.accepted(EVM) and w.accepted(SOLANA) for w in network.watches.values()))
        network.watches[1]._stop.set()  # from here on member 1 knows what it knew
        network.solana.rotate(file.rotation(REMOTES), 1)
        network.evm.rotate(file.rotation(()), 1)
        await network.until(lambda: all(network.watches[i].accepted(SOLANA) == {2} for i in (2, 3, 4)))
        assert network.watches[1].accepted(SOLANA) == {1}
        posted = [network.evm.post(SOLANA, CONSUMER, SOLANA_CONSUMER, b"%d" % i) for i in range(8)]
        await all_arrive(network, posted)

        def settled(message: Message) -> bool:
            work = network.members[1].running.pipeline.work(message.digest)
            if work is None:
                return False
            return work.attestation is None or work.attestation.epoch == 2 or message.digest in work.delivered

        # What it signed under the old epoch itself counts for nothing, and it learns of the delivery at its next look.
        await network.until(lambda: all(settled(message) for message in posted))
