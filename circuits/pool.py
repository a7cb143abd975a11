"""A pool of worker processes, each doing one job at a time.

Guarantees: a job ends by its deadline, because its worker is then killed; a cancelled job's worker is killed too; a worker that died is replaced when
the next job needs one; the queue is bounded and says so when it is full; a job that needs more memory than there is waits for others to end, or is
refused; after `stop` no process and no file is left. Workers start when they are first needed. Does not do: retry a job (the caller knows whether
that helps), or know what jobs mean.
"""

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from circuits.compile import child_environment
from circuits.errors import JobFailedError, PoolClosedError, PoolFullError, WorkerCrashedError, WorkerTimeoutError
from circuits.jobs import LINE_LIMIT, Job, Reply, decode_reply, encode_job
from circuits.memory_guard import MemoryGuard, available_memory, resident

ALARM_GRACE = 5.0
"""Seconds after its deadline at which a worker's own alarm ends it, should the parent have died."""

START_SECONDS = 60.0
"""Longest time from starting a process to its first line."""

REAP_SECONDS = 10.0
"""Longest time in which the kernel buries a killed process; only a process stuck in the kernel takes longer."""

_TAIL = 600


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of a pool."""

    workers: int = 1
    queue: int = 32
    """Jobs that may wait for a worker."""
    queue_seconds: float = 120.0
    """Longest wait for a worker."""


class _Worker:
    """One process and its private directory."""

    def __init__(self, process: asyncio.subprocess.Process, home: Path) -> None:
        self.process = process
        self.home = home

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def call(self, line: bytes, seconds: float) -> Reply:
        """Send a line and read the reply. Raises JobFailedError, WorkerTimeoutError or WorkerCrashedError."""
        writer, reader = self.process.stdin, self.process.stdout
        if writer is None or reader is None:
            raise WorkerCrashedError("The worker has no pipes.")
        try:
            async with asyncio.timeout(seconds):
                if line:
                    writer.write(line)
                    await writer.drain()
                answer = await reader.readline()
                if not answer.endswith(b"\n"):
                    raise WorkerCrashedError(await self._post_mortem())
                return decode_reply(answer)
        except TimeoutError:
            raise WorkerTimeoutError(f"The job took more than {seconds:g} s and its worker was killed.") from None
        except ConnectionError:
            raise WorkerCrashedError(await self._post_mortem()) from None
        except ValueError as error:
            raise WorkerCrashedError(f"The worker answered nonsense and was killed ({error}).") from error

    async def _post_mortem(self) -> str:
        try:
            async with asyncio.timeout(1.0):
                code = await self.process.wait()
        except TimeoutError:
            return "The worker closed its output without an answer and was killed."
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        tail = self.errors.read_bytes()[-_TAIL:].decode(errors="replace").strip() if self.errors.exists() else ""
        return f"The worker died under the job ({how}){': ' + tail if tail else '.'}"

    @property
    def errors(self) -> Path:
        """What the process printed during its current job."""
        return self.home / "stderr"

    def kill(self) -> None:
        if self.alive:
            try:
                self.process.kill()
            except ProcessLookupError:
                return


class WorkerPool:
    """See the module. Use as an async context manager, or `start` and `stop`."""

    def __init__(
        self,
        limits: PoolLimits | None = None,
        *,
        scratch: Path | None = None,
        available: Callable[[], int] = available_memory,
    ) -> None:
        """`scratch` is where the pool may make its private directory; the system's temporary one by default. `available`: free bytes."""
        self._limits = limits or PoolLimits()
        self._parent = scratch
        self._home: Path | None = None
        self._slots: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue(self._limits.workers)
        self._live: set[_Worker] = set()
        self._guard = MemoryGuard(lambda: resident(self.pids), available)
        self._doomed: set[_Worker] = set()
        self._waiting = 0
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that run now."""
        return tuple(worker.process.pid for worker in self._live if worker.alive)

    def _refusing(self) -> bool:
        """Whether no job may begin: not started, or stopping."""
        return self._home is None or self._stopping

    def _ended(self) -> bool:
        """Whether the workers are being killed: not started, or past the grace of a stop."""
        return self._home is None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(grace=0.0 if error else 5.0)

    def start(self) -> None:
        """Take jobs from now on. Starts no process yet. A pool that was stopped stays so."""
        if self._stopping:
            raise PoolClosedError("The worker pool was stopped; make a new one.")
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="sibyl-workers-", dir=self._parent))
            for _ in range(self._limits.workers):
                self._slots.put_nowait(None)

    async def run(self, job: Job, seconds: float, memory: int = 0) -> Reply:
        """Do `job` within `seconds` of its start. `memory`: bytes that it will need, if they are many.

        Raises JobFailedError when the job itself fails, else a PoolError: PoolFullError, MemoryShortError, PoolClosedError, WorkerTimeoutError,
        WorkerCrashedError.
        """
        self._running += 1
        self._idle.clear()
        try:
            return await self._run_in_slot(await self._take_slot(), job, seconds, memory)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _run_in_slot(self, slot: _Worker | None, job: Job, seconds: float, memory: int) -> Reply:
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._limits.queue_seconds):
                    await stack.enter_async_context(self._guard.room(memory))
            except BaseException as error:
                self._slots.put_nowait(slot)
                if isinstance(error, TimeoutError):
                    raise PoolFullError(
                        f"No memory came free within {self._limits.queue_seconds:g} s; try again later."
                    ) from None
                raise
            return await self._run_with(slot, job, seconds)

    async def _run_with(self, slot: _Worker | None, job: Job, seconds: float) -> Reply:
        worker = slot
        healthy = False
        try:
            if worker is not None and not worker.alive:  # killed while it was idle
                self._discard(worker)
                worker = None
            worker = worker or await self._spawn()
            reply = await worker.call(encode_job(replace(job, alarm=seconds + ALARM_GRACE)), seconds)
            healthy = True
            return reply
        except JobFailedError:
            healthy = True
            raise
        except WorkerCrashedError as error:
            if self._ended():
                raise PoolClosedError("The worker pool was stopped before the job was done.") from error
            raise
        finally:
            self._give_back(worker, healthy)

    async def _take_slot(self) -> _Worker | None:
        if self._refusing():
            raise PoolClosedError("The worker pool is not running.")
        if self._slots.empty() and self._waiting >= self._limits.queue:
            raise PoolFullError(f"{self._waiting} jobs wait for a worker already; try again later or raise the limit.")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                slot = await self._slots.get()
        except TimeoutError:
            raise PoolFullError(
                f"No worker came free within {self._limits.queue_seconds:g} s; try again later."
            ) from None
        finally:
            self._waiting -= 1
        if self._refusing():  # stopped while this job waited
            self._slots.put_nowait(slot)
            raise PoolClosedError("The worker pool was stopped before the job began.")
        return slot

    def _give_back(self, worker: _Worker | None, healthy: bool) -> None:
        if worker is not None and not (healthy and worker.alive):
            self._discard(worker)
            worker = None
        if worker is not None and worker.errors.exists():
            worker.errors.write_bytes(b"")  # opened for appending: what native code prints cannot fill the disk
        self._slots.put_nowait(worker)

    async def _spawn(self) -> _Worker:
        await self._reap()
        if self._home is None:
            raise PoolClosedError("The worker pool was stopped before the job began.")
        try:
            home = Path(tempfile.mkdtemp(prefix="worker-", dir=self._home))
            process = await _start_process(home)
        except OSError as error:
            raise WorkerCrashedError(f"No worker process can be started: {error}.") from error
        worker = _Worker(process, home)
        self._live.add(worker)
        ready = False
        try:
            if self._ended():
                raise PoolClosedError("The worker pool was stopped before the job began.")
            await worker.call(b"", START_SECONDS)  # the line that says it is ready
            ready = True
        finally:
            if not ready:
                self._discard(worker)
        return worker

    def _discard(self, worker: _Worker) -> None:
        worker.kill()
        self._live.discard(worker)
        self._doomed.add(worker)

    async def _reap(self) -> None:
        """Wait for killed processes to be gone, and remove what they left."""
        for worker in tuple(self._doomed):
            try:
                async with asyncio.timeout(REAP_SECONDS):
                    await worker.process.wait()
            except TimeoutError:
                continue  # stuck in the kernel: nobody can do more; asked again at the next start or stop
            if worker.process.stdin is not None:
                worker.process.stdin.close()
            shutil.rmtree(worker.home, ignore_errors=True)
            self._doomed.discard(worker)

    async def stop(self, grace: float = 5.0) -> None:
        """Refuse new jobs, give running ones `grace` seconds, then end every worker. Safe to call twice."""
        self._stopping = True
        if self._home is None:
            return
        try:
            async with asyncio.timeout(grace):
                await self._idle.wait()
        except TimeoutError:
            pass  # whoever still works has had its time
        finally:
            home, self._home = self._home, None
            await self._end_all()
            if home is not None:  # None: another task's stop was faster
                shutil.rmtree(home, ignore_errors=True)

    async def _end_all(self) -> None:
        for worker in tuple(self._live):
            self._discard(worker)
        async with asyncio.timeout(REAP_SECONDS):  # the jobs of killed workers end at once
            await self._idle.wait()
        await self._reap()


async def _start_process(home: Path) -> asyncio.subprocess.Process:
    with (home / "stderr").open("ab") as errors:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "circuits.worker",
            str(home),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LINE_LIMIT,
            env=child_environment(home),
            cwd=home,
        )
