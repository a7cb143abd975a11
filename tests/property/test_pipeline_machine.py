"""Events in any order, repeated, contradicting one another, with restarts between: the pipeline's rules hold after each of them.

The machine drives a real `Pipeline` and writes what it accepts to a real `Journal`, as a node does; a restart replays the file.
"""

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oracle.errors import NotAuthorised
from oracle.journal import Journal
from oracle.pipeline import (
    Agenda,
    Approve,
    Approved,
    Attested,
    Check,
    Confirmed,
    DeadLettered,
    Delivered,
    Dropped,
    Effect,
    Event,
    Expired,
    Infer,
    Inferred,
    Lapse,
    Lapsed,
    LetterState,
    Member,
    Millis,
    Observed,
    Pipeline,
    Prove,
    Proved,
    Retried,
    Sign,
    Stage,
    Submit,
    Vanished,
    Work,
    needs_signature,
)
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
from oracle.protocol.types import CommitteeEpoch, Digest, Kind, Policy, Status
from tests.support.samples import EVM, SOLANA, evm_request, plain_message, rotation_post
from tests.support.strategies import PATIENT

COMMITTEE = (1, 2, 3, 4)
DEADLINE = 1_000
MESSAGES = (
    plain_message(sequence=1),
    evm_request(sequence=2, expiry=DEADLINE),
    evm_request(sequence=3, expiry=DEADLINE, policy=Policy.PROVEN, remotes=()),
    evm_request(sequence=4, expiry=DEADLINE, policy=Policy.ATTESTED, remotes=()),
    plain_message(sequence=5, expiry=DEADLINE),
    rotation_post(sequence=6),
)
ANSWER, LIE = Outcome(Status.ANSWERED, (5,), 13), Outcome(Status.ANSWERED, (6,), 13)
REFUSAL = Outcome(Status.OUT_OF_RANGE)
OUTCOMES = (ANSWER, LIE, REFUSAL)
GATEWAYS = frozenset({EVM, SOLANA})

chosen = st.sampled_from(MESSAGES)
outcomes = st.sampled_from(OUTCOMES)
times = st.integers(0, DEADLINE * 1000).map(Millis)
late_times = st.integers(0, DEADLINE * 1000 + 200_000).map(Millis)
turning = (0, DEADLINE * 1000, DEADLINE * 1000 + 1, DEADLINE * 1000 + 60_000, DEADLINE * 1000 + 60_001)
moments = st.one_of(st.sampled_from(turning).map(Millis), late_times)
members = st.sampled_from(COMMITTEE)


def of(message: Message, outcome: Outcome) -> list[Digest]:
    """The digests that a committee would sign for `message`."""
    if message.kind is Kind.MESSAGE:
        return [message.digest]
    if message.kind is Kind.ROTATION:
        return [one.digest for one in rotation_messages(message)]
    return [result.digest for result in result_messages(message, outcome)]


def may_lapse(message: Message) -> bool:
    return message.kind is Kind.MESSAGE and bool(message.expiry)


IDS = {message: message.digest for message in MESSAGES}
SIGNABLE = {(message, outcome): of(message, outcome) for message in MESSAGES for outcome in OUTCOMES}
EVERY_DIGEST = {
    message: list(
        dict.fromkeys(
            [
                IDS[message],
                Digest(b"x" * 32),
                *(d for o in OUTCOMES for d in of(message, o)),
                *([non_delivery_message(message).digest] if may_lapse(message) else []),
            ]
        )
    )
    for message in MESSAGES
}
"""What could ever be said to have been delivered for a message, true or not."""


