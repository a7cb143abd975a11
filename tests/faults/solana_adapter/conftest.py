"""A scripted endpoint for each test, and a client of it."""

from collections.abc import AsyncIterator

import pytest

from bridges.solana.client import SolanaClient
from tests.support.solana_rpc import GENESIS, QUICK, ScriptedRpc, scripted_rpc


@pytest.fixture
async def rpc() -> AsyncIterator[ScriptedRpc]:
    async with scripted_rpc() as server:
        yield server


@pytest.fixture
async def client(rpc: ScriptedRpc) -> AsyncIterator[SolanaClient]:
    async with SolanaClient(rpc.url, GENESIS, policy=QUICK) as opened:
        yield opened
