"""HTTP transport of one JSON-RPC endpoint for web3.py, with what web3's own provider leaves open closed.

Guarantees: one kept-alive session that its owner closes; a time limit and a size limit on each answer; no redirect is followed; no
off-chain look-up (EIP-3668) is ever made for an endpoint or a contract; neither the URL (which may hold an access key) nor an answer is
logged. It does not retry: that is the client's work, with one policy for everything.
"""

import json
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
from web3.providers.async_base import AsyncJSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from oracle.errors import ConfigError, Transient

MAX_RESPONSE_SIZE = 32 * 1024 * 1024
"""Bytes of one JSON-RPC answer: some hundred posts of the largest size, as hexadecimal, several times over."""
_CHUNK = 64 * 1024
_WRONG_ADDRESS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def endpoint_name(url: str) -> str:
    """Scheme, host and port of a URL: what may be shown. Path, query and credentials often hold an access key."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("An EVM RPC endpoint is a URL that starts with http:// or https:// and names a host.")
    return f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port else "")


class HttpProvider(AsyncJSONBaseProvider):
    """One endpoint. Close it with `disconnect`."""

    def __init__(self, url: str, timeout: float) -> None:
        super().__init__()
        self.global_ccip_read_enabled = False  # a contract must not make this node fetch a URL of its choice
        self.name = endpoint_name(url)
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"HttpProvider({self.name})"

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """One request. Raises Transient on an HTTP error or a too long answer, and aiohttp's and json's own errors."""
        raw = await self._post(self.encode_rpc_request(method, params))
        answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise Transient(f"The endpoint {self.name} did not answer {method} with a JSON-RPC object.")
        return cast(RPCResponse, answer)  # web3 checks the object's fields in the next step

    async def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        async with self._open().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
            if response.status in _WRONG_ADDRESS:
                raise ConfigError(
                    f"The endpoint {self.name} refuses this node (HTTP {response.status}): check its URL and access key."
                )
            # Some endpoints put a JSON-RPC error beside HTTP 400 or 500: then the body says more than the status.
            raw = await self._read(response)
            if response.status != HTTPStatus.OK and b'"jsonrpc"' not in raw:
                raise Transient(f"The endpoint {self.name} answered with HTTP {response.status}.")
            return raw

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > MAX_RESPONSE_SIZE:
                raise Transient(f"The endpoint {self.name} sent an answer of more than {MAX_RESPONSE_SIZE} bytes.")
            chunks.append(chunk)
        return b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session

    async def disconnect(self) -> None:
        """Close the session; the next request opens another one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
