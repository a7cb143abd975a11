"""Attacks on nonces: many sessions at once (ROS, Drijvers), rogue commitments, one nonce for two sessions, and other forms of a signature."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import DecodeError, KeyMaterialError, NonceSpent, NotAuthorised
from bridges.frost.group import FIELD, ORDER, Point, Scalar, base_times, identifier, point_sum
from bridges.frost.keygen import GroupPublicKey, KeyShare, Origin, PublicKeyPackage, lagrange_coefficient
from bridges.frost.session import Signer, SignerLimits
from bridges.frost.signing import GroupSignature, NonceCommitment, SignatureShare
from tests.support.dealer import deal

COORDINATOR = 3
TRUE = hashlib.sha256(b"what the committee signs").digest()
FORGED = hashlib.sha256(b"what it never signs").digest()
SESSIONS = 256
"""One for each bit of a challenge: with as many, ROS is solved in polynomial time (Benhamouda et al. 2020)."""


@pytest.fixture(scope="module")
def shares() -> tuple[KeyShare, ...]:
    return deal(4, 3, os.urandom)


# ---- ROS


class Victim:
    """Member 1, honest, behind whatever scheme is attacked; the attacker coordinates and holds the shares of 2 and 3."""

    def __init__(self, shares: tuple[KeyShare, ...]) -> None:
        self.shares = shares
        self.public = shares[0].public
        self.signers = tuple(identifier(i) for i in (1, 2, 3))
        # Only the attacker's arithmetic uses these: what he knows of the key, and the victim's part of it as a point.
        self.own = sum(
            lagrange_coefficient(i, self.signers) * int.from_bytes(shares[i - 1].signing_share.reveal(), "big")
            for i in self.signers[1:]
        )
        victim = self.public.verifying_share(self.signers[0])
        self.part = victim.times(lagrange_coefficient(self.signers[0], self.signers))

    def lists(self, commitment: NonceCommitment) -> list[tuple[NonceCommitment, ...]]:
        """Two lists that differ in the attacker's nonces, and so in their challenges."""
        return [
            (commitment, *(signing.commit(share, os.urandom(64)).commitment for share in self.shares[1:3]))
            for _ in range(2)
        ]


def ros_forgery(
    victim: Victim,
    effective: list[list[Point]],
    challenges: list[list[int]],
    answers: Callable[[list[int]], list[int]],
) -> bytes:
    """The attack: a signature over FORGED out of SESSIONS answers over TRUE.

    `effective[i][b]` is the victim's nonce in session i if the attacker shows it list b, `challenges[i][b]` the challenge then, and
    `answers(bits)` the victim's shares when he shows it those lists. Weights 2^i / (c1 - c0) turn the choice of lists into the bits of a number,
    and that number into the challenge of the forgery.
    """
    group = victim.public.group_public_key
    weights = [(1 << i) * int(pow(c1 - c0, -1, ORDER)) % ORDER for i, (c0, c1) in enumerate(challenges)]
    constant = sum(w * c[0] for w, c in zip(weights, challenges, strict=True)) % ORDER
    terms = [nonce[0].times(Scalar(w)) for w, nonce in zip(weights, effective, strict=True)]
    r = point_sum([*terms, victim.part.times(Scalar(constant))])
    target = signing.challenge(r, group, FORGED)
    bits = [target >> i & 1 for i in range(SESSIONS)]
    given = answers(bits)
    z = sum(w * answer for w, answer in zip(weights, given, strict=True)) + target * victim.own
    return r.encoded + (z % ORDER).to_bytes(32, "big")


def test_ros__without_binding_factors__the_attack_forges(shares: tuple[KeyShare, ...]) -> None:
    """Control: the same attack on the same shares, where R is the plain sum of nonces. It must work, or the next test shows nothing."""
    victim, group = Victim(shares), shares[0].public.group_public_key
    nonces = [int.from_bytes(os.urandom(32), "big") % ORDER for _ in range(SESSIONS)]
    points = [base_times(Scalar(nonce)) for nonce in nonces]
    rogue = [[base_times(Scalar(int.from_bytes(os.urandom(31), "big") + 1)) for _ in range(2)] for _ in nonces]
    challenges = [
        [int(signing.challenge(point_sum([point, own]), group, TRUE)) for own in pair]
        for point, pair in zip(points, rogue, strict=True)
    ]
    secret = int.from_bytes(shares[0].signing_share.reveal(), "big")
    keyed = lagrange_coefficient(victim.signers[0], victim.signers) * secret

    def answers(bits: list[int]) -> list[int]:
        return [(d + keyed * c[b]) % ORDER for d, c, b in zip(nonces, challenges, bits, strict=True)]

    forged = ros_forgery(victim, [[point, point] for point in points], challenges, answers)
    assert signing.verify_encoded(group.to_bytes(), forged, FORGED)


