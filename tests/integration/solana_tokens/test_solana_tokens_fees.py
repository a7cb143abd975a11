"""Relayer fees on Solana (TOKENS.md §4): who gets what out of a transfer, to the unit; and attacks on it."""

import pytest
from solders.instruction import AccountMeta
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import TOKEN, TOKEN_2022, QueuedAccount, TokenAccount, associated
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import TokenBench

AMOUNT, FEE, SCALE = 500, 30, 100


@pytest.fixture
def native(tokens: TokenBench) -> TokenAccount:
    """A token of 11 decimals (100 units in a wire unit), of which 1,000 wire units are locked."""
    token = tokens.register_native(decimals=11)
    tokens.give(tokens.user, token.mint, 1_000 * SCALE)
    tokens.bench.accepted(tokens.send(token, 1_000 * SCALE))
    return token


@pytest.fixture
def wrapped(tokens: TokenBench) -> TokenAccount:
    token = tokens.register_wrapped()
    tokens.give(tokens.user, token.mint, 0, TOKEN_2022)
    return token


def account_of(tokens: TokenBench, token: TokenAccount, owner: Pubkey | None = None) -> Pubkey:
    return associated(owner or tokens.user, token.mint, token.token_program).address


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("kind", ["native", "wrapped"])
def test_solana_tokens_fee__payer_names_its_account__gets_the_fee_and_the_recipient_the_rest(
    tokens: TokenBench, native: TokenAccount, wrapped: TokenAccount, kind: str, create: bool
) -> None:
    token, scale = (native, SCALE) if kind == "native" else (wrapped, 1)
    recipient = Keypair().pubkey()
    if not create:
        tokens.give(recipient, token.mint, 7, token.token_program)
    before = tokens.token(tokens.address(token)).outstanding
    delivered = tokens.deliver(tokens.transfer_in(token, recipient, AMOUNT, FEE))
    step = tokens.redeem(token, delivered, recipient, create=create, fee_account=account_of(tokens, token))
    tokens.bench.accepted(step)
    assert tokens.held(recipient, token) == (AMOUNT - FEE) * scale + (0 if create else 7)
    assert tokens.held(tokens.user, token) == FEE * scale
    moved = tokens.token(tokens.address(token)).outstanding - before
    assert moved == (-AMOUNT if kind == "native" else AMOUNT)
    assert tokens.bench.refused(step) == "WrongOwner"  # the inbox account went with it


def test_solana_tokens_fee__nobody_to_be_paid__all_goes_to_the_recipient(
    tokens: TokenBench, wrapped: TokenAccount
) -> None:
    recipient = Keypair().pubkey()
    delivered = tokens.deliver(tokens.transfer_in(wrapped, recipient, AMOUNT, FEE))
    tokens.bench.accepted(tokens.redeem(wrapped, delivered, recipient))
    assert tokens.held(recipient, wrapped) == AMOUNT


def test_solana_tokens_fee__recipient_redeems_for_itself__gets_all(tokens: TokenBench, wrapped: TokenAccount) -> None:
    delivered = tokens.deliver(tokens.transfer_in(wrapped, tokens.user, AMOUNT, FEE))
    other = Keypair().pubkey()  # another account of the same owner
    tokens.bench.put(other, st.account_bytes(wrapped.mint, tokens.user, 0), TOKEN_2022)
    tokens.bench.accepted(tokens.redeem(wrapped, delivered, tokens.user, create=False, fee_account=other))
    assert tokens.held(tokens.user, wrapped) == AMOUNT


def test_solana_tokens_fee__none_offered__the_account_gets_nothing(tokens: TokenBench, wrapped: TokenAccount) -> None:
    recipient = Keypair().pubkey()
    delivered = tokens.deliver(tokens.transfer_in(wrapped, recipient, AMOUNT))
    tokens.bench.accepted(tokens.redeem(wrapped, delivered, recipient, fee_account=account_of(tokens, wrapped)))
    assert (tokens.held(recipient, wrapped), tokens.held(tokens.user, wrapped)) == (AMOUNT, 0)


