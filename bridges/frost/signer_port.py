"""What a node needs of its signer, wherever the share and the nonces are.

Two adapters: `signer.Signer` in this process, `remote_signer.RemoteSigner` over a Unix socket. One conformance suite runs over both.
Holds no code.
"""

from __future__ import annotations

from typing import Protocol

from bridges.frost.group import Identifier
from bridges.frost.keygen import PublicKeyPackage
from bridges.frost.transport import PeerServer


class PublicPart(Protocol):
    """What the layers above read of a signer's share: everything but the secret."""

    @property
    def identifier(self) -> Identifier:
        """Whose it is."""

    @property
    def public(self) -> PublicKeyPackage:
        """Of which key."""


class SignerPort(Protocol):
    """One member's side of both rounds, wherever its secrets are. `signer.Signer` is the one in this process."""

    @property
    def share(self) -> PublicPart:
        """Whose share signs."""

    def register(self, server: PeerServer) -> None:
        """Serve both rounds to the server's pinned peers."""

    async def answer_commit(self, peer_id: int, body: bytes) -> bytes:
        """Round one: `CommitRequest` to `NonceCommitment`. Raises NotAuthorised, DecodeError, IllegalTransition, Busy."""

    async def answer_share(self, peer_id: int, body: bytes) -> bytes:
        """Round two: `ShareRequest` to `ShareReply`. Raises NonceSpent, NotAuthorised, DecodeError, KeyMaterialError, Busy."""

    async def authorised_message(self, context: bytes) -> bytes:
        """The 32 bytes that this node signs for a context. Raises NotAuthorised."""

    def forget(self, peer_id: int, session_id: bytes) -> None:
        """A session will not come about."""

    def close(self) -> None:
        """Nothing more is signed."""
