"""The certificates that this member trusts, kept on disk: those of its configuration, and what its peers renewed since.

Guarantees: a notice is on disk before it counts, so a restart forgets none; each member's file appears whole or not at all; processes of
this member (the daemon and a command) may use the book at the same time; a file that does not follow from the configuration is an error or is
forgotten, never trusted. Reads and writes small files and blocks for that long.
Does not talk to anybody (see `renewal_session`).
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bridges.frost.errors import DecodeError, KeystoreError, RenewalRefused
from bridges.frost.identity import NEXT_CERTIFICATE_FILE, PeerCertificate, TransportIdentity
from bridges.frost.keystore import read_private_file, write_private_file
from bridges.frost.renewal import MemberPins, RenewalNotice

PINS_DIRECTORY: Final = "peer-pins"
NOTICE_FILE: Final = "peer-renewal.notice"
FORMAT: Final = "sibyl-peer-pins-1"
OVERLAP_SECONDS: Final = 86_400.0
"""How long the old certificate is still trusted after its successor was announced."""


class PinBook:
    """Who is pinned. One member's own renewals are in it too, for the peers that missed one."""

    def __init__(
        self,
        directory: Path,
        configured: Mapping[int, PeerCertificate],
        *,
        overlap: float = OVERLAP_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`directory`: of this member's identity. `configured`: every member's certificate, its own included. `clock`: Unix time.

        Raises KeystoreError for a file that is damaged or that others can read, and if two certificates share a subject.
        """
        subjects = {certificate.subject for certificate in configured.values()}
        if len(subjects) != len(configured):
            raise KeystoreError("Two members' certificates have the same subject; let one of them make a new identity.")
        self._path = directory / PINS_DIRECTORY
        self._configured = dict(configured)
        self._overlap = overlap
        self._clock = clock
        self._seen: tuple[object, ...] | None = None
        self._pins: dict[int, MemberPins] = {}
        self.refresh()

    def trusted(self) -> dict[int, tuple[PeerCertificate, ...]]:
        """The certificates to pin now, newest first, for each member."""
        now = self._clock()
        return {member: pins.trusted(now, self._overlap) for member, pins in self._pins.items()}

    def newest(self, member: int) -> PeerCertificate:
        """A member's newest certificate. Raises KeystoreError for a stranger."""
        return self._of(member).newest

    def serials(self) -> dict[int, int]:
        """The serial number of each member's newest certificate; 0 for one that never renewed."""
        return {member: pins.serial for member, pins in self._pins.items()}

    def newer_than(self, serials: Mapping[int, int]) -> tuple[RenewalNotice, ...]:
        """The notices that somebody at `serials` has not heard of, in an order in which they can be accepted."""
        return tuple(
            notice
            for member, pins in self._pins.items()
            for notice in pins.notices
            if notice.serial > serials.get(member, 0)
        )

    def accept(self, notice: RenewalNotice) -> bool:
        """Take a notice; on disk when this returns. False if it was known. Raises RenewalRefused, KeystoreError."""
        with self._locked():
            self.refresh()
            known = self._of(notice.member)
            others = [c for member, pins in self._pins.items() if member != notice.member for c in _all(pins)]
            pins = known.accepting(notice, self._clock(), others)
            if pins is known:
                return False
            self._store(pins)
            return True

    def refresh(self) -> bool:
        """Read the files again if one was written since; whether one was. Raises KeystoreError."""
        seen = self._stamp()
        if seen == self._seen:
            return False
        self._pins = {member: self._load(member, pin) for member, pin in self._configured.items()}
        self._seen = seen
        return True

    def _of(self, member: int) -> MemberPins:
        try:
            return self._pins[member]
        except KeyError:
            raise RenewalRefused(f"Member {member} is not of this committee.") from None

    def _stamp(self) -> tuple[object, ...]:
        try:
            modified = self._path.stat().st_mtime_ns
            # A file that is replaced has another inode, also within one tick of the file system's clock.
            return modified, *sorted((entry.name, entry.inode()) for entry in os.scandir(self._path))
        except FileNotFoundError:
            return ()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._path.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise KeystoreError(f"{self._path} cannot be used: {error.strerror}.") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _file(self, member: int) -> Path:
        return self._path / f"member-{member}.json"

    def _store(self, pins: MemberPins) -> None:
        content = {
            "format": FORMAT,
            "configured": pins.configured.fingerprint,
            "floor": pins.floor,
            "accepted_at": pins.accepted_at,
            "notices": [notice.to_bytes().hex() for notice in pins.notices],
        }
        _replace(self._file(pins.member), json.dumps(content, indent=1).encode() + b"\n")
        self._pins[pins.member] = pins

    def _load(self, member: int, configured: PeerCertificate) -> MemberPins:
        pins, path = MemberPins(member, configured), self._file(member)
        if not path.exists():
            return pins
        data = read_private_file(path)
        try:
            return _restored(pins, json.loads(data))
        except (DecodeError, RenewalRefused, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise KeystoreError(
                f"{path} is damaged ({type(error).__name__}). Restore it, or remove it and let the peers say again what "
                f"member {member} renewed."
            ) from error


def _restored(pins: MemberPins, entry: dict[str, object]) -> MemberPins:
    if entry["format"] != FORMAT:
        raise DecodeError(f"The file's format is not {FORMAT}.")
    texts, floor, accepted_at = entry["notices"], entry["floor"], entry["accepted_at"]
    if not isinstance(texts, list) or not isinstance(floor, int) or not isinstance(accepted_at, int | float):
        raise DecodeError("The file's fields have other types.")
    notices = [RenewalNotice.from_bytes(bytes.fromhex(text)) for text in texts]
    if entry["configured"] != pins.configured.fingerprint:
        floor = 0
    return pins.restored(notices, floor, float(accepted_at))


def _all(pins: MemberPins) -> tuple[PeerCertificate, ...]:
    return pins.configured, *(notice.certificate for notice in pins.notices)


def prepare_renewal(directory: Path, book: PinBook, member: int, name: str, now: datetime) -> RenewalNotice:
    """Make this member's next certificate and key in its identity `directory`, and the notice that announces it.

    A running daemon finds the notice, spreads it and puts the certificate to use (see `renewal_session`); without one the notice is a
    file, NOTICE_FILE, for the peers' `PinBook.accept`. `name` is for people, `now` aware.
    Raises KeystoreError if a renewal is under way or `book` knows another certificate of this member than the identity holds.
    """
    identity = TransportIdentity.load(directory)
    if (directory / NOTICE_FILE).exists():
        raise KeystoreError("A renewal is under way already; it ends when the peers have taken it.")
    if book.newest(member) != identity.certificate:
        raise KeystoreError(
            f"The certificate in {directory} is not the one that the committee knows of member {member}; "
            "correct the committee file."
        )
    new = TransportIdentity.generate_next(directory, name, now)
    serial = book.serials()[member] + 1
    notice = RenewalNotice.make(member, serial, identity.certificate, new, identity.sign)
    write_private_file(directory / NOTICE_FILE, notice.to_bytes())
    return notice


def pending_renewal(directory: Path) -> tuple[RenewalNotice, datetime] | None:
    """This member's notice that is being spread, and since when. Raises KeystoreError for a damaged file."""
    path = directory / NOTICE_FILE
    try:
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
    try:
        return RenewalNotice.from_bytes(read_private_file(path)), since
    except DecodeError:
        raise KeystoreError(f"{path} is damaged; remove it and renew again.") from None


def adopt_renewal(directory: Path, book: PinBook) -> TransportIdentity:
    """Put the announced certificate in the place of the present one. Safe to repeat after a crash at any point."""
    pending = pending_renewal(directory)
    if pending is None:
        return TransportIdentity.load(directory)
    book.accept(pending[0])
    identity = TransportIdentity.adopt(directory)
    if identity.certificate != pending[0].certificate:
        raise KeystoreError(
            f"{directory / NEXT_CERTIFICATE_FILE} is not what {directory / NOTICE_FILE} announces; remove both and renew again."
        )
    (directory / NOTICE_FILE).unlink()
    return identity


def _replace(path: Path, data: bytes) -> None:
    """Write `path` with mode 0600, atomically and durably, in the place of what was there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_private_file(temporary, data)
    try:
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeystoreError(f"{path} cannot be written: {error.strerror}.") from error
