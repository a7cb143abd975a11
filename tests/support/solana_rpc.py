"""A JSON-RPC server on loopback that answers as a test tells it: for faults that no real node can be brought to."""

import asyncio
import base64
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from solders.hash import Hash
from solders.pubkey import Pubkey

from bridges.solana.client import RetryPolicy
from bridges.solana.layout import AccountData, ProgramAddresses
from bridges.solana.transactions import SendPolicy
from oracle.protocol.message import Message
from oracle.protocol.types import Account, Kind, Sequence, UnixSeconds
from tests.support import samples
from tests.support.samples import seeded
from tests.support.schnorr import SchnorrKey

GENESIS = samples.SOLANA.chain.reference
Params = list[object]
PROGRAM = samples.SOLANA.gateway
AT = ProgramAddresses(Pubkey(PROGRAM))
QUICK = RetryPolicy(timeout=0.3, attempts=3, deadline=2.0)
FAST = SendPolicy(poll_interval=0.01, resend_interval=0.05, deadline=3.0, blockhashes=3, meta_deadline=0.05)
KEY = SchnorrKey.seeded("group")


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


def owned(data: bytes, owner: Pubkey = AT.program) -> AccountData:
    return AccountData(owner, 1_000_000, data)


def config(next_sequence: int, reference: bytes = GENESIS) -> AccountData:
    return owned(
        struct.pack("<BBBBIQQ", 1, 1, 255, 0, 1, next_sequence, 0)
        + seeded("authority")
        + seeded("treasury")
        + reference
    )


def posted(sequence: int, payload: bytes = b"hello") -> Message:
    sender = Account(seeded("sender"))
    return Message(
        Kind.MESSAGE, samples.SOLANA, samples.EVM, Sequence(sequence), sender, samples.CONSUMER, UnixSeconds(0), payload
    )


def outbox(message: Message) -> AccountData:
    body = message.to_bytes()
    state = 1 if message.kind is Kind.MESSAGE else 2
    head = struct.pack("<BBBBIQQQ", 5, 1, 254, state, len(body), message.sequence, 0, message.expiry)
    return owned(head + message.sender + message.digest + body)


def hold(rpc: ScriptedRpc, *messages: Message, upto: int | None = None) -> None:
    """Let the program have these posts."""
    rpc.accounts[AT.config.address] = config(1 + (upto or len(messages)))
    for message in messages:
        rpc.accounts[AT.outbox(message.sequence).address] = outbox(message)


class Cluster:
    """Just enough of a cluster to take one transaction."""

    def __init__(self, rpc: ScriptedRpc) -> None:
        self.valid, self.status, self.sent = True, None, 0  # type: bool, object, int
        self.error: object = None
        self.hashes = 0
        rpc.answers |= {
            "getLatestBlockhash": self._blockhash,
            "isBlockhashValid": lambda _params: {"value": self.valid},
            "simulateTransaction": lambda _params: {"value": {"err": self.error, "logs": [], "unitsConsumed": 1000}},
            "sendTransaction": self._send,
            "getSignatureStatuses": lambda _params: {"value": [self.status]},
            "getTransaction": {"meta": {"computeUnitsConsumed": 987, "logMessages": []}},
        }

    def _blockhash(self, _params: object) -> object:
        self.hashes += 1
        return {"value": {"blockhash": str(Hash(seeded(f"hash {self.hashes}"))), "lastValidBlockHeight": 1}}

    def _send(self, _params: object) -> object:
        self.sent += 1
        return "signature"

    def land(self, error: object = None) -> None:
        self.status = {"slot": 101, "err": error, "confirmationStatus": "confirmed"}
