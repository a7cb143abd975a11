"""The peer transport in real sockets on loopback: who is let in, what is bounded, what a peer gets to see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

from bridges.frost.errors import (
    DecodeError,
    KeystoreError,
    NonceSpent,
    NotAuthorised,
    OversizeBody,
    PeerRefused,
    PeerTimeout,
    PeerUnreachable,
)
from bridges.frost.transport import (
    CERTIFICATE_FILE,
    KEY_FILE,
    PeerCertificate,
    PeerClient,
    PeerNetwork,
    PeerServer,
    TransportIdentity,
    TransportLimits,
    client_context,
    server_context,
)
from tests.support.proxy import Proxy

# Patient, so that a busy machine fails no test; what must time out does so at a server of its own.
LIMITS = TransportLimits(max_body=10_000)
IMPATIENT = TransportLimits(max_body=10_000, handshake_timeout=2.0, body_timeout=0.5, idle_timeout=1.0)
NOW = datetime.now(UTC)
MakeClient = Callable[..., PeerClient]


def make_identity(root: Path, name: str, now: datetime = NOW) -> TransportIdentity:
    directory = root / name
    directory.mkdir()
    return TransportIdentity.generate(directory, name, now)


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[int, TransportIdentity]:
    root = tmp_path_factory.mktemp("identities")
    return {i: make_identity(root, f"peer-{i}") for i in (1, 2, 3, 9)}


async def echo(peer_id: int, body: bytes) -> bytes:
    return bytes([peer_id]) + body


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


async def raw_connection(
    server: PeerServer, identity: TransportIdentity, pin: PeerCertificate
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(identity, pin))


# ---- who is let in


async def test_transport__pinned_peers__are_told_apart(client_of: MakeClient) -> None:
    assert await client_of(2).call("/echo", b"hello", 5) == b"\x02hello"
    assert await client_of(3).call("/echo", b"", 5) == b"\x03"


async def test_transport__many_calls_on_one_client__reuse_and_overlap(client_of: MakeClient) -> None:
    client = client_of()
    replies = await asyncio.gather(*(client.call("/echo", bytes([i]), 5) for i in range(12)))
    assert replies == [bytes([2, i]) for i in range(12)]


async def test_transport__unpinned_client_certificate__is_refused(client_of: MakeClient) -> None:
    with pytest.raises(PeerUnreachable):
        await client_of(9).call("/echo", b"", 5)


async def test_transport__no_client_certificate__is_refused(server: PeerServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    served = b""
    # TLS 1.3 lets a client write before the server has judged it; the verdict comes with the read.
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        served = await asyncio.wait_for(reader.read(), 5)
    assert served == b""


async def test_transport__server_shows_another_peers_certificate__is_refused(client_of: MakeClient) -> None:
    with pytest.raises(PeerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await client_of(2, pinned=3).call("/echo", b"", 5)


def issue(
    root: Path,
    name: str,
    issuer: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None,
    *,
    authority: bool = False,
) -> tuple[TransportIdentity, ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A P-256 identity: self-signed, or signed by `issuer`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[1].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    certificate = builder.sign(issuer[0] if issuer else key, hashes.SHA256())
    directory = root / name
    directory.mkdir()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for file, data in ((KEY_FILE, pem), (CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.PEM))):
        (directory / file).write_bytes(data)
        (directory / file).chmod(0o600)
    return TransportIdentity.load(directory), key, certificate


async def test_transport__certificate_signed_by_a_pinned_peer__is_not_the_peer(
    identities: dict[int, TransportIdentity], tmp_path: Path
) -> None:
    """A member that pinned a certificate authority cannot make itself further identities."""
    authority, key, certificate = issue(tmp_path, "authority", None, authority=True)
    child, _, _ = issue(tmp_path, "child", (key, certificate))
    pins = {2: authority.certificate}
    async with PeerServer(identities[1], pins, ("127.0.0.1", 0), LIMITS) as server:
        server.route("/echo", echo)
        address = ("127.0.0.1", server.port)
        async with PeerClient(authority, 1, identities[1].certificate, address, LIMITS) as client:
            assert await client.call("/echo", b"", 5) == b"\x02"
        async with PeerClient(child, 1, identities[1].certificate, address, LIMITS) as client:
            with pytest.raises(PeerRefused) as caught:
                await client.call("/echo", b"", 5)
    assert caught.value.peer_code == "forbidden"


@pytest.mark.parametrize("age", [timedelta(days=-2), timedelta(days=3660)], ids=["not yet valid", "expired"])
async def test_transport__certificate_outside_its_time__is_refused(
    identities: dict[int, TransportIdentity], tmp_path: Path, age: timedelta
) -> None:
    old, pin = make_identity(tmp_path, "old", NOW - age), identities[1].certificate
    async with (
        PeerServer(identities[1], {2: old.certificate}, ("127.0.0.1", 0), LIMITS) as server,
        PeerClient(old, 1, pin, ("127.0.0.1", server.port), LIMITS) as client,
    ):
        with pytest.raises(PeerUnreachable):
            await client.call("/echo", b"", 5)


async def test_transport__client_that_speaks_tls_1_2__is_refused(
    server: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    context = client_context(identities[2], identities[1].certificate)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", server.port, ssl=context)


async def test_transport__server_that_speaks_tls_1_2__is_refused(
    client_of: MakeClient, identities: dict[int, TransportIdentity]
) -> None:
    context = server_context(identities[1], {2: identities[2].certificate})
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    listener = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=context)
    async with listener:
        with pytest.raises(PeerUnreachable):
            await client_of(port=listener.sockets[0].getsockname()[1]).call("/echo", b"", 5)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A whole handshake in memory, where each side's own error is seen."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    while sides:
        for side in tuple(sides):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                sides.remove(side)


@pytest.mark.parametrize("old", ["client", "server"])
def test_contexts__other_side_speaks_tls_1_2__fail_for_the_version(
    identities: dict[int, TransportIdentity], old: str
) -> None:
    contexts = {
        "client": client_context(identities[2], identities[1].certificate),
        "server": server_context(identities[1], {2: identities[2].certificate}),
    }
    handshake(**contexts)
    contexts[old].minimum_version = contexts[old].maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|protocol.version"):
        handshake(**contexts)


async def test_transport__plain_http__is_refused(server: PeerServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    try:
        reply = await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        reply = b""
    writer.close()
    assert b"HTTP" not in reply


async def test_transport__negotiated__is_tls_1_3_without_tickets(
    server: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 5)).endswith(b"200 OK\r\n")
    tls = writer.get_extra_info("ssl_object")
    assert tls.version() == "TLSv1.3"
    assert tls.session is None or not tls.session.has_ticket
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "data",
    [
        bytes(600),
        b"\xff" * 600,
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff" + bytes(700),
        b"SSH-2.0-x\r\n" * 40,
    ],
    ids=["zeros", "ones", "short record", "oversize record", "another protocol"],
)
async def test_transport__garbage_on_the_port__gets_an_alert_at_most(server: PeerServer, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    reply = b""
    with contextlib.suppress(ConnectionResetError):
        reply = await asyncio.wait_for(reader.read(), 10)
    writer.transport.abort()
    alert = b"\x15\x03"
    assert not reply or (reply.startswith(alert) and len(reply) == 7)


async def test_transport__member_speaks_in_anothers_name__is_known_by_its_certificate(client_of: MakeClient) -> None:
    """Nothing in a request says who sends it: pinned as member 3, one is member 3 whatever one claims to be."""
    assert (await client_of(3).call("/echo", b"I am member 2", 5))[0] == 3


def client_hello(*, early_data: bool) -> bytes:
    """A TLS 1.3 ClientHello by hand, as a thief of a session ticket would send it: a made-up ticket, and early data behind it."""

    def sized(width: int, data: bytes) -> bytes:
        return len(data).to_bytes(width, "big") + data

    def extension(number: int, data: bytes) -> bytes:
        return number.to_bytes(2, "big") + sized(2, data)

    share = X25519PrivateKey.generate().public_key().public_bytes_raw()
    extensions = [
        extension(43, sized(1, b"\x03\x04")),  # supported versions: TLS 1.3
        extension(10, sized(2, b"\x00\x1d")),  # groups: X25519
        extension(13, sized(2, b"\x08\x07\x04\x03")),  # signatures: ed25519, ecdsa
        extension(51, sized(2, b"\x00\x1d" + sized(2, share))),
        extension(45, sized(1, b"\x01")),  # psk with (EC)DHE
    ]
    if early_data:
        extensions.append(extension(42, b""))
    ticket = sized(2, os.urandom(180)) + bytes(4)
    extensions.append(extension(41, sized(2, ticket) + sized(2, sized(1, os.urandom(32)))))
    body = b"\x03\x03" + os.urandom(32) + sized(1, os.urandom(32)) + sized(2, b"\x13\x01") + b"\x01\x00"
    hello = b"\x01" + sized(3, body + sized(2, b"".join(extensions)))
    return b"\x16\x03\x01" + sized(2, hello)


def server_extensions(record: bytes) -> set[int]:
    """The numbers of the extensions in a ServerHello."""
    assert record[0] == 0x16, "no handshake record"
    assert record[5] == 2, "no ServerHello"
    at = 5 + 4 + 2 + 32
    at += 1 + record[at] + 2 + 1
    end = at + 2 + int.from_bytes(record[at : at + 2], "big")
    at += 2
    found = set()
    while at < end:
        found.add(int.from_bytes(record[at : at + 2], "big"))
        at += 4 + int.from_bytes(record[at + 2 : at + 4], "big")
    return found


async def test_transport__early_data__is_never_taken(server: PeerServer) -> None:
    """0-RTT could be replayed. The server answers with a whole new handshake (no extension 41 or 42), and reads no early byte."""
    calls = []

    async def count(_: int, body: bytes) -> bytes:
        calls.append(body)
        return b""

    server.route("/count", count)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    early = b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    writer.write(client_hello(early_data=True) + b"\x17\x03\x03" + len(early).to_bytes(2, "big") + early)
    head = await asyncio.wait_for(reader.readexactly(5), 10)
    hello = head + await asyncio.wait_for(reader.readexactly(int.from_bytes(head[3:], "big")), 10)
    assert 43 in server_extensions(hello), "TLS 1.3 was agreed on"
    assert not server_extensions(hello) & {41, 42}
    writer.write_eof()
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert calls == []


async def test_transport__recorded_request__means_nothing_on_another_connection(
    server: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    """All bytes that a member sent in a call that was served, sent again: a wire-tapper's replay."""
    calls: list[bytes] = []

    async def count(_: int, body: bytes) -> bytes:
        calls.append(body)
        return b"done"

    server.route("/count", count)
    async with Proxy(("127.0.0.1", server.port), record=True) as tap:
        address = ("127.0.0.1", tap.port)
        async with PeerClient(identities[2], 1, identities[1].certificate, address, LIMITS) as client:
            assert await client.call("/count", b"once", 5) == b"done"
    (recorded,) = tap.recorded
    assert len(recorded) > 500
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(recorded)
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 10)
    writer.transport.abort()
    assert calls == [b"once"]


