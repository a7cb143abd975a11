"""The verifier program in LiteSVM beside the Sibyl program: honest proofs from the shared vectors, uploaded and verified as provers do it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction_metadata import FailedTransactionMetadata

from bridges.solana import instructions
from bridges.solana import verifier_instructions as steps
from bridges.solana.layout import ModelAccount
from bridges.solana.verifier_layout import PROOF_SIZE, VerifierAddresses, key_hash
from circuits.halo2 import Key, RejectedProof
from circuits.halo2.curve import R
from circuits.halo2.packed import pack
from circuits.halo2.prepared import prepare
from contracts.solana.build import build_programs
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import Policy, Status
from tests.support import solana_program as sp
from tests.support.halo2 import Case
from tests.support.halo2_program import honest_hint
from tests.support.solana_program import Bench

_VECTORS = Path(__file__).parents[1] / "vectors" / "halo2.json"
SCALE = 13
BOUND = 1 << 30


@dataclass(frozen=True, slots=True)
class Honest:
    """A real proof of a real model, of which the last instance is the output."""

    name: str
    key: Key
    case: Case
    given: bytes
    """Packed proof ‖ hint."""

    @property
    def content(self) -> bytes:
        """What the key's account holds."""
        return _prepared(self.key)

    @property
    def inputs(self) -> tuple[int, ...]:
        """As in a request."""
        return _signed(self.case.instances[:-1])

    @property
    def outputs(self) -> tuple[int, ...]:
        """As in a result."""
        return _signed(self.case.instances[-1:])

    @property
    def words(self) -> list[bytes]:
        """The instances as the verifier takes them."""
        return words(self.case.instances)


def words(instances: Sequence[int]) -> list[bytes]:
    """Big-endian, 32 bytes each."""
    return [value.to_bytes(32) for value in instances]


@cache
def _prepared(key: Key) -> bytes:
    return prepare(key)


def _signed(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(value if value < R // 2 else value - R for value in values)


@cache
def honest(name: str = "tiny") -> Honest:
    """The stored proof of a model."""
    vector = next(one for one in json.loads(_VECTORS.read_text())["vectors"] if one["model"] == name)
    instances = tuple(int(word, 16) for word in vector["instances"])
    case = Case(name, bytes.fromhex(vector["proof"]), instances)
    given = bytes.fromhex(vector["packed"]) + bytes.fromhex(vector["hint"])
    return Honest(name, Key.from_bytes(bytes.fromhex(vector["key"])), case, given)


@dataclass(slots=True)
class World:
    """A Sibyl program and a verifier in one runtime; `bench.user` uploads and delivers."""

    bench: Bench
    verifier: VerifierAddresses

    @property
    def payer(self) -> Pubkey:
        """Who proves."""
        return self.bench.user.pubkey()

    def key_of(self, proof: Honest, payer: Pubkey | None = None) -> Pubkey:
        """Where the key of a proof lies."""
        return self.verifier.key(key_hash(proof.content), payer or self.payer).address

    def upload_key(self, proof: Honest, payer: Keypair | None = None) -> Pubkey:
        """Create, write and seal it."""
        owner = payer or self.bench.user
        for step in steps.key_steps(self.verifier, owner.pubkey(), proof.content):
            self.bench.accepted(step, signers=(owner,))
        return self.key_of(proof, owner.pubkey())

    def upload(self, label: bytes, given: bytes, first: int = steps.FIRST_CHUNK, payer: Keypair | None = None) -> bytes:
        """Create the proof account with the first bytes; what is left for the verifying transaction."""
        owner = payer or self.bench.user
        step = steps.create_proof(self.verifier, owner.pubkey(), label, first, given[:first])
        self.bench.accepted(step, signers=(owner,))
        return given[first:]

    def verification(self, proof: Honest, tail: bytes, *, label: bytes = bytes(32), **changes: object) -> Instruction:
        """The instruction that checks an uploaded proof."""
        facts: dict[str, object] = {"payer": self.payer, "key": self.key_of(proof), "instances": proof.words}
        return steps.verify(self.verifier, label=label, tail=tail, **(facts | changes))  # type: ignore[arg-type]  # a test's shorthand

    # ---- requests of the Sibyl program ----

    def model(self, proof: Honest, **changes: object) -> ModelAccount:
        """The proof's model as governance registers it."""
        facts = {"input_count": len(proof.inputs), "output_count": len(proof.outputs), "output_scale": SCALE,
                 "input_bound": BOUND, "verifier": self.verifier.program, "verifying_key": self.key_of(proof)}  # fmt: skip
        return sp.model(**(facts | changes))

    def register(self, model: ModelAccount) -> ModelAccount:
        """By the authority."""
        authority = self.bench.authority
        self.bench.accepted(instructions.register_model(self.bench.at, authority.pubkey(), model), signers=(authority,))
        return model

    def ask(self, proof: Honest, policy: Policy = Policy.PROVEN) -> Message:
        """A request for the proof's inputs."""
        return self.bench.post_request(self.bench.asked(inputs=proof.inputs, policy=policy))

    def answer(self, request: Message, proof: Honest) -> Message:
        """The result that the program must write."""
        return result_messages(request, Outcome(Status.ANSWERED, proof.outputs, SCALE))[0]

    def fulfilment(self, request: Message, proof: Honest, tail: bytes, **changes: object) -> Instruction:
        """The instruction that answers it with an uploaded proof."""
        facts: dict[str, object] = {"payer": self.payer, "outputs": proof.outputs, "model": self.model(proof)}
        return instructions.fulfil(self.bench.at, request=request, tail=tail, **(facts | changes))  # type: ignore[arg-type]  # a test's shorthand


def start(bench: Bench | None = None) -> World:
    """Both programs, initialised; no key and no proof."""
    world = World(bench or sp.start(), VerifierAddresses(Pubkey.new_unique()))
    world.bench.svm.add_program(world.verifier.program, build_programs().verifier_so.read_bytes())
    return world


@dataclass(slots=True)
class Judge:
    """The deployed program's verdicts on proofs under one key: each packed and verified like an honest one, with the hint that fits it best."""

    key: Key
    world: World
    account: Pubkey
    header: bytes

    @classmethod
    def of(cls, key: Key) -> "Judge":
        """A world of its own, with the key sealed."""
        world = World(sp.deploy(), VerifierAddresses(Pubkey.new_unique()))
        world.bench.svm.add_program(world.verifier.program, build_programs().verifier_so.read_bytes())
        for step in steps.key_steps(world.verifier, world.payer, _prepared(key)):
            world.bench.accepted(step)
        world.upload(_LABEL, bytes(PROOF_SIZE), 0)
        proof = world.verifier.proof(_LABEL, world.payer).address
        hashed = key_hash(_prepared(key))
        return cls(key, world, world.verifier.key(hashed, world.payer).address, bytes(world.bench.account(proof).data))

    def accepts(self, case: Case) -> bool:
        """Whether it says yes. What cannot even be packed (no point, another length) never reaches it."""
        try:
            given = pack(case.proof) + honest_hint(self.key, case.proof, case.instances)
        except RejectedProof:
            return False
        at, bench = self.world.verifier, self.world.bench
        bench.put(at.proof(_LABEL, self.world.payer).address, self.header + given, at.program)
        done = bench.run(steps.verify(at, self.world.payer, self.account, _LABEL, words(case.instances), b""))
        if isinstance(done, FailedTransactionMetadata):
            assert any("InvalidProof" in line for line in bench.logs), bench.logs
            return False
        return True


_LABEL = bytes(32)
