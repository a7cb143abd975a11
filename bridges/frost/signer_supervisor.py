"""Starts a signer process, watches it, and starts it again when it dies.

Guarantees: `running_signer` yields only when the process answers; its end is logged and followed by a new start after a growing pause,
until it has failed to come up `attempts` times in a row: then that is said and nothing more is tried; the process ends with the
block, and with this process however that dies (its standard input closes).
Does not keep anything of a signer that died: its nonces are gone, and sessions that used them fail as `NonceSpent`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from bridges.frost.errors import FrostError
from bridges.frost.remote_signer import LinkLimits, SignerLink, SignerUnavailable
from bridges.frost.signer_rules import load_signer_config
from oracle.errors import ConfigError

_log: Final = structlog.get_logger(__name__)

_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
_LINE: Final = 4096


@dataclass(frozen=True, slots=True)
class SupervisorLimits:
    """Waits in seconds."""

    ready_seconds: float = 30.0
    """For a start: the interpreter, the key derivation, the ledger's check."""
    stop_seconds: float = 5.0
    pause_seconds: float = 0.25
    """Before the first new start; doubles with each that fails."""
    longest_pause_seconds: float = 30.0
    attempts: int = 8
    steady_seconds: float = 60.0
    """A process that lived so long counts as having come up."""


class SignerProcess:
    """One supervised signer process. Made by `running_signer`."""

    def __init__(self, config: Path, limits: SupervisorLimits) -> None:
        settings = load_signer_config(config)
        self._config, self._limits = config, limits
        self._environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if settings.passphrase_env is not None and settings.passphrase_env in os.environ:
            self._environment[settings.passphrase_env] = os.environ[settings.passphrase_env]
        self._child: asyncio.subprocess.Process | None = None
        self._said = ""
        self.socket = settings.socket
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._child is None or self._child.returncode is not None else self._child.pid

    async def start(self) -> None:
        """Start it and wait until it answers. Raises ConfigError with what the process said if it ends or stays silent."""
        child = self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bridges.frost.signer_process",
            "--supervised",
            "--config",
            self._config,
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )
        try:
            async with asyncio.timeout(self._limits.ready_seconds):
                while True:
                    line = await self._pass_on(child)
                    if not line:
                        await child.wait()
                        raise ConfigError(f"The signer process did not start: {self._said or 'it said nothing.'}")
                    if "signer_ready" in line:
                        break
            await self._greet()
        except TimeoutError:
            raise ConfigError(f"The signer process was not ready within {self._limits.ready_seconds:g} s.") from None

    async def _greet(self) -> None:
        link = SignerLink(self.socket, LinkLimits(connections=1))
        try:
            await link.public()
        except (SignerUnavailable, FrostError) as error:
            raise ConfigError(f"The signer process started and does not answer: {error}") from error
        finally:
            link.close()

    async def _pass_on(self, child: asyncio.subprocess.Process) -> str:
        """Its next line, which goes to our standard error too; empty at its end."""
        if child.stderr is None:
            raise RuntimeError("the signer process was started with a pipe")
        try:
            line = (await child.stderr.readline()).decode(errors="replace")
        except ValueError:  # longer than the reader takes
            return "…"
        sys.stderr.write(line)
        self._said = line.strip()[:_LINE].removeprefix("sibyl-signer: ") or self._said
        return line

    async def watch(self) -> None:
        """Until it is given up: pass on what the process says, and start it again when it ends."""
        limits, failures, pause = self._limits, 0, self._limits.pause_seconds
        while failures < limits.attempts:
            began, child = time.monotonic(), self._child
            if child is not None and child.returncode is None:
                while await self._pass_on(child):
                    pass
                status = await child.wait()
                _log.error("signer_ended", status=status, said=self._said)
            if time.monotonic() - began >= limits.steady_seconds:
                failures, pause = 0, limits.pause_seconds
            failures += 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, limits.longest_pause_seconds)
            try:
                await self.start()
            except (ConfigError, OSError) as error:
                _log.error("signer_not_restarted", error=str(error), attempt=failures, attempts=limits.attempts)
                await self.stop()
                continue
            self.restarts += 1
            _log.warning("signer_restarted", restarts=self.restarts)
        _log.error(
            "signer_given_up", attempts=limits.attempts, advice="correct what it said above and restart the node"
        )

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL if that does not help. Safe to repeat."""
        child = self._child
        if child is None:
            return
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            try:
                async with asyncio.timeout(self._limits.stop_seconds):
                    while child.stderr is not None and await self._pass_on(child):
                        pass
                    await child.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if child.stdin is not None:
            child.stdin.close()


@asynccontextmanager
async def running_signer(config: Path, limits: SupervisorLimits | None = None) -> AsyncIterator[SignerProcess]:
    """A signer process for the length of the block. Raises ConfigError if it does not come up at first."""
    process = SignerProcess(config, limits or SupervisorLimits())
    try:
        await process.start()
        watching = asyncio.ensure_future(process.watch())
        try:
            yield process
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    finally:
        await process.stop()
