"""Committee rotation on Solana (PROTOCOL.md §3, §7): what a rotation does, and attacks on `rotate`, `veto` and `set_committee`."""

import hashlib
from dataclasses import replace

import pytest
from solders.instruction import AccountMeta
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import instructions
from oracle.protocol import constants as c
from oracle.protocol.message import Message
from oracle.protocol.types import Account, CommitteeEpoch, Endpoint, Kind, Sequence
from tests.support import solana_program as sp
from tests.support.schnorr import ORDER, SchnorrKey
from tests.support.solana_program import Bench, bent

NEW, EVIL = sp.committee_key("new"), sp.committee_key("evil")
BEGIN = sp.NOW + sp.ACTIVATION_DELAY
OVERLAP = 600
EPOCH_AT, KEY_AT, PARITY_AT = (
    c.ROTATION_EPOCH_OFFSET,
    c.ROTATION_GROUP_KEY_X_OFFSET,
    c.ROTATION_GROUP_KEY_PARITY_OFFSET,
)


def delivered(bench: Bench, key: SchnorrKey = NEW, **changes: object) -> Message:
    """A rotation that was delivered and waits for `rotate`."""
    rotation = bench.rotation(key, **changes)  # type: ignore[arg-type]  # a test's shorthand
    bench.accepted(bench.delivery(rotation))
    return rotation


def changed(message: Message, offset: int, data: bytes) -> Message:
    """The same message with other bytes in its payload, as a committee that lies could sign it."""
    payload = message.payload[:offset] + data + message.payload[offset + len(data) :]
    return replace(message, payload=payload)


def veto(bench: Bench, epoch: int = 2) -> instructions.Instruction:
    return instructions.veto(bench.at, bench.authority.pubkey(), CommitteeEpoch(epoch), bench.user.pubkey())


def replace_key(bench: Bench, key: SchnorrKey = NEW, epoch: int = 2) -> instructions.Instruction:
    return instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(key, epoch), OVERLAP)


# ---- what it does ----


def test_solana_rotation__delivered_and_taken__begins_after_the_delay_and_ends_the_old_after_the_overlap(
    bench: Bench,
) -> None:
    rotation = delivered(bench)
    inbox = bench.at.inbox(rotation.digest).address
    assert bench.config().current_epoch == 1  # until anyone takes it
    bench.accepted(bench.rotate(rotation))
    assert not bench.exists(inbox)
    assert bench.config().current_epoch == 2
    assert bench.committee(2) == replace(
        bench.committee(2), epoch=2, valid_from=BEGIN, valid_until=0, group_key_x=NEW.px.to_bytes(32)
    )
    assert bench.committee(1).valid_until == BEGIN + OVERLAP

    by_old, by_both, by_new = (bench.inbound(sequence=i) for i in (11, 12, 13))
    early = bench.delivery(by_new, bench.envelope(by_new, key=NEW, epoch=2))
    bench.set_time(BEGIN - 1)
    assert bench.refused(early) == "PendingEpoch"
    bench.accepted(bench.delivery(by_old))
    bench.set_time(BEGIN)
    bench.accepted(early)
    bench.set_time(BEGIN + OVERLAP)
    bench.accepted(bench.delivery(by_both))
    bench.set_time(BEGIN + OVERLAP + 1)
    late = bench.inbound(sequence=14)
    assert bench.refused(bench.delivery(late)) == "EndedEpoch"
    bench.accepted(bench.delivery(late, bench.envelope(late, key=NEW, epoch=2)))


def test_solana_rotation__in_the_transaction_of_its_delivery__is_one_step(bench: Bench) -> None:
    before = bench.lamports(bench.user.pubkey())
    rotation = bench.rotation(NEW)
    bench.accepted(bench.delivery(rotation), bench.rotate(rotation))
    assert bench.config().current_epoch == 2
    kept = bench.rent(c.COMMITTEE_ACCOUNT_SIZE) + bench.rent(c.REPLAY_ACCOUNT_SIZE)
    assert before - bench.lamports(bench.user.pubkey()) == kept + 5_000, "the inbox account's rent came back"


