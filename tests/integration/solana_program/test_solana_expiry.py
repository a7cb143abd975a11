"""Messages that expire on Solana, and the word that they did (PROTOCOL.md §3, §7): `send`, `close_outbox`, `deliver` of a non-delivery."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair

from bridges.solana import instructions
from bridges.solana.layout import InboxAccount, OutboxAccount
from oracle.protocol import constants as c
from oracle.protocol.message import Message, NonDelivery, non_delivery_message, result_messages
from oracle.protocol.types import Account, Kind, Sequence, UnixSeconds
from tests.support import solana_program as sp
from tests.support.solana_program import Bench, bent

EXPIRY = UnixSeconds(sp.NOW + 60)


def sending(bench: Bench, expiry: int = EXPIRY, payload: bytes = b"hello") -> instructions.Instruction:
    sequence, user = bench.next_sequence(), bench.user.pubkey()
    return instructions.send(bench.at, user, sequence, sp.EVM, sp.EVM_USER, payload, UnixSeconds(expiry))


def sent(bench: Bench, expiry: int = EXPIRY, payload: bytes = b"hello") -> Message:
    sequence = bench.next_sequence()
    bench.accepted(sending(bench, expiry, payload))
    return OutboxAccount.decode(bench.data(bench.at.outbox(sequence).address), bench.at.program).message


# ---- send and close_outbox ----


def test_solana_expiry_send__with_an_expiry__is_in_the_body_and_the_account(bench: Bench) -> None:
    message = sent(bench)  # the decoder compares the account's expiry with the body's
    assert message.expiry == EXPIRY


@pytest.mark.parametrize("expiry", [1, sp.NOW - 1, sp.NOW])
def test_solana_expiry_send__not_after_the_present__refused(bench: Bench, expiry: int) -> None:
    assert bench.refused(sending(bench, expiry)) == "DeadlinePassed"
    assert bench.next_sequence() == 1


def test_solana_expiry_send__never_or_as_late_as_can_be__taken(bench: Bench) -> None:
    assert sent(bench, 0).expiry == 0
    assert sent(bench, sp.NOW + 1).expiry == sp.NOW + 1
    assert sent(bench, (1 << 64) - 1).expiry == (1 << 64) - 1


def test_solana_expiry_close_outbox__only_after_the_expiry__and_by_its_sender(bench: Bench, mallory: Keypair) -> None:
    message, user = sent(bench), bench.user.pubkey()
    step = instructions.close_outbox(bench.at, message.sequence, user, signed=True)
    assert bench.refused(step) == "TooEarly"
    bench.set_time(EXPIRY)
    assert bench.refused(step) == "TooEarly"  # at this second it may still be delivered
    bench.set_time(EXPIRY + 1)
    unsigned = instructions.close_outbox(bench.at, message.sequence, mallory.pubkey(), signed=True)
    assert bench.refused(unsigned, signers=(mallory,)) == "WrongRequester"
    bench.accepted(step)
    assert not bench.exists(bench.at.outbox(message.sequence).address)


def test_solana_expiry_close_outbox__without_an_expiry__whenever_its_sender_wants(bench: Bench) -> None:
    message = sent(bench, 0)
    bench.accepted(instructions.close_outbox(bench.at, message.sequence, bench.user.pubkey(), signed=True))


# ---- deliver ----


def test_solana_expiry_deliver__in_its_last_second_and_after__taken_and_refused(bench: Bench) -> None:
    last, late = bench.inbound(sequence=1, expiry=EXPIRY), bench.inbound(sequence=2, expiry=EXPIRY)
    bench.set_time(EXPIRY)
    bench.accepted(bench.delivery(last))
    bench.set_time(EXPIRY + 1)
    assert bench.refused(bench.delivery(late)) == "Expired"


def test_solana_non_delivery__of_a_post_of_this_program__becomes_the_senders_inbox(bench: Bench) -> None:
    message = sent(bench)
    notice = non_delivery_message(message)
    bench.set_time(EXPIRY + 1)
    bench.accepted(bench.delivery(notice))
    inbox = InboxAccount.decode(bench.data(bench.at.inbox(notice.digest).address), bench.at.program)
    assert inbox.message == notice
    told = NonDelivery.from_bytes(inbox.message.payload)
    assert (told.digest, told.payload) == (message.digest, b"hello")
    # Told once, whatever the epoch; and closed by the sender of the message alone.
    assert bench.refused(bench.delivery(notice)) == "AlreadyDelivered"
    user = bench.user.pubkey()
    bench.accepted(instructions.close_inbox(bench.at, user, notice.digest, user))
    assert bench.refused(bench.delivery(notice)) == "AlreadyDelivered"


def test_solana_non_delivery_attack__closed_by_another_than_the_messages_sender__refused(
    bench: Bench, mallory: Keypair
) -> None:
    notice = replace(non_delivery_message(sent(bench)), recipient=Account(bytes(mallory.pubkey())))
    bench.accepted(bench.delivery(notice))
    user = bench.user.pubkey()
    assert bench.refused(instructions.close_inbox(bench.at, user, notice.digest, user)) == "MissingSignature"
    bench.accepted(instructions.close_inbox(bench.at, mallory.pubkey(), notice.digest, user), signers=(mallory,))


def test_solana_non_delivery_attack__of_another_origin__refused(bench: Bench) -> None:
    notice = non_delivery_message(sent(bench))
    elsewhere = replace(notice, origin=sp.EVM, sender=sp.EVM.gateway)
    assert bench.refused(bench.delivery(elsewhere)) == "ForeignNotice"


def test_solana_non_delivery_attack__for_another_chain__refused(bench: Bench) -> None:
    notice = non_delivery_message(bench.inbound(expiry=EXPIRY))  # its origin is the EVM gateway
    assert bench.refused(bench.delivery(notice)) in ("WrongDestination", "UnknownPeer")


def test_solana_non_delivery_attack__wrong_sender_or_recipient__refused(bench: Bench, mallory: Keypair) -> None:
    notice = non_delivery_message(sent(bench))
    for recipient in (bytes(32), bytes(bench.at.program)):
        assert bench.refused(bench.delivery(replace(notice, recipient=Account(recipient)))) == "WrongRecipient"
    hers = replace(notice, sender=Account(bytes(mallory.pubkey())))
    assert bench.refused(bench.delivery(hers)) == "WrongSender"
    assert bench.refused(bench.delivery(replace(notice, payload=bytes(31)))) == "InvalidNonDelivery"


def test_solana_non_delivery_attack__as_a_message_of_a_user__is_not_one(bench: Bench) -> None:
    """What anybody can have delivered is a KIND_MESSAGE, and says so in its inbox account."""
    notice = non_delivery_message(sent(bench))
    posing = replace(notice, kind=Kind.MESSAGE, origin=sp.EVM, sender=sp.EVM_USER)
    bench.accepted(bench.delivery(posing))
    inbox = InboxAccount.decode(bench.data(bench.at.inbox(posing.digest).address), bench.at.program)
    assert inbox.message.kind is Kind.MESSAGE


def test_solana_non_delivery_attack__unsigned_or_by_another_key__refused(bench: Bench) -> None:
    notice = non_delivery_message(sent(bench))
    forged = bench.envelope(notice, key=sp.committee_key("evil"))
    assert bench.refused(bench.delivery(notice, forged)) == "InvalidSignature"


def test_solana_non_delivery_replay__shares_the_bitmap_of_own_results__each_bit_once(bench: Bench) -> None:
    message = sent(bench)
    request = bench.post_request()
    result = result_messages(request, sp.answered())[0]
    assert (message.sequence, request.sequence) == (1, 2)
    bench.accepted(bench.delivery(result))
    bench.accepted(bench.delivery(non_delivery_message(message)))
    # A notice with the sequence of the answered request, or a result with that of the message told of: their bits are set.
    about_request = replace(non_delivery_message(message), sequence=Sequence(2))
    assert bench.refused(bench.delivery(about_request)) == "AlreadyDelivered"
    assert bench.refused(bench.delivery(replace(result, sequence=Sequence(1)))) == "AlreadyDelivered"
    assert bench.svm.get_account(bench.at.replay(bench.home, 1).address) is not None


def test_solana_non_delivery_attack__the_peers_account_in_the_configurations_place__refused(bench: Bench) -> None:
    step = bench.delivery(non_delivery_message(sent(bench)))
    assert bench.refused(bent(step, account_3=bench.at.peer(sp.EVM).address)) == "WrongAddress"
    assert len(step.accounts) == 7


def test_solana_non_delivery__of_an_empty_message__is_taken(bench: Bench) -> None:
    notice = non_delivery_message(sent(bench, payload=b""))
    assert len(notice.payload) == c.NON_DELIVERY_SIZE
    bench.accepted(bench.delivery(notice))
