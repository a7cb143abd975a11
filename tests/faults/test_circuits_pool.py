"""Workers that hang, die, or are asked too much; and what is left when a pool stops."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # no type information upstream
import pytest

from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.compile import PACKAGES, child_environment
from circuits.errors import JobFailedError, PoolClosedError, PoolFullError, WorkerCrashedError, WorkerTimeoutError
from circuits.jobs import FailureKind, Job, Task, encode_job
from circuits.pool import PoolLimits, WorkerPool
from circuits.prover import LocalProver, ProverLimits
from oracle.errors import ProofError

INPUTS = (4096, -2048)
SECONDS = 60.0


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


@pytest.fixture(scope="module")
def infer(tiny: ModelArtifacts) -> Job:
    return Job(Task.INFER, str(tiny.directory), tiny.model_id.hex(), INPUTS)


def _gone(pid: int, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


async def test_pool__worker_stopped_by_the_kernel__killed_at_the_deadline_and_replaced(infer: Job) -> None:
    async with WorkerPool() as pool:
        good = await pool.run(infer, SECONDS)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(WorkerTimeoutError, match=r"0\.3 s"):
            await pool.run(infer, 0.3)
        assert _gone(pid)
        assert await pool.run(infer, SECONDS) == good
        assert pool.pids != (pid,)


async def test_pool__worker_killed_in_the_middle_of_a_job__typed_error_and_a_fresh_worker(infer: Job) -> None:
    async with WorkerPool() as pool:
        await pool.run(infer, SECONDS)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)  # so that the job is certainly under way when the kill comes
        job = asyncio.ensure_future(pool.run(infer, SECONDS))
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerCrashedError, match="SIGKILL"):
            await job
        await pool.run(infer, SECONDS)


async def test_pool__idle_worker_killed__next_job_gets_another(infer: Job) -> None:
    async with WorkerPool() as pool:
        await pool.run(infer, SECONDS)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        assert _gone(pid)
        await asyncio.sleep(0.2)  # the loop hears of it
        await pool.run(infer, SECONDS)


async def test_pool__cancelled_job__kills_its_worker_and_frees_the_slot(infer: Job) -> None:
    async with WorkerPool() as pool:
        await pool.run(infer, SECONDS)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        job = asyncio.ensure_future(pool.run(infer, SECONDS))
        await asyncio.sleep(0.1)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert _gone(pid)
        await pool.run(infer, SECONDS)


async def test_pool__cancelled_while_the_worker_starts__nothing_leaks(infer: Job, tmp_path: Path) -> None:
    pool = WorkerPool(scratch=tmp_path)
    pool.start()
    children = psutil.Process().children
    before = {child.pid for child in children()}
    for delay in (0.0, 0.002, 0.02, 0.1):
        job = asyncio.ensure_future(pool.run(infer, SECONDS))
        await asyncio.sleep(delay)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
    await pool.run(infer, SECONDS)
    await pool.stop()
    assert {child.pid for child in children()} <= before
    assert list(tmp_path.iterdir()) == []


async def test_pool__queue_full__refused_at_once_and_the_rest_served(infer: Job) -> None:
    async with WorkerPool(PoolLimits(workers=1, queue=1)) as pool:
        await pool.run(infer, SECONDS)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        running = asyncio.ensure_future(pool.run(infer, SECONDS))
        waiting = asyncio.ensure_future(pool.run(infer, SECONDS))
        await asyncio.sleep(0.1)
        with pytest.raises(PoolFullError, match="later"):
            await pool.run(infer, SECONDS)
        os.kill(pid, signal.SIGCONT)
        assert await running == await waiting


async def test_pool__no_worker_free_in_time__says_so(infer: Job) -> None:
    async with WorkerPool(PoolLimits(workers=1, queue=4, queue_seconds=0.2)) as pool:
        await pool.run(infer, SECONDS)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        running = asyncio.ensure_future(pool.run(infer, SECONDS))
        await asyncio.sleep(0.05)
        with pytest.raises(PoolFullError, match="came free"):
            await pool.run(infer, SECONDS)
        os.kill(pid, signal.SIGCONT)
        assert (await running).outputs


async def test_pool__two_workers__work_side_by_side(infer: Job) -> None:
    async with WorkerPool(PoolLimits(workers=2)) as pool:
        both = await asyncio.gather(pool.run(infer, SECONDS), pool.run(infer, SECONDS))
        assert both[0] == both[1]
        assert len(pool.pids) == 2
        stopped = pool.pids[0]
        os.kill(stopped, signal.SIGSTOP)
        jobs = [asyncio.ensure_future(pool.run(infer, SECONDS)) for _ in range(2)]
        done, pending = await asyncio.wait(jobs, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == len(pending) == 1
        os.kill(stopped, signal.SIGCONT)
        assert set(await asyncio.gather(*jobs)) == set(both)


async def test_pool__job_fails__worker_stays(infer: Job, tiny: ModelArtifacts) -> None:
    async with WorkerPool() as pool:
        await pool.run(infer, SECONDS)
        pids = pool.pids
        with pytest.raises(JobFailedError) as caught:
            await pool.run(Job(Task.INFER, str(tiny.directory), "00" * 32, INPUTS), SECONDS)
        assert caught.value.kind == FailureKind.MODEL
        # Far outside what the circuit holds: only the admission check keeps such inputs away from a worker.
        with pytest.raises(JobFailedError) as caught:
            await pool.run(Job(Task.INFER, str(tiny.directory), tiny.model_id.hex(), (1 << 40, 0)), SECONDS)
        assert pool.pids == pids


async def test_pool__stopped_under_load__every_caller_is_told_and_nothing_is_left(infer: Job, tmp_path: Path) -> None:
    pool = WorkerPool(PoolLimits(workers=1), scratch=tmp_path)
    pool.start()
    await pool.run(infer, SECONDS)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    jobs = [asyncio.ensure_future(pool.run(infer, SECONDS)) for _ in range(3)]
    await asyncio.sleep(0.1)
    await pool.stop(grace=0.2)
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(result, PoolClosedError) for result in results)
    assert _gone(pid)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PoolClosedError):
        await pool.run(infer, SECONDS)
    with pytest.raises(PoolClosedError):
        pool.start()
    await pool.stop()


async def test_pool__stopped_gracefully__running_job_is_finished(infer: Job) -> None:
    pool = WorkerPool()
    pool.start()
    job = asyncio.ensure_future(pool.run(infer, SECONDS))
    await asyncio.sleep(0)
    await pool.stop(grace=SECONDS)
    assert (await job).outputs


async def test_prover__worker_lost__is_a_proof_error_and_never_a_refusal(tiny: ModelArtifacts) -> None:
    async with LocalProver([tiny], devnet=True, limits=ProverLimits(infer_seconds=1.0)) as prover:
        await prover.warm()
        for pid in prover.pids:
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(ProofError):
            await prover.infer(tiny.model_id, INPUTS)


def _worker(home: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "circuits.worker", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(home),
        cwd=home,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_worker__job_outlives_its_alarm__ended_by_the_kernel(tmp_path: Path) -> None:
    tumour = ensure_model("tumour")
    with _worker(tmp_path) as process:
        assert process.stdin is not None
        inputs = tumour.heldout()[0].inputs
        # Proving holds the interpreter's lock far longer than this; nothing in Python could interrupt it.
        job = Job(Task.PROVE, str(tumour.directory), tumour.model_id.hex(), inputs, alarm=0.15)
        process.stdin.write(encode_job(job))
        process.stdin.flush()
        assert process.wait(30) == -signal.SIGALRM


def test_worker__parent_gone__ends(tmp_path: Path) -> None:
    with _worker(tmp_path) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def test_pool__parent_killed__workers_end(tmp_path: Path, tiny: ModelArtifacts) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from circuits.catalogue import open_model\nfrom circuits.prover import LocalProver\n"
        "async def main():\n"
        "    async with LocalProver([open_model(Path(sys.argv[1]))], devnet=True, scratch=Path(sys.argv[2])) as prover:\n"
        "        await prover.warm()\n        print(list(prover.pids), flush=True)\n        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tiny.directory), str(tmp_path)], stdout=subprocess.PIPE, cwd=PACKAGES
    ) as process:
        try:
            assert process.stdout is not None
            pids = json.loads(process.stdout.readline())
            assert len(pids) == 2
        finally:
            process.kill()
        process.wait(10)
    assert all(_gone(pid) for pid in pids)
