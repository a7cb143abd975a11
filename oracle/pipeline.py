"""The pure pipeline: what a node knows of each message, and what it owes next.

Data flow (design.md): observed → inferred → proved → attested → delivered → confirmed; a kind or policy skips steps, never reorders them.

Rules, all enforced here:
1. `advance(work, event)` is pure. An event that repeats what is known returns the same work; one that contradicts it, or comes before its
   time, raises `IllegalTransition` and nothing happens. So a journal of events replays to the same state.
2. `due(work, …)` is a pure function of the state and the time: it says what this member owes now, not what just happened. After a crash the
   same function says what to do again; every effect is safe to repeat.
3. Results are built here from the request and this node's own outcome, and `authorise` gives a signing value only for digests of messages
   that this node reached itself. Nothing that a peer says can add one.

It has no clock: times are arguments, in milliseconds of the node's own clock, and never enter a body.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from typing import NewType

from oracle.errors import NotAuthorised
from oracle.ports import GroupAttestation
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import (
    InferenceResult,
    Message,
    Outcome,
    non_delivery_message,
    result_messages,
    rotation_messages,
)
from oracle.protocol.quorum import duty_order
from oracle.protocol.types import CommitteeEpoch, Digest, Endpoint, Kind, Policy, Status

Millis = NewType("Millis", int)
"""Milliseconds since 1970 on this node's clock."""


class IllegalTransition(ProtocolError):
    """The event contradicts what is known, or comes before its time."""


class Stage(Enum):
    """How far a message has come."""

    OBSERVED = "observed"
    INFERRED = "inferred"
    PROVED = "proved"
    ATTESTED = "attested"
    DELIVERED = "delivered"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"


# ---- events: facts, in the order in which this node learnt them ----


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


Event = (
    Observed | Inferred | Proved | Approved | Attested | Outdated | Delivered | Confirmed | Vanished | Lapsed | Expired
)


@dataclass(frozen=True, slots=True)
class Work:
    """All that a node knows of one message.

    `deliverables` are the messages that must reach destinations; this node signs or submits them from `ready_at` on. A lapsed work has one
    deliverable: the non-delivery, for the sender.
    """

    message: Message
    observed_at: Millis
    outcome: Outcome | None = None
    inferred_at: Millis | None = None
    proof_id: bytes | None = None
    prover: int | None = None
    deliverables: dict[Digest, Message] = field(default_factory=dict)
    ready_at: Millis | None = None
    attestation: GroupAttestation | None = None
    attested_at: Millis | None = None
    delivered: frozenset[Digest] = frozenset()
    confirmed: frozenset[Digest] = frozenset()
    expired: bool = False
    lapsed: bool = False

    @property
    def stage(self) -> Stage:
        """The furthest step that is complete."""
        if self.deliverables and self.confirmed >= self.deliverables.keys():
            return Stage.CONFIRMED
        if self.expired:
            return Stage.EXPIRED
        if self.deliverables and self.delivered >= self.deliverables.keys():
            return Stage.DELIVERED
        if self.attestation is not None:
            return Stage.ATTESTED
        if self.proof_id is not None:
            return Stage.PROVED
        return Stage.INFERRED if self.outcome is not None else Stage.OBSERVED

    @property
    def finished(self) -> bool:
        """Whether nothing is owed any more."""
        return self.stage in (Stage.CONFIRMED, Stage.EXPIRED)

    @property
    def to_sign(self) -> tuple[Digest, ...]:
        """Digests that this node may sign, in the order of the batch; empty before the work is ready."""
        if self.ready_at is None:
            return ()
        return tuple(digest for digest, message in self.deliverables.items() if needs_signature(message))


def needs_signature(message: Message) -> bool:
    """Everything but an answer under PROVEN, which the proof alone carries (PROTOCOL.md §3, §4)."""
    if message.kind is not Kind.INFERENCE_RESULT:
        return True
    result = InferenceResult.from_bytes(message.payload)
    return result.policy is not Policy.PROVEN or result.status is not Status.ANSWERED


