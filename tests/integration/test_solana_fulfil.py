"""fulfil in Solana's runtime: a proof answers a request with the specified result, and nothing else does."""

import random
from dataclasses import replace

import pytest
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message as TransactionMessage
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.transaction import Transaction

from bridges.solana import instructions
from bridges.solana import verifier_instructions as steps
from bridges.solana.layout import InboxAccount, ModelAccount, OutboxAccount, OutboxState, ReplayAccount
from bridges.solana.verifier_layout import PROOF_SIZE, PROOF_START, VerifierAddresses
from circuits.halo2.curve import R
from circuits.halo2.prepared import hint
from contracts.solana.build import build_programs
from oracle.protocol import constants as c
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import InferenceRequest, Message, Outcome, Remote, result_messages
from oracle.protocol.types import Policy, Status
from tests.support import solana_program as sp
from tests.support import solana_verifier as sv
from tests.support.solana_program import FUNDS, bent
from tests.support.solana_verifier import World, honest
from tests.support.solana_yes import called_with, yes_program

PACKET = 1232
GOAL = 500_000
INT64 = (-(1 << 63), (1 << 63) - 1)


@pytest.fixture
def world() -> World:
    """Both programs, with tiny's key sealed and its model registered."""
    made = sv.start()
    made.upload_key(honest())
    made.register(made.model(honest()))
    return made


@pytest.fixture
def waiting(world: World) -> tuple[World, Message, bytes]:
    """A proven request, the honest proof's first bytes uploaded, and the rest of it."""
    request = world.ask(honest())
    return world, request, world.upload(request.digest, honest().given)


def stranger(world: World) -> Keypair:
    """Somebody with lamports."""
    who = Keypair()
    world.bench.svm.airdrop(who.pubkey(), FUNDS)
    return who


def wire(world: World, step: Instruction) -> int:
    """Bytes of the step's transaction, with a limit and a price for its units."""
    budget = [set_compute_unit_limit(GOAL), set_compute_unit_price(1)]
    message = TransactionMessage([*budget, step], world.payer)
    return len(bytes(Transaction([world.bench.user], message, Hash.default())))


def state(world: World, request: Message) -> OutboxState:
    """What became of a request."""
    address = world.bench.at.outbox(request.sequence).address
    return OutboxAccount.decode(world.bench.data(address), world.bench.at.program).state


# ---- what it does ----


@pytest.mark.parametrize("name", ["tiny", "tumour"])
def test_fulfil__honest_proof__writes_the_specified_result_in_two_transactions(name: str) -> None:
    world, proof = sv.start(), honest(name)
    world.upload_key(proof)
    world.register(world.model(proof))
    request = world.ask(proof)
    rest = proof.given[steps.FIRST_CHUNK :]
    first = steps.create_proof(
        world.verifier, world.payer, request.digest, steps.FIRST_CHUNK, proof.given[: steps.FIRST_CHUNK]
    )
    step = world.fulfilment(request, proof, rest)
    assert max(wire(world, first), wire(world, step)) <= PACKET
    before = world.bench.lamports(world.payer)
    world.bench.accepted(first)
    done = world.bench.accepted(step)
    assert world.bench.units < GOAL
    result = world.answer(request, proof)
    assert done.return_data().data == result.digest
    inbox = InboxAccount.decode(world.bench.data(world.bench.at.inbox(result.digest).address), world.bench.at.program)
    assert inbox.message == result
    assert (inbox.epoch, inbox.payer, inbox.delivered_at) == (0, world.payer, sp.NOW)
    assert state(world, request) is OutboxState.ANSWERED
    replay = ReplayAccount.decode(
        world.bench.data(world.bench.at.replay(world.bench.home, 1).address), world.bench.at.program
    )
    assert replay.delivered(request.sequence)
    # The fee is the prover's; what it paid for is the inbox account (its consumer closes it) and, once in 1,024 requests, the bitmap.
    kept = world.bench.rent(c.INBOX_ACCOUNT_SIZE + len(result.to_bytes())) + world.bench.rent(c.REPLAY_ACCOUNT_SIZE)
    assert world.bench.lamports(world.payer) == before + sp.PRICE - kept - 2 * 5000
    assert not world.bench.exists(world.verifier.proof(request.digest, world.payer).address)


