"""The coordinator's shell around ROAST, over wires in memory: who is silent delays nobody, and what happened is counted and named."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import IllegalTransition, PeerRefused, PeerTimeout, TooFewSigners, TooManySignings
from bridges.frost.group import Identifier, Scalar
from bridges.frost.session import COMMIT_PATH, SHARE_PATH, CoordinatorLimits, Signer, SigningCoordinator
from bridges.frost.signing import GroupSignature, NonceCommitment
from oracle.errors import NotAuthorised, SigningError
from oracle.protocol.errors import ProtocolError
from tests.support.dealer import deal

# A round far longer than any test may take: whoever waits for the silent does not finish.
LIMITS = CoordinatorLimits(attempts=3, round_seconds=120.0, total_seconds=60.0, pause_seconds=0.02)
CONTEXT = b"what is to be signed"
Answer = Callable[[int, bytes], Awaitable[bytes]]


async def agree(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()


async def silent(_: int, __: bytes) -> bytes:
    await asyncio.Event().wait()
    return b""


@dataclass
class Wire:
    """One coordinator's way to one member."""

    caller: int
    routes: dict[str, Answer]
    peer: int
    calls: int = 0

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        self.calls += 1
        try:
            async with asyncio.timeout(timeout):
                return await self.routes[path](self.caller, body)
        except TimeoutError:
            raise PeerTimeout(f"Peer {self.peer} did not answer within {timeout:g} s.") from None
        except NotAuthorised as error:
            raise PeerRefused(self.peer, "not_authorised", str(error)) from error
        except ProtocolError as error:
            raise PeerRefused(self.peer, getattr(error, "code", "refused"), str(error)) from error


@dataclass
class Committee:
    n: int
    t: int
    signers: dict[int, Signer] = field(default_factory=dict)
    routes: dict[int, dict[str, Answer]] = field(default_factory=dict)
    wires: dict[int, Wire] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for share in deal(self.n, self.t, os.urandom):
            who = int(share.identifier)
            self.signers[who] = signer = Signer(share, agree)
            self.routes[who] = {COMMIT_PATH: signer.answer_commit, SHARE_PATH: signer.answer_share}
            self.wires[who] = Wire(1, self.routes[who], who)

    def coordinator(self, limits: CoordinatorLimits = LIMITS) -> SigningCoordinator:
        peers = {who: wire for who, wire in self.wires.items() if who != 1}
        return SigningCoordinator(self.signers[1], peers, limits=limits)

    def holds(self, signature: GroupSignature, context: bytes = CONTEXT) -> bool:
        key = self.signers[1].share.public.group_public_key
        return signing.verify(key, signature, hashlib.sha256(context).digest())

    def first(self, *members: int) -> None:
        """Make these members the first to commit: the others do when a session is under way."""
        begun = asyncio.Event()
        for who, routes in self.routes.items():
            if who in members or who == 1:
                routes[SHARE_PATH] = self._telling(routes[SHARE_PATH], begun)
            else:
                routes[COMMIT_PATH] = self._after(begun, routes[COMMIT_PATH])

    @staticmethod
    def _telling(answer: Answer, begun: asyncio.Event) -> Answer:
        async def told(peer: int, body: bytes) -> bytes:
            begun.set()
            return await answer(peer, body)

        return told

    @staticmethod
    def _after(begun: asyncio.Event, answer: Answer) -> Answer:
        async def late(peer: int, body: bytes) -> bytes:
            await begun.wait()
            return await answer(peer, body)

        return late

    def lying(self, who: int) -> Answer:
        honest = self.signers[who].answer_share

        async def lie(peer: int, body: bytes) -> bytes:
            reply = ShareReply.from_bytes(await honest(peer, body))
            return replace(reply, share=replace(reply.share, z=Scalar(reply.share.z ^ 1))).to_bytes()

        return lie

    def tampered(self, who: int, change: Callable[[bytes], bytes]) -> Answer:
        honest = self.signers[who].answer_share

        async def answer(peer: int, body: bytes) -> bytes:
            return change(await honest(peer, body))

        return answer


# ---- nobody waits for the silent


