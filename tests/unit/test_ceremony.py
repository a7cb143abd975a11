"""The key ceremony's files: the committee file and its merging, custody of the share, finishing what a crash interrupted."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from bridges.frost import keystore
from bridges.frost.dkg import DkgResult, Participant
from bridges.frost.dkg_messages import Phase
from bridges.frost.dkg_session import CeremonyLimits, identity_signer
from bridges.frost.errors import KeystoreError
from bridges.frost.group import Identifier
from bridges.frost.transport import TransportIdentity
from oracle.app.ceremony import (
    CommitteeFile,
    FileCustody,
    KeygenPaths,
    Wishes,
    address,
    load_committee,
    promote,
    run_finish,
    run_init,
    run_keygen,
)
from oracle.app.key_file import KeyFile
from oracle.errors import ConfigError
from tests.support.dkg import Ceremony, fresh_session


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def published(where: KeygenPaths, result: DkgResult) -> KeyFile:
    file = load_committee(where.committee)
    return KeyFile.made(file.roster(), result, file.operators, file.overlap)


def custody(where: KeygenPaths) -> FileCustody[DkgResult]:
    return FileCustody(where, lambda result: published(where, result))


def init(root: Path, who: int, *, name: str | None = "test", merge: tuple[Path, ...] = (), port: int = 0) -> Path:
    home = root / str(who)
    home.mkdir(exist_ok=True)
    endpoint = f"https://127.0.0.1:{port or 9000 + who}"
    run_init(console(), home / "committee.toml", home / "id", (who, endpoint), Wishes(name), list(merge))
    return home / "committee.toml"


def committee(root: Path, n: int = 3) -> CommitteeFile:
    files = tuple(init(root, who) for who in range(1, n + 1))
    for who in range(1, n + 1):
        init(root, who, merge=files)
    loaded = [load_committee(path) for path in files]
    assert all(file == loaded[0] for file in loaded)
    return loaded[0]


# ---- the committee file


def test_init__members_merge_their_files__all_hold_the_same_committee(tmp_path: Path) -> None:
    file = committee(tmp_path, 4)
    assert (file.name, file.quorum) == ("test", 3)
    assert [member.identifier for member in file.members] == [1, 2, 3, 4]
    assert file.roster().threshold == 3
    assert file.members[2].pin == TransportIdentity.load(tmp_path / "3" / "id").certificate
    assert file.members[2].address == ("127.0.0.1", 9003)


def test_init__run_again__keeps_the_identity_and_the_file(tmp_path: Path) -> None:
    path = init(tmp_path, 1)
    before, key = path.read_text(), (tmp_path / "1" / "id" / "peer-key.pem").read_bytes()
    init(tmp_path, 1, name=None)
    assert path.read_text() == before
    assert (tmp_path / "1" / "id" / "peer-key.pem").read_bytes() == key
    assert (tmp_path / "1" / "id").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "1" / "id" / "peer-key.pem").stat().st_mode & 0o777 == 0o600


def test_init__no_private_key__in_the_committee_file(tmp_path: Path) -> None:
    assert "PRIVATE" not in init(tmp_path, 1).read_text()


def test_init__another_identity_for_a_number__is_refused(tmp_path: Path) -> None:
    one = init(tmp_path, 1)
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="Two certificates claim to be member 1"):
        init(tmp_path / "other", 1, merge=(one,))


def test_init__one_identity_under_two_numbers__is_refused(tmp_path: Path) -> None:
    one = init(tmp_path, 1)
    with pytest.raises(ConfigError, match="stands for two members"):
        run_init(console(), one, tmp_path / "1" / "id", (2, "https://127.0.0.1:9"), Wishes(), [])


def test_init__moved_endpoint__is_refused(tmp_path: Path) -> None:
    one = init(tmp_path, 1)
    before = one.read_text()
    with pytest.raises(ConfigError, match="two endpoints"):
        init(tmp_path, 1, port=9999)
    assert one.read_text() == before


def test_init__other_or_no_name__is_refused(tmp_path: Path) -> None:
    one = init(tmp_path, 1)
    with pytest.raises(ConfigError, match="one name"):
        init(tmp_path, 2, name="other", merge=(one,))
    with pytest.raises(ConfigError, match="give --name"):
        init(tmp_path, 3, name=None)


@pytest.mark.parametrize(
    "endpoint", ["http://a:1", "https://", "a:1", "https://a:1/path", "https://u@a:1", "https://a:99999"]
)
def test_init__bad_endpoint__is_refused(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(ConfigError):
        run_init(console(), tmp_path / "c.toml", tmp_path / "id", (1, endpoint), Wishes("test"), [])
    assert not (tmp_path / "c.toml").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("quorum = 3", "quorum = 2"),
        lambda text: text.replace("identifier = 2", "identifier = 1"),
        lambda text: text.replace("identifier = 2", 'identifier = "2"'),
        lambda text: text.replace("identifier = 2", "identifier = 0"),
        lambda text: text.replace('name = "test"', 'name = ""'),
        lambda text: text.replace("BEGIN CERTIFICATE", "BEGIN NOTHING"),
        lambda text: text + "\nsurplus = 1\n",
        lambda text: text[: len(text) // 2],
        lambda text: "",
    ],
)
def test_committee_file__changed__is_refused_with_a_sentence(tmp_path: Path, change: Callable[[str], str]) -> None:
    committee(tmp_path, 3)
    path = tmp_path / "1" / "committee.toml"
    path.write_text(change(path.read_text()))
    with pytest.raises(ConfigError):
        load_committee(path).roster()


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_address__not_host_and_port__is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        address(text)


def test_address__host_and_port__are_told_apart() -> None:
    assert address("0.0.0.0:8900") == ("0.0.0.0", 8900)  # noqa: S104  # parsed, not bound
    assert address("[::1]:1") == ("::1", 1)


# ---- before the ceremony


def paths(home: Path) -> KeygenPaths:
    return KeygenPaths(home / "committee.toml", home / "id", home / "share.json", home / "committee-key.json")


@pytest.mark.parametrize("name", ["share.json", "committee-key.json"])
async def test_keygen__key_there_already__refuses_to_begin(tmp_path: Path, name: str) -> None:
    committee(tmp_path)
    (tmp_path / "1" / name).write_text("something")
    with pytest.raises(ConfigError, match="never overwritten"):
        await run_keygen(console(), paths(tmp_path / "1"), 1, ("127.0.0.1", 0), CeremonyLimits(wait_seconds=0.1))
    assert (tmp_path / "1" / name).read_text() == "something"


async def test_keygen__another_members_identity__refuses_to_begin(tmp_path: Path) -> None:
    committee(tmp_path)
    with pytest.raises(ConfigError, match="not member 2's"):
        await run_keygen(console(), paths(tmp_path / "1"), 2, ("127.0.0.1", 0), CeremonyLimits(wait_seconds=0.1))


async def test_keygen__directory_missing__refuses_to_begin(tmp_path: Path) -> None:
    committee(tmp_path)
    home = tmp_path / "1"
    where = KeygenPaths(home / "committee.toml", home / "id", home / "no" / "share.json", home / "key.json")
    with pytest.raises(ConfigError, match="no directory"):
        await run_keygen(console(), where, 1, ("127.0.0.1", 0), CeremonyLimits(wait_seconds=0.1))


# ---- custody


def made(root: Path, n: int = 3) -> dict[int, DkgResult]:
    """A key by the identities of a committee file, each share in its member's custody, nothing settled."""
    file = committee(root, n)
    roster, session = file.roster(), fresh_session(file.roster())
    members = {}
    for who in range(1, n + 1):
        signer = identity_signer(TransportIdentity.load(root / str(who) / "id").key_path)
        members[who] = Participant(roster, Identifier(who), session, signer, os.urandom)
    ceremony = Ceremony(roster, session, members)
    ceremony.run(until=Phase.READY)
    for who, member in members.items():
        assert member.provisional is not None
        custody(paths(root / str(who))).keep(member.provisional)
        member.certify()
    ceremony.exchange(Phase.CERTIFICATE)
    return {who: member.result for who, member in members.items() if member.result is not None}


