"""Keys of real models: the VKA, the Solidity verifier and ezkl's own verifying key hold the same numbers."""

import re

import pytest

from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.halo2 import Key, KeyFormatError
from circuits.halo2.curve import DELTA, P, R, inverse
from circuits.halo2.pairing import G2

MODELS = ("tiny", "risk", "tumour")


def _vka(model: ModelArtifacts) -> bytes:
    return (model.directory / "vka.bin").read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_from_vka__real_model__as_the_solidity_verifier_has_it(name: str) -> None:
    model = ensure_model(name)
    key, source = Key.from_vka(_vka(model)), model.verifier_sol.read_text()
    found = {label: int(value, 16) for value, label in re.findall(r"(0x[0-9a-f]{64})\) // ([\w.\[\]]+)", source)}
    assert found["vk_digest"] == key.digest
    assert found["k"] == key.k == model.k
    assert found["num_instances"] == key.instance_count == model.input_count + model.output_count
    assert found["omega"] == key.omega
    assert found["n_inv"] == inverse(key.rows)
    assert found["omega_inv_to_l"] == pow(key.omega, -6, R)
    for prefix, ((x0, x1), (y0, y1)) in (("g2", G2), ("neg_s_g2", key.neg_s_g2)):
        words = [found[f"{prefix}_{part}"] for part in ("x_1", "x_2", "y_1", "y_2")]
        assert words == [x1, x0, y1, y0]
    for kind, points in (("fixed", key.fixed), ("permutation", key.permutation)):
        for i, point in enumerate(points):
            assert (found[f"{kind}_comms[{i}].x"], found[f"{kind}_comms[{i}].y"]) == (point or (0, 0))
    assert f"DELTA = {DELTA};" in source


@pytest.mark.parametrize("name", MODELS)
def test_from_vka__real_model__commitments_stand_in_the_verifying_key(name: str) -> None:
    model = ensure_model(name)
    stored = model.verifying_key.read_bytes()
    for point in Key.from_vka(_vka(model)).permutation:
        # halo2's raw form: Montgomery, little-endian.
        raw = b"".join((c * 2**256 % P).to_bytes(32, "little") for c in point)
        assert raw in stored


@pytest.mark.parametrize("word", [1, *range(3, 10), 14, 16, 20, 24, 33, 34, 50, 64, 85, 93, 124])
def test_from_vka__any_word_changed__refused(word: int) -> None:
    data = bytearray(_vka(ensure_model("tiny")))
    data[8 + 32 * word + 31] ^= 1
    with pytest.raises(KeyFormatError):
        Key.from_vka(bytes(data))


def test_from_vka__trailing_bytes__refused() -> None:
    with pytest.raises(KeyFormatError):
        Key.from_vka(_vka(ensure_model("tiny")) + bytes(32))
