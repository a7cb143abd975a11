"""Forged, foreign and repeated messages at the token program in LiteSVM: nothing is minted or paid that was not sent."""

import pytest
from solders.instruction import AccountMeta
from solders.keypair import Keypair
from solders.system_program import TransferParams, transfer

from bridges.solana import instructions
from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import TOKEN, QueuedAccount, TokenAccount
from oracle.protocol.tokens import TokenRegistration
from oracle.protocol.types import Chain, Endpoint, evm_account
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import OTHER_ERC20, TokenBench, payload, unmoved

# ---- forged and foreign messages (Wormhole 2022: a forged account was believed) ----


def test_solana_tokens_attack_wormhole__forged_inbox_account__refused(
    tokens: TokenBench, token: TokenAccount, mallory: Keypair
) -> None:
    message = tokens.transfer_in(token, tokens.user, 5)
    real = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    inbox = tokens.bench.account(tokens.at.sibyl.inbox(real.message.digest).address)
    forged = tokens.at.sibyl.inbox(message.digest).address
    step = tokens.redeem(token, ti.Delivered(message, tokens.user), tokens.user)
    for owner in (mallory.pubkey(), tokens.at.tokens.program, TOKEN):
        tokens.bench.put(forged, bytes(inbox.data), owner)
        assert tokens.bench.refused(step) == "WrongOwner"
        assert tokens.bench.refused(ti.enqueue(tokens.at, tokens.user, token, ti.Delivered(message, tokens.user))) == (
            "WrongOwner"
        )
    # What cannot come about: a copy that Sibyl owns, at another address. Its own check of the address stops it.
    tokens.bench.put(forged, bytes(inbox.data), tokens.at.sibyl.program)
    assert tokens.bench.refused(step) == "WrongAddress"
    assert tokens.supply(token.mint) == 0


def test_solana_tokens_attack_wormhole__another_sibyl_program__refused(tokens: TokenBench, token: TokenAccount) -> None:
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    fake = Keypair().pubkey()
    tokens.bench.svm.add_program(fake, sp.build_programs().sibyl_so.read_bytes())
    step = tokens.redeem(token, delivered, tokens.user)
    assert tokens.bench.refused(bent(step, account_5=fake)) == "WrongAddress"
    inbox = tokens.bench.account(tokens.at.sibyl.inbox(delivered.message.digest).address)
    tokens.bench.put(Keypair().pubkey(), bytes(inbox.data), fake)
    unmoved(tokens, token, delivered.message)


def test_solana_tokens_attack__inbox_of_another_kind_or_account__refused(
    tokens: TokenBench, token: TokenAccount
) -> None:
    result = tokens.bench.foreign_result(sequence=50, consumer=bytes(tokens.authority))
    tokens.bench.accepted(tokens.bench.delivery(result))
    as_result = tokens.redeem(token, ti.Delivered(result, tokens.user), tokens.user)
    assert tokens.bench.refused(as_result) == "UnknownKind"
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    step = tokens.redeem(token, delivered, tokens.user)
    config = tokens.at.sibyl.config.address
    assert tokens.bench.refused(bent(step, account_3=AccountMeta(config, False, True))) == "WrongAccountType"
    assert (
        tokens.bench.refused(bent(step, account_3=AccountMeta(step.accounts[3].pubkey, False, False))) == "NotWritable"
    )


def test_solana_tokens_attack__message_to_another_recipient__refused(
    tokens: TokenBench, token: TokenAccount, mallory: Keypair
) -> None:
    message = tokens.inbound(token.evm_bridge, payload(mallory.pubkey()), recipient=bytes(mallory.pubkey()))
    delivered = tokens.deliver(message)
    assert tokens.bench.refused(tokens.redeem(token, delivered, mallory.pubkey())) == "WrongBridge"


@pytest.mark.parametrize(
    "origin",
    [
        Endpoint(Chain.evm(31337), evm_account(bytes([0xE9] * 20))),
        Endpoint(Chain.evm(31338), sp.EVM.gateway),
        Endpoint(Chain.solana(bytes([5] * 32)), sp.EVM.gateway),
    ],
    ids=["another gateway", "another chain", "another kind of chain"],
)
def test_solana_tokens_attack__message_of_another_origin__refused(
    tokens: TokenBench, token: TokenAccount, origin: Endpoint
) -> None:
    governance = tokens.bench.authority
    peer = instructions.register_peer(tokens.at.sibyl, governance.pubkey(), origin)
    tokens.bench.accepted(peer, signers=(governance,))
    message = tokens.inbound(token.evm_bridge, payload(tokens.user), origin=origin)
    step = tokens.redeem(token, tokens.deliver(message), tokens.user)
    step = bent(step, account_2=tokens.address(token))
    assert tokens.bench.refused(step) == "WrongOrigin"
    registration = tokens.inbound(st.FACTORY, TokenRegistration(OTHER_ERC20, 9, b"N", b"S").to_bytes(), origin=origin)
    assert tokens.bench.refused(tokens.accept(tokens.deliver(registration), OTHER_ERC20)) == "WrongOrigin"


