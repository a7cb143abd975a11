"""The peer transport in real sockets on loopback: what a peer gets to see, and what a client makes of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from bridges.frost.errors import (
    DecodeError,
    NonceSpent,
    NotAuthorised,
    PeerRefused,
    PeerUnreachable,
)
from bridges.frost.transport import (
    PeerClient,
    PeerNetwork,
    PeerServer,
    TransportIdentity,
    server_context,
)
from tests.support.transport import LIMITS, PATIENCE, MakeClient, echo, raw_connection


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotAuthorised("digest 1 has not been reached"), "not_authorised"),
        (DecodeError("bad length"), "decode"),
        (NonceSpent("used"), "nonce_spent"),
    ],
)
async def test_transport__typed_handler_error__reaches_the_peer_as_code_and_sentence(
    server: PeerServer, client_of: MakeClient, error: Exception, code: str
) -> None:
    async def fail(_: int, __: bytes) -> bytes:
        raise error

    server.route("/fail", fail)
    with pytest.raises(PeerRefused) as caught:
        await client_of().call("/fail", b"", PATIENCE)
    assert (caught.value.peer_id, caught.value.peer_code, caught.value.reason) == (1, code, str(error))


async def test_transport__unexpected_handler_error__shows_the_peer_no_detail(
    server: PeerServer, identities: dict[int, TransportIdentity], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: int, __: bytes) -> bytes:
        raise RuntimeError("secret detail")

    server.route("/fail", fail)
    asyncio.get_running_loop().set_debug(True)  # in which aiohttp would send tracebacks
    with caplog.at_level(logging.CRITICAL):
        reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
        writer.write(b"POST /fail HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        reply = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    assert b" 500 " in reply.splitlines()[0]
    assert json.loads(reply.split(b"\r\n\r\n", 1)[1])["error"] == "internal"
    assert b"secret detail" not in reply
    assert b"Traceback" not in reply


@pytest.mark.parametrize("line", [b"NONSENSE\r\n\r\n", b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", bytes(40)])
async def test_transport__malformed_http__gets_no_traceback(
    server: PeerServer, identities: dict[int, TransportIdentity], line: bytes
) -> None:
    reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
    writer.write(line)
    reply = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    assert b"Traceback" not in reply
    assert b" 200 " not in reply


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/nothing", "POST", 404), ("/echo?x=1", "POST", 404), ("/echo/", "POST", 404), ("/echo", "GET", 405)],
)
async def test_transport__other_path_or_method__is_refused(
    server: PeerServer, identities: dict[int, TransportIdentity], path: str, method: str, status: int
) -> None:
    reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    assert f" {status} ".encode() in await asyncio.wait_for(reader.readline(), PATIENCE)
    writer.transport.abort()


def answering(
    body: bytes, status: int, headers: dict[str, str] | None = None
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return answer


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 500, "malformed"),
        (b"[]", 409, "malformed"),
        (b"{}", 409, "malformed"),
        (b"[" * 4000, 409, "malformed"),
        (bytes(5000), 409, "malformed"),
        (json.dumps({"error": "a\x1b[31m", "reason": "b\nc" * 900}).encode(), 409, "a?[31m"),
        (b"", 302, "malformed"),
    ],
    ids=["text", "list", "empty object", "nested", "oversize", "control characters", "redirect"],
)
async def test_client__hostile_error_reply__becomes_a_bounded_printable_refusal(
    client_of: MakeClient, identities: dict[int, TransportIdentity], body: bytes, status: int, code: str
) -> None:
    http = web.Server(answering(body, status, {"Location": "http://127.0.0.1:9/"} if status == 302 else None))
    context = server_context(identities[1], {2: identities[2].certificate})
    listener = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0, ssl=context)
    try:
        with pytest.raises(PeerRefused) as caught:
            await client_of(port=listener.sockets[0].getsockname()[1]).call("/echo", b"", PATIENCE)
    finally:
        listener.close()
        await http.shutdown(1)
    assert caught.value.peer_code == code
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) <= 500


async def test_client__nobody_listens__is_unreachable(client_of: MakeClient, server: PeerServer) -> None:
    port = server.port
    await server.stop()
    with pytest.raises(PeerUnreachable, match="Peer 1"):
        await client_of(port=port).call("/echo", b"", PATIENCE)


async def test_client__server_restarts__reaches_it_again(
    identities: dict[int, TransportIdentity],
) -> None:
    pins, pin = {2: identities[2].certificate}, identities[1].certificate
    first = PeerServer(identities[1], pins, ("127.0.0.1", 0), LIMITS)
    first.route("/echo", echo)
    await first.start()
    port = first.port
    async with PeerClient(identities[2], 1, pin, ("127.0.0.1", port), LIMITS) as client:
        assert await client.call("/echo", b"", PATIENCE) == b"\x02"
        await first.stop()
        await first.stop()
        with pytest.raises(PeerUnreachable):
            await client.call("/echo", b"", PATIENCE)
        async with PeerServer(identities[1], pins, ("127.0.0.1", port), LIMITS) as second:
            second.route("/echo", echo)
            assert await client.call("/echo", b"", PATIENCE) == b"\x02"


async def test_network__one_peer_down_and_one_refusing__publishes_to_the_rest(
    client_of: MakeClient, server: PeerServer
) -> None:
    async with PeerNetwork({1: client_of(), 3: client_of(pinned=3), 4: client_of(9)}, timeout=5) as network:
        assert await network.publish("/echo", b"news", 3) == (1,)
        assert await network.publish("/nothing", b"news", 3) == ()


async def test_network__enough_took_it__does_not_wait_for_a_slow_peer_and_leaves_nothing_behind() -> None:
    class Peer:
        def __init__(self, seconds: float) -> None:
            self.seconds, self.ended = seconds, False

        async def call(self, path: str, body: bytes, timeout: float) -> bytes:
            try:
                await asyncio.sleep(self.seconds)
            finally:
                self.ended = True
            return b""

    slow = Peer(60)
    async with PeerNetwork({1: Peer(0), 2: Peer(0.01), 3: slow}, timeout=90) as network:
        async with asyncio.timeout(PATIENCE):
            assert await network.publish("/echo", b"news", 2) == (1, 2)
        assert not slow.ended
    assert slow.ended
