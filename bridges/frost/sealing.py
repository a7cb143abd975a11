"""Sealed content: scrypt and AES-256-GCM under a passphrase, beside a public header that is authenticated with it.

Guarantees: nothing of the header, the cost parameters, the salt or the ciphertext can be changed without `unseal` saying no; cost
parameters are bounded before they are used, so a doctored file cannot ask for 100 GB or for hours; the key is committed to, so one
ciphertext has one passphrase; passphrase, derived key and plaintext live in buffers that are overwritten.
What CPython and the libraries do not let us wipe: OpenSSL's own working memory, the text of an environment variable or of a
terminal prompt before it became a `Passphrase`, and the environment that the system shows of the process until it ends.
Does not touch files: see `keystore` and `backup`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from bridges.frost.errors import KeystoreError
from bridges.frost.keygen import Randomness
from bridges.frost.private_files import read_private_buffer, wipe

MIN_NEW_PASSPHRASE: Final = 12
"""Bytes of a passphrase that something new is sealed under."""
MAX_PASSPHRASE: Final = 1024
MAX_SCRYPT_BYTES: Final = 1 << 30
"""Memory that opening a file may take."""
_SALT: Final = 32
_KEY: Final = 32
_NONCE: Final = 12
_TAG: Final = 16
_FIELDS: Final = ("format", "header", "kdf", "cipher", "key_check", "ciphertext", "checksum")


class WrongPassphrase(KeystoreError):
    """The passphrase is not the one under which this was sealed."""


class NoPassphrase(KeystoreError):
    """A passphrase is needed and none was given."""


class Passphrase:
    """A passphrase in a buffer of its own: redacted, neither copied nor pickled, overwritten by `wipe` and when collected."""

    __slots__ = ("_buffer",)

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        """Copies `data`; the caller wipes its own. Raises KeystoreError if it is empty, too long, or not one line."""
        self._buffer = bytearray(data)
        if not 0 < len(self._buffer) <= MAX_PASSPHRASE:
            self.wipe()
            raise KeystoreError(f"A passphrase has 1 to {MAX_PASSPHRASE} bytes.")
        if any(byte in self._buffer for byte in b"\0\r\n"):
            self.wipe()
            raise KeystoreError("A passphrase is one line without control characters.")

    @classmethod
    def from_text(cls, text: str) -> Passphrase:
        """Of a prompt. The text itself is Python's, and cannot be wiped."""
        data = bytearray(text.encode("utf-8", "surrogateescape"))
        try:
            return cls(data)
        finally:
            wipe(data)

    @classmethod
    def from_file(cls, path: Path) -> Passphrase:
        """The one line of a private file. Raises KeystoreError, also for a file that others can read."""
        data = read_private_buffer(path)
        try:
            end = len(data) - (data.endswith(b"\n") + data.endswith(b"\r\n"))
            return cls(memoryview(data)[:end])
        except KeystoreError as error:
            raise KeystoreError(f"{path} holds no passphrase: {error}") from None
        finally:
            wipe(data)

    @classmethod
    def from_environment(cls, name: str) -> Passphrase:
        """Of a variable, which stays: see `forget_environment`. Raises NoPassphrase."""
        text = os.environ.get(name, "")
        if not text:
            raise NoPassphrase(f"The environment variable {name} is not set; put the key share's passphrase there.")
        return cls.from_text(text)

    def require_strong(self) -> None:
        """Raises KeystoreError for a passphrase that is too short to seal something new under."""
        if len(self._buffer) < MIN_NEW_PASSPHRASE:
            raise KeystoreError(f"The new passphrase is too short; take at least {MIN_NEW_PASSPHRASE} characters.")

    def same_as(self, other: Passphrase) -> bool:
        """Whether both are equal."""
        return hmac.compare_digest(self._buffer, other._buffer)

    def view(self) -> memoryview:
        """The live bytes, for the key derivation. Raises KeystoreError after `wipe`."""
        if not self._buffer:
            raise KeystoreError("This passphrase was wiped and cannot be used again.")
        return memoryview(self._buffer)

    def wipe(self) -> None:
        """Overwrite it. May be called twice."""
        wipe(self._buffer)
        self._buffer = bytearray()

    def __del__(self) -> None:
        if hasattr(self, "_buffer"):
            self._buffer[:] = bytes(len(self._buffer))

    def __repr__(self) -> str:
        return "Passphrase(<redacted>)"

    def __reduce__(self) -> Never:
        raise TypeError("A passphrase is not pickled or copied.")