def test_fulfil__by_anyone__the_fee_is_the_payers_and_all_rent_comes_back(world: World) -> None:
    prover = stranger(world)
    request = world.ask(honest())
    asker = world.bench.lamports(world.payer)
    tail = world.upload(request.digest, honest().given, payer=prover)
    world.bench.accepted(world.fulfilment(request, honest(), tail, payer=prover.pubkey()), signers=(prover,))
    result = world.answer(request, honest())
    world.bench.accepted(instructions.close_inbox(world.bench.at, world.payer, result.digest, prover.pubkey()))
    world.bench.accepted(instructions.close_outbox(world.bench.at, 1, world.payer, signed=False))
    # The bench's user paid the four transactions' signatures; the prover's are in the second one of two.
    bitmap = world.bench.rent(c.REPLAY_ACCOUNT_SIZE)
    assert world.bench.lamports(prover.pubkey()) == FUNDS + sp.PRICE - bitmap
    outbox = world.bench.rent(c.OUTBOX_ACCOUNT_SIZE + len(request.to_bytes()))
    assert world.bench.lamports(world.payer) == asker + outbox - 6 * 5000


def test_fulfil__second_request_in_the_window__uses_the_bitmap_that_is_there(world: World) -> None:
    for _ in range(2):
        request = world.ask(honest())
        tail = world.upload(request.digest, honest().given)
        world.bench.accepted(world.fulfilment(request, honest(), tail))
        assert state(world, request) is OutboxState.ANSWERED


def test_fulfil__one_upload_more__makes_room_for_many_outputs(world: World) -> None:
    # Three transactions: with the proof uploaded whole, the last holds only outputs.
    request = world.ask(honest())
    tail = world.upload(request.digest, honest().given, first=PROOF_SIZE)
    assert tail == b""
    world.bench.accepted(world.fulfilment(request, honest(), b""))
    many = world.fulfilment(request, honest(), b"", outputs=tuple(range(64)))
    assert wire(world, many) <= PACKET


# ---- what the verifier is asked ----


@pytest.fixture
def asked() -> World:
    """A world whose model's verifier says yes and logs what it is asked. (Governance would have to be mad.)"""
    made = sv.start()
    made.verifier = VerifierAddresses(Pubkey.new_unique())
    made.bench.svm.add_program(made.verifier.program, yes_program())
    return made


