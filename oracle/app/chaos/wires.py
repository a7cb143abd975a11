"""A TCP proxy on loopback that fails on command: it delays, swallows, breaks or refuses what it carries between two processes.

Without a fault it carries every byte in order. Bytes that a fault swallowed are lost for good, so the connections that lost some are reset
when the wire is mended, as a network would end them. It reads nothing into what it carries.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Self

CHUNK = 65_536
HOST = "127.0.0.1"
CONNECT_SECONDS = 5.0


@dataclass(eq=False, slots=True)
class Wire:
    """From its own port to `target` (host, port). The faults hold from when they are set."""

    name: str
    target: tuple[str, int]
    delay: float = 0.0
    """Seconds that each chunk waits, in each direction."""
    silent: bool = False
    """Bytes are taken and never delivered, and nobody is told."""
    refusing: bool = False
    """New connections are reset."""
    carried: int = 0
    """Bytes that arrived, both ways."""
    swallowed: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the wire is not open")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- faults ----

    def reset(self) -> None:
        """Break every connection that is open now."""
        for writer in tuple(self._open):
            writer.transport.abort()

    def cut(self) -> None:
        """Break what is open, and refuse what comes."""
        self.refusing = True
        self.reset()

    def mend(self) -> None:
        """No faults any more."""
        lossy = self.silent
        self.delay, self.silent, self.refusing = 0.0, False, False
        if lossy:
            self.reset()

    # ---- carrying ----

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self.refusing:
            writer.transport.abort()
            return
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:
            pass  # the wire is taken down; the stream protocol would report it as this handler's error
        finally:
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        self._open.add(writer)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(*self.target)
            ends.append(far_writer)
            self._open.add(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer))
                group.create_task(self._pump(far_reader, writer))
        except* (OSError, TimeoutError):
            pass  # one end is gone, and so is the connection
        finally:
            for end in ends:
                self._open.discard(end)
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.silent:
                self.swallowed += len(data)
                continue
            sink.write(data)
            await sink.drain()
            self.carried += len(data)
        if sink.can_write_eof() and not sink.is_closing():
            sink.write_eof()
