"""What the signer's ledger forgets, and that nobody can have anything signed by waiting until it has."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from bridges.frost.group import Scalar as PublicScalar
from bridges.frost.group import base_times
from bridges.frost.signer_ledger import Conflict, Entry, Forgotten, Ledger, LedgerError
from tests.support.samples import plain_message

KEY = base_times(PublicScalar(7)).to_bytes()
TOP = (1 << 64) - 1


def entry(sequence: int, payload: bytes = b"true") -> Entry:
    made = plain_message(sequence=sequence, payload=payload)
    return Entry.of(made, made.to_bytes())


def entries(sequences: Iterable[int], payload: bytes = b"true") -> list[Entry]:
    return [entry(sequence, payload) for sequence in sequences]


def opened(directory: Path, remembered: int = 10) -> Ledger:
    return Ledger(directory / "l.sqlite", KEY, remembered)


async def test_ledger__second_body_after_the_first_was_forgotten__is_refused_for_good(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        await ledger.record(entries(range(1, 41)))
        assert len(ledger) == 10
        for sequence in range(1, 31):
            with pytest.raises(Forgotten, match="signs nothing there any more"):
                ledger.check([entry(sequence, b"false")])
            with pytest.raises(Forgotten):
                await ledger.record([entry(50), entry(sequence, b"false")])
        assert len(ledger) == 10, "and nothing of a refused batch is kept"
    with closing(opened(tmp_path)) as again:
        with pytest.raises(Forgotten):
            await again.record([entry(30, b"false")])
        with pytest.raises(Conflict, match="another body"):
            await again.record([entry(31, b"false")])
        assert await again.record([entry(31)]) == 0
        assert await again.record([entry(41)]) == 1


async def test_ledger__remembered_raised_after_it_forgot__what_was_forgotten_stays_refused(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        await ledger.record(entries(range(1, 41)))
    with closing(opened(tmp_path, remembered=1_000)) as ledger, pytest.raises(Forgotten):
        await ledger.record([entry(1, b"false")])


async def test_ledger__same_body_after_it_was_forgotten__is_refused_too(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        await ledger.record(entries(range(1, 41)))
        with pytest.raises(Forgotten):
            await ledger.record([entry(30)])


async def test_ledger__place_never_signed_below_what_was_forgotten__is_refused_for_nobody_knows(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        await ledger.record(entries(range(2, 81, 2)))
        with pytest.raises(Forgotten):
            await ledger.record([entry(59)])
        assert await ledger.record([entry(61)]) == 1, "above it, order does not matter"


async def test_ledger__place_taken_while_it_is_being_forgotten__takes_no_second_body(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        await ledger.record(entries([1, *range(3, 11)]))
        # Both wait for the same write, in which 2 is recorded and, as one of the lowest of forty, forgotten.
        assert tuple(await asyncio.gather(ledger.record(entries(range(11, 41))), ledger.record([entry(2)]))) == (30, 1)
        with pytest.raises(Forgotten):
            await ledger.record([entry(2, b"false")])
        assert len(ledger) == 10


async def test_ledger__one_sequence_out_of_all_measure__costs_the_others_nothing(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        await ledger.record([entry(TOP)])
        for sequence in range(1, 41):
            assert await ledger.record([entry(sequence)]) == 1
        with pytest.raises(Conflict, match="another body"):
            await ledger.record([entry(TOP, b"false")])


async def test_ledger__streams__forget_each_its_own(tmp_path: Path) -> None:
    place, digest = entry(1).place, entry(1).digest
    # Another kind, another origin, another destination.
    first = [Entry(place[:at] + bytes([place[at] ^ 1]) + place[at + 1 :], digest) for at in (0, 1, 132)]
    with closing(opened(tmp_path)) as ledger:
        assert await ledger.record(first) == 3
        await ledger.record(entries(range(1, 1_001)))
        assert len(ledger) == 13
        assert await ledger.record(first) == 0


async def test_ledger__many_signings__stay_within_the_bound_and_so_does_the_file(tmp_path: Path) -> None:
    sizes = []
    with closing(opened(tmp_path, remembered=100)) as ledger:
        for turn in range(40):
            await ledger.record(entries(range(100 * turn + 1, 100 * turn + 101)))
            assert len(ledger) <= 110
            ledger._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sizes.append((tmp_path / "l.sqlite").stat().st_size)
    assert max(sizes[3:]) <= 2 * sizes[2]


async def test_ledger__disk_fails_while_it_forgets__nothing_is_recorded_or_forgotten(tmp_path: Path) -> None:
    class Failing:
        def __init__(self, real: sqlite3.Connection) -> None:
            self.real = real

        def execute(self, query: str, *arguments: object) -> object:
            if query.startswith("DELETE"):
                raise sqlite3.OperationalError("database or disk is full")
            return self.real.execute(query, *arguments)  # type: ignore[arg-type]  # as it came

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

    with closing(opened(tmp_path)) as ledger:
        await ledger.record(entries(range(1, 11)))
        real = ledger._writer
        ledger._writer = Failing(real)  # type: ignore[assignment]  # the fault
        with pytest.raises(LedgerError, match="disk is full"):
            await ledger.record(entries(range(11, 41)))
        ledger._writer = real
        assert len(ledger) == 10
        with pytest.raises(Conflict, match="another body"):
            ledger.check([entry(1, b"false")])
        assert await ledger.record(entries(range(11, 41))) == 30
        with pytest.raises(Forgotten):
            ledger.check([entry(1, b"false")])


async def test_ledger__file_of_version_1__is_taken_over_with_all_it_remembers(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        await ledger.record(entries(range(1, 6)))
    with closing(sqlite3.connect(tmp_path / "l.sqlite")) as db:
        db.execute("DROP TABLE forgotten")
        db.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
        db.commit()
    with closing(opened(tmp_path)) as ledger:
        assert len(ledger) == 5
        with pytest.raises(Conflict, match="another body"):
            await ledger.record([entry(3, b"false")])
        await ledger.record(entries(range(6, 41)))
    with closing(opened(tmp_path)) as ledger, pytest.raises(Forgotten):
        await ledger.record([entry(3, b"false")])


@pytest.mark.parametrize("remembered", [10, 13, 1_024])
async def test_ledger__any_order_and_any_batches__never_takes_two_bodies_for_one_place(
    tmp_path: Path, remembered: int
) -> None:
    """Whatever is asked for: of two bodies for one place the ledger takes one at most, restarts included."""
    taken: dict[int, set[bytes]] = {}
    ledger = opened(tmp_path, remembered)
    draws = os.urandom(3 * 600)
    try:
        for turn in range(600):
            sequence, payload = 1 + turn // 8 + draws[3 * turn] % 40, bytes([draws[3 * turn + 1] % 2])
            try:
                await ledger.record([entry(sequence, payload)])
                taken.setdefault(sequence, set()).add(payload)
            except Conflict:
                pass
            if draws[3 * turn + 2] < 4:
                ledger.close()
                ledger = opened(tmp_path, remembered)
    finally:
        ledger.close()
    assert len(taken) > 60
    assert all(len(bodies) == 1 for bodies in taken.values())
