"""One suite over both signers: the one in this process, and the one behind a socket in a process of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from bridges.frost import signing
from bridges.frost.coordinator import SESSION_ID_BYTES, CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import (
    DecodeError,
    IllegalTransition,
    KeyMaterialError,
    NonceSpent,
    NotAuthorised,
    TooFewSigners,
)
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.remote_signer import SignerLink, remote_signer
from bridges.frost.session import CoordinatorLimits, Signer, SigningCoordinator
from bridges.frost.signer_port import SignerPort
from bridges.frost.signing import GroupSignature, NonceCommitment
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import Message
from tests.support.dealer import deal
from tests.support.samples import plain_message
from tests.support.signers import NodeHalf, lay_out, signer_processes, wires

SEQUENCES = count(1)
LIMITS = CoordinatorLimits(attempts=3, round_seconds=20.0, total_seconds=60.0, pause_seconds=0.05)


@pytest.fixture(scope="module")
def shares() -> tuple[KeyShare, ...]:
    return deal(4, 3, os.urandom)


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory, shares: tuple[KeyShare, ...]) -> Iterator[list[Path]]:
    """Four signer processes, for the whole module; every test signs messages of its own."""
    home = tmp_path_factory.mktemp("s")
    configs = [lay_out(home / str(share.identifier), share) for share in shares]
    with signer_processes(configs):
        yield [config.parent / "run" / "signer.sock" for config in configs]


@dataclass
class Committee:
    ports: dict[Identifier, SignerPort]
    halves: dict[Identifier, NodeHalf]
    shares: tuple[KeyShare, ...]
    own: Identifier = field(default=Identifier(1))

    @property
    def port(self) -> SignerPort:
        """Member 1's, which most tests are about."""
        return self.ports[self.own]

    def reach(self, *messages: Message) -> bytes:
        contexts = {half.reach(*messages) for half in self.halves.values()}
        assert len(contexts) == 1
        return contexts.pop()

    async def commit(
        self, context: bytes, coordinator: int = 2, session: bytes | None = None
    ) -> tuple[bytes, NonceCommitment]:
        session = session or os.urandom(SESSION_ID_BYTES)
        reply = await self.port.answer_commit(coordinator, CommitRequest(session, context).to_bytes())
        return session, NonceCommitment.from_bytes(reply)

    def others(self, number: int = 2) -> list[NonceCommitment]:
        return [signing.commit(share, os.urandom(64)).commitment for share in self.shares[1 : 1 + number]]

    async def share(
        self, session: bytes, *listed: NonceCommitment, coordinator: int = 2, following: bytes | None = None
    ) -> ShareReply:
        ordered = tuple(sorted(listed, key=lambda commitment: commitment.identifier))
        body = ShareRequest(session, ordered, following).to_bytes()
        return ShareReply.from_bytes(await self.port.answer_share(coordinator, body))

    def coordinator(self, who: int) -> SigningCoordinator:
        own = Identifier(who)
        return SigningCoordinator(self.ports[own], wires(own, self.ports), limits=LIMITS)

    def holds(self, signature: GroupSignature, *messages: Message) -> bool:
        key = self.shares[0].public.group_public_key
        return signing.verify(key, signature, batch_signing_hash([message.digest for message in messages]))


@pytest.fixture(params=["in-process", "process"])
async def committee(request: pytest.FixtureRequest, shares: tuple[KeyShare, ...]) -> AsyncIterator[Committee]:
    halves = {share.identifier: NodeHalf() for share in shares}
    async with AsyncExitStack() as stack:
        ports: dict[Identifier, SignerPort] = {}
        if request.param == "in-process":
            for share in shares:
                signer = Signer(share, halves[share.identifier].authorise)
                stack.callback(signer.close)
                ports[share.identifier] = signer
        else:
            for share, path in zip(shares, request.getfixturevalue("sockets"), strict=True):
                half = halves[share.identifier]
                opened = remote_signer(SignerLink(path), half.authorise, half.bodies)
                ports[share.identifier] = await stack.enter_async_context(opened)
        yield Committee(ports, halves, shares)


