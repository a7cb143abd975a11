"""A chain in memory: a full implementation of `ChainReader` and `ChainSubmitter`, for tests of everything above the ports.

It has blocks, finality by depth, reorgs, sequences, a replay set and real signature checks, so that it refuses what the contracts refuse. The
conformance suite holds it to the same rules as the real adapters. It does not check ezkl proofs or fees, and gives no callback.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from oracle.errors import DecodeError, Rejected, Reorged, Transient
from oracle.ports import Cursor, DeliveryState, Reading, Receipt, Submission
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import InferenceResult, Message, Rotation
from oracle.protocol.types import Account, CommitteeEpoch, Digest, Endpoint, Kind, Policy, Sequence, Status, UnixSeconds
from tests.support import schnorr


@dataclass
class MemoryEpoch:
    """A group key as a chain keeps it. Times on the wall clock; `valid_until` 0 for no end."""

    epoch: CommitteeEpoch
    group_key: bytes
    valid_from: float = 0
    valid_until: float = 0

    @property
    def px(self) -> bytes:
        """x of the key."""
        return self.group_key[1:]

    @property
    def parity(self) -> int:
        """Of its y."""
        return self.group_key[0] & 1


class MemoryEpochs:
    """The epochs of a MemoryChain, as `oracle.app.keyring.EpochView`."""

    def __init__(self, chain: MemoryChain) -> None:
        self._chain = chain

    async def keeper(self) -> Account:
        """The chain's gateway keeps its keys."""
        return self._chain.endpoint.gateway

    async def active(self) -> MemoryEpoch:
        """The newest that has begun."""
        self._chain.check_available()
        return max((e for e in self._chain.epochs.values() if e.valid_from <= time.time()), key=lambda e: e.epoch)

    async def newest(self) -> MemoryEpoch:
        """The newest."""
        self._chain.check_available()
        return self._chain.epochs[max(self._chain.epochs)]

    async def epoch(self, epoch: CommitteeEpoch) -> MemoryEpoch | None:
        """One of them."""
        return self._chain.epochs.get(epoch)


@dataclass
class MemoryChain:
    """Blocks of posted bodies, and what was delivered. `available = False` makes every operation Transient."""

    endpoint: Endpoint
    group_key: bytes
    peers: set[Endpoint] = field(default_factory=set)
    finality_depth: int = 2
    available: bool = True
    now: int = 0
    epochs: dict[int, MemoryEpoch] = field(default_factory=dict)
    activation_delay: float = 0.3
    """Seconds between a rotation's delivery and its epoch's begin, by the wall clock."""
    blocks: list[tuple[int, tuple[Message, ...]]] = field(default_factory=list)
    delivered: dict[tuple[Endpoint, int], tuple[Digest, int]] = field(default_factory=dict)
    _fork: int = 0

    def __post_init__(self) -> None:
        self.epochs.setdefault(1, MemoryEpoch(CommitteeEpoch(1), self.group_key))

    def post_rotation(self, rotation: Rotation) -> Message:
        """As its keeper of keys posts one."""
        keeper = self.endpoint.gateway
        sequence, never = self.next_sequence, UnixSeconds(0)
        message = Message(
            Kind.ROTATION, self.endpoint, self.endpoint, sequence, keeper, keeper, never, rotation.to_bytes()
        )
        self.append(message)
        return message

    def rotate(self, rotation: Rotation, signed_by: int) -> None:
        """Take a rotation that was delivered, or refuse it as the contracts do."""
        newest = max(self.epochs)
        if rotation.epoch != newest + 1 or signed_by != newest:
            raise Rejected("The rotation does not bring the next epoch.", reason="WrongEpoch")
        begin = time.time() + self.activation_delay
        self.epochs[newest].valid_until = begin + rotation.overlap
        key = bytes([2 + rotation.parity]) + rotation.group_key
        self.epochs[rotation.epoch] = MemoryEpoch(rotation.epoch, key, begin)

    def post(self, destination: Endpoint, sender: Account, recipient: Account, payload: bytes) -> Message:
        """A user's message, in a block of its own."""
        message = Message(
            Kind.MESSAGE, self.endpoint, destination, self.next_sequence, sender, recipient, UnixSeconds(0), payload
        )
        self.append(message)
        return message

    @property
    def next_sequence(self) -> Sequence:
        """Sequence of the next post."""
        return Sequence(1 + sum(len(messages) for _, messages in self.blocks))

    def append(self, *messages: Message) -> None:
        """A block with these posts, or an empty one."""
        self.blocks.append((self._fork, messages))

    def finalise(self) -> None:
        """Blocks until everything so far is final."""
        for _ in range(self.finality_depth):
            self.append()

    def reorg(self, depth: int) -> None:
        """Replace the newest blocks by as many empty ones."""
        self._fork += 1
        self.blocks[-depth:] = [(self._fork, ())] * depth

    @property
    def final_height(self) -> int:
        """Number of final blocks."""
        return max(0, len(self.blocks) - self.finality_depth)

    def check_available(self) -> None:
        """Raise Transient while the endpoint is down."""
        if not self.available:
            raise Transient("The endpoint in memory is down.")


