"""Each instruction of the Solana program does what PROTOCOL.md section 7 says, and accounts for every lamport."""

import pytest
from solders.compute_budget import set_compute_unit_limit
from solders.keypair import Keypair
from solders.message import Message as TransactionMessage
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from bridges.solana import instructions
from bridges.solana.layout import (
    CommitteeAccount,
    ConfigAccount,
    InboxAccount,
    ModelAccount,
    OutboxAccount,
    OutboxState,
    PeerAccount,
    ReplayAccount,
)
from contracts.solana.build import build_programs
from oracle.protocol import constants as c
from oracle.protocol.hashing import batch_signing_hash, merkle_branch
from oracle.protocol.message import Remote, result_messages
from oracle.protocol.types import Chain, CommitteeEpoch, Endpoint, Policy, Sequence, Status, evm_account
from tests.support import solana_program as sp
from tests.support.solana_program import Bench

PACKET = 1232  # bytes of a transaction on the wire
DELIVERY_UNITS = 60_000
PROGRAM_BYTES = 60 * 1024


def test_solana_program_initialise__by_the_upgrade_authority__writes_config_and_first_committee(bench: Bench) -> None:
    config = ConfigAccount.decode(bench.data(bench.at.config.address), bench.at.program)
    committee_address = bench.at.committee(CommitteeEpoch(1)).address
    committee = CommitteeAccount.decode(bench.data(committee_address), bench.at.program)
    assert (config.current_epoch, config.next_sequence) == (1, 1)
    assert config.authority == bench.authority.pubkey()
    assert config.treasury == bench.treasury
    assert bytes(config.chain_reference) == sp.GENESIS
    assert (committee.epoch, committee.valid_until) == (1, 0)
    assert bytes(committee.group_key_x) == bench.key.px.to_bytes(32)
    assert committee.group_key_parity == bench.key.parity
    assert bench.lamports(bench.at.config.address) == bench.rent(c.CONFIG_ACCOUNT_SIZE)


def test_solana_program_initialise__both_parities_of_the_group_key__verify() -> None:
    keys = [sp.committee_key(f"committee {i}") for i in range(8)]
    assert {key.parity for key in keys} == {0, 1}
    for key in (next(k for k in keys if k.parity == 0), next(k for k in keys if k.parity == 1)):
        bench = sp.start(key)
        bench.accepted(bench.delivery(bench.inbound()))


def test_solana_program_set_committee__next_epoch__ends_the_old_one(bench: Bench) -> None:
    successor = sp.committee_key("successor")
    begin, end = sp.NOW + sp.ACTIVATION_DELAY, sp.NOW + sp.ACTIVATION_DELAY + 60
    step = instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(successor, 2), 60)
    bench.accepted(step, signers=(bench.authority,))
    bench.set_time(begin)
    old, new, late = (bench.inbound(sequence=i) for i in (1, 2, 3))
    bench.accepted(bench.delivery(old))  # still inside its grace time
    bench.accepted(bench.delivery(new, bench.envelope(new, key=successor, epoch=2)))
    bench.set_time(end + 1)
    assert bench.refused(bench.delivery(late)) == "EndedEpoch"
    bench.accepted(bench.delivery(late, bench.envelope(late, key=successor, epoch=2)))


def test_solana_program_register_model__again__changes_it(bench: Bench) -> None:
    changed = sp.model(price=1, active=False)
    step = instructions.register_model(bench.at, bench.authority.pubkey(), changed)
    bench.accepted(step, signers=(bench.authority,))
    assert ModelAccount.decode(bench.data(bench.at.model(sp.MODEL).address), bench.at.program) == changed
    ask = instructions.request(bench.at, bench.user.pubkey(), bench.next_sequence(), sp.DEADLINE, bench.asked())
    assert bench.refused(ask) == "InactiveModel"