async def test_ros__against_the_signer__forges_nothing(shares: tuple[KeyShare, ...]) -> None:
    """The victim is the real signer with as many sessions open at once. Binding factors make its nonce depend on the list it is shown."""

    async def authorise(_: bytes) -> bytes:
        return TRUE

    victim = Victim(shares)
    signer = Signer(shares[0], authorise, limits=SignerLimits(pending_per_peer=SESSIONS))
    ids = [i.to_bytes(16, "big") for i in range(SESSIONS)]
    opened = [await signer.commit(COORDINATOR, CommitRequest(session, b"context")) for session in ids]
    assert signer.pending == SESSIONS
    lists = [victim.lists(commitment) for commitment in opened]
    packages = [[signing.prepare(victim.public, TRUE, listed) for listed in pair] for pair in lists]
    effective = [
        [point_sum([c.hiding, c.binding.times(package.binding_factors[c.identifier])]) for package in pair]
        for c, pair in zip(opened, packages, strict=True)
    ]
    assert all(first != second for first, second in effective)
    given: list[SignatureShare] = []

    async def ask(bits: list[int]) -> None:
        for session, pair, bit in zip(ids, lists, bits, strict=True):
            given.append((await signer.sign(COORDINATOR, ShareRequest(session, pair[bit]))).share)

    asked: list[list[int]] = []

    def answers(bits: list[int]) -> list[int]:
        asked.append(bits)
        return [0] * SESSIONS

    challenges = [[int(package.challenge) for package in pair] for pair in packages]
    ros_forgery(victim, effective, challenges, answers)  # which lists to show follows from the challenge alone
    await ask(asked[0])
    assert all(
        signing.verify_share(pair[bit], share) for pair, bit, share in zip(packages, asked[0], given, strict=True)
    )
    forged = ros_forgery(victim, effective, challenges, lambda _: [int(share.z) for share in given])
    assert not signing.verify_encoded(victim.public.group_public_key.to_bytes(), forged, FORGED)
    # Nor may the attacker come back for the other list of any session.
    for session, pair, bit in zip(ids, lists, asked[0], strict=True):
        with pytest.raises(NonceSpent):
            await signer.sign(COORDINATOR, ShareRequest(session, pair[1 - bit]))
    signer.close()


def test_binding_factors__any_change_of_list_or_message__changes_every_one(shares: tuple[KeyShare, ...]) -> None:
    """What defeats ROS: no factor of a session can be kept while anything of the session is chosen."""
    public = shares[0].public
    listed = [signing.commit(share, os.urandom(64)).commitment for share in shares[:3]]
    before = signing.prepare(public, TRUE, listed).binding_factors
    fresh = signing.commit(shares[2], os.urandom(64)).commitment
    others = [
        signing.prepare(public, FORGED, listed),
        signing.prepare(public, TRUE, [*listed[:2], replace(listed[2], hiding=fresh.hiding)]),
        signing.prepare(public, TRUE, [*listed[:2], replace(listed[2], binding=fresh.binding)]),
        signing.prepare(public, TRUE, [*listed[:2], replace(listed[2], identifier=identifier(4))]),
        signing.prepare(public, TRUE, [*listed, signing.commit(shares[3], os.urandom(64)).commitment]),
    ]
    for package in others:
        for who in set(before) & set(package.binding_factors):
            assert package.binding_factors[who] != before[who]
    assert len(set(before.values())) == 3


# ---- rogue commitments


def test_rogue_commitment__cancels_the_others_nonces__its_maker_cannot_answer(shares: tuple[KeyShare, ...]) -> None:
    """Made after the others' commitments were seen, so that R would be the attacker's own nonce if R were a plain sum."""
    public = shares[0].public
    nonces = [signing.commit(share, os.urandom(64)) for share in shares[:2]]
    first, second = (n.commitment for n in nonces)
    own = Scalar(7)
    rogue = NonceCommitment(
        identifier(3),
        point_sum([base_times(own), first.hiding.negated(), second.hiding.negated()]),
        point_sum([first.binding, second.binding]).negated(),
    )
    package = signing.prepare(public, TRUE, [first, second, rogue])
    made = [signing.sign(share, n, package) for share, n in zip(shares[:2], nonces, strict=True)]
    keyed = package.coefficient(identifier(3)) * int.from_bytes(shares[2].signing_share.reveal(), "big")
    for guess in (own + keyed, own * package.binding_factors[identifier(3)] + keyed, keyed, -made[0].z - made[1].z):
        share = SignatureShare(identifier(3), Scalar(guess % ORDER))
        assert signing.find_culprits(package, [*made, share]) == (3,)


