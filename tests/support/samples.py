"""Well-formed messages for tests: one EVM gateway, one Solana program, and requests between them."""

from oracle.protocol.hashing import keccak256
from oracle.protocol.message import InferenceRequest, Message, Remote
from oracle.protocol.types import Account, Chain, Endpoint, Kind, ModelId, Policy, Sequence, UnixSeconds, evm_account


def seeded(label: str, size: int = 32) -> bytes:
    """Bytes that depend on the label only."""
    return keccak256(b"sibyl tests", label.encode())[:size]


EVM = Endpoint(Chain.evm(31337), evm_account(seeded("gateway", 20)))
SOLANA = Endpoint(Chain.solana(seeded("genesis")), Account(seeded("program")))
HUB = evm_account(seeded("hub", 20))
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


def plain_message(*, sequence: int = 1, payload: bytes = b"hello") -> Message:
    """A user's message from the EVM chain to Solana."""
    return Message(Kind.MESSAGE, EVM, SOLANA, Sequence(sequence), CONSUMER, SOLANA_CONSUMER, UnixSeconds(0), payload)
