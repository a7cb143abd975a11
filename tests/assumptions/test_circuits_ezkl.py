"""What we rely on, or guard against, in ezkl 23.0.5. When one of these fails after an upgrade, the code that cites it has to be thought over.

Every call runs in a child process, as in production.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.compile import CircuitSettings, canonical_settings, child_environment, run_step, settled
from circuits.models.tiny.build import RECIPE

PRELUDE = """
import ezkl, json, sys
from pathlib import Path
def verify(document, path="p.json"):
    Path(path).write_text(json.dumps(document))
    try:
        return ezkl.verify(path, "settings.json", "vk.key", "kzg.srs", False)
    except RuntimeError as error:
        return str(error)
def witness(row, path="w.json"):
    return ezkl.gen_witness(json.dumps({"input_data": [row]}), "network.compiled", path, None, None)
def prove(path="w.json", pk="pk.key", circuit="network.compiled"):
    ezkl.prove(path, circuit, pk, "made.json", "kzg.srs")
    return json.loads(Path("made.json").read_text())
"""


def run(directory: Path, script: str) -> list[object]:
    """What a script prints, line by line as JSON, in a directory that holds a built model."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env=child_environment(directory),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the tiny model's files that a test may change."""
    model: ModelArtifacts = ensure_model("tiny")
    for path in model.directory.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_verify__rebuilt_document__needs_instances_and_proof_alone(tiny: Path) -> None:
    # circuits.worker.proof_document
    found = run(
        tiny,
        """
witness([0.5, -0.25]); made = prove()
bare = dict.fromkeys(made) | {"instances": made["instances"], "proof": made["proof"]}
print(json.dumps(verify(bare)))
print(json.dumps(verify(bare | {"hex_proof": "0x00", "pretty_public_inputs": None})))
""",
    )
    assert found == [True, True]


def test_verify__32_trailing_bytes__accepted_by_ezkl(tiny: Path) -> None:
    # Why circuits.worker compares the proof's length itself.
    assert run(
        tiny, 'witness([0.5, -0.25]); made = prove(); made["proof"] += [0] * 32; print(json.dumps(verify(made)))'
    ) == [True]


def test_verify__bad_proofs__say_halo2(tiny: Path) -> None:
    # circuits.worker tells a bad proof from a broken machine by this word.
    found = run(
        tiny,
        """
witness([0.5, -0.25]); made = prove()
flip = lambda p, at: [*p[:at], p[at] ^ 1, *p[at + 1:]]
p = made["proof"]
for proof in (flip(p, 0), flip(p, 1000), p[:-1], [], [0] * len(p), [255] * len(p)):
    print(json.dumps(verify(made | {"proof": proof})))
one, two, out = made["instances"][0]
for instances in ([two, one, out], [one, two, two], [one, two], [one, two, out, out], []):
    print(json.dumps(verify(made | {"instances": [instances]})))
""",
    )
    assert len(found) == 11
    assert all(verdict is False or (isinstance(verdict, str) and "[halo2]" in verdict) for verdict in found), found


def test_verify__field_element_beyond_the_modulus__refused(tiny: Path) -> None:
    # Neither a scalar nor an instance has a second encoding.
    found = run(
        tiny,
        """
R = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
witness([0.5, -0.25]); made = prove(); proof = bytes(made["proof"]); refused = []
for at in range(16 * 64 - 128, len(proof) - 160, 32):
    for order in ("big", "little"):
        value = int.from_bytes(proof[at:at + 32], order) + R
        if value < 1 << 256:
            other = proof[:at] + value.to_bytes(32, order) + proof[at + 32:]
            refused.append(verify(made | {"proof": list(other)}) is not True)
print(json.dumps([len(refused) > 10, all(refused)]))
""",
    )
    assert found == [[True, True]]


def test_prove__doctored_witness__proves_but_does_not_verify(tiny: Path) -> None:
    # Why every proof is verified before it leaves.
    found = run(
        tiny,
        """
witness([0.5, -0.25])
held = json.loads(Path("w.json").read_text()); held["outputs"] = [["05" + "00" * 31]]; Path("w.json").write_text(json.dumps(held))
print(json.dumps(verify(prove())))
""",
    )
    assert found[0] is not True