def test_server__one_certificate_for_two_peers__is_refused(identities: dict[int, TransportIdentity]) -> None:
    pins = {2: identities[2].certificate, 3: identities[2].certificate}
    with pytest.raises(KeystoreError, match="one certificate"):
        PeerServer(identities[1], pins, ("127.0.0.1", 0))


# ---- what is bounded


async def test_transport__oversize_body__is_not_even_sent(client_of: MakeClient) -> None:
    with pytest.raises(OversizeBody, match="not sent"):
        await client_of().call("/echo", bytes(LIMITS.max_body + 1), 5)


async def test_transport__body_at_the_bound__passes_and_one_more_is_refused(client_of: MakeClient) -> None:
    client = client_of(limits=TransportLimits(max_body=100_000))
    assert len(await client.call("/echo", bytes(LIMITS.max_body), 5)) == LIMITS.max_body + 1
    with pytest.raises(PeerRefused) as caught:
        await client.call("/echo", bytes(LIMITS.max_body + 1), 5)
    assert caught.value.peer_code == "oversize"


async def test_transport__endless_chunked_body__is_cut_at_the_bound(
    server: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(12):
        writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    writer.transport.abort()


async def test_transport__route_with_a_bound_of_its_own__keeps_it(server: PeerServer, client_of: MakeClient) -> None:
    server.route("/small", echo, max_body=4)
    assert await client_of().call("/small", b"1234", 5) == b"\x021234"
    with pytest.raises(PeerRefused) as caught:
        await client_of().call("/small", b"12345", 5)
    assert caught.value.peer_code == "oversize"


async def test_transport__oversize_reply__is_refused(server: PeerServer, client_of: MakeClient) -> None:
    async def flood(_: int, __: bytes) -> bytes:
        return bytes(LIMITS.max_body + 1)

    server.route("/flood", flood)
    with pytest.raises(OversizeBody):
        await client_of().call("/flood", b"", 5)


async def test_transport__body_that_trickles__is_refused_in_time(
    impatient: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(impatient, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nab")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
    writer.transport.abort()


async def test_transport__headers_that_trickle__are_cut_off(
    impatient: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(impatient, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\n")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.transport.abort()


async def test_transport__connection_without_handshake__is_cut_off(impatient: PeerServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_transport__slow_handler__times_out_on_both_sides(server: PeerServer, client_of: MakeClient) -> None:
    cancelled = asyncio.Event()

    async def slow(_: int, __: bytes) -> bytes:
        try:
            await asyncio.sleep(30)
        finally:
            cancelled.set()
        return b""

    server.route("/slow", slow, timeout=0.5)
    with pytest.raises(PeerTimeout):
        await client_of().call("/slow", b"", 0.1)
    with pytest.raises(PeerRefused) as caught:
        await client_of().call("/slow", b"", 5)
    assert caught.value.peer_code == "timeout"
    await asyncio.wait_for(cancelled.wait(), 5)


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
                held = [group.create_task(greedy.call("/hold", b"", 10)) for _ in range(2)]
                for _ in range(2):
                    await asyncio.wait_for(entered.get(), 5)
                with pytest.raises(PeerRefused) as caught:
                    await greedy.call("/echo", b"", 5)
                assert caught.value.peer_code == "busy"
                assert await other.call("/echo", b"", 5) == b"\x03"
                release.set()
            assert [task.result() for task in held] == [b"held", b"held"]
            assert await greedy.call("/echo", b"", 5) == b"\x02"


FEW = TransportLimits(max_body=10_000, requests_per_second=5.0, refusal_seconds=0.05)


async def call_until_refused(client: PeerClient, body: bytes = b"") -> tuple[int, PeerRefused]:
    for served in range(10_000):
        try:
            await client.call("/echo", body, 5)
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
            assert await other.call("/echo", b"", 5) == b"\x03"
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(PeerRefused):
                        assert await greedy.call("/echo", b"", 5) == b"\x02"
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
            assert await greedy.call("/echo", b"small", 5) == b"\x02small"
            assert len(await other.call("/echo", bytes(40_000), 5)) == 40_001


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
            assert status in await asyncio.wait_for(reader.readline(), 5)
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
            return await asyncio.wait_for(reader.readline(), 5), writer

        opened = [await connect(2) for _ in range(4)]
        assert [b" 200 " in line for line, _ in opened] == [True, True, True, False]
        assert b" 429 " in opened[-1][0]
        line, writer = await connect(3)
        assert b" 200 " in line
        for _, used in (*opened, (line, writer)):
            used.close()
        async with asyncio.timeout(10):
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
                assert await other.call("/count", bytes([turn]), 5) == bytes([turn])
        for _, writer in floods:
            writer.transport.abort()
    assert seen[3] == 20
    assert seen[2] < 500, "of 6,000 requests sent, most were never served"


# ---- what a peer gets to see


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
        await client_of().call("/fail", b"", 5)
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
        reply = await asyncio.wait_for(reader.read(), 5)
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
    reply = await asyncio.wait_for(reader.read(), 5)
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
    assert f" {status} ".encode() in await asyncio.wait_for(reader.readline(), 5)
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
            await client_of(port=listener.sockets[0].getsockname()[1]).call("/echo", b"", 5)
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
        await client_of(port=port).call("/echo", b"", 5)


async def test_client__server_restarts__reaches_it_again(
    identities: dict[int, TransportIdentity],
) -> None:
    pins, pin = {2: identities[2].certificate}, identities[1].certificate
    first = PeerServer(identities[1], pins, ("127.0.0.1", 0), LIMITS)
    first.route("/echo", echo)
    await first.start()
    port = first.port
    async with PeerClient(identities[2], 1, pin, ("127.0.0.1", port), LIMITS) as client:
        assert await client.call("/echo", b"", 5) == b"\x02"
        await first.stop()
        await first.stop()
        with pytest.raises(PeerUnreachable):
            await client.call("/echo", b"", 5)
        async with PeerServer(identities[1], pins, ("127.0.0.1", port), LIMITS) as second:
            second.route("/echo", echo)
            assert await client.call("/echo", b"", 5) == b"\x02"


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
        async with asyncio.timeout(5):
            assert await network.publish("/echo", b"news", 2) == (1, 2)
        assert not slow.ended
    assert slow.ended


# ---- identities


def test_identity__generated__is_private_and_loads_again(tmp_path: Path) -> None:
    made = TransportIdentity.generate(tmp_path, "peer", NOW)
    assert {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {CERTIFICATE_FILE: 0o600, KEY_FILE: 0o600}
    assert TransportIdentity.load(tmp_path) == made
    assert PeerCertificate.from_pem(made.certificate.to_pem()) == made.certificate
    with pytest.raises(KeystoreError, match="exists already"):
        TransportIdentity.generate(tmp_path, "peer", NOW)


def test_identity__readable_by_others_or_damaged__is_refused(tmp_path: Path) -> None:
    TransportIdentity.generate(tmp_path, "peer", NOW)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(KeystoreError, match="chmod 600"):
        TransportIdentity.load(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o600)
    (tmp_path / KEY_FILE).write_text("nonsense")
    with pytest.raises(KeystoreError, match="is not the key of"):
        TransportIdentity.load(tmp_path)


def test_identity__key_of_another_certificate__is_refused(tmp_path: Path) -> None:
    one, two = make_identity(tmp_path, "one"), make_identity(tmp_path, "two")
    shutil.copyfile(two.key_path, one.key_path)
    with pytest.raises(KeystoreError, match="is not the key of"):
        TransportIdentity.load(tmp_path / "one")


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_certificate__not_one__raises_decode_error(pem: str) -> None:
    with pytest.raises(DecodeError):
        PeerCertificate.from_pem(pem)


def test_certificate__two_in_one_text__raises_decode_error(identities: dict[int, TransportIdentity]) -> None:
    with pytest.raises(DecodeError, match="exactly one"):
        PeerCertificate.from_pem(identities[1].certificate.to_pem() * 2)
