"""KelpDAO on LayerZero, April 2026, at the level where it happened: the RPC endpoint that one verifier believed.

A real chain with a real gateway, and in front of it an endpoint that has been taken over: to the node it shows a message that nobody posted, together
with the counter, the block and the digest that make it consistent. A node that believes this one endpoint takes the message for
posted and would ask for signatures. A node with three endpoints, of which two must agree, never sees it, names the endpoint, and reads on.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bridges.evm.abi import interface
from bridges.evm.client import EvmClient
from bridges.evm.reader import EvmReader
from oracle.node.agreement import AgreedReader, Endpoints
from oracle.ports import ChainReader, Cursor
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message
from oracle.protocol.types import Kind, Sequence, UnixSeconds
from tests.conformance.chain_suite import read_all
from tests.hacks.world import RELEASE
from tests.support import samples
from tests.support.evm_chain import Deployed, anvil, deployed

pytestmark = [pytest.mark.devnet, pytest.mark.timeout(60)]


class TakenOver:
    """Passes everything on to the chain, and adds one post to what the gateway did."""

    def __init__(self, contracts: Deployed, http: aiohttp.ClientSession) -> None:
        self.contracts, self.http = contracts, http
        self.abi = interface("Gateway")
        self.count = 0
        """Posts that there really were when the forged one is said to have been made."""
        self.block = 1 << 62
        """Block that is said to hold the forged post."""
        self.url = ""

    async def forge(self, count: int) -> None:
        """Show a post after `count` real ones, in the newest final block."""
        final = await self.contracts.client.block("finalized")
        assert final is not None
        self.count, self.block = count, final.number

    @property
    def forged(self) -> Message:
        """The post that never was: the next sequence, from the account that is worth the most."""
        gateway = EvmReader(self.contracts.client, self.contracts.gateway).origin
        next_sequence = Sequence(self.count + 1)
        return Message(
            Kind.MESSAGE,
            gateway,
            samples.SOLANA,
            next_sequence,
            self.contracts.hub,
            samples.SOLANA_CONSUMER,
            UnixSeconds(0),
            RELEASE,
        )

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        async with self.http.post(self.contracts.anvil.chain.rpc_url, json=body) as reply:
            answer = await reply.json()
        if body["method"] == "eth_call" and self._counts_forged(*body["params"]):
            answer["result"] = "0x" + (int(answer["result"], 16) + 1).to_bytes(32).hex()
        if body["method"] == "eth_getLogs" and self._covers(body["params"][0]):
            answer["result"].append(self._log())
        return web.json_response(answer)

    def _counts_forged(self, call: dict[str, str], block: str) -> bool:
        counter = "0x" + self.abi.encode("nextSequence").hex()
        return call["data"].startswith(counter) and int(block, 16) >= self.block

    def _covers(self, query: dict[str, str]) -> bool:
        return int(query["fromBlock"], 16) <= self.block <= int(query["toBlock"], 16)

    def _log(self) -> dict[str, Any]:
        message = self.forged
        text = message.to_bytes()
        words = (0x20).to_bytes(32) + len(text).to_bytes(32) + text + bytes(-len(text) % 32)
        topics = [self.abi.topic("MessagePosted"), message.sequence.to_bytes(32), message.digest]
        return {
            "address": self.contracts.deployment.gateway,
            "topics": ["0x" + topic.hex() for topic in topics],
            "data": "0x" + words.hex(),
            "blockNumber": hex(self.block),
            "blockHash": "0x" + bytes(32).hex(),
            "transactionHash": "0x" + bytes(32).hex(),
            "transactionIndex": "0x0",
            "logIndex": "0x7",
            "removed": False,
        }


@asynccontextmanager
async def taken_over(contracts: Deployed) -> AsyncIterator[TakenOver]:
    """The endpoint, as long as the block lasts."""
    async with aiohttp.ClientSession() as http:
        endpoint = TakenOver(contracts, http)
        application = web.Application()
        application.router.add_post("/", endpoint.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            yield endpoint
        finally:
            await runner.cleanup()


@pytest.fixture
async def contracts(tmp_path: Path) -> AsyncIterator[Deployed]:
    async with anvil(tmp_path) as running, deployed(running) as made:
        yield made


def reader(contracts: Deployed, client: EvmClient) -> ChainReader:
    return EvmReader(client, contracts.gateway, start_block=contracts.deployment.block)


async def test_kelpdao__one_endpoint_believed__the_forged_message_is_taken_for_posted(contracts: Deployed) -> None:
    """The attack works on a node that has no other endpoint; README and THREATS.md say so."""
    async with taken_over(contracts) as endpoint, EvmClient(endpoint.url, contracts.anvil.chain.chain_id) as client:
        await contracts.anvil.mine()
        await endpoint.forge(0)
        reading = await reader(contracts, client).read(Cursor(contracts.deployment.block))
    assert reading.messages == (endpoint.forged,)


async def test_kelpdao__two_of_three_endpoints_must_agree__the_forged_message_is_never_seen(
    contracts: Deployed,
) -> None:
    to = InteropAddress(samples.SOLANA.chain, samples.SOLANA_CONSUMER)
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(taken_over(contracts))
        urls = [endpoint.url, contracts.anvil.chain.rpc_url, contracts.anvil.chain.rpc_url]
        clients = [await stack.enter_async_context(EvmClient(url, contracts.anvil.chain.chain_id)) for url in urls]
        readers = [(name, reader(contracts, client)) for name, client in zip("abc", clients, strict=True)]
        endpoints = Endpoints.of(readers, 2, "eip155")
        agreed = AgreedReader(endpoints)
        first = (await contracts.requester().send_message(to, b"honest")).body
        await contracts.anvil.mine()
        await endpoint.forge(1)
        seen, cursor = await read_all(agreed, Cursor(contracts.deployment.block))
        assert seen == (first,)
        forged = endpoint.forged
        # The honest post that takes the forged one's sequence is shown, and tells on the endpoint.
        second = (await contracts.requester().send_message(to, b"honest as well")).body
        assert second.sequence == forged.sequence
        await contracts.anvil.mine()
        later, _ = await read_all(agreed, cursor)
    assert later == (second,)
    assert [one.contradictions for one in endpoints.health] == [1, 0, 0]
    assert all(message.payload != RELEASE for message in (*seen, *later))
