//! G1 of BN254 by syscalls. Points are 64 big-endian bytes, scalars 32 (any number below 2^256), as in EIP-196; all zeros is infinity.
//!
//! The syscalls refuse canonical coordinates that are not on the curve. They do not refuse every y that is not canonical: the two highest bits of its
//! bytes are taken for flags, and a set one can make the point infinity, whatever else it says. So `isProper` must be asked of every point from outside.

const field = @import("field.zig");
const syscalls = @import("syscalls.zig");

pub const Point = [64]u8;

const ADD = 0;
const MULTIPLY = 2;
const PAIRING = 3;
const DECOMPRESS = 1;

fn bytesOf(comptime values: []const comptime_int) [32 * values.len]u8 {
    comptime {
        var bytes: [32 * values.len]u8 = undefined;
        for (values, 0..) |value, i| {
            for (0..32) |j| bytes[32 * i + j] = @truncate(value >> (8 * (31 - j)));
        }
        return bytes;
    }
}

const P = 21888242871839275222246405745257275088696311157297823662689037894645226208583;
/// The generator's negative (1, p - 2).
pub const MINUS_G1: Point = bytesOf(&.{ 1, P - 2 });
/// EIP-197: x (imaginary, real), y (imaginary, real).
pub const G2: [128]u8 = bytesOf(&.{
    0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2,
    0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed,
    0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b,
    0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa,
});

pub inline fn isInfinity(point: *const Point) bool {
    const words: *align(1) const [8]u64 = @ptrCast(point);
    var seen: u64 = 0;
    inline for (words) |word| seen |= word;
    return seen == 0;
}

/// Whether both coordinates are canonical and the point is not infinity: what the syscalls leave to check.
pub noinline fn isProper(point: *const Point) bool {
    const x = field.wordsOf(point[0..32]);
    const y = field.wordsOf(point[32..64]);
    return field.isBelow(&x, P) and field.isBelow(&y, P) and !isInfinity(point);
}

/// The point with this x; the highest bit says whether y is the larger of the two. False where the syscall finds none.
pub inline fn decompress(point: *Point, from: *const [32]u8) bool {
    return syscalls.sol_alt_bn128_compression(DECOMPRESS, from, from.len, point) == 0;
}

/// A running sum, in the place from which the syscalls read it.
pub const Sum = extern struct {
    total: Point,
    operand: Point,

    pub inline fn set(self: *Sum, point: *const Point) void {
        self.total = point.*;
    }

    pub noinline fn scale(self: *Sum, scalar: *const [32]u8) bool {
        self.operand[0..32].* = scalar.*;
        return syscalls.sol_alt_bn128_group_op(MULTIPLY, &self.total, 96, &self.total) == 0;
    }

    pub noinline fn add(self: *Sum, point: *const Point) bool {
        self.operand = point.*;
        return syscalls.sol_alt_bn128_group_op(ADD, &self.total, 128, &self.total) == 0;
    }

    /// total·scalar + point.
    pub noinline fn fold(self: *Sum, scalar: *const [32]u8, point: *const Point) bool {
        if (!self.scale(scalar)) return false;
        return isInfinity(point) or self.add(point);
    }
};

/// Two pairs of a point of G1 and one of G2.
pub fn pairingIsOne(pairs: *const [384]u8) bool {
    var result: [32]u8 = undefined;
    if (syscalls.sol_alt_bn128_group_op(PAIRING, pairs, pairs.len, &result) != 0) return false;
    const words: *align(1) const [4]u64 = @ptrCast(&result);
    return words[0] | words[1] | words[2] == 0 and @byteSwap(words[3]) == 1;
}
