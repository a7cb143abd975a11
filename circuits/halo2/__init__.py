"""Reference verifier of ezkl's Halo2-KZG proofs (one-column family): pure Python, clear and slow, with every intermediate value by name.

It is what the Solana program's verifier is compared with, step by step; `contracts/solana/VERIFIER.md` holds the equations. No ezkl inside, no
native code: integers and Keccak. Not constant-time (everything it sees is public) and not for the node's hot path, where `ezkl.verify` serves.

    key = Key.from_vka((directory / "vka.bin").read_bytes())
    trace = verify(key, proof, instances)      # raises RejectedProof

Modules, each importing only those above it: `errors`, `curve`, `pairing`, `key`, `transcript` (proof layout and challenges), `constraints`
(what the circuit demands of the evaluations), `opening` (SHPLONK), `verifier`. Beside them what a chain is given: `packed`, `prepared`, `upload`.
"""

from circuits.halo2.errors import KeyFormatError, RejectedProof
from circuits.halo2.key import Key
from circuits.halo2.verifier import Trace, accepts, examine, verify

__all__ = ["Key", "KeyFormatError", "RejectedProof", "Trace", "accepts", "examine", "verify"]
