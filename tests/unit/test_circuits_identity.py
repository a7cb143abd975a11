"""Model ids and instances: the bytes that chains and nodes have to agree on."""

import json

import pytest
from Crypto.Hash import keccak

from circuits.compile import canonical_settings, model_id_of
from circuits.errors import ModelError
from circuits.field import from_ezkl_hex, instances, to_ezkl_hex
from oracle.protocol.encoding import FIELD_MODULUS
from oracle.protocol.errors import EncodeError


def _keccak(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def test_model_id_of__written_out__is_the_protocols_formula() -> None:
    settings = b'{"a":[1,2],"b":{"c":null}}'
    expected = _keccak(b"SIBYL_MODEL_V1".ljust(32, b"\0") + _keccak(b"onnx") + _keccak(settings) + _keccak(b"vk"))
    assert model_id_of(b"onnx", settings, b"vk") == expected


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_model_id_of__any_part_changed__differs(changed: int) -> None:
    parts = [b"onnx", b'{"a":1}', b"vk"]
    honest = model_id_of(*parts)
    parts[changed] = b'{"a":2}' if changed == 1 else parts[changed] + b"!"
    assert model_id_of(*parts) != honest


def test_canonical_settings__order_spaces_and_timestamp__do_not_matter() -> None:
    one = json.dumps({"b": 1, "a": {"y": 2, "x": 1.5}, "timestamp": 17}, indent=3).encode()
    other = b'{"timestamp": 99, "a": {"x": 1.5, "y": 2}, "b": 1}'
    assert canonical_settings(one) == canonical_settings(other) == b'{"a":{"x":1.5,"y":2},"b":1}'


def test_canonical_settings__not_an_object__refused() -> None:
    with pytest.raises(ModelError):
        canonical_settings(b"[1]")


def test_instances__negative_values__wrap_at_the_field() -> None:
    assert instances((1, -1), (0, -(2**63))) == (1, FIELD_MODULUS - 1, 0, FIELD_MODULUS - 2**63)


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_ezkl_hex__round_trip__same_value(value: int) -> None:
    assert from_ezkl_hex(to_ezkl_hex(value)) == value


def test_from_ezkl_hex__not_canonical__refused() -> None:
    with pytest.raises(EncodeError):
        from_ezkl_hex(FIELD_MODULUS.to_bytes(32, "little").hex())
