"""Who a member is on the wire: a self-signed certificate, its key, and the files of both.

Guarantees: a certificate is compared byte for byte; files of a key are the owner's alone (mode 0600) and are never replaced
except by `adopt`, which a crash at any point leaves such that `load` finishes it; no two certificates made here share a subject,
because TLS libraries look up a pinned certificate by its subject and could take one for the other.
Does not decide whom to trust (see `pins`) and opens no connection (see `transport`).
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from bridges.frost.errors import DecodeError, KeystoreError
from bridges.frost.group import wipe_fresh_bytes
from bridges.frost.keystore import read_private_file, write_private_file

CERTIFICATE_FILE: Final = "peer-certificate.pem"
KEY_FILE: Final = "peer-key.pem"
NEXT_CERTIFICATE_FILE: Final = "peer-certificate.next.pem"
NEXT_KEY_FILE: Final = "peer-key.next.pem"
CERTIFICATE_YEARS: Final = 10
MAX_CERTIFICATE_BYTES: Final = 4096
"""Bound on a certificate that a peer announces; one made here is about 400 bytes."""


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A pinned certificate, as DER. Compare by value."""

    der: bytes

    def __post_init__(self) -> None:
        try:
            x509.load_der_x509_certificate(self.der)
        except ValueError:
            raise DecodeError("The bytes are not a DER certificate.") from None

    @classmethod
    def from_pem(cls, pem: str) -> PeerCertificate:
        """Exactly one PEM certificate. Raises DecodeError otherwise."""
        if pem.count("-----BEGIN") != 1:
            raise DecodeError("A pinned peer has exactly one PEM certificate.")
        try:
            return cls(ssl.PEM_cert_to_DER_cert(pem.strip()))
        except ValueError:
            raise DecodeError("The text is not a PEM certificate.") from None

    def to_pem(self) -> str:
        """PEM, for configuration files."""
        return ssl.DER_cert_to_PEM_cert(self.der)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, in hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def subject(self) -> bytes:
        """The subject's DER, by which TLS libraries look a certificate up."""
        return x509.load_der_x509_certificate(self.der).subject.public_bytes()

    @property
    def days_valid(self) -> tuple[datetime, datetime]:
        """First and last moment of its validity, aware."""
        certificate = x509.load_der_x509_certificate(self.der)
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether `signature` is the ed25519 one of this certificate's key; False for a key of another kind."""
        key = x509.load_der_x509_certificate(self.der).public_key()
        if not isinstance(key, Ed25519PublicKey):
            return False
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    def require_own(self) -> None:
        """Raises DecodeError unless it is what `TransportIdentity.generate` makes: ed25519, signed by its own key, no authority.

        The signature shows that who announces the certificate had its key.
        """
        certificate = x509.load_der_x509_certificate(self.der)
        try:
            authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
            authority = True  # without the extension it could pass for one
        if authority or certificate.issuer != certificate.subject:
            raise DecodeError("A peer's certificate is self-signed and not an authority.")
        if not self.verifies(certificate.signature, certificate.tbs_certificate_bytes):
            raise DecodeError("A peer's certificate has an ed25519 key and that key's signature.")


