"""Wormhole, 2 February 2022, on the token road: wrapped tokens were minted for a message that no guardian had signed.

What happened: the program that minted believed an account that said "the signatures were checked", and did not look at who had written it.

Why it fails here: the token program does not check signatures, so all that it believes is Sibyl's inbox account: owned by the one Sibyl program
of its settings (never a program that the caller names), of the right type, kind, origin, sender and recipient. It is closed by that Sibyl
program in the same instruction, which finds its address from the digest. No sysvar is read from an account. TOKENS.md §5, §8.
"""

import struct

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_instructions as ti
from bridges.solana.layout import InboxAccount, ProgramAddresses
from bridges.solana.tokens_layout import TOKEN
from contracts.solana.build import build_programs
from oracle.protocol import constants as c
from oracle.protocol.message import Message, non_delivery_message
from oracle.protocol.types import Account
from tests.hacks.road_solana import BOOTY, Road, road, somewhere
from tests.support import solana_program as sp
from tests.support.schnorr import SchnorrKey
from tests.support.solana_program import Bench, bent

THIEF = SchnorrKey.seeded("wormhole thief")
INSTRUCTIONS_SYSVAR = Pubkey.from_string("Sysvar1nstructions1111111111111111111111111")
INBOX, SIBYL = "account_3", "account_5"
"""Places of the accounts of `redeem` and `refund`."""


@pytest.fixture
def here() -> Road:
    return road()


def written_by_sibyl(message: Message, payer: Pubkey) -> bytes:
    """An inbox account, byte for byte as Sibyl would have written it."""
    body = message.to_bytes()
    head = struct.pack("<BBBBIQI4x", c.ACCOUNT_INBOX, 1, 255, message.kind, len(body), sp.NOW, 1)
    return head + bytes(payer) + message.digest + body


def try_all(here: Road, step: Instruction, message: Message) -> None:
    """Every account that says "delivered" and was not written by Sibyl for this."""
    bench, genuine = here.tokens.bench, written_by_sibyl(message, here.tokens.user)
    true = here.tokens.at.sibyl.inbox(message.digest).address
    for owner in (here.thief.pubkey(), here.tokens.at.tokens.program, TOKEN, Pubkey.default()):
        bench.put(place := somewhere(), genuine, owner)
        assert bench.refused(bent(step, **{INBOX: place})) == "WrongOwner"
        bench.put(true, genuine, owner)  # at the very address that Sibyl's account would have
        assert bench.refused(step) == "WrongOwner"
    assert bench.refused(bent(step, **{INBOX: INSTRUCTIONS_SYSVAR})) in ("WrongOwner", "NotWritable")
    for other in (here.tokens.at.sibyl.outbox(1).address, here.tokens.at.sibyl.config.address):
        assert bench.refused(bent(step, **{INBOX: other})) in ("WrongAccountType", "WrongAccountSize")
    bench.put(true, b"", Pubkey.default(), 0)


def test_hack_wormhole_solana_tokens__inbox_that_sibyl_did_not_write__mints_and_releases_nothing(here: Road) -> None:
    before = here.loot
    for token in (here.wrapped, here.native):
        message = here.transfer(token)
        try_all(here, here.redeem(token, message), message)
    assert here.loot == before
    for token in (here.wrapped, here.native):  # control: what Sibyl wrote is paid, and has these very bytes
        message = here.transfer(token)
        delivered = here.tokens.deliver(message)
        address = here.tokens.at.sibyl.inbox(message.digest).address
        real = bytes(here.tokens.bench.account(address).data)
        assert real[3:] == written_by_sibyl(message, delivered.payer)[3:]
        here.tokens.bench.accepted(here.redeem(token, message))
    assert here.tokens.held(here.thief.pubkey(), here.wrapped) == BOOTY


def test_hack_wormhole_solana_tokens__refund_by_a_forged_notice__gives_nothing_back(here: Road) -> None:
    """The thief sent a transfer, which arrived; now it is to come back as well."""
    tokens, her = here.tokens, here.thief.pubkey()
    tokens.give(her, here.native.mint, BOOTY)
    sequence = tokens.bench.next_sequence()
    tokens.bench.accepted(tokens.send(here.native, BOOTY, sender=her), signers=(here.thief,))
    message = tokens.posted(sequence)
    notice = non_delivery_message(message)
    lapsed = ti.Lapsed(notice, tokens.user, sp.EVM, message.expiry)
    before = here.loot
    try_all(here, tokens.refund(here.native, lapsed, her, create=False), notice)
    assert here.loot == before
    tokens.bench.accepted(tokens.bench.delivery(notice))  # control: the committee's own word gives it back
    tokens.bench.accepted(tokens.refund(here.native, lapsed, her, create=False))
    assert tokens.held(her, here.native) == BOOTY


def test_hack_wormhole_solana_tokens__second_sibyl_program_of_the_thief__is_asked_by_nobody(here: Road) -> None:
    """Genuine code, genuine accounts, the thief's key: another address, and so nobody's word."""
    bench, at = here.tokens.bench, ProgramAddresses(Pubkey.new_unique())
    evil = Bench(bench.svm, at, Keypair(), bench.user, bench.treasury, THIEF)
    bench.svm.add_program(at.program, build_programs().sibyl_so.read_bytes())
    sp.set_upgrade_authority(evil, at.program_data, evil.authority.pubkey())
    bench.svm.airdrop(evil.authority.pubkey(), sp.FUNDS)
    evil.accepted(sp.initialise(evil), signers=(evil.authority,))
    register = sp.instructions.register_peer(at, evil.authority.pubkey(), sp.EVM)
    evil.accepted(register, signers=(evil.authority,))
    before = here.loot
    message = here.transfer(here.wrapped)
    theirs = Message(
        message.kind, message.origin, evil.home, message.sequence, message.sender, message.recipient,
        message.expiry, message.payload,
    )  # fmt: skip
    evil.accepted(evil.delivery(theirs))
    forged = at.inbox(theirs.digest).address
    assert InboxAccount.decode(evil.data(forged), at.program).message == theirs  # true, in its own world
    step = here.redeem(here.wrapped, message)
    assert bench.refused(bent(step, **{INBOX: forged})) == "WrongOwner"
    assert bench.refused(bent(step, **{INBOX: forged, SIBYL: at.program})) == "WrongAddress"
    assert here.loot == before


def test_hack_wormhole_solana_tokens__wrapped_token_of_the_thiefs_own_registration__has_nothing_behind_it(
    here: Road,
) -> None:
    """Anybody may register a token: it is another token, with another bridge, and speaks for no other."""
    own = here.tokens.register_wrapped(Account(bytes(12) + bytes([0xBD] * 20)))
    assert own.mint != here.wrapped.mint
    before = here.loot
    message = here.transfer(own)
    here.tokens.deliver(message)
    for token in (here.wrapped, here.native):
        assert here.tokens.bench.refused(here.redeem(token, message)) == "WrongBridge"
    assert here.loot == before
