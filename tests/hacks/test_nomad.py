"""Nomad, 1 August 2022: some 190 million dollars were taken, by hundreds of people who copied one transaction.

What happened: an upgrade initialised the replica contract with a trusted root of zero. A message that had never been proven has root zero in the
contract's mapping, so that every unproven message counted as proven; who copied a transaction and put his own address in was paid.

Why it fails here: no root is stored, given or looked up; it is computed from the leaf. What was never set is refused and not believed: epoch 0 and
every epoch without a key, a peer that nobody registered, a program that nobody initialised. A signature of zeros is refused before any
arithmetic. Invariant 6 (roots are computed) and 5 (a sequence is delivered once, so that a copy is refused).
"""

from dataclasses import replace

import pytest

from bridges.evm.abi import account_of, creation_code
from bridges.evm.points import split_signature
from bridges.evm.sender import Call
from bridges.solana import instructions
from oracle.errors import Rejected
from oracle.protocol import constants as c
from oracle.protocol.errors import ProtocolError
from oracle.protocol.hashing import batch_signing_hash, keccak256, key_possession_hash
from oracle.protocol.message import Message, encode_endpoint, origin_hash
from oracle.protocol.types import Account, Chain, CommitteeEpoch, Endpoint, evm_account
from tests.hacks.world import GROUP, EvmWorld
from tests.support import solana_program as sp
from tests.support.evm_chain import DELAY, OPERATORS
from tests.support.schnorr import SchnorrKey
from tests.support.solana_program import Bench, bent

pytestmark = pytest.mark.asyncio(loop_scope="module")

ZERO_SIGNATURES = (bytes(65), b"\2" + bytes(64), b"\3" + bytes(64), b"\2" + bytes(31) + b"\1" + bytes(32))
SIGNATURE_AT, BODY_AT = 5, 5 + 65 + 2 + 1 + 2
"""In the data of `deliver` with an empty branch."""


# ---- on EVM ----


@pytest.mark.devnet
async def test_hack_nomad_evm__default_values_for_a_signature__refused(evm: EvmWorld) -> None:
    message = evm.message()
    good = evm.attest(message)
    for epoch, reason in (
        (0, "UnknownEpoch"),
        (2, "UnknownEpoch"),
        (2**32 - 1, "UnknownEpoch"),
        (1, "InvalidSignature"),
    ):
        assert await evm.refused(message, (epoch, 0, 0, 0)) == reason
    assert await evm.refused(message, (0, *good[1:])) == "UnknownEpoch"
    assert await evm.refused(message, (1, 0, 0, good[3])) == "InvalidSignature"
    assert await evm.refused(message, (1, good[1], good[2], 0)) == "InvalidSignature"
    await evm.deliver(message, good)  # control


@pytest.mark.devnet
async def test_hack_nomad_evm__the_zero_root_truly_signed__proves_no_message(evm: EvmWorld) -> None:
    message = evm.message()
    for root in (bytes(32), message.digest):
        signed = GROUP.sign(keccak256(c.DOMAIN_BATCH, root))
        for branch in ((), (bytes(32),), (bytes(32),) * c.MERKLE_MAX_DEPTH):
            assert await evm.refused(message, (1, *split_signature(signed)), branch) == "InvalidSignature"
    await evm.deliver(message, evm.attest(message))  # control


@pytest.mark.devnet
async def test_hack_nomad_evm__contracts_that_nobody_set_up__deliver_nothing(evm: EvmWorld) -> None:
    sender = evm.deployed.sender()
    committee = (await sender.send(Call(None, creation_code("Committee", sender.address, DELAY)))).contract
    gateway = (await sender.send(Call(None, creation_code("Gateway", sender.address, committee)))).contract
    assert committee is not None
    assert gateway is not None
    fresh = EvmWorld(replace(evm.deployed, deployment=replace(evm.deployed.deployment, gateway=gateway)))
    message = fresh.message()
    for epoch in (0, 1):
        assert await fresh.refused(message, (epoch, 0, 0, 0)) == "UnknownEpoch"
        assert await fresh.refused(message, (epoch, *evm.attest(message)[1:])) == "UnknownEpoch"
    # With a key and still no peer: the origin is refused.
    await evm.send(
        "Committee",
        committee,
        "setFirstKey",
        GROUP.px,
        GROUP.parity,
        3,
        OPERATORS,
        split_signature(GROUP.proof_of_possession()),
    )
    assert await fresh.refused(message, fresh.attest(message)) == "UnknownPeer"
    await evm.send("Gateway", gateway, "setPeer", encode_endpoint(message.origin), True)
    await fresh.deliver(message, fresh.attest(message))  # control: set up, it delivers


