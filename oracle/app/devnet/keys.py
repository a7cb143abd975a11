"""Keys of a devnet: a dealt committee, TLS identities, funded accounts. A dealer has seen the whole key, so none of this is for production;
a daemon refuses a dealt share outside a devnet.
"""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from solders.keypair import Keypair

from bridges.frost import keystore
from bridges.frost.keygen import KeyShare, deal
from bridges.frost.keystore import write_private_file
from bridges.frost.signing import COMMIT_RANDOMNESS_BYTES, aggregate, commit, prepare, sign
from bridges.frost.transport import TransportIdentity
from oracle.protocol.hashing import key_possession_hash
from oracle.protocol.quorum import quorum

EPOCH = 1


@dataclass(frozen=True, slots=True)
class DealtCommittee:
    """n shares of one group key, and the key's proof of possession R(33) ‖ z(32) for epoch 1."""

    shares: tuple[KeyShare, ...]
    proof_of_possession: bytes

    @property
    def group_key(self) -> bytes:
        """33 bytes, compressed."""
        return self.shares[0].public.group_public_key.to_bytes()

    @property
    def group_key_x(self) -> bytes:
        """32 bytes, big-endian."""
        return self.group_key[1:]

    @property
    def parity(self) -> int:
        """Of the key's y."""
        return self.group_key[0] & 1


def deal_committee(members: int) -> DealtCommittee:
    """A new group key with the design's quorum."""
    threshold = quorum(members)
    shares = deal(members, threshold, os.urandom)
    key = shares[0].public.group_public_key
    message = key_possession_hash(EPOCH, key.to_bytes()[1:], key.parity)
    return DealtCommittee(shares, _sign_together(shares[:threshold], message))


def _sign_together(shares: tuple[KeyShare, ...], message: bytes) -> bytes:
    nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares]
    package = prepare(shares[0].public, message, [nonce.commitment for nonce in nonces])
    signed = [sign(share, nonce, package) for share, nonce in zip(shares, nonces, strict=True)]
    return aggregate(package, signed).to_bytes()


def write_member(directory: Path, share: KeyShare, evm_key: bytes, solana_key: Keypair) -> TransportIdentity:
    """A member's private files, mode 0600: its share, TLS identity, and the accounts that pay for its deliveries."""
    directory.mkdir(mode=0o700, parents=True)
    keystore.save(directory / "share.json", share)
    write_private_file(directory / "evm.key", evm_key.hex().encode())
    write_private_file(directory / "solana.json", json.dumps(list(bytes(solana_key))).encode())
    return TransportIdentity.generate(directory, f"sibyl member {share.identifier}", datetime.now(UTC))
