"""Greetings between members: who answers, which software and protocol it runs, and whether it was told of the same committee.

A greeting is looked at by people and by nothing that signs: a peer that lies in it gains nothing. What two members must have in common is the
protocol version and, for each epoch that both know, the committee (group key, quorum, members); a difference is named in a sentence that says
which side to look at. Wire form, between members only: a JSON object, at most MAX_GREETING bytes.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from oracle.errors import PeerError
from oracle.protocol.constants import PROTOCOL_VERSION
from oracle.protocol.errors import DecodeError

log = structlog.get_logger("sibyl.peers")

TOPIC_HELLO = "/v1/hello"
MAX_GREETING = 4_096
MAX_COMMITTEES = 16
GREET_SECONDS = 5.0
"""How long one peer is waited for."""
_VERSION_BOUND = 64


class Caller(Protocol):
    """A way to one peer."""

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        """POST, and the reply. Raises PeerError; StrangeTopic when the peer answers that it knows no such topic."""


class StrangeTopic(PeerError):
    """The peer answers, and has no such topic: another release."""


def committee_mark(group_key: bytes, quorum: int, members: tuple[int, ...]) -> str:
    """16 hex digits that stand for one epoch's committee."""
    told = group_key + quorum.to_bytes(2) + b"".join(member.to_bytes(2) for member in sorted(members))
    return hashlib.sha256(b"SIBYL_COMMITTEE_MARK_V1" + told).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a member says of itself. `committees`: marks by epoch."""

    software: str
    committees: Mapping[int, str]
    protocol: int = PROTOCOL_VERSION

    def to_bytes(self) -> bytes:
        """Wire form."""
        told = {"protocol": self.protocol, "software": self.software, "committees": dict(self.committees)}
        return json.dumps(told, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Greeting":
        """Raises DecodeError. Members that a later release adds are left aside."""
        try:
            told = json.loads(data) if len(data) <= MAX_GREETING else None
        except (ValueError, RecursionError) as error:
            raise DecodeError("A greeting is a JSON object.") from error
        if not isinstance(told, dict):
            raise DecodeError(f"A greeting is a JSON object of at most {MAX_GREETING} bytes.")
        protocol, software, committees = (told.get(name) for name in ("protocol", "software", "committees"))
        if type(protocol) is not int or not isinstance(software, str) or not isinstance(committees, dict):
            raise DecodeError("A greeting has a protocol version, a software version and committees by epoch.")
        if len(committees) > MAX_COMMITTEES or not software.isprintable() or len(software) > _VERSION_BOUND:
            raise DecodeError("A greeting names a printable version and a few committees.")
        if not all(
            epoch.isdecimal() and len(epoch) <= 10 and isinstance(mark, str) for epoch, mark in committees.items()
        ):
            raise DecodeError("A greeting names a mark for each epoch.")
        return cls(software, {int(epoch): mark[:16] for epoch, mark in committees.items()}, protocol)


def differences(own: Greeting, member: int, other: Greeting) -> tuple[str, ...]:
    """What keeps two members from working together, a sentence each."""
    said = []
    if other.protocol != own.protocol:
        behind = f"member {member}" if other.protocol < own.protocol else "this node"
        said.append(
            f"Member {member} speaks protocol version {other.protocol} (sibyl {other.software}), this node version {own.protocol} "
            f"(sibyl {own.software}): bring {behind} to the newer release."
        )
    for epoch in sorted(own.committees.keys() & other.committees.keys()):
        if own.committees[epoch] != other.committees[epoch]:
            said.append(
                f"Member {member} has another committee for epoch {epoch} than this node (group key, quorum or members differ): "
                "compare [committee] of the two configurations with the committee's key file."
            )
    if not own.committees.keys() & other.committees.keys():
        epochs = ", ".join(map(str, sorted(other.committees))) or "none"
        said.append(
            f"Member {member} knows the committee's epochs {epochs}, this node {', '.join(map(str, sorted(own.committees)))}: "
            "one of the two missed a rotation."
        )
    return tuple(said)


@dataclass(slots=True)
class PeerHealth:
    """What the last greeting of one member gave; times on the monotonic clock, in seconds."""

    member: int
    last_answer: float | None = None
    seconds: float | None = None
    """How long it took."""
    software: str = ""
    last_error: str = ""
    differences: tuple[str, ...] = ()


@dataclass(slots=True)
class PeerWatch:
    """This node's view of the others. `look` is to be called every few seconds."""

    own: Greeting
    clients: Mapping[int, Caller]
    needed: int
    """How many members sign, this one among them."""
    clock: Callable[[], float] = time.monotonic
    peers: dict[int, PeerHealth] = field(default_factory=dict)
    looks: int = 0

    def __post_init__(self) -> None:
        self.peers = {member: PeerHealth(member) for member in sorted(self.clients)}

    async def answer(self, peer_id: int, body: bytes) -> bytes:
        """Greet back. Raises DecodeError. Who greets is heard, too: a peer that this node cannot reach may still reach it."""
        self._heard(peer_id, Greeting.from_bytes(body))
        return self.own.to_bytes()

    async def look(self) -> None:
        """Greet everybody once."""
        await asyncio.gather(*(self._greet(member, client) for member, client in self.clients.items()))
        self.looks += 1

    async def _greet(self, member: int, client: Caller) -> None:
        health, begun = self.peers[member], self.clock()
        try:
            told = Greeting.from_bytes(await client.call(TOPIC_HELLO, self.own.to_bytes(), GREET_SECONDS))
        except StrangeTopic as error:
            # It answers, and knows no greeting.
            health.last_answer, health.last_error = self.clock(), str(error)
            self._differ(health, (f"Member {member} does not take greetings ({error}): it runs another release.",))
            return
        except (PeerError, DecodeError) as error:
            if not health.last_error:
                log.warning("peer does not answer", peer=member, error=str(error))
            health.last_error, health.seconds = str(error), None
            return
        if health.last_error:
            log.info("peer answers again", peer=member)
        health.last_answer, health.seconds, health.last_error = self.clock(), self.clock() - begun, ""
        self._heard(member, told)

    def _heard(self, member: int, told: Greeting) -> None:
        health = self.peers.get(member)
        if health is not None:
            health.software = told.software
            self._differ(health, differences(self.own, member, told))

    @staticmethod
    def _differ(health: PeerHealth, found: tuple[str, ...]) -> None:
        for one in found:
            if one not in health.differences:
                log.error("peer differs", peer=health.member, what=one)
        health.differences = found

    @property
    def reachable(self) -> int:
        """Members that answered the last greeting, this one among them."""
        return 1 + sum(not health.last_error and health.last_answer is not None for health in self.peers.values())

    def warnings(self) -> tuple[str, ...]:
        """What an operator should look at, a sentence each."""
        said = [one for health in self.peers.values() for one in health.differences]
        if self.looks and self.reachable < self.needed:
            away = ", ".join(str(member) for member, health in self.peers.items() if health.last_error)
            said.append(
                f"{self.reachable} members of {self.needed} that must sign can be reached (members {away} do not answer): "
                "nothing is signed until more are back."
            )
        return tuple(said)
