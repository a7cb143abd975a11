"""The shell of distributed key generation: members that come late, fall silent, restart, lie, or are told of a lie."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bridges.frost import dkg
from bridges.frost.dkg import DkgResult
from bridges.frost.dkg_checks import verify_evidence
from bridges.frost.dkg_messages import (
    BadShare,
    DkgError,
    DkgFault,
    MemberLeft,
    MemberSilent,
    NotSigned,
    Phase,
    Roster,
    SealedShare,
    Signed,
    UnusableGroupKey,
)
from bridges.frost.dkg_session import CeremonyLimits, KeyCeremony, identity_signer
from bridges.frost.errors import DecodeError, KeystoreError, PeerUnreachable
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from tests.support.dkg import identity, resigned, roster

LIMITS = CeremonyLimits(
    wait_seconds=4.0, step_seconds=3.0, hold_seconds=0.2, pause_seconds=0.01, linger_seconds=0.6, attempts=3
)


class Memory:
    """Custody in memory; remembers what happened to it."""

    def __init__(self) -> None:
        self.kept: KeyShare | None = None
        self.settled: DkgResult | None = None
        self.discarded = False

    def keep(self, share: KeyShare) -> None:
        self.kept = share

    def settle(self, result: DkgResult) -> None:
        self.settled = result

    def discard(self) -> None:
        self.discarded = True


class Network:
    """Members by number; a call goes straight to the other's `answer`. Absent members cannot be reached."""

    def __init__(self, n: int = 4) -> None:
        self.roster = roster(n)
        self.members: dict[int, KeyCeremony] = {}
        self.custody: dict[int, Memory] = {}
        self.lines: list[str] = []
        self.down: set[int] = set()

    def join(self, who: int, limits: CeremonyLimits = LIMITS) -> KeyCeremony:
        peers = {int(i): Wire(self, who, int(i)) for i in self.roster.participants if i != who}
        self.custody[who] = Memory()
        self.members[who] = KeyCeremony(
            self.roster,
            Identifier(who),
            identity(who)[0].sign,
            peers,
            self.custody[who],
            limits=limits,
            progress=self.lines.append,
        )
        return self.members[who]

    def lie(self, sender: int, recipient: int, phase: int, reply: bytes) -> bytes:
        return reply


class Wire:
    def __init__(self, network: Network, caller: int, callee: int) -> None:
        self.network, self.caller, self.callee = network, caller, callee

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        member = self.network.members.get(self.callee)
        if member is None or {self.caller, self.callee} & self.network.down:
            raise PeerUnreachable(f"Peer {self.callee} cannot be reached.")
        async with asyncio.timeout(timeout):
            reply = await member.answer(self.caller, body)
        return self.network.lie(self.callee, self.caller, body[0], reply)


class DeafWire(Wire):
    """A call of one kind is pending when the time is up, and loses the cancellation: it ends with an answer in its place.

    `asyncio.wait_for` of Python 3.11 does that by itself when the answer comes in the same turn of the loop.
    """

    deaf_to: int
    last_words: bytes

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        if body[0] != self.deaf_to:
            return await super().call(path, body, timeout)
        try:
            await asyncio.sleep(timeout)
        except asyncio.CancelledError:
            return self.last_words
        raise PeerUnreachable(f"Peer {self.callee} cannot be reached.")


async def run_all(network: Network) -> dict[int, DkgResult | BaseException]:
    members = list(network.members.items())
    ended = await asyncio.gather(*(member.run() for _, member in members), return_exceptions=True)
    return dict(zip((i for i, _ in members), ended, strict=True))


async def test_ceremony__all_there__all_settle_the_same_key() -> None:
    network = Network()
    for i in range(1, 5):
        network.join(i)
    results = await run_all(network)
    hashes = {result.key_hash for result in results.values() if isinstance(result, DkgResult)}
    assert len(hashes) == 1
    assert all(custody.settled is not None and custody.kept is not None for custody in network.custody.values())
    assert not any(custody.discarded for custody in network.custody.values())
    shares = {custody.kept.signing_share.reveal() for custody in network.custody.values() if custody.kept}
    assert len(shares) == 4


async def test_ceremony__late_member__is_waited_for() -> None:
    network = Network()
    early = [asyncio.ensure_future(network.join(i).run()) for i in (1, 2, 3)]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in early)
    result = await network.join(4).run()
    assert {(await task).key_hash for task in early} == {result.key_hash}