def test_solana_program_register_peer__switched_off__its_messages_are_refused(bench: Bench) -> None:
    authority = bench.authority.pubkey()
    off = instructions.register_peer(bench.at, authority, sp.EVM, active=False)
    bench.accepted(off, signers=(bench.authority,))
    assert PeerAccount.decode(bench.data(bench.at.peer(sp.EVM).address), bench.at.program) == PeerAccount(sp.EVM, False)
    assert bench.refused(bench.delivery(bench.inbound())) == "InactivePeer"
    on = instructions.register_peer(bench.at, authority, sp.EVM)
    bench.accepted(on, signers=(bench.authority,))
    bench.accepted(bench.delivery(bench.inbound()))


@pytest.mark.parametrize("size", [0, 1, 64, 700])
def test_solana_program_send__to_a_peer__stores_the_body_and_takes_the_next_sequence(bench: Bench, size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    sender = bench.user.pubkey()
    done = bench.accepted(instructions.send(bench.at, sender, 1, sp.EVM, sp.EVM_USER, payload))
    posted = OutboxAccount.decode(bench.data(bench.at.outbox(1).address), bench.at.program)
    assert posted.state == OutboxState.POSTED
    assert posted.message.payload == payload
    assert (posted.message.origin, posted.message.destination) == (bench.home, sp.EVM)
    assert (posted.message.sender, posted.message.recipient) == (bytes(sender), sp.EVM_USER)
    assert posted.message.sequence == 1
    assert posted.message.expiry == 0
    assert done.return_data().data == posted.message.digest
    assert bench.lamports(bench.at.outbox(1).address) == bench.rent(c.OUTBOX_ACCOUNT_SIZE + c.BODY_SIZE + size)
    assert bench.next_sequence() == 2


def test_solana_program_request__with_remotes__builds_the_specified_body_and_escrows_the_fee(bench: Bench) -> None:
    remotes = (
        Remote(Policy.BOTH, sp.EVM, sp.EVM_HUB, sp.EVM_USER),
        Remote(Policy.ATTESTED, Endpoint(Chain.evm(10), evm_account(bytes(19) + b"\1")), sp.EVM_HUB, sp.EVM_USER),
    )
    asked = bench.asked(fee=sp.PRICE + 1, remotes=remotes, inputs=(-sp.BOUND, 0, sp.BOUND))
    before = bench.lamports(bench.user.pubkey())
    request = bench.post_request(asked)
    address = bench.at.outbox(1).address
    posted = OutboxAccount.decode(bench.data(address), bench.at.program)
    assert posted.message == request
    assert posted.state == OutboxState.PENDING
    assert posted.fee == sp.PRICE + 1
    rent = bench.rent(len(bench.account(address).data))
    assert bench.lamports(address) == rent + sp.PRICE + 1
    assert bench.lamports(bench.user.pubkey()) == before - rent - sp.PRICE - 1 - 5000  # and one signature


def test_solana_program_deliver__message_of_a_peer__writes_the_inbox(bench: Bench) -> None:
    message = bench.inbound(payload=b"x" * 64, expiry=sp.NOW)  # its last second
    bench.accepted(bench.delivery(message))
    address = bench.at.inbox(message.digest).address
    inbox = InboxAccount.decode(bench.data(address), bench.at.program)
    assert inbox.message == message
    assert inbox.payer == bench.user.pubkey()
    assert (inbox.delivered_at, inbox.epoch) == (sp.NOW, 1)
    assert bench.lamports(address) == bench.rent(c.INBOX_ACCOUNT_SIZE + c.BODY_SIZE + 64)
    replay = ReplayAccount.decode(bench.data(bench.at.replay(sp.EVM, 1).address), bench.at.program)
    assert [replay.delivered(Sequence(i)) for i in (1, 2)] == [True, False]


@pytest.mark.parametrize("sequence", [1, 7, 8, 1023, 1024, 1025, 2**63])
def test_solana_program_deliver__any_sequence__marks_its_own_bit(bench: Bench, sequence: int) -> None:
    message = bench.inbound(sequence=sequence)
    bench.accepted(bench.delivery(message))
    replay = bench.account(bench.at.replay(sp.EVM, sequence).address)
    bitmap = bytes(replay.data)[c.REPLAY_ACCOUNT_BITMAP_OFFSET :]
    assert int.from_bytes(bitmap, "little") == 1 << sequence % c.REPLAY_WINDOW


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_solana_program_deliver__one_of_a_batch__verifies_by_its_branch(bench: Bench, size: int) -> None:
    batch = [bench.inbound(sequence=1 + i, payload=bytes([i])) for i in range(size)]
    for i, message in enumerate(batch):
        digests = [one.digest for one in batch]
        signature = bench.key.sign(batch_signing_hash(digests))
        envelope = instructions.Envelope(CommitteeEpoch(1), signature, merkle_branch(digests, i))
        bench.accepted(bench.delivery(message, envelope))


def test_solana_program_deliver__answer_to_a_request_of_this_chain__pays_the_treasury(bench: Bench) -> None:
    request = bench.post_request()
    result = result_messages(request, sp.answered(-42))[0]
    outbox, before = bench.at.outbox(1).address, bench.lamports(bench.treasury)
    bench.accepted(bench.delivery(result))
    assert bench.lamports(bench.treasury) == before + sp.PRICE
    assert bench.lamports(outbox) == bench.rent(len(bench.account(outbox).data))
    assert OutboxAccount.decode(bench.data(outbox), bench.at.program).state == OutboxState.ANSWERED
    inbox = InboxAccount.decode(bench.data(bench.at.inbox(result.digest).address), bench.at.program)
    assert inbox.message == result


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.ANSWERED])
def test_solana_program_deliver__refusal__pays_the_fee_back(bench: Bench, status: Status) -> None:
    request = bench.post_request()
    before, treasury = bench.lamports(bench.user.pubkey()), bench.lamports(bench.treasury)
    result = result_messages(request, sp.refusal(status))[0]
    bench.accepted(bench.delivery(result))
    outbox = bench.at.outbox(1).address
    assert OutboxAccount.decode(bench.data(outbox), bench.at.program).state == OutboxState.REFUSED
    spent = bench.rent(c.INBOX_ACCOUNT_SIZE + len(result.to_bytes())) + bench.rent(c.REPLAY_ACCOUNT_SIZE) + 5000
    assert bench.lamports(bench.user.pubkey()) == before + sp.PRICE - spent
    assert bench.lamports(bench.treasury) == treasury


