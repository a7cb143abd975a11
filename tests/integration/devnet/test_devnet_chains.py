"""The devnet's chains as real processes: ready, finality, fixed ports, refusals, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import replace
from pathlib import Path

import aiohttp
import psutil
import pytest
from solders.hash import Hash
from solders.keypair import Keypair

from oracle.app.devnet.chains import HOST, free_port, require_free_port, start_anvil, start_surfnet
from oracle.app.devnet.process import Child, running
from oracle.app.toolchain import ROOT, Toolchain, ensure_toolchain
from oracle.errors import ChainError, ConfigError

pytestmark = pytest.mark.devnet

CLOCK = "SysvarC1ock11111111111111111111111111111111"


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return ensure_toolchain(lambda _line: None)


async def rpc(url: str, method: str, *params: object) -> object:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=body) as response:
        answer = await response.json(content_type=None)
    assert "result" in answer, answer
    result: object = answer["result"]
    return result


async def block(url: str, tag: str) -> tuple[int, int]:
    """Number and timestamp."""
    found = await rpc(url, "eth_getBlockByNumber", tag, False)
    assert isinstance(found, dict)
    return int(found["number"], 16), int(found["timestamp"], 16)


async def _exists(path: Path) -> None:
    for _ in range(250):
        if os.path.lexists(path):
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"{path} did not appear within 5 s")


async def gone(pid: int) -> bool:
    for _ in range(250):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_anvil__started__funds_known_accounts_and_ends_with_the_block(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    async with start_anvil(toolchain, tmp_path / "evm", chain_id=4242) as chain:
        assert await rpc(chain.rpc_url, "eth_chainId") == hex(4242)
        assert chain.accounts[0].address.lower() == "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
        assert len(chain.accounts) == 10
        balance = await rpc(chain.rpc_url, "eth_getBalance", chain.accounts[3].address, "latest")
        assert int(str(balance), 16) == 10_000 * 10**18
        assert chain.accounts[0].private_key.hex() not in repr(chain)
        assert not list((tmp_path / "evm").rglob("accounts.json"))
        pid = chain.pid
        assert Path(psutil.Process(pid).exe()) == toolchain.anvil.resolve()
    assert await gone(pid)


async def test_anvil__fractional_block_time__finalises_after_two_blocks_at_wall_clock_pace(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    async with start_anvil(toolchain, tmp_path, block_seconds=0.25) as chain:
        await asyncio.sleep(5 * chain.block_seconds)
        assert (await block(chain.rpc_url, "latest"))[0] in (4, 5, 6, 7)
        finalized, latest = await block(chain.rpc_url, "finalized"), await block(chain.rpc_url, "latest")
        assert latest[0] - finalized[0] in (2, 3)  # 3: a block came between the two questions
        assert -5 <= latest[1] - time.time() <= 1


async def test_anvil__fixed_port__is_used_and_a_second_one_is_refused_by_name(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    port = free_port()
    async with start_anvil(toolchain, tmp_path / "a", port=port) as chain:
        assert chain.rpc_url == f"http://{HOST}:{port}"
        with pytest.raises(ConfigError, match=rf"Port {port} for anvil is in use"):
            async with start_anvil(toolchain, tmp_path / "b", port=port):
                pass
        assert await rpc(chain.rpc_url, "eth_chainId") == hex(31337)  # the first one is unharmed


async def test_anvil__bad_option__error_carries_the_log(toolchain: Toolchain, tmp_path: Path) -> None:
    with pytest.raises(ChainError, match=r"anvil ended with exit code 2\..*unexpected argument"):
        async with start_anvil(toolchain, tmp_path, mnemonic="not a mnemonic", accounts=-1):
            pass


async def test_anvil__not_executable__says_so(toolchain: Toolchain, tmp_path: Path) -> None:
    broken = replace(toolchain, anvil=tmp_path / "missing")
    with pytest.raises(ConfigError, match="missing is not an executable file"):
        async with start_anvil(broken, tmp_path):
            pass


async def test_anvil__silent_program__deadline_passes_and_it_is_ended(toolchain: Toolchain, tmp_path: Path) -> None:
    script = tmp_path / "anvil"
    script.write_text("#!/bin/sh\necho $$ > pid\nexec sleep 60\n")
    script.chmod(0o755)
    with pytest.raises(ChainError, match=r"did not answer within 0\.5 s"):
        async with start_anvil(replace(toolchain, anvil=script), tmp_path, ready_timeout=0.5):
            pass
    assert await gone(int((tmp_path / "pid").read_text()))


async def test_surfnet__started__is_funded_and_runs_at_wall_clock_pace(toolchain: Toolchain, tmp_path: Path) -> None:
    payer, other = Keypair(), Keypair()
    async with start_surfnet(
        toolchain, tmp_path, payer=payer, airdrop_to=[other.pubkey()], airdrop_lamports=7_000_000_000
    ) as chain:
        assert str(Hash(chain.genesis_hash)) == await rpc(chain.rpc_url, "getGenesisHash")
        for key in (payer, other):
            balance = await rpc(chain.rpc_url, "getBalance", str(key.pubkey()))
            assert isinstance(balance, dict)
            assert balance["value"] == 7_000_000_000
        account = await rpc(chain.rpc_url, "getAccountInfo", CLOCK, {"encoding": "jsonParsed"})
        assert isinstance(account, dict)
        assert abs(account["value"]["data"]["parsed"]["info"]["unixTimestamp"] - time.time()) < 5
        slots = {
            level: await rpc(chain.rpc_url, "getSlot", {"commitment": level}) for level in ("finalized", "processed")
        }
        lag = int(str(slots["processed"])) - int(str(slots["finalized"]))
        assert 31 <= lag <= 33
        assert str(payer) not in repr(chain)
        assert not list(tmp_path.rglob("config.json"))
        pid = chain.pid
    assert await gone(pid)


async def test_surfnet__fixed_ports__serve_http_and_websocket(toolchain: Toolchain, tmp_path: Path) -> None:
    rpc_port, ws_port = free_port(), free_port()
    async with start_surfnet(toolchain, tmp_path, rpc_port=rpc_port, ws_port=ws_port) as chain:
        assert (chain.rpc_url, chain.ws_url) == (f"http://{HOST}:{rpc_port}", f"ws://{HOST}:{ws_port}")
        async with aiohttp.ClientSession() as session, session.ws_connect(chain.ws_url) as socket_:
            await socket_.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe", "params": []})
            assert "result" in await asyncio.wait_for(socket_.receive_json(), 5)
            seen = [await asyncio.wait_for(socket_.receive_json(), 5) for _ in range(20)]
        numbers = [message["params"]["result"]["slot"] for message in seen]
        assert numbers == sorted(numbers)
        assert numbers[-1] - numbers[0] >= 15


async def test_surfnet__two_in_one_directory__do_not_mix(toolchain: Toolchain, tmp_path: Path) -> None:
    async with start_surfnet(toolchain, tmp_path) as first, start_surfnet(toolchain, tmp_path) as second:
        for chain in (first, second):
            balance = await rpc(chain.rpc_url, "getBalance", str(chain.payer.pubkey()))
            assert isinstance(balance, dict)
            assert balance["value"] == 10**12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["surfnet.log"]


async def test_surfnet__clock__is_held_to_the_walls_and_survives_a_jump(toolchain: Toolchain, tmp_path: Path) -> None:
    """Without the launcher's correction the slots run 1 % fast; a jump on purpose must not freeze the chain."""

    async def slot(url: str) -> int:
        return int(str(await rpc(url, "getSlot", {"commitment": "processed"})))

    async with start_surfnet(toolchain, tmp_path, slot_milliseconds=20) as chain:
        await rpc(chain.rpc_url, "surfnet_timeTravel", {"absoluteSlot": await slot(chain.rpc_url) + 10_000})
        first, started = await slot(chain.rpc_url), time.monotonic()
        await asyncio.sleep(12)  # two looks at the clock
        made, elapsed = await slot(chain.rpc_url) - first, time.monotonic() - started
        assert 0.8 <= made * 0.02 / elapsed <= 1.1