def advance(work: Work | None, event: Event) -> Work:
    """The state after `event`. Raises IllegalTransition (and DecodeError for an observed request that is malformed)."""
    if isinstance(event, Observed):
        return _observed(work, event)
    if work is None:
        raise IllegalTransition("The first event of a message is that it was observed.")
    if work.expired and not isinstance(event, Confirmed | Delivered | Vanished | Expired):
        raise IllegalTransition("The message has expired.")
    match event:
        case Inferred():
            return _inferred(work, event)
        case Proved():
            return _proved(work, event)
        case Attested():
            return _attested(work, event)
        case Outdated():
            return _outdated(work, event)
        case Delivered(digest=digest):
            _check_deliverable(work, digest)
            if digest in work.delivered:
                return work
            return replace(work, delivered=work.delivered | {digest})
        case Confirmed(digest=digest):
            _check_deliverable(work, digest)
            if digest in work.confirmed:
                return work
            return replace(work, delivered=work.delivered | {digest}, confirmed=work.confirmed | {digest})
        case Vanished(digest=digest):
            return _vanished(work, digest)
        case Approved():
            return _approved(work, event)
        case Lapsed():
            return _lapsed(work, event)
        case Expired():
            return work if work.expired else replace(work, expired=True)


def _observed(work: Work | None, event: Observed) -> Work:
    if work is not None:
        return work
    message = event.message
    if message.kind is Kind.MESSAGE:
        return Work(message, event.at, deliverables={message.digest: message}, ready_at=event.at)
    if message.kind is Kind.INFERENCE_REQUEST:
        # Its results must be expressible, whatever the outcome: a remote on the origin's own chain is refused here, once.
        result_messages(message, Outcome(Status.UNKNOWN_MODEL))
        return Work(message, event.at)
    if message.kind is Kind.ROTATION:
        return Work(message, event.at, deliverables={post.digest: post for post in rotation_messages(message)})
    raise IllegalTransition("Results and non-deliveries are made by the committee; no gateway posts them.")


def _inferred(work: Work, event: Inferred) -> Work:
    if work.message.kind is not Kind.INFERENCE_REQUEST:
        raise IllegalTransition("Only a request is inferred.")
    if work.outcome is not None:
        if work.outcome != event.outcome:
            raise IllegalTransition("A second inference of the same request gave another outcome.")
        return work
    results = {message.digest: message for message in result_messages(work.message, event.outcome)}
    ready_at = None if event.outcome.status is Status.ANSWERED else event.at
    return replace(work, outcome=event.outcome, inferred_at=event.at, deliverables=results, ready_at=ready_at)


def _proved(work: Work, event: Proved) -> Work:
    if work.outcome is None or work.outcome.status is not Status.ANSWERED:
        raise IllegalTransition("Only an answered request has a proof, and only after this node's own inference.")
    if work.proof_id is not None:
        return work  # proofs are randomised: a second one of the same statement adds nothing
    return replace(work, proof_id=event.proof_id, prover=event.prover, ready_at=event.at)


def _approved(work: Work, event: Approved) -> Work:
    if work.message.kind is not Kind.ROTATION:
        raise IllegalTransition("Only a rotation is approved.")
    return work if work.ready_at is not None else replace(work, ready_at=event.at)


def _lapsed(work: Work, event: Lapsed) -> Work:
    if work.lapsed:
        return work
    message = work.message
    if message.kind is not Kind.MESSAGE or not message.expiry:
        raise IllegalTransition("Only a message with an expiry lapses.")
    if work.confirmed:
        raise IllegalTransition("What is final on its destination does not lapse.")
    notice = non_delivery_message(message)
    # The message's own digest is no deliverable from here on, so this node never signs it again.
    return Work(message, work.observed_at, deliverables={notice.digest: notice}, ready_at=event.at, lapsed=True)


def _attested(work: Work, event: Attested) -> Work:
    if work.ready_at is None:
        raise IllegalTransition("A signature counts only after this node itself reached what it covers.")
    missing = set(work.to_sign) - set(event.attestation.digests)
    if missing or not work.to_sign:
        raise IllegalTransition("The signature does not cover what this node reached for the message.")
    if work.attestation is not None:
        return work
    return replace(work, attestation=event.attestation, attested_at=event.at)


def _outdated(work: Work, event: Outdated) -> Work:
    if work.attestation is None or work.attestation.epoch != event.epoch:
        return work
    # The members' patience with one another begins anew, or all would ask for signatures at once.
    return replace(work, attestation=None, attested_at=None, ready_at=event.at)


