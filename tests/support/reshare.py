"""Resharing in memory: real identities and real bytes, and a hook through which tests lie."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bridges.frost.dkg_messages import DkgFault, Phase, Roster, UnusableGroupKey, session_id
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare, PublicKeyPackage
from bridges.frost.reshare import Resharer, ReshareResult
from bridges.frost.reshare_checks import Resharing, verify_reshare_evidence
from tests.support.dkg import Ceremony, Tamper, identity

PHASES = (Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.CERTIFICATE)


def members(who: tuple[int, ...], *, epoch: int = 1) -> Roster:
    return Roster("test", epoch, {Identifier(i): identity(i)[1] for i in who})


def made(n: int) -> dict[int, KeyShare]:
    """A key by DKG among 1..n."""
    return {i: result.share for i, result in Ceremony.of(n).run().items()}


def resharing(
    old: PublicKeyPackage, new: tuple[int, ...], dealers: tuple[int, ...] = (), revision: int = 1
) -> Resharing:
    """To `new`; by the t lowest old members if no dealers are named."""
    chosen = dealers or old.participants[: old.threshold]
    certificates = {Identifier(i): identity(i)[1] for i in chosen}
    return Resharing(old, b"\x0d" * 32, certificates, members(new), revision)


@dataclass
class Handover:
    """All members of one session. `run` goes through the phases and collects what each member makes of it."""

    resharing: Resharing
    session: bytes
    members: dict[int, Resharer]
    faults: dict[int, Exception] = field(default_factory=dict)

    @classmethod
    def of(
        cls, shares: dict[int, KeyShare], new: tuple[int, ...], dealers: tuple[int, ...] = (), revision: int = 1
    ) -> Handover:
        plan = resharing(next(iter(shares.values())).public, new, dealers, revision)
        return cls.under(plan, shares)

    @classmethod
    def under(cls, plan: Resharing, shares: dict[int, KeyShare]) -> Handover:
        session = session_id(plan, {i: os.urandom(32) for i in plan.participants}, 0)
        parts = {
            int(i): Resharer(plan, i, session, identity(i)[0].sign, os.urandom, shares.get(int(i)))
            for i in plan.participants
        }
        return cls(plan, session, parts)

    def run(self, tamper: Tamper | None = None, until: Phase = Phase.CERTIFICATE) -> dict[int, ReshareResult]:
        for phase in PHASES[: PHASES.index(until) + 1]:
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
            except (DkgFault, UnusableGroupKey) as error:
                self.faults[recipient] = error

    def culprits(self) -> dict[int, tuple[int, ...]]:
        return {who: error.culprits for who, error in sorted(self.faults.items()) if isinstance(error, DkgFault)}

    def convicted(self) -> set[int]:
        """Whom the evidence of all faults names, judged by somebody who was not there."""
        errors = [error for error in self.faults.values() if isinstance(error, DkgFault) and error.evidence]
        return {verify_reshare_evidence(self.resharing, error.evidence).culprit for error in errors}


def new_shares(results: dict[int, ReshareResult]) -> dict[int, KeyShare]:
    """The shares that a finished handover left."""
    return {i: result.share for i, result in results.items() if result.share is not None}
