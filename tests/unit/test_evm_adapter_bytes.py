"""The EVM adapter's parsers: revert data, points of signatures, key files, sentences; on any bytes."""

import json
import string
from pathlib import Path

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from bridges.evm import refusals
from bridges.evm.abi import CONTRACTS, account_of, address_of, decode_revert, interface
from bridges.evm.account import EvmAccount
from bridges.evm.points import decompress, split_signature
from contracts.evm import artifacts
from oracle.errors import ConfigError, DecodeError, EncodeError
from tests.support import schnorr
from tests.support.evm_chain import selector
from tests.support.schnorr import SchnorrKey

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "frost_signatures.json").read_text())["signatures"]
SECRET = "4c" * 32


def hx(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


# ---- revert data ----


@given(
    st.binary(max_size=300), st.sampled_from([b"", selector("Error(string)"), selector("AlreadyDelivered(bytes32)")])
)
def test_decode_revert__any_bytes__gives_a_sentence(data: bytes, prefix: bytes) -> None:
    revert = decode_revert(prefix + data)
    assert revert.sentence.endswith(".")


def test_decode_revert__recipient_that_names_a_gateway_error__stays_the_recipients() -> None:
    inner = selector("AlreadyDelivered(bytes32)") + b"\1" * 32
    outer = selector("RecipientReverted(bytes32,bytes)") + encode(["bytes32", "bytes"], [b"\2" * 32, inner])
    revert = decode_revert(outer)
    assert revert.name == "RecipientReverted"
    assert "The recipient refused" in revert.sentence


def test_decode_revert__recipient_within_recipient__ends() -> None:
    data = b""
    for _ in range(60):
        data = selector("RecipientReverted(bytes32,bytes)") + encode(["bytes32", "bytes"], [bytes(32), data])
    assert decode_revert(data).name == "RecipientReverted"


@pytest.mark.parametrize(
    ("data", "name", "part"),
    [
        (b"", "", "without a reason"),
        (selector("Error(string)") + encode(["string"], ["no way"]), "Error", "no way"),
        (selector("Panic(uint256)") + encode(["uint256"], [0x11]), "Panic", "0x11"),
        (
            selector("FeeTooLow(uint256,uint256)") + encode(["uint256"] * 2, [7, 5]),
            "FeeTooLow",
            "5 wei is below the model's price of 7",
        ),
        (
            selector("ResultMismatch(bytes32,bytes32)") + bytes(32) + b"policy".ljust(32, b"\0"),
            "ResultMismatch",
            "in its policy",
        ),
        (b"\xde\xad\xbe\xef", "", "0xdeadbeef"),
    ],
)
def test_decode_revert__known_forms__are_named(data: bytes, name: str, part: str) -> None:
    revert = decode_revert(data)
    assert revert.name == name
    assert part in revert.sentence


def test_sentences__each__names_an_error_of_the_contracts_and_its_own_arguments() -> None:
    errors = {
        entry["name"]: {argument["name"] for argument in entry["inputs"]}
        for contract in CONTRACTS
        for entry in artifacts.load(contract).abi
        if entry["type"] == "error"
    }
    for name, text in refusals.SENTENCES.items():
        used = {field for _, field, _, _ in string.Formatter().parse(text) if field}
        assert name in errors, name
        assert used <= errors[name], name


def test_interface__arguments_of_a_wrong_type__encode_error() -> None:
    with pytest.raises(EncodeError, match=r"Gateway\.delivered"):
        interface("Gateway").encode("delivered", b"short", -1)


def test_interface__no_contract__decode_error_that_says_so() -> None:
    with pytest.raises(DecodeError, match="no Gateway contract"):
        interface("Gateway").decode("delivered", b"")


# ---- points and signatures ----


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_split_signature__shared_vectors__give_the_same_coordinates(vector: dict[str, str]) -> None:
    signature = hx(vector["r33"]) + hx(vector["z"])
    try:
        rx, ry, z = split_signature(signature)
    except DecodeError:
        assert not vector["ok"]
        return
    if vector["ok"]:
        assert (rx, ry, z) == (int(vector["rx"], 16), int(vector["ry"], 16), int(vector["z"], 16))
        assert schnorr.verify(hx(vector["group_key"]), hx(vector["message"]), signature)


@given(st.binary(max_size=70))
def test_split_signature__any_bytes__decode_error_or_a_point_of_the_curve(data: bytes) -> None:
    try:
        x, y, _ = split_signature(data)
    except DecodeError:
        return
    p = 2**256 - 2**32 - 977
    assert (y * y - x**3 - 7) % p == 0


@pytest.mark.parametrize(
    "point",
    [b"", b"\0" * 33, b"\4" + b"\1" * 32, b"\2" + b"\xff" * 32, b"\2" + (5).to_bytes(32), b"\2" + b"\1" * 31],
)
def test_decompress__no_point__decode_error(point: bytes) -> None:
    with pytest.raises(DecodeError):
        decompress(point)


def test_decompress__generator__is_the_known_point() -> None:
    x = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
    y = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8
    assert decompress(b"\2" + x.to_bytes(32)) == (x, y)
    assert decompress(b"\3" + x.to_bytes(32)) == (x, 2**256 - 2**32 - 977 - y)


def test_schnorr_helper__its_own_signature__verifies_and_a_changed_one_does_not() -> None:
    key, message = SchnorrKey.seeded("a"), b"\7" * 32
    signature = key.sign(message)
    assert schnorr.verify(key.public, message, signature)
    assert not schnorr.verify(key.public, b"\x08" * 32, signature)
    assert not schnorr.verify(SchnorrKey.seeded("b").public, message, signature)


# ---- addresses and keys ----


@pytest.mark.parametrize("text", ["", "0x12", "0x" + "zz" * 20, "0x" + "11" * 32])
def test_account_of__no_address__encode_error(text: str) -> None:
    with pytest.raises(EncodeError):
        account_of(text)


@pytest.mark.parametrize("raw", [b"", b"\1" * 19, b"\1" * 32, b"\1" * 33])
def test_address_of__no_address__encode_error(raw: bytes) -> None:
    with pytest.raises(EncodeError):
        address_of(raw)


def test_address_of__account__is_its_inverse() -> None:
    assert account_of(address_of(bytes(12) + b"\xab" * 20)) == bytes(12) + b"\xab" * 20


@pytest.mark.parametrize("bad", [SECRET[:-2], SECRET + "00", "zz" * 32, "", "00" * 32, "ff" * 32])
def test_account__bad_key__config_error_that_does_not_show_it(bad: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EvmAccount(bad)
    assert caught.value.__cause__ is None
    assert not bad or bad not in str(caught.value)


def test_account__shown_in_any_way__hides_the_key() -> None:
    account = EvmAccount(SECRET)
    assert SECRET not in f"{account} {account!r} {vars(type(account))}"
    assert account.address in repr(account)


def test_account__key_file__is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"0x{SECRET}\n")
    path.chmod(0o600)
    assert EvmAccount.from_file(path).address == EvmAccount(SECRET).address


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_account__key_file_that_others_read__is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        EvmAccount.from_file(path)
    assert SECRET not in str(caught.value)


def test_account__missing_or_binary_key_file__config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        EvmAccount.from_file(tmp_path / "none")
    path = tmp_path / "binary"
    path.write_bytes(b"\xff" * 32)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="cannot be read"):
        EvmAccount.from_file(path)
