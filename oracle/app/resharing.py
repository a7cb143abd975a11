"""`sibyl committee reshare`: hand the group key on to other members, between processes.

Guarantees: the old key file must bear the certificates of all old members, so nobody is talked into handing on another key; the old shares
stay what they are until every new member has certified, and no file is overwritten; a new member that crashes after it certified finishes
by anybody's new key file. Prints what a resharing cannot do: take a share from who keeps it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bridges.frost import keystore
from bridges.frost.dkg_messages import Phase
from bridges.frost.dkg_session import Ceremony, CeremonyLimits, Part, Plan
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.reshare import Resharer, ReshareResult
from bridges.frost.reshare_checks import Resharing, reshare_rules
from bridges.frost.sealing import PassphraseSource
from bridges.frost.transport import PeerClient
from oracle.app.ceremony import NO_PASSPHRASE, FileCustody, KeygenPaths, Place, show_committee, show_key
from oracle.app.committee_file import CommitteeFile, MemberEntry, load_committee
from oracle.app.key_file import KeyFile, load_key_file
from oracle.errors import ConfigError
from oracle.protocol.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class OldSide:
    """The key that is handed on: its committee file, its key file, and this member's share if it deals."""

    committee: Path
    key: Path
    share: Path | None = None
    passphrase: PassphraseSource = NO_PASSPHRASE
    without: tuple[int, ...] = ()
    """Old members that do not deal."""

    def load_share(self) -> KeyShare | None:
        """Raises KeystoreError."""
        if self.share is None:
            return None
        passphrase = self.passphrase.read()
        try:
            return keystore.load(self.share, devnet=False, allow_plain=True, passphrase=passphrase)
        finally:
            if passphrase is not None:
                passphrase.wipe()


@dataclass(frozen=True, slots=True)
class Handover:
    """Old and new side, checked against one another."""

    old: CommitteeFile
    new: CommitteeFile
    key: KeyFile
    resharing: Resharing

    @classmethod
    def of(cls, old_side: OldSide, committee: Path) -> "Handover":
        """Raises ConfigError, naming what does not fit."""
        old, new = load_committee(old_side.committee), load_committee(committee)
        key = load_key_file(old_side.key, old.roster())
        if (new.name, new.epoch) != (old.name, old.epoch):
            raise ConfigError(
                "A resharing keeps the key, so the new committee file has the name and the epoch of the old one "
                f"({old.name}, epoch {old.epoch}). For a new key use: sibyl committee rotate"
            )
        for member in new.members:
            before = old.member(member.identifier)
            if before is not None and before.pin != member.pin:
                raise ConfigError(
                    f"Member {member.identifier} has another certificate in {committee} than in {old_side.committee}. Give a newcomer a "
                    "number that no old member has; if the member renewed its certificate, put the new one into both files."
                )
        try:
            return cls(old, new, key, _resharing(old, new, key, old_side.without))
        except ProtocolError as error:
            raise ConfigError(f"The key cannot be handed on like this: {error}") from error

    @property
    def members(self) -> dict[int, MemberEntry]:
        """Everybody who takes part."""
        dealing = [member for member in self.old.members if member.identifier in self.resharing.dealers]
        return {member.identifier: member for member in (*dealing, *self.new.members)}


def _resharing(old: CommitteeFile, new: CommitteeFile, key: KeyFile, without: tuple[int, ...]) -> Resharing:
    staying = {member.identifier for member in new.members}
    # Who stays must be there anyway, so it deals before who leaves.
    able = sorted((m for m in old.members if m.identifier not in without), key=lambda m: m.identifier not in staying)
    if len(able) < key.public.threshold:
        raise ConfigError(
            f"{key.public.threshold} old members must deal; without {list(without)} {len(able)} are left."
        )
    dealers = {Identifier(m.identifier): m.pin.der for m in able[: key.public.threshold]}
    return Resharing(key.public, key.transcript, dealers, new.roster(), key.revision + 1)


