"""Payloads of the token bridge as Python reads and writes them: the shared vectors, and the rules for all values (TOKENS.md §1-3)."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from hypothesis import given
from hypothesis import strategies as st

from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.interop import InteropAddress
from oracle.protocol.tokens import (
    MAX_NATIVE_DECIMALS,
    MAX_WIRE_AMOUNT,
    TokenRegistration,
    TokenTransfer,
    create2_address,
    from_wire,
    to_wire,
    wire_decimals,
    wire_scale,
)
from oracle.protocol.types import Account, ChainType, evm_account
from tests.support.strategies import PATIENT, evm_accounts, evm_chains, words

VECTORS = Path(__file__).parents[1] / "vectors"
DOCUMENT: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "tokens.json").read_text())


def by_name(kind: str) -> pytest.MarkDecorator:
    rows = DOCUMENT[kind]
    return pytest.mark.parametrize("row", rows, ids=[row["name"] for row in rows])


def raw(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


def padded(account: bytes) -> Account:
    return Account(bytes(32 - len(account)) + account)


def test_vectors__committed_file__is_what_the_script_writes() -> None:
    written = runpy.run_path(str(VECTORS / "make_tokens.py"))["document"]()
    assert (VECTORS / "tokens.json").read_text() == written, "run: python tests/vectors/make_tokens.py"


@by_name("transfers")
def test_transfer__vector__decodes_to_its_fields_and_encodes_to_its_bytes(row: dict[str, Any]) -> None:
    payload = raw(row["payload"])
    transfer = TokenTransfer.from_bytes(
        payload, origin=ChainType(row["origin"]), destination=ChainType(row["destination"])
    )
    assert transfer.sender.to_bytes() == raw(row["from"])
    assert transfer.recipient == padded(raw(row["to"]))
    assert transfer.amount == int(row["amount"])
    assert transfer.to_bytes() == payload
    assert transfer.fee == int(row["fee"])
    words = [raw(row["from"]), raw(row["to"]), transfer.amount, transfer.fee]
    assert abi_encode(["bytes", "bytes", "uint256", "uint256"], words) == payload


@by_name("invalid_transfers")
def test_transfer__invalid_vector__is_a_decode_error(row: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        TokenTransfer.from_bytes(
            raw(row["payload"]), origin=ChainType(row["origin"]), destination=ChainType(row["destination"])
        )


@by_name("registrations")
def test_registration__vector__decodes_to_its_fields_and_encodes_to_its_bytes(row: dict[str, Any]) -> None:
    payload = raw(row["payload"])
    entry = TokenRegistration.from_bytes(payload)
    values = (raw(row["token"]), row["wire_decimals"], raw(row["token_name"]), raw(row["token_symbol"]))
    assert (entry.token, entry.wire_decimals, entry.name, entry.symbol) == values
    assert entry.to_bytes() == payload
    assert abi_encode(["bytes32", "uint8", "bytes", "bytes"], values) == payload


@by_name("invalid_registrations")
def test_registration__invalid_vector__is_a_decode_error(row: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        TokenRegistration.from_bytes(raw(row["payload"]))


@by_name("create2")
def test_create2__vector__is_the_predicted_address(row: dict[str, Any]) -> None:
    factory = evm_account(raw(row["factory"]))
    assert create2_address(factory, raw(row["salt"]), raw(row["init_code_hash"]))[12:] == raw(row["address"])


@pytest.mark.parametrize(("factory", "salt", "code"), [(b"\1" * 32, bytes(32), bytes(32)), (bytes(32), b"", bytes(32))])
def test_create2__malformed_argument__is_refused(factory: bytes, salt: bytes, code: bytes) -> None:
    with pytest.raises(EncodeError):
        create2_address(Account(factory), salt, code)


amounts = st.integers(1, MAX_WIRE_AMOUNT)
senders = st.builds(InteropAddress, evm_chains, evm_accounts)


@PATIENT
@given(senders, words.map(Account), amounts, st.integers(0, MAX_WIRE_AMOUNT))
def test_transfer__any_value__comes_back(sender: InteropAddress, recipient: Account, amount: int, fee: int) -> None:
    fee %= amount
    transfer = TokenTransfer(sender, ChainType.SOLANA, recipient, amount, fee)
    data = transfer.to_bytes()
    assert TokenTransfer.from_bytes(data, origin=ChainType.EIP155, destination=ChainType.SOLANA) == transfer
    words_ = ["bytes", "bytes", "uint256", "uint256"]
    assert abi_decode(words_, data) == (sender.to_bytes(), bytes(recipient), amount, fee)


@PATIENT
@given(st.data())
def test_payload__any_change_of_a_valid_one__is_refused_or_another_value(data: st.DataObject) -> None:
    """No two encodings of one value: whatever decodes, encodes to the very bytes."""
    row = data.draw(st.sampled_from(DOCUMENT["transfers"] + DOCUMENT["registrations"]))
    payload = bytearray(raw(row["payload"]))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    changed = bytes(payload)[: data.draw(st.sampled_from([len(payload), len(payload) - 1, 96, 31]))]
    value: TokenTransfer | TokenRegistration
    try:
        if "amount" in row:
            kinds = {"origin": ChainType(row["origin"]), "destination": ChainType(row["destination"])}
            value = TokenTransfer.from_bytes(changed, **kinds)
        else:
            value = TokenRegistration.from_bytes(changed)
    except DecodeError:
        return
    assert value.to_bytes() == changed


@PATIENT
@given(st.binary(max_size=600), st.sampled_from(ChainType), st.sampled_from(ChainType))
def test_payload__any_bytes__raise_decode_error_alone(data: bytes, origin: ChainType, destination: ChainType) -> None:
    with pytest.raises(DecodeError):
        TokenTransfer.from_bytes(data, origin=origin, destination=destination)
    with pytest.raises(DecodeError):
        TokenRegistration.from_bytes(data)


@PATIENT
@given(st.integers(0, MAX_NATIVE_DECIMALS), st.integers(0, 1 << 256))
def test_amount__any__is_refused_or_leaves_less_than_one_wire_unit(decimals: int, amount: int) -> None:
    scale = wire_scale(decimals)
    try:
        wire = to_wire(amount, decimals)
    except EncodeError:
        assert amount < scale or amount >= (MAX_WIRE_AMOUNT + 1) * scale
        return
    assert 0 <= amount - from_wire(wire, decimals) < scale
    assert 1 <= wire <= MAX_WIRE_AMOUNT


@pytest.mark.parametrize(
    ("native", "wire", "scale"), [(0, 0, 1), (6, 6, 1), (9, 9, 1), (18, 9, 10**9), (30, 9, 10**21)]
)
def test_decimals__of_a_token__nine_at_most(native: int, wire: int, scale: int) -> None:
    assert (wire_decimals(native), wire_scale(native)) == (wire, scale)


@pytest.mark.parametrize("decimals", [-1, 67, 255])
def test_decimals__of_no_token__refused(decimals: int) -> None:
    with pytest.raises(EncodeError, match="0 to 66"):
        wire_decimals(decimals)


def test_values__out_of_range__refused() -> None:
    sender = TokenTransfer.from_bytes(
        raw(DOCUMENT["transfers"][0]["payload"]), origin=ChainType.EIP155, destination=ChainType.SOLANA
    ).sender
    for amount in (0, -1, MAX_WIRE_AMOUNT + 1):
        with pytest.raises(EncodeError):
            TokenTransfer(sender, ChainType.SOLANA, Account(bytes(32)), amount)
    with pytest.raises(EncodeError):
        TokenTransfer(sender, ChainType.EIP155, Account(b"\1" * 32), 1)
    for arguments in ((bytes(32), 9, b"n", b"s"), (b"\1" * 32, 10, b"n", b"s"), (b"\1" * 32, 9, b"", b"s")):
        with pytest.raises(EncodeError):
            TokenRegistration(Account(arguments[0]), *arguments[1:])
