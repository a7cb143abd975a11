"""The verifier program in Solana's runtime: keys are written by their payer alone and sealed by their hash; proofs hold or do not."""

import random
from dataclasses import replace

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.transaction_metadata import FailedTransactionMetadata

from bridges.solana import verifier_instructions as steps
from bridges.solana.verifier_layout import PROOF_SIZE, PROOF_START, KeyAccount, ProofAccount, key_hash
from circuits.halo2.packed import pack
from circuits.halo2.pairing import G2
from circuits.halo2.prepared import hint, prepare
from contracts.solana.build import build_programs
from contracts.solana.errors import program_errors
from oracle.protocol import constants as c
from tests.support import halo2_mutations as mutate
from tests.support import solana_verifier as sv
from tests.support.halo2 import Case
from tests.support.halo2_program import honest_hint
from tests.support.solana_program import FUNDS, bent
from tests.support.solana_verifier import World, honest

GOAL = 500_000
PROGRAM_BYTES = 88 * 1024
LABEL = bytes(range(32))


@pytest.fixture
def world() -> World:
    return sv.start()


def stranger(world: World) -> Keypair:
    """Somebody with lamports."""
    who = Keypair()
    world.bench.svm.airdrop(who.pubkey(), FUNDS)
    return who


# ---- keys ----


def test_verifier_key__written_in_parts_and_sealed__holds_the_content(world: World) -> None:
    proof = honest("tumour")
    address = world.upload_key(proof)
    found = KeyAccount.decode(world.bench.data(address), world.verifier.program)
    assert found == KeyAccount(True, len(proof.content), world.payer, key_hash(proof.content), proof.content)
    assert world.bench.lamports(address) == world.bench.rent(c.VERIFIER_KEY_ACCOUNT_SIZE + len(proof.content))


def test_verifier_key__larger_than_one_growth__grows_as_it_is_written(world: World) -> None:
    # A key of 120 instances: 19,728 bytes. It is no real one, but has a real one's form.
    content = prepare(replace(honest().key, instance_count=120))
    assert len(content) > c.VERIFIER_GROWTH
    create, *writes, seal = steps.key_steps(world.verifier, world.payer, content)
    world.bench.accepted(create)
    address = world.verifier.key(key_hash(content), world.payer).address
    rent = world.bench.rent(c.VERIFIER_KEY_ACCOUNT_SIZE + len(content))
    assert (len(world.bench.account(address).data), world.bench.lamports(address)) == (c.VERIFIER_GROWTH, rent)
    assert world.bench.refused(seal) == "IncompleteKey"
    far = steps.write_key(world.verifier, world.payer, key_hash(content), len(content) - 1, b"xx")
    assert world.bench.refused(far) == "OutOfBounds"
    for step in writes:
        world.bench.accepted(step)
    world.bench.accepted(seal)
    found = KeyAccount.decode(world.bench.data(address), world.verifier.program)
    assert (found.sealed, found.content, world.bench.lamports(address)) == (True, content, rent)


@pytest.mark.parametrize("size", [0, 71, 2448, 2591, 2448 + 144 * 1024 + 1, 2**32 - 1])
def test_verifier_key__size_that_no_key_has__refused(world: World, size: int) -> None:
    assert world.bench.refused(steps.create_key(world.verifier, world.payer, bytes(32), size)) == "InvalidKey"


def test_verifier_key__created_twice__refused(world: World) -> None:
    create = steps.key_steps(world.verifier, world.payer, honest().content)[0]
    world.bench.accepted(create)
    assert world.bench.refused(create) == "AlreadyExists"


def test_verifier_key__lamports_sent_there_before__created_all_the_same(world: World) -> None:
    world.bench.svm.airdrop(world.key_of(honest()), 1_000_000)
    world.upload_key(honest())


