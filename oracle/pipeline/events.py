"""Facts about messages, in the order in which a node learnt them: what the journal holds, and all that a pipeline is made of."""

from dataclasses import dataclass
from typing import NewType

from oracle.ports import GroupAttestation
from oracle.protocol.message import Message, Outcome
from oracle.protocol.types import CommitteeEpoch, Digest

Millis = NewType("Millis", int)
"""Milliseconds since 1970 on this node's clock."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A final post of a gateway."""

    message: Message
    at: Millis

    @property
    def work_id(self) -> Digest:
        """The message's digest."""
        return self.message.digest


@dataclass(frozen=True, slots=True)
class Inferred:
    """This node's own outcome of a request."""

    work_id: Digest
    outcome: Outcome
    at: Millis


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof that this node made or checked itself. `proof_id` is its keccak256, `prover` who made it."""

    work_id: Digest
    proof_id: bytes
    prover: int
    at: Millis


@dataclass(frozen=True, slots=True)
class Attested:
    """A committee signature that this node made or checked itself."""

    work_id: Digest
    attestation: GroupAttestation
    at: Millis


@dataclass(frozen=True, slots=True)
class Delivered:
    """A destination took one of the work's messages."""

    work_id: Digest
    digest: Digest
    at: Millis


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A delivery is final on its destination."""

    work_id: Digest
    digest: Digest
    at: Millis


@dataclass(frozen=True, slots=True)
class Vanished:
    """A delivery that was not final yet is no longer part of its destination: it has to be made again."""

    work_id: Digest
    digest: Digest
    at: Millis


@dataclass(frozen=True, slots=True)
class Expired:
    """The deadline passed before all was delivered; what was not delivered never will be."""

    work_id: Digest
    at: Millis


@dataclass(frozen=True, slots=True)
class Approved:
    """This node's operator holds the very key that a rotation brings: it took part in making it, or checked who did."""

    work_id: Digest
    at: Millis


@dataclass(frozen=True, slots=True)
class Lapsed:
    """A user's message expired, and its destination, at a final state past the expiry, never took it. Its sender is to be told."""

    work_id: Digest
    at: Millis


@dataclass(frozen=True, slots=True)
class Outdated:
    """The committee epoch of the work's signature is not accepted any more (or not yet) where it still has to go: it is signed again."""

    work_id: Digest
    epoch: CommitteeEpoch
    at: Millis


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """This node gave up delivering one of the work's messages, for the `number`-th time (from 1): `reason` is the last failure."""

    work_id: Digest
    digest: Digest
    number: int
    reason: str
    at: Millis


@dataclass(frozen=True, slots=True)
class Retried:
    """The operator has this node try again what it gave up for the `number`-th time."""

    work_id: Digest
    digest: Digest
    number: int
    at: Millis


@dataclass(frozen=True, slots=True)
class Dropped:
    """The operator wants nothing more done for what this node gave up for the `number`-th time: it neither signs nor delivers it again."""

    work_id: Digest
    digest: Digest
    number: int
    at: Millis


Event = (
    Observed
    | Inferred
    | Proved
    | Approved
    | Attested
    | Outdated
    | Delivered
    | Confirmed
    | Vanished
    | Lapsed
    | Expired
    | DeadLettered
    | Retried
    | Dropped
)
