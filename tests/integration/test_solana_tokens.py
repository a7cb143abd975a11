"""The token program in LiteSVM, with the real token programs: registrations, transfers both ways, limits, the queue and pauses."""

import pytest

from bridges.solana.tokens_layout import TokenKind
from oracle.protocol.interop import InteropAddress
from oracle.protocol.types import Account
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_tokens import TokenBench


@pytest.fixture
def tokens() -> TokenBench:
    return st.start()


def test_solana_tokens__wrapped_token__registered_minted_and_burnt(tokens: TokenBench) -> None:
    token = tokens.register_wrapped(decimals=6)
    assert token.kind is TokenKind.WRAPPED
    assert (token.wire_decimals, token.native_decimals, token.outstanding) == (6, 6, 0)
    assert token.evm_bridge == st.native_bridge()
    recipient = tokens.user
    digest = tokens.receive(token, recipient, 1_000)
    assert not tokens.bench.exists(tokens.at.sibyl.inbox(digest).address)
    assert tokens.held(recipient, token) == tokens.supply(token.mint) == tokens.wrapped().outstanding == 1_000

    sequence = tokens.bench.next_sequence()
    tokens.bench.accepted(tokens.send(token, 400))
    assert tokens.held(recipient, token) == tokens.supply(token.mint) == tokens.wrapped().outstanding == 600
    message = tokens.posted(sequence)
    assert message.sender == bytes(tokens.authority)
    assert message.recipient == token.evm_bridge
    assert message.destination == sp.EVM
    transfer = st.outgoing(message)
    assert transfer.sender == InteropAddress(tokens.bench.home.chain, Account(bytes(recipient)))
    assert transfer.recipient == st.EVM_RECIPIENT
    assert transfer.amount == 400
