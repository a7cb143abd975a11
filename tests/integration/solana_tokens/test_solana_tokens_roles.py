"""Who may register what, initialise, pause and change: not strangers, and not mints that could take a holder's tokens back."""

from collections.abc import Callable

import pytest
from solders.instruction import AccountMeta
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.tokens_layout import NATIVE_MINT, TOKEN, TOKEN_2022, TokenAccount
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import OTHER_ERC20, TokenBench

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
