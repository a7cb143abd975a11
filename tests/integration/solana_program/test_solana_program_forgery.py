"""Forged accounts, signatures and branches at the Solana program, named after the hacks that they repeat. Each fails for the reason that is named."""

from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import instructions
from oracle.protocol import constants as c
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import (
    Chain,
    CommitteeEpoch,
    Endpoint,
    evm_account,
)
from tests.support import solana_program as sp
from tests.support.schnorr import ORDER, SchnorrKey
from tests.support.solana_program import Bench, bent, copy_account

SIGNATURE_AT = 5  # in the data of deliver: the number, then the epoch
BUMPS_AT = SIGNATURE_AT + 65
BRANCH_AT = BUMPS_AT + 2


# ---- Wormhole 2022: a fake account in the place of the real one ----


def fake_committee(bench: Bench, address: Pubkey, owner: Pubkey, evil: SchnorrKey) -> None:
    def put_key(data: bytearray) -> None:
        data[c.COMMITTEE_ACCOUNT_GROUP_KEY_PARITY_OFFSET] = evil.parity
        data[c.COMMITTEE_ACCOUNT_GROUP_KEY_X_OFFSET :] = evil.px.to_bytes(32)

    copy_account(bench, bench.at.committee(CommitteeEpoch(1)).address, address, owner, put_key)


@pytest.mark.parametrize("owned_by_program", [False, True])
def test_solana_program_attack_wormhole__fake_committee_account__refused(
    bench: Bench, mallory: Keypair, owned_by_program: bool
) -> None:
    evil, fake = sp.committee_key("evil"), Keypair().pubkey()
    fake_committee(bench, fake, bench.at.program if owned_by_program else mallory.pubkey(), evil)
    message = bench.inbound()
    step = bent(bench.delivery(message, bench.envelope(message, key=evil)), account_2=fake)
    assert bench.refused(step) == ("WrongAddress" if owned_by_program else "WrongOwner")


@pytest.mark.parametrize("owned_by_program", [False, True])
def test_solana_program_attack_wormhole__fake_configuration__refused(
    bench: Bench, mallory: Keypair, owned_by_program: bool
) -> None:
    fake = Keypair().pubkey()

    def take_authority(data: bytearray) -> None:
        data[c.CONFIG_ACCOUNT_AUTHORITY_OFFSET : c.CONFIG_ACCOUNT_AUTHORITY_OFFSET + 32] = bytes(mallory.pubkey())

    copy_account(
        bench, bench.at.config.address, fake, bench.at.program if owned_by_program else mallory.pubkey(), take_authority
    )
    step = bent(instructions.register_model(bench.at, mallory.pubkey(), sp.model(price=0)), account_1=fake)
    assert bench.refused(step, signers=(mallory,)) == ("WrongAddress" if owned_by_program else "WrongOwner")


def test_solana_program_attack_wormhole__account_of_another_type__refused(bench: Bench) -> None:
    message = bench.inbound()
    for index in (1, 2):
        step = bent(bench.delivery(message), **{f"account_{index}": bench.at.model(sp.MODEL).address})
        assert bench.refused(step) in ("WrongAccountSize", "WrongAccountType")


def test_solana_program_attack_wormhole__program_owned_account_without_type__refused(bench: Bench) -> None:
    # Anyone can have the system program create an account of zeros that this program owns.
    blank = Keypair().pubkey()
    for index, size in ((1, c.CONFIG_ACCOUNT_SIZE), (2, c.COMMITTEE_ACCOUNT_SIZE)):
        bench.put(blank, bytes(size), bench.at.program)
        assert bench.refused(bent(bench.delivery(bench.inbound()), **{f"account_{index}": blank})) == "WrongAccountType"


def test_solana_program_attack_wormhole__fake_peer__refused(bench: Bench, mallory: Keypair) -> None:
    stranger = Endpoint(Chain.evm(666), evm_account(bytes([6] * 20)))
    message, fake = bench.inbound(origin=stranger), Keypair().pubkey()
    assert bench.refused(bench.delivery(message)) == "UnknownPeer"
    assert bench.refused(bent(bench.delivery(message), account_3=bench.at.peer(sp.EVM).address)) == "UnknownPeer"
    assert bench.refused(bent(bench.delivery(message), account_3=bench.at.config.address)) == "UnknownPeer"
    data = bytes([c.ACCOUNT_PEER, c.ACCOUNT_LAYOUT_VERSION, 255, 1, 0, 0]) + message.to_bytes()[2:68]
    bench.put(fake, data, mallory.pubkey())
    assert bench.refused(bent(bench.delivery(message), account_3=fake)) == "UnknownPeer"


def test_solana_program_attack_wormhole__program_owned_copies_at_other_addresses__refused(bench: Bench) -> None:
    # Such copies cannot come about; if they ever could, the address alone would still stop them.
    message, fake, user = bench.inbound(), Keypair().pubkey(), bench.user.pubkey()
    bench.accepted(bench.delivery(message))

    def copied(address: Pubkey) -> Pubkey:
        copy_account(bench, address, fake, bench.at.program, lambda data: None)
        return fake

    cheap = instructions.request(bench.at, user, 1, sp.DEADLINE, bench.asked())
    assert bench.refused(bent(cheap, account_2=copied(bench.at.model(sp.MODEL).address))) == "WrongAddress"
    close = instructions.close_inbox(bench.at, user, message.digest, user)
    assert bench.refused(bent(close, account_1=copied(bench.at.inbox(message.digest).address))) == "WrongAddress"
    again = bench.delivery(bench.inbound(sequence=2))
    assert bench.refused(bent(again, account_4=copied(bench.at.replay(sp.EVM, 1).address))) == "WrongAddress"


