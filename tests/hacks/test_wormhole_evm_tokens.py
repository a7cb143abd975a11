"""Wormhole, 2 February 2022, on the token road of the EVM chain: wrapped tokens minted on the word of an account that the thief made himself.

What happened: see test_wormhole.py; a forged check let the thief's own message count as the guardians'.

Why it fails here: a bridge takes a transfer from the gateway alone, and of what the gateway brings only what the bridge authority sent, on the one
chain it is linked to; who sent it is in the signed body. A gateway of the thief's own is not the bridge's, which is fixed in its code.
"""

from dataclasses import replace

import pytest

from bridges.evm.abi import account_of, interface
from bridges.evm.sender import Call
from oracle.errors import Rejected
from oracle.protocol.interop import InteropAddress
from oracle.protocol.types import Account
from tests.hacks.road_evm import AUTHORITY, EvmRoad
from tests.hacks.world import EvmWorld
from tests.support import samples

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_hack_wormhole_evm_tokens__signed_words_of_another_sender__mint_and_release_nothing(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    """The committee signs what was posted, by whomever: that it was the authority is for the bridge to see."""
    for bridge in (evm_road.vault, evm_road.mint):
        honest = evm_road.transfer(bridge, 7)
        senders = (
            samples.SOLANA_CONSUMER,
            Account(bytes([AUTHORITY[0] ^ 1]) + AUTHORITY[1:]),
            account_of(evm_road.deployment.factory),
            Account(bytes(samples.SOLANA.gateway)),
        )
        for sender in senders:
            message = replace(honest, sender=sender)
            assert await evm_road.refused(message) == "ERC7786RecipientUnauthorizedGateway"
    await evm_road.untouched()
    await evm_road.pays()


async def test_hack_wormhole_evm_tokens__own_gateway_and_bare_calls__are_believed_by_no_bridge(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    authority = InteropAddress(samples.SOLANA.chain, AUTHORITY).to_bytes()
    for bridge in (evm_road.vault, evm_road.mint):
        message = evm_road.transfer(bridge, 7)
        for contract in ("NativeBridge", "WrappedBridge"):
            data = interface(contract).encode("receiveMessage", message.digest, authority, message.payload)
            with pytest.raises(Rejected) as caught:
                await evm.deployed.sender().send(Call(bridge, data))
            assert caught.value.reason == "ERC7786RecipientUnauthorizedGateway"
            data = interface(contract).encode("receiveNonDelivery", message.digest, message.payload)
            with pytest.raises(Rejected) as caught:
                await evm.deployed.sender().send(Call(bridge, data))
            assert caught.value.reason == "NotAllowed"
    await evm_road.untouched()
