"""The pipeline's rules (oracle/pipeline, rules 1 to 3), transition by transition."""

import pytest

from oracle.errors import NotAuthorised
from oracle.pipeline import (
    APPROVAL_PATIENCE,
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
    Expire,
    Expired,
    IllegalTransition,
    Infer,
    Inferred,
    Lapse,
    Lapsed,
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
    Takeover,
    Vanished,
)
from oracle.ports import GroupAttestation
from oracle.protocol.errors import DecodeError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import (
    Message,
    Outcome,
    Remote,
    non_delivery_message,
    result_messages,
    rotation_messages,
)
from oracle.protocol.quorum import duty_order
from oracle.protocol.types import CommitteeEpoch, Digest, Kind, Policy, Status
from tests.support.samples import CONSUMER, DEADLINE, EVM, HUB, SOLANA, evm_request, plain_message, rotation_post

COMMITTEE = (1, 2, 3, 4)
TAKEOVER = Takeover(prove=1000, sign=100, submit=10, expiry_grace=5000)
ANSWER = Outcome(Status.ANSWERED, (-77,), 13)
REFUSAL = Outcome(Status.OUT_OF_RANGE)


def at(time: int) -> Millis:
    return Millis(time)


def member(identifier: int) -> Member:
    return Member(identifier, COMMITTEE, frozenset({EVM, SOLANA}), TAKEOVER)


def reach(*events: Event) -> Pipeline:
    pipeline = Pipeline()
    for event in events:
        pipeline.apply(event)
    return pipeline


def attested(request: Message, pipeline: Pipeline, time: int) -> Attested:
    work = pipeline.work(request.digest)
    assert work is not None
    return Attested(request.digest, GroupAttestation(CommitteeEpoch(1), b"\2" * 65, work.to_sign), at(time))


def proved(request: Message, time: int = 0, prover: int = 1) -> tuple[Event, ...]:
    return (
        Observed(request, at(time)),
        Inferred(request.digest, ANSWER, at(time)),
        Proved(request.digest, b"p" * 32, prover, at(time)),
    )


def all_due(pipeline: Pipeline, time: int) -> dict[int, list[Effect]]:
    return {i: pipeline.due(member(i), at(time)) for i in COMMITTEE}


def test_pipeline__request__walks_every_stage_to_confirmed() -> None:
    request = evm_request()
    pipeline = Pipeline()
    home, remote = (message.digest for message in result_messages(request, ANSWER))
    steps: list[tuple[Event, Stage]] = [
        (Observed(request, at(0)), Stage.OBSERVED),
        (Inferred(request.digest, ANSWER, at(1)), Stage.INFERRED),
        (Proved(request.digest, b"p" * 32, 2, at(2)), Stage.PROVED),
    ]
    for event, stage in steps:
        assert pipeline.apply(event).stage is stage
    assert pipeline.apply(attested(request, pipeline, 3)).stage is Stage.ATTESTED
    assert pipeline.apply(Delivered(request.digest, home, at(4))).stage is Stage.ATTESTED
    assert pipeline.apply(Delivered(request.digest, remote, at(5))).stage is Stage.DELIVERED
    assert pipeline.apply(Confirmed(request.digest, remote, at(6))).stage is Stage.DELIVERED
    assert pipeline.apply(Confirmed(request.digest, home, at(7))).stage is Stage.CONFIRMED
    assert not list(pipeline.open_works())
    assert all_due(pipeline, 10**9) == {1: [], 2: [], 3: [], 4: []}


def test_pipeline__repeated_event__changes_nothing() -> None:
    request = evm_request()
    events = proved(request)
    pipeline = reach(*events)
    before = pipeline.work(request.digest)
    for event in events:
        assert pipeline.apply(event) is before


