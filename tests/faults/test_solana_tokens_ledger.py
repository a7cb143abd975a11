"""The nodes' watch over tokens when the endpoint lies, lags or contradicts itself: it says so, and shows no number that is not there."""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from solders.pubkey import Pubkey

from bridges.solana import tokens_instructions as ti
from bridges.solana.client import RetryPolicy, SolanaClient
from bridges.solana.layout import AccountData, ProgramAddresses
from bridges.solana.tokens_layout import TOKEN, TOKEN_2022, TokenAddresses, TokenKind
from bridges.solana.tokens_ledger import SolanaTokenLedger
from oracle.errors import Transient
from oracle.ports import TokenHolding, TokenSide
from oracle.protocol import constants as c
from oracle.protocol.message import encode_endpoint, origin_hash
from oracle.protocol.types import Account, evm_account
from tests.support import samples
from tests.support.samples import seeded
from tests.support.solana_rpc import GENESIS, RpcError, ScriptedRpc, account_json, scripted_rpc

PROGRAM = Account(seeded("tokens"))
AT = ti.Programs(TokenAddresses(Pubkey(PROGRAM)), ProgramAddresses(Pubkey(samples.SOLANA.gateway)))


@dataclass
class Chain:
    """A scripted endpoint with a linked token program."""

    rpc: ScriptedRpc
    ledger: SolanaTokenLedger

    def add(
        self, number: int, *, native: bool, outstanding: int, held: int, decimals: tuple[int, int] = (9, 9)
    ) -> Account:
        """A token and what it holds, in smallest units; returns its EVM bridge."""
        mint, bridge = Pubkey(seeded(f"mint {number}")), evm_account(seeded(f"bridge {number}", 20))
        kind = TokenKind.NATIVE if native else TokenKind.WRAPPED
        program = TOKEN if native else TOKEN_2022
        head = bytes([c.TOKENS_ACCOUNT_TOKEN, 1, 255, kind, *decimals, 0, 254]) + struct.pack(
            "<13Q", outstanding, *range(12)
        )
        data = head + bytes(mint) + bytes(program) + bridge + bytes(mint)
        place = AT.tokens.native(mint) if native else AT.tokens.wrapped(samples.EVM, bridge)
        self.rpc.accounts[place.address] = AccountData(AT.tokens.program, 1, data)
        if native:
            account = bytes(mint) + bytes(AT.authority) + held.to_bytes(8, "little") + bytes(93)
            self.rpc.accounts[AT.tokens.vault(mint).address] = AccountData(TOKEN, 1, account)
        else:
            self.rpc.accounts[mint] = AccountData(TOKEN_2022, 1, bytes(36) + held.to_bytes(8, "little") + bytes(200))
        return bridge

    def found(self, _params: object = None) -> list[dict[str, object]]:
        """What a search for token accounts shows."""
        return [
            {"pubkey": str(key), "account": account_json(one)}
            for key, one in self.rpc.accounts.items()
            if one.owner == AT.tokens.program and one.data[:1] == bytes([c.TOKENS_ACCOUNT_TOKEN])
        ]


@pytest.fixture
async def chain() -> AsyncIterator[Chain]:
    async with scripted_rpc() as rpc:
        head = bytes([c.TOKENS_ACCOUNT_BRIDGE, 1, 255, 0]) + bytes(4) + bytes(AT.sibyl.program)
        linked = head + encode_endpoint(samples.EVM) + bytes(6) + origin_hash(samples.EVM) + bytes(32)
        linked += evm_account(seeded("factory", 20)) + bytes([1] * 32) + bytes([2] * 32) + bytes(64)
        rpc.accounts[AT.authority] = AccountData(AT.tokens.program, 1, linked)
        policy = RetryPolicy(timeout=0.5, attempts=2, deadline=2.0)
        async with SolanaClient(rpc.url, GENESIS, policy=policy) as client:
            made = Chain(rpc, SolanaTokenLedger(client, samples.SOLANA.gateway, PROGRAM))
            rpc.answers["getProgramAccounts"] = made.found
            yield made


async def test_token_ledger__amounts_between_wire_units__hide_no_shortfall(chain: Chain) -> None:
    """What is held counts down, what was minted up: a unit that is missing shows on either side."""
    native = chain.add(1, native=True, outstanding=10, held=1_099, decimals=(9, 11))
    wrapped = chain.add(2, native=False, outstanding=10, held=11)
    holdings = {one.bridge: one for one in await chain.ledger.holdings()}
    assert (holdings[native].counter, holdings[native].held, holdings[native].side) == (10, 10, TokenSide.NATIVE)
    assert holdings[wrapped] == TokenHolding(wrapped, Account(seeded("mint 2")), TokenSide.WRAPPED, 9, 10, 11)
    odd = chain.add(3, native=False, outstanding=10, held=1_001, decimals=(9, 11))
    assert {one.bridge: one.held for one in await chain.ledger.holdings()}[odd] == 11


async def test_token_ledger__many_tokens__one_call_for_each_fifty_and_all_at_finality(chain: Chain) -> None:
    for number in range(120):
        chain.add(number, native=number % 2 == 0, outstanding=number, held=number)
    assert len(await chain.ledger.holdings()) == 120
    before = chain.rpc.total
    holdings = await chain.ledger.holdings()
    assert chain.rpc.total - before == 1 + 3
    assert sorted(one.counter for one in holdings) == list(range(120))
    for params in (chain.rpc.calls["getMultipleAccounts"][-1], chain.rpc.calls["getProgramAccounts"][-1]):
        assert isinstance(params[1], dict)
        assert params[1]["commitment"] == "finalized"


async def test_token_ledger__account_at_a_forged_address__is_no_token(chain: Chain) -> None:
    chain.add(1, native=True, outstanding=10, held=10)
    (true,) = chain.found()
    chain.rpc.answers["getProgramAccounts"] = [true | {"pubkey": str(Pubkey(seeded("forged")))}]
    with pytest.raises(Transient, match="another address"):
        await chain.ledger.holdings()


async def test_token_ledger__vault_or_mint_hidden_or_of_another_program__is_transient(chain: Chain) -> None:
    chain.add(1, native=True, outstanding=10, held=10)
    vault = AT.tokens.vault(Pubkey(seeded("mint 1"))).address
    true = chain.rpc.accounts.pop(vault)
    with pytest.raises(Transient, match="vanished"):
        await chain.ledger.holdings()
    chain.rpc.accounts[vault] = AccountData(AT.tokens.program, 1, true.data)
    with pytest.raises(Transient, match="contradicts the token program"):
        await chain.ledger.holdings()


async def test_token_ledger__malformed_token_or_no_program__is_transient(chain: Chain) -> None:
    chain.add(1, native=True, outstanding=10, held=10)
    (true,) = chain.found()
    chain.rpc.answers["getProgramAccounts"] = [
        true | {"account": account_json(AccountData(AT.tokens.program, 1, b"\2\1"))}
    ]
    with pytest.raises(Transient, match="contradicts the token program"):
        await chain.ledger.holdings()
    chain.rpc.answers["getProgramAccounts"] = RpcError(-32005, "node is behind")
    with pytest.raises(Transient):
        await chain.ledger.holdings()
