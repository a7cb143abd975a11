"""Multichain, 6 July 2023, on the token road: all shares of the key ran on one person's servers.

What happened: the committee was one operator under many names. When he was gone nothing moved, and whoever had his machines had everything.

Why it fails here: a rotation says who operates each member, and no operator may run so many that it could stop the committee alone (so two
together are no quorum either, where four members have four operators). A new key must be proven to be held, counts after a delay, and governance
can veto it. One operator's share moves no token. What code cannot see is who stands behind a number. PROTOCOL.md §3.
"""

from dataclasses import replace

import pytest

from bridges.solana import instructions
from oracle.protocol import constants as c
from oracle.protocol.types import CommitteeEpoch, Sequence
from tests.hacks.road_solana import HELD, Road, road
from tests.hacks.world import stolen
from tests.support import solana_program as sp
from tests.support.schnorr import SchnorrKey

THIEF = SchnorrKey.seeded("multichain thief")


@pytest.fixture
def here() -> Road:
    return road()


def test_hack_multichain_solana_tokens__one_operators_share__moves_nothing(here: Road) -> None:
    before, tried = here.loot, 0
    for one in stolen(4, 3):
        tried += here.refused_from((one,), here.transfer(here.wrapped, HELD))
    assert tried > 4
    assert here.loot == before


@pytest.mark.parametrize(
    "operators",
    [bytes(4), bytes((0, 0, 1, 2)), bytes((1, 2, 1, 3)), bytes((9, 8, 7, 7)), bytes(7), bytes((0, 0, 0, 1, 2, 3, 4))],
)
def test_hack_multichain_solana__rotation_to_one_operator_under_many_names__refused(
    here: Road, operators: bytes
) -> None:
    bench = here.tokens.bench
    good = bench.rotation(THIEF, sequence=90, members=len(operators), operators=bytes(range(len(operators))))
    at = c.ROTATION_SIZE
    heavy = replace(good, payload=good.payload[:at] + operators + good.payload[at + len(operators) :])
    assert bench.refused(bench.delivery(heavy)) == "OperatorTooHeavy"
    assert bench.config().current_epoch == 1
    bench.accepted(bench.delivery(good))  # control


def test_hack_multichain_solana__key_that_the_new_committee_does_not_hold__strands_nobody(here: Road) -> None:
    """A key that nobody can sign with would lock everything for good, as the arrest did."""
    bench = here.tokens.bench
    good = bench.rotation(THIEF, sequence=91)
    other = SchnorrKey.seeded("somebody else")
    at = c.ROTATION_GROUP_KEY_X_OFFSET
    key = other.px.to_bytes(32)
    lost = replace(good, payload=good.payload[:at] + key + good.payload[at + 32 :])
    bench.accepted(bench.delivery(lost))
    assert bench.refused(bench.rotate(lost)) == "InvalidSignature"
    assert bench.config().current_epoch == 1
    bench.accepted(bench.delivery(here.transfer(here.wrapped)))  # the old committee goes on


def test_hack_multichain_solana_tokens__key_of_the_thief__counts_late_and_can_be_stopped(here: Road) -> None:
    bench = here.tokens.bench
    rotation = bench.rotation(THIEF, sequence=92)
    bench.accepted(bench.delivery(rotation), bench.rotate(rotation))
    message = here.transfer(here.wrapped, HELD)
    before = here.loot[:-2]
    by_thief = bench.delivery(message, bench.envelope(message, key=THIEF, epoch=2))
    assert bench.refused(by_thief) == "PendingEpoch"
    veto = instructions.veto(bench.at, bench.authority.pubkey(), CommitteeEpoch(2), bench.user.pubkey())
    bench.accepted(veto, signers=(bench.authority,))
    bench.set_time(sp.NOW + sp.ACTIVATION_DELAY)
    assert bench.refused(by_thief) == "WrongOwner"
    assert here.loot[:-2] == before
    again = replace(rotation, sequence=Sequence(93))  # control: had nobody said no, it would count
    bench.accepted(bench.delivery(again), bench.rotate(again))
    bench.set_time(sp.NOW + 2 * sp.ACTIVATION_DELAY)
    bench.accepted(by_thief, here.redeem(here.wrapped, message))
