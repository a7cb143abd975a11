"""Backups: what they hold and cannot hold, whose they are, and restoring on a machine that has nothing or something."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import typer
from rich.console import Console
from typer.testing import CliRunner

from bridges.frost import backup as backups
from bridges.frost import keystore, signing
from bridges.frost.backup import BACKUP_FORMAT, FIELDS, SECRET_BYTES, Backup, read_backup, restore, write_backup
from bridges.frost.errors import KeystoreError
from bridges.frost.identity import CERTIFICATE_FILE, KEY_FILE, TransportIdentity
from bridges.frost.keygen import KeyShare, Origin
from bridges.frost.keystore import PlainShareRefused
from bridges.frost.private_files import write_private_file
from bridges.frost.sealing import NoPassphrase, Passphrase, ScryptCost, WrongPassphrase, parse, seal, unseal
from bridges.frost.signer_rules import load_signer_config
from oracle.app import keystore_commands
from oracle.app.keystore_commands import add_commands
from oracle.errors import ConfigError
from oracle.protocol.types import Kind
from tests.support.dealer import deal
from tests.support.node_config import document, write

CHEAP = ScryptCost(n=1 << 14)
WORDS = b"a passphrase of the tests"
OTHER = b"another one of the tests"


def of_dkg(share: KeyShare) -> KeyShare:
    return KeyShare(share.identifier, share.signing_share, replace(share.public, origin=Origin.DKG))


SHARES = [of_dkg(share) for share in deal(4, 3, os.urandom)]


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    directory = tmp_path / "identity"
    directory.mkdir(mode=0o700)
    TransportIdentity.generate(directory, "sibyl member 1", datetime.now(UTC))
    return directory


@pytest.fixture
def made(tmp_path: Path, identity: Path) -> Path:
    path = tmp_path / "backup.json"
    write_backup(path, 7, SHARES[0], identity, Passphrase(WORDS), cost=CHEAP)
    return path


def opened(path: Path) -> Backup:
    return read_backup(path, Passphrase(WORDS))


# ---- the format


def test_backup__read_back__is_what_was_put_in(made: Path, identity: Path) -> None:
    content = opened(made)
    assert content.epoch == 7
    assert content.share.identifier == 1
    assert content.share.public == SHARES[0].public
    assert content.share.signing_share.reveal() == SHARES[0].signing_share.reveal()
    assert content.certificate == TransportIdentity.load(identity).certificate
    assert made.stat().st_mode & 0o777 == 0o600
    content.wipe()
    assert content.share.signing_share.wiped
    assert not any(content.identity_key)


def test_backup__its_text__shows_no_secret(made: Path, identity: Path) -> None:
    text, secret = made.read_text(), SHARES[0].signing_share.reveal().hex()
    key = "".join((identity / KEY_FILE).read_text().split("-----")[2].split())
    assert secret not in text
    assert key not in text
    assert secret not in repr(opened(made))
    assert "redacted" in repr(opened(made))


def test_backup__format__is_a_closed_list_without_a_place_for_nonces(made: Path) -> None:
    """Four public things and 64 secret bytes that are all accounted for. Whoever adds a field changes this test knowingly."""
    assert frozenset({"epoch", "share", "certificate"}) == FIELDS
    assert SECRET_BYTES == 32 + 32
    sealed = parse(BACKUP_FORMAT, json.loads(made.read_text()))
    assert set(sealed.header) == FIELDS
    assert set(sealed.header["share"]) == {  # type: ignore[call-overload]
        "origin", "identifier", "threshold", "group_public_key", "verifying_shares",
    }  # fmt: skip
    secret = unseal(sealed, Passphrase(WORDS))
    assert len(secret) == SECRET_BYTES
    assert bytes(secret[:32]) == SHARES[0].signing_share.reveal()
    assert [field.name for field in fields(Backup)] == ["epoch", "share", "certificate", "identity_key"]


def test_backup__of_a_signer_with_open_sessions__holds_none_of_their_nonces(tmp_path: Path, identity: Path) -> None:
    nonces = [signing.commit(SHARES[0], os.urandom(64)) for _ in range(3)]
    path = tmp_path / "b.json"
    write_backup(path, 1, SHARES[0], identity, Passphrase(WORDS), cost=CHEAP)
    content = json.loads(path.read_text())
    plain = bytes(unseal(parse(BACKUP_FORMAT, content), Passphrase(WORDS))) + path.read_bytes()
    for nonce in nonces:
        for part in (nonce._hiding, nonce._binding):
            assert part.reveal() not in plain
            assert part.reveal().hex().encode() not in plain


@pytest.mark.parametrize("extra", [{"nonces": "00" * 64}, {"journal": []}], ids=str)
def test_backup__with_a_field_more__is_neither_written_nor_read(
    tmp_path: Path, made: Path, extra: dict[str, object]
) -> None:
    header = parse(BACKUP_FORMAT, json.loads(made.read_text())).header
    with pytest.raises(KeystoreError, match="alone"):
        backups._require_closed({**header, **extra}, bytearray(64))
    forged = tmp_path / "forged.json"
    secret = bytearray(SHARES[0].signing_share.view()) + bytearray(32)
    write_private_file(forged, seal(BACKUP_FORMAT, {**header, **extra}, secret, Passphrase(WORDS), cost=CHEAP))
    with pytest.raises(KeystoreError, match="share, public key package and identity alone"):
        opened(forged)


@pytest.mark.parametrize("size", [32, 63, 65, 128, 192])
def test_backup__with_more_or_fewer_secret_bytes__is_refused(tmp_path: Path, made: Path, size: int) -> None:
    header = parse(BACKUP_FORMAT, json.loads(made.read_text())).header
    forged = tmp_path / "forged.json"
    write_private_file(forged, seal(BACKUP_FORMAT, header, bytearray(size), Passphrase(WORDS), cost=CHEAP))
    with pytest.raises(KeystoreError, match="alone"):
        opened(forged)


def forge(made: Path, target: Path, **changes: object) -> None:
    """Sealed anew by somebody who knows the passphrase."""
    sealed = parse(BACKUP_FORMAT, json.loads(made.read_text()))
    secret = unseal(sealed, Passphrase(WORDS))
    write_private_file(target, seal(BACKUP_FORMAT, {**sealed.header, **changes}, secret, Passphrase(WORDS), cost=CHEAP))


def test_backup__parts_that_do_not_belong_together__are_refused(tmp_path: Path, made: Path) -> None:
    (tmp_path / "other").mkdir()
    other = TransportIdentity.generate(tmp_path / "other", "x", datetime.now(UTC)).certificate.to_pem()
    for number, (changes, said) in enumerate(
        [
            ({"certificate": other}, "do not belong together"),
            ({"certificate": "no certificate"}, "PEM"),
            ({"certificate": other + other}, "one PEM certificate"),
            ({"share": keystore.public_header(SHARES[1])}, "does not match"),
            ({"share": []}, "malformed"),
            ({"epoch": 0}, "malformed"),
            ({"epoch": "7"}, "malformed"),
            ({"epoch": True}, "malformed"),
        ]
    ):
        target = tmp_path / f"forged-{number}.json"
        forge(made, target, **changes)
        with pytest.raises(KeystoreError, match=said) as caught:
            opened(target)
        assert SHARES[0].signing_share.reveal().hex() not in str(caught.value)


def test_backup__wrong_passphrase_truncated_or_readable__is_told_apart(made: Path) -> None:
    with pytest.raises(WrongPassphrase, match="passphrase is wrong"):
        read_backup(made, Passphrase(OTHER))
    data = made.read_bytes()
    made.write_bytes(data[:-200])
    with pytest.raises(KeystoreError, match="is no good backup"):
        opened(made)
    content = json.loads(data)
    content["header"]["epoch"] = 8
    made.write_text(json.dumps(content))
    with pytest.raises(KeystoreError, match="checksum"):
        opened(made)
    del content["checksum"]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    made.write_text(json.dumps({**content, "checksum": hashlib.sha256(canonical).hexdigest()}))
    with pytest.raises(KeystoreError, match="somebody changed the file"):
        opened(made)
    made.write_bytes(data)
    made.chmod(0o640)
    with pytest.raises(KeystoreError, match="chmod 600"):
        opened(made)


def test_backup__there_already__is_never_overwritten(made: Path, identity: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(KeystoreError, match="exists already"):
        write_backup(made, 8, SHARES[0], identity, Passphrase(WORDS), cost=CHEAP)
    assert made.read_bytes() == before


# ---- restoring


def test_restore__on_a_new_machine__share_and_identity_work(made: Path, identity: Path, tmp_path: Path) -> None:
    new = tmp_path / "new machine"
    restore(opened(made), new / "share.json", new / "identity", Passphrase(OTHER), cost=CHEAP)
    loaded = keystore.load(new / "share.json", devnet=False, passphrase=Passphrase(OTHER))
    assert loaded.signing_share.reveal() == SHARES[0].signing_share.reveal()
    assert TransportIdentity.load(new / "identity").certificate == TransportIdentity.load(identity).certificate
    assert (new / "identity" / KEY_FILE).read_bytes() == (identity / KEY_FILE).read_bytes()
    for path in (new / "share.json", new / "identity" / KEY_FILE, new / "identity" / CERTIFICATE_FILE):
        assert path.stat().st_mode & 0o777 == 0o600
    assert new.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["share.json", KEY_FILE, CERTIFICATE_FILE])
def test_restore__over_anything__writes_nothing_at_all(made: Path, tmp_path: Path, name: str) -> None:
    new = tmp_path / "new"
    new.mkdir(mode=0o700)
    write_private_file(new / name, b"somebody else's")
    with pytest.raises(KeystoreError, match="exists already"):
        restore(opened(made), new / "share.json", new, Passphrase(OTHER), cost=CHEAP)
    assert [entry.name for entry in new.iterdir()] == [name]
    assert (new / name).read_bytes() == b"somebody else's"


def test_restore__interrupted_before_the_share__is_done_again(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"

    def full(*_: object, **__: object) -> None:
        raise KeystoreError("disk full")

    monkeypatch.setattr(backups.keystore, "save", full)
    with pytest.raises(KeystoreError, match="disk full"):
        restore(opened(made), new / "share.json", new, Passphrase(OTHER), cost=CHEAP)
    monkeypatch.undo()
    restore(opened(made), new / "share.json", new, Passphrase(OTHER), cost=CHEAP)
    assert keystore.load(new / "share.json", devnet=False, passphrase=Passphrase(OTHER)).identifier == 1


# ---- the commands


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


def run(runner: CliRunner, *arguments: str | Path) -> str:
    app = typer.Typer()
    add_commands(app, Console(width=200))
    result = runner.invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def secret_file(path: Path, words: bytes) -> Path:
    write_private_file(path, words)
    return path


def machine(home: Path, **changes: Any) -> Path:
    """A production member's node.toml, its passphrase in a file."""
    content = document()
    content |= {"devnet": False, "passphrase_file": "passphrase", "identity": "identity"}
    content["committee"]["group_key"] = "0x" + SHARES[0].public.group_public_key.to_bytes().hex()
    for key, value in changes.items():
        (content["committee"] if key in content["committee"] else content)[key] = value
    path = write(home, content)
    if not (home / "passphrase").exists():
        secret_file(home / "passphrase", WORDS)
    return path