def test_verifier_key__sealed__never_written_sealed_or_closed_again(world: World) -> None:
    content = honest().content
    address, hashed = world.upload_key(honest()), key_hash(content)
    before = world.bench.account(address)
    for step in (
        steps.write_key(world.verifier, world.payer, hashed, 0, b"\0"),
        steps.write_key(world.verifier, world.payer, hashed, 0, b""),
        steps.seal_key(world.verifier, world.payer, hashed),
        steps.close_key(world.verifier, world.payer, hashed),
    ):
        assert world.bench.refused(step) == "SealedKey"
    assert world.bench.refused(steps.create_key(world.verifier, world.payer, hashed, len(content))) == "AlreadyExists"
    assert world.bench.account(address) == before


@pytest.mark.parametrize("at", [0, 8, 500, 2879])
def test_verifier_key__content_of_another_hash__not_sealed(world: World, at: int) -> None:
    content = honest().content
    create, *writes, seal = steps.key_steps(world.verifier, world.payer, content)
    world.bench.accepted(create, *writes[:1])
    for step in writes[1:]:
        world.bench.accepted(step)
    hashed = key_hash(content)
    world.bench.accepted(steps.write_key(world.verifier, world.payer, hashed, at, bytes([content[at] ^ 1])))
    assert world.bench.refused(seal) == "WrongHash"
    world.bench.accepted(steps.write_key(world.verifier, world.payer, hashed, at, content[at : at + 1]))
    world.bench.accepted(seal)


def test_verifier_key__content_that_is_no_key__not_sealed(world: World) -> None:
    content = honest().content
    for other in (b"x" + content[1:], content[:12] + b"\4" + content[13:], content[:8] + b"\3" + content[9:]):
        create, *writes, seal = steps.key_steps(world.verifier, world.payer, other)
        for step in (create, *writes):
            world.bench.accepted(step)
        assert world.bench.refused(seal) == "InvalidKey"


def test_verifier_key__somebody_elses__not_written_sealed_or_closed(world: World) -> None:
    mallory, hashed = stranger(world), key_hash(honest().content)
    world.bench.accepted(steps.key_steps(world.verifier, world.payer, honest().content)[0])
    address = world.key_of(honest())
    before = world.bench.account(address)
    for step in (
        steps.write_key(world.verifier, mallory.pubkey(), hashed, 0, b"x"),
        steps.seal_key(world.verifier, mallory.pubkey(), hashed),
        steps.close_key(world.verifier, mallory.pubkey(), hashed),
    ):
        assert world.bench.refused(bent(step, account_1=address), signers=(mallory,)) == "WrongPayer"
    for step in (
        steps.write_key(world.verifier, world.payer, hashed, 0, b"x"),
        steps.seal_key(world.verifier, world.payer, hashed),
        steps.close_key(world.verifier, world.payer, hashed),
    ):
        unsigned = bent(step, account_0=AccountMeta(mallory.pubkey(), True, True))
        assert world.bench.refused(unsigned, signers=(mallory,)) == "WrongPayer"
    assert world.bench.account(address) == before


def test_verifier_key__closed_before_the_seal__rent_comes_back(world: World) -> None:
    before = world.bench.lamports(world.payer)
    create, write, *_ = steps.key_steps(world.verifier, world.payer, honest().content)
    world.bench.accepted(create, write)
    world.bench.accepted(steps.close_key(world.verifier, world.payer, key_hash(honest().content)))
    assert world.bench.lamports(world.payer) == before - 2 * 5000
    assert not world.bench.exists(world.key_of(honest()))
    world.upload_key(honest())  # and it can be made again


def test_verifier_key__of_another_payer__has_another_address_and_serves_all(world: World) -> None:
    mallory = stranger(world)
    theirs = world.upload_key(honest(), mallory)
    assert theirs != world.upload_key(honest())
    tail = world.upload(LABEL, honest().given)
    world.bench.accepted(world.verification(honest(), tail, label=LABEL, key=theirs))


# ---- proofs ----