def test_solana_rotation__inbox_paid_by_another__its_rent_goes_to_that_payer(bench: Bench, mallory: Keypair) -> None:
    rotation = delivered(bench)
    rent = bench.lamports(bench.at.inbox(rotation.digest).address)
    before = bench.lamports(bench.user.pubkey())
    step = instructions.rotate(bench.at, mallory.pubkey(), rotation, bench.user.pubkey())
    thief = bent(step, account_3=mallory.pubkey())
    assert bench.refused(thief, signers=(mallory,)) == "WrongPayer"
    bench.accepted(step, signers=(mallory,))
    assert bench.lamports(bench.user.pubkey()) == before + rent - 4 * 5_000  # two transactions of two signers


def test_solana_rotation__second_one_after_the_first_began__follows(bench: Bench) -> None:
    bench.accepted(bench.rotate(delivered(bench)))
    bench.set_time(BEGIN)
    third = sp.committee_key("third")
    rotation = bench.rotation(third, epoch=3, sequence=2)
    bench.accepted(bench.delivery(rotation, bench.envelope(rotation, key=NEW, epoch=2)), bench.rotate(rotation))
    assert bench.committee(2).valid_until == BEGIN + sp.ACTIVATION_DELAY + OVERLAP
    assert bench.committee(1).valid_until == BEGIN + OVERLAP
    assert bench.config().current_epoch == 3


def test_solana_rotation__committee_of_256_members__is_taken(bench: Bench) -> None:
    # 86 members each of two operators would stop it; 85 of each of three, and one more, do not (n - t = 85).
    operators = bytes(i % 3 for i in range(255)) + b"\3"
    rotation = bench.rotation(NEW, members=256, operators=operators)
    bench.accepted(bench.delivery(rotation))
    bench.accepted(bench.rotate(rotation))
    assert bench.config().current_epoch == 2


def test_solana_rotation_veto__before_it_begins__the_old_epoch_has_no_end_and_the_number_is_used_again(
    bench: Bench,
) -> None:
    bench.accepted(bench.rotate(delivered(bench, EVIL)))
    before = bench.lamports(bench.user.pubkey())
    bench.set_time(BEGIN - 1)
    bench.accepted(veto(bench), signers=(bench.authority,))
    assert bench.lamports(bench.user.pubkey()) == before + bench.rent(c.COMMITTEE_ACCOUNT_SIZE) - 2 * 5_000
    assert bench.config().current_epoch == 1
    assert bench.committee(1).valid_until == 0
    forged = bench.inbound(sequence=5)
    bench.set_time(BEGIN)
    by_evil = bench.delivery(forged, bench.envelope(forged, key=EVIL, epoch=2))
    assert bench.refused(by_evil) == "WrongOwner"
    bench.accepted(bench.rotate(delivered(bench, NEW, sequence=2)))
    assert bench.committee(2).group_key_x == NEW.px.to_bytes(32)
    bench.set_time(BEGIN + sp.ACTIVATION_DELAY)
    assert bench.refused(by_evil) == "InvalidSignature"


# ---- attacks: which message brings a key ----


def test_solana_rotation_attack__delivered_again__refused(bench: Bench) -> None:
    rotation = delivered(bench)
    bench.accepted(bench.rotate(rotation))
    assert bench.refused(bench.rotate(rotation)) == "WrongOwner"  # its account is gone
    assert bench.refused(bench.delivery(rotation)) == "AlreadyDelivered"
    bench.accepted(veto(bench), signers=(bench.authority,))
    assert bench.refused(bench.delivery(rotation)) == "AlreadyDelivered"


def test_solana_rotation_attack__epoch_skipped_repeated_or_behind__refused(bench: Bench) -> None:
    skipped = delivered(bench, epoch=3, sequence=1)
    step = bent(bench.rotate(skipped), account_4=bench.at.committee(CommitteeEpoch(1)).address)
    assert bench.refused(step) == "WrongEpoch"
    assert bench.refused(bench.rotate(skipped)) == "WrongOwner"  # there is no epoch 2 to follow
    first, second = delivered(bench, sequence=2), delivered(bench, EVIL, sequence=3)
    bench.accepted(bench.rotate(first))
    bench.set_time(BEGIN)
    again = bent(bench.rotate(second), account_4=bench.at.committee(CommitteeEpoch(2)).address)
    assert bench.refused(again) == "WrongEpoch"
    assert bench.refused(bench.rotate(second)) == "WrongEpoch"
    assert bench.committee(2).group_key_x == NEW.px.to_bytes(32)


