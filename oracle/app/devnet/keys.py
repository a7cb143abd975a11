"""Keys of a devnet: a committee's key, TLS identities, funded accounts.

The key is made by the members' own key generation (the messages of `sibyl committee keygen`, exchanged inside this process), so a devnet has no
dealer. All of it lies unprotected on one machine, so it is not for production all the same.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from solders.keypair import Keypair

from bridges.frost import keystore
from bridges.frost.dkg import Participant
from bridges.frost.dkg_messages import Phase, Roster, session_id
from bridges.frost.dkg_session import identity_signer
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.keystore import write_private_file
from bridges.frost.transport import CERTIFICATE_FILE, TransportIdentity
from oracle.app.committee_file import DEFAULT_OVERLAP
from oracle.app.key_file import KeyFile

EPOCH = 1


@dataclass(frozen=True, slots=True)
class DevnetCommittee:
    """n shares of one group key, and all that is public of it."""

    shares: tuple[KeyShare, ...]
    key_file: KeyFile

    @property
    def proof_of_possession(self) -> bytes:
        """The key's own signature, R(33) ‖ z(32), for its registration as epoch 1."""
        return self.key_file.proof_of_possession

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


def make_committee(directories: Sequence[Path]) -> DevnetCommittee:
    """A new group key with the design's quorum, made together by members 1, 2, … whose identities are put into `directories`."""
    identities = {Identifier(i): _identity(path, i) for i, path in enumerate(directories, 1)}
    roster = Roster("devnet", EPOCH, {who: identity.certificate.der for who, identity in identities.items()})
    session = session_id(roster, {who: os.urandom(32) for who in roster.participants}, 0)
    members = {
        who: Participant(roster, who, session, identity_signer(identity.key_path), os.urandom)
        for who, identity in identities.items()
    }
    for phase in (Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.READY):
        _exchange(members, phase)
    for member in members.values():
        member.certify()
    _exchange(members, Phase.CERTIFICATE)
    results = [member.result for member in members.values() if member.result is not None]
    key_file = KeyFile.made(roster, results[0], bytes(roster.participants), DEFAULT_OVERLAP)
    return DevnetCommittee(tuple(result.share for result in results), key_file)


def _exchange(members: dict[Identifier, Participant], phase: Phase) -> None:
    for who, member in members.items():
        for other, receiver in members.items():
            message = member.message(phase, other)
            if other != who and message is not None:
                receiver.receive(who, message)


def _identity(directory: Path, identifier: int) -> TransportIdentity:
    if (directory / CERTIFICATE_FILE).exists():
        return TransportIdentity.load(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return TransportIdentity.generate(directory, f"sibyl member {identifier}", datetime.now(UTC))


def write_member(directory: Path, share: KeyShare, evm_key: bytes, solana_key: Keypair) -> TransportIdentity:
    """A member's private files, mode 0600: its share, TLS identity, and the accounts that pay for its deliveries."""
    identity = _identity(directory, share.identifier)
    keystore.save(directory / "share.json", share)
    write_private_file(directory / "evm.key", evm_key.hex().encode())
    write_private_file(directory / "solana.json", json.dumps(list(bytes(solana_key))).encode())
    return identity
