"""A vault that somebody emptied: every node sees it, says so, and signs nothing of that token any more; the others go on (TOKENS.md §7)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bridges.evm.abi import interface
from oracle.app.asking import EVM, SOLANA
from oracle.app.tokens import ETHER, SOL, TokenUser, open_tokens
from tests.support.devnet import World, open_world

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(280)]
THIEF = "0x" + "7e" * 20
PATIENCE = 60.0
QUIET = 6.0
"""Seconds in which a signature would have come: a transfer takes two."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


async def rpc(world: World, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with aiohttp.ClientSession() as http, http.post(world.devnet.evm.rpc_url, json=body) as reply:
        answer = await reply.json()
    assert "error" not in answer, answer
    return answer["result"]


async def steal(world: World, bridge: str, weth: str, amount: int) -> None:
    """What no contract allows: the bridge's own account sends the vault's wrapped ether away."""
    await rpc(world, "anvil_impersonateAccount", bridge)
    await rpc(world, "anvil_setBalance", bridge, hex(10**18))
    data = interface("Weth").encode("transfer", THIEF, amount)
    await rpc(world, "eth_sendTransaction", {"from": bridge, "to": weth, "data": "0x" + data.hex()})
    await rpc(world, "anvil_stopImpersonatingAccount", bridge)


async def health(world: World) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http:
        replies = [await http.get(f"{node.status_url}/health") for node in world.nodes]
        return [await reply.json() for reply in replies]


async def alarmed(world: World) -> list[str]:
    """What the nodes say, once all of them say something."""
    async with asyncio.timeout(PATIENCE):
        while True:
            reports = await health(world)
            if all(report["alarms"] for report in reports):
                assert not any(report["ok"] for report in reports)
                return [alarm for report in reports for alarm in report["alarms"]]
            await asyncio.sleep(0.5)


async def arrived(tokens: TokenUser, name: str, origin: str, to: str, amount: int) -> None:
    token = await tokens.token(name)
    await tokens.follow(await tokens.send(token, origin, amount, tokens.address(to)), lambda _: None)


async def test_solvency__emptied_vault__stops_that_token_on_every_node_and_no_other(world: World) -> None:
    async with open_tokens(world.user) as tokens:
        digests = [await tokens.register(name) for name in (ETHER, SOL)]
        await asyncio.gather(*(tokens.follow(digest, lambda _: None) for digest in digests))
        ether = await tokens.token(ETHER)
        await arrived(tokens, ETHER, EVM, SOLANA, 2 * 10**18)
        assert not any(report["alarms"] for report in await health(world))

        bridge = (await tokens.evm.status(ether.token_id)).token.bridge
        await steal(world, bridge, ether.evm, 5 * 10**17)
        alarms = await alarmed(world)
        assert len(alarms) == len(world.nodes)
        assert all(bridge[2:].lower() in alarm and "500000000 wire units too much" in alarm for alarm in alarms)

        # Back home: the vault could still pay this one, and nobody signs it.
        digest = await tokens.send(ether, SOLANA, 10**9, tokens.address(EVM))
        await arrived(tokens, SOL, SOLANA, EVM, 10**6)  # another token goes its way meanwhile
        await asyncio.sleep(QUIET)
        reports = await world.user.node_reports(digest)
        assert len(reports) == len(world.nodes), "all have seen it"
        assert [report["attestation"] for report in reports] == [None] * len(world.nodes)
