"""Key files: modes, atomicity, damage, and the dealer's key that stays on its devnet. Sealed ones: `test_keystore_sealed`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bridges.frost import keystore
from bridges.frost.errors import DealerKeyRefused, KeystoreError
from bridges.frost.keygen import KeyShare, Origin, PublicKeyPackage
from bridges.frost.sealing import Passphrase, ScryptCost
from tests.support.dealer import deal

PASSPHRASE = Passphrase(b"a passphrase of the tests")
CHEAP = ScryptCost(n=1 << 14)


@pytest.fixture(scope="module")
def dealt() -> tuple[KeyShare, ...]:
    return deal(4, 3, os.urandom)


@pytest.fixture
def path(tmp_path: Path, dealt: tuple[KeyShare, ...]) -> Path:
    path = tmp_path / "share.json"
    keystore.save(path, dealt[1])
    return path


def test_keystore__saved_share__loads_again(path: Path, dealt: tuple[KeyShare, ...]) -> None:
    loaded = keystore.load(path, devnet=True)
    assert loaded.identifier == 2
    assert loaded.public == dealt[1].public
    assert loaded.signing_share.reveal() == dealt[1].signing_share.reveal()


def test_keystore__new_file__is_0600_and_leaves_nothing_else(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["share.json"]


def test_keystore__existing_file__is_never_overwritten(path: Path, dealt: tuple[KeyShare, ...]) -> None:
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match="exists already"):
        keystore.save(path, dealt[2])
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_keystore__dealers_key_outside_a_devnet__is_refused(path: Path) -> None:
    with pytest.raises(DealerKeyRefused, match="DKG"):
        keystore.load(path, devnet=False)


def test_keystore__dkg_key_outside_a_devnet__loads(tmp_path: Path, dealt: tuple[KeyShare, ...]) -> None:
    public = dealt[0].public
    made = PublicKeyPackage(public.group_public_key, public.threshold, public.verifying_shares, Origin.DKG)
    share = KeyShare(dealt[0].identifier, dealt[0].signing_share.copy(), made)
    keystore.save(tmp_path / "dkg.json", share, PASSPHRASE, cost=CHEAP)
    loaded = keystore.load(tmp_path / "dkg.json", devnet=False, passphrase=PASSPHRASE)
    assert loaded.public.origin is Origin.DKG


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666, 0o644])
def test_keystore__readable_by_others__is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeystoreError, match="chmod 600"):
        keystore.load(path, devnet=True)


def test_keystore__symbolic_link__is_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    with pytest.raises(KeystoreError, match="cannot be opened"):
        keystore.load(link, devnet=True)


def test_keystore__missing_file_directory_or_pipe__is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeystoreError, match="cannot be opened"):
        keystore.load(tmp_path / "none.json", devnet=True)
    (tmp_path / "directory").mkdir(mode=0o700)
    with pytest.raises(KeystoreError):
        keystore.load(tmp_path / "directory", devnet=True)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeystoreError, match="regular"):
        keystore.load(tmp_path / "pipe", devnet=True)


def test_keystore__unwritable_directory__says_so(tmp_path: Path, dealt: tuple[KeyShare, ...]) -> None:
    with pytest.raises(KeystoreError, match="cannot be written"):
        keystore.save(tmp_path / "absent" / "share.json", dealt[0])


def test_keystore__oversize_file__is_refused(path: Path) -> None:
    path.write_bytes(b" " * (keystore.MAX_FILE_BYTES + 1))
    with pytest.raises(KeystoreError, match="no key file"):
        keystore.load(path, devnet=True)


def rewrite(path: Path, **changes: object) -> None:
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"format": ...},
        {"surplus": 1},
        {"origin": "somebody"},
        {"identifier": 3},
        {"identifier": 0},
        {"identifier": True},
        {"identifier": "2"},
        {"threshold": 2},
        {"threshold": 4},
        {"threshold": 10**30},
        {"threshold": None},
        {"group_public_key": "02" + "00" * 32},
        {"group_public_key": 5},
        {"verifying_shares": {}},
        {"verifying_shares": []},
        {"verifying_shares": {"01": "02"}},
        {"verifying_shares": {"9" * 5000: "02"}},
        {"verifying_shares": {"²": "02"}},
        {"signing_share": "00" * 32},
        {"signing_share": "ff" * 32},
        {"signing_share": "11" * 32},
        {"signing_share": "zz"},
        {"signing_share": None},
    ],
    ids=str,
)
def test_keystore__changed_field__is_refused_without_showing_the_share(path: Path, changes: dict[str, object]) -> None:
    secret = json.loads(path.read_text())["signing_share"]
    rewrite(path, **changes)
    with pytest.raises(KeystoreError, match="is damaged") as caught:
        keystore.load(path, devnet=True)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": 1, "a": 2}', "[" * 100_000, "\ud83d", "1e999999"])
def test_keystore__not_our_json__is_refused(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(KeystoreError):
        keystore.load(path, devnet=True)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_keystore__truncated_file__is_refused(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(KeystoreError, match="is damaged"):
        keystore.load(path, devnet=True)
