"""Transactions in trouble, on a real anvil whose blocks are held back: stuck, replaced, taken, failing, unpaid; and endpoints that lose answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from bridges.evm.abi import address_of
from bridges.evm.account import EvmAccount
from bridges.evm.client import EvmClient
from bridges.evm.sender import GWEI, Call, FeePolicy, Sender
from oracle.errors import Rejected, Transient
from tests.support.evm_chain import QUICK, RETRIES, Anvil, anvil, creation, returning, reverting, selector
from tests.support.rpc_server import RpcFailure, RpcServer, rpc_server

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]
TARGET, FUSSY = address_of(b"\xcc" * 20), address_of(b"\xdd" * 20)
CALL = Call(TARGET, b"\1")
PATIENT = replace(QUICK, bump_after=60.0, deadline=15.0, receipt_grace=0.5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    async with anvil(tmp_path_factory.mktemp("anvil")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def chain(module_chain: Anvil) -> AsyncIterator[Anvil]:
    await module_chain.set_code(TARGET, returning(b"\1"))
    yield module_chain
    await module_chain.rpc("anvil_dropAllTransactions")
    await module_chain.automine(True)


@pytest_asyncio.fixture(loop_scope="module")
async def client(chain: Anvil) -> AsyncIterator[EvmClient]:
    async with chain.client() as evm:
        yield evm


async def waiting(chain: Anvil) -> int:
    """Transactions in the pool."""
    return int((await chain.rpc("txpool_status"))["pending"], 16)


async def pooled(chain: Anvil, sender: Sender) -> list[dict[str, Any]]:
    """The sender's transactions in the pool."""
    pending = (await chain.rpc("txpool_content"))["pending"]
    return [
        transaction
        for key, of in pending.items()
        if key.lower() == sender.address.lower()
        for transaction in of.values()
    ]


async def until_waiting(chain: Anvil, count: int) -> None:
    async with asyncio.timeout(10):
        while await waiting(chain) < count:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def held(chain: Anvil) -> AsyncIterator[None]:
    """No block comes by itself."""
    await chain.automine(False)
    try:
        yield
    finally:
        await chain.automine(True)


async def test_sender__many_at_once__use_every_account_nonce_once(chain: Anvil, client: EvmClient) -> None:
    sender = Sender(client, chain.account(1), PATIENT)
    before = await client.account_nonce(sender.address, "latest")
    receipts = await asyncio.gather(*(sender.send(CALL) for _ in range(12)))
    assert len({receipt.hash for receipt in receipts}) == 12
    assert await client.account_nonce(sender.address, "latest") == before + 12


async def test_sender__many_at_once_in_one_block__are_all_mined(chain: Anvil, client: EvmClient) -> None:
    sender = Sender(client, chain.account(1), PATIENT)
    async with held(chain):
        tasks = [asyncio.create_task(sender.send(CALL)) for _ in range(5)]
        await until_waiting(chain, 5)
        await chain.mine(1)
        receipts = await asyncio.gather(*tasks)
    assert len({receipt.block for receipt in receipts}) == 1


async def test_sender__two_processes_with_one_key__both_get_through(chain: Anvil, client: EvmClient) -> None:
    senders = [Sender(client, chain.account(1), PATIENT) for _ in range(2)]
    outcomes = await asyncio.gather(*(s.send(CALL) for s in senders for _ in range(4)), return_exceptions=True)
    done = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len({receipt.hash for receipt in done}) == len(done) >= 4
    assert all(isinstance(o, Transient) for o in outcomes if isinstance(o, BaseException))


async def test_sender__not_mined__is_replaced_at_a_higher_fee(chain: Anvil, client: EvmClient) -> None:
    sender = Sender(client, chain.account(1), replace(PATIENT, bump_after=0.2, max_bumps=2))
    before = await client.account_nonce(sender.address, "latest")
    async with held(chain):
        task = asyncio.create_task(sender.send(CALL))
        await until_waiting(chain, 1)
        (first,) = await pooled(chain, sender)
        await asyncio.sleep(1.2)
        (last,) = await pooled(chain, sender)
        await chain.mine(1)
        receipt = await task
    assert receipt.succeeded
    assert int(last["maxFeePerGas"], 16) >= int(first["maxFeePerGas"], 16) * 5**2 // 4**2
    assert "0x" + receipt.hash.hex() == last["hash"]
    assert await client.account_nonce(sender.address, "latest") == before + 1