async def test_ceremony__member_never_comes__is_named_and_nothing_is_kept() -> None:
    network = Network()
    for i in (1, 2, 3):
        network.join(i, replace(LIMITS, wait_seconds=0.5))
    for error in (await run_all(network)).values():
        assert isinstance(error, MemberSilent)
        assert error.culprits == (4,)
        assert "Member 4 did not come within 0.5 s" in str(error)
    assert all(custody.discarded and custody.kept is None for custody in network.custody.values())


async def test_ceremony__member_falls_silent_midway__the_others_end_and_the_next_ceremony_succeeds() -> None:
    network = Network()
    for i in range(1, 5):
        network.join(i)

    def cut(sender: int, recipient: int, phase: int, reply: bytes) -> bytes:
        if sender == 4 and phase == Phase.SHARE:
            network.down.add(4)
            raise PeerUnreachable("Peer 4 cannot be reached.")
        return reply

    network.lie = cut  # type: ignore[method-assign]  # the hook
    results = await run_all(network)
    assert all(isinstance(error, DkgError) for error in results.values())
    assert any(isinstance(results[i], MemberSilent) and results[i].culprits == (4,) for i in (1, 2, 3))  # type: ignore[union-attr]  # it is that error
    assert all(custody.discarded and custody.kept is None for custody in network.custody.values())
    again = Network()
    for i in range(1, 5):
        again.join(i)
    assert all(isinstance(result, DkgResult) for result in (await run_all(again)).values())


async def test_ceremony__member_restarts_while_others_wait__all_move_to_the_new_session() -> None:
    network = Network()
    early = [asyncio.ensure_future(network.join(i).run()) for i in (1, 2, 3)]
    # It greets, so that a session begins without it, and is gone.
    network.join(4)
    await asyncio.sleep(0.2)
    result = await network.join(4).run()
    assert {(await task).key_hash for task in early} == {result.key_hash}
    assert any("started again" in line for line in network.lines)


async def test_ceremony__member_restarts_in_the_middle__the_others_end_at_once() -> None:
    network = Network()
    for i in range(1, 5):
        network.join(i, replace(LIMITS, step_seconds=60.0))

    def restart(sender: int, recipient: int, phase: int, reply: bytes) -> bytes:
        if sender == 4 and phase == Phase.SHARE and reply[:1] == b"\x01":
            network.join(4)
            raise PeerUnreachable("Peer 4 cannot be reached.")
        return reply

    network.lie = restart  # type: ignore[method-assign]  # the hook
    first = [network.members[i].run() for i in range(1, 5)]
    results = await asyncio.wait_for(asyncio.gather(*first, return_exceptions=True), 10)
    assert any(isinstance(error, MemberLeft) and "4" in str(error) for error in results)
    assert not any(isinstance(result, DkgResult) for result in results)


async def test_ceremony__bad_share__all_name_the_liar_by_evidence() -> None:
    network = Network()
    for i in range(1, 5):
        network.join(i)

    def lie(sender: int, recipient: int, phase: int, reply: bytes) -> bytes:
        if (sender, recipient, phase) != (2, 3, Phase.SHARE) or reply[:1] != b"\x01":
            return reply
        body = SealedShare.from_bytes(Signed.from_bytes(reply[1:]).body)
        return reply[:1] + resigned(network.roster, reply[1:], replace(body, ciphertext=bytes(48)).to_bytes())

    network.lie = lie  # type: ignore[method-assign]  # the hook
    results = await run_all(network)
    for i in (1, 3, 4):
        error = results[i]
        assert isinstance(error, BadShare), error
        assert error.culprits == (2,)
        assert verify_evidence(network.roster, error.evidence).culprit == 2
    assert all(custody.kept is None for custody in network.custody.values())


async def test_ceremony__liar_convicted__the_others_make_a_key_without_it() -> None:
    network = Network()
    for i in range(1, 5):
        network.join(i)

    def lie(sender: int, recipient: int, phase: int, reply: bytes) -> bytes:
        if (sender, phase) != (2, Phase.SHARE) or reply[:1] != b"\x01":
            return reply
        body = SealedShare.from_bytes(Signed.from_bytes(reply[1:]).body)
        return reply[:1] + resigned(network.roster, reply[1:], replace(body, ciphertext=bytes(48)).to_bytes())

    network.lie = lie  # type: ignore[method-assign]  # the hook
    errors = [error for i, error in (await run_all(network)).items() if i != 2]
    (liar,) = {
        verify_evidence(network.roster, error.evidence).culprit for error in errors if isinstance(error, DkgFault)
    }
    again = Network()
    # A committee file without the liar, as `sibyl committee init --without` writes it.
    again.roster = Roster("test", 1, {i: der for i, der in network.roster.certificates.items() if i != liar})
    for who in again.roster.participants:
        again.join(int(who))
    results = await run_all(again)
    assert sorted(results) == [1, 3, 4]
    assert len({result.key_hash for result in results.values() if isinstance(result, DkgResult)}) == 1


