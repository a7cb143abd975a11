"""The Zig implementation agrees with the shared vectors: digests, refusals, Merkle branches and signatures.

A probe program, built from the same sources and never deployed, runs the program's own functions in LiteSVM.
"""

import json
import struct
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message as TransactionMessage
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from contracts.solana.build import build_probe
from contracts.solana.errors import SOURCE, TOKENS_SOURCE, VERIFIER_SOURCE, describe, program_errors
from oracle.protocol import constants as c
from oracle.protocol.hashing import message_digest
from tests.support.schnorr import ORDER, SchnorrKey, verify

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
MESSAGES = json.loads((VECTORS / "messages.json").read_text())
SIGNATURES = json.loads((VECTORS / "frost_signatures.json").read_text())
BODY, BATCH, SIGNATURE, PRODUCT, ROTATION, NOTICE = range(6)
PROGRAM = Pubkey.new_unique()


@cache
def runtime() -> tuple[LiteSVM, Keypair]:
    svm, payer = LiteSVM(), Keypair()
    assert isinstance(svm.airdrop(payer.pubkey(), 10**12), TransactionMetadata)
    svm.add_program(PROGRAM, build_probe())
    return svm, payer


def probe(choice: int, data: bytes) -> bytes | str:
    """What the program returned, or the name of its error."""
    svm, payer = runtime()
    svm.expire_blockhash()
    step = Instruction(PROGRAM, bytes([choice]) + data, [])
    message = TransactionMessage([set_compute_unit_limit(1_400_000), step], payer.pubkey())
    done = svm.send_transaction(Transaction([payer], message, svm.latest_blockhash()))
    if isinstance(done, FailedTransactionMetadata):
        code = getattr(getattr(done.err(), "err", None), "code", None)
        assert code is not None, (str(done.err()), done.meta().logs())
        return program_errors()[code].name
    return bytes(done.return_data().data)


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("vector", MESSAGES["messages"], ids=lambda vector: vector["name"])
def test_solana_program_vectors__valid_message__same_digest(vector: dict[str, str]) -> None:
    assert probe(BODY, raw(vector["body"])) == raw(vector["digest"])


@pytest.mark.parametrize("vector", MESSAGES["invalid"], ids=lambda vector: vector["name"])
def test_solana_program_vectors__invalid_message__refused(vector: dict[str, str]) -> None:
    assert isinstance(probe(BODY, raw(vector["body"])), str)


@pytest.mark.parametrize("vector", MESSAGES["messages"][:8], ids=lambda vector: vector["name"])
def test_solana_program_vectors__message_cut_or_lengthened__refused(vector: dict[str, str]) -> None:
    body = raw(vector["body"])
    for cut in (body[:-1], body + b"\0", body[:215], body[1:]):
        assert isinstance(probe(BODY, cut), str)


@pytest.mark.parametrize("field", [c.RESULT_REQUESTER_OFFSET, c.RESULT_CONSUMER_OFFSET])
def test_solana_program_vectors__result_with_an_unpadded_evm_account__refused(field: int) -> None:
    body = next(raw(vector["body"]) for vector in MESSAGES["messages"] if vector["name"].endswith("result 0, answered"))
    bent = bytearray(body)
    bent[c.BODY_SIZE + field] = 1
    assert probe(BODY, bytes(bent)) == "InvalidAddressPadding"


@pytest.mark.parametrize("vector", MESSAGES["rotations"], ids=lambda vector: vector["name"])
def test_solana_program_vectors__rotation__has_the_same_fields(vector: dict[str, str]) -> None:
    numbers = struct.pack("<QQQB", *(vector[name] for name in ("epoch", "overlap", "threshold", "group_key_parity")))
    rest = raw(vector["group_key_x"]) + raw(vector["proof_of_possession"]) + raw(vector["operators"])
    for body in (vector["post"], *vector["messages"]):
        assert probe(ROTATION, raw(body)) == numbers + rest


