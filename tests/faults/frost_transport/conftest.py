"""Members' identities, a server that echoes, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridges.frost.transport import (
    PeerClient,
    PeerServer,
    TransportIdentity,
    TransportLimits,
)
from tests.support.transport import IMPATIENT, LIMITS, MakeClient, echo, make_identity


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[int, TransportIdentity]:
    root = tmp_path_factory.mktemp("identities")
    return {i: make_identity(root, f"peer-{i}") for i in (1, 2, 3, 9)}


@pytest.fixture
async def server(identities: dict[int, TransportIdentity]) -> AsyncIterator[PeerServer]:
    """Peer 1's server; it knows peers 2 and 3. Identity 9 is pinned by nobody."""
    pins = {i: identities[i].certificate for i in (2, 3)}
    server = PeerServer(identities[1], pins, ("127.0.0.1", 0), LIMITS)
    server.route("/echo", echo)
    async with server:
        yield server


@pytest.fixture
async def impatient(identities: dict[int, TransportIdentity]) -> AsyncIterator[PeerServer]:
    """Like `server`, with short waits."""
    server = PeerServer(identities[1], {2: identities[2].certificate}, ("127.0.0.1", 0), IMPATIENT)
    server.route("/echo", echo)
    async with server:
        yield server


@pytest.fixture
async def client_of(server: PeerServer, identities: dict[int, TransportIdentity]) -> AsyncIterator[MakeClient]:
    made: list[PeerClient] = []

    def make(own: int = 2, pinned: int = 1, port: int | None = None, limits: TransportLimits = LIMITS) -> PeerClient:
        address = ("127.0.0.1", port or server.port)
        made.append(PeerClient(identities[own], pinned, identities[pinned].certificate, address, limits))
        return made[-1]

    yield make
    for client in made:
        await client.close()
