"""keccak256, digests and Merkle batches (PROTOCOL.md §1, §2). Roots are always computed from leaves; none is ever taken from outside."""

from collections.abc import Sequence as Seq

from Crypto.Hash import keccak

from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.types import WORD, Digest

_LEAF = bytes([c.MERKLE_LEAF_PREFIX])
_NODE = bytes([c.MERKLE_NODE_PREFIX])


def keccak256(*parts: bytes) -> bytes:
    """Original Keccak-256 of the concatenated parts, 32 bytes."""
    state = keccak.new(digest_bits=256)
    for part in parts:
        state.update(part)
    return state.digest()


def message_digest(body: bytes) -> Digest:
    """Digest of an encoded body."""
    return Digest(keccak256(c.DOMAIN_MESSAGE, body))


def _leaf(digest: bytes) -> bytes:
    return keccak256(_LEAF, digest)


def _node(one: bytes, other: bytes) -> bytes:
    return keccak256(_NODE, min(one, other), max(one, other))


def _check_batch(digests: Seq[Digest]) -> None:
    if not digests:
        raise EncodeError("A batch holds at least one digest.")
    if len(set(digests)) != len(digests):
        raise EncodeError("A batch holds each digest once.")
    if len(digests) > 1 << c.MERKLE_MAX_DEPTH:
        raise EncodeError(f"A batch holds at most {1 << c.MERKLE_MAX_DEPTH} digests.")
    if any(len(digest) != WORD for digest in digests):
        raise EncodeError("A digest has 32 bytes.")


def _next_level(level: list[bytes]) -> list[bytes]:
    paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return paired + level[len(level) & ~1 :]


def batch_signing_hash(digests: Seq[Digest]) -> bytes:
    """The 32 bytes that the committee signs for these digests, in this order. Raises EncodeError on none, too many or twice the same."""
    _check_batch(digests)
    level = [_leaf(digest) for digest in digests]
    while len(level) > 1:
        level = _next_level(level)
    return keccak256(c.DOMAIN_BATCH, level[0])


def merkle_branch(digests: Seq[Digest], index: int) -> tuple[bytes, ...]:
    """Siblings of digest number `index` from the leaf up."""
    _check_batch(digests)
    if not 0 <= index < len(digests):
        raise EncodeError(f"The batch has {len(digests)} digests, none has index {index}.")
    branch: list[bytes] = []
    level = [_leaf(digest) for digest in digests]
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            branch.append(level[sibling])
        level = _next_level(level)
        index //= 2
    return tuple(branch)


def branch_signing_hash(digest: Digest, branch: Seq[bytes]) -> bytes:
    """The signed value to which `digest` and its branch lead. Raises DecodeError on a branch that is too long or not of words."""
    if len(branch) > c.MERKLE_MAX_DEPTH:
        raise DecodeError(f"A branch has at most {c.MERKLE_MAX_DEPTH} nodes, not {len(branch)}.")
    node = _leaf(digest)
    for sibling in branch:
        if len(sibling) != WORD:
            raise DecodeError(f"A node of a branch has 32 bytes, not {len(sibling)}.")
        node = _node(node, sibling)
    return keccak256(c.DOMAIN_BATCH, node)


def key_possession_hash(epoch: int, group_key_x: bytes, parity: int) -> bytes:
    """The 32 bytes that a new group key signs, so that nobody can register a key without its secret (PROTOCOL.md §6).

    `group_key_x`: 32 bytes, big-endian; `parity`: of y, 0 or 1. Raises EncodeError.
    """
    if len(group_key_x) != WORD or parity not in (0, 1) or not 0 < epoch < 1 << 32:
        raise EncodeError("A group key is an epoch from 1, an x of 32 bytes and a parity of 0 or 1.")
    return keccak256(c.DOMAIN_KEY, epoch.to_bytes(WORD), group_key_x, parity.to_bytes(WORD))
