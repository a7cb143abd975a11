"""Resharing: honest runs, and each way to cheat with the one whom the evidence names."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bridges.frost.dkg_checks import Kind, Link, evidence, prove_possession, seal, verify_evidence
from bridges.frost.dkg_messages import (
    BadProof,
    BadShare,
    Certificate,
    Commitments,
    Complaint,
    DkgEquivocation,
    FalseComplaint,
    MalformedStatement,
    NotSigned,
    Phase,
    SealedShare,
    Signed,
    UnusableGroupKey,
    WrongCertificate,
)
from bridges.frost.errors import DecodeError, IllegalTransition, InvalidSignature, KeyMaterialError
from bridges.frost.group import Identifier, Scalar, SecretScalar, base_times, point_sum
from bridges.frost.keygen import KeyShare
from bridges.frost.reshare import Resharer
from bridges.frost.reshare_checks import Resharing, reshared_package, verify_reshare_evidence
from bridges.frost.signing import (
    COMMIT_RANDOMNESS_BYTES,
    GroupSignature,
    aggregate,
    commit,
    find_culprits,
    prepare,
    sign,
    verify,
)
from tests.support.dkg import Route, Tamper, identity, resigned, said
from tests.support.reshare import Handover, made, members, new_shares, resharing

LIAR = 2
NEW = (1, 2, 3, 5)
"""Member 5 comes for member 4; the dealers are 1, 2 and 3."""


@cache
def old_shares() -> dict[int, KeyShare]:
    """A key of 3 of 4. Sessions copy from it and never change it."""
    return made(4)


def handover(new: tuple[int, ...] = NEW, dealers: tuple[int, ...] = ()) -> Handover:
    return Handover.of(old_shares(), new, dealers)


def signature(shares: list[KeyShare], message: bytes) -> GroupSignature:
    nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares]
    package = prepare(shares[0].public, message, [nonce.commitment for nonce in nonces])
    return aggregate(package, [sign(share, nonce, package) for share, nonce in zip(shares, nonces, strict=True)])


# ---- honest


@pytest.mark.parametrize(
    ("old", "new", "dealers"),
    [
        (4, (1, 2, 3, 4), (1, 2, 3)),  # the same members: fresh shares
        (4, (1, 2, 3, 5), (1, 2, 3)),
        (4, (1, 2, 3, 5), (2, 3, 4)),  # who leaves deals; one who stays does not
        (4, (5, 6, 7, 8), (1, 3, 4)),  # nobody stays
        (4, (1, 2, 5, 6, 7, 8, 9), (1, 2, 4)),  # larger: 5 of 7
        (7, (1, 2, 3, 8), (1, 2, 3, 4, 5)),  # smaller: 3 of 4
    ],
)
def test_reshare__honest_members__keep_the_key_and_each_new_quorum_signs(
    old: int, new: tuple[int, ...], dealers: tuple[int, ...]
) -> None:
    shares = old_shares() if old == 4 else made(old)
    work = Handover.of(shares, new, dealers)
    results = work.run()
    assert sorted(results) == sorted({*new, *dealers})
    assert len({result.key_hash for result in results.values()}) == 1
    fresh = new_shares(results)
    assert sorted(fresh) == sorted(new)
    public = fresh[new[0]].public
    assert all(share.public == public for share in fresh.values())
    assert public.group_public_key == shares[1].public.group_public_key
    assert public.threshold == 2 * len(new) // 3 + 1
    for signers in itertools.islice(itertools.combinations(fresh.values(), public.threshold), 8):
        message = os.urandom(32)
        assert verify(shares[1].public.group_public_key, signature(list(signers), message), message)


def test_reshare__five_to_nine_and_back__one_key_all_the_way() -> None:
    shares = made(5)
    first = shares[1].public.group_public_key
    nine = new_shares(Handover.of(shares, tuple(range(3, 12))).run())
    back = new_shares(Handover.of(nine, (3, 4, 12, 13, 14), revision=2).run())
    assert (nine[3].public.threshold, back[3].public.threshold) == (7, 4)
    message = os.urandom(32)
    assert verify(first, signature([back[i] for i in (4, 12, 13, 14)], message), message)


def test_reshare__old_and_new_shares_together__sign_nothing() -> None:
    old, fresh = old_shares(), new_shares(handover().run())
    message = os.urandom(32)
    mixed = {1: fresh[1], 2: fresh[2], 3: old[3]}
    nonces = {i: commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for i, share in mixed.items()}
    package = prepare(fresh[1].public, message, [nonce.commitment for nonce in nonces.values()])
    given = [sign(share, nonces[i], package) for i, share in mixed.items()]
    with pytest.raises(InvalidSignature):
        aggregate(package, given)
    assert find_culprits(package, given) == (3,)


def test_reshare__an_old_quorum_that_kept_its_shares__can_still_sign() -> None:
    # Why distrust takes a rotation: the key is the same, and so is what t old members know of it.
    handover((5, 6, 7, 8)).run()
    message = os.urandom(32)
    old = old_shares()
    assert verify(old[1].public.group_public_key, signature([old[i] for i in (1, 2, 4)], message), message)


def test_reshare__fewer_than_the_new_quorum__cannot_sign() -> None:
    fresh = new_shares(handover((1, 2, 3, 4, 5, 6, 7)).run())
    with pytest.raises(KeyMaterialError, match="fewer than the quorum"):
        signature([fresh[i] for i in (1, 2, 3, 4)], bytes(32))
    with pytest.raises(KeyMaterialError):
        replace(fresh[1].public, threshold=4)


def test_reshare__secrets__are_wiped_and_never_shown_and_the_old_share_stays() -> None:
    work = handover()
    dealer = work.members[1]
    polynomial = list(dealer._polynomial)
    revealed = [secret.reveal().hex() for secret in polynomial]
    result = work.run()[1]
    assert result.share is not None
    assert all(secret.wiped for secret in (*polynomial, *dealer._shares.values()))
    shown = repr(dealer) + repr(result)
    assert all(secret not in shown for secret in (*revealed, result.share.signing_share.reveal().hex()))
    assert not old_shares()[1].signing_share.wiped


def test_reshare__abandoned__has_wiped_everything_but_the_old_share() -> None:
    work = handover()
    work.run(until=Phase.SHARE)
    member = work.members[1]
    share = member.provisional
    assert share is not None
    member.abandon()
    assert share.signing_share.wiped
    assert all(secret.wiped for secret in (*member._polynomial, *member._shares.values()))
    assert (member.collecting, member.provisional, member.result) == (None, None, None)
    assert not old_shares()[1].signing_share.wiped


def test_reshare__member_that_leaves__ends_with_nothing_and_knows_that_all_certified() -> None:
    work = handover((1, 2, 5, 6), (1, 2, 4))
    work.run(until=Phase.SHARE)
    leaving = work.members[4]
    assert leaving.provisional is None
    with pytest.raises(IllegalTransition):
        leaving.certify()
    for who in (1, 2, 5, 6):
        work.members[who].certify()
    assert leaving.result is None
    work.exchange(Phase.CERTIFICATE)
    assert leaving.result is not None
    assert leaving.result.share is None
    assert sorted(leaving.result.certificates) == [1, 2, 5, 6]


def test_reshare__one_new_member_that_does_not_certify__nobody_ends() -> None:
    work = handover()
    work.run(until=Phase.SHARE)
    for who in (1, 2, 3):
        work.members[who].certify()
    work.exchange(Phase.CERTIFICATE)
    assert not any(member.result for member in work.members.values())
    assert work.members[1].waiting_for == (5,)


# ---- who may take part


def test_resharing__other_number_of_dealers_or_strangers__is_refused() -> None:
    old = old_shares()[1].public
    for dealers in ((1, 2), (1, 2, 3, 4), (1, 2, 5)):
        with pytest.raises(KeyMaterialError, match="of the old members"):
            resharing(old, NEW, dealers)


def test_resharing__number_or_key_of_another_member__is_refused() -> None:
    old = old_shares()[1].public
    plan = resharing(old, NEW)
    with pytest.raises(KeyMaterialError, match="one certificate"):
        replace(plan, dealers={**plan.dealers, Identifier(2): identity(9)[1]})
    fresh = members(NEW)
    renumbered = replace(fresh, certificates={**fresh.certificates, Identifier(6): identity(4)[1]})
    dealers = {Identifier(i): identity(i)[1] for i in (1, 2, 4)}
    with pytest.raises(KeyMaterialError, match="two members"):
        Resharing(old, bytes(32), dealers, renumbered, 1)


def test_resharing__context__stands_for_each_part() -> None:
    plan = resharing(old_shares()[1].public, NEW)
    others = [
        resharing(old_shares()[1].public, NEW, (1, 2, 4)),
        resharing(old_shares()[1].public, (1, 2, 3, 6)),
        resharing(made(4)[1].public, NEW),
        replace(plan, revision=2),
        replace(plan, old_hash=bytes(32)),
        replace(plan, new=members(NEW, epoch=2)),
    ]
    assert len({plan.context, *(other.context for other in others)}) == 7


@pytest.mark.parametrize("wrong", ["none", "another_members", "another_keys"])
def test_resharer__dealer_without_its_share_of_this_key__is_refused(wrong: str) -> None:
    plan = resharing(old_shares()[1].public, NEW)
    share = {"none": None, "another_members": old_shares()[2], "another_keys": made(4)[1]}[wrong]
    with pytest.raises(KeyMaterialError, match="needs its share"):
        Resharer(plan, Identifier(1), bytes(32), identity(1)[0].sign, os.urandom, share)


# ---- cheats


def only(phase: Phase, change: Tamper, *, to: tuple[int, ...] = (1, 3, 5)) -> Tamper:
    def tamper(route: Route, data: bytes) -> bytes | None:
        return change(route, data) if route[:2] == (phase, LIAR) and route[2] in to else data

    return tamper


def other_dealing(work: Handover, share: KeyShare | None = None) -> Resharer:
    """A second part of the liar in the same session."""
    sign_ = identity(LIAR)[0].sign
    return Resharer(work.resharing, Identifier(LIAR), work.session, sign_, os.urandom, share or old_shares()[LIAR])


def test_reshare__wrong_old_share__is_seen_in_the_first_message() -> None:
    # The liar deals the share of another key that it also holds, with a good proof that it knows it.
    work, stranger = handover(), made(4)
    crooked = replace(work.resharing, old=stranger[1].public)
    part = Resharer(crooked, Identifier(LIAR), work.session, identity(LIAR)[0].sign, os.urandom, stranger[LIAR])
    forged = Commitments.from_bytes(Signed.from_bytes(part.message(Phase.COMMIT, Identifier(1)) or b"").body)

    def change(route: Route, data: bytes) -> bytes:
        body = Signed.from_bytes(data).body
        point = base_times(Scalar(7))
        mine = replace(Commitments.from_bytes(body), coefficients=(point, *forged.coefficients[1:]))
        secret = SecretScalar((7).to_bytes(32, "big"))
        r, z = prove_possession(work.resharing, work.session, Identifier(LIAR), secret, os.urandom(32))
        return resigned(work.resharing, data, replace(mine, proof_r=r, proof_z=z).to_bytes())

    work.run(only(Phase.COMMIT, change))
    assert {type(error) for error in work.faults.values()} == {MalformedStatement}
    assert all("old share" in str(error) for error in work.faults.values())
    assert work.culprits() == {1: (LIAR,), 3: (LIAR,), 5: (LIAR,)}
    assert work.convicted() == {LIAR}


def test_reshare__a_quorum_of_liars__cannot_change_the_key() -> None:
    # All dealers commit to other constants whose sum is a key of theirs: whoever receives it names each one that it hears.
    work = handover((1, 2, 3, 5))

    def change(route: Route, data: bytes) -> bytes:
        if route[0] is not Phase.COMMIT or route[1] not in (1, 2, 3):
            return data
        body = Commitments.from_bytes(Signed.from_bytes(data).body)
        mine = replace(body, coefficients=(base_times(Scalar(route[1])), *body.coefficients[1:]))
        return resigned(work.resharing, data, mine.to_bytes())

    work.run(change)
    assert isinstance(work.faults[5], MalformedStatement)
    assert work.convicted() <= {1, 2, 3}
    assert 5 not in work.convicted()
    # And were that check missing, the sum is compared with the known key.
    dealt = {
        i: Commitments.from_bytes(
            Signed.from_bytes(handover().members[i].message(Phase.COMMIT, Identifier(5)) or b"").body
        )
        for i in (1, 2, 3)
    }
    crooked = {
        Identifier(i): replace(body, coefficients=(base_times(Scalar(i + 1)), *body.coefficients[1:]))
        for i, body in dealt.items()
    }
    with pytest.raises(KeyMaterialError, match="another group key"):
        reshared_package(work.resharing, crooked)


@pytest.mark.parametrize("degree", [2, 4])
def test_reshare__polynomial_of_another_degree__names_the_liar(degree: int) -> None:
    work = handover()

    def change(route: Route, data: bytes) -> bytes:
        body = Commitments.from_bytes(Signed.from_bytes(data).body)
        points = (*body.coefficients, base_times(Scalar(3)))[:degree]
        return resigned(work.resharing, data, replace(body, coefficients=points).to_bytes())

    work.run(only(Phase.COMMIT, change))
    assert work.culprits() == {1: (LIAR,), 3: (LIAR,), 5: (LIAR,)}
    assert work.convicted() == {LIAR}


def test_reshare__proof_that_does_not_hold__names_the_liar() -> None:
    work = handover()

    def change(route: Route, data: bytes) -> bytes:
        body = Commitments.from_bytes(Signed.from_bytes(data).body)
        return resigned(work.resharing, data, replace(body, proof_z=Scalar(body.proof_z ^ 1)).to_bytes())

    work.run(only(Phase.COMMIT, change))
    assert {type(error) for error in work.faults.values()} == {BadProof}
    assert work.convicted() == {LIAR}


def test_reshare__different_commitments_to_different_receivers__name_the_liar_by_evidence() -> None:
    work = handover()
    second = other_dealing(work).message(Phase.COMMIT, Identifier(5))
    work.run(only(Phase.COMMIT, lambda route, data: second, to=(5,)), until=Phase.ECHO)
    assert all(isinstance(error, DkgEquivocation) for error in work.faults.values())
    assert all(named == (LIAR,) for named in work.culprits().values())
    assert set(work.faults) == {1, 2, 3, 5}
    assert work.convicted() == {LIAR}


def bad_share(work: Handover, to: int) -> Tamper:
    def change(route: Route, data: bytes) -> bytes:
        liar, body = work.members[LIAR], SealedShare.from_bytes(Signed.from_bytes(data).body)
        link = Link(work.resharing.context, work.session, body.transcript, Identifier(LIAR), Identifier(to))
        sealed = seal(link, SecretScalar(b"\x05" * 32), liar._session_key, liar._session_keys[Identifier(to)])
        return resigned(work.resharing, data, replace(body, ciphertext=sealed).to_bytes())

    return only(Phase.SHARE, change, to=(to,))


@pytest.mark.parametrize("to", [3, 5], ids=["to_a_dealer", "to_a_newcomer"])
def test_reshare__bad_share__its_recipients_complaint_names_the_liar(to: int) -> None:
    work = handover()
    work.run(bad_share(work, to))
    assert work.culprits() == {to: (LIAR,)}
    fault = work.faults[to]
    assert isinstance(fault, BadShare)
    for i in {1, 3, 5} - {to}:
        with pytest.raises(BadShare) as caught:
            work.members[i].receive_evidence(Identifier(to), fault.evidence)
        assert caught.value.culprits == (LIAR,)
        assert work.members[i].collecting is None
        assert work.members[i].result is None


def test_reshare__share_that_does_not_open__names_the_liar() -> None:
    work = handover()

    def change(route: Route, data: bytes) -> bytes:
        body = SealedShare.from_bytes(Signed.from_bytes(data).body)
        return resigned(work.resharing, data, replace(body, ciphertext=bytes(48)).to_bytes())

    work.run(only(Phase.SHARE, change, to=(5,)))
    assert work.culprits() == {5: (LIAR,)}
    assert work.convicted() == {LIAR}


def test_reshare__commitments_that_cancel_the_others__name_the_liar_by_its_shares() -> None:
    # It commits to the negated sum of the others' highest coefficients, hoping for a polynomial of a lower degree.
    work = handover()
    others = [
        Commitments.from_bytes(Signed.from_bytes(work.members[i].message(Phase.COMMIT, Identifier(LIAR)) or b"").body)
        for i in (1, 3)
    ]
    highest = point_sum([body.coefficients[-1] for body in others]).negated()

    def change(route: Route, data: bytes) -> bytes:
        if route[:2] != (Phase.COMMIT, LIAR):
            return data
        body = Commitments.from_bytes(Signed.from_bytes(data).body)
        mine = replace(body, coefficients=(*body.coefficients[:-1], highest))
        return resigned(work.resharing, data, mine.to_bytes())

    # The liar itself must go along with its lie, or its own echo would name it first.
    liar = work.members[LIAR]
    own = liar._own[Phase.COMMIT, None]
    lie = Signed.from_bytes(change((Phase.COMMIT, LIAR, 1), own.to_bytes()))
    liar._own[Phase.COMMIT, None] = liar._heard[Phase.COMMIT][Identifier(LIAR)] = lie
    work.run()
    honest = {i: error for i, error in work.faults.items() if i != LIAR}
    assert set(honest) == {1, 3, 5}
    assert {type(error) for error in honest.values()} == {BadShare}
    assert work.convicted() == {LIAR}


def test_reshare__share_under_another_transcript__is_a_contradiction_by_evidence() -> None:
    work = handover()

    def change(route: Route, data: bytes) -> bytes:
        body = SealedShare.from_bytes(Signed.from_bytes(data).body)
        return resigned(work.resharing, data, replace(body, transcript=bytes(32)).to_bytes())

    work.run(only(Phase.SHARE, change))
    assert {type(error) for error in work.faults.values()} == {MalformedStatement}
    assert work.convicted() == {LIAR}


def false_complaint(work: Handover, by: int, about: int, **changes: object) -> bytes:
    """What `by` says about a share that was right."""
    liar = work.members[by]
    share = liar._heard[Phase.SHARE][Identifier(about)]
    complaint = replace(Complaint(liar._session_key.private_bytes_raw(), share), **changes)  # type: ignore[arg-type]  # what a test changes
    encoded = said(work.resharing, Phase.COMPLAINT, by, work.session, complaint.to_bytes())
    commits, digests = liar._heard[Phase.COMMIT], b"".join(liar._view(Phase.COMMIT).digests)
    return evidence(
        Kind.SHARE, encoded, digests, commits[Identifier(by)].to_bytes(), commits[Identifier(about)].to_bytes()
    )


@pytest.mark.parametrize("by", [2, 5], ids=["by_a_dealer", "by_a_newcomer"])
@pytest.mark.parametrize("other_key", [False, True], ids=["own_key", "another_key"])
def test_reshare__false_complaint__names_the_complainer(by: int, other_key: bool) -> None:
    work = handover()
    work.run(until=Phase.SHARE)
    changes = {"session_key": X25519PrivateKey.generate().private_bytes_raw()} if other_key else {}
    void = false_complaint(work, by, 3, **changes)
    with pytest.raises(FalseComplaint) as caught:
        work.members[1].receive_evidence(Identifier(by), void)
    assert caught.value.culprits == (by,)
    assert verify_reshare_evidence(work.resharing, void).culprit == by


def test_reshare__complaint_about_a_share_nobody_signed__names_the_complainer() -> None:
    work = handover()
    work.run(until=Phase.SHARE)
    share = work.members[5]._heard[Phase.SHARE][Identifier(3)]
    forged = replace(share, body=share.body[:-1] + bytes([share.body[-1] ^ 1]))
    assert verify_reshare_evidence(work.resharing, false_complaint(work, 5, 3, share=forged)).culprit == 5


def test_reshare__wrong_certificate__names_the_liar_by_evidence() -> None:
    work = handover((1, 2, 5, 6), (1, 2, 4))

    def change(route: Route, data: bytes) -> bytes:
        body = Certificate.from_bytes(Signed.from_bytes(data).body)
        return resigned(work.resharing, data, replace(body, key_hash=bytes(32)).to_bytes())

    results = work.run(only(Phase.CERTIFICATE, change, to=(1, 4, 5, 6)))
    assert {type(error) for error in work.faults.values()} == {WrongCertificate}
    # Member 4 leaves and gets no share, and yet knows what is right.
    assert work.culprits() == dict.fromkeys((1, 4, 5, 6), (LIAR,))
    assert work.convicted() == {LIAR}
    assert set(results) <= {LIAR}


def test_reshare__certificate_or_share_out_of_place__is_malformed() -> None:
    work = handover((1, 2, 5, 6), (1, 2, 4))
    work.run(until=Phase.SHARE)
    certificate = Certificate.from_bytes(b"\x01" * 32 + bytes(32))
    cases = [
        (Phase.CERTIFICATE, 4, certificate.to_bytes()),  # who gets no share certifies nothing
        (Phase.CERTIFICATE, 2, replace(certificate, z=Scalar(1)).to_bytes()),
        (Phase.CERTIFICATE, 2, certificate.to_bytes() + bytes(96)),
        (
            Phase.SHARE,
            5,
            SealedShare(Identifier(1), bytes(32), bytes(48)).to_bytes(),
        ),  # who deals nothing gives no share
        (Phase.SHARE, 2, SealedShare(Identifier(4), bytes(32), bytes(48)).to_bytes()),  # nor gets one who leaves
        (Phase.READY, 2, bytes(68)),
    ]
    for phase, who, body in cases:
        proof = evidence(Kind.MALFORMED, said(work.resharing, phase, who, work.session, body))
        assert verify_reshare_evidence(work.resharing, proof).culprit == who, (phase, who)
    # What is right convicts nobody.
    for i in work.resharing.participants:
        for phase in (Phase.COMMIT, Phase.ECHO):
            sent = work.members[i].message(phase, Identifier(1)) or b""
            with pytest.raises(DecodeError):
                verify_reshare_evidence(work.resharing, evidence(Kind.MALFORMED, sent))


# ---- what nobody signed for this session


def test_reshare__another_sessions_messages__are_refused_in_each_phase() -> None:
    old, new = handover(), handover()
    old.run()
    for phase in (Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.CERTIFICATE):
        replayed = old.members[LIAR].message(phase, Identifier(5)) or b""
        with pytest.raises(NotSigned, match="another session"):
            handover_member(new, 5).receive(Identifier(LIAR), replayed)


def test_reshare__messages_of_an_earlier_revision_or_of_the_key_generation__are_refused() -> None:
    earlier = Handover.under(replace(resharing(old_shares()[1].public, NEW), revision=7), old_shares())
    work = handover()
    sent = earlier.members[LIAR].message(Phase.COMMIT, Identifier(5)) or b""
    with pytest.raises(NotSigned, match="nobody signed"):
        handover_member(work, 5).receive(Identifier(LIAR), sent)
    # Evidence from there convicts nobody here, nor there of what is right.
    with pytest.raises(DecodeError):
        verify_reshare_evidence(work.resharing, evidence(Kind.MALFORMED, sent))
    with pytest.raises(DecodeError):
        verify_evidence(members((1, 2, 3, 4)), evidence(Kind.MALFORMED, sent))


def handover_member(work: Handover, who: int) -> Resharer:
    """A fresh part in the same session: a fault ends the one that met it."""
    return Resharer(work.resharing, Identifier(who), work.session, identity(who)[0].sign, os.urandom)


def test_reshare__silent_dealer__is_waited_for_by_name_and_others_can_deal_instead() -> None:
    work = handover()
    work.run(lambda route, data: None if route[1] == LIAR else data, until=Phase.COMMIT)
    assert work.members[5].waiting_for == (LIAR,)
    again = new_shares(handover(NEW, (1, 3, 4)).run(lambda route, data: data))
    message = os.urandom(32)
    signed = signature([again[1], again[3], again[5]], message)
    assert verify(old_shares()[1].public.group_public_key, signed, message)


def test_reshare__polynomials_that_cancel_out__name_nobody_when_nobody_lied(monkeypatch: pytest.MonkeyPatch) -> None:
    work = handover()
    work.run(until=Phase.ECHO)

    def cancelled(*_: object) -> None:
        raise KeyMaterialError("They cancel out.")

    monkeypatch.setattr("bridges.frost.reshare.reshared_package", cancelled)
    work.exchange(Phase.SHARE)
    assert {type(error) for error in work.faults.values()} == {UnusableGroupKey}
