"""The Solana programs' errors, read from `src/errors.zig`, `tokens/errors.zig` and `verifier/errors.zig`: number → name and sentence.

One list for both sides: the programs log the name and the sentence, clients show the same. Numbers keep their meaning, and no two errors of
the programs share one.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

SOURCE: Final = Path(__file__).resolve().parent / "src" / "errors.zig"
TOKENS_SOURCE: Final = Path(__file__).resolve().parent / "tokens" / "errors.zig"
VERIFIER_SOURCE: Final = Path(__file__).resolve().parent / "verifier" / "errors.zig"
_ENTRY: Final = re.compile(r'error\.(\w+) => \.\{ \.code = (\d+), \.sentence = "([^"\\]*)" \},')


@dataclass(frozen=True, slots=True)
class ProgramError:
    """One error of the Sibyl program, the token program or the verifier program (a transaction reports `code` as its custom program error)."""

    code: int
    name: str
    sentence: str


@functools.cache
def program_errors() -> MappingProxyType[int, ProgramError]:
    """Every error by its number."""
    sources = (SOURCE, TOKENS_SOURCE, VERIFIER_SOURCE)
    listed = [entry for source in sources for entry in _ENTRY.findall(source.read_text())]
    found = [ProgramError(int(code), name, text) for name, code, text in listed]
    by_code = {error.code: error for error in found}
    if not found or len(by_code) != len(found):
        raise ValueError("The programs have no errors, or two with one number.")
    return MappingProxyType(by_code)


def describe(code: int) -> str:
    """The sentence of a custom program error; an unknown number says so."""
    error = program_errors().get(code)
    return error.sentence if error else f"The program reported the unknown error {code}: it is of another version."
