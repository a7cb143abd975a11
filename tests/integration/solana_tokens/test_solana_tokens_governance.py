"""What governance does with the Solana token bridge, and how it is kept slow (TOKENS.md §4, §5): announcements, pauses, emergency exits."""

from dataclasses import replace

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana.tokens_layout import TOKEN, ScheduledAccount, TokenAccount, associated, token_amount
from oracle.protocol import constants as c
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.solana_program import bent
from tests.support.solana_tokens import TokenBench

DELAY = 86_400
PAUSE, PERIOD, SHARE = c.TOKENS_EXIT_PAUSE, c.TOKENS_EXIT_PERIOD, c.TOKENS_EXIT_SHARE
LOCKED, SCALE = 1_000, 100


@pytest.fixture
def tokens() -> TokenBench:
    return st.start(DELAY)


@pytest.fixture
def native(tokens: TokenBench) -> TokenAccount:
    """Of 11 decimals (100 units in a wire unit), LOCKED wire units of which are in the vault."""
    token = tokens.register_native(decimals=11)
    tokens.give(tokens.user, token.mint, LOCKED * SCALE)
    tokens.bench.accepted(tokens.send(token, LOCKED * SCALE))
    return token


def limits_of(tokens: TokenBench, token: TokenAccount, cap: int = 5) -> tg.Act:
    return tg.set_limits(tokens.address(token), tg.Limits(cap=cap))


def announcement(tokens: TokenBench, act: tg.Act) -> Pubkey:
    return tokens.at.tokens.scheduled(act.operation).address


def governed(tokens: TokenBench, step: Instruction) -> None:
    tokens.bench.accepted(step, signers=(tokens.bench.authority,))


def refused(tokens: TokenBench, step: Instruction) -> str:
    return tokens.bench.refused(step, signers=(tokens.bench.authority,))


# ---- announcements ----


def test_solana_tokens_announce__carried_out_after_the_delay__once(tokens: TokenBench, native: TokenAccount) -> None:
    act = limits_of(tokens, native)
    tokens.announce(act)
    found = ScheduledAccount.decode(tokens.bench.data(announcement(tokens, act)), tokens.at.tokens.program)
    assert found == ScheduledAccount(sp.NOW + DELAY, tokens.governance, act.operation)
    step = tokens.act(act)
    tokens.bench.set_time(sp.NOW + DELAY - 1)
    assert refused(tokens, step) == "TooEarly"
    tokens.bench.set_time(sp.NOW + DELAY)
    assert refused(tokens, bent(step, account_4=tokens.user)) == "WrongPayer"  # the announcement's rent is its payer's
    before = tokens.bench.lamports(tokens.governance)
    rent = tokens.bench.lamports(announcement(tokens, act))
    governed(tokens, step)
    assert tokens.bench.lamports(tokens.governance) == before + rent
    assert tokens.token(tokens.address(native)).cap == 5
    assert not tokens.bench.exists(announcement(tokens, act))
    assert refused(tokens, step) == "WrongOwner"  # it must be announced again


@pytest.mark.parametrize("kind", ["unpause", "limits", "exit"])
def test_solana_tokens_announce_attack__not_announced__refused(
    tokens: TokenBench, native: TokenAccount, kind: str
) -> None:
    address, mine = tokens.address(native), tokens.give(tokens.governance, native.mint, 0)
    act = {
        "unpause": tg.unpause(address),
        "limits": limits_of(tokens, native),
        "exit": tg.emergency_exit(address, 1, mine),
    }[kind]
    tokens.pause(native)
    tokens.bench.set_time(sp.NOW + PAUSE + DELAY)
    assert refused(tokens, tokens.act(act, native)) == "WrongOwner"
    # An announcement that the program did not write.
    data = bytes([c.TOKENS_ACCOUNT_SCHEDULED, 1, tokens.at.tokens.scheduled(act.operation).bump]) + bytes(13)
    tokens.bench.put(announcement(tokens, act), data + bytes(tokens.governance) + act.operation, Keypair().pubkey())
    assert refused(tokens, tokens.act(act, native)) == "WrongOwner"


