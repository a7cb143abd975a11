"""SIGHUP on a real process: a new configuration is taken, one that cannot work changes nothing and is answered with why."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.site import Site, free_port, open_site

SECONDS = 120.0
pytestmark = pytest.mark.timeout(280)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as made:
        yield made


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oracle.app.cli", "node", "run", "--config", str(path),
        stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def logged(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """The next line of the log with this event."""
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        while line := await process.stderr.readline():
            if line.startswith(b"{"):
                told: dict[str, Any] = json.loads(line)
                if told["event"] == event:
                    return told
    raise AssertionError(f"the node ended before it said “{event}”")


async def member(port: int) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/health") as reply:
        found: int = (await reply.json())["member"]
        return found


async def test_node_run__hangup_with_configurations_that_cannot_work__keeps_the_old_one_and_says_why(
    site: Site,
) -> None:
    path, port = site.write(), site.content["status"]["port"]
    async with running(path) as process:
        await logged(process, "node ready")
        good = {name: site.content[name] for name in ("key_share", "models")} | {
            "rpc": site.content["evm"][0]["rpc_url"]
        }
        bent = (
            ("key_share", "absent.json", "absent.json"),
            ("models.0", "models/absent", "models/absent"),
            ("evm.0.rpc_url", "http://127.0.0.1:9/", "127.0.0.1:9"),
            ("evm.0.chain_id", 1, "chain"),
        )
        for key, value, named in bent:
            place = key.split(".")[0]
            site.set(key, value)
            site.write()
            process.send_signal(signal.SIGHUP)
            told = await logged(process, "configuration not reloaded")
            assert named in told["error"], (place, told)
            assert await member(port) == 1, "it serves as before"
            site.set(
                key,
                {"key_share": good["key_share"], "models.0": good["models"][0], "evm.0.rpc_url": good["rpc"]}.get(
                    key, 31337
                ),
            )
            if key == "models.0":
                good["models"] = site.content["models"]
        path.write_text("nonsense")
        process.send_signal(signal.SIGHUP)
        assert "is not TOML" in (await logged(process, "configuration not reloaded"))["error"]
        assert process.returncode is None


async def test_node_run__hangup__takes_a_new_status_port_and_gives_way_where_it_is_taken(site: Site) -> None:
    path, first, second = site.write(), site.content["status"]["port"], free_port()
    async with running(path) as process:
        await logged(process, "node ready")
        site.set("status.port", second)
        site.write()
        process.send_signal(signal.SIGHUP)
        await logged(process, "node ready")
        assert await member(second) == 1
        with pytest.raises(aiohttp.ClientConnectorError):
            await member(first)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", first)
        try:
            site.set("status.port", first)
            site.write()
            process.send_signal(signal.SIGHUP)
            told = await logged(process, "configuration not taken, going on with the one before")
            assert f"The status port 127.0.0.1:{first} cannot be used" in told["error"]
            await logged(process, "node ready")
            assert await member(second) == 1
        finally:
            server.close()