async def test_sender__never_mined__gives_up_at_the_deadline_and_takes_the_same_nonce_again(
    chain: Anvil, client: EvmClient
) -> None:
    sender = Sender(client, chain.account(1), replace(PATIENT, deadline=0.3))
    before = await client.account_nonce(sender.address, "latest")
    async with held(chain):
        with pytest.raises(Transient, match=r"not mined within 0\.3 s"):
            await sender.send(CALL)
        task = asyncio.create_task(sender.send(Call(TARGET, b"\2")))
        await asyncio.sleep(0.15)
        assert await waiting(chain) == 1
        await chain.mine(1)
        receipt = await task
    assert receipt.succeeded
    assert await client.account_nonce(sender.address, "latest") == before + 1


async def test_sender__cancelled_while_waiting__leaves_no_gap(chain: Anvil, client: EvmClient) -> None:
    sender = Sender(client, chain.account(1), PATIENT)
    async with held(chain):
        task = asyncio.create_task(sender.send(CALL))
        await until_waiting(chain, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        again = asyncio.create_task(sender.send(CALL))
        await asyncio.sleep(0.2)
        await chain.mine(1)
        assert (await again).succeeded


async def test_sender__restart_with_a_transaction_in_the_pool__goes_on_behind_it(
    chain: Anvil, client: EvmClient
) -> None:
    async with held(chain):
        orphan = asyncio.create_task(Sender(client, chain.account(1), PATIENT).send(CALL))
        await until_waiting(chain, 1)
        fresh = asyncio.create_task(Sender(client, chain.account(1), PATIENT).send(CALL))
        await until_waiting(chain, 2)
        await chain.mine(1)
        assert (await fresh).succeeded
        assert (await orphan).succeeded


async def test_sender__behind_a_dead_process_lost_transaction__clears_the_way(chain: Anvil, client: EvmClient) -> None:
    """A process died and its transaction left the pool, with ours behind it: the next process gets through, without any memory of it."""
    before = await client.account_nonce(chain.account(1).address, "latest")
    fresh = Sender(client, chain.account(1), replace(PATIENT, bump_after=0.3, max_bumps=50))
    async with held(chain):
        dead = asyncio.create_task(Sender(client, chain.account(1), PATIENT).send(CALL))
        await until_waiting(chain, 1)
        dead.cancel()
        (lost,) = await pooled(chain, fresh)
        sends = [asyncio.create_task(fresh.send(Call(TARGET, bytes([i])))) for i in (2, 3)]
        await until_waiting(chain, 3)
        await chain.rpc("anvil_dropTransaction", lost["hash"])
        async with asyncio.timeout(60):
            while not all(task.done() for task in sends):
                await asyncio.sleep(0.1)
                await chain.mine(1)
    assert all(receipt.succeeded for receipt in await asyncio.gather(*sends))
    # The empty one, and each of ours once.
    assert await client.account_nonce(chain.account(1).address, "latest") == before + 3


async def test_sender__base_fee_over_the_cap__transient_that_names_the_cap(chain: Anvil, client: EvmClient) -> None:
    sender = Sender(client, chain.account(1), replace(PATIENT, max_fee_per_gas=1))
    with pytest.raises(Transient, match="raise max_fee_per_gas"):
        await sender.send(CALL)


async def test_sender__fee__never_passes_the_cap(chain: Anvil, client: EvmClient) -> None:
    head = await client.block("latest")
    assert head is not None
    assert head.base_fee is not None
    cap = 3 * (head.base_fee + GWEI)  # room for the first version and a bump or two, not for thirty
    sender = Sender(
        client, chain.account(1), replace(PATIENT, max_fee_per_gas=cap, bump_after=0.1, max_bumps=30, deadline=2.0)
    )
    async with held(chain):
        with pytest.raises(Transient):
            await sender.send(CALL)
        (last,) = await pooled(chain, sender)
    assert int(last["maxFeePerGas"], 16) <= cap


async def test_sender__empty_account__transient_that_says_fund_it(chain: Anvil, client: EvmClient) -> None:
    poor = Sender(client, EvmAccount(b"\x05" * 32), PATIENT)
    with pytest.raises(Transient, match="fund it"):
        await poor.send(CALL)


async def test_sender__contract_that_refuses__rejected_before_anything_is_sent(chain: Anvil, client: EvmClient) -> None:
    await chain.set_code(FUSSY, reverting(selector("UnknownEpoch(uint32)")))
    sender = Sender(client, chain.account(1), PATIENT)
    before = await client.account_nonce(sender.address, "pending")
    with pytest.raises(Rejected, match="no group key for epoch 0") as caught:
        await sender.send(Call(FUSSY, b"\1"))
    assert caught.value.reason == "UnknownEpoch"
    assert await client.account_nonce(sender.address, "pending") == before


async def test_sender__contract_that_refuses_only_once_mined__rejected_with_its_reason(
    chain: Anvil, client: EvmClient
) -> None:
    sender = Sender(client, chain.account(1), PATIENT)
    async with held(chain):
        task = asyncio.create_task(sender.send(CALL))
        await until_waiting(chain, 1)
        await chain.set_code(TARGET, reverting(selector("UnknownEpoch(uint32)")))
        await chain.mine(1)
        with pytest.raises(Rejected) as caught:
            await task
    assert caught.value.reason == "UnknownEpoch"


async def test_sender__failed_but_would_succeed_now__transient(chain: Anvil, client: EvmClient) -> None:
    sender = Sender(client, chain.account(1), replace(PATIENT, poll=0.5, poll_max=0.5))
    async with held(chain):
        task = asyncio.create_task(sender.send(CALL))
        await until_waiting(chain, 1)
        await chain.set_code(TARGET, reverting(selector("UnknownEpoch(uint32)")))
        await chain.mine(1)
        await chain.set_code(TARGET, returning(b"\1"))
        with pytest.raises((Transient, Rejected)):  # which one depends on whose state the replay sees; never a success
            await task


async def test_sender__too_much_gas__rejected(chain: Anvil, client: EvmClient) -> None:
    sender = Sender(client, chain.account(1), replace(PATIENT, max_gas=21_000))
    with pytest.raises(Rejected, match="more than the 21000"):
        await sender.send(Call(None, creation(returning(b"\1"))))


# ---- endpoints that lose, repeat or refuse ----


@asynccontextmanager
async def proxy(chain: Anvil) -> AsyncIterator[tuple[RpcServer, EvmClient]]:
    """anvil behind an endpoint that the test can spoil."""
    async with aiohttp.ClientSession() as session, rpc_server() as server:

        def forward(method: str) -> Any:
            async def ask(*params: Any) -> Any:
                body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                async with session.post(chain.chain.rpc_url, json=body) as response:
                    answer = await response.json()
                if "error" in answer:
                    error = answer["error"]
                    raise RpcFailure(error["code"], error["message"], error.get("data"))
                return answer["result"]

            return ask

        for method in (
            "eth_getBlockByNumber", "eth_call", "eth_estimateGas", "eth_maxPriorityFeePerGas", "eth_getTransactionCount",
            "eth_sendRawTransaction", "eth_getTransactionReceipt",
        ):  # fmt: skip
            server.methods[method] = forward(method)
        async with EvmClient(server.url, chain.chain.chain_id, timeout=1.0, retries=RETRIES) as evm:
            yield server, evm


async def test_sender__answer_to_the_sending_lost__finds_its_transaction_mined(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):
        send = server.methods["eth_sendRawTransaction"]

        async def lose(raw: str) -> web.Response:
            with suppress(RpcFailure):  # known already: the client tries again after the lost answer
                await send(raw)
            return web.Response(status=504)

        server.methods["eth_sendRawTransaction"] = lose
        sender = Sender(evm, chain.account(1), PATIENT)
        before = await evm.account_nonce(sender.address, "latest")
        assert (await sender.send(CALL)).succeeded
        assert await evm.account_nonce(sender.address, "latest") == before + 1


async def test_sender__sending_never_arrives__is_sent_again_by_a_replacement(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):
        send = server.methods["eth_sendRawTransaction"]
        server.methods["eth_sendRawTransaction"] = lambda raw: web.Response(status=504)
        sender = Sender(evm, chain.account(1), replace(PATIENT, bump_after=0.3))
        task = asyncio.create_task(sender.send(CALL))
        await asyncio.sleep(0.2)
        server.methods["eth_sendRawTransaction"] = send
        assert (await task).succeeded


@pytest.mark.parametrize("said", ["already known", "AlreadyKnown: transaction already imported"])
async def test_sender__already_known__is_taken_for_sent(chain: Anvil, said: str) -> None:
    async with proxy(chain) as (server, evm):
        send = server.methods["eth_sendRawTransaction"]

        async def repeat(raw: str) -> str:
            await send(raw)
            raise RpcFailure(-32000, said)

        server.methods["eth_sendRawTransaction"] = repeat
        assert (await Sender(evm, chain.account(1), PATIENT).send(CALL)).succeeded


async def test_sender__nonce_too_low__asks_again_for_the_nonce(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):
        count = server.methods["eth_getTransactionCount"]
        stale = iter([1, 1])

        async def lag(address: str, block: str) -> str:
            now = int(await count(address, block), 16)
            return hex(max(0, now - next(stale, 0)))

        await Sender(evm, chain.account(1), PATIENT).send(CALL)
        server.methods["eth_getTransactionCount"] = lag
        assert (await Sender(evm, chain.account(1), PATIENT).send(CALL)).succeeded


async def test_sender__underpriced__pays_more(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):
        send, refusals, seen = server.methods["eth_sendRawTransaction"], iter([True, True]), []

        async def picky(raw: str) -> str:
            seen.append(raw)
            if next(refusals, False):
                raise RpcFailure(-32000, "replacement transaction underpriced")
            return str(await send(raw))

        server.methods["eth_sendRawTransaction"] = picky
        assert (await Sender(evm, chain.account(1), PATIENT).send(CALL)).succeeded
        assert len(set(seen)) == 3


async def test_sender__refused_for_ever__transient_after_a_bounded_number(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):

        def never(raw: str) -> str:
            raise RpcFailure(-32000, "transaction underpriced")

        server.methods["eth_sendRawTransaction"] = never
        with pytest.raises(Transient, match="in a row"):
            await Sender(evm, chain.account(1), PATIENT).send(CALL)
        assert server.count("eth_sendRawTransaction") <= 5


async def test_sender__no_proposal_of_a_priority_fee__pays_the_least(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):
        del server.methods["eth_maxPriorityFeePerGas"]
        assert (await Sender(evm, chain.account(1), PATIENT).send(CALL)).succeeded


async def test_sender__receipt_later_than_the_nonce__waits_for_it(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):
        ask, late = server.methods["eth_getTransactionReceipt"], iter([True] * 4)

        async def slow(name: str) -> Any:
            return None if next(late, False) else await ask(name)

        server.methods["eth_getTransactionReceipt"] = slow
        assert (await Sender(evm, chain.account(1), replace(PATIENT, receipt_grace=5.0)).send(CALL)).succeeded


async def test_sender__chain_without_eip_1559__transient_that_says_so(chain: Anvil) -> None:
    async with proxy(chain) as (server, evm):
        ask = server.methods["eth_getBlockByNumber"]

        async def old(which: str, full: bool) -> Any:
            return {k: v for k, v in (await ask(which, full)).items() if k != "baseFeePerGas"}

        server.methods["eth_getBlockByNumber"] = old
        with pytest.raises(Transient, match="EIP-1559"):
            await Sender(evm, chain.account(1), PATIENT).send(CALL)


async def test_chain__killed_in_the_middle__transient_and_no_hang(tmp_path: Path) -> None:
    async with anvil(tmp_path) as chain, chain.client(timeout=1.0) as evm:
        sender = Sender(evm, chain.account(1), FeePolicy(poll=0.02, poll_max=0.05, deadline=5.0))
        await chain.automine(False)
        await chain.set_code(TARGET, returning(b"\1"))
        task = asyncio.create_task(sender.send(CALL))
        await until_waiting(chain, 1)
        chain.chain.child.process.kill()
        async with asyncio.timeout(20):
            with pytest.raises(Transient):
                await task
