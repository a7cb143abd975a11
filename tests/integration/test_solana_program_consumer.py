"""The example consumer on Solana: asks by a call in its own name, and takes only answers that are Sibyl's, for it, and to questions that count."""

from dataclasses import dataclass, replace

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.transaction_metadata import TransactionMetadata

from bridges.solana import instructions
from bridges.solana.layout import OutboxAccount, OutboxState, ProgramAddresses
from contracts.solana.build import build_programs
from oracle.protocol import constants as c
from oracle.protocol.message import Message, Outcome, Remote, origin_hash, result_messages
from oracle.protocol.types import Policy
from tests.support import solana_program as sp
from tests.support.solana_program import Bench, bent

CONFIGURE, ASK, READ = b"\0", b"\1", b"\2"
BENIGN, MALIGNANT, NONE = 0, 1, 255


@dataclass(slots=True)
class Clinic:
    """The consumer program beside Sibyl."""

    bench: Bench
    at: ProgramAddresses

    def pda(self, *seeds: bytes) -> tuple[Pubkey, int]:
        return Pubkey.find_program_address(list(seeds), self.at.program)

    @property
    def asker(self) -> Pubkey:
        return self.pda(b"asker")[0]

    def configure(self, model: bytes = sp.MODEL, foreign: tuple[bytes, bytes] = (bytes(32), bytes(32))) -> Instruction:
        settings, bump = self.pda(b"settings")
        data = CONFIGURE + bytes([bump]) + bytes(self.bench.at.program) + model + foreign[0] + foreign[1]
        metas = [
            AccountMeta(self.bench.authority.pubkey(), True, True),
            AccountMeta(settings, False, True),
            AccountMeta(self.at.program_data, False, False),
            AccountMeta(SYSTEM, False, False),
        ]
        return Instruction(self.at.program, data, metas)

    def ask(self, **changes: object) -> Instruction:
        sequence = self.bench.next_sequence()
        asked = self.bench.asked(**changes)  # type: ignore[arg-type]  # a test's shorthand
        step = instructions.request(self.bench.at, self.asker, sequence, sp.DEADLINE, asked)
        metas = [
            AccountMeta(self.bench.user.pubkey(), True, True),
            AccountMeta(self.pda(b"settings")[0], False, False),
            AccountMeta(self.asker, False, True),
            AccountMeta(self.bench.at.program, False, False),
            *step.accounts[1:],
        ]
        return Instruction(self.at.program, ASK + bytes([self.pda(b"asker")[1]]) + bytes(step.data)[1:], metas)

    def read(self, result: Message, request_id: bytes) -> Instruction:
        record, bump = self.pda(b"answer", request_id)
        metas = [
            AccountMeta(self.bench.user.pubkey(), True, True),
            AccountMeta(self.pda(b"settings")[0], False, False),
            AccountMeta(self.bench.at.inbox(result.digest).address, False, False),
            AccountMeta(record, False, True),
            AccountMeta(SYSTEM, False, False),
        ]
        return Instruction(self.at.program, READ + bytes([bump, self.pda(b"asker")[1]]), metas)

    def asked_and_delivered(self, outcome: Outcome) -> tuple[Message, Message]:
        sequence = self.bench.next_sequence()
        asked = self.bench.asked()
        self.bench.accepted(self.ask())
        request = self.bench.request_body(asked, sequence, self.asker)
        result = result_messages(request, outcome)[0]
        self.bench.accepted(self.bench.delivery(result, requester=self.asker))
        return request, result

    def foreign(self, outcome: Outcome) -> tuple[Message, bytes]:
        result = self.bench.foreign_result(outcome=outcome, consumer=bytes(self.asker))
        self.bench.accepted(self.bench.delivery(result))
        return result, bytes(result.payload[c.RESULT_REQUEST_ID_OFFSET : c.RESULT_REQUEST_ID_OFFSET + 32])

    def record(self, request_id: bytes) -> bytes:
        return bytes(self.bench.account(self.pda(b"answer", request_id)[0]).data)


