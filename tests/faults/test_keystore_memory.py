"""After a sealed share was opened, the process holds it once, and its passphrase and the derived key nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridges.frost import keystore, sealing
from bridges.frost.private_files import write_private_file
from bridges.frost.sealing import Passphrase, ScryptCost
from tests.support.dealer import deal
from tests.support.memory_scan import occurrences

ROOT = Path(__file__).parents[2]

# It is read from outside, and is told nothing that would put a secret into its memory by another way than the one that is tested.
PROGRAM = r"""
import gc, sys
from pathlib import Path
from bridges.frost import keystore
from bridges.frost.sealing import PassphraseSource

share, file = Path(sys.argv[1]), Path(sys.argv[2])
passphrase = PassphraseSource(file=file).read()
print("read", flush=True)
sys.stdin.readline()
held = keystore.load(share, devnet=True, passphrase=passphrase)
passphrase.wipe()
gc.collect()
print("loaded", flush=True)
sys.stdin.readline()
held.signing_share.wipe()
gc.collect()
print("wiped", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads another process's /proc/PID/mem")
def test_load__afterwards__memory_holds_one_share_and_neither_passphrase_nor_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, words = deal(4, 3, os.urandom)[0], os.urandom(24).hex().encode()
    keys: list[bytes] = []
    derived = sealing._derived

    def watched(passphrase: Passphrase, salt: bytes, cost: ScryptCost) -> bytearray:
        made = derived(passphrase, salt, cost)
        keys.append(bytes(made))
        return made

    monkeypatch.setattr(sealing, "_derived", watched)
    keystore.save(tmp_path / "share.json", share, Passphrase(words), cost=ScryptCost(n=1 << 14))
    write_private_file(tmp_path / "words", words)
    secret = share.signing_share.reveal()
    needles = [words, secret, secret.hex().encode(), keys[0][:32], keys[0][32:]]
    command = [sys.executable, "-c", PROGRAM, tmp_path / "share.json", tmp_path / "words"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        seen = []
        try:
            for step in ("read", "loaded", "wiped"):
                assert child.stdout.readline() == f"{step}\n"
                seen.append(occurrences(child.pid, needles))
                child.stdin.write("\n")
                child.stdin.flush()
        except PermissionError:
            pytest.skip("this system does not let a process read its child's memory")
        finally:
            child.kill()
    assert seen[0][0] >= 1, "the scan finds what is there"
    assert seen[1] == [0, 1, 0, 0, 0]
    assert seen[2] == [0, 0, 0, 0, 0]
