"""The shared vectors of transfers and registrations, one verdict each from the token program in LiteSVM."""

import json
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import TokenAccount
from oracle.protocol.types import Account, ChainType
from tests.support import solana_tokens as st
from tests.support.solana_tokens import TokenBench

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors" / "tokens.json").read_text())


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def cases(name: str) -> list[dict[str, str]]:
    """Of transfers, those to Solana."""
    return [one for one in VECTORS[name] if one.get("destination", ChainType.SOLANA) == ChainType.SOLANA]


@pytest.fixture(scope="module")
def shared() -> tuple[TokenBench, TokenAccount]:
    """One bench for all vectors: a refused transfer leaves only its inbox account."""
    tokens = st.start()
    return tokens, tokens.register_wrapped()


@pytest.mark.parametrize("vector", cases("transfers"), ids=lambda one: one["name"])
def test_solana_tokens_vectors__transfer__redeemed(
    shared: tuple[TokenBench, TokenAccount], vector: dict[str, str]
) -> None:
    tokens, token = shared
    recipient = Pubkey(raw(vector["to"]))
    held, minted = tokens.held(recipient, token), tokens.wrapped().outstanding
    delivered = tokens.deliver(tokens.inbound(token.evm_bridge, raw(vector["payload"])))
    step = tokens.redeem(token, delivered, recipient)
    amount = int(vector["amount"])
    if minted + amount >= 1 << 64:
        assert tokens.bench.refused(step) == "OverCap"
        return
    tokens.bench.accepted(step)
    assert tokens.held(recipient, token) == held + amount


@pytest.mark.parametrize("vector", cases("invalid_transfers"), ids=lambda one: one["name"])
def test_solana_tokens_vectors__malformed_transfer__refused(
    shared: tuple[TokenBench, TokenAccount], vector: dict[str, str]
) -> None:
    tokens, token = shared
    minted = tokens.supply(token.mint)
    delivered = tokens.deliver(tokens.inbound(token.evm_bridge, raw(vector["payload"])))
    assert tokens.bench.refused(tokens.redeem(token, delivered, tokens.user)) == "InvalidTransfer"
    assert tokens.bench.refused(ti.enqueue(tokens.at, tokens.user, token, delivered)) == "InvalidTransfer"
    assert tokens.supply(token.mint) == minted


def is_evm(account: bytes) -> bool:
    return not any(account[:12])


@pytest.mark.parametrize("vector", VECTORS["registrations"], ids=lambda one: one["name"])
def test_solana_tokens_vectors__registration__accepted_when_it_names_an_evm_token(vector: dict[str, str]) -> None:
    tokens, erc20 = st.start(), Account(raw(vector["token"]))
    delivered = tokens.deliver(tokens.inbound(st.FACTORY, raw(vector["payload"])))
    step = tokens.accept(delivered, erc20)
    if not is_evm(erc20):
        assert tokens.bench.refused(step) == "InvalidRegistration"
        return
    tokens.bench.accepted(step)
    found = tokens.wrapped(erc20)
    assert (found.wire_decimals, found.native_token) == (int(vector["wire_decimals"]), erc20)
    name, symbol = raw(vector["token_name"]), raw(vector["token_symbol"])
    assert bytes(tokens.bench.account(found.mint).data).endswith(st.metadata(found.mint, name, symbol)[136:])


@pytest.mark.parametrize("vector", VECTORS["invalid_registrations"], ids=lambda one: one["name"])
def test_solana_tokens_vectors__malformed_registration__refused(
    shared: tuple[TokenBench, TokenAccount], vector: dict[str, str]
) -> None:
    tokens, _ = shared
    delivered = tokens.deliver(tokens.inbound(st.FACTORY, raw(vector["payload"])))
    assert tokens.bench.refused(tokens.accept(delivered)) == "InvalidRegistration"
