"""Well-formed messages for tests: one EVM gateway, one Solana program, and requests between them."""

from oracle.protocol.hashing import keccak256
from oracle.protocol.message import InferenceRequest, Message, Remote, Rotation, RotationRemote
from oracle.protocol.types import (
    Account,
    Chain,
    CommitteeEpoch,
    Endpoint,
    Kind,
    ModelId,
    Policy,
    Sequence,
    UnixSeconds,
    evm_account,
)


def seeded(label: str, size: int = 32) -> bytes:
    """Bytes that depend on the label only."""
    return keccak256(b"sibyl tests", label.encode())[:size]


EVM = Endpoint(Chain.evm(31337), evm_account(seeded("gateway", 20)))
SOLANA = Endpoint(Chain.solana(seeded("genesis")), Account(seeded("program")))
HUB = evm_account(seeded("hub", 20))
COMMITTEE = evm_account(seeded("committee", 20))
CONSUMER = evm_account(seeded("consumer", 20))
SOLANA_CONSUMER = Account(seeded("solana consumer"))
MODEL = ModelId(seeded("model"))
DEADLINE = UnixSeconds(2_000_000_000)
TO_SOLANA = Remote(Policy.ATTESTED, SOLANA, SOLANA.gateway, SOLANA_CONSUMER)


def evm_request(
    *,
    sequence: int = 1,
    policy: Policy = Policy.BOTH,
    remotes: tuple[Remote, ...] = (TO_SOLANA,),
    inputs: tuple[int, ...] = (1, -2, 3),
    expiry: int = DEADLINE,
) -> Message:
    """A request posted on the EVM chain, by default also answered on Solana."""
    asked = InferenceRequest(MODEL, 1000, 100_000, policy, remotes, inputs)
    return Message(
        Kind.INFERENCE_REQUEST, EVM, EVM, Sequence(sequence), CONSUMER, HUB, UnixSeconds(expiry), asked.to_bytes()
    )


def plain_message(*, sequence: int = 1, payload: bytes = b"hello", expiry: int = 0) -> Message:
    """A user's message from the EVM chain to Solana."""
    sent, until = Sequence(sequence), UnixSeconds(expiry)
    return Message(Kind.MESSAGE, EVM, SOLANA, sent, CONSUMER, SOLANA_CONSUMER, until, payload)


def rotation_post(*, sequence: int = 1, epoch: int = 2) -> Message:
    """A rotation posted on the EVM chain, for both chains. Its key and proof are none; the pipeline does not judge them."""
    rotation = Rotation(
        CommitteeEpoch(epoch),
        seeded("new key"),
        0,
        b"\2" + seeded("proof r") + seeded("proof z"),
        600,
        seeded("transcript"),
        3,
        bytes(range(4)),
        (RotationRemote(SOLANA, SOLANA.gateway),),
    )
    sent, never = Sequence(sequence), UnixSeconds(0)
    return Message(Kind.ROTATION, EVM, EVM, sent, COMMITTEE, COMMITTEE, never, rotation.to_bytes())