def test_solana_rotation_attack__while_another_is_pending__refused_until_that_began(bench: Bench) -> None:
    bench.accepted(bench.rotate(delivered(bench)))
    third = delivered(bench, EVIL, epoch=3, sequence=2)  # still signed by the first committee
    assert bench.refused(bench.rotate(third)) == "PendingEpoch"
    assert bench.refused(replace_key(bench, EVIL, 3), signers=(bench.authority,)) == "PendingEpoch"
    bench.set_time(BEGIN)
    bench.accepted(bench.rotate(third))


def test_solana_rotation_attack__key_without_proof_of_possession__refused(bench: Bench) -> None:
    for number, wrong in enumerate(
        (
            EVIL.proof_of_possession(2),
            NEW.proof_of_possession(1),
            NEW.proof_of_possession(3),
            bytes(65),
            b"\4" + NEW.proof_of_possession(2)[1:],
            NEW.proof_of_possession(2)[:33] + ORDER.to_bytes(32),
        ),
        1,
    ):
        rotation = delivered(bench, sequence=number, proof_of_possession=wrong)
        assert bench.refused(bench.rotate(rotation)) == "InvalidSignature"
    for number, x in enumerate((0, ORDER, (1 << 256) - 1), 11):
        rotation = delivered(bench, sequence=number, group_key=x.to_bytes(32))
        assert bench.refused(bench.rotate(rotation)) == "InvalidGroupKey"
    other_parity = delivered(bench, sequence=20, parity=1 - NEW.parity)
    assert bench.refused(bench.rotate(other_parity)) == "InvalidSignature"


@pytest.mark.parametrize(
    ("offset", "data", "error"),
    [
        (PARITY_AT, b"\2", "InvalidRotation"),
        (c.ROTATION_THRESHOLD_OFFSET, b"\0\2", "InvalidRotation"),
        (c.ROTATION_THRESHOLD_OFFSET, b"\0\0", "InvalidRotation"),
        (c.ROTATION_THRESHOLD_OFFSET, b"\0\5", "InvalidRotation"),
        (c.ROTATION_THRESHOLD_OFFSET, b"\0\4", "OperatorTooHeavy"),
        (c.ROTATION_SIZE, b"\1", "OperatorTooHeavy"),
        (c.ROTATION_MEMBER_COUNT_OFFSET, b"\0\3", "InvalidRotation"),
        (c.ROTATION_MEMBER_COUNT_OFFSET, b"\0\5", "InvalidRotation"),
        (c.ROTATION_MEMBER_COUNT_OFFSET, b"\xff\xff", "InvalidRotation"),
        (c.ROTATION_REMOTE_COUNT_OFFSET, b"\0", "InvalidRotation"),
        (c.ROTATION_REMOTE_COUNT_OFFSET, b"\5", "TooManyRemotes"),
        (c.ROTATION_SIZE + 4, b"\0\1", "UnknownChainType"),
    ],
)
def test_solana_rotation_attack__unlawful_committee__refused_at_delivery(
    bench: Bench, offset: int, data: bytes, error: str
) -> None:
    assert bench.refused(bench.delivery(changed(bench.rotation(NEW), offset, data))) == error


def test_solana_rotation_attack__three_members_or_two_of_one_operator__refused(bench: Bench) -> None:
    rotation = bench.rotation(NEW)
    three = rotation.payload[: c.ROTATION_THRESHOLD_OFFSET] + b"\0\3\0\3\1" + bytes(range(3)) + rotation.payload[-98:]
    assert bench.refused(bench.delivery(replace(rotation, payload=three))) == "InvalidRotation"
    heavy = bench.rotation(NEW, members=7, operators=bytes((0, 0, 1, 2, 3, 4, 5)))  # 5 of 7: two may be missing
    bench.accepted(bench.delivery(heavy))
    heavier = changed(replace(heavy, sequence=Sequence(9)), c.ROTATION_SIZE + 2, b"\0")
    assert bench.refused(bench.delivery(heavier)) == "OperatorTooHeavy"


