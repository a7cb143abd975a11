"""Shares at rest under a passphrase: who can read what, what every change to the file leads to, and crashes while it is replaced."""

from __future__ import annotations

import copy
import hashlib
import json
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridges.frost import keystore, private_files
from bridges.frost.errors import DealerKeyRefused, KeystoreError
from bridges.frost.group import SecretScalar
from bridges.frost.keygen import KeyShare, Origin
from bridges.frost.keystore import PlainShareRefused
from bridges.frost.sealing import (
    MAX_SCRYPT_BYTES,
    NoPassphrase,
    Passphrase,
    PassphraseSource,
    ScryptCost,
    WrongPassphrase,
    forget_environment,
)
from tests.support.dealer import deal

CHEAP = ScryptCost(n=1 << 14)
OLD, NEW = b"correct horse battery", b"staple of another colour"


@pytest.fixture(scope="module")
def share() -> KeyShare:
    dealt = deal(4, 3, os.urandom)[2]
    return KeyShare(dealt.identifier, dealt.signing_share, replace(dealt.public, origin=Origin.DKG))


@pytest.fixture
def path(tmp_path: Path, share: KeyShare) -> Path:
    path = tmp_path / "share.json"
    keystore.save(path, share, Passphrase(OLD), cost=CHEAP)
    return path


def load(path: Path, passphrase: bytes | None = OLD) -> KeyShare:
    return keystore.load(path, devnet=False, passphrase=None if passphrase is None else Passphrase(passphrase))


def test_keystore__sealed_share__loads_with_its_passphrase_alone(path: Path, share: KeyShare) -> None:
    loaded = load(path)
    assert loaded.public == share.public
    assert loaded.signing_share.reveal() == share.signing_share.reveal()
    with pytest.raises(WrongPassphrase, match="passphrase is wrong"):
        load(path, NEW)
    with pytest.raises(NoPassphrase, match="passphrase_file or passphrase_env"):
        load(path, None)


def test_keystore__sealed_share__shows_what_is_public_and_no_secret(path: Path, share: KeyShare) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert json.loads(text)["header"]["identifier"] == 3
    secret = share.signing_share.reveal()
    assert secret.hex() not in text
    assert secret not in path.read_bytes()
    assert OLD.decode() not in text


def test_keystore__same_share_sealed_twice__has_no_byte_of_salt_nonce_or_ciphertext_in_common(
    path: Path, share: KeyShare
) -> None:
    other = path.with_name("other.json")
    keystore.save(other, share, Passphrase(OLD), cost=CHEAP)
    one, two = json.loads(path.read_text()), json.loads(other.read_text())
    assert one["header"] == two["header"]
    for get in (lambda c: c["kdf"]["salt"], lambda c: c["cipher"]["nonce"], lambda c: c["ciphertext"]):
        assert get(one) != get(two)


def test_keystore__default_cost__is_owasps(tmp_path: Path, share: KeyShare) -> None:
    keystore.save(tmp_path / "share.json", share, Passphrase(OLD))
    kdf = json.loads((tmp_path / "share.json").read_text())["kdf"]
    assert (kdf["n"], kdf["r"], kdf["p"]) == (131072, 8, 1)
    assert load(tmp_path / "share.json").identifier == 3


# ---- plain shares


def test_keystore__plain_share_outside_a_devnet__is_refused_with_the_command(tmp_path: Path, share: KeyShare) -> None:
    plain = tmp_path / "plain.json"
    keystore.save(plain, share)
    with pytest.raises(PlainShareRefused, match=f"sibyl committee passphrase --share {plain}") as caught:
        load(plain, None)
    assert share.signing_share.reveal().hex() not in str(caught.value)
    with pytest.raises(PlainShareRefused):
        load(plain)  # a passphrase in the configuration does not make a plain file better
    assert keystore.load(plain, devnet=True).identifier == 3
    keystore.change_passphrase(plain, None, Passphrase(NEW), cost=CHEAP)
    assert load(plain, NEW).signing_share.reveal() == share.signing_share.reveal()


def test_keystore__sealed_dealers_share__stays_on_its_devnet(tmp_path: Path) -> None:
    path = tmp_path / "dealt.json"
    keystore.save(path, deal(4, 3, os.urandom)[0], Passphrase(OLD), cost=CHEAP)
    with pytest.raises(DealerKeyRefused):
        load(path)
    assert keystore.load(path, devnet=True, passphrase=Passphrase(OLD)).identifier == 1


