"""Resharing in memory: real identities and real bytes, and a hook through which tests lie."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bridges.frost.dkg_messages import DkgFault, Phase, Roster, UnusableGroupKey, session_id
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare, PublicKeyPackage
from bridges.frost.reshare import Resharer, ReshareResult
from bridges.frost.reshare_checks import Resharing, verify_reshare_evidence
from tests.support.dkg import Ceremony, Exchange, identity

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
class Handover(Exchange):
    """All members of one resharing."""

    phases = PHASES
    caught = (DkgFault, UnusableGroupKey)
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

    def convicted(self) -> set[int]:
        """Whom the evidence of all faults names."""
        return {verify_reshare_evidence(self.resharing, evidence).culprit for evidence in self.evidence()}


def new_shares(results: dict[int, ReshareResult]) -> dict[int, KeyShare]:
    """The shares that a finished handover left."""
    return {i: result.share for i, result in results.items() if result.share is not None}
