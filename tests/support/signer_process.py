"""One signer process for tests: laid out, served on its socket, talked to in raw bytes, and paired with a node's half."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.group import Identifier
from bridges.frost.remote_signer import LinkLimits, RemoteSigner, SignerLink, remote_signer
from bridges.frost.signer_process import ServerLimits, serving
from bridges.frost.signer_rules import load_signer_config
from bridges.frost.signer_supervisor import SupervisorLimits
from bridges.frost.signer_wire import BatchRequest, open_frame
from bridges.frost.signing import NonceCommitment
from tests.support.dealer import deal
from tests.support.samples import plain_message
from tests.support.signers import NodeHalf, lay_out

SHARES = deal(4, 3, os.urandom)
SEQUENCES = count(1)
QUICK = SupervisorLimits(pause_seconds=0.05, longest_pause_seconds=0.2, attempts=3)
PATIENT = LinkLimits(call_seconds=20.0)


def lay(home: Path, **changes: object) -> Path:
    return lay_out(home, SHARES[0], **changes)


@contextlib.asynccontextmanager
async def served(home: Path, limits: ServerLimits | None = None, **changes: object) -> AsyncIterator[Path]:
    """A signer on its real socket, in this process."""
    config = load_signer_config(lay(home, **changes))
    async with serving(config, limits):
        yield config.socket


async def talk(path: Path, *sent: bytes) -> bytes:
    """Send raw bytes, say no more, and return all that comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        with contextlib.suppress(ConnectionError):
            for part in sent:
                writer.write(part)
            await writer.drain()
            writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:  # it hung up on what it had not read
        return b""
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def impostor(
    path: Path, act: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]
) -> AsyncIterator[None]:
    """Something else that listens where a signer should."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await act(reader, writer)
        finally:
            await closed(writer)

    async with await asyncio.start_unix_server(serve, path):
        yield
        if tasks:
            await asyncio.wait(tasks, timeout=20)


def status_of(data: bytes) -> tuple[int, str]:
    status, payload = open_frame(data[4:])
    assert len(data) == 4 + int.from_bytes(data[:4]), "one reply and no more"
    return status, payload.decode()


async def counters(path: Path) -> dict[str, int]:
    link = SignerLink(path, PATIENT)
    try:
        return await link.counters()
    finally:
        link.close()


def batch(*messages: bytes, coordinator: int = 2) -> bytes:
    return BatchRequest(Identifier(coordinator), os.urandom(16), messages).to_bytes()


@dataclass
class Pair:
    half: NodeHalf
    signer: RemoteSigner

    async def commit(self, *, sequence: int | None = None, payload: bytes = b"hello") -> tuple[bytes, NonceCommitment]:
        message = plain_message(sequence=sequence or next(SEQUENCES), payload=payload)
        context, session = self.half.reach(message), os.urandom(16)
        reply = await self.signer.answer_commit(2, CommitRequest(session, context).to_bytes())
        return session, NonceCommitment.from_bytes(reply)

    async def share(self, session: bytes, own: NonceCommitment) -> ShareReply:
        others = [signing.commit(share, os.urandom(64)).commitment for share in SHARES[1:3]]
        return ShareReply.from_bytes(
            await self.signer.answer_share(2, ShareRequest(session, (own, *others)).to_bytes())
        )


@contextlib.asynccontextmanager
async def paired(path: Path, limits: LinkLimits = PATIENT) -> AsyncIterator[Pair]:
    half = NodeHalf()
    async with remote_signer(SignerLink(path, limits), half.authorise, half.bodies) as signer:
        yield Pair(half, signer)
