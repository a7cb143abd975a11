"""Renewal of certificates between running members: spread one's own, take the others', catch up on what was missed.

Guarantees: a member shows its new certificate only when all peers have it, or enough of them to tell the rest, so that it never locks
itself out; a notice is on disk before it is acknowledged; what is pinned changes in the server and in every client at once, and again when
an overlap ends, without a connection being cut; a member that was away asks the others what it missed, so one that was down through a
whole renewal finds its way back.
Does not make certificates (`pins.prepare_renewal` does, from the command line) and decides about nothing but certificates.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from bridges.frost.errors import DecodeError, FrostError
from bridges.frost.identity import PeerCertificate, TransportIdentity
from bridges.frost.pins import PinBook, adopt_renewal, pending_renewal
from bridges.frost.renewal import RenewalNotice
from bridges.frost.transport import PeerServer, Pins

_log: Final = structlog.get_logger(__name__)

NOTICE_PATH: Final = "/peer/v1/renewal"
MISSED_PATH: Final = "/peer/v1/renewals"
MAX_NOTICE_BYTES: Final = 8_192
MAX_REPLY_BYTES: Final = 524_288
_LENGTH_BYTES: Final = 2
_SERIAL_BYTES: Final = 10
"""member(2) ‖ serial(8)"""


@dataclass(frozen=True, slots=True)
class KeeperLimits:
    """How often and how long, in seconds."""

    look_seconds: float = 5.0
    """Between two looks at the files of this member, and two attempts to spread its own notice."""
    ask_seconds: float = 60.0
    """Between two questions to the peers about what was missed."""
    call_seconds: float = 5.0
    patience_seconds: float = 3_600.0
    """How long a member waits for the last peers before it shows its new certificate to the others."""


class PinnedCaller(Protocol):
    """A client whose certificates can be changed (`transport.PeerClient`)."""

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        """The peer's reply. Raises TransportError."""

    def use(self, identity: TransportIdentity, pin: Pins) -> None:
        """From now on show `identity` and expect `pin`."""


