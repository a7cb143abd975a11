"""Rules of the protocol that hold for all numbers: Merkle batches, quorum, order of duty, fixed point and field."""

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from oracle.protocol.encoding import FIELD_MODULUS, INT64_MAX, dequantise, from_field, quantise, to_field
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.hashing import batch_signing_hash, branch_signing_hash, keccak256, merkle_branch
from oracle.protocol.quorum import duty_order, quorum
from oracle.protocol.types import Digest
from tests.support.strategies import PATIENT, digests, int64, scales, words

batches = st.lists(digests, min_size=1, max_size=40, unique=True)
floats = st.floats(allow_nan=False, allow_infinity=False)


# ---- batches ----


@PATIENT
@given(batches)
def test_batch__every_branch__leads_to_the_signed_value(batch: list[Digest]) -> None:
    signed = batch_signing_hash(batch)
    for index, digest in enumerate(batch):
        branch = merkle_branch(batch, index)
        assert len(branch) <= math.ceil(math.log2(len(batch))) if len(batch) > 1 else not branch
        assert branch_signing_hash(digest, branch) == signed


@PATIENT
@given(batches, st.data())
def test_batch__altered_branch_or_stranger__leads_elsewhere(batch: list[Digest], data: st.DataObject) -> None:
    signed = batch_signing_hash(batch)
    index = data.draw(st.integers(0, len(batch) - 1))
    branch = list(merkle_branch(batch, index))
    stranger = data.draw(digests.filter(lambda digest: digest not in batch))
    assert branch_signing_hash(stranger, branch) != signed
    assert branch_signing_hash(batch[index], [*branch, data.draw(words)]) != signed
    if branch:
        place = data.draw(st.integers(0, len(branch) - 1))
        other = data.draw(words.filter(lambda word: word != branch[place]))
        assert branch_signing_hash(batch[index], [*branch[:place], other, *branch[place + 1 :]]) != signed
        assert branch_signing_hash(batch[index], branch[:-1]) != signed


@PATIENT
@given(batches)
def test_batch__inner_node_as_leaf__leads_elsewhere(batch: list[Digest]) -> None:
    """A node of the tree cannot be passed off as a digest: leaves and nodes are hashed under different prefixes."""
    assume(len(batch) > 1)
    leaves = sorted(keccak256(b"\0", digest) for digest in batch[:2])
    parent = Digest(keccak256(b"\1", *leaves))
    assert branch_signing_hash(parent, merkle_branch(batch, 0)[1:]) != batch_signing_hash(batch)


@PATIENT
@given(batches, batches)
def test_batch__two_batches__are_signed_as_one_only_when_they_hold_the_same(
    one: list[Digest], other: list[Digest]
) -> None:
    if set(one) != set(other):
        assert batch_signing_hash(one) != batch_signing_hash(other)


@PATIENT
@given(digests, st.lists(st.binary(max_size=40), max_size=20))
def test_branch__any_nodes__a_word_or_a_decode_error(digest: Digest, branch: list[bytes]) -> None:
    try:
        assert len(branch_signing_hash(digest, branch)) == 32
    except DecodeError:
        assert len(branch) > 16 or any(len(node) != 32 for node in branch)


# ---- committee ----


@given(st.integers(1, 100_000))
def test_quorum__any_size__two_meet_in_more_than_a_third_and_a_third_may_be_away(members: int) -> None:
    needed = quorum(members)
    assert needed <= members
    overlap = 2 * needed - members
    assert 3 * overlap > members, "fewer than a third of liars cannot make two quorums sign contradictions"
    assert members - needed >= (members - 1) // 3, "fewer than a third that are silent cannot stop it"
    assert 3 * (needed - 1) <= 2 * members, "no more are asked for than that takes"


@pytest.mark.parametrize("members", range(1, 8))
def test_quorum__every_pair_of_small_quorums__meets_in_more_than_a_third(members: int) -> None:
    quorums = [set(chosen) for chosen in combinations(range(members), quorum(members))]
    assert all(3 * len(one & other) > members for one in quorums for other in quorums)


committees = st.lists(st.integers(1, 65_535), min_size=1, max_size=30, unique=True).map(tuple)


