"""This member's way to the committee: FROST behind the `SigningCommittee` port.

The signer never signs a value that a coordinator gives; it signs what the node's own pipeline makes of the digests (PROTOCOL.md §2).
"""

from collections.abc import Mapping, Sequence

from bridges.frost.keygen import KeyShare
from bridges.frost.session import Authorise, CoordinatorLimits, Signer, SigningCoordinator
from bridges.frost.signing import verify_encoded
from bridges.frost.transport import PeerCaller
from oracle.node.gossip import encode_digests
from oracle.ports import GroupAttestation
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import CommitteeEpoch, Digest


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
        self.signer = Signer(share, authorise)
        self._coordinator = SigningCoordinator(self.signer, peers, limits=limits)
        self._epoch = epoch
        self._group_key = share.public.group_public_key.to_bytes()

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
