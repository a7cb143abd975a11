"""Accounts and instructions of the token program as bytes: strict decoding, checked encoding, addresses that agree with EVM's."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.layout import AccountData, ProgramAddresses
from bridges.solana.tokens_layout import (
    TOKEN,
    UNLIMITED,
    BridgeAccount,
    Bucket,
    QueuedAccount,
    ScheduledAccount,
    TokenAccount,
    TokenAddresses,
    TokenKind,
    associated,
    mint_decimals,
    mint_supply,
    token_account_is,
    token_amount,
)
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import encode_endpoint
from oracle.protocol.tokens import create2_address
from oracle.protocol.types import Account, UnixSeconds, evm_account
from tests.support import samples

PROGRAM = Pubkey(bytes([7] * 32))
AT = ti.Programs(TokenAddresses(PROGRAM), ProgramAddresses(Pubkey(bytes([8] * 32))))
USER, MINT = Pubkey(bytes([9] * 32)), Pubkey(bytes([10] * 32))
FACTORY = evm_account(bytes([0xFA] * 20))
LINK = ti.Link(samples.EVM, FACTORY, bytes([1] * 32), bytes([2] * 32))


def bridge_bytes() -> bytes:
    head = bytes([c.TOKENS_ACCOUNT_BRIDGE, c.ACCOUNT_LAYOUT_VERSION, 255, 1]) + (60).to_bytes(4, "little")
    rest = [bytes([n] * 32) for n in range(1, 6)]
    middle = bytes(AT.sibyl.program) + encode_endpoint(samples.EVM) + bytes(2) + (61).to_bytes(4, "little")
    return head + middle + rest[0] + rest[1] + FACTORY + rest[2] + rest[3] + bytes(USER) + bytes(MINT)


def token_bytes() -> bytes:
    head = bytes([c.TOKENS_ACCOUNT_TOKEN, c.ACCOUNT_LAYOUT_VERSION, 255, TokenKind.NATIVE, 9, 12, 0, 254])
    numbers = b"".join(n.to_bytes(8, "little") for n in range(1, 14))
    return head + numbers + bytes(MINT) + bytes(TOKEN) + FACTORY + bytes(MINT)


def queued_bytes() -> bytes:
    head = bytes([c.TOKENS_ACCOUNT_QUEUED, c.ACCOUNT_LAYOUT_VERSION, 255]) + bytes(5)
    return head + (5).to_bytes(8, "little") + (6).to_bytes(8, "little") + b"".join(bytes([n] * 32) for n in range(4))


def scheduled_bytes() -> bytes:
    head = bytes([c.TOKENS_ACCOUNT_SCHEDULED, c.ACCOUNT_LAYOUT_VERSION, 255]) + bytes(5)
    return head + (77).to_bytes(8, "little") + bytes(USER) + bytes([5] * 32)


ACCOUNTS = [
    (BridgeAccount, bridge_bytes()),
    (TokenAccount, token_bytes()),
    (QueuedAccount, queued_bytes()),
    (ScheduledAccount, scheduled_bytes()),
]
Decoder = type[BridgeAccount] | type[TokenAccount] | type[QueuedAccount] | type[ScheduledAccount]


def test_solana_tokens_layout__fields__stand_where_the_specification_says() -> None:
    bridge = BridgeAccount.decode(AccountData(PROGRAM, 1, bridge_bytes()), PROGRAM)
    assert (bridge.paused, bridge.queue_delay, bridge.governance_delay) == (True, 60, 61)
    assert bridge.sibyl == AT.sibyl.program
    assert (bridge.origin, bridge.factory, bridge.chain_reference) == (samples.EVM, FACTORY, bytes([2] * 32))
    assert (bridge.authority, bridge.guardian) == (USER, MINT)
    token = TokenAccount.decode(AccountData(PROGRAM, 1, token_bytes()), PROGRAM)
    assert (token.outstanding, token.cap) == (1, 2)
    assert (token.outbound, token.inbound) == (Bucket(3, 4, 5, 6), Bucket(7, 8, 9, 10))
    assert (token.paused_since, token.exit_begin, token.exit_left) == (11, 12, 13)
    assert (token.wire_decimals, token.native_decimals, token.mint) == (9, 12, MINT)
    queued = QueuedAccount.decode(AccountData(PROGRAM, 1, queued_bytes()), PROGRAM)
    assert (queued.amount, queued.releasable_at) == (5, 6)
    scheduled = ScheduledAccount.decode(AccountData(PROGRAM, 1, scheduled_bytes()), PROGRAM)
    assert scheduled == ScheduledAccount(UnixSeconds(77), USER, bytes([5] * 32))


def test_solana_tokens_layout_evm_bridge__each_kind__has_the_other_contract() -> None:
    bridge = BridgeAccount.decode(AccountData(PROGRAM, 1, bridge_bytes()), PROGRAM)
    native_token = Account(bytes(MINT))
    assert bridge.evm_bridge(TokenKind.NATIVE, native_token) == create2_address(FACTORY, bytes(MINT), bytes([4] * 32))
    assert bridge.evm_bridge(TokenKind.WRAPPED, FACTORY) == create2_address(FACTORY, FACTORY, bytes([3] * 32))


@pytest.mark.parametrize(("kind", "data"), ACCOUNTS)
def test_solana_tokens_layout__another_owner_length_type_or_version__refused(kind: Decoder, data: bytes) -> None:
    wrong = [data[:-1], data + b"\0", bytes([data[0] ^ 7]) + data[1:], data[:1] + b"\2" + data[2:], b""]
    for changed in wrong:
        with pytest.raises(DecodeError):
            kind.decode(AccountData(PROGRAM, 1, changed), PROGRAM)
    with pytest.raises(DecodeError):
        kind.decode(AccountData(TOKEN, 1, data), PROGRAM)


@given(st.sampled_from(ACCOUNTS), st.data())
def test_solana_tokens_layout__any_bytes__raise_only_decode_errors(
    account: tuple[Decoder, bytes], data: st.DataObject
) -> None:
    kind, known = account
    at, value = data.draw(st.integers(0, len(known) - 1)), data.draw(st.integers(0, 255))
    changed = known[:at] + bytes([value]) + known[at + 1 :]
    for given_bytes in (changed, data.draw(st.binary(max_size=400))):
        with suppress(DecodeError):  # anything else fails the test
            kind.decode(AccountData(PROGRAM, 1, given_bytes), PROGRAM)


def test_solana_tokens_layout__token_accounts_of_other_programs__refused() -> None:
    for decode in (token_amount, mint_decimals, mint_supply):
        with pytest.raises(DecodeError):
            decode(AccountData(PROGRAM, 1, bytes(165)))
        with pytest.raises(DecodeError):
            decode(AccountData(TOKEN, 1, bytes(81)))
    assert token_amount(AccountData(TOKEN, 1, bytes(64) + (7).to_bytes(8, "little") + bytes(93))) == 7
    assert mint_supply(AccountData(TOKEN, 1, bytes(36) + (9).to_bytes(8, "little") + bytes(38))) == 9


def test_solana_tokens_layout__account_to_be_paid_into__is_of_that_owner_mint_and_program_and_usable() -> None:
    def made(mint: Pubkey = MINT, owner: Pubkey = USER, state: int = 1, size: int = 165) -> AccountData:
        data = bytes(mint) + bytes(owner) + bytes(8) + bytes(36) + bytes([state]) + bytes(56)
        return AccountData(TOKEN, 1, data[:size])

    assert token_account_is(made(), USER, MINT, TOKEN)
    for other in (made(mint=USER), made(owner=MINT), made(state=0), made(state=2), made(size=164)):
        assert not token_account_is(other, USER, MINT, TOKEN)
    assert not token_account_is(made(), USER, MINT, PROGRAM)


@pytest.mark.parametrize(
    ("bucket", "now", "expected"),
    [
        (Bucket(UNLIMITED, 0, 0, 0), 5, UNLIMITED),
        (Bucket(100, 2, 10, 50), 50, 10),
        (Bucket(100, 2, 10, 50), 40, 10),
        (Bucket(100, 2, 10, 50), 60, 30),
        (Bucket(100, 2, 10, 50), 1_000, 100),
        (Bucket(0, 9, 0, 0), 1_000, 0),
    ],
)
def test_solana_tokens_layout_bucket__available__refills_to_its_capacity(
    bucket: Bucket, now: int, expected: int
) -> None:
    assert bucket.available(now) == expected


def test_solana_tokens_instructions__values_out_of_range__refused_here() -> None:
    token = TokenAccount.decode(AccountData(PROGRAM, 1, token_bytes()), PROGRAM)
    for amount in (-1, 1 << 64):
        with pytest.raises(EncodeError):
            ti.send_tokens(AT, token, ti.Sending(USER, USER, FACTORY, amount), 1, samples.EVM)
    with pytest.raises(EncodeError):
        ti.send_tokens(AT, token, ti.Sending(USER, USER, Account(bytes(MINT)), 1), 1, samples.EVM)
    with pytest.raises(EncodeError):
        ti.initialise(AT, USER, replace(LINK, native_init_code_hash=b"short"), ti.Settings(USER, 1, 1))
    with pytest.raises(EncodeError):
        ti.initialise(AT, USER, LINK, ti.Settings(USER, 1 << 32, 1))
    with pytest.raises(EncodeError):
        ti.initialise(AT, USER, LINK, ti.Settings(USER, 1, 1 << 32))
    with pytest.raises(EncodeError):
        tg.set_limits(USER, tg.Limits(cap=1 << 64))


def test_solana_tokens_instructions__a_wrapped_token__has_its_mint_in_the_vaults_place() -> None:
    native = TokenAccount.decode(AccountData(PROGRAM, 1, token_bytes()), PROGRAM)
    wrapped = replace(native, kind=TokenKind.WRAPPED)
    sending = ti.Sending(USER, associated(USER, MINT, TOKEN).address, FACTORY, 5)
    for token, vault in ((native, AT.tokens.vault(MINT).address), (wrapped, MINT)):
        step = ti.send_tokens(AT, token, sending, 1, samples.EVM)
        assert step.accounts[5].pubkey == vault
        assert step.accounts[2].pubkey == ti.token_address(AT, token, samples.EVM)


def roles(step: Instruction) -> list[tuple[Pubkey, str]]:
    return [(meta.pubkey, "w" * meta.is_writable + "s" * meta.is_signer) for meta in step.accounts]


def test_solana_tokens_instructions__refund_and_its_queue__match_the_specification() -> None:
    token = TokenAccount.decode(AccountData(PROGRAM, 1, token_bytes()), PROGRAM)
    notice = samples.plain_message()
    lapsed = ti.Lapsed(notice, MINT, samples.EVM, UnixSeconds(99))
    target = associated(USER, MINT, TOKEN)
    step = ti.refund(AT, USER, token, lapsed, USER, create=False)
    assert step.data == bytes([10, target.bump]) + (99).to_bytes(8, "little")
    inbox = AT.sibyl.inbox(notice.digest).address
    common = [(AT.tokens.native(MINT).address, ""), (inbox, "w"), (MINT, "w"), (AT.sibyl.program, "")]
    assert roles(step)[:2] == [(USER, "ws"), (AT.authority, "")]
    assert roles(step)[2:6] == [(common[0][0], "w"), *common[1:]]
    assert roles(step)[6:] == [(MINT, "w"), (AT.tokens.vault(MINT).address, "w"), (target.address, "w"), (TOKEN, "")]
    queue = ti.enqueue_refund(AT, USER, token, lapsed)
    queued = AT.tokens.queued(notice.digest)
    assert queue.data == bytes([8, queued.bump]) + (99).to_bytes(8, "little")
    assert roles(queue)[2:] == [*common, (queued.address, "w"), (Pubkey.default(), "")]


def test_solana_tokens_instructions__fee_account__comes_last() -> None:
    token = TokenAccount.decode(AccountData(PROGRAM, 1, token_bytes()), PROGRAM)
    delivered = ti.Delivered(samples.plain_message(), USER)
    for create in (True, False):
        without = ti.redeem(AT, USER, token, delivered, MINT, create=create)
        paid = ti.redeem(AT, USER, token, delivered, MINT, create=create, fee_account=PROGRAM)
        assert roles(paid) == [*roles(without), (PROGRAM, "w")]
        assert paid.data == without.data


def test_solana_tokens_governance__announcement__names_one_call() -> None:
    token = TokenAccount.decode(AccountData(PROGRAM, 1, token_bytes()), PROGRAM)
    limits, leave = tg.set_limits(MINT, tg.Limits(cap=5)), tg.emergency_exit(MINT, 7, USER)
    acts = [
        limits, tg.set_limits(MINT, tg.Limits(cap=6)), tg.set_limits(USER, tg.Limits(cap=5)), leave,
        tg.emergency_exit(MINT, 8, USER), tg.emergency_exit(MINT, 7, MINT), tg.unpause(), tg.unpause(MINT),
    ]  # fmt: skip
    assert len({act.operation for act in acts}) == len(acts)
    assert limits.operation == keccak256(limits.data + bytes(MINT) + bytes(32))
    assert leave.operation == keccak256(leave.data + bytes(MINT) + bytes(USER))
    for act in acts:
        place = AT.tokens.scheduled(act.operation)
        step = tg.schedule(AT, USER, act)
        where = bytes(act.token or bytes(32)) + bytes(act.destination or bytes(32))
        assert step.data == bytes([11, place.bump]) + where + act.data
        assert roles(step) == [(USER, "ws"), (AT.authority, ""), (place.address, "w"), (Pubkey.default(), "")]
        taken = tg.cancel(AT, USER, act, PROGRAM)
        assert (taken.data, roles(taken)) == (
            b"\x0c",
            [(USER, "s"), (AT.authority, ""), (place.address, "w"), (PROGRAM, "w")],
        )
        done = tg.carry_out(AT, USER, act, PROGRAM, token)
        assert done.data == act.data
        assert roles(done)[-2:] == [(place.address, "w"), (PROGRAM, "w")]
    assert roles(tg.carry_out(AT, USER, tg.unpause(), PROGRAM))[1] == (AT.authority, "w")
    assert roles(tg.carry_out(AT, USER, tg.unpause(MINT), PROGRAM))[1:3] == [(AT.authority, ""), (MINT, "w")]
    assert roles(tg.carry_out(AT, USER, leave, PROGRAM, token))[1:7] == [
        (AT.authority, ""), (MINT, "w"), (MINT, ""), (AT.tokens.vault(MINT).address, "w"), (USER, "w"), (TOKEN, ""),
    ]  # fmt: skip
    with pytest.raises(EncodeError, match="mint, vault and program"):
        tg.carry_out(AT, USER, leave, PROGRAM)
    with pytest.raises(EncodeError, match="one token"):
        tg.carry_out(AT, USER, tg.Act(limits.data, None), PROGRAM)
    with pytest.raises(EncodeError, match="amount"):
        tg.emergency_exit(MINT, 1 << 64, USER)


def test_solana_tokens_instructions__close_sent__matches_the_specification() -> None:
    step = ti.close_sent(AT, 5, USER)
    assert (step.data, roles(step)) == (
        b"\x0e",
        [(AT.authority, "w"), (AT.sibyl.outbox(5).address, "w"), (USER, "w"), (AT.sibyl.program, "")],
    )