@pytest.mark.devnet
async def test_hack_nomad_evm__nothing_is_trusted_or_delivered_by_default(evm: EvmWorld) -> None:
    at = evm.deployed.deployment
    for hash_ in (bytes(32), keccak256(bytes(66)), b"\xff" * 32):
        assert await evm.view("Gateway", at.gateway, "isPeer", hash_) == (False,)
        assert await evm.view("Gateway", at.gateway, "delivered", hash_, 0) == (False,)
    stranger = Endpoint(Chain.evm(666), account_of(at.gateway))
    message = evm.message(origin=stranger)
    assert await evm.refused(message, evm.attest(message)) == "UnknownPeer"
    owner = evm.deployed.anvil.account(0)
    assert owner.address == evm.deployed.sender(0).address
    zeros = {"InvalidChainReference": bytes(66), "InvalidAddress": encode_endpoint(stranger)[:34] + bytes(32)}
    for reason, origin in zeros.items():
        with pytest.raises(Rejected) as caught:  # not even the owner can register the zero peer
            await evm.send("Gateway", at.gateway, "setPeer", origin, True, by=0)
        assert caught.value.reason == reason
    own = evm.message()
    known = origin_hash(own.origin)
    assert await evm.view("Gateway", at.gateway, "isPeer", known) == (True,)  # control
    await evm.deliver(own, evm.attest(own))
    assert await evm.view("Gateway", at.gateway, "delivered", known, own.sequence) == (True,)


@pytest.mark.devnet
async def test_hack_nomad_evm__body_of_zeros_or_a_copied_transaction__refused(evm: EvmWorld) -> None:
    message = evm.message()
    attestation = evm.attest(message)
    assert await evm.refused(bytes(c.BODY_SIZE), attestation) == "UnsupportedVersion"
    assert await evm.refused(b"", attestation) == "WrongLength"
    await evm.deliver(message, attestation)  # control, and the transaction that everybody copies
    assert await evm.refused(message, attestation) == "AlreadyDelivered"
    copied = replace(message, recipient=evm_account(bytes([0xBA] * 20)))
    assert await evm.refused(copied, attestation) == "InvalidSignature"


@pytest.mark.devnet
async def test_hack_nomad_evm__key_of_zeros__cannot_be_registered(evm: EvmWorld) -> None:
    committee, proof = evm.deployed.deployment.committee, split_signature(GROUP.proof_of_possession(2))
    for px, parity, reason in ((0, 0, "InvalidGroupKey"), (GROUP.px, GROUP.parity, "InvalidProofOfPossession")):
        with pytest.raises(Rejected) as caught:
            await evm.send("Committee", committee, "replaceKey", px, parity, 3, OPERATORS, 0, (0, 0, 0), by=0)
        assert caught.value.reason == reason
    with pytest.raises(Rejected) as caught:
        await evm.send("Committee", committee, "setFirstKey", GROUP.px, GROUP.parity, 3, OPERATORS, proof, by=0)
    assert caught.value.reason == "EpochNotNext"
    snapshot = await evm.deployed.anvil.rpc("evm_snapshot")
    key = (GROUP.px, GROUP.parity, 3, OPERATORS, 0, proof)
    await evm.send("Committee", committee, "replaceKey", *key, by=0)  # control
    await evm.deployed.anvil.rpc("evm_revert", snapshot)


# ---- on Solana ----