def test_solana_tokens_announce_attack__other_arguments_or_accounts__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    """What was announced is exactly what can be done."""
    other, mine, theirs = tokens.register_native(), Keypair().pubkey(), Keypair().pubkey()
    for account in (mine, theirs):
        tokens.bench.put(account, st.account_bytes(native.mint, tokens.governance, 0), TOKEN)
    address = tokens.address(native)
    announced = [
        limits_of(tokens, native),
        tg.unpause(address),
        tg.unpause(),
        tg.emergency_exit(address, 10, mine),
    ]
    for act in announced:
        tokens.announce(act)
    for token in (None, native, other):
        tokens.pause(token)
    tokens.bench.set_time(sp.NOW + PAUSE + DELAY)
    limits, one, everything, leaving = announced
    wanted = [
        (limits, limits_of(tokens, native, cap=6)),
        (limits, limits_of(tokens, other)),
        (one, tg.unpause(tokens.address(other))),
        (one, tg.unpause()),
        (everything, tg.unpause(address)),
        (leaving, tg.emergency_exit(address, 11, mine)),
        (leaving, tg.emergency_exit(address, 10, theirs)),
        (limits, leaving),
        (leaving, one),
    ]
    for told, done in wanted:
        step = tokens.act(done, native)
        swapped = bent(step, **{f"account_{len(step.accounts) - 2}": announcement(tokens, told)})
        assert refused(tokens, swapped) == "NotAnnounced", (told, done)
    for act in announced[:1]:
        governed(tokens, tokens.act(act, native))


def test_solana_tokens_announce_attack__account_of_another_announcement_at_a_forged_address__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    act = limits_of(tokens, native)
    tokens.announce(act)
    fake = Keypair().pubkey()
    tokens.bench.put(fake, bytes(tokens.bench.account(announcement(tokens, act)).data), tokens.at.tokens.program)
    tokens.bench.set_time(sp.NOW + DELAY)
    assert refused(tokens, bent(tokens.act(act), account_3=fake)) == "WrongAddress"
    queue = tokens.address(native)
    assert refused(tokens, bent(tokens.act(act), account_3=queue)) == "WrongAccountType"
    read_only = AccountMeta(announcement(tokens, act), False, False)
    assert refused(tokens, bent(tokens.act(act), account_3=read_only)) == "NotWritable"


def test_solana_tokens_announce_attack__announced_twice_at_once__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    act = limits_of(tokens, native)
    tokens.announce(act)
    tokens.bench.set_time(sp.NOW + 10)
    assert refused(tokens, tg.schedule(tokens.at, tokens.governance, act)) == "AlreadyExists"
    tokens.bench.set_time(sp.NOW + DELAY)
    governed(tokens, tokens.act(act))


@pytest.mark.parametrize("data", [b"", bytes([5]), bytes([3, 255]), bytes([2]) + bytes(53), bytes([11]), bytes([99])])
def test_solana_tokens_announce_attack__something_else__refused(tokens: TokenBench, data: bytes) -> None:
    step = tg.schedule(tokens.at, tokens.governance, tg.Act(data, None))
    assert refused(tokens, step) == "UnknownAct"


def test_solana_tokens_announce_attack__bump_that_is_not_canonical_or_data_cut__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    act = limits_of(tokens, native)
    step = tg.schedule(tokens.at, tokens.governance, act)
    canonical = tokens.at.tokens.scheduled(act.operation).bump
    assert refused(tokens, bent(step, data=bytes([step.data[0], canonical - 1]) + bytes(step.data)[2:])) == (
        "NotCanonicalBump"
    )
    assert refused(tokens, bent(step, data=bytes(step.data)[:60])) == "InvalidInstruction"
    assert refused(tokens, bent(step, data=bytes(step.data)[:-1])) in ("WrongAddress", "NotCanonicalBump")