@pytest.mark.parametrize(
    "event",
    [
        Inferred(evm_request().digest, REFUSAL, at(5)),
        Inferred(evm_request().digest, Outcome(Status.ANSWERED, (-76,), 13), at(5)),
        Attested(evm_request().digest, GroupAttestation(CommitteeEpoch(1), b"", (Digest(b"x" * 32),)), at(5)),
        Delivered(evm_request().digest, Digest(b"x" * 32), at(5)),
        Confirmed(evm_request().digest, evm_request().digest, at(5)),
        Proved(plain_message().digest, b"p" * 32, 1, at(5)),
        Inferred(plain_message().digest, ANSWER, at(5)),
        Delivered(Digest(b"unknown".ljust(32)), Digest(b"x" * 32), at(5)),
    ],
)
def test_pipeline__contradiction__raises_and_nothing_happens(event: Event) -> None:
    pipeline = reach(*proved(evm_request()), Observed(plain_message(), at(0)))
    before = list(pipeline.works())
    with pytest.raises(IllegalTransition):
        pipeline.apply(event)
    assert list(pipeline.works()) == before


def test_pipeline__signature_before_own_inference__does_not_count() -> None:
    request = evm_request()
    digests = tuple(message.digest for message in result_messages(request, ANSWER))
    early = Attested(request.digest, GroupAttestation(CommitteeEpoch(1), b"", digests), at(1))
    for pipeline in (reach(Observed(request, at(0))), reach(*proved(request)[:2])):
        with pytest.raises(IllegalTransition, match="itself reached"):
            pipeline.apply(early)


def test_pipeline__proof_of_a_refused_request__is_illegal() -> None:
    request = evm_request()
    pipeline = reach(Observed(request, at(0)), Inferred(request.digest, REFUSAL, at(1)))
    with pytest.raises(IllegalTransition):
        pipeline.apply(Proved(request.digest, b"p" * 32, 1, at(2)))


def test_pipeline__result_posted_by_a_gateway__is_illegal() -> None:
    (result, _) = result_messages(evm_request(), ANSWER)
    with pytest.raises(IllegalTransition):
        Pipeline().apply(Observed(result, at(0)))


def test_pipeline__malformed_request__is_a_decode_error() -> None:
    request = evm_request()
    broken = Message(
        Kind.INFERENCE_REQUEST, EVM, EVM, request.sequence, request.sender, request.recipient, DEADLINE, b"short"
    )
    with pytest.raises(DecodeError):
        Pipeline().apply(Observed(broken, at(0)))


def test_pipeline__remote_on_the_origins_own_chain__is_a_decode_error() -> None:
    own = Remote(Policy.ATTESTED, EVM, HUB, CONSUMER)
    with pytest.raises(DecodeError, match="another chain"):
        Pipeline().apply(Observed(evm_request(remotes=(own,)), at(0)))


def test_due__fresh_request__everyone_infers() -> None:
    request = evm_request()
    assert all_due(reach(Observed(request, at(0))), 0) == {i: [Infer(request.digest)] for i in COMMITTEE}


def test_due__inferred__one_proves_and_the_next_takes_over_after_each_deadline() -> None:
    request = evm_request()
    pipeline = reach(*proved(request)[:2])
    order = duty_order(COMMITTEE, request.digest, "prove")
    for elapsed in range(len(COMMITTEE)):
        provers = {i for i, effects in all_due(pipeline, 1000 * elapsed).items() if Prove(request.digest) in effects}
        assert provers == set(order[: elapsed + 1])


def test_due__proved__its_prover_asks_for_signatures_first() -> None:
    request = evm_request()
    for prover in COMMITTEE:
        pipeline = reach(*proved(request, prover=prover))
        assert {i for i, effects in all_due(pipeline, 0).items() if Sign(request.digest) in effects} == {prover}
        late = all_due(pipeline, 300)
        assert all(Sign(request.digest) in effects for effects in late.values())


def test_due__refused__is_signed_without_proof() -> None:
    request = evm_request(policy=Policy.PROVEN, remotes=())
    pipeline = reach(Observed(request, at(0)), Inferred(request.digest, REFUSAL, at(0)))
    effects = [effect for effects in all_due(pipeline, 0).values() for effect in effects]
    assert effects.count(Sign(request.digest)) == 1
    assert Prove(request.digest) not in effects


