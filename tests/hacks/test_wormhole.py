"""Wormhole, 2 February 2022: 120,000 wrapped ether (some 320 million dollars) were minted on Solana without a guardian's signature.

What happened: the program that checked the guardians' signatures learnt of the signature check from the instructions sysvar, and read it with a
function that did not verify that the account it was given is that sysvar. The attacker passed an account of his own that said the
check had taken place.

Why it fails here: the program checks the signature itself, in the same instruction, and takes its word from no account; every account is
checked for owner, address, type, version and size before it is read, the number of accounts is exact, and the clock comes from a system
call. On EVM the committee is immutable in the gateway, so that a delivery cannot name another one.
Invariants: 1 (what is signed is the body that is delivered), 5 and 6; THREATS.md "every account's owner, address, type, size and signer".
"""

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM

from bridges.evm.abi import creation_code
from bridges.evm.points import split_signature
from bridges.evm.sender import Call
from bridges.solana.layout import ProgramAddresses
from contracts.solana.build import build_programs
from oracle.errors import Rejected
from oracle.protocol import constants as c
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import Chain, CommitteeEpoch, Endpoint, evm_account
from tests.hacks.world import GROUP, EvmWorld
from tests.support import solana_program as sp
from tests.support import solana_verifier as sv
from tests.support.evm_chain import DELAY, OPERATORS
from tests.support.schnorr import SchnorrKey
from tests.support.solana_program import Bench, bent
from tests.support.solana_yes import yes_program

pytestmark = pytest.mark.asyncio(loop_scope="module")

THIEF = SchnorrKey.seeded("wormhole thief")
INSTRUCTIONS_SYSVAR = Pubkey.from_string("Sysvar1nstructions1111111111111111111111111")
CLOCK_SYSVAR = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
CONFIG, COMMITTEE, PEER, REPLAY, INBOX, SYSTEM_PLACE = 1, 2, 3, 4, 5, 6
"""Places of the accounts of `deliver`."""


def with_thiefs_key(bench: Bench) -> bytes:
    """The committee account's bytes, with the thief's key in it: right in every way but where it lies and who owns it."""
    data = bytearray(bench.account(bench.at.committee(CommitteeEpoch(1)).address).data)
    data[c.COMMITTEE_ACCOUNT_GROUP_KEY_PARITY_OFFSET] = THIEF.parity
    data[c.COMMITTEE_ACCOUNT_GROUP_KEY_X_OFFSET : c.COMMITTEE_ACCOUNT_GROUP_KEY_X_OFFSET + 32] = THIEF.px.to_bytes(32)
    return bytes(data)


def second_program(bench: Bench) -> Bench:
    """The same program at another address, initialised by the thief with his own key: all its accounts are genuine, and not ours."""
    evil = Bench(bench.svm, ProgramAddresses(Pubkey.new_unique()), Keypair(), bench.user, bench.treasury, THIEF)
    bench.svm.add_program(evil.at.program, build_programs().sibyl_so.read_bytes())
    sp.set_upgrade_authority(evil, evil.at.program_data, evil.authority.pubkey())
    bench.svm.airdrop(evil.authority.pubkey(), sp.FUNDS)
    evil.accepted(sp.initialise(evil), signers=(evil.authority,))
    return evil


async def test_hack_wormhole_solana__right_bytes_under_the_wrong_owner__refused(bench: Bench) -> None:
    message, fake = bench.inbound(), Keypair().pubkey()
    step = bench.delivery(message, bench.envelope(message, key=THIEF))
    for owner in (Keypair().pubkey(), SYSTEM, bench.at.config.address):
        bench.put(fake, with_thiefs_key(bench), owner)
        assert bench.refused(bent(step, account_2=fake)) == "WrongOwner"
        bench.put(fake, bytes(bench.account(bench.at.config.address).data), owner)
        assert bench.refused(bent(step, account_1=fake)) == "WrongOwner"
    bench.accepted(bench.delivery(message))  # control


