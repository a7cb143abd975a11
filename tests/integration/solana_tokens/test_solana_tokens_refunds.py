"""Transfers from Solana that expired undelivered (TOKENS.md §4, §5): what comes back, and attacks on `refund`, `enqueue` and `close_sent`."""

from dataclasses import replace

import pytest
from solders.instruction import AccountMeta
from solders.keypair import Keypair

from bridges.solana import instructions
from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import TOKEN, QueuedAccount, TokenAccount
from oracle.protocol import constants as c
from oracle.protocol.message import Message, NonDelivery, non_delivery_message
from oracle.protocol.types import Account, Chain, Sequence, UnixSeconds
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import TokenBench

DEFAULT, MOST, CLOSE = c.TOKENS_DEFAULT_LIFETIME, c.TOKENS_MAX_LIFETIME, c.TOKENS_CLOSE_DELAY
START, AMOUNT, FEE = 1_000, 300, 20


@pytest.fixture
def native(tokens: TokenBench) -> TokenAccount:
    token = tokens.register_native()
    tokens.give(tokens.user, token.mint, START)
    return token


@pytest.fixture
def wrapped(tokens: TokenBench) -> TokenAccount:
    token = tokens.register_wrapped()
    tokens.receive(token, tokens.user, START)
    return token


def outstanding(tokens: TokenBench, token: TokenAccount) -> int:
    return tokens.token(tokens.address(token)).outstanding


# ---- lifetimes ----


def test_solana_tokens_expiry__none_named__is_a_day_ahead(tokens: TokenBench, native: TokenAccount) -> None:
    assert tokens.sent(native, 1).expiry == sp.NOW + DEFAULT


def test_solana_tokens_expiry__from_the_next_second_to_thirty_days__taken(
    tokens: TokenBench, native: TokenAccount
) -> None:
    assert tokens.sent(native, 1, expiry=sp.NOW + 1).expiry == sp.NOW + 1
    assert tokens.sent(native, 1, expiry=sp.NOW + MOST).expiry == sp.NOW + MOST
    assert tokens.bench.refused(tokens.send(native, 1, expiry=sp.NOW + MOST + 1)) == "ExpiryTooFar"
    assert tokens.bench.refused(tokens.send(native, 1, expiry=(1 << 64) - 1)) == "ExpiryTooFar"
    assert tokens.bench.refused(tokens.send(native, 1, expiry=sp.NOW)) == "DeadlinePassed"
    assert tokens.bench.refused(tokens.send(native, 1, expiry=1)) == "DeadlinePassed"
    assert tokens.held(tokens.user, native) == START - 2


def test_solana_tokens_expiry__registration__never_expires(tokens: TokenBench) -> None:
    sequence = tokens.bench.next_sequence()
    tokens.register_native()
    assert tokens.posted(sequence).expiry == 0


# ---- refund ----


@pytest.mark.parametrize("kind", ["native", "wrapped"])
def test_solana_tokens_refund__expired_transfer__gives_the_whole_amount_back_fee_included(
    tokens: TokenBench, native: TokenAccount, wrapped: TokenAccount, kind: str
) -> None:
    token = native if kind == "native" else wrapped
    before = outstanding(tokens, token)
    message = tokens.sent(token, AMOUNT, fee=FEE)
    assert tokens.held(tokens.user, token) == START - AMOUNT
    lapsed = tokens.notice(message)
    inbox = tokens.at.sibyl.inbox(lapsed.notice.digest).address
    tokens.bench.accepted(tokens.refund(token, lapsed, create=False))
    assert tokens.held(tokens.user, token) == START
    assert outstanding(tokens, token) == before
    assert not tokens.bench.exists(inbox)


