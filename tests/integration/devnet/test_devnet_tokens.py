"""Tokens through real chains, programs and nodes: a round trip, many at once, and what is refused before anything is locked."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from oracle.app.asking import EVM, SOLANA
from oracle.app.demo.round_trip import round_trip
from oracle.app.tokens import ETHER, SOL, Terms, Token, TokenUser, open_tokens
from oracle.errors import ConfigError, Rejected
from oracle.protocol.interop import InteropAddress
from oracle.protocol.types import Account
from tests.support.devnet import World, open_world

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(280)]
AT_ONCE = 8
LIFETIME = 6
"""Seconds to the expiry of a transfer that is to expire."""
UNIT = 10**9
"""One wire unit of ether, in wei."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens(world: World) -> AsyncIterator[TokenUser]:
    async with open_tokens(world.user) as opened:
        await opened_with_tokens(opened)
        yield opened


async def opened_with_tokens(opened: TokenUser) -> None:
    """Ether and SOL registered on both chains, by a round trip that ends with nothing locked."""
    with pytest.raises(ConfigError, match="sibyl token register"):
        await opened.token(ETHER)
    holdings = await round_trip(opened, lambda _: None)
    assert [(one.name, one.when, one.locked) for one in holdings] == [
        (ETHER, "before", 0),
        (ETHER, "across", 1_500_000_000),
        (ETHER, "back", 0),
        (SOL, "before", 0),
        (SOL, "across", 2_000_000_000),
        (SOL, "back", 0),
    ]


async def _held(tokens: TokenUser, token: Token) -> tuple[int, int]:
    return await tokens.balance(token, EVM), await tokens.balance(token, SOLANA)


async def test_tokens__many_each_way_at_once__none_lost_none_doubled(tokens: TokenUser) -> None:
    ether, sol = await tokens.token(ETHER), await tokens.token(SOL)
    before = await _held(tokens, ether), await _held(tokens, sol)
    sent = await asyncio.gather(
        *(tokens.send(ether, EVM, n * UNIT, tokens.address(SOLANA)) for n in range(1, AT_ONCE + 1)),
        *(tokens.send(sol, SOLANA, n, tokens.address(EVM)) for n in range(1, AT_ONCE + 1)),
    )
    assert len(set(sent)) == 2 * AT_ONCE
    await asyncio.gather(*(tokens.follow(digest, lambda _: None) for digest in sent))
    total = AT_ONCE * (AT_ONCE + 1) // 2
    after = await _held(tokens, ether), await _held(tokens, sol)
    assert after[0] == (before[0][0], before[0][1] + total), "ether left as ether, and came as its wrapped form"
    assert after[1] == (before[1][0] + total, before[1][1]), "wrapped SOL came; what was wrapped to send it left"
    for token in (ether, sol):
        evm, solana = await tokens.evm.status(token.token_id), await tokens.solana.status(token.mint)
        assert evm.outstanding == solana.token.outstanding == total


async def test_tokens__dust__stays_with_the_sender(world: World, tokens: TokenUser) -> None:
    ether = await tokens.token(ETHER)
    before = (await tokens.evm.status(ether.token_id)).outstanding
    digest = await tokens.send(ether, EVM, 3 * UNIT + 5, tokens.address(SOLANA))
    await tokens.follow(digest, lambda _: None)
    assert (await tokens.evm.status(ether.token_id)).outstanding == before + 3


async def test_tokens__what_cannot_cross__is_refused_before_anything_is_locked(tokens: TokenUser) -> None:
    ether = await tokens.token(ETHER)
    before = await _held(tokens, ether), (await tokens.evm.status(ether.token_id)).outstanding
    nobody = InteropAddress(tokens.address(SOLANA).chain, Account(bytes(32)))
    authority = InteropAddress(tokens.address(SOLANA).chain, Account(bytes(tokens.solana.at.authority)))
    for amount, recipient in (
        (UNIT - 1, tokens.address(SOLANA)),
        (UNIT << 64, tokens.address(SOLANA)),
        (UNIT, nobody),
        (UNIT, authority),
        (UNIT, tokens.address(EVM)),
    ):
        with pytest.raises(Rejected):
            await tokens.send(ether, EVM, amount, recipient)
    with pytest.raises(Rejected):
        await tokens.send(ether, SOLANA, 10**18, tokens.address(EVM))
    assert (await _held(tokens, ether), (await tokens.evm.status(ether.token_id)).outstanding) == before


async def test_tokens__registered_twice__is_refused(tokens: TokenUser) -> None:
    with pytest.raises(Rejected):
        await tokens.register(ETHER)


# ---- expiry ----


@asynccontextmanager
async def stopped(world: World) -> AsyncIterator[None]:
    """All nodes stand still while the block lasts, as if their machines slept."""
    pids = [node.child.pid for node in world.running if node.child is not None]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("name", "origin", "to"), [(ETHER, EVM, SOLANA), (SOL, SOLANA, EVM)])
async def test_tokens__not_delivered_before_its_expiry__comes_back_to_its_sender(
    world: World, tokens: TokenUser, name: str, origin: str, to: str
) -> None:
    """The whole road: locked, expired, told by a signed non-delivery, released; and never delivered after all."""
    token = await tokens.token(name)
    there = await tokens.balance(token, to)
    locked = (
        (await tokens.evm.status(token.token_id)).outstanding,
        (await tokens.solana.status(token.mint)).token.outstanding,
    )
    amount = 10 ** token.decimals(origin) // 10
    told: list[str] = []
    async with stopped(world):
        digest = await tokens.send(token, origin, amount, tokens.address(to), Terms(lifetime=LIFETIME))
        here = await tokens.balance(token, origin)
        during = (
            (await tokens.evm.status(token.token_id)).outstanding,
            (await tokens.solana.status(token.mint)).token.outstanding,
        )
        assert sum(during) == sum(locked) + 10**token.wire_decimals // 10, "it left, and is locked on its own chain"
        await asyncio.sleep(LIFETIME + 1)
    await tokens.follow(digest, told.append, until="confirmed")
    assert any("expired undelivered" in line for line in told)
    assert await tokens.balance(token, origin) == here + amount, "as the chain's own wrapped form"
    assert await tokens.balance(token, to) == there
    after = (
        (await tokens.evm.status(token.token_id)).outstanding,
        (await tokens.solana.status(token.mint)).token.outstanding,
    )
    assert after == locked
    assert all(report["lapsed"] for report in await world.user.node_reports(digest))