def test_solana_tokens_cancel__by_authority_or_guardian__takes_it_back(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    act = limits_of(tokens, native)
    for who in (tokens.bench.authority, tokens.guardian):
        tokens.announce(act)
        before, rent = tokens.bench.lamports(tokens.governance), tokens.bench.lamports(announcement(tokens, act))
        step = tg.cancel(tokens.at, who.pubkey(), act, tokens.governance)
        hers = tg.cancel(tokens.at, mallory.pubkey(), act, tokens.governance)
        assert tokens.bench.refused(hers, signers=(mallory,)) == "NotGuardian"
        unsigned = bent(step, account_0=AccountMeta(who.pubkey(), False, False))
        assert tokens.bench.refused(unsigned) == "MissingSignature"
        stolen = bent(step, account_3=mallory.pubkey())
        assert tokens.bench.refused(stolen, signers=(who,)) == "WrongPayer"
        tokens.bench.accepted(step, signers=(who,))
        assert tokens.bench.lamports(tokens.governance) == before + rent
        assert tokens.bench.refused(step, signers=(who,)) == "WrongOwner"
    tokens.bench.set_time(sp.NOW + DELAY)
    assert refused(tokens, tokens.act(act)) == "WrongOwner"


def test_solana_tokens_cancel_attack__of_something_else__closes_nothing(
    tokens: TokenBench, native: TokenAccount
) -> None:
    act = limits_of(tokens, native)
    tokens.announce(act)
    step = tg.cancel(tokens.at, tokens.guardian.pubkey(), act, tokens.governance)
    for wrong in (tokens.address(native), tokens.authority, tokens.at.tokens.vault(native.mint).address):
        done = tokens.bench.refused(bent(step, account_2=wrong), signers=(tokens.guardian,))
        assert done in ("WrongAccountSize", "WrongAccountType", "WrongOwner")


# ---- pauses ----


def test_solana_tokens_pause__again_while_paused__does_not_begin_anew_and_unpause_ends_it(
    tokens: TokenBench, native: TokenAccount
) -> None:
    address = tokens.address(native)
    assert tokens.token(address).paused_since == 0
    tokens.pause(native)
    tokens.bench.set_time(sp.NOW + 50)
    tokens.bench.accepted(tg.pause(tokens.at, tokens.guardian.pubkey(), address), signers=(tokens.guardian,))
    assert tokens.token(address).paused_since == sp.NOW
    act = tg.unpause(address)
    tokens.announce(act)
    tokens.bench.set_time(sp.NOW + 50 + DELAY)
    governed(tokens, tokens.act(act))
    found = tokens.token(address)
    assert (found.paused, found.paused_since) == (False, 0)
    tokens.pause(native)
    assert tokens.token(address).paused_since == sp.NOW + 50 + DELAY


def test_solana_tokens_pause__of_everything__is_no_pause_of_a_token(tokens: TokenBench, native: TokenAccount) -> None:
    tokens.pause()
    assert tokens.token(tokens.address(native)).paused_since == 0
    assert tokens.bridge().paused


# ---- emergency exits ----


def prepared(tokens: TokenBench, native: TokenAccount, *amounts: int) -> tuple[Pubkey, list[Instruction]]:
    """Exits of these amounts, announced and ready, seven days after the pause began."""
    safe = associated(tokens.governance, native.mint, TOKEN).address
    if not tokens.bench.exists(safe):
        tokens.give(tokens.governance, native.mint, 0)
    acts = [tg.emergency_exit(tokens.address(native), amount, safe) for amount in amounts]
    for act in acts:
        tokens.announce(act)
    return safe, [tokens.act(act, native) for act in acts]


def test_solana_tokens_exit__after_seven_days_of_pause__takes_a_tenth_each_day(
    tokens: TokenBench, native: TokenAccount
) -> None:
    address, vault = tokens.address(native), tokens.at.tokens.vault(native.mint).address
    tokens.pause(native)
    safe, (sixty, forty, forty_one, ninety, one) = prepared(tokens, native, 60, 40, 41, 90, 1)
    tokens.bench.set_time(sp.NOW + PAUSE - 1)
    assert refused(tokens, sixty) == "NotPaused"
    begin = sp.NOW + PAUSE
    tokens.bench.set_time(begin)
    governed(tokens, sixty)
    found = tokens.token(address)
    assert (found.outstanding, found.exit_begin, found.exit_left) == (940, begin, 40)
    assert refused(tokens, forty_one) == "OverShare"
    governed(tokens, forty)
    assert refused(tokens, one) == "OverShare"
    tokens.bench.set_time(begin + PERIOD - 1)
    assert refused(tokens, one) == "OverShare"
    tokens.bench.set_time(begin + PERIOD)
    governed(tokens, ninety)  # a tenth of the 900 that are left
    assert refused(tokens, one) == "OverShare"
    found = tokens.token(address)
    assert (found.outstanding, found.exit_left) == (810, 0)
    assert token_amount(tokens.bench.data(safe)) == 190 * SCALE
    assert token_amount(tokens.bench.data(vault)) == 810 * SCALE


def test_solana_tokens_exit_attack__more_than_a_tenth_at_once__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    tokens.pause(native)
    _, (over, everything, most, exact) = prepared(tokens, native, 101, LOCKED, (1 << 64) - 1, 100)
    tokens.bench.set_time(sp.NOW + 3 * PAUSE)  # days that were not used do not add up
    for step in (over, everything, most):
        assert refused(tokens, step) == "OverShare"
    governed(tokens, exact)


def test_solana_tokens_exit_attack__pause_with_a_break__begins_anew(tokens: TokenBench, native: TokenAccount) -> None:
    tokens.pause(native)
    _, (step,) = prepared(tokens, native, 10)
    resume = tg.unpause(tokens.address(native))
    tokens.announce(resume)
    tokens.bench.set_time(sp.NOW + PAUSE - 1)
    governed(tokens, tokens.act(resume))
    assert refused(tokens, step) == "NotPaused"
    tokens.pause(native)
    tokens.bench.set_time(sp.NOW + PAUSE)
    assert refused(tokens, step) == "NotPaused"
    tokens.bench.set_time(sp.NOW + PAUSE - 1 + PAUSE)
    governed(tokens, step)


def test_solana_tokens_exit_attack__only_the_bridge_is_paused__refused(
    tokens: TokenBench, native: TokenAccount
) -> None:
    tokens.pause()
    _, (step,) = prepared(tokens, native, 10)
    tokens.bench.set_time(sp.NOW + 2 * PAUSE)
    assert refused(tokens, step) == "NotPaused"


def test_solana_tokens_exit_attack__by_the_guardian_or_a_stranger_or_nothing__refused(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    tokens.pause(native)
    _, (step, nothing) = prepared(tokens, native, 10, 0)
    tokens.bench.set_time(sp.NOW + PAUSE)
    for who in (mallory, tokens.guardian):
        assert tokens.bench.refused(bent(step, account_0=who.pubkey()), signers=(who,)) == "NotAuthority"
    assert refused(tokens, nothing) == "AmountTooSmall"


def test_solana_tokens_exit_attack__of_a_wrapped_token__refused(tokens: TokenBench, native: TokenAccount) -> None:
    wrapped = tokens.register_wrapped()
    tokens.receive(wrapped, tokens.user, 500)
    tokens.pause(wrapped)
    mine = tokens.give(tokens.governance, wrapped.mint, 0, wrapped.token_program)
    act = tg.emergency_exit(tokens.address(wrapped), 10, mine)
    tokens.announce(act)
    tokens.bench.set_time(sp.NOW + PAUSE)
    assert refused(tokens, tokens.act(act, wrapped)) == "NotNative"
    as_native = bent(
        tokens.act(act, wrapped), account_3=native.mint, account_4=tokens.at.tokens.vault(native.mint).address
    )
    assert refused(tokens, as_native) == "NotNative"


def test_solana_tokens_exit_attack__another_mint_vault_or_destination__refused(
    tokens: TokenBench, native: TokenAccount, mallory: Keypair
) -> None:
    other = tokens.register_native()
    tokens.give(tokens.user, other.mint, 50)
    tokens.bench.accepted(tokens.send(other, 50))
    tokens.pause(native)
    safe, (step,) = prepared(tokens, native, 10)
    tokens.bench.set_time(sp.NOW + PAUSE)
    theirs = tokens.at.tokens.vault(other.mint).address
    assert refused(tokens, bent(step, account_3=other.mint)) == "WrongMint"
    assert refused(tokens, bent(step, account_4=theirs)) == "WrongVault"
    assert refused(tokens, bent(step, account_4=safe)) == "WrongVault"
    assert refused(tokens, bent(step, account_6=Pubkey.default())) == "WrongTokenProgram"
    hers = tokens.give(mallory.pubkey(), native.mint, 0)
    assert refused(tokens, bent(step, account_5=hers)) == "NotAnnounced"
    into_itself = tg.emergency_exit(tokens.address(native), 10, tokens.at.tokens.vault(native.mint).address)
    of_another_mint = tg.emergency_exit(tokens.address(native), 10, tokens.give(tokens.user, other.mint, 0))
    for act, error in ((into_itself, "NotExact"), (of_another_mint, "WrongTokenAccount")):
        tokens.announce(act)
        tokens.bench.set_time(sp.NOW + PAUSE + DELAY)
        assert refused(tokens, tokens.act(act, native)) == error
        tokens.bench.set_time(sp.NOW + PAUSE)
    governed(tokens, step)


def test_solana_tokens_exit__afterwards__less_is_left_to_be_released(tokens: TokenBench, native: TokenAccount) -> None:
    tokens.pause(native)
    _, (step,) = prepared(tokens, native, 100)
    tokens.bench.set_time(sp.NOW + PAUSE)
    governed(tokens, step)
    resume = tg.unpause(tokens.address(native))
    tokens.announce(resume)
    tokens.bench.set_time(sp.NOW + PAUSE + DELAY)
    governed(tokens, tokens.act(resume))
    found = tokens.token(tokens.address(native))
    assert (found.exit_begin, found.exit_left) == (0, 0)
    recipient = Keypair().pubkey()
    over = tokens.deliver(tokens.transfer_in(native, recipient, 901))
    assert tokens.bench.refused(tokens.redeem(native, over, recipient)) == "InsufficientLocked"
    tokens.receive(native, recipient, 900)
    assert replace(found, outstanding=0).outstanding == tokens.token(tokens.address(native)).outstanding


def test_solana_tokens_exit__of_dust__takes_nothing(tokens: TokenBench) -> None:
    token = tokens.register_native()
    tokens.give(tokens.user, token.mint, SHARE - 1)
    tokens.bench.accepted(tokens.send(token, SHARE - 1))
    tokens.pause(token)
    _, (step,) = prepared(tokens, token, 1)
    tokens.bench.set_time(sp.NOW + PAUSE)
    assert refused(tokens, step) == "OverShare"
