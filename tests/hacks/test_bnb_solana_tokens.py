"""BNB Chain's token hub, 6 October 2022, on the token road: a forged leaf rode along in a true Merkle proof.

What happened: the library that hashed an inner node left one of its children out, so that a proof could carry a leaf that its root did not
cover.

Why it fails here: a batch's root is computed from the digest of exactly the body that is delivered, and from every sibling; leaf and node have
prefixes of their own. A forged transfer under a true batch's signature needs a second preimage of Keccak. TOKENS.md §8; invariant 6.
"""

import itertools
from dataclasses import replace

import pytest

from bridges.solana.instructions import Envelope
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import CommitteeEpoch
from tests.hacks.road_solana import HELD, Road, road
from tests.hacks.world import GROUP


@pytest.fixture
def here() -> Road:
    return road()


def test_hack_bnb_solana_tokens__forged_transfer_under_a_true_batch__mints_nothing(here: Road) -> None:
    tokens = here.tokens
    batch = [tokens.transfer_in(here.wrapped, tokens.user, 1 + i) for i in range(4)]
    signature = GROUP.attest(*batch).signature
    leaves = [keccak256(b"\0", message.digest) for message in batch]
    nodes = [keccak256(b"\1", *sorted(pair)) for pair in (leaves[:2], leaves[2:])]
    root = keccak256(b"\1", *sorted(nodes))
    forged = here.transfer(here.wrapped, HELD * 1_000_000)
    known = [*leaves, *nodes, root, *(message.digest for message in batch), forged.digest, bytes(32)]
    before, tried = here.loot, 0
    for length in range(3):
        for branch in itertools.permutations(known, length):
            envelope = Envelope(CommitteeEpoch(1), signature, branch)
            if tried % 3 == 0 or length < 2:  # each third of the longest ones: every kind is among them
                assert tokens.bench.refused(tokens.bench.delivery(forged, envelope)) == "InvalidSignature"
            tried += 1
    assert tried > 100
    assert here.loot == before
    true = Envelope(CommitteeEpoch(1), signature, (leaves[1], nodes[1]))
    tokens.bench.accepted(tokens.bench.delivery(batch[0], true))  # control: the branch of a true leaf


def test_hack_bnb_solana_tokens__true_leaf_with_a_changed_body__mints_nothing(here: Road) -> None:
    tokens = here.tokens
    message, other = here.transfer(here.wrapped), here.transfer(here.wrapped, 7)
    envelope = tokens.bench.envelope(message, other)
    before = here.loot
    for at in range(0, len(message.payload), 16):
        payload = message.payload[:at] + bytes([message.payload[at] ^ 1]) + message.payload[at + 1 :]
        step = tokens.bench.delivery(replace(message, payload=payload), envelope)
        assert tokens.bench.refused(step) == "InvalidSignature"
    longer = replace(message, payload=message.payload + bytes(32))
    assert tokens.bench.refused(tokens.bench.delivery(longer, envelope)) == "InvalidSignature"
    assert here.loot == before
    tokens.bench.accepted(tokens.bench.delivery(message, envelope), here.redeem(here.wrapped, message))  # control


def test_hack_bnb_solana_tokens__inner_node_as_a_leaf__is_another_value(here: Road) -> None:
    """The batch's own node in the place of a digest: it would have to be the digest of a transfer."""
    tokens = here.tokens
    batch = [tokens.transfer_in(here.wrapped, tokens.user, 1 + i) for i in range(2)]
    signature = GROUP.attest(*batch).signature
    forged = here.transfer(here.wrapped, HELD)
    before = here.loot
    for branch in ((), (batch[0].digest,), (batch[1].digest, batch[0].digest), (bytes(32),) * 16):
        envelope = Envelope(CommitteeEpoch(1), signature, branch)
        assert tokens.bench.refused(tokens.bench.delivery(forged, envelope)) == "InvalidSignature"
    assert here.loot == before
