"""This member's way to the committee: FROST behind the `SigningCommittee` port.

The signer never signs a value that a coordinator gives; it signs what the node's own pipeline makes of the digests (PROTOCOL.md §2).

A committee may have several keys at a time: while a rotation is under way two epochs, after a resharing two memberships of one key.
Each key has its own signer, peers and paths, so shares of different keys never meet in one session. A batch is signed with the newest
epoch that its destinations take, and of one epoch with the newest membership for which a quorum is ready.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bridges.frost.errors import TransportError
from bridges.frost.keygen import KeyShare, PublicKeyPackage
from bridges.frost.session import Authorise, CoordinatorLimits, Signer, SigningCoordinator
from bridges.frost.signer import COMMIT_PATH, SHARE_PATH
from bridges.frost.signer_port import SignerPort
from bridges.frost.signing import verify_encoded
from bridges.frost.transport import PeerCaller, PeerServer
from oracle.errors import NotAuthorised, SigningError
from oracle.node.gossip import decode_digests, encode_digests
from oracle.pipeline import Pipeline
from oracle.ports import GroupAttestation, PeerHandler
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import CommitteeEpoch, Digest

KEYS_PATH: Final = "/frost/v1/keys"
"""Asks a member which keys it signs with: their ids, one after another."""
ID_BYTES: Final = 16
READY_SECONDS: Final = 2.0
"""How long an answer about the others' keys counts."""
ASK_SECONDS: Final = 1.0

Taken = Callable[[tuple[Digest, ...]], frozenset[CommitteeEpoch] | None]
"""The epochs that the destinations of a batch take; None when that is not known."""


def _nothing_known(batch: tuple[Digest, ...]) -> frozenset[CommitteeEpoch] | None:
    return None


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


@dataclass(frozen=True, slots=True, eq=False)
class CommitteeKey:
    """One key of the committee as one membership holds it, this node among it."""

    epoch: CommitteeEpoch
    signer: SignerPort
    peers: Mapping[int, PeerCaller]
    revision: int = 0
    """How often the key was handed on to other members."""
    id: bytes = field(init=False)
    """16 bytes that stand for the epoch, the key and its members' verifying shares."""

    def __post_init__(self) -> None:
        state = hashlib.sha256(b"SIBYL_COMMITTEE_KEY_V1" + self.epoch.to_bytes(4, "big"))
        state.update(self.public.group_public_key.to_bytes() + self.public.threshold.to_bytes(2, "big"))
        for who, point in self.public.verifying_shares.items():
            state.update(who.to_bytes(2, "big") + point.encoded)
        object.__setattr__(self, "id", state.digest()[:ID_BYTES])

    @property
    def public(self) -> PublicKeyPackage:
        """What everybody knows of the key."""
        return self.signer.share.public


@dataclass(frozen=True, slots=True)
class _KeyedPeer:
    """A peer whose signing paths are those of one key."""

    peer: PeerCaller
    key: bytes

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        return await self.peer.call(f"{path}/{self.key.hex()}", body, timeout)