def test_custody__settled__moves_the_share_and_writes_the_public_file(tmp_path: Path) -> None:
    results = made(tmp_path)
    where = paths(tmp_path / "1")
    assert where.uncertified.stat().st_mode & 0o777 == 0o600
    custody(where).settle(results[1])
    assert not where.uncertified.exists()
    assert where.output.stat().st_mode & 0o777 == 0o600
    assert keystore.load(where.output, devnet=False, allow_plain=True).public == results[1].share.public
    assert json.loads(where.public.read_text())["participants"] == [1, 2, 3]


def test_custody__share_there_already__is_never_overwritten(tmp_path: Path) -> None:
    made(tmp_path)
    where = paths(tmp_path / "1")
    where.output.write_text("another key")
    with pytest.raises(KeystoreError, match="never overwritten"):
        promote(where)
    assert where.output.read_text() == "another key"
    assert where.uncertified.exists()


def test_custody__left_from_an_earlier_ceremony__is_replaced(tmp_path: Path) -> None:
    results = made(tmp_path)
    where = paths(tmp_path / "2")
    custody(where).keep(results[2].share)
    assert keystore.load(where.uncertified, devnet=False, allow_plain=True).identifier == 2


def test_finish__public_file_of_a_member_that_finished__makes_the_share_final(tmp_path: Path) -> None:
    results = made(tmp_path)
    where = paths(tmp_path / "3")
    others = tmp_path / "from-member-1.json"
    others.write_text(published(paths(tmp_path / "1"), results[1]).to_json())
    run_finish(console(), where, 3, others)
    assert keystore.load(where.output, devnet=False, allow_plain=True).identifier == 3
    assert where.public.read_text() == others.read_text()
    assert not where.uncertified.exists()
    with pytest.raises(ConfigError, match="nothing to finish"):
        run_finish(console(), where, 3, others)


