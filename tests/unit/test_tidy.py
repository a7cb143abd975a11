"""Tidying up after deliveries: at once, again and again, never in anybody's way."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from oracle.app import tidy
from oracle.app.chains import ChainPorts
from oracle.app.tidy import tidying
from oracle.errors import Transient


class Chain:
    """A chain whose leftovers are told beforehand; an exception is raised."""

    def __init__(self, *told: int | Exception) -> None:
        self.told = list(told)
        self.looked = asyncio.Event()
        self.looks = 0

    def ports(self) -> ChainPorts:
        submitter = SimpleNamespace(destination=SimpleNamespace(chain="solana:1"))
        return cast(ChainPorts, SimpleNamespace(submitter=submitter, tidy=self._tidy))

    async def _tidy(self) -> int:
        self.looks += 1
        if not self.told:
            self.looked.set()
            return 0
        found = self.told.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


async def test_tidying__failures_and_leftovers__goes_on_and_tells() -> None:
    chain = Chain(Transient("The endpoint is away."), 2, 0)
    with capture_logs() as logs:
        async with tidying([chain.ports()], rest=0.0):
            await asyncio.wait_for(chain.looked.wait(), 30)
    assert chain.looks >= 4
    assert [(entry["log_level"], entry.get("error"), entry.get("closed")) for entry in logs] == [
        ("warning", "The endpoint is away.", None),
        ("info", None, 2),
    ]


async def test_tidying__look_that_hangs__ends_by_its_time_and_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy, "LOOK_SECONDS", 0.05)
    hanging = asyncio.Event()

    async def hang() -> int:
        hanging.set()
        await asyncio.sleep(3600)
        return 0

    after = Chain()
    stuck = cast(ChainPorts, SimpleNamespace(submitter=after.ports().submitter, tidy=hang))
    with capture_logs() as logs:
        async with tidying([stuck, after.ports()]):
            await asyncio.wait_for(after.looked.wait(), 30)
    assert hanging.is_set()
    assert logs[0]["error"] == "TimeoutError"


async def test_tidying__chain_without_leftovers__is_left_alone() -> None:
    plain = cast(ChainPorts, SimpleNamespace(tidy=None))
    other = Chain()
    async with tidying([plain, other.ports()]):
        await asyncio.wait_for(other.looked.wait(), 30)
    assert other.looks == 1