@dataclass(frozen=True, slots=True)
class PassphraseSource:
    """Where a daemon finds its passphrase: a private file, or an environment variable, by name. Neither: there is none."""

    file: Path | None = None
    environment: str | None = None

    def read(self) -> Passphrase | None:
        """Raises KeystoreError for a file that is missing or that others can read, NoPassphrase for an unset variable."""
        if self.file is not None:
            return Passphrase.from_file(self.file)
        return None if self.environment is None else Passphrase.from_environment(self.environment)


def forget_environment(*names: str | None) -> None:
    """Take variables out of this process's environment, so that no child inherits them. What the system shows of it stays."""
    for name in names:
        if name is not None:
            os.environ.pop(name, None)


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """RFC 7914's parameters. The default is OWASP's first recommendation: 128 MiB, 0.4 s. Raises KeystoreError out of bounds."""

    n: int = 1 << 17
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        if any(type(value) is not int for value in (self.n, self.r, self.p)):
            raise KeystoreError("the cost parameters of its key derivation are not whole numbers.")
        power = self.n > 0 and self.n & (self.n - 1) == 0
        if not (power and 1 << 14 <= self.n <= 1 << 20 and 8 <= self.r <= 32 and 1 <= self.p <= 16):
            raise KeystoreError(f"its key derivation asks for n={self.n}, r={self.r}, p={self.p}, outside the bounds.")
        if 128 * self.n * self.r * self.p > MAX_SCRYPT_BYTES:
            raise KeystoreError(f"its key derivation asks for more than {MAX_SCRYPT_BYTES >> 20} MiB.")


DEFAULT_COST: Final = ScryptCost()


def seal(
    format_name: str,
    header: Mapping[str, object],
    plaintext: bytearray | memoryview,
    passphrase: Passphrase,
    *,
    cost: ScryptCost = DEFAULT_COST,
    randomness: Randomness = os.urandom,
) -> bytes:
    """JSON that holds `header` readable and `plaintext` sealed. Raises KeystoreError for a passphrase that is too short."""
    passphrase.require_strong()
    salt, nonce = randomness(_SALT), randomness(_NONCE)
    keys = _derived(passphrase, salt, cost)
    try:
        outer: dict[str, object] = {
            "format": format_name,
            "header": dict(header),
            "kdf": {"name": "scrypt", "n": cost.n, "r": cost.r, "p": cost.p, "salt": salt.hex()},
            "cipher": {"name": "aes-256-gcm", "nonce": nonce.hex()},
            "key_check": _key_check(keys),
        }
        # Not ChaCha20-Poly1305: OpenSSL's leaves the key on the stack, where `tests/faults/test_keystore_memory.py` finds it.
        cipher = AESGCM(memoryview(keys)[:_KEY])
        outer["ciphertext"] = cipher.encrypt(nonce, plaintext, _canonical(outer)).hex()
    finally:
        wipe(keys)
    outer["checksum"] = hashlib.sha256(_canonical(outer)).hexdigest()
    return json.dumps(outer, indent=2).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed file's content, undamaged and within bounds; whether anybody changed it on purpose only `unseal` can say."""

    header: dict[str, object]
    cost: ScryptCost
    salt: bytes
    nonce: bytes
    key_check: str
    ciphertext: bytes
    associated: bytes


