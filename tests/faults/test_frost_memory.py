"""After a signature, no copy of a signing nonce is left in the signer's memory, and only the one of the signing share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.memory_scan import occurrences

ROOT = Path(__file__).parents[2]

# The signer is a process of its own and is read from outside: a scan from inside would leave the copies that it looks for.
# It names its secrets masked, so that its memory holds them nowhere but in their buffers.
PROGRAM = r"""
import gc, os, sys
from bridges.frost import signing
from tests.support.dealer import deal

def masked(secret):
    return bytes(x ^ 0x55 for x in secret.view()).hex()

shares = deal(4, 3, os.urandom)
nonces = [signing.commit(share, os.urandom(64)) for share in shares[:3]]
print(masked(shares[0].signing_share), masked(nonces[0]._hiding), masked(nonces[0]._binding), flush=True)
sys.stdin.readline()
package = signing.prepare(shares[0].public, bytes(32), [n.commitment for n in nonces])
made = [signing.sign(share, n, package) for share, n in zip(shares, nonces)]
signing.aggregate(package, made)
gc.collect()
print("signed", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads another process's /proc/PID/mem")
def test_sign__afterwards__memory_holds_no_nonce_and_one_share() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            needles = [bytes(x ^ 0x55 for x in bytes.fromhex(word)) for word in child.stdout.readline().split()]
            before = occurrences(child.pid, needles)
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "signed\n"
            after = occurrences(child.pid, needles)
        except PermissionError:
            pytest.skip("this system does not let a process read its child's memory")
        finally:
            child.kill()
    assert before == [1, 1, 1]
    assert after == [1, 0, 0]