def test_solana_tokens_refund__by_anybody_into_an_account_that_was_closed__creates_it(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    message = tokens.sent(native, START)
    lapsed = tokens.notice(message)
    ata = tokens.send(native, 1).accounts[4].pubkey
    tokens.bench.put(ata, b"", sp.Pubkey.default(), 0)
    step = ti.refund(tokens.at, mallory.pubkey(), native, lapsed, tokens.user, create=True)
    tokens.bench.accepted(step, signers=(mallory,))
    assert tokens.held(tokens.user, native) == START


def test_solana_tokens_refund__outbox_account_closed_long_ago__still_pays(
    tokens: TokenBench, native: TokenAccount
) -> None:
    message = tokens.sent(native, AMOUNT)
    lapsed = tokens.notice(message)
    tokens.bench.set_time(message.expiry + CLOSE + 1)
    tokens.bench.accepted(ti.close_sent(tokens.at, message.sequence, tokens.user))
    tokens.bench.accepted(tokens.refund(native, lapsed))
    assert tokens.held(tokens.user, native) == START


def test_solana_tokens_refund_attack__twice__refused(tokens: TokenBench, native: TokenAccount) -> None:
    tokens.sent(native, AMOUNT)  # more is locked than is given back
    message = tokens.sent(native, AMOUNT)
    lapsed = tokens.notice(message)
    step = tokens.refund(native, lapsed, create=False)
    tokens.bench.accepted(step)
    assert tokens.bench.refused(step) == "WrongOwner"
    assert tokens.bench.refused(tokens.bench.delivery(lapsed.notice)) == "AlreadyDelivered"
    assert tokens.held(tokens.user, native) == START - AMOUNT


def test_solana_tokens_refund_attack__another_token_is_chosen__refused(
    tokens: TokenBench, native: TokenAccount, wrapped: TokenAccount
) -> None:
    """Worthless tokens expire, and precious ones are asked for."""
    worthless = tokens.register_native()
    tokens.give(tokens.user, worthless.mint, START)
    tokens.sent(native, AMOUNT)
    lapsed = tokens.notice(tokens.sent(worthless, AMOUNT))
    for token in (native, wrapped):
        assert tokens.bench.refused(tokens.refund(token, lapsed, create=False)) == "WrongNotice"
    # The right token's account with another's mint and vault, and the other way round.
    right, wrong = tokens.refund(worthless, lapsed), tokens.refund(native, lapsed, create=False)
    assert tokens.bench.refused(bent(right, account_6=native.mint)) == "WrongMint"
    assert tokens.bench.refused(bent(right, account_7=wrong.accounts[7].pubkey)) == "WrongVault"
    assert tokens.bench.refused(bent(wrong, account_2=right.accounts[2].pubkey)) == "WrongMint"
    tokens.bench.accepted(right)
    assert (tokens.held(tokens.user, worthless), tokens.held(tokens.user, native)) == (START, START - AMOUNT)


def test_solana_tokens_refund_attack__another_expiry__refused(tokens: TokenBench, native: TokenAccount) -> None:
    lapsed = tokens.notice(tokens.sent(native, AMOUNT))
    for expiry in (0, lapsed.expiry - 1, lapsed.expiry + 1, (1 << 64) - 1):
        step = tokens.refund(native, replace(lapsed, expiry=UnixSeconds(expiry)), create=False)
        assert tokens.bench.refused(step) == "WrongNotice"


def test_solana_tokens_refund_attack__of_a_registration__refused(tokens: TokenBench, native: TokenAccount) -> None:
    sequence = tokens.bench.next_sequence()
    tokens.bench.accepted(tokens.register(native.mint))
    registration = tokens.posted(sequence)
    # It never expires; a committee that lies could still say so.
    forged = replace(registration, expiry=UnixSeconds(sp.NOW + 1))
    lapsed = tokens.notice(forged)
    assert tokens.bench.refused(tokens.refund(native, lapsed, create=False)) == "WrongNotice"
    assert tokens.bench.refused(ti.enqueue_refund(tokens.at, tokens.user, native, lapsed)) == "WrongNotice"


def test_solana_tokens_refund_attack__to_another_account__refused(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    lapsed = tokens.notice(tokens.sent(native, AMOUNT))
    hers = tokens.give(mallory.pubkey(), native.mint, 0)
    step = tokens.refund(native, lapsed, create=False)
    assert tokens.bench.refused(bent(step, account_8=hers)) == "NotAssociated"
    for create in (True, False):
        stolen = ti.refund(tokens.at, mallory.pubkey(), native, lapsed, mallory.pubkey(), create=create)
        assert tokens.bench.refused(stolen, signers=(mallory,)) == "NotAssociated"
    assert tokens.bench.refused(bent(step, account_4=mallory.pubkey())) in ("SystemCallFailed", "WrongPayer")


def test_solana_tokens_refund_attack_wormhole__inbox_that_sibyl_did_not_write__refused(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    message = tokens.sent(native, AMOUNT)
    notice = non_delivery_message(message)
    genuine = tokens.notice(message)
    found = tokens.bench.account(tokens.at.sibyl.inbox(notice.digest).address)
    step = tokens.refund(native, genuine, create=False)
    fake = Keypair().pubkey()
    for owner in (mallory.pubkey(), tokens.at.tokens.program, TOKEN):
        tokens.bench.put(fake, bytes(found.data), owner)
        assert tokens.bench.refused(bent(step, account_3=fake)) == "WrongOwner"
    other = sp.start(sp.committee_key("mallory's"))
    tokens.bench.put(fake, bytes(found.data), other.at.program)
    assert tokens.bench.refused(bent(step, account_3=fake)) == "WrongOwner"
    # The message's own outbox account, which Sibyl did write.
    outbox = tokens.at.sibyl.outbox(message.sequence).address
    assert tokens.bench.refused(bent(step, account_3=outbox)) == "WrongAccountType"
    assert tokens.bench.refused(bent(step, account_5=other.at.program)) == "WrongAddress"


def test_solana_tokens_refund_attack__notice_of_another_chain_or_sender__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    """Sibyl writes no such inbox account; the token program looks all the same."""
    lapsed = tokens.notice(tokens.sent(native, AMOUNT))
    step = tokens.refund(native, lapsed, create=False)
    inbox = tokens.at.sibyl.inbox(lapsed.notice.digest).address
    found = tokens.bench.account(inbox)
    header = bytes(found.data)[: c.INBOX_ACCOUNT_SIZE]
    for wrong in (
        replace(lapsed.notice, origin=replace(lapsed.notice.origin, chain=Chain.solana(bytes([3] * 32)))),
        replace(lapsed.notice, origin=sp.EVM, sender=sp.EVM.gateway),
        replace(lapsed.notice, sender=Account(bytes(tokens.authority))),
    ):
        tokens.bench.put(inbox, header + wrong.to_bytes(), found.owner, found.lamports)
        assert tokens.bench.refused(step) == "WrongOrigin"
    tokens.bench.put(inbox, bytes(found.data), found.owner, found.lamports)
    tokens.bench.accepted(step)


def test_solana_tokens_refund_attack__message_of_a_user_that_looks_like_a_notice__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    message = tokens.sent(native, AMOUNT)
    payload = NonDelivery(message.digest, message.payload).to_bytes()
    posing = tokens.inbound(native.evm_bridge, payload)
    tokens.deliver(posing)
    lapsed = ti.Lapsed(posing, tokens.user, sp.EVM, message.expiry)
    assert tokens.bench.refused(tokens.refund(native, lapsed, create=False)) == "UnknownKind"
    # And a notice is no transfer, nor a registration.
    real = tokens.notice(message)
    delivered = ti.Delivered(real.notice, tokens.user)
    bridge = tokens.at.tokens.native(native.mint).address
    redeem = bent(tokens.redeem(native, delivered, tokens.user, create=False), account_2=bridge)
    assert tokens.bench.refused(redeem) == "UnknownKind"
    enqueue = bent(ti.enqueue(tokens.at, tokens.user, native, delivered), account_2=bridge)
    assert tokens.bench.refused(enqueue) == "UnknownKind"
    accept = ti.accept_registration(tokens.at, tokens.user, st.native_bridge(), delivered)
    assert tokens.bench.refused(accept) == "UnknownKind"


def test_solana_tokens_refund_attack__notice_to_another_recipient__refused(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    """Mallory's own message to the token's EVM bridge expires: its notice is hers, and no transfer of the bridge."""
    sequence = tokens.bench.next_sequence()
    payload = tokens.sent(native, AMOUNT).payload
    sequence = tokens.bench.next_sequence()
    step = instructions.send(
        tokens.at.sibyl, mallory.pubkey(), sequence, sp.EVM, native.evm_bridge, payload, UnixSeconds(sp.NOW + 9)
    )
    tokens.bench.accepted(step, signers=(mallory,))
    hers = tokens.notice(tokens.posted(sequence))
    assert tokens.bench.refused(tokens.refund(native, hers, create=False)) == "WrongBridge"
    # Even if the committee addressed it to the bridge authority: the message's sender is part of its digest.
    aimed = replace(hers.notice, recipient=Account(bytes(tokens.authority)), sequence=Sequence(sequence + 50))
    tokens.bench.accepted(tokens.bench.delivery(aimed))
    assert tokens.bench.refused(tokens.refund(native, replace(hers, notice=aimed), create=False)) == "WrongNotice"


def _forged(tokens: TokenBench, message: Message, **changes: object) -> ti.Lapsed:
    """The notice of a transfer that was never sent, as a committee that lies could sign it."""
    return tokens.notice(replace(message, sequence=Sequence(message.sequence + 77), **changes))  # type: ignore[arg-type]  # fields of Message


def test_solana_tokens_refund_attack__malformed_transfer_of_a_lying_committee__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    message = tokens.sent(native, AMOUNT)
    payload = message.payload
    words = len(payload) // 32
    for number in range(words):
        for at in (32 * number, 32 * number + 31):
            if at in (127, 288):
                continue  # another lawful fee or recipient
            changed = payload[:at] + bytes([payload[at] ^ 0x80]) + payload[at + 1 :]
            lapsed = _forged(
                tokens, replace(message, sequence=Sequence(message.sequence + number * 2 + at % 2)), payload=changed
            )
            done = tokens.bench.refused(tokens.refund(native, lapsed, create=False))
            # Some bytes are the amount or the sender: then the amount is not locked, or the sender another.
            assert done in ("InvalidTransfer", "InsufficientLocked", "NotAssociated"), (number, done)
    for wrong in (payload[:-32], payload + bytes(32), b""):
        lapsed = _forged(tokens, replace(message, sequence=Sequence(200 + len(wrong))), payload=wrong)
        assert tokens.bench.refused(tokens.refund(native, lapsed, create=False)) == "WrongNotice"


def test_solana_tokens_refund__paused__waits(tokens: TokenBench, native: TokenAccount) -> None:
    lapsed = tokens.notice(tokens.sent(native, AMOUNT))
    step = tokens.refund(native, lapsed, create=False)
    for token in (None, native):
        tokens.pause(token)
        assert tokens.bench.refused(step) == "Paused"
        assert tokens.bench.refused(ti.enqueue_refund(tokens.at, tokens.user, native, lapsed)) == "Paused"
        tokens.pause(token, paused=False)
    tokens.bench.accepted(step)


def test_solana_tokens_refund__over_the_inbound_limit__goes_by_the_queue(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    lapsed = tokens.notice(tokens.sent(native, AMOUNT, fee=FEE))
    step = tokens.refund(native, lapsed, create=False)
    enqueue = ti.enqueue_refund(tokens.at, tokens.user, native, lapsed)
    tokens.limit(native, tg.Limits(inbound_capacity=AMOUNT))
    assert tokens.bench.refused(enqueue) == "UnderLimit"
    tokens.limit(native, tg.Limits(inbound_capacity=AMOUNT - 1))
    assert tokens.bench.refused(step) == "OverLimit"
    tokens.bench.accepted(enqueue)
    assert tokens.bench.refused(step) == "WrongOwner"
    address = tokens.at.tokens.queued(lapsed.notice.digest).address
    queued = QueuedAccount.decode(tokens.bench.data(address), tokens.at.tokens.program)
    assert (queued.amount, queued.recipient) == (AMOUNT, tokens.user)
    tokens.bench.set_time(sp.NOW + st.QUEUE_DELAY)
    tokens.bench.accepted(ti.release(tokens.at, tokens.user, native, queued, create=False))
    assert tokens.held(tokens.user, native) == START


def test_solana_tokens_refund__wrapped_over_its_cap__waits(tokens: TokenBench, wrapped: TokenAccount) -> None:
    lapsed = tokens.notice(tokens.sent(wrapped, AMOUNT))
    tokens.limit(wrapped, tg.Limits(cap=START - 1))
    assert tokens.bench.refused(tokens.refund(wrapped, lapsed, create=False)) == "OverCap"
    tokens.limit(wrapped, tg.Limits(cap=START))
    tokens.bench.accepted(tokens.refund(wrapped, lapsed, create=False))
    assert tokens.supply(wrapped.mint) == START


# ---- close_sent ----


def test_solana_tokens_close_sent__thirty_days_after_the_expiry__the_rent_goes_to_the_sender(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    message = tokens.sent(native, AMOUNT)
    outbox = tokens.at.sibyl.outbox(message.sequence).address
    rent, before = tokens.bench.lamports(outbox), tokens.bench.lamports(tokens.user)
    authority = tokens.bench.lamports(tokens.authority)
    step = ti.close_sent(tokens.at, message.sequence, tokens.user)
    for time in (sp.NOW, message.expiry + 1, message.expiry + CLOSE):
        tokens.bench.set_time(time)
        assert tokens.bench.refused(step) == "TooEarly"
    tokens.bench.set_time(message.expiry + CLOSE + 1)
    tokens.bench.accepted(step)
    assert tokens.bench.lamports(tokens.user) == before + rent - 4 * 5_000
    assert tokens.bench.lamports(tokens.authority) == authority
    assert not tokens.bench.exists(outbox)
    assert tokens.bench.refused(step) == "WrongOwner"


def test_solana_tokens_close_sent_attack__anothers_rent_or_post__refused(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    message = tokens.sent(native, AMOUNT)
    sequence = tokens.bench.next_sequence()
    tokens.bench.accepted(tokens.register(native.mint))
    own = tokens.bench.next_sequence()
    tokens.bench.accepted(instructions.send(tokens.at.sibyl, tokens.user, own, sp.EVM, sp.EVM_USER, message.payload))
    tokens.bench.set_time(message.expiry + CLOSE + 1)
    step = ti.close_sent(tokens.at, message.sequence, tokens.user)
    assert tokens.bench.refused(bent(step, account_2=mallory.pubkey())) == "WrongPayer"
    assert tokens.bench.refused(bent(step, account_2=tokens.authority)) == "WrongPayer"
    assert tokens.bench.refused(ti.close_sent(tokens.at, sequence, tokens.user)) == "InvalidTransfer"  # a registration
    assert tokens.bench.refused(ti.close_sent(tokens.at, own, tokens.user)) == "WrongBridge"
    assert tokens.bench.refused(bent(step, account_3=tokens.at.tokens.program)) == "WrongAddress"
    found = tokens.bench.account(step.accounts[1].pubkey)
    fake = Keypair().pubkey()
    tokens.bench.put(fake, bytes(found.data), mallory.pubkey())
    assert tokens.bench.refused(bent(step, account_1=fake)) == "WrongOwner"
    inbox = tokens.deliver(tokens.transfer_in(native, tokens.user, 1)).message.digest
    assert tokens.bench.refused(bent(step, account_1=tokens.at.sibyl.inbox(inbox).address)) == "WrongAccountType"
    for index in (0, 1):
        meta = AccountMeta(step.accounts[index].pubkey, False, False)
        assert tokens.bench.refused(bent(step, **{f"account_{index}": meta})) == "NotWritable"
    tokens.bench.accepted(step)


def test_solana_tokens_close_sent_attack__outbox_closed_by_its_payer_at_sibyl__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    message = tokens.sent(native, AMOUNT)
    tokens.bench.set_time(message.expiry + CLOSE + 1)
    step = instructions.close_outbox(tokens.at.sibyl, message.sequence, tokens.user, signed=True)
    assert tokens.bench.refused(step) == "WrongRequester"
    unsigned = instructions.close_outbox(tokens.at.sibyl, message.sequence, tokens.authority, signed=False)
    assert tokens.bench.refused(unsigned) == "MissingSignature"
