"""Several keys in one node: which one signs, who is served, whose journal it is, and what node.toml may say."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bridges.frost.errors import PeerRefused, PeerUnreachable
from bridges.frost.keygen import KeyShare
from bridges.frost.session import Signer
from bridges.frost.signer import COMMIT_PATH
from oracle.app.committee import KEYS_PATH, CommitteeKey, FrostCommittee
from oracle.app.key_file import KeyFile, load_key_file
from oracle.app.keyring import EpochWatch
from oracle.config import load_config
from oracle.errors import ConfigError, JournalError, NotAuthorised, SigningError, Transient
from oracle.journal import Journal
from oracle.node.gossip import decode_digests
from oracle.ports import GroupAttestation
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import CommitteeEpoch, Digest
from tests.support.memory_chain import MemoryChain, MemoryEpoch, MemoryEpochs
from tests.support.node_config import document, member, write
from tests.support.reshare import Handover, members, new_shares
from tests.support.rotation_network import made_key
from tests.support.samples import EVM

DIGEST = Digest(b"\x01" * 32)


async def authorise(context: bytes) -> bytes:
    return batch_signing_hash(decode_digests(context))


class Peer:
    """Another member's committee, reached as over the wire. `serves` tells which paths it has."""

    def __init__(self, caller: int) -> None:
        self.caller, self.committee, self.asked = caller, None, 0

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        self.asked += path == KEYS_PATH
        if self.committee is None:
            raise PeerUnreachable("It is away.")
        handler = self.committee.routes().get(path)
        if handler is None:
            raise PeerRefused(0, "not_found", "Nothing is served at this path.")
        try:
            return await handler(self.caller, body)
        except NotAuthorised as error:
            raise PeerRefused(0, "not_authorised", str(error)) from error


class Keys:
    """Members 1 to 4 of epoch 1, the same with member 5 for 4 after a resharing, and their key of epoch 2."""

    def __init__(self) -> None:
        self.file, self.old = made_key((1, 2, 3, 4), epoch=1)
        self.handed_on = new_shares(Handover.of(self.old, (1, 2, 3, 5)).run())
        self.next_file, self.next = made_key((1, 2, 3, 5), epoch=2)

    def key(self, share: KeyShare, epoch: int, revision: int, peers: dict[int, Peer]) -> CommitteeKey:
        others = {int(i): peers[int(i)] for i in share.public.participants if i != share.identifier}
        return CommitteeKey(CommitteeEpoch(epoch), Signer(share, authorise), others, revision)

    def of(self, who: int, peers: dict[int, Peer], which: str) -> list[CommitteeKey]:
        shares = {"o": (self.old, 1, 0), "h": (self.handed_on, 1, 1), "n": (self.next, 2, 0)}
        chosen = [shares[letter] for letter in which if who in shares[letter][0]]
        return [self.key(table[who], epoch, revision, peers) for table, epoch, revision in chosen]

    @property
    def known(self) -> dict[CommitteeEpoch, bytes]:
        return {CommitteeEpoch(1): self.file.group_key, CommitteeEpoch(2): self.next_file.group_key}


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


def committees(
    keys: Keys, held: dict[int, str], taken: frozenset[int] | None
) -> tuple[dict[int, FrostCommittee], dict[int, Peer]]:
    """Member 1's committee asks the others; `held` names the keys of each (o, h, n)."""
    peers = {who: Peer(1) for who in (2, 3, 4, 5)} | {1: Peer(2)}
    epochs = None if taken is None else frozenset(map(CommitteeEpoch, taken))
    made = {
        who: FrostCommittee.with_keys(keys.of(who, peers, which), keys.known, lambda batch: epochs)
        for who, which in held.items()
    }
    for who, committee in made.items():
        peers[who].committee = committee
    return made, peers


ALL = dict.fromkeys((1, 2, 3, 4, 5), "ohn")


@pytest.mark.parametrize(
    ("held", "taken", "epoch"),
    [
        (ALL, {1}, 1),
        (ALL, {1, 2}, 2),
        (ALL, {2}, 2),
        (ALL, None, 1),  # nothing is known of the chains: the older one
        ({**ALL, 2: "oh", 3: "oh"}, {1, 2}, 1),  # no quorum has the new one yet
        ({**ALL, 5: "n"}, {1}, 1),
    ],
)
async def test_committee__several_keys__the_newest_that_counts_and_is_ready_signs(
    keys: Keys, held: dict[int, str], taken: set[int] | None, epoch: int
) -> None:
    made, _ = committees(keys, held, None if taken is None else frozenset(taken))
    signed = await made[1].sign((DIGEST,))
    assert signed.epoch == epoch
    assert all(one.check(signed) for one in made.values())
    assert not made[1].check(GroupAttestation(CommitteeEpoch(3 - epoch), signed.signature, signed.digests))
    assert not made[1].check(replace(signed, digests=(Digest(b"\x02" * 32),)))


@pytest.mark.parametrize(("held", "revision"), [(ALL, 1), ({**ALL, 2: "on", 3: "on"}, 0)])
async def test_committee__two_memberships__the_newest_with_a_ready_quorum_signs(
    keys: Keys, held: dict[int, str], revision: int
) -> None:
    made, peers = committees(keys, held, frozenset({1}))
    await made[1].sign((DIGEST,))
    served = {key.revision: key.signer.counts.shares for key in made[1].keys if key.epoch == 1}
    assert served[revision] == 1
    assert served[1 - revision] == 0
    asked = peers[2].asked
    await made[1].sign((Digest(b"\x03" * 32),))
    assert peers[2].asked == asked  # an answer counts for a while


