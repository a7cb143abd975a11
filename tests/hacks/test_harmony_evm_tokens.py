"""Harmony, 23 June 2022, on the token road of the EVM chain: 100 million dollars released by two keys of five.

What happened: see test_harmony.py; two of five keys sufficed, and both lay in plain text on servers.

Why it fails here: a quorum is four of five; three make no signature; nothing but the committee's signature opens a vault, and there is no key
that could.
"""

import pytest

from bridges.evm.points import split_signature
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import non_delivery_message
from tests.hacks.road_evm import EvmRoad
from tests.hacks.world import EvmWorld, forgeries, stolen

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
MEMBERS, QUORUM = 5, 4


async def test_hack_harmony_evm_tokens__what_fewer_than_the_quorum_can_make__drains_nothing(
    evm: EvmWorld, evm_road: EvmRoad
) -> None:
    shares = stolen(MEMBERS, QUORUM)
    sent = await evm_road.user.transfer_ether(evm_road.away, 10**9)
    lapsed = non_delivery_message(sent.message)
    wanted = (evm_road.drain(), evm_road.transfer(evm_road.mint, 173_600 * 10**9), lapsed)
    for message in wanted:
        signed = batch_signing_hash([message.digest])
        for some in (shares[:2], shares[1:4]):
            for forged in forgeries(some, signed):
                assert await evm.refused(message, (1, *split_signature(forged))) == "InvalidSignature"
    await evm.deliver(lapsed, evm.attest(lapsed))  # control: the whole committee's word
    await evm_road.untouched()
    await evm_road.pays()