@dataclass(frozen=True, slots=True)
class TransportIdentity:
    """This member's certificate, and where its files are: the TLS library reads the key from its file alone."""

    certificate: PeerCertificate
    certificate_path: Path
    key_path: Path

    @classmethod
    def generate(cls, directory: Path, name: str, now: datetime) -> TransportIdentity:
        """Make an ed25519 key and a self-signed certificate in `directory`. Raises KeystoreError if they are there already.

        `name` is for people who read the certificate; members are told apart by the certificate itself. `now` must be aware.
        """
        _make(directory / KEY_FILE, directory / CERTIFICATE_FILE, name, now)
        return cls.load(directory)

    @classmethod
    def generate_next(cls, directory: Path, name: str, now: datetime) -> PeerCertificate:
        """Make the certificate that will follow the one in `directory`, and its key, beside it; `adopt` puts it to use.

        What an interrupted attempt left is replaced: nobody was told of it.
        """
        for leftover in (directory / NEXT_KEY_FILE, directory / NEXT_CERTIFICATE_FILE):
            leftover.unlink(missing_ok=True)
        return _make(directory / NEXT_KEY_FILE, directory / NEXT_CERTIFICATE_FILE, name, now)

    @classmethod
    def adopt(cls, directory: Path) -> TransportIdentity:
        """Put the next certificate and key in the place of the present ones, which are gone then. Safe to repeat.

        Raises KeystoreError when the next pair is damaged or does not belong together; then nothing has changed.
        """
        following = directory / NEXT_CERTIFICATE_FILE, directory / NEXT_KEY_FILE
        if following[1].exists():
            _load_pair(*following)
            # The key first: a present key that belongs to the next certificate tells `load` to finish this.
            following[1].replace(directory / KEY_FILE)
        if following[0].exists():
            _load_pair(following[0], directory / KEY_FILE)
            following[0].replace(directory / CERTIFICATE_FILE)
        return cls.load(directory)

    @classmethod
    def load(cls, directory: Path) -> TransportIdentity:
        """Raises KeystoreError for files that are missing, readable by others, damaged, or do not belong together."""
        if (directory / NEXT_CERTIFICATE_FILE).exists() and not (directory / NEXT_KEY_FILE).exists():
            # `adopt` was interrupted between its two steps. Without its key a next certificate means nothing else.
            _finish_adoption(directory)
        return _load_pair(directory / CERTIFICATE_FILE, directory / KEY_FILE)

    def sign(self, data: bytes) -> bytes:
        """The ed25519 signature of this identity's key. Raises KeystoreError for a key of another kind."""
        pem = read_private_file(self.key_path)
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError):
            raise KeystoreError(f"{self.key_path} holds no unencrypted private key; restore it.") from None
        finally:
            if len(pem) > 1:
                wipe_fresh_bytes(pem)
        if not isinstance(key, Ed25519PrivateKey):
            raise KeystoreError(f"{self.key_path} is not an ed25519 key; make an identity with `sibyl committee init`.")
        return key.sign(data)

    def show(self, context: ssl.SSLContext) -> None:
        """Make `context` present this identity. Raises KeystoreError if key and certificate do not match."""
        try:
            context.load_cert_chain(self.certificate_path, self.key_path, password=_no_password)
        except (ssl.SSLError, OSError) as error:
            raise KeystoreError(f"{self.key_path} is not the key of {self.certificate_path}.") from error


def _finish_adoption(directory: Path) -> None:
    following = directory / NEXT_CERTIFICATE_FILE
    try:
        _load_pair(following, directory / KEY_FILE)
    except KeystoreError:
        return  # a leftover of an attempt to make one
    following.replace(directory / CERTIFICATE_FILE)


def _load_pair(certificate_path: Path, key_path: Path) -> TransportIdentity:
    read_private_file(key_path)
    try:
        certificate = PeerCertificate.from_pem(read_private_file(certificate_path).decode("ascii"))
    except (DecodeError, UnicodeDecodeError):
        raise KeystoreError(f"{certificate_path} holds no certificate; restore it or make a new identity.") from None
    identity = TransportIdentity(certificate, certificate_path, key_path)
    identity.show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return identity


def _make(key_path: Path, certificate_path: Path, name: str, now: datetime) -> PeerCertificate:
    key = Ed25519PrivateKey.generate()
    certificate = PeerCertificate(_self_signed(key, name, now).public_bytes(serialization.Encoding.DER))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    write_private_file(key_path, key.private_bytes(encoding, form, serialization.NoEncryption()))
    write_private_file(certificate_path, certificate.to_pem().encode())
    return certificate


def _no_password() -> str:
    # Without this the TLS library would ask on the terminal, and hang, for an encrypted key.
    raise KeystoreError("The peer key is encrypted; store it unencrypted with mode 0600.")


def _self_signed(key: Ed25519PrivateKey, name: str, now: datetime) -> x509.Certificate:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    unique = hashlib.sha256(raw).hexdigest()[:32]
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.SERIAL_NUMBER, unique)]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # One hour back, for peers whose clock is behind.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365 * CERTIFICATE_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, None)
    )
