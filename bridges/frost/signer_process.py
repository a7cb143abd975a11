"""The signer process: `python -m bridges.frost.signer_process --config signer.toml` serves oracle/docs/SIGNER.md on a Unix socket.

Guarantees: the socket lies in a directory of mode 0700, has mode 0600, and talks to processes of the same user alone (SO_PEERCRED; or
to those of the one other user that the configuration names);
frames, connections, waits and replies are bounded; what goes wrong becomes a status and a sentence, never a traceback on the
wire; no core dump holds the share; on SIGTERM, and with `--supervised` when standard input ends, nonces and share are wiped.
Does not restart itself, and does not keep out root.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from bridges.frost import keystore
from bridges.frost.errors import (
    Busy,
    DecodeError,
    FrostError,
    GroupError,
    IllegalTransition,
    KeyMaterialError,
    KeystoreError,
    NonceSpent,
    NotAuthorised,
)
from bridges.frost.hardening import forbid_core_dumps
from bridges.frost.keygen import KeyShare
from bridges.frost.keystore import PublicShare
from bridges.frost.rates import TokenBucket
from bridges.frost.sealing import forget_environment
from bridges.frost.signer_ledger import Conflict, Ledger, LedgerError
from bridges.frost.signer_rules import RuleRefused, Rules, SignerConfig, load_signer_config
from bridges.frost.signer_service import SignerService
from bridges.frost.signer_wire import (
    INSTANCE_BYTES,
    LENGTH_BYTES,
    MAX_FRAME,
    MAX_REASON,
    BatchRequest,
    Operation,
    PublicReply,
    Reply,
    decode_forget,
    decode_share,
    encode_counters,
    frame,
    frame_length,
    open_frame,
)
from oracle.errors import ConfigError, SibylError
from oracle.protocol.errors import ProtocolError

_log: Final = structlog.get_logger(__name__)

MAX_SOCKET_PATH: Final = 100
"""Bytes; the system takes 103 to 107."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds on the socket. Waits in seconds."""

    connections: int = 32
    idle_seconds: float = 300.0
    frame_seconds: float = 5.0
    """For a frame to arrive whole once it has begun, and for a reply to be taken."""
    work_seconds: float = 5.0