def test_solana_tokens_fee__all_but_one_unit__is_paid(tokens: TokenBench, native: TokenAccount) -> None:
    recipient = Keypair().pubkey()
    delivered = tokens.deliver(tokens.transfer_in(native, recipient, AMOUNT, AMOUNT - 1))
    tokens.bench.accepted(tokens.redeem(native, delivered, recipient, fee_account=account_of(tokens, native)))
    assert (tokens.held(recipient, native), tokens.held(tokens.user, native)) == (SCALE, (AMOUNT - 1) * SCALE)


def test_solana_tokens_fee__queued_transfer__pays_none(tokens: TokenBench, wrapped: TokenAccount) -> None:
    tokens.limit(wrapped, tg.Limits(inbound_capacity=1))
    recipient = Keypair().pubkey()
    delivered = tokens.deliver(tokens.transfer_in(wrapped, recipient, AMOUNT, FEE))
    tokens.bench.accepted(ti.enqueue(tokens.at, tokens.user, wrapped, delivered))
    address = tokens.at.tokens.queued(delivered.message.digest).address
    queued = QueuedAccount.decode(tokens.bench.data(address), tokens.at.tokens.program)
    tokens.bench.set_time(sp.NOW + st.QUEUE_DELAY)
    step = ti.release(tokens.at, tokens.user, wrapped, queued, create=True)
    with_fee = type(step)(
        step.program_id,
        bytes(step.data),
        [*step.accounts, AccountMeta(account_of(tokens, wrapped), False, True)],
    )
    assert tokens.bench.refused(with_fee) == "WrongAccountCount"
    tokens.bench.accepted(step)
    assert tokens.held(recipient, wrapped) == AMOUNT


def test_solana_tokens_fee_attack__account_that_is_not_the_payers__refused(
    tokens: TokenBench, wrapped: TokenAccount, native: TokenAccount
) -> None:
    recipient, stranger, mallory = (Keypair().pubkey() for _ in range(3))
    delivered = tokens.deliver(tokens.transfer_in(wrapped, recipient, AMOUNT, FEE))
    theirs = tokens.give(stranger, wrapped.mint, 0, TOKEN_2022)
    frozen, foreign, spoofed = (Keypair().pubkey() for _ in range(3))
    tokens.bench.put(frozen, st.account_bytes(wrapped.mint, tokens.user, 0, state=2), TOKEN_2022)
    tokens.bench.put(foreign, st.account_bytes(wrapped.mint, tokens.user, 0), TOKEN)
    tokens.bench.put(spoofed, st.account_bytes(wrapped.mint, tokens.user, 0), mallory)
    other_token = account_of(tokens, native)
    vault = tokens.at.tokens.vault(native.mint).address
    step = tokens.redeem(wrapped, delivered, recipient, fee_account=theirs)
    for wrong in (theirs, frozen, foreign, spoofed, other_token, vault, wrapped.mint, tokens.user):
        assert tokens.bench.refused(bent(step, account_13=wrong)) == "WrongTokenAccount"
    target = step.accounts[8].pubkey
    assert tokens.bench.refused(bent(step, account_13=target)) == "WrongTokenAccount"
    # Named by the recipient's account alone, the fee cannot be taken from the recipient without the payer's own account.
    tokens.bench.accepted(bent(step, account_13=account_of(tokens, wrapped)))
    assert (tokens.held(recipient, wrapped), tokens.held(tokens.user, wrapped)) == (AMOUNT - FEE, FEE)


@pytest.mark.parametrize(("fee", "amount"), [(10, 10), (11, 10), ((1 << 64) - 1, 10)])
def test_solana_tokens_fee_attack_send__not_less_than_the_amount__refused(
    tokens: TokenBench, native: TokenAccount, fee: int, amount: int
) -> None:
    tokens.give(tokens.user, native.mint, 100 * SCALE)
    assert tokens.bench.refused(tokens.send(native, amount * SCALE, fee=fee)) == "FeeTooHigh"
    assert tokens.held(tokens.user, native) == 100 * SCALE


def test_solana_tokens_fee_send__part_of_the_amount__is_in_the_message(
    tokens: TokenBench, native: TokenAccount
) -> None:
    tokens.give(tokens.user, native.mint, 100 * SCALE)
    message = tokens.sent(native, 10 * SCALE + 5, fee=9)
    moved = st.outgoing(message)
    assert (moved.amount, moved.fee) == (10, 9)
    assert tokens.held(tokens.user, native) == 90 * SCALE