def test_solana_rotation_attack__two_remotes_on_one_chain__refused(bench: Bench) -> None:
    rotation = bench.rotation(NEW)
    doubled = rotation.payload[: c.ROTATION_REMOTE_COUNT_OFFSET] + b"\2" + bytes(range(4)) + rotation.payload[-98:] * 2
    assert bench.refused(bench.delivery(replace(rotation, payload=doubled))) == "DuplicateDestination"


def test_solana_rotation_attack__not_to_the_program_or_not_from_a_peer__refused(bench: Bench, mallory: Keypair) -> None:
    rotation = bench.rotation(NEW)
    for recipient in (bytes(mallory.pubkey()), bytes(32), bytes(bench.at.config.address)):
        assert bench.refused(bench.delivery(replace(rotation, recipient=Account(recipient)))) == "WrongRecipient"
    stranger = Endpoint(sp.EVM.chain, sp.EVM_USER)
    assert bench.refused(bench.delivery(replace(rotation, origin=stranger))) == "UnknownPeer"
    home = Account(bytes(bench.at.program))
    own = replace(rotation, origin=bench.home, sender=home)  # this program posts no rotations
    assert bench.refused(bench.delivery(own)) == "NotDeliverable"


def test_solana_rotation_attack__message_that_looks_like_one__brings_nothing(bench: Bench, mallory: Keypair) -> None:
    rotation = bench.rotation(EVIL)
    to_program = replace(rotation, kind=Kind.MESSAGE)
    assert bench.refused(bench.delivery(to_program)) == "WrongRecipient"
    hers = replace(to_program, recipient=Account(bytes(mallory.pubkey())))
    bench.accepted(bench.delivery(hers))
    step = bent(bench.rotate(rotation), account_2=bench.at.inbox(hers.digest).address)
    assert bench.refused(step) == "NotRotation"
    result = bench.foreign_result(sequence=5)
    bench.accepted(bench.delivery(result))
    assert bench.refused(bent(step, account_2=bench.at.inbox(result.digest).address)) == "NotRotation"
    assert bench.config().current_epoch == 1


def test_solana_rotation_attack__inbox_account_that_the_program_did_not_write__refused(
    bench: Bench, mallory: Keypair
) -> None:
    rotation = bench.rotation(EVIL)
    other = sp.start(EVIL)
    other.accepted(other.delivery(replace(rotation, destination=other.home, recipient=other.home.gateway)))
    theirs = replace(rotation, destination=other.home, recipient=other.home.gateway)
    found = other.account(other.at.inbox(theirs.digest).address)
    step = bench.rotate(rotation)
    # Of another program, at its own address and at ours.
    bench.put(other.at.inbox(theirs.digest).address, bytes(found.data), other.at.program)
    assert bench.refused(bent(step, account_2=other.at.inbox(theirs.digest).address)) == "WrongOwner"
    bench.put(bench.at.inbox(rotation.digest).address, bytes(found.data), mallory.pubkey())
    assert bench.refused(step) == "WrongOwner"
    # Even one of the program's own, at an address that is not its digest's, would be refused.
    fake = Keypair().pubkey()
    bench.put(fake, bytes(found.data), bench.at.program)
    assert bench.refused(bent(step, account_2=fake)) == "WrongAddress"


def test_solana_rotation_attack__accounts_in_one_anothers_place__refused(bench: Bench) -> None:
    rotation = delivered(bench)
    step = bench.rotate(rotation)
    first = bench.at.committee(CommitteeEpoch(1)).address
    assert bench.refused(bent(step, account_5=first)) == "WrongAddress"
    assert bench.refused(bent(step, account_4=bench.at.config.address)) == "WrongAccountType"
    assert bench.refused(bent(step, account_5=Pubkey.new_unique())) == "WrongAddress"
    for index in (1, 2, 3, 4, 5):
        meta = AccountMeta(step.accounts[index].pubkey, False, False)
        if index == 3:
            continue  # the payer of the transaction is always writable
        assert bench.refused(bent(step, **{f"account_{index}": meta})) == "NotWritable"
    low = bench.at.committee(CommitteeEpoch(2)).bump - 1
    seeds = (
        c.SEED_COMMITTEE,
        (2).to_bytes(4, "little"),
        bytes([low]),
        bytes(bench.at.program),
        b"ProgramDerivedAddress",
    )
    second = Pubkey(hashlib.sha256(b"".join(seeds)).digest())
    other_bump = bent(step, account_5=second, data=bytes([c.INSTRUCTION_ROTATE, low]))
    assert bench.refused(other_bump) == "NotCanonicalBump"
    assert bench.refused(bent(step, data=bytes(step.data) + b"\0")) == "InvalidInstruction"
    assert bench.refused(bent(step, data=bytes(step.data)[:1])) == "InvalidInstruction"
    bench.accepted(step)


