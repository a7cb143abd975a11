"""A signature whose epoch ended before all was delivered: the work is signed again, and nothing is stranded (pipeline, journal)."""

from pathlib import Path

import pytest

from oracle.journal import Journal
from oracle.pipeline import (
    Attested,
    Delivered,
    Expired,
    IllegalTransition,
    Member,
    Millis,
    Observed,
    Outdated,
    Pipeline,
    Sign,
    Stage,
    Submit,
    Takeover,
    Work,
    advance,
    due,
)
from oracle.ports import GroupAttestation
from oracle.protocol.types import CommitteeEpoch
from tests.support.samples import EVM, SOLANA, plain_message

MESSAGE = plain_message()
ID = MESSAGE.digest
MEMBERS = [Member(i, (1, 2, 3, 4), frozenset({EVM, SOLANA}), Takeover(sign=100, submit=10)) for i in (1, 2, 3, 4)]


def signed(epoch: int, at: int = 1) -> Attested:
    return Attested(ID, GroupAttestation(CommitteeEpoch(epoch), bytes(65), (ID,)), Millis(at))


def reached(*events: Attested | Outdated | Delivered) -> Work:
    work = advance(None, Observed(MESSAGE, Millis(0)))
    for event in events:
        work = advance(work, event)
    return work


def test_outdated__signature_of_that_epoch__goes_and_the_work_is_signed_again_in_turn() -> None:
    work = reached(signed(1), Outdated(ID, CommitteeEpoch(1), Millis(5000)))
    assert (work.attestation, work.stage) == (None, Stage.OBSERVED)
    asking = [[m.identifier for m in MEMBERS if Sign(ID) in due(work, m, Millis(now))] for now in (5000, 5300)]
    assert len(asking[0]) == 1  # not all at once
    assert asking[1] == [1, 2, 3, 4]
    assert not any(isinstance(effect, Submit) for m in MEMBERS for effect in due(work, m, Millis(9000)))
    again = advance(work, signed(2, 6000))
    assert again.attestation is not None
    assert (again.attestation.epoch, again.attested_at) == (2, 6000)


def test_outdated__another_epoch_or_no_signature__changes_nothing() -> None:
    work = reached(signed(2))
    assert advance(work, Outdated(ID, CommitteeEpoch(1), Millis(9))) is work
    unsigned = reached()
    assert advance(unsigned, Outdated(ID, CommitteeEpoch(1), Millis(9))) is unsigned


def test_outdated__what_was_delivered__stays_delivered() -> None:
    work = reached(signed(1), Delivered(ID, ID, Millis(2)), Outdated(ID, CommitteeEpoch(1), Millis(3)))
    assert work.delivered == {ID}
    assert not [e for m in MEMBERS for e in due(work, m, Millis(9000)) if isinstance(e, Sign | Submit)]


def test_outdated__after_expiry_or_before_observation__is_illegal() -> None:
    with pytest.raises(IllegalTransition):
        advance(None, Outdated(ID, CommitteeEpoch(1), Millis(1)))
    expired = advance(reached(), Expired(ID, Millis(2)))
    with pytest.raises(IllegalTransition):
        advance(expired, Outdated(ID, CommitteeEpoch(1), Millis(3)))


def test_journal__outdated_signature__is_replayed_to_the_same_work(tmp_path: Path) -> None:
    events = (
        Observed(MESSAGE, Millis(0)),
        signed(1),
        Outdated(ID, CommitteeEpoch(1), Millis(3)),
        signed(2, 4),
    )
    journal = Journal(tmp_path / "journal.sqlite")
    journal.append(events)
    assert tuple(journal.replay()) == events
    pipeline = Pipeline()
    for event in journal.replay():
        pipeline.apply(event)
    work = pipeline.work(ID)
    assert work is not None
    assert work.attestation is not None
    assert work.attestation.epoch == 2
    journal.close()
