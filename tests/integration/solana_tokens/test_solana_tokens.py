"""The token program in LiteSVM, with the real token programs: registrations, transfers both ways, limits, the queue and pauses."""

from collections.abc import Callable

import pytest
from solders.keypair import Keypair
from solders.message import Message as TransactionMessage
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_instructions import unwrap_instruction, wrap_instructions
from bridges.solana.tokens_layout import (
    NATIVE_MINT,
    TOKEN,
    TOKEN_2022,
    QueuedAccount,
    TokenKind,
    associated,
    token_amount,
)
from oracle.protocol.interop import InteropAddress
from oracle.protocol.tokens import TokenRegistration
from oracle.protocol.types import Account, UnixSeconds
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_tokens import TokenBench

PACKET = 1232
DELIVERY_UNITS = 120_000


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


def test_solana_tokens_accept_registration__metadata__stands_in_the_mint(tokens: TokenBench) -> None:
    message = tokens.registration(decimals=4, name=b"N" * 32, symbol=b"S" * 10)
    tokens.bench.accepted(tokens.accept(tokens.deliver(message)))
    token = tokens.wrapped()
    mint = tokens.bench.account(token.mint)
    assert mint.owner == token.token_program == TOKEN_2022
    data = bytes(mint.data)
    assert data[:4] == b"\1\0\0\0"
    assert data[4:36] == bytes(tokens.authority)
    assert data[44:46] == bytes([4, 1])
    assert data[46:50] == bytes(4), "nobody can freeze"
    expected = st.metadata(token.mint, b"N" * 32, b"S" * 10)
    pointer = st.extension(18, bytes(tokens.authority) + bytes(token.mint))
    assert data[166 : 166 + 68] == pointer
    assert data[166 + 68 + 4 + 64 :] == expected[68 + 4 + 64 :]
    assert data[166 + 68 + 4 : 166 + 68 + 4 + 32] == bytes(tokens.authority), "update authority"
    assert mint.lamports == tokens.bench.rent(len(data))


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        (b"caf\xc3\xa9", b"caf\xc3\xa9"),
        (b"\xff\xfe bad", b"?? bad"),
        (b"cut \xe2\x82", b"cut ??"),
        (b"\xed\xa0\x80", b"???"),
        (b"\xc0\x80", b"??"),
        (b"\xf0\x9f\x98\x80", b"\xf0\x9f\x98\x80"),
        (b"\xf4\x90\x80\x80", b"????"),
    ],
)
def test_solana_tokens_accept_registration__bytes_that_are_no_text__do_not_block_it(
    tokens: TokenBench, name: bytes, stored: bytes
) -> None:
    tokens.bench.accepted(tokens.accept(tokens.deliver(tokens.registration(name=name))))
    mint = tokens.wrapped().mint
    assert bytes(tokens.bench.account(mint).data).endswith(st.metadata(mint, stored, b"EX")[68 + 4 + 64 :])


def test_solana_tokens_accept_registration__again__changes_nothing_and_closes_the_inbox(tokens: TokenBench) -> None:
    token = tokens.register_wrapped(decimals=6)
    tokens.receive(token, tokens.user, 5)
    before = tokens.wrapped()
    delivered = tokens.deliver(tokens.registration(decimals=3, name=b"Other"))
    tokens.bench.accepted(tokens.accept(delivered))
    assert tokens.wrapped() == before
    assert not tokens.bench.exists(tokens.at.sibyl.inbox(delivered.message.digest).address)


@pytest.mark.parametrize("program", [TOKEN, TOKEN_2022], ids=["spl-token", "token-2022"])
@pytest.mark.parametrize("decimals", [0, 6, 9, 12, 18])
def test_solana_tokens__native_token__locked_and_released_exactly(
    tokens: TokenBench, program: Pubkey, decimals: int
) -> None:
    token = tokens.register_native(program, decimals)
    scale = 10 ** max(0, decimals - 9)
    assert token.kind is TokenKind.NATIVE
    assert (token.native_decimals, token.wire_decimals) == (decimals, min(decimals, 9))
    assert token.evm_bridge == st.wrapped_bridge(token.mint)
    dust = scale - 1
    tokens.give(tokens.user, token.mint, 10 * scale + dust, program)
    sequence = tokens.bench.next_sequence()
    tokens.bench.accepted(tokens.send(token, 7 * scale + dust))
    assert tokens.held(tokens.user, token) == 3 * scale + dust, "dust stays with the sender"
    vault = tokens.at.tokens.vault(token.mint).address
    assert token_amount(tokens.bench.data(vault)) == 7 * scale
    assert tokens.native(token.mint).outstanding == 7
    assert st.outgoing(tokens.posted(sequence)).amount == 7

    recipient = Keypair().pubkey()
    tokens.receive(token, recipient, 2)
    assert tokens.held(recipient, token) == 2 * scale
    tokens.receive(token, recipient, 5)
    assert tokens.held(recipient, token) == 7 * scale
    assert token_amount(tokens.bench.data(vault)) == tokens.native(token.mint).outstanding == 0