class FrostCommittee:
    """Coordinates signatures over batches, and checks those of others. `routes` answer other coordinators."""

    def __init__(
        self,
        share: KeyShare,
        epoch: CommitteeEpoch,
        peers: Mapping[int, PeerCaller],
        authorise: Authorise,
        limits: CoordinatorLimits | None = None,
    ) -> None:
        """With one key, whose share is in this process. `with_keys` takes any number, with signers elsewhere."""
        self._begin((CommitteeKey(epoch, Signer(share, authorise), peers),), {}, _nothing_known, limits)

    @classmethod
    def with_keys(
        cls,
        keys: Sequence[CommitteeKey],
        group_keys: Mapping[CommitteeEpoch, bytes],
        taken: Taken = _nothing_known,
        limits: CoordinatorLimits | None = None,
    ) -> "FrostCommittee":
        """Over any signers; which bytes they sign for a context is their own matter. `group_keys` (33 bytes) are those of epochs whose
        signatures are checked, also where this node has no share."""
        committee = cls.__new__(cls)
        committee._begin(keys, group_keys, taken, limits)
        return committee

    def _begin(
        self,
        keys: Sequence[CommitteeKey],
        group_keys: Mapping[CommitteeEpoch, bytes],
        taken: Taken,
        limits: CoordinatorLimits | None,
    ) -> None:
        self._taken, self._limits = taken, limits
        self._group_keys = dict(group_keys)
        self._keys: dict[bytes, CommitteeKey] = {}
        self._coordinators: dict[bytes, SigningCoordinator] = {}
        self._ready: dict[int, tuple[float, frozenset[bytes]]] = {}
        self._server: PeerServer | None = None
        self._routed: set[bytes] = set()
        for key in keys:
            self.add(key)

    # ---- keys

    @property
    def keys(self) -> tuple[CommitteeKey, ...]:
        """All keys, oldest epoch and membership first."""
        return tuple(sorted(self._keys.values(), key=lambda key: (key.epoch, key.revision)))

    @property
    def coordinators(self) -> tuple[SigningCoordinator, ...]:
        """One for each key, in no order: what they and their signers have counted."""
        return tuple(self._coordinators.values())

    def add(self, key: CommitteeKey) -> None:
        """Use `key` too from now on. One that is there already stays, with its nonces."""
        if key.id in self._keys:
            return
        self._keys[key.id] = key
        self._group_keys[key.epoch] = key.public.group_public_key.to_bytes()
        peers = {who: _KeyedPeer(peer, key.id) for who, peer in key.peers.items()}
        self._coordinators[key.id] = SigningCoordinator(key.signer, peers, limits=self._limits)
        if self._server is not None:
            self._route(self._server, key)

    def remove(self, key_id: bytes) -> None:
        """Sign with this key no more: its unused nonces are wiped. The share stays its owner's."""
        key = self._keys.pop(key_id, None)
        self._coordinators.pop(key_id, None)
        if key is not None:
            key.signer.close()

    # ---- serving

    def register(self, server: PeerServer) -> None:
        """Serve all keys, also those that come later, to the server's pinned peers."""
        self._server = server
        server.route(KEYS_PATH, self.answer_keys, max_body=0)
        for key in self.keys:
            self._route(server, key)

    def _route(self, server: PeerServer, key: CommitteeKey) -> None:
        if key.id not in self._routed:
            self._routed.add(key.id)
            for path, handler in self._handlers(key.id).items():
                server.route(path, handler)

    def routes(self) -> dict[str, PeerHandler]:
        """What `register` serves, by path."""
        found: dict[str, PeerHandler] = {KEYS_PATH: self.answer_keys}
        for key in self.keys:
            found |= self._handlers(key.id)
        return found

    def _handlers(self, key_id: bytes) -> dict[str, PeerHandler]:
        async def answer_commit(peer_id: int, body: bytes) -> bytes:
            return await self._signer(key_id, peer_id).answer_commit(peer_id, body)

        async def answer_share(peer_id: int, body: bytes) -> bytes:
            return await self._signer(key_id, peer_id).answer_share(peer_id, body)

        return {f"{COMMIT_PATH}/{key_id.hex()}": answer_commit, f"{SHARE_PATH}/{key_id.hex()}": answer_share}

    def _signer(self, key_id: bytes, peer_id: int) -> SignerPort:
        key = self._keys.get(key_id)
        if key is None:
            raise NotAuthorised("This node signs with that key no more.")
        if peer_id not in key.public.participants:
            raise NotAuthorised(f"Member {peer_id} is no member of the committee of that key.")
        return key.signer

    async def answer_keys(self, peer_id: int, body: bytes) -> bytes:
        """The ids of the keys that this node signs with."""
        return b"".join(self._coordinators)

    # ---- signing

    async def sign(self, digests: Sequence[Digest]) -> GroupAttestation:
        """One signature over a batch. Raises SigningError, or NotAuthorised when this node itself has not reached all of it."""
        batch = tuple(digests)
        key = await self._chosen(batch)
        signature = await self._coordinators[key.id].sign(encode_digests(batch))
        return GroupAttestation(key.epoch, signature.to_bytes(), batch)

    async def _chosen(self, batch: tuple[Digest, ...]) -> CommitteeKey:
        """The newest epoch that counts where the batch goes, and its newest membership for which a quorum is ready."""
        own = self.keys[::-1]
        if not own:
            raise SigningError("This node has no share of a key: it can check signatures, not make them.")
        if len(own) == 1 and len(self._group_keys) == 1:
            return own[0]
        taken = self._taken(batch)
        if taken is None:
            # Nothing is known of the destinations yet: the oldest epoch counted there when this node was configured.
            taken = frozenset({min(self._group_keys)})
        fitting = [key for key in own if key.epoch in taken]
        if not fitting:
            listed = ", ".join(map(str, sorted(taken)))
            raise SigningError(f"The destinations take epochs {listed}, of which this node has no share.")
        for key in fitting[:-1]:
            if await self._is_ready(key):
                return key
        return fitting[-1]

    async def _is_ready(self, key: CommitteeKey) -> bool:
        now = time.monotonic()
        stale = [who for who in key.peers if who not in self._ready or self._ready[who][0] < now]
        await asyncio.gather(*(self._look(who, key.peers[who]) for who in stale))
        return 1 + sum(key.id in self._ready[who][1] for who in key.peers) >= key.public.threshold

    async def _look(self, who: int, peer: PeerCaller) -> None:
        try:
            answer = await peer.call(KEYS_PATH, b"", ASK_SECONDS)
        except TransportError:
            answer = b""
        ids = frozenset(answer[at : at + ID_BYTES] for at in range(0, len(answer), ID_BYTES))
        self._ready[who] = (time.monotonic() + READY_SECONDS, ids)

    def check(self, attestation: GroupAttestation) -> bool:
        """Whether the signature is the committee's, of the epoch it names, over exactly these digests."""
        group_key = self._group_keys.get(attestation.epoch)
        if group_key is None:
            return False
        try:
            return verify_encoded(group_key, attestation.signature, batch_signing_hash(attestation.digests))
        except ProtocolError:
            return False

    def close(self) -> None:
        """Wipe unused signing nonces."""
        for key in self._keys.values():
            key.signer.close()