# ---- doctored files


def doctor(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changed by somebody who knows the format: the checksum, which needs no secret, is made to fit again."""
    content = json.loads(path.read_text())
    change(content)
    content.pop("checksum", None)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**content, "checksum": hashlib.sha256(canonical).hexdigest()}))


def flip(text: str, at: int = 0) -> str:
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


def set_in(part: str, name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content[part][name] = value

    return change


def flip_in(part: str | None, name: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        place = content if part is None else content[part]
        place[name] = flip(place[name])

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (flip_in(None, "ciphertext"), "somebody changed the file"),
        (flip_in("cipher", "nonce"), "somebody changed the file"),
        (set_in("header", "origin", "dealer"), "somebody changed the file"),
        (flip_in("kdf", "salt"), "passphrase is wrong, or its key derivation was changed"),
        (flip_in(None, "key_check"), "passphrase is wrong, or its key derivation was changed"),
        (set_in("kdf", "n", 1 << 15), "passphrase is wrong, or its key derivation was changed"),
        (set_in("header", "identifier", 2), "somebody changed the file"),
        (set_in("header", "threshold", 2), "is damaged"),
        (set_in("header", "surplus", 1), "is damaged"),
        (set_in("header", "group_public_key", "02" + "11" * 32), "is damaged"),
        (set_in("header", "verifying_shares", {}), "is damaged"),
        (set_in("cipher", "name", "none"), "cipher is not AES-256-GCM"),
        (set_in("kdf", "name", "pbkdf2"), "not scrypt"),
        (set_in("kdf", "salt", ""), "salt has 0 bytes"),
        (set_in("kdf", "salt", "zz" * 32), "is damaged"),
        (lambda c: c.update(ciphertext=c["ciphertext"][:32]), "too short"),
        (lambda c: c.update(ciphertext=c["ciphertext"][:-2]), "somebody changed the file"),
        (lambda c: c.update(nonces="00"), "is damaged"),
        (lambda c: c.pop("cipher"), "is damaged"),
        (lambda c: c.update(format="sibyl-frost-key-share-3"), "is damaged"),
        (lambda c: c.update(header=[]), "is damaged"),
    ],
)
def test_keystore__doctored_file__is_refused_by_what_was_changed(
    path: Path, change: Callable[[dict[str, Any]], None], match: str
) -> None:
    doctor(path, change)
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match=match) as caught:
        keystore.load(path, devnet=True, passphrase=Passphrase(OLD))
    assert str(path) in str(caught.value)
    assert OLD.decode() not in str(caught.value)
    assert caught.value.__cause__ is None
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "cost",
    [
        {"n": 1 << 30},
        {"n": 1 << 21},
        {"n": 1 << 13},
        {"n": 100_000},
        {"n": 0},
        {"n": -(1 << 14)},
        {"n": 10**400},
        {"n": 16384.0},
        {"n": True},
        {"n": None},
        {"r": 1 << 20},
        {"r": 0},
        {"r": 7},
        {"p": 1 << 20},
        {"p": 0},
        {"n": 1 << 20, "r": 16},
        {"n": 1 << 20, "p": 2},
    ],
    ids=str,
)
def test_keystore__cost_out_of_bounds__is_refused_before_it_is_paid(
    path: Path, cost: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor(path, lambda content: content["kdf"].update(cost))

    def never(*_: object, **__: object) -> None:
        pytest.fail("a key was derived")

    monkeypatch.setattr("bridges.frost.sealing.Scrypt", never)
    with pytest.raises(KeystoreError, match=r"is damaged: (its key derivation asks for|the cost parameters)"):
        load(path)


def test_keystore__largest_cost_that_is_taken__fits_the_memory_bound() -> None:
    largest = ScryptCost(n=1 << 20, r=8, p=1)
    assert 128 * largest.n * largest.r * largest.p == MAX_SCRYPT_BYTES


@pytest.mark.parametrize("keep", [0.0, 0.05, 0.4, 0.9, 0.999])
def test_keystore__truncated_sealed_file__is_damaged_and_not_a_wrong_passphrase(path: Path, keep: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(KeystoreError, match=r"is damaged.*Restore it from its backup"):
        load(path)


def test_keystore__bit_rot__is_damaged_and_not_a_wrong_passphrase(path: Path) -> None:
    content = json.loads(path.read_text())
    content["ciphertext"] = flip(content["ciphertext"])
    path.write_text(json.dumps(content))
    with pytest.raises(KeystoreError, match="checksum") as caught:
        load(path)
    assert not isinstance(caught.value, WrongPassphrase)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_keystore__sealed_but_readable_by_others__is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(KeystoreError, match="chmod 600"):
        load(path)


# ---- passphrases


def test_passphrase__anywhere_it_could_be_shown__is_redacted() -> None:
    passphrase = Passphrase(OLD)
    for shown in (repr(passphrase), str(passphrase), f"{passphrase}", repr([passphrase])):
        assert OLD.decode() not in shown
        assert "redacted" in shown
    for escape in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            escape(passphrase)


def test_passphrase__wiped__is_zero_and_cannot_be_used() -> None:
    passphrase = Passphrase(OLD)
    live = passphrase._buffer
    passphrase.wipe()
    passphrase.wipe()
    assert live == bytes(len(OLD))
    with pytest.raises(KeystoreError, match="wiped"):
        passphrase.view()


@pytest.mark.parametrize("data", [b"", b"x" * 1025, b"two\nlines", b"nul\0", b"return\r"])
def test_passphrase__not_one_line__is_refused(data: bytes) -> None:
    with pytest.raises(KeystoreError, match="passphrase"):
        Passphrase(data)


def test_passphrase__too_short_for_something_new__still_opens_what_exists(tmp_path: Path, share: KeyShare) -> None:
    with pytest.raises(KeystoreError, match="at least 12"):
        keystore.save(tmp_path / "share.json", share, Passphrase(b"short"), cost=CHEAP)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_passphrase__file__is_its_one_line(tmp_path: Path, ending: bytes) -> None:
    file = tmp_path / "passphrase"
    file.touch(mode=0o600)
    file.write_bytes(OLD + ending)
    read = PassphraseSource(file=file).read()
    assert read is not None
    assert read.same_as(Passphrase(OLD))


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n"])
def test_passphrase__file_without_one_line__is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "passphrase"
    file.touch(mode=0o600)
    file.write_bytes(content)
    with pytest.raises(KeystoreError, match=str(file)):
        Passphrase.from_file(file)


def test_passphrase__file_that_others_can_read__is_refused(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.touch(mode=0o644)
    file.chmod(0o644)
    file.write_bytes(OLD)
    with pytest.raises(KeystoreError, match="chmod 600") as caught:
        PassphraseSource(file=file).read()
    assert OLD.decode() not in str(caught.value)


def test_passphrase__environment__is_read_for_several_shares_and_then_taken_out_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIBYL_TEST_PASSPHRASE", OLD.decode())
    source = PassphraseSource(environment="SIBYL_TEST_PASSPHRASE")
    for _ in range(2):
        read = source.read()
        assert read is not None
        assert read.same_as(Passphrase(OLD))
    forget_environment("SIBYL_TEST_PASSPHRASE", None, "SIBYL_NEVER_SET")
    assert "SIBYL_TEST_PASSPHRASE" not in os.environ
    with pytest.raises(NoPassphrase, match="SIBYL_TEST_PASSPHRASE is not set"):
        source.read()
    assert PassphraseSource().read() is None


def test_load__secret_buffers__are_wiped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytearray] = []
    real = SecretScalar.__init__

    def watch(self: SecretScalar, data: bytearray) -> None:
        assert isinstance(data, bytearray)
        assert any(data)
        seen.append(data)
        real(self, data)

    monkeypatch.setattr(SecretScalar, "__init__", watch)
    load(path)
    assert len(seen) == 1
    assert not any(seen[0])


def test_load__wrong_share_for_its_header__leaves_no_secret_in_the_exception(path: Path, share: KeyShare) -> None:
    """The frames of a traceback hold local variables: none of them may hold the secret when an error leaves `load`."""
    secret = share.signing_share.reveal()
    doctor(path, lambda content: content["header"].update(identifier=2))
    try:
        load(path)
    except KeystoreError:
        shown = traceback.format_exc()
    assert secret.hex() not in shown
    assert repr(secret) not in shown


# ---- changing the passphrase, and crashing meanwhile


def test_change_passphrase__new_one_alone_opens_it(path: Path, share: KeyShare) -> None:
    keystore.change_passphrase(path, Passphrase(OLD), Passphrase(NEW), cost=CHEAP)
    assert load(path, NEW).signing_share.reveal() == share.signing_share.reveal()
    with pytest.raises(WrongPassphrase):
        load(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["share.json"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("old", "new"), [(NEW, OLD), (None, NEW), (OLD, b"short")])
def test_change_passphrase__that_fails__leaves_the_file_as_it_was(path: Path, old: bytes | None, new: bytes) -> None:
    before = path.read_bytes()
    with pytest.raises(KeystoreError):
        keystore.change_passphrase(path, None if old is None else Passphrase(old), Passphrase(new), cost=CHEAP)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["share.json"]


def test_change_passphrase__while_another_command_does__is_refused(path: Path) -> None:
    with private_files.exclusive(path), pytest.raises(KeystoreError, match="Another command"):
        keystore.change_passphrase(path, Passphrase(OLD), Passphrase(NEW), cost=CHEAP)
    load(path)


def test_change_passphrase__old_blocks__are_overwritten(path: Path) -> None:
    with path.open("rb") as before:
        content = before.read()
        keystore.change_passphrase(path, Passphrase(OLD), Passphrase(NEW), cost=CHEAP)
        before.seek(0)
        assert before.read() == bytes(len(content))


def test_change_passphrase__copy_under_another_name__keeps_its_content(path: Path) -> None:
    other = path.with_name("copy.json")
    other.hardlink_to(path)
    content = path.read_bytes()
    keystore.change_passphrase(path, Passphrase(OLD), Passphrase(NEW), cost=CHEAP)
    assert other.read_bytes() == content


def test_replace__full_disk__leaves_the_old_file_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeystoreError, match="No space left"):
        keystore.change_passphrase(path, Passphrase(OLD), Passphrase(NEW), cost=CHEAP)
    monkeypatch.undo()
    load(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["share.json"]


_STEPS = ("open", "fsync", "replace", "unlink", "link", "close", "fstat")


def die_at(step: int, act: Callable[[], None], report: Any) -> None:
    """Runs in a child: `act`, with SIGKILL before the system call number `step` that touches files; reports how many there were."""
    count = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return call(*args, **kwargs)

        return wrapper

    for name in _STEPS:
        setattr(os, name, counted(getattr(os, name)))
    act()
    report.send(count)


def killed_at(step: int, act: Callable[[], None]) -> int | None:
    """How many steps there were, or None if it was killed before the end."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=die_at, args=(step, act, send))
    child.start()
    send.close()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return receive.recv() if child.exitcode == 0 else None


def test_change_passphrase__killed_at_each_step__one_whole_share_and_the_next_try_tidies_up(
    tmp_path: Path, share: KeyShare
) -> None:
    step, states = 0, []
    while True:
        home = tmp_path / str(step)
        home.mkdir()
        path = home / "share.json"
        keystore.save(path, share, Passphrase(OLD), cost=CHEAP)
        total = killed_at(
            step,
            lambda path=path: keystore.change_passphrase(path, Passphrase(OLD), Passphrase(NEW), cost=CHEAP),  # type: ignore[misc]
        )
        assert path.stat().st_mode & 0o777 == 0o600
        opened = [passphrase for passphrase in (OLD, NEW) if opens(path, passphrase)]
        assert len(opened) == 1, f"killed at step {step}"
        states.append(opened[0])
        keystore.change_passphrase(path, Passphrase(opened[0]), Passphrase(NEW), cost=CHEAP)
        assert [entry.name for entry in home.iterdir()] == ["share.json"]
        if total is not None:
            break
        step += 1
    assert step >= 8, "the steps were counted"
    assert states == sorted(states, key=lambda state: state == NEW), "from old to new, once"
    assert set(states) == {OLD, NEW}


def opens(path: Path, passphrase: bytes) -> bool:
    try:
        load(path, passphrase)
    except WrongPassphrase:
        return False
    return True


def test_save__killed_at_each_step__the_name_holds_a_whole_share_or_nothing(tmp_path: Path, share: KeyShare) -> None:
    step, seen = 0, set()
    while True:
        home = tmp_path / str(step)
        home.mkdir()
        path = home / "share.json"
        total = killed_at(step, lambda path=path: keystore.save(path, share, Passphrase(OLD), cost=CHEAP))  # type: ignore[misc]
        seen.add(path.exists())
        if path.exists():
            load(path)
        if total is not None:
            break
        step += 1
    assert step >= 5
    assert seen == {False, True}
