"""Ronin, 23 March 2022, on the token road: two withdrawals with five of nine keys, noticed six days later.

What happened: whoever had the keys of one company and one that had been lent to it had a quorum, and nothing compared what left with what had
come in.

Why it fails here: two of four shares are no signature, for a transfer as for anything else. And were there a quorum in one hand: what comes in
at once is bounded by a rate limit, the rest waits in a queue that the guardian stops, and every node sees the shortfall of locked against minted
and signs nothing more of this token (TOKENS.md §4, §7). A refund must be proven by the message that was sent.
"""

import itertools

import pytest

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import QueuedAccount
from oracle.protocol.message import non_delivery_message
from tests.hacks.road_solana import HELD, Road, road
from tests.hacks.world import GROUP, interpolated, secret_of, stolen
from tests.support import solana_program as sp
from tests.support import solana_tokens as st

MEMBERS, QUORUM = 4, 3
LIMIT = 100


@pytest.fixture
def here() -> Road:
    return road(governance_delay=0)


@pytest.mark.parametrize("what", ["mint", "release", "refund"])
def test_hack_ronin_solana_tokens__two_of_four_shares__move_nothing(here: Road, what: str) -> None:
    message = here.transfer(here.wrapped if what == "mint" else here.native, HELD)
    if what == "refund":
        message = non_delivery_message(here.tokens.sent(here.native, HELD))
    before, tried = here.loot, 0
    for some in itertools.combinations(stolen(MEMBERS, QUORUM), QUORUM - 1):
        tried += here.refused_from(some, message)
    assert tried > 30
    assert here.loot == before
    honest = interpolated([(int(one.identifier), secret_of(one)) for one in stolen(MEMBERS, QUORUM)[:QUORUM]])
    assert honest == GROUP.secret
    here.tokens.bench.accepted(here.tokens.bench.delivery(message))  # control: with a quorum it is taken


def test_hack_ronin_solana_tokens__quorum_in_one_hand__gets_what_the_limit_lets_through_and_no_more(here: Road) -> None:
    """The worst case, which no bridge can exclude: signed forgeries. They are slow, seen and stopped."""
    tokens, bench = here.tokens, here.tokens.bench
    tokens.limit(here.native, tg.Limits(inbound_capacity=LIMIT))
    paid, queued = 0, []
    for amount in (60, 60, 900):
        message = here.transfer(here.native, amount)
        delivered = tokens.deliver(message)
        if amount <= LIMIT - paid:
            bench.accepted(here.redeem(here.native, message))
            paid += amount
            continue
        assert bench.refused(here.redeem(here.native, message)) == "OverLimit"
        bench.accepted(ti.enqueue(tokens.at, tokens.user, here.native, delivered))
        address = tokens.at.tokens.queued(message.digest).address
        queued.append(QueuedAccount.decode(bench.data(address), tokens.at.tokens.program))
    assert tokens.held(here.thief.pubkey(), here.native) == paid == 60
    # Whoever watches has the delay to act; the guardian needs nobody's leave.
    pause = tg.pause(tokens.at, tokens.guardian.pubkey(), tokens.address(here.native))
    bench.accepted(pause, signers=(tokens.guardian,))
    bench.set_time(sp.NOW + 10 * st.QUEUE_DELAY)
    for one in queued:
        step = ti.release(tokens.at, tokens.user, here.native, one, create=False)
        assert bench.refused(step) == "Paused"
    assert tokens.held(here.thief.pubkey(), here.native) == 60
    # And never more than is locked, whatever is signed.
    tokens.pause(here.native, paused=False)
    tokens.limit(here.native, tg.Limits())
    greedy = here.transfer(here.native, HELD)
    tokens.deliver(greedy)
    assert bench.refused(here.redeem(here.native, greedy)) == "InsufficientLocked"