class PipelineMachine(RuleBasedStateMachine):
    @initialize(begun=st.tuples(*[st.integers(0, 6)] * len(MESSAGES)), outcome=st.sampled_from([ANSWER, REFUSAL]))
    def begin(self, begun: tuple[int, ...], outcome: Outcome) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sibyl-pipeline-"))
        self.journal = Journal(self.directory / "journal.sqlite")
        self.pipeline = Pipeline()
        self.accepted: list[Event] = []
        self.own: dict[Digest, set[str]] = {}
        """What this node itself did for each message, kept apart from the pipeline."""
        self.follow()
        for message, steps in zip(MESSAGES, begun, strict=True):
            self.go_on(message, outcome, steps, Millis(0))

    def follow(self) -> None:
        """Agendas of two members from here on, kept up to date by what changes."""
        self.agendas = {who: Agenda(self.pipeline, member_of(who)) for who in COMMITTEE[:2]}
        self.seen: dict[int, dict[Digest, tuple[Effect, ...]]] = {who: {} for who in self.agendas}

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            shutil.rmtree(self.directory)

    def offer(self, event: Event) -> bool:
        """Do with `event` what a node does. An illegal one changes nothing at all."""
        before = snapshot(self.pipeline)
        known = self.pipeline.work(event.work_id)
        try:
            preview = self.pipeline.preview(event)
        except ProtocolError:
            with pytest.raises(ProtocolError):
                self.pipeline.apply(event)
            assert snapshot(self.pipeline) == before
            return False
        assert snapshot(self.pipeline) == before, "a preview shows and does not record"
        if preview is not known:
            self.journal.append((event,))
            self.accepted.append(event)
            assert preview != known, "what changes nothing is the same object, so that it is not journalled again"
        assert self.pipeline.apply(event) == preview
        if preview is not known:
            for agenda in self.agendas.values():
                agenda.touch([event.work_id])
        done = self.own.setdefault(event.work_id, set())
        done.add(type(event).__name__)
        return True

    # ---- what may happen ----

    @rule(message=chosen, at=times)
    def observe(self, message: Message, at: Millis) -> None:
        assert self.offer(Observed(message, at))

    @rule(message=chosen, outcome=outcomes, at=times)
    def observe_a_result(self, message: Message, outcome: Outcome, at: Millis) -> None:
        if message.kind is Kind.INFERENCE_REQUEST:
            assert not self.offer(Observed(result_messages(message, outcome)[0], at))

    @rule(message=chosen, outcome=outcomes, at=times)
    def infer(self, message: Message, outcome: Outcome, at: Millis) -> None:
        work = self.pipeline.work(IDS[message])
        taken = self.offer(Inferred(IDS[message], outcome, at))
        if taken:
            assert work is not None
            assert work.outcome in (None, outcome), "a second inference never changes the first"

    @rule(message=chosen, prover=members, salt=st.integers(0, 2), at=times)
    def prove(self, message: Message, prover: int, salt: int, at: Millis) -> None:
        work = self.pipeline.work(IDS[message])
        taken = self.offer(Proved(IDS[message], bytes([salt]) * 32, prover, at))
        answered = work is not None and work.outcome is not None and work.outcome.status is Status.ANSWERED
        assert not taken or answered

    @rule(
        message=chosen,
        others=st.sets(chosen),
        outcome=outcomes,
        salt=st.integers(0, 2),
        at=times,
        partial=st.booleans(),
    )
    def attest(
        self, message: Message, others: set[Message], outcome: Outcome, salt: int, at: Millis, partial: bool
    ) -> None:
        digests = [
            digest for one in (message, *sorted(others, key=lambda m: m.sequence)) for digest in SIGNABLE[one, outcome]
        ]
        batch = tuple(dict.fromkeys(digests[1:] if partial else digests))
        attestation = GroupAttestation(CommitteeEpoch(1), bytes([salt]) * 65, batch)
        work = self.pipeline.work(IDS[message])
        if self.offer(Attested(IDS[message], attestation, at)):
            assert work is not None
            assert work.ready_at is not None, "a signature counts only after this node's own check"
            assert set(work.to_sign) <= set(batch)

    @rule(message=chosen, data=st.data(), final=st.booleans(), at=times)
    def deliver(self, message: Message, data: st.DataObject, final: bool, at: Millis) -> None:
        digest = data.draw(st.sampled_from(EVERY_DIGEST[message]))
        work = self.pipeline.work(IDS[message])
        event = (Confirmed if final else Delivered)(IDS[message], digest, at)
        assert self.offer(event) == (work is not None and digest in work.deliverables)

    @rule(message=chosen, at=late_times)
    def expire(self, message: Message, at: Millis) -> None:
        if message.expiry:
            self.offer(Expired(IDS[message], at))

    @rule(message=chosen, at=late_times)
    def lapse(self, message: Message, at: Millis) -> None:
        work = self.pipeline.work(IDS[message])
        possible = may_lapse(message) and work is not None and not work.expired and (work.lapsed or not work.confirmed)
        assert self.offer(Lapsed(IDS[message], at)) == possible

    @rule(message=chosen, at=times)
    def approve(self, message: Message, at: Millis) -> None:
        work = self.pipeline.work(IDS[message])
        possible = message.kind is Kind.ROTATION and work is not None and not work.expired
        assert self.offer(Approved(IDS[message], at)) == possible

    @rule(message=chosen, data=st.data(), number=st.integers(1, 3), at=times)
    def give_up(self, message: Message, data: st.DataObject, number: int, at: Millis) -> None:
        digest = data.draw(st.sampled_from(EVERY_DIGEST[message]))
        work = self.pipeline.work(IDS[message])
        taken = self.offer(DeadLettered(IDS[message], digest, number, "refused", at))
        assert not taken or (work is not None and digest in work.deliverables)

    @rule(message=chosen, data=st.data(), number=st.integers(1, 3), kind=st.sampled_from([Retried, Dropped]), at=times)
    def judge(
        self, message: Message, data: st.DataObject, number: int, kind: type[Retried] | type[Dropped], at: Millis
    ) -> None:
        digest = data.draw(st.sampled_from(EVERY_DIGEST[message]))
        work = self.pipeline.work(IDS[message])
        letter = None if work is None else work.letter(digest)
        if self.offer(kind(IDS[message], digest, number, at)):
            assert letter is not None, "only what was given up is tried again or dropped"

    @rule(message=chosen, at=times)
    def give_up_and_judge_as_a_node_does(self, message: Message, at: Millis) -> None:
        """Dead, tried again, dead again, dropped: one step each time."""
        work = self.pipeline.work(IDS[message])
        if work is None or work.finished:
            return
        for digest in work.deliverables:
            if digest in work.delivered:
                continue
            letter = work.letter(digest)
            if letter is None or letter.state is LetterState.RETRIED:
                number = 1 if letter is None else letter.number + 1
                assert self.offer(DeadLettered(IDS[message], digest, number, "refused", at)) == (not work.expired)
            elif letter.state is LetterState.DEAD:
                kind = Retried if letter.number < 2 else Dropped
                assert self.offer(kind(IDS[message], digest, letter.number, at)) == (not work.expired)
            return

    @rule(first=moments, then=moments)
    def time_goes_by(self, first: Millis, then: Millis) -> None:
        """Forwards and backwards: what agendas know by what changed is what a look at every work says."""
        self.look(first)
        self.look(then)

    def look(self, moment: Millis) -> None:
        for who, agenda in self.agendas.items():
            for work_id, effects in agenda.update(moment).items():
                assert self.seen[who].pop(work_id, ()) != effects, "only what changed is told"
                if effects:
                    self.seen[who][work_id] = effects
            owed = self.pipeline.due(member_of(who), moment)
            told = [effect for work in self.pipeline.works() for effect in self.seen[who].get(IDS[work.message], ())]
            assert sorted(map(repr, told)) == sorted(map(repr, owed))

    @rule(message=chosen, outcome=st.sampled_from([ANSWER, ANSWER, REFUSAL]), steps=st.integers(1, 6), at=times)
    def go_on_as_a_network_does(self, message: Message, outcome: Outcome, steps: int, at: Millis) -> None:
        """The next honest steps, so that late stages are met as often as early ones."""
        self.go_on(message, outcome, steps, at)

    def go_on(self, message: Message, outcome: Outcome, steps: int, at: Millis) -> None:
        for _ in range(steps):
            work = self.pipeline.work(IDS[message])
            if work is None:
                assert self.offer(Observed(message, at))
            elif not work.finished:
                assert self.offer(self.next_step(work, outcome, at))

    def next_step(self, work: Work, outcome: Outcome, at: Millis) -> Event:
        work_id = IDS[work.message]
        if work.outcome is None and work.message.kind is Kind.INFERENCE_REQUEST:
            return Inferred(work_id, outcome, at)
        if work.ready_at is None and work.message.kind is Kind.ROTATION:
            return Approved(work_id, at)
        if work.ready_at is None:
            return Proved(work_id, b"p" * 32, 1, at)
        if work.to_sign and work.attestation is None:
            return Attested(work_id, GroupAttestation(CommitteeEpoch(1), b"s" * 65, work.to_sign), at)
        waiting = [digest for digest in work.deliverables if digest not in work.delivered]
        if waiting:
            return Delivered(work_id, waiting[0], at)
        return Confirmed(work_id, next(digest for digest in work.deliverables if digest not in work.confirmed), at)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(self.accepted))
        work = self.pipeline.work(event.work_id)
        assert work is not None
        letters = (DeadLettered, Retried, Dropped)
        closed = work.expired and isinstance(event, (Inferred, Proved, Attested, Lapsed, Approved, *letters))
        if isinstance(event, (Delivered, Confirmed, Vanished, *letters)):
            closed = closed or event.digest not in work.deliverables
        if isinstance(event, Attested):
            closed = closed or not work.to_sign or not set(work.to_sign) <= set(event.attestation.digests)
        if isinstance(event, letters) and event.digest in work.deliverables and not isinstance(event, DeadLettered):
            # The message lapsed meanwhile, or a new one has the same name: nothing is known of giving it up.
            closed = closed or work.letter(event.digest) is None
        before = snapshot(self.pipeline)
        assert self.offer(event) != closed
        assert snapshot(self.pipeline) == before, "a repeated event changes nothing"
        assert self.pipeline.work(event.work_id) is work

    @rule()
    def restart(self) -> None:
        live, owed = snapshot(self.pipeline), everything_due(self.pipeline)
        self.journal.close()
        self.journal = Journal(self.directory / "journal.sqlite")
        self.pipeline = Pipeline()
        for event in self.journal.replay():
            self.pipeline.apply(event)
        self.follow()
        assert snapshot(self.pipeline) == live
        assert everything_due(self.pipeline) == owed

    # ---- what always holds ----

    @invariant()
    def works_are_consistent(self) -> None:
        for work in self.pipeline.works():
            assert work.delivered >= work.confirmed
            assert set(work.deliverables) >= work.delivered
            own = self.own[IDS[work.message]]
            if work.to_sign and work.message.kind is Kind.INFERENCE_REQUEST:
                refused = work.outcome is not None and work.outcome.status is not Status.ANSWERED
                assert "Proved" in own or refused, "nothing to sign before this node's own proof"
            if work.message.kind is Kind.ROTATION:
                assert not work.to_sign or "Approved" in own
            if work.lapsed:
                assert set(work.deliverables) == {non_delivery_message(work.message).digest}
            dropped = {letter.digest for letter in work.letters if letter.state is LetterState.DROPPED}
            assert not work.attestation or work.to_sign or dropped
            assert not dropped & set(work.to_sign), "what was dropped is never signed"
            assert not dropped & {letter.digest for letter in work.dead}
            assert all(letter.digest not in work.delivered for letter in work.dead), "what others deliver is not dead"
            assert all(self.pipeline.owner(digest) is work for digest in work.deliverables)
            assert all(needs_signature(work.deliverables[digest]) for digest in work.to_sign)

    @invariant()
    def nothing_is_signed_under_proven(self) -> None:
        for work in self.pipeline.works():
            for digest, message in work.deliverables.items():
                if message.kind is Kind.INFERENCE_RESULT:
                    result = InferenceResult.from_bytes(message.payload)
                    if result.policy is Policy.PROVEN and result.status is Status.ANSWERED:
                        assert digest not in work.to_sign
                        with pytest.raises(NotAuthorised):
                            self.pipeline.authorise([digest], Millis(0))

    @invariant()
    def signing_values_cover_own_digests_only(self) -> None:
        for message in MESSAGES:
            work = self.pipeline.work(IDS[message])
            mine = set(work.to_sign) if work is not None and not work.expired else set()
            for digest in EVERY_DIGEST[message]:
                if digest in mine:
                    assert self.pipeline.authorise([digest], Millis(0)) == batch_signing_hash([digest])
                else:
                    with pytest.raises(NotAuthorised):
                        self.pipeline.authorise([digest], Millis(0))

    @invariant()
    def what_is_due_is_deterministic_and_justified(self) -> None:
        owed = everything_due(self.pipeline)
        assert owed == everything_due(self.pipeline)
        unfinished = {IDS[work.message] for work in self.pipeline.works() if not work.finished}
        assert {IDS[work.message] for work in self.pipeline.open_works()} == unfinished
        for effects in owed.values():
            assert len(set(effects)) == len(effects), "nothing is owed twice"
            for effect in effects:
                work = self.pipeline.work(effect.work_id)
                assert work is not None
                assert not work.finished, "finished works owe nothing"
                justified(work, effect)

    @invariant()
    def what_is_counted_is_there(self) -> None:
        works = list(self.pipeline.works())
        assert self.pipeline.stages() == Counter(work.stage for work in works)
        assert {IDS[w.message] for w in self.pipeline.dead()} == {
            IDS[w.message] for w in works if w.stage is Stage.DEAD
        }
        waiting = [w for w in self.pipeline.open_works() if w.stage is not Stage.DEAD]
        assert self.pipeline.waiting(EVM) == len(waiting)