async def test_hack_wormhole_solana__right_owner_at_the_wrong_address__refused(bench: Bench) -> None:
    """Such accounts cannot come about; if ever they could, the address alone would stop them."""
    message, fake = bench.inbound(), Keypair().pubkey()
    bench.put(fake, with_thiefs_key(bench), bench.at.program)
    step = bench.delivery(message, bench.envelope(message, key=THIEF))
    assert bench.refused(bent(step, account_2=fake)) == "WrongAddress"
    bench.put(fake, bytes(bench.account(bench.at.config.address).data), bench.at.program)
    assert bench.refused(bent(step, account_1=fake)) == "WrongAddress"
    # Control: at the right address those very bytes are believed, so that it was the address that stopped them.
    bench.put(bench.at.committee(CommitteeEpoch(1)).address, with_thiefs_key(bench), bench.at.program)
    bench.accepted(step)


async def test_hack_wormhole_solana__genuine_accounts_of_another_program__refused(bench: Bench) -> None:
    evil = second_program(bench)
    message = bench.inbound()
    step = bench.delivery(message, bench.envelope(message, key=THIEF))
    theirs = {CONFIG: evil.at.config.address, COMMITTEE: evil.at.committee(CommitteeEpoch(1)).address}
    for place, address in theirs.items():
        assert bench.refused(bent(step, **{f"account_{place}": address})) == "WrongOwner"
    both = {f"account_{place}": address for place, address in theirs.items()}
    assert bench.refused(bent(step, **both)) == "WrongOwner"
    # Control: the thief's program believes its own committee, so the accounts are genuine; and ours believes ours.
    own = evil.inbound(origin=evil.home)
    evil.accepted(evil.delivery(own, evil.envelope(own, key=THIEF)))
    bench.accepted(bench.delivery(message))


async def test_hack_wormhole_solana__our_own_accounts_in_each_others_places__refused(bench: Bench) -> None:
    message = bench.inbound()
    step = bench.delivery(message)
    own = {bench.at.config.address, bench.at.committee(CommitteeEpoch(1)).address, bench.at.peer(sp.EVM).address,
           bench.at.model(sp.MODEL).address}  # fmt: skip
    expected = {"WrongAccountSize", "WrongAccountType", "WrongAddress", "WrongOwner", "UnknownPeer", "NotWritable"}
    tried = 0
    for place in (CONFIG, COMMITTEE, PEER, REPLAY, INBOX, SYSTEM_PLACE):
        for address in own - {step.accounts[place].pubkey}:
            meta = AccountMeta(address, False, place in (REPLAY, INBOX))
            assert bench.refused(bent(step, **{f"account_{place}": meta})) in expected | {"AlreadyExists"}
            tried += 1
    assert tried == 21
    bench.accepted(step)  # control


async def test_hack_wormhole_solana__fake_peer__refused(bench: Bench) -> None:
    stranger = Endpoint(Chain.evm(666), evm_account(bytes([6] * 20)))
    message = bench.inbound(origin=stranger)
    step, fake = bench.delivery(message), Keypair().pubkey()
    peer = bytearray(bench.account(bench.at.peer(sp.EVM).address).data)
    assert peer.count(sp.EVM.gateway) == 1
    forged = bytes(peer).replace(bytes(sp.EVM.gateway), bytes(stranger.gateway))
    for owner in (Keypair().pubkey(), SYSTEM):
        bench.put(fake, forged, owner)
        assert bench.refused(bent(step, account_3=fake)) == "UnknownPeer"
        bench.put(step.accounts[PEER].pubkey, forged, owner)  # even at the address where it would lie
        assert bench.refused(step) == "UnknownPeer"
    assert bench.refused(bent(step, account_3=bench.at.peer(sp.EVM).address)) == "UnknownPeer"
    bench.accepted(bench.delivery(bench.inbound()))  # control: the registered peer


async def test_hack_wormhole_solana__sysvars_and_fake_sysvars__have_no_place(bench: Bench) -> None:
    message = bench.inbound()
    step = bench.delivery(message, bench.envelope(message, key=THIEF))
    fake = Keypair().pubkey()
    bench.put(fake, b"\1" * 64, Pubkey.from_string("Sysvar1111111111111111111111111111111111111"))
    for extra in (INSTRUCTIONS_SYSVAR, CLOCK_SYSVAR, fake, SYSTEM):
        longer = [*step.accounts, AccountMeta(extra, False, False)]
        assert bench.refused(Instruction(step.program_id, bytes(step.data), longer)) == "WrongAccountCount"
        assert bench.refused(bent(step, account_2=extra)) == "WrongOwner"
    honest = bench.delivery(message)
    for place in (INSTRUCTIONS_SYSVAR, fake, bench.at.program):
        assert bench.refused(bent(honest, account_6=place)) == "WrongAddress"
    assert bench.refused(step) == "InvalidSignature"  # every account right, the signature alone is the thief's
    bench.accepted(honest)  # control


