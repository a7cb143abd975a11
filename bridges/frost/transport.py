"""Authenticated, encrypted, bounded requests between committee members: HTTP over TLS 1.3 with pinned certificates.

Guarantees: both ends show a certificate and prove its key; a server serves exactly the certificates it was given and tells
its handler which member is calling; a client talks to exactly the certificates it expects; nothing older than TLS 1.3;
bodies, replies, requests in flight, requests and bytes a second, connections and every wait are bounded for each peer, so
that a peer over its bounds is refused and slows nobody else; what goes wrong in a handler reaches the peer as a word and a
sentence, and an unexpected error as the word alone. Pins and own certificate may change while it runs: connections go on,
new ones meet the new certificates, and a request on an old connection counts only while its certificate is still pinned.

Replays: a request belongs to one TLS 1.3 connection, whose keys both ends draw anew, and to one place in it; recorded bytes
mean nothing elsewhere. There are no session tickets, so nothing is resumed and no early data (0-RTT) is ever taken. What a
member itself sends twice is for the layers above: signing sessions have ids that are used once, events are idempotent.

Does not know what the bodies mean, does not retry, does not hide who talks to whom, and bounds the unfinished handshakes of
strangers in time but not in number: let a firewall admit the members' addresses alone.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self
from weakref import WeakSet

import aiohttp
import structlog
from aiohttp import web

from bridges.frost.errors import (
    Busy,
    DecodeError,
    FrostError,
    KeystoreError,
    OversizeBody,
    PeerRefused,
    PeerTimeout,
    PeerUnreachable,
)
from bridges.frost.identity import CERTIFICATE_FILE, KEY_FILE, PeerCertificate, TransportIdentity
from bridges.frost.rates import TokenBucket
from oracle.errors import NotAuthorised, SibylError
from oracle.ports import PeerHandler
from oracle.protocol.errors import DecodeError as ProtocolDecodeError
from oracle.protocol.errors import ProtocolError

__all__ = [
    "CERTIFICATE_FILE",
    "KEY_FILE",
    "PeerCaller",
    "PeerCertificate",
    "PeerClient",
    "PeerNetwork",
    "PeerServer",
    "TransportIdentity",
    "TransportLimits",
    "client_context",
    "server_context",
]

_log: Final = structlog.get_logger(__name__)

MAX_REASON_CHARACTERS: Final = 500
_MAX_ERROR_BYTES: Final = 4096
_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds on one end. Sizes in bytes, waits in seconds."""

    max_body: int = 1_048_576
    """Largest request body or reply; a zk proof is a few kilobytes."""
    handshake_timeout: float = 5.0
    body_timeout: float = 10.0
    """For a request's body to arrive whole."""
    handler_timeout: float = 30.0
    idle_timeout: float = 30.0
    """For a connection without a request, and for a request's headers."""
    in_flight: int = 16
    """Requests of one peer that are served at a time."""
    connections: int = 8
    """Connections that a client opens to one peer."""
    connections_per_peer: int = 64
    """Connections of one peer that a server serves; the connections of its own that died unnoticed count until then."""
    requests_per_second: float = 2_000.0
    """Of one peer, with a burst of as many as two seconds give."""
    bytes_per_second: float = 16_777_216.0
    """Of one peer's bodies, with a burst of four seconds, and never less than one largest body."""
    refusal_seconds: float = 0.2
    """How long the refusal of a peer over its rate is held back: on its connections it cannot ask faster than that."""


Pins = PeerCertificate | Sequence[PeerCertificate]
"""What is pinned for one peer: its certificate, and while it renews that the one before too."""


