"""What a node knows of one message, and how an event changes it (rules 1 and 3 of the package)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any

from oracle.pipeline.events import (
    Approved,
    Attested,
    Confirmed,
    DeadLettered,
    Delivered,
    Dropped,
    Event,
    Expired,
    Inferred,
    Lapsed,
    Millis,
    Observed,
    Outdated,
    Proved,
    Retried,
    Vanished,
)
from oracle.ports import GroupAttestation
from oracle.protocol.errors import ProtocolError
from oracle.protocol.message import (
    InferenceResult,
    Message,
    Outcome,
    non_delivery_message,
    result_messages,
    rotation_messages,
)
from oracle.protocol.types import Digest, Kind, Policy, Status


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
    DEAD = "dead"
    DROPPED = "dropped"


class LetterState(Enum):
    """What became of a message that this node gave up."""

    DEAD = "dead"
    """It waits for the operator."""
    RETRIED = "retried"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that this node gave up: how often so far, why, what the operator made of it, and when that (or giving it up) was."""

    digest: Digest
    number: int
    reason: str
    at: Millis
    state: LetterState = LetterState.DEAD


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
    letters: tuple[DeadLetter, ...] = ()

    @property
    def stage(self) -> Stage:
        """The furthest step that is complete; or that a message of it was given up."""
        if self.deliverables and self.confirmed >= self.deliverables.keys():
            return Stage.CONFIRMED
        if self.expired:
            return Stage.EXPIRED
        if self.letters:
            dropped = self._letters_in(LetterState.DROPPED)
            if dropped and self.confirmed | dropped >= self.deliverables.keys():
                return Stage.DROPPED
            if self.dead:
                return Stage.DEAD
        if self.deliverables and self.delivered >= self.deliverables.keys():
            return Stage.DELIVERED
        if self.attestation is not None:
            return Stage.ATTESTED
        if self.proof_id is not None:
            return Stage.PROVED
        return Stage.INFERRED if self.outcome is not None else Stage.OBSERVED

    @property
    def finished(self) -> bool:
        """Whether nothing is owed any more. A dropped message that can still expire is watched until then: its sender is to be told."""
        return self.finished_at(self.stage)

    def finished_at(self, stage: Stage) -> bool:
        """`finished`, by who knows the work's stage."""
        return stage is Stage.CONFIRMED or stage is Stage.EXPIRED or (stage is Stage.DROPPED and not self._can_lapse)

    @property
    def _can_lapse(self) -> bool:
        return self.message.kind is Kind.MESSAGE and bool(self.message.expiry) and not self.lapsed

    @property
    def to_sign(self) -> tuple[Digest, ...]:
        """Digests that this node may sign, in the order of the batch; empty before the work is ready."""
        if self.ready_at is None:
            return ()
        dropped = self._letters_in(LetterState.DROPPED) if self.letters else ()
        return tuple(
            digest
            for digest, message in self.deliverables.items()
            if digest not in dropped and needs_signature(message)
        )

    @property
    def dead(self) -> tuple[DeadLetter, ...]:
        """What this node gave up and waits for the operator; what others delivered meanwhile is not dead."""
        return tuple(
            letter
            for letter in self.letters
            if letter.state is LetterState.DEAD and letter.digest not in self.delivered
        )

    @property
    def shelved(self) -> frozenset[Digest]:
        """What this node does not deliver: given up or dropped."""
        if not self.letters:
            return frozenset()
        return frozenset(letter.digest for letter in self.letters if letter.state is not LetterState.RETRIED)

    def letter(self, digest: Digest) -> DeadLetter | None:
        """What is known of giving up that message; None if that never was."""
        return next((letter for letter in self.letters if letter.digest == digest), None)

    def _letters_in(self, state: LetterState) -> frozenset[Digest]:
        return frozenset(letter.digest for letter in self.letters if letter.state is state)


_result_of = lru_cache(maxsize=4096)(InferenceResult.from_bytes)
"""What a result says; asked at every look at a work."""


_FIELDS = tuple(one.name for one in fields(Work))
_VALUES = attrgetter(*_FIELDS)
_SETTERS = {name: Work.__dict__[name].__set__ for name in _FIELDS}


def _with(work: Work, **changes: Any) -> Work:
    """`dataclasses.replace` in half of its time: a restart makes several of these for each message of the journal."""
    made = object.__new__(Work)
    for put, value in zip(_SETTERS.values(), _VALUES(work), strict=True):
        put(made, value)
    for name, value in changes.items():
        _SETTERS[name](made, value)
    return made


