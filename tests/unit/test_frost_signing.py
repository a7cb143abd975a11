"""Keys and the two rounds, with the attacks that each must withstand."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations

import pytest

from bridges.frost import signing
from bridges.frost.errors import (
    DecodeError,
    InvalidSignature,
    KeyMaterialError,
    NonceSpent,
)
from bridges.frost.group import ORDER, Scalar, SecretScalar, base_times, identifier, point_sum
from bridges.frost.keygen import GroupPublicKey, KeyShare, Origin, PublicKeyPackage, lagrange_coefficient
from bridges.frost.signing import NonceCommitment, SignatureShare
from tests.support.dealer import deal, deal_secret

MESSAGE = bytes(range(32))


@pytest.fixture(scope="module")
def shares() -> tuple[KeyShare, ...]:
    return deal(4, 3, os.urandom)


def commit_all(chosen: list[KeyShare]) -> list[signing.SigningNonces]:
    return [signing.commit(share, os.urandom(64)) for share in chosen]


def run(chosen: list[KeyShare], message: bytes = MESSAGE) -> tuple[signing.SigningPackage, list[SignatureShare]]:
    nonces = commit_all(chosen)
    package = signing.prepare(chosen[0].public, message, [n.commitment for n in nonces])
    return package, [signing.sign(s, n, package) for s, n in zip(chosen, nonces, strict=True)]


# ---- keys


@pytest.mark.parametrize("quorum", [(3, 2), (4, 3), (7, 5)])
def test_deal__any_quorum__signs(quorum: tuple[int, int]) -> None:
    dealt = deal(*quorum, os.urandom)
    for chosen in list(combinations(dealt, quorum[1]))[:5]:
        package, made = run(list(chosen))
        assert signing.verify(dealt[0].public.group_public_key, signing.aggregate(package, made), MESSAGE)


def test_deal__any_key__is_marked_as_a_dealers(shares: tuple[KeyShare, ...]) -> None:
    assert all(share.public.origin is Origin.DEALER for share in shares)


@pytest.mark.parametrize(("n", "t"), [(4, 1), (4, 5), (1, 1), (0, 0), (1001, 3)])
def test_deal__impossible_threshold__is_refused(n: int, t: int) -> None:
    with pytest.raises(KeyMaterialError):
        deal(n, t, os.urandom)


def test_deal_secret__inputs__are_wiped() -> None:
    secret, coefficient = (SecretScalar(os.urandom(31).rjust(32, b"\x01")) for _ in range(2))
    deal_secret(secret, [coefficient], 3)
    assert secret.wiped
    assert coefficient.wiped


def test_deal__group_key_x_at_or_above_the_order__draws_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[int] = []
    honest = GroupPublicKey.__post_init__

    def refuse_once(self: GroupPublicKey) -> None:
        if not refused:
            refused.append(self.x)
            raise DecodeError("x is above the order")
        honest(self)

    # Such a key cannot be found (2^-128), so the refusal is made to happen.
    monkeypatch.setattr(GroupPublicKey, "__post_init__", refuse_once)
    dealt = deal(4, 3, os.urandom)
    assert refused
    assert dealt[0].public.group_public_key.x != refused[0]


def test_public_key_package__foreign_verifying_share__names_it(shares: tuple[KeyShare, ...]) -> None:
    public = shares[0].public
    forged = {**public.verifying_shares, identifier(4): base_times(Scalar(99))}
    with pytest.raises(KeyMaterialError) as caught:
        PublicKeyPackage(public.group_public_key, 3, forged, Origin.DEALER)
    assert caught.value.culprits == (4,)


def test_public_key_package__other_group_key__is_refused(shares: tuple[KeyShare, ...]) -> None:
    other = GroupPublicKey(base_times(Scalar(99)))
    with pytest.raises(KeyMaterialError):
        PublicKeyPackage(other, 3, shares[0].public.verifying_shares, Origin.DEALER)


def test_public_key_package__threshold_lowered__is_refused(shares: tuple[KeyShare, ...]) -> None:
    public = shares[0].public
    with pytest.raises(KeyMaterialError):
        PublicKeyPackage(public.group_public_key, 2, public.verifying_shares, Origin.DEALER)


def values_of(coefficients: list[int], participants: int) -> dict[int, int]:
    """f(0), f(1) ... of a polynomial, lowest degree first."""
    return {i: sum(c * pow(i, k, ORDER) for k, c in enumerate(coefficients)) % ORDER for i in range(participants + 1)}


def package_of(values: dict[int, int], threshold: int) -> PublicKeyPackage:
    group = GroupPublicKey(base_times(Scalar(values[0])))
    verifying = {identifier(i): base_times(Scalar(value)) for i, value in values.items() if i}
    return PublicKeyPackage(group, threshold, verifying, Origin.DKG)


def drawn(count: int) -> list[int]:
    return [int.from_bytes(os.urandom(40), "big") % ORDER for _ in range(count)]


SIZES = [(2, 2), (3, 2), (4, 4), (5, 4), (9, 7), (100, 67), (100, 100)]


@pytest.mark.parametrize(("n", "t"), SIZES)
def test_public_key_package__values_of_one_polynomial__is_taken(n: int, t: int) -> None:
    assert package_of(values_of(drawn(t), n), t).threshold == t


@pytest.mark.parametrize(("n", "t"), SIZES)
def test_public_key_package__any_one_value_off__is_refused(n: int, t: int) -> None:
    values = values_of(drawn(t), n)
    for off in range(n + 1) if n < 10 else (0, n):
        with pytest.raises(KeyMaterialError):
            package_of({**values, off: (values[off] + 1) % ORDER}, t)


@pytest.mark.parametrize(("n", "t"), [(3, 2), (5, 4), (9, 7), (31, 21)])
def test_public_key_package__degree_above_the_thresholds__is_refused(n: int, t: int) -> None:
    for degree in range(t, n + 1):
        with pytest.raises(KeyMaterialError):
            package_of(values_of(drawn(degree + 1), n), t)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_public_key_package__errors_aimed_at_a_known_dual_word__are_refused(power: int) -> None:
    """Two errors that cancel under the dual word of m = x^power: whoever could foresee the check's m would pass so."""
    n, t = 9, 6
    values = values_of(drawn(t), n)

    def weight(i: int) -> int:
        product = 1
        for j in range(n + 1):
            product = product * (i - j if j != i else 1) % ORDER
        return pow(i, power, ORDER) * pow(product, -1, ORDER) % ORDER

    first = drawn(1)[0]
    second = -first * weight(4) * pow(weight(8), -1, ORDER) % ORDER
    with pytest.raises(KeyMaterialError):
        package_of({**values, 4: (values[4] + first) % ORDER, 8: (values[8] + second) % ORDER}, t)