@pytest.mark.parametrize("name", ["tiny", "tumour"])
@pytest.mark.parametrize("first", [0, 1, steps.FIRST_CHUNK, PROOF_SIZE - 500])
def test_verify__honest_proof__holds_and_gives_the_rent_back(world: World, name: str, first: int) -> None:
    proof = honest(name)
    world.upload_key(proof)
    before = world.bench.lamports(world.payer)
    chunk = min(first, steps.FIRST_CHUNK)
    step = steps.create_proof(world.verifier, world.payer, LABEL, first, proof.given[:chunk])
    world.bench.accepted(step)
    address = world.verifier.proof(LABEL, world.payer).address
    found = ProofAccount.decode(world.bench.data(address), world.verifier.program)
    assert found == ProofAccount(world.payer, LABEL, proof.given[:chunk].ljust(first, b"\0"))
    if chunk < first:
        world.bench.accepted(steps.write_proof(world.verifier, world.payer, LABEL, chunk, proof.given[chunk:first]))
    # Too large for a packet with all instances and a tail; the runtime in this process does not mind.
    world.bench.accepted(world.verification(proof, proof.given[first:], label=LABEL))
    assert world.bench.units < GOAL
    assert not world.bench.exists(address)
    assert world.bench.lamports(world.payer) == before - 5000 * (3 if chunk < first else 2)


def refused(world: World, case: Case, given: bytes, key: Pubkey) -> str:
    """The verdict on a case whose proof stands in the account, as text."""
    address = world.verifier.proof(LABEL, world.payer).address
    found = world.bench.account(address)
    world.bench.put(address, bytes(found.data[:PROOF_START]) + given, world.verifier.program, found.lamports)
    return world.bench.refused(steps.verify(world.verifier, world.payer, key, LABEL, sv.words(case.instances), b""))


@pytest.fixture(scope="module")
def ready() -> tuple[World, Pubkey]:
    """A world with tiny's key, and a proof account of the payer's to be filled."""
    world = sv.start()
    key = world.upload_key(honest())
    world.upload(LABEL, honest().given, PROOF_SIZE - 500)
    return world, key


def test_verify__every_byte_of_the_upload_flipped__refused(ready: tuple[World, Pubkey]) -> None:
    world, key = ready
    proof, draw = honest(), random.Random("upload")
    verdicts = {
        at: refused(world, proof.case, proof.given[:at] + bytes([proof.given[at] ^ 1 << draw.randrange(8)]) + proof.given[at + 1 :], key)
        for at in range(0, PROOF_SIZE, 3)
    }  # fmt: skip
    assert set(verdicts.values()) == {"InvalidProof"}


def test_verify__mutations_with_their_own_hint__refused_as_by_the_reference(ready: tuple[World, Pubkey]) -> None:
    # An attacker computes the hint that fits the spoilt proof: nothing but the proof itself may decide.
    world, key = ready
    proof = honest()
    pool = [*mutate.swaps(proof.case), *mutate.scalars(proof.case, ("one more", "zero", "r", "plus r", "max"))]
    pool += [one for one in mutate.points(proof.case) if one.name.split(": ")[1] in ("generator", "negated", "doubled")]
    sample = random.Random("mutations").sample(pool, 120)
    found = {
        refused(world, one, pack(one.proof) + honest_hint(proof.key, one.proof, one.instances), key) for one in sample
    }
    assert found == {"InvalidProof"}


@pytest.mark.parametrize("word", [bytes(32), b"\x40" + bytes(31), b"\x80" + bytes(31), b"\xff" * 32])
def test_verify__infinity_or_no_point_in_each_place__refused(ready: tuple[World, Pubkey], word: bytes) -> None:
    world, key = ready
    given = honest().given
    for at in [*range(0, 32 * 14, 32), 1440 - 64, 1440 - 32]:
        assert refused(world, honest().case, given[:at] + word + given[at + 32 :], key) == "InvalidProof"


