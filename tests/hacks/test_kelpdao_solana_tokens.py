"""KelpDAO on LayerZero, 18 April 2026, on the token road: tokens were released for a burn that never took place, on one verifier's word.

What happened: one verifier of one, whose RPC nodes lied to it, attested to a burn; every contract worked as specified.

Why it fails here: one member's word is one share of a signature, and makes none (the members' own refusal is in test_kelpdao_layerzero.py). What
a forged burn could release is never more than is locked, comes at a limited rate, and shows: after it, less is locked than is minted on the
other side, which is what every node watches (TOKENS.md §7). A member whose reading lapsed wrongly gives nothing back either.
"""

import pytest

from bridges.solana import tokens_governance as tg
from oracle.protocol.message import non_delivery_message
from tests.hacks.road_solana import BOOTY, HELD, Road, road
from tests.hacks.world import stolen

MEMBERS, QUORUM = 4, 3


@pytest.fixture
def here() -> Road:
    return road(governance_delay=0)


def test_hack_kelpdao_solana_tokens__burn_that_one_poisoned_member_saw__releases_nothing(here: Road) -> None:
    before, tried = here.loot, 0
    burn = here.transfer(here.native, HELD)
    for poisoned in stolen(MEMBERS, QUORUM):
        tried += here.refused_from((poisoned,), burn)
    assert tried > 4
    assert here.loot == before


def test_hack_kelpdao_solana_tokens__member_that_believes_a_transfer_lapsed__gives_nothing_back(here: Road) -> None:
    """Its endpoint of the destination hides the delivery: one member of four says so, and no notice comes of it."""
    sent = here.tokens.sent(here.native, BOOTY)
    before = here.loot
    for poisoned in stolen(MEMBERS, QUORUM)[:2]:
        assert here.refused_from((poisoned,), non_delivery_message(sent)) > 0
    assert here.loot == before


def test_hack_kelpdao_solana_tokens__what_a_forged_burn_releases__shows_in_the_counters(here: Road) -> None:
    """Signed by a quorum whose endpoints all lie, within the limit: the watch compares these very numbers."""
    tokens, minted_elsewhere = here.tokens, HELD
    tokens.limit(here.native, tg.Limits(inbound_capacity=50))
    forged = here.transfer(here.native, 50)
    tokens.deliver(forged)
    tokens.bench.accepted(here.redeem(here.native, forged))
    locked = tokens.token(tokens.address(here.native)).outstanding
    assert locked == HELD - 50 < minted_elsewhere
    more = here.transfer(here.native, 1)
    tokens.deliver(more)
    assert tokens.bench.refused(here.redeem(here.native, more)) == "OverLimit"
