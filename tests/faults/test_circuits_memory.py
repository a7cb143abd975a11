"""Proofs on a machine with too little memory: refused or made one after the other, and never swapped."""

import asyncio
import os
from pathlib import Path

import pytest

from circuits import pool as pools
from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.errors import MemoryShortError, PoolFullError
from circuits.jobs import Job, Task
from circuits.memory_guard import MIB, RESERVE, MemoryGuard, available_memory, proof_memory, resident
from circuits.pool import PoolLimits, WorkerPool
from circuits.prover import LocalProver
from oracle.errors import ProofError

SECONDS = 120.0


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


def _job(model: ModelArtifacts) -> Job:
    return Job(Task.INFER, str(model.directory), model.model_id.hex(), (4096, -2048))


async def test_guard__fits__is_given_and_given_back() -> None:
    guard = MemoryGuard(lambda: 0, lambda: RESERVE + 100)
    for _ in range(2):
        async with guard.room(100):
            pass
    with pytest.raises(MemoryShortError, match="Give this machine more"):
        async with guard.room(101):
            pytest.fail("it was given")


async def test_guard__what_the_workers_hold__counts_as_there() -> None:
    async with MemoryGuard(lambda: 60, lambda: RESERVE + 40).room(100):
        pass


async def test_guard__taken_by_another__is_waited_for_in_full() -> None:
    guard = MemoryGuard(lambda: 0, lambda: RESERVE + 100)
    order: list[str] = []

    async def second() -> None:
        async with guard.room(60):
            order.append("second")

    async with asyncio.TaskGroup() as group, guard.room(60):
        group.create_task(second())
        for _ in range(5):
            await asyncio.sleep(0)
        async with guard.room(40):  # this one fits beside
            order.append("beside")
        for _ in range(5):
            await asyncio.sleep(0)
        order.append("first ends")
    assert order == ["beside", "first ends", "second"]


async def test_guard__memory_vanishes_while_one_waits__is_refused() -> None:
    free = [RESERVE + 100]
    guard = MemoryGuard(lambda: 0, lambda: free[0])

    async def second() -> None:
        async with guard.room(60):
            pytest.fail("it was given")

    async with guard.room(60):
        task = asyncio.ensure_future(second())
        await asyncio.sleep(0)
        free[0] = RESERVE + 10
    with pytest.raises(MemoryShortError):
        await task


async def test_guard__job_that_fails_or_is_cancelled__gives_back() -> None:
    guard = MemoryGuard(lambda: 0, lambda: RESERVE + 100)
    with pytest.raises(ZeroDivisionError):
        async with guard.room(100):
            raise ZeroDivisionError

    async def forever() -> None:
        async with guard.room(100):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(forever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with guard.room(100):
        pass


async def test_pool__job_too_large__is_refused_without_a_worker_and_the_slot_is_free_again(
    tiny: ModelArtifacts,
) -> None:
    async with WorkerPool(PoolLimits(workers=1), available=lambda: RESERVE + 10) as pool:
        with pytest.raises(MemoryShortError):
            await pool.run(_job(tiny), SECONDS, 1 << 40)
        assert pool.pids == ()
        assert (await pool.run(_job(tiny), SECONDS)).outputs


async def test_pool__two_workers_and_memory_for_one__one_waits_for_the_other(
    tiny: ModelArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "resident", lambda _: 0)
    async with WorkerPool(PoolLimits(workers=2), available=lambda: RESERVE + 100) as pool:
        both = await asyncio.gather(*(pool.run(_job(tiny), SECONDS, 60) for _ in range(2)))
        assert both[0].outputs == both[1].outputs
        assert len(pool.pids) <= 2


async def test_pool__no_memory_within_the_wait__is_full_and_says_so(
    tiny: ModelArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "resident", lambda _: 0)
    limits = PoolLimits(workers=2, queue_seconds=0.2)
    async with WorkerPool(limits, available=lambda: RESERVE + 100) as pool:
        async with pool._guard.room(100):
            with pytest.raises(PoolFullError, match="No memory came free"):
                await pool.run(_job(tiny), SECONDS, 60)
        assert (await pool.run(_job(tiny), SECONDS, 60)).outputs


async def test_prover__machine_without_memory__is_a_proof_error_that_another_node_may_not_have(
    tiny: ModelArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with LocalProver([tiny], devnet=True) as prover:
        monkeypatch.setattr(prover._proofs._guard, "_available", lambda: 0)
        with pytest.raises(ProofError, match="needs about"):
            await prover.prove(tiny.model_id, (4096, -2048))
        monkeypatch.undo()
        assert (await prover.prove(tiny.model_id, (4096, -2048))).proof


def test_available__control_group__is_counted_when_it_is_less(tmp_path: Path) -> None:
    free = available_memory(tmp_path)
    assert free > 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert available_memory(tmp_path) > 1000
    (tmp_path / "memory.max").write_text("5000\n")
    assert available_memory(tmp_path) == 4000
    (tmp_path / "memory.current").write_text("6000\n")
    assert available_memory(tmp_path) == 0


def test_resident__process_that_is_gone__holds_nothing() -> None:
    assert resident((os.getpid(),)) > MIB
    assert resident((2**22 + 1,)) == 0
    assert proof_memory(45 * MIB) > 138 * MIB