def parse(format_name: str, content: object) -> Sealed:
    """Judge parsed JSON. Raises KeystoreError for whatever `seal` does not write, and for content that was damaged."""
    if not isinstance(content, dict) or tuple(sorted(content)) != tuple(sorted(_FIELDS)):
        raise KeystoreError("its fields are not those of a sealed file.")
    if content["format"] != format_name:
        raise KeystoreError(f"its format is not {format_name}.")
    checksum = content.pop("checksum")
    if checksum != hashlib.sha256(_canonical(content)).hexdigest():
        raise KeystoreError("its checksum is not that of its content.")
    header, kdf, cipher = (_object(content, name) for name in ("header", "kdf", "cipher"))
    if set(kdf) != {"name", "n", "r", "p", "salt"} or kdf["name"] != "scrypt":
        raise KeystoreError("its key derivation is not scrypt.")
    if set(cipher) != {"name", "nonce"} or cipher["name"] != "aes-256-gcm":
        raise KeystoreError("its cipher is not AES-256-GCM.")
    n, r, p = kdf["n"], kdf["r"], kdf["p"]
    if not (isinstance(n, int) and isinstance(r, int) and isinstance(p, int)):
        raise KeystoreError("the cost parameters of its key derivation are not whole numbers.")
    cost = ScryptCost(n, r, p)
    ciphertext = unhex(content.pop("ciphertext"), "ciphertext")
    check = unhex(content["key_check"], "key_check", _KEY).hex()
    salt, nonce = unhex(kdf["salt"], "salt", _SALT), unhex(cipher["nonce"], "nonce", _NONCE)
    if len(ciphertext) <= _TAG:
        raise KeystoreError("its ciphertext is too short.")
    return Sealed(header, cost, salt, nonce, check, ciphertext, _canonical(content))


def unseal(sealed: Sealed, passphrase: Passphrase) -> bytearray:
    """The plaintext, for the caller to wipe. Raises WrongPassphrase, and KeystoreError for content that somebody changed."""
    keys = _derived(passphrase, sealed.salt, sealed.cost)
    try:
        if not hmac.compare_digest(_key_check(keys), sealed.key_check):
            raise WrongPassphrase("the passphrase is wrong, or its key derivation was changed.")
        plaintext = bytearray(len(sealed.ciphertext) - _TAG)
        cipher = AESGCM(memoryview(keys)[:_KEY])
        cipher.decrypt_into(sealed.nonce, sealed.ciphertext, sealed.associated, plaintext)
    except InvalidTag:
        raise KeystoreError("the passphrase is right, but somebody changed the file; do not use it.") from None
    finally:
        wipe(keys)
    return plaintext


def no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """`object_pairs_hook` that refuses a name that appears twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise KeystoreError("a field appears twice.")
    return result


def unhex(value: object, name: str, size: int | None = None) -> bytes:
    """Lower-case hexadecimal alone, of `size` bytes if that is given. Raises KeystoreError."""
    if not isinstance(value, str) or not value.isascii() or value != value.lower() or any(c.isspace() for c in value):
        raise KeystoreError(f"{name} is not lower-case hexadecimal.")
    data = bytes.fromhex(value)
    if size is not None and len(data) != size:
        raise KeystoreError(f"{name} has {len(data)} bytes, not {size}.")
    return data


def _derived(passphrase: Passphrase, salt: bytes, cost: ScryptCost) -> bytearray:
    keys = bytearray(2 * _KEY)
    try:
        Scrypt(salt=salt, length=len(keys), n=cost.n, r=cost.r, p=cost.p).derive_into(passphrase.view(), keys)
    except MemoryError:
        size = 128 * cost.n * cost.r >> 20
        raise KeystoreError(f"there is not enough memory to derive its key: {size} MiB are needed.") from None
    return keys


def _key_check(keys: bytearray) -> str:
    """Commits to the second half of what scrypt made. It helps a guesser no more than the ciphertext's own tag does."""
    state = hashlib.sha256(b"sibyl sealed key check\0")
    state.update(memoryview(keys)[_KEY:])
    return state.hexdigest()


def _canonical(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _object(content: dict[str, object], name: str) -> dict[str, object]:
    value = content[name]
    if not isinstance(value, dict):
        raise KeystoreError(f"{name} is not an object.")
    return value