def _vanished(work: Work, digest: Digest) -> Work:
    _check_deliverable(work, digest)
    if digest in work.confirmed:
        raise IllegalTransition("What is final on its destination does not vanish.")
    return replace(work, delivered=work.delivered - {digest}) if digest in work.delivered else work


def _check_deliverable(work: Work, digest: Digest) -> None:
    if digest not in work.deliverables:
        raise IllegalTransition("What was delivered is not a message of this work.")


# ---- effects: what this member owes ----


@dataclass(frozen=True, slots=True)
class Infer:
    """Run the model."""

    work_id: Digest


@dataclass(frozen=True, slots=True)
class Prove:
    """Make the proof and spread it."""

    work_id: Digest


@dataclass(frozen=True, slots=True)
class Sign:
    """Coordinate a signature over the work's digests and spread it."""

    work_id: Digest


@dataclass(frozen=True, slots=True)
class Submit:
    """Deliver one message."""

    work_id: Digest
    digest: Digest


@dataclass(frozen=True, slots=True)
class Check:
    """Ask a destination whether it has one message, and whether that is final."""

    work_id: Digest
    digest: Digest


@dataclass(frozen=True, slots=True)
class Approve:
    """Look whether the operator holds the key that a rotation brings."""

    work_id: Digest


@dataclass(frozen=True, slots=True)
class Lapse:
    """Ask the destination whether a message that expired can never arrive any more."""

    work_id: Digest


@dataclass(frozen=True, slots=True)
class Expire:
    """Close the work."""

    work_id: Digest


Effect = Infer | Prove | Approve | Sign | Submit | Check | Lapse | Expire


@dataclass(frozen=True, slots=True)
class Takeover:
    """How long a member waits for the one before it in the duty order, in milliseconds, for each duty."""

    prove: int = 20_000
    sign: int = 3_000
    submit: int = 4_000

    expiry_grace: int = 60_000
    """How long past its deadline a message is still watched: its destination's clock may lag."""


APPROVAL_PATIENCE = 30 * 86_400_000
"""How long a rotation that nobody here approves is kept open, in milliseconds: anyone can post one, and most will never be approved."""


@dataclass(frozen=True, slots=True)
class Member:
    """Who this node is: its identifier, all identifiers of the committee, the gateways it can deliver to, and its patience."""

    identifier: int
    committee: tuple[int, ...]
    destinations: frozenset[Endpoint]
    takeover: Takeover = Takeover()


_order = lru_cache(maxsize=4096)(duty_order)


def _rank(member: Member, digest: Digest, duty: str, first: int | None = None) -> int:
    order = _order(member.committee, digest, duty)
    if first in order:
        order = (first, *(identifier for identifier in order if identifier != first))
    return order.index(member.identifier)


def due(work: Work, member: Member, now: Millis) -> Iterator[Effect]:
    """What `member` owes for this work at `now`. Deterministic; yields the same again until an event changes the state."""
    if work.finished:
        return
    work_id = work.message.digest
    if work.message.kind is Kind.ROTATION and work.ready_at is None and now > work.observed_at + APPROVAL_PATIENCE:
        yield Expire(work_id)
        return
    expiry = 0 if work.lapsed else work.message.expiry * 1000
    open_for_delivery = not expiry or now <= expiry
    if not open_for_delivery and _may_lapse(work, member):
        yield Lapse(work_id)
    elif expiry and now > expiry + member.takeover.expiry_grace:
        yield Expire(work_id)
        return
    # What others delivered needs no proof and no signature any more; what is delivered is only watched until it is final.
    if open_for_delivery and (not work.deliverables or work.deliverables.keys() - work.delivered):
        yield from _due_before_delivery(work, work_id, member, now)
    for digest, message in work.deliverables.items():
        if digest in work.confirmed or message.destination not in member.destinations:
            continue
        if open_for_delivery and digest not in work.delivered and _may_submit(work, message, digest, member, now):
            yield Submit(work_id, digest)
        yield Check(work_id, digest)


def _may_lapse(work: Work, member: Member) -> bool:
    """A user's message is never just given up: it arrived, or its sender is told that it did not."""
    return work.message.kind is Kind.MESSAGE and work.message.destination in member.destinations


