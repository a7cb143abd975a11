"""What a chain that checks proofs by itself is given: a proof as packed bytes ‖ hint, and a model's key as the content of an account.

Guarantees: both are functions of files and arguments alone, and a proof is only given for instances that are rebuilt here from quantised inputs and
outputs, in the order of the circuit. Nothing here decides whether a proof holds: its prover has verified it, and the chain will.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from circuits.admission import unknown_model
from circuits.catalogue import ModelArtifacts
from circuits.errors import ModelError
from circuits.field import instances
from circuits.halo2.errors import KeyFormatError
from circuits.halo2.key import Key
from circuits.halo2.packed import PACKED_LENGTH, pack
from circuits.halo2.prepared import HINT_LENGTH, hint, prepare
from oracle.protocol.types import ModelId

UPLOAD_LENGTH: Final = PACKED_LENGTH + HINT_LENGTH
"""1,472 bytes: a packed proof and its hint."""
KEY_FILE: Final = "vka.bin"


def upload(key: Key, proof: bytes, public: Sequence[int]) -> bytes:
    """Packed proof ‖ hint, for public instances as field elements. Raises RejectedProof for what no verifier can compute with."""
    return pack(proof) + hint(key, proof, public)


def key_of(model: ModelArtifacts) -> Key:
    """The model's verifying key. Raises ModelError in words when the circuit is not of the family that chains can check."""
    return _read_key(model.directory / KEY_FILE, model.name)


def key_content(model: ModelArtifacts) -> bytes:
    """What stands in the model's key account behind its header: the prepared key, whose Keccak-256 seals it. Raises ModelError."""
    return prepare(key_of(model))


class ProofPacker:
    """Packs proofs of a fixed set of models: what an adapter of a chain is handed, which knows no circuit.

    Called with (model id, inputs, outputs, proof) it gives packed proof ‖ hint, in a few milliseconds of Python. A key is read when its model is
    first asked for.
    """

    def __init__(self, models: Iterable[ModelArtifacts]) -> None:
        self._models = {model.model_id: model for model in models}

    def __call__(self, model_id: ModelId, inputs: tuple[int, ...], outputs: tuple[int, ...], proof: bytes) -> bytes:
        """Raises InferenceError for a model that is not held, ModelError for one of another family, RejectedProof for what is no proof of it."""
        model = self._models.get(model_id)
        if model is None:
            raise unknown_model(model_id)
        return upload(key_of(model), proof, instances(inputs, outputs))


@lru_cache(maxsize=64)
def _read_key(path: Path, name: str) -> Key:
    try:
        return Key.from_vka(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"The key {path} of the model {name} cannot be read: {error.strerror}. Build it again."
        ) from error
    except KeyFormatError as error:
        raise ModelError(
            f"Proofs of the model {name} cannot be checked on Solana: {error} Compile it with one inner column and no lookups, or ask for "
            "its answers under attested."
        ) from error