def test_solana_rotation_attack__inbox_closed_by_its_payer__refused(bench: Bench) -> None:
    rotation = delivered(bench)
    step = instructions.close_inbox(bench.at, bench.user.pubkey(), rotation.digest, bench.user.pubkey())
    assert bench.refused(step) == "MissingSignature"
    bench.set_time(BEGIN * 2)
    assert bench.refused(step) == "MissingSignature"
    bench.accepted(bench.rotate(rotation))


# ---- attacks: veto and replacement ----


def test_solana_rotation_attack_veto__too_late_or_by_a_stranger_or_of_another__refused(
    bench: Bench, mallory: Keypair
) -> None:
    assert bench.refused(veto(bench), signers=(bench.authority,)) == "WrongEpoch"  # there is only the first
    bench.accepted(bench.rotate(delivered(bench)))
    step = veto(bench)
    hers = bent(step, account_0=mallory.pubkey())
    assert bench.refused(hers, signers=(mallory,)) == "NotAuthority"
    unsigned = bent(step, account_0=AccountMeta(bench.authority.pubkey(), False, False))
    assert bench.refused(unsigned) == "MissingSignature"
    first, second = (bench.at.committee(CommitteeEpoch(i)).address for i in (1, 2))
    swapped = bent(step, account_2=second, account_3=first)
    assert bench.refused(swapped, signers=(bench.authority,)) == "WrongEpoch"
    assert bench.refused(bent(step, account_3=first), signers=(bench.authority,)) == "WrongEpoch"
    bench.set_time(BEGIN)
    assert bench.refused(step, signers=(bench.authority,)) == "AlreadyBegun"
    assert bench.refused(bent(step, data=bytes(step.data) + b"\0"), signers=(bench.authority,)) == "InvalidInstruction"


def test_solana_rotation_attack_veto__twice__refused(bench: Bench) -> None:
    bench.accepted(bench.rotate(delivered(bench)))
    bench.accepted(veto(bench), signers=(bench.authority,))
    assert bench.refused(veto(bench), signers=(bench.authority,)) == "WrongEpoch"


def test_solana_rotation_replacement__by_the_authority__waits_for_the_delay_and_can_be_vetoed(bench: Bench) -> None:
    bench.accepted(replace_key(bench, EVIL), signers=(bench.authority,))
    assert (bench.committee(2).valid_from, bench.committee(1).valid_until) == (BEGIN, BEGIN + OVERLAP)
    message = bench.inbound()
    by_new = bench.delivery(message, bench.envelope(message, key=EVIL, epoch=2))
    assert bench.refused(by_new) == "PendingEpoch"
    bench.accepted(veto(bench), signers=(bench.authority,))
    bench.accepted(replace_key(bench), signers=(bench.authority,))
    bench.set_time(BEGIN)
    assert bench.refused(by_new) == "InvalidSignature"
    bench.accepted(bench.delivery(message, bench.envelope(message, key=NEW, epoch=2)))


def test_solana_rotation_attack_replacement__without_possession__refused(bench: Bench) -> None:
    rogue = replace(sp.group_key(EVIL, 2), x=NEW.px.to_bytes(32))
    step = instructions.set_committee(bench.at, bench.authority.pubkey(), rogue, OVERLAP)
    assert bench.refused(step, signers=(bench.authority,)) == "InvalidSignature"
    cut = bent(replace_key(bench), data=bytes(replace_key(bench).data)[:-1])
    assert bench.refused(cut, signers=(bench.authority,)) == "InvalidInstruction"


def test_solana_rotation__largest_numbers__never_wrap(bench: Bench) -> None:
    longest = (1 << 32) - 1
    bench.accepted(bench.rotate(delivered(bench, overlap=longest)))
    assert bench.committee(1).valid_until == BEGIN + longest
