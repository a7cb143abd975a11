"""The peer transport in real sockets on loopback: who is let in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID

from bridges.frost.errors import (
    KeystoreError,
    PeerRefused,
    PeerUnreachable,
)
from bridges.frost.transport import (
    CERTIFICATE_FILE,
    KEY_FILE,
    PeerClient,
    PeerServer,
    TransportIdentity,
    client_context,
    server_context,
)
from tests.support.proxy import Proxy
from tests.support.transport import LIMITS, NOW, PATIENCE, MakeClient, echo, make_identity, raw_connection


async def test_transport__pinned_peers__are_told_apart(client_of: MakeClient) -> None:
    assert await client_of(2).call("/echo", b"hello", PATIENCE) == b"\x02hello"
    assert await client_of(3).call("/echo", b"", PATIENCE) == b"\x03"


async def test_transport__many_calls_on_one_client__reuse_and_overlap(client_of: MakeClient) -> None:
    client = client_of()
    replies = await asyncio.gather(*(client.call("/echo", bytes([i]), PATIENCE) for i in range(12)))
    assert replies == [bytes([2, i]) for i in range(12)]


async def test_transport__unpinned_client_certificate__is_refused(client_of: MakeClient) -> None:
    with pytest.raises(PeerUnreachable):
        await client_of(9).call("/echo", b"", PATIENCE)


async def test_transport__no_client_certificate__is_refused(server: PeerServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    served = b""
    # TLS 1.3 lets a client write before the server has judged it; the verdict comes with the read.
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        served = await asyncio.wait_for(reader.read(), PATIENCE)
    assert served == b""


async def test_transport__server_shows_another_peers_certificate__is_refused(client_of: MakeClient) -> None:
    with pytest.raises(PeerUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await client_of(2, pinned=3).call("/echo", b"", PATIENCE)


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
            assert await client.call("/echo", b"", PATIENCE) == b"\x02"
        async with PeerClient(child, 1, identities[1].certificate, address, LIMITS) as client:
            with pytest.raises(PeerRefused) as caught:
                await client.call("/echo", b"", PATIENCE)
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
            await client.call("/echo", b"", PATIENCE)


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
            await client_of(port=listener.sockets[0].getsockname()[1]).call("/echo", b"", PATIENCE)


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
        reply = await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionResetError:
        reply = b""
    writer.close()
    assert b"HTTP" not in reply


async def test_transport__negotiated__is_tls_1_3_without_tickets(
    server: PeerServer, identities: dict[int, TransportIdentity]
) -> None:
    reader, writer = await raw_connection(server, identities[2], identities[1].certificate)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), PATIENCE)).endswith(b"200 OK\r\n")
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
        reply = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.transport.abort()
    alert = b"\x15\x03"
    assert not reply or (reply.startswith(alert) and len(reply) == 7)


async def test_transport__member_speaks_in_anothers_name__is_known_by_its_certificate(client_of: MakeClient) -> None:
    """Nothing in a request says who sends it: pinned as member 3, one is member 3 whatever one claims to be."""
    assert (await client_of(3).call("/echo", b"I am member 2", PATIENCE))[0] == 3


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
    head = await asyncio.wait_for(reader.readexactly(5), PATIENCE)
    hello = head + await asyncio.wait_for(reader.readexactly(int.from_bytes(head[3:], "big")), PATIENCE)
    assert 43 in server_extensions(hello), "TLS 1.3 was agreed on"
    assert not server_extensions(hello) & {41, 42}
    writer.write_eof()
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), PATIENCE)
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
            assert await client.call("/count", b"once", PATIENCE) == b"done"
    (recorded,) = tap.recorded
    assert len(recorded) > 500
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(recorded)
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), PATIENCE)
    writer.transport.abort()
    assert calls == [b"once"]


def test_server__one_certificate_for_two_peers__is_refused(identities: dict[int, TransportIdentity]) -> None:
    pins = {2: identities[2].certificate, 3: identities[2].certificate}
    with pytest.raises(KeystoreError, match="one certificate"):
        PeerServer(identities[1], pins, ("127.0.0.1", 0))
