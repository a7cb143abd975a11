"""A JSON-RPC server on loopback that answers as a test tells it: for faults that no real node can be brought to."""

import asyncio
import base64
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from solders.hash import Hash
from solders.pubkey import Pubkey

from bridges.solana.layout import AccountData
from tests.support import samples

GENESIS = samples.SOLANA.chain.reference
Params = list[object]


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this HTTP status and text instead of JSON-RPC."""

    status: int
    text: str = "unavailable"


@dataclass(frozen=True, slots=True)
class RpcError:
    """Answer with a JSON-RPC error."""

    code: int
    message: str = "no"
    data: object = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Do not answer for so many seconds."""

    seconds: float = 30.0


Answer = object | Callable[[Params], object]


@dataclass
class ScriptedRpc:
    """`answers[method]` is a result, an RpcError, a Status, a Hang, or a function of the parameters that gives one."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    calls: dict[str, list[Params]] = field(default_factory=lambda: defaultdict(list))
    accounts: dict[Pubkey, AccountData] = field(default_factory=dict)
    slot: int = 100
    """Slot that account reads are answered for; also the finalized slot unless `answers` says otherwise."""

    def __post_init__(self) -> None:
        self.answers = {
            "getGenesisHash": str(Hash(GENESIS)),
            "getMultipleAccounts": self._accounts,
            "getSlot": lambda _params: self.slot,
            "getHealth": "ok",
            "getSignaturesForAddress": [],
        }

    def _accounts(self, params: Params) -> object:
        keys = params[0]
        assert isinstance(keys, list)
        found = [self.accounts.get(Pubkey.from_string(key)) for key in keys]
        return {"context": {"slot": self.slot}, "value": [None if one is None else account_json(one) for one in found]}

    async def handle(self, request: web.Request) -> web.Response:
        """One call."""
        call = await request.json()
        method, params = call["method"], call["params"]
        self.calls[method].append(params)
        answer = self.answers.get(method, RpcError(-32601, "Method not found"))
        if callable(answer):
            answer = answer(params)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, Hang):
            await asyncio.sleep(answer.seconds)
        if isinstance(answer, Status):
            return web.Response(status=answer.status, text=answer.text)
        if isinstance(answer, RpcError):
            error = {"code": answer.code, "message": answer.message, "data": answer.data}
            return web.json_response({"jsonrpc": "2.0", "id": call["id"], "error": error})
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], "result": answer})

    @property
    def total(self) -> int:
        """Calls so far."""
        return sum(len(calls) for calls in self.calls.values())


def account_json(account: AccountData) -> dict[str, object]:
    """An account as a node tells of it."""
    data = [base64.b64encode(account.data).decode(), "base64"]
    return {
        "data": data,
        "owner": str(account.owner),
        "lamports": account.lamports,
        "executable": False,
        "rentEpoch": 0,
    }


@asynccontextmanager
async def scripted_rpc() -> AsyncIterator[ScriptedRpc]:
    """A server that lasts as long as the block."""
    rpc = ScriptedRpc()
    app = web.Application()
    app.router.add_post("/{key:.*}", rpc.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        rpc.url = str(server.make_url("/"))
        yield rpc
