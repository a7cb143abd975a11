"""A member's backup: its share, the public key package and its identity, sealed into one file.

Guarantees: the format is closed. Its secret part is exactly 64 bytes, the signing share and the ed25519 key of the identity; its public part
is a fixed list of fields. There is no place for a signing nonce, and nothing that could put one there: nonces are in no file. What
is read is checked whole (share against package, key against certificate) before anything is written; nothing is overwritten.
Does not hold the signer's ledger or the journal: after a restore the ledger of the old machine goes along if it still exists, and
two machines must never run with one share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridges.frost import keystore
from bridges.frost.errors import FrostError, KeystoreError
from bridges.frost.group import SCALAR_BYTES, SecretScalar
from bridges.frost.identity import CERTIFICATE_FILE, KEY_FILE, PeerCertificate, TransportIdentity
from bridges.frost.keygen import KeyShare
from bridges.frost.keystore import public_from_header, public_header
from bridges.frost.private_files import read_private_buffer, wipe, write_private_file
from bridges.frost.sealing import (
    DEFAULT_COST,
    Passphrase,
    ScryptCost,
    WrongPassphrase,
    no_duplicates,
    parse,
    seal,
    unseal,
)

BACKUP_FORMAT: Final = "sibyl-committee-backup-1"
FIELDS: Final = frozenset({"epoch", "share", "certificate"})
"""The whole public part; `share` is what a sealed share's file shows."""
IDENTITY_KEY_BYTES: Final = 32
SECRET_BYTES: Final = SCALAR_BYTES + IDENTITY_KEY_BYTES
"""The whole secret part: signing share ‖ private key of the identity."""
_MAX_EPOCH: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds. `wipe` it after use."""

    epoch: int
    share: KeyShare
    certificate: PeerCertificate
    identity_key: bytearray

    def wipe(self) -> None:
        """Overwrite both secrets."""
        self.share.signing_share.wipe()
        wipe(self.identity_key)

    def __repr__(self) -> str:
        return f"Backup(member {self.share.identifier}, epoch {self.epoch}, <redacted>)"

    def __reduce__(self) -> Never:
        raise TypeError("A backup is not pickled or copied.")


def write_backup(
    path: Path, epoch: int, share: KeyShare, identity: Path, passphrase: Passphrase, *, cost: ScryptCost = DEFAULT_COST
) -> None:
    """Seal `share` and the identity of the directory `identity` into a new file. The share stays the caller's.

    Raises KeystoreError if `path` exists, or the identity is damaged or not of the kind that is made here.
    """
    certificate, key = _identity(identity)
    secret = bytearray(SECRET_BYTES)
    try:
        secret[:SCALAR_BYTES] = share.signing_share.view()
        secret[SCALAR_BYTES:] = key
        header = {"epoch": epoch, "share": public_header(share), "certificate": certificate.to_pem()}
        _require_closed(header, secret)
        write_private_file(path, seal(BACKUP_FORMAT, header, secret, passphrase, cost=cost))
    finally:
        wipe(key)
        wipe(secret)


def read_backup(path: Path, passphrase: Passphrase) -> Backup:
    """Open and check a backup whole. Raises WrongPassphrase, and KeystoreError for a file that is damaged or was changed."""
    data = read_private_buffer(path)
    try:
        sealed = parse(BACKUP_FORMAT, json.loads(data, object_pairs_hook=no_duplicates))
        secret = unseal(sealed, passphrase)
        try:
            return _checked(sealed.header, secret)
        finally:
            wipe(secret)
    except WrongPassphrase as error:
        raise WrongPassphrase(f"{path} cannot be opened: {error}") from None
    except (FrostError, ValueError, RecursionError) as error:
        detail = str(error) if isinstance(error, FrostError) else "it is not the JSON that this version writes."
        raise KeystoreError(f"{path} is no good backup: {detail} Use another copy.") from None
    finally:
        wipe(data)


def restore(
    backup: Backup, share_path: Path, identity: Path, passphrase: Passphrase | None, *, cost: ScryptCost = DEFAULT_COST
) -> None:
    """Write share and identity where there are none. May be repeated after a crash: an identity that is the same is left as it is.

    Raises KeystoreError if anything else is in the way, before anything is written.
    """
    certificate_path, key_path = identity / CERTIFICATE_FILE, identity / KEY_FILE
    if share_path.exists() or share_path.is_symlink():
        raise KeystoreError(f"{share_path} exists already; a key is never overwritten. Move it away, or name another.")
    pem = backup.certificate.to_pem().encode()
    key_pem = _key_pem(backup.identity_key)
    try:
        missing = [entry for entry in ((key_path, key_pem), (certificate_path, pem)) if not _same(*entry)]
        if passphrase is not None:
            passphrase.require_strong()
        try:
            for directory in (share_path.parent, identity):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise KeystoreError(f"{error.filename} cannot be made: {error.strerror}.") from error
        for target, content in missing:
            write_private_file(target, content)
        # The share last: while it is not there, this can be done again.
        keystore.save(share_path, backup.share, passphrase, cost=cost)
    finally:
        wipe(key_pem)


def _same(path: Path, content: bytes) -> bool:
    """Whether the file is there with just this content. Raises KeystoreError if it has another."""
    if not path.exists() and not path.is_symlink():
        return False
    present = read_private_buffer(path)
    try:
        if present != content:
            raise KeystoreError(
                f"{path} exists already and is another; a key is never overwritten. Move it away first."
            )
    finally:
        wipe(present)
    return True


def _identity(directory: Path) -> tuple[PeerCertificate, bytearray]:
    # Finishes an interrupted renewal, and refuses files that do not belong together.
    certificate = TransportIdentity.load(directory).certificate
    data = read_private_buffer(directory / KEY_FILE)
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        raise KeystoreError(f"The identity in {directory} is damaged or encrypted; it cannot be backed up.") from None
    finally:
        wipe(data)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeystoreError(f"The key in {directory} is not ed25519, as `sibyl committee init` makes it.")
    raw = key.private_bytes_raw()
    try:
        result = bytearray(raw)
    finally:
        wipe(raw)
    _require_pair(certificate, key)
    return certificate, result


def _checked(header: Mapping[str, object], secret: bytearray) -> Backup:
    epoch, shown = _require_closed(header, secret)
    certificate = PeerCertificate.from_pem(str(header["certificate"]))
    if certificate.to_pem() != header["certificate"]:
        raise KeystoreError("its certificate is not in its one form.")
    key = secret[SCALAR_BYTES:]
    _require_pair(certificate, Ed25519PrivateKey.from_private_bytes(key))
    public = public_from_header(shown)
    share = KeyShare(public.identifier, SecretScalar(memoryview(secret)[:SCALAR_BYTES]), public.public)
    return Backup(epoch, share, certificate, key)


def _require_closed(header: Mapping[str, object], secret: bytearray) -> tuple[int, Mapping[str, object]]:
    """The closed list of what a backup may hold; asked when one is written and when one is read."""
    if set(header) != FIELDS or len(secret) != SECRET_BYTES:
        raise KeystoreError("its content is not share, public key package and identity alone.")
    epoch, shown = header["epoch"], header["share"]
    if type(epoch) is not int or not 0 < epoch < _MAX_EPOCH or not isinstance(shown, dict):
        raise KeystoreError("its epoch or its public key package is malformed.")
    return epoch, shown


def _require_pair(certificate: PeerCertificate, key: Ed25519PrivateKey) -> None:
    if x509.load_der_x509_certificate(certificate.der).public_key() != key.public_key():
        raise KeystoreError("its identity's key and certificate do not belong together.")


def _key_pem(raw: bytearray) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(raw).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
