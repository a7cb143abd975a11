"""The node's side of a signer process: the same two rounds as `signer.Signer`, with share and nonces elsewhere.

Guarantees: the node's own `authorise` decides in both rounds, as in the process; only then are the bodies that it means handed to
the signer, which must make of them what the node would sign; every wait is bounded; a signer that is gone is `SignerUnavailable`,
which blames nobody and may be tried again. Nothing here can be turned into a share without the other process's own yes.
Does not hold a secret, and does not start the process: `signer_supervisor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import (
    Busy,
    DecodeError,
    FrostError,
    IllegalTransition,
    KeyMaterialError,
    NonceSpent,
    NotAuthorised,
)
from bridges.frost.group import Identifier
from bridges.frost.keystore import PublicShare
from bridges.frost.signer import COMMIT_PATH, SHARE_PATH, Authorise, SignerLimits, decided
from bridges.frost.signer_process import directory_owner, peer_uid
from bridges.frost.signer_wire import (
    LENGTH_BYTES,
    MAX_BATCH,
    MAX_FRAME,
    MAX_REPLY,
    BatchRequest,
    CommitReply,
    Operation,
    PublicReply,
    Reply,
    decode_counters,
    encode_forget,
    encode_share,
    frame,
    frame_length,
    open_frame,
)
from bridges.frost.transport import PeerServer
from oracle.errors import ConfigError

_log: Final = structlog.get_logger(__name__)

Bodies = Callable[[bytes], Awaitable[tuple[bytes, ...]]]
"""Given a context that `authorise` accepted, the bodies behind it, in the order of the batch. Raises NotAuthorised if one is gone."""


class SignerUnavailable(Busy, NotAuthorised):
    """The signer process cannot be reached or did not answer in time: this node cannot sign now. Nobody is to blame; try again."""


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds on the way to the signer. Waits in seconds."""

    connections: int = 8
    call_seconds: float = 2.5
    """For one call, the wait for a free connection included; below a coordinator's `round_seconds`."""


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    fresh: bool = True


