"""Rewrites LLVM's memory intrinsics in textual IR to Solana's syscalls.

LLVM's BPF back end unrolls a copy of known length and calls `memcpy` for one of run-time length; sBPF has neither room for the
first when it is long nor a `memcpy` for the second. Copies and fills longer than INLINE_LIMIT bytes, or of run-time length,
become `sol_memcpy_`, `sol_memmove_` and `sol_memset_`; short ones stay. It changes nothing else.
"""

from __future__ import annotations

import re
from typing import Final

INLINE_LIMIT: Final = 64
"""Bytes up to which loads and stores (sixteen instructions, 128 bytes of program) are cheaper than a syscall and its three arguments."""

_CALL: Final = re.compile(
    r"^(?P<indent>\s*)(?:(?:tail|notail|musttail) )?call void @llvm\.mem(?P<kind>cpy|move|set)(?:\.inline)?\.[\w.]+\("
)
_CONSTANT_EXPRESSIONS: Final = frozenset({"getelementptr", "inttoptr"})
"""What an operand that is no name begins with; it goes on to its closing parenthesis."""
_DECLARATIONS: Final = {
    "cpy": "declare void @sol_memcpy_(ptr, ptr, i64)",
    "move": "declare void @sol_memmove_(ptr, ptr, i64)",
    "set": "declare void @sol_memset_(ptr, i8 zeroext, i64)",
}


class RewriteError(ValueError):
    """A line of the IR has a form that this step does not know."""


def rewrite_memory_calls(text: str) -> str:
    """The same IR with long and run-time copies and fills made by syscalls."""
    used: set[str] = set()
    lines = [_rewrite_line(line, used) for line in text.split("\n")]
    return "\n".join(lines + [_DECLARATIONS[kind] for kind in sorted(used)] + [""])


def _rewrite_line(line: str, used: set[str]) -> str:
    found = _CALL.match(line)
    if found is None:
        if re.search(r"\bcall void @llvm\.mem(cpy|move|set)", line):
            raise RewriteError(f"A memory call has a form that is not known: {line.strip()}")
        return line
    arguments = _split(line, found.end())
    if len(arguments) != 4 or arguments[3] != "i1 false":
        raise RewriteError(f"A memory call is volatile or has other arguments than four: {line.strip()}")
    length = arguments[2].removeprefix("i64 ")
    if length.isdigit() and int(length) <= INLINE_LIMIT:
        return line
    kind = found["kind"]
    used.add(kind)
    second = arguments[1] if kind == "set" else f"ptr {_operand(arguments[1])}"
    second = second.replace("i8 ", "i8 zeroext ", 1) if kind == "set" else second
    return f"{found['indent']}call void @sol_mem{kind}_(ptr {_operand(arguments[0])}, {second}, i64 {length})"


def _split(line: str, start: int) -> list[str]:
    """The arguments of a call whose opening parenthesis stands right before `start`."""
    arguments: list[str] = []
    depth, begin = 0, start
    for at in range(start, len(line)):
        character = line[at]
        if character == ")" and depth == 0:
            return [*arguments, line[begin:at].strip()]
        if character == "," and depth == 0:
            arguments.append(line[begin:at].strip())
            begin = at + 1
        depth += (character == "(") - (character == ")")
    raise RewriteError(f"A memory call does not end: {line.strip()}")


def _operand(argument: str) -> str:
    """The value of a pointer argument, without its type and attributes."""
    tokens = _words(argument)
    if not tokens[-1].startswith("("):
        return tokens[-1]
    for at, token in enumerate(tokens):
        if token in _CONSTANT_EXPRESSIONS:
            return " ".join(tokens[at:])
    raise RewriteError(f"A pointer has a form that is not known: {argument}")


def _words(argument: str) -> list[str]:
    """The argument at its spaces, but those inside parentheses."""
    found, depth = [""], 0
    for character in argument:
        depth += (character == "(") - (character == ")")
        if character == " " and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return found