@pytest.mark.parametrize("damage", ["certificate", "missing", "swapped", "session", "text", "list"])
def test_finish__file_that_does_not_show_all_certificates__is_refused(tmp_path: Path, damage: str) -> None:
    results = made(tmp_path)
    content = json.loads(published(paths(tmp_path / "1"), results[1]).to_json())
    certificates = content["certificates"]
    match damage:
        case "certificate":
            certificates["2"] = certificates["2"][:-2] + ("00" if certificates["2"][-2:] != "00" else "01")
        case "missing":
            del certificates["2"]
        case "swapped":
            certificates["2"] = certificates["1"]
        case "session":
            content["session"] = "00" * 32
        case "list":
            content = []
    others = tmp_path / "other.json"
    others.write_text("nothing" if damage == "text" else json.dumps(content))
    where = paths(tmp_path / "3")
    with pytest.raises(ConfigError, match="does not show that all members certified"):
        run_finish(console(), where, 3, others)
    assert where.uncertified.exists()
    assert not where.output.exists()


def test_finish__another_ceremonys_file__is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    made(tmp_path / "a")
    results = made(tmp_path / "b")
    others = tmp_path / "b.json"
    others.write_text(published(paths(tmp_path / "b" / "1"), results[1]).to_json())
    with pytest.raises(ConfigError):
        run_finish(console(), paths(tmp_path / "a" / "1"), 1, others)


def test_finish__nothing_uncertified__says_so(tmp_path: Path) -> None:
    committee(tmp_path)
    with pytest.raises(KeystoreError, match="cannot be opened"):
        run_finish(console(), paths(tmp_path / "1"), 1, tmp_path / "none.json")


def test_identity__made_by_transport__signs_for_a_roster(tmp_path: Path) -> None:
    identity = TransportIdentity.generate(tmp_path, "x", datetime.now(UTC))
    assert len(identity_signer(identity.key_path)(b"m")) == 64
