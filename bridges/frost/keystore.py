"""Key shares on disk: sealed under a passphrase, or plain on a devnet.

Guarantees: a sealed share's file shows only what is public; a plain share loads on a devnet only, unless the caller is the command
that seals it; a share is checked against its own public package before it is used; a dealer's key loads on a devnet only; a
passphrase is changed by replacing the file atomically. Errors name the file and never its contents.
Does not keep signing nonces, which are never written anywhere, and cannot wipe the text that the JSON parser held of a plain share.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridges.frost.errors import DealerKeyRefused, DecodeError, FrostError, KeystoreError
from bridges.frost.group import SCALAR_BYTES, Identifier, Point, SecretScalar, identifier
from bridges.frost.keygen import GroupPublicKey, KeyShare, Origin, PublicKeyPackage
from bridges.frost.private_files import (
    MAX_FILE_BYTES,
    exclusive,
    read_private_buffer,
    read_private_file,
    replace_private_file,
    wipe,
    write_private_file,
)
from bridges.frost.sealing import (
    DEFAULT_COST,
    NoPassphrase,
    Passphrase,
    ScryptCost,
    WrongPassphrase,
    no_duplicates,
    parse,
    seal,
    unhex,
    unseal,
)

__all__ = [
    "MAX_FILE_BYTES",
    "PlainShareRefused",
    "change_passphrase",
    "is_sealed",
    "load",
    "read_private_file",
    "save",
    "write_private_file",
]

PLAIN_FORMAT: Final = "sibyl-frost-key-share-1"
SEALED_FORMAT: Final = "sibyl-frost-key-share-2"
_PUBLIC_FIELDS: Final = {"origin", "identifier", "threshold", "group_public_key", "verifying_shares"}
_PLAIN_FIELDS: Final = _PUBLIC_FIELDS | {"format", "signing_share"}


class PlainShareRefused(KeystoreError):
    """A share that lies in its file unencrypted, outside a devnet."""


def save(path: Path, share: KeyShare, passphrase: Passphrase | None = None, *, cost: ScryptCost = DEFAULT_COST) -> None:
    """Write one participant's share, sealed if there is a passphrase (it stays the caller's).

    Raises KeystoreError if the file exists or cannot be written, or the passphrase is too short.
    """
    data = _encoded(share, passphrase, cost)
    write_private_file(path, data)
    if passphrase is None:
        wipe(data)


def load(
    path: Path, *, devnet: bool, passphrase: Passphrase | None = None, allow_plain: bool | None = None
) -> KeyShare:
    """Read and check one participant's share.

    `allow_plain`: whether an unencrypted file is good enough; on a devnet alone, unless said otherwise.
    Raises KeystoreError for a file that is missing, readable by others, or damaged, WrongPassphrase, NoPassphrase,
    PlainShareRefused, and DealerKeyRefused for a dealer's key unless `devnet` is true.
    """
    data = read_private_buffer(path)
    try:
        content = _parsed(path, data)
        if content.get("format") == SEALED_FORMAT:
            share = _opened(path, content, passphrase)
        elif devnet if allow_plain is None else allow_plain:
            share = _plain(content)
        elif content.get("origin") == Origin.DEALER and not devnet:
            raise _dealers(path)
        else:
            raise PlainShareRefused(
                f"{path} holds a key share unencrypted, which is for a devnet only. Encrypt it: "
                f"sibyl committee passphrase --share {path}"
            )
    except (PlainShareRefused, DealerKeyRefused, NoPassphrase, WrongPassphrase):
        raise
    except (FrostError, ValueError, RecursionError) as error:
        # `from None`: a parser's own error can quote the text of the file.
        detail = str(error) if isinstance(error, FrostError) else "it is not the JSON that this version writes."
        raise KeystoreError(f"{path} is damaged: {detail} Restore it from its backup.") from None
    finally:
        wipe(data)
    if share.public.origin is Origin.DEALER and not devnet:
        share.signing_share.wipe()
        raise _dealers(path)
    return share


def is_sealed(path: Path) -> bool:
    """Whether the file needs a passphrase. Raises KeystoreError for a file that `load` would not read either."""
    data = read_private_buffer(path)
    try:
        return _parsed(path, data).get("format") == SEALED_FORMAT
    finally:
        wipe(data)


def change_passphrase(path: Path, old: Passphrase | None, new: Passphrase, *, cost: ScryptCost = DEFAULT_COST) -> None:
    """Seal the share anew, with fresh salt, in place of the old file; `old` is None for a plain one. A crash leaves either.

    Raises as `load` and `save` do; then the file is unchanged.
    """
    with exclusive(path):
        share = load(path, devnet=True, passphrase=old, allow_plain=True)
        try:
            replace_private_file(path, _encoded(share, new, cost))
        finally:
            share.signing_share.wipe()


def public_header(share: KeyShare) -> dict[str, object]:
    """What a file shows of a share: everything but the secret."""
    public = share.public
    return {
        "origin": public.origin.value,
        "identifier": share.identifier,
        "threshold": public.threshold,
        "group_public_key": public.group_public_key.to_bytes().hex(),
        "verifying_shares": {str(who): point.to_bytes().hex() for who, point in public.verifying_shares.items()},
    }


@dataclass(frozen=True, slots=True)
class PublicShare:
    """Whose share it is, and of which key."""

    identifier: Identifier
    public: PublicKeyPackage


def public_from_header(content: Mapping[str, object]) -> PublicShare:
    """The inverse of `public_header`. Raises KeystoreError, KeyMaterialError, DecodeError, ValueError."""
    verifying = content.get("verifying_shares")
    if set(content) != _PUBLIC_FIELDS or not isinstance(verifying, dict):
        raise KeystoreError("its public fields are not those of a key share.")
    public = PublicKeyPackage(
        GroupPublicKey.from_bytes(unhex(content["group_public_key"], "group_public_key")),
        _integer(content, "threshold"),
        {_identifier(name): Point.from_bytes(unhex(value, name)) for name, value in verifying.items()},
        Origin(str(content["origin"])),
    )
    return PublicShare(identifier(_integer(content, "identifier")), public)


def _dealers(path: Path) -> DealerKeyRefused:
    return DealerKeyRefused(
        f"{path} holds a dealer's key, which its dealer knows whole. It is for a devnet only; make keys by DKG here."
    )


def _encoded(share: KeyShare, passphrase: Passphrase | None, cost: ScryptCost) -> bytes:
    header = public_header(share)
    if passphrase is not None:
        return seal(SEALED_FORMAT, header, share.signing_share.view(), passphrase, cost=cost)
    content = {"format": PLAIN_FORMAT, **header, "signing_share": share.signing_share.reveal().hex()}
    return json.dumps(content, indent=2).encode() + b"\n"


def _parsed(path: Path, data: bytearray) -> dict[str, object]:
    try:
        content = json.loads(data, object_pairs_hook=no_duplicates)
    except (KeystoreError, ValueError, RecursionError):
        raise KeystoreError(
            f"{path} is damaged: it is not the JSON of a key share. Restore it from its backup."
        ) from None
    if not isinstance(content, dict):
        raise KeystoreError(f"{path} is damaged: it is not a key share. Restore it from its backup.")
    return content


def _opened(path: Path, content: dict[str, object], passphrase: Passphrase | None) -> KeyShare:
    sealed = parse(SEALED_FORMAT, content)
    shown = public_from_header(sealed.header)
    if passphrase is None:
        raise NoPassphrase(
            f"{path} is encrypted; name its passphrase by passphrase_file or passphrase_env in the configuration."
        )
    try:
        secret = unseal(sealed, passphrase)
    except WrongPassphrase as error:
        raise WrongPassphrase(f"{path} cannot be opened: {error}") from None
    try:
        if len(secret) != SCALAR_BYTES:
            raise DecodeError("what is sealed is not a signing share.")
        return KeyShare(shown.identifier, SecretScalar(secret), shown.public)
    finally:
        wipe(secret)


def _plain(content: dict[str, object]) -> KeyShare:
    if set(content) != _PLAIN_FIELDS or content["format"] != PLAIN_FORMAT:
        raise KeystoreError(f"its fields are not those of {PLAIN_FORMAT} or {SEALED_FORMAT}.")
    shown = public_from_header({name: content[name] for name in _PUBLIC_FIELDS})
    secret = unhex(content.pop("signing_share"), "signing_share")
    try:
        return KeyShare(shown.identifier, SecretScalar(secret), shown.public)
    finally:
        wipe(secret)


def _identifier(name: str) -> Identifier:
    if not name.isascii() or not name.isdecimal() or str(int(name[:8])) != name:
        raise KeystoreError("a name in verifying_shares is not an identifier.")
    return identifier(int(name))


def _integer(content: Mapping[str, object], name: str) -> int:
    value = content[name]
    if type(value) is not int:  # bool is an int, and no number
        raise KeystoreError(f"{name} is not an integer.")
    return value
