"""Nodes of the committee in a thief's hands, on the in-process network of `tests.support.network`.

A taken node keeps its share, its place and its wires; only its judgement is gone: it signs whatever it is asked to, and asks the others likewise.
"""

from collections.abc import Iterable

from bridges.frost.session import CoordinatorLimits
from oracle.app.committee import FrostCommittee
from oracle.node.gossip import decode_digests
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import CommitteeEpoch
from tests.support.network import Network, Wire

LIMITS = CoordinatorLimits(attempts=2, round_seconds=1.0, total_seconds=5.0)


async def sign_anything(context: bytes) -> bytes:
    """What a taken node answers when it is asked whether to sign."""
    return batch_signing_hash(decode_digests(context))


def take_over(network: Network, identifiers: Iterable[int]) -> dict[int, FrostCommittee]:
    """Exchange the judgement of running members; each can now also coordinate for the thief."""
    taken = {}
    for identifier in identifiers:
        member = network.members[identifier]
        assert member.committee is not None
        wires = {other: Wire(network, identifier, other) for other in network.members if other != identifier}
        taken[identifier] = FrostCommittee(member.share, CommitteeEpoch(1), wires, sign_anything, LIMITS)
        member.committee.close()
        member.committee = taken[identifier]
    return taken


def counted(network: Network, identifier: int, metric: str, **labels: str) -> float:
    """One of a member's metrics, as its operator would see it; 0 when it was never counted."""
    value = network.members[identifier].running.metrics.registry.get_sample_value(f"sibyl_{metric}_total", labels)
    return value or 0.0
