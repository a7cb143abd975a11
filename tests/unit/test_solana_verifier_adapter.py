"""The verifier program's instructions, accounts and addresses as Python writes and reads them, and the fulfilling instruction."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message as TransactionMessage
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.transaction import Transaction

from bridges.solana import instructions
from bridges.solana import verifier_instructions as steps
from bridges.solana.layout import AccountData, ModelAccount, ProgramAddresses
from bridges.solana.verifier_layout import PROOF_SIZE, KeyAccount, ProofAccount, VerifierAddresses, key_hash
from circuits.halo2.packed import PACKED_LENGTH
from circuits.halo2.prepared import HINT_LENGTH
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.message import InferenceRequest, Message, Outcome, result_messages
from oracle.protocol.types import Kind, Policy, Sequence, Status, UnixSeconds
from tests.support import samples
from tests.support.samples import seeded

PACKET = 1232
AT = VerifierAddresses(Pubkey(seeded("verifier program")))
SIBYL = ProgramAddresses(Pubkey(samples.SOLANA.gateway))
PAYER = Keypair.from_seed(seeded("payer"))
WHO = PAYER.pubkey()
LABEL = seeded("label")
HASH = key_hash(b"content")
KEY = struct.pack("<BBBBI", 1, 1, 254, 1, 7) + bytes(WHO) + HASH + b"content"
PROOF = struct.pack("<BBB5x", 2, 1, 254) + bytes(WHO) + LABEL + b"proof"


def roles(step: Instruction, program: Pubkey = AT.program) -> list[tuple[Pubkey, str]]:
    assert step.program_id == program
    return [(meta.pubkey, "w" * meta.is_writable + "s" * meta.is_signer) for meta in step.accounts]


def wire(step: Instruction) -> int:
    """Bytes of the step's transaction, with a limit and a price for its units."""
    budget = [set_compute_unit_limit(500_000), set_compute_unit_price(1)]
    message = TransactionMessage([*budget, step], WHO)
    return len(bytes(Transaction([PAYER], message, Hash.default())))


def request(inputs: int = 30) -> Message:
    """A proven request of this chain."""
    home = samples.SOLANA
    asked = InferenceRequest(samples.MODEL, 9, 0, Policy.PROVEN, (), tuple(range(inputs)))
    return Message(
        Kind.INFERENCE_REQUEST, home, home, Sequence(7), samples.CONSUMER, home.gateway, UnixSeconds(99), asked.to_bytes()
    )  # fmt: skip


def model(outputs: int = 1) -> ModelAccount:
    key = AT.key(HASH, WHO).address
    return ModelAccount(samples.MODEL, 30, outputs, 13, 26, 1 << 40, 5, True, AT.program, key)


def test_verifier_layout__proof_size__is_that_of_a_packed_proof_and_its_hint() -> None:
    assert PROOF_SIZE == PACKED_LENGTH + HINT_LENGTH


def test_verifier_instructions__of_keys__match_the_specification() -> None:
    pda = AT.key(HASH, WHO)
    assert Pubkey.create_program_address([b"key", HASH, bytes(WHO), bytes([pda.bump])], AT.program) == pda.address
    step = steps.create_key(AT, WHO, HASH, 7000)
    assert step.data == bytes([0, pda.bump]) + HASH + struct.pack("<I", 7000)
    assert roles(step) == [(WHO, "ws"), (pda.address, "w"), (SYSTEM, "")]
    step = steps.write_key(AT, WHO, HASH, 960, b"part")
    assert (step.data, roles(step)) == (struct.pack("<BI", 1, 960) + b"part", [(WHO, "s"), (pda.address, "w")])
    step = steps.seal_key(AT, WHO, HASH)
    assert (step.data, roles(step)) == (b"\x02", [(WHO, "s"), (pda.address, "w")])
    step = steps.close_key(AT, WHO, HASH)
    assert (step.data, roles(step)) == (b"\x03", [(WHO, "ws"), (pda.address, "w")])


def test_verifier_instructions__of_proofs__match_the_specification() -> None:
    pda = AT.proof(LABEL, WHO)
    assert Pubkey.create_program_address([b"proof", LABEL, bytes(WHO), bytes([pda.bump])], AT.program) == pda.address
    step = steps.create_proof(AT, WHO, LABEL, 900, b"first")
    assert step.data == bytes([4, pda.bump]) + LABEL + struct.pack("<H", 900) + b"first"
    assert roles(step) == [(WHO, "ws"), (pda.address, "w"), (SYSTEM, "")]
    step = steps.write_proof(AT, WHO, LABEL, 5, b"more")
    assert (step.data, roles(step)) == (struct.pack("<BH", 5, 5) + b"more", [(WHO, "s"), (pda.address, "w")])
    step = steps.close_proof(AT, WHO, LABEL)
    assert (step.data, roles(step)) == (b"\x06", [(WHO, "ws"), (pda.address, "w")])
    key = AT.key(HASH, WHO).address
    step = steps.verify(AT, WHO, key, LABEL, [seeded("i"), seeded("j")], b"tail")
    assert step.data == struct.pack("<BH", 7, 2) + seeded("i") + seeded("j") + b"tail"
    assert roles(step) == [(key, ""), (pda.address, "w"), (WHO, "ws")]


