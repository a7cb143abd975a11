"""Accounts and instructions of the token program as bytes: strict decoding, checked encoding, addresses that agree with EVM's."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from bridges.solana import tokens_instructions as ti
from bridges.solana.layout import AccountData, ProgramAddresses
from bridges.solana.tokens_layout import (
    TOKEN,
    UNLIMITED,
    BridgeAccount,
    Bucket,
    QueuedAccount,
    TokenAccount,
    TokenAddresses,
    TokenKind,
    associated,
    mint_decimals,
    token_amount,
)
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.message import encode_endpoint
from oracle.protocol.tokens import create2_address
from oracle.protocol.types import Account, evm_account
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


ACCOUNTS = [(BridgeAccount, bridge_bytes()), (TokenAccount, token_bytes()), (QueuedAccount, queued_bytes())]
Decoder = type[BridgeAccount] | type[TokenAccount] | type[QueuedAccount]


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
    for decode in (token_amount, mint_decimals):
        with pytest.raises(DecodeError):
            decode(AccountData(PROGRAM, 1, bytes(165)))
        with pytest.raises(DecodeError):
            decode(AccountData(TOKEN, 1, bytes(81)))
    assert token_amount(AccountData(TOKEN, 1, bytes(64) + (7).to_bytes(8, "little") + bytes(93))) == 7


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
        ti.set_limits(USER, ti.Limits(cap=1 << 64))


def test_solana_tokens_instructions__a_wrapped_token__has_its_mint_in_the_vaults_place() -> None:
    native = TokenAccount.decode(AccountData(PROGRAM, 1, token_bytes()), PROGRAM)
    wrapped = replace(native, kind=TokenKind.WRAPPED)
    sending = ti.Sending(USER, associated(USER, MINT, TOKEN).address, FACTORY, 5)
    for token, vault in ((native, AT.tokens.vault(MINT).address), (wrapped, MINT)):
        step = ti.send_tokens(AT, token, sending, 1, samples.EVM)
        assert step.accounts[5].pubkey == vault
        assert step.accounts[2].pubkey == ti.token_address(AT, token, samples.EVM)