def test_due__proven__is_submitted_without_signature() -> None:
    request = evm_request(policy=Policy.PROVEN, remotes=())
    pipeline = reach(*proved(request))
    (result,) = result_messages(request, ANSWER)
    effects = [effect for effects in all_due(pipeline, 0).values() for effect in effects]
    assert effects.count(Submit(request.digest, result.digest)) == 1
    assert Sign(request.digest) not in effects


def test_due__attested__each_destination_has_one_submitter_and_then_all() -> None:
    request = evm_request()
    pipeline = reach(*proved(request))
    pipeline.apply(attested(request, pipeline, 0))
    for message in result_messages(request, ANSWER):
        submit = Submit(request.digest, message.digest)
        (first, *_) = duty_order(COMMITTEE, message.digest, "submit")
        assert [i for i, effects in all_due(pipeline, 0).items() if submit in effects] == [first]
        assert all(submit in effects for effects in all_due(pipeline, 30).values())


def test_due__delivered__is_watched_until_final() -> None:
    request = evm_request()
    pipeline = reach(*proved(request))
    pipeline.apply(attested(request, pipeline, 0))
    (home, remote) = (message.digest for message in result_messages(request, ANSWER))
    pipeline.apply(Delivered(request.digest, home, at(0)))
    pipeline.apply(Confirmed(request.digest, remote, at(0)))
    assert all_due(pipeline, 10**6) == {i: [Check(request.digest, home)] for i in COMMITTEE}


def test_due__destination_that_this_node_cannot_reach__is_left_out() -> None:
    message = plain_message()
    pipeline = reach(Observed(message, at(0)))
    pipeline.apply(attested(message, pipeline, 0))
    cut_off = Member(1, COMMITTEE, frozenset({EVM}), TAKEOVER)
    assert pipeline.due(cut_off, at(10**6)) == []


def test_due__recomputed__is_signed_after_each_members_own_inference_and_without_a_proof() -> None:
    request = evm_request(policy=Policy.RECOMPUTED, remotes=())
    (result,) = result_messages(request, ANSWER)
    pipeline = reach(Observed(request, at(0)), Inferred(request.digest, ANSWER, at(1)))
    assert pipeline.authorise([Digest(result.digest)], at(2)) == batch_signing_hash([Digest(result.digest)])
    everything = {type(effect) for one in COMMITTEE for effect in pipeline.due(member(one), at(100_000))}
    assert Sign in everything
    assert Prove not in everything


def test_pipeline__recomputed_with_an_attested_remote__waits_for_the_proof() -> None:
    request = evm_request(
        policy=Policy.RECOMPUTED, remotes=(Remote(Policy.ATTESTED, SOLANA, SOLANA.gateway, CONSUMER),)
    )
    pipeline = reach(Observed(request, at(0)), Inferred(request.digest, ANSWER, at(1)))
    with pytest.raises(NotAuthorised):
        pipeline.authorise([Digest(result_messages(request, ANSWER)[0].digest)], at(2))


def test_pipeline__recomputed_and_proven_later__keeps_its_time_and_its_signature() -> None:
    request = evm_request(policy=Policy.RECOMPUTED, remotes=())
    (result,) = result_messages(request, ANSWER)
    digest = Digest(result.digest)
    attestation = GroupAttestation(CommitteeEpoch(1), bytes(65), (digest,))
    pipeline = reach(
        Observed(request, at(0)),
        Inferred(request.digest, ANSWER, at(1)),
        Attested(request.digest, attestation, at(2)),
        Confirmed(request.digest, digest, at(3)),
        Proved(request.digest, bytes(32), 2, at(4)),
    )
    work = pipeline.work(Digest(request.digest))
    assert work is not None
    assert (work.stage, work.ready_at, work.proof_id) == (Stage.CONFIRMED, 1, bytes(32))


