"""What the EVM adapter takes for granted of web3.py, eth_abi and anvil; when one of these changes, the adapter's defences must be read again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from eth_abi.abi import decode, encode
from hexbytes import HexBytes
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3._utils.method_formatters import receipt_formatter

from bridges.evm.answers import mined
from bridges.evm.provider import HttpProvider
from tests.support.evm_chain import anvil

PROBE = """
import json, sys
{first}
limit = sys.getrecursionlimit()
try:
    json.loads("[" * {depth})
except RecursionError:
    print("refused", limit)
"""


def probe(first: str, depth: int) -> subprocess.CompletedProcess[str]:
    """Parse deeply nested JSON in a process of its own."""
    code = PROBE.format(first=first, depth=depth)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_web3__import__raises_the_recursion_limit_of_the_process() -> None:
    script = "import sys, web3; print(sys.getrecursionlimit())"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert int(said.stdout) >= 100_000


def test_bridges_evm__import__leaves_nested_json_a_recursion_error() -> None:
    done = probe("import bridges.evm.client", 200_000)
    assert done.returncode == 0
    assert done.stdout.startswith("refused 1000")


def test_web3__its_own_provider__follows_off_chain_lookups_and_ours_does_not() -> None:
    assert AsyncHTTPProvider("http://127.0.0.1:1").global_ccip_read_enabled
    assert not HttpProvider("http://127.0.0.1:1", 1.0).global_ccip_read_enabled


def test_web3__without_middleware__adds_none() -> None:
    assert list(AsyncWeb3(HttpProvider("http://127.0.0.1:1", 1.0), middleware=[]).middleware_onion) == []


def test_web3__receipt_without_its_fields__is_passed_on_and_our_parser_refuses_it() -> None:
    formatted = receipt_formatter({"status": None, "logs": []})
    assert formatted["status"] is None
    with pytest.raises((KeyError, TypeError)):
        mined(formatted)
    with pytest.raises((KeyError, TypeError, ValueError)):
        mined({"transactionHash": HexBytes(b"\1" * 31), "logs": []})


def test_eth_abi__addresses__come_out_in_lower_case() -> None:
    (address,) = decode(["address"], encode(["address"], ["0x" + "AB" * 20]))
    assert address == "0x" + "ab" * 20


@pytest.mark.devnet
async def test_anvil__finalized__lags_by_two_blocks_and_is_known_to_calls(tmp_path: Path) -> None:
    async with anvil(tmp_path) as chain, chain.client() as client:
        await chain.mine(5)
        final = await client.block("finalized")
        assert final is not None
        assert await client.block_number() - final.number == 2
        address = chain.account(0).address
        assert await client.call(address, b"", block="finalized") == b""
        assert json.dumps(await chain.rpc("eth_getBlockByNumber", "finalized", False)).count("parentHash") == 1
