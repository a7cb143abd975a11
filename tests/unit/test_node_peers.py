"""Greetings: who answers, who is of another release or was told of another committee, and a quorum that is out of reach; all in words."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from oracle.errors import PeerError
from oracle.node.peers import (
    MAX_COMMITTEES,
    MAX_GREETING,
    TOPIC_HELLO,
    Greeting,
    PeerWatch,
    StrangeTopic,
    committee_mark,
    differences,
)
from oracle.protocol.constants import PROTOCOL_VERSION
from oracle.protocol.errors import DecodeError

KEY = b"\x02" + bytes(32)
OWN = Greeting("1.0", {1: committee_mark(KEY, 3, (1, 2, 3, 4))})


@dataclass
class Peer:
    """Answers as told."""

    reply: Callable[[], bytes]

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        assert path == TOPIC_HELLO
        assert Greeting.from_bytes(body) == OWN
        return self.reply()


def silent() -> bytes:
    raise PeerError("Peer 3 cannot be reached.")


def old() -> bytes:
    raise StrangeTopic("Peer 2 refused (not_found): Nothing is served at this path.")


def watch(**peers: Callable[[], bytes]) -> PeerWatch:
    return PeerWatch(OWN, {int(name[1:]): Peer(reply) for name, reply in peers.items()}, 3)


def test_greeting__round_trip__is_itself() -> None:
    assert Greeting.from_bytes(OWN.to_bytes()) == OWN


@given(st.binary(max_size=MAX_GREETING + 10))
def test_greeting__any_bytes__raise_only_decode_errors(data: bytes) -> None:
    with suppress(DecodeError):
        Greeting.from_bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"{}",
        b'{"protocol": true, "software": "1", "committees": {}}',
        b'{"protocol": 1, "software": "a\\nb", "committees": {}}',
        b'{"protocol": 1, "software": "1", "committees": {"x": "aa"}}',
        b'{"protocol": 1, "software": "1", "committees": {"1": 5}}',
        Greeting("1", dict.fromkeys(range(MAX_COMMITTEES + 1), "aa")).to_bytes(),
        Greeting("1", {1: "a" * MAX_GREETING}).to_bytes(),
        b"[" * 4_000,
    ],
)
def test_greeting__malformed__is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        Greeting.from_bytes(data)


def test_differences__same_release_and_committee__are_none() -> None:
    assert differences(OWN, 2, Greeting("1.1", OWN.committees)) == ()
    both = Greeting("1.0", {**OWN.committees, 2: "other"})
    assert differences(OWN, 2, both) == (), "a rotation that only one of them knows yet is no difference"


@pytest.mark.parametrize(("protocol", "behind"), [(PROTOCOL_VERSION + 1, "bring this node"), (0, "bring member 2")])
def test_differences__other_protocol_version__says_who_is_behind(protocol: int, behind: str) -> None:
    (said,) = differences(OWN, 2, Greeting("9.9", OWN.committees, protocol))
    assert (
        f"Member 2 speaks protocol version {protocol} (sibyl 9.9), this node version {PROTOCOL_VERSION} (sibyl 1.0)"
        in said
    )
    assert behind in said


@pytest.mark.parametrize(
    "mark",
    [
        committee_mark(KEY, 4, (1, 2, 3, 4)),
        committee_mark(KEY, 3, (1, 2, 3)),
        committee_mark(KEY[::-1], 3, (1, 2, 3, 4)),
    ],
)
def test_differences__other_quorum_members_or_key__is_said_with_the_epoch(mark: str) -> None:
    (said,) = differences(OWN, 4, Greeting("1.0", {1: mark}))
    assert said.startswith("Member 4 has another committee for epoch 1 than this node")


def test_differences__no_epoch_in_common__names_the_epochs() -> None:
    (said,) = differences(OWN, 4, Greeting("1.0", {7: "aa"}))
    assert "knows the committee's epochs 7, this node 1" in said


async def test_peer_watch__all_well__has_nothing_to_say() -> None:
    found = watch(p2=OWN.to_bytes, p3=OWN.to_bytes, p4=OWN.to_bytes)
    assert found.warnings() == (), "before the first look nothing is known"
    await found.look()
    assert (found.reachable, found.warnings()) == (4, ())
    assert all(peer.software == "1.0" and peer.seconds is not None for peer in found.peers.values())


async def test_peer_watch__two_of_four_silent__says_that_nothing_is_signed_until_one_is_back() -> None:
    found = watch(p2=OWN.to_bytes, p3=silent, p4=silent)
    with capture_logs() as logs:
        await found.look()
        await found.look()
    (said,) = found.warnings()
    assert said.startswith("2 members of 3 that must sign can be reached (members 3, 4 do not answer)")
    assert [line["event"] for line in logs].count("peer does not answer") == 2, "each is said once, not at each look"
    found.clients[3].reply = OWN.to_bytes  # type: ignore[attr-defined]  # the Peer above
    with capture_logs() as logs:
        await found.look()
    assert [line["event"] for line in logs] == ["peer answers again"]
    assert (found.reachable, found.warnings()) == (3, ())


async def test_peer_watch__peer_of_an_older_release_without_greetings__is_named() -> None:
    found = watch(p2=old, p3=OWN.to_bytes, p4=OWN.to_bytes)
    await found.look()
    (said,) = found.warnings()
    assert said.startswith("Member 2 does not take greetings")
    assert said.endswith("it runs another release.")


async def test_peer_watch__peer_that_differs__is_logged_once_and_forgotten_when_it_is_mended() -> None:
    other = Greeting("2.0", OWN.committees, PROTOCOL_VERSION + 1)
    found = watch(p2=other.to_bytes)
    with capture_logs() as logs:
        await found.look()
        await found.look()
    assert [line["event"] for line in logs] == ["peer differs"]
    assert found.peers[2].software == "2.0"
    assert await found.answer(2, OWN.to_bytes()) == OWN.to_bytes()
    assert found.peers[2].differences == ()


async def test_peer_watch__nonsense_from_a_peer__is_an_error_of_that_peer() -> None:
    found = watch(p2=lambda: b"nonsense", p3=OWN.to_bytes, p4=OWN.to_bytes)
    await found.look()
    assert "JSON" in found.peers[2].last_error
    assert found.reachable == 3
    with pytest.raises(DecodeError):
        await found.answer(3, b"\x00")
