"""ROAST's state machine: what each kind of misbehaviour costs, who is blamed for it, and that nobody else is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from bridges.frost import roast as roast_module
from bridges.frost import signing
from bridges.frost.errors import DecodeError, GroupError, IllegalTransition, InvalidSignature, KeyMaterialError
from bridges.frost.group import ORDER, Identifier, Scalar, identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.roast import Roast, Session, Standing
from bridges.frost.signing import NonceCommitment, SignatureShare, SigningNonces, SigningPackage
from tests.support.dealer import deal

MESSAGE = bytes(range(32))


class Committee:
    """Members that hold their nonces, and the machine that they answer."""

    def __init__(self, n: int, t: int) -> None:
        self.shares: dict[int, KeyShare] = {int(share.identifier): share for share in deal(n, t, os.urandom)}
        self.public = self.shares[1].public
        self.roast = Roast(self.public, MESSAGE)
        self.nonces: dict[int, SigningNonces] = {}

    def fresh(self, who: int) -> NonceCommitment:
        self.nonces[who] = signing.commit(self.shares[who], os.urandom(64))
        return self.nonces[who].commitment

    def commit(self, *members: int) -> None:
        for who in members:
            self.roast.add_commitment(Identifier(who), self.fresh(who))

    def share(self, who: int, session: Session) -> SignatureShare:
        return signing.sign(self.shares[who], self.nonces[who], session.package)

    def answer(self, who: int, session: Session) -> signing.GroupSignature | None:
        share = self.share(who, session)
        return self.roast.add_share(session.number, Identifier(who), share, self.fresh(who))

    def lie(self, who: int, session: Session) -> signing.GroupSignature | None:
        share = self.share(who, session)
        wrong = replace(share, z=Scalar((share.z + 1) % ORDER))
        return self.roast.add_share(session.number, Identifier(who), wrong, self.fresh(who))

    def opened(self) -> Session:
        session = self.roast.open()
        assert session is not None
        return session

    def standings(self) -> dict[int, Standing]:
        return {who: self.roast.standing(Identifier(who)) for who in self.shares}

    def holds(self, signature: signing.GroupSignature | None) -> bool:
        assert signature is not None
        assert signature == self.roast.signature
        return signing.verify(self.public.group_public_key, signature, MESSAGE)


@pytest.fixture
def four() -> Committee:
    return Committee(4, 3)


# ---- all well


def test_roast__t_commitments_then_t_shares__signs_in_one_session(four: Committee) -> None:
    four.commit(4, 1)
    assert not four.roast.can_open
    assert four.roast.open() is None
    four.commit(3)
    session = four.opened()
    assert session.package.signers == (1, 3, 4)
    assert [four.answer(who, session) for who in (3, 1)] == [None, None]
    assert session.missing == (4,)
    assert four.holds(four.answer(4, session))
    assert len(four.roast.sessions) == 1
    assert not four.roast.hopeless


def test_roast__honest_run__looks_at_no_share_alone(four: Committee, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[object] = []
    monkeypatch.setattr(roast_module, "verify_share", lambda *_: looked_at.append(_))
    monkeypatch.setattr(roast_module, "find_culprits", lambda *_: looked_at.append(_))
    four.commit(1, 2, 3, 4)
    session = four.opened()
    assert four.holds([four.answer(who, session) for who in (1, 2, 3)][-1])
    assert not looked_at


def test_roast__more_are_ready_than_needed__the_first_sign(four: Committee) -> None:
    four.commit(4, 2, 1, 3)
    assert four.opened().package.signers == (1, 2, 4)
    assert four.standings()[3] is Standing.READY
    assert not four.roast.can_open


def test_roast__member_that_answered__is_ready_for_another_session_at_once(four: Committee) -> None:
    four.commit(1, 2, 3, 4)
    first = four.opened()
    four.answer(1, first)
    four.answer(2, first)
    second = four.opened()  # 3 has not answered, and nobody waits for it
    assert second.package.signers == (1, 2, 4)
    own = {c.identifier: c for c in second.package.commitments}
    assert all(own[identifier(who)] != first.package.commitment_of(identifier(who)) for who in (1, 2))
    for who in (4, 1):
        assert four.answer(who, second) is None
    assert four.holds(four.answer(2, second))


def test_roast__late_share_of_an_earlier_session__completes_it(four: Committee) -> None:
    four.commit(1, 2, 3, 4)
    first = four.opened()
    four.answer(1, first)
    four.answer(2, first)
    second = four.opened()
    assert {session.number for session in four.roast.pending} == {0, 1}
    signature = four.answer(3, first)
    assert four.holds(signature)
    assert signature is not None
    assert signature.r == first.package.r
    assert second.missing == (1, 2, 4)


# ---- transitions that are not legal


def test_roast__message_of_another_length__is_refused(four: Committee) -> None:
    for size in (0, 31, 33):
        with pytest.raises(DecodeError):
            Roast(four.public, bytes(size))


def test_roast__illegal_transitions__raise_and_change_nothing(four: Committee) -> None:
    one, share = identifier(1), SignatureShare(identifier(1), Scalar(1))
    with pytest.raises(IllegalTransition):
        four.roast.add_share(0, one, share, four.fresh(1))
    four.commit(1, 2, 3, 4)
    with pytest.raises(IllegalTransition):  # unsolicited: it is ready already
        four.roast.add_commitment(one, four.fresh(1))
    four.nonces.clear()
    session = four.opened()
    before = four.standings()
    calls: list[Callable[[], object]] = [
        lambda: four.roast.add_commitment(one, four.fresh(1)),
        lambda: four.roast.add_share(1, one, share, four.fresh(1)),
        lambda: four.roast.add_share(-1, one, share, four.fresh(1)),
        lambda: four.roast.add_share(0, identifier(4), replace(share, identifier=identifier(4)), four.fresh(4)),
    ]
    for call in calls:
        with pytest.raises(IllegalTransition):
            call()
    assert four.standings() == before
    assert session.missing == (1, 2, 3)
    assert not four.roast.blamed


def test_roast__stranger__is_refused(four: Committee) -> None:
    stranger = identifier(9)
    calls: list[Callable[[], object]] = [
        lambda: four.roast.add_commitment(stranger, replace(four.fresh(1), identifier=stranger)),
        lambda: four.roast.pass_over(stranger),
        lambda: four.roast.blame(stranger, "no"),
        lambda: four.roast.standing(stranger),
    ]
    for call in calls:
        with pytest.raises(KeyMaterialError, match="not a member"):
            call()


def test_roast__late_after_the_signature__is_not_taken(four: Committee) -> None:
    four.commit(1, 2, 3, 4)
    first = four.opened()
    four.answer(1, first)
    four.answer(2, first)
    second = four.opened()
    signature = four.answer(3, first)
    with pytest.raises(IllegalTransition, match="done"):
        four.lie(4, second)
    assert four.roast.signature == signature
    assert not four.roast.blamed
    assert not four.roast.can_open
    assert four.roast.open() is None
    assert four.roast.pending == ()


def test_roast__answer_of_a_member_that_was_passed_over__is_not_taken(four: Committee) -> None:
    four.commit(1, 2, 3)
    session = four.opened()
    four.roast.pass_over(identifier(2))
    with pytest.raises(IllegalTransition, match="passed over"):
        four.answer(2, session)
    assert not four.roast.blamed


# ---- misbehaviour


def test_roast__bad_share__fails_the_sum_and_is_named_alone(four: Committee) -> None:
    four.commit(1, 2, 3)
    session = four.opened()
    four.answer(1, session)
    four.lie(2, session)
    assert not four.roast.blamed  # nobody has looked yet
    assert four.answer(3, session) is None
    assert list(four.roast.blamed) == [2]
    assert "signature share of 2 does not verify" in four.roast.blamed[identifier(2)]
    assert not four.roast.hopeless
    four.commit(4)
    again = four.opened()
    assert again.package.signers == (1, 3, 4)
    assert [four.answer(who, again) for who in (1, 3)] == [None, None]
    assert four.holds(four.answer(4, again))


def test_roast__bad_share_in_a_session_that_hangs__is_found_before_its_maker_enters_another(four: Committee) -> None:
    four.commit(1, 2, 3, 4)
    first = four.opened()
    four.answer(1, first)
    four.lie(2, first)
    assert four.roast.can_open
    assert four.roast.open() is None  # 4, 1 and 2 would do, but 2 has lied
    assert list(four.roast.blamed) == [2]
    assert four.roast.pending == ()
    four.answer(3, first)  # honest and late: it is ready again, though its session is lost
    second = four.opened()
    assert second.package.signers == (1, 3, 4)
    for who in (1, 3):
        four.answer(who, second)
    assert four.holds(four.answer(4, second))


def test_roast__share_of_zero_or_of_another_message__is_named() -> None:
    for kind in ("zero", "message"):
        four = Committee(4, 3)
        four.commit(1, 2, 3)
        session = four.opened()
        four.answer(1, session)
        if kind == "zero":
            share = SignatureShare(identifier(2), Scalar(0))
        else:
            other = signing.prepare(four.public, bytes(32), session.package.commitments)
            share = signing.sign(four.shares[2], four.nonces[2], other)
        four.roast.add_share(0, identifier(2), share, four.fresh(2))
        four.answer(3, session)
        assert list(four.roast.blamed) == [2]


def test_roast__share_of_another_session__is_named() -> None:
    seven = Committee(7, 4)
    seven.commit(1, 2, 3, 4, 5, 6, 7)
    first = seven.opened()
    kept = seven.share(1, first)
    seven.roast.add_share(0, identifier(1), kept, seven.fresh(1))
    second = seven.opened()
    assert second.package.signers == (1, 5, 6, 7)
    seven.roast.add_share(1, identifier(1), kept, seven.fresh(1))  # replayed
    for who in (5, 6, 7):
        seven.answer(who, second)
    assert list(seven.roast.blamed) == [1]
    assert seven.roast.signature is None
    for who in (2, 3):
        seven.answer(who, first)
    assert seven.holds(seven.answer(4, first))  # what it said in the first session was true


def test_roast__same_share_again__changes_nothing_and_blames_nobody(four: Committee) -> None:
    four.commit(1, 2, 3)
    session = four.opened()
    share = four.share(1, session)
    four.roast.add_share(0, identifier(1), share, four.fresh(1))
    with pytest.raises(IllegalTransition, match="already"):
        four.roast.add_share(0, identifier(1), share, four.fresh(1))
    assert not four.roast.blamed
    assert four.standings()[1] is Standing.READY


def test_roast__second_and_different_share__is_named_and_the_first_stays(four: Committee) -> None:
    four.commit(1, 2, 3)
    session = four.opened()
    share = four.share(1, session)
    four.roast.add_share(0, identifier(1), share, four.fresh(1))
    with pytest.raises(IllegalTransition):
        four.roast.add_share(0, identifier(1), replace(share, z=Scalar(1)), four.fresh(1))
    assert "two signature shares" in four.roast.blamed[identifier(1)]
    assert four.standings()[1] is Standing.MALICIOUS
    four.answer(2, session)
    assert four.holds(four.answer(3, session))


@pytest.mark.parametrize("what", ["commitment", "share", "following"])
def test_roast__speaking_for_another__names_the_speaker(four: Committee, what: str) -> None:
    one, two = identifier(1), identifier(2)
    if what == "commitment":
        four.roast.add_commitment(two, four.fresh(1))
    else:
        four.commit(1, 2, 3)
        share, following = four.share(2, four.opened()), four.fresh(2)
        share = replace(share, identifier=one) if what == "share" else share
        following = replace(following, identifier=one) if what == "following" else following
        four.roast.add_share(0, two, share, following)
    assert dict(four.roast.blamed) == {two: "Participant 2 spoke as participant 1."}
    assert four.standings()[1] is not Standing.MALICIOUS


@pytest.mark.parametrize("half", ["hiding", "binding", "both", "crossed"])
def test_roast__nonce_offered_again__is_named(four: Committee, half: str) -> None:
    """Whoever signs twice under one nonce gives its share away; the coordinator does not help it do so."""
    four.commit(1, 2, 3)
    old = four.nonces[1].commitment
    share = four.share(1, four.opened())
    new = four.fresh(1)
    following = {
        "hiding": replace(new, hiding=old.hiding),
        "binding": replace(new, binding=old.binding),
        "both": old,
        "crossed": replace(new, hiding=old.binding),
    }[half]
    four.roast.add_share(0, identifier(1), share, following)
    assert dict(four.roast.blamed) == {identifier(1): "Participant 1 offered a nonce twice."}


def test_roast__one_point_for_both_nonces__is_named(four: Committee) -> None:
    new = four.fresh(1)
    four.roast.add_commitment(identifier(1), replace(new, binding=new.hiding))
    assert list(four.roast.blamed) == [1]


def test_roast__commitment_copied_from_another__only_the_copier_is_named(four: Committee) -> None:
    four.commit(1)
    copied = replace(four.nonces[1].commitment, identifier=identifier(2))
    four.roast.add_commitment(identifier(2), copied)
    four.commit(3)
    session = four.opened()
    share = four.share(1, session)
    four.roast.add_share(0, identifier(1), share, four.fresh(1))
    four.roast.add_share(0, identifier(2), replace(share, identifier=identifier(2)), four.fresh(2))
    four.answer(3, session)
    assert list(four.roast.blamed) == [2]


def test_roast__first_reason__stays(four: Committee) -> None:
    four.roast.blame(identifier(2), "first")
    four.roast.blame(identifier(2), "second")
    four.roast.pass_over(identifier(2))
    assert dict(four.roast.blamed) == {2: "first"}
    assert four.standings()[2] is Standing.MALICIOUS


# ---- the bound


@pytest.mark.parametrize("quorum", [(4, 3), (7, 5), (10, 7), (5, 2)])
@pytest.mark.parametrize("kind", ["silent", "lying", "refusing"])
def test_roast__one_spoiler_a_session__signs_in_the_last_of_the_bound(quorum: tuple[int, int], kind: str) -> None:
    n, t = quorum
    committee, spoilers = Committee(n, t), list(range(t + 1, n + 1))
    committee.commit(spoilers[0], *range(1, t + 1))
    for number, spoiler in enumerate(spoilers):
        session = committee.opened()
        assert session.number == number
        assert [who for who in session.package.signers if who in spoilers] == [spoiler]
        committee.commit(*spoilers[number + 1 : number + 2])  # early enough to be in the next
        if kind == "lying":
            committee.lie(spoiler, session)
        elif kind == "refusing":
            committee.roast.pass_over(identifier(spoiler))
        for who in session.package.signers:
            if who != spoiler:
                assert committee.answer(who, session) is None
    last = committee.opened()
    assert committee.holds([committee.answer(who, last) for who in last.package.signers][-1])
    assert len(committee.roast.sessions) == committee.roast.max_sessions == n - t + 1
    assert set(committee.roast.blamed) == (set(spoilers) if kind == "lying" else set())


def test_roast__fewer_than_t_are_left__is_hopeless_and_names_only_liars(four: Committee) -> None:
    four.commit(1, 2, 3)
    session = four.opened()
    four.roast.pass_over(identifier(4))
    assert not four.roast.hopeless
    four.roast.pass_over(identifier(2))
    hopeless = [four.roast.hopeless]
    four.answer(1, session)
    hopeless.append(four.roast.hopeless)
    assert hopeless == [True, True]
    assert four.roast.open() is None
    assert not four.roast.blamed


def test_roast__too_few_are_left_but_a_session_is_pending__is_not_hopeless(four: Committee) -> None:
    four.commit(1, 2, 3)
    session = four.opened()
    four.answer(1, session)
    four.roast.pass_over(identifier(1))  # it gave its share before it went
    four.roast.pass_over(identifier(4))
    assert not four.roast.hopeless
    four.answer(2, session)
    assert four.holds(four.answer(3, session))


# ---- what cannot be provoked, and is made to happen


def test_roast__commitments_that_cancel__blame_nobody(four: Committee, monkeypatch: pytest.MonkeyPatch) -> None:
    four.commit(1, 2, 3, 4)
    honest = signing.prepare
    refused: list[object] = []

    def once(*arguments: object) -> SigningPackage:
        if not refused:
            refused.append(arguments)
            raise GroupError("identity")
        return honest(*arguments)  # type: ignore[arg-type]  # whatever was given

    monkeypatch.setattr(roast_module, "prepare", once)
    session = four.opened()
    assert session.package.signers == (1, 2, 4)
    assert session.number == 0
    assert not four.roast.blamed
    assert four.standings()[3] is Standing.PASSED_OVER


def test_roast__sum_fails_though_all_shares_hold__blames_nobody_and_keeps_the_bound(
    four: Committee, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise InvalidSignature("no")

    monkeypatch.setattr(roast_module, "aggregate", fails)
    four.commit(1, 2, 3)
    for _ in range(four.roast.max_sessions):
        session = four.opened()
        for who in session.package.signers:
            four.answer(who, session)
    assert four.roast.hopeless
    assert four.roast.open() is None
    assert not four.roast.blamed
