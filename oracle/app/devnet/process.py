"""Child processes on a leash: started, watched and ended by their id, and ended too if this process dies.

Guarantees: a child started here does not outlive its parent, not even one killed with SIGKILL; `stop` first asks
(SIGTERM), then kills (SIGKILL); a child's output goes to a log file with mode 0600. A child leads its own process group, so
Ctrl-C in a terminal reaches the parent alone, which then ends its children in its own order.
It does not restart anything and does not look at what a child prints.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import FileIO, RawIOBase
from pathlib import Path

from oracle.errors import ConfigError

STOP_SECONDS = 5.0
KILL_SECONDS = 5.0
LOG_TAIL_BYTES = 2000

# The shell leaves a watcher behind and becomes the command, which so keeps the shell's process id ($$). The watcher waits
# for a line on the pipe from the parent: a line means that the parent saw the command end, end of file means that the
# parent died.
_LEASH = (
    "exec 9<&0 </dev/null; "
    "( read -r _ <&9 || { kill -TERM $$; sleep 3; kill -KILL $$; } ) >/dev/null 2>&1 & "
    'exec 9<&-; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Child:
    """A running child process and the file that holds its output."""

    name: str
    process: Process
    log_path: Path
    leash: RawIOBase
    """The pipe that the watcher reads; `stop` closes it."""

    @property
    def pid(self) -> int:
        """The process id of the command itself."""
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        return self.process.returncode

    def log_tail(self) -> str:
        """The end of the log, for an error message."""
        with self.log_path.open("rb") as file:
            file.seek(max(0, self.log_path.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").strip()

    async def stop(self, timeout: float = STOP_SECONDS) -> int:
        """Ends the child and returns its exit code: SIGTERM, and SIGKILL after `timeout` seconds. Safe to repeat."""
        try:
            self._signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), timeout)
        finally:
            # Also when this task is cancelled meanwhile: nothing may be left running.
            self._signal(signal.SIGKILL)
            try:
                code = await asyncio.wait_for(self.process.wait(), KILL_SECONDS)
            finally:
                self._release()
        return code

    def _signal(self, number: int) -> None:
        if self.process.returncode is None:
            with suppress(ProcessLookupError):  # it ended by itself, which asyncio has not noticed yet
                self.process.send_signal(number)

    def _release(self) -> None:
        """Tells the watcher that the command has ended, so that it does not signal an id that may be used again."""
        if not self.leash.closed:
            with suppress(BrokenPipeError):
                self.leash.write(b"ended\n")
            self.leash.close()


@asynccontextmanager
async def running(
    name: str,
    command: Sequence[str | Path],
    *,
    log_path: Path,
    environment: Mapping[str, str],
    directory: Path,
    stop_timeout: float = STOP_SECONDS,
) -> AsyncIterator[Child]:
    """Runs `command` in `directory` while the block lasts. Its standard input is empty, its output appended to `log_path`.

    Raises:
        ConfigError: the command is not an executable file.
    """
    child = await start(name, command, log_path=log_path, environment=environment, directory=directory)
    try:
        yield child
    finally:
        await child.stop(stop_timeout)


async def start(
    name: str,
    command: Sequence[str | Path],
    *,
    log_path: Path,
    environment: Mapping[str, str],
    directory: Path,
) -> Child:
    """Starts `command` on a leash; the caller owns the child and must `stop` it. See `running`."""
    if not _is_executable(command[0]):
        raise ConfigError(f"{name} cannot be started: {command[0]} is not an executable file.")
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # Not asyncio's own pipe: that one closes as soon as the command ends, which would look like this process's death.
    end, leash = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _LEASH,
            name,
            *map(str, command),
            stdin=end,
            stdout=log,
            stderr=log,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
        )
    except BaseException:
        os.close(leash)  # if the shell did start, this ends it
        raise
    finally:
        os.close(end)
        os.close(log)
    return Child(name, process, log_path, FileIO(leash, "w"))


def _is_executable(program: str | Path) -> bool:
    return Path(program).is_file() and os.access(program, os.X_OK)
