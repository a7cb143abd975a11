"""Messages that come again, late, or to somebody else: refused by the Solana program."""

import hashlib

import pytest
from solders.pubkey import Pubkey

from bridges.solana import instructions
from oracle.protocol import constants as c
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import (
    Account,
    Chain,
    CommitteeEpoch,
    Endpoint,
    evm_account,
)
from tests.support import solana_program as sp
from tests.support.solana_program import Bench, bent

SIGNATURE_AT = 5  # in the data of deliver: the number, then the epoch
BUMPS_AT = SIGNATURE_AT + 65
BRANCH_AT = BUMPS_AT + 2


# ---- replay, and messages for somebody else ----


def test_solana_program_attack_replay__same_message_again__refused(bench: Bench) -> None:
    message = bench.inbound()
    bench.accepted(bench.delivery(message))
    assert bench.refused(bench.delivery(message)) == "AlreadyDelivered"
    close = instructions.close_inbox(bench.at, bench.user.pubkey(), message.digest, bench.user.pubkey())
    bench.accepted(close)
    assert bench.refused(bench.delivery(message)) == "AlreadyDelivered"


def test_solana_program_attack_replay__other_body_with_the_same_sequence__refused(bench: Bench) -> None:
    bench.accepted(bench.delivery(bench.inbound(payload=b"one")))
    assert bench.refused(bench.delivery(bench.inbound(payload=b"two"))) == "AlreadyDelivered"


def test_solana_program_attack_replay__bitmap_of_another_window_or_origin__refused(bench: Bench) -> None:
    other = Endpoint(Chain.evm(10), sp.EVM.gateway)
    bench.accepted(instructions.register_peer(bench.at, bench.authority.pubkey(), other), signers=(bench.authority,))
    for message in (bench.inbound(sequence=5000), bench.inbound(sequence=1, origin=other)):
        bench.accepted(bench.delivery(message))
    bench.accepted(bench.delivery(bench.inbound(sequence=1)))
    replayed = bench.delivery(bench.inbound(sequence=1, payload=b"again"))
    for wrong in (bench.at.replay(sp.EVM, 5000).address, bench.at.replay(other, 1).address):
        assert bench.refused(bent(replayed, account_4=wrong)) == "WrongAddress"


def test_solana_program_attack_replay__bitmap_with_another_bump__refused(bench: Bench) -> None:
    # A second valid bump for the same seeds would be a second, empty bitmap.
    message = bench.inbound()
    bench.accepted(bench.delivery(message))
    seeds = [c.SEED_REPLAY, keccak256(message.to_bytes()[2:68]), bytes(8)]
    canonical = bench.at.replay(sp.EVM, 1).bump
    lower, address = next(
        (bump, found) for bump in range(canonical - 1, -1, -1) if (found := derived(seeds, bump, bench.at.program))
    )
    step = bench.delivery(bench.inbound(payload=b"again"))
    data = bytearray(step.data)
    data[BUMPS_AT + 1] = lower
    assert bench.refused(bent(step, data=data, account_4=address)) == "NotCanonicalBump"


def derived(seeds: list[bytes], bump: int, program: Pubkey) -> Pubkey | None:
    address = Pubkey(
        hashlib.sha256(b"".join(seeds) + bytes([bump]) + bytes(program) + b"ProgramDerivedAddress").digest()
    )
    return None if address.is_on_curve() else address


@pytest.mark.parametrize("kind", ["evm", "other cluster", "other program"])
def test_solana_program_attack__message_for_another_chain__refused(bench: Bench, kind: str) -> None:
    elsewhere = {
        "evm": Endpoint(Chain.evm(1), evm_account(bytes([1] * 20))),
        "other cluster": Endpoint(Chain.solana(bytes([9] * 32)), bench.home.gateway),
        "other program": Endpoint(Chain.solana(sp.GENESIS), Account(bytes([9] * 32))),
    }[kind]
    recipient = sp.EVM_USER if kind == "evm" else None
    assert (
        bench.refused(bench.delivery(bench.inbound(destination=elsewhere, recipient=recipient))) == "WrongDestination"
    )


def test_solana_program_attack__expired_message__refused(bench: Bench) -> None:
    assert bench.refused(bench.delivery(bench.inbound(expiry=sp.NOW - 1))) == "Expired"


def test_solana_program_attack__ended_or_unknown_epoch__refused(bench: Bench) -> None:
    successor = sp.committee_key("successor")
    replace_key = instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(successor, 2), 0)
    bench.accepted(replace_key, signers=(bench.authority,))
    message = bench.inbound()
    bench.set_time(sp.NOW + sp.ACTIVATION_DELAY + 1)
    assert bench.refused(bench.delivery(message)) == "EndedEpoch"
    old_key_new_epoch = bench.envelope(message, epoch=2)
    assert bench.refused(bench.delivery(message, old_key_new_epoch)) == "InvalidSignature"
    wrong_account = bent(
        bench.delivery(message, bench.envelope(message, key=successor, epoch=2)),
        account_2=bench.at.committee(CommitteeEpoch(1)).address,
    )
    assert bench.refused(wrong_account) == "WrongEpoch"
    assert bench.refused(bench.delivery(message, bench.envelope(message, epoch=3))) == "WrongOwner"
