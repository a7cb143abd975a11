"""Sending what is not yours, to where nothing may go, or with accounts that were prepared by somebody else."""

import hashlib

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import instructions
from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import TOKEN, TOKEN_2022, TokenAccount, associated
from oracle.protocol.types import evm_account
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import OTHER_ERC20, TokenBench

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