def _due_before_delivery(work: Work, work_id: Digest, member: Member, now: Millis) -> Iterator[Effect]:
    patience = member.takeover
    if work.message.kind is Kind.INFERENCE_REQUEST and work.outcome is None:
        yield Infer(work_id)
    elif work.ready_at is None and work.message.kind is Kind.ROTATION:
        yield Approve(work_id)
    elif work.ready_at is None:
        if now >= (work.inferred_at or 0) + _rank(member, work_id, "prove") * patience.prove:
            yield Prove(work_id)
    elif (
        work.attestation is None
        and work.to_sign
        # Who proved knows first that the others checked the proof, so it is the first to ask for signatures.
        and now >= work.ready_at + _rank(member, work_id, "sign", work.prover) * patience.sign
    ):
        yield Sign(work_id)


def _may_submit(work: Work, message: Message, digest: Digest, member: Member, now: Millis) -> bool:
    since = work.attested_at if needs_signature(message) else work.ready_at
    return since is not None and now >= since + _rank(member, digest, "submit") * member.takeover.submit


class Pipeline:
    """The works of a node, and which of them a digest belongs to. Holds no resource and does no I/O; replaying events rebuilds it."""

    def __init__(self) -> None:
        self._works: dict[Digest, Work] = {}
        self._open: dict[Digest, None] = {}
        self._owner: dict[Digest, Digest] = {}

    def preview(self, event: Event) -> Work:
        """The work after `event`, without recording it. Raises as `advance` does."""
        return advance(self._works.get(event.work_id), event)

    def apply(self, event: Event) -> Work:
        """Record `event`. Raises as `advance` does, and then nothing has changed."""
        work = self.preview(event)
        self._works[event.work_id] = work
        for digest in work.deliverables:
            self._owner[digest] = event.work_id
        if work.finished:
            self._open.pop(event.work_id, None)
        else:
            self._open[event.work_id] = None
        return work

    def finished_before(self, moment: Millis) -> tuple[Digest, ...]:
        """Works that are finished and were observed before `moment`, oldest first."""
        return tuple(
            work_id for work_id, work in self._works.items() if work_id not in self._open and work.observed_at < moment
        )

    def forget(self, works: Iterable[Digest]) -> None:
        """Drop finished works, so that memory stays bounded. The chains remember them: one that is observed again is found delivered.

        Raises IllegalTransition (nothing dropped) when one is not finished.
        """
        gone = tuple(works)
        if any(work_id in self._open for work_id in gone):
            raise IllegalTransition("Only what is finished can be forgotten.")
        for work_id in gone:
            work = self._works.pop(work_id, None)
            # A message that lapsed is no deliverable any more, and is its work's id.
            for digest in (work_id, *(() if work is None else work.deliverables)):
                self._owner.pop(digest, None)

    def work(self, work_id: Digest) -> Work | None:
        """The work of an observed message, by its digest."""
        return self._works.get(work_id)

    def owner(self, digest: Digest) -> Work | None:
        """The work that a message to be delivered belongs to."""
        work_id = self._owner.get(digest)
        return None if work_id is None else self._works[work_id]

    def works(self) -> Iterator[Work]:
        """All works, in the order in which they were observed."""
        yield from self._works.values()

    def open_works(self) -> Iterator[Work]:
        """Works for which something is still owed, oldest first."""
        for work_id in self._open:
            yield self._works[work_id]

    def due(self, member: Member, now: Millis) -> list[Effect]:
        """All that `member` owes now, oldest work first."""
        return [effect for work in self.open_works() for effect in due(work, member, now)]

    def authorise(self, digests: Iterable[Digest], now: Millis) -> bytes:
        """The 32 bytes to sign for a batch.

        Raises NotAuthorised unless this node itself reached every digest of it.
        """
        batch = tuple(digests)
        for digest in batch:
            work = self.owner(digest)
            if work is None:
                raise NotAuthorised(f"This node has not reached a message with digest 0x{digest.hex()[:16]}….")
            name = f"0x{digest.hex()[:16]}…"
            if work.ready_at is None:
                what = "approved the key" if work.message.kind is Kind.ROTATION else "checked the proof"
                raise NotAuthorised(f"This node has not yet {what} behind the digest {name}.")
            if digest not in work.to_sign:
                why = "expired undelivered" if work.lapsed else "is carried by its proof, not by a signature"
                raise NotAuthorised(f"The message with digest {name} {why}.")
            expiry = work.deliverables[digest].expiry
            if work.expired or (expiry and now > expiry * 1000):
                raise NotAuthorised(f"The message with digest {name} has expired.")
        return batch_signing_hash(batch)