@pytest.mark.parametrize("vector", MESSAGES["non_deliveries"], ids=lambda vector: vector["name"])
def test_solana_program_vectors__non_delivery__tells_of_the_same_message(vector: dict[str, str]) -> None:
    message = raw(vector["message"])
    assert probe(NOTICE, raw(vector["notice"])) == message_digest(message) + message[c.BODY_SIZE :]


@pytest.mark.parametrize("batch", MESSAGES["batches"], ids=lambda batch: str(len(batch["digests"])))
def test_solana_program_vectors__each_leaf_of_a_batch__gives_the_signed_value(batch: dict[str, list[str]]) -> None:
    signed = raw(str(batch["signed"]))
    for digest, branch in list(zip(batch["digests"], batch["branches"], strict=True))[:32]:
        assert probe(BATCH, raw(digest) + b"".join(map(raw, branch))) == signed


@pytest.mark.parametrize("vector", SIGNATURES["signatures"], ids=lambda vector: vector["name"])
def test_solana_program_vectors__signature__accepted_exactly_when_valid(vector: dict[str, str]) -> None:
    data = raw(vector["group_key"]) + raw(vector["message"]) + raw(vector["r33"]) + raw(vector["z"])
    answer = probe(SIGNATURE, data)
    assert (answer == b"") if vector["ok"] else isinstance(answer, str), vector["why"]


numbers = st.one_of(
    st.integers(0, (1 << 256) - 1),
    st.sampled_from([0, 1, ORDER - 1, ORDER, ORDER + 1, (1 << 256) - 1, 1 << 255, (1 << 128) - 1]),
)


@settings(max_examples=300, deadline=None)
@given(numbers, numbers)
def test_solana_program_scalar__any_product__is_reduced_modulo_the_order(a: int, b: int) -> None:
    returned = probe(PRODUCT, a.to_bytes(32) + b.to_bytes(32))
    assert isinstance(returned, bytes)
    assert int.from_bytes(returned) == a * b % ORDER


@settings(max_examples=40, deadline=None)
@given(st.integers(1, ORDER - 1), st.binary(min_size=32, max_size=32), st.integers(0, 97 * 8 - 1))
def test_solana_program_frost__any_key_and_message__agrees_with_python(secret: int, message: bytes, bit: int) -> None:
    key = SchnorrKey(secret)
    if key.px >= ORDER:
        return
    signature = key.sign(message)
    assert probe(SIGNATURE, key.public + message + signature) == b""
    bent = bytearray(message + signature)
    bent[bit // 8] ^= 1 << bit % 8
    wrong = bytes(bent)
    accepted = probe(SIGNATURE, key.public + wrong) == b""
    assert accepted == verify(key.public, wrong[:32], wrong[32:])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=700))
def test_solana_program_body__any_bytes__refused_by_name_and_never_a_crash(data: bytes) -> None:
    assert isinstance(probe(BODY, data), str)
    valid = raw(MESSAGES["messages"][1]["body"])
    mixed = bytearray(valid)
    for i, byte in enumerate(data[:8]):
        mixed[byte % len(mixed)] ^= i + 1
    probe(BODY, bytes(mixed))  # a named error or a digest: `probe` fails on anything else


def test_solana_program_errors__list__has_one_number_and_one_sentence_each() -> None:
    errors = program_errors()
    declared = SOURCE.read_text().split("pub const Error = error{")[1].split("}")[0]
    for source in (TOKENS_SOURCE, VERIFIER_SOURCE):
        declared += source.read_text().split("pub const Own = error{")[1].split("}")[0]
    assert {error.name for error in errors.values()} == {name.strip() for name in declared.split(",") if name.strip()}
    assert len({error.sentence for error in errors.values()}) == len(errors)
    assert all(error.sentence.endswith(".") and 0 < code < 2**32 for code, error in errors.items())
    assert "100000" in describe(100_000)
    assert describe(404) == errors[404].sentence
