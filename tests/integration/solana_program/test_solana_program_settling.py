"""Wrong kinds and recipients of a delivery, and wrong accounts when a request is answered, refunded or closed."""

from dataclasses import replace

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import TransferParams, transfer

from bridges.solana import instructions
from oracle.protocol import constants as c
from oracle.protocol.message import InferenceResult, Message, result_messages
from oracle.protocol.types import (
    Account,
    Policy,
)
from tests.support import solana_program as sp
from tests.support.solana_program import Bench, bent, copy_account

# ---- kinds and recipients (Poly 2021: a message reaches a privileged call) ----


def test_solana_program_attack_poly__message_to_the_program_itself__refused(bench: Bench) -> None:
    assert bench.refused(bench.delivery(bench.inbound(recipient=bytes(bench.at.program)))) == "WrongRecipient"


def test_solana_program_attack__request_delivered__refused(bench: Bench) -> None:
    request = bench.post_request()
    assert bench.refused(bench.delivery(request)) == "NotDeliverable"


def test_solana_program_attack__result_for_another_hub_or_from_another_sender__refused(bench: Bench) -> None:
    result = bench.foreign_result()
    elsewhere = replace(result, recipient=Account(bytes([9] * 32)))
    assert bench.refused(bench.delivery(elsewhere)) == "WrongRecipient"
    other_sender = replace(result, sender=sp.EVM_USER)
    assert bench.refused(bench.delivery(other_sender)) == "WrongSender"


@pytest.mark.parametrize("policy", [Policy.PROVEN, Policy.BOTH])
def test_solana_program_attack__answer_under_a_policy_that_solana_cannot_check__refused(
    bench: Bench, policy: Policy
) -> None:
    good = bench.foreign_result()
    answer = InferenceResult.from_bytes(good.payload)
    bad = replace(good, payload=replace(answer, policy=policy).to_bytes())
    assert bench.refused(bench.delivery(bad)) == "UnsupportedPolicy"
    refusal = replace(InferenceResult.from_bytes(bench.foreign_result(outcome=sp.refusal()).payload), policy=policy)
    bench.accepted(bench.delivery(replace(good, payload=refusal.to_bytes())))


def test_solana_program_attack__answer_under_another_policy_than_was_asked__refused(bench: Bench) -> None:
    """What was asked to be proven to every signer is not answered by recomputation alone, even under a signature."""
    for asked, answered in ((Policy.ATTESTED, Policy.RECOMPUTED), (Policy.RECOMPUTED, Policy.ATTESTED)):
        good = result_messages(bench.post_request(bench.asked(policy=asked)), sp.answered())[0]
        bad = replace(good, payload=replace(InferenceResult.from_bytes(good.payload), policy=answered).to_bytes())
        assert bench.refused(bench.delivery(bad)) == "UnsupportedPolicy"
        bench.accepted(bench.delivery(good))


# ---- settling a request: the wrong accounts ----


def settle_with(bench: Bench, request: Message, **accounts: Pubkey) -> str:
    step = bench.delivery(result_messages(request, sp.answered())[0])
    return bench.refused(bent(step, **accounts))


def test_solana_program_attack__settling_with_foreign_accounts__refused(bench: Bench, mallory: Keypair) -> None:
    first, second = bench.post_request(), bench.post_request()
    her = mallory.pubkey()
    assert settle_with(bench, first, account_7=bench.at.outbox(second.sequence).address) == "WrongRequest"
    assert settle_with(bench, first, account_8=her) == "WrongTreasury"
    assert settle_with(bench, first, account_9=her) == "WrongRequester"
    fake = Keypair().pubkey()
    copy_account(bench, bench.at.outbox(1).address, fake, her, lambda data: None)
    assert settle_with(bench, first, account_7=fake) == "WrongOwner"
    copy_account(bench, bench.at.outbox(1).address, fake, bench.at.program, lambda data: None)
    assert settle_with(bench, first, account_7=fake) == "WrongAddress"


def test_solana_program_attack__home_result_without_its_outbox__refused(bench: Bench) -> None:
    step = bench.delivery(result_messages(bench.post_request(), sp.answered())[0])
    assert bench.refused(bent(step, account_3=bench.at.peer(sp.EVM).address)) == "WrongAddress"
    for count in (7, 8, 9):
        short = Instruction(step.program_id, bytes(step.data), list(step.accounts)[:count])
        assert bench.refused(short) == "WrongAccountCount"
    extra = Instruction(step.program_id, bytes(step.data), [*step.accounts, AccountMeta(SYSTEM, False, False)])
    assert bench.refused(extra) == "WrongAccountCount"


