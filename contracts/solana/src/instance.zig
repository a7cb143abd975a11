//! A quantised number as a public instance of a circuit: its residue modulo the order of BN254's scalar field, 32 big-endian bytes.

const runtime = @import("runtime.zig");

const ORDER: comptime_int = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

fn word(comptime index: comptime_int) u64 {
    return @truncate(ORDER >> (192 - 64 * index));
}

comptime {
    // So a borrow goes no further than one word.
    if (word(2) == 0) @compileError("the order's third word is zero");
}

/// The number (int64, big-endian, as in a body) modulo the order.
pub fn write(out: *[32]u8, number: *const [8]u8) void {
    const low = runtime.readBig(u64, number);
    const negative = low >> 63 != 0;
    // Adding the order to -m subtracts m from it: the lowest word wraps, and borrows unless it carries.
    const sum = if (negative) word(3) +% low else low;
    const borrowed = negative and sum >= word(3);
    const words = [4]u64{
        if (negative) word(0) else 0,
        if (negative) word(1) else 0,
        if (negative) word(2) - @intFromBool(borrowed) else 0,
        sum,
    };
    inline for (words, 0..) |value, i| runtime.writeBig(u64, out[8 * i ..][0..8], value);
}