def fresh(**fields: bytes) -> Message:
    return plain_message(sequence=next(SEQUENCES), **fields)


# ---- a committee


async def test_signer__four_members_each_coordinating__every_signature_holds(committee: Committee) -> None:
    for who in (1, 2, 3, 4):
        batch = [fresh() for _ in range(who)]
        assert committee.holds(await committee.coordinator(who).sign(committee.reach(*batch)), *batch)


async def test_signer__sessions_at_once_by_all_members__every_signature_holds(committee: Committee) -> None:
    batches = [[fresh(), fresh()] for _ in range(8)]
    contexts = [committee.reach(*batch) for batch in batches]
    coordinators = [committee.coordinator(1 + i % 4) for i in range(len(batches))]
    made = await asyncio.gather(*(who.sign(context) for who, context in zip(coordinators, contexts, strict=True)))
    assert all(committee.holds(signature, *batch) for signature, batch in zip(made, batches, strict=True))


async def test_signer__largest_batch__is_signed(committee: Committee) -> None:
    batch = [fresh() for _ in range(1024)]
    assert committee.holds(await committee.coordinator(1).sign(committee.reach(*batch)), *batch)


async def test_signer__same_batch_again__is_signed_again(committee: Committee) -> None:
    message = fresh()
    context = committee.reach(message)
    first, second = [await committee.coordinator(who).sign(context) for who in (1, 2)]
    assert first != second
    assert committee.holds(first, message)
    assert committee.holds(second, message)


async def test_signer__two_nodes_that_would_not_sign__no_signature(committee: Committee) -> None:
    message = fresh()
    context = committee.reach(message)
    for who in (3, 4):
        committee.halves[Identifier(who)].refuses.add(message.digest)
    with pytest.raises(TooFewSigners):
        await committee.coordinator(1).sign(context)


# ---- one member


async def test_signer__its_share__is_public_and_its_own(committee: Committee) -> None:
    assert committee.port.share.identifier == 1
    assert committee.port.share.public == committee.shares[0].public


async def test_signer__share_given__verifies(committee: Committee) -> None:
    message = fresh()
    session, own = await committee.commit(committee.reach(message))
    listed = [own, *committee.others()]
    reply = await committee.share(session, *listed)
    package = signing.prepare(committee.shares[0].public, batch_signing_hash([message.digest]), listed)
    assert signing.verify_share(package, reply.share)
    assert reply.following is None


async def test_signer__node_refuses__no_commitment(committee: Committee) -> None:
    context = committee.reach(fresh())
    committee.halves[committee.own].messages.clear()
    with pytest.raises(NotAuthorised):
        await committee.commit(context)


async def test_signer__node_refuses_later__no_share_and_the_nonces_are_gone(committee: Committee) -> None:
    message = fresh()
    session, own = await committee.commit(committee.reach(message))
    half, others = committee.halves[committee.own], committee.others()
    half.refuses.add(message.digest)
    with pytest.raises(NotAuthorised):
        await committee.share(session, own, *others)
    half.refuses.clear()
    with pytest.raises(NonceSpent):
        await committee.share(session, own, *others)


async def test_signer__share_asked_twice__only_once_given(committee: Committee) -> None:
    session, own = await committee.commit(committee.reach(fresh()))
    others = committee.others()
    await committee.share(session, own, *others)
    for listed in (others, committee.others()):
        with pytest.raises(NonceSpent):
            await committee.share(session, own, *listed)


async def test_signer__asked_twice_at_once__one_answer(committee: Committee) -> None:
    session, own = await committee.commit(committee.reach(fresh()))
    asked = [committee.share(session, own, *committee.others()) for _ in range(6)]
    replies = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(reply, ShareReply) for reply in replies) == 1
    assert sum(isinstance(reply, NonceSpent) for reply in replies) == 5


