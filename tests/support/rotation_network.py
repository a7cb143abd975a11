"""A network in memory whose committee changes: members with several keys, that follow the chains' epochs and approve rotations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridges.frost.dkg import DkgResult, Participant
from bridges.frost.dkg_messages import Roster
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.session import Authorise, CoordinatorLimits, Signer
from oracle.app.committee import CommitteeKey, FrostCommittee
from oracle.app.key_file import KeyFile
from oracle.app.keyring import EpochWatch, taken_by
from oracle.app.rotation import Approvals, approve
from oracle.protocol.message import RotationRemote
from oracle.protocol.types import CommitteeEpoch
from tests.support.dkg import Ceremony, fresh_session, identity
from tests.support.memory_chain import MemoryEpochs
from tests.support.network import MemberProcess, Network, Wire
from tests.support.samples import SOLANA


@dataclass(frozen=True)
class HeldKey:
    """A share that a member's configuration names."""

    epoch: int
    share: KeyShare
    revision: int = 0


@dataclass
class RotatingNetwork(Network):
    """Members hold `held[identifier]`; a change counts at the member's next start, as with node.toml."""

    held: dict[int, list[HeldKey]] = field(default_factory=dict)
    known: dict[int, bytes] = field(default_factory=dict)
    """Group keys by epoch."""
    watches: dict[int, EpochWatch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for who, member in self.members.items():
            self.held[who] = [HeldKey(1, member.share)]
            self.known[1] = member.share.public.group_public_key.to_bytes()

    def newcomer(self, who: int, *keys: HeldKey) -> None:
        """A member that was none before."""
        self.members[who] = MemberProcess(keys[0].share, self.directory / f"node-{who}")
        self.held[who] = list(keys)

    def committee_of(
        self, member: MemberProcess, wires: Mapping[int, Wire], authorise: Authorise, limits: CoordinatorLimits
    ) -> FrostCommittee:
        keys = []
        for held in self.held[member.identifier]:
            others = {int(i) for i in held.share.public.participants} - {member.identifier}
            for other in others - set(wires):  # a member that left: nobody answers there
                self.members.setdefault(other, MemberProcess(held.share, self.directory / f"gone-{other}"))
            peers = {i: Wire(self, member.identifier, i) for i in others}
            keys.append(CommitteeKey(CommitteeEpoch(held.epoch), Signer(held.share, authorise), peers, held.revision))
        watch = EpochWatch({chain.endpoint: MemoryEpochs(chain) for chain in self.chains}, rest=0.05)
        self.watches[member.identifier] = watch
        known = {CommitteeEpoch(epoch): key for epoch, key in self.known.items()}
        return FrostCommittee.with_keys(keys, known, taken_by(lambda: member.running.pipeline, watch), limits)

    def approved(self, who: int) -> Path:
        """Where member `who` looks for approved keys."""
        return self.members[who].directory / "approved"

    def further_ports(self, member: MemberProcess) -> dict[str, Any]:
        watch = self.watches[member.identifier]
        approvals = Approvals(self.approved(member.identifier), watch, lambda: member.running.pipeline)
        return {"accepted": watch.accepted, "approves": approvals.approves}

    async def begin(self, identifier: int) -> None:
        """Start a member, and its look at the epochs."""
        self.start(identifier)
        await self.watches[identifier].__aenter__()

    async def stop(self, identifier: int) -> None:
        watch = self.watches.pop(identifier, None)
        if watch is not None:
            await watch.__aexit__()
        await super().stop(identifier)

    async def restart(self, identifier: int, *keys: HeldKey) -> None:
        """As after a change of node.toml; the journal stays."""
        await self.stop(identifier)
        self.held[identifier] = list(keys)
        await self.begin(identifier)


def made_key(members: tuple[int, ...], epoch: int, overlap: int = 1) -> tuple[KeyFile, dict[int, KeyShare]]:
    """A key by DKG, with the public file that its operators get."""
    roster = Roster("test", epoch, {Identifier(i): identity(i)[1] for i in members})
    session = fresh_session(roster)
    parts = {int(i): Participant(roster, i, session, identity(int(i))[0].sign, os.urandom) for i in roster.participants}
    results: dict[int, DkgResult] = Ceremony(roster, session, parts).run()
    file = KeyFile.made(roster, results[members[0]], bytes(members), overlap)
    return file, {who: result.share for who, result in results.items()}


REMOTES = (RotationRemote(SOLANA, SOLANA.gateway),)
"""Of a rotation that is posted on the EVM chain in memory."""

__all__ = ["REMOTES", "HeldKey", "RotatingNetwork", "approve", "made_key"]