class CertificateKeeper:
    """Keeps one member's certificates and pins current. `register`, start the server, then `run` until cancelled."""

    def __init__(
        self,
        directory: Path,
        member: int,
        book: PinBook,
        server: PeerServer,
        clients: Mapping[int, PinnedCaller],
        *,
        limits: KeeperLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`directory` holds this member's identity. `clock` gives Unix time and must be `book`'s."""
        self._directory, self._member, self._book = directory, member, book
        self._server, self._clients = server, dict(clients)
        self._limits = limits or KeeperLimits()
        self._clock = clock
        self._identity = TransportIdentity.load(directory)
        self._applied: dict[int, tuple[PeerCertificate, ...]] | None = None
        self._took: set[int] = set()
        self._spreading: bytes = b""
        self._asked_at = float("-inf")
        self._turn = asyncio.Lock()

    @property
    def identity(self) -> TransportIdentity:
        """What this member shows now."""
        return self._identity

    def register(self) -> None:
        """Serve the two paths to the server's pinned peers."""
        self._server.route(NOTICE_PATH, self.take_notice, max_body=MAX_NOTICE_BYTES)
        self._server.route(MISSED_PATH, self.tell_missed, max_body=_SERIAL_BYTES * 1_024)

    async def run(self) -> None:
        """Take turns until cancelled. A turn that fails is logged, and the next one tries again."""
        while True:
            try:
                await self.turn()
            except FrostError as error:
                _log.error("certificate_keeper_failed", code=error.code, reason=str(error))
            await asyncio.sleep(self._limits.look_seconds)

    async def turn(self) -> None:
        """One look at everything. Raises KeystoreError for damaged files."""
        async with self._turn:
            self._finish_adoption()
            self._book.refresh()
            self._apply()
            await self._spread()
            if time.monotonic() >= self._asked_at + self._limits.ask_seconds:
                self._asked_at = time.monotonic()
                await self._catch_up()

    # ---- what this member renews ----

    def _finish_adoption(self) -> None:
        """A crash between announcing and showing leaves the notice behind; a book that has it says that it was announced."""
        pending = pending_renewal(self._directory)
        if pending is not None and self._book.newest(self._member) == pending[0].certificate:
            self._adopt()

    async def _spread(self) -> None:
        pending = pending_renewal(self._directory)
        if pending is None:
            return
        notice, since = pending
        body = notice.to_bytes()
        if body != self._spreading:
            self._spreading, self._took = body, set()
        missing = [peer for peer in self._clients if peer not in self._took]
        outcomes = await asyncio.gather(*(self._told(peer, body) for peer in missing))
        self._took |= {peer for peer, took in zip(missing, outcomes, strict=True) if took}
        waited = self._clock() - since.timestamp()
        # More than half of the peers can tell the rest, who come to ask.
        enough = len(self._took) > len(self._clients) / 2 and waited >= self._limits.patience_seconds
        if len(self._took) == len(self._clients) or enough:
            self._book.accept(notice)
            self._adopt()
            _log.info("certificate_renewed", serial=notice.serial, took=sorted(self._took))

    async def _told(self, peer: int, body: bytes) -> bool:
        try:
            await self._clients[peer].call(NOTICE_PATH, body, self._limits.call_seconds)
        except FrostError as error:
            _log.warning("renewal_not_taken", peer=peer, code=error.code, reason=str(error))
            return False
        return True

    def _adopt(self) -> None:
        self._identity = adopt_renewal(self._directory, self._book)
        self._applied = None
        self._apply()

    # ---- what the others renew ----

    async def take_notice(self, peer: int, body: bytes) -> bytes:
        """A notice from whoever has it: it proves itself. Raises DecodeError, RenewalRefused, KeystoreError."""
        notice = RenewalNotice.from_bytes(body)
        if notice.member == self._member:
            raise DecodeError("A member learns of its own certificate from nobody.")
        if self._book.accept(notice):
            _log.info("renewal_taken", member=notice.member, serial=notice.serial, told_by=peer)
            self._apply()
        return b""

    async def tell_missed(self, peer: int, body: bytes) -> bytes:
        """The notices that a peer has not heard of, as far as one reply holds them. Raises DecodeError."""
        reply = b""
        for notice in self._book.newer_than(decode_serials(body)):
            data = notice.to_bytes()
            if notice.member == peer or len(reply) + _LENGTH_BYTES + len(data) > MAX_REPLY_BYTES:
                continue
            reply += len(data).to_bytes(_LENGTH_BYTES, "big") + data
        return reply

    async def _catch_up(self) -> None:
        question = encode_serials(self._book.serials())
        replies = await asyncio.gather(*(self._missed(peer, question) for peer in self._clients))
        news = False
        for notice in (notice for reply in replies for notice in reply if notice.member != self._member):
            try:
                news |= self._book.accept(notice)
            except FrostError as error:
                _log.warning("renewal_refused", member=notice.member, serial=notice.serial, reason=str(error))
        if news:
            self._apply()

    async def _missed(self, peer: int, question: bytes) -> tuple[RenewalNotice, ...]:
        try:
            return decode_notices(await self._clients[peer].call(MISSED_PATH, question, self._limits.call_seconds))
        except FrostError as error:
            _log.debug("renewals_not_heard", peer=peer, code=error.code, reason=str(error))
            return ()

    def _apply(self) -> None:
        trusted = self._book.trusted()
        pins = {member: certificates for member, certificates in trusted.items() if member != self._member}
        if pins == self._applied:
            return
        self._server.use(self._identity, pins)
        for peer, client in self._clients.items():
            client.use(self._identity, pins[peer])
        self._applied = pins


def encode_serials(serials: Mapping[int, int]) -> bytes:
    """count × (member(2) ‖ serial(8)), of the members that renewed."""
    return b"".join(
        member.to_bytes(2, "big") + serial.to_bytes(8, "big") for member, serial in sorted(serials.items()) if serial
    )


def decode_serials(data: bytes) -> dict[int, int]:
    """Raises DecodeError."""
    if len(data) % _SERIAL_BYTES:
        raise DecodeError(f"A list of serial numbers has {_SERIAL_BYTES} bytes for each member.")
    entries = [data[start : start + _SERIAL_BYTES] for start in range(0, len(data), _SERIAL_BYTES)]
    return {int.from_bytes(entry[:2], "big"): int.from_bytes(entry[2:], "big") for entry in entries}


def decode_notices(data: bytes) -> tuple[RenewalNotice, ...]:
    """Notices, each behind its length(2). Raises DecodeError."""
    notices = []
    while data:
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
        if len(data) < end:
            raise DecodeError("A list of notices must be as long as it declares.")
        notices.append(RenewalNotice.from_bytes(data[_LENGTH_BYTES:end]))
        data = data[end:]
    return tuple(notices)
