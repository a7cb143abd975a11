"""The link step refuses what sBPF would run otherwise than LLVM meant it, and lays out the file as the loader reads it."""

import struct
from pathlib import Path

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata

from contracts.solana.build import PROGRAMS, BuildError, build_programs, compile_object
from contracts.solana.ir import INLINE_LIMIT, RewriteError, rewrite_memory_calls
from contracts.solana.link import CODE_ADDRESS, LinkError, link, syscall_hash

EXIT = bytes([0x95, 0, 0, 0, 0, 0, 0, 0])
PRELUDE = """
const std = @import("std");
pub const panic = std.debug.no_panic;
extern fn sol_set_return_data(data: [*]const u8, length: u64) void;
extern fn sol_memcmp_(a: [*]const u8, b: [*]const u8, n: u64, result: *i32) void;
"""


def instruction(opcode: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", opcode, registers, offset, immediate)


def make_object(
    code: bytes,
    relocations: tuple[tuple[int, int, int], ...] = (),
    symbols: tuple[tuple[str, int, int], ...] = (),
    data: bytes = b"",
    data_flags: int = 3,
) -> bytes:
    """A minimal BPF object: .text (section 1), data (2); symbols are (name, section, value) from index 2; entrypoint is 1."""
    names = b"\0.text\0.data\0.rel.text\0.symtab\0.strtab\0"
    strings = b"\0entrypoint\0"
    table = struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0, 0)
    for symbol_name, section, value in symbols:
        table += struct.pack("<IBBHQQ", len(strings), 0x10, 0, section, value, 0)
        strings += symbol_name.encode() + b"\0"
    entries = b"".join(struct.pack("<QQ", at, symbol << 32 | kind) for at, kind, symbol in relocations)
    parts = [b"", code, data, entries, table, strings]
    kinds = [(0, 0, 0, 0), (1, 6, 0, 0), (1, data_flags, 0, 0), (9, 0, 4, 1), (2, 0, 5, 1), (3, 0, 0, 0)]
    body, headers, offset = b"", b"", 64
    for part, (kind, flags, linked, info), name in zip(parts, kinds, (0, 1, 7, 13, 23, 31), strict=True):
        headers += struct.pack("<IIQQQQIIQQ", name, kind, flags, 0, offset, len(part), linked, info, 8, 0)
        body, offset = body + part, offset + len(part)
    headers += struct.pack("<IIQQQQIIQQ", 31, 3, 0, 0, offset, len(names), 0, 0, 1, 0)
    body, offset = body + names, offset + len(names)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 1, 247, 1, 0, 0, offset, 0, 64, 0, 0, 64, 7, 6)
    return header + body + headers


def run(executable: bytes, data: bytes = b"") -> TransactionMetadata | FailedTransactionMetadata:
    svm, payer, program = LiteSVM(), Keypair(), Pubkey.new_unique()
    svm.airdrop(payer.pubkey(), 10**10)
    svm.add_program(program, executable)
    message = Message([Instruction(program, data, [])], payer.pubkey())
    return svm.send_transaction(Transaction([payer], message, svm.latest_blockhash()))


def build(tmp_path: Path, source: str) -> bytes:
    root = tmp_path / "program.zig"
    root.write_text(PRELUDE + source)
    return link(compile_object(root, tmp_path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sol_log_", 0x207559BD), ("abort", 0xB6FC1A11), ("sol_memcpy_", 0x717CC4A3), ("sol_sha256", 0x11F49D86)],
)
def test_solana_link_syscall_hash__known_names__give_the_runtimes_numbers(name: str, expected: int) -> None:
    assert syscall_hash(name) == expected


def test_solana_link__smallest_object__loads_and_runs() -> None:
    executable = link(make_object(instruction(0xB7, 0) + EXIT))
    assert struct.unpack_from("<HH", executable, 16) == (3, 247)
    assert struct.unpack_from("<Q", executable, 24)[0] == CODE_ADDRESS
    assert struct.unpack_from("<I", executable, 48)[0] == 3
    assert isinstance(run(executable), TransactionMetadata)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (instruction(0x04, 1, 0, 1), "32-bit"),  # add32
        (instruction(0x1C, 0x21), "32-bit"),  # sub32
        (instruction(0x2C, 0x21), "32-bit"),  # mul32
        (instruction(0xBC, 0x21), "32-bit"),  # mov32
        (instruction(0x16, 1, 1), "32-bit comparisons"),  # jeq32
        (instruction(0xDB, 0x21), "atomic"),
        (instruction(0xC3, 0x21), "atomic"),
        (instruction(0x37, 1, 1, 3), "signed division"),  # sdiv
        (instruction(0x97, 1, 1, 3), "signed division"),  # smod
        (instruction(0xBF, 0x21, 8), "sign-extending"),  # movsx
        (instruction(0x91, 0x21), "sign-extending loads"),
        (instruction(0x8D, 1), "function pointer"),
        (instruction(0x7B, 0x1A, -4104), "stack frame"),
        (instruction(0x79, 0xA1, -4104), "stack frame"),
        (instruction(0x79, 0xA1, 8), "stack frame"),
        (instruction(0xBF, 0xA1) + instruction(0x07, 1, 0, -4104), "frame of 4104"),
    ],
)
def test_solana_link__instruction_that_sbpf_reads_otherwise__refused(code: bytes, why: str) -> None:
    with pytest.raises(LinkError, match=why):
        link(make_object(code + EXIT))