async def test_surfnet__port_in_use__is_named(toolchain: Toolchain, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Port {port} for surfnet's websocket is in use"):
            async with start_surfnet(toolchain, tmp_path, rpc_port=free_port(), ws_port=port):
                pass


async def test_surfnet__port_taken_at_the_last_moment__is_named_by_the_launcher(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oracle.app.devnet.chains.require_free_port", lambda _port, _what: None)
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Port {port} for surfnet is in use"):
            async with start_surfnet(toolchain, tmp_path, rpc_port=port, ws_port=free_port()):
                pass


async def test_surfnet__no_addon_for_this_platform__says_so(toolchain: Toolchain, tmp_path: Path) -> None:
    broken = replace(toolchain, surfpool_addon=tmp_path / "missing.node")
    with pytest.raises(ConfigError, match="no Surfpool build for this platform"):
        async with start_surfnet(broken, tmp_path):
            pass


async def test_surfnet__restarted_with_the_same_payer__has_another_genesis_hash(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    """The chain reference of a Solana devnet must be read after each start (it depends on the second of the start)."""
    payer = Keypair()
    async with start_surfnet(toolchain, tmp_path, payer=payer) as first:
        await asyncio.sleep(1.1)
    async with start_surfnet(toolchain, tmp_path, payer=payer) as second:
        assert first.genesis_hash != second.genesis_hash


async def test_running__body_raises__child_is_ended(tmp_path: Path) -> None:
    seen: list[Child] = []

    async def body() -> None:
        command = ["/bin/sleep", "60"]
        async with running("sleep", command, log_path=tmp_path / "log", environment={}, directory=tmp_path) as child:
            seen.append(child)
            raise RuntimeError("body")

    with pytest.raises(RuntimeError, match="body"):
        await body()
    assert seen[0].exit_code == -signal.SIGTERM
    assert await gone(seen[0].pid)
    assert await seen[0].stop() == -signal.SIGTERM  # again: harmless


async def test_running__child_ignores_sigterm__is_killed(tmp_path: Path) -> None:
    script = tmp_path / "stubborn"
    script.write_text("#!/bin/sh\ntrap '' TERM\ntouch started\nwhile :; do sleep 0.1; done\n")
    script.chmod(0o755)
    async with running(
        "stubborn", [script], log_path=tmp_path / "log", environment={}, directory=tmp_path, stop_timeout=0.3
    ) as child:
        await _exists(tmp_path / "started")
    assert child.exit_code == -signal.SIGKILL


async def test_running__child_ends_by_itself__watcher_signals_nobody(tmp_path: Path) -> None:
    async with running("true", ["/bin/true"], log_path=tmp_path / "log", environment={}, directory=tmp_path) as child:
        await asyncio.wait_for(child.process.wait(), 5)
        watchers = [p for p in psutil.process_iter(["cmdline"]) if str(child.pid) in (p.info["cmdline"] or [])]
        assert child.exit_code == 0
    assert watchers == []
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


PARENT = """
import asyncio, signal, sys
from pathlib import Path
from oracle.app.devnet.chains import start_anvil, start_surfnet
from oracle.app.toolchain import ensure_toolchain

async def main():
    toolchain = ensure_toolchain(lambda line: None)
    directory = Path(sys.argv[1])
    async with start_anvil(toolchain, directory) as evm, start_surfnet(toolchain, directory) as solana:
        print(f'{{"pids": [{evm.pid}, {solana.pid}]}}', flush=True)
        await asyncio.sleep(60)

# A shell starts background jobs with SIGINT ignored, and what they start inherits that: take it as in a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_chains__parent_dies__nothing_is_left(number: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), cwd=ROOT, env=environment, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert parent.stdout is not None
        pids = json.loads(await asyncio.wait_for(parent.stdout.readline(), 30))["pids"]
        assert all(psutil.pid_exists(pid) for pid in pids)
        parent.send_signal(number)
        await asyncio.wait_for(parent.wait(), 15)
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()
    for pid in pids:
        assert await gone(pid)


def test_free_port__result__can_be_bound_and_bad_numbers_are_refused() -> None:
    require_free_port(free_port(), "a test")
    require_free_port(0, "a test")
    with pytest.raises(ConfigError, match="65536"):
        require_free_port(65536, "a test")