class SignerLink:
    """Calls a signer's socket: one request at a time on each of a few connections. Close it when done."""

    def __init__(self, path: Path, limits: LinkLimits | None = None) -> None:
        self._path, self._limits = path, limits or LinkLimits()
        self._idle: list[_Connection] = []
        self._turns = asyncio.Semaphore(self._limits.connections)
        self._closed = False

    async def call(self, operation: Operation, payload: bytes = b"") -> bytes:
        """The reply's payload. Raises SignerUnavailable, and what the signer's refusal stands for."""
        request = frame(operation, payload)
        if len(request) > MAX_FRAME + LENGTH_BYTES:
            raise NotAuthorised("This batch is too large for the signer; ask for a smaller one.")
        try:
            async with asyncio.timeout(self._limits.call_seconds), self._turns:
                data = await self._exchange(operation, request)
        except TimeoutError:
            raise SignerUnavailable(f"The signer did not answer within {self._limits.call_seconds:g} s.") from None
        status, reply = open_frame(data)
        if status == Reply.OK:
            return reply
        raise _refused(status, reply)

    async def public(self) -> PublicReply:
        """Whose share the signer holds. Raises SignerUnavailable, DecodeError."""
        return PublicReply.from_bytes(await self.call(Operation.PUBLIC))

    async def counters(self) -> dict[str, int]:
        """What the signer has done and refused since it started."""
        return decode_counters(await self.call(Operation.COUNTERS))

    async def _exchange(self, operation: Operation, request: bytes) -> bytes:
        while True:
            connection = await self._connection()
            try:
                return await self._on(connection, request)
            except (OSError, asyncio.IncompleteReadError) as error:
                # A connection that was kept may belong to a signer that has been replaced since; a share's nonces died with it.
                if connection.fresh or operation is Operation.SHARE:
                    raise SignerUnavailable("The signer ended while it was asked; ask again.") from error

    async def _on(self, connection: _Connection, request: bytes) -> bytes:
        done = False
        try:
            connection.writer.write(request)
            await connection.writer.drain()
            length = frame_length(await connection.reader.readexactly(LENGTH_BYTES), MAX_REPLY)
            data = await connection.reader.readexactly(length)
            done = True
        finally:
            # After anything but a whole reply, and after a cancellation too, what comes next on it would belong to the last question.
            if done and not self._closed:
                connection.fresh = False
                self._idle.append(connection)
            else:
                connection.writer.close()
        return data

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.writer.close()
        try:
            expected = self._signers_uid()
            reader, writer = await asyncio.open_unix_connection(self._path)
        except (OSError, ConfigError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SignerUnavailable(f"The signer cannot be reached on {self._path}: {reason}.") from error
        if peer_uid(_socket_of(writer)) not in (None, expected):
            writer.close()
            raise SignerUnavailable(f"The signer on {self._path} belongs to another user; nothing was sent.")
        return _Connection(reader, writer)

    def _signers_uid(self) -> int:
        """Who alone can have made a socket there. Raises ConfigError, OSError."""
        own = self._path.parent.lstat().st_uid == os.geteuid()
        return directory_owner(self._path.parent, shared=not own)

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        while self._idle:
            self._idle.pop().writer.close()


def _socket_of(writer: asyncio.StreamWriter) -> socket.socket:
    found: socket.socket = writer.get_extra_info("socket")
    return found


_ERRORS: Final[dict[int, Callable[[str], FrostError | NotAuthorised]]] = {
    Reply.MALFORMED: DecodeError,
    Reply.REFUSED: NotAuthorised,
    Reply.NONCE_SPENT: NonceSpent,
    Reply.BUSY: Busy,
    Reply.SESSION_IN_USE: IllegalTransition,
    Reply.BAD_COMMITMENTS: KeyMaterialError,
    Reply.FAILED: SignerUnavailable,
}


def _refused(status: int, payload: bytes) -> FrostError | NotAuthorised:
    text = payload.decode("utf-8", "replace") or "The signer gave no reason."
    return _ERRORS.get(status, SignerUnavailable)(text)


@dataclass(frozen=True, slots=True)
class _Session:
    context: bytes
    message: bytes
    born: float


class RemoteSigner:
    """`SignerPort` over a link. Make it with `remote_signer`, which asks the process whose share it holds."""

    def __init__(
        self,
        link: SignerLink,
        share: PublicShare,
        authorise: Authorise,
        bodies: Bodies,
        *,
        limits: SignerLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`authorise` and `bodies` come from the node."""
        self._link, self._share = link, share
        self._authorise, self._bodies = authorise, bodies
        self._limits, self._clock = limits or SignerLimits(), clock
        # Oldest first: (coordinator, session id) -> what it was authorised for.
        self._sessions: OrderedDict[tuple[int, bytes], _Session] = OrderedDict()
        self._forgotten: dict[int, list[bytes]] = {}

    @property
    def share(self) -> PublicShare:
        """Whose share the process holds, and of which key."""
        return self._share

    def register(self, server: PeerServer) -> None:
        """Serve both rounds to the server's pinned peers."""
        server.route(COMMIT_PATH, self.answer_commit)
        server.route(SHARE_PATH, self.answer_share)

    async def authorised_message(self, context: bytes) -> bytes:
        """The 32 bytes that this node signs for `context`. Raises NotAuthorised, also when deciding takes too long."""
        return await decided(self._authorise, context, self._limits.authorise_seconds)

    async def answer_commit(self, peer_id: int, body: bytes) -> bytes:
        """Round one. Raises as `SignerPort` says, and SignerUnavailable."""
        request = CommitRequest.from_bytes(body)
        message = await self.authorised_message(request.context)
        bodies = await self._bodies(request.context)
        await self._send_forgotten(peer_id)
        batch = BatchRequest(Identifier(peer_id), request.session_id, bodies)
        made = CommitReply.from_bytes(await self._link.call(Operation.COMMIT, batch.to_bytes()))
        if made.commitment.identifier != self._share.identifier:
            raise SignerUnavailable("The signer answered for another member; restart the node.")
        self._keep(peer_id, request.session_id, _Session(request.context, message, self._clock()))
        if made.signing_hash != message:
            self.forget(peer_id, request.session_id)
            raise NotAuthorised("The bodies that this node holds are not those of this batch.")
        return made.commitment.to_bytes()

    async def answer_share(self, peer_id: int, body: bytes) -> bytes:
        """Round two. Raises as `SignerPort` says, and SignerUnavailable."""
        request = ShareRequest.from_bytes(body)
        session = self._sessions.pop((peer_id, request.session_id), None)
        if session is None:
            raise NonceSpent(
                "There are no signing nonces for this session: they were used, or are too old; commit again."
            )
        try:
            if await self.authorised_message(session.context) != session.message:
                raise NotAuthorised("What this context means has changed since the commitment; commit again.")
        except NotAuthorised:
            self._forgotten.setdefault(peer_id, []).append(request.session_id)
            raise
        reply = await self._link.call(Operation.SHARE, encode_share(peer_id, body))
        answer = ShareReply.from_bytes(reply)
        if answer.share.identifier != self._share.identifier or (answer.following is None) != (
            request.following is None
        ):
            raise SignerUnavailable("The signer answered another question; restart the node.")
        if request.following is not None:
            self._keep(peer_id, request.following, _Session(session.context, session.message, self._clock()))
        return reply

    def forget(self, peer_id: int, session_id: bytes) -> None:
        """The signer hears of it before this coordinator's next session, or forgets by itself after a minute."""
        if self._sessions.pop((peer_id, session_id), None) is not None:
            self._forgotten.setdefault(peer_id, []).append(session_id)

    def close(self) -> None:
        """No open session can be used any more. The link stays its owner's."""
        self._sessions.clear()
        self._forgotten.clear()

    async def _send_forgotten(self, peer_id: int) -> None:
        ids = self._forgotten.pop(peer_id, [])[-MAX_BATCH:]
        if ids:
            with contextlib.suppress(SignerUnavailable):  # then its nonces are gone anyway
                await self._link.call(Operation.FORGET, encode_forget(peer_id, tuple(ids)))

    def _keep(self, peer_id: int, session_id: bytes, session: _Session) -> None:
        self._sessions[peer_id, session_id] = session
        horizon = self._clock() - self._limits.nonce_seconds
        most = self._limits.pending_per_peer * len(self._share.public.participants)
        while len(self._sessions) > most or next(iter(self._sessions.values())).born <= horizon:
            self._sessions.popitem(last=False)


@asynccontextmanager
async def remote_signer(
    link: SignerLink, authorise: Authorise, bodies: Bodies, *, limits: SignerLimits | None = None
) -> AsyncIterator[RemoteSigner]:
    """A signer over `link`, which is closed with the block. Raises SignerUnavailable if nobody answers."""
    try:
        signer = RemoteSigner(link, (await link.public()).share, authorise, bodies, limits=limits)
        try:
            yield signer
        finally:
            signer.close()
    finally:
        link.close()