def test_solana_link__immediate_of_a_64_bit_load__is_not_taken_for_an_instruction() -> None:
    load = instruction(0x18, 1, 0, 4) + struct.pack("<BBhi", 0, 0, 0, 0x04)
    assert link(make_object(load + EXIT))


@pytest.mark.parametrize("flags", [3, 7])
def test_solana_link__global_variable__refused(flags: int) -> None:
    with pytest.raises(LinkError, match="global variables"):
        link(make_object(EXIT, data=bytes(8), data_flags=flags))


@pytest.mark.parametrize("name", ["memcpy", "memset", "__multi3", "__udivti3", "bcmp"])
def test_solana_link__call_of_a_compilers_runtime__refused(name: str) -> None:
    call = instruction(0x85, 0x10, 0, -1)
    with pytest.raises(LinkError, match=name):
        link(make_object(call + EXIT, ((0, 10, 2),), ((name, 0, 0),)))


def test_solana_link__call_without_target_or_address_without_symbol__refused() -> None:
    with pytest.raises(LinkError, match="no target"):
        link(make_object(instruction(0x85, 0, 0, 5) + EXIT))
    with pytest.raises(LinkError, match="does not define it"):
        link(make_object(instruction(0x18, 1) + bytes(8) + EXIT, ((0, 1, 2),), (("missing", 0, 0),)))
    with pytest.raises(LinkError, match="Relocation type 99"):
        link(make_object(EXIT, ((0, 99, 1),)))


@pytest.mark.parametrize("raw", [b"", b"\x7fELF", bytes(64), b"\x7fELF\x02\x01\x01" + bytes(57)])
def test_solana_link__no_bpf_object__refused(raw: bytes) -> None:
    with pytest.raises(LinkError):
        link(raw)


def test_solana_link__no_entrypoint__refused() -> None:
    with pytest.raises(LinkError, match="'other'"):
        link(make_object(EXIT), entry="other")


def test_solana_link__compiled_program_with_tables_and_nested_frames__runs_as_written(tmp_path: Path) -> None:
    source = """
    const words = [_][]const u8{ "zero", "one", "two", "three" };
    noinline fn deep(level: u64, seed: u8) u64 {
        var room: [3000]u8 = undefined;
        for (&room, 0..) |*cell, i| cell.* = @as(u8, @truncate(i)) ^ seed;
        const below: u64 = if (level == 0) 0 else deep(level - 1, seed +% 1);
        return below + room[level * 7] + room[2999];
    }
    fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
        const length = @as(*const u64, @ptrCast(input + 8)).*;
        const choice = input[16];
        const copy = words[choice & 3];
        if (length == 0 or deep(choice, 1) == 0) return 1;
        sol_set_return_data(copy.ptr, copy.len);
        return 0;
    }
    comptime { @export(&entrypoint, .{ .name = "entrypoint" }); }
    """
    executable = build(tmp_path, source)
    assert list(tmp_path.glob("*.o")) == []
    for choice, word in enumerate((b"zero", b"one", b"two", b"three")):
        done = run(executable, bytes([choice]))
        assert isinstance(done, TransactionMetadata)
        assert bytes(done.return_data().data) == word


def test_solana_link__long_copies_and_fills__become_syscalls_and_run(tmp_path: Path) -> None:
    source = """
    noinline fn fill(buffer: *[1000]u8, value: u8, length: u64) void { @memset(buffer[0..length], value); }
    fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
        const length = @as(*const u64, @ptrCast(input + 8)).*;
        var first: [1000]u8 = undefined;
        fill(&first, 7, 1000);
        @memcpy(first[0..length], (input + 16)[0..length]);
        const second = first;
        sol_set_return_data(&second, 1000);
        return 0;
    }
    comptime { @export(&entrypoint, .{ .name = "entrypoint" }); }
    """
    done = run(build(tmp_path, source), b"abc" * 50)
    assert isinstance(done, TransactionMetadata)
    assert bytes(done.return_data().data) == b"abc" * 50 + b"\7" * 850


