"""Key shares on disk, and private files in general.

Guarantees: a private file is created with mode 0600, appears whole or not at all, and never replaces another silently; a file
that others could read, that somebody else owns, or that is a link is refused; a share is checked against its own public
package before it is used; a dealer's key loads on a devnet only. Errors name the file and never its contents.
Does not encrypt at rest, and cannot wipe the text that the JSON parser held: the machine's owner is trusted with the share.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from bridges.frost.errors import DealerKeyRefused, FrostError, KeystoreError
from bridges.frost.group import Identifier, Point, SecretScalar, identifier, wipe_fresh_bytes
from bridges.frost.keygen import GroupPublicKey, KeyShare, Origin, PublicKeyPackage

FORMAT: Final = "sibyl-frost-key-share-1"
MAX_FILE_BYTES: Final = 262_144
"""Bound on a private file; a committee of 1,000 needs 80 KB."""
_FIELDS: Final = {
    "format",
    "origin",
    "identifier",
    "threshold",
    "group_public_key",
    "verifying_shares",
    "signing_share",
}


def write_private_file(path: Path, data: bytes) -> None:
    """Create `path` with mode 0600, atomically and durably. Raises KeystoreError if it exists or cannot be written."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A hard link fails if the name is taken, where a rename would replace it.
            path.hardlink_to(temporary)
        finally:
            temporary.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise KeystoreError(f"{path} exists already; move it away first, for a key is never overwritten.") from None
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written: {error.strerror}.") from error


def read_private_file(path: Path, bound: int = MAX_FILE_BYTES) -> bytes:
    """The at most `bound` bytes of a file that only its owner can read. Raises KeystoreError otherwise."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        # The open file is judged, not its name, so that nobody can exchange it in between.
        _require_private(path, os.fstat(descriptor))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(bound + 1)
    finally:
        os.close(descriptor)
    if len(data) > bound:
        raise KeystoreError(f"{path} is over {bound} bytes, so it is no key file.")
    return data


def save(path: Path, share: KeyShare) -> None:
    """Write one participant's share. Raises KeystoreError if the file exists or cannot be written."""
    public = share.public
    content = {
        "format": FORMAT,
        "origin": public.origin.value,
        "identifier": share.identifier,
        "threshold": public.threshold,
        "group_public_key": public.group_public_key.to_bytes().hex(),
        "verifying_shares": {str(who): point.to_bytes().hex() for who, point in public.verifying_shares.items()},
        "signing_share": share.signing_share.reveal().hex(),
    }
    write_private_file(path, json.dumps(content, indent=2).encode() + b"\n")


def load(path: Path, *, devnet: bool) -> KeyShare:
    """Read and check one participant's share.

    Raises KeystoreError for a file that is missing, readable by others, or damaged, and DealerKeyRefused for a dealer's key
    unless `devnet` is true.
    """
    data = read_private_file(path)
    try:
        share = _decode(json.loads(data, object_pairs_hook=_no_duplicates))
    except (FrostError, ValueError, RecursionError) as error:
        # `from None`: a parser's own error can quote the text of the file.
        detail = str(error) if isinstance(error, FrostError) else "it is not the JSON that this version writes."
        raise KeystoreError(f"{path} is damaged: {detail} Restore it from its backup.") from None
    finally:
        if len(data) > 1:
            wipe_fresh_bytes(data)
    if share.public.origin is Origin.DEALER and not devnet:
        share.signing_share.wipe()
        raise DealerKeyRefused(
            f"{path} holds a dealer's key, which its dealer knows whole. It is for a devnet only; make keys by DKG here."
        )
    return share


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeystoreError(f"{path} is not a regular file.")
    if status.st_uid != os.geteuid():
        raise KeystoreError(f"{path} belongs to another user; a key file must be the node's own.")
    if status.st_mode & 0o077:
        raise KeystoreError(
            f"{path} can be read or written by others; run chmod 600 on it, and consider the key exposed."
        )


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise KeystoreError("a field appears twice.")
    return result


def _decode(content: object) -> KeyShare:
    if not isinstance(content, dict) or set(content) != _FIELDS or content["format"] != FORMAT:
        raise KeystoreError(f"its fields are not those of {FORMAT}.")
    verifying = content["verifying_shares"]
    if not isinstance(verifying, dict):
        raise KeystoreError("verifying_shares is not an object.")
    public = PublicKeyPackage(
        GroupPublicKey.from_bytes(_hex(content, "group_public_key")),
        _integer(content, "threshold"),
        {_identifier(name): Point.from_bytes(_hex(verifying, name)) for name in verifying},
        Origin(content["origin"]),
    )
    own = identifier(_integer(content, "identifier"))
    return KeyShare(own, SecretScalar(_hex(content, "signing_share")), public)


def _identifier(name: str) -> Identifier:
    if not name.isascii() or not name.isdecimal() or str(int(name[:8])) != name:
        raise KeystoreError("a name in verifying_shares is not an identifier.")
    return identifier(int(name))


def _integer(content: dict[str, object], name: str) -> int:
    value = content[name]
    if type(value) is not int:  # bool is an int, and no number
        raise KeystoreError(f"{name} is not an integer.")
    return value


def _hex(content: dict[str, object], name: str) -> bytes:
    value = content[name]
    if not isinstance(value, str) or not value.isascii() or value != value.lower() or any(c.isspace() for c in value):
        raise KeystoreError(f"{name} is not lower-case hexadecimal.")
    return bytes.fromhex(value)