async def test_ceremony__garbage_from_a_member__names_it() -> None:
    for garbage in (b"", b"\x09", b"\x01", b"\x01" + bytes(200), b"\x02" + bytes(50)):
        network = Network(3)
        for i in (1, 2, 3):
            network.join(i, replace(LIMITS, wait_seconds=1.0, linger_seconds=0.2))
        network.lie = (  # type: ignore[method-assign]  # the hook
            lambda sender, recipient, phase, reply, g=garbage: g if (sender, phase) == (2, Phase.ECHO) else reply
        )
        results = await run_all(network)
        assert isinstance(results[1], DkgFault), (garbage, results[1])
        assert results[1].culprits == (2,)


async def test_ceremony__unusable_group_key__another_session_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = Network(), set()
    real = dkg.group_key

    def once_unusable(commitments: dict[Identifier, object]) -> object:
        constants = tuple(commitments[i].coefficients[0].encoded for i in sorted(commitments))  # type: ignore[attr-defined]  # Commitments
        if not seen or constants in seen:
            seen.add(constants)
            raise DecodeError("x is not below the order.")
        return real(commitments)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(dkg, "group_key", once_unusable)
    for i in range(1, 5):
        network.join(i)
    results = await run_all(network)
    assert len({result.key_hash for result in results.values() if isinstance(result, DkgResult)}) == 1
    assert len(seen) == 1
    assert any("Session 2 begins" in line for line in network.lines)


async def test_ceremony__never_usable_group_key__gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: object) -> object:
        raise DecodeError("x is not below the order.")

    monkeypatch.setattr(dkg, "group_key", never)
    network = Network(3)
    for i in (1, 2, 3):
        network.join(i, replace(LIMITS, linger_seconds=0.2))
    results = await run_all(network)
    assert all(isinstance(error, DkgError) for error in results.values())
    assert any(isinstance(error, UnusableGroupKey) for error in results.values())


async def test_ceremony__custody_fails__nobody_gets_a_key_and_no_path_crosses_the_wire() -> None:
    network = Network()
    for i in range(1, 5):
        network.join(i)

    def full(share: KeyShare) -> None:
        raise KeystoreError("/secret/place cannot be written: the disk is full.")

    network.custody[3].keep = full  # type: ignore[method-assign]  # the fault
    results = await run_all(network)
    assert isinstance(results[3], KeystoreError)
    for i in (1, 2, 4):
        assert isinstance(results[i], DkgError)
        assert "/secret" not in str(results[i])
        # They had certified, so their shares stay in custody.
        assert not network.custody[i].discarded
        assert network.custody[i].settled is None
    assert network.custody[3].discarded