@pytest.fixture
def clinic() -> Clinic:
    bench = sp.start()
    at = ProgramAddresses(Pubkey.new_unique())
    bench.svm.add_program(at.program, build_programs().consumer_so.read_bytes())
    sp.set_upgrade_authority(bench, at.program_data, bench.authority.pubkey())
    clinic = Clinic(bench, at)
    step = clinic.configure(foreign=(origin_hash(sp.EVM), sp.EVM_USER))
    bench.accepted(step, signers=(bench.authority,))
    return clinic


@pytest.mark.parametrize(
    ("logit", "decision"), [(-42, BENIGN), (0, BENIGN), (1, MALIGNANT), (2**63 - 1, MALIGNANT), (-(2**63), BENIGN)]
)
def test_solana_program_consumer__asks_and_reads__records_the_decision(
    clinic: Clinic, logit: int, decision: int
) -> None:
    request, result = clinic.asked_and_delivered(sp.answered(logit))
    done = clinic.bench.accepted(clinic.read(result, request.digest))
    record = clinic.record(request.digest)
    assert record[2:5] == bytes([0, decision, 13])
    assert int.from_bytes(record[8:16], "little", signed=True) == logit
    assert int.from_bytes(record[16:24], "little") == sp.NOW
    assert record[24:56] == request.digest
    assert record[88:120] == bytes(clinic.asker)
    assert bytes(done.return_data().data).ljust(11, b"\0") == logit.to_bytes(8, "little", signed=True) + bytes(
        [13, decision, 0]
    )


def test_solana_program_consumer_ask__requester_is_its_own_account__and_the_request_id_comes_back(
    clinic: Clinic,
) -> None:
    bench = clinic.bench
    done = bench.accepted(clinic.ask(remotes=(Remote(Policy.BOTH, sp.EVM, sp.EVM_HUB, sp.EVM_USER),)))
    posted = OutboxAccount.decode(bench.data(bench.at.outbox(1).address), bench.at.program)
    assert posted.message.sender == bytes(clinic.asker)
    assert posted.state == OutboxState.PENDING
    assert bytes(done.return_data().data) == posted.message.digest


def test_solana_program_consumer_ask__refunded__the_next_question_uses_the_money(clinic: Clinic) -> None:
    bench = clinic.bench
    bench.accepted(clinic.ask())
    bench.set_time(sp.DEADLINE + 1)
    bench.accepted(instructions.refund(bench.at, 1, clinic.asker))
    bench.set_time(sp.NOW)
    before = bench.lamports(bench.user.pubkey())
    bench.accepted(clinic.ask())
    assert bench.lamports(bench.user.pubkey()) == before - 5000


def test_solana_program_consumer__refusal__is_recorded_without_a_decision(clinic: Clinic) -> None:
    request, result = clinic.asked_and_delivered(sp.refusal())
    clinic.bench.accepted(clinic.read(result, request.digest))
    record = clinic.record(request.digest)
    assert record[2:4] == bytes([3, NONE])
    assert record[8:16] == bytes(8)


def test_solana_program_consumer__answer_to_the_evm_consumers_question__is_taken(clinic: Clinic) -> None:
    result, request_id = clinic.foreign(sp.answered(7))
    clinic.bench.accepted(clinic.read(result, request_id))
    assert clinic.record(request_id)[3] == MALIGNANT
    assert clinic.bench.refused(clinic.read(result, request_id)) == "AlreadyExists"