NUMBERS = (
    0,
    1,
    -1,
    *INT64,
    1 << 62,
    -(1 << 62),
    0x43E1F593F0000001,
    -0x43E1F593F0000000,
    -0x43E1F593F0000001,
    -0x43E1F593F0000002,
)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(NUMBERS[1:4], NUMBERS), (NUMBERS, NUMBERS[:1]), ((5,) * 192, (-7,) * 64)]
)
def test_fulfil__any_numbers__the_verifier_is_asked_about_their_residues(
    asked: World, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    at, key = asked.bench.at, Pubkey.new_unique()
    inputs = tuple(max(value, -INT64[1]) for value in inputs)  # a bound is below 2^63, so the least number is no input
    held = asked.register(
        sp.model(
            input_count=len(inputs),
            output_count=len(outputs),
            input_bound=INT64[1],
            verifier=asked.verifier.program,
            verifying_key=key,
        )
    )
    request = asked.bench.post_request(asked.bench.asked(inputs=inputs, policy=Policy.PROVEN))
    tail = bytes(range(256)) * 2
    asked.bench.accepted(instructions.fulfil(at, asked.payer, request, outputs, held, tail))
    words = b"".join((value % R).to_bytes(32) for value in (*inputs, *outputs))
    count = (len(inputs) + len(outputs)).to_bytes(2, "little")
    assert called_with(asked.bench.logs) == keccak256(bytes([c.VERIFIER_INSTRUCTION_VERIFY]), count, words, tail)
    result = result_messages(request, Outcome(Status.ANSWERED, outputs, held.output_scale))[0]
    inbox = InboxAccount.decode(asked.bench.data(at.inbox(result.digest).address), at.program)
    assert inbox.message == result


# ---- attacks ----


@pytest.mark.parametrize("change", [1, -1, 1 << 20, INT64[0], INT64[1]])
def test_fulfil_attack__other_output__refused(waiting: tuple[World, Message, bytes], change: int) -> None:
    world, request, tail = waiting
    value = change if change in INT64 else honest().outputs[0] + change
    assert world.bench.refused(world.fulfilment(request, honest(), tail, outputs=(value,))) == "InvalidProof"
    # With the hint that fits the changed instances, too.
    instances = (*honest().case.instances[:-1], value % R)
    fitting = tail[:-32] + hint(honest().key, honest().case.proof, instances)
    assert world.bench.refused(world.fulfilment(request, honest(), fitting, outputs=(value,))) == "InvalidProof"
    assert state(world, request) is OutboxState.PENDING


@pytest.mark.parametrize("outputs", [(), (1, 2), tuple(range(64))])
def test_fulfil_attack__other_number_of_outputs__refused(
    waiting: tuple[World, Message, bytes], outputs: tuple[int, ...]
) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    data = step.data[:3] + bytes([len(outputs)]) + b"".join(value.to_bytes(8) for value in outputs) + tail
    assert world.bench.refused(bent(step, data=data)) == "WrongOutputCount"


def test_fulfil_attack__proof_of_other_inputs__refused(world: World) -> None:
    first, second, third = honest().inputs[0], honest().inputs[1], honest().outputs
    for inputs in ((second, first), (first, second + 1), (-first, second), (first, third[0])):
        request = world.bench.post_request(world.bench.asked(inputs=inputs, policy=Policy.PROVEN))
        tail = world.upload(request.digest, honest().given)
        assert world.bench.refused(world.fulfilment(request, honest(), tail)) == "InvalidProof"


def test_fulfil_attack__spoilt_proof__refused(waiting: tuple[World, Message, bytes]) -> None:
    # Every byte is flipped at the verifier itself (test_solana_verifier, test_halo2_solana); here, that its refusal refuses the whole.
    world, request, tail = waiting
    address, draw = world.verifier.proof(request.digest, world.payer).address, random.Random("fulfil")
    header, before = bytes(world.bench.account(address).data)[:PROOF_START], honest().given[: steps.FIRST_CHUNK]
    lamports = world.bench.lamports(address)
    for at in draw.sample(range(PROOF_SIZE), 60):
        spoilt = honest().given[:at] + bytes([honest().given[at] ^ 1 << draw.randrange(8)]) + honest().given[at + 1 :]
        world.bench.put(address, header + spoilt[: len(before)], world.verifier.program, lamports)
        assert world.bench.refused(world.fulfilment(request, honest(), spoilt[len(before) :])) == "InvalidProof", at
    world.bench.put(address, header + before, world.verifier.program, lamports)
    for other in (tail[:-1], tail + b"\0", b""):
        assert world.bench.refused(world.fulfilment(request, honest(), other)) == "WrongProofSize"
    over = world.fulfilment(request, honest(), bytes(PROOF_SIZE + 1))
    assert world.bench.refused(over) == "InvalidInstruction"
    world.bench.accepted(world.fulfilment(request, honest(), tail))


def test_fulfil_attack__twice__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    world.bench.accepted(step)
    assert world.bench.refused(step) == "NotPending"
    world.upload(request.digest, honest().given)
    assert world.bench.refused(step) == "NotPending"
    # Nor when the outbox account says that it waits (as it cannot): the replay bit stands.
    outbox = world.bench.at.outbox(1).address
    found = world.bench.account(outbox)
    at = c.OUTBOX_ACCOUNT_STATE_OFFSET
    world.bench.put(
        outbox, bytes(found.data[:at]) + bytes([c.OUTBOX_PENDING]) + bytes(found.data[at + 1 :]), found.owner
    )
    assert world.bench.refused(step) == "AlreadyDelivered"


def test_fulfil_attack__after_a_signed_refusal__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    world.bench.accepted(world.bench.delivery(result_messages(request, sp.refusal())[0]))
    assert state(world, request) is OutboxState.REFUSED
    assert world.bench.refused(world.fulfilment(request, honest(), tail)) == "NotPending"
    world.bench.accepted(instructions.close_outbox(world.bench.at, 1, world.payer, signed=False))
    assert world.bench.refused(world.fulfilment(request, honest(), tail)) == "WrongOwner"


def test_fulfil_attack__refusal_after_it__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    world.bench.accepted(world.fulfilment(request, honest(), tail))
    assert world.bench.refused(world.bench.delivery(result_messages(request, sp.refusal())[0])) == "AlreadyDelivered"


def test_fulfil_attack__after_the_expiry__refused_and_refunded(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    world.bench.set_time(sp.DEADLINE + 1)
    assert world.bench.refused(step) == "Expired"
    world.bench.accepted(instructions.refund(world.bench.at, 1, world.payer))
    assert world.bench.refused(step) == "WrongOwner"
    before = world.bench.lamports(world.payer)
    world.bench.accepted(steps.close_proof(world.verifier, world.payer, request.digest))
    assert world.bench.lamports(world.payer) == before + world.bench.rent(PROOF_START + steps.FIRST_CHUNK) - 5000


def test_fulfil__at_the_last_second__accepted(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    world.bench.set_time(sp.DEADLINE)
    world.bench.accepted(world.fulfilment(request, honest(), tail))


@pytest.mark.parametrize("policy", [Policy.ATTESTED, Policy.RECOMPUTED])
def test_fulfil_attack__request_under_another_policy__refused(world: World, policy: Policy) -> None:
    # Its fee is the treasury's, for signers who worked for it.
    request = world.ask(honest(), policy)
    tail = world.upload(request.digest, honest().given)
    assert world.bench.refused(world.fulfilment(request, honest(), tail)) == "UnsupportedPolicy"


@pytest.mark.parametrize("policy", [Policy.ATTESTED, Policy.PROVEN, Policy.BOTH, Policy.RECOMPUTED])
def test_deliver_attack__signed_answer_to_a_proven_request__refused(world: World, policy: Policy) -> None:
    # A whole committee of liars cannot answer what is to be proven.
    request = world.ask(honest())
    result = result_messages(request, Outcome(Status.ANSWERED, (123,), sv.SCALE))[0]
    at = c.RESULT_POLICY_OFFSET
    lie = replace(result, payload=result.payload[:at] + bytes([policy]) + result.payload[at + 1 :])
    assert world.bench.refused(world.bench.delivery(lie)) == "UnsupportedPolicy"
    assert state(world, request) is OutboxState.PENDING


def test_fulfil_attack__message_foreign_request_or_forged_outbox__refused(world: World) -> None:
    at, request = world.bench.at, world.ask(honest())
    tail = world.upload(request.digest, honest().given)
    step = world.fulfilment(request, honest(), tail)
    world.bench.accepted(instructions.send(at, world.payer, 2, sp.EVM, sp.EVM_USER, b"no request"))
    assert world.bench.refused(bent(step, account_4=at.outbox(2).address)) == "NotPending"
    data, elsewhere = bytes(world.bench.account(at.outbox(1).address).data), Pubkey.new_unique()
    world.bench.put(elsewhere, data, Pubkey.new_unique())
    assert world.bench.refused(bent(step, account_4=elsewhere)) == "WrongOwner"
    world.bench.put(elsewhere, data, at.program)
    assert world.bench.refused(bent(step, account_4=elsewhere)) == "WrongAddress"
    assert (
        world.bench.refused(bent(step, account_4=world.verifier.proof(request.digest, world.payer).address))
        == "WrongOwner"
    )
    other = sv.start()
    there = other.bench.at.outbox(1).address
    world.bench.put(there, data, other.bench.at.program)
    assert world.bench.refused(bent(step, account_4=there)) == "WrongOwner"


def test_fulfil_attack__verifier_that_says_yes__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    fake = Pubkey.new_unique()
    world.bench.svm.add_program(fake, yes_program())
    step = world.fulfilment(request, honest(), tail, outputs=(1,))
    assert world.bench.refused(bent(step, account_5=fake)) == "WrongVerifier"
    assert world.bench.refused(bent(step, account_5=SYSTEM)) == "WrongVerifier"
    fake_model = replace(world.model(honest()), verifier=fake)
    assert world.bench.refused(world.fulfilment(request, honest(), tail, model=fake_model)) == "WrongVerifier"
    # A model account that names it, at another address or of another owner.
    address = world.bench.at.model(sp.MODEL).address
    data = bytes(world.bench.account(address).data)
    forged = data[: c.MODEL_ACCOUNT_VERIFIER_OFFSET] + bytes(fake) + data[c.MODEL_ACCOUNT_VERIFYING_KEY_OFFSET :]
    for owner, verdict in ((world.bench.at.program, "WrongAddress"), (fake, "WrongOwner")):
        place = Pubkey.new_unique()
        world.bench.put(place, forged, owner)
        assert world.bench.refused(bent(step, account_1=place, account_5=fake)) == verdict


def test_fulfil_attack__key_that_is_not_the_models__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    copied = world.upload_key(honest(), stranger(world))  # the same content, under another address
    other, forged = world.upload_key(honest("tumour")), Pubkey.new_unique()
    world.bench.put(forged, bytes(world.bench.account(copied).data), world.verifier.program)
    for key in (copied, other, forged, SYSTEM):
        assert world.bench.refused(bent(step, account_6=key)) == "WrongVerifier"


def test_fulfil_attack__registered_key_that_is_not_sealed__refused() -> None:
    # Governance may register a key before it is sealed: until then nothing is proven under it.
    world = sv.start()
    owner = stranger(world)
    create, *writes, seal = steps.key_steps(world.verifier, owner.pubkey(), honest().content)
    for step in (create, *writes):
        world.bench.accepted(step, signers=(owner,))
    held = world.register(world.model(honest(), verifying_key=world.key_of(honest(), owner.pubkey())))
    request = world.ask(honest())
    fulfilment = world.fulfilment(request, honest(), world.upload(request.digest, honest().given), model=held)
    assert world.bench.refused(fulfilment) == "UnsealedKey"
    world.bench.accepted(seal, signers=(owner,))
    world.bench.accepted(fulfilment)


def test_fulfil_attack__key_of_another_verifier_program__refused() -> None:
    world = sv.start()
    world.upload_key(honest())
    other = VerifierAddresses(Pubkey.new_unique())
    world.bench.svm.add_program(other.program, build_programs().verifier_so.read_bytes())
    held = world.register(world.model(honest(), verifier=other.program))  # the key is of the first one
    request = world.ask(honest())
    chunk = honest().given[: steps.FIRST_CHUNK]
    world.bench.accepted(steps.create_proof(other, world.payer, request.digest, steps.FIRST_CHUNK, chunk))
    step = world.fulfilment(request, honest(), honest().given[steps.FIRST_CHUNK :], model=held)
    assert world.bench.refused(step) == "WrongOwner"


def test_fulfil_attack__proof_account_of_somebody_else__refused_and_kept(waiting: tuple[World, Message, bytes]) -> None:
    # Who reads the upload may copy it, but not use it up.
    world, request, tail = waiting
    mallory = stranger(world)
    address = world.verifier.proof(request.digest, world.payer).address
    before = world.bench.account(address)
    step = bent(world.fulfilment(request, honest(), tail, payer=mallory.pubkey()), account_7=address)
    assert world.bench.refused(step, signers=(mallory,)) == "WrongPayer"
    assert world.bench.account(address) == before


def test_fulfil_attack__no_proof_account_or_one_of_another_owner__refused(
    waiting: tuple[World, Message, bytes],
) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    address = world.verifier.proof(request.digest, world.payer).address
    fake = Pubkey.new_unique()
    world.bench.put(fake, bytes(world.bench.account(address).data), world.bench.at.program)
    for place, verdict in (
        (Pubkey.new_unique(), "WrongOwner"),
        (fake, "WrongOwner"),
        (world.key_of(honest()), "WrongAccountType"),
    ):
        assert world.bench.refused(bent(step, account_7=place)) == verdict
    read_only = AccountMeta(address, False, False)
    assert world.bench.refused(bent(step, account_7=read_only)) == "NotWritable"


def test_fulfil_attack__proof_changed_closed_or_recreated_between__refused(
    waiting: tuple[World, Message, bytes],
) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    spoil = steps.write_proof(world.verifier, world.payer, request.digest, 900 - 1, b"\0")
    world.bench.accepted(spoil)
    assert world.bench.refused(step) == "InvalidProof"
    world.bench.accepted(steps.close_proof(world.verifier, world.payer, request.digest))
    assert world.bench.refused(step) == "WrongOwner"
    world.bench.accepted(steps.create_proof(world.verifier, world.payer, request.digest, steps.FIRST_CHUNK, b""))
    assert world.bench.refused(step) == "InvalidProof"
    for at in (0, 450):
        part = honest().given[at : at + 450]
        world.bench.accepted(steps.write_proof(world.verifier, world.payer, request.digest, at, part))
    world.bench.accepted(step)


def test_fulfil__two_provers__one_is_paid_and_the_other_gets_its_rent_back(world: World) -> None:
    request, loser = world.ask(honest()), stranger(world)
    late = world.upload(request.digest, honest().given, payer=loser)
    tail = world.upload(request.digest, honest().given)
    world.bench.accepted(world.fulfilment(request, honest(), tail))
    step = world.fulfilment(request, honest(), late, payer=loser.pubkey())
    assert world.bench.refused(step, signers=(loser,)) == "NotPending"
    world.bench.accepted(steps.close_proof(world.verifier, loser.pubkey(), request.digest), signers=(loser,))
    assert world.bench.lamports(loser.pubkey()) >= FUNDS - 3 * 5000


def test_fulfil__same_question_twice__one_proof_serves_both(world: World) -> None:
    # A proof is about numbers, not about a request: whoever asks again is answered by the same proof, and each request only once.
    one, two = world.ask(honest()), world.ask(honest())
    for request in (one, two):
        tail = world.upload(one.digest, honest().given)
        step = world.fulfilment(request, honest(), tail)
        world.bench.accepted(bent(step, account_7=world.verifier.proof(one.digest, world.payer).address))
    assert (state(world, one), state(world, two)) == (OutboxState.ANSWERED, OutboxState.ANSWERED)


# ---- governance between request and answer ----


def planted(world: World, **changes: object) -> None:
    """The model's account with other facts, as no instruction can make it once it has a verifier."""
    address = world.bench.at.model(sp.MODEL).address
    data, found = bytearray(world.bench.account(address).data), world.bench.account(address)
    sizes = {"input_count": 2, "output_count": 2}
    for name, value in changes.items():
        at = getattr(c, f"MODEL_ACCOUNT_{name.upper()}_OFFSET")
        raw = value.to_bytes(sizes[name], "little") if isinstance(value, int) else bytes(value)  # type: ignore[call-overload]  # a key otherwise
        data[at : at + len(raw)] = raw
    world.bench.put(address, bytes(data), found.owner, found.lamports)


@pytest.mark.parametrize(
    "change",
    [
        {"verifier": Pubkey.default(), "verifying_key": Pubkey.default()},
        {"verifier": Pubkey.new_unique()},
        {"verifying_key": Pubkey.new_unique()},
        {"input_count": 1},
        {"output_count": 2},
        {"input_scale": 11},
        {"output_scale": 12},
    ],
)
def test_register_model__with_a_verifier_already__what_proofs_are_about_stays(
    world: World, change: dict[str, object]
) -> None:
    # A request that waits is judged by what it was asked under, whoever governs by then.
    authority, registered = world.bench.authority, world.model(honest())
    step = instructions.register_model(world.bench.at, authority.pubkey(), replace(registered, **change))  # type: ignore[arg-type]  # a test's shorthand
    assert world.bench.refused(step, signers=(authority,)) == "FixedModel"
    held = world.register(replace(registered, active=False, price=7, input_bound=9))
    address = world.bench.at.model(sp.MODEL).address
    assert ModelAccount.decode(world.bench.data(address), world.bench.at.program) == held


def test_fulfil__model_that_takes_no_requests_any_more__still_answers_those_that_wait(
    waiting: tuple[World, Message, bytes],
) -> None:
    world, request, tail = waiting
    world.register(world.model(honest(), active=False))
    world.bench.accepted(world.fulfilment(request, honest(), tail))


def test_fulfil_attack__verifier_gone_all_the_same__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    planted(world, verifier=Pubkey.default(), verifying_key=Pubkey.default())
    assert world.bench.refused(step) == "WrongVerifier"
    # The system program has the address that stands there now.
    assert world.bench.refused(bent(step, account_5=SYSTEM, account_6=SYSTEM)) == "WrongVerifier"


def test_fulfil_attack__other_key_or_counts_all_the_same__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    planted(world, verifying_key=world.upload_key(honest("tumour")))
    assert world.bench.refused(step) == "WrongVerifier"
    planted(world, verifying_key=world.key_of(honest()), output_count=2)
    assert world.bench.refused(step) == "WrongOutputCount"
    planted(world, output_count=1, input_count=3)
    world.bench.accepted(step)  # the inputs are those of the request


def test_fulfil_attack__more_instances_than_a_call_holds__refused(asked: World) -> None:
    at, key = asked.bench.at, Pubkey.new_unique()
    held = asked.register(sp.model(input_count=255, output_count=1, verifier=asked.verifier.program, verifying_key=key))
    request = asked.bench.post_request(asked.bench.asked(inputs=(1,) * 255, policy=Policy.PROVEN))
    planted(asked, output_count=64)
    step = instructions.fulfil(at, asked.payer, request, (1,) * 64, held, b"")
    assert asked.bench.refused(step) == "WrongOutputCount"


@pytest.mark.parametrize(
    "facts",
    [
        {"verifying_key": Pubkey.default()},
        {"verifier": Pubkey.default()},
        {"input_count": 256, "output_count": 1},
        {"input_count": 193, "output_count": 64},
    ],
)
def test_register_model__half_a_verifier_or_too_many_instances__refused(world: World, facts: dict[str, object]) -> None:
    authority = world.bench.authority
    step = instructions.register_model(world.bench.at, authority.pubkey(), world.model(honest(), **facts))
    assert world.bench.refused(step, signers=(authority,)) == "InvalidModel"


# ---- requests ----


def test_request__proven_without_a_verifier__refused() -> None:
    bench = sp.start()
    step = instructions.request(bench.at, bench.user.pubkey(), 1, sp.DEADLINE, bench.asked(policy=Policy.PROVEN))
    assert bench.refused(step) == "UnsupportedPolicy"


def test_request__proven_with_remotes_or_both__refused(world: World) -> None:
    at, who = world.bench.at, world.payer
    remote = Remote(Policy.ATTESTED, sp.EVM, sp.EVM_HUB, sp.EVM_USER)
    plain = InferenceRequest(sp.MODEL, sp.PRICE, 0, Policy.ATTESTED, (remote,), honest().inputs)
    step = instructions.request(at, who, 1, sp.DEADLINE, plain)
    policy_at = step.data.index(bytes([Policy.ATTESTED, 1, Policy.ATTESTED]))
    data = step.data[:policy_at] + bytes([Policy.PROVEN]) + step.data[policy_at + 1 :]
    assert world.bench.refused(bent(step, data=data)) == "UnsupportedPolicy"
    both = instructions.request(at, who, 1, sp.DEADLINE, replace(plain, policy=Policy.BOTH, remotes=()))
    assert world.bench.refused(both) == "UnsupportedPolicy"


# ---- form ----


def test_fulfil__other_data_accounts_or_bumps__refused(waiting: tuple[World, Message, bytes]) -> None:
    world, request, tail = waiting
    step = world.fulfilment(request, honest(), tail)
    for accounts in (step.accounts[:-1], [*step.accounts, AccountMeta(SYSTEM, False, False)]):
        assert world.bench.refused(Instruction(step.program_id, bytes(step.data), accounts)) == "WrongAccountCount"
    for data in (step.data[:1], step.data[:3], step.data[:11]):
        assert world.bench.refused(bent(step, data=data)) == "InvalidInstruction"
    for at in (1, 2):
        lower = step.data[:at] + bytes([step.data[at] - 1]) + step.data[at + 1 :]
        assert world.bench.refused(bent(step, data=lower)) == "NotCanonicalBump"
    unsigned = AccountMeta(stranger(world).pubkey(), False, True)
    assert world.bench.refused(bent(step, account_0=unsigned)) == "MissingSignature"
    swapped = bent(step, account_2=step.accounts[3].pubkey, account_3=step.accounts[2].pubkey)
    assert world.bench.refused(swapped) in ("WrongAddress", "NotCanonicalBump")
    other_window = world.bench.at.replay(world.bench.home, c.REPLAY_WINDOW + 1)
    assert world.bench.refused(bent(step, account_2=other_window.address)) == "WrongAddress"
    other_model = world.bench.at.config.address
    assert world.bench.refused(bent(step, account_1=other_model)) in ("WrongAccountSize", "WrongAccountType")
    assert world.bench.refused(bent(step, account_8=world.verifier.program)) == "WrongAddress"
    world.bench.accepted(step)