def test_pipeline__delivery_reorganised_away__is_owed_again_until_it_is_final() -> None:
    request = evm_request()
    pipeline = reach(*proved(request))
    pipeline.apply(attested(request, pipeline, 0))
    (home, remote) = (message.digest for message in result_messages(request, ANSWER))
    for digest in (home, remote):
        pipeline.apply(Delivered(request.digest, digest, at(0)))
    assert pipeline.apply(Vanished(request.digest, home, at(1))).stage is Stage.ATTESTED
    assert all(Submit(request.digest, home) in effects for effects in all_due(pipeline, 30).values())
    assert all(Submit(request.digest, remote) not in effects for effects in all_due(pipeline, 30).values())
    before = pipeline.work(request.digest)
    assert pipeline.apply(Vanished(request.digest, home, at(2))) is before
    pipeline.apply(Confirmed(request.digest, home, at(3)))
    with pytest.raises(IllegalTransition, match="does not vanish"):
        pipeline.apply(Vanished(request.digest, home, at(4)))


def test_due__deadline_passed__nothing_is_begun_and_the_work_closes_after_grace() -> None:
    request = evm_request()
    deadline = DEADLINE * 1000
    pipeline = reach(Observed(request, at(0)))
    assert pipeline.due(member(1), at(deadline)) == [Infer(request.digest)]
    assert pipeline.due(member(1), at(deadline + 1)) == []
    assert pipeline.due(member(1), at(deadline + 5001)) == [Expire(request.digest)]
    assert pipeline.apply(Expired(request.digest, at(deadline + 5001))).stage is Stage.EXPIRED
    assert not list(pipeline.open_works())


def test_pipeline__late_node__sees_that_others_delivered_without_proving_itself() -> None:
    request = evm_request()
    pipeline = reach(*proved(request)[:2])
    for message in result_messages(request, ANSWER):
        assert Check(request.digest, message.digest) in pipeline.due(member(1), at(0))
        pipeline.apply(Confirmed(request.digest, message.digest, at(1)))
    assert not list(pipeline.open_works())


def test_due__message_without_expiry__never_expires() -> None:
    message = plain_message()
    effects = all_due(reach(Observed(message, at(0))), 10**15)
    assert all(Sign(message.digest) in owed for owed in effects.values())


def test_authorise__own_digests__gives_the_batch_value() -> None:
    request, message = evm_request(), plain_message()
    pipeline = reach(*proved(request), Observed(message, at(0)))
    digests = [*(result.digest for result in result_messages(request, ANSWER)), message.digest]
    assert pipeline.authorise(digests, at(1)) == batch_signing_hash(digests)


def test_authorise__another_output__is_refused() -> None:
    """A lying coordinator asks to sign an output that this node did not compute."""
    request = evm_request()
    pipeline = reach(*proved(request))
    for lie in result_messages(request, Outcome(Status.ANSWERED, (77,), 13)):
        with pytest.raises(NotAuthorised, match="not reached"):
            pipeline.authorise([lie.digest], at(1))


def test_authorise__honest_digest_beside_a_lie__is_refused() -> None:
    request = evm_request()
    pipeline = reach(*proved(request))
    (honest, _) = result_messages(request, ANSWER)
    with pytest.raises(NotAuthorised):
        pipeline.authorise([honest.digest, Digest(b"l" * 32)], at(1))


def test_authorise__before_the_proof_was_checked__is_refused() -> None:
    request = evm_request()
    pipeline = reach(*proved(request)[:2])
    with pytest.raises(NotAuthorised, match="not yet checked the proof"):
        pipeline.authorise([message.digest for message in result_messages(request, ANSWER)], at(1))


def test_authorise__answer_under_proven__is_never_signed() -> None:
    request = evm_request(policy=Policy.PROVEN, remotes=())
    pipeline = reach(*proved(request))
    with pytest.raises(NotAuthorised, match="proof"):
        pipeline.authorise([message.digest for message in result_messages(request, ANSWER)], at(1))


def test_authorise__after_the_deadline__is_refused() -> None:
    request = evm_request()
    pipeline = reach(*proved(request))
    digests = [message.digest for message in result_messages(request, ANSWER)]
    with pytest.raises(NotAuthorised, match="expired"):
        pipeline.authorise(digests, at(DEADLINE * 1000 + 1))


# ---- messages that expire ----

EXPIRY = 1000
LATE = EXPIRY * 1000 + 1


def lapsed(message: Message, *before: Event) -> Pipeline:
    return reach(Observed(message, at(0)), *before, Lapsed(message.digest, at(LATE)))


