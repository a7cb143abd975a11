"""Quorum and duty order of a committee. Pure; every node computes the same."""

from oracle.protocol.errors import EncodeError
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import Digest


def quorum(members: int) -> int:
    """Signers needed of `members` nodes: ⌊2n/3⌋ + 1, so that fewer than a third can neither forge nor be outvoted."""
    if members < 1:
        raise EncodeError("A committee has at least one member.")
    return 2 * members // 3 + 1


def duty_order(identifiers: tuple[int, ...], digest: Digest, duty: str) -> tuple[int, ...]:
    """Order in which members take a duty ("prove", "coordinate", "submit") for one message.

    The first acts at once; member number k takes over when k deadlines have passed without result. The order is a hash of the message, so
    no node is special and none can choose its turn without choosing the message.
    """
    return tuple(sorted(identifiers, key=lambda i: keccak256(b"SIBYL_DUTY_V1", duty.encode(), digest, i.to_bytes(2))))
