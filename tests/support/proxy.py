"""A TCP proxy on loopback whose faults a test switches while it runs: delay, throttle, black hole, one-way loss, reset, refusal.

Each direction has faults of its own. It reads nothing into what it carries and loses no byte but those that a fault says.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

_CHUNK = 65_536


@dataclass(slots=True)
class Direction:
    """What happens to bytes on their way. Change the fields at any time; they hold for the bytes that come after."""

    delay: float = 0.0
    """Seconds before each chunk goes on."""
    bytes_per_second: float | None = None
    """None for no bound."""
    black_hole: bool = False
    """Bytes are taken and never delivered; the sender hears nothing."""

    def clear(self) -> None:
        """No faults."""
        self.delay, self.bytes_per_second, self.black_hole = 0.0, None, False


@dataclass(eq=False)
class Proxy:
    """Carries connections from its own port to `target`. `async with`, or `start` and `stop`."""

    target: tuple[str, int]
    record: bool = False
    forward: Direction = field(default_factory=Direction)
    """From who connected to the target."""
    backward: Direction = field(default_factory=Direction)
    refusing: bool = False
    """New connections are reset at once."""
    recorded: list[bytearray] = field(default_factory=list)
    """With `record`: what was sent forward, for each connection."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    # ---- faults ----

    def reset(self) -> None:
        """End every connection with RST, as a crash or a firewall does."""
        for writer in tuple(self._writers):
            _reset(writer)

    def partition(self) -> None:
        """Nothing passes in either direction, and nobody is told."""
        self.forward.black_hole = self.backward.black_hole = True

    def heal(self) -> None:
        """No faults; connections that lost bytes are reset, since TCP would have repaired or ended them."""
        lossy = self.forward.black_hole or self.backward.black_hole
        self.forward.clear()
        self.backward.clear()
        self.refusing = False
        if lossy:
            self.reset()

    # ---- carrying ----

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:
            pass  # `stop`: the stream protocol would report it as an error of this handler
        finally:
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            if self.refusing:
                return
            back, onward = await asyncio.open_connection(*self.target)
            self._writers.add(onward)
            copy = bytearray()
            if self.record:
                self.recorded.append(copy)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, onward, self.forward, copy.extend if self.record else None))
                group.create_task(self._pump(back, writer, self.backward, None))
        except* (ConnectionError, OSError):
            pass  # an end of it is gone, and so is the rest
        finally:
            for end in (writer, onward):
                if end is not None:
                    self._writers.discard(end)
                    _reset(end) if self.refusing else end.close()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        direction: Direction,
        copied: Callable[[bytes], None] | None,
    ) -> None:
        while data := await source.read(_CHUNK):
            if copied is not None:
                copied(data)
            if direction.delay:
                await asyncio.sleep(direction.delay)
            if direction.bytes_per_second is not None:
                await asyncio.sleep(len(data) / direction.bytes_per_second)
            if not direction.black_hole:
                sink.write(data)
                await sink.drain()
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        # Lingering for no time makes the kernel send RST.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
