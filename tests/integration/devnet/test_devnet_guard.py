"""The bridge as the oracle's own user: transfers above a limit need a risk score, proven and checked by the chain (TOKENS.md §6)."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from oracle.app.asking import EVM, SOLANA
from oracle.app.devnet.network import GUARD_LIMIT, DevnetOptions
from oracle.app.tokens import ETHER, TokenUser, open_tokens
from oracle.errors import Rejected
from oracle.protocol.types import Digest
from tests.support.devnet import World, open_world

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(280)]
UNIT = 10**9
"""Wei in a wire unit of ether."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with open_world(DevnetOptions(prove_takeover=4.0, guarded=True)) as opened:
        yield opened


async def sent(tokens: TokenUser, origin: str, wire: int) -> tuple[Digest, list[str]]:
    """Send ether forth or back and wait until it arrived; what was told."""
    told: list[str] = []
    token = await tokens.token(ETHER)
    to = SOLANA if origin == EVM else EVM
    amount = wire * UNIT if origin == EVM else wire
    if origin == EVM:
        await tokens.score_out(token, amount, tokens.address(to), told.append)
    digest = await tokens.send(token, origin, amount, tokens.address(to))
    await tokens.follow(digest, told.append)
    return digest, told


async def test_guard__transfers_over_the_limit__are_scored_by_the_oracle_both_ways(world: World) -> None:
    async with open_tokens(world.user) as tokens:
        token = await tokens.token(ETHER)
        large, wide = GUARD_LIMIT + 5 * UNIT, tokens.address(SOLANA)
        # Below the limit nobody is asked, and a vault is filled of which a large transfer is a part.
        for _ in range(6):
            _, told = await sent(tokens, EVM, GUARD_LIMIT)
            assert not any("score" in line for line in told)
        with pytest.raises(Rejected):  # over the limit, and never asked about
            await tokens.send(token, EVM, large * UNIT, wide)
        _, told = await sent(tokens, EVM, large)
        assert any("cleared by the guard" in line for line in told)

        # Back home: a part of the vault is cleared, by a proof that the chain checks; most of it is not, whoever signed the message.
        before = await tokens.evm.balance(token.evm)
        part, told = await waits(tokens, large), []
        await tokens.score_in(token, part, told.append)
        assert any("cleared by the guard" in line for line in told)
        paid = before + large * UNIT
        assert await tokens.evm.balance(token.evm) == paid
        most = await waits(tokens, 6 * GUARD_LIMIT)
        with pytest.raises(Rejected, match="The guard says no") as refused:
            await tokens.score_in(token, most, lambda _: None)
        assert refused.value.reason == "GuardDenied"
        with pytest.raises(Rejected):
            await tokens.evm.release(token.token_id, most)
        assert await tokens.evm.balance(token.evm) == paid, "it stays, for governance to decide"


async def waits(tokens: TokenUser, wire: int) -> Digest:
    """Send ether home, and see that it is held for its score."""
    token = await tokens.token(ETHER)
    before = await tokens.evm.balance(token.evm)
    digest, _ = await sent(tokens, SOLANA, wire)
    waiting = await tokens.evm.waiting(token.token_id, digest)
    assert waiting is not None
    assert (waiting.guarded, waiting.amount) == (True, wire)
    assert await tokens.evm.balance(token.evm) == before
    return digest