async def test_sign__call_loses_its_cancellation__the_signature_is_returned() -> None:
    four = Committee(4, 3)
    honest, lost = four.routes[4][COMMIT_PATH], asyncio.Event()

    async def answers_when_cancelled(peer: int, body: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        return await honest(peer, body)

    four.routes[4][COMMIT_PATH] = answers_when_cancelled
    assert four.holds(await four.coordinator().sign(CONTEXT))
    assert lost.is_set()


async def test_sign__all_well__asks_each_member_twice_at_most_and_opens_one_session() -> None:
    four = Committee(4, 3)
    coordinator = four.coordinator()
    with capture_logs() as logs:
        assert four.holds(await coordinator.sign(CONTEXT))
    (signed,) = [entry for entry in logs if entry["event"] == "frost_signed"]
    assert all(wire.calls <= 2 for wire in four.wires.values())
    # Everyone is asked for a commitment, and the signers for a share: the coordinator is usually one of them, and asks itself without a wire.
    assert sum(wire.calls for wire in four.wires.values()) == 3 + len(set(signed["signers"]) - {1})
    assert (coordinator.counts.signatures, coordinator.counts.sessions) == (1, 1)
    assert not coordinator.counts.passed_over
    assert four.signers[1].pending == 0  # what the next session would have used is wiped


async def test_sign__silent_after_commitment__is_not_waited_for() -> None:
    four = Committee(4, 3)
    four.routes[2][SHARE_PATH] = silent
    four.first(2, 3)
    coordinator = four.coordinator()
    with capture_logs() as logs:
        assert four.holds(await asyncio.wait_for(coordinator.sign(CONTEXT), 30))
    (signed,) = [entry for entry in logs if entry["event"] == "frost_signed"]
    assert (signed["session"], signed["signers"], signed["overtaken"]) == (1, (1, 3, 4), [2])
    assert coordinator.counts.overtaken == {2: 1}
    assert not coordinator.counts.passed_over  # it may still have answered
    # Those that answered had sent their next commitment along: nobody was asked for one again.
    assert four.wires[3].calls == 3


async def test_sign__silent_from_the_start__costs_nothing() -> None:
    seven = Committee(7, 5)
    for who in (3, 6):
        seven.routes[who][COMMIT_PATH] = silent
    coordinator = seven.coordinator()
    assert seven.holds(await asyncio.wait_for(coordinator.sign(CONTEXT), 30))
    assert coordinator.counts.sessions == 1


async def test_sign__silent_and_lying_together__signs_within_the_bound_and_names_the_liar() -> None:
    seven = Committee(7, 5)
    seven.routes[2][SHARE_PATH] = silent
    seven.routes[3][SHARE_PATH] = seven.lying(3)
    seven.first(2, 3, 4, 5)
    excluded: dict[int, str] = {}
    coordinator = seven.coordinator()
    coordinator._on_excluded = lambda who, reason: excluded.update({who: reason})
    assert seven.holds(await asyncio.wait_for(coordinator.sign(CONTEXT), 30))
    assert list(excluded) == [3]
    assert "signature share of 3 does not verify" in excluded[3]
    assert coordinator.counts.malicious == {3: 1}
    assert 1 < coordinator.counts.sessions <= 3


async def test_sign__late_share__completes_the_session_that_was_given_up_on() -> None:
    """2 answers when the second session has begun, in which 4 then says nothing."""
    four = Committee(4, 3)
    second = asyncio.Event()
    honest = four.signers[2].answer_share

    async def late(peer: int, body: bytes) -> bytes:
        await second.wait()
        return await honest(peer, body)

    async def silent_and_telling(_: int, __: bytes) -> bytes:
        second.set()
        return await silent(_, __)

    four.routes[2][SHARE_PATH] = late
    four.routes[4][SHARE_PATH] = silent_and_telling
    four.first(2, 3)
    with capture_logs() as logs:
        assert four.holds(await asyncio.wait_for(four.coordinator().sign(CONTEXT), 30))
    (signed,) = [entry for entry in logs if entry["event"] == "frost_signed"]
    assert (signed["session"], signed["sessions"], signed["signers"]) == (0, 2, (1, 2, 3))
    assert signed["overtaken"] == []  # 4 was only just asked


@pytest.mark.parametrize("silent_members", [(), (7,), (6, 7)])
async def test_sign__many_at_once_among_liars_and_silent__all_sign(silent_members: tuple[int, ...]) -> None:
    seven = Committee(7, 5)
    for who in silent_members:
        seven.routes[who][SHARE_PATH] = silent
    for who in {6, 7} - set(silent_members):
        seven.routes[who][SHARE_PATH] = seven.lying(who)
    coordinator = seven.coordinator(replace(LIMITS, concurrent=16))
    contexts = [b"context %d" % i for i in range(48)]
    signatures = await asyncio.wait_for(asyncio.gather(*map(coordinator.sign, contexts)), 60)
    assert all(seven.holds(signature, context) for signature, context in zip(signatures, contexts, strict=True))
    assert len({signature.to_bytes() for signature in signatures}) == 48
    assert set(coordinator.counts.malicious) <= {6, 7} - set(silent_members)
    assert coordinator.counts.sessions <= 48 * 3


# ---- bounds


async def test_sign__more_than_may_run_or_wait__is_refused_at_once() -> None:
    four = Committee(4, 3)
    for who in (2, 3, 4):
        four.routes[who][COMMIT_PATH] = silent
    coordinator = four.coordinator(replace(LIMITS, concurrent=2, waiting=3))
    tasks = [asyncio.ensure_future(coordinator.sign(b"%d" % i)) for i in range(5)]
    await asyncio.sleep(0.05)
    assert sum(wire.calls for wire in four.wires.values()) == 2 * 3  # two run, three wait
    with pytest.raises(TooManySignings, match="ask again later") as caught:
        await coordinator.sign(CONTEXT)
    assert isinstance(caught.value, SigningError)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    four.routes[2][COMMIT_PATH] = four.signers[2].answer_commit
    four.routes[3][COMMIT_PATH] = four.signers[3].answer_commit
    assert four.holds(await coordinator.sign(CONTEXT))  # their places are free again


async def test_sign__waiting_for_a_turn__counts_towards_the_deadline() -> None:
    four = Committee(4, 3)
    for who in (2, 3, 4):
        four.routes[who][COMMIT_PATH] = silent
    coordinator = four.coordinator(replace(LIMITS, concurrent=1, total_seconds=0.2))
    results = await asyncio.gather(coordinator.sign(b"1"), coordinator.sign(b"2"), return_exceptions=True)
    assert [type(result) for result in results] == [TooFewSigners, TooFewSigners]
    assert coordinator.counts.failures == 2


# ---- what is said of whom


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda reply: b"", "cannot be 0 bytes"),
        (lambda reply: reply[:-1], "cannot be 101 bytes"),
        (lambda reply: reply + b"\x00", "cannot be 103 bytes"),
        (lambda reply: reply[:34], "without the commitment"),
        (lambda reply: b"\x00\x00" + reply[2:], "identifier must be"),
        (lambda reply: b"\x00\x01" + reply[2:], "spoke as participant 1"),
        (lambda reply: reply[:2] + b"\xff" * 32 + reply[34:], "below the group's order"),
        (lambda reply: reply[:34] + b"\x00\x01" + reply[36:], "spoke as participant 1"),
        (lambda reply: reply[:36] + bytes(33) + reply[69:], "not a compressed point"),
        (lambda reply: reply[:69] + bytes(33), "not a compressed point"),
        (lambda reply: reply[:36] + reply[69:102] + reply[69:102], "offered a nonce twice"),
        (lambda reply: reply[:2] + bytes(32) + reply[34:], "does not verify"),
    ],
    ids=[
        "empty",
        "short",
        "long",
        "no-commitment",
        "identifier-0",
        "identifier-1",
        "z-too-large",
        "following-of-another",
        "hiding",
        "binding",
        "same",
        "zero",
    ],
)
async def test_sign__malformed_at_one_field__is_named_with_the_reason(
    change: Callable[[bytes], bytes], says: str
) -> None:
    four = Committee(4, 3)
    four.routes[2][SHARE_PATH] = four.tampered(2, change)
    four.first(2, 3)
    reasons: dict[int, str] = {}
    coordinator = four.coordinator()
    coordinator._on_excluded = lambda who, reason: reasons.update({who: reason})
    signature = await asyncio.wait_for(coordinator.sign(CONTEXT), 30)
    assert four.holds(signature)
    assert reasons.keys() == {2}
    assert says in reasons[2]
    assert coordinator.counts.malicious == {2: 1}