def test_due__message_past_its_expiry__its_fate_is_asked_for_and_it_is_never_just_closed() -> None:
    message = plain_message(expiry=EXPIRY)
    pipeline = reach(Observed(message, at(0)))
    asked, watched = Lapse(message.digest), Check(message.digest, message.digest)
    assert asked not in pipeline.due(member(1), at(EXPIRY * 1000))
    for time in (LATE, LATE + 10**9):
        assert pipeline.due(member(1), at(time)) == [asked, watched]


def test_due__message_past_its_expiry_for_a_chain_that_this_node_does_not_see__closes() -> None:
    message = plain_message(expiry=EXPIRY)
    pipeline = reach(Observed(message, at(0)))
    cut_off = Member(1, COMMITTEE, frozenset({EVM}), TAKEOVER)
    assert pipeline.due(cut_off, at(LATE + 5000)) == [Expire(message.digest)]


def test_pipeline__lapsed_message__its_sender_is_told_by_a_signed_message_and_it_closes_when_that_is_final() -> None:
    message = plain_message(expiry=EXPIRY)
    notice = non_delivery_message(message)
    pipeline = lapsed(message)
    owed = all_due(pipeline, LATE + 10_000)
    assert all(Sign(message.digest) in effects for effects in owed.values())
    assert all(Check(message.digest, notice.digest) in effects for effects in owed.values())
    pipeline.apply(attested(message, pipeline, LATE))
    assert all(
        Submit(message.digest, notice.digest) in effects for effects in all_due(pipeline, LATE + 10_000).values()
    )
    assert pipeline.owner(notice.digest) is pipeline.work(message.digest)
    work = pipeline.apply(Confirmed(message.digest, notice.digest, at(LATE)))
    assert (work.stage, work.lapsed) == (Stage.CONFIRMED, True)
    assert not list(pipeline.open_works())


def test_authorise__lapsed_message__signs_the_notice_and_never_the_message_again() -> None:
    message = plain_message(expiry=EXPIRY)
    notice = non_delivery_message(message)
    pipeline = reach(Observed(message, at(0)))
    with pytest.raises(NotAuthorised, match="not reached"):
        pipeline.authorise([notice.digest], at(0))
    assert pipeline.authorise([message.digest], at(0)) == batch_signing_hash([message.digest])
    pipeline.apply(Lapsed(message.digest, at(LATE)))
    assert pipeline.authorise([notice.digest], at(LATE)) == batch_signing_hash([notice.digest])
    for time in (0, LATE):
        with pytest.raises(NotAuthorised, match="expired undelivered"):
            pipeline.authorise([message.digest], at(time))


def test_pipeline__signed_message_that_lapses__its_old_signature_counts_for_nothing() -> None:
    message = plain_message(expiry=EXPIRY)
    before = reach(Observed(message, at(0)))
    signature = attested(message, before, 0)
    pipeline = lapsed(message, signature)
    work = pipeline.work(message.digest)
    assert work is not None
    assert work.attestation is None
    with pytest.raises(IllegalTransition, match="does not cover"):
        pipeline.apply(signature)


@pytest.mark.parametrize("message", [plain_message(), evm_request(), rotation_post()])
def test_pipeline__message_that_cannot_lapse__does_not(message: Message) -> None:
    pipeline = reach(Observed(message, at(0)))
    with pytest.raises(IllegalTransition, match="lapses"):
        pipeline.apply(Lapsed(message.digest, at(LATE)))


def test_pipeline__delivery_that_is_final__does_not_lapse() -> None:
    message = plain_message(expiry=EXPIRY)
    pipeline = reach(Observed(message, at(0)), Confirmed(message.digest, message.digest, at(1)))
    with pytest.raises(IllegalTransition, match="does not lapse"):
        pipeline.apply(Lapsed(message.digest, at(LATE)))


def test_pipeline__lapsed_twice__changes_nothing() -> None:
    message = plain_message(expiry=EXPIRY)
    pipeline = lapsed(message)
    before = pipeline.work(message.digest)
    assert pipeline.apply(Lapsed(message.digest, at(LATE + 9))) is before


# ---- rotations ----