def test_solana_program_deliver__refusal_to_an_emptied_requester__keeps_a_small_fee_for_the_closing(
    bench: Bench,
) -> None:
    bench.accepted(
        instructions.register_model(bench.at, bench.authority.pubkey(), sp.model(price=10)), signers=(bench.authority,)
    )
    poor = Keypair()
    bench.svm.airdrop(poor.pubkey(), sp.FUNDS)
    asked = bench.asked(fee=10)
    bench.accepted(instructions.request(bench.at, poor.pubkey(), 1, sp.DEADLINE, asked), signers=(poor,))
    bench.put(poor.pubkey(), b"", Pubkey.default(), 0)
    request = bench.request_body(asked, Sequence(1), poor.pubkey())
    bench.accepted(bench.delivery(result_messages(request, sp.refusal())[0], requester=poor.pubkey()))
    outbox = bench.at.outbox(1).address
    held = bench.lamports(outbox)
    assert held == bench.rent(len(bench.account(outbox).data)) + 10
    bench.accepted(instructions.close_outbox(bench.at, 1, poor.pubkey(), signed=False))
    assert bench.lamports(poor.pubkey()) == held


def test_solana_program_deliver__result_of_a_foreign_request__needs_no_outbox(bench: Bench) -> None:
    result = bench.foreign_result(outcome=sp.answered(1, -2, 3))
    bench.accepted(bench.delivery(result))
    inbox = InboxAccount.decode(bench.data(bench.at.inbox(result.digest).address), bench.at.program)
    assert inbox.result is not None
    assert inbox.result.outputs == (1, -2, 3)


