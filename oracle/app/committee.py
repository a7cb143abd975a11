"""This member's way to the committee: FROST behind the `SigningCommittee` port.

The signer never signs a value that a coordinator gives; it signs what the node's own pipeline makes of the digests (PROTOCOL.md §2).
"""

from collections.abc import Mapping, Sequence

from bridges.frost.keygen import KeyShare
from bridges.frost.session import Authorise, CoordinatorLimits, Signer, SigningCoordinator
from bridges.frost.signer_port import SignerPort
from bridges.frost.signing import verify_encoded
from bridges.frost.transport import PeerCaller
from oracle.errors import NotAuthorised
from oracle.node.gossip import decode_digests, encode_digests
from oracle.pipeline import Pipeline
from oracle.ports import GroupAttestation
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import CommitteeEpoch, Digest


def signed_bodies(pipeline: Pipeline, context: bytes) -> tuple[bytes, ...]:
    """The bodies that a context's digests name, as this node's own pipeline has them. Raises NotAuthorised, DecodeError."""
    bodies = []
    for digest in decode_digests(context):
        work = pipeline.owner(digest)
        message = None if work is None else work.deliverables.get(digest)
        if message is None:
            raise NotAuthorised(f"This node has not reached a message with digest 0x{digest.hex()[:16]}….")
        bodies.append(message.to_bytes())
    return tuple(bodies)


class FrostCommittee:
    """Coordinates signatures over batches, and checks those of others. `signer` answers other coordinators."""

    def __init__(
        self,
        share: KeyShare,
        epoch: CommitteeEpoch,
        peers: Mapping[int, PeerCaller],
        authorise: Authorise,
        limits: CoordinatorLimits | None = None,
    ) -> None:
        """With the share in this process. `with_signer` takes one that is elsewhere."""
        self._begin(Signer(share, authorise), epoch, peers, limits)

    @classmethod
    def with_signer(
        cls,
        signer: SignerPort,
        epoch: CommitteeEpoch,
        peers: Mapping[int, PeerCaller],
        limits: CoordinatorLimits | None = None,
    ) -> "FrostCommittee":
        """Over any signer; which bytes it signs for a context is its own matter."""
        committee = cls.__new__(cls)
        committee._begin(signer, epoch, peers, limits)
        return committee

    def _begin(
        self,
        signer: SignerPort,
        epoch: CommitteeEpoch,
        peers: Mapping[int, PeerCaller],
        limits: CoordinatorLimits | None,
    ) -> None:
        self.signer = signer
        self._coordinator = SigningCoordinator(signer, peers, limits=limits)
        self._epoch = epoch
        self._group_key = signer.share.public.group_public_key.to_bytes()

    async def sign(self, digests: Sequence[Digest]) -> GroupAttestation:
        """One signature over a batch. Raises SigningError, or NotAuthorised when this node itself has not reached all of it."""
        batch = tuple(digests)
        signature = await self._coordinator.sign(encode_digests(batch))
        return GroupAttestation(self._epoch, signature.to_bytes(), batch)

    def check(self, attestation: GroupAttestation) -> bool:
        """Whether the signature is the committee's, of this epoch, over exactly these digests."""
        if attestation.epoch != self._epoch:
            return False
        try:
            return verify_encoded(self._group_key, attestation.signature, batch_signing_hash(attestation.digests))
        except ProtocolError:
            return False

    def close(self) -> None:
        """Wipe unused signing nonces."""
        self.signer.close()
