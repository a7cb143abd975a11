"""The Zig verifier in LiteSVM, through its probe: stages of a verification with what they leave and cost, and field arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from circuits.halo2 import Key, RejectedProof
from circuits.halo2.packed import PACKED_LENGTH
from circuits.halo2.prepared import HINT_LENGTH, hint, hint_of, prepare
from circuits.halo2.transcript import EVALUATION_NAMES, POINT_NAMES, PROOF_LENGTH, Proof, draw
from contracts.solana.verifier.build import build_verifier_probe

STAGES = ("read", "draw", "domain", "instances", "invert", "gates", "copies", "ranges", "opening", "combine", "paired")
LOG_UNITS = 100
"""What the runtime takes for one line of log."""
WHOLE = 255
"""Instead of a number of stages: the verifier as programs call it; also the probe's error when that refuses."""
REFUSED_AT = 32
"""The probe's error for the first stage; the others follow."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the first stages gave: their units, and either the reply or the stage that refused."""

    units: dict[str, int]
    reply: bytes
    refused: str | None

    @property
    def words(self) -> list[int]:
        """The reply's 32-byte words."""
        return [int.from_bytes(self.reply[at : at + 32], "big") for at in range(0, len(self.reply), 32)]


@dataclass(slots=True)
class Probe:
    """A runtime with the probe in it."""

    svm: LiteSVM = field(default_factory=LiteSVM)
    payer: Keypair = field(default_factory=Keypair)
    program: Pubkey = field(default_factory=Pubkey.new_unique)
    accounts: tuple[Pubkey, ...] = field(default_factory=lambda: tuple(Pubkey.new_unique() for _ in range(3)))

    def __post_init__(self) -> None:
        self.svm.airdrop(self.payer.pubkey(), 10**12)
        self.svm.add_program(self.program, build_verifier_probe())

    def send(self, data: bytes, accounts: Sequence[Pubkey] = ()) -> TransactionMetadata | FailedTransactionMetadata:
        """One instruction."""
        self.svm.expire_blockhash()
        step = Instruction(self.program, data, [AccountMeta(key, False, False) for key in accounts])
        message = Message([set_compute_unit_limit(1_400_000), step], self.payer.pubkey())
        return self.svm.send_transaction(Transaction([self.payer], message, self.svm.latest_blockhash()))

    def compute(self, operation: int, *operands: int) -> tuple[int, int]:
        """A field operation: its result as the limbs' value, and its units."""
        words = [*operands, *([0] * (6 - len(operands)))]
        done = self.send(bytes([operation]) + b"".join(word.to_bytes(32, "big") for word in words))
        assert isinstance(done, TransactionMetadata), done
        first, second = _remaining(done.logs())
        # The runtime cuts trailing zeros off what a program returns.
        return int.from_bytes(bytes(done.return_data().data).ljust(32, b"\0"), "big"), first - second - LOG_UNITS

    def verify(
        self,
        key: Key | bytes,
        proof: bytes,
        instances: Sequence[int],
        *,
        given: bytes | None = None,
        stages: int = len(STAGES),
    ) -> Ran:
        """Run the first stages on a proof, packed or not, with the honest hint unless another is given (a packed one needs them given)."""
        if given is None:
            given = honest_hint(key, proof, instances) if isinstance(key, Key) else bytes(HINT_LENGTH)
        content = key if isinstance(key, bytes) else prepared(key)
        words = b"".join(value.to_bytes(32, "big") for value in instances)
        for address, data in zip(self.accounts, (content, proof, given + words), strict=True):
            self.svm.set_account(address, Account(10**12, data, self.program))
        done = self.send(bytes([stages]), self.accounts)
        logs = done.logs() if isinstance(done, TransactionMetadata) else done.meta().logs()
        left = _remaining(logs)
        parts = STAGES if stages != WHOLE else ("whole",)
        names = ("unpack", *parts) if len(proof) == PACKED_LENGTH else parts
        units = dict(zip(names, (a - b - LOG_UNITS for a, b in pairwise(left)), strict=False))
        if isinstance(done, TransactionMetadata):
            return Ran(units, bytes(done.return_data().data).ljust(18 * 32, b"\0"), None)
        code = getattr(getattr(done.err(), "err", None), "code", None)
        assert code is not None, (str(done.err()), logs)
        if code == WHOLE:
            return Ran(units, b"", "whole")
        return Ran(units, b"", STAGES[code - REFUSED_AT] if code >= REFUSED_AT else "form")

    def accepts(self, key: Key, proof: bytes, instances: Sequence[int]) -> bool:
        """Whether the whole verification holds, with the hint that an honest prover would give."""
        return self.verify(key, proof, instances, stages=WHOLE).refused is None


@lru_cache
def prepared(key: Key) -> bytes:
    """The content of the key's account."""
    return prepare(key)


def honest_hint(key: Key, proof: bytes, instances: Sequence[int]) -> bytes:
    """The proof's hints; zeros where there are none to compute."""
    try:
        return hint(key, proof, instances)
    except RejectedProof:
        return bytes(HINT_LENGTH)


def lenient_hint(key: Key, proof: bytes, instances: Sequence[int]) -> bytes:
    """Hints for the transcript of a proof whose points are none: what an attacker would compute."""
    words = [int.from_bytes(proof[at : at + 32], "big") for at in range(0, PROOF_LENGTH, 32)]
    coordinates = words[:28] + words[57:]
    points = dict(zip(POINT_NAMES, zip(coordinates[::2], coordinates[1::2], strict=True), strict=True))
    parsed = Proof(points, dict(zip(EVALUATION_NAMES, words[28:57], strict=True)))
    return hint_of(key, draw(key, parsed, instances))


def _remaining(logs: Sequence[str]) -> list[int]:
    return [int(line.split()[2]) for line in logs if line.startswith("Program consumption:")]