def test_rogue_commitment__our_own_turned_around__is_refused(shares: tuple[KeyShare, ...]) -> None:
    nonces = signing.commit(shares[0], os.urandom(64))
    own = nonces.commitment
    others = [signing.commit(share, os.urandom(64)).commitment for share in shares[1:3]]
    swapped = NonceCommitment(own.identifier, own.binding, own.hiding)
    package = signing.prepare(shares[0].public, TRUE, [swapped, *others])
    with pytest.raises(KeyMaterialError, match="did not make"):
        signing.sign(shares[0], nonces, package)


# ---- one nonce, two sessions


@pytest.mark.parametrize("change", ["list", "message", "nothing"])
async def test_signer__asked_twice_for_one_nonce__answers_once(shares: tuple[KeyShare, ...], change: str) -> None:
    """A coordinator that equivocates: two answers would be two equations in nonce and share."""
    says = [TRUE]

    async def authorise(_: bytes) -> bytes:
        return says[0]

    signer = Signer(shares[0], authorise)
    own = await signer.commit(COORDINATOR, CommitRequest(bytes(16), b"context"))

    def listed() -> tuple[NonceCommitment, ...]:
        return (own, *(signing.commit(share, os.urandom(64)).commitment for share in shares[1:3]))

    first = ShareRequest(bytes(16), listed(), b"another session!")
    assert isinstance(await signer.sign(COORDINATOR, first), ShareReply)
    again = replace(first, commitments=listed()) if change == "list" else first
    if change == "message":
        says[0] = FORGED
    with pytest.raises(NonceSpent):
        await signer.sign(COORDINATOR, again)
    # Nor do the nonces of the session that may follow serve for the old commitment.
    with pytest.raises((KeyMaterialError, NotAuthorised)):
        await signer.sign(COORDINATOR, ShareRequest(b"another session!", first.commitments))
    assert signer.pending == 0


async def test_signer__following_nonces__serve_the_same_context_and_coordinator_alone(
    shares: tuple[KeyShare, ...],
) -> None:
    asked: list[bytes] = []

    async def authorise(context: bytes) -> bytes:
        asked.append(context)
        return hashlib.sha256(context).digest()

    signer = Signer(shares[0], authorise)
    own = await signer.commit(COORDINATOR, CommitRequest(bytes(16), b"first context"))
    others = tuple(signing.commit(share, os.urandom(64)).commitment for share in shares[1:3])
    reply = await signer.sign(COORDINATOR, ShareRequest(bytes(16), (own, *others), b"the one to come!"))
    assert reply.following is not None
    request = ShareRequest(b"the one to come!", (reply.following, *others))
    with pytest.raises(NonceSpent):
        await signer.sign(COORDINATOR + 1, request)
    share = (await signer.sign(COORDINATOR, request)).share
    message = hashlib.sha256(b"first context").digest()
    assert signing.verify_share(signing.prepare(shares[0].public, message, request.commitments), share)
    assert asked == [b"first context"] * 3  # commitment, share, and again before the following nonces are used


async def test_signer__refused_share_request__makes_no_following_nonces(shares: tuple[KeyShare, ...]) -> None:
    async def authorise(_: bytes) -> bytes:
        return TRUE

    signer = Signer(shares[0], authorise)
    own = await signer.commit(COORDINATOR, CommitRequest(bytes(16), b"context"))
    for count in (1, 2):  # never a quorum; the second time the nonces are gone, too
        others = tuple(signing.commit(share, os.urandom(64)).commitment for share in shares[1:count])
        with pytest.raises((KeyMaterialError, NonceSpent)):
            await signer.sign(COORDINATOR, ShareRequest(bytes(16), (own, *others), b"the one to come!"))
        assert signer.pending == 0


async def test_signer__bound_reached__spares_are_wiped_before_what_is_waited_for(shares: tuple[KeyShare, ...]) -> None:
    async def authorise(_: bytes) -> bytes:
        return TRUE

    signer = Signer(shares[0], authorise, limits=SignerLimits(pending_per_peer=3))
    others = tuple(signing.commit(share, os.urandom(64)).commitment for share in shares[1:3])

    async def committed(number: int) -> ShareRequest:
        own = await signer.commit(COORDINATOR, CommitRequest(number.to_bytes(16, "big"), b"context"))
        return ShareRequest(number.to_bytes(16, "big"), (own, *others), (100 + number).to_bytes(16, "big"))

    live = await committed(0)
    for number in (1, 2):
        await signer.sign(COORDINATOR, await committed(number))
    assert signer.pending == 3  # one that is waited for, two spares
    newer = [await committed(number) for number in (3, 4)]
    assert signer.pending == 3
    for request in (live, *newer):
        assert isinstance(await signer.sign(COORDINATOR, request), ShareReply)
    signer.close()


