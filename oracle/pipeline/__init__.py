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

from oracle.pipeline.agenda import Agenda
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
from oracle.pipeline.owed import (
    APPROVAL_PATIENCE,
    Approve,
    Check,
    Effect,
    Expire,
    Infer,
    Lapse,
    Member,
    Prove,
    Sign,
    Submit,
    Takeover,
    due,
    moments,
)
from oracle.pipeline.pipeline import Pipeline
from oracle.pipeline.work import (
    DeadLetter,
    IllegalTransition,
    LetterState,
    Stage,
    Work,
    advance,
    needs_signature,
)

__all__ = [
    "APPROVAL_PATIENCE",
    "Agenda",
    "Approve",
    "Approved",
    "Attested",
    "Check",
    "Confirmed",
    "DeadLetter",
    "DeadLettered",
    "Delivered",
    "Dropped",
    "Effect",
    "Event",
    "Expire",
    "Expired",
    "IllegalTransition",
    "Infer",
    "Inferred",
    "Lapse",
    "Lapsed",
    "LetterState",
    "Member",
    "Millis",
    "Observed",
    "Outdated",
    "Pipeline",
    "Prove",
    "Proved",
    "Retried",
    "Sign",
    "Stage",
    "Submit",
    "Takeover",
    "Vanished",
    "Work",
    "advance",
    "due",
    "moments",
    "needs_signature",
]