async def test_hack_nomad_solana__default_values_for_a_signature__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    data = bytes(step.data)
    for signature in ZERO_SIGNATURES:
        forged = data[:SIGNATURE_AT] + signature + data[SIGNATURE_AT + 65 :]
        assert bench.refused(bent(step, data=forged)) == "InvalidSignature"
    zero_epoch = data[:1] + bytes(4) + data[5:]
    assert bench.refused(bent(step, data=zero_epoch)) == "WrongEpoch"
    bench.accepted(step)  # control


async def test_hack_nomad_solana__epoch_that_nobody_set__has_no_account_to_believe(bench: Bench) -> None:
    message = bench.inbound()
    step = bench.delivery(message, bench.envelope(message, epoch=2))
    assert bench.refused(step) == "WrongOwner"
    target = step.accounts[2].pubkey
    bench.put(target, bytes(c.COMMITTEE_ACCOUNT_SIZE), bench.at.program)  # were it there, zeros are no committee
    assert bench.refused(step) == "WrongAccountType"
    bench.accepted(bench.delivery(message))  # control


async def test_hack_nomad_solana__the_zero_root_truly_signed__proves_no_message(bench: Bench) -> None:
    message = bench.inbound()
    for root in (bytes(32), message.digest):
        signature = GROUP.sign(keccak256(c.DOMAIN_BATCH, root))
        for branch in ((), (bytes(32),), (bytes(32),) * c.MERKLE_MAX_DEPTH):
            envelope = instructions.Envelope(CommitteeEpoch(1), signature, branch)
            assert bench.refused(bench.delivery(message, envelope)) == "InvalidSignature"
    bench.accepted(bench.delivery(message))  # control


async def test_hack_nomad_solana__program_that_nobody_initialised__delivers_nothing() -> None:
    bench = sp.deploy(GROUP)
    message = bench.inbound(origin=bench.home)
    assert bench.refused(bench.delivery(message)) == "WrongOwner"
    thief = instructions.initialise(
        bench.at, bench.user.pubkey(), sp.GENESIS, bench.treasury, sp.group_key(bench.key), 0
    )
    assert bench.refused(thief) == "NotUpgradeAuthority"
    bench.accepted(sp.initialise(bench), signers=(bench.authority,))
    bench.accepted(bench.delivery(message))  # control


async def test_hack_nomad_solana__unregistered_or_revoked_peer__refused(bench: Bench) -> None:
    stranger = Endpoint(Chain.evm(666), sp.EVM.gateway)
    assert bench.refused(bench.delivery(bench.inbound(origin=stranger))) == "UnknownPeer"
    authority = bench.authority.pubkey()
    bench.accepted(bench.delivery(bench.inbound()))  # control
    bench.accepted(instructions.register_peer(bench.at, authority, sp.EVM, active=False), signers=(bench.authority,))
    assert bench.refused(bench.delivery(bench.inbound(sequence=2))) == "InactivePeer"


async def test_hack_nomad_solana__body_of_zeros_or_a_copied_transaction__refused(bench: Bench) -> None:
    message = bench.inbound()
    step = bench.delivery(message)
    data = bytes(step.data)
    zeros = data[:BODY_AT] + bytes(len(data) - BODY_AT)
    assert bench.refused(bent(step, data=zeros)) == "UnknownVersion"
    bench.accepted(step)  # control
    assert bench.refused(step) == "AlreadyDelivered"
    copied = replace(message, recipient=Account(b"\7" * 32))
    assert bench.refused(bench.delivery(copied, bench.envelope(message))) == "InvalidSignature"


# ---- in the nodes' own code ----


async def test_hack_nomad__empty_batches_and_zero_epochs__are_no_values_here(bench: Bench) -> None:
    message: Message = bench.inbound()
    with pytest.raises(ProtocolError, match="at least one"):
        batch_signing_hash([])
    with pytest.raises(ProtocolError, match="epoch from 1"):
        key_possession_hash(0, bytes(32), 0)
    assert key_possession_hash(1, SchnorrKey.seeded("any").px.to_bytes(32), 0)  # control
    assert batch_signing_hash([message.digest]) != keccak256(c.DOMAIN_BATCH, bytes(32))
