"""The operator's road into a running node: a Unix socket in the node's data directory, for the few commands that change what it does.

Who may use it: the user that the node runs as (the socket has mode 0600, and the caller's user is asked of the kernel), and root, who may do all
anyhow. One command a connection: a line of JSON `{"command": …, "digests": […]}`, answered by `{"letters": […]}` or `{"error": sentence}`.
Commands: `list`, `retry` and `drop` of dead letters. It signs nothing, sees no key, and cannot make the node sign or deliver anything that
its pipeline does not already owe.
"""

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from bridges.frost.signer_process import peer_uid
from oracle.errors import ConfigError, SibylError, Transient
from oracle.node import Node
from oracle.node.letters import Verdict, decide, described
from oracle.protocol.errors import ProtocolError
from oracle.protocol.types import WORD, Digest

log = structlog.get_logger("sibyl.control")

SOCKET = "control.sock"
SECONDS = 10.0
"""For one command, on either side."""
MAX_REQUEST = 1 << 20
MAX_CALLERS = 8
LONGEST_PATH = 100
"""Bytes of a path that every system takes for a socket."""


def parse_digest(text: str) -> Digest:
    """Raises ConfigError."""
    try:
        digest = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        digest = b""
    if len(digest) != WORD:
        raise ConfigError(
            f"{text!r} is no digest: give 32 bytes in hexadecimal, as `sibyl dead-letter list` shows them."
        )
    return Digest(digest)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of the socket that is short enough, whatever its directory is called. Raises ConfigError."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    handles = Path("/proc/self/fd")
    if not handles.is_dir():
        raise ConfigError(
            f"The path {path} is too long for a socket; give the node a data directory with a shorter one."
        )
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield str(handles / str(directory) / path.name)
    finally:
        os.close(directory)


def _bound(path: Path) -> socket.socket:
    """A listening socket that nobody else could ever connect to. Raises ConfigError."""
    # The journal of the same directory is locked by this process, so what an earlier one left behind serves nobody.
    try:
        if path.is_socket():
            path.unlink()
    except OSError as error:
        raise ConfigError(f"The control socket {path} cannot be made: {error.strerror}.") from error
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with _short(path) as name:
            made.bind(name)
    except OSError as error:
        made.close()
        raise ConfigError(f"The control socket {path} cannot be made: {error.strerror}.") from error
    finally:
        os.umask(before)
    made.setblocking(False)
    return made


@asynccontextmanager
async def control_road(node: Node, directory: Path) -> AsyncIterator[Path]:
    """Take commands while the block lasts. Raises ConfigError when the socket cannot be made."""
    path = directory / SOCKET
    road = _Road(node)
    server = await asyncio.start_unix_server(road.serve, sock=_bound(path), limit=MAX_REQUEST)
    try:
        yield path
    finally:
        server.close()
        await road.close()
        with suppress(OSError):
            path.unlink()


class _Road:
    def __init__(self, node: Node) -> None:
        self._node = node
        self._callers: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        for task in tuple(self._callers):
            task.cancel()
        await asyncio.gather(*self._callers, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._callers.add(task)
        try:
            if len(self._callers) > MAX_CALLERS or not _may(writer):
                return
            async with asyncio.timeout(SECONDS):
                reply = await self._answered(await reader.readline())
                writer.write(json.dumps(reply, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, ValueError) as error:
            log.warning("control command not served", error=str(error))
        finally:
            await _closed(writer)
            if task is not None:
                self._callers.discard(task)

    async def _answered(self, line: bytes) -> dict[str, object]:
        try:
            asked = json.loads(line)
            command, digests = asked["command"], [parse_digest(one) for one in asked.get("digests", [])]
            if command == "list":
                return {"letters": list(described(self._node.pipeline))}
            verdict = Verdict(command)
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            return {"error": f"That command is not understood: {error}"}
        try:
            # All of them are judged before any is recorded.
            now = self._node.clock()
            await self._node.record(*(decide(self._node.pipeline, digest, verdict, now) for digest in digests))
            log.info("dead letters judged", verdict=verdict.value, digests=[digest.hex() for digest in digests])
        except (SibylError, ProtocolError) as error:
            return {"error": str(error)}
        return {"letters": list(described(self._node.pipeline))}


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            await writer.wait_closed()


def _may(writer: asyncio.StreamWriter) -> bool:
    caller = peer_uid(writer.get_extra_info("socket"))
    allowed = caller in (None, 0, os.geteuid())
    if not allowed:
        log.error("control refused", user=caller)
    return allowed


async def call(directory: Path, command: str, digests: tuple[str, ...] = ()) -> list[dict[str, Any]] | None:
    """Have the node of this data directory do it; the dead letters that it has then. None when no node runs there.

    Raises ConfigError with the node's sentence, or Transient.
    """
    path = directory / SOCKET
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} is no socket; remove it.")
        with _short(path) as name:
            reader, writer = await asyncio.open_unix_connection(name)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise ConfigError(f"The node's control socket {path} cannot be used: {error.strerror}.") from error
    if peer_uid(writer.get_extra_info("socket")) not in (None, 0, path.lstat().st_uid):
        await _closed(writer)
        raise ConfigError(f"{path} is served by another user than its owner; nothing was asked.")
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(json.dumps({"command": command, "digests": list(digests)}).encode() + b"\n")
            reply = json.loads(await reader.read(-1) or b"{}")
    except (TimeoutError, OSError, ValueError) as error:
        raise Transient(f"The node at {path} gave no answer: {str(error) or 'too late'}. Look at its log.") from error
    finally:
        await _closed(writer)
    if "letters" not in reply:
        raise ConfigError(str(reply.get("error", f"The node at {path} refused the connection.")))
    letters: list[dict[str, Any]] = reply["letters"]
    return letters
