"""Harmony's Horizon bridge, 23 June 2022: some 100 million dollars were taken with two keys.

What happened: two of five signatures released the bridge's funds, a threshold that had been criticised in public weeks before. The keys
were kept where servers could decrypt them; two of them were stolen, and that was all.

Why it fails here: of five members four must sign, and the threshold is not a setting: it follows from the number of members, it is the degree of the
polynomial that the shares lie on, and a key file or a configuration that says otherwise is refused. Two shares, and three, make
nothing that either chain takes. Invariants 3 and 10.
"""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bridges.evm.points import split_signature
from bridges.frost import keystore
from bridges.frost.errors import KeyMaterialError, KeystoreError
from bridges.frost.keygen import KeyShare
from bridges.solana.instructions import Envelope
from oracle.errors import SigningError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.quorum import quorum
from oracle.protocol.types import CommitteeEpoch, Digest
from tests.hacks.committee import counted, take_over
from tests.hacks.world import GROUP, RELEASE, EvmWorld, forgeries, interpolated, secret_of, stolen
from tests.support import schnorr
from tests.support.network import Network
from tests.support.samples import plain_message
from tests.support.solana_program import Bench

MEMBERS = 5
QUORUM = quorum(MEMBERS)
VALUE = Digest(bytes(range(32)))


def whole(shares: tuple[KeyShare, ...]) -> schnorr.SchnorrKey:
    """The key that these shares interpolate to."""
    return schnorr.SchnorrKey(interpolated([(int(share.identifier), secret_of(share)) for share in shares]))


def test_hack_harmony__two_or_three_of_five_shares__make_no_signature() -> None:
    assert QUORUM == 4
    shares, tried = stolen(MEMBERS, QUORUM), 0
    for size in range(1, QUORUM):
        for some in itertools.combinations(shares, size):
            for forged in forgeries(some, VALUE):
                assert not schnorr.verify(GROUP.public, VALUE, forged)
                tried += 1
    assert tried > 500
    for some in itertools.combinations(shares, QUORUM):  # control
        assert schnorr.verify(GROUP.public, VALUE, whole(some).sign(VALUE))


@pytest.mark.parametrize("threshold", [1, 2, 3, 5])
def test_hack_harmony__threshold_written_otherwise__refused(tmp_path: Path, threshold: int) -> None:
    shares = stolen(MEMBERS, QUORUM)
    with pytest.raises(KeyMaterialError):
        replace(shares[0].public, threshold=threshold)
    path = tmp_path / "share.json"
    keystore.save(path, shares[0])
    assert keystore.load(path, devnet=True).public.threshold == QUORUM  # control
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"threshold": threshold}))
    with pytest.raises(KeystoreError, match="is damaged"):
        keystore.load(path, devnet=True)


@pytest.mark.parametrize("taken", [(1, 2), (3, 4, 5)], ids=["two", "three"])
async def test_hack_harmony__nodes_taken__get_no_signature_from_the_honest_ones(
    tmp_path: Path, taken: tuple[int, ...]
) -> None:
    async with Network(tmp_path, size=MEMBERS, threshold=QUORUM) as network:
        for identifier in network.members:
            network.start(identifier)
        true = plain_message()
        network.evm.append(true)
        await network.until(lambda: network.delivered(network.solana, true) and network.everyone_finished(range(1, 6)))
        thief = take_over(network, taken)[taken[0]]
        forged, honest = plain_message(sequence=2, payload=RELEASE), [i for i in network.members if i not in taken]
        before = {i: counted(network, i, "refused_to_sign") for i in honest}
        with pytest.raises(SigningError, match="4 are needed of 5"):
            await thief.sign([forged.digest])
        assert all(counted(network, i, "refused_to_sign") > before[i] for i in honest)
        assert len(network.solana.delivered) == 1
        made = await thief.sign([true.digest])  # control
        assert schnorr.verify(network.solana.group_key, batch_signing_hash([true.digest]), made.signature)


@pytest.mark.devnet
@pytest.mark.asyncio(loop_scope="module")
async def test_hack_harmony_evm__what_two_or_three_of_five_can_make__refused(evm: EvmWorld) -> None:
    message, shares = evm.message(), stolen(MEMBERS, QUORUM)
    signed = batch_signing_hash([message.digest])
    for some in (shares[:2], shares[2:]):
        for forged in forgeries(some, signed):
            assert await evm.refused(message, (1, *split_signature(forged))) == "InvalidSignature"
    await evm.deliver(message, evm.attest(message, key=whole(shares[1:])))  # control: four of five


async def test_hack_harmony_solana__what_two_or_three_of_five_can_make__refused(bench: Bench) -> None:
    message, shares = bench.inbound(payload=RELEASE), stolen(MEMBERS, QUORUM)
    signed = batch_signing_hash([message.digest])
    for some in (shares[:2], shares[2:]):
        for forged in forgeries(some, signed):
            step = bench.delivery(message, Envelope(CommitteeEpoch(1), forged))
            assert bench.refused(step) == "InvalidSignature"
    bench.accepted(bench.delivery(message, bench.envelope(message, key=whole(shares[1:]))))  # control: four of five