async def test_signer__session_never_begun_or_of_another_coordinator__has_no_nonces(committee: Committee) -> None:
    session, own = await committee.commit(committee.reach(fresh()), coordinator=2)
    with pytest.raises(NonceSpent):
        await committee.share(os.urandom(SESSION_ID_BYTES), own, *committee.others())
    with pytest.raises(NonceSpent):
        await committee.share(session, own, *committee.others(), coordinator=3)
    await committee.share(session, own, *committee.others(), coordinator=2)


async def test_signer__session_id_in_use__is_refused_for_the_same_coordinator_alone(committee: Committee) -> None:
    context = committee.reach(fresh())
    session, own = await committee.commit(context, coordinator=2)
    with pytest.raises(IllegalTransition):
        await committee.commit(context, coordinator=2, session=session)
    _, other = await committee.commit(context, coordinator=3, session=session)
    assert other != own


async def test_signer__every_commitment__is_new(committee: Committee) -> None:
    context = committee.reach(fresh())
    made = [(await committee.commit(context))[1] for _ in range(20)]
    points = [point for commitment in made for point in (commitment.hiding.encoded, commitment.binding.encoded)]
    assert len(set(points)) == 40


async def test_signer__following_session__is_of_the_same_context_and_single_use(committee: Committee) -> None:
    message = fresh()
    session, own = await committee.commit(committee.reach(message))
    following = os.urandom(SESSION_ID_BYTES)
    first = await committee.share(session, own, *committee.others(), following=following)
    assert first.following is not None
    assert first.following.hiding != own.hiding
    listed = [first.following, *committee.others()]
    second = await committee.share(following, *listed)
    package = signing.prepare(committee.shares[0].public, batch_signing_hash([message.digest]), listed)
    assert signing.verify_share(package, second.share)
    with pytest.raises(NonceSpent):
        await committee.share(following, *listed)


async def test_signer__forgotten_session__gives_no_share(committee: Committee) -> None:
    context = committee.reach(fresh())
    session, own = await committee.commit(context)
    committee.port.forget(2, session)
    committee.port.forget(2, os.urandom(SESSION_ID_BYTES))
    with pytest.raises(NonceSpent):
        await committee.share(session, own, *committee.others())
    await committee.commit(context, session=session)  # its id is free again


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_signer__not_a_quorum__is_refused_and_the_nonces_are_gone(committee: Committee, number: int) -> None:
    session, own = await committee.commit(committee.reach(fresh()))
    with pytest.raises(KeyMaterialError):
        await committee.share(session, own, *committee.others(number))
    with pytest.raises(NonceSpent):
        await committee.share(session, own, *committee.others())


async def test_signer__list_without_its_own_commitment__is_refused(committee: Committee) -> None:
    session, _ = await committee.commit(committee.reach(fresh()))
    foreign = signing.commit(committee.shares[0], os.urandom(64)).commitment
    with pytest.raises(KeyMaterialError):
        await committee.share(session, foreign, *committee.others())
    session, _ = await committee.commit(committee.reach(fresh()))
    with pytest.raises(KeyMaterialError):
        await committee.share(session, *committee.others(3))


@pytest.mark.parametrize(
    "body", [b"", b"x" * 19, bytes(20), bytes(16) + b"\0\0\0\5abcd", bytes(18), bytes(17)], ids=len
)
async def test_signer__malformed_requests__are_decode_errors(committee: Committee, body: bytes) -> None:
    with pytest.raises(DecodeError):
        await committee.port.answer_commit(2, body)
    with pytest.raises(DecodeError):
        await committee.port.answer_share(2, body)


async def test_signer__closed__keeps_no_session(committee: Committee) -> None:
    session, own = await committee.commit(committee.reach(fresh()))
    committee.port.close()
    with pytest.raises(NonceSpent):
        await committee.share(session, own, *committee.others())
