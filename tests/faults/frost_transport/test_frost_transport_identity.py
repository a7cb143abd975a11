"""A transport identity: private files, and certificates that are none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bridges.frost.errors import (
    DecodeError,
    KeystoreError,
)
from bridges.frost.transport import (
    CERTIFICATE_FILE,
    KEY_FILE,
    PeerCertificate,
    TransportIdentity,
)
from tests.support.transport import NOW, make_identity


def test_identity__generated__is_private_and_loads_again(tmp_path: Path) -> None:
    made = TransportIdentity.generate(tmp_path, "peer", NOW)
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {CERTIFICATE_FILE: 0o600, KEY_FILE: 0o600}
    assert TransportIdentity.load(tmp_path) == made
    assert PeerCertificate.from_pem(made.certificate.to_pem()) == made.certificate
    with pytest.raises(KeystoreError, match="exists already"):
        TransportIdentity.generate(tmp_path, "peer", NOW)


def test_identity__readable_by_others_or_damaged__is_refused(tmp_path: Path) -> None:
    TransportIdentity.generate(tmp_path, "peer", NOW)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(KeystoreError, match="chmod 600"):
        TransportIdentity.load(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o600)
    (tmp_path / KEY_FILE).write_text("nonsense")
    with pytest.raises(KeystoreError, match="is not the key of"):
        TransportIdentity.load(tmp_path)


def test_identity__key_of_another_certificate__is_refused(tmp_path: Path) -> None:
    one, two = make_identity(tmp_path, "one"), make_identity(tmp_path, "two")
    shutil.copyfile(two.key_path, one.key_path)
    with pytest.raises(KeystoreError, match="is not the key of"):
        TransportIdentity.load(tmp_path / "one")


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_certificate__not_one__raises_decode_error(pem: str) -> None:
    with pytest.raises(DecodeError):
        PeerCertificate.from_pem(pem)


def test_certificate__two_in_one_text__raises_decode_error(identities: dict[int, TransportIdentity]) -> None:
    with pytest.raises(DecodeError, match="exactly one"):
        PeerCertificate.from_pem(identities[1].certificate.to_pem() * 2)
