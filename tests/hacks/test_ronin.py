"""Ronin, 23 March 2022: 173,600 ether and 25.5 million USDC (some 620 million dollars) left by two withdrawals; it was noticed six days later.

What happened: five of nine validator keys sufficed. Four lay with one company; the fifth had been lent to it months before to sign in another's
name, and the loan was never taken back. Who entered the company had a quorum. Nothing watched for signatures that had no deposit behind them.

Why it fails here: a quorum is more than two thirds of the members; each share lies in a process of its own, and fewer shares than the quorum
are arithmetically no signature: whatever can be made of them fails under the group key on both chains. No member signs in another's name. The
attempt is seen: every honest member that is asked counts the refusal and logs it.
Invariant 3 (own observation only), 10 (a signing nonce is used once).
"""

import itertools
import os
from dataclasses import replace

import pytest

from bridges.evm.points import split_signature
from bridges.frost.coordinator import CommitRequest, ShareRequest
from bridges.frost.errors import InvalidSignature, KeyMaterialError, NonceSpent
from bridges.frost.session import Signer
from bridges.frost.signing import (
    COMMIT_RANDOMNESS_BYTES,
    NonceCommitment,
    SignatureShare,
    aggregate,
    commit,
    find_culprits,
    prepare,
    sign,
    verify_share,
)
from bridges.solana.instructions import Envelope
from oracle.errors import SigningError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import InferenceResult
from oracle.protocol.quorum import quorum
from oracle.protocol.types import CommitteeEpoch, Digest, Policy
from tests.hacks.committee import counted, take_over
from tests.hacks.world import GROUP, RELEASE, EvmWorld, forgeries, interpolated, secret_of, stolen
from tests.support import schnorr
from tests.support import solana_verifier as sv
from tests.support.network import Network
from tests.support.samples import EVM, plain_message
from tests.support.solana_program import Bench

MEMBERS, QUORUM = 4, 3
VALUE = Digest(bytes(range(32)))
"""Some 32 bytes to be signed."""


def test_hack_ronin__any_shares_short_of_the_quorum__make_no_signature() -> None:
    shares, tried = stolen(MEMBERS, QUORUM), 0
    for size in range(1, QUORUM):
        for some in itertools.combinations(shares, size):
            for forged in forgeries(some, VALUE):
                assert not schnorr.verify(GROUP.public, VALUE, forged)
                tried += 1
    assert tried > 200
    for some in itertools.combinations(shares, QUORUM):  # control: the thief's arithmetic is right, it lacks a share
        secret = interpolated([(int(share.identifier), secret_of(share)) for share in some])
        assert secret == GROUP.secret
        assert any(schnorr.verify(GROUP.public, VALUE, made) for made in forgeries(some, VALUE))


def test_hack_ronin__product_code_with_too_few_made_up_or_repeated_signers__refused() -> None:
    shares = stolen(MEMBERS, QUORUM)
    public = shares[0].public
    nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares]
    commitments = [nonce.commitment for nonce in nonces]
    with pytest.raises(KeyMaterialError, match="fewer than the quorum of 3"):
        prepare(public, VALUE, commitments[:2])
    with pytest.raises(KeyMaterialError, match="only once"):
        prepare(public, VALUE, [*commitments[:2], commitments[0]])
    stranger = NonceCommitment.from_bytes(b"\0\x09" + commitments[0].to_bytes()[2:])
    with pytest.raises(KeyMaterialError, match="not a member"):
        prepare(public, VALUE, [*commitments[:2], stranger])
    # In member 3's name, with nonces of the thief's own and the share of another.
    posed = commit(shares[1], os.urandom(COMMIT_RANDOMNESS_BYTES))
    as_third = NonceCommitment.from_bytes(b"\0\3" + posed.commitment.to_bytes()[2:])
    package = prepare(public, VALUE, [*commitments[:2], as_third])
    made = [sign(share, nonce, package) for share, nonce in zip(shares[:2], nonces[:2], strict=True)]
    for z in (made[0].z, made[1].z, (made[0].z + made[1].z) % schnorr.ORDER, 1, 0):
        third = SignatureShare.from_bytes(b"\0\3" + z.to_bytes(32))
        with pytest.raises(InvalidSignature):
            aggregate(package, [*made, third])
        assert find_culprits(package, [*made, third]) == (3,)
    with pytest.raises(KeyMaterialError, match="exactly one share"):
        aggregate(package, made)
    with pytest.raises(KeyMaterialError, match="exactly one share"):
        aggregate(package, [*made, made[0]])
    fresh = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares[:3]]
    package = prepare(public, VALUE, [nonce.commitment for nonce in fresh])
    true = [sign(share, nonce, package) for share, nonce in zip(shares[:3], fresh, strict=True)]
    assert schnorr.verify(GROUP.public, VALUE, aggregate(package, true).to_bytes())  # control


def test_hack_ronin__shares_of_an_earlier_signature__serve_no_other() -> None:
    """The thief holds two shares and recorded the third member's part in an honest signature."""
    shares = stolen(MEMBERS, QUORUM)[:3]
    public = shares[0].public
    nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares]
    old = prepare(public, bytes(32), [nonce.commitment for nonce in nonces])
    recorded = [sign(share, nonce, old) for share, nonce in zip(shares, nonces, strict=True)]
    assert schnorr.verify(GROUP.public, bytes(32), aggregate(old, recorded).to_bytes())  # control: it was good then
    again = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in shares[:2]]
    replayed = prepare(public, VALUE, [*(nonce.commitment for nonce in again), nonces[2].commitment])
    made = [sign(share, nonce, replayed) for share, nonce in zip(shares[:2], again, strict=True)]
    with pytest.raises(InvalidSignature):
        aggregate(replayed, [*made, recorded[2]])
    assert find_culprits(replayed, [*made, recorded[2]]) == (3,)
    same = prepare(public, VALUE, [nonce.commitment for nonce in nonces])  # all commitments again, another message
    with pytest.raises(InvalidSignature):
        aggregate(same, recorded)
    with pytest.raises(NonceSpent):
        sign(shares[0], nonces[0], same)