class MemoryReader:
    """Reads a MemoryChain. A cursor is the number of the next block."""

    def __init__(self, chain: MemoryChain, *, max_blocks: int = 64) -> None:
        self._chain, self._max_blocks = chain, max_blocks
        self._seen: tuple[int, int] | None = None

    @property
    def origin(self) -> Endpoint:
        """The chain's gateway."""
        return self._chain.endpoint

    async def read(self, cursor: Cursor) -> Reading:
        """The posts of final blocks from `cursor`."""
        self._chain.check_available()
        if self._seen is not None and self._seen[0] == cursor:
            height, fork = self._seen
            if len(self._chain.blocks) < height or self._chain.blocks[height - 1][0] != fork:
                raise Reorged(f"Block {height - 1} is no longer part of the chain in memory.")
        end = min(self._chain.final_height, cursor + self._max_blocks)
        if end <= cursor:
            return Reading((), cursor)
        blocks = self._chain.blocks[cursor:end]
        self._seen = (end, blocks[-1][0])
        return Reading(tuple(message for _, messages in blocks for message in messages), Cursor(end))


class MemorySubmitter:
    """Delivers to a MemoryChain; each delivery is a block."""

    def __init__(self, chain: MemoryChain) -> None:
        self._chain = chain

    @property
    def destination(self) -> Endpoint:
        """The chain's gateway."""
        return self._chain.endpoint

    async def submit(self, submission: Submission) -> Receipt | None:
        """Check as a gateway does, then record."""
        self._chain.check_available()
        message = submission.message
        if await self.state(message) is not DeliveryState.ABSENT:
            return None
        self._check(submission)
        if message.kind is Kind.ROTATION and submission.attestation is not None:
            self._chain.rotate(Rotation.from_bytes(message.payload), submission.attestation.epoch)
        self._chain.delivered[message.origin, message.sequence] = (message.digest, len(self._chain.blocks))
        self._chain.append()
        return Receipt(transaction=f"memory:{len(self._chain.blocks)}", cost=1, size=len(message.to_bytes()))

    async def state(self, message: Message) -> DeliveryState:
        """Whether (origin, sequence) was delivered, and how deep."""
        self._chain.check_available()
        found = self._chain.delivered.get((message.origin, message.sequence))
        if found is None:
            return DeliveryState.ABSENT
        return DeliveryState.FINAL if found[1] < self._chain.final_height else DeliveryState.INCLUDED

    async def lapsed(self, message: Message) -> bool:
        """Whether the chain's clock is past the expiry and no block took the message."""
        absent = await self.state(message) is DeliveryState.ABSENT
        return absent and 0 < message.expiry < self._chain.now

    def _check(self, submission: Submission) -> None:
        message = submission.message
        if message.kind is Kind.INFERENCE_REQUEST:
            raise Rejected("A request is never delivered.", reason="WrongRecipient")
        if message.destination != self._chain.endpoint:
            raise Rejected("This message goes elsewhere.", reason="WrongDestination")
        if message.origin != self._chain.endpoint and message.origin not in self._chain.peers:
            raise Rejected("Nobody here knows this origin.", reason="UnknownPeer")
        if message.expiry and message.expiry < self._chain.now:
            raise Rejected("This message is too old.", reason="Expired")
        proven, answered = _result_needs(message)
        if answered and (submission.zk_proof is None or submission.request is None):
            raise Rejected("This answer needs its request and its proof.", reason="ProofRequired")
        if not proven:
            self._check_signature(submission)

    def _check_signature(self, submission: Submission) -> None:
        attestation = submission.attestation
        if attestation is None:
            raise Rejected("This message needs the committee's signature.")
        if submission.message.digest not in attestation.digests:
            raise Rejected("The signature does not cover this message.", reason="InvalidSignature")
        signed = batch_signing_hash(attestation.digests)
        epoch, now = self._chain.epochs.get(attestation.epoch), time.time()
        if epoch is None or epoch.valid_from > now or (epoch.valid_until and epoch.valid_until <= now):
            raise Rejected(f"Epoch {attestation.epoch} does not count here now.", reason="InvalidEpoch")
        if not schnorr.verify(epoch.group_key, signed, attestation.signature):
            raise Rejected("The signature is wrong.", reason="InvalidSignature")


def _result_needs(message: Message) -> tuple[bool, bool]:
    """(no signature, a proof) for this message."""
    if message.kind is not Kind.INFERENCE_RESULT:
        return False, False
    try:
        result = InferenceResult.from_bytes(message.payload)
    except DecodeError as error:
        raise Rejected(str(error), reason="WrongLength") from error
    answered = result.status is Status.ANSWERED
    return answered and result.policy is Policy.PROVEN, answered and result.policy.chain_checks_proof
