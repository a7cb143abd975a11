"""`sibyl committee reshare` between members that speak over loopback TLS: who stays, who comes, who leaves, who is killed."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bridges.frost import keystore
from bridges.frost.dkg import DkgResult, Participant
from bridges.frost.dkg_messages import DkgError
from bridges.frost.dkg_session import CeremonyLimits, identity_signer
from bridges.frost.keygen import KeyShare
from bridges.frost.sealing import Passphrase, PassphraseSource
from bridges.frost.signing import COMMIT_RANDOMNESS_BYTES, aggregate, commit, prepare, sign, verify
from bridges.frost.transport import TransportIdentity
from oracle.app.ceremony import KeygenPaths, Wishes, run_finish, run_init
from oracle.app.committee_file import load_committee
from oracle.app.key_file import KeyFile, load_key_file
from oracle.app.resharing import Handover, OldSide, run_reshare
from oracle.errors import ConfigError
from tests.support.dkg import Ceremony, fresh_session

LIMITS = CeremonyLimits(wait_seconds=30, step_seconds=20, hold_seconds=0.5, linger_seconds=3)
SHORT = CeremonyLimits(wait_seconds=2, step_seconds=2, hold_seconds=0.2, linger_seconds=0.5)


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class World:
    """Members 1 to 4 with a key, newcomers with an identity, and the committee file of who comes next."""

    def __init__(self, root: Path, newcomers: tuple[int, ...] = (5,), without: tuple[int, ...] = (4,)) -> None:
        self.root = root
        everybody = (1, 2, 3, 4, *newcomers)
        self.ports = dict(zip(everybody, free_ports(len(everybody)), strict=True))
        for who in everybody:
            self._init(who, root / str(who) / "committee.toml", ())
        old = tuple(root / str(who) / "committee.toml" for who in (1, 2, 3, 4))
        for who in (1, 2, 3, 4):
            self._init(who, old[who - 1], old)
        entries = (*old, *(root / str(who) / "committee.toml" for who in newcomers))
        self.committee, self.new = old[0], root / "new.toml"
        self._init(1, self.new, entries, without)
        self._make_key()
        self.special: dict[int, tuple[OldSide, KeygenPaths]] = {}

    def _init(self, who: int, file: Path, merge: tuple[Path, ...], without: tuple[int, ...] = ()) -> None:
        home = self.root / str(who)
        home.mkdir(exist_ok=True)
        endpoint = f"https://127.0.0.1:{self.ports[who]}"
        wishes = Wishes("test", without=without)
        run_init(Console(file=io.StringIO()), file, home / "id", (who, endpoint), wishes, list(merge))

    def _make_key(self) -> None:
        file = load_committee(self.committee)
        roster = file.roster()
        session = fresh_session(roster)
        members = {int(i): Participant(roster, i, session, self.identity(i), os.urandom) for i in roster.participants}
        results: dict[int, DkgResult] = Ceremony(roster, session, members).run()
        self.key = self.root / "key.json"
        self.key.write_text(KeyFile.made(roster, results[1], file.operators, file.overlap).to_json())
        for who, result in results.items():
            keystore.save(self.root / str(who) / "share.json", result.share)
        self.group_key = results[1].share.public.group_public_key

    def identity(self, who: int):  # type: ignore[no-untyped-def]  # of the test's own
        return identity_signer(TransportIdentity.load(self.root / str(who) / "id").key_path)

    def paths(self, who: int) -> KeygenPaths:
        home = self.root / str(who)
        return KeygenPaths(self.new, home / "id", home / "share-2.json", home / "key-2.json")

    def old_side(self, who: int, without: tuple[int, ...] = ()) -> OldSide:
        share = self.root / str(who) / "share.json"
        return OldSide(self.committee, self.key, share if share.exists() else None, without=without)

    async def reshare(
        self, who: int, out: dict[int, str], limits: CeremonyLimits = LIMITS, without: tuple[int, ...] = ()
    ) -> None:
        text = io.StringIO()
        old_side, paths = self.special.get(who, (self.old_side(who, without), self.paths(who)))
        try:
            await run_reshare(
                Console(file=text, width=400),
                paths,
                old_side,
                who,
                ("127.0.0.1", self.ports[who]),
                limits,
            )
        finally:
            out[who] = text.getvalue()

    def new_share(self, who: int) -> KeyShare:
        return keystore.load(self.root / str(who) / "share-2.json", devnet=False, allow_plain=True)


def signs(shares: list[KeyShare]) -> bool:
    message = os.urandom(32)
    nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares]
    package = prepare(shares[0].public, message, [nonce.commitment for nonce in nonces])
    made = aggregate(package, [sign(share, nonce, package) for share, nonce in zip(shares, nonces, strict=True)])
    return verify(shares[0].public.group_public_key, made, message)


async def test_reshare__one_member_replaced__new_members_sign_and_all_see_one_transcript(tmp_path: Path) -> None:
    world, out = World(tmp_path), {}
    await asyncio.gather(*(world.reshare(who, out) for who in (1, 2, 3, 5)))
    shares = [world.new_share(who) for who in (1, 2, 3, 5)]
    assert shares[0].public.group_public_key == world.group_key
    assert signs([shares[0], shares[1], shares[3]])
    transcripts = {line.split()[1] for text in out.values() for line in text.splitlines() if "Transcript" in line}
    assert len(transcripts) == 1
    assert "WARNING: members 4 leave" in out[5]
    assert "sibyl committee rotate" in out[5]
    assert "delete the old one" in out[1]
    # The old shares are untouched, and the new public file is what a next resharing begins with.
    assert keystore.load(tmp_path / "1" / "share.json", devnet=False, allow_plain=True).public != shares[0].public
    file = load_key_file(tmp_path / "5" / "key-2.json", load_committee(world.new).roster())
    assert (file.revision, file.epoch, file.operators) == (1, 1, bytes([1, 2, 3, 5]))
    again = OldSide(world.new, tmp_path / "5" / "key-2.json")
    assert Handover.of(again, world.new).resharing.revision == 2


async def test_reshare__shares_under_passphrases__are_opened_and_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, out = World(tmp_path), {}
    keystore.change_passphrase(tmp_path / "1" / "share.json", None, Passphrase(b"the old one of member 1"))
    monkeypatch.setenv("OLD", "the old one of member 1")
    monkeypatch.setenv("NEW", "the new one of member 1")
    old_side, paths = world.old_side(1), world.paths(1)
    world.special[1] = (
        replace(old_side, passphrase=PassphraseSource(None, "OLD")),
        replace(paths, passphrase=PassphraseSource(None, "NEW")),
    )
    await asyncio.gather(*(world.reshare(who, out) for who in (1, 2, 3, 5)))
    assert keystore.is_sealed(paths.output)
    assert not paths.uncertified.exists()
    assert "not encrypted" in out[2]
    assert "not encrypted" not in out[1]
    opened = keystore.load(paths.output, devnet=False, passphrase=Passphrase(b"the new one of member 1"))
    assert signs([opened, world.new_share(2), world.new_share(5)])


async def test_reshare__member_that_leaves_deals__it_ends_without_a_share(tmp_path: Path) -> None:
    world, out = World(tmp_path), {}
    await asyncio.gather(*(world.reshare(who, out, without=(2,)) for who in (1, 2, 3, 4, 5)))
    assert not (tmp_path / "4" / "share-2.json").exists()
    assert (tmp_path / "4" / "key-2.json").exists()
    assert "no member any more" in out[4]
    assert signs([world.new_share(who) for who in (2, 3, 5)])


async def test_reshare__silent_dealer__nothing_is_kept_and_others_deal_the_next_time(tmp_path: Path) -> None:
    world, out = World(tmp_path), {}
    results = await asyncio.gather(*(world.reshare(who, out, SHORT) for who in (1, 3, 5)), return_exceptions=True)
    assert all(isinstance(error, DkgError) and "Member 2 did not come" in str(error) for error in results)
    for who in (1, 3, 5):
        assert not list((tmp_path / str(who)).glob("*2.json*"))
    assert signs([keystore.load(tmp_path / f"{i}/share.json", devnet=False, allow_plain=True) for i in (1, 2, 3)])
    # Member 2 stays in the new committee, so it must be there; but it need not deal if its old share is lost.
    (tmp_path / "2" / "share.json").unlink()
    await asyncio.gather(*(world.reshare(who, out, without=(2,)) for who in (1, 2, 3, 4, 5)))
    assert signs([world.new_share(who) for who in (1, 2, 5)])


async def test_reshare__member_dies_after_it_certified__finishes_by_anothers_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oracle.app import ceremony

    world, out = World(tmp_path), {}
    real = ceremony.promote

    def crash(paths: KeygenPaths) -> None:
        if paths.output.parent.name == "5":
            paths.public.unlink()
            raise DkgError("killed")
        real(paths)

    monkeypatch.setattr(ceremony, "promote", crash)
    results = await asyncio.gather(*(world.reshare(who, out) for who in (1, 2, 3, 5)), return_exceptions=True)
    assert isinstance(results[3], DkgError)
    monkeypatch.setattr(ceremony, "promote", real)
    assert world.paths(5).uncertified.exists()
    run_finish(Console(file=io.StringIO()), world.paths(5), 5, tmp_path / "1" / "key-2.json")
    assert signs([world.new_share(who) for who in (1, 2, 5)])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("share", "not member 1's share"),
        ("no_share", "name its share"),
        ("key", "does not show that all members certified"),
        ("epoch", "committee rotate"),
        ("number", "another certificate"),
        ("nothing_to_do", "nothing to do here"),
        ("too_few", "old members must deal"),
    ],
)
async def test_reshare__what_does_not_fit__is_refused_before_anything_is_sent(
    tmp_path: Path, wrong: str, says: str
) -> None:
    world = World(tmp_path)
    who, without, share = 1, (), tmp_path / "1" / "share.json"
    match wrong:
        case "share":
            share = tmp_path / "2" / "share.json"
        case "no_share":
            share.unlink()
        case "key":
            content = json.loads(world.key.read_text())
            del content["certificates"]["3"]
            world.key.write_text(json.dumps(content))
        case "epoch":
            text = world.new.read_text()
            world.new.write_text(text.replace("quorum", "epoch = 2\nquorum", 1))
        case "number":
            text = world.new.read_text()
            world.new.write_text(text.replace("identifier = 5", "identifier = 4"))
        case "nothing_to_do":
            who = 4
        case _:
            without = (1, 2)
    old = OldSide(world.committee, world.key, share if share.exists() else None, without=without)
    with pytest.raises(ConfigError, match=says):
        await run_reshare(Console(file=io.StringIO()), world.paths(who), old, who, ("127.0.0.1", 0), SHORT)
    assert not list((tmp_path / str(who)).glob("*2.json*"))
