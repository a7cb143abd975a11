"""What a chain that checks proofs by itself is given: a model's key as the content of an account, and a proof as packed bytes ‖ hint.

Guarantees: a proof is packed for the key that the chain will check it under, whoever packs (no model files are needed), and for instances that are
rebuilt here from quantised inputs and outputs, in the order of the circuit. Nothing here decides whether a proof holds: its prover has
verified it, and the chain will.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from circuits.catalogue import ModelArtifacts
from circuits.errors import ModelError
from circuits.field import instances
from circuits.halo2.errors import KeyFormatError
from circuits.halo2.key import Key
from circuits.halo2.packed import PACKED_LENGTH, pack
from circuits.halo2.prepared import HINT_LENGTH, hint, key_in, prepare

UPLOAD_LENGTH: Final = PACKED_LENGTH + HINT_LENGTH
"""1,472 bytes: a packed proof and its hint."""
KEY_FILE: Final = "vka.bin"


def upload(key: Key, proof: bytes, public: Sequence[int]) -> bytes:
    """Packed proof ‖ hint, for public instances as field elements. Raises RejectedProof for what no verifier can compute with."""
    return pack(proof) + hint(key, proof, public)


def upload_for(content: bytes, inputs: tuple[int, ...], outputs: tuple[int, ...], proof: bytes) -> bytes:
    """Packed proof ‖ hint under the key in an account's content, for quantised numbers. Some milliseconds of Python.

    Raises KeyFormatError for a content that is no prepared key, RejectedProof for a proof or numbers that no verifier can compute with.
    """
    return upload(_key_in(content), proof, instances(inputs, outputs))


def key_of(model: ModelArtifacts) -> Key:
    """The model's verifying key. Raises ModelError in words when the circuit is not of the family that Solana can check."""
    return _read_key(model.directory / KEY_FILE, model.name)


def key_content(model: ModelArtifacts) -> bytes:
    """What stands in the model's key account behind its header: the prepared key, whose Keccak-256 seals it. Raises ModelError."""
    return prepare(key_of(model))


_key_in = lru_cache(maxsize=64)(key_in)


@lru_cache(maxsize=64)
def _read_key(path: Path, name: str) -> Key:
    try:
        return Key.from_vka(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"The key {path} of the model {name} cannot be read: {error.strerror}. Build the model again."
        ) from error
    except KeyFormatError as error:
        raise ModelError(
            f"Proofs of the model {name} cannot be checked on Solana: {error} Compile it with one inner column and no lookups, or ask for "
            "its answers under attested."
        ) from error
