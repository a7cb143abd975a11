"""The peer transport in real sockets on loopback: what is bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest

from bridges.frost.errors import (
    OversizeBody,
    PeerRefused,
    PeerTimeout,
)
from bridges.frost.transport import (
    PeerClient,
    PeerServer,
    TransportIdentity,
    TransportLimits,
    server_context,
)
from tests.support.transport import LIMITS, PATIENCE, MakeClient, echo, raw_connection


async def test_transport__oversize_body__is_not_even_sent(client_of: MakeClient) -> None:
    with pytest.raises(OversizeBody, match="not sent"):
        await client_of().call("/echo", bytes(LIMITS.max_body + 1), PATIENCE)


async def test_transport__body_at_the_bound__passes_and_one_more_is_refused(client_of: MakeClient) -> None:
    client = client_of(limits=TransportLimits(max_body=100_000))
    assert len(await client.call("/echo", bytes(LIMITS.max_body), PATIENCE)) == LIMITS.max_body + 1
    with pytest.raises(PeerRefused) as caught:
        await client.call("/echo", bytes(LIMITS.max_body + 1), PATIENCE)
    assert caught.value.peer_code == "oversize"


async def test_transport__endless_chunked_body__is_cut_at_the_bound(
    server: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(12):
        writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), PATIENCE)
    writer.transport.abort()


async def test_transport__route_with_a_bound_of_its_own__keeps_it(server: PeerServer, client_of: MakeClient) -> None:
    server.route("/small", echo, max_body=4)
    assert await client_of().call("/small", b"1234", PATIENCE) == b"\x021234"
    with pytest.raises(PeerRefused) as caught:
        await client_of().call("/small", b"12345", PATIENCE)
    assert caught.value.peer_code == "oversize"


async def test_transport__oversize_reply__is_refused(server: PeerServer, client_of: MakeClient) -> None:
    async def flood(_: int, __: bytes) -> bytes:
        return bytes(LIMITS.max_body + 1)

    server.route("/flood", flood)
    with pytest.raises(OversizeBody):
        await client_of().call("/flood", b"", PATIENCE)


async def test_transport__body_that_trickles__is_refused_in_time(
    impatient: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(impatient, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), PATIENCE)
    writer.transport.abort()


async def test_transport__headers_that_trickle__are_cut_off(
    impatient: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(impatient, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\n")
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.transport.abort()


async def test_transport__connection_without_handshake__is_cut_off(impatient: PeerServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_transport__slow_handler__times_out_on_both_sides(server: PeerServer, client_of: MakeClient) -> None:
    cancelled = asyncio.Event()

    async def slow(_: int, __: bytes) -> bytes:
        try:
            await asyncio.sleep(600)
        finally:
            cancelled.set()
        return b""

    server.route("/slow", slow, timeout=0.5)
    with pytest.raises(PeerTimeout):
        await client_of().call("/slow", b"", 0.1)
    with pytest.raises(PeerRefused) as caught:
        await client_of().call("/slow", b"", PATIENCE)
    assert caught.value.peer_code == "timeout"
    await asyncio.wait_for(cancelled.wait(), PATIENCE)


async def test_transport__peer_that_never_answers__times_out(
    client_of: MakeClient, identities: dict[int, TransportIdentity]
) -> None:
    context = server_context(identities[1], {2: identities[2].certificate})
    release = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.transport.abort()

    listener = await asyncio.start_server(hold, "127.0.0.1", 0, ssl=context)
    async with listener:
        with pytest.raises(PeerTimeout):
            await client_of(port=listener.sockets[0].getsockname()[1]).call("/echo", b"", 0.3)
        release.set()


async def test_transport__too_many_requests_in_flight__are_refused_and_others_served(
    identities: dict[int, TransportIdentity],
) -> None:
    release = asyncio.Event()
    entered: asyncio.Queue[None] = asyncio.Queue(maxsize=2)

    async def hold(_: int, __: bytes) -> bytes:
        await entered.put(None)
        await release.wait()
        return b"held"

    pins = {i: identities[i].certificate for i in (2, 3)}
    limits = TransportLimits(in_flight=2)
    async with PeerServer(identities[1], pins, ("127.0.0.1", 0), limits) as server:
        server.route("/hold", hold)
        server.route("/echo", echo)
        address, pin = ("127.0.0.1", server.port), identities[1].certificate
        async with (
            PeerClient(identities[2], 1, pin, address) as greedy,
            PeerClient(identities[3], 1, pin, address) as other,
        ):
            async with asyncio.TaskGroup() as group:
                held = [group.create_task(greedy.call("/hold", b"", PATIENCE)) for _ in range(2)]
                for _ in range(2):
                    await asyncio.wait_for(entered.get(), PATIENCE)
                with pytest.raises(PeerRefused) as caught:
                    await greedy.call("/echo", b"", PATIENCE)
                assert caught.value.peer_code == "busy"
                assert await other.call("/echo", b"", PATIENCE) == b"\x03"
                release.set()
            assert [task.result() for task in held] == [b"held", b"held"]
            assert await greedy.call("/echo", b"", PATIENCE) == b"\x02"


FEW = TransportLimits(max_body=10_000, requests_per_second=5.0, refusal_seconds=0.05)


async def call_until_refused(client: PeerClient, body: bytes = b"") -> tuple[int, PeerRefused]:
    for served in range(10_000):
        try:
            await client.call("/echo", body, PATIENCE)
        except PeerRefused as refusal:
            return served, refusal
    raise AssertionError("never refused")


async def test_transport__peer_over_its_request_rate__is_refused_clearly_and_served_again_later(
    identities: dict[int, TransportIdentity],
) -> None:
    pins = {i: identities[i].certificate for i in (2, 3)}
    async with PeerServer(identities[1], pins, ("127.0.0.1", 0), FEW) as server:
        server.route("/echo", echo)
        address, pin = ("127.0.0.1", server.port), identities[1].certificate
        async with (
            PeerClient(identities[2], 1, pin, address) as greedy,
            PeerClient(identities[3], 1, pin, address) as other,
        ):
            served, refusal = await call_until_refused(greedy)
            assert served >= 10, "a burst of two seconds' worth is allowed"
            assert refusal.peer_code == "busy"
            assert "more often than you may; come back in" in refusal.reason
            assert await other.call("/echo", b"", PATIENCE) == b"\x03"
            async with asyncio.timeout(PATIENCE):
                while True:
                    with contextlib.suppress(PeerRefused):
                        assert await greedy.call("/echo", b"", PATIENCE) == b"\x02"
                        break


async def test_transport__peer_over_its_byte_rate__is_refused_before_its_body_is_read(
    identities: dict[int, TransportIdentity],
) -> None:
    limits = TransportLimits(max_body=50_000, bytes_per_second=1_000.0, refusal_seconds=0.05)
    pins = {i: identities[i].certificate for i in (2, 3)}
    async with PeerServer(identities[1], pins, ("127.0.0.1", 0), limits) as server:
        server.route("/echo", echo)
        address, pin = ("127.0.0.1", server.port), identities[1].certificate
        async with (
            PeerClient(identities[2], 1, pin, address) as greedy,
            PeerClient(identities[3], 1, pin, address) as other,
        ):
            served, refusal = await call_until_refused(greedy, bytes(40_000))
            assert served == 1, "one largest body always passes"
            assert refusal.peer_code == "busy"
            assert "send more than you may" in refusal.reason
            assert await greedy.call("/echo", b"small", PATIENCE) == b"\x02small"
            assert len(await other.call("/echo", bytes(40_000), PATIENCE)) == 40_001


async def test_transport__chunked_bodies_over_the_byte_rate__are_refused(
    identities: dict[int, TransportIdentity],
) -> None:
    """Who declares no length pays for the largest body until it has been read, and gets the rest back."""
    limits = TransportLimits(max_body=50_000, bytes_per_second=100.0, refusal_seconds=0.05)
    async with PeerServer(identities[1], {2: identities[2].certificate}, ("127.0.0.1", 0), limits) as server:
        server.route("/echo", echo)
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        for size, status in ((10, b" 200 "), (49_000, b" 429 ")):
            reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
            writer.write(head + b"%x\r\n" % size + bytes(size) + b"\r\n0\r\n\r\n")
            assert status in await asyncio.wait_for(reader.readline(), PATIENCE)
            writer.transport.abort()


async def test_transport__too_many_connections_of_one_peer__are_refused_and_others_served(
    identities: dict[int, TransportIdentity],
) -> None:
    limits = TransportLimits(max_body=10_000, connections_per_peer=3)
    pins = {i: identities[i].certificate for i in (2, 3)}
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    async with PeerServer(identities[1], pins, ("127.0.0.1", 0), limits) as server:
        server.route("/echo", echo)

        async def connect(peer: int) -> tuple[bytes, asyncio.StreamWriter]:
            reader, writer = await raw_connection(server, identities[peer], identities[1].certificate)
            writer.write(request)
            return await asyncio.wait_for(reader.readline(), PATIENCE), writer

        opened = [await connect(2) for _ in range(4)]
        assert [b" 200 " in line for line, _ in opened] == [True, True, True, False]
        assert b" 429 " in opened[-1][0]
        line, writer = await connect(3)
        assert b" 200 " in line
        for _, used in (*opened, (line, writer)):
            used.close()
        async with asyncio.timeout(PATIENCE):
            while b" 200 " not in (again := await connect(2))[0]:  # once the server saw the others go
                again[1].close()
        again[1].close()


async def test_transport__one_peer_floods__another_is_served_all_the_while(
    identities: dict[int, TransportIdentity],
) -> None:
    """The flood comes over more connections than a member opens, without waiting for answers."""
    pins = {i: identities[i].certificate for i in (2, 3)}
    limits = TransportLimits(max_body=10_000, requests_per_second=20.0, connections_per_peer=8, refusal_seconds=0.2)
    seen: Counter[int] = Counter()

    async def count(peer_id: int, body: bytes) -> bytes:
        seen[peer_id] += 1
        return body

    async with PeerServer(identities[1], pins, ("127.0.0.1", 0), limits) as server:
        server.route("/count", count)
        pin = identities[1].certificate
        flood = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" * 500
        floods = [await raw_connection(server, identities[2], pin) for _ in range(12)]
        for _, writer in floods:
            writer.write(flood)
        async with PeerClient(identities[3], 1, pin, ("127.0.0.1", server.port)) as other:
            for turn in range(20):
                # Longer than the others' refusals are held back would mean that it had to queue behind the flood.
                assert await other.call("/count", bytes([turn]), PATIENCE) == bytes([turn])
        for _, writer in floods:
            writer.transport.abort()
    assert seen[3] == 20
    assert seen[2] < 500, "of 6,000 requests sent, most were never served"