async def test_committee__no_share_of_an_epoch_that_counts__says_so(keys: Keys) -> None:
    made, _ = committees(keys, {**ALL, 1: "o"}, frozenset({2}))
    with pytest.raises(SigningError, match="take epochs 2"):
        await made[1].sign((DIGEST,))
    checker = FrostCommittee.with_keys((), keys.known)
    with pytest.raises(SigningError, match="no share"):
        await checker.sign((DIGEST,))


async def test_committee__removed_key_or_stranger__is_refused(keys: Keys) -> None:
    made, _ = committees(keys, ALL, frozenset({1}))
    two = made[2]
    old, handed_on, _ = two.keys
    path = f"{COMMIT_PATH}/{old.id.hex()}"
    handler = two.routes()[path]
    with pytest.raises(NotAuthorised, match="no member of the committee of that key"):
        await handler(5, os.urandom(40))  # member 5 came later
    two.remove(old.id)
    with pytest.raises(NotAuthorised, match="no more"):
        await handler(1, os.urandom(40))
    assert two.keys[0].id == handed_on.id
    assert path not in two.routes()


# ---- what chains take


async def test_watch__old_epoch_pending_and_ended__is_told_apart() -> None:
    now = 1000.0
    chain = MemoryChain(EVM, b"\x02" * 33)
    watch = EpochWatch({EVM: MemoryEpochs(chain)}, clock=lambda: now)
    assert watch.accepted(EVM) is None
    await watch.refresh()
    assert (watch.accepted(EVM), watch.newest(EVM), watch.keeper(EVM)) == ({1}, 1, EVM.gateway)
    chain.epochs[1].valid_until = 1500
    chain.epochs[2] = MemoryEpoch(CommitteeEpoch(2), b"\x03" * 33, valid_from=1)
    await watch.refresh()
    assert (watch.accepted(EVM), watch.newest(EVM)) == ({1, 2}, 2)
    now = 1500.0
    await watch.refresh()
    assert watch.accepted(EVM) == {2}
    chain.epochs[3] = MemoryEpoch(CommitteeEpoch(3), b"\x03" * 33, valid_from=1e12)
    await watch.refresh()
    assert (watch.accepted(EVM), watch.newest(EVM)) == ({2}, 3)
    # A chain that is away keeps what was known of it.
    chain.available = False
    await watch.refresh()
    assert watch.accepted(EVM) == {2}
    with pytest.raises(Transient):
        await MemoryEpochs(chain).newest()


# ---- the journal stays


def test_journal__key_leads_to_the_next__stays_its_members(tmp_path: Path) -> None:
    def identify(member: str, *named: str) -> None:
        journal = Journal(tmp_path / "journal.sqlite")
        try:
            journal.identify(member, named)
        finally:
            journal.close()

    identify("member 1 of committee", "0xaa")
    identify("member 1 of committee", "0xaa", "0xbb")
    identify("member 1 of committee", "0xbb")
    for member_, named in (("member 1 of committee", "0xaa"), ("member 2 of committee", "0xbb")):
        with pytest.raises(JournalError, match="belongs to member 1 of committee 0xbb"):
            identify(member_, named)


# ---- files


def test_key_file__each_field__is_read_back_and_bound_by_the_certificates(keys: Keys, tmp_path: Path) -> None:
    text = keys.file.to_json()
    assert KeyFile.from_json(text) == keys.file
    roster = members((1, 2, 3, 4))
    keys.file.require_certified(roster)
    for change in (
        {"session": bytes(32)},
        {"round_one": bytes(32)},
        {"transcript": bytes(32)},
        {"certificates": {**keys.file.certificates, 2: keys.file.certificates[1]}},
        {"revision": 1, "handed_on_from": bytes(32)},
        {"committee": "other"},
    ):
        with pytest.raises(ConfigError):
            replace(keys.file, **change).require_certified(roster)  # type: ignore[arg-type]  # what a test changes
    with pytest.raises(ConfigError, match="proof of possession"):
        replace(keys.file, epoch=2)
    with pytest.raises(ConfigError, match="operator"):
        replace(keys.file, operators=b"\x01")
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="other members"):
        load_key_file(path, members((1, 2, 3, 5)))


def test_config__next_committee__is_read_and_contradictions_are_refused(tmp_path: Path) -> None:
    content = document()
    further = {"epoch": 2, "group_key": "0x03" + "cd" * 32, "members": [member(i) for i in (1, 2, 3, 5)]}
    content["next_committee"] = [{**further, "key_share": "next.json"}]
    config = load_config(write(tmp_path / "node-1", content))
    assert [one.identifier for one in config.members] == [1, 2, 3, 4, 5]
    assert [one.epoch for one in config.committees] == [1, 2]
    content["identifier"] = 5  # a newcomer is a member of the next one only
    assert load_config(write(tmp_path / "node-5", content)).identifier == 5
    content["identifier"] = 6
    with pytest.raises(ConfigError, match="any committee"):
        load_config(write(tmp_path / "node-6", content))
    content["identifier"] = 1
    content["next_committee"] = [{**further, "epoch": 1}]
    with pytest.raises(ConfigError, match="different group keys"):
        load_config(write(tmp_path / "node-7", content))