def test_solana_program_consumer_attack_wormhole__inbox_that_sibyl_did_not_write__refused(clinic: Clinic) -> None:
    bench, fake, mallory = clinic.bench, Keypair().pubkey(), Keypair().pubkey()
    request, result = clinic.asked_and_delivered(sp.answered(-1))
    step = clinic.read(result, request.digest)
    genuine = bench.account(bench.at.inbox(result.digest).address)
    bench.put(fake, bytes(genuine.data), mallory)
    assert bench.refused(bent(step, account_2=fake)) == "WrongOwner"
    bench.put(fake, bytes(len(genuine.data)), bench.at.program)
    assert bench.refused(bent(step, account_2=fake)) == "WrongAccountType"
    assert bench.refused(bent(step, account_2=bench.at.outbox(1).address)) == "WrongAccountType"
    bench.put(fake, bytes(genuine.data)[:-1], bench.at.program)
    assert bench.refused(bent(step, account_2=fake)) == "WrongAccountSize"


def test_solana_program_consumer_attack__answers_for_others_or_to_others__refused(clinic: Clinic) -> None:
    bench = clinic.bench
    for_user = bench.foreign_result(sequence=5)  # consumer: the user's own account
    bench.accepted(bench.delivery(for_user))
    request_id = for_user.payload[c.RESULT_REQUEST_ID_OFFSET : c.RESULT_REQUEST_ID_OFFSET + 32]
    assert bench.refused(clinic.read(for_user, request_id)) == "WrongRecipient"
    result, request_id = clinic.foreign(sp.answered(7))
    for foreign, error in (
        ((bytes(32), bytes(32)), "WrongRequester"),
        ((origin_hash(sp.EVM), sp.EVM_HUB), "WrongRequester"),
        ((bytes([1] * 32), sp.EVM_USER), "UnknownPeer"),
    ):
        bench.accepted(clinic.configure(foreign=foreign), signers=(bench.authority,))
        assert bench.refused(clinic.read(result, request_id)) == error
    bench.accepted(clinic.configure(model=bytes([1] * 32)), signers=(bench.authority,))
    assert bench.refused(clinic.read(result, request_id)) == "InvalidModel"


def test_solana_program_consumer_attack__message_in_the_place_of_a_result__refused(clinic: Clinic) -> None:
    message = clinic.bench.inbound(recipient=bytes(clinic.asker), payload=bytes(200))
    clinic.bench.accepted(clinic.bench.delivery(message))
    assert clinic.bench.refused(clinic.read(message, bytes(32))) == "UnknownKind"


def test_solana_program_consumer_attack__settings_by_somebody_else_or_fake__refused(clinic: Clinic) -> None:
    bench, mallory = clinic.bench, Keypair()
    bench.svm.airdrop(mallory.pubkey(), sp.FUNDS)
    step = bent(clinic.configure(), account_0=mallory.pubkey())
    assert bench.refused(step, signers=(mallory,)) == "NotUpgradeAuthority"
    request, result = clinic.asked_and_delivered(sp.answered(1))
    genuine = bytes(bench.account(clinic.pda(b"settings")[0]).data)
    fake = Keypair().pubkey()
    for owner, error in ((mallory.pubkey(), "WrongOwner"), (clinic.at.program, "WrongAddress")):
        bench.put(fake, genuine, owner)
        assert bench.refused(bent(clinic.read(result, request.digest), account_1=fake)) == error
        assert bench.refused(bent(clinic.ask(), account_1=fake)) == error


def test_solana_program_consumer_attack__another_program_or_model_in_ask__refused(clinic: Clinic) -> None:
    bench, step = clinic.bench, clinic.ask()
    assert bench.refused(bent(step, account_3=clinic.at.program)) == "WrongAddress"
    data = bytearray(step.data)
    data[2 + 9] ^= 1
    assert bench.refused(bent(step, data=data)) == "InvalidModel"
    assert bench.refused(bent(step, account_2=AccountMeta(bench.user.pubkey(), True, True))) == "WrongAddress"
    for length in (0, 1, 2, 40, 60, 63):
        assert bench.refused(bent(step, data=bytes(step.data)[:length])) == "InvalidInstruction"
    dear = replace(bench.asked(), fee=1)
    assert bench.refused(clinic.ask(fee=dear.fee)) == "FeeTooLow"
    assert isinstance(bench.run(step), TransactionMetadata)