def test_solana_program_attack__result_for_another_request_or_requester__refused(bench: Bench) -> None:
    request = bench.post_request()
    result = result_messages(request, sp.answered())[0]
    answer = InferenceResult.from_bytes(result.payload)
    for change, error in (
        ({"request_id": bytes([1] * 32)}, "WrongRequest"),
        ({"requester": bytes([1] * 32)}, "WrongRequester"),
        ({"consumer": bytes([1] * 32)}, "WrongRequester"),
    ):
        forged = replace(result, payload=replace(answer, **change).to_bytes())  # type: ignore[arg-type]
        assert bench.refused(bench.delivery(forged)) == error


def test_solana_program_attack__answer_after_an_answer_or_after_the_refund__refused(bench: Bench) -> None:
    request = bench.post_request()
    bench.accepted(bench.delivery(result_messages(request, sp.answered())[0]))
    assert bench.refused(bench.delivery(result_messages(request, sp.refusal())[0])) == "AlreadyDelivered"
    late = bench.post_request()
    bench.set_time(sp.DEADLINE + 1)
    bench.accepted(instructions.refund(bench.at, late.sequence, bench.user.pubkey()))
    assert bench.refused(bench.delivery(result_messages(late, sp.answered())[0])) == "Expired"


@pytest.mark.parametrize("state", [c.OUTBOX_POSTED, c.OUTBOX_ANSWERED, c.OUTBOX_REFUSED, 0, 5])
def test_solana_program_attack__answer_to_a_request_that_is_settled__refused_even_without_the_bitmap(
    bench: Bench, state: int
) -> None:
    request = bench.post_request()
    address = bench.at.outbox(1).address
    settled = bytearray(bench.account(address).data)
    settled[c.OUTBOX_ACCOUNT_STATE_OFFSET] = state
    bench.put(address, bytes(settled), bench.at.program)
    assert bench.refused(bench.delivery(result_messages(request, sp.answered())[0])) == "NotPending"


def test_solana_program_attack__refund_of_what_is_not_pending_or_to_somebody_else__refused(
    bench: Bench, mallory: Keypair
) -> None:
    answered, message, pending = bench.post_request(), 2, 3
    bench.accepted(bench.delivery(result_messages(answered, sp.answered())[0]))
    bench.accepted(instructions.send(bench.at, bench.user.pubkey(), message, sp.EVM, sp.EVM_USER, b""))
    bench.post_request()
    bench.set_time(sp.DEADLINE + 1)
    for sequence in (1, message):
        assert bench.refused(instructions.refund(bench.at, sequence, bench.user.pubkey())) == "NotPending"
    assert bench.refused(instructions.refund(bench.at, pending, mallory.pubkey())) == "WrongRequester"
    close = instructions.close_outbox(bench.at, pending, bench.user.pubkey(), signed=True)
    assert bench.refused(close) == "NotPending"


def test_solana_program_attack__closing_what_belongs_to_others__refused(bench: Bench, mallory: Keypair) -> None:
    her, user = mallory.pubkey(), bench.user.pubkey()
    bench.accepted(instructions.send(bench.at, her, 1, sp.EVM, sp.EVM_USER, b""), signers=(mallory,))
    assert bench.refused(instructions.close_outbox(bench.at, 1, her, signed=False)) == "MissingSignature"
    assert bench.refused(instructions.close_outbox(bench.at, 1, user, signed=True)) == "WrongRequester"
    message = bench.inbound()
    bench.accepted(bench.delivery(message))
    theft = instructions.close_inbox(bench.at, user, message.digest, her)
    assert bench.refused(theft) == "WrongPayer"
    early = instructions.close_inbox(bench.at, her, message.digest, user)
    assert bench.refused(early, signers=(mallory,)) == "MissingSignature"
    result = bench.foreign_result(sequence=2)
    bench.accepted(bench.delivery(result))
    early = instructions.close_inbox(bench.at, her, result.digest, user)
    assert bench.refused(early, signers=(mallory,)) == "WrongPayer"


def test_solana_program_attack_revival__lamports_sent_to_a_closed_account_in_the_same_transaction__bring_nothing_back(
    bench: Bench,
) -> None:
    bench.post_request()
    bench.set_time(sp.DEADLINE + 1)
    user, outbox = bench.user.pubkey(), bench.at.outbox(1).address
    refund = instructions.refund(bench.at, 1, user)
    revive = transfer(TransferParams(from_pubkey=user, to_pubkey=outbox, lamports=bench.lamports(outbox)))
    assert bench.refused(refund, revive, refund) == "WrongOwner"
    bench.accepted(refund, revive)
    revived = bench.account(outbox)
    assert revived.owner == SYSTEM
    assert bytes(revived.data) == b""