def test_verify__other_weights__refused_under_the_honest_key(tiny: Path) -> None:
    # param_visibility "fixed" binds the weights to the verifying key: with it a model id binds the model.
    other = tiny / "other"
    other.mkdir()
    onnx = (tiny / "model.onnx").read_bytes()
    minus_seven = b"\x00\x00\xe0\xc0"
    assert onnx.count(minus_seven) == 1
    (other / "model.onnx").write_bytes(onnx.replace(minus_seven, b"\x00\x00\xc0\xc0"))
    (other / "kzg.srs").write_bytes((tiny / "kzg.srs").read_bytes())
    (other / "settings.json").write_bytes((tiny / "settings.json").read_bytes())
    run_step("compile", other, 60)
    run_step("setup", other, 60, srs="kzg.srs")
    found = run(
        tiny,
        """
ezkl.gen_witness(json.dumps({"input_data": [[0.5, -0.25]]}), "other/network.compiled", "w.json", None, None)
print(json.dumps([verify(prove(pk=pk, circuit="other/network.compiled")) is True for pk in ("other/pk.key", "pk.key")]))
ezkl.prove("w.json", "other/network.compiled", "other/pk.key", "made.json", "kzg.srs")
print(json.dumps(ezkl.verify("made.json", "other/settings.json", "other/vk.key", "kzg.srs", False)))
""",
    )
    assert found == [[False, False], True]


def test_gen_witness__same_input__same_output_in_every_process(tiny: Path) -> None:
    script = 'print(json.dumps([witness([x / 64, -x / 32])["outputs"] for x in range(-128, 128, 16)]))'
    assert run(tiny, script) == run(tiny, script)


def test_gen_witness__beyond_the_circuit__fails_and_says_halo2(tiny: Path) -> None:
    # No lookups, so nothing hangs; circuits.worker makes an InferenceError of it.
    found = run(
        tiny,
        """
try:
    witness([1e9, 1e9], None); print("null")
except RuntimeError as error:
    print(json.dumps(str(error)))
""",
    )
    assert isinstance(found[0], str)
    assert "[halo2]" in found[0]


def _settings(directory: Path, model: bytes) -> bytes:
    (directory / "model.onnx").write_bytes(model)
    run_step("settings", directory, 60, run_args=RECIPE.circuit.run_args())
    return (directory / "settings.json").read_bytes()


def test_settings__several_runs__same_once_settled(tiny: Path, tmp_path: Path) -> None:
    # ezkl lists range checks in hash order: about every second run differs, and the order changes the verifying key (circuits.compile.settled).
    model = (tiny / "model.onnx").read_bytes()
    raw = [_settings(tmp_path, model) for _ in range(6)]
    assert len({settled(found) for found in raw}) == 1
    checks = [json.loads(canonical_settings(found))["required_range_checks"] for found in raw]
    assert all(sorted(found) == [[-1, 1], [0, 127]] for found in checks)
    assert isinstance(RECIPE.circuit, CircuitSettings)


def test_setup__same_settings_and_srs__same_keys(tiny: Path) -> None:
    def digests() -> list[str]:
        return [hashlib.sha256((tiny / name).read_bytes()).hexdigest() for name in ("vk.key", "pk.key")]

    built = digests()
    run_step("compile", tiny, 60)
    run_step("setup", tiny, 60, srs="kzg.srs")
    assert digests() == built


def test_gen_srs__twice__differs(tmp_path: Path) -> None:
    # Its secret is random: the verifying key, and so the model id, belongs to one SRS file (circuits.compile.local_srs keeps it).
    made = []
    for _ in range(2):
        run_step("srs", tmp_path, 60, logrows=6)
        made.append((tmp_path / "kzg.srs").read_bytes())
    assert made[0] != made[1]
    assert len(made[0]) == len(made[1]) == 128 * 2**6 + 260


def test_create_evm_verifier__no_compiler__still_writes_a_strict_contract(tiny: Path) -> None:
    (tiny / "verifier.sol").unlink()
    assert run_step("verifier", tiny, 60, srs="kzg.srs") is True
    solidity = (tiny / "verifier.sol").read_text()
    assert "pragma solidity ^0.8.0;" in solidity
    assert "contract Halo2Verifier {" in solidity
    assert "success := and(success, eq(0x07a0, proof.length))" in solidity
    assert "success := and(success, eq(num_instances, instances.length))" in solidity
    assert "success := and(success, lt(instance, r))" in solidity
