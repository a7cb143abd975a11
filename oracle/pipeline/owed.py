"""What a member of the committee owes for a message at a time (rule 2 of the package): the effects, and who is patient how long."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from oracle.pipeline.events import Millis
from oracle.pipeline.work import Work, needs_signature
from oracle.protocol.message import Message
from oracle.protocol.quorum import duty_order
from oracle.protocol.types import Digest, Endpoint, Kind


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
    """What `member` owes for this work at `now`. Deterministic; yields the same again until an event changes the state or a moment of
    `moments` has come."""
    if work.finished:
        return
    work_id = work.message.digest
    if _may_wait_in_vain(work) and now > work.observed_at + APPROVAL_PATIENCE:
        yield Expire(work_id)
        return
    expiry = _expiry(work)
    open_for_delivery = not expiry or now <= expiry
    if not open_for_delivery and _may_lapse(work, member):
        yield Lapse(work_id)
    elif expiry and now > expiry + member.takeover.expiry_grace:
        yield Expire(work_id)
        return
    shelved = work.shelved
    # What others delivered needs no proof and no signature any more; what is delivered is only watched until it is final.
    if open_for_delivery and (not work.deliverables or work.deliverables.keys() - work.delivered - shelved):
        yield from _due_before_delivery(work, work_id, member, now)
    for digest, message in work.deliverables.items():
        if digest in work.confirmed or message.destination not in member.destinations:
            continue
        if open_for_delivery and digest not in work.delivered and digest not in shelved:
            begin = _submit_from(work, message, digest, member)
            if begin is not None and now >= begin:
                yield Submit(work_id, digest)
        # Others may deliver what this node gave up.
        yield Check(work_id, digest)


def moments(work: Work, member: Member) -> Iterator[int]:
    """All moments, in milliseconds, from which on `due` may say something else of this state than before. In no order."""
    if work.finished:
        return
    if _may_wait_in_vain(work):
        yield work.observed_at + APPROVAL_PATIENCE + 1
    if expiry := _expiry(work):
        yield expiry + 1
        yield expiry + member.takeover.expiry_grace + 1
    if work.outcome is not None and work.ready_at is None:
        yield _prove_from(work, member)
    if work.ready_at is not None and work.attestation is None:
        yield _sign_from(work, work.ready_at, member)
    for digest, message in work.deliverables.items():
        if digest not in work.delivered and message.destination in member.destinations:
            begin = _submit_from(work, message, digest, member)
            if begin is not None:
                yield begin


def _may_wait_in_vain(work: Work) -> bool:
    return work.message.kind is Kind.ROTATION and work.ready_at is None


def _expiry(work: Work) -> int:
    """The last moment at which the destination may take it, in milliseconds; 0 for never."""
    return 0 if work.lapsed else work.message.expiry * 1000


def _may_lapse(work: Work, member: Member) -> bool:
    """A user's message is never just given up: it arrived, or its sender is told that it did not."""
    return work.message.kind is Kind.MESSAGE and work.message.destination in member.destinations


def _due_before_delivery(work: Work, work_id: Digest, member: Member, now: Millis) -> Iterator[Effect]:
    if work.message.kind is Kind.INFERENCE_REQUEST and work.outcome is None:
        yield Infer(work_id)
    elif work.ready_at is None and work.message.kind is Kind.ROTATION:
        yield Approve(work_id)
    elif work.ready_at is None:
        if now >= _prove_from(work, member):
            yield Prove(work_id)
    elif work.attestation is None and work.to_sign and now >= _sign_from(work, work.ready_at, member):
        yield Sign(work_id)


def _prove_from(work: Work, member: Member) -> int:
    return (work.inferred_at or 0) + _rank(member, work.message.digest, "prove") * member.takeover.prove


def _sign_from(work: Work, ready_at: Millis, member: Member) -> int:
    # Who proved knows first that the others checked the proof, so it is the first to ask for signatures.
    return ready_at + _rank(member, work.message.digest, "sign", work.prover) * member.takeover.sign


def _submit_from(work: Work, message: Message, digest: Digest, member: Member) -> int | None:
    since = work.attested_at if needs_signature(message) else work.ready_at
    return None if since is None else since + _rank(member, digest, "submit") * member.takeover.submit
