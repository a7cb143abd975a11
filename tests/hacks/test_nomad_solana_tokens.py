"""Nomad, 1 August 2022, on the token road: hundreds of people copied one transaction and put their own address in.

What happened: what had never been proven counted as proven, so that any copy of a message with another recipient was paid.

Why it fails here: a copy with another recipient is another message, which nobody signed; the same message again meets its replay bit; a redeemed
inbox account is gone, in the same instruction that paid; accounts of zeros, and programs that were never initialised, are refused. TOKENS.md §5.
"""

from dataclasses import replace

import pytest
from solders.keypair import Keypair

from bridges.solana import tokens_instructions as ti
from oracle.protocol import constants as c
from oracle.protocol.interop import InteropAddress
from oracle.protocol.tokens import TokenTransfer
from oracle.protocol.types import Account, ChainType, Sequence
from tests.hacks.road_solana import BOOTY, Road, road, somewhere
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent


@pytest.fixture
def here() -> Road:
    return road()


def test_hack_nomad_solana_tokens__copies_with_another_recipient__find_no_signature(here: Road) -> None:
    """One transfer was paid. A hundred people copy the transaction."""
    tokens = here.tokens
    message = here.transfer(here.wrapped)
    envelope = tokens.bench.envelope(message)
    honest = (tokens.bench.delivery(message, envelope), here.redeem(here.wrapped, message))
    before = here.loot
    source = InteropAddress(sp.EVM.chain, sp.EVM_USER)
    for number in range(100):
        who = Account(bytes(Keypair().pubkey()))
        copied = TokenTransfer(source, ChainType.SOLANA, who, BOOTY).to_bytes()
        for copy in (
            replace(message, payload=copied),
            replace(message, payload=copied, sequence=Sequence(900 + number)),
        ):
            assert tokens.bench.refused(tokens.bench.delivery(copy, envelope)) == "InvalidSignature"
    assert here.loot == before
    tokens.bench.accepted(*honest)  # control
    assert tokens.bench.refused(*honest) == "AlreadyDelivered"


def test_hack_nomad_solana_tokens__the_same_again__is_paid_once(here: Road) -> None:
    tokens = here.tokens
    for token in (here.native, here.wrapped):
        message = here.transfer(token)
        deliver, redeem = tokens.bench.delivery(message), here.redeem(token, message)
        tokens.bench.accepted(deliver, redeem)
        after = here.loot
        assert tokens.bench.refused(redeem) == "WrongOwner"
        assert tokens.bench.refused(deliver) == "AlreadyDelivered"
        assert tokens.bench.refused(deliver, redeem) == "AlreadyDelivered"
        # Twice in one transaction, before anything is settled.
        second = here.transfer(token, 1)
        assert (
            tokens.bench.refused(tokens.bench.delivery(second), here.redeem(token, second), here.redeem(token, second))
            == "WrongOwner"
        )
        assert here.loot == after


def test_hack_nomad_solana_tokens__refund_again_or_after_delivery__is_paid_once(here: Road) -> None:
    tokens = here.tokens
    message = tokens.sent(here.native, BOOTY)
    lapsed = tokens.notice(message)
    refund = tokens.refund(here.native, lapsed, create=False)
    tokens.bench.accepted(refund)
    after = here.loot
    assert tokens.bench.refused(refund) == "WrongOwner"
    assert tokens.bench.refused(tokens.bench.delivery(lapsed.notice)) == "AlreadyDelivered"
    # A second notice about the same transfer, under a sequence that is free: its digest would be another message's.
    again = replace(lapsed.notice, sequence=Sequence(message.sequence + 500))
    tokens.bench.accepted(tokens.bench.delivery(again))
    step = tokens.refund(here.native, replace(lapsed, notice=again), create=False)
    assert tokens.bench.refused(step) == "WrongNotice"
    assert here.loot == after


def test_hack_nomad_solana_tokens__signature_of_zeros__mints_nothing(here: Road) -> None:
    before = here.loot
    message = here.transfer(here.wrapped)
    honest = here.tokens.bench.envelope(message)
    for forged in (bytes(65), b"\2" + bytes(64), b"\3" + bytes(31) + b"\1" + bytes(32)):
        step = here.tokens.bench.delivery(message, replace(honest, signature=forged))
        assert here.tokens.bench.refused(step) == "InvalidSignature"
    assert here.loot == before


def test_hack_nomad_solana_tokens__program_or_token_that_was_never_set_up__takes_nothing() -> None:
    """What nobody initialised has zeros where the trusted addresses should be."""
    tokens = st.deploy()
    bench = tokens.bench
    message = tokens.inbound(Account(bytes(32)), bytes(256))
    bench.accepted(bench.delivery(message))
    delivered = ti.Delivered(message, tokens.user)
    accept = tokens.accept(delivered)
    assert bench.refused(accept) == "WrongOwner"
    size = c.TOKENS_BRIDGE_ACCOUNT_SIZE
    bench.put(tokens.authority, bytes(size), tokens.at.tokens.program)
    assert bench.refused(accept) == "WrongAccountType"
    bench.put(tokens.authority, bytes([1, 1]) + bytes(size - 2), tokens.at.tokens.program)
    assert bench.refused(accept) == "WrongAddress"
    here = road()
    zeros = somewhere()
    here.tokens.bench.put(zeros, bytes(c.TOKENS_TOKEN_ACCOUNT_SIZE), here.tokens.at.tokens.program)
    transfer = here.transfer(here.wrapped)
    here.tokens.deliver(transfer)
    assert here.tokens.bench.refused(bent(here.redeem(here.wrapped, transfer), account_2=zeros)) == "WrongAccountType"
