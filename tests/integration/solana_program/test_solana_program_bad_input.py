"""Requests that the chain refuses at once; accounts prefunded, duplicated or unflagged; data cut and lengthened anywhere."""

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.system_program import ID as SYSTEM
from solders.system_program import TransferParams, transfer
from solders.transaction_metadata import FailedTransactionMetadata

from bridges.solana import instructions
from oracle.protocol import constants as c
from oracle.protocol.message import Remote, result_messages
from oracle.protocol.types import (
    Account,
    Chain,
    Endpoint,
    Kind,
    Policy,
    Sequence,
    UnixSeconds,
    evm_account,
)
from tests.support import solana_program as sp
from tests.support.solana_program import Bench, bent

# ---- requests that the chain can refuse at once ----


def test_solana_program_attack__bad_requests__refused(bench: Bench) -> None:
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
    body_at = 1 + 4 + 65 + 2 + 1 + 2  # number, epoch, signature, bumps, an empty branch, the body's size
    data[body_at + c.BODY_SEQUENCE_OFFSET : body_at + c.BODY_SEQUENCE_OFFSET + 8] = bytes(8)
    assert bench.refused(bent(step, data=data)) == "ZeroSequence"
    assert Kind(step.data[body_at + 1]) is Kind.MESSAGE
    assert Sequence(1) == bench.next_sequence()