def test_verify__each_instance_changed__refused(ready: tuple[World, Pubkey]) -> None:
    world, key = ready
    proof = honest()
    for one in mutate.instances(proof.case):
        canonical = all(value < sv.R for value in one.instances) and len(one.instances) == proof.key.instance_count
        given = pack(one.proof) + hint(proof.key, one.proof, one.instances) if canonical else proof.given
        assert refused(world, one, given, key) == "InvalidProof", one.name


@pytest.mark.parametrize("size", [0, 1, PROOF_SIZE - 501])
def test_verify__account_and_tail_of_another_size__refused(ready: tuple[World, Pubkey], size: int) -> None:
    world, key = ready
    given = honest().given
    address = world.verifier.proof(LABEL, world.payer).address
    header = bytes(world.bench.account(address).data[:PROOF_START])
    world.bench.put(address, header + given[:size], world.verifier.program)
    for tail in (b"", given[size:-1], given[size:] + b"\0", given):
        if len(tail) + size != PROOF_SIZE:
            step = steps.verify(world.verifier, world.payer, key, LABEL, honest().words, tail)
            assert world.bench.refused(step) == "WrongProofSize"


def test_verify__instances_cut_or_with_bytes_behind__refused(ready: tuple[World, Pubkey]) -> None:
    world, key = ready
    address = world.verifier.proof(LABEL, world.payer).address
    header = bytes(world.bench.account(address).data[:PROOF_START])
    world.bench.put(address, header + honest().given, world.verifier.program)
    step = steps.verify(world.verifier, world.payer, key, LABEL, honest().words, b"")
    for count, verdict in ((2, "WrongProofSize"), (4, "InvalidInstruction"), (0xFFFF, "InvalidInstruction")):
        data = bytes([7]) + count.to_bytes(2, "little") + step.data[3:]
        assert world.bench.refused(bent(step, data=data)) == verdict
    assert world.bench.refused(bent(step, data=b"\7\3")) == "InvalidInstruction"


def test_verify__key_of_another_model__refused(world: World) -> None:
    other = world.upload_key(honest("tumour"))
    world.upload_key(honest())
    tail = world.upload(LABEL, honest().given)
    assert world.bench.refused(world.verification(honest(), tail, label=LABEL, key=other)) == "InvalidProof"


def test_verify__key_of_another_reference_string__refused(world: World) -> None:
    # The same model under a setup whose secret is -1: nothing else of the key differs.
    content = prepare(replace(honest().key, neg_s_g2=G2))
    assert sum(a != b for a, b in zip(content, honest().content, strict=True)) <= 128
    for step in steps.key_steps(world.verifier, world.payer, content):
        world.bench.accepted(step)
    key = world.verifier.key(key_hash(content), world.payer).address
    tail = world.upload(LABEL, honest().given)
    assert world.bench.refused(world.verification(honest(), tail, label=LABEL, key=key)) == "InvalidProof"


def test_verify__key_that_is_not_sealed__refused(world: World) -> None:
    create, *writes, seal = steps.key_steps(world.verifier, world.payer, honest().content)
    for step in (create, *writes):
        world.bench.accepted(step)
    tail = world.upload(LABEL, honest().given)
    step = world.verification(honest(), tail, label=LABEL)
    assert world.bench.refused(step) == "UnsealedKey"
    world.bench.accepted(seal)
    world.bench.accepted(step)


def test_verify__forged_key__refused(world: World) -> None:
    real = world.upload_key(honest())
    data, tail = bytes(world.bench.account(real).data), world.upload(LABEL, honest().given)
    fake, elsewhere = Pubkey.new_unique(), Pubkey.new_unique()
    forgeries = {"WrongOwner": (fake, elsewhere), "WrongAddress": (fake, world.verifier.program)}
    for verdict, (address, owner) in forgeries.items():
        world.bench.put(address, data, owner)
        assert world.bench.refused(world.verification(honest(), tail, label=LABEL, key=address)) == verdict
    for other in (b"\2" + data[1:], data[:1] + b"\2" + data[2:]):
        world.bench.put(real, other, world.verifier.program)
        assert world.bench.refused(world.verification(honest(), tail, label=LABEL)) == "WrongAccountType"
    world.bench.put(real, data + b"\0", world.verifier.program)
    assert world.bench.refused(world.verification(honest(), tail, label=LABEL)) == "WrongAccountSize"
    world.bench.put(real, data[:-144], world.verifier.program)
    assert world.bench.refused(world.verification(honest(), tail, label=LABEL)) == "InvalidKey"
    proof = world.verifier.proof(LABEL, world.payer).address
    assert world.bench.refused(world.verification(honest(), tail, label=LABEL, key=proof)) == "WrongAccountType"