def test_pipeline__rotation__is_signed_for_every_chain_only_after_this_nodes_operator_approved() -> None:
    post = rotation_post()
    digests = [message.digest for message in rotation_messages(post)]
    pipeline = reach(Observed(post, at(0)))
    owed = pipeline.due(member(1), at(10**6))
    assert owed[0] == Approve(post.digest)
    assert Sign(post.digest) not in owed
    with pytest.raises(NotAuthorised, match="approved the key"):
        pipeline.authorise(digests, at(0))
    with pytest.raises(IllegalTransition, match="itself reached"):
        pipeline.apply(Attested(post.digest, GroupAttestation(CommitteeEpoch(1), b"", tuple(digests)), at(1)))
    pipeline.apply(Approved(post.digest, at(5)))
    assert Sign(post.digest) in pipeline.due(member(1), at(10**6))
    assert pipeline.authorise(digests, at(5)) == batch_signing_hash(digests)
    pipeline.apply(attested(post, pipeline, 6))
    owed = pipeline.due(member(1), at(10**6))
    assert all(Submit(post.digest, digest) in owed for digest in digests)


def test_due__rotation_that_nobody_approves__is_closed_after_its_patience() -> None:
    post = rotation_post()
    pipeline = reach(Observed(post, at(7)))
    assert Approve(post.digest) in pipeline.due(member(1), at(7 + APPROVAL_PATIENCE))
    assert pipeline.due(member(1), at(8 + APPROVAL_PATIENCE)) == [Expire(post.digest)]
    pipeline.apply(Approved(post.digest, at(9)))
    assert Expire(post.digest) not in pipeline.due(member(1), at(8 + APPROVAL_PATIENCE)), "one that is approved stays"


def test_pipeline__approval_of_anything_else__is_illegal() -> None:
    for message in (plain_message(), evm_request()):
        pipeline = reach(Observed(message, at(0)))
        with pytest.raises(IllegalTransition, match="Only a rotation"):
            pipeline.apply(Approved(message.digest, at(1)))


def test_pipeline__malformed_rotation__is_a_decode_error() -> None:
    post = rotation_post()
    broken = Message(Kind.ROTATION, EVM, EVM, post.sequence, post.sender, post.recipient, post.expiry, b"short")
    with pytest.raises(DecodeError):
        Pipeline().apply(Observed(broken, at(0)))


def test_pipeline__non_delivery_posted_by_a_gateway__is_illegal() -> None:
    with pytest.raises(IllegalTransition):
        Pipeline().apply(Observed(non_delivery_message(plain_message(expiry=5)), at(0)))


# ---- forgetting ----


def test_pipeline__finished_and_old__is_forgotten_and_nothing_else_can_be() -> None:
    done, young, waiting = plain_message(sequence=1), plain_message(sequence=2), plain_message(sequence=3)
    pipeline = reach(
        *(Observed(message, at(time)) for message, time in ((done, 10), (young, 90), (waiting, 10))),
        *(Confirmed(message.digest, message.digest, at(95)) for message in (done, young)),
    )
    assert pipeline.finished_before(at(50)) == (done.digest,)
    with pytest.raises(IllegalTransition, match="finished"):
        pipeline.forget([done.digest, waiting.digest])
    pipeline.forget(pipeline.finished_before(at(50)))
    assert [work.message for work in pipeline.works()] == [young, waiting]
    assert pipeline.owner(done.digest) is None
    assert [work.message for work in pipeline.open_works()] == [waiting]
    with pytest.raises(NotAuthorised, match="not reached"):
        pipeline.authorise([done.digest], at(96))


def test_pipeline__forgotten_message_observed_again__is_found_delivered_and_closes() -> None:
    message = plain_message()
    pipeline = reach(Observed(message, at(0)), Confirmed(message.digest, message.digest, at(1)))
    pipeline.forget([message.digest])
    pipeline.apply(Observed(message, at(2)))
    assert Check(message.digest, message.digest) in pipeline.due(member(1), at(2))
    assert pipeline.apply(Confirmed(message.digest, message.digest, at(3))).finished


