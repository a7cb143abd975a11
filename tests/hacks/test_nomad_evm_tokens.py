"""Nomad, 1 August 2022, on the token road of the EVM chain: one good release, copied by hundreds with their own address in it.

What happened: see test_nomad.py; a root of zero was trusted, so every message that nobody had proven counted as proven.

Why it fails here: a release is paid for a message whose digest leads to a signed root, once for its (origin, sequence), whatever became of
it: paid at once, or queued. Invariants 5 and 6.
"""

from dataclasses import replace

import pytest

from bridges.evm.abi import account_of
from oracle.errors import Rejected
from oracle.protocol.message import Message
from oracle.protocol.tokens import TokenTransfer
from oracle.protocol.types import ChainType, Sequence
from tests.hacks.road_evm import THIEF, EvmRoad
from tests.hacks.world import EvmWorld
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


def to_thief(message: Message) -> Message:
    """The copied transaction, with the thief's address where the recipient's was."""
    transfer = TokenTransfer.from_bytes(message.payload, origin=ChainType.SOLANA, destination=ChainType.EIP155)
    return replace(message, payload=replace(transfer, recipient=account_of(THIEF)).to_bytes())


async def test_hack_nomad_evm_tokens__release_replayed_or_copied__paid_once(evm: EvmWorld, evm_road: EvmRoad) -> None:
    true = evm_road.transfer(evm_road.vault, 5, evm_road.user.address)
    other = evm_road.transfer(evm_road.vault, 6, evm_road.user.address)
    signed = evm.attest(true)
    copied = to_thief(true)
    assert await evm.refused(copied, signed) == "InvalidSignature"
    assert await evm.refused(replace(copied, sequence=Sequence(true.sequence + 1000)), signed) == "InvalidSignature"
    assert await evm.refused(copied, (1, 0, 0, 0)) != ""
    before = await evm_road.user.balance(evm_road.deployment.weth)
    await evm.deliver(true, signed)
    for again in (signed, evm.attest(true), evm.attest(true, other)[:1] + evm.attest(true)[1:]):
        assert await evm.refused(true, again) == "AlreadyDelivered"
    # Even a committee that signs the copy under the used sequence pays nobody twice.
    assert await evm.refused(copied, evm.attest(copied)) == "AlreadyDelivered"
    assert await evm_road.user.balance(evm_road.deployment.weth) - before == 5 * 10**9
    assert await evm_road.user.balance(evm_road.deployment.weth, THIEF) == 0
    # Back to where it was, for the tests that come.
    await evm_road.user.transfer(evm_road.deployment.weth, evm_road.away, 5 * 10**9)
    await evm_road.untouched()


async def test_hack_nomad_evm_tokens__queued_release__neither_replayed_nor_released_twice(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    closed = ((False, 0, 0), (True, 0, 0), False, 0, 0)
    await evm.send("NativeBridge", evm_road.vault, "setLimits", closed, by=0)
    message = evm_road.transfer(evm_road.vault, 5, evm_road.user.address)
    await evm.deliver(message, evm.attest(message))
    assert await evm.refused(message, evm.attest(message)) == "AlreadyDelivered"
    await evm_road.user.release(evm_road.vault, message.digest)
    for _ in range(2):
        with pytest.raises(Rejected) as caught:
            await evm_road.user.release(evm_road.vault, message.digest)
        assert caught.value.reason == "NotQueued"
    assert await evm.refused(message, evm.attest(message)) == "AlreadyDelivered"
    await evm.send("NativeBridge", evm_road.vault, "setLimits", ((False, 0, 0), (False, 0, 0), False, 0, 0), by=0)
    await evm_road.user.transfer(evm_road.deployment.weth, evm_road.away, 5 * 10**9)
    await evm_road.untouched()


async def test_hack_nomad_evm_tokens__fresh_bridge_and_fresh_factory__trust_nobody(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    """What nobody set is nothing: no counterpart of zero, no key of the thief, no default recipient."""
    thief = SchnorrKey.seeded("nomad thief")
    message = evm_road.drain()
    assert await evm.refused(message, evm.attest(message, key=thief)) == "InvalidSignature"
    assert await evm.refused(message, evm.attest(message, epoch=7)) != ""
    nobody = replace(message, sender=type(message.sender)(bytes(32)))
    assert await evm_road.refused(nobody) == "ERC7786RecipientUnauthorizedGateway"
    await evm_road.untouched()
