"""The key ceremony by the command line: four processes on loopback, one of them killed midway, and again.

The member that is killed is this file run as a program: it is `sibyl committee keygen` that stops at the phase where it is to die.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridges.frost import keystore
from bridges.frost.dkg import Participant
from bridges.frost.keygen import KeyShare, Origin
from bridges.frost.signing import COMMIT_RANDOMNESS_BYTES, aggregate, commit, prepare, sign, verify, verify_encoded
from oracle.app import cli
from oracle.protocol.hashing import key_possession_hash

ROOT = Path(__file__).parents[2]
MEMBERS = range(1, 5)
SIBYL = [sys.executable, "-m", "oracle.app.cli"]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Member:
    def __init__(self, root: Path, who: int, port: int) -> None:
        self.who, self.port, self.home = who, port, root / str(who)
        self.home.mkdir()

    async def sibyl(self, *arguments: str, program: list[str] | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(program or SIBYL),
            "committee",
            *arguments,
            cwd=self.home,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def init(self, *more: str) -> str:
        own = ("--identity", "id", "--identifier", str(self.who), "--endpoint", f"https://127.0.0.1:{self.port}")
        return await finished(await self.sibyl("init", *own, *more), 0)

    async def keygen(self, *more: str, program: list[str] | None = None) -> asyncio.subprocess.Process:
        own = ("--identity", "id", "--identifier", str(self.who), "--listen", f"127.0.0.1:{self.port}")
        files = ("--output", "share.json", "--wait", "60", "--step", "4")
        return await self.sibyl("keygen", *own, *files, *more, program=program)

    def files(self) -> set[str]:
        return {path.name for path in self.home.iterdir()}


async def finished(process: asyncio.subprocess.Process, status: int) -> str:
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == status, output.decode()
    return output.decode()


@contextlib.asynccontextmanager
async def running(*started: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for process in started:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await asyncio.wait_for(process.wait(), 30)


async def committee(root: Path) -> list[Member]:
    members = [Member(root, i, port) for i, port in zip(MEMBERS, free_ports(len(MEMBERS)), strict=True)]
    await asyncio.gather(*(member.init("--name", "four") for member in members))
    merge = [arg for i in MEMBERS for arg in ("--merge", str(root / str(i) / "committee.toml"))]
    for member in members:
        await member.init(*merge)
    assert len({(member.home / "committee.toml").read_text() for member in members}) == 1
    return members


def line(output: str, label: str) -> str:
    (found,) = [text.split()[1] for text in output.splitlines() if text.startswith(label + ":")]
    return found


def signs(shares: tuple[KeyShare, ...], message: bytes) -> bool:
    nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares]
    package = prepare(shares[0].public, message, [nonce.commitment for nonce in nonces])
    made = aggregate(package, [sign(share, nonce, package) for share, nonce in zip(shares, nonces, strict=True)])
    return verify(shares[0].public.group_public_key, made, message)


BEFORE = {"id", "committee.toml"}


@pytest.mark.timeout(240)
async def test_ceremony__four_processes_one_killed_midway__others_abort_clean_and_the_rerun_makes_the_key(
    tmp_path: Path,
) -> None:
    members = await committee(tmp_path)
    *others, fourth = members

    started = [await member.keygen() for member in others]
    doomed = await fourth.keygen(program=[sys.executable, str(Path(__file__))])
    async with running(*started, doomed):
        assert doomed.stdout is not None
        async with asyncio.timeout(60):
            while b"midway" not in await doomed.stdout.readline():
                pass
        doomed.send_signal(signal.SIGKILL)
        await doomed.wait()
        outputs = await asyncio.gather(*(finished(process, 1) for process in started))
    assert any("Member 4 fell silent within 4 s." in output for output in outputs)
    for output in outputs:
        assert "Nothing was kept; run it again" in output
        assert "Traceback" not in output
    assert all(member.files() == BEFORE for member in members)

    started = [await member.keygen() for member in members]
    async with running(*started):
        outputs = await asyncio.gather(*(finished(process, 0) for process in started))
    assert len({line(output, "Transcript") for output in outputs}) == 1
    assert len({line(output, "Group key") for output in outputs}) == 1
    assert all(member.files() == BEFORE | {"share.json", "committee-key.json"} for member in members)

    shares = [keystore.load(member.home / "share.json", devnet=False, allow_plain=True) for member in members]
    assert {share.public.origin for share in shares} == {Origin.DKG}
    message = hashlib.sha256(b"any").digest()
    assert all(signs(signers, message) for signers in itertools.combinations(shares, 3))

    published = {(member.home / "committee-key.json").read_text() for member in members}
    assert len(published) == 1
    public = json.loads(published.pop())
    key = bytes.fromhex(public["group_key"].removeprefix("0x"))
    proof = bytes.fromhex(public["proof_of_possession"].removeprefix("0x"))
    assert verify_encoded(key, proof, key_possession_hash(1, key[1:], key[0] & 1))
    assert public["transcript_hash"] == line(outputs[0], "Transcript")
    secrets = [share.signing_share.reveal().hex() for share in shares]
    assert not any(secret in text for secret in secrets for text in (*outputs, json.dumps(public)))

    before = (others[0].home / "share.json").read_bytes()
    refused = await finished(await others[0].keygen(), 1)
    assert "exists already" in refused
    assert (others[0].home / "share.json").read_bytes() == before


def stop_midway() -> None:
    real = Participant.message

    def message(self: Participant, phase: object, recipient: object) -> bytes | None:
        made = real(self, phase, recipient)  # type: ignore[arg-type]  # as they came
        if getattr(phase, "name", "") == "SHARE" and made is not None:
            print("midway", flush=True)
            signal.pause()
        return made

    Participant.message = message  # type: ignore[method-assign, assignment]  # the fault


if __name__ == "__main__":
    stop_midway()
    cli.main()
