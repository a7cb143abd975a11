"""Harmony's Horizon bridge, 23 June 2022, on the token road: two of five keys released the funds.

What happened: the threshold was two, whatever the number of members.

Why it fails here: of five members four must sign, and no rotation can bring less: the program computes the least threshold from the number of
members, and refuses a committee under MIN_MEMBERS. Two and three of five shares make nothing that moves a token, and nothing that changes the
key. PROTOCOL.md §3.
"""

import itertools
from dataclasses import replace

import pytest

from oracle.protocol import constants as c
from oracle.protocol.quorum import quorum
from tests.hacks.road_solana import HELD, Road, road
from tests.hacks.world import stolen
from tests.support.schnorr import SchnorrKey

MEMBERS = 5
QUORUM = quorum(MEMBERS)
THIEF = SchnorrKey.seeded("harmony thief")


@pytest.fixture
def here() -> Road:
    return road()


@pytest.mark.parametrize("size", [2, 3])
def test_hack_harmony_solana_tokens__two_or_three_of_five_shares__move_nothing(here: Road, size: int) -> None:
    before, shares, tried = here.loot, stolen(MEMBERS, QUORUM), 0
    rotation = here.tokens.bench.rotation(THIEF, sequence=80)
    for message in (here.transfer(here.wrapped, HELD), here.transfer(here.native, HELD), rotation):
        for some in itertools.islice(itertools.combinations(shares, size), 3):
            tried += here.refused_from(some, message)
    assert tried > 60
    assert here.loot == before


@pytest.mark.parametrize(("members", "least"), [(4, 3), (5, 4), (7, 5), (9, 7), (19, 13), (100, 67), (256, 171)])
def test_hack_harmony_solana__rotation_to_a_smaller_quorum__refused(here: Road, members: int, least: int) -> None:
    """Signed by the true committee, as after a quarrel or a break-in: the program has the last word."""
    bench = here.tokens.bench
    assert quorum(members) == least
    good = bench.rotation(THIEF, sequence=81, members=members, operators=bytes(i % 128 for i in range(members)))
    for threshold in (0, 1, 2, least - 1, members + 1):
        at = c.ROTATION_THRESHOLD_OFFSET
        payload = good.payload[:at] + threshold.to_bytes(2) + good.payload[at + 2 :]
        assert bench.refused(bench.delivery(replace(good, payload=payload))) == "InvalidRotation"
    assert bench.config().current_epoch == 1
    bench.accepted(bench.delivery(good))  # control
