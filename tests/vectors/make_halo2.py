"""Writes halo2.json: keys, honest proofs and every value that verifying them passes through, by name.

    python -m tests.vectors.make_halo2

Proofs are randomised and keys depend on the local reference string, so each run writes other bytes; what must hold is that every implementation
finds the same values from the same bytes. Made by `circuits.halo2`, which the integration tests hold against `ezkl.verify` and the Solidity verifier.
"""

import json
from pathlib import Path

from circuits.halo2 import Key, verify
from circuits.halo2.curve import Point
from circuits.halo2.packed import pack
from circuits.halo2.prepared import hint, prepare
from oracle.protocol.hashing import keccak256
from tests.support.halo2 import Sample, sample

TARGET = Path(__file__).with_name("halo2.json")
MODELS = ("tiny", "tumour")


def vector(made: Sample) -> dict[str, object]:
    """One key, proof and trace."""
    key, honest = made.key, made.honest
    trace = verify(key, honest.proof, honest.instances)
    return {
        "model": made.model.name,
        "k": key.k,
        "key": key.to_bytes().hex(),
        "key_hash": key.hash().hex(),
        "prepared_hash": keccak256(prepare(key)).hex(),
        "proof": honest.proof.hex(),
        "packed": pack(honest.proof).hex(),
        "hint": hint(key, honest.proof, honest.instances).hex(),
        "instances": [_hex(value) for value in honest.instances],
        "scalars": {name: _hex(value) for name, value in trace.scalars.items()},
        "points": {name: _point(point) for name, point in trace.points.items()},
    }


def _hex(value: int) -> str:
    return value.to_bytes(32, "big").hex()


def _point(point: Point) -> str:
    return "".join(_hex(value) for value in point or (0, 0))


def main() -> None:
    """Write the file."""
    vectors = [vector(sample(name)) for name in MODELS]
    assert all(Key.from_bytes(bytes.fromhex(str(one["key"]))) for one in vectors)
    TARGET.write_text(json.dumps({"vectors": vectors}, indent=1) + "\n")


if __name__ == "__main__":
    main()