def member_of(who: int) -> Member:
    return Member(who, COMMITTEE, GATEWAYS)


def justified(work: Work, effect: Any) -> None:
    """Raise AssertionError unless the state asks for this effect."""
    match effect:
        case Infer():
            assert work.stage is Stage.OBSERVED or work.delivered
            assert work.outcome is None
        case Prove():
            assert work.outcome is not None
            assert work.outcome.status is Status.ANSWERED
            assert work.proof_id is None
        case Sign():
            assert work.to_sign
            assert work.attestation is None
        case Submit(digest=digest):
            assert digest not in work.delivered
            assert digest not in work.shelved, "what was given up is not delivered"
            signed = needs_signature(work.deliverables[digest])
            assert (work.attestation if signed else work.proof_id) is not None
        case Check(digest=digest):
            assert digest not in work.confirmed
        case Approve():
            assert work.message.kind is Kind.ROTATION
            assert work.ready_at is None
        case Lapse():
            assert may_lapse(work.message)
            assert not work.lapsed


def snapshot(pipeline: Pipeline) -> object:
    """All that a pipeline shows, in its order."""
    works = list(pipeline.works())
    owners = {digest: pipeline.owner(digest) for work in works for digest in work.deliverables}
    return works, [IDS[work.message] for work in pipeline.open_works()], owners


def everything_due(pipeline: Pipeline) -> dict[tuple[int, int], list[Any]]:
    """What each member owes, early, in the middle, at the deadline and long after it."""
    moments = (0, DEADLINE * 1000, DEADLINE * 1000 + 60_001)
    return {(who, moment): pipeline.due(member_of(who), Millis(moment)) for who in COMMITTEE[:2] for moment in moments}


TestPipelineMachine = PipelineMachine.TestCase
TestPipelineMachine.settings = settings(PATIENT, max_examples=60, stateful_step_count=30)