async def test_sign__refuses_after_it_committed__is_passed_over_and_not_called_malicious() -> None:
    four = Committee(4, 3)
    asked = 0

    async def changes_its_mind(context: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise NotAuthorised("the origin reorganised")
        return await agree(context)

    four.signers[2]._authorise = changes_its_mind
    four.first(2, 3)
    coordinator = four.coordinator()
    with capture_logs() as logs:
        assert four.holds(await asyncio.wait_for(coordinator.sign(CONTEXT), 30))
    (entry,) = [entry for entry in logs if entry["event"] == "frost_signer_excluded"]
    assert (entry["signer"], entry["culprit"], entry["malicious"]) == (2, False, False)
    assert "reorganised" in entry["reason"]
    assert coordinator.counts.passed_over == {2: 1}
    assert not coordinator.counts.malicious


async def test_sign__restarted_between_the_rounds__is_passed_over() -> None:
    four = Committee(4, 3)
    honest = four.signers[2].answer_share

    async def restarted(peer: int, body: bytes) -> bytes:
        four.signers[2].close()
        return await honest(peer, body)

    four.routes[2][SHARE_PATH] = restarted
    four.first(2, 3)
    coordinator = four.coordinator()
    assert four.holds(await asyncio.wait_for(coordinator.sign(CONTEXT), 30))
    assert coordinator.counts.passed_over == {2: 1}
    assert not coordinator.counts.malicious


async def test_sign__own_signer_restarted_between_the_rounds__is_not_called_a_culprit() -> None:
    """As when the signer is a process of its own: its nonces are gone, and it says so."""
    four = Committee(4, 3)
    honest = four.signers[1].answer_share

    async def restarted(peer: int, body: bytes) -> bytes:
        four.signers[1].close()
        return await honest(peer, body)

    four.signers[1].answer_share = restarted  # type: ignore[method-assign,assignment]  # what stands for the other process
    four.first(2, 3)
    coordinator = four.coordinator()
    with capture_logs() as logs:
        assert four.holds(await asyncio.wait_for(coordinator.sign(CONTEXT), 30))
    (entry,) = [entry for entry in logs if entry["event"] == "frost_signer_excluded"]
    assert (entry["signer"], entry["culprit"], entry["malicious"]) == (1, False, False)


async def test_sign__silent_after_commitment_and_no_quorum_left__is_named_in_the_error() -> None:
    four = Committee(4, 3)
    four.routes[2][SHARE_PATH] = silent
    four.routes[3][SHARE_PATH] = four.lying(3)
    coordinator = four.coordinator(replace(LIMITS, round_seconds=0.3))
    with pytest.raises(TooFewSigners, match="3 are needed of 4") as caught:
        await asyncio.wait_for(coordinator.sign(CONTEXT), 30)
    assert caught.value.culprits == (2, 3)
    assert "did not answer" in caught.value.refusals[2]
    assert "does not verify" in caught.value.refusals[3]
    assert coordinator.counts.malicious == {3: 1}
    assert coordinator.counts.passed_over == {2: 1}


async def test_sign__replays_anothers_commitment__fails_alone() -> None:
    four = Committee(4, 3)
    seen: list[bytes] = []
    honest = four.signers[3].answer_commit

    async def overheard(peer: int, body: bytes) -> bytes:
        seen.append(await honest(peer, body))
        return seen[-1]

    async def copying(_: int, __: bytes) -> bytes:
        while not seen:
            await asyncio.sleep(0.001)
        return replace(NonceCommitment.from_bytes(seen[0]), identifier=Identifier(2)).to_bytes()

    own = signing.commit(four.signers[2].share, os.urandom(64)).commitment

    async def share_anyway(_: int, __: bytes) -> bytes:
        return ShareReply(signing.SignatureShare(Identifier(2), Scalar(1)), own).to_bytes()

    four.routes[3][COMMIT_PATH] = overheard
    four.routes[2] |= {COMMIT_PATH: copying, SHARE_PATH: share_anyway}
    four.first(2, 3)
    coordinator = four.coordinator()
    assert four.holds(await asyncio.wait_for(coordinator.sign(CONTEXT), 30))
    assert coordinator.counts.malicious == {2: 1}


async def test_signer__session_id_of_the_following_in_use__no_share_leaves() -> None:
    four = Committee(4, 3)
    signer = four.signers[2]
    await signer.commit(1, CommitRequest(b"a" * 16, CONTEXT))
    own = await signer.commit(1, CommitRequest(b"b" * 16, CONTEXT))
    others = [signing.commit(four.signers[who].share, os.urandom(64)).commitment for who in (1, 3)]
    request = ShareRequest(b"b" * 16, (others[0], own, others[1]), b"a" * 16)
    with pytest.raises(IllegalTransition):
        await signer.sign(1, request)
    assert signer.pending == 1
    assert signer.counts.shares == 0