def needs_signature(message: Message) -> bool:
    """Everything but an answer under PROVEN, which the proof alone carries (PROTOCOL.md §3, §4)."""
    if message.kind is not Kind.INFERENCE_RESULT:
        return True
    result = _result_of(message.payload)
    return result.policy.signed or result.status is not Status.ANSWERED


def needs_proof(results: Iterable[Message]) -> bool:
    """Whether members sign (or deliver) these results only after they checked a proof: not for refusals, nor under RECOMPUTED alone."""
    found = [_result_of(message.payload) for message in results]
    return any(one.status is Status.ANSWERED and one.policy is not Policy.RECOMPUTED for one in found)


def advance(work: Work | None, event: Event) -> Work:
    """The state after `event`. Raises IllegalTransition (and DecodeError for an observed request that is malformed)."""
    if isinstance(event, Observed):
        return _observed(work, event)
    if work is None:
        raise IllegalTransition("The first event of a message is that it was observed.")
    if work.expired and not isinstance(event, Confirmed | Delivered | Vanished | Expired):
        raise IllegalTransition("The message has expired.")
    if isinstance(event, DeadLettered | Retried | Dropped):
        return _given_up(work, event)
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
            return _with(work, delivered=work.delivered | {digest})
        case Confirmed(digest=digest):
            _check_deliverable(work, digest)
            if digest in work.confirmed:
                return work
            return _with(work, delivered=work.delivered | {digest}, confirmed=work.confirmed | {digest})
        case Vanished(digest=digest):
            return _vanished(work, digest)
        case Approved():
            return _approved(work, event)
        case Lapsed():
            return _lapsed(work, event)
        case Expired():
            return work if work.expired else _with(work, expired=True)


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
    ready_at = None if needs_proof(results.values()) else event.at
    return _with(work, outcome=event.outcome, inferred_at=event.at, deliverables=results, ready_at=ready_at)


def _proved(work: Work, event: Proved) -> Work:
    if work.outcome is None or work.outcome.status is not Status.ANSWERED:
        raise IllegalTransition("Only an answered request has a proof, and only after this node's own inference.")
    if work.proof_id is not None:
        return work  # proofs are randomised: a second one of the same statement adds nothing
    # Under RECOMPUTED a proof comes on demand, long after the work was ready.
    ready_at = event.at if work.ready_at is None else work.ready_at
    return _with(work, proof_id=event.proof_id, prover=event.prover, ready_at=ready_at)


def _approved(work: Work, event: Approved) -> Work:
    if work.message.kind is not Kind.ROTATION:
        raise IllegalTransition("Only a rotation is approved.")
    return work if work.ready_at is not None else _with(work, ready_at=event.at)


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
    return _with(work, attestation=event.attestation, attested_at=event.at)


def _outdated(work: Work, event: Outdated) -> Work:
    if work.attestation is None or work.attestation.epoch != event.epoch:
        return work
    # The members' patience with one another begins anew, or all would ask for signatures at once.
    return _with(work, attestation=None, attested_at=None, ready_at=event.at)


def _vanished(work: Work, digest: Digest) -> Work:
    _check_deliverable(work, digest)
    if digest in work.confirmed:
        raise IllegalTransition("What is final on its destination does not vanish.")
    return _with(work, delivered=work.delivered - {digest}) if digest in work.delivered else work


def _given_up(work: Work, event: DeadLettered | Retried | Dropped) -> Work:
    """Letters are numbered, so that a repeated event is known for what it is after any number of tries."""
    _check_deliverable(work, event.digest)
    letter = work.letter(event.digest)
    last = 0 if letter is None else letter.number
    if isinstance(event, DeadLettered):
        if event.number <= last or event.digest in work.delivered:
            return work  # what others delivered is not dead
        if event.number != last + 1 or (letter is not None and letter.state is not LetterState.RETRIED):
            raise IllegalTransition("A message is given up once, and again only after it was tried again.")
        return _with_letter(work, DeadLetter(event.digest, event.number, event.reason, event.at))
    if letter is None or event.number > last:
        raise IllegalTransition("Only what was given up is tried again or dropped.")
    state = LetterState.RETRIED if isinstance(event, Retried) else LetterState.DROPPED
    if event.number < last or letter.state is state:
        return work
    if letter.state is not LetterState.DEAD:
        raise IllegalTransition(f"That message was already {letter.state.value}.")
    return _with_letter(work, replace(letter, state=state, at=event.at))


def _with_letter(work: Work, letter: DeadLetter) -> Work:
    others = tuple(one for one in work.letters if one.digest != letter.digest)
    return _with(work, letters=(*others, letter))


def _check_deliverable(work: Work, digest: Digest) -> None:
    if digest not in work.deliverables:
        raise IllegalTransition("What was delivered is not a message of this work.")
