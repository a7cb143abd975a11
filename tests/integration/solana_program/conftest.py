"""The Solana program in LiteSVM, fresh for each test, and a stranger who has money for fees."""

import pytest
from solders.keypair import Keypair

from tests.support import solana_program as sp
from tests.support.solana_program import Bench


@pytest.fixture
def bench() -> Bench:
    return sp.start()


@pytest.fixture
def mallory(bench: Bench) -> Keypair:
    key = Keypair()
    bench.svm.airdrop(key.pubkey(), sp.FUNDS)
    return key
