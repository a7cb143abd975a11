"""How long a Merkle branch the delivery of a message can carry, by the real size of its transaction: how many messages may share a signature.

On an EVM chain a branch costs gas alone, and any depth fits. A Solana transaction has 1,232 bytes for everything. The sizes are those of
`bridges.solana`'s own instructions for a message of this length; nothing is sent, asked or signed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message as SolanaMessage
from solders.pubkey import Pubkey

from bridges.solana import instructions, tokens_instructions
from bridges.solana.instructions import Envelope, HomeRequest
from bridges.solana.layout import ProgramAddresses
from bridges.solana.tokens_instructions import Delivered, Programs
from bridges.solana.tokens_layout import Bucket, TokenAccount, TokenAddresses, TokenKind
from bridges.solana.transactions import MAX_TRANSACTION, MAX_UNITS
from oracle.config import SolanaConfig
from oracle.protocol.constants import MERKLE_MAX_DEPTH
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import Message
from oracle.protocol.types import WORD, Account, ChainType, CommitteeEpoch, Kind, UnixSeconds

_SIGNATURE = 65


@dataclass(frozen=True, slots=True)
class SolanaSizes:
    """What decides the size of a cluster's deliveries, beside the message. `tokens`: the token program, if the node redeems for it."""

    program: Pubkey
    tokens: Pubkey | None
    priced: bool
    """Whether transactions offer a priority fee, which takes an instruction."""

    @classmethod
    def of(cls, config: SolanaConfig) -> "SolanaSizes":
        """Of a node's configuration."""
        tokens = None if config.tokens_program is None else _pubkey(config.tokens_program)
        return cls(_pubkey(config.program), tokens, config.priority_fee > 0)


def branch_depths(clusters: Iterable[SolanaSizes]) -> Callable[[Message], int]:
    """The levels that a delivery of a message can carry, for a node that delivers to these Solana clusters.

    A signature may be delivered by others, so a cluster that is not among them counts as one whose transactions offer a fee.
    """
    by_program = {bytes(cluster.program): cluster for cluster in clusters}

    @lru_cache(maxsize=4096)
    def depth(message: Message) -> int:
        if message.destination.chain.chain_type is not ChainType.SOLANA:
            return MERKLE_MAX_DEPTH
        program = message.destination.gateway
        return _depth(by_program.get(program) or SolanaSizes(Pubkey(program), None, priced=True), message)

    return depth


def _depth(cluster: SolanaSizes, message: Message) -> int:
    """By the delivery with what redeems it in one transaction, if the two fit at all; else by the delivery alone."""
    deliver = _deliver(cluster, message)
    room = _room(cluster, deliver)
    if cluster.tokens is not None and message.kind is Kind.MESSAGE:
        authority = TokenAddresses(cluster.tokens).bridge.address
        if message.recipient == bytes(authority):
            together = _room(cluster, deliver, _redeem(cluster, cluster.tokens, message))
            room = together if together >= 0 else room
    return max(0, min(room, MERKLE_MAX_DEPTH))


def _room(cluster: SolanaSizes, *parts: Instruction) -> int:
    """Nodes of a branch that fit beside these instructions; negative when they do not fit themselves."""
    budget = [set_compute_unit_limit(MAX_UNITS), *([set_compute_unit_price(1)] if cluster.priced else [])]
    message = SolanaMessage.new_with_blockhash([*budget, *parts], _stranger(0), Hash.default())
    # A count of one, and the payer's signature.
    size = 1 + 64 + len(bytes(message))
    return (MAX_TRANSACTION - size) // WORD


def _deliver(cluster: SolanaSizes, message: Message) -> Instruction:
    at = ProgramAddresses(cluster.program)
    own = message.origin == message.destination
    home = HomeRequest(_stranger(1), _stranger(2)) if own and message.kind is Kind.INFERENCE_RESULT else None
    return instructions.deliver(at, _stranger(0), message, Envelope(CommitteeEpoch(1), bytes(_SIGNATURE), ()), home)


def _redeem(cluster: SolanaSizes, tokens: Pubkey, message: Message) -> Instruction:
    """As for a transfer that offers a fee, to somebody who has an account of the token; a dearer one takes a transaction of its own."""
    at = Programs(TokenAddresses(tokens), ProgramAddresses(cluster.program))
    never, nobody = UnixSeconds(0), Account(bytes(WORD))
    empty = Bucket(0, 0, 0, 0)
    token = TokenAccount(
        kind=TokenKind.WRAPPED,
        wire_decimals=0,
        native_decimals=0,
        paused=False,
        outstanding=0,
        cap=0,
        outbound=empty,
        inbound=empty,
        paused_since=never,
        exit_begin=never,
        exit_left=0,
        mint=_stranger(3),
        token_program=_stranger(4),
        evm_bridge=nobody,
        native_token=nobody,
    )
    delivered = Delivered(message, _stranger(0))
    return tokens_instructions.redeem(
        at, _stranger(0), token, delivered, _stranger(5), create=False, fee_account=_stranger(6)
    )


def _stranger(number: int) -> Pubkey:
    """Some account; which one does not change a size."""
    return Pubkey(keccak256(b"sizes", bytes([number])))


def _pubkey(text: str) -> Pubkey:
    return Pubkey(bytes.fromhex(text.removeprefix("0x")))
