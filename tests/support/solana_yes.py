"""A verifier that says yes to everything and logs the hash of what it was called with: what the Sibyl program asks, and forged verifiers."""

import base64
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from contracts.solana.build import compile_object
from contracts.solana.link import link

_SOURCE = """
const std = @import("std");
pub const panic = std.debug.no_panic;
const Slice = extern struct { pointer: [*]const u8, length: u64 };
extern fn sol_keccak256(pieces: [*]const Slice, count: u64, result: *[32]u8) u64;
extern fn sol_log_data(pieces: [*]const Slice, count: u64) void;

fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    const count: *const u64 = @ptrCast(input);
    var at: usize = 8;
    for (0..count.*) |_| {
        if (input[at] != 0xff) {
            at += 8;
            continue;
        }
        const length: *const u64 = @ptrCast(@alignCast(input + at + 80));
        at = (at + 88 + length.* + 10_240 + 7) / 8 * 8 + 8;
    }
    const length: *const u64 = @ptrCast(@alignCast(input + at));
    const data = [_]Slice{.{ .pointer = input + at + 8, .length = length.* }};
    var hash: [32]u8 = undefined;
    _ = sol_keccak256(&data, 1, &hash);
    const logged = [_]Slice{.{ .pointer = &hash, .length = 32 }};
    sol_log_data(&logged, 1);
    return 0;
}

comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}
"""


@cache
def yes_program() -> bytes:
    """Its executable."""
    with TemporaryDirectory(prefix="sibyl-yes-") as name:
        root = Path(name) / "yes.zig"
        root.write_text(_SOURCE)
        return link(compile_object(root, Path(name)))


def called_with(logs: list[str]) -> bytes:
    """The Keccak hash of the data of its one call, from a transaction's logs (which do not hold all of a long one)."""
    (line,) = [line for line in logs if line.startswith("Program data: ")]
    return base64.b64decode(line.removeprefix("Program data: "))