def test_pipeline__lapsed_message_forgotten__leaves_nothing_behind() -> None:
    message = plain_message(expiry=EXPIRY)
    notice = non_delivery_message(message)
    pipeline = lapsed(message)
    pipeline.apply(Confirmed(message.digest, notice.digest, at(LATE)))
    pipeline.forget([message.digest])
    assert pipeline.owner(message.digest) is None
    assert pipeline.owner(notice.digest) is None


def given_up(message: Message, *, number: int = 1) -> DeadLettered:
    return DeadLettered(message.digest, message.digest, number, "The recipient refused it.", at(50))


def signed_message(message: Message) -> Pipeline:
    pipeline = reach(Observed(message, at(0)))
    pipeline.apply(attested(message, pipeline, 0))
    return pipeline


def test_dead_letter__given_up__is_not_delivered_any_more_but_watched_and_counted() -> None:
    message = plain_message()
    pipeline = signed_message(message)
    assert pipeline.apply(given_up(message)).stage is Stage.DEAD
    assert all_due(pipeline, 10**6) == {i: [Check(message.digest, message.digest)] for i in COMMITTEE}
    assert [work.message for work in pipeline.dead()] == [message]
    assert pipeline.stages() == {Stage.DEAD: 1}
    assert pipeline.waiting(EVM) == 0, "it keeps no other from being read"


def test_dead_letter__retried__is_owed_again_and_can_be_given_up_again() -> None:
    message = plain_message()
    pipeline = signed_message(message)
    pipeline.apply(given_up(message))
    assert pipeline.apply(Retried(message.digest, message.digest, 1, at(60))).stage is Stage.ATTESTED
    assert all(Submit(message.digest, message.digest) in owed for owed in all_due(pipeline, 10**6).values())
    assert not list(pipeline.dead())
    with pytest.raises(IllegalTransition):
        pipeline.apply(given_up(message, number=3))
    assert pipeline.apply(given_up(message, number=2)).dead[0].number == 2


def test_dead_letter__old_event_after_a_newer_one__changes_nothing() -> None:
    message = plain_message()
    pipeline = signed_message(message)
    retried = Retried(message.digest, message.digest, 1, at(60))
    for event in (given_up(message), retried, given_up(message, number=2)):
        pipeline.apply(event)
    before = pipeline.work(message.digest)
    assert pipeline.apply(given_up(message)) is before
    assert pipeline.apply(retried) is before, "a repeated command does not undo what came after it"


def test_dead_letter__others_deliver_it__is_not_dead() -> None:
    message = plain_message()
    pipeline = signed_message(message)
    pipeline.apply(given_up(message))
    assert not pipeline.apply(Delivered(message.digest, message.digest, at(60))).dead
    assert not list(pipeline.dead())
    assert pipeline.apply(Confirmed(message.digest, message.digest, at(61))).stage is Stage.CONFIRMED
    delivered = signed_message(message)
    work = delivered.apply(Delivered(message.digest, message.digest, at(1)))
    assert delivered.apply(given_up(message)) is work, "what was delivered is not given up"


def test_dead_letter__dropped__is_neither_signed_nor_delivered_and_closes() -> None:
    message = plain_message()
    pipeline = signed_message(message)
    signature = attested(message, pipeline, 5)
    pipeline.apply(given_up(message))
    work = pipeline.apply(Dropped(message.digest, message.digest, 1, at(60)))
    assert work.stage is Stage.DROPPED
    assert work.finished
    assert all_due(pipeline, 10**6) == {i: [] for i in COMMITTEE}
    with pytest.raises(NotAuthorised, match="dropped by this node's operator"):
        pipeline.authorise([message.digest], at(61))
    for late in (Retried(message.digest, message.digest, 1, at(70)), signature):
        with pytest.raises(IllegalTransition):
            pipeline.apply(late)


