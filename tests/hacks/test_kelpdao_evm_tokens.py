"""KelpDAO on LayerZero, April 2026, on the token road of the EVM chain: one verifier believed a view that was poisoned, and its word released.

What happened: see test_kelpdao_layerzero.py and test_kelpdao_poisoned_endpoint.py.

Why it fails here: the word of one, or of any fewer than the quorum, is no signature, neither for a transfer that was never sent nor for the
lapse of one that was in truth delivered; and what a bridge holds is told by calls at one final block, in which a token that lies about the vault
makes itself alone look empty.
"""

import pytest

from bridges.evm.abi import account_of, address_of
from bridges.evm.token_ledger import read_holdings
from oracle.ports import TokenSide
from oracle.protocol.message import non_delivery_message
from tests.hacks.road_evm import LOCKED, MINTED, EvmRoad
from tests.hacks.world import EvmWorld, secret_of, stolen
from tests.support import samples
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


async def test_hack_kelpdao_evm_tokens__word_of_the_one_poisoned_verifier__releases_and_refunds_nothing(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    sent = await evm_road.user.transfer_ether(evm_road.away, 10**9)
    lapsed = non_delivery_message(sent.message)
    for message in (evm_road.drain(), evm_road.transfer(evm_road.mint, 116_500 * 10**9), lapsed):
        for share in stolen(4, 3):
            forged = evm.attest(message, key=SchnorrKey(secret_of(share)))
            assert await evm.refused(message, forged) == "InvalidSignature"
    await evm.deliver(lapsed, evm.attest(lapsed))  # control: the whole committee's word
    await evm_road.untouched()
    await evm_road.pays()


async def test_hack_kelpdao_evm_tokens__token_that_lies_about_the_vault__spoils_its_own_reading_alone(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    """The watch of section 7 reads every token in one call; a hostile one can burn its gas, revert, or return megabytes."""
    client, factory = evm.deployed.client, evm_road.deployment.factory
    hostile = {
        "burns its gas": bytes.fromhex("5b5f56"),
        "reverts": bytes.fromhex("5f5ffd"),
        "returns a megabyte": bytes.fromhex("62100000") + bytes.fromhex("5ff3"),
        "returns nothing": bytes.fromhex("00"),
    }
    for name, code in hostile.items():
        token = address_of(samples.seeded(name, 20))
        await evm.deployed.anvil.set_code(token, b"\x00")  # silent while it is registered
        await evm_road.user.register(token)
        await evm.deployed.anvil.set_code(token, code)
    found = await read_holdings(client, factory, await client.block_number())
    at = {holding.bridge: holding for holding in found}
    vault, mint = at[account_of(evm_road.vault)], at[account_of(evm_road.mint)]
    assert (vault.side, vault.counter, vault.held) == (TokenSide.NATIVE, LOCKED, LOCKED)
    assert (mint.side, mint.counter, mint.held) == (TokenSide.WRAPPED, MINTED, MINTED)
    assert [holding.held for holding in found[2:]] == [0] * len(hostile)
