"""The signer process from its start to its end: passphrase, wrong configuration, its node's death, and what it leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bridges.frost import keystore
from bridges.frost.keygen import KeyShare
from bridges.frost.sealing import Passphrase, ScryptCost
from bridges.frost.signer_supervisor import running_signer
from oracle.errors import ConfigError
from tests.support.signer_process import (
    QUICK,
    SHARES,
    lay,
    paired,
)
from tests.support.signers import ROOT, signer_processes


async def test_process__sealed_share__opens_by_a_file_or_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = KeyShare(SHARES[0].identifier, SHARES[0].signing_share.copy(), SHARES[0].public)
    passphrase = b"a passphrase of the tests"
    keystore.save(home / "share.json", share, Passphrase(passphrase), cost=ScryptCost(n=1 << 14))
    monkeypatch.setenv("SIBYL_TEST_SIGNER", passphrase.decode())
    async with running_signer(lay(home, passphrase_env="SIBYL_TEST_SIGNER"), QUICK) as process, paired(process.socket):
        pass
    (home / "p").touch(mode=0o600)
    (home / "p").write_bytes(b"another passphrase\n")
    with pytest.raises(ConfigError, match=r"did not start: .*the passphrase is wrong"):
        async with running_signer(lay(home, passphrase_file="p"), QUICK):
            pytest.fail("it started")
    with pytest.raises(ConfigError, match="passphrase_file or passphrase_env"):
        async with running_signer(lay(home), QUICK):
            pytest.fail("it started")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"identifier": 2}, "is member 1's share"),
        ({"group_key": "0x02" + "11" * 32}, "another group key"),
        ({"devnet": False}, "dealer's key"),
        ({"key_share": "none.json"}, "none.json cannot be opened"),
        ({"ledger": "share.json"}, "is damaged"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_process__wrong_configuration__ends_with_a_sentence(
    home: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        async with running_signer(lay(home, **changes), QUICK):
            pytest.fail("it started")
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_process__its_node_killed__ends_too(home: Path) -> None:
    config = lay(home)
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from bridges.frost.signer_supervisor import running_signer

        async def node():
            async with running_signer(Path(sys.argv[1])) as process:
                print(process.pid, flush=True)
                await asyncio.sleep(600)

        asyncio.run(node())
        """
    )
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, config, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert node.stdout is not None
    pid = int(await asyncio.wait_for(node.stdout.readline(), 60))
    os.kill(pid, 0)
    node.kill()
    await node.wait()
    async with asyncio.timeout(60):
        while alive(pid):
            await asyncio.sleep(0.02)
    assert not (home / "run" / "signer.sock").exists(), "it had time to tidy up"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_process__terminated__wipes_up_and_says_what_it_did_without_a_secret(home: Path) -> None:
    config = lay(home)
    with signer_processes([config]) as (child,):
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "signer_stopped" in said
    assert "Traceback" not in said
    assert json.loads((home / "share.json").read_text())["signing_share"] not in said
    assert not (home / "run" / "signer.sock").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_process__core_dumps__are_off(home: Path) -> None:
    with signer_processes([lay(home)]) as (child,):
        limits = Path(f"/proc/{child.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl")
def test_hardening__asked_for__process_is_not_dumpable() -> None:
    program = (
        "import ctypes; from bridges.frost.hardening import forbid_core_dumps; p = ctypes.CDLL(None).prctl;"
        "before = p(3, 0, 0, 0, 0); granted = forbid_core_dumps(); print(before, granted, p(3, 0, 0, 0, 0))"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert made.stdout.split() == ["1", "True", "0"]


def test_process__command_line__has_no_place_for_a_secret() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "bridges.frost.signer_process", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "--config" in made.stdout
    assert "passphrase" not in made.stdout
