"""BNB Chain's token hub, 6 October 2022: about 2,000,000 BNB (some 570 million dollars) were minted on forged Merkle proofs.

What happened: the bridge accepted an IAVL range proof of an old, true block. The library that hashed an inner node left its right child
out whenever a left one was there, and nothing refused a node with both; so a forged leaf rode along in a proof without changing its root.

Why it fails here: a branch is a list of 32-byte siblings and nothing else, every one of them is hashed, leaf and node have prefixes of their
own (a leaf's hash is never a node's preimage), a branch is bounded, and the leaf is the digest of exactly the body that is delivered.
Invariant 6: a root is computed from a leaf, never taken from outside; invariant 2: decoding takes exactly what encoding makes.
"""

import itertools
from dataclasses import replace

import pytest

from bridges.solana import instructions
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError
from oracle.protocol.hashing import batch_signing_hash, branch_signing_hash, keccak256, merkle_branch
from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch, Digest
from tests.hacks.world import GROUP, EvmWorld
from tests.support.solana_program import Bench

pytestmark = pytest.mark.asyncio(loop_scope="module")

BATCH = 5
"""Odd, so that one leaf moves up without a partner."""


def leaf(digest: bytes) -> bytes:
    return keccak256(bytes([c.MERKLE_LEAF_PREFIX]), digest)


def node(one: bytes, other: bytes) -> bytes:
    return keccak256(bytes([c.MERKLE_NODE_PREFIX]), min(one, other), max(one, other))


def known_nodes(digests: list[Digest]) -> dict[str, bytes]:
    """Every value of a true batch that a thief can see, and the empty ones."""
    leaves = [leaf(digest) for digest in digests]
    pairs = [node(leaves[0], leaves[1]), node(leaves[2], leaves[3])]
    upper = node(*pairs)
    nodes = {f"leaf {i}": value for i, value in enumerate(leaves)}
    nodes |= {f"digest {i}": bytes(digest) for i, digest in enumerate(digests)}
    return nodes | {
        "inner left": pairs[0],
        "inner right": pairs[1],
        "upper": upper,
        "root": node(upper, leaves[4]),
        "zero": bytes(32),
        "ones": b"\xff" * 32,
    }


def bent_branches(branch: tuple[bytes, ...], digests: list[Digest]) -> dict[str, tuple[bytes, ...]]:
    """Ways in which the true branch of message 0 can be made another."""
    nodes = known_nodes(digests)
    return {
        "empty": (),
        "truncated at its end": branch[:-1],
        "truncated at its start": branch[1:],
        "extended by a zero node": (*branch, bytes(32)),
        "extended at its start by a zero node": (bytes(32), *branch),
        "extended by its root": (*branch, nodes["root"]),
        "twice": (*branch, *branch),
        "siblings swapped": (branch[1], branch[0], *branch[2:]),
        "a zero node in the middle": (branch[0], bytes(32), *branch[2:]),
        "digest where a leaf belongs": (bytes(digests[1]), *branch[1:]),
        "own leaf as its sibling": (leaf(digests[0]), *branch[1:]),
        "inner node where a leaf belongs": (nodes["inner right"], *branch[1:]),
        "leaf where an inner node belongs": (branch[0], leaf(digests[2]), *branch[2:]),
        "one bit": (bytes([branch[0][0] ^ 1]) + branch[0][1:], *branch[1:]),
        "as deep as allowed": tuple(itertools.islice(itertools.cycle(branch), c.MERKLE_MAX_DEPTH)),
    }


# ---- on EVM ----


@pytest.mark.devnet
async def test_hack_bnb_evm__true_message_with_a_bent_branch__refused(evm: EvmWorld) -> None:
    messages = [evm.message() for _ in range(BATCH)]
    digests = [message.digest for message in messages]
    attestation, branch = evm.attest(*messages), merkle_branch(digests, 0)
    for name, bent in bent_branches(branch, digests).items():
        assert await evm.refused(messages[0], attestation, bent) == "InvalidSignature", name
    over = (bytes(32),) * (c.MERKLE_MAX_DEPTH + 1)
    assert await evm.refused(messages[0], attestation, over) == "BranchTooLong"
    for i, message in enumerate(messages):  # control: each under its own branch
        await evm.deliver(message, attestation, merkle_branch(digests, i))


@pytest.mark.devnet
async def test_hack_bnb_evm__forged_message_beside_a_true_root__refused(evm: EvmWorld) -> None:
    messages = [evm.message() for _ in range(BATCH)]
    digests = [message.digest for message in messages]
    attestation, forged = evm.attest(*messages), evm.message(payload=b"mint 1000000")
    for i in range(BATCH):
        assert await evm.refused(forged, attestation, merkle_branch(digests, i)) == "InvalidSignature"
    for name, value in known_nodes(digests).items():
        assert await evm.refused(forged, attestation, (value,)) == "InvalidSignature", name
    # The forged leaf rides along with the true one, as it did there.
    riding = (*merkle_branch(digests, 0), leaf(forged.digest))
    assert await evm.refused(messages[0], attestation, riding) == "InvalidSignature"
    await evm.deliver(messages[0], attestation, merkle_branch(digests, 0))  # control