def test_dead_letter__dropped_beside_what_is_not__the_rest_goes_on() -> None:
    request = evm_request()
    pipeline = reach(*proved(request))
    pipeline.apply(attested(request, pipeline, 0))
    home, remote = (message.digest for message in result_messages(request, ANSWER))
    pipeline.apply(DeadLettered(request.digest, home, 1, "The consumer refused it.", at(1)))
    assert pipeline.due(member(1), at(10**6)) == [
        Check(request.digest, home),
        Submit(request.digest, remote),
        Check(request.digest, remote),
    ]
    pipeline.apply(Dropped(request.digest, home, 1, at(2)))
    assert not pipeline.apply(Delivered(request.digest, remote, at(3))).finished
    assert pipeline.apply(Confirmed(request.digest, remote, at(4))).stage is Stage.DROPPED
    assert not list(pipeline.open_works())


def test_dead_letter__dropped_message_that_can_expire__its_sender_is_still_told() -> None:
    message = plain_message(expiry=EXPIRY)
    pipeline = signed_message(message)
    pipeline.apply(given_up(message))
    assert not pipeline.apply(Dropped(message.digest, message.digest, 1, at(60))).finished
    assert Lapse(message.digest) in pipeline.due(member(1), at(LATE))
    work = pipeline.apply(Lapsed(message.digest, at(LATE)))
    assert work.to_sign == (non_delivery_message(message).digest,)
    with pytest.raises(NotAuthorised, match="expired undelivered"):
        pipeline.authorise([message.digest], at(LATE))


@pytest.mark.parametrize("kind", [Retried, Dropped])
def test_dead_letter__judged_before_it_was_given_up__is_illegal(kind: type[Retried] | type[Dropped]) -> None:
    message = plain_message()
    pipeline = signed_message(message)
    with pytest.raises(IllegalTransition):
        pipeline.apply(kind(message.digest, message.digest, 1, at(1)))
    pipeline.apply(given_up(message))
    with pytest.raises(IllegalTransition):
        pipeline.apply(kind(message.digest, message.digest, 2, at(1)))
    with pytest.raises(IllegalTransition, match="not a message of this work"):
        pipeline.apply(kind(message.digest, Digest(b"x" * 32), 1, at(1)))


def test_agenda__ten_thousand_open_works__only_what_changed_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = reach(*(Observed(plain_message(sequence=n), at(0)) for n in range(1, 10_001)))
    agenda = Agenda(pipeline, member(1))
    assert len(agenda.update(at(10**6))) == 10_000
    looked: list[Digest] = []
    look = Agenda._look

    def counted(self: Agenda, work_id: Digest, now: Millis) -> tuple[Effect, ...]:
        looked.append(work_id)
        return look(self, work_id, now)

    monkeypatch.setattr(Agenda, "_look", counted)
    assert agenda.update(at(10**6 + 50)) == {}
    assert looked == []
    message = plain_message(sequence=77)
    pipeline.apply(attested(message, pipeline, 10**6))
    agenda.touch([message.digest])
    changed = agenda.update(at(10**6 + 60))
    assert looked == [message.digest]
    alone = reach(Observed(message, at(0)))
    alone.apply(attested(message, alone, 10**6))
    assert changed == {message.digest: tuple(alone.due(member(1), at(10**6 + 60)))}


def test_agenda__forgotten_work__leaves_nothing_behind() -> None:
    message = plain_message()
    pipeline = signed_message(message)
    agenda = Agenda(pipeline, member(1))
    agenda.update(at(5))
    pipeline.apply(Confirmed(message.digest, message.digest, at(6)))
    agenda.touch([message.digest])
    assert agenda.update(at(7)) == {message.digest: ()}
    pipeline.forget([message.digest])
    agenda.touch([message.digest])
    assert agenda.update(at(8)) == {}
    assert pipeline.stages() == {}


def test_finished_beyond__more_than_may_be_kept__the_oldest_go() -> None:
    messages = [plain_message(sequence=n) for n in range(1, 8)]
    pipeline = reach(*(Observed(message, at(0)) for message in messages))
    for message in messages[1:6]:
        pipeline.apply(Confirmed(message.digest, message.digest, at(1)))
    assert pipeline.finished_beyond(3, 10) == (messages[1].digest, messages[2].digest)
    assert pipeline.finished_beyond(3, 1) == (messages[1].digest,)
    assert pipeline.finished_beyond(5, 10) == ()
    assert pipeline.finished_before(at(9), 2) == (messages[1].digest, messages[2].digest)
