"""Writes the protocol's constants from `contracts/protocol.toml` into Python, Solidity and Zig.

`python -m contracts.generate` writes the three files; with `--check` it writes nothing, prints a diff and
exits with 1 when one of them differs from what it would write. The output is a function of the TOML file
alone, so it is the same on every machine. It does not decide what a constant means, and it runs no
formatter: the templates are in the formatters' style already.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "contracts" / "protocol.toml"

INTEGER_BITS = {"u8": 8, "u16": 16, "u32": 32, "u64": 64}
TAG_SIZE = 32
SEED_MAX_SIZE = 32  # Solana's limit for one seed of a program-derived address
NOTICE = "Generated from contracts/protocol.toml by `python -m contracts.generate`. Do not edit."


class SpecificationError(ValueError):
    """`protocol.toml` says something that cannot be a constant; the message names the entry."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One named constant: `type` is an integer type, `tag` or `seed`; text values are ASCII."""

    name: str
    type: str
    value: int | str
    doc: str
    source: str | None = None

    @property
    def comment(self) -> str:
        """The documentation with its source, one line."""
        return f"{self.doc} Source: {self.source}." if self.source else self.doc


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a layout: `offset` and `size` in bytes."""

    name: str
    offset: int
    size: int
    doc: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The fixed part of a byte layout; whatever follows it starts at `size`."""

    name: str
    doc: str
    fields: tuple[Field, ...]

    @property
    def size(self) -> int:
        """Bytes of the fixed part."""
        return sum(field.size for field in self.fields)

    @property
    def solana_only(self) -> bool:
        """Whether it describes a Solana account, which Solidity has no use for."""
        return self.name.endswith("_account")


@dataclass(frozen=True, slots=True)
class Group:
    """A table of the TOML file: constants of one type."""

    name: str
    constants: tuple[Constant, ...]

    @property
    def solana_only(self) -> bool:
        """Whether it concerns the Solana program alone, which Solidity has no use for."""
        return self.name.startswith("solana_")


@dataclass(frozen=True, slots=True)
class Specification:
    """The whole file, checked."""

    groups: tuple[Group, ...]
    layouts: tuple[Layout, ...]


