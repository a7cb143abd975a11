"""Poly Network, 10 August 2021, on the token road: a message made the bridge call its own key registry.

What happened: whoever could send a message could name the contract and the method that it would call, and the bridge owned its own registry.

Why it fails here: a message to the bridge authority is a transfer or a registration, parsed strictly, or nothing at all; it names no instruction
and no account. Limits, pauses, exits and keys are changed by an account that signs the transaction, after an announcement that everybody can
read, and no message can sign. A rotation brings a key only when the committee signed a message of its own kind. TOKENS.md §5; PROTOCOL.md §3.
"""

from dataclasses import replace

import pytest
from solders.instruction import AccountMeta

from bridges.solana import instructions
from bridges.solana import tokens_governance as tg
from oracle.protocol.types import Account, CommitteeEpoch, Kind, Sequence, evm_account
from tests.hacks.road_solana import Road, road
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.schnorr import SchnorrKey
from tests.support.solana_program import bent

THIEF = SchnorrKey.seeded("poly thief")


@pytest.fixture
def here() -> Road:
    return road()


def crafted(here: Road) -> list[bytes]:
    """Instruction data that would hand the bridge over, as a message's payload."""
    address = here.tokens.address(here.native)
    acts = [
        tg.unpause(),
        tg.set_limits(address, tg.Limits()),
        tg.emergency_exit(address, 100, here.thief.pubkey()),
    ]
    announced = [bytes(tg.schedule(here.tokens.at, here.thief.pubkey(), act).data) for act in acts]
    keys = instructions.set_committee(here.tokens.at.sibyl, here.thief.pubkey(), sp.group_key(THIEF, 2), 0)
    return [*(act.data for act in acts), *announced, bytes(keys.data)]


def test_hack_poly_solana_tokens__signed_message_with_an_instruction_in_it__is_no_instruction(here: Road) -> None:
    tokens, before = here.tokens, here.loot
    for payload in crafted(here):
        for sender in (here.native.evm_bridge, here.wrapped.evm_bridge, st.FACTORY, evm_account(bytes([9] * 20))):
            message = tokens.inbound(sender, payload)
            delivered = tokens.deliver(message)
            for token in (here.native, here.wrapped):
                done = tokens.bench.refused(here.redeem(token, message))
                assert done in ("WrongBridge", "InvalidTransfer")
            assert tokens.bench.refused(tokens.accept(delivered)) in ("WrongBridge", "InvalidRegistration")
    assert here.loot == before
    message = here.transfer(here.native)  # control: a transfer is taken from the same sender
    tokens.deliver(message)
    tokens.bench.accepted(here.redeem(here.native, message))


def test_hack_poly_solana_tokens__message_to_the_programs_own_accounts__is_a_record_and_no_more(here: Road) -> None:
    tokens, before = here.tokens, here.loot
    targets = (
        tokens.at.tokens.program,
        tokens.address(here.native),
        tokens.at.tokens.vault(here.native.mint).address,
        here.wrapped.mint,
    )
    for target in targets:
        for payload in crafted(here):
            message = tokens.inbound(here.native.evm_bridge, payload, recipient=bytes(target))
            tokens.bench.accepted(tokens.bench.delivery(message))
            inner = {line.split()[1] for line in tokens.bench.logs if "invoke [2]" in line}
            assert str(tokens.at.tokens.program) not in inner
            assert tokens.bench.refused(here.redeem(here.native, message)) == "WrongBridge"
    assert here.loot == before


def test_hack_poly_solana_tokens__governance_in_the_bridges_own_name__needs_its_signature(here: Road) -> None:
    """The bridge authority owns vaults and mints, and governs nothing; it signs only within the program's own calls."""
    tokens, address = here.tokens, here.tokens.address(here.native)
    for act in (tg.unpause(), tg.set_limits(address, tg.Limits())):
        step = tg.schedule(tokens.at, tokens.governance, act)
        for who in (tokens.authority, here.tokens.governance):
            unsigned = bent(step, account_0=AccountMeta(who, False, True))
            assert tokens.bench.refused(unsigned) == "MissingSignature"
        stolen = tg.schedule(tokens.at, here.thief.pubkey(), act)
        assert tokens.bench.refused(stolen, signers=(here.thief,)) == "NotAuthority"
        tokens.bench.accepted(step, signers=(tokens.bench.authority,))  # control
        early = tokens.act(act)
        assert tokens.bench.refused(early, signers=(tokens.bench.authority,)) == "TooEarly"


def test_hack_poly_solana__message_that_carries_a_key__brings_none(here: Road) -> None:
    """A rotation's bytes in a message of a user, which anybody can have delivered."""
    bench = here.tokens.bench
    before = here.loot
    rotation = bench.rotation(THIEF, sequence=70)
    assert bench.refused(bench.delivery(replace(rotation, kind=Kind.MESSAGE))) == "WrongRecipient"
    hers = replace(rotation, kind=Kind.MESSAGE, recipient=Account(bytes(here.thief.pubkey())))
    bench.accepted(bench.delivery(hers))
    step = bent(bench.rotate(rotation), account_2=bench.at.inbox(hers.digest).address)
    assert bench.refused(step) == "NotRotation"
    assert here.loot == before
    true = replace(rotation, sequence=Sequence(71))
    bench.accepted(bench.delivery(true), bench.rotate(true))  # control: signed as what it is
    assert bench.committee(2).group_key_x == THIEF.px.to_bytes(32)
    veto = instructions.veto(bench.at, bench.authority.pubkey(), CommitteeEpoch(2), bench.user.pubkey())
    bench.accepted(veto, signers=(bench.authority,))  # and governance had its time to say no
    assert bench.config().current_epoch == 1
