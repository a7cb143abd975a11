"""The EVM adapter stopped at each of its requests: nothing is lost, nothing is delivered twice, and the next attempt ends the work."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from bridges.evm.abi import interface
from bridges.evm.client import EvmClient, RetryPolicy
from bridges.evm.reader import EvmReader
from bridges.evm.sender import Sender
from bridges.evm.submitter import EvmSubmitter
from oracle.ports import Cursor, DeliveryState, Submission
from oracle.protocol.types import Sequence, evm_account
from tests.support import samples
from tests.support.evm_chain import QUICK, RECEIVER, Anvil, Deployed, anvil, deployed
from tests.support.rpc_server import RpcServer, ScriptedGateway, rpc_server

ONCE = RetryPolicy(attempts=1, deadline=5.0)
RECIPIENT = evm_account(b"\xab" * 20)


class CountingClient(EvmClient):
    """Stops for good before its request number `stop_at`."""

    def __init__(self, *arguments: Any, stop_at: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.requests, self.stop_at, self.stopped = 0, stop_at, asyncio.Event()

    async def _ask(self, what: str, request: Any) -> Any:
        self.requests += 1
        if self.requests == self.stop_at:
            self.stopped.set()
            await asyncio.Event().wait()
        return await super()._ask(what, request)


async def stopped_at(client: CountingClient, work: Any) -> bool:
    """Run, and cancel where the client stops; whether it got that far."""
    task = asyncio.create_task(work)
    stop = asyncio.create_task(client.stopped.wait())
    async with asyncio.timeout(20):
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            await task
            return False
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return True


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[RpcServer, list[Any]]]:
    gateway = ScriptedGateway(samples.EVM, head=10, final=10)
    posted = [gateway.post(block, samples.plain_message(sequence=i + 1)) for i, block in enumerate((3, 3, 9))]
    async with rpc_server(gateway.methods()) as server:
        yield server, posted


async def test_reader__cancelled_at_each_request__reads_everything_the_next_time(
    scripted: tuple[RpcServer, list[Any]],
) -> None:
    server, posted = scripted
    for stop_at in range(1, 20):
        client = CountingClient(server.url, 31337, retries=ONCE, stop_at=stop_at)
        reader = EvmReader(client, samples.EVM.gateway)
        reached = await stopped_at(client, reader.read(Cursor(0)))
        client.stop_at = 0
        assert list((await reader.read(Cursor(0))).messages) == posted
        await client.close()
        if not reached:
            break
    assert stop_at > 3


@pytest_asyncio.fixture
async def contracts(tmp_path: Any) -> AsyncIterator[Deployed]:
    async with anvil(tmp_path) as chain, deployed(chain) as made:
        await chain.set_code("0x" + RECIPIENT[12:].hex(), RECEIVER)
        yield made


def _client(chain: Anvil, stop_at: int) -> CountingClient:
    return CountingClient(chain.chain.rpc_url, chain.chain.chain_id, retries=ONCE, stop_at=stop_at)


@pytest.mark.devnet
async def test_submitter__killed_at_each_request__delivers_exactly_once(contracts: Deployed) -> None:
    template = samples.plain_message()
    for stop_at in range(1, 30):
        message = replace(
            template,
            origin=samples.SOLANA,
            destination=EvmSubmitter(contracts.sender(), contracts.gateway).destination,
            sequence=Sequence(stop_at),
            sender=samples.SOLANA_CONSUMER,
            recipient=RECIPIENT,
        )
        sent = Submission(message, contracts.key.attest(message))
        client = _client(contracts.anvil, stop_at)
        dying = EvmSubmitter(Sender(client, contracts.anvil.account(1), QUICK), contracts.gateway, contracts.hub)
        reached = await stopped_at(client, dying.submit(sent))
        await client.close()
        # A process that starts again: a fresh submitter with the same key.
        again = EvmSubmitter(contracts.sender(1), contracts.gateway, contracts.hub)
        was_there = await again.state(message) is not DeliveryState.ABSENT
        assert (await again.submit(sent) is None) == was_there
        assert await again.state(message) is not DeliveryState.ABSENT
        if not reached:
            break
    logs = await contracts.client.logs({"address": contracts.deployment.gateway, "fromBlock": 0, "toBlock": "latest"})
    topic = interface("Gateway").topic("MessageDelivered")
    assert sum(log.topics[0] == topic for log in logs) == stop_at
    assert stop_at > 5