def test_verifier_instructions__malformed__refused() -> None:
    with pytest.raises(EncodeError, match="hash"):
        steps.create_key(AT, WHO, HASH[:-1], 7)
    with pytest.raises(EncodeError, match="label"):
        steps.close_proof(AT, WHO, LABEL + b"\0")
    for size, chunk in ((4, b"first"), (PROOF_SIZE + 1, b"")):
        with pytest.raises(EncodeError, match="first chunk"):
            steps.create_proof(AT, WHO, LABEL, size, chunk)
    with pytest.raises(EncodeError, match="instance"):
        steps.verify(AT, WHO, WHO, LABEL, [b"short"], b"")
    with pytest.raises(EncodeError, match="4 bytes"):
        steps.write_key(AT, WHO, HASH, 1 << 32, b"")


@pytest.mark.parametrize("size", [1, 960, 961, 6912])
def test_verifier_instructions__steps_of_a_key__cover_it_and_fit(size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    first, *writes, last = steps.key_steps(AT, WHO, content)
    assert (first, last) == (
        steps.create_key(AT, WHO, key_hash(content), size),
        steps.seal_key(AT, WHO, key_hash(content)),
    )
    assert b"".join(step.data[5:] for step in writes) == content
    assert all(wire(step) <= PACKET for step in (first, *writes, last))


def test_instructions__fulfil__matches_the_specification() -> None:
    asked, outputs, held = request(), (-5,), model()
    step = instructions.fulfil(SIBYL, WHO, asked, outputs, held, b"tail")
    result = result_messages(asked, Outcome(Status.ANSWERED, outputs, 26))[0]
    inbox, replay = SIBYL.inbox(result.digest), SIBYL.replay(asked.origin, 7)
    assert step.data == bytes([12, inbox.bump, replay.bump, 1]) + struct.pack(">q", -5) + b"tail"
    assert roles(step, SIBYL.program) == [
        (WHO, "ws"), (SIBYL.model(samples.MODEL).address, ""), (replay.address, "w"),
        (inbox.address, "w"), (SIBYL.outbox(7).address, "w"), (AT.program, ""), (held.verifying_key, ""),
        (AT.proof(asked.digest, WHO).address, "w"), (SYSTEM, ""),
    ]  # fmt: skip


def test_instructions__fulfil_without_a_verifier__refused() -> None:
    with pytest.raises(EncodeError, match="no verifier"):
        instructions.fulfil(SIBYL, WHO, request(), (1,), replace(model(), verifier=Pubkey.default()), b"")


def test_instructions__a_proven_delivery__fits_two_transactions() -> None:
    # Three for more outputs: a second upload.
    first, rest = steps.FIRST_CHUNK, bytes(PROOF_SIZE - steps.FIRST_CHUNK)
    assert wire(steps.create_proof(AT, WHO, LABEL, first, bytes(first))) <= PACKET
    assert wire(instructions.fulfil(SIBYL, WHO, request(), tuple(range(11)), model(11), rest)) <= PACKET
    assert wire(steps.write_proof(AT, WHO, LABEL, first, rest)) <= PACKET
    assert wire(instructions.fulfil(SIBYL, WHO, request(), tuple(range(64)), model(64), b"")) <= PACKET


def test_verifier_layout__accounts__decode_to_their_fields() -> None:
    key = KeyAccount.decode(AccountData(AT.program, 1, KEY), AT.program)
    assert key == KeyAccount(True, 7, WHO, HASH, b"content")
    growing = KeyAccount.decode(AccountData(AT.program, 1, KEY[:3] + b"\0" + KEY[4:-3]), AT.program)
    assert growing == KeyAccount(False, 7, WHO, HASH, b"cont")
    proof = ProofAccount.decode(AccountData(AT.program, 1, PROOF), AT.program)
    assert proof == ProofAccount(WHO, LABEL, b"proof")


@pytest.mark.parametrize(
    "data",
    [KEY[:-1], KEY + b"\0", KEY[:3] + b"\2" + KEY[4:], b"\2" + KEY[1:], KEY[:1] + b"\2" + KEY[2:], KEY[:71], PROOF],
)
def test_verifier_layout__impossible_key__refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        KeyAccount.decode(AccountData(AT.program, 1, data), AT.program)


@pytest.mark.parametrize("data", [KEY, PROOF[:71], PROOF[:4] + b"\1" + PROOF[5:], PROOF + bytes(PROOF_SIZE)])
def test_verifier_layout__impossible_proof__refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        ProofAccount.decode(AccountData(AT.program, 1, data), AT.program)


def test_verifier_layout__account_of_another_program__refused() -> None:
    for decode, data in ((KeyAccount.decode, KEY), (ProofAccount.decode, PROOF)):
        with pytest.raises(DecodeError, match="belongs to"):
            decode(AccountData(WHO, 1, data), AT.program)


@given(st.binary(max_size=200), st.sampled_from([KEY, PROOF]), st.integers(0, 90))
def test_verifier_layout__any_bytes__raise_only_decode_errors(noise: bytes, data: bytes, keep: int) -> None:
    for decode in (KeyAccount.decode, ProofAccount.decode):
        try:
            decode(AccountData(AT.program, 1, data[:keep] + noise), AT.program)
        except DecodeError:
            continue
