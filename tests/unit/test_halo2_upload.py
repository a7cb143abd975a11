"""What is uploaded to a chain that checks proofs: bytes of the vectors, instances rebuilt from quantised numbers, and refusals in words."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.errors import ModelError
from circuits.halo2 import Key, KeyFormatError, RejectedProof, accepts
from circuits.halo2.packed import PACKED_LENGTH, unpack
from circuits.halo2.prepared import hint, key_in, prepare
from circuits.halo2.upload import KEY_FILE, UPLOAD_LENGTH, key_content, key_of, upload, upload_for
from oracle.protocol.constants import VERIFIER_PROOF_SIZE
from oracle.protocol.encoding import from_field

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "vectors" / "halo2.json").read_text())[
    "vectors"
]


def parts(name: str) -> tuple[Key, bytes, tuple[int, ...]]:
    vector = next(one for one in VECTORS if one["model"] == name)
    instances = tuple(int(word, 16) for word in vector["instances"])
    return Key.from_bytes(bytes.fromhex(vector["key"])), bytes.fromhex(vector["proof"]), instances


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["model"])
def test_upload__stored_proof__packed_then_hint_of_the_vectors(vector: dict[str, Any]) -> None:
    key, proof, instances = parts(vector["model"])
    data = upload(key, proof, instances)
    assert data.hex() == vector["packed"] + vector["hint"]
    assert len(data) == UPLOAD_LENGTH == VERIFIER_PROOF_SIZE == 1472
    assert accepts(key, unpack(data[:PACKED_LENGTH]), instances)


def test_upload__other_instances__other_hint_and_the_same_proof() -> None:
    key, proof, instances = parts("tiny")
    other = (*instances[:-1], instances[-1] + 1)
    honest, spoilt = upload(key, proof, instances), upload(key, proof, other)
    assert honest[:PACKED_LENGTH] == spoilt[:PACKED_LENGTH]
    assert honest[PACKED_LENGTH:] != spoilt[PACKED_LENGTH:] == hint(key, proof, other)


@pytest.mark.parametrize("cut", [1, 32, 1952])
def test_upload__proof_that_is_none__refused(cut: int) -> None:
    key, proof, instances = parts("tiny")
    for bad in (proof[:-cut], proof + bytes(cut), bytes(64) + proof[64:]):
        with pytest.raises(RejectedProof):
            upload(key, bad, instances)


def test_upload__instances_that_no_circuit_has__refused() -> None:
    key, proof, instances = parts("tiny")
    for bad in (instances[:-1], (*instances, 0), (*instances[:-1], -1)):
        with pytest.raises(RejectedProof):
            upload(key, proof, bad)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["model"])
def test_upload_for__account_content_and_quantised_numbers__the_same_bytes(vector: dict[str, Any]) -> None:
    key, proof, instances = parts(vector["model"])
    numbers = tuple(from_field(value) for value in instances)
    assert any(value < 0 for value in numbers), "a negative number becomes a field element"
    packed = upload_for(prepare(key), numbers[:-1], numbers[-1:], proof)
    assert packed == upload(key, proof, instances)
    assert upload_for(prepare(key), numbers[:-1], (numbers[-1] + 1,), proof) != packed


@pytest.mark.parametrize("at", [0, 7, 8, 12, 16, 48, 1007, 1008, 2447, 2448, -1])
def test_key_in__content_with_a_byte_changed__refused(at: int) -> None:
    key, proof, _ = parts("tiny")
    content = bytearray(prepare(key))
    assert key_in(bytes(content)) == key
    # Byte 16 is the digest's first: another canonical digest is another key, which only the account's hash tells apart.
    content[at] ^= 0x80
    with pytest.raises(KeyFormatError):
        upload_for(bytes(content), (1, 2), (3,), proof)


def test_key_in__content_of_another_length__refused() -> None:
    content = prepare(parts("tiny")[0])
    for other in (b"", content[:8], content[:1008], content[:-1], content + bytes(144)):
        with pytest.raises(KeyFormatError):
            key_in(other)


def test_key_content__model__prepared_key_of_its_vka(tiny: ModelArtifacts) -> None:
    key = Key.from_vka((tiny.directory / KEY_FILE).read_bytes())
    assert key_content(tiny) == prepare(key)


def test_key__missing_or_of_another_family__says_what_to_do(tiny: ModelArtifacts, tmp_path: Path) -> None:
    copy = replace(tiny, directory=tmp_path, name="copy")
    with pytest.raises(ModelError, match=r"model copy cannot be read.*Build the model again"):
        key_of(copy)
    shutil.copyfile(tiny.directory / KEY_FILE, tmp_path / KEY_FILE)
    assert key_of(copy) == key_of(tiny)
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    spoilt = bytearray((tiny.directory / KEY_FILE).read_bytes())
    spoilt[8 + 32 * 70] ^= 1  # a word of the equations
    (elsewhere / KEY_FILE).write_bytes(spoilt)
    with pytest.raises(ModelError, match=r"copy cannot be checked on Solana.*under attested"):
        key_of(replace(copy, directory=elsewhere))