def test_verify__proof_of_somebody_else__refused_and_kept(world: World) -> None:
    mallory, key = stranger(world), world.upload_key(honest())
    tail = world.upload(LABEL, honest().given)
    address = world.verifier.proof(LABEL, world.payer).address
    before = world.bench.account(address)
    step = bent(steps.verify(world.verifier, mallory.pubkey(), key, LABEL, honest().words, tail), account_1=address)
    assert world.bench.refused(step, signers=(mallory,)) == "WrongPayer"
    unsigned = bent(step, account_2=AccountMeta(Keypair().pubkey(), False, True))
    assert world.bench.refused(unsigned) == "MissingSignature"
    for one in (
        steps.write_proof(world.verifier, mallory.pubkey(), LABEL, 0, b"x"),
        steps.close_proof(world.verifier, mallory.pubkey(), LABEL),
    ):
        assert world.bench.refused(bent(one, account_1=address), signers=(mallory,)) == "WrongPayer"
    assert world.bench.account(address) == before


def test_verify__proof_changed_between_the_steps__refused_then_repaired(world: World) -> None:
    world.upload_key(honest())
    tail = world.upload(LABEL, honest().given)
    step = world.verification(honest(), tail, label=LABEL)
    world.bench.accepted(steps.write_proof(world.verifier, world.payer, LABEL, 40, b"\0"))
    assert world.bench.refused(step) == "InvalidProof"
    world.bench.accepted(steps.write_proof(world.verifier, world.payer, LABEL, 40, honest().given[40:41]))
    world.bench.accepted(step)
    assert world.bench.refused(step) == "WrongOwner"  # closed: nothing is left to verify


def test_verify__proof_closed_and_recreated__starts_from_nothing(world: World) -> None:
    world.upload_key(honest())
    tail = world.upload(LABEL, honest().given)
    world.bench.accepted(
        steps.close_proof(world.verifier, world.payer, LABEL),
        steps.create_proof(world.verifier, world.payer, LABEL, steps.FIRST_CHUNK, b""),
    )
    assert world.bench.refused(world.verification(honest(), tail, label=LABEL)) == "InvalidProof"
    for at in (0, 500):
        part = honest().given[at : min(at + 500, steps.FIRST_CHUNK)]
        world.bench.accepted(steps.write_proof(world.verifier, world.payer, LABEL, at, part))
    world.bench.accepted(world.verification(honest(), tail, label=LABEL))


def test_verify__closed_before__not_revived_in_one_transaction(world: World) -> None:
    world.upload_key(honest())
    tail = world.upload(LABEL, honest().given)
    step = world.verification(honest(), tail, label=LABEL)
    done = world.bench.run(steps.close_proof(world.verifier, world.payer, LABEL), step)
    assert isinstance(done, FailedTransactionMetadata)