@pytest.mark.parametrize(
    ("extensions", "name", "symbol"),
    [
        (lambda mint: b"", None, None),
        (lambda mint: st.metadata(mint, b"Name", b"SYM"), b"Name", b"SYM"),
        (lambda mint: st.metadata(mint, b"", b""), None, None),
        (lambda mint: st.metadata(mint, b"n" * 40, b"s" * 11), b"n" * 32, b"s" * 10),
        (lambda mint: st.metadata(mint, b"n" * 31 + b"\xc3\xa9", b"\xe2\x82\xac" * 4), b"n" * 31, b"\xe2\x82\xac" * 3),
        (lambda mint: st.metadata(mint, b"Elsewhere", b"E").replace(bytes(mint), bytes([9] * 32), 1), None, None),
    ],
    ids=["none", "metadata", "empty", "long", "cut between characters", "pointer elsewhere"],
)
def test_solana_tokens_register_token__name_and_symbol__are_the_mints_own(
    tokens: TokenBench, extensions: Callable[[Pubkey], bytes], name: bytes | None, symbol: bytes | None
) -> None:
    mint = Keypair().pubkey()
    tokens.bench.put(mint, st.mint_bytes(None, 6, extensions(mint)), TOKEN_2022)
    sequence = tokens.bench.next_sequence()
    tokens.bench.accepted(tokens.register(mint, TOKEN_2022))
    message = tokens.posted(sequence)
    assert message.recipient == st.FACTORY
    assert message.sender == bytes(tokens.authority)
    digits = b"0x" + bytes(mint).hex().encode()
    expected = TokenRegistration(Account(bytes(mint)), 6, name or digits[:32], symbol or digits[:10])
    assert TokenRegistration.from_bytes(message.payload) == expected


def test_solana_tokens_register_token__again__only_sends_it_again(tokens: TokenBench) -> None:
    token = tokens.register_native()
    tokens.give(tokens.user, token.mint, 100)
    tokens.bench.accepted(tokens.send(token, 10))
    before = tokens.native(token.mint)
    sequence = tokens.bench.next_sequence()
    tokens.bench.accepted(tokens.register(token.mint))
    assert tokens.native(token.mint) == before
    assert tokens.posted(sequence).payload == tokens.posted(1).payload


def test_solana_tokens__wrapped_sol__crosses_as_the_native_mint(tokens: TokenBench) -> None:
    tokens.bench.accepted(tokens.register(NATIVE_MINT))
    token = tokens.native(NATIVE_MINT)
    named = TokenRegistration.from_bytes(tokens.posted(1).payload)
    assert (named.name, named.symbol) == (b"Wrapped SOL", b"SOL")
    owner = tokens.user
    target = associated(owner, NATIVE_MINT, TOKEN).address
    steps = wrap_instructions(owner, 1_000_000)
    tokens.bench.accepted(*steps)
    assert tokens.held(owner, token) == 1_000_000
    tokens.bench.accepted(tokens.send(token, 400_000))
    tokens.receive(token, owner, 150_000)
    assert tokens.held(owner, token) == 750_000
    tokens.bench.accepted(unwrap_instruction(owner))
    assert not tokens.bench.exists(target)


# ---- limits ----


def test_solana_tokens_limits__outbound_bucket__refuses_over_it_and_refills_by_the_clock(tokens: TokenBench) -> None:
    token = tokens.register_native(decimals=11)
    tokens.give(tokens.user, token.mint, 10**12)
    tokens.limit(token, tg.Limits(outbound_capacity=100, outbound_refill=2))
    tokens.bench.accepted(tokens.send(token, 90 * 100))
    assert tokens.bench.refused(tokens.send(token, 11 * 100)) == "OverLimit"
    tokens.bench.set_time(sp.NOW + 1)
    tokens.bench.accepted(tokens.send(token, 12 * 100))
    assert tokens.native(token.mint).outbound == (100, 2, 0, sp.NOW + 1)
    tokens.bench.set_time(sp.NOW)
    assert tokens.bench.refused(tokens.send(token, 100)) == "OverLimit", "a clock that went back refills nothing"
    tokens.bench.set_time(sp.NOW + 10**9)
    assert tokens.bench.refused(tokens.send(token, 101 * 100)) == "OverLimit", "never more than the capacity"
    tokens.bench.accepted(tokens.send(token, 100 * 100))
    assert tokens.native(token.mint).outbound.available(sp.NOW + 10**9 + 7) == 14