def test_key_share__of_another_participant__is_refused(shares: tuple[KeyShare, ...]) -> None:
    with pytest.raises(KeyMaterialError):
        KeyShare(identifier(2), shares[0].signing_share.copy(), shares[0].public)


def test_key_share__repr__hides_the_share(shares: tuple[KeyShare, ...]) -> None:
    assert shares[0].signing_share.reveal().hex() not in repr(shares[0])
    assert "signing_share" not in repr(shares[0])


def test_lagrange__duplicate_or_absent__is_refused() -> None:
    one, two = identifier(1), identifier(2)
    with pytest.raises(KeyMaterialError):
        lagrange_coefficient(one, [one, one, two])
    with pytest.raises(KeyMaterialError):
        lagrange_coefficient(one, [two])


# ---- the rounds


def test_sign__same_nonces_twice__is_refused(shares: tuple[KeyShare, ...]) -> None:
    chosen = list(shares[:3])
    nonces = commit_all(chosen)
    commitments = [n.commitment for n in nonces]
    signing.sign(chosen[0], nonces[0], signing.prepare(chosen[0].public, MESSAGE, commitments))
    other = signing.prepare(chosen[0].public, bytes(32), commitments)
    with pytest.raises(NonceSpent):
        signing.sign(chosen[0], nonces[0], other)


def test_sign__refused_package__still_spends_the_nonces(shares: tuple[KeyShare, ...]) -> None:
    chosen = list(shares[:3])
    nonces = commit_all(chosen)
    commitments = [n.commitment for n in nonces]
    foreign = [signing.commit(chosen[0], os.urandom(64)).commitment, *commitments[1:]]
    with pytest.raises(KeyMaterialError):
        signing.sign(chosen[0], nonces[0], signing.prepare(chosen[0].public, MESSAGE, foreign))
    with pytest.raises(NonceSpent):
        signing.sign(chosen[0], nonces[0], signing.prepare(chosen[0].public, MESSAGE, commitments))


