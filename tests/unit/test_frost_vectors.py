"""The shared signature vectors: Python agrees with each, and so do models of both chains' verifiers over ecrecover."""

from __future__ import annotations

import json

import pytest
from coincurve import GLOBAL_CONTEXT
from coincurve._libsecp256k1 import ffi, lib
from Crypto.Hash import keccak

from bridges.frost import signing
from bridges.frost.ciphersuite import h2
from bridges.frost.errors import DecodeError
from bridges.frost.group import FIELD, ORDER, Point
from bridges.frost.keygen import GroupPublicKey
from tests.vectors import make_frost

DOCUMENT = json.loads(make_frost.OUTPUT.read_text())
COMPRESSED = DOCUMENT["signatures"]
UNCOMPRESSED = [*COMPRESSED, *DOCUMENT["uncompressed_only"]]


def named(rows: list[dict[str, object]]) -> list[object]:
    return [pytest.param(row, id=str(row["name"])) for row in rows]


def raw(text: object) -> bytes:
    assert isinstance(text, str)
    return bytes.fromhex(text.removeprefix("0x"))


def number(text: object) -> int:
    return int.from_bytes(raw(text), "big")


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def recover(digest: int, parity: int, r: int, s: int) -> bytes | None:
    """What ecrecover and sol_secp256k1_recover do: the recovered key's x ‖ y, or None."""
    if not (0 < r < ORDER and 0 < s < ORDER and parity in (0, 1)):
        return None
    signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    key, out, size = ffi.new("secp256k1_pubkey *"), ffi.new("unsigned char[65]"), ffi.new("size_t *", 65)
    context, compact = GLOBAL_CONTEXT.ctx, r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert lib.secp256k1_ecdsa_recoverable_signature_parse_compact(context, signature, compact, parity)
    if not lib.secp256k1_ecdsa_recover(context, key, signature, digest.to_bytes(32, "big")):
        return None
    lib.secp256k1_ec_pubkey_serialize(context, out, size, key, lib.SECP256K1_EC_UNCOMPRESSED)
    return bytes(ffi.buffer(out))[1:]


def evm_accepts(row: dict[str, object]) -> bool:
    """The contract's rule: ecrecover(z·Px, 27+parity, Px, e·Px) is the address of -R."""
    key, z, rx, ry = raw(row["group_key"]), number(row["z"]), number(row["rx"]), number(row["ry"])
    px = int.from_bytes(key[1:], "big")
    if key[0] not in (2, 3) or not 0 < px < ORDER or not 0 < z < ORDER:
        return False
    e = h2(bytes([2 + (ry & 1)]) + rx.to_bytes(32, "big") + key + raw(row["message"]))
    found = recover(z * px % ORDER, key[0] & 1, px, e * px % ORDER)
    if found is None or ry > FIELD:
        return False
    return keccak256(found)[12:] == keccak256(rx.to_bytes(32, "big") + (FIELD - ry).to_bytes(32, "big"))[12:]


def solana_accepts(row: dict[str, object]) -> bool:
    """The program's rule: recover(-z·Px, parity, Px, -e·Px) is R itself."""
    key, z = raw(row["group_key"]), number(row["z"])
    px = int.from_bytes(key[1:], "big")
    if key[0] not in (2, 3) or not 0 < px < ORDER or not 0 < z < ORDER:
        return False
    e = h2(raw(row["r33"]) + key + raw(row["message"]))
    found = recover(-z * px % ORDER, key[0] & 1, px, -e * px % ORDER)
    return found is not None and bytes([2 + (found[63] & 1)]) + found[:32] == raw(row["r33"])


def test_vectors__generated_again__are_the_committed_bytes() -> None:
    assert make_frost.OUTPUT.read_text() == make_frost.document()


def test_vectors__committed__hold_valid_and_invalid_cases() -> None:
    assert sum(row["ok"] for row in COMPRESSED) >= 10
    assert sum(not row["ok"] for row in COMPRESSED) >= 20
    assert len({row["name"] for row in UNCOMPRESSED}) == len(UNCOMPRESSED)


@pytest.mark.parametrize("row", named(COMPRESSED))
def test_verify__shared_vector__agrees(row: dict[str, object]) -> None:
    signature = raw(row["r33"]) + raw(row["z"])
    assert signing.verify_encoded(raw(row["group_key"]), signature, raw(row["message"])) is row["ok"]


@pytest.mark.parametrize("row", named(UNCOMPRESSED))
def test_ecrecover_identity__shared_vector__agrees(row: dict[str, object]) -> None:
    assert evm_accepts(row) is row["ok"]


@pytest.mark.parametrize("row", named(COMPRESSED))
def test_sol_recover_identity__shared_vector__agrees(row: dict[str, object]) -> None:
    assert solana_accepts(row) is row["ok"]


@pytest.mark.parametrize("row", named([row for row in COMPRESSED if row["ok"]]))
def test_signature__valid__round_trips_and_gives_calldata_coordinates(row: dict[str, object]) -> None:
    encoded = raw(row["r33"]) + raw(row["z"])
    signature = signing.GroupSignature.from_bytes(encoded)
    assert signature.to_bytes() == encoded
    assert signature.r_uncompressed() == (number(row["rx"]), number(row["ry"]))


@pytest.mark.parametrize("name", ["key_x_above_n", "key_zero", "key_x_off_curve"])
def test_group_public_key__unusable__is_refused_at_construction(name: str) -> None:
    row = next(row for row in COMPRESSED if row["name"] == name)
    with pytest.raises(DecodeError):
        GroupPublicKey.from_bytes(raw(row["group_key"]))


def test_group_public_key__x_above_n__is_on_the_curve_and_refused_for_its_x_alone() -> None:
    row = next(row for row in COMPRESSED if row["name"] == "key_x_above_n")
    point = Point.from_bytes(raw(row["group_key"]))
    assert ORDER <= point.coordinates()[0] < FIELD
