"""Poly Network, 10 August 2021, on the token road of the EVM chain: a signed message that calls a privileged contract as the bridge.

What happened: see test_poly.py; the bridge's manager called any contract with any function that a message named, the keeper of keys among them.

Why it fails here: a message is brought by one function, `receiveMessage`, and its payload is read as a transfer and nothing else; a bridge
calls its own token alone. What may mint, pause, set limits, take tokens out or clear a held transfer is fixed in the code or asks for a role at the
factory, which neither the gateway nor a bridge has.
"""

from dataclasses import replace

import pytest

from bridges.evm.abi import account_of, interface
from oracle.errors import Rejected
from oracle.protocol.tokens import TokenRegistration
from oracle.protocol.types import Account
from tests.hacks.road_evm import AUTHORITY, MINT, THIEF, EvmRoad
from tests.hacks.world import EvmWorld
from tests.support import samples

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

ADMIN = bytes(32)


async def test_hack_poly_evm_tokens__signed_message_to_token_or_vault__calls_nothing_privileged(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    mint = interface("WrappedToken").encode("crosschainMint", THIEF, 1000)
    approve = interface("Weth").encode("approve", THIEF, 1000)
    exit_ = interface("NativeBridge").encode("emergencyExit", THIEF, 1)
    for recipient, payload in (
        (evm_road.wrapped, mint),
        (evm_road.deployment.weth, approve),
        (evm_road.vault, exit_),
        (evm_road.vault, approve),
        (evm_road.mint, mint),
        (evm_road.deployment.factory, interface("TokenFactory").encode("grantRole", ADMIN, THIEF)),
    ):
        message = replace(evm.message(recipient=account_of(recipient), payload=payload), sender=AUTHORITY)
        assert await evm_road.refused(message) in ("MalformedPayload", "RecipientReverted")
    await evm_road.untouched()
    await evm_road.pays()


async def test_hack_poly_evm_tokens__registration_that_would_replace_a_bridge__changes_nothing(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    for token in (MINT, account_of(evm_road.deployment.weth)):
        for sender in (AUTHORITY, samples.SOLANA_CONSUMER):
            entry = TokenRegistration(Account(token), 0, b"Thief", b"THF").to_bytes()
            factory = account_of(evm_road.deployment.factory)
            message = replace(evm.message(recipient=factory, payload=entry), sender=sender)
            if (token, sender) == (MINT, AUTHORITY):
                await evm.deliver(message, evm.attest(message))  # taken again, as the rule says, and idempotent
                continue
            refusal = await evm_road.refused(message)
            assert refusal in ("ForeignToken", "ERC7786RecipientUnauthorizedGateway")
    assert await evm_road.user.bridge_of(MINT) == evm_road.mint
    assert await evm_road.user.bridge_of(account_of(evm_road.deployment.weth)) == evm_road.vault
    await evm_road.untouched()


async def test_hack_poly_evm_tokens__privileged_functions__refuse_everybody_without_the_role(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    unlimited = ((False, 0, 0), (False, 0, 0), False, 0, 0)
    calls = (
        ("NativeBridge", evm_road.vault, "emergencyExit", THIEF, 1),
        ("NativeBridge", evm_road.vault, "payFee", THIEF, 1),
        ("NativeBridge", evm_road.vault, "setLimits", unlimited),
        ("NativeBridge", evm_road.vault, "setGuard", THIEF, 0),
        ("NativeBridge", evm_road.vault, "setPaused", True),
        ("WrappedBridge", evm_road.mint, "setLimits", unlimited),
        ("WrappedToken", evm_road.wrapped, "crosschainMint", THIEF, 1),
        ("WrappedToken", evm_road.wrapped, "crosschainBurn", evm_road.user.address, 1),
        ("TokenFactory", evm_road.deployment.factory, "pause", evm_road.vault),
        ("TokenFactory", evm_road.deployment.factory, "unpause", evm_road.vault),
        ("TokenFactory", evm_road.deployment.factory, "grantRole", ADMIN, THIEF),
    )
    for contract, to, function, *arguments in calls:
        with pytest.raises(Rejected) as caught:
            await evm.send(contract, to, function, *arguments, by=4)
        assert caught.value.reason in ("NotAllowed", "NotBridge", "AccessControlUnauthorizedAccount"), function
    for holder in (evm.deployed.deployment.gateway, evm_road.vault, evm_road.mint, evm_road.deployment.factory):
        assert not await evm_road.view("TokenFactory", evm_road.deployment.factory, "hasRole", ADMIN, holder)
    await evm_road.untouched()
