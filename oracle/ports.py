"""The narrow ports between the node and the world. Adapters implement them and never meet one another.

Rules for every adapter: library errors are mapped once to `oracle.errors`; every await on the outside has a time-out; all operations are safe
to repeat. What makes sense on one chain only stays in that chain's adapter.
"""

from collections.abc import Awaitable, Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType, Protocol

from oracle.protocol.message import Message
from oracle.protocol.types import Account, CommitteeEpoch, Digest, Endpoint, ModelId

Cursor = NewType("Cursor", int)
"""Where a reader goes on: the next block to read (EVM), the next sequence (Solana). 0 on a first start."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Messages posted since a cursor, all of them final on their origin, in the order of their sequences; and where to go on."""

    messages: tuple[Message, ...]
    cursor: Cursor


class ChainReader(Protocol):
    """Reads posts of one gateway at its chain's finality."""

    @property
    def origin(self) -> Endpoint:
        """The gateway that is read."""

    async def read(self, cursor: Cursor) -> Reading:
        """What became final since `cursor`; at most some hundred messages at a time. Returns at once when there is nothing.

        Raises Transient, or Reorged when what the cursor rests on vanished.
        """


@dataclass(frozen=True, slots=True)
class GroupAttestation:
    """One committee signature over a batch (PROTOCOL.md §2): `signature` is R(33) ‖ z(32); `digests` is the whole batch, in leaf order."""

    epoch: CommitteeEpoch
    signature: bytes
    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """All that a destination could need to take one message.

    `request` is the inference request that a result answers; `zk_proof` its ezkl proof. A message whose policy is PROVEN has no attestation.
    """

    message: Message
    attestation: GroupAttestation | None = None
    request: Message | None = None
    zk_proof: bytes | None = field(default=None, repr=False)


class DeliveryState(Enum):
    """What a destination knows of a message."""

    ABSENT = "absent"
    INCLUDED = "included"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction that delivered. `cost` is gas used on EVM and compute units on Solana; `size` bytes of transaction or calldata."""

    transaction: str
    cost: int
    size: int


class ChainSubmitter(Protocol):
    """Delivers messages to one gateway, idempotently."""

    @property
    def destination(self) -> Endpoint:
        """The gateway that is delivered to."""

    async def submit(self, submission: Submission) -> Receipt | None:
        """Deliver and wait for inclusion; None when it was there already. Raises Transient or Rejected."""

    async def state(self, message: Message) -> DeliveryState:
        """Whether `message` was delivered, and whether that is final. Raises Transient."""

    async def lapsed(self, message: Message) -> bool:
        """Whether `message` can never be delivered any more: at a final state whose clock is past its expiry it was not delivered.

        False whenever that is not sure. Raises Transient.
        """


class TokenSide(Enum):
    """Which side of a bridged token a chain is."""

    NATIVE = "native"
    """The token lives there, and is locked."""
    WRAPPED = "wrapped"
    """It is minted there for what is locked on the other side."""


@dataclass(frozen=True, slots=True)
class TokenHolding:
    """What one chain holds of one bridged token, at one final state; amounts in wire units (TOKENS.md §2, §7).

    `bridge` is the EVM contract that speaks for the token, on either chain. `counter` is what the bridge counts as locked or minted; `held`
    what is really there: the vault's balance rounded down (native), the wrapped token's supply rounded up (wrapped).
    """

    bridge: Account
    native_token: Account
    side: TokenSide
    wire_decimals: int
    counter: int
    held: int


class TokenLedger(Protocol):
    """One chain's side of every registered token."""

    async def holdings(self) -> tuple[TokenHolding, ...]:
        """All tokens that are registered there, at one final state. Raises Transient."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the node must know of a model. Counts are of flattened tensors, scales in bits after the point, `input_bound` of quantised inputs."""

    model_id: ModelId
    name: str
    input_count: int
    output_count: int
    input_scale: int
    output_scale: int
    input_bound: int


@dataclass(frozen=True, slots=True)
class Inference:
    """`outputs` are the circuit's quantised outputs (deterministic, int64); `float_outputs` what onnxruntime says for the same inputs."""

    outputs: tuple[int, ...]
    float_outputs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ZkProof:
    """An ezkl proof that its own prover has verified. `seconds` is the wall time of proving alone."""

    proof: bytes = field(repr=False)
    outputs: tuple[int, ...]
    seconds: float


class Prover(Protocol):
    """Runs models and makes and checks proofs, in processes that can be killed."""

    def model(self, model_id: ModelId) -> ModelInfo | None:
        """The model, or None if this node does not hold it."""

    async def infer(self, model_id: ModelId, inputs: tuple[int, ...]) -> Inference:
        """Raises InferenceError (with the status to refuse with) or ProofError when a worker failed."""

    async def prove(self, model_id: ModelId, inputs: tuple[int, ...]) -> ZkProof:
        """A proof, already verified. Raises InferenceError or ProofError."""

    async def verify(self, model_id: ModelId, inputs: tuple[int, ...], outputs: tuple[int, ...], proof: bytes) -> bool:
        """Whether `proof` shows that the model takes `inputs` to `outputs`; the instances are rebuilt from the arguments."""


class SigningCommittee(Protocol):
    """This member's way to a committee signature."""

    async def sign(self, digests: Seq[Digest]) -> GroupAttestation:
        """Coordinate one signing over a batch. Raises SigningError."""

    def check(self, attestation: GroupAttestation) -> bool:
        """Whether the signature is the committee's over exactly these digests."""


PeerHandler = Callable[[int, bytes], Awaitable[bytes]]
"""`(member identifier of the caller, body) -> reply`."""


class Peers(Protocol):
    """Authenticated, encrypted, bounded requests between members."""

    async def publish(self, topic: str, body: bytes, enough: int) -> tuple[int, ...]:
        """Send to every other member at once; the identifiers of those that took it, as soon as `enough` did or all have answered.

        Never raises for a silent or refusing peer. What is still under way goes on in the background, within its time-out.
        """