class SignerServer:
    """A `SignerService` on a Unix socket. Use `async with`."""

    def __init__(
        self, service: SignerService, path: Path, limits: ServerLimits | None = None, *, client_uid: int | None = None
    ) -> None:
        self._service, self._path, self._limits = service, path, limits or ServerLimits()
        self._client_uid = client_uid
        self._instance = secrets.token_bytes(INSTANCE_BYTES)
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> SignerServer:
        """Raises ConfigError for a directory or a socket that cannot be had."""
        listening = _bound(self._path, shared=self._client_uid is not None)
        try:
            self._server = await asyncio.start_unix_server(self._serve, sock=listening)
        except BaseException:
            listening.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        # Their readers then see the end. A cancelled task would make asyncio log a traceback that means nothing.
        for writer in self._connections.values():
            writer.transport.abort()
        if self._connections:
            await asyncio.wait(tuple(self._connections), timeout=self._limits.work_seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served in a task")
        self._connections[task] = writer
        try:
            if len(self._connections) > self._limits.connections:
                await self._send(writer, _refusal(Busy("This signer has as many connections as it takes.")))
            elif self._is_ours(writer):
                await self._answer_all(reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            del self._connections[task]
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _is_ours(self, writer: asyncio.StreamWriter) -> bool:
        caller = peer_uid(writer.get_extra_info("socket"))
        if self._client_uid is None and caller is None:
            return True
        if caller == (os.geteuid() if self._client_uid is None else self._client_uid):
            return True
        self._service.counts["refused_uid"] += 1
        _log.error("signer_refused", reason="uid", uid=caller)
        return False

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(self._limits.idle_seconds):
                head = await reader.readexactly(LENGTH_BYTES)
            try:
                length = frame_length(head, MAX_FRAME)
                async with asyncio.timeout(self._limits.frame_seconds):
                    operation, payload = open_frame(await reader.readexactly(length))
            except DecodeError as error:
                # Where the next frame would begin is not known any more.
                self._service.counts["refused_decode"] += 1
                _log.warning("signer_refused", reason="decode", error=str(error))
                await self._send(writer, _refusal(error))
                return
            await self._send(writer, await self._answer(operation, payload))

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        async with asyncio.timeout(self._limits.frame_seconds):
            await writer.drain()

    async def _answer(self, operation: int, payload: bytes) -> bytes:
        try:
            async with asyncio.timeout(self._limits.work_seconds):
                return frame(Reply.OK, await self._done(operation, payload))
        except (ProtocolError, SibylError) as error:
            return _refusal(error)
        except TimeoutError:
            return _refusal(Busy("This signer did not finish in time; ask again."))

    async def _done(self, operation: int, payload: bytes) -> bytes:
        service = self._service
        match operation:
            case Operation.COMMIT:
                batch = BatchRequest.from_bytes(payload)
                return (await service.commit(batch.coordinator, batch.session_id, batch.bodies)).to_bytes()
            case Operation.SHARE:
                return await service.sign(*decode_share(payload))
            case Operation.FORGET:
                service.forget(*decode_forget(payload))
                return b""
            case Operation.PUBLIC if not payload:
                share = service.share
                return PublicReply(PublicShare(share.identifier, share.public), self._instance).to_bytes()
            case Operation.COUNTERS if not payload:
                return encode_counters(service.counters())
        service.counts["refused_operation"] += 1
        _log.warning("signer_refused", reason="operation", operation=operation)
        raise DecodeError(f"There is no operation {operation} with such a payload.")


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end of a Unix socket; None where the system does not say (then the directory's mode is what protects)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = struct.Struct("3i")
    _, uid, _ = credentials.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    return int(uid)


def directory_owner(directory: Path, *, shared: bool = False) -> int:
    """The user whose directory it is. Raises ConfigError unless it is closed to others, or if `shared` to their writing and listing."""
    try:
        status = directory.lstat()
    except OSError as error:
        raise ConfigError(f"The signer's directory {directory} cannot be used: {error.strerror}.") from error
    open_to_others = stat.S_IMODE(status.st_mode) & (0o066 if shared else 0o077)
    if not stat.S_ISDIR(status.st_mode) or open_to_others:
        mode = "711" if shared else "700"
        raise ConfigError(
            f"The signer's directory {directory} must be a directory with mode 0{mode}: run chmod {mode} on it, or name another."
        )
    return status.st_uid


def _bound(path: Path, *, shared: bool) -> socket.socket:
    if shared and not hasattr(socket, "SO_PEERCRED"):
        raise ConfigError("This system does not say who connects to a socket; leave out client_uid.")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise ConfigError(f"The socket's path {path} is too long; take one of at most {MAX_SOCKET_PATH} bytes.")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o711 if shared else 0o700, parents=True, exist_ok=True)
    if directory_owner(path.parent, shared=shared) != os.geteuid():
        raise ConfigError(f"The signer's directory {path.parent} must be this user's own; name another.")
    _clear_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode is set before anybody can connect: nothing listens yet.
    try:
        listening.bind(os.fspath(path))
        path.chmod(0o666 if shared else 0o600)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ConfigError(f"The socket {path} cannot be made: {error.strerror}.") from error
    return listening


def _clear_stale(path: Path) -> None:
    """A signer that was killed leaves its socket behind."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is there already and is no socket; name another.")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
                return
            raise ConfigError(f"The socket {path} cannot be used: {error.strerror}.") from error
    raise ConfigError(f"Another signer listens on {path}; stop it first.")


_STATUS: Final[tuple[tuple[type[Exception], Reply], ...]] = (
    (RuleRefused, Reply.REFUSED),
    (Conflict, Reply.REFUSED),
    (NotAuthorised, Reply.REFUSED),
    (NonceSpent, Reply.NONCE_SPENT),
    (Busy, Reply.BUSY),
    (IllegalTransition, Reply.SESSION_IN_USE),
    (LedgerError, Reply.FAILED),
    (KeyMaterialError, Reply.BAD_COMMITMENTS),
    (GroupError, Reply.BAD_COMMITMENTS),
    (ProtocolError, Reply.MALFORMED),
)


def _refusal(error: ProtocolError | SibylError) -> bytes:
    status = next((reply for kind, reply in _STATUS if isinstance(error, kind)), Reply.FAILED)
    text = "".join(c if c.isprintable() else "?" for c in str(error))
    return frame(status, text.encode()[:MAX_REASON].decode("utf-8", "ignore").encode())


def open_share(config: SignerConfig) -> KeyShare:
    """The share of the configuration. Raises KeystoreError and its like, ConfigError for another member's or another key's."""
    passphrase = config.passphrase.read()
    forget_environment(config.passphrase_env)
    try:
        share = keystore.load(config.key_share, devnet=config.devnet, passphrase=passphrase)
    finally:
        if passphrase is not None:
            passphrase.wipe()
    wrong = None
    if share.identifier != config.identifier:
        wrong = f"is member {share.identifier}'s share, but this signer is member {config.identifier}'s."
    elif share.public.group_public_key.to_bytes().hex() != config.group_key[2:]:
        wrong = "belongs to another group key than group_key."
    if wrong is not None:
        share.signing_share.wipe()
        raise ConfigError(f"{config.key_share} {wrong}")
    return share


@asynccontextmanager
async def serving(config: SignerConfig, limits: ServerLimits | None = None) -> AsyncIterator[SignerService]:
    """The signer of a configuration on its socket, until the block ends."""
    share = open_share(config)
    try:
        ledger = Ledger(config.ledger, share.public.group_public_key.to_bytes(), config.remembered)
    except BaseException:
        share.signing_share.wipe()
        raise
    rate = TokenBucket(config.sessions_per_second, config.burst, time.monotonic())
    service = SignerService(share, Rules(config), ledger, rate)
    try:
        async with SignerServer(service, config.socket, limits, client_uid=config.client_uid):
            yield service
    finally:
        service.close()


async def serve(config: SignerConfig, *, supervised: bool) -> None:
    """Run until SIGTERM or SIGINT, or until standard input ends."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serving(config) as service:
        _log.info(
            "signer_ready", member=config.identifier, socket=str(config.socket), signed=service.counters()["ledger"]
        )
        if supervised:
            loop.add_reader(sys.stdin.fileno(), _until_end, sys.stdin.fileno(), stop)
        await stop.wait()
        _log.info("signer_stopped", **service.counters())


def _until_end(descriptor: int, stop: asyncio.Event) -> None:
    # Nothing is ever said there; its end is that of the node, however it died.
    if not os.read(descriptor, 4096):
        asyncio.get_running_loop().remove_reader(descriptor)
        stop.set()


def _configure_logs(config: SignerConfig) -> None:
    renderer = structlog.processors.JSONRenderer() if config.log_json else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Exceptions by name and place alone: a frame's variables are never shown.
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Every failure that can be expected ends in a sentence and exit status 1."""
    parser = argparse.ArgumentParser(prog="sibyl-signer", description="Holds one key share and signs by its own rules.")
    parser.add_argument("--config", type=Path, default=Path("signer.toml"), help="The signer's own configuration.")
    parser.add_argument("--supervised", action="store_true", help="End when standard input does.")
    chosen = parser.parse_args(arguments)
    forbid_core_dumps()
    try:
        config = load_signer_config(chosen.config)
        _configure_logs(config)
        asyncio.run(serve(config, supervised=chosen.supervised))
    except (SibylError, ProtocolError, KeystoreError, FrostError) as error:
        print(f"sibyl-signer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
