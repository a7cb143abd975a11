"""The token program in LiteSVM: fresh for each test, with tokens of both kinds and a stranger who has money for fees."""

import pytest
from solders.keypair import Keypair

from bridges.solana.tokens_layout import TokenAccount
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_tokens import TokenBench


@pytest.fixture
def tokens() -> TokenBench:
    return st.start()


@pytest.fixture
def token(tokens: TokenBench) -> TokenAccount:
    return tokens.register_wrapped()


@pytest.fixture
def native(tokens: TokenBench) -> TokenAccount:
    """A native token of which 1,000 are locked and the user holds 1,000 more."""
    token = tokens.register_native()
    tokens.give(tokens.user, token.mint, 2_000)
    tokens.bench.accepted(tokens.send(token, 1_000))
    return token


@pytest.fixture
def mallory(tokens: TokenBench) -> Keypair:
    key = Keypair()
    tokens.bench.svm.airdrop(key.pubkey(), sp.FUNDS)
    return key