def test_sign__afterwards__share_is_intact_and_nonces_are_wiped(shares: tuple[KeyShare, ...]) -> None:
    chosen = list(shares[:3])
    before = chosen[0].signing_share.reveal()
    nonces = commit_all(chosen)
    hiding, binding = nonces[0]._hiding, nonces[0]._binding
    signing.sign(chosen[0], nonces[0], signing.prepare(chosen[0].public, MESSAGE, [n.commitment for n in nonces]))
    assert hiding.wiped
    assert binding.wiped
    assert chosen[0].signing_share.reveal() == before


def test_nonces__repr__hides_them(shares: tuple[KeyShare, ...]) -> None:
    nonces = signing.commit(shares[0], os.urandom(64))
    assert nonces._hiding.reveal().hex() not in repr(nonces)


def test_commit__same_randomness_other_share__differs(shares: tuple[KeyShare, ...]) -> None:
    randomness = bytes(64)
    assert (
        signing.commit(shares[0], randomness).commitment.hiding
        != signing.commit(shares[1], randomness).commitment.hiding
    )


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_commit__wrong_amount_of_randomness__raises(shares: tuple[KeyShare, ...], size: int) -> None:
    with pytest.raises(ValueError, match="random bytes"):
        signing.commit(shares[0], bytes(size))


def test_prepare__fewer_than_the_quorum__is_refused(shares: tuple[KeyShare, ...]) -> None:
    commitments = [n.commitment for n in commit_all(list(shares[:2]))]
    with pytest.raises(KeyMaterialError):
        signing.prepare(shares[0].public, MESSAGE, commitments)


def test_prepare__stranger_or_duplicate__is_refused(shares: tuple[KeyShare, ...]) -> None:
    commitments = [n.commitment for n in commit_all(list(shares[:3]))]
    with pytest.raises(KeyMaterialError):
        signing.prepare(shares[0].public, MESSAGE, [*commitments, replace(commitments[0], identifier=identifier(9))])
    with pytest.raises(KeyMaterialError):
        signing.prepare(shares[0].public, MESSAGE, [*commitments, commitments[0]])


def test_prepare__rogue_commitment_that_cancels_the_others__never_gives_a_usable_r(
    shares: tuple[KeyShare, ...],
) -> None:
    """Without binding factors this makes R what the attacker wants; with them R is another point, or the sum is refused."""
    first, second = (signing.commit(share, os.urandom(64)).commitment for share in shares[:2])
    wanted = base_times(Scalar(7))
    rogue = NonceCommitment(
        identifier(3),
        point_sum([wanted, first.hiding.negated(), second.hiding.negated()]),
        point_sum([first.binding, second.binding]).negated(),
    )
    package = signing.prepare(shares[0].public, MESSAGE, [first, second, rogue])
    assert package.r != wanted


def test_aggregate__below_the_quorum_or_strangers__is_refused(shares: tuple[KeyShare, ...]) -> None:
    package, made = run(list(shares[:3]))
    for wrong in (made[:2], [*made, made[0]], [*made[:2], replace(made[2], identifier=identifier(4))]):
        with pytest.raises(KeyMaterialError):
            signing.aggregate(package, wrong)


def test_aggregate__two_of_three_shares_are_lies__both_are_named(shares: tuple[KeyShare, ...]) -> None:
    package, made = run(list(shares[:3]))
    lies = [made[0], replace(made[1], z=Scalar((made[1].z + 1) % ORDER)), replace(made[2], z=Scalar(0))]
    with pytest.raises(InvalidSignature):
        signing.aggregate(package, lies)
    assert signing.find_culprits(package, lies) == (2, 3)


def test_aggregate__errors_that_cancel_out__give_a_valid_signature(shares: tuple[KeyShare, ...]) -> None:
    package, made = run(list(shares[:3]))
    shifted = [
        replace(made[0], z=Scalar((made[0].z + 5) % ORDER)),
        replace(made[1], z=Scalar((made[1].z - 5) % ORDER)),
        made[2],
    ]
    assert signing.aggregate(package, shifted) == signing.aggregate(package, made)


def test_verify__other_message_length__is_false(shares: tuple[KeyShare, ...]) -> None:
    package, made = run(list(shares[:3]))
    signature = signing.aggregate(package, made)
    key = shares[0].public.group_public_key
    assert signing.verify(key, signature, MESSAGE)
    assert not signing.verify(key, signature, MESSAGE + b"\x00")
    assert not signing.verify(key, signature, b"")
