"""Which effects run next (oracle/node/lanes, rules 1 to 4): no place holds up another, no requester starves another, nothing is kept for ever."""

from oracle.node.lanes import AGING, Errand, Lane, Lanes, Turns
from oracle.pipeline import Check, Effect, Submit
from oracle.protocol.types import Digest

HERE, THERE = Lane("submit", "here"), Lane("submit", "there")


def effect(number: int) -> Effect:
    digest = Digest(number.to_bytes(32))
    return Submit(digest, digest)


def lanes(cap: int = 4, full: int = 256) -> Lanes:
    return Lanes(lambda _: cap, full)


def owe(made: Lanes, lane: Lane, numbers: range, requester: str = "one", fee: int = 0) -> list[Errand]:
    return [made.owe(Errand(effect(number), lane, requester, fee)) for number in numbers]


def numbers_of(errands: list[Errand]) -> list[int]:
    return [int.from_bytes(errand.effect.work_id) for errand in errands]


def test_lanes__place_that_never_answers__keeps_no_other_waiting() -> None:
    made = lanes(cap=4)
    owe(made, HERE, range(1000))
    hung = made.begin(0)
    owe(made, THERE, range(1000, 1003))
    assert len(hung) == 4
    assert numbers_of(made.begin(1)) == [1000, 1001, 1002]
    assert made.begin(10**9) == [], "what hangs keeps its own room only"


def test_lanes__one_requester__oldest_first() -> None:
    made = lanes(cap=2)
    owe(made, HERE, range(5))
    assert numbers_of(made.begin(0)) == [0, 1]


def test_lanes__a_thousand_of_one_and_one_of_another__take_turns() -> None:
    made = lanes(cap=4)
    owe(made, HERE, range(1000), "greedy")
    owe(made, HERE, range(1000, 1001), "modest")
    assert 1000 in numbers_of(made.begin(0))


def test_lanes__full__who_pays_more_goes_first_and_nobody_starves() -> None:
    made = lanes(cap=1, full=10)
    owe(made, HERE, range(1), "poor", fee=0)
    for number in range(1, 400):
        owe(made, HERE, range(number, number + 1), f"rich {number}", fee=number)
    order = []
    for time in range(400):
        (errand,) = made.begin(time)
        order += numbers_of([errand])
        made.cancel(errand.effect)
        made.ended(errand, time, failed=False)
    assert order[: AGING - 1] == [399, 398, 397]
    assert order.index(0) == AGING - 1, "each fourth turn is of who has waited longest"
    assert sorted(order) == list(range(400))


def test_lanes__full_of_one_rich_requester__the_other_is_served_within_an_aging_turn() -> None:
    made = lanes(cap=1, full=10)
    owe(made, HERE, range(1000), "rich", fee=9)
    owe(made, HERE, range(1000, 1001), "poor", fee=1)
    served = []
    for time in range(3 * AGING):
        (errand,) = made.begin(time)
        served += numbers_of([errand])
        made.cancel(errand.effect)
        made.ended(errand, time, failed=False)
    assert 1000 in served


def test_lanes__not_full__fees_do_not_matter() -> None:
    made = lanes(cap=1, full=10)
    owe(made, HERE, range(1), "poor")
    owe(made, HERE, range(1, 2), "rich", fee=9)
    assert numbers_of(made.begin(0)) == [0]


def test_lanes__what_always_fails__takes_half_of_a_lane_at_most() -> None:
    made = lanes(cap=4)
    for errand in owe(made, HERE, range(100)):
        errand.failures = 3
    for time in range(100):
        for errand in made.begin(time):
            made.ended(errand, time, failed=True)
    hung = made.begin(1000)
    assert len(hung) == 2
    owe(made, HERE, range(100, 110))
    assert numbers_of(made.begin(1001)) == [100, 101]


def test_lanes__failed__rests_and_is_tried_again() -> None:
    made = lanes()
    owe(made, HERE, range(1))
    (errand,) = made.begin(0)
    made.ended(errand, 5, failed=True)
    assert made.begin(4.9) == []
    assert made.begin(5) == [errand]
    assert errand.failures == 1


def test_lanes__success__lets_what_rests_after_failures_try_at_once() -> None:
    made = lanes(cap=8)
    errands = owe(made, HERE, range(6))
    for errand in made.begin(0):
        made.ended(errand, 1000, failed=True)
    owe(made, HERE, range(6, 7))
    (other,) = made.begin(1)
    made.ended(other, 1, failed=False)
    made.cancel(other.effect)
    assert made.begin(2) == errands[:2]


def test_lanes__no_longer_owed__is_forgotten() -> None:
    made = lanes(cap=1)
    errands = owe(made, HERE, range(3))
    assert made.begin(0) == errands[:1]
    made.cancel(errands[1].effect)
    made.cancel(errands[0].effect)
    assert made.running(errands[0].effect), "it is still under way"
    made.ended(errands[0], 0, failed=False)
    assert made.begin(1) == errands[2:]
    made.cancel(errands[2].effect)
    made.ended(errands[2], 9, failed=None)
    assert len(made) == 0
    assert made.waiting() == {HERE: 0}
    assert made.crowd(HERE) == 1


def test_lanes__owed_again_while_under_way__does_not_run_twice() -> None:
    made = lanes()
    (errand,) = owe(made, HERE, range(1))
    assert made.begin(0) == [errand]
    made.cancel(errand.effect)
    assert made.owe(Errand(errand.effect, HERE, "one")) is errand
    assert made.begin(1) == []
    made.ended(errand, 2, failed=None)
    assert made.begin(2) == [errand]


def test_lanes__coming_and_going_at_a_hung_place__memory_stays_that_of_what_is_owed() -> None:
    made = lanes(cap=2)
    owe(made, HERE, range(2))
    made.begin(0)
    for number in range(2, 20_000):
        owe(made, HERE, range(number, number + 1), f"requester {number}")
        made.cancel(effect(number))
    state = made._lanes[HERE]
    assert len(made) == 2
    assert len(state.new) == 0
    assert not state.new._queues
    for errand in owe(made, THERE, range(30_000, 30_002)):
        for time in range(1000):
            made.begin(time)
            made.ended(errand, time, failed=None)
    assert len(made._lanes[THERE].resting) < 200


def test_turns__iterated__every_requesters_first_before_anybodys_second() -> None:
    turns = Turns(256)
    for number in range(5):
        turns.add(Errand(effect(number), HERE, "greedy"))
    for number in range(5, 7):
        turns.add(Errand(effect(number), HERE, "modest"))
    assert numbers_of(list(turns)) == [0, 5, 1, 6, 2, 3, 4]
    assert effect(3) in turns
    assert Check(Digest(bytes(32)), Digest(bytes(32))) not in turns