@PATIENT
@given(committees, digests, st.sampled_from(["prove", "sign", "submit"]), st.randoms(use_true_random=False))
def test_duty_order__any_committee__is_one_permutation_for_everyone(
    members: tuple[int, ...], digest: Digest, duty: str, random: object
) -> None:
    order = duty_order(members, digest, duty)
    assert sorted(order) == sorted(members)
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    assert duty_order(tuple(shuffled), digest, duty) == order, "the order in which members are listed does not matter"


@PATIENT
@given(committees, digests, st.data())
def test_duty_order__member_leaves__the_others_keep_their_order(
    members: tuple[int, ...], digest: Digest, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(members))
    rest = tuple(member for member in members if member != gone)
    expected = tuple(member for member in duty_order(members, digest, "prove") if member != gone)
    assert duty_order(rest, digest, "prove") == expected


@pytest.mark.parametrize("size", [4, 7])
def test_duty_order__many_messages__the_first_turn_falls_on_all_alike(size: int) -> None:
    members = tuple(range(1, size + 1))
    messages = [Digest(keccak256(b"fair", number.to_bytes(4))) for number in range(3000)]
    turns = Counter(duty_order(members, digest, "prove")[0] for digest in messages)
    fair = len(messages) / size
    assert all(abs(turns[member] - fair) < 6 * math.sqrt(fair) for member in members), turns
    same = sum(
        duty_order(members, digest, "prove")[0] == duty_order(members, digest, "submit")[0] for digest in messages
    )
    assert abs(same - fair) < 6 * math.sqrt(fair), "duties are drawn independently"


# ---- numbers ----


def nearest(value: float, scale: int) -> int:
    """Half away from zero, in exact arithmetic."""
    scaled = abs(Fraction(value)) * (1 << scale)
    whole = math.floor(scaled + Fraction(1, 2))
    return -whole if value < 0 else whole


@PATIENT
@given(st.one_of(floats, st.floats(-1e6, 1e6), st.integers(-(10**9), 10**9).map(lambda n: n / 2)), scales)
def test_quantise__any_float__is_the_nearest_or_refused(value: float, scale: int) -> None:
    expected = nearest(value, scale)
    if abs(expected) > INT64_MAX:
        with pytest.raises(EncodeError):
            quantise([value], scale)
    else:
        assert quantise([value], scale) == (expected,)


@PATIENT
@given(st.floats(-1e9, 1e9), st.integers(0, 1 << 40), scales)
def test_quantise__any_bound__nothing_beyond_it_gets_through(value: float, bound: int, scale: int) -> None:
    expected = nearest(value, scale)
    if abs(expected) > bound:
        with pytest.raises(EncodeError, match="outside the model's range"):
            quantise([value], scale, bound=bound)
    else:
        assert quantise([value], scale, bound=bound) == (expected,)


@PATIENT
@given(st.floats(-1e9, 1e9), scales)
def test_quantise__minus__is_symmetrical_and_within_half_a_step(value: float, scale: int) -> None:
    (quantised,) = quantise([value], scale)
    assert quantise([-value], scale) == (-quantised,)
    (back,) = dequantise((quantised,), scale)
    assert abs(Fraction(back) - Fraction(value)) <= Fraction(1, 2 ** (scale + 1))


@PATIENT
@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), scales)
def test_quantise__order__is_kept(one: float, other: float, scale: int) -> None:
    first, second = quantise(sorted((one, other)), scale)
    assert first <= second


@PATIENT
@given(st.integers(-(1 << 53), 1 << 53), scales)
def test_quantise__what_fixed_point_can_say__goes_round(value: int, scale: int) -> None:
    assert quantise(dequantise((value,), scale), scale) == (value,)


@PATIENT
@given(int64)
def test_field__any_int64__goes_round(value: int) -> None:
    element = to_field(value)
    assert 0 <= element < FIELD_MODULUS
    assert from_field(element) == value


@PATIENT
@given(st.integers(0, FIELD_MODULUS - 1))
def test_field__any_element__goes_round(element: int) -> None:
    assert to_field(from_field(element)) == element
