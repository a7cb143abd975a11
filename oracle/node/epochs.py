"""Signatures and the committee epochs that destinations take: what to do when the two do not fit (PROTOCOL.md §3 "Rotation").

A signature whose epoch has ended wherever a message of the work still has to go is given up, and the work is signed again: nothing that was
signed under the old key and came too late is stranded. What a node knows of the destinations may be old, so a signature of an epoch newer
than those it knows of is kept and tried: the destination decides. Nothing is given up while it is not known what the destinations take.
"""

from typing import TYPE_CHECKING

import structlog

from oracle.errors import NotAuthorised
from oracle.pipeline import Outdated, Work
from oracle.ports import GroupAttestation
from oracle.protocol.types import CommitteeEpoch, Digest

if TYPE_CHECKING:
    from oracle.node.core import Node

log = structlog.get_logger("sibyl.node")


def epochs_taken(node: "Node", work: Work) -> list[frozenset[CommitteeEpoch]] | None:
    """The epochs that each destination takes which still lacks a message of the work; None when that is not known of all of them."""
    waiting = [work.deliverables[digest] for digest in work.to_sign if digest not in work.delivered]
    known = [epochs for message in waiting if (epochs := node.ports.accepted(message.destination))]
    return known if known and len(known) == len(waiting) else None


def has_ended(node: "Node", work: Work, epoch: CommitteeEpoch) -> bool:
    """Whether every destination that still lacks a message of the work takes newer epochs only."""
    taken = epochs_taken(node, work)
    return taken is not None and all(epoch < min(epochs) for epochs in taken)


async def renounce(node: "Node", work: Work) -> None:
    """Give the work's signature up; it is signed again."""
    if work.attestation is not None:
        log.info("signature outdated", request=work.message.digest.hex()[:16], epoch=work.attestation.epoch)
        await node.record(Outdated(work.message.digest, work.attestation.epoch, node.clock()))


async def may_submit(node: "Node", work: Work, digest: Digest) -> bool:
    """Whether the destination of this message may take the work's signature. One that has ended everywhere is given up."""
    attestation = work.attestation
    if digest not in work.to_sign or attestation is None:
        return True
    taken = node.ports.accepted(work.deliverables[digest].destination)
    if not taken or attestation.epoch >= min(taken):
        return True
    if has_ended(node, work, attestation.epoch):
        await renounce(node, work)
    return False


async def make_room(node: "Node", work: Work, attestation: GroupAttestation) -> None:
    """Before a signature is kept: an older one gives way. Raises NotAuthorised for one whose epoch has ended wherever it would go."""
    if has_ended(node, work, attestation.epoch):
        # Who sends an old signature again and again must not keep this node from asking for a new one.
        raise NotAuthorised(f"The signature is of epoch {attestation.epoch}, which has ended where it would go.")
    if work.attestation is not None and work.attestation.epoch < attestation.epoch:
        await renounce(node, work)