def test_solana_tokens_attack__sender_is_not_the_tokens_bridge__refused(
    tokens: TokenBench, token: TokenAccount, native: TokenAccount
) -> None:
    other = tokens.register_wrapped(OTHER_ERC20)
    for sender in (other.evm_bridge, native.evm_bridge, st.FACTORY, sp.EVM_USER, sp.EVM.gateway):
        delivered = tokens.deliver(tokens.inbound(sender, payload(tokens.user)))
        assert tokens.bench.refused(tokens.redeem(token, delivered, tokens.user)) == "WrongBridge"
        assert tokens.bench.refused(ti.enqueue(tokens.at, tokens.user, token, delivered)) == "WrongBridge"
    delivered = tokens.deliver(tokens.inbound(token.evm_bridge, payload(tokens.user)))
    assert tokens.bench.refused(tokens.redeem(native, delivered, tokens.user)) == "WrongBridge", "another token's vault"
    assert tokens.bench.refused(tokens.redeem(other, delivered, tokens.user)) == "WrongBridge"


def test_solana_tokens_attack__registration_from_a_non_factory__refused(
    tokens: TokenBench, token: TokenAccount
) -> None:
    registration = TokenRegistration(OTHER_ERC20, 9, b"N", b"S").to_bytes()
    for sender in (sp.EVM_USER, sp.EVM.gateway, token.evm_bridge, st.native_bridge(OTHER_ERC20)):
        delivered = tokens.deliver(tokens.inbound(sender, registration))
        assert tokens.bench.refused(tokens.accept(delivered, OTHER_ERC20)) == "WrongBridge"


def test_solana_tokens_attack__a_registration_as_a_transfer_and_the_other_way__refused(
    tokens: TokenBench, token: TokenAccount
) -> None:
    registration = tokens.deliver(tokens.registration(OTHER_ERC20))
    assert tokens.bench.refused(tokens.redeem(token, registration, tokens.user)) == "WrongBridge"
    moved = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    assert tokens.bench.refused(tokens.accept(moved)) == "WrongBridge"


# ---- once ----


def test_solana_tokens_attack_replay__redeem_twice__refused(tokens: TokenBench, token: TokenAccount) -> None:
    message = tokens.transfer_in(token, tokens.user, 5)
    delivered = tokens.deliver(message)
    step = tokens.redeem(token, delivered, tokens.user)
    assert tokens.bench.refused(step, step) == "WrongOwner", "twice in one transaction"
    tokens.bench.accepted(step)
    assert tokens.bench.refused(step) == "WrongOwner"
    assert tokens.bench.refused(tokens.bench.delivery(message), step) == "AlreadyDelivered"
    inbox = tokens.at.sibyl.inbox(message.digest).address
    tokens.bench.accepted(transfer(TransferParams(from_pubkey=tokens.user, to_pubkey=inbox, lamports=st.RENT)))
    assert tokens.bench.refused(step) == "WrongOwner", "lamports revive nothing"
    assert tokens.supply(token.mint) == 5


def test_solana_tokens_attack_replay__queued_then_redeemed_or_released_twice__refused(
    tokens: TokenBench, token: TokenAccount
) -> None:
    tokens.limit(token, tg.Limits(inbound_capacity=1))
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    enqueue = ti.enqueue(tokens.at, tokens.user, token, delivered)
    assert tokens.bench.refused(enqueue, enqueue) == "WrongOwner"
    tokens.bench.accepted(enqueue)
    tokens.limit(token, tg.Limits())
    assert tokens.bench.refused(tokens.redeem(token, delivered, tokens.user)) == "WrongOwner"
    address = tokens.at.tokens.queued(delivered.message.digest).address
    queued = QueuedAccount.decode(tokens.bench.data(address), tokens.at.tokens.program)
    release = ti.release(tokens.at, tokens.user, token, queued, create=True)
    tokens.bench.set_time(sp.NOW + st.QUEUE_DELAY)
    assert tokens.bench.refused(release, release) == "WrongOwner"
    tokens.bench.accepted(release)
    assert tokens.bench.refused(release) == "WrongOwner"
    assert tokens.supply(token.mint) == 5


def test_solana_tokens_attack__closing_an_inbox_that_carries_value__only_by_redeeming(
    tokens: TokenBench, token: TokenAccount, mallory: Keypair
) -> None:
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    tokens.bench.set_time(sp.NOW + 10 * 365 * 24 * 3600)
    for closer in (tokens.bench.user, mallory):
        step = instructions.close_inbox(tokens.at.sibyl, closer.pubkey(), delivered.message.digest, tokens.user)
        assert tokens.bench.refused(step, signers=(closer,)) == "MissingSignature"
    tokens.bench.accepted(tokens.redeem(token, delivered, tokens.user))
