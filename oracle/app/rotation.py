"""Rotation of a committee's key: which announcement of a new key this node signs.

Anyone may post a rotation whose key has a valid proof of possession. This node signs one only if its own operator put the very same
committee-key.json into the directory `approved` of the node's data directory: same epoch, key, proof, threshold, operators, transcript and
overlap, for exactly the chains that this node serves, and the next epoch on one of them. Of several posts that bring one key it signs one at
a time, so nobody makes work by posting again.
"""

from collections.abc import Callable
from pathlib import Path

import structlog

from oracle.app.key_file import KeyFile, load_key_file
from oracle.app.keyring import EpochWatch
from oracle.errors import ConfigError
from oracle.pipeline import Pipeline
from oracle.protocol.errors import ProtocolError
from oracle.protocol.message import Message, Rotation, RotationRemote
from oracle.protocol.types import Account, Endpoint, Kind

log = structlog.get_logger("sibyl.rotation")

DIRECTORY = "approved"
MAX_FILES = 64


class Approvals:
    """The `approves` port of a node."""

    def __init__(self, directory: Path, watch: EpochWatch, pipeline: Callable[[], Pipeline]) -> None:
        self._directory, self._watch, self._pipeline = directory, watch, pipeline
        self._read: dict[Path, tuple[int, KeyFile | None]] = {}
        self._said: dict[bytes, str] = {}

    async def approves(self, post: Message) -> bool:
        """Whether this node signs a rotation that was posted. The reason against it is logged when it changes."""
        objection = self.objection(post)
        if objection is not None and self._said.get(post.digest) != objection:
            log.warning("rotation not approved", request=post.digest.hex()[:16], reason=objection)
            self._said[post.digest] = objection
        return objection is None

    def objection(self, post: Message) -> str | None:
        """Why this node does not sign it (yet); None if it does."""
        try:
            rotation = Rotation.from_bytes(post.payload)
        except ProtocolError as error:
            return str(error)
        places = self._places()
        if places is None:
            return "The chains have not been read yet."
        if not self._is_ours(rotation, post, places):
            return f"Its key is none of those that the operator put into {self._directory}, for the chains that this node serves."
        newest = {where: self._watch.newest(where) for where in places}
        if not any(found is not None and rotation.epoch == found + 1 for found in newest.values()):
            known = ", ".join(f"{where.chain}: {found}" for where, found in newest.items())
            return f"It brings epoch {rotation.epoch}, which is the next one nowhere ({known})."
        for work in self._pipeline().open_works():
            other = work.message
            if other.kind is Kind.ROTATION and other != post and work.ready_at is not None:
                return f"The rotation 0x{other.digest.hex()[:16]} is under way."
        return None

    def _places(self) -> dict[Endpoint, Account] | None:
        """Who keeps the keys on each chain; None while that is not known of all."""
        found = {where: self._watch.keeper(where) for where in self._watch.destinations}
        known = {where: keeper for where, keeper in found.items() if keeper is not None}
        return known if known and len(known) == len(found) else None

    def _is_ours(self, rotation: Rotation, post: Message, places: dict[Endpoint, Account]) -> bool:
        there = {remote.destination: remote.committee for remote in rotation.remotes}
        if {post.destination: post.recipient, **there} != places or len(there) != len(places) - 1:
            return False
        return any(file.rotation(rotation.remotes) == rotation for file in self._files())

    def _files(self) -> list[KeyFile]:
        """What the operator approved. A file that cannot be used is logged, once."""
        paths = sorted(self._directory.glob("*.json"))[:MAX_FILES] if self._directory.is_dir() else []
        found = []
        for path in paths:
            try:
                changed = path.stat().st_mtime_ns
            except OSError:
                continue
            if path not in self._read or self._read[path][0] != changed:
                self._read[path] = changed, _usable(path)
            file = self._read[path][1]
            if file is not None:
                found.append(file)
        return found


def _usable(path: Path) -> KeyFile | None:
    try:
        file = load_key_file(path)
        file.rotation(())
    except (ConfigError, ProtocolError) as error:
        log.error("approval not usable", file=str(path), error=str(error))
        return None
    return file


def approve(directory: Path, file: KeyFile) -> Path:
    """Put a key file where the node looks for it. Raises ConfigError for a key that no chain takes."""
    try:
        file.rotation(())
    except ProtocolError as error:
        raise ConfigError(f"No chain takes this committee: {error}") from error
    path = directory / f"{file.transcript.hex()}.json"
    temporary = path.with_suffix(".part")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_text(file.to_json())
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def remotes(origin: Endpoint, places: dict[Endpoint, Account]) -> tuple[RotationRemote, ...]:
    """Every place but the one where the rotation is posted."""
    return tuple(RotationRemote(where, keeper) for where, keeper in sorted(places.items()) if where != origin)