async def run_reshare(
    console: Console,
    paths: KeygenPaths,
    old_side: OldSide,
    who: int,
    listen: tuple[str, int],
    limits: CeremonyLimits,
) -> None:
    """This member's part in handing the key on. Raises ConfigError, KeystoreError, DkgError."""
    paths.require_free()
    handover = Handover.of(old_side, paths.committee)
    resharing, place = handover.resharing, Place.of(console, paths, who, listen, limits)
    share = _own_part(handover, place, old_side)
    _announce(place, handover)

    def begin_session(session: bytes) -> Part[ReshareResult]:
        return Resharer(resharing, Identifier(who), session, place.sign, os.urandom, share)

    def ceremony(peers: dict[int, PeerClient]) -> Ceremony[ReshareResult]:
        plan = Plan(reshare_rules(resharing), (Phase.ECHO, Phase.SHARE, Phase.CERTIFICATE), begin_session)
        operators = handover.new.operators
        custody = FileCustody[ReshareResult](paths, lambda result: handover.key.handed_on(resharing, result, operators))
        return Ceremony(plan, Identifier(who), place.sign, peers, custody, limits=limits, progress=place.tell)

    try:
        result = await place.hold(lambda peers: ceremony(dict(peers)), handover.members)
    finally:
        if share is not None:
            share.signing_share.wipe()
    if result.share is not None:
        show_key(console, result.public, result.key_hash, paths)
    else:
        place.tell(f"Transcript: {result.key_hash.hex()} (read it to the others)")
        place.tell(f"Member {who} has handed on its part, and is no member any more.")
    _conclude(place, handover, old_side)


def _own_part(handover: Handover, place: Place, old_side: OldSide) -> KeyShare | None:
    """This member's old share if it deals. Raises ConfigError for somebody who has nothing to do here."""
    who, resharing = Identifier(place.who), handover.resharing
    if who not in resharing.participants:
        dealers = ", ".join(map(str, resharing.dealers))
        raise ConfigError(
            f"Member {who} is no new member, and the key is handed on by members {dealers}: there is nothing to do here."
        )
    place.require_member(handover.members[who], place.paths.committee)
    if who not in resharing.dealers:
        return None
    share = old_side.load_share()
    if share is None:
        raise ConfigError(
            f"Member {who} deals: name its share of the old key with --share, or leave it out by --without."
        )
    if share.identifier != who or share.public != resharing.old:
        share.signing_share.wipe()
        raise ConfigError(f"{old_side.share} is not member {who}'s share of the key in {old_side.key}.")
    return share


def _announce(place: Place, handover: Handover) -> None:
    resharing, tell = handover.resharing, place.tell
    show_committee(place.console, place.paths.committee, handover.new)
    old = resharing.old
    tell(f"Group key: 0x{old.group_public_key.to_bytes().hex()}, epoch {handover.key.epoch}: it stays.")
    tell(
        f"From {old.threshold} of {len(old.participants)} to {resharing.new.threshold} of {len(resharing.receivers)}, "
        f"revision {resharing.revision}; members {', '.join(map(str, resharing.dealers))} deal."
    )
    tell(f"Resharing: {resharing.context.hex()[:32]} (the same for every operator)")
    if resharing.leaving:
        tell(warning(handover))


def warning(handover: Handover) -> str:
    """What a resharing does not do, for who leaves members out."""
    old, leaving = handover.resharing.old, ", ".join(map(str, handover.resharing.leaving))
    return (
        f"WARNING: members {leaving} leave. A resharing keeps the key: {old.threshold} old members who keep their old shares can "
        "still sign together, whatever they were asked to delete. If a member is not trusted any more, or a share may have been "
        "copied, stop here and make a new key: sibyl committee rotate"
    )


def _conclude(place: Place, handover: Handover, old_side: OldSide) -> None:
    receivers = len(handover.resharing.receivers)
    place.tell(
        f"All {receivers} new members have certified. The old shares still sign, beside the new ones but never together with them."
    )
    place.tell(
        "Once every node runs with the new share: delete the old one"
        + (f" ({old_side.share})" if old_side.share is not None else "")
        + f" and its backups, every operator. Anyone who finds {handover.resharing.old.threshold} old shares has the key."
    )