def test_solana_link__zig_that_needs_what_solana_lacks__refused_with_a_sentence(tmp_path: Path) -> None:
    wide = """
    fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
        const a: u128 = @as(*const u64, @ptrCast(input)).*;
        const b: u128 = @as(*const u64, @ptrCast(input + 8)).*;
        return @truncate((a * b) >> 64);
    }
    comptime { @export(&entrypoint, .{ .name = "entrypoint" }); }
    """
    with pytest.raises(BuildError, match="__multi3"):
        build(tmp_path, wide)
    with pytest.raises(LinkError, match="global variables"):
        build(
            tmp_path,
            "var count: u64 = 1;\nexport fn entrypoint(i: [*]u8) callconv(.c) u64 { count += i[0]; return count; }",
        )
    with pytest.raises(BuildError, match="expected"):
        build(tmp_path, "this is not Zig")


def test_solana_link_rewrite__lengths_and_forms__only_the_long_ones_change() -> None:
    def call(kind: str, length: str, second: str = "ptr align 8 @x") -> str:
        return f"  tail call void @llvm.mem{kind}.inline.p0.p0.i64(ptr nonnull align 1 %a, {second}, i64 {length}, i1 false), !n !1"

    short = call("cpy", str(INLINE_LIMIT))
    assert rewrite_memory_calls(short).split("\n")[0] == short
    assert "call void @sol_memcpy_(ptr %a, ptr @x, i64 129)" in rewrite_memory_calls(call("cpy", "129"))
    assert "call void @sol_memmove_(ptr %a, ptr @x, i64 %n)" in rewrite_memory_calls(call("move", "%n"))
    filled = rewrite_memory_calls(call("set", "%n", "i8 -86"))
    assert "call void @sol_memset_(ptr %a, i8 zeroext -86, i64 %n)" in filled
    assert filled.count("declare void @sol_memset_") == 1
    nested = "ptr getelementptr inbounds (i8, ptr @x, i64 8)"
    assert f"(ptr %a, {nested}, i64 200)" in rewrite_memory_calls(call("cpy", "200", nested))


@pytest.mark.parametrize(
    "operand",
    [
        "inttoptr (i64 12884901888 to ptr)",
        "getelementptr inbounds nuw (i8, ptr inttoptr (i64 12884901888 to ptr), i64 8)",
        "@name",
        "null",
    ],
)
def test_solana_link_rewrite__operand_after_any_attributes__stays_whole(operand: str) -> None:
    # A known address, such as the heap's, becomes a constant expression with spaces and parentheses of its own.
    given = f"ptr nonnull align 8 dereferenceable(200) captures(none) {operand}"
    line = f"  call void @llvm.memcpy.p0.p0.i64({given}, {given}, i64 200, i1 false)"
    assert f"call void @sol_memcpy_(ptr {operand}, ptr {operand}, i64 200)" in rewrite_memory_calls(line)
    with pytest.raises(RewriteError, match="form"):
        rewrite_memory_calls(line.replace(operand, "addrspacecast (ptr addrspace(1) @x to ptr)"))


@pytest.mark.parametrize(
    "line",
    [
        "  call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %b, i64 999, i1 true)",
        "  call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %b, i64 999",
        "  %x = call fastcc i8 @f() call void @llvm.memset.p0.i64(ptr %a, i8 0, i64 999, i1 false)",
    ],
)
def test_solana_link_rewrite__unknown_form__refused(line: str) -> None:
    with pytest.raises(RewriteError):
        rewrite_memory_calls(line)


def test_solana_link_build__twice__comes_from_the_cache_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIBYL_CACHE", str(tmp_path))
    first, second = list[str](), list[str]()
    built = build_programs(first.append)
    contents = [path.read_bytes() for path in built.paths]
    assert len(first) == 4
    again = build_programs(second.append)
    assert second == []
    assert [path.read_bytes() for path in again.paths] == contents
    built.sibyl_so.write_bytes(b"damaged")
    assert build_programs(second.append).sibyl_so.read_bytes() == contents[0]
    assert not any("verifier" in line for line in second)


def test_solana_link_build__sources_of_a_program__are_those_that_it_is_compiled_from() -> None:
    # What no program imports rebuilds none: the verifier's files are the verifier's alone.
    found = {program.name: set(program.sources()) for program in PROGRAMS}
    assert {name for name, sources in found.items() if "verifier/field.zig" in sources} == {"verifier"}
    assert {name for name, sources in found.items() if "tokens/main.zig" in sources} == {"tokens"}
    for sources in found.values():
        assert {"src/runtime.zig", "src/generated/constants.zig", "build.py", "ir.py", "link.py"} <= sources
