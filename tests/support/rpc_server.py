"""A JSON-RPC endpoint on loopback that answers as it is told, also wrongly; and a chain of blocks and posts behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web
from eth_abi.abi import encode as abi_encode

from bridges.evm.abi import interface
from oracle.protocol.hashing import keccak256, message_digest
from oracle.protocol.message import Message
from oracle.protocol.types import Endpoint

Handler = Callable[..., Any]


class RpcFailure(Exception):
    """Raised by a handler: the JSON-RPC error to answer with."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


@dataclass
class RpcServer:
    """`methods` answer; `raw`, when set, answers every HTTP request instead. `calls` are the methods that were asked for."""

    methods: dict[str, Handler] = field(default_factory=dict)
    raw: Callable[[], web.StreamResponse] | None = None
    calls: list[tuple[str, list[Any]]] = field(default_factory=list)
    url: str = ""

    def count(self, method: str) -> int:
        """Requests for a method."""
        return sum(name == method for name, _ in self.calls)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One HTTP request."""
        body = await request.json()
        self.calls.append((body["method"], body["params"]))
        if self.raw is not None:
            return self.raw()
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": body["id"]}
        try:
            result = self.methods[body["method"]](*body["params"])
            if asyncio.iscoroutine(result):
                result = await result
            if isinstance(result, web.StreamResponse):
                return result
            answer["result"] = result
        except RpcFailure as failure:
            answer["error"] = failure.error
        except KeyError as missing:
            answer["error"] = {"code": -32601, "message": f"no method {missing}"}
        return web.json_response(answer)


@asynccontextmanager
async def rpc_server(methods: dict[str, Handler] | None = None, *, chain_id: int = 31337) -> AsyncIterator[RpcServer]:
    """Runs while the block lasts."""
    server = RpcServer({"eth_chainId": lambda: hex(chain_id), **(methods or {})})
    application = web.Application()
    application.router.add_post("/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        yield server
    finally:
        await runner.cleanup()


def block_hash(number: int, fork: int = 0) -> str:
    """The hash of a scripted block."""
    return "0x" + keccak256(b"block", number.to_bytes(8), fork.to_bytes(8)).hex()


@dataclass
class ScriptedGateway:
    """Blocks 0 to `head`, `final` of them final, with posts by block. `hide` are sequences that eth_getLogs leaves out.

    `pruned_below`: blocks whose state is gone. `doctor` changes a log before it is shown.
    """

    origin: Endpoint
    head: int = 0
    final: int = 0
    fork_from: int | None = None
    posts: dict[int, list[Message]] = field(default_factory=dict)
    hide: set[int] = field(default_factory=set)
    pruned_below: int = 0
    doctor: Callable[[dict[str, Any]], dict[str, Any]] = lambda log: log
    most_blocks: int | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def methods(self) -> dict[str, Handler]:
        """Handlers for a server."""
        return {
            "eth_blockNumber": lambda: hex(self.head),
            "eth_getBlockByNumber": lambda which, full: self.block(which),
            "eth_getLogs": self.logs,
            "eth_call": self.call,
        }

    def post(self, block: int, message: Message) -> Message:
        """A post of this gateway in a block."""
        mine = replace(message, origin=self.origin)
        self.posts.setdefault(block, []).append(mine)
        return mine

    def block(self, which: str) -> dict[str, Any] | None:
        """A header."""
        number = {"finalized": self.final, "latest": self.head}.get(which)
        number = int(which, 16) if number is None else number
        if number > self.head:
            return None
        return {
            "number": hex(number),
            "hash": self.hash(number),
            "parentHash": self.hash(number - 1),
            "timestamp": hex(1_700_000_000 + number),
        }

    def hash(self, number: int) -> str:
        """Of the branch that holds now."""
        return block_hash(max(number, 0), int(self.fork_from is not None and number >= self.fork_from))

    def call(self, transaction: dict[str, str], which: str) -> str:
        """nextSequence()."""
        header = self.block(which)
        number = self.head if header is None else int(header["number"], 16)
        if number < self.pruned_below:
            raise RpcFailure(-32000, "missing trie node")
        count = sum(len(posts) for block, posts in self.posts.items() if block <= number)
        return "0x" + (count + 1).to_bytes(32).hex()

    def logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        """MessagePosted of a range."""
        start, end = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        (address,) = query["address"] if isinstance(query["address"], list) else (query["address"],)
        self.ranges.append((start, end))
        if self.most_blocks is not None and end - start >= self.most_blocks:
            raise RpcFailure(-32602, "block range is too large")
        return [
            self.doctor(self.log(block, message, address))
            for block, posts in sorted(self.posts.items())
            if start <= block <= end
            for message in posts
            if message.sequence not in self.hide
        ]

    def log(self, block: int, message: Message, address: str) -> dict[str, Any]:
        """One log as JSON-RPC has it."""
        body = message.to_bytes()
        return {
            "address": address,
            "topics": [
                "0x" + interface("Gateway").topic("MessagePosted").hex(),
                "0x" + message.sequence.to_bytes(32).hex(),
                "0x" + message_digest(body).hex(),
            ],
            "data": "0x" + abi_encode(["bytes"], [body]).hex(),
            "blockNumber": hex(block),
            "blockHash": self.hash(block),
            "transactionHash": block_hash(block, 7),
            "transactionIndex": "0x0",
            "logIndex": "0x0",
            "removed": False,
        }