def test_solana_tokens_limits__inbound_over_the_bucket__waits_in_the_queue(tokens: TokenBench) -> None:
    token = tokens.register_wrapped()
    tokens.limit(token, tg.Limits(inbound_capacity=100, inbound_refill=1))
    recipient, bench = Keypair().pubkey(), tokens.bench
    small, large = (tokens.deliver(tokens.transfer_in(token, recipient, amount)) for amount in (60, 50))
    assert bench.refused(ti.enqueue(tokens.at, tokens.user, token, small)) == "UnderLimit"
    bench.accepted(tokens.redeem(token, small, recipient))
    assert bench.refused(tokens.redeem(token, large, recipient)) == "OverLimit"
    bench.accepted(ti.enqueue(tokens.at, tokens.user, token, large))
    assert not bench.exists(tokens.at.sibyl.inbox(large.message.digest).address)
    address = tokens.at.tokens.queued(large.message.digest).address
    queued = QueuedAccount.decode(bench.data(address), tokens.at.tokens.program)
    expected = QueuedAccount(
        50, UnixSeconds(sp.NOW + st.QUEUE_DELAY), tokens.address(token), recipient, tokens.user, large.message.digest
    )
    assert queued == expected
    release = ti.release(tokens.at, tokens.user, token, queued, create=False)
    bench.set_time(sp.NOW + st.QUEUE_DELAY - 1)
    assert bench.refused(release) == "NotReleasable"
    bench.set_time(sp.NOW + st.QUEUE_DELAY)
    tokens.pause(token)
    assert bench.refused(release) == "Paused"
    tokens.pause(token, paused=False)
    before, rent = bench.lamports(tokens.user), bench.lamports(address)
    bench.accepted(release)
    assert bench.lamports(tokens.user) == before + rent - 5_000
    assert tokens.held(recipient, token) == tokens.wrapped().outstanding == 110
    assert bench.refused(release) == "WrongOwner"


def test_solana_tokens_limits__cap__keeps_the_inbox_account_until_there_is_room(tokens: TokenBench) -> None:
    token = tokens.register_wrapped()
    recipient, bench = tokens.user, tokens.bench
    tokens.receive(token, recipient, 90)
    tokens.limit(token, tg.Limits(cap=100))
    waiting = tokens.deliver(tokens.transfer_in(token, recipient, 11))
    step = tokens.redeem(token, waiting, recipient)
    assert bench.refused(step) == "OverCap"
    assert bench.exists(tokens.at.sibyl.inbox(waiting.message.digest).address)
    bench.accepted(tokens.send(token, 1))
    bench.accepted(step)
    assert tokens.wrapped().outstanding == 100

    native = tokens.register_native()
    tokens.give(tokens.user, native.mint, 1_000)
    tokens.limit(native, tg.Limits(cap=100))
    assert bench.refused(tokens.send(native, 101)) == "OverCap"
    bench.accepted(tokens.send(native, 100))


def test_solana_tokens_pause__one_token_or_all__nothing_moves_and_nothing_is_lost(tokens: TokenBench) -> None:
    token, bench = tokens.register_wrapped(), tokens.bench
    tokens.receive(token, tokens.user, 100)
    other = tokens.register_native()
    tokens.give(tokens.user, other.mint, 100)
    waiting = tokens.deliver(tokens.transfer_in(token, tokens.user, 7))
    guardian = tg.pause(tokens.at, tokens.guardian.pubkey(), tokens.address(token))
    bench.accepted(guardian, signers=(tokens.guardian,))
    assert bench.refused(tokens.send(token, 1)) == "Paused"
    assert bench.refused(tokens.redeem(token, waiting, tokens.user)) == "Paused"
    assert bench.refused(ti.enqueue(tokens.at, tokens.user, token, waiting)) == "Paused"
    bench.accepted(tokens.send(other, 1))
    bench.accepted(tg.pause(tokens.at, tokens.guardian.pubkey()), signers=(tokens.guardian,))
    assert tokens.bridge().paused
    assert bench.refused(tokens.send(other, 1)) == "Paused"
    assert bench.refused(tokens.register(tokens.mint())) == "Paused"
    registration = tokens.accept(tokens.deliver(tokens.registration()))
    assert bench.refused(registration) == "Paused"
    tokens.pause(paused=False)
    assert bench.refused(tokens.send(token, 1)) == "Paused", "its own pause stands"
    tokens.pause(token, paused=False)
    bench.accepted(tokens.redeem(token, waiting, tokens.user), registration)
    assert tokens.held(tokens.user, token) == 107


# ---- one transaction ----


@pytest.mark.parametrize("native", [False, True], ids=["wrapped", "native"])
@pytest.mark.parametrize("create", [False, True], ids=["existing", "created"])
def test_solana_tokens_delivery__deliver_and_redeem__one_transaction_within_the_bounds(
    tokens: TokenBench, native: bool, create: bool
) -> None:
    bench, recipient = tokens.bench, Keypair().pubkey()
    token = tokens.register_native(TOKEN_2022) if native else tokens.register_wrapped()
    if native:
        tokens.give(tokens.user, token.mint, 1_000, TOKEN_2022)
        bench.accepted(tokens.send(token, 1_000))
    if not create:
        tokens.give(recipient, token.mint, 0, TOKEN_2022)
    message = tokens.transfer_in(token, recipient, 5)
    redeem = tokens.redeem(token, ti.Delivered(message, tokens.user), recipient, create=create)
    steps = [bench.delivery(message), redeem]
    size = len(bytes(Transaction.new_unsigned(TransactionMessage(steps, tokens.user))))
    assert size <= PACKET
    bench.accepted(*steps)
    assert tokens.held(recipient, token) == 5
    if not create:
        assert bench.units <= DELIVERY_UNITS
