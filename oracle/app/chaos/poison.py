"""An RPC endpoint that lies: it passes JSON-RPC on to a real one and changes the answers as it is told.

While its mode is HONEST it changes nothing. No mode touches what an endpoint is checked for when a node connects (chain id, genesis hash), so
that the lie is only in what the node would act on. It speaks HTTP alone.
"""

import asyncio
import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

import aiohttp
from aiohttp import web

from oracle.protocol.hashing import keccak256

UPSTREAM_SECONDS = 10.0
SLOW_SECONDS = 4.0
MAX_BODY = 64 << 20
MAX_REMEMBERED = 4_096
_IDENTITY = frozenset({"eth_chainId", "getGenesisHash", "net_version", "getVersion", "getHealth"})
_SENDS = frozenset({"eth_sendRawTransaction", "sendTransaction"})
_HEX = re.compile("0x[0-9a-fA-F]{16,}")


class Mode(Enum):
    """How it lies."""

    HONEST = "honest"
    HIDING = "hiding"
    """What was posted is not there: no logs, no accounts."""
    FORGING = "forging"
    """A byte of what is read is another one: bodies, states, hashes."""
    STALE = "stale"
    """Every question has the answer that it had the first time."""
    SWALLOWING = "swallowing"
    """Transactions are taken, and never sent on."""
    BROKEN = "broken"
    """What comes is no JSON."""
    REFUSING = "refusing"
    """Every question is an internal error."""
    SLOW = "slow"
    """True answers, seconds late."""


LIES = tuple(mode for mode in Mode if mode is not Mode.HONEST)


@dataclass(eq=False, slots=True)
class PoisonedEndpoint:
    """Listens on a free port of loopback and asks `upstream`."""

    name: str
    upstream: str
    mode: Mode = Mode.HONEST
    lies: int = 0
    """Answers that were not the true ones."""
    _remembered: dict[str, Any] = field(default_factory=dict)
    _http: aiohttp.ClientSession | None = None
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where to ask."""
        if self._runner is None:
            raise RuntimeError("the endpoint is not open")
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=UPSTREAM_SECONDS))
        application = web.Application(client_max_size=MAX_BODY)
        application.router.add_post("/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._http is not None:
            await self._http.close()

    def lie(self, mode: Mode) -> None:
        """Answer so from now on."""
        self.mode = mode
        self._remembered.clear()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = await request.json()
        except (ConnectionError, ValueError) as error:
            raise web.HTTPBadRequest(text="Ask in JSON.") from error  # who asked may be gone, too
        if isinstance(asked, list):
            return web.json_response([await self._one(one) for one in asked])
        if self.mode is Mode.BROKEN and asked.get("method") not in _IDENTITY:
            self.lies += 1
            return web.Response(text="<html>upstream timed out", content_type="text/html")
        return web.json_response(await self._one(asked))

    async def _one(self, asked: dict[str, Any]) -> dict[str, Any]:
        mode, method = self.mode, str(asked.get("method"))
        if mode is Mode.HONEST or method in _IDENTITY:
            return await self._truth(asked)
        if mode is Mode.REFUSING:
            return self._lied(asked, {"error": {"code": -32603, "message": "internal error"}})
        if mode is Mode.SWALLOWING and method in _SENDS:
            return self._lied(asked, {"result": _name_of(method, asked["params"][0])})
        key = json.dumps([method, asked.get("params")])
        if mode is Mode.STALE and key in self._remembered:
            return self._lied(asked, self._remembered[key])
        if mode is Mode.SLOW:
            self.lies += 1
            await asyncio.sleep(SLOW_SECONDS)
        true = await self._truth(asked)
        said = {part: true[part] for part in ("result", "error") if part in true}
        if mode is Mode.STALE and len(self._remembered) < MAX_REMEMBERED and method not in _SENDS:
            self._remembered[key] = said
        if mode in (Mode.HIDING, Mode.FORGING) and method not in _SENDS and "result" in said:
            changed = hidden(said["result"]) if mode is Mode.HIDING else forged(said["result"])
            if changed != said["result"]:
                return self._lied(asked, {"result": changed})
        return true

    def _lied(self, asked: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
        self.lies += 1
        return {"jsonrpc": "2.0", "id": asked.get("id"), **said}

    async def _truth(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._http is None:
            raise RuntimeError("the endpoint is not open")
        try:
            async with self._http.post(self.upstream, json=asked) as reply:
                told: dict[str, Any] = await reply.json(content_type=None)
                return told
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise web.HTTPBadGateway(text=type(error).__name__) from error


def hidden(result: Any) -> Any:
    """The same answer without what was found: no logs of a list, no account of a Solana answer."""
    if isinstance(result, list):
        return []
    if isinstance(result, dict) and "value" in result:
        value = result["value"]
        if isinstance(value, list):
            return {**result, "value": [None] * len(value)}
        return {**result, "value": None} if isinstance(value, dict) else result
    return result


def forged(result: Any) -> Any:
    """The same answer with one byte of each long value changed."""
    if isinstance(result, dict):
        return {key: forged(value) for key, value in result.items()}
    if isinstance(result, list):
        if len(result) == 2 and result[1] == "base64":
            return [_flipped_base64(str(result[0])), "base64"]
        return [forged(one) for one in result]
    if isinstance(result, str) and _HEX.fullmatch(result):
        at = 2 + (len(result) - 2) // 4 * 2
        return f"{result[:at]}{int(result[at], 16) ^ 1:x}{result[at + 1 :]}"
    return result


def _flipped_base64(text: str) -> str:
    try:
        data = bytearray(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return text
    if data:
        data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


def _name_of(method: str, raw: Any) -> str:
    """The name that a transaction has on its chain: what an endpoint that sent it on would answer."""
    if method == "eth_sendRawTransaction":
        return "0x" + keccak256(bytes.fromhex(str(raw).removeprefix("0x"))).hex()
    from solders.transaction import VersionedTransaction  # for the one answer that needs it

    data = base64.b64decode(str(raw))
    return str(VersionedTransaction.from_bytes(data).signatures[0])
