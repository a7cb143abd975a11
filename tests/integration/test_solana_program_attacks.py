"""Attacks on the Solana program, named after the hacks that they repeat. Each must fail, and for the reason that is named."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.system_program import TransferParams, transfer
from solders.transaction_metadata import FailedTransactionMetadata

from bridges.solana import instructions
from bridges.solana.layout import ProgramAddresses
from oracle.protocol import constants as c
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import InferenceResult, Message, Remote, result_messages
from oracle.protocol.types import (
    Account,
    Chain,
    CommitteeEpoch,
    Endpoint,
    Kind,
    Policy,
    Sequence,
    UnixSeconds,
    evm_account,
)
from tests.support import solana_program as sp
from tests.support.schnorr import ORDER, SchnorrKey
from tests.support.solana_program import Bench, bent

SIGNATURE_AT = 5  # in the data of deliver: the number, then the epoch
BUMPS_AT = SIGNATURE_AT + 65
BRANCH_AT = BUMPS_AT + 2


@pytest.fixture
def bench() -> Bench:
    return sp.start()


@pytest.fixture
def mallory(bench: Bench) -> Keypair:
    key = Keypair()
    bench.svm.airdrop(key.pubkey(), sp.FUNDS)
    return key


def copy_account(
    bench: Bench, source: Pubkey, target: Pubkey, owner: Pubkey, change: Callable[[bytearray], None]
) -> None:
    data = bytearray(bench.account(source).data)
    change(data)
    bench.put(target, bytes(data), owner)


# ---- Wormhole 2022: a fake account in the place of the real one ----


def fake_committee(bench: Bench, address: Pubkey, owner: Pubkey, evil: SchnorrKey) -> None:
    def put_key(data: bytearray) -> None:
        data[c.COMMITTEE_ACCOUNT_GROUP_KEY_PARITY_OFFSET] = evil.parity
        data[c.COMMITTEE_ACCOUNT_GROUP_KEY_X_OFFSET :] = evil.px.to_bytes(32)

    copy_account(bench, bench.at.committee(CommitteeEpoch(1)).address, address, owner, put_key)


@pytest.mark.parametrize("owned_by_program", [False, True])
def test_solana_program_attack_wormhole__fake_committee_account__refused(
    bench: Bench, mallory: Keypair, owned_by_program: bool
) -> None:
    evil, fake = sp.committee_key("evil"), Keypair().pubkey()
    fake_committee(bench, fake, bench.at.program if owned_by_program else mallory.pubkey(), evil)
    message = bench.inbound()
    step = bent(bench.delivery(message, bench.envelope(message, key=evil)), account_2=fake)
    assert bench.refused(step) == ("WrongAddress" if owned_by_program else "WrongOwner")


@pytest.mark.parametrize("owned_by_program", [False, True])
def test_solana_program_attack_wormhole__fake_configuration__refused(
    bench: Bench, mallory: Keypair, owned_by_program: bool
) -> None:
    fake = Keypair().pubkey()

    def take_authority(data: bytearray) -> None:
        data[c.CONFIG_ACCOUNT_AUTHORITY_OFFSET : c.CONFIG_ACCOUNT_AUTHORITY_OFFSET + 32] = bytes(mallory.pubkey())

    copy_account(
        bench, bench.at.config.address, fake, bench.at.program if owned_by_program else mallory.pubkey(), take_authority
    )
    step = bent(instructions.register_model(bench.at, mallory.pubkey(), sp.model(price=0)), account_1=fake)
    assert bench.refused(step, signers=(mallory,)) == ("WrongAddress" if owned_by_program else "WrongOwner")


def test_solana_program_attack_wormhole__account_of_another_type__refused(bench: Bench) -> None:
    message = bench.inbound()
    for index in (1, 2):
        step = bent(bench.delivery(message), **{f"account_{index}": bench.at.model(sp.MODEL).address})
        assert bench.refused(step) in ("WrongAccountSize", "WrongAccountType")


def test_solana_program_attack_wormhole__program_owned_account_without_type__refused(bench: Bench) -> None:
    # Anyone can have the system program create an account of zeros that this program owns.
    blank = Keypair().pubkey()
    for index, size in ((1, c.CONFIG_ACCOUNT_SIZE), (2, c.COMMITTEE_ACCOUNT_SIZE)):
        bench.put(blank, bytes(size), bench.at.program)
        assert bench.refused(bent(bench.delivery(bench.inbound()), **{f"account_{index}": blank})) == "WrongAccountType"


def test_solana_program_attack_wormhole__fake_peer__refused(bench: Bench, mallory: Keypair) -> None:
    stranger = Endpoint(Chain.evm(666), evm_account(bytes([6] * 20)))
    message, fake = bench.inbound(origin=stranger), Keypair().pubkey()
    assert bench.refused(bench.delivery(message)) == "UnknownPeer"
    assert bench.refused(bent(bench.delivery(message), account_3=bench.at.peer(sp.EVM).address)) == "UnknownPeer"
    assert bench.refused(bent(bench.delivery(message), account_3=bench.at.config.address)) == "UnknownPeer"
    data = bytes([c.ACCOUNT_PEER, c.ACCOUNT_LAYOUT_VERSION, 255, 1, 0, 0]) + message.to_bytes()[2:68]
    bench.put(fake, data, mallory.pubkey())
    assert bench.refused(bent(bench.delivery(message), account_3=fake)) == "UnknownPeer"


def test_solana_program_attack_wormhole__program_owned_copies_at_other_addresses__refused(bench: Bench) -> None:
    # Such copies cannot come about; if they ever could, the address alone would still stop them.
    message, fake, user = bench.inbound(), Keypair().pubkey(), bench.user.pubkey()
    bench.accepted(bench.delivery(message))

    def copied(address: Pubkey) -> Pubkey:
        copy_account(bench, address, fake, bench.at.program, lambda data: None)
        return fake

    cheap = instructions.request(bench.at, user, 1, sp.DEADLINE, bench.asked())
    assert bench.refused(bent(cheap, account_2=copied(bench.at.model(sp.MODEL).address))) == "WrongAddress"
    close = instructions.close_inbox(bench.at, user, message.digest, user)
    assert bench.refused(bent(close, account_1=copied(bench.at.inbox(message.digest).address))) == "WrongAddress"
    again = bench.delivery(bench.inbound(sequence=2))
    assert bench.refused(bent(again, account_4=copied(bench.at.replay(sp.EVM, 1).address))) == "WrongAddress"


# ---- Nomad 2022: a zero root was trusted ----


def test_solana_program_attack_nomad__zero_or_empty_signature__refused(bench: Bench) -> None:
    message = bench.inbound()
    step = bench.delivery(message)
    data = bytes(step.data)
    for signature in (bytes(65), b"\2" + bytes(64), b"\2" + bytes(31) + b"\1" + bytes(32)):
        forged = data[:SIGNATURE_AT] + signature + data[BUMPS_AT:]
        assert bench.refused(bent(step, data=forged)) == "InvalidSignature"


def test_solana_program_attack_nomad__signature_over_a_zero_root__proves_nothing(bench: Bench) -> None:
    message = bench.inbound()
    for root in (bytes(32), message.digest):
        signature = bench.key.sign(keccak256(c.DOMAIN_BATCH, root))
        envelope = instructions.Envelope(CommitteeEpoch(1), signature)
        assert bench.refused(bench.delivery(message, envelope)) == "InvalidSignature"


# ---- BNB 2022: the proof's branch was not checked ----


def test_solana_program_attack_bnb__forged_branch__refused(bench: Bench) -> None:
    real, forged = bench.inbound(sequence=1), bench.inbound(sequence=2, payload=b"forged")
    other = bench.inbound(sequence=3)
    honest = bench.envelope(real, other)
    for branch in ((), (bytes(32),), honest.branch, (real.digest,), (*honest.branch, *honest.branch)):
        assert bench.refused(bench.delivery(forged, replace(honest, branch=branch))) == "InvalidSignature"
    bench.accepted(bench.delivery(real, honest))


def test_solana_program_attack_bnb__inner_node_as_a_leaf__refused(bench: Bench) -> None:
    # Leaves and nodes are hashed apart, so the 64 bytes of an inner node are never a message's digest.
    left, right = bench.inbound(sequence=1), bench.inbound(sequence=2)
    envelope = bench.envelope(left, right)
    third = bench.inbound(sequence=3)
    assert bench.refused(bench.delivery(third, replace(envelope, branch=()))) == "InvalidSignature"


def test_solana_program_attack_bnb__branch_longer_than_allowed__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    data = bytes(step.data)
    too_long = data[:BRANCH_AT] + bytes([17]) + bytes(17 * 32) + data[BRANCH_AT + 1 :]
    assert bench.refused(bent(step, data=too_long)) == "BranchTooLong"


# ---- replay, and messages for somebody else ----


def test_solana_program_attack_replay__same_message_again__refused(bench: Bench) -> None:
    message = bench.inbound()
    bench.accepted(bench.delivery(message))
    assert bench.refused(bench.delivery(message)) == "AlreadyDelivered"
    close = instructions.close_inbox(bench.at, bench.user.pubkey(), message.digest, bench.user.pubkey())
    bench.accepted(close)
    assert bench.refused(bench.delivery(message)) == "AlreadyDelivered"


def test_solana_program_attack_replay__other_body_with_the_same_sequence__refused(bench: Bench) -> None:
    bench.accepted(bench.delivery(bench.inbound(payload=b"one")))
    assert bench.refused(bench.delivery(bench.inbound(payload=b"two"))) == "AlreadyDelivered"


def test_solana_program_attack_replay__bitmap_of_another_window_or_origin__refused(bench: Bench) -> None:
    other = Endpoint(Chain.evm(10), sp.EVM.gateway)
    bench.accepted(instructions.register_peer(bench.at, bench.authority.pubkey(), other), signers=(bench.authority,))
    for message in (bench.inbound(sequence=5000), bench.inbound(sequence=1, origin=other)):
        bench.accepted(bench.delivery(message))
    bench.accepted(bench.delivery(bench.inbound(sequence=1)))
    replayed = bench.delivery(bench.inbound(sequence=1, payload=b"again"))
    for wrong in (bench.at.replay(sp.EVM, 5000).address, bench.at.replay(other, 1).address):
        assert bench.refused(bent(replayed, account_4=wrong)) == "WrongAddress"


def test_solana_program_attack_replay__bitmap_with_another_bump__refused(bench: Bench) -> None:
    # A second valid bump for the same seeds would be a second, empty bitmap.
    message = bench.inbound()
    bench.accepted(bench.delivery(message))
    seeds = [c.SEED_REPLAY, keccak256(message.to_bytes()[2:68]), bytes(8)]
    canonical = bench.at.replay(sp.EVM, 1).bump
    lower, address = next(
        (bump, found) for bump in range(canonical - 1, -1, -1) if (found := derived(seeds, bump, bench.at.program))
    )
    step = bench.delivery(bench.inbound(payload=b"again"))
    data = bytearray(step.data)
    data[BUMPS_AT + 1] = lower
    assert bench.refused(bent(step, data=data, account_4=address)) == "NotCanonicalBump"


def derived(seeds: list[bytes], bump: int, program: Pubkey) -> Pubkey | None:
    address = Pubkey(
        hashlib.sha256(b"".join(seeds) + bytes([bump]) + bytes(program) + b"ProgramDerivedAddress").digest()
    )
    return None if address.is_on_curve() else address


@pytest.mark.parametrize("kind", ["evm", "other cluster", "other program"])
def test_solana_program_attack__message_for_another_chain__refused(bench: Bench, kind: str) -> None:
    elsewhere = {
        "evm": Endpoint(Chain.evm(1), evm_account(bytes([1] * 20))),
        "other cluster": Endpoint(Chain.solana(bytes([9] * 32)), bench.home.gateway),
        "other program": Endpoint(Chain.solana(sp.GENESIS), Account(bytes([9] * 32))),
    }[kind]
    recipient = sp.EVM_USER if kind == "evm" else None
    assert (
        bench.refused(bench.delivery(bench.inbound(destination=elsewhere, recipient=recipient))) == "WrongDestination"
    )


def test_solana_program_attack__expired_message__refused(bench: Bench) -> None:
    assert bench.refused(bench.delivery(bench.inbound(expiry=sp.NOW - 1))) == "Expired"


def test_solana_program_attack__ended_or_unknown_epoch__refused(bench: Bench) -> None:
    successor = sp.committee_key("successor")
    replace_key = instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(successor, 2), 0)
    bench.accepted(replace_key, signers=(bench.authority,))
    message = bench.inbound()
    bench.set_time(sp.NOW + sp.ACTIVATION_DELAY + 1)
    assert bench.refused(bench.delivery(message)) == "EndedEpoch"
    old_key_new_epoch = bench.envelope(message, epoch=2)
    assert bench.refused(bench.delivery(message, old_key_new_epoch)) == "InvalidSignature"
    wrong_account = bent(
        bench.delivery(message, bench.envelope(message, key=successor, epoch=2)),
        account_2=bench.at.committee(CommitteeEpoch(1)).address,
    )
    assert bench.refused(wrong_account) == "WrongEpoch"
    assert bench.refused(bench.delivery(message, bench.envelope(message, epoch=3))) == "WrongOwner"


# ---- signatures ----


def test_solana_program_attack__signature_bent_in_any_part__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    data = bytes(step.data)
    for at in (SIGNATURE_AT, SIGNATURE_AT + 1, SIGNATURE_AT + 32, SIGNATURE_AT + 33, SIGNATURE_AT + 64):
        forged = bytearray(data)
        forged[at] ^= 1
        assert bench.refused(bent(step, data=forged)) == "InvalidSignature"


def test_solana_program_attack__z_not_reduced__refused(bench: Bench) -> None:
    # The same number plus n would be a second valid encoding.
    for i in range(200):
        message = bench.inbound(payload=bytes([i]))
        envelope = bench.envelope(message)
        z = int.from_bytes(envelope.signature[33:])
        if z + ORDER < 1 << 256:
            break
    else:
        z = 1  # none is small enough (they hardly ever are): z = 1 + n is refused all the same
    forged = envelope.signature[:33] + (z + ORDER).to_bytes(32)
    assert bench.refused(bench.delivery(message, replace(envelope, signature=forged))) == "InvalidSignature"


def test_solana_program_attack__group_key_not_below_the_order_or_without_possession__refused() -> None:
    bench = sp.deploy()
    good = instructions.initialise(
        bench.at, bench.authority.pubkey(), sp.GENESIS, bench.treasury, sp.group_key(bench.key), 0
    )
    at = 3 + 4 + 64  # parity, then x, in the data of initialise
    for x in (0, ORDER, ORDER + 1, (1 << 256) - 1):
        data = bytearray(good.data)
        data[at + 1 : at + 33] = x.to_bytes(32)
        assert bench.refused(bent(good, data=data), signers=(bench.authority,)) == "InvalidGroupKey"
    for parity in (2, 255):
        data = bytearray(good.data)
        data[at] = parity
        assert bench.refused(bent(good, data=data), signers=(bench.authority,)) == "InvalidGroupKey"
    rogue = replace(sp.group_key(bench.key), x=sp.committee_key("rogue").px.to_bytes(32))
    step = instructions.initialise(bench.at, bench.authority.pubkey(), sp.GENESIS, bench.treasury, rogue, 0)
    assert bench.refused(step, signers=(bench.authority,)) == "InvalidSignature"
    other_epoch = replace(sp.group_key(bench.key), proof_of_possession=bench.key.proof_of_possession(2))
    step = instructions.initialise(bench.at, bench.authority.pubkey(), sp.GENESIS, bench.treasury, other_epoch, 0)
    assert bench.refused(step, signers=(bench.authority,)) == "InvalidSignature"


# ---- initialise and the authority ----


def test_solana_program_attack__initialise_by_somebody_else__refused() -> None:
    bench, mallory = sp.deploy(), Keypair()
    bench.svm.airdrop(mallory.pubkey(), sp.FUNDS)
    step = instructions.initialise(bench.at, mallory.pubkey(), sp.GENESIS, bench.treasury, sp.group_key(bench.key), 0)
    assert bench.refused(step, signers=(mallory,)) == "NotUpgradeAuthority"
    # The program data of another program, of which she is the upgrade authority.
    other = ProgramAddresses(Pubkey.new_unique())
    bench.svm.add_program(other.program, bytes(bench.account(bench.at.program_data).data)[45:])
    sp.set_upgrade_authority(bench, other.program_data, mallory.pubkey())
    assert bench.refused(bent(step, account_3=other.program_data), signers=(mallory,)) == "WrongAddress"
    unsigned = [AccountMeta(bench.authority.pubkey(), False, True), *step.accounts[1:]]
    assert bench.refused(Instruction(step.program_id, bytes(step.data), unsigned)) == "MissingSignature"


def test_solana_program_attack__initialise_a_program_without_upgrade_authority__refused() -> None:
    bench = sp.deploy()
    sp.set_upgrade_authority(bench, bench.at.program_data, None)
    assert bench.refused(sp.initialise(bench), signers=(bench.authority,)) == "NotUpgradeAuthority"
    # "No authority" is 32 bytes of zeros behind the option: the system program's address must not pass for it.
    step = bent(sp.initialise(bench), account_0=AccountMeta(SYSTEM, False, True))
    assert bench.refused(step) == "MissingSignature"


def test_solana_program_attack__initialise_by_the_authority_that_gave_up__refused() -> None:
    # The loader clears the option's byte alone and leaves the old key behind it.
    bench = sp.deploy()
    found = bench.account(bench.at.program_data)
    stale = bytes(found.data[:12]) + b"\0" + bytes(bench.authority.pubkey()) + bytes(found.data[45:])
    bench.put(bench.at.program_data, stale, found.owner, found.lamports)
    assert bench.refused(sp.initialise(bench), signers=(bench.authority,)) == "NotUpgradeAuthority"


def test_solana_program_attack__initialise_twice__refused(bench: Bench) -> None:
    assert bench.refused(sp.initialise(bench), signers=(bench.authority,)) == "AlreadyExists"


def test_solana_program_attack__governance_by_somebody_else__refused(bench: Bench, mallory: Keypair) -> None:
    evil, her = sp.committee_key("evil"), mallory.pubkey()
    for step in (
        instructions.set_committee(bench.at, her, sp.group_key(evil, 2), 1),
        instructions.register_model(bench.at, her, sp.model(price=0)),
        instructions.register_peer(bench.at, her, Endpoint(Chain.evm(666), evm_account(bytes([6] * 20)))),
    ):
        assert bench.refused(step, signers=(mallory,)) == "NotAuthority"
        unsigned = [AccountMeta(bench.authority.pubkey(), False, True), *step.accounts[1:]]
        assert bench.refused(Instruction(step.program_id, bytes(step.data), unsigned)) == "MissingSignature"


def test_solana_program_attack__committee_epoch_skipped__refused(bench: Bench) -> None:
    step = instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(sp.committee_key("next"), 3), 1)
    current = bent(step, account_2=bench.at.committee(CommitteeEpoch(1)).address)
    assert bench.refused(current, signers=(bench.authority,)) == "WrongEpoch"


def test_solana_program_attack__model_out_of_range__refused(bench: Bench) -> None:
    for change in ({"input_count": 0}, {"input_count": 1025}, {"output_count": 0}, {"output_count": 65}, {"input_scale": 31},
                   {"output_scale": 31}, {"input_bound": 0}, {"input_bound": 1 << 63}):  # fmt: skip
        step = instructions.register_model(bench.at, bench.authority.pubkey(), sp.model(**change))
        assert bench.refused(step, signers=(bench.authority,)) == "InvalidModel"


def test_solana_program_attack__itself_or_nobody_as_a_peer__refused(bench: Bench) -> None:
    for origin in (bench.home, Endpoint(Chain.evm(5), evm_account(bytes(20)))):
        step = instructions.register_peer(bench.at, bench.authority.pubkey(), origin)
        assert bench.refused(step, signers=(bench.authority,)) == "InvalidPeer"


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


@pytest.mark.parametrize("policy", [Policy.PROVEN, Policy.BOTH, Policy.RECOMPUTED])
def test_solana_program_attack__answer_under_a_policy_that_solana_cannot_check__refused(
    bench: Bench, policy: Policy
) -> None:
    good = bench.foreign_result()
    answer = InferenceResult.from_bytes(good.payload)
    bad = replace(good, payload=replace(answer, policy=policy).to_bytes())
    assert bench.refused(bench.delivery(bad)) == "UnsupportedPolicy"
    refusal = replace(InferenceResult.from_bytes(bench.foreign_result(outcome=sp.refusal()).payload), policy=policy)
    bench.accepted(bench.delivery(replace(good, payload=refusal.to_bytes())))


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


# ---- requests that the chain can refuse at once ----


def test_solana_program_attack__bad_requests__refused(bench: Bench) -> None:
    evm = Remote(Policy.ATTESTED, sp.EVM, sp.EVM_HUB, sp.EVM_USER)
    own = Remote(
        Policy.ATTESTED,
        Endpoint(Chain.solana(sp.GENESIS), Account(bytes([5] * 32))),
        Account(bytes(32)),
        Account(bytes(32)),
    )
    far = Endpoint(Chain.solana(bytes([8] * 32)), Account(bytes([5] * 32)))
    cases = (
        (bench.asked(inputs=(1, 2)), "WrongInputCount"),
        (bench.asked(inputs=(1, 2, sp.BOUND + 1)), "InputOutOfBounds"),
        (bench.asked(inputs=(1, 2, -sp.BOUND - 1)), "InputOutOfBounds"),
        (bench.asked(inputs=(1, 2, -(1 << 63))), "InputOutOfBounds"),
        (bench.asked(fee=sp.PRICE - 1), "FeeTooLow"),
        (bench.asked(policy=Policy.BOTH), "UnsupportedPolicy"),
        (bench.asked(policy=Policy.PROVEN), "UnsupportedPolicy"),
        (bench.asked(remotes=(own,)), "DuplicateDestination"),
        (bench.asked(remotes=(replace(evm, policy=Policy.RECOMPUTED),)), "UnsupportedPolicy"),
        (bench.asked(remotes=(Remote(Policy.BOTH, far, Account(bytes(32)), Account(bytes(32))),)), "UnsupportedPolicy"),
    )
    for asked, error in cases:
        step = instructions.request(bench.at, bench.user.pubkey(), 1, sp.DEADLINE, asked)
        assert bench.refused(step) == error
    for deadline in (0, sp.NOW - 1):
        step = instructions.request(bench.at, bench.user.pubkey(), 1, UnixSeconds(deadline), bench.asked())
        assert bench.refused(step) == "DeadlinePassed"
    for sequence in (0, 2, 2**64 - 1):
        step = instructions.request(bench.at, bench.user.pubkey(), sequence, sp.DEADLINE, bench.asked())
        assert bench.refused(step) == "WrongSequence"


def test_solana_program_attack__remotes_bent_on_the_wire__refused(bench: Bench) -> None:
    evm = Remote(Policy.ATTESTED, sp.EVM, sp.EVM_HUB, sp.EVM_USER)
    step = instructions.request(bench.at, bench.user.pubkey(), 1, sp.DEADLINE, bench.asked(remotes=(evm,)))
    data, count_at = bytes(step.data), 1 + 1 + 8 + 32 + 8 + 8 + 4 + 1
    remote = data[count_at + 1 : count_at + 1 + c.REMOTE_SIZE]

    def with_remotes(*remotes: bytes, count: int | None = None) -> Instruction:
        body = b"".join(remotes) + data[count_at + 1 + c.REMOTE_SIZE :]
        return bent(step, data=data[:count_at] + bytes([len(remotes) if count is None else count]) + body)

    def at(offset: int, value: bytes) -> bytes:
        return remote[:offset] + value + remote[offset + len(value) :]

    assert bench.refused(with_remotes(remote, remote)) == "DuplicateDestination"
    assert bench.refused(with_remotes(*[remote] * 5)) == "TooManyRemotes"
    assert bench.refused(with_remotes(remote, count=2)) == "InvalidInstruction"
    assert bench.refused(with_remotes(at(0, bytes([Policy.PROVEN])))) == "InvalidRequest"
    assert bench.refused(with_remotes(at(0, b"\x09"))) == "InvalidRequest"
    assert bench.refused(with_remotes(at(c.REMOTE_CHAIN_TYPE_OFFSET, b"\0\1"))) == "UnknownChainType"
    assert bench.refused(with_remotes(at(c.REMOTE_CHAIN_REFERENCE_OFFSET, bytes(32)))) == "InvalidChainReference"
    assert bench.refused(with_remotes(at(c.REMOTE_CHAIN_REFERENCE_OFFSET + 23, b"\1"))) == "InvalidChainReference"
    for field in (c.REMOTE_GATEWAY_OFFSET, c.REMOTE_HUB_OFFSET, c.REMOTE_CONSUMER_OFFSET):
        assert bench.refused(with_remotes(at(field + 11, b"\1"))) == "InvalidAddressPadding"


def test_solana_program_attack__send_to_a_stranger_or_a_bad_address__refused(bench: Bench) -> None:
    stranger = Endpoint(Chain.evm(666), evm_account(bytes([6] * 20)))
    user = bench.user.pubkey()
    assert bench.refused(instructions.send(bench.at, user, 1, stranger, sp.EVM_USER, b"")) == "UnknownPeer"
    unpadded = Account(b"\1" + bytes(31))
    assert bench.refused(instructions.send(bench.at, user, 1, sp.EVM, unpadded, b"")) == "InvalidAddressPadding"
    assert bench.refused(instructions.send(bench.at, user, 1, sp.EVM, Account(bytes(32)), b"")) == "WrongRecipient"
    assert bench.refused(instructions.send(bench.at, user, 2, sp.EVM, sp.EVM_USER, b"")) == "WrongSequence"


# ---- accounts: prefunded, duplicated, unflagged; data: cut and lengthened ----


@pytest.mark.parametrize("lamports", [1, 890_880, 1_000_000_000])
def test_solana_program_attack_prefunded_address__does_not_block_anyone(
    bench: Bench, mallory: Keypair, lamports: int
) -> None:
    message, sequence = bench.inbound(), bench.next_sequence()
    outbox, inbox = bench.at.outbox(sequence).address, bench.at.inbox(message.digest).address
    for target in (outbox, inbox, bench.at.replay(sp.EVM, 1).address):
        bench.svm.airdrop(target, lamports) if lamports >= 890_880 else bench.put(target, b"", SYSTEM, lamports)
    request = bench.post_request()
    size = len(bench.account(outbox).data)
    assert bench.lamports(outbox) == max(lamports, bench.rent(size) + sp.PRICE)
    bench.accepted(bench.delivery(message))
    assert bench.lamports(inbox) == max(lamports, bench.rent(len(bench.account(inbox).data)))
    bench.accepted(bench.delivery(result_messages(request, sp.answered())[0]))


def test_solana_program_attack_prefunded_address__real_transfer_of_rent__does_not_block(
    bench: Bench, mallory: Keypair
) -> None:
    target = bench.at.outbox(1).address
    gift = transfer(TransferParams(from_pubkey=mallory.pubkey(), to_pubkey=target, lamports=890_880))
    bench.accepted(gift, signers=(mallory,))
    bench.post_request()


def test_solana_program_attack_duplicate_accounts__one_account_in_two_places__refused(bench: Bench) -> None:
    message = bench.inbound()
    step = bench.delivery(message)
    replay, inbox = (step.accounts[i].pubkey for i in (4, 5))
    assert bench.refused(bent(step, account_5=replay)) in ("WrongAddress", "AlreadyExists")
    assert bench.refused(bent(step, account_4=inbox)) == "WrongAddress"
    assert bench.refused(bent(step, account_1=step.accounts[2].pubkey)) == "WrongAccountSize"
    home = bench.delivery(result_messages(bench.post_request(), sp.answered())[0])
    outbox = home.accounts[7].pubkey
    for index, error in ((8, "WrongTreasury"), (9, "WrongRequester")):
        assert bench.refused(bent(home, **{f"account_{index}": outbox})) == error


def test_solana_program_attack_duplicate_accounts__treasury_is_the_requester__lamports_are_exact() -> None:
    bench = sp.deploy()
    bench.treasury = bench.user.pubkey()
    bench.accepted(sp.initialise(bench), signers=(bench.authority,))
    bench.accepted(
        instructions.register_model(bench.at, bench.authority.pubkey(), sp.model()), signers=(bench.authority,)
    )
    before = bench.lamports(bench.user.pubkey())
    request = bench.post_request()
    result = result_messages(request, sp.answered())[0]
    bench.accepted(bench.delivery(result))
    held = sum(
        bench.lamports(address)
        for address in (
            bench.at.outbox(1).address,
            bench.at.inbox(result.digest).address,
            bench.at.replay(bench.home, 1).address,
        )
    )
    assert bench.lamports(bench.user.pubkey()) == before - held - 2 * 5000


def test_solana_program_attack__unsigned_or_read_only_accounts__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    for index, error in ((4, "NotWritable"), (5, "NotWritable")):
        meta = step.accounts[index]
        assert bench.refused(bent(step, **{f"account_{index}": AccountMeta(meta.pubkey, False, False)})) == error
    ask = instructions.request(bench.at, bench.user.pubkey(), 1, sp.DEADLINE, bench.asked())
    stranger = Keypair().pubkey()
    assert bench.refused(bent(ask, account_0=AccountMeta(stranger, False, True))) == "MissingSignature"
    assert bench.refused(bent(ask, account_1=AccountMeta(bench.at.config.address, False, False))) == "NotWritable"


def test_solana_program_attack__another_program_in_the_system_programs_place__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    assert bench.refused(bent(step, account_6=bench.at.program)) == "WrongAddress"


def test_solana_program_attack__data_cut_or_lengthened_anywhere__refused_and_never_crashes(bench: Bench) -> None:
    authority, user = bench.authority.pubkey(), bench.user.pubkey()
    request = bench.post_request()
    steps = (
        sp.initialise(bench),
        instructions.set_committee(bench.at, authority, sp.group_key(sp.committee_key("n"), 2), 1),
        instructions.register_model(bench.at, authority, sp.model()),
        instructions.register_peer(bench.at, authority, sp.EVM),
        instructions.send(bench.at, user, bench.next_sequence(), sp.EVM, sp.EVM_USER, b"abc"),
        instructions.request(bench.at, user, bench.next_sequence(), sp.DEADLINE, bench.asked()),
        bench.delivery(result_messages(request, sp.answered())[0]),
        instructions.close_inbox(bench.at, user, request.digest, user),
        instructions.close_outbox(bench.at, 1, user, signed=True),
        instructions.refund(bench.at, 1, user),
    )
    form = {"InvalidInstruction", "InvalidBody", "InvalidResult", "BranchTooLong"}
    for step in steps:
        data = bytes(step.data)
        for length in {*range(0, len(data), max(1, len(data) // 12)), len(data) - 1}:
            assert bench.refused(bent(step, data=data[:length]), signers=(bench.authority,)) in form
        assert bench.refused(bent(step, data=data + b"\0"), signers=(bench.authority,)) in form
    assert bench.refused(bent(steps[0], data=b"\xff"), signers=(bench.authority,)) == "InvalidInstruction"


def test_solana_program_attack__accounts_cut_or_added__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    for count in range(len(step.accounts)):
        assert (
            bench.refused(Instruction(step.program_id, bytes(step.data), list(step.accounts)[:count]))
            == "WrongAccountCount"
        )
    many = Instruction(step.program_id, bytes(step.data), [AccountMeta(SYSTEM, False, False)] * 20)
    assert bench.refused(many) == "WrongAccountCount"


def test_solana_program_attack__treasury_that_cannot_hold_the_fee__named(bench: Bench) -> None:
    poor = sp.deploy()
    poor.accepted(sp.initialise(poor), signers=(poor.authority,))
    poor.accepted(
        instructions.register_model(poor.at, poor.authority.pubkey(), sp.model(price=10)), signers=(poor.authority,)
    )
    poor.put(poor.treasury, b"", SYSTEM, 0)
    request = poor.post_request(poor.asked(fee=10))
    assert poor.refused(poor.delivery(result_messages(request, sp.answered())[0])) == "TreasuryNotFunded"


def test_solana_program_attack__payer_without_lamports__fails_and_changes_nothing(bench: Bench) -> None:
    poor = Keypair()
    bench.svm.airdrop(poor.pubkey(), 1_000_000)
    ask = instructions.request(bench.at, poor.pubkey(), 1, sp.DEADLINE, bench.asked())
    assert isinstance(bench.run(ask, signers=(poor,)), FailedTransactionMetadata)
    assert bench.next_sequence() == 1


def test_solana_program_attack__sequence_of_the_message_kind_zero__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    data = bytearray(step.data)
    body_at = BRANCH_AT + 1 + 2
    data[body_at + c.BODY_SEQUENCE_OFFSET : body_at + c.BODY_SEQUENCE_OFFSET + 8] = bytes(8)
    assert bench.refused(bent(step, data=data)) == "ZeroSequence"
    assert Kind(step.data[body_at + 1]) is Kind.MESSAGE
    assert Sequence(1) == bench.next_sequence()
