"""Wrong accounts, spoofed programs and malformed instructions when a message is redeemed or a queued one released."""

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import TOKEN, TOKEN_2022, QueuedAccount, TokenAccount, associated
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import OTHER_ERC20, TokenBench, payload, unmoved

REDEEM_MINT, REDEEM_VAULT, REDEEM_TARGET, REDEEM_PROGRAM = 6, 7, 8, 9


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