def parse_specification(text: str) -> Specification:
    """Parses and checks the TOML text.

    Raises:
        SpecificationError: an entry is malformed, out of range, undocumented or named twice.
    """
    try:
        document: Mapping[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecificationError(f"protocol.toml is not valid TOML: {error}") from error
    groups = tuple(_parse_group(name, _table(name, value)) for name, value in document.items() if name != "layout")
    layouts = tuple(
        _parse_layout(name, _table(f"layout.{name}", value))
        for name, value in _table("layout", document.get("layout", {})).items()
    )
    specification = Specification(groups, layouts)
    seen: set[str] = set()
    for name in _all_names(specification):
        if name in seen:
            raise SpecificationError(f"{name} is defined twice; rename one of the two.")
        seen.add(name)
    return specification


def _all_names(specification: Specification) -> Iterator[str]:
    for group in specification.groups:
        yield from (constant.name for constant in group.constants)
    for layout in specification.layouts:
        prefix = layout.name.upper()
        yield from (f"{prefix}_{field.name.upper()}_OFFSET" for field in layout.fields)
        yield f"{prefix}_SIZE"


def _table(name: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise SpecificationError(f"{name} must be a table.")
    return value


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise SpecificationError(f"{name} must be a non-empty text of one line.")
    return value


def _parse_group(name: str, table: Mapping[str, object]) -> Group:
    kind = _text(f"{name}.type", table.get("type"))
    if kind not in INTEGER_BITS and kind not in ("tag", "seed"):
        raise SpecificationError(f"{name}.type is {kind!r}; use one of {', '.join(INTEGER_BITS)}, tag, seed.")
    constants = tuple(
        _parse_constant(key, kind, _table(f"{name}.{key}", value)) for key, value in table.items() if key != "type"
    )
    if not constants:
        raise SpecificationError(f"{name} holds no constant; remove the table or fill it.")
    return Group(name, constants)


def _parse_constant(name: str, kind: str, entry: Mapping[str, object]) -> Constant:
    if not name.isupper() or not name.isidentifier():
        raise SpecificationError(f"{name} must be an identifier in upper case.")
    if unknown := entry.keys() - {"value", "doc", "source"}:
        raise SpecificationError(f"{name} has unknown keys: {', '.join(sorted(unknown))}.")
    source = _text(f"{name}.source", entry["source"]) if "source" in entry else None
    doc = _text(f"{name}.doc", entry.get("doc"))
    return Constant(name, kind, _parse_value(name, kind, entry.get("value")), doc, source)


def _parse_value(name: str, kind: str, value: object) -> int | str:
    if kind in INTEGER_BITS:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << INTEGER_BITS[kind]:
            raise SpecificationError(f"{name} = {value!r} does not fit {kind}.")
        return value
    text = _text(f"{name}.value", value)
    limit = TAG_SIZE if kind == "tag" else SEED_MAX_SIZE
    if not text.isascii() or len(text) > limit or any(c in text for c in '"\\'):
        raise SpecificationError(f"{name} must be at most {limit} ASCII characters without quotes or backslashes.")
    return text


def _parse_layout(name: str, table: Mapping[str, object]) -> Layout:
    if not name.islower() or not name.isidentifier():
        raise SpecificationError(f"layout.{name} must be named by an identifier in lower case.")
    if unknown := table.keys() - {"doc", "fields"}:
        raise SpecificationError(f"layout.{name} has unknown keys: {', '.join(sorted(unknown))}.")
    rows = table.get("fields")
    if not isinstance(rows, list) or not rows:
        raise SpecificationError(f"layout.{name}.fields must be a list of [name, bytes, doc].")
    fields: list[Field] = []
    offset = 0
    for row in rows:
        field = _parse_field(f"layout.{name}", row, offset)
        fields.append(field)
        offset += field.size
    return Layout(name, _text(f"layout.{name}.doc", table.get("doc")), tuple(fields))


def _parse_field(layout: str, row: object, offset: int) -> Field:
    if not isinstance(row, list) or len(row) != 3:
        raise SpecificationError(f"{layout}: each field is [name, bytes, doc], not {row!r}.")
    name = _text(f"{layout} field name", row[0])
    size = row[1]
    if not name.islower() or not name.isidentifier():
        raise SpecificationError(f"{layout}.{name} must be an identifier in lower case.")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise SpecificationError(f"{layout}.{name} must have a positive number of bytes, not {size!r}.")
    return Field(name, offset, size, _text(f"{layout}.{name} doc", row[2]))


def _field_doc(field: Field) -> str:
    return f"{field.size} byte{'s' if field.size > 1 else ''}: {field.doc}."


def _wrap(text: str, prefix: str, width: int = 110) -> list[str]:
    """The text as comment lines: `prefix` opens the first, its comment sign and indent the others."""
    further = prefix.replace("@notice ", "").replace("@dev ", "")
    return textwrap.wrap(
        text,
        width,
        initial_indent=prefix,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )


# ---- Python ----


def _python_doc(text: str) -> list[str]:
    if len(text) + 6 <= 110:
        return [f'"""{text}"""']
    first, *rest = textwrap.wrap(text, 107, break_long_words=False, break_on_hyphens=False)
    return [f'"""{first}', *rest[:-1], f'{rest[-1]}"""']


def _python_value(constant: Constant) -> str:
    if isinstance(constant.value, int):
        return str(constant.value)
    return f'b"{constant.value}".ljust({TAG_SIZE}, b"\\0")' if constant.type == "tag" else f'b"{constant.value}"'


def render_python(specification: Specification) -> str:
    """`oracle/protocol/constants.py`."""
    lines = [
        '"""The protocol\'s constants.',
        "",
        NOTICE,
        "A layout's `*_OFFSET` and `*_SIZE` are in bytes; `*_SIZE` is its fixed part.",
        '"""',
        "",
        "from typing import Final",
    ]
    for group in specification.groups:
        lines += ["", f"# {group.name}"]
        for constant in group.constants:
            lines += [f"{constant.name}: Final = {_python_value(constant)}", *_python_doc(constant.comment)]
    for layout in specification.layouts:
        prefix = layout.name.upper()
        lines += ["", *_wrap(f"layout {layout.name}: {layout.doc}", "# ")]
        for field in layout.fields:
            lines += [
                f"{prefix}_{field.name.upper()}_OFFSET: Final = {field.offset}",
                *_python_doc(_field_doc(field)),
            ]
        lines += [f"{prefix}_SIZE: Final = {layout.size}", *_python_doc(layout.doc)]
    return "\n".join(lines) + "\n"


# ---- Solidity ----


def _solidity_constant(constant: Constant) -> str:
    if isinstance(constant.value, int):
        return f"uint{INTEGER_BITS[constant.type]} internal constant {constant.name} = {constant.value};"
    # A literal assigned to bytes32 is padded with zeros on the right, as a tag is.
    return f'bytes32 internal constant {constant.name} = "{constant.value}";'


def render_solidity(specification: Specification) -> str:
    """`ProtocolConstants.sol`; what concerns Solana's accounts alone is left out."""
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "pragma solidity ^0.8.28;",
        "",
        "/// @title The protocol's constants",
        *_wrap(NOTICE, "/// @notice "),
        "/// @dev Offsets and sizes of layouts are in bytes; a SIZE is the fixed part.",
        "library ProtocolConstants {",
    ]
    indent = "    "
    for group in specification.groups:
        if group.solana_only:
            continue
        lines += [f"{indent}// {group.name}"]
        for constant in group.constants:
            lines += [*_wrap(constant.comment, f"{indent}/// @dev "), indent + _solidity_constant(constant)]
        lines.append("")
    for layout in specification.layouts:
        if layout.solana_only:
            continue
        prefix = layout.name.upper()
        lines += _wrap(f"layout {layout.name}: {layout.doc}", f"{indent}// ")
        for field in layout.fields:
            lines += _wrap(_field_doc(field), f"{indent}/// @dev ")
            lines.append(f"{indent}uint256 internal constant {prefix}_{field.name.upper()}_OFFSET = {field.offset};")
        lines += _wrap(layout.doc, f"{indent}/// @dev ")
        lines += [f"{indent}uint256 internal constant {prefix}_SIZE = {layout.size};", ""]
    return "\n".join([*lines[:-1], "}"]) + "\n"


# ---- Zig ----


def _zig_constant(constant: Constant) -> str:
    if isinstance(constant.value, int):
        return f"pub const {constant.name}: {constant.type} = {constant.value};"
    if constant.type == "seed":
        return f'pub const {constant.name} = "{constant.value}";'
    padding = "\\x00" * (TAG_SIZE - len(constant.value))
    return f'pub const {constant.name}: [{TAG_SIZE}]u8 = "{constant.value}{padding}".*;'


def render_zig(specification: Specification) -> str:
    """`constants.zig`."""
    lines = [
        f"//! The protocol's constants. {NOTICE}",
        "//! Offsets and sizes of layouts are in bytes; a SIZE is the fixed part.",
    ]
    for group in specification.groups:
        lines += ["", f"// {group.name}"]
        for constant in group.constants:
            lines += [*_wrap(constant.comment, "/// "), _zig_constant(constant)]
    for layout in specification.layouts:
        prefix = layout.name.upper()
        lines += ["", *_wrap(f"layout {layout.name}: {layout.doc}", "// ")]
        for field in layout.fields:
            lines += _wrap(_field_doc(field), "/// ")
            lines.append(f"pub const {prefix}_{field.name.upper()}_OFFSET: usize = {field.offset};")
        lines += [*_wrap(layout.doc, "/// "), f"pub const {prefix}_SIZE: usize = {layout.size};"]
    return "\n".join(lines) + "\n"


OUTPUTS: Mapping[str, Callable[[Specification], str]] = {
    "oracle/protocol/constants.py": render_python,
    "contracts/evm/src/generated/ProtocolConstants.sol": render_solidity,
    "contracts/solana/src/generated/constants.zig": render_zig,
}


def write(root: Path, specification: Specification) -> list[str]:
    """Writes each output that differs under `root`; returns the paths written."""
    written = []
    for path, render in OUTPUTS.items():
        target = root / path
        text = render(specification)
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue  # keep the time stamp, so that incremental builds stay incremental
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def drift(root: Path, specification: Specification) -> str:
    """A unified diff from what is on disk under `root` to what should be; empty when nothing drifted."""
    differences: list[str] = []
    for path, render in OUTPUTS.items():
        target = root / path
        have = target.read_text(encoding="utf-8") if target.exists() else ""
        differences += difflib.unified_diff(
            have.splitlines(keepends=True),
            render(specification).splitlines(keepends=True),
            f"{path} (on disk)",
            f"{path} (from protocol.toml)",
        )
    return "".join(differences)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m contracts.generate", description=NOTICE)
    parser.add_argument("--check", action="store_true", help="write nothing; fail with a diff when a file drifted")
    options = parser.parse_args(arguments)
    try:
        specification = parse_specification(SOURCE.read_text(encoding="utf-8"))
    except SpecificationError as error:
        sys.stderr.write(f"contracts/protocol.toml: {error}\n")
        return 2
    if not options.check:
        for path in write(ROOT, specification):
            sys.stdout.write(f"wrote {path}\n")
        return 0
    difference = drift(ROOT, specification)
    if difference:
        sys.stdout.write(difference)
        sys.stderr.write("Generated constants drifted. Run `python -m contracts.generate` and commit the result.\n")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
