"""Attacks on the token program in LiteSVM: forged and foreign messages, wrong accounts, other programs, and who may do what."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from bridges.solana import instructions
from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import NATIVE_MINT, TOKEN, TOKEN_2022, QueuedAccount, TokenAccount, associated
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message
from oracle.protocol.tokens import TokenRegistration, TokenTransfer
from oracle.protocol.types import Account, Chain, ChainType, Endpoint, evm_account
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import TokenBench

VECTORS = json.loads((Path(__file__).resolve().parent.parent / "vectors" / "tokens.json").read_text())
OTHER_ERC20 = evm_account(bytes([0xC1] * 20))
REDEEM_MINT, REDEEM_VAULT, REDEEM_TARGET, REDEEM_PROGRAM = 6, 7, 8, 9


@pytest.fixture
def tokens() -> TokenBench:
    return st.start()


@pytest.fixture
def token(tokens: TokenBench) -> TokenAccount:
    return tokens.register_wrapped()


@pytest.fixture
def native(tokens: TokenBench) -> TokenAccount:
    """A native token of which 1,000 are locked and the user holds 1,000 more."""
    token = tokens.register_native()
    tokens.give(tokens.user, token.mint, 2_000)
    tokens.bench.accepted(tokens.send(token, 1_000))
    return token


@pytest.fixture
def mallory(tokens: TokenBench) -> Keypair:
    key = Keypair()
    tokens.bench.svm.airdrop(key.pubkey(), sp.FUNDS)
    return key


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def payload(recipient: Pubkey, amount: int = 5) -> bytes:
    sender = InteropAddress(sp.EVM.chain, sp.EVM_USER)
    return TokenTransfer(sender, ChainType.SOLANA, Account(bytes(recipient)), amount).to_bytes()


def unmoved(tokens: TokenBench, token: TokenAccount, message: Message) -> None:
    """Nothing was minted and the inbox account waits."""
    assert tokens.supply(token.mint) == 0
    assert tokens.bench.exists(tokens.at.sibyl.inbox(message.digest).address)


# ---- shared vectors ----


def cases(name: str) -> list[dict[str, str]]:
    """Of transfers, those to Solana."""
    return [one for one in VECTORS[name] if one.get("destination", ChainType.SOLANA) == ChainType.SOLANA]


@pytest.fixture(scope="module")
def shared() -> tuple[TokenBench, TokenAccount]:
    """One bench for all vectors: a refused transfer leaves only its inbox account."""
    tokens = st.start()
    return tokens, tokens.register_wrapped()


@pytest.mark.parametrize("vector", cases("transfers"), ids=lambda one: one["name"])
def test_solana_tokens_vectors__transfer__redeemed(
    shared: tuple[TokenBench, TokenAccount], vector: dict[str, str]
) -> None:
    tokens, token = shared
    recipient = Pubkey(raw(vector["to"]))
    held, minted = tokens.held(recipient, token), tokens.wrapped().outstanding
    delivered = tokens.deliver(tokens.inbound(token.evm_bridge, raw(vector["payload"])))
    step = tokens.redeem(token, delivered, recipient)
    amount = int(vector["amount"])
    if minted + amount >= 1 << 64:
        assert tokens.bench.refused(step) == "OverCap"
        return
    tokens.bench.accepted(step)
    assert tokens.held(recipient, token) == held + amount


@pytest.mark.parametrize("vector", cases("invalid_transfers"), ids=lambda one: one["name"])
def test_solana_tokens_vectors__malformed_transfer__refused(
    shared: tuple[TokenBench, TokenAccount], vector: dict[str, str]
) -> None:
    tokens, token = shared
    minted = tokens.supply(token.mint)
    delivered = tokens.deliver(tokens.inbound(token.evm_bridge, raw(vector["payload"])))
    assert tokens.bench.refused(tokens.redeem(token, delivered, tokens.user)) == "InvalidTransfer"
    assert tokens.bench.refused(ti.enqueue(tokens.at, tokens.user, token, delivered)) == "InvalidTransfer"
    assert tokens.supply(token.mint) == minted


def is_evm(account: bytes) -> bool:
    return not any(account[:12])


@pytest.mark.parametrize("vector", VECTORS["registrations"], ids=lambda one: one["name"])
def test_solana_tokens_vectors__registration__accepted_when_it_names_an_evm_token(vector: dict[str, str]) -> None:
    tokens, erc20 = st.start(), Account(raw(vector["token"]))
    delivered = tokens.deliver(tokens.inbound(st.FACTORY, raw(vector["payload"])))
    step = tokens.accept(delivered, erc20)
    if not is_evm(erc20):
        assert tokens.bench.refused(step) == "InvalidRegistration"
        return
    tokens.bench.accepted(step)
    found = tokens.wrapped(erc20)
    assert (found.wire_decimals, found.native_token) == (int(vector["wire_decimals"]), erc20)
    name, symbol = raw(vector["token_name"]), raw(vector["token_symbol"])
    assert bytes(tokens.bench.account(found.mint).data).endswith(st.metadata(found.mint, name, symbol)[136:])


@pytest.mark.parametrize("vector", VECTORS["invalid_registrations"], ids=lambda one: one["name"])
def test_solana_tokens_vectors__malformed_registration__refused(
    shared: tuple[TokenBench, TokenAccount], vector: dict[str, str]
) -> None:
    tokens, _ = shared
    delivered = tokens.deliver(tokens.inbound(st.FACTORY, raw(vector["payload"])))
    assert tokens.bench.refused(tokens.accept(delivered)) == "InvalidRegistration"


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


# ---- wrong accounts ----


def test_solana_tokens_attack_redeem__into_another_account__refused(
    tokens: TokenBench, token: TokenAccount, mallory: Keypair
) -> None:
    other = tokens.register_wrapped(OTHER_ERC20)
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    step = tokens.redeem(token, delivered, tokens.user, create=False)
    hers = tokens.give(mallory.pubkey(), token.mint, 0, TOKEN_2022)
    elsewhere = Keypair().pubkey()
    tokens.bench.put(elsewhere, st.account_bytes(token.mint, tokens.user, 0), TOKEN_2022)
    wrong_mint = tokens.give(tokens.user, other.mint, 0, TOKEN_2022)
    for target in (hers, elsewhere, wrong_mint):
        assert tokens.bench.refused(bent(step, account_8=target)) == "NotAssociated"
    right = associated(tokens.user, token.mint, TOKEN_2022).address
    assert tokens.bench.refused(step) == "WrongTokenAccount", "it does not exist and nobody asked to create it"
    contents = (
        (st.account_bytes(other.mint, tokens.user, 0), TOKEN_2022),
        (st.account_bytes(token.mint, mallory.pubkey(), 0), TOKEN_2022),
        (st.account_bytes(token.mint, tokens.user, 0, state=2), TOKEN_2022),
        (st.account_bytes(token.mint, tokens.user, 0, state=0), TOKEN_2022),
        (st.account_bytes(token.mint, tokens.user, 0), TOKEN),
        (st.account_bytes(token.mint, tokens.user, 0), mallory.pubkey()),
        (st.account_bytes(token.mint, tokens.user, 0)[:-1], TOKEN_2022),
        (st.account_bytes(token.mint, tokens.user, 0) + b"\1", TOKEN_2022),
        (st.account_bytes(token.mint, tokens.user, 0) + bytes([2]) + bytes(355 - 166), TOKEN_2022),
    )
    for data, owner in contents:
        tokens.bench.put(right, data, owner)
        assert tokens.bench.refused(step) == "WrongTokenAccount"
    unmoved(tokens, token, delivered.message)


def test_solana_tokens_attack_redeem__spoofed_programs__refused(tokens: TokenBench, token: TokenAccount) -> None:
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    step = tokens.redeem(token, delivered, tokens.user)
    fake = Keypair().pubkey()
    tokens.bench.svm.add_program(fake, sp.build_programs().consumer_so.read_bytes())
    for program in (fake, TOKEN, tokens.at.sibyl.program):
        assert tokens.bench.refused(bent(step, account_9=program)) == "WrongTokenProgram"
        assert tokens.bench.refused(bent(step, account_11=program)) == "WrongTokenProgram"
    assert tokens.bench.refused(bent(step, account_10=fake)) == "WrongAddress", "another owner to create for"
    unmoved(tokens, token, delivered.message)


def test_solana_tokens_attack_redeem__wrong_mint_or_vault_or_token__refused(
    tokens: TokenBench, token: TokenAccount, native: TokenAccount
) -> None:
    other = tokens.register_native()
    delivered = tokens.deliver(tokens.inbound(native.evm_bridge, payload(tokens.user)))
    step = tokens.redeem(native, delivered, tokens.user, create=False)
    wrong_vault = tokens.at.tokens.vault(other.mint).address
    assert tokens.bench.refused(bent(step, account_6=other.mint)) == "WrongMint"
    for vault in (wrong_vault, native.mint, associated(tokens.user, native.mint, TOKEN).address):
        assert tokens.bench.refused(bent(step, account_7=AccountMeta(vault, False, True))) == "WrongVault"
    wrapped = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    minting = tokens.redeem(token, wrapped, tokens.user)
    assert tokens.bench.refused(bent(minting, account_7=wrong_vault)) == "WrongVault"
    record, fake = tokens.bench.account(tokens.address(native)), Keypair().pubkey()
    tokens.bench.put(fake, bytes(record.data), tokens.bench.user.pubkey())
    assert tokens.bench.refused(bent(step, account_2=fake)) == "WrongOwner"
    tokens.bench.put(fake, bytes(record.data), tokens.at.tokens.program)
    assert tokens.bench.refused(bent(step, account_2=fake)) == "WrongToken"
    bridge_as_token = bent(step, account_2=AccountMeta(tokens.authority, False, True))
    assert tokens.bench.refused(bridge_as_token) == "WrongAccountType"
    vault_as_token = bent(step, account_2=tokens.at.tokens.vault(native.mint).address)
    assert tokens.bench.refused(vault_as_token) == "WrongOwner"
    bridge = tokens.bench.account(tokens.authority)
    tokens.bench.put(fake, bytes(bridge.data), tokens.at.tokens.program)
    assert tokens.bench.refused(bent(step, account_1=fake)) == "WrongAddress"


def test_solana_tokens_attack_redeem__more_than_is_locked__refused(tokens: TokenBench, native: TokenAccount) -> None:
    # Only a lying quorum could sign it. The vault holds more than is locked, and the difference is not given out either.
    vault = tokens.at.tokens.vault(native.mint).address
    tokens.bench.put(vault, st.account_bytes(native.mint, tokens.authority, 5_000), TOKEN)
    delivered = tokens.deliver(tokens.inbound(native.evm_bridge, payload(tokens.user, 1_001)))
    assert tokens.bench.refused(tokens.redeem(native, delivered, tokens.user)) == "InsufficientLocked"


@pytest.mark.parametrize("who", ["zero", "authority"])
def test_solana_tokens_attack_redeem__forbidden_recipient__refused(
    tokens: TokenBench, token: TokenAccount, who: str
) -> None:
    recipient = tokens.authority if who == "authority" else Pubkey.default()
    delivered = tokens.deliver(tokens.inbound(token.evm_bridge, payload(recipient)))
    assert tokens.bench.refused(tokens.redeem(token, delivered, recipient)) == "ForbiddenRecipient"


def test_solana_tokens_attack__number_of_accounts_or_trailing_data__refused(
    tokens: TokenBench, token: TokenAccount, native: TokenAccount
) -> None:
    user = tokens.user
    delivered = tokens.deliver(tokens.transfer_in(token, user, 5))
    queued = QueuedAccount(1, sp.DEADLINE, tokens.address(token), user, user, delivered.message.digest)
    authority = tokens.bench.authority
    lapsed = tokens.notice(tokens.sent(native, 5))
    limits = tg.set_limits(tokens.address(token), tg.Limits())
    leaving = tg.emergency_exit(tokens.address(native), 1, associated(user, native.mint, TOKEN).address)
    for act in (limits, leaving):
        tokens.announce(act)
    steps = [
        tokens.redeem(token, delivered, user),
        tokens.redeem(token, delivered, user, create=False),
        tokens.accept(delivered),
        ti.enqueue(tokens.at, user, token, delivered),
        ti.release(tokens.at, user, token, queued, create=False),
        tokens.send(native, 1),
        tokens.register(native.mint),
        st.initialise(tokens),
        ti.refund(tokens.at, user, native, lapsed, user, create=False),
        ti.enqueue_refund(tokens.at, user, native, lapsed),
        tg.pause(tokens.at, authority.pubkey(), tokens.address(token)),
        tg.cancel(tokens.at, authority.pubkey(), limits, authority.pubkey()),
        ti.close_sent(tokens.at, lapsed.notice.sequence, user),
        *(tokens.act(act, native) for act in (limits, leaving, tg.unpause(), tg.unpause(tokens.address(token)))),
    ]
    for step in steps:
        metas, program = list(step.accounts), step.program_id
        assert (
            tokens.bench.refused(bent(step, data=bytes(step.data) + b"\0"), signers=(authority,))
            == "InvalidInstruction"
        )
        if len(step.data) > 1:
            assert tokens.bench.refused(bent(step, data=bytes(step.data)[:-1]), signers=(authority,)) == (
                "InvalidInstruction"
            )
        longer = Instruction(program, bytes(step.data), [*metas, *metas[-2:]])
        assert tokens.bench.refused(longer, signers=(authority,)) == "WrongAccountCount"
        shorter = Instruction(program, bytes(step.data), metas[:1])
        assert tokens.bench.refused(shorter, signers=(authority,)) == "WrongAccountCount"
    unknown = Instruction(tokens.at.tokens.program, b"\x0a", [])
    assert tokens.bench.refused(unknown) == "InvalidInstruction"
    assert tokens.bench.refused(Instruction(tokens.at.tokens.program, b"", [])) == "InvalidInstruction"


def test_solana_tokens_attack__accounts_not_writable_or_not_signed__refused(
    tokens: TokenBench, token: TokenAccount, native: TokenAccount
) -> None:
    def plain(step: Instruction, index: int, *, signer: bool) -> Instruction:
        return bent(step, **{f"account_{index}": AccountMeta(step.accounts[index].pubkey, signer, False)})

    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    redeem, send = tokens.redeem(token, delivered, tokens.user), tokens.send(native, 1)
    assert tokens.bench.refused(plain(redeem, 2, signer=False)) == "NotWritable"
    assert tokens.bench.refused(plain(send, 2, signer=False)) == "NotWritable"
    stranger = Keypair().pubkey()
    unsigned = bent(send, account_0=AccountMeta(stranger, False, True))
    assert tokens.bench.refused(unsigned) == "MissingSignature"
    assert tokens.bench.refused(bent(redeem, account_0=AccountMeta(stranger, False, True))) == "MissingSignature"


# ---- sending ----


def test_solana_tokens_attack_send__another_persons_tokens__refused(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    hers = tokens.give(mallory.pubkey(), native.mint, 500)
    step = bent(tokens.send(native, 100), account_4=hers)
    assert tokens.bench.refused(step) == "WrongTokenAccount"
    vault = tokens.at.tokens.vault(native.mint).address
    assert tokens.bench.refused(bent(tokens.send(native, 100), account_4=vault)) == "WrongTokenAccount"


def test_solana_tokens_attack_send__wrong_accounts__refused(
    tokens: TokenBench, native: TokenAccount, token: TokenAccount, mallory: Keypair
) -> None:
    other = tokens.register_native()
    step = tokens.send(native, 100)
    hers = Keypair().pubkey()
    tokens.bench.put(hers, st.account_bytes(native.mint, mallory.pubkey(), 0), TOKEN)
    wrong = {
        "account_3": (other.mint, "WrongMint"),
        "account_5": (hers, "WrongVault"),
        "account_6": (TOKEN_2022, "WrongTokenProgram"),
        "account_7": (tokens.at.tokens.program, "WrongAddress"),
        "account_2": (tokens.address(other), "WrongMint"),
    }
    for index, (key, name) in wrong.items():
        assert tokens.bench.refused(bent(step, **{index: key})) == name
    tokens.receive(token, tokens.user, 10)
    assert tokens.bench.refused(bent(tokens.send(token, 5), account_5=hers)) == "WrongVault"


def test_solana_tokens_attack_send__amounts__refused_before_anything_moves(
    tokens: TokenBench, native: TokenAccount, token: TokenAccount
) -> None:
    assert tokens.bench.refused(tokens.send(native, 0)) == "AmountTooSmall"
    fine = tokens.register_native(decimals=12)
    tokens.give(tokens.user, fine.mint, 5_000)
    assert tokens.bench.refused(tokens.send(fine, 999)) == "AmountTooSmall"
    held = tokens.held(tokens.user, native)
    for one, amount in ((native, held + 1), (native, (1 << 64) - 1), (fine, (1 << 64) - 1)):
        assert tokens.bench.refused(tokens.send(one, amount)) == "InsufficientTokens"
    tokens.receive(token, tokens.user, 10)
    assert tokens.bench.refused(tokens.send(token, 11)) == "InsufficientTokens"
    assert tokens.held(tokens.user, native) == held
    assert tokens.native(native.mint).outstanding == 1_000


def test_solana_tokens_attack_send__forbidden_recipient__refused(tokens: TokenBench, native: TokenAccount) -> None:
    for recipient in (evm_account(bytes(20)), native.evm_bridge, st.FACTORY, sp.EVM.gateway):
        assert tokens.bench.refused(tokens.send(native, 1, recipient)) == "ForbiddenRecipient"


def test_solana_tokens_attack_send__wrong_sequence_or_inactive_peer__nothing_moves(
    tokens: TokenBench, native: TokenAccount
) -> None:
    sending = ti.Sending(tokens.user, associated(tokens.user, native.mint, TOKEN).address, st.EVM_RECIPIENT, 10)
    late = ti.send_tokens(tokens.at, native, sending, tokens.bench.next_sequence() + 1, sp.EVM)
    assert tokens.bench.refused(late) == "WrongSequence"
    governance = tokens.bench.authority
    off = instructions.register_peer(tokens.at.sibyl, governance.pubkey(), sp.EVM, active=False)
    tokens.bench.accepted(off, signers=(governance,))
    assert tokens.bench.refused(tokens.send(native, 10)) == "InactivePeer"
    assert tokens.held(tokens.user, native) == 1_000


@pytest.mark.parametrize("lamports", [1, 10_000_000_000])
def test_solana_tokens_attack_prefund__lamports_at_addresses_to_come__block_nothing(
    tokens: TokenBench, mallory: Keypair, lamports: int
) -> None:
    bench, at = tokens.bench, tokens.at
    mint = tokens.mint(TOKEN_2022)
    evm_bridge = st.native_bridge()
    recipient = Keypair().pubkey()
    wrapped_mint = at.tokens.wrapped_mint(sp.EVM, evm_bridge).address
    message = tokens.registration()
    addresses = [
        at.tokens.native(mint).address,
        at.tokens.vault(mint).address,
        at.tokens.wrapped(sp.EVM, evm_bridge).address,
        wrapped_mint,
        at.sibyl.outbox(1).address,
        at.sibyl.outbox(2).address,
        associated(recipient, wrapped_mint, TOKEN_2022).address,
    ]
    for address in addresses:
        bench.put(address, b"", Pubkey.default(), lamports)
    bench.accepted(tokens.register(mint, TOKEN_2022))
    tokens.give(tokens.user, mint, 100, TOKEN_2022)
    bench.accepted(tokens.send(tokens.native(mint), 100))
    bench.accepted(tokens.accept(tokens.deliver(message)))
    token = tokens.wrapped()
    tokens.receive(token, recipient, 9)
    tokens.limit(token, tg.Limits(inbound_capacity=1))
    delivered = tokens.deliver(tokens.transfer_in(token, recipient, 5))
    bench.put(at.tokens.queued(delivered.message.digest).address, b"", Pubkey.default(), lamports)
    bench.accepted(ti.enqueue(at, tokens.user, token, delivered))
    assert tokens.held(recipient, token) == 9


def test_solana_tokens_attack__bump_that_is_not_canonical__refused(tokens: TokenBench, token: TokenAccount) -> None:
    def second(step: Instruction, at: int, index: int, *seeds: bytes) -> Instruction:
        """The same with the next bump that gives an address."""
        data, program = bytearray(bytes(step.data)), tokens.at.tokens.program
        for bump in range(data[at] - 1, 0, -1):
            hashed = b"".join((*seeds, bytes([bump]), bytes(program), b"ProgramDerivedAddress"))
            address = Pubkey(hashlib.sha256(hashed).digest())
            if address.is_on_curve():
                continue
            data[at] = bump
            return bent(step, data=bytes(data), **{f"account_{index}": address})
        raise AssertionError

    mint = tokens.mint()
    step = tokens.register(mint)
    assert tokens.bench.refused(second(step, 1, 2, b"token", bytes(mint))) == "NotCanonicalBump"
    assert tokens.bench.refused(second(step, 2, 4, b"vault", bytes(mint))) == "NotCanonicalBump"
    bridge, origin = st.native_bridge(OTHER_ERC20), tokens.bench.data(tokens.authority).data[112:144]
    accept = tokens.accept(tokens.deliver(tokens.registration(OTHER_ERC20)), OTHER_ERC20)
    assert tokens.bench.refused(second(accept, 1, 2, b"token", origin, bridge)) == "NotCanonicalBump"
    assert tokens.bench.refused(second(accept, 2, 3, b"mint", origin, bridge)) == "NotCanonicalBump"
    tokens.limit(token, tg.Limits(inbound_capacity=1))
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 5))
    enqueue = ti.enqueue(tokens.at, tokens.user, token, delivered)
    assert tokens.bench.refused(second(enqueue, 1, 6, b"queued", delivered.message.digest)) == "NotCanonicalBump"


# ---- registering ----


DANGEROUS = {
    "transfer fee": (1, 108),
    "mint close authority": (3, 32),
    "confidential transfer": (4, 65),
    "default account state": (6, 1),
    "non-transferable": (9, 0),
    "permanent delegate": (12, 32),
    "transfer hook": (14, 64),
    "confidential transfer fee": (16, 129),
    "confidential mint and burn": (24, 196),
    "pausable": (26, 33),
    "not known yet": (99, 4),
}


@pytest.mark.parametrize(("kind", "size"), DANGEROUS.values(), ids=DANGEROUS)
@pytest.mark.parametrize("hidden", [False, True], ids=["alone", "behind metadata"])
def test_solana_tokens_attack_register__dangerous_extension__refused(
    tokens: TokenBench, kind: int, size: int, hidden: bool
) -> None:
    mint = Keypair().pubkey()
    before = st.metadata(mint, b"Name", b"SYM") if hidden else b""
    tokens.bench.put(mint, st.mint_bytes(None, 6, before + st.extension(kind, bytes(size))), TOKEN_2022)
    assert tokens.bench.refused(tokens.register(mint, TOKEN_2022)) == "UnsafeMint"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda data: data[:81], "WrongMint"),
        (lambda data: data + b"\0", "WrongMint"),
        (lambda data: data[:45] + b"\0" + data[46:], "WrongMint"),
        (lambda data: st.account_bytes(Pubkey.default(), Pubkey.default(), 1), "WrongMint"),
        (lambda data: data + bytes(83) + b"\2", "WrongMint"),
        (lambda data: data + bytes(83) + b"\1" + bytes(355 - 166), "WrongMint"),
        (lambda data: data + bytes(83) + b"\1" + b"\x13\0\xff\xff", "UnsafeMint"),
        (lambda data: data + bytes(83) + b"\1" + st.extension(19, bytes(64) + b"\xff\xff\xff\xff"), "UnsafeMint"),
        (lambda data: data + bytes(83) + b"\1" + st.extension(19, bytes(60)), "UnsafeMint"),
    ],
)
def test_solana_tokens_attack_register__malformed_mint__refused(
    tokens: TokenBench, change: Callable[[bytes], bytes], name: str
) -> None:
    mint = Keypair().pubkey()
    tokens.bench.put(mint, change(st.mint_bytes(None, 6)), TOKEN_2022)
    assert tokens.bench.refused(tokens.register(mint, TOKEN_2022)) == name


def test_solana_tokens_attack_register__wrapped_mint_or_spoofed_program__refused(
    tokens: TokenBench, token: TokenAccount, mallory: Keypair
) -> None:
    assert tokens.bench.refused(tokens.register(token.mint, TOKEN_2022)) == "WrappedMint"
    mint = tokens.mint()
    assert tokens.bench.refused(tokens.register(mint, TOKEN_2022)) == "WrongMint"
    assert tokens.bench.refused(tokens.register(mint, tokens.at.sibyl.program)) == "WrongTokenProgram"
    hers = Keypair().pubkey()
    tokens.bench.put(hers, st.mint_bytes(None, 6), mallory.pubkey())
    assert tokens.bench.refused(tokens.register(hers)) == "WrongMint"
    deep = tokens.mint(decimals=29)
    assert tokens.bench.refused(tokens.register(deep)) == "UnsupportedDecimals"
    tokens.bench.accepted(tokens.register(tokens.mint(decimals=28)))


def test_solana_tokens_attack_register__known_token_with_another_mint_or_vault__refused(
    tokens: TokenBench, native: TokenAccount, token: TokenAccount
) -> None:
    other = tokens.register_native()
    step = tokens.register(native.mint)
    assert tokens.bench.refused(bent(step, account_2=tokens.address(other))) == "WrongToken"
    assert tokens.bench.refused(bent(step, account_2=tokens.address(token))) == "WrongToken"
    assert tokens.bench.refused(bent(step, account_4=tokens.at.tokens.vault(other.mint).address)) == "WrongVault"
    again = tokens.accept(tokens.deliver(tokens.registration()))
    assert tokens.bench.refused(bent(again, account_2=tokens.address(native))) == "WrongToken"
    assert tokens.bench.refused(bent(again, account_3=AccountMeta(other.mint, False, True))) == "WrongMint"
    fresh = tokens.accept(tokens.deliver(tokens.registration(OTHER_ERC20)), OTHER_ERC20)
    assert tokens.bench.refused(bent(fresh, account_7=TOKEN)) == "WrongTokenProgram"


# ---- roles ----


def test_solana_tokens_attack_roles__strangers_and_the_guardian__may_not(
    tokens: TokenBench, token: TokenAccount, mallory: Keypair
) -> None:
    bench, at, address = tokens.bench, tokens.at, tokens.address(token)
    for target in (None, address):
        assert bench.refused(tg.pause(at, mallory.pubkey(), target), signers=(mallory,)) == "NotGuardian"
        bench.accepted(tg.pause(at, tokens.guardian.pubkey(), target), signers=(tokens.guardian,))
        for who in (mallory, tokens.guardian):
            unpause = tg.unpause(target)
            step = tg.schedule(at, who.pubkey(), unpause)
            assert bench.refused(step, signers=(who,)) == "NotAuthority"
            step = tg.carry_out(at, who.pubkey(), unpause, tokens.governance)
            assert bench.refused(step, signers=(who,)) == "NotAuthority"
        tokens.announce(unpause)
        unsigned = tokens.act(unpause)
        unsigned = bent(unsigned, account_0=AccountMeta(bench.authority.pubkey(), False, False))
        assert bench.refused(unsigned) == "MissingSignature"
    for who in (mallory, tokens.guardian):
        for act in (tg.set_limits(address, tg.Limits(cap=1)), tg.emergency_exit(address, 1, who.pubkey())):
            assert bench.refused(tg.schedule(at, who.pubkey(), act), signers=(who,)) == "NotAuthority"
            step = tg.carry_out(at, who.pubkey(), act, tokens.governance, token)
            assert bench.refused(step, signers=(who,)) in ("NotAuthority", "NotNative")


def test_solana_tokens_attack_initialise__by_a_stranger_or_twice_or_badly__refused(mallory: Keypair) -> None:
    tokens = st.deploy()
    bench, hers = tokens.bench, mallory.pubkey()
    bench.svm.airdrop(hers, sp.FUNDS)
    stolen = ti.initialise(tokens.at, hers, st.LINK, ti.Settings(hers, 0, 0))
    assert bench.refused(stolen, signers=(mallory,)) == "NotUpgradeAuthority"
    other = sp.deploy()
    governance = (bench.authority,)
    step = st.initialise(tokens)
    assert bench.refused(bent(step, account_3=other.at.program), signers=governance) == "WrongAddress"
    fake = Keypair().pubkey()
    bench.svm.add_program(fake, sp.build_programs().consumer_so.read_bytes())
    assert bench.refused(bent(step, account_3=fake), signers=governance) == "WrongOwner"
    config = bench.account(tokens.at.sibyl.config.address)
    bench.put(fake_config := Keypair().pubkey(), bytes(config.data), tokens.at.sibyl.program)
    assert bench.refused(bent(step, account_4=fake_config), signers=governance) == "WrongAddress"
    data = bytes(step.data)
    malformed = {
        "solana origin": data[:2] + b"\0\2" + data[4:],
        "zero gateway": data[:36] + bytes(32) + data[68:],
        "factory's padding": data[:68] + b"\1" + data[69:],
        "zero factory": data[:68] + bytes(32) + data[100:],
        "zero hash": data[:100] + bytes(32) + data[132:],
        "equal hashes": data[:100] + data[132:164] + data[132:],
        "zero guardian": data[:164] + bytes(32) + data[196:],
    }
    for what, changed in malformed.items():
        assert bench.refused(bent(step, data=changed), signers=governance) == "InvalidSetting", what
    bench.put(tokens.authority, b"", Pubkey.default(), 1)
    bench.accepted(step, signers=governance)
    assert bench.refused(step, signers=governance) == "AlreadyExists"


def test_solana_tokens_attack__native_mint_placed_by_others__is_not_special_in_its_program(tokens: TokenBench) -> None:
    assert tokens.bench.refused(tokens.register(NATIVE_MINT, TOKEN_2022)) == "WrongMint"


# ---- the queue ----


def test_solana_tokens_attack_release__another_token_or_payer_or_forged_queue__refused(
    tokens: TokenBench, token: TokenAccount, native: TokenAccount, mallory: Keypair
) -> None:
    bench, at = tokens.bench, tokens.at
    tokens.limit(token, tg.Limits(inbound_capacity=1))
    delivered = tokens.deliver(tokens.transfer_in(token, tokens.user, 500))
    bench.accepted(ti.enqueue(at, tokens.user, token, delivered))
    address = at.tokens.queued(delivered.message.digest).address
    queued = QueuedAccount.decode(bench.data(address), at.tokens.program)
    bench.set_time(sp.NOW + st.QUEUE_DELAY)
    # Worth 500 of a token that anyone can make; the native one must not be paid out for it.
    from_vault = bent(ti.release(at, tokens.user, native, queued, create=False), account_2=tokens.address(native))
    assert bench.refused(from_vault) == "WrongToken"
    step = ti.release(at, tokens.user, token, queued, create=True)
    assert bench.refused(bent(step, account_4=mallory.pubkey())) == "WrongPayer"
    fake = Keypair().pubkey()
    bench.put(fake, bytes(bench.account(address).data), mallory.pubkey())
    assert bench.refused(bent(step, account_3=fake)) == "WrongOwner"
    bench.put(fake, bytes(bench.account(address).data), at.tokens.program)
    assert bench.refused(bent(step, account_3=fake)) == "WrongAddress"
    hers = tokens.give(mallory.pubkey(), token.mint, 0, TOKEN_2022)
    assert bench.refused(bent(step, account_7=hers)) == "NotAssociated"
    bench.accepted(step)
    assert tokens.held(tokens.user, native) == 1_000