async def test_hack_ronin__honest_member_asked_twice_with_one_nonce__answers_once() -> None:
    """Two answers under one nonce would give its share away: two equations, two unknowns."""
    shares = stolen(MEMBERS, QUORUM)

    async def agree(context: bytes) -> bytes:
        return VALUE

    signer = Signer(shares[2], agree)
    session = os.urandom(16)
    first = NonceCommitment.from_bytes(await signer.answer_commit(1, CommitRequest(session, b"context").to_bytes()))

    def asked() -> tuple[bytes, tuple[NonceCommitment, ...]]:
        nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)).commitment for share in shares[:2]]
        return ShareRequest(session, (*nonces, first)).to_bytes(), (*nonces, first)

    body, commitments = asked()
    given = SignatureShare.from_bytes(await signer.answer_share(1, body))
    assert verify_share(prepare(shares[0].public, VALUE, commitments), given)  # control: it does answer once
    for again in (body, asked()[0]):
        with pytest.raises(NonceSpent):
            await signer.answer_share(1, again)
    renewed = NonceCommitment.from_bytes(await signer.answer_commit(1, CommitRequest(session, b"context").to_bytes()))
    assert renewed != first, "the same session again has other nonces"
    with pytest.raises(NonceSpent):
        await signer.answer_share(2, asked()[0])  # nor in another coordinator's name
    signer.close()


async def test_hack_ronin__two_nodes_taken__get_no_signature_and_are_counted_by_the_others(network: Network) -> None:
    for identifier in network.members:
        network.start(identifier)
    true = plain_message(payload=b"a true withdrawal")
    network.evm.append(true)
    await network.until(lambda: network.delivered(network.solana, true) and network.everyone_finished(range(1, 5)))
    thieves = take_over(network, (3, 4))
    forged = plain_message(sequence=2, payload=RELEASE)
    before = [counted(network, i, "refused_to_sign") for i in (1, 2)]
    for thief in thieves.values():
        with pytest.raises(SigningError, match="3 are needed of 4") as caught:
            await thief.sign([forged.digest])
        assert str(caught.value).count("has not reached a message") == 2, "both honest members said why"
        with pytest.raises(SigningError):
            await thief.sign([true.digest, forged.digest])  # nor smuggled in beside a true one
    after = [counted(network, i, "refused_to_sign") for i in (1, 2)]
    assert all(b >= a + 4 for a, b in zip(before, after, strict=True)), "each attempt shows in the metrics"
    assert list(network.solana.delivered) == [(EVM, 1)]
    attestation = await thieves[4].sign([true.digest])  # control: for what was truly posted they do sign
    assert schnorr.verify(network.solana.group_key, batch_signing_hash([true.digest]), attestation.signature)


def test_hack_ronin__quorum__is_always_over_two_thirds() -> None:
    for members in range(1, 256):
        assert 3 * quorum(members) > 2 * members
        assert quorum(members) <= members
    assert quorum(9) == 7, "where five of nine sufficed"


@pytest.mark.devnet
@pytest.mark.asyncio(loop_scope="module")
async def test_hack_ronin_evm__what_two_shares_can_make__refused(evm: EvmWorld) -> None:
    message, shares = evm.message(), stolen(MEMBERS, QUORUM)
    signed = batch_signing_hash([message.digest])
    for forged in forgeries((shares[0], shares[3]), signed):
        assert await evm.refused(message, (1, *split_signature(forged))) == "InvalidSignature"
    key = schnorr.SchnorrKey(interpolated([(int(s.identifier), secret_of(s)) for s in shares[1:]]))
    await evm.deliver(message, evm.attest(message, key=key))  # control: three shares


async def test_hack_ronin_solana__what_two_shares_can_make__refused(bench: Bench) -> None:
    message, shares = bench.inbound(payload=RELEASE), stolen(MEMBERS, QUORUM)
    signed = batch_signing_hash([message.digest])
    for two in itertools.combinations(shares, 2):
        for forged in forgeries(two, signed):
            step = bench.delivery(message, Envelope(CommitteeEpoch(1), forged))
            assert bench.refused(step) == "InvalidSignature"
    key = schnorr.SchnorrKey(interpolated([(int(s.identifier), secret_of(s)) for s in shares[1:]]))
    bench.accepted(bench.delivery(message, bench.envelope(message, key=key)))  # control: three shares


async def test_hack_ronin_solana__with_every_key_stolen__what_was_to_be_proven_is_not_signed_away(bench: Bench) -> None:
    """More than Ronin lost: the whole committee is the thief's. A request under PROVEN has no use for its signature."""
    world = sv.start(bench)
    proof = sv.honest()
    world.upload_key(proof)
    world.register(world.model(proof))
    request = world.ask(proof)
    for policy in Policy:
        lie = InferenceResult.from_bytes(world.answer(request, proof).payload)
        payload = replace(lie, policy=policy, outputs=(1 << 40,)).to_bytes()
        forged = replace(world.answer(request, proof), payload=payload)
        assert bench.refused(bench.delivery(forged)) == "UnsupportedPolicy"
    tail = world.upload(request.digest, proof.given)
    assert bench.refused(world.fulfilment(request, proof, tail, outputs=(1 << 40,))) == "InvalidProof"
    bench.accepted(world.fulfilment(request, proof, tail))  # control: the true answer needs no committee
