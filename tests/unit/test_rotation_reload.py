"""SIGHUP: the daemon begins anew with what its configuration says now, and goes on as it was when that cannot be read."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oracle.app import daemon
from oracle.config import NodeConfig
from oracle.errors import ConfigError
from oracle.pipeline import Pipeline
from tests.support.node_config import changed, document, parsed


class StandIn:
    """A node that runs until it is cancelled."""

    def __init__(self) -> None:
        self.pipeline = Pipeline()

    async def run(self) -> None:
        await asyncio.Event().wait()


async def test_serve__hangup__begins_anew_with_the_new_configuration_and_survives_a_bad_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: asyncio.Queue[tuple[str, NodeConfig]] = asyncio.Queue()

    @asynccontextmanager
    async def built_node(config: NodeConfig) -> AsyncIterator[StandIn]:
        built.put_nowait(("up", config))
        yield StandIn()
        built.put_nowait(("down", config))

    monkeypatch.setattr(daemon, "built_node", built_node)

    async def none(config: NodeConfig) -> list[str]:
        return []

    monkeypatch.setattr(daemon, "objections", none)
    monkeypatch.setattr(daemon, "forbid_core_dumps", lambda: None)
    first = parsed(tmp_path / "one", document())
    second = parsed(tmp_path / "two", changed(document(), "committee.epoch", 2))
    tried: asyncio.Queue[bool] = asyncio.Queue()
    answers: list[NodeConfig | ConfigError] = [ConfigError("nonsense"), second]

    def reload() -> NodeConfig:
        tried.put_nowait(True)
        answer = answers.pop(0)
        if isinstance(answer, ConfigError):
            raise answer
        return answer

    serving = asyncio.ensure_future(daemon.serve(first, reload))
    async with asyncio.timeout(20):
        assert await built.get() == ("up", first)
        os.kill(os.getpid(), signal.SIGHUP)
        await tried.get()
        assert built.empty()  # the bad one changed nothing
        os.kill(os.getpid(), signal.SIGHUP)
        assert await built.get() == ("down", first)
        assert await built.get() == ("up", second)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await built.get() == ("down", second)
        await serving
