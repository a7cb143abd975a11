"""Links one relocatable BPF object into the sBPF v3 executable that Solana's loader takes.

Upstream LLVM writes BPF objects but has no linker for them. This module is that step, for one object and for version 3 of
the instruction set alone: it lays out read-only data and code, resolves calls and addresses, and names each syscall by its
hash. It guarantees that the program holds only instructions that sBPF executes with the meaning LLVM gave them: an
instruction that the two read differently is refused, never rewritten. It does not optimise, does not drop unused functions,
and does not check that a syscall exists on a cluster (the loader does).

The file: ELF64 header, one PT_LOAD for read-only data at address 0 (when there is any), one PT_LOAD for code at 2^32, no
sections. Layout compared with the public loader (anza-xyz/sbpf, `src/elf.rs`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

EM_BPF: Final = 247
SBPF_VERSION: Final = 3
CODE_ADDRESS: Final = 1 << 32
RODATA_ADDRESS: Final = 0
MAX_FRAME_SIZE: Final = 4096
INSTRUCTION_SIZE: Final = 8

_EHDR: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR: Final = struct.Struct("<IIQQQQIIQQ")
_SYM: Final = struct.Struct("<IBBHQQ")
_REL: Final = struct.Struct("<QQ")
_PHDR: Final = struct.Struct("<IIQQQQQQ")
_INSTRUCTION: Final = struct.Struct("<BBhi")

_IDENT: Final = b"\x7fELF\x02\x01\x01" + bytes(9)
_ET_REL, _ET_DYN = 1, 3
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_NOBITS, _SHT_REL = 1, 2, 8, 9
_SHF_WRITE, _SHF_ALLOC, _SHF_EXEC = 1, 2, 4
_STT_SECTION = 3
_PT_LOAD, _PF_X, _PF_R = 1, 1, 4

_R_LDDW, _R_ABS64, _R_CALL = 1, 2, 10

_LDDW, _CALL, _CALLX, _EXIT = 0x18, 0x85, 0x8D, 0x95
_CLASS_LDX, _CLASS_ST, _CLASS_STX, _CLASS_ALU32, _CLASS_JMP, _CLASS_JMP32, _CLASS_ALU64 = 1, 2, 3, 4, 5, 6, 7
_BYTE_SWAPS: Final = frozenset({0xDC})  # to big-endian; "to little-endian" is gone from newer instruction sets
_MODE_MASK, _MODE_MEM = 0xE0, 0x60
_FRAME_POINTER: Final = 10
_ADD_IMMEDIATE, _MOVE_REGISTER = 0x07, 0xBF
# Runtime functions that LLVM may call by itself and that a Solana syscall replaces.
_SYSCALL_ALIASES: Final = {"__bpf_trap": "abort"}
_COMPILER_RUNTIME: Final = frozenset({"memcpy", "memmove", "memset", "memcmp", "bcmp"})


class LinkError(ValueError):
    """The object cannot become an sBPF program; the sentence names the place and the way out."""


@dataclass(frozen=True, slots=True)
class _Section:
    index: int
    name: str
    kind: int
    flags: int
    link: int
    info: int
    data: bytes
    size: int
    align: int


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    kind: int
    section: int
    value: int


@dataclass(frozen=True, slots=True)
class _Object:
    sections: tuple[_Section, ...]
    symbols: tuple[_Symbol, ...]

    def relocations(self, target: int) -> Iterator[tuple[int, int, _Symbol]]:
        """(offset in the section, relocation type, symbol) of each relocation of section `target`."""
        for section in self.sections:
            if section.kind == _SHT_REL and section.info == target:
                for offset, info in _REL.iter_unpack(section.data):
                    yield offset, info & 0xFFFFFFFF, self.symbols[info >> 32]


def syscall_hash(name: str) -> int:
    """murmur3-32 of the name with seed 0: the number by which an sBPF v3 program calls a syscall."""
    data, h = name.encode(), 0
    for i in range(0, len(data) - len(data) % 4, 4):
        h ^= _murmur_mix(int.from_bytes(data[i : i + 4], "little"))
        h = ((h << 13 | h >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
    if tail := data[len(data) - len(data) % 4 :]:
        h ^= _murmur_mix(int.from_bytes(tail, "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


def _murmur_mix(word: int) -> int:
    word = word * 0xCC9E2D51 & 0xFFFFFFFF
    word = (word << 15 | word >> 17) & 0xFFFFFFFF
    return word * 0x1B873593 & 0xFFFFFFFF


def link(relocatable: bytes, entry: str = "entrypoint") -> bytes:
    """The loadable sBPF v3 file for one BPF object.

    Raises LinkError when the object is no BPF object, calls what is neither in it nor a syscall's name, has global
    variables, or holds an instruction or a frame that sBPF does not run as LLVM meant it.
    """
    obj = _parse(relocatable)
    _refuse_globals(obj)
    bases, rodata = _lay_out_rodata(obj)
    offsets, code = _lay_out(s for s in obj.sections if s.flags & _SHF_EXEC and s.size)
    bases |= {index: CODE_ADDRESS + offset for index, offset in offsets.items()}
    for section in obj.sections:
        if section.index in offsets:
            _relocate_code(obj, section, code, offsets, bases)
        elif section.index in bases:
            _relocate_data(obj, section, rodata, bases)
    _check_instructions(bytes(code))
    return _write(bytes(rodata), bytes(code), _entry_address(obj, entry, bases))


def _parse(raw: bytes) -> _Object:
    if len(raw) < _EHDR.size or not raw.startswith(b"\x7fELF\x02\x01"):
        raise LinkError("This is not a 64-bit little-endian ELF file; compile with -target bpfel-freestanding.")
    header = _EHDR.unpack_from(raw)
    kind, machine, table, count, names = header[1], header[2], header[6], header[12], header[13]
    if kind != _ET_REL or machine != EM_BPF:
        raise LinkError("This ELF file is not a relocatable BPF object; compile with -c for the bpfel target.")
    rows = [_SHDR.unpack_from(raw, table + i * _SHDR.size) for i in range(count)]
    strings = _contents(raw, rows[names])
    sections = tuple(
        _Section(i, _string(strings, r[0]), r[1], r[2], r[6], r[7], _contents(raw, r), r[5], max(r[8], 1))
        for i, r in enumerate(rows)
    )
    symbols: list[_Symbol] = []
    for section in sections:
        if section.kind == _SHT_SYMTAB:
            text = sections[section.link].data
            symbols += [
                _Symbol(_string(text, name), info & 15, index, value)
                for name, info, _, index, value, _ in _SYM.iter_unpack(section.data)
            ]
    return _Object(sections, tuple(symbols))


def _contents(raw: bytes, row: tuple[int, ...]) -> bytes:
    return b"" if row[1] == _SHT_NOBITS else raw[row[4] : row[4] + row[5]]


def _string(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode()


def _refuse_globals(obj: _Object) -> None:
    for section in obj.sections:
        if section.flags & _SHF_ALLOC and section.flags & _SHF_WRITE and section.size:
            raise LinkError(
                f"Section {section.name} holds global variables, which a Solana program cannot have: keep state in "
                "accounts or on the stack."
            )


def _lay_out_rodata(obj: _Object) -> tuple[dict[int, int], bytearray]:
    wanted = (
        s for s in obj.sections if s.flags & _SHF_ALLOC and not s.flags & _SHF_EXEC and s.size and s.name != ".eh_frame"
    )
    offsets, data = _lay_out(wanted)
    return {index: RODATA_ADDRESS + offset for index, offset in offsets.items()}, data


def _lay_out(sections: Iterator[_Section]) -> tuple[dict[int, int], bytearray]:
    offsets: dict[int, int] = {}
    data = bytearray()
    for section in sections:
        data += bytes(-len(data) % max(section.align, INSTRUCTION_SIZE))
        offsets[section.index] = len(data)
        data += section.data
    data += bytes(-len(data) % INSTRUCTION_SIZE)
    return offsets, data


def _relocate_data(obj: _Object, section: _Section, rodata: bytearray, bases: dict[int, int]) -> None:
    start = bases[section.index] - RODATA_ADDRESS
    for offset, kind, symbol in obj.relocations(section.index):
        if kind != _R_ABS64 or symbol.section not in bases:
            raise LinkError(
                f"Section {section.name} refers to {symbol.name or 'a section'} in a way that is not known."
            )
        at = start + offset
        (addend,) = struct.unpack_from("<Q", rodata, at)
        struct.pack_into("<Q", rodata, at, bases[symbol.section] + symbol.value + addend)


def _relocate_code(
    obj: _Object, section: _Section, code: bytearray, offsets: dict[int, int], bases: dict[int, int]
) -> None:
    start = offsets[section.index]
    called = set()
    for offset, kind, symbol in obj.relocations(section.index):
        at = start + offset
        if kind == _R_LDDW:
            _relocate_address(code, at, symbol, bases)
        elif kind == _R_CALL:
            called.add(at)
            _relocate_call(code, at, symbol, offsets)
        else:
            raise LinkError(f"Relocation type {kind} at {section.name}+{offset:#x} is not known.")
    for at in range(start, start + section.size, INSTRUCTION_SIZE):
        opcode, registers, _, immediate = _INSTRUCTION.unpack_from(code, at)
        # A call that LLVM resolved itself is marked as internal; anything else would be taken for a syscall.
        if opcode == _CALL and at not in called and registers >> 4 != 1:
            raise LinkError(f"The call at {section.name}+{at - start:#x} has no target (immediate {immediate}).")


def _relocate_address(code: bytearray, at: int, symbol: _Symbol, bases: dict[int, int]) -> None:
    if symbol.section not in bases:
        raise LinkError(f"The address of {symbol.name!r} is taken, but the object does not define it.")
    if code[at] != _LDDW:
        raise LinkError(f"An address relocation at {at:#x} does not stand on a 64-bit load.")
    addend = int.from_bytes(code[at + 4 : at + 8], "little") | int.from_bytes(code[at + 12 : at + 16], "little") << 32
    address = bases[symbol.section] + symbol.value + addend
    struct.pack_into("<I", code, at + 4, address & 0xFFFFFFFF)
    struct.pack_into("<I", code, at + 12, address >> 32)


def _relocate_call(code: bytearray, at: int, symbol: _Symbol, offsets: dict[int, int]) -> None:
    opcode, registers, offset, immediate = _INSTRUCTION.unpack_from(code, at)
    if symbol.section in offsets:
        # LLVM leaves (target within the symbol's section) / 8 - 1 in the immediate.
        target = offsets[symbol.section] + symbol.value + (immediate + 1) * INSTRUCTION_SIZE
        relative = (target - at) // INSTRUCTION_SIZE - 1
        _INSTRUCTION.pack_into(code, at, opcode, 1 << 4 | registers & 15, offset, relative)
        return
    name = _SYSCALL_ALIASES.get(symbol.name, symbol.name)
    if name in _COMPILER_RUNTIME or name.startswith("__"):
        raise LinkError(
            f"The program calls {name}, a compiler's runtime function that Solana does not have: write that operation in "
            "halves of 32 bits, or in a loop of a known length."
        )
    hashed = syscall_hash(name)
    signed = hashed - (1 << 32) if hashed >> 31 else hashed
    _INSTRUCTION.pack_into(code, at, opcode, registers & 15, offset, signed)


def _check_instructions(code: bytes) -> None:
    """Refuses what sBPF v3 does not run as LLVM meant it."""
    at, copies = 0, set[int]()  # registers that hold a plain copy of the frame pointer
    while at < len(code):
        opcode, registers, offset, immediate = _INSTRUCTION.unpack_from(code, at)
        if reason := _refusal(opcode, registers, offset):
            raise LinkError(f"Instruction {opcode:#04x} at code+{at:#x} is refused: {reason}.")
        destination = registers & 15
        if opcode == _ADD_IMMEDIATE and destination in copies and immediate < -MAX_FRAME_SIZE:
            raise LinkError(_frame_refusal(at, -immediate))
        if opcode == _MOVE_REGISTER and registers >> 4 == _FRAME_POINTER:
            copies.add(destination)
        else:
            copies.discard(destination)
        at += INSTRUCTION_SIZE * (2 if opcode == _LDDW else 1)


def _refusal(opcode: int, registers: int, offset: int) -> str | None:
    kind = opcode & 7
    if kind == _CLASS_ALU32 and opcode not in _BYTE_SWAPS:
        return "sBPF sign-extends 32-bit results where LLVM extends with zeros; compile with -mcpu=v2"
    if kind == _CLASS_JMP32:
        return "32-bit comparisons are not in every sBPF version; compile with -mcpu=v2"
    if kind == _CLASS_STX and opcode & _MODE_MASK != _MODE_MEM:
        return "sBPF has no atomic operations"
    if kind in (_CLASS_LDX, _CLASS_ST) and opcode & _MODE_MASK != _MODE_MEM:
        return "sBPF has no sign-extending loads"
    if kind == _CLASS_ALU64 and offset != 0:
        return "sBPF has no signed division and no sign-extending move"
    if opcode == _CALLX:
        return "calls by function pointer are not used in this project"
    if kind in (_CLASS_LDX, _CLASS_ST, _CLASS_STX):
        base = registers >> 4 if kind == _CLASS_LDX else registers & 15
        if base == _FRAME_POINTER and not -MAX_FRAME_SIZE <= offset < 0:
            return f"it reaches {-offset} bytes into a stack frame of {MAX_FRAME_SIZE}"
    return None


def _frame_refusal(at: int, size: int) -> str:
    return f"The function around code+{at:#x} needs a frame of {size} bytes; at most {MAX_FRAME_SIZE} are there."


def _entry_address(obj: _Object, entry: str, bases: dict[int, int]) -> int:
    for symbol in obj.symbols:
        if symbol.name == entry and bases.get(symbol.section, 0) >= CODE_ADDRESS:
            return bases[symbol.section] + symbol.value
    raise LinkError(f"The object does not define {entry!r}; export a function of that name.")


def _write(rodata: bytes, code: bytes, entry_address: int) -> bytes:
    segments = [(_PF_R, RODATA_ADDRESS, rodata)] if rodata else []
    segments.append((_PF_X, CODE_ADDRESS, code))
    offset = _EHDR.size + _PHDR.size * len(segments)
    header = _EHDR.pack(
        _IDENT, _ET_DYN, EM_BPF, 1, entry_address, _EHDR.size, 0, SBPF_VERSION, _EHDR.size, _PHDR.size, len(segments),
        _SHDR.size, 0, 0,
    )  # fmt: skip
    table = b""
    for flags, address, contents in segments:
        table += _PHDR.pack(_PT_LOAD, flags, offset, address, address, len(contents), len(contents), INSTRUCTION_SIZE)
        offset += len(contents)
    return header + table + rodata + code