async def test_hack_wormhole_solana__word_of_another_verifier_or_key__is_not_asked(bench: Bench) -> None:
    """What Wormhole's program did with the signature check, done with the check of a proof: a program and accounts of the thief's own."""
    world, proof = sv.start(bench), sv.honest()
    world.upload_key(proof)
    world.register(world.model(proof))
    request, yes = world.ask(proof), Pubkey.new_unique()
    bench.svm.add_program(yes, yes_program())
    tail = world.upload(request.digest, proof.given)
    lie = world.fulfilment(request, proof, tail, outputs=(1,))
    assert bench.refused(bent(lie, account_5=yes)) == "WrongVerifier"
    # A second verifier, genuine in every byte, with a key account of its own making.
    bench.svm.add_program(yes, build_programs().verifier_so.read_bytes())
    assert bench.refused(bent(lie, account_5=yes)) == "WrongVerifier"
    fake, key = Keypair().pubkey(), bench.account(world.key_of(proof))
    for owner in (yes, world.verifier.program, SYSTEM):
        bench.put(fake, bytes(key.data), owner)
        assert bench.refused(bent(lie, account_6=fake)) == "WrongVerifier"
    # And a model account that names them: believed by nobody, for where it lies or whose it is.
    model = bytes(bench.account(bench.at.model(sp.MODEL).address).data)
    named = model[: c.MODEL_ACCOUNT_VERIFIER_OFFSET] + bytes(yes) + bytes(fake)
    for owner, verdict in ((bench.at.program, "WrongAddress"), (yes, "WrongOwner")):
        bench.put(fake, named, owner)
        assert bench.refused(bent(lie, account_1=fake, account_5=yes, account_6=fake)) == verdict
    bench.accepted(world.fulfilment(request, proof, tail))  # control


# ---- on EVM ----


@pytest.mark.devnet
async def test_hack_wormhole_evm__committee_contract_of_the_thief__is_asked_by_nobody(evm: EvmWorld) -> None:
    sender = evm.deployed.sender()
    theirs = (await sender.send(Call(None, creation_code("Committee", sender.address, DELAY)))).contract
    assert theirs is not None
    proof = split_signature(THIEF.proof_of_possession())
    await evm.send("Committee", theirs, "setFirstKey", THIEF.px, THIEF.parity, 3, OPERATORS, proof)
    message = evm.message()
    forged = evm.attest(message, key=THIEF)
    signed = batch_signing_hash([message.digest])
    await evm.view("Committee", theirs, "verify", 1, signed, *forged[1:])  # genuine there
    assert await evm.refused(message, forged) == "InvalidSignature"
    with pytest.raises(Rejected) as caught:
        await evm.view("Committee", evm.deployed.deployment.committee, "verify", 1, signed, *forged[1:])
    assert caught.value.reason == "InvalidSignature"
    await evm.deliver(message, evm.attest(message))  # control


@pytest.mark.devnet
async def test_hack_wormhole_evm__gateway_that_believes_the_thiefs_committee__is_no_origin_here(evm: EvmWorld) -> None:
    """A whole bridge of his own, on this very chain: what it posts is from another origin, which no peer list holds."""
    sender = evm.deployed.sender()
    theirs = (await sender.send(Call(None, creation_code("Committee", sender.address, DELAY)))).contract
    gateway = (await sender.send(Call(None, creation_code("Gateway", sender.address, theirs)))).contract
    assert gateway is not None
    origin = Endpoint(evm.endpoint.chain, evm_account(bytes.fromhex(gateway[2:])))
    message = evm.message(origin=origin)
    assert await evm.refused(message, evm.attest(message)) == "UnknownPeer"
    own = evm.message()
    assert await evm.refused(own, (2, *evm.attest(own, key=THIEF, epoch=2)[1:])) == "UnknownEpoch"
    await evm.deliver(own, evm.attest(own, key=GROUP))  # control