async def test_signer__refusals__are_counted_by_coordinator_and_code(shares: tuple[KeyShare, ...]) -> None:
    async def authorise(context: bytes) -> bytes:
        if context == b"unknown":
            raise signing_refusal
        return TRUE

    signing_refusal = NotAuthorised("not reached")
    signer = Signer(shares[0], authorise)
    requests = [
        signer.answer_commit(2, CommitRequest(bytes(16), b"unknown").to_bytes()),
        signer.answer_commit(2, b"junk"),
        signer.answer_share(3, ShareRequest(bytes(16), (signing.commit(shares[0], bytes(64)).commitment,)).to_bytes()),
    ]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result) for result in results] == [NotAuthorised, DecodeError, NonceSpent]
    assert signer.counts.refused == {(2, "not_authorised"): 1, (2, "decode"): 1, (3, "nonce_spent"): 1}
    assert signer.counts.shares == 0


# ---- other forms of a signature


@pytest.fixture(scope="module")
def signature(shares: tuple[KeyShare, ...]) -> GroupSignature:
    nonces = [signing.commit(share, os.urandom(64)) for share in shares[:3]]
    package = signing.prepare(shares[0].public, TRUE, [n.commitment for n in nonces])
    made = [signing.sign(share, n, package) for share, n in zip(shares[:3], nonces, strict=True)]
    return signing.aggregate(package, made)


def variants(signature: GroupSignature, key: Point) -> dict[str, bytes]:
    r, z = signature.r, int(signature.z)
    x, y = r.coordinates()

    def scalar(value: int) -> bytes:
        return value.to_bytes(32, "big")

    made = {
        "R negated": r.negated().encoded + scalar(z),
        "z negated": r.encoded + scalar(ORDER - z),
        "both negated": r.negated().encoded + scalar(ORDER - z),
        "z and one": r.encoded + scalar((z + 1) % ORDER),
        "R and one, z and one": point_sum([r, base_times(Scalar(1))]).encoded + scalar((z + 1) % ORDER),
        "R and key": point_sum([r, key]).encoded + scalar(z),
        "zero z": r.encoded + bytes(32),
        "z = n": r.encoded + scalar(ORDER),
        "identity": bytes(33) + scalar(z),
        "R uncompressed": b"\x04" + scalar(x) + scalar(y) + scalar(z),
        "R hybrid": bytes([6 + y % 2]) + r.encoded[1:] + scalar(z),
        "R's x unreduced": b"\x02" + scalar(FIELD) + scalar(z),
        "R's x all ones": b"\x02" + b"\xff" * 32 + scalar(z),
        "too short": signature.to_bytes()[:-1],
        "trailing byte": signature.to_bytes() + b"\x00",
        "z first": scalar(z) + r.encoded,
    }
    if z + ORDER < 1 << 256:
        made["z not reduced"] = r.encoded + scalar(z + ORDER)
    return made


def test_verify__every_other_form_of_a_signature__is_refused(
    shares: tuple[KeyShare, ...], signature: GroupSignature
) -> None:
    key = shares[0].public.group_public_key
    assert signing.verify_encoded(key.to_bytes(), signature.to_bytes(), TRUE)
    for name, data in variants(signature, key.point).items():
        assert not signing.verify_encoded(key.to_bytes(), data, TRUE), name
    for other in (key.point.negated().encoded, bytes(33), b"\x05" + key.to_bytes()[1:], key.to_bytes() + b"\x00"):
        assert not signing.verify_encoded(other, signature.to_bytes(), TRUE)
    assert not signing.verify_encoded(key.to_bytes(), signature.to_bytes(), FORGED)


def x_at_or_above_the_order() -> Point:
    x = ORDER
    while True:
        try:
            return Point.from_bytes(b"\x02" + x.to_bytes(32, "big"))
        except DecodeError:
            x += 1
            assert x < FIELD


def test_group_key__x_at_or_above_the_order__is_refused_everywhere(
    shares: tuple[KeyShare, ...], signature: GroupSignature
) -> None:
    bad = x_at_or_above_the_order()
    with pytest.raises(DecodeError, match="below the group's order"):
        GroupPublicKey(bad)
    with pytest.raises(DecodeError):
        GroupPublicKey.from_bytes(bad.encoded)
    assert not signing.verify_encoded(bad.encoded, signature.to_bytes(), TRUE)
    assert GroupSignature(bad, signature.z).r == bad  # as R such a point is as good as any


def test_key_package__threshold_of_one_or_identity_sums__is_refused(shares: tuple[KeyShare, ...]) -> None:
    public = shares[0].public
    with pytest.raises(KeyMaterialError):
        PublicKeyPackage(public.group_public_key, 1, public.verifying_shares, Origin.DEALER)
    cancelling = {i: base_times(Scalar(5)) for i in public.participants}
    with pytest.raises(KeyMaterialError):
        PublicKeyPackage(public.group_public_key, 3, cancelling, Origin.DEALER)