def test_proof__account__bounds_and_bumps_are_checked(world: World) -> None:
    first = steps.create_proof(world.verifier, world.payer, LABEL, 10, b"12345")
    too_long = bytes([4, first.data[1]]) + LABEL + (4).to_bytes(2, "little") + b"12345"
    assert world.bench.refused(bent(first, data=too_long)) == "OutOfBounds"
    too_large = bytes([4, first.data[1]]) + LABEL + (PROOF_SIZE + 1).to_bytes(2, "little")
    assert world.bench.refused(bent(first, data=too_large)) == "WrongProofSize"
    lower = bytes([4, first.data[1] - 1]) + first.data[2:]
    assert world.bench.refused(bent(first, data=lower)) == "NotCanonicalBump"
    world.bench.accepted(first)
    assert world.bench.refused(first) == "AlreadyExists"
    for offset, part in ((6, b"12345"), (11, b""), (0xFFFF, b"1")):
        step = steps.write_proof(world.verifier, world.payer, LABEL, offset, part)
        assert world.bench.refused(step) == "OutOfBounds"
    world.bench.accepted(steps.write_proof(world.verifier, world.payer, LABEL, 5, b"67890"))
    address = world.verifier.proof(LABEL, world.payer).address
    assert bytes(world.bench.account(address).data)[PROOF_START:] == b"1234567890"
    before = world.bench.lamports(world.payer)
    world.bench.accepted(steps.close_proof(world.verifier, world.payer, LABEL))
    assert world.bench.lamports(world.payer) == before + world.bench.rent(PROOF_START + 10) - 5000


def test_instructions__of_the_verifier__refuse_other_data_and_accounts(world: World) -> None:
    world.upload_key(honest())
    tail = world.upload(LABEL, honest().given)
    whole = [
        *steps.key_steps(world.verifier, world.payer, honest("tumour").content)[:2],
        steps.close_proof(world.verifier, world.payer, LABEL),
        world.verification(honest(), tail, label=LABEL),
    ]
    extra = AccountMeta(SYSTEM, False, False)
    for step in whole:
        fewer = type(step)(step.program_id, bytes(step.data), step.accounts[:-1])
        more = type(step)(step.program_id, bytes(step.data), [*step.accounts, extra])
        for wrong in (fewer, more):
            assert world.bench.refused(wrong) == "WrongAccountCount"
    for data in (b"", b"\x08", b"\xff", b"\2x", b"\6x", whole[0].data + b"x"):
        assert world.bench.refused(bent(whole[0], data=data)) in ("InvalidInstruction", "WrongAccountCount")


def test_instructions__random_data_and_accounts__never_touch_what_is_sealed_or_somebody_elses(world: World) -> None:
    mallory, draw = stranger(world), random.Random("fuzz")
    key = world.upload_key(honest())
    world.upload(LABEL, honest().given)
    theirs = world.verifier.proof(LABEL, world.payer).address
    kept = {address: world.bench.account(address) for address in (key, theirs)}
    own = world.verifier.proof(LABEL, mallory.pubkey()).address
    world.bench.accepted(
        steps.create_proof(world.verifier, mallory.pubkey(), LABEL, 900, honest().given[:900]), signers=(mallory,)
    )
    places = [key, theirs, own, mallory.pubkey(), SYSTEM, world.verifier.program, Pubkey.new_unique()]
    tally = {"accepted": 0, "refused": 0}
    for _ in range(400):
        metas = [
            AccountMeta(one, one == mallory.pubkey(), one != SYSTEM)
            for one in draw.choices(places, k=draw.choice((2, 3)))
        ]
        data = bytes([draw.randrange(8)]) + draw.randbytes(draw.choice((0, 0, 2, 4, 6, 40, 130)))
        done = world.bench.run(Instruction(world.verifier.program, data, metas), signers=(mallory,))
        if isinstance(done, FailedTransactionMetadata):
            # By the program's own word: nothing traps, nothing leaves it to the runtime to notice.
            code = getattr(getattr(done.err(), "err", None), "code", None)
            assert code in program_errors(), (data, world.bench.logs)
            tally["refused"] += 1
        else:
            tally["accepted"] += 1
        assert {address: world.bench.account(address) for address in kept} == kept
    assert tally["refused"] > 300


def test_verifier__program__has_a_bounded_size() -> None:
    assert build_programs().verifier_so.stat().st_size <= PROGRAM_BYTES
