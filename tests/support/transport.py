"""The peer transport for tests: identities, limits that fail no test on a busy machine, and a server that echoes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bridges.frost.transport import (
    PeerCertificate,
    PeerClient,
    PeerServer,
    TransportIdentity,
    TransportLimits,
    client_context,
)

# Patient, so that a busy machine fails no test; what must time out does so at a server of its own.
LIMITS = TransportLimits(max_body=10_000)
IMPATIENT = TransportLimits(max_body=10_000, handshake_timeout=2.0, body_timeout=0.5, idle_timeout=1.0)
PATIENCE = 30.0
"""Seconds for what is bound to come, however busy the machine is."""
NOW = datetime.now(UTC)
MakeClient = Callable[..., PeerClient]


def make_identity(root: Path, name: str, now: datetime = NOW) -> TransportIdentity:
    directory = root / name
    directory.mkdir()
    return TransportIdentity.generate(directory, name, now)


async def echo(peer_id: int, body: bytes) -> bytes:
    return bytes([peer_id]) + body


async def raw_connection(
    server: PeerServer, identity: TransportIdentity, pin: PeerCertificate
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(identity, pin))
