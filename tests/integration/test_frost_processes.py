"""Four signing processes with key files of their own, over mutual TLS on loopback: one is killed, one lies.

Each member is this file run as a program: it prints its port, reads everybody's ports, and then signs on command.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bridges.frost import keystore, signing
from bridges.frost.coordinator import ShareReply
from bridges.frost.group import Scalar
from bridges.frost.keygen import GroupPublicKey
from bridges.frost.session import SHARE_PATH, CoordinatorLimits, Signer, SigningCoordinator
from bridges.frost.signing import GroupSignature
from bridges.frost.transport import PeerCertificate, PeerClient, PeerServer, TransportIdentity
from oracle.errors import SigningError
from tests.support.dealer import deal

ROOT = Path(__file__).parents[2]
MEMBERS = 4
LIMITS = CoordinatorLimits(attempts=3, round_seconds=2.0, total_seconds=15.0, pause_seconds=0.05)


async def authorise(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()


# ---- the program that each member runs


async def member(home: Path, *, lies: bool) -> None:
    share = keystore.load(home / "share.json", devnet=True)
    identity = TransportIdentity.load(home)
    pems = json.loads((home / "pins.json").read_text())
    pins = {int(i): PeerCertificate.from_pem(pem) for i, pem in pems.items()}
    signer = Signer(share, authorise)

    async def lie(peer_id: int, body: bytes) -> bytes:
        honest = ShareReply.from_bytes(await signer.answer_share(peer_id, body))
        return replace(honest, share=replace(honest.share, z=Scalar(honest.share.z ^ 1))).to_bytes()

    server = PeerServer(identity, pins, ("127.0.0.1", 0))
    signer.register(server)
    if lies:
        del server._routes[SHARE_PATH]
        server.route(SHARE_PATH, lie)
    lines = await stdin_lines()
    async with server, contextlib.AsyncExitStack() as stack:
        print(server.port, flush=True)
        ports = json.loads(await lines.readline())
        clients = {
            i: await stack.enter_async_context(PeerClient(identity, i, pin, ("127.0.0.1", ports[str(i)])))
            for i, pin in pins.items()
        }
        coordinator = SigningCoordinator(signer, clients, limits=LIMITS)
        while line := (await lines.readline()).strip():
            print(json.dumps(await answer(coordinator, bytes.fromhex(line.decode()))), flush=True)
    signer.close()


async def answer(coordinator: SigningCoordinator, context: bytes) -> dict[str, object]:
    try:
        return {"signature": (await coordinator.sign(context)).to_bytes().hex()}
    except SigningError as error:
        return {"error": str(error), "culprits": error.culprits}


async def stdin_lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


# ---- the tests


@dataclass
class Process:
    child: asyncio.subprocess.Process

    async def line(self) -> str:
        assert self.child.stdout is not None
        while True:
            line = (await asyncio.wait_for(self.child.stdout.readline(), 60)).decode()
            assert line, "the member ended early"
            # structlog prints its events to the same stream
            if line.startswith("{") or line.strip().isdecimal():
                return line

    async def ask(self, text: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(text.encode() + b"\n")
        await self.child.stdin.drain()

    async def sign(self, context: bytes) -> dict[str, object]:
        await self.ask(context.hex())
        reply = json.loads(await self.line())
        assert isinstance(reply, dict)
        return reply

    async def kill(self) -> None:
        if self.child.returncode is None:
            self.child.send_signal(signal.SIGKILL)
        await asyncio.wait_for(self.child.wait(), 30)


def lay_out(root: Path) -> GroupPublicKey:
    identities = {}
    shares = deal(MEMBERS, 3, os.urandom)
    for share in shares:
        home = root / str(share.identifier)
        home.mkdir(mode=0o700)
        keystore.save(home / "share.json", share)
        identities[share.identifier] = TransportIdentity.generate(home, f"member {share.identifier}", datetime.now(UTC))
    for own in identities:
        pins = {str(i): identity.certificate.to_pem() for i, identity in identities.items() if i != own}
        (root / str(own) / "pins.json").write_text(json.dumps(pins))
    return shares[0].public.group_public_key


@contextlib.asynccontextmanager
async def committee(root: Path, liar: int | None = None) -> AsyncIterator[dict[int, Process]]:
    members: dict[int, Process] = {}
    try:
        for i in range(1, MEMBERS + 1):
            arguments = [str(Path(__file__)), str(root / str(i)), *(["lie"] if i == liar else [])]
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            members[i] = Process(child)
        ports = json.dumps({str(i): int(await process.line()) for i, process in members.items()})
        for process in members.values():
            await process.ask(ports)
        yield members
    finally:
        for process in members.values():
            await process.kill()
            # The pipe's transport closes in a later turn of the loop.
            process.child._transport.close()  # type: ignore[attr-defined]  # asyncio offers no public way


def holds(key: GroupPublicKey, reply: dict[str, object], context: bytes) -> bool:
    signature = GroupSignature.from_bytes(bytes.fromhex(str(reply["signature"])))
    return signing.verify(key, signature, hashlib.sha256(context).digest())


async def test_processes__one_killed_then_two__signs_then_says_who_is_missing(tmp_path: Path) -> None:
    key = lay_out(tmp_path)
    async with committee(tmp_path) as members:
        for i, process in members.items():
            context = f"all up, {i} coordinates".encode()
            assert holds(key, await process.sign(context), context)
        await members[4].kill()
        assert holds(key, await members[1].sign(b"one down"), b"one down")
        await members[3].kill()
        reply = await members[1].sign(b"two down")
        assert "3 are needed of 4" in str(reply["error"])
        assert "3: Peer 3 cannot be reached" in str(reply["error"])
        assert reply["culprits"] == []


async def test_processes__one_lies_and_one_is_killed__nothing_false_is_signed_and_the_liar_is_named(
    tmp_path: Path,
) -> None:
    key = lay_out(tmp_path)
    async with committee(tmp_path, liar=2) as members:
        for i in range(4):
            context = f"one lies {i}".encode()
            assert holds(key, await members[1].sign(context), context)
        await members[4].kill()
        reply = await members[1].sign(b"one lies, one is down")
        assert "signature" not in reply
        assert reply["culprits"] == [2]


if __name__ == "__main__":
    asyncio.run(member(Path(sys.argv[1]), lies=sys.argv[2:] == ["lie"]))
