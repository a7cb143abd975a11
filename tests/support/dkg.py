"""Distributed key generation in memory: real identities and real bytes, and a hook through which tests lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import shake_256
from itertools import count
from typing import Any, ClassVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from bridges.frost.dkg import Participant
from bridges.frost.dkg_checks import verify_evidence
from bridges.frost.dkg_messages import Assembly, DkgFault, Head, Phase, Roster, Signed, session_id
from bridges.frost.group import Identifier
from bridges.frost.identity import _self_signed
from bridges.frost.keygen import Randomness

PHASES = (Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.READY, Phase.CERTIFICATE)
Route = tuple[Phase, int, int]
"""(phase, sender, recipient)"""
Tamper = Callable[[Route, bytes], bytes | None]
"""What arrives instead of a message; None for nothing."""


@cache
def identity(who: int) -> tuple[Ed25519PrivateKey, bytes]:
    key = Ed25519PrivateKey.generate()
    return key, _self_signed(key, f"member {who}", datetime.now(UTC)).public_bytes(Encoding.DER)


def roster(n: int = 4, *, name: str = "test", epoch: int = 1) -> Roster:
    return Roster(name, epoch, {Identifier(i): identity(i)[1] for i in range(1, n + 1)})


def fresh_session(of: Assembly, randomness: Randomness = os.urandom) -> bytes:
    return session_id(of, {i: randomness(32) for i in of.participants}, 0)


def repeatable(seed: str) -> Randomness:
    """The same bytes in the same order, for whoever must be able to do the same thing again."""
    draws = count()

    def draw(size: int) -> bytes:
        # A fresh object each time: some callers wipe what they were given.
        return shake_256(f"{seed} {next(draws)}".encode()).digest(size)

    return draw


def signed_by(who: int, of: Assembly, message: Signed) -> bytes:
    """The message with a signature that `who`'s identity key made."""
    signature = identity(who)[0].sign(message.head.preimage(of.context, message.digest))
    return replace(message, signature=signature).to_bytes()


def resigned(of: Assembly, data: bytes, body: bytes) -> bytes:
    """A member's message with another body, signed by that member: what a liar sends."""
    message = Signed.from_bytes(data)
    return signed_by(message.head.sender, of, replace(message, body=body))


def said(of: Assembly, phase: Phase, who: int, session: bytes, body: bytes) -> bytes:
    return signed_by(who, of, Signed(Head(phase, Identifier(who), session), b"", body))


class Exchange:
    """Members that say to one another what each has to say, phase by phase; a dataclass adds `members` and `faults`."""

    phases: ClassVar[tuple[Phase, ...]]
    caught: ClassVar[tuple[type[Exception], ...]] = (DkgFault,)
    members: Mapping[int, Any]
    faults: dict[int, Exception]

    def run(self, tamper: Tamper | None = None, until: Phase = Phase.CERTIFICATE) -> dict[int, Any]:
        """Go through the phases; what each member makes of it in the end."""
        for phase in self.phases[: self.phases.index(until) + 1]:
            for member in self.members.values():
                if phase is Phase.CERTIFICATE and member.provisional is not None:
                    member.certify()
            self.exchange(phase, tamper)
        return {i: m.result for i, m in self.members.items() if m.result is not None}

    def exchange(self, phase: Phase, tamper: Tamper | None = None) -> None:
        # All speak before any hears, as over a network.
        routes = [(phase, i, j) for i in self.members for j in self.members if i != j]
        sent = {route: self.members[route[1]].message(phase, Identifier(route[2])) for route in routes}
        for route, data in sent.items():
            _, sender, recipient = route
            arrives = tamper(route, data) if tamper is not None and data is not None else data
            if arrives is None or recipient in self.faults:
                continue
            if sender not in self.members[recipient].speakers(phase):
                continue  # the shell does not ask for it
            try:
                self.members[recipient].receive(Identifier(sender), arrives)
            except self.caught as error:
                self.faults[recipient] = error

    def culprits(self) -> dict[int, tuple[int, ...]]:
        return {who: error.culprits for who, error in sorted(self.faults.items()) if isinstance(error, DkgFault)}

    def evidence(self) -> list[bytes]:
        """What members can show to somebody who was not there."""
        return [error.evidence for error in self.faults.values() if isinstance(error, DkgFault) and error.evidence]


@dataclass
class Ceremony(Exchange):
    """All members of one key generation."""

    phases = PHASES
    roster: Roster
    session: bytes
    members: dict[int, Participant]
    faults: dict[int, Exception] = field(default_factory=dict)

    @classmethod
    def of(cls, n: int = 4, roster_: Roster | None = None, randomness: Randomness = os.urandom) -> Ceremony:
        who = roster_ or roster(n)
        session = fresh_session(who, randomness)
        members = {int(i): Participant(who, i, session, identity(i)[0].sign, randomness) for i in who.participants}
        return cls(who, session, members)

    def convicted(self) -> set[int]:
        """Whom the evidence of all faults names."""
        return {verify_evidence(self.roster, evidence).culprit for evidence in self.evidence()}