# ---- Nomad 2022: a zero root was trusted ----


def test_solana_program_attack_nomad__zero_or_empty_signature__refused(bench: Bench) -> None:
    message = bench.inbound()
    step = bench.delivery(message)
    data = bytes(step.data)
    for signature in (bytes(65), b"\2" + bytes(64), b"\2" + bytes(31) + b"\1" + bytes(32)):
        forged = data[:SIGNATURE_AT] + signature + data[BUMPS_AT:]
        assert bench.refused(bent(step, data=forged)) == "InvalidSignature"


def test_solana_program_attack_nomad__signature_over_a_zero_root__proves_nothing(bench: Bench) -> None:
    message = bench.inbound()
    for root in (bytes(32), message.digest):
        signature = bench.key.sign(keccak256(c.DOMAIN_BATCH, root))
        envelope = instructions.Envelope(CommitteeEpoch(1), signature)
        assert bench.refused(bench.delivery(message, envelope)) == "InvalidSignature"


# ---- BNB 2022: the proof's branch was not checked ----


def test_solana_program_attack_bnb__forged_branch__refused(bench: Bench) -> None:
    real, forged = bench.inbound(sequence=1), bench.inbound(sequence=2, payload=b"forged")
    other = bench.inbound(sequence=3)
    honest = bench.envelope(real, other)
    for branch in ((), (bytes(32),), honest.branch, (real.digest,), (*honest.branch, *honest.branch)):
        assert bench.refused(bench.delivery(forged, replace(honest, branch=branch))) == "InvalidSignature"
    bench.accepted(bench.delivery(real, honest))


def test_solana_program_attack_bnb__inner_node_as_a_leaf__refused(bench: Bench) -> None:
    # Leaves and nodes are hashed apart, so the 64 bytes of an inner node are never a message's digest.
    left, right = bench.inbound(sequence=1), bench.inbound(sequence=2)
    envelope = bench.envelope(left, right)
    third = bench.inbound(sequence=3)
    assert bench.refused(bench.delivery(third, replace(envelope, branch=()))) == "InvalidSignature"


def test_solana_program_attack_bnb__branch_longer_than_allowed__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    data = bytes(step.data)
    too_long = data[:BRANCH_AT] + bytes([17]) + bytes(17 * 32) + data[BRANCH_AT + 1 :]
    assert bench.refused(bent(step, data=too_long)) == "BranchTooLong"


# ---- signatures ----


def test_solana_program_attack__signature_bent_in_any_part__refused(bench: Bench) -> None:
    step = bench.delivery(bench.inbound())
    data = bytes(step.data)
    for at in (SIGNATURE_AT, SIGNATURE_AT + 1, SIGNATURE_AT + 32, SIGNATURE_AT + 33, SIGNATURE_AT + 64):
        forged = bytearray(data)
        forged[at] ^= 1
        assert bench.refused(bent(step, data=forged)) == "InvalidSignature"


def test_solana_program_attack__z_not_reduced__refused(bench: Bench) -> None:
    # The same number plus n would be a second valid encoding.
    for i in range(200):
        message = bench.inbound(payload=bytes([i]))
        envelope = bench.envelope(message)
        z = int.from_bytes(envelope.signature[33:])
        if z + ORDER < 1 << 256:
            break
    else:
        z = 1  # none is small enough (they hardly ever are): z = 1 + n is refused all the same
    forged = envelope.signature[:33] + (z + ORDER).to_bytes(32)
    assert bench.refused(bench.delivery(message, replace(envelope, signature=forged))) == "InvalidSignature"


def test_solana_program_attack__group_key_not_below_the_order_or_without_possession__refused() -> None:
    bench = sp.deploy()
    good = instructions.initialise(
        bench.at, bench.authority.pubkey(), sp.GENESIS, bench.treasury, sp.group_key(bench.key), 0
    )
    at = 3 + 4 + 64  # parity, then x, in the data of initialise
    for x in (0, ORDER, ORDER + 1, (1 << 256) - 1):
        data = bytearray(good.data)
        data[at + 1 : at + 33] = x.to_bytes(32)
        assert bench.refused(bent(good, data=data), signers=(bench.authority,)) == "InvalidGroupKey"
    for parity in (2, 255):
        data = bytearray(good.data)
        data[at] = parity
        assert bench.refused(bent(good, data=data), signers=(bench.authority,)) == "InvalidGroupKey"
    rogue = replace(sp.group_key(bench.key), x=sp.committee_key("rogue").px.to_bytes(32))
    step = instructions.initialise(bench.at, bench.authority.pubkey(), sp.GENESIS, bench.treasury, rogue, 0)
    assert bench.refused(step, signers=(bench.authority,)) == "InvalidSignature"
    other_epoch = replace(sp.group_key(bench.key), proof_of_possession=bench.key.proof_of_possession(2))
    step = instructions.initialise(bench.at, bench.authority.pubkey(), sp.GENESIS, bench.treasury, other_epoch, 0)
    assert bench.refused(step, signers=(bench.authority,)) == "InvalidSignature"