async def test_ceremony__cancelled__wipes_and_discards() -> None:
    network = Network()
    tasks = [asyncio.ensure_future(network.join(i).run()) for i in (1, 2, 3)]
    await asyncio.sleep(0.1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(custody.discarded for custody in network.custody.values())


async def test_ceremony__member_greets_differently__nobody_honest_is_blamed() -> None:
    network = Network(3)
    for i in (1, 2, 3):
        network.join(i, replace(LIMITS, linger_seconds=0.2))
    twin = Network(3).join(2)

    def two_faced(sender: int, recipient: int, phase: int, reply: bytes) -> bytes:
        return b"\x01" + twin._hello() if (sender, recipient, phase) == (2, 3, Phase.HELLO) else reply

    network.lie = two_faced  # type: ignore[method-assign]  # the hook
    results = await run_all(network)
    for i in (1, 3):
        error = results[i]
        assert isinstance(error, DkgError), error
        assert not set(error.culprits) & {1, 3}
    assert all(custody.kept is None for custody in network.custody.values())


WAIT = b"\x00"
DONE = 0xFF


def make_deaf(network: Network, caller: int, callee: int, phase: int, last_words: bytes) -> None:
    wire = DeafWire(network, caller, callee)
    wire.deaf_to, wire.last_words = phase, last_words
    network.members[caller]._peers[Identifier(callee)] = wire


@pytest.mark.parametrize("phase", [Phase.HELLO, Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.READY, Phase.CERTIFICATE])
async def test_ceremony__cancellation_lost_at_the_deadline__ends_all_the_same(phase: Phase) -> None:
    network = Network(3)
    for i in (1, 2, 3):
        network.join(i, replace(LIMITS, linger_seconds=0.2))
    make_deaf(network, 1, 2, phase, WAIT)
    async with asyncio.timeout(60):
        results = await run_all(network)
    error = results[1]
    assert isinstance(error, DkgError), error
    assert not set(error.culprits) & {1, 3}


async def test_ceremony__last_greeting_comes_as_the_time_ends__ends_with_a_sentence() -> None:
    network = Network(3)
    for i in (1, 2, 3):
        network.join(i, replace(LIMITS, linger_seconds=0.2))
    make_deaf(network, 1, 2, Phase.HELLO, b"\x01" + network.members[2]._hello())
    async with asyncio.timeout(60):
        results = await run_all(network)
    error = results[1]
    assert isinstance(error, DkgError), error
    assert error.culprits == ()
    assert "run the ceremony again" in str(error)


async def test_ceremony__cancellation_lost_while_lingering__ends_all_the_same() -> None:
    network = Network(3)
    for i in (1, 2, 3):
        network.join(i, replace(LIMITS, linger_seconds=0.2))
    make_deaf(network, 1, 2, DONE, WAIT)
    async with asyncio.timeout(60):
        results = await run_all(network)
    assert all(isinstance(result, DkgResult) for result in results.values())
    assert any("did not say that all is well" in line for line in network.lines)


async def test_ceremony__member_moves_when_time_is_up__no_session_begins_after_it() -> None:
    network = Network(3)
    for i in (1, 2, 3):
        network.join(i, replace(LIMITS, linger_seconds=0.2))

    # To 1, 2 stands in another session, and gives a new nonce in the very turn in which the time is up.
    def elsewhere(sender: int, recipient: int, phase: int, reply: bytes) -> bytes:
        return b"\x03" if (sender, phase) == (2, Phase.COMMIT) else reply

    network.lie = elsewhere  # type: ignore[method-assign]  # the hook
    moved = b"\x01" + Network(3).join(2)._hello()
    met = network.members[1]._meet

    async def meet(who: Identifier) -> None:
        await met(who)
        if who == 2:
            make_deaf(network, 1, 2, Phase.HELLO, moved)

    network.members[1]._meet = meet  # type: ignore[method-assign]  # from the second greeting on
    async with asyncio.timeout(60):
        results = await run_all(network)
    assert isinstance(results[1], DkgError), results[1]
    assert not set(results[1].culprits) & {1, 3}


async def test_ceremony__bug_beside_a_members_fault__is_not_hidden_behind_it() -> None:
    member = Network().join(1)

    async def work(who: Identifier) -> None:
        if who == 2:
            raise BadShare("Member 2 lied.", (2,), b"evidence")
        raise ZeroDivisionError

    for order in ((2, 3), (3, 2)):
        with pytest.raises(ExceptionGroup) as caught:
            await member._each([Identifier(i) for i in order], work)
        assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]


async def test_ceremony__several_failures_at_once__evidence_comes_before_silence() -> None:
    member = Network().join(1)
    errors = {
        2: TimeoutError(),
        3: MemberLeft("Member 3 left.", (3,)),
        4: BadShare("Member 4 lied.", (4,), b"evidence"),
    }

    async def work(who: Identifier) -> None:
        raise errors[who]

    for first, expected in ((2, 4), (3, 4), (4, 4)):
        with pytest.raises(BadShare) as caught:
            await member._each([Identifier(first), *(Identifier(i) for i in errors if i != first)], work)
        assert caught.value is errors[expected]
    with pytest.raises(MemberLeft):
        await member._each([Identifier(2), Identifier(3)], work)
    with pytest.raises(TimeoutError):
        await member._each([Identifier(2)], work)


async def test_ceremony__another_committees_greeting__is_refused_with_advice() -> None:
    network, other = Network(3), Network(3)
    other.roster = roster(3, name="other")
    network.join(1)
    network.join(3)
    network.members[2] = other.join(2)
    results = await asyncio.gather(network.members[1].run(), return_exceptions=True)
    assert isinstance(results[0], NotSigned)
    assert "compare your committee files" in str(results[0])


@pytest.mark.parametrize("body", [b"", b"\x00", bytes(32), bytes(34), b"\x42" + bytes(32), os.urandom(500)])
async def test_ceremony__malformed_question__is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        await Network().join(1).answer(2, body)


def test_identity_signer__not_a_key__is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    for content in (b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
        with pytest.raises(KeystoreError):
            identity_signer(path)
