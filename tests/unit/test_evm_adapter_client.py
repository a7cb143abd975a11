"""The EVM client against endpoints that fail, lie, stall or pry."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from bridges.evm.client import EvmClient, RetryPolicy, RpcError
from bridges.evm.provider import MAX_RESPONSE_SIZE
from oracle.errors import ConfigError, Rejected, Transient
from tests.support.evm_chain import selector
from tests.support.rpc_server import RpcFailure, RpcServer, rpc_server

FAST = RetryPolicy(attempts=3, deadline=5.0, wait=0.01, wait_max=0.02, jitter=0.01)
TO = "0x" + "11" * 20
KEY = "c0ffee-access-key"


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    async with rpc_server({"eth_blockNumber": lambda: "0x10"}) as running:
        yield running


def client(*servers: RpcServer, timeout: float = 2.0, retries: RetryPolicy = FAST) -> EvmClient:
    return EvmClient([server.url for server in servers], 31337, timeout=timeout, retries=retries)


async def test_client__endpoint_of_another_chain__config_error_names_both() -> None:
    async with rpc_server(chain_id=1) as other:
        with pytest.raises(ConfigError, match=r"serves chain 1, not 31337"):
            async with client(other):
                pass


async def test_client__server_errors_then_answer__is_tried_again(server: RpcServer) -> None:
    answers = iter([500, 503])

    def flaky() -> object:
        return web.Response(status=code) if (code := next(answers, 0)) else "0x11"

    server.methods["eth_blockNumber"] = flaky
    async with client(server) as evm:
        assert await evm.block_number() == 17
    assert server.count("eth_blockNumber") == 3


async def test_client__server_errors_for_good__transient_after_the_allowed_attempts(server: RpcServer) -> None:
    server.methods["eth_blockNumber"] = lambda: web.Response(status=502)
    async with client(server) as evm:
        with pytest.raises(Transient, match="HTTP 502"):
            await evm.block_number()
    assert server.count("eth_blockNumber") == FAST.attempts


async def test_client__busy_code__is_tried_again_and_transient(server: RpcServer) -> None:
    def busy() -> str:
        raise RpcFailure(-32005, "daily request count exceeded")

    server.methods["eth_blockNumber"] = busy
    async with client(server) as evm:
        with pytest.raises(Transient, match="busy"):
            await evm.block_number()
    assert server.count("eth_blockNumber") == FAST.attempts


async def test_client__endpoint_that_stalls__transient_within_the_time_limit(server: RpcServer) -> None:
    async def stall() -> str:
        await asyncio.sleep(30)
        return "0x1"

    server.methods["eth_blockNumber"] = stall
    async with client(server, timeout=0.1) as evm, asyncio.timeout(5):
        with pytest.raises(Transient, match="did not answer"):
            await evm.block_number()


async def test_client__deadline_shorter_than_the_attempts__transient_at_the_deadline(server: RpcServer) -> None:
    async def stall() -> str:
        await asyncio.sleep(30)
        return "0x1"

    server.methods["eth_blockNumber"] = stall
    hurried = RetryPolicy(attempts=100, deadline=0.3, wait=0.01, wait_max=0.02, jitter=0.01)
    async with client(server, timeout=5.0, retries=hurried) as evm, asyncio.timeout(5):
        with pytest.raises(Transient, match=r"within 0\.3 s"):
            await evm.block_number()


async def test_client__cancelled_in_a_request__stops_at_once(server: RpcServer) -> None:
    started = asyncio.Event()

    async def stall() -> str:
        started.set()
        await asyncio.sleep(30)
        return "0x1"

    server.methods["eth_blockNumber"] = stall
    async with client(server) as evm:
        task = asyncio.create_task(evm.block_number())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.count("eth_blockNumber") == 1


async def test_client__first_endpoint_down__goes_on_with_the_second(server: RpcServer) -> None:
    evm = EvmClient(["http://127.0.0.1:1/", server.url], 31337, timeout=1.0, retries=FAST)
    async with evm:
        assert await evm.block_number() == 16
        assert await evm.block_number() == 16
    assert server.count("eth_chainId") == 1


async def test_client__no_endpoint_up__transient_without_a_leak() -> None:
    evm = EvmClient("http://127.0.0.1:1/" + KEY, 31337, retries=FAST)
    with pytest.raises(Transient, match="No RPC endpoint of eip155:31337 answers") as caught:
        await evm.connect()
    assert KEY not in str(caught.value)
    await evm.close()


async def test_client__second_endpoint_turns_out_to_serve_another_chain__is_never_used(server: RpcServer) -> None:
    async with rpc_server({"eth_blockNumber": lambda: "0x99"}) as other:
        async with client(server, other) as evm:
            other.methods["eth_chainId"] = lambda: "0x1"
            evm._checked.discard(1)  # as if it had been down at the start
            server.methods["eth_blockNumber"] = lambda: web.Response(status=500)
            with pytest.raises(Transient):
                await evm.block_number()
        assert other.count("eth_blockNumber") == 0


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_client__endpoint_that_refuses_the_key__config_error_at_connect(server: RpcServer, status: int) -> None:
    server.raw = lambda: web.Response(status=status)
    evm = EvmClient(server.url + KEY, 31337, retries=FAST)
    with pytest.raises(ConfigError, match="access key") as caught:
        await evm.connect()
    assert KEY not in str(caught.value)
    await evm.close()


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "[]", "null", '"x"', "{}", "[" * 100_000, '{"jsonrpc":"2.0","id":1,"result":"zz"}', "\udcff"],
)
async def test_client__malformed_answer__transient(server: RpcServer, text: str) -> None:
    async with client(server) as evm:
        server.raw = lambda: web.Response(body=text.encode(errors="surrogateescape"), content_type="application/json")
        with pytest.raises(Transient):
            await evm.block_number()


async def test_client__endless_answer__is_cut_off(server: RpcServer) -> None:
    async with client(server) as evm:
        server.methods["eth_blockNumber"] = lambda: web.Response(body=b" " * (MAX_RESPONSE_SIZE + 1))
        with pytest.raises(Transient, match="more than"):
            await evm.block_number()


async def test_client__redirect__is_not_followed(server: RpcServer) -> None:
    async with rpc_server({"eth_blockNumber": lambda: "0x99"}) as trap:
        async with client(server) as evm:
            server.raw = lambda: web.Response(status=307, headers={"Location": trap.url})
            with pytest.raises(Transient, match="HTTP 307"):
                await evm.block_number()
        assert trap.calls == []


async def test_client__off_chain_lookup__is_never_fetched(server: RpcServer) -> None:
    async with rpc_server() as trap:
        from eth_abi.abi import encode

        lookup = selector("OffchainLookup(address,string[],bytes,bytes4,bytes)") + encode(
            ["address", "string[]", "bytes", "bytes4", "bytes"], [TO, [trap.url], b"", b"abcd", b""]
        )

        def revert(*_: object) -> str:
            raise RpcFailure(3, "execution reverted", "0x" + lookup.hex())

        server.methods["eth_call"] = revert
        async with client(server) as evm:
            with pytest.raises(Rejected):
                await evm.call(TO, b"\1\2\3\4")  # type: ignore[arg-type]
        assert trap.calls == []


async def test_client__custom_error__rejected_by_name_in_words_and_once(server: RpcServer) -> None:
    data = selector("AlreadyDelivered(bytes32)") + b"\5" * 32

    def revert(*_: object) -> str:
        raise RpcFailure(3, "execution reverted", "0x" + data.hex())

    server.methods["eth_call"] = revert
    async with client(server) as evm:
        with pytest.raises(Rejected, match="delivered before") as caught:
            await evm.call(TO, b"\1\2\3\4")  # type: ignore[arg-type]
    assert caught.value.reason == "AlreadyDelivered"
    assert server.count("eth_call") == 1


async def test_client__other_rpc_error__is_told_apart_and_not_repeated(server: RpcServer) -> None:
    def refuse(*_: object) -> str:
        raise RpcFailure(-32602, "block range is too large")

    server.methods["eth_getLogs"] = refuse
    async with client(server) as evm:
        with pytest.raises(RpcError, match="too large") as caught:
            await evm.logs({})
    assert (caught.value.code, caught.value.said) == (-32602, "block range is too large")
    assert server.count("eth_getLogs") == 1


async def test_client__unknown_block_or_receipt__is_none(server: RpcServer) -> None:
    server.methods |= {"eth_getBlockByNumber": lambda *_: None, "eth_getTransactionReceipt": lambda *_: None}
    async with client(server) as evm:
        assert await evm.block(5) is None
        assert await evm.receipt(bytes(32)) is None


async def test_client__access_key_in_the_url__is_in_no_log_and_no_repr(
    server: RpcServer, caplog: pytest.LogCaptureFixture
) -> None:
    evm = EvmClient(f"{server.url}{KEY}?k={KEY}".replace("http://", f"http://user:{KEY}@"), 31337, retries=FAST)
    with caplog.at_level(logging.DEBUG):
        async with evm:
            await evm.block_number()
            server.methods["eth_blockNumber"] = lambda: web.Response(status=500)
            with pytest.raises(Transient) as caught:
                await evm.block_number()
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert KEY not in "".join(ours) + repr(evm) + str(caught.value)


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8545", "http://"])
def test_client__not_an_http_url__config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="http"):
        EvmClient(url, 31337)


def test_client__no_url__config_error() -> None:
    with pytest.raises(ConfigError, match="no RPC endpoint"):
        EvmClient((), 31337)
