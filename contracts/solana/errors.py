"""The Solana program's errors, read from `src/errors.zig`: number → name and sentence.

One list for both sides: the program logs the name and the sentence, clients show the same. Numbers keep their meaning.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

SOURCE: Final = Path(__file__).resolve().parent / "src" / "errors.zig"
_ENTRY: Final = re.compile(r'error\.(\w+) => \.\{ \.code = (\d+), \.sentence = "([^"\\]*)" \},')


@dataclass(frozen=True, slots=True)
class ProgramError:
    """One error of the Sibyl program (a transaction reports `code` as its custom program error)."""

    code: int
    name: str
    sentence: str


@functools.cache
def program_errors() -> MappingProxyType[int, ProgramError]:
    """Every error by its number."""
    found = [ProgramError(int(code), name, text) for name, code, text in _ENTRY.findall(SOURCE.read_text())]
    by_code = {error.code: error for error in found}
    if not found or len(by_code) != len(found):
        raise ValueError(f"{SOURCE.name} has no errors, or two with one number.")
    return MappingProxyType(by_code)


def describe(code: int) -> str:
    """The sentence of a custom program error; an unknown number says so."""
    error = program_errors().get(code)
    return error.sentence if error else f"The program reported the unknown error {code}: it is of another version."