@pytest.fixture
def old_machine(tmp_path: Path) -> Path:
    home = tmp_path / "old"
    path = machine(home)
    (home / "identity").mkdir()
    TransportIdentity.generate(home / "identity", "sibyl member 1", datetime.now(UTC))
    keystore.save(home / "share.json", SHARES[0], Passphrase(WORDS), cost=CHEAP)
    return path


def test_commands__backup_then_restore_elsewhere__the_share_loads_there(
    runner: CliRunner, old_machine: Path, tmp_path: Path
) -> None:
    words, made = secret_file(tmp_path / "words", OTHER), tmp_path / "b.json"
    said = run(runner, "backup", "--config", old_machine, "--output", made, "--passphrase-file", words)
    assert f"Backup of member 1, epoch 1: {made}" in said
    new = machine(tmp_path / "new")
    said = run(runner, "restore", "--config", new, "--input", made, "--passphrase-file", words)
    assert "Never run two nodes with this share" in said
    share = keystore.load(new.parent / "share.json", devnet=False, passphrase=Passphrase(WORDS))
    assert share.public == SHARES[0].public
    for text in (said, made.read_text()):
        assert share.signing_share.reveal().hex() not in text
    with pytest.raises(KeystoreError, match="exists already"):
        run(runner, "restore", "--config", new, "--input", made, "--passphrase-file", words)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": 2}, "is of epoch 1, but the configuration's committee has epoch 2"),
        ({"group_key": "0x02" + "ab" * 32}, "another group key"),
        ({"identifier": 2}, "is member 1's share, but this node is member 2"),
    ],
    ids=["epoch", "committee", "member"],
)
def test_commands__backup_of_another_committee_epoch_or_member__is_not_restored(
    runner: CliRunner, old_machine: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    words, made = secret_file(tmp_path / "words", OTHER), tmp_path / "b.json"
    run(runner, "backup", "--config", old_machine, "--output", made, "--passphrase-file", words)
    new = machine(tmp_path / "new", **changes)
    with pytest.raises(ConfigError, match=re.escape(said)):
        run(runner, "restore", "--config", new, "--input", made, "--passphrase-file", words)
    assert not (new.parent / "share.json").exists()
    assert not (new.parent / "identity").exists()


def test_commands__node_with_a_next_committee__each_share_is_backed_up_and_restored_to_its_own_place(
    runner: CliRunner, old_machine: Path, tmp_path: Path
) -> None:
    following = of_dkg(deal(4, 3, os.urandom)[0])
    entry = {
        **document()["committee"],
        "epoch": 2,
        "group_key": "0x" + following.public.group_public_key.to_bytes().hex(),
        "key_share": "next.json",
        "passphrase_file": "passphrase",
    }
    keystore.save(old_machine.parent / "next.json", following, Passphrase(WORDS), cost=CHEAP)
    machine(old_machine.parent, next_committee=[entry])
    words, new = secret_file(tmp_path / "words", OTHER), machine(tmp_path / "new", next_committee=[entry])
    for name, epoch in (("share.json", 1), ("next.json", 2)):
        made = tmp_path / f"backup of {name}"
        share = old_machine.parent / name
        said = run(
            runner, "backup", "--config", old_machine, "--share", share, "--output", made, "--passphrase-file", words
        )
        assert f"epoch {epoch}: {made}" in said
        run(runner, "restore", "--config", new, "--input", made, "--passphrase-file", words)
        restored = keystore.load(new.parent / name, devnet=False, passphrase=Passphrase(WORDS))
        assert restored.public == (SHARES[0] if epoch == 1 else following).public
    with pytest.raises(ConfigError, match="is no key_share of the configuration"):
        run(runner, "backup", "--config", old_machine, "--share", tmp_path / "x", "--output", tmp_path / "y")


def typed(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """A terminal on which somebody types these."""
    asked: list[str] = []
    left = list(answers)

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return left.pop(0)

    monkeypatch.setattr(keystore_commands.getpass, "getpass", ask)
    monkeypatch.setattr(keystore_commands, "_terminal", lambda: True)
    return asked


def test_commands__passphrase_of_a_plain_share__encrypts_it(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "share.json"
    keystore.save(path, SHARES[0])
    with pytest.raises(PlainShareRefused):
        keystore.load(path, devnet=False)
    asked = typed(monkeypatch, WORDS.decode(), WORDS.decode())
    assert "is encrypted" in run(runner, "passphrase", "--share", path)
    assert asked == ["New passphrase: ", "New passphrase, again: "]
    assert keystore.load(path, devnet=False, passphrase=Passphrase(WORDS)).identifier == 1


def test_commands__passphrase_changed__the_old_one_is_worth_nothing(runner: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "share.json"
    keystore.save(path, SHARES[0], Passphrase(WORDS), cost=CHEAP)
    old, new = secret_file(tmp_path / "old", WORDS), secret_file(tmp_path / "new", OTHER)
    run(runner, "passphrase", "--share", path, "--old-file", old, "--new-file", new)
    assert keystore.load(path, devnet=False, passphrase=Passphrase(OTHER)).identifier == 1
    before = path.read_bytes()
    for wrong, said in ((old, "passphrase is wrong"), (new, "is the present one")):
        with pytest.raises(KeystoreError, match=said):
            run(runner, "passphrase", "--share", path, "--old-file", wrong, "--new-file", new)
    assert path.read_bytes() == before


def test_commands__typed_differently_or_too_short_or_no_terminal__changes_nothing(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "share.json"
    keystore.save(path, SHARES[0])
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="no terminal to ask on"):
        run(runner, "passphrase", "--share", path)
    typed(monkeypatch, WORDS.decode(), OTHER.decode())
    with pytest.raises(ConfigError, match="differ"):
        run(runner, "passphrase", "--share", path)
    typed(monkeypatch, "short", "short")
    with pytest.raises(KeystoreError, match="at least 12"):
        run(runner, "passphrase", "--share", path)
    assert path.read_bytes() == before


def test_commands__backup_of_a_share_that_cannot_be_opened__writes_nothing(
    runner: CliRunner, old_machine: Path, tmp_path: Path
) -> None:
    words, made = secret_file(tmp_path / "words", OTHER), tmp_path / "b.json"
    (old_machine.parent / "passphrase").write_bytes(OTHER)
    with pytest.raises(WrongPassphrase):
        run(runner, "backup", "--config", old_machine, "--output", made, "--passphrase-file", words)
    old_machine.write_text(old_machine.read_text().replace('passphrase_file = "passphrase"', ""))
    with pytest.raises(NoPassphrase):
        run(runner, "backup", "--config", old_machine, "--output", made, "--passphrase-file", words)
    assert not made.exists()


def test_commands__no_option__takes_a_secret_itself(runner: CliRunner) -> None:
    for command in ("backup", "restore", "passphrase"):
        said = run(runner, command, "--help")
        options = set(re.findall(r"--[a-z-]+", said))
        assert not {"--passphrase", "--old", "--new", "--secret", "--key"} & options
        assert any(option.endswith("-file") for option in options)


def test_commands__signer_config__is_one_that_a_signer_takes(
    runner: CliRunner, old_machine: Path, tmp_path: Path
) -> None:
    output = old_machine.parent / "signer.toml"
    run(runner, "signer-config", "--config", old_machine, "--output", output)
    made = load_signer_config(output)
    assert made.identifier == 1
    assert made.key_share.resolve() == old_machine.parent / "share.json"
    assert made.passphrase.file is not None
    assert made.passphrase.file.resolve() == old_machine.parent / "passphrase"
    assert "inference_request" not in made.kinds
    assert set(made.kinds) == {kind.name.lower() for kind in Kind} - {"inference_request"}
    assert [where.partition(":")[0] for where in made.origins] == ["eip155", "solana"]
    assert made.devnet is False
    with pytest.raises(KeystoreError, match="exists already"):
        run(runner, "signer-config", "--config", old_machine, "--output", output)
    elsewhere = machine(tmp_path / "elsewhere", signer="/run/signer.sock")
    with pytest.raises(ConfigError, match="where it runs"):
        run(runner, "signer-config", "--config", elsewhere, "--output", tmp_path / "s.toml")
    assert tomlkit.parse(output.read_text())["socket"] == "signer/signer.sock"
