"""Multichain, 6 July 2023, on the token road of the EVM chain: 126 million dollars went when one man's keys did.

What happened: see test_multichain.py; all shares of the signing key and the administrators' accounts were one person's.

Why it fails here: one member's share signs nothing. Of the accounts that govern, a guardian can pause and nothing else; governance cannot
mint or send a vault anywhere at once: limits and an emergency exit act late, and an exit takes a tenth a day of a bridge that
has stood still for a week in everybody's sight. In production governance is a timelock besides.
"""

import pytest

from oracle.errors import Rejected
from tests.hacks.road_evm import LOCKED, THIEF, EvmRoad
from tests.hacks.world import EvmWorld, secret_of, stolen
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
WEEK = 7 * 86_400


async def test_hack_multichain_evm_tokens__one_members_share__opens_no_vault(evm: EvmWorld, evm_road: EvmRoad) -> None:
    for message in (evm_road.drain(), evm_road.transfer(evm_road.mint, 10**9)):
        for share in stolen(4, 3):
            forged = evm.attest(message, key=SchnorrKey(secret_of(share)))
            assert await evm.refused(message, forged) == "InvalidSignature"
    await evm_road.untouched()
    await evm_road.pays()


async def test_hack_multichain_evm_tokens__administrators_key__neither_mints_nor_empties_a_vault(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    factory, vault = evm_road.deployment.factory, evm_road.vault

    async def refused(contract: str, to: str, function: str, *arguments: object) -> str:
        with pytest.raises(Rejected) as caught:
            await evm.send(contract, to, function, *arguments, by=0)
        return caught.value.reason

    assert await refused("WrappedToken", evm_road.wrapped, "crosschainMint", THIEF, 1) == "NotBridge"
    assert await refused("NativeBridge", vault, "payFee", THIEF, 1) == "NotAllowed"
    assert await refused("NativeBridge", vault, "emergencyExit", THIEF, 1) == "NotPausedLongEnough"
    await evm.send("TokenFactory", factory, "pause", vault, by=0)
    assert await refused("NativeBridge", vault, "emergencyExit", THIEF, 1) == "NotPausedLongEnough"
    await evm_road.untouched()
    # A week later, a tenth: what a rescue needs, and what a thief has to wait for while everybody watches.
    await evm.deployed.anvil.rpc("evm_increaseTime", WEEK)
    await evm.deployed.anvil.mine(1)
    assert await refused("NativeBridge", vault, "emergencyExit", THIEF, LOCKED // 10 + 1) == "ExitTooLarge"
    await evm.send("NativeBridge", vault, "emergencyExit", THIEF, LOCKED // 10, by=0)
    assert await refused("NativeBridge", vault, "emergencyExit", THIEF, 1) == "ExitTooLarge"
    assert await evm_road.view("NativeBridge", vault, "locked") == LOCKED - LOCKED // 10
