"""What a circuit costs, from its shape alone: a model fitted to measured runs.

Proving is commitments and evaluations over 2^k rows, and each polynomial leaves its share in the proof; so time and memory follow
2^k × (bytes of the proof), and gas follows the proof's bytes and the public instances. Fitted to ezkl 23.0.5 on one thread of a shared machine, to 16
circuits from k = 6 to 15 with one to four columns, with and without lookups: within two fifths for time, a fifth for memory, 2 % for gas.
Measured gas at 17 instances, whole transaction, of the project's verifiers: 1,952 bytes 415k, 2,272 456k, 3,072 541k, 3,136 551k; those of proofs of
4,500 bytes and more are too large to deploy.

Does not do: know this machine. A search corrects times by what it measures.
"""

import math
from dataclasses import dataclass

from circuits.compile import FAMILY_PROOF_LENGTH

MAX_K = 20
"""Reference strings beyond 2^20 points and proofs beyond ten minutes are no use here."""

_MIN_K = 6
_RESERVED = 8
"""Rows of each column that blinding takes, rounded up."""
_SPILL_BYTES = 1184
"""What each further block of columns adds to the proof."""
_COLUMN_BYTES = 1120
_LOOKUP_BYTES = 320
_PROVE_OVERHEAD, _PROVE = 0.1, 1.2e-7
_SETUP = 9e-8
_MEMORY_BASE, _MEMORY = 60.0, 3.1e-6
_GAS_BASE, _GAS_BYTE, _GAS_INSTANCE = 177_000, 112.3, 1_100
_CODE_BASE, _CODE_BYTE, _CODE_LIMIT = 5_500, 5.0, 24_576


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the cost. `rows` are those of one inner column, `tables` the size of all lookup tables together."""

    rows: int
    columns: int
    k: int
    instances: int
    tables: int = 0

    @property
    def blocks(self) -> int:
        """How often the columns repeat because 2^k rows do not hold them."""
        return max(1, math.ceil(self.rows / ((1 << self.k) - _RESERVED)))

    @property
    def table_columns(self) -> int:
        """Columns that the lookup tables take."""
        return math.ceil(self.tables / ((1 << self.k) - _RESERVED))

    @property
    def proof_length(self) -> int:
        """Bytes of the proof."""
        blocks = self.blocks * self.columns - 1
        spill = _SPILL_BYTES if self.blocks > 1 else _COLUMN_BYTES
        return FAMILY_PROOF_LENGTH + blocks * spill + self.table_columns * _LOOKUP_BYTES

    @property
    def in_family(self) -> bool:
        """Whether it has the verifier that every Sibyl model shares, which Solana checks too."""
        return self.columns == 1 and self.blocks == 1 and not self.tables


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on one thread, megabytes at the peak, gas of a verifying transaction, bytes."""

    prove_seconds: float
    setup_seconds: float
    memory_mb: float
    gas: int
    proof_length: int

    @property
    def deployable(self) -> bool:
        """Whether the verifier contract fits the EVM's limit of 24,576 bytes."""
        return _CODE_BASE + self.proof_length * _CODE_BYTE < _CODE_LIMIT


def estimate(shape: Shape) -> Cost:
    """What a circuit of this shape is expected to cost."""
    return cost_of(shape.k, shape.proof_length, shape.instances)


def cost_of(k: int, proof_length: int, instances: int) -> Cost:
    """The same, from the proof's true length."""
    work = (1 << k) * proof_length
    return Cost(
        prove_seconds=_PROVE_OVERHEAD + _PROVE * work,
        setup_seconds=_PROVE_OVERHEAD + _SETUP * work,
        memory_mb=_MEMORY_BASE + _MEMORY * work,
        gas=round(_GAS_BASE + _GAS_BYTE * proof_length + _GAS_INSTANCE * instances),
        proof_length=proof_length,
    )


def smallest_k(rows: int, tables: int = 0) -> int:
    """The smallest k whose 2^k rows hold one block of columns and all tables in one column each."""
    return max(_MIN_K, math.ceil(math.log2(max(rows, tables, 1) + _RESERVED)))
