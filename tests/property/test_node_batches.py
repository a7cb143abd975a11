"""Which works are signed together: the planning rules for any waiting works, and that nothing ever holds up the rest for good."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle.node.batches import MAX_SIZE, Batching, BatchLimits, Waiting, digests_of, plan
from oracle.protocol.hashing import keccak256, merkle_branch
from oracle.protocol.types import CommitteeEpoch, Digest

EPOCHS = (None, frozenset({CommitteeEpoch(1)}), frozenset({CommitteeEpoch(1), CommitteeEpoch(2)}))


def name(*parts: int) -> Digest:
    return Digest(keccak256(*(part.to_bytes(4) for part in parts)))


def work(number: int, digests: int = 1, depth: int = 16, company: int = MAX_SIZE, epochs: int = 0) -> Waiting:
    return Waiting(name(number), tuple(name(number, i) for i in range(digests)), depth, company, EPOCHS[epochs])


@st.composite
def queues(draw: st.DrawFn) -> list[Waiting]:
    shapes = draw(
        st.lists(
            st.tuples(
                st.integers(1, 5), st.integers(0, 16), st.sampled_from([1, 4, 16, 64, MAX_SIZE]), st.integers(0, 2)
            ),
            max_size=300,
        )
    )
    return [work(number, *shape) for number, shape in enumerate(shapes)]


sizes = st.sampled_from([1, 2, 7, 64, MAX_SIZE])


@given(queues(), sizes)
def test_plan__any_queue__puts_each_digest_into_exactly_one_batch(queue: list[Waiting], size: int) -> None:
    batches = plan(queue, size)
    assert sorted(digest for batch in batches for digest in digests_of(batch)) == sorted(digests_of(queue))
    assert all(batch for batch in batches)


@given(queues(), sizes)
def test_plan__any_queue__exceeds_no_bound_that_a_work_alone_does_not_exceed(queue: list[Waiting], size: int) -> None:
    for batch in plan(queue, size):
        if len(batch) == 1:
            continue
        assert len(digests_of(batch)) <= size
        assert len(batch) <= min(one.company for one in batch)
        assert len({one.epochs for one in batch}) == 1


@settings(max_examples=30)
@given(queues(), sizes)
def test_plan__any_queue__no_branch_is_longer_than_its_destination_carries(queue: list[Waiting], size: int) -> None:
    """By the branches that are really delivered, not by a formula."""
    for batch in plan(queue, size):
        leaves = digests_of(batch)
        for one in batch if len(batch) > 1 else ():
            for digest in one.digests:
                assert len(merkle_branch(leaves, leaves.index(digest))) <= one.depth


@given(queues(), sizes)
def test_plan__any_queue__is_in_the_order_of_waiting(queue: list[Waiting], size: int) -> None:
    position = {one.work_id: index for index, one in enumerate(queue)}
    batches = plan(queue, size)
    places = [[position[one.work_id] for one in batch] for batch in batches]
    assert all(inside == sorted(inside) for inside in places)
    assert [inside[0] for inside in places] == sorted(inside[0] for inside in places)
    # Of works with equal bounds none overtakes an older one.
    last: dict[tuple[int, int, object], int] = {}
    number = {one.work_id: index for index, batch in enumerate(batches) for one in batch}
    for one in queue:
        if len(one.digests) == 1:
            kind = (one.room(size), one.company, one.epochs)
            assert last.get(kind, 0) <= number[one.work_id]
            last[kind] = number[one.work_id]


def test_plan__narrow_destinations_among_many__do_not_make_all_batches_small() -> None:
    """A quarter goes where a branch may have three levels: those share signatures by eights, the others by 256."""
    queue = [work(number, depth=3 if number % 4 == 0 else 16) for number in range(1_000)]
    batches = plan(queue, MAX_SIZE)
    assert len(batches) == 3 + 32


def test_plan__a_few_of_several_kinds__share_one_signature() -> None:
    assert [len(batch) for batch in plan([work(1), work(2, depth=3), work(3, depth=2), work(4)], 64)] == [4]
    assert [len(batch) for batch in plan([work(1), work(2, epochs=1)], 64)] == [1, 1]


def test_plan__one_message__is_a_batch_of_one() -> None:
    only = work(1)
    assert plan([only], 64) == ((only,),)
    assert plan([], 64) == ()


@pytest.mark.parametrize("limits", [{"size": 0}, {"size": 257}, {"concurrent": 1}])
def test_limits__outside_their_bounds__are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="A batch has 1 to 256 digests"):
        BatchLimits(**limits)


# ---- when, and what follows a failure


def test_batching__nothing_is_being_signed__a_lone_work_goes_at_once() -> None:
    batching = Batching()
    assert batching.begin([work(1)], 10.0) == [(work(1),)]


def test_batching__something_is_being_signed__waits_for_company_but_not_longer_than_the_delay() -> None:
    batching = Batching(BatchLimits(delay=0.05))
    batching.begin([work(1)], 10.0)
    assert batching.begin([work(2)], 10.01) == []
    assert batching.begin([work(2), work(3)], 10.03) == []
    assert batching.begin([work(2), work(3), work(4)], 10.061) == [(work(2), work(3), work(4))]


def test_batching__signing_ends__what_waits_goes_at_once_and_together() -> None:
    batching = Batching(BatchLimits(delay=5.0))
    (first,) = batching.begin([work(1)], 10.0)
    assert batching.begin([work(2), work(3)], 10.01) == []
    batching.ended(first, 10.02, signed=True)
    assert batching.begin([work(2), work(3)], 10.02) == [(work(2), work(3))]


def test_batching__full_batch__goes_while_others_are_under_way() -> None:
    batching = Batching(BatchLimits(size=4, delay=5.0))
    batching.begin([work(1)], 10.0)
    full = [work(number) for number in range(2, 6)]
    assert batching.begin([*full, work(6)], 10.01) == [tuple(full)]


def test_batching__too_many_at_a_time__wait() -> None:
    batching = Batching(BatchLimits(size=1, concurrent=3))
    queue = [work(number) for number in range(10)]
    started = batching.begin(queue, 10.0)
    assert [batch[0] for batch in started] == queue[:3]
    assert batching.begin(queue[3:], 11.0) == []
    batching.ended(started[1], 11.0, signed=True)
    assert batching.begin(queue[3:], 11.0) == [(queue[3],)]


def test_batching__failures__halve_what_is_signed_at_a_time_and_successes_restore_it() -> None:
    batching = Batching(BatchLimits(size=1, concurrent=8))
    queue = [work(number) for number in range(100)]
    started = batching.begin(queue, 10.0)
    assert len(started) == 8
    for batch in started:
        batching.ended(batch, 11.0, signed=False)
    first = batching.begin(queue[8:], 12.0)
    assert len(first) == 2
    for batch in first:
        batching.ended(batch, 13.0, signed=True)
    assert len(batching.begin(queue[10:], 14.0)) == 4


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 150),
    st.sets(st.integers(0, 149), max_size=6),
    st.lists(st.integers(0, 30), min_size=150, max_size=150),
    st.integers(0, 5),
)
def test_batching__some_works_always_fail__all_others_are_signed_within_bounded_rounds(
    count: int, poisoned: set[int], arrivals: list[int], rest: int
) -> None:
    """Without livelock: whatever stands beside a message that other members have not reached gets its signature all the same."""
    batching = Batching(BatchLimits(size=64, delay=0.05))
    left = {number: work(number) for number in range(count)}
    attempts = dict.fromkeys(left, 0)
    numbers = {work(number).work_id: number for number in left}
    rests = dict.fromkeys(left, -1)
    last_arrival = max(arrivals[:count])
    for step in range(last_arrival + 120 * (1 + rest)):
        waiting = [
            Waiting(one.work_id, one.digests, one.depth, batching.company(one.work_id))
            for number, one in left.items()
            if arrivals[number] <= step and rests[number] < step
        ]
        resting = {one.work_id for number, one in left.items() if rests[number] >= step}
        for batch in batching.begin(waiting, step * 0.1, resting):
            members = [numbers[one.work_id] for one in batch]
            signed = not poisoned & set(members)
            batching.ended(batch, step * 0.1, signed=signed)
            for number in members:
                attempts[number] += 1
                rests[number] = step + rest
                if signed:
                    del left[number]
    assert set(left) == {number for number in poisoned if number < count}
    # 64, 16, 4, 1: a work fails in company four times at most, unless it comes to stand beside another that fails.
    assert all(attempts[number] <= 8 for number in range(count) if number not in poisoned)
