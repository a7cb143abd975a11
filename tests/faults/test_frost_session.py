"""Signing sessions over real sockets on loopback: members that are down, silent, lying, behind, or replaying."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import (
    DecodeError,
    IllegalTransition,
    KeyMaterialError,
    NonceSpent,
    NotAuthorised,
    PeerRefused,
    TooFewSigners,
)
from bridges.frost.group import Scalar, identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.session import (
    COMMIT_PATH,
    SHARE_PATH,
    CoordinatorLimits,
    Signer,
    SignerLimits,
    SigningCoordinator,
)
from bridges.frost.signing import NonceCommitment
from bridges.frost.transport import PeerCaller, PeerClient, PeerServer, TransportIdentity
from oracle.errors import SigningError
from tests.support.dealer import deal

CONTEXT = b"three digests"
# Patient, so that a busy machine fails no test; SHORT is for tests in which somebody stays silent.
LIMITS = CoordinatorLimits(attempts=4, round_seconds=10.0, total_seconds=60.0, pause_seconds=0.2)
SHORT = replace(LIMITS, round_seconds=1.0)
Tamper = Callable[[int, bytes], Awaitable[bytes]]


def message_of(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()


async def agree(context: bytes) -> bytes:
    return message_of(context)


@dataclass
class Member:
    signer: Signer
    server: PeerServer
    clients: dict[int, PeerClient] = field(default_factory=dict)


@dataclass
class Committee:
    members: dict[int, Member]

    def coordinator(self, who: int = 1, limits: CoordinatorLimits = LIMITS) -> SigningCoordinator:
        return SigningCoordinator(self.members[who].signer, self.members[who].clients, limits=limits)

    def tamper(self, who: int, path: str, handler: Tamper) -> None:
        """Replace what one member answers."""
        del self.members[who].server._routes[path]
        self.members[who].server.route(path, handler)

    def holds(self, signature: signing.GroupSignature, context: bytes = CONTEXT) -> bool:
        return signing.verify(self.members[1].signer.share.public.group_public_key, signature, message_of(context))


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[int, TransportIdentity]:
    root: Path = tmp_path_factory.mktemp("identities")
    made = {}
    for i in range(1, 8):
        (root / str(i)).mkdir()
        made[i] = TransportIdentity.generate(root / str(i), f"peer-{i}", datetime.now(UTC))
    return made


@contextlib.asynccontextmanager
async def committee_of(
    n: int, t: int, identities: dict[int, TransportIdentity], limits: SignerLimits | None = None
) -> AsyncIterator[Committee]:
    async with contextlib.AsyncExitStack() as stack:
        members: dict[int, Member] = {}
        for share in deal(n, t, os.urandom):
            own = int(share.identifier)
            pins = {i: identities[i].certificate for i in range(1, n + 1) if i != own}
            server = PeerServer(identities[own], pins, ("127.0.0.1", 0))
            signer = Signer(share, agree, limits=limits)
            signer.register(server)
            stack.callback(signer.close)
            members[own] = Member(signer, await stack.enter_async_context(server))
        for own, member in members.items():
            for other, peer in members.items():
                if other != own:
                    address = ("127.0.0.1", peer.server.port)
                    client = PeerClient(identities[own], other, identities[other].certificate, address)
                    member.clients[other] = await stack.enter_async_context(client)
        yield Committee(members)


@pytest.fixture
async def four(identities: dict[int, TransportIdentity]) -> AsyncIterator[Committee]:
    async with committee_of(4, 3, identities) as committee:
        yield committee


async def silent(_: int, __: bytes) -> bytes:
    await asyncio.sleep(30)
    return b""


def lying(signer: Signer) -> Tamper:
    async def answer(peer_id: int, body: bytes) -> bytes:
        reply = ShareReply.from_bytes(await signer.answer_share(peer_id, body))
        return replace(reply, share=replace(reply.share, z=Scalar(reply.share.z ^ 1))).to_bytes()

    return answer


# ---- committees with faults


async def test_session__all_well__any_member_coordinates(four: Committee) -> None:
    signatures = [await four.coordinator(who).sign(CONTEXT) for who in four.members]
    assert all(four.holds(signature) for signature in signatures)
    assert len({signature.to_bytes() for signature in signatures}) == 4


async def test_session__many_at_once__all_verify(four: Committee) -> None:
    contexts = [f"context {i}".encode() for i in range(8)]
    coordinators = [four.coordinator(i % 4 + 1) for i in range(8)]
    signatures = await asyncio.gather(*(c.sign(x) for c, x in zip(coordinators, contexts, strict=True)))
    assert all(four.holds(signature, context) for signature, context in zip(signatures, contexts, strict=True))


async def test_session__one_down__signs(four: Committee) -> None:
    await four.members[3].server.stop()
    assert four.holds(await four.coordinator().sign(CONTEXT))


async def test_session__one_lies__signs_without_and_names_it(four: Committee) -> None:
    four.tamper(2, SHARE_PATH, lying(four.members[2].signer))
    await four.members[4].server.stop()  # so that the liar is among the first three
    excluded: dict[int, str] = {}
    member = four.members[1]
    coordinator = SigningCoordinator(
        member.signer, member.clients, limits=LIMITS, on_excluded=lambda who, why: excluded.update({who: why})
    )
    with pytest.raises(TooFewSigners) as caught:
        await coordinator.sign(CONTEXT)
    assert caught.value.culprits == (2,)
    assert isinstance(caught.value, SigningError)
    assert "does not verify" in excluded[2]
    assert set(caught.value.refusals) == {2, 4}
    assert "cannot be reached" in caught.value.refusals[4]


async def test_session__one_down_and_one_lying_of_seven__signs(identities: dict[int, TransportIdentity]) -> None:
    async with committee_of(7, 5, identities) as seven:
        seven.tamper(2, SHARE_PATH, lying(seven.members[2].signer))
        await seven.members[7].server.stop()
        signatures = [await seven.coordinator().sign(CONTEXT) for _ in range(3)]
    assert all(seven.holds(signature) for signature in signatures)


async def test_session__one_lying_of_four__signs_with_the_others(four: Committee) -> None:
    four.tamper(2, SHARE_PATH, lying(four.members[2].signer))

    async def late(peer_id: int, body: bytes) -> bytes:
        await asyncio.sleep(0.1)
        return await four.members[4].signer.answer_commit(peer_id, body)

    four.tamper(4, COMMIT_PATH, late)  # so that the liar is among the first three
    with capture_logs() as logs:
        assert four.holds(await four.coordinator().sign(CONTEXT))
    assert [(e["signer"], e["culprit"]) for e in logs if e["event"] == "frost_signer_excluded"] == [(2, True)]
    assert [e["session"] for e in logs if e["event"] == "frost_signed"] == [1]


@pytest.mark.parametrize("liar", [True, False])
async def test_session__silent_after_committing__is_excluded_and_named(four: Committee, liar: bool) -> None:
    four.tamper(2, SHARE_PATH, silent)
    if liar:
        four.tamper(3, SHARE_PATH, lying(four.members[3].signer))
        with pytest.raises(TooFewSigners) as caught:
            await four.coordinator(limits=SHORT).sign(CONTEXT)
        assert caught.value.culprits == (2, 3)
    else:
        await four.members[4].server.stop()
        with pytest.raises(TooFewSigners) as caught:
            await four.coordinator(limits=SHORT).sign(CONTEXT)
        assert caught.value.culprits == (2,)
        assert "did not answer" in caught.value.refusals[2]


async def test_session__two_down__says_who_and_resumes_when_one_is_back(
    four: Committee, identities: dict[int, TransportIdentity]
) -> None:
    port = four.members[3].server.port
    for who in (3, 4):
        await four.members[who].server.stop()
    with pytest.raises(TooFewSigners) as caught:
        await four.coordinator().sign(CONTEXT)
    assert set(caught.value.refusals) == {3, 4}
    assert caught.value.culprits == ()
    pins = {i: identities[i].certificate for i in (1, 2, 4)}
    async with PeerServer(identities[3], pins, ("127.0.0.1", port)) as back:
        four.members[3].signer.register(back)
        assert four.holds(await four.coordinator().sign(CONTEXT))


async def test_session__peer_behind_at_first__is_asked_again(four: Committee) -> None:
    asked = 0

    async def behind(context: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise NotAuthorised("digest not reached yet")
        return message_of(context)

    four.members[2].signer._authorise = behind
    await four.members[3].server.stop()
    with capture_logs() as logs:
        assert four.holds(await four.coordinator().sign(CONTEXT))
    assert asked == 3  # refused, committed, signed
    assert [e["sessions"] for e in logs if e["event"] == "frost_signed"] == [1]


async def test_session__peers_disagree__refusals_say_who_and_why(four: Committee) -> None:
    async def refuse(_: bytes) -> bytes:
        raise NotAuthorised("the output differs from mine")

    for who in (2, 3):
        four.members[who].signer._authorise = refuse
    with pytest.raises(TooFewSigners, match="3 are needed of 4") as caught:
        await four.coordinator().sign(CONTEXT)
    assert caught.value.culprits == ()
    for who in (2, 3):
        assert "the output differs from mine" in caught.value.refusals[who]


async def test_session__quorum_out_of_reach__does_not_wait_for_the_silent(four: Committee) -> None:
    async def refuse(_: bytes) -> bytes:
        raise NotAuthorised("not reached")

    for who in (2, 3):
        four.members[who].signer._authorise = refuse
    four.tamper(4, COMMIT_PATH, silent)
    limits = replace(LIMITS, attempts=1, round_seconds=240.0, total_seconds=240.0)
    with pytest.raises(TooFewSigners) as caught:
        await asyncio.wait_for(four.coordinator(limits=limits).sign(CONTEXT), 60)
    assert "not reached" in caught.value.refusals[2]
    assert "had not answered" in caught.value.refusals[4]


async def test_session__coordinators_own_node_refuses__nobody_is_asked(four: Committee) -> None:
    async def refuse(_: bytes) -> bytes:
        raise NotAuthorised("not reached")

    four.members[1].signer._authorise = refuse
    with pytest.raises(NotAuthorised, match="not reached"):
        await four.coordinator().sign(CONTEXT)
    assert sum(member.signer.pending for member in four.members.values()) == 0


async def test_session__peer_that_means_another_message__is_named(four: Committee) -> None:
    """A member whose pipeline made other bytes of the same context gives a share that fails."""

    async def differ(_: bytes) -> bytes:
        return bytes(32)

    four.members[2].signer._authorise = differ
    await four.members[4].server.stop()
    with pytest.raises(TooFewSigners) as caught:
        await four.coordinator().sign(CONTEXT)
    assert caught.value.culprits == (2,)


@pytest.mark.parametrize("reply", [b"", bytes(68), b"x" * 200])
async def test_session__malformed_commitment__is_named(four: Committee, reply: bytes) -> None:
    async def garbage(_: int, __: bytes) -> bytes:
        return reply

    four.tamper(2, COMMIT_PATH, garbage)
    await four.members[4].server.stop()
    with pytest.raises(TooFewSigners) as caught:
        await four.coordinator().sign(CONTEXT)
    assert caught.value.culprits == (2,)


async def test_session__commitment_in_anothers_name__is_named(four: Committee) -> None:
    async def impersonate(peer_id: int, body: bytes) -> bytes:
        own = NonceCommitment.from_bytes(await four.members[2].signer.answer_commit(peer_id, body))
        return replace(own, identifier=identifier(4)).to_bytes()

    four.tamper(2, COMMIT_PATH, impersonate)
    await four.members[3].server.stop()
    with pytest.raises(TooFewSigners) as caught:
        await four.coordinator().sign(CONTEXT)
    assert caught.value.culprits == (2,)


async def test_session__total_deadline__bounds_everything(four: Committee) -> None:
    for who in (2, 3, 4):
        four.tamper(who, COMMIT_PATH, silent)
    limits = replace(LIMITS, round_seconds=240.0, total_seconds=0.3)
    with pytest.raises(TooFewSigners, match=r"within 0\.3 s"):
        await asyncio.wait_for(four.coordinator(limits=limits).sign(CONTEXT), 60)


@pytest.mark.parametrize("context", [b"", bytes(65_537)], ids=["empty", "oversize"])
async def test_session__context_out_of_bounds__raises(four: Committee, context: bytes) -> None:
    with pytest.raises(DecodeError):
        await four.coordinator().sign(context)


async def test_session__cancelled__leaves_no_nonces_with_the_local_signer(four: Committee) -> None:
    four.tamper(2, SHARE_PATH, silent)
    four.tamper(3, SHARE_PATH, silent)
    task = asyncio.ensure_future(four.coordinator().sign(CONTEXT))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert four.members[1].signer.pending == 0


def test_coordinator__peers_are_not_the_committee__is_refused() -> None:
    shares = deal(4, 3, os.urandom)

    class Nobody:
        async def call(self, path: str, body: bytes, timeout: float) -> bytes:
            raise NotImplementedError

    nobody: PeerCaller = Nobody()
    signer = Signer(shares[0], agree)
    for members in ((2, 3), (1, 2, 3, 4), (2, 3, 5), (2, 3, 4, 5)):
        with pytest.raises(KeyMaterialError):
            SigningCoordinator(signer, dict.fromkeys(members, nobody))


# ---- a signer against a hostile coordinator


@pytest.fixture(scope="module")
def shares() -> tuple[KeyShare, ...]:
    return deal(4, 3, os.urandom)


async def opened(signers: list[Signer], session_id: bytes = bytes(16), peer: int = 4) -> ShareRequest:
    commitments = [await signer.commit(peer, CommitRequest(session_id, CONTEXT)) for signer in signers]
    return ShareRequest(session_id, tuple(commitments))


async def test_signer__same_round_two_again__is_refused(shares: tuple[KeyShare, ...]) -> None:
    signers = [Signer(share, agree) for share in shares[:3]]
    request = await opened(signers)
    await signers[0].sign(4, request)
    with pytest.raises(NonceSpent):
        await signers[0].sign(4, request)


async def test_signer__two_round_twos_at_once__one_share_leaves(shares: tuple[KeyShare, ...]) -> None:
    gate = asyncio.Event()

    async def slow(context: bytes) -> bytes:
        await gate.wait()
        return message_of(context)

    signers = [Signer(share, agree) for share in shares[:3]]
    request = await opened(signers)
    signers[0]._authorise = slow
    tasks = [asyncio.ensure_future(signers[0].sign(4, request)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ShareReply, NonceSpent, NonceSpent]


async def test_signer__other_list_for_the_same_nonces__is_refused(shares: tuple[KeyShare, ...]) -> None:
    """Equivocation by the coordinator: two lists for one commitment would give two equations in one nonce."""
    signers = [Signer(share, agree) for share in shares]
    full = await opened(signers)
    await signers[0].sign(4, ShareRequest(full.session_id, full.commitments[:3]))
    with pytest.raises(NonceSpent):
        await signers[0].sign(4, ShareRequest(full.session_id, (*full.commitments[:2], full.commitments[3])))


async def test_signer__another_coordinator__cannot_use_the_session(shares: tuple[KeyShare, ...]) -> None:
    signers = [Signer(share, agree) for share in shares[:3]]
    request = await opened(signers, peer=4)
    with pytest.raises(NonceSpent):
        await signers[0].sign(2, request)
    assert isinstance(await signers[0].sign(4, request), ShareReply)


async def test_signer__our_commitment_replaced__is_refused_and_spent(shares: tuple[KeyShare, ...]) -> None:
    signers = [Signer(share, agree) for share in shares[:3]]
    request = await opened(signers)
    foreign = signing.commit(shares[0], os.urandom(64)).commitment
    with pytest.raises(KeyMaterialError):
        await signers[0].sign(4, ShareRequest(request.session_id, (foreign, *request.commitments[1:])))
    with pytest.raises(NonceSpent):
        await signers[0].sign(4, request)


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_signer__list_that_is_not_t_long__is_refused(shares: tuple[KeyShare, ...], count: int) -> None:
    signers = [Signer(share, agree) for share in shares]
    request = await opened(signers)
    with pytest.raises(KeyMaterialError, match="exactly 3"):
        await signers[0].sign(4, ShareRequest(request.session_id, request.commitments[:count]))


async def test_signer__list_without_it_or_with_a_stranger__is_refused(shares: tuple[KeyShare, ...]) -> None:
    signers = [Signer(share, agree) for share in shares]
    request = await opened(signers)
    with pytest.raises(KeyMaterialError):
        await signers[0].sign(4, ShareRequest(request.session_id, request.commitments[1:]))
    stranger = replace(request.commitments[3], identifier=identifier(9))
    with pytest.raises(KeyMaterialError):
        await signers[1].sign(4, ShareRequest(request.session_id, (*request.commitments[:2], stranger)))


async def test_signer__authorisation_withdrawn_before_round_two__no_share_leaves(shares: tuple[KeyShare, ...]) -> None:
    signers = [Signer(share, agree) for share in shares[:3]]
    request = await opened(signers)

    async def withdrawn(_: bytes) -> bytes:
        raise NotAuthorised("the origin reorganised")

    signers[0]._authorise = withdrawn
    with pytest.raises(NotAuthorised):
        await signers[0].sign(4, request)
    assert signers[0].pending == 0


async def test_signer__message_changed_before_round_two__no_share_leaves(shares: tuple[KeyShare, ...]) -> None:
    signers = [Signer(share, agree) for share in shares[:3]]
    request = await opened(signers)

    async def changed(_: bytes) -> bytes:
        return bytes(32)

    signers[0]._authorise = changed
    with pytest.raises(NotAuthorised, match="has changed"):
        await signers[0].sign(4, request)


@pytest.mark.parametrize("size", [0, 31, 33])
async def test_signer__authorise_returns_another_length__is_refused(shares: tuple[KeyShare, ...], size: int) -> None:
    async def wrong(_: bytes) -> bytes:
        return bytes(size)

    with pytest.raises(DecodeError, match="authorise"):
        await Signer(shares[0], wrong).commit(4, CommitRequest(bytes(16), CONTEXT))


async def test_signer__undecided_too_long__is_not_authorised(shares: tuple[KeyShare, ...]) -> None:
    async def never(_: bytes) -> bytes:
        await asyncio.sleep(30)
        return bytes(32)

    signer = Signer(shares[0], never, limits=SignerLimits(authorise_seconds=0.05))
    with pytest.raises(NotAuthorised, match="in time"):
        await signer.commit(4, CommitRequest(bytes(16), CONTEXT))


async def test_signer__session_id_in_use__is_refused_and_the_first_stands(shares: tuple[KeyShare, ...]) -> None:
    signers = [Signer(share, agree) for share in shares[:3]]
    request = await opened(signers)
    with pytest.raises(IllegalTransition):
        await signers[0].commit(4, CommitRequest(request.session_id, CONTEXT))
    assert isinstance(await signers[0].sign(4, request), ShareReply)


@pytest.mark.parametrize("bound", [1, 3, 8])
async def test_signer__flood_of_commit_requests__holds_the_newest_of_that_peer_alone(
    shares: tuple[KeyShare, ...], bound: int
) -> None:
    signers = [Signer(share, agree, limits=SignerLimits(pending_per_peer=bound)) for share in shares[:3]]
    other = await opened(signers, b"other peer's one", peer=2)
    for i in range(2 * bound + 3):
        await signers[0].commit(4, CommitRequest(i.to_bytes(16, "big"), CONTEXT))
        assert signers[0].pending == min(i + 1, bound) + 1
    assert isinstance(await signers[0].sign(2, other), ShareReply)
    with pytest.raises(NonceSpent):
        await signers[0].sign(4, ShareRequest(bytes(16), other.commitments))
    signers[0].close()
    assert signers[0].pending == 0


async def test_signer__nonces_past_their_age__are_wiped_and_refused(shares: tuple[KeyShare, ...]) -> None:
    now = 0.0
    signers = [Signer(share, agree, clock=lambda: now) for share in shares[:3]]
    request = await opened(signers)
    nonces = next(iter(signers[0]._pending[4].values())).nonces
    now = 60.0
    with pytest.raises(NonceSpent):
        await signers[0].sign(4, request)
    assert nonces._hiding.wiped
    assert nonces._binding.wiped


async def test_signer__unused_nonces__are_wiped_by_the_timer(shares: tuple[KeyShare, ...]) -> None:
    signer = Signer(shares[0], agree, limits=SignerLimits(nonce_seconds=0.05))
    await signer.commit(4, CommitRequest(bytes(16), CONTEXT))
    async with asyncio.timeout(30):
        while signer.pending:  # the timer has no event to wait for
            await asyncio.sleep(0.01)


async def test_signer__malformed_request_over_the_wire__is_a_decode_refusal(four: Committee) -> None:
    for path in (COMMIT_PATH, SHARE_PATH):
        for body in (b"", b"\x00", bytes(20), os.urandom(300)):
            with pytest.raises(PeerRefused) as caught:
                await four.members[1].clients[2].call(path, body, 30)
            assert caught.value.peer_code == "decode"


async def test_signer__logs_and_errors__hold_no_secret(four: Committee) -> None:
    with capture_logs() as logs:
        await four.coordinator().sign(CONTEXT)
    secrets = [member.signer.share.signing_share.reveal().hex() for member in four.members.values()]
    assert any(entry["event"] == "frost_share_given" for entry in logs)
    assert not any(secret in str(logs) for secret in secrets)
