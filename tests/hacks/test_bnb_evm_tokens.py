"""BNB Chain's token hub, 6 October 2022, on the token road of the EVM chain: a mint on a forged leaf beside a true one.

What happened: see test_bnb.py; the proof of an old block took a leaf that was never in it.

Why it fails here: every sibling of a branch is hashed and nothing else; a mint that is not in the signed batch has no branch to its root.
"""

import pytest

from oracle.protocol.hashing import keccak256, merkle_branch
from tests.hacks.road_evm import EvmRoad
from tests.hacks.world import EvmWorld

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_hack_bnb_evm_tokens__forged_mint_beside_a_true_batch__has_no_branch(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    user = evm_road.user.address
    batch = [evm_road.transfer(evm_road.mint, amount, user) for amount in (1, 2, 3)]
    digests = [message.digest for message in batch]
    signed = evm.attest(*batch)
    for forged in (evm_road.transfer(evm_road.mint, 2_000_000), evm_road.drain()):
        for place in range(3):
            true = merkle_branch(digests, place)
            inner = keccak256(b"\1", *sorted(digests[:2]))
            for branch in (true, true[:-1], (*true, digests[place]), (digests[place], *true), true[::-1], (inner,)):
                assert await evm.refused(forged, signed, branch) == "InvalidSignature"
    await evm_road.untouched()
    await evm_road.pays()