def server_context(identity: TransportIdentity, pins: Mapping[int, Pins]) -> ssl.SSLContext:
    """TLS 1.3 only; asks for a certificate and trusts exactly `pins`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A resumed session would skip the certificate; without tickets there is none, and so no early data either.
    context.num_tickets = 0
    return _configured(context, identity, [pin for entry in pins.values() for pin in _several(entry)])


def _listening_context(first: ssl.SSLContext, current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """What a listener keeps for good: each handshake is handed to the context that is current at its beginning.

    By itself it trusts nobody and shows nothing, so that a handshake that were not handed over would fail.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # A connection takes these from the context that it was accepted under.
    context.num_tickets = first.num_tickets
    context.minimum_version, context.maximum_version = first.minimum_version, first.maximum_version
    context.verify_mode = first.verify_mode

    def hand_over(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = current()

    # Called for every ClientHello, whether it names a server or not.
    context.sni_callback = hand_over
    return context


def client_context(identity: TransportIdentity, pin: Pins) -> ssl.SSLContext:
    """TLS 1.3 only; shows our certificate and trusts exactly `pin`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate itself is the name.
    context.check_hostname = False
    return _configured(context, identity, _several(pin))


def _configured(
    context: ssl.SSLContext, identity: TransportIdentity, pins: Iterable[PeerCertificate]
) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    identity.show(context)
    for pin in pins:
        context.load_verify_locations(cadata=pin.der)
    return context


def _several(pins: Pins) -> Sequence[PeerCertificate]:
    return (pins,) if isinstance(pins, PeerCertificate) else pins


def _callers(pins: Mapping[int, Pins]) -> dict[bytes, int]:
    callers = {pin.der: peer_id for peer_id, entry in pins.items() for pin in _several(entry)}
    if len(callers) != sum(len(_several(entry)) for entry in pins.values()):
        raise KeystoreError("Two peers are pinned to one certificate; give each its own.")
    return callers


@dataclass(frozen=True, slots=True)
class _Route:
    handler: PeerHandler
    max_body: int
    timeout: float


class _Meter:
    """What one peer uses of a server."""

    def __init__(self, limits: TransportLimits, now: float) -> None:
        self.requests = TokenBucket(limits.requests_per_second, max(1.0, 2 * limits.requests_per_second), now)
        self.bytes = TokenBucket(limits.bytes_per_second, max(float(limits.max_body), 4 * limits.bytes_per_second), now)
        self.connections: WeakSet[asyncio.Transport] = WeakSet()


class PeerServer:
    """Serves registered paths to pinned peers. `async with server:` or `start` and `stop`."""

    def __init__(
        self,
        identity: TransportIdentity,
        pins: Mapping[int, Pins],
        address: tuple[str, int],
        limits: TransportLimits | None = None,
    ) -> None:
        """`address`: host and port to listen on, port 0 for any. Raises KeystoreError if two peers share a certificate."""
        self._limits = limits or TransportLimits()
        self._callers = _callers(pins)
        self._context = server_context(identity, pins)
        self._address = address
        self._routes: dict[str, _Route] = {}
        self._in_flight: Counter[int] = Counter()
        self._meters: dict[int, _Meter] = {}
        self._connections: WeakSet[asyncio.Transport] = WeakSet()
        self._http: web.Server | None = None
        self._listener: asyncio.Server | None = None

    def route(
        self, path: str, handler: PeerHandler, *, max_body: int | None = None, timeout: float | None = None
    ) -> None:
        """Serve POST `path` with `handler(peer_id, body) -> reply`. Raises ValueError for a path that is taken."""
        if not path.startswith("/") or path in self._routes:
            raise ValueError(f"The route {path} is taken or does not begin with a slash.")
        limits = self._limits
        self._routes[path] = _Route(
            handler,
            limits.max_body if max_body is None else max_body,
            limits.handler_timeout if timeout is None else timeout,
        )

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        limits = self._limits
        # The low-level server: no router, no middleware, and debug off whatever the loop says, so no traceback is ever sent.
        self._http = web.Server(
            self._serve,
            handler_cancellation=True,
            keepalive_timeout=limits.idle_timeout,
            lingering_time=1.0,
            auto_decompress=False,
            access_log=None,
            debug=False,
        )
        self._listener = await asyncio.get_running_loop().create_server(
            self._http,
            *self._address,
            ssl=_listening_context(self._context, lambda: self._context),
            ssl_handshake_timeout=limits.handshake_timeout,
            ssl_shutdown_timeout=1.0,
        )

    def use(self, identity: TransportIdentity, pins: Mapping[int, Pins]) -> None:
        """From now on show `identity` and serve `pins`. No connection is cut, and requests under way end.

        Raises KeystoreError, with nothing changed, if two peers share a certificate.
        """
        callers, context = _callers(pins), server_context(identity, pins)
        self._callers, self._context = callers, context

    async def stop(self) -> None:
        """Stop listening, let running handlers end for a second, close every connection. May be called twice."""
        if self._listener is None or self._http is None:
            return
        listener, http = self._listener, self._http
        self._listener = self._http = None
        listener.close()
        http.pre_shutdown()
        await http.shutdown(1.0)
        # A peer that is gone, or that was flooding, would never answer the end of its TLS connection.
        for transport in tuple(self._connections):
            transport.abort()
        self._meters.clear()
        await asyncio.sleep(0)
        async with asyncio.timeout(5.0):
            await listener.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port that is listened on. Raises ValueError before `start`."""
        if self._listener is None:
            raise ValueError("The peer server has no port before it is started.")
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        if request.transport is not None:
            self._connections.add(request.transport)
        caller = self._caller(request)
        if caller is None:
            return _refusal(403, "forbidden", "This certificate is not pinned here.")
        excess = self._excess(caller, request)
        if excess is not None:
            return await self._held_back(caller, excess)
        if self._in_flight[caller] >= self._limits.in_flight:
            return _refusal(503, Busy.code, "Too many requests of yours are being served; come back later.")
        self._in_flight[caller] += 1
        try:
            return await self._dispatch(caller, request)
        finally:
            self._in_flight[caller] -= 1

    def _meter(self, caller: int) -> _Meter:
        if caller not in self._meters:
            self._meters[caller] = _Meter(self._limits, time.monotonic())
        return self._meters[caller]

    def _excess(self, caller: int, request: web.BaseRequest) -> web.Response | None:
        """The refusal of a peer that has too many connections or asks too often."""
        meter, transport = self._meter(caller), request.transport
        if transport is not None and transport not in meter.connections:
            if sum(not known.is_closing() for known in meter.connections) >= self._limits.connections_per_peer:
                return _refusal(429, Busy.code, "You have too many connections here; use those you have.", close=True)
            meter.connections.add(transport)
        wait = meter.requests.take(1, time.monotonic())
        if wait:
            return _refusal(429, Busy.code, f"You ask more often than you may; come back in {wait:.2f} s.")
        return None

    async def _held_back(self, caller: int, refusal: web.Response) -> web.Response:
        _log.warning("peer_over_its_rate", peer=caller)
        # Until the answer is sent nothing more is read from this connection.
        await asyncio.sleep(self._limits.refusal_seconds)
        return refusal

    def _caller(self, request: web.BaseRequest) -> int | None:
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        certificate = tls.getpeercert(binary_form=True) if tls else None
        return self._callers.get(certificate) if certificate else None

    async def _dispatch(self, caller: int, request: web.BaseRequest) -> web.Response:
        route = self._routes.get(request.raw_path)
        if route is None:
            return _refusal(404, "not_found", "Nothing is served at this path.")
        if request.method != "POST":
            return _refusal(405, "method", "Peers use POST.")
        if (request.content_length or 0) > route.max_body:
            return _refusal(413, OversizeBody.code, f"A body here has at most {route.max_body} bytes.")
        # A body without a declared length counts as the largest until it has been read.
        reserved = route.max_body if request.content_length is None else request.content_length
        meter = self._meter(caller)
        wait = meter.bytes.take(reserved, time.monotonic())
        if wait:
            refusal = _refusal(429, Busy.code, f"You send more than you may; come back in {wait:.2f} s.", close=True)
            return await self._held_back(caller, refusal)
        try:
            async with asyncio.timeout(self._limits.body_timeout):
                body = await _read_bounded(request.content, request.content_length, route.max_body)
        except TimeoutError:
            return _refusal(408, PeerTimeout.code, "The request's body did not arrive in time.")
        except OversizeBody as error:
            return _refusal(413, error.code, str(error))
        meter.bytes.give_back(reserved - len(body))
        return await self._answer(caller, request.raw_path, route, body)

    async def _answer(self, caller: int, path: str, route: _Route, body: bytes) -> web.Response:
        try:
            async with asyncio.timeout(route.timeout):
                # gather hands an unexpected error over as a value: it is logged here and hidden from the peer.
                (result,) = await asyncio.gather(route.handler(caller, body), return_exceptions=True)
        except TimeoutError:
            _log.warning("peer_request_timed_out", peer=caller, path=path, seconds=route.timeout)
            return _refusal(504, PeerTimeout.code, "The request took too long to serve.")
        if isinstance(result, bytes):
            return web.Response(body=result, content_type="application/octet-stream")
        if isinstance(result, (ProtocolError, SibylError)):
            code = _code(result)
            _log.info("peer_request_refused", peer=caller, path=path, code=code, reason=str(result))
            return _refusal(409, code, str(result))
        _log.error("peer_request_failed", peer=caller, path=path, exc_info=result)
        return _refusal(500, "internal", "The request failed; the operator's log says why.")


def _code(error: ProtocolError | SibylError) -> str:
    if isinstance(error, FrostError):
        return error.code
    if isinstance(error, NotAuthorised):
        return "not_authorised"
    return DecodeError.code if isinstance(error, ProtocolDecodeError) else "refused"


def _refusal(status: int, code: str, reason: str, *, close: bool = False) -> web.Response:
    body = json.dumps({"error": code, "reason": reason[:MAX_REASON_CHARACTERS]}).encode()
    response = web.Response(status=status, body=body, content_type="application/json")
    if close or status in (403, 408, 413):
        response.force_close()
    return response


async def _read_bounded(content: aiohttp.StreamReader, declared: int | None, bound: int) -> bytes:
    if declared is not None and declared > bound:
        raise OversizeBody(f"A body of {declared} bytes is over the bound of {bound}.")
    body = bytearray()
    async for chunk in content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > bound:
            raise OversizeBody(f"The body is over the bound of {bound} bytes.")
    return bytes(body)


class PeerCaller(Protocol):
    """One peer, as the layers above see it."""

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        """The peer's reply. Raises TransportError."""


class PeerClient:
    """Calls one pinned peer over kept-alive connections. Close it when done, or use `async with`."""

    def __init__(
        self,
        identity: TransportIdentity,
        peer_id: int,
        pin: Pins,
        address: tuple[str, int],
        limits: TransportLimits | None = None,
    ) -> None:
        self._limits = limits or TransportLimits()
        self._peer_id = peer_id
        self._address = address
        self._context = client_context(identity, pin)
        self._session: aiohttp.ClientSession | None = None

    def use(self, identity: TransportIdentity, pin: Pins) -> None:
        """From now on show `identity` and expect `pin`. Calls under way end on their connections, which nobody uses afterwards."""
        self._context = client_context(identity, pin)

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        """POST `body` and return the reply.

        Raises OversizeBody, PeerTimeout, PeerUnreachable (also for a certificate that is not the pinned one) or PeerRefused.
        """
        limits = self._limits
        if len(body) > limits.max_body:
            raise OversizeBody(f"A body of {len(body)} bytes is over the bound of {limits.max_body}; it was not sent.")
        host, port = self._address
        try:
            async with (
                asyncio.timeout(timeout),
                self._open_session().post(
                    f"https://{host}:{port}{path}",
                    data=body,
                    allow_redirects=False,
                    ssl=self._context,  # part of a kept connection's key: with another context there is another connection
                ) as reply,
            ):
                if reply.status != 200:
                    raise await self._refused(reply)
                return await _read_bounded(reply.content, reply.content_length, limits.max_body)
        except TimeoutError:
            raise PeerTimeout(f"Peer {self._peer_id} did not answer within {timeout:g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise PeerUnreachable(f"Peer {self._peer_id} cannot be reached: {_summary(error)}.") from error

    async def _refused(self, reply: aiohttp.ClientResponse) -> PeerRefused:
        try:
            content = json.loads(await _read_bounded(reply.content, reply.content_length, _MAX_ERROR_BYTES))
            code, reason = content["error"], content["reason"]
        except (OversizeBody, ValueError, TypeError, KeyError, RecursionError):
            code, reason = "malformed", f"HTTP status {reply.status} without a structured reason."
        return PeerRefused(self._peer_id, _printable(code, 40), _printable(reason, MAX_REASON_CHARACTERS))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._limits.connections,
                # Shorter than the server's, so that a request never races with the server's closing.
                keepalive_timeout=self._limits.idle_timeout / 3,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),  # each call brings its own
            )
        return self._session

    async def close(self) -> None:
        """Close all connections. A later `call` opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class PeerNetwork:
    """All other members at once: the node's `Peers` port. Use `async with`, or `close` it: calls may outlive a `publish`."""

    def __init__(self, clients: Mapping[int, PeerCaller], timeout: float) -> None:
        """`timeout`: seconds for each peer's answer."""
        self._clients = dict(clients)
        self._timeout = timeout
        self._calls: set[asyncio.Task[bool]] = set()

    async def publish(self, topic: str, body: bytes, enough: int) -> tuple[int, ...]:
        """Send to every other member at once; who took it, ascending, as soon as `enough` did or all have answered.

        Never raises for a silent or refusing peer. The other calls go on within their time-out.
        """
        calls = {asyncio.create_task(self._took(who, topic, body)): who for who in self._clients}
        self._calls |= calls.keys()
        for call in calls:
            call.add_done_callback(self._calls.discard)
        waiting: set[asyncio.Task[bool]] = set(calls)
        took: list[int] = []
        while waiting and len(took) < enough:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            took += [calls[call] for call in done if call.result()]
        return tuple(sorted(took))

    async def close(self) -> None:
        """End the calls that are still under way."""
        calls = tuple(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _took(self, peer_id: int, path: str, body: bytes) -> bool:
        try:
            await self._clients[peer_id].call(path, body, self._timeout)
        except FrostError as error:
            _log.info("peer_publish_failed", peer=peer_id, path=path, code=error.code, reason=str(error))
            return False
        return True


def _printable(text: object, bound: int) -> str:
    """A peer's text, fit for our log: no control characters, no endless lines."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:bound])


def _summary(error: Exception) -> str:
    return _printable(str(error).rstrip(".") or type(error).__name__, 200)
