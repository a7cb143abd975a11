"""The constants' generator: committed files follow protocol.toml, and a bad entry is named."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path

import pytest

from contracts import generate

MINIMAL = """
[kind]
type = "u8"
KIND_ONE = { value = 1, doc = "The first." }

[domain]
type = "tag"
DOMAIN_X = { value = "X_V1", doc = "A tag.", source = "RFC 1" }

[solana_seed]
type = "seed"
SEED_X = { value = "x", doc = "A seed." }

[layout.body]
doc = "A body."
fields = [["version", 1, "v"], ["sequence", 8, "s"], ["payload_size", 2, "p"]]

[layout.config_account]
doc = "An account."
fields = [["bump", 1, "b"]]
"""


def test_generate__committed_files__have_not_drifted() -> None:
    specification = generate.parse_specification(generate.SOURCE.read_text(encoding="utf-8"))
    assert generate.drift(generate.ROOT, specification) == ""


def test_generate__written_python__holds_the_values_of_the_toml(tmp_path: Path) -> None:
    specification = generate.parse_specification(MINIMAL)
    assert sorted(generate.write(tmp_path, specification)) == sorted(generate.OUTPUTS)
    constants = runpy.run_path(str(tmp_path / "oracle/protocol/constants.py"))
    assert constants["KIND_ONE"] == 1
    assert constants["DOMAIN_X"] == b"X_V1" + bytes(28)
    assert constants["SEED_X"] == b"x"
    offsets = [constants[f"BODY_{name}_OFFSET"] for name in ("VERSION", "SEQUENCE", "PAYLOAD_SIZE")]
    assert offsets == [0, 1, 9]
    assert constants["BODY_SIZE"] == 11


def test_generate__every_committed_constant__equals_the_toml() -> None:
    constants = runpy.run_path(str(generate.ROOT / "oracle/protocol/constants.py"))
    document = tomllib.loads(generate.SOURCE.read_text(encoding="utf-8"))
    for group in (table for name, table in document.items() if name != "layout"):
        for name, entry in group.items():
            if name == "type":
                continue
            want = entry["value"]
            if group["type"] == "tag":
                want = want.encode().ljust(32, b"\0")
            elif group["type"] == "seed":
                want = want.encode()
            assert constants[name] == want, name
    for name, layout in document["layout"].items():
        assert constants[f"{name.upper()}_SIZE"] == sum(size for _, size, _ in layout["fields"])


def test_generate__solana_only_tables__stay_out_of_solidity() -> None:
    specification = generate.parse_specification(MINIMAL)
    solidity, zig = generate.render_solidity(specification), generate.render_zig(specification)
    assert 'bytes32 internal constant DOMAIN_X = "X_V1";' in solidity
    assert "uint8 internal constant KIND_ONE = 1;" in solidity
    assert "uint256 internal constant BODY_SEQUENCE_OFFSET = 1;" in solidity
    assert "SEED_X" not in solidity
    assert "CONFIG_ACCOUNT" not in solidity
    assert 'pub const SEED_X = "x";' in zig
    assert "pub const CONFIG_ACCOUNT_SIZE: usize = 1;" in zig
    assert f'pub const DOMAIN_X: [32]u8 = "X_V1{chr(92)}x00' in zig


def test_generate__second_write__touches_nothing_and_edit_is_drift(tmp_path: Path) -> None:
    specification = generate.parse_specification(MINIMAL)
    generate.write(tmp_path, specification)
    assert generate.write(tmp_path, specification) == []
    assert generate.drift(tmp_path, specification) == ""
    target = tmp_path / "contracts/solana/src/generated/constants.zig"
    target.write_text(target.read_text().replace("KIND_ONE: u8 = 1", "KIND_ONE: u8 = 2"))
    difference = generate.drift(tmp_path, specification)
    assert "-pub const KIND_ONE: u8 = 2;" in difference
    assert "+pub const KIND_ONE: u8 = 1;" in difference


def test_generate__check_command__fails_on_drift_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main(["--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert "python -m contracts.generate" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[a]\ntype = "u8"\nX = { value = 256, doc = "d" }', "X = 256"),
        ('[a]\ntype = "u8"\nX = { value = -1, doc = "d" }', "X = -1"),
        ('[a]\ntype = "u8"\nX = { value = true, doc = "d" }', "X = True"),
        ('[a]\ntype = "u8"\nX = { value = 1 }', "X.doc"),
        ('[a]\ntype = "u8"\nX = { value = 1, doc = "d", unit = "s" }', "unit"),
        ('[a]\ntype = "u8"\nx = { value = 1, doc = "d" }', "upper case"),
        ('[a]\ntype = "f32"\nX = { value = 1, doc = "d" }', "a.type"),
        ('[a]\ntype = "u8"', "no constant"),
        ('[a]\ntype = "tag"\nX = { value = "' + "x" * 33 + '", doc = "d" }', "32 ASCII"),
        ('[a]\ntype = "tag"\nX = { value = "ü", doc = "d" }', "32 ASCII"),
        ('[a]\ntype = "tag"\nX = { value = \'a"b\', doc = "d" }', "32 ASCII"),
        (
            '[a]\ntype = "u8"\nX = { value = 1, doc = "d" }\n[b]\ntype = "u8"\nX = { value = 1, doc = "d" }',
            "X is",
        ),
        ('[layout.a]\ndoc = "d"\nfields = [["x", 1, "d"], ["x", 1, "d"]]', "A_X_OFFSET is"),
        ('[layout.a]\ndoc = "d"\nfields = [["x", 0, "d"]]', "layout.a.x"),
        ('[layout.a]\ndoc = "d"\nfields = [["x", 1]]', "layout.a"),
        ('[layout.a]\ndoc = "d"\nfields = []', "layout.a.fields"),
        ('[layout.a]\ndoc = "d"\nsize = 1\nfields = [["x", 1, "d"]]', "size"),
        ("[layout", "not valid TOML"),
    ],
)
def test_generate__bad_entry__is_named(text: str, named: str) -> None:
    with pytest.raises(generate.SpecificationError, match=named):
        generate.parse_specification(text)