def test_solana_program_close_inbox__by_the_recipient_at_once__pays_the_payer(bench: Bench) -> None:
    recipient = Keypair()
    message = bench.inbound(recipient=bytes(recipient.pubkey()))
    bench.accepted(bench.delivery(message))
    before = bench.lamports(bench.user.pubkey())
    rent = bench.lamports(bench.at.inbox(message.digest).address)
    close = instructions.close_inbox(bench.at, recipient.pubkey(), message.digest, bench.user.pubkey())
    bench.accepted(close, signers=(recipient,))
    assert bench.lamports(bench.user.pubkey()) == before + rent - 10_000
    assert not bench.exists(bench.at.inbox(message.digest).address)


@pytest.mark.parametrize("expiry", [0, sp.NOW + 5])
def test_solana_program_close_inbox__message__never_by_its_payer(bench: Bench, expiry: int) -> None:
    message = bench.inbound(recipient=bytes(Keypair().pubkey()), expiry=expiry)
    bench.accepted(bench.delivery(message))
    payer = bench.user.pubkey()
    close = instructions.close_inbox(bench.at, payer, message.digest, payer)
    for time in (sp.NOW, sp.NOW + 6, sp.NOW + 10 * 365 * 24 * 60 * 60):
        bench.set_time(time)
        assert bench.refused(close) == "MissingSignature"
    assert bench.exists(bench.at.inbox(message.digest).address)


def test_solana_program_close_inbox__result__by_its_payer_after_the_expiry(bench: Bench) -> None:
    result = bench.foreign_result(consumer=bytes(Keypair().pubkey()))
    bench.accepted(bench.delivery(result))
    payer = bench.user.pubkey()
    close = instructions.close_inbox(bench.at, payer, result.digest, payer)
    bench.set_time(sp.DEADLINE)
    assert bench.refused(close) == "TooEarly"
    bench.set_time(sp.DEADLINE + 1)
    bench.accepted(close)


def test_solana_program_close_outbox__answered__anyone_may_and_the_sender_gets_the_rent(bench: Bench) -> None:
    request = bench.post_request()
    bench.accepted(bench.delivery(result_messages(request, sp.answered())[0]))
    stranger = Keypair()
    bench.svm.airdrop(stranger.pubkey(), sp.FUNDS)
    rent, before = bench.lamports(bench.at.outbox(1).address), bench.lamports(bench.user.pubkey())
    bench.accepted(instructions.close_outbox(bench.at, 1, bench.user.pubkey(), signed=False))
    assert bench.lamports(bench.user.pubkey()) == before + rent - 5000


def test_solana_program_refund__after_the_deadline__fee_and_rent_to_the_requester(bench: Bench) -> None:
    bench.post_request()
    step = instructions.refund(bench.at, 1, bench.user.pubkey())
    bench.set_time(sp.DEADLINE)
    assert bench.refused(step) == "TooEarly"
    bench.set_time(sp.DEADLINE + 1)
    held, before = bench.lamports(bench.at.outbox(1).address), bench.lamports(bench.user.pubkey())
    bench.accepted(step)
    assert bench.lamports(bench.user.pubkey()) == before + held - 5000
    assert not bench.exists(bench.at.outbox(1).address)
    assert bench.refused(step) == "WrongOwner"


def test_solana_program_deliver__result_with_one_output_and_a_branch__one_transaction_within_the_bounds(
    bench: Bench,
) -> None:
    request, foreign = bench.post_request(), bench.foreign_result()
    home = result_messages(request, sp.answered())[0]
    for message, other in ((home, foreign), (foreign, home)):
        step = bench.delivery(message, bench.envelope(message, other))
        whole = TransactionMessage([set_compute_unit_limit(DELIVERY_UNITS), step], bench.user.pubkey())
        assert len(bytes(Transaction.new_unsigned(whole))) <= PACKET
        bench.accepted(step)
        assert bench.units <= DELIVERY_UNITS


def test_solana_program_build__size__stays_under_the_bound() -> None:
    assert build_programs().sibyl_so.stat().st_size <= PROGRAM_BYTES