@pytest.mark.devnet
async def test_hack_bnb_evm__bytes_beyond_what_is_hashed__there_are_none(evm: EvmWorld) -> None:
    message = evm.message()
    attestation, raw = evm.attest(message), message.to_bytes()
    for bent in (raw + b"\0", raw + bytes(32), raw[:-1], raw[: c.BODY_SIZE - 1]):
        assert await evm.refused(bent, attestation) == "WrongLength"
    assert await evm.refused(raw[:-1] + bytes([raw[-1] ^ 1]), attestation) == "InvalidSignature"
    await evm.deliver(raw, attestation)  # control


# ---- on Solana ----


def batch(bench: Bench) -> tuple[list[Message], instructions.Envelope]:
    """A signed batch, and the envelope of its first message."""
    messages = [bench.inbound(sequence=i) for i in range(1, BATCH + 1)]
    return messages, bench.envelope(*messages)


async def test_hack_bnb_solana__true_message_with_a_bent_branch__refused(bench: Bench) -> None:
    messages, honest = batch(bench)
    digests = [message.digest for message in messages]
    for name, bent in bent_branches(honest.branch, digests).items():
        assert bench.refused(bench.delivery(messages[0], replace(honest, branch=bent))) == "InvalidSignature", name
    step = bench.delivery(messages[0], replace(honest, branch=()))
    data, at = bytes(step.data), 1 + 4 + 65 + 2  # the branch's count stands behind number, epoch, signature and bumps
    deep = data[:at] + bytes([c.MERKLE_MAX_DEPTH + 1]) + bytes(32 * (c.MERKLE_MAX_DEPTH + 1)) + data[at + 1 :]
    assert bench.refused(type(step)(step.program_id, deep, list(step.accounts))) == "BranchTooLong"
    for i, message in enumerate(messages):  # control
        bench.accepted(bench.delivery(message, replace(honest, branch=merkle_branch(digests, i))))


async def test_hack_bnb_solana__forged_message_beside_a_true_root__refused(bench: Bench) -> None:
    messages, honest = batch(bench)
    digests = [message.digest for message in messages]
    forged = bench.inbound(sequence=99, payload=b"mint 1000000")
    branches = [merkle_branch(digests, i) for i in range(BATCH)] + [(v,) for v in known_nodes(digests).values()]
    for branch in branches:
        assert bench.refused(bench.delivery(forged, replace(honest, branch=branch))) == "InvalidSignature"
    riding = replace(honest, branch=(*honest.branch, leaf(forged.digest)))
    assert bench.refused(bench.delivery(messages[0], riding)) == "InvalidSignature"
    bench.accepted(bench.delivery(messages[0], honest))  # control


# ---- in the nodes' own code, exhaustively ----


async def test_hack_bnb__no_path_over_known_nodes_leads_a_forged_leaf_to_a_true_root() -> None:
    digests = [Digest(keccak256(b"message", bytes([i]))) for i in range(BATCH)]
    signed, forged = batch_signing_hash(digests), Digest(keccak256(b"forged"))
    nodes = known_nodes(digests).values()
    paths = [path for depth in range(4) for path in itertools.product(nodes, repeat=depth)]
    assert all(branch_signing_hash(forged, path) != signed for path in paths)
    # A node of the tree taken for a digest is hashed as a leaf, and leads elsewhere.
    for taken in nodes:
        if taken not in digests:
            assert all(branch_signing_hash(Digest(taken), path) != signed for path in paths if len(path) < 3)
    assert branch_signing_hash(digests[0], merkle_branch(digests, 0)) == signed  # control: each true one leads there
    with pytest.raises(DecodeError, match="at most"):
        branch_signing_hash(digests[0], (bytes(32),) * (c.MERKLE_MAX_DEPTH + 1))
    with pytest.raises(DecodeError, match="32 bytes"):
        branch_signing_hash(digests[0], (b"",))


async def test_hack_bnb__signature_over_a_leaf_or_bare_digest__is_none_over_a_batch(bench: Bench) -> None:
    message = bench.inbound()
    for signed in (message.digest, leaf(message.digest), node(leaf(message.digest), bytes(32))):
        envelope = instructions.Envelope(CommitteeEpoch(1), GROUP.sign(bytes(signed)))
        assert bench.refused(bench.delivery(message, envelope)) == "InvalidSignature"
    bench.accepted(bench.delivery(message))  # control
