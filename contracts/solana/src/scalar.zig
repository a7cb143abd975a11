//! Numbers modulo n, the order of secp256k1, in eight limbs of 32 bits (the machine has no 128-bit product).
//! All values here are public: nothing is constant-time.

const LIMBS = 8;
/// Least significant limb first.
pub const Scalar = [LIMBS]u32;

const ORDER = Scalar{ 0xD0364141, 0xBFD25E8C, 0xAF48A03B, 0xBAAEDCE6, 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF };
/// 2^256 - n
const FOLD = [5]u32{ 0x2FC9BEBF, 0x402DA173, 0x50B75FC4, 0x45512319, 1 };

comptime {
    var carry: u64 = 0;
    for (0..LIMBS) |i| {
        carry += @as(u64, ORDER[i]) + (if (i < 5) FOLD[i] else 0);
        if (carry & 0xffff_ffff != 0) @compileError("FOLD is not 2^256 - n");
        carry >>= 32;
    }
}

/// Big-endian bytes as they are, without reduction.
pub fn fromBytes(bytes: *const [32]u8) Scalar {
    var value: Scalar = undefined;
    for (0..LIMBS) |i| {
        const at: *align(1) const u32 = @ptrCast(bytes[28 - 4 * i ..][0..4]);
        value[i] = @byteSwap(at.*);
    }
    return value;
}

pub fn toBytes(value: *const Scalar, bytes: *[32]u8) void {
    for (0..LIMBS) |i| {
        const at: *align(1) u32 = @ptrCast(bytes[28 - 4 * i ..][0..4]);
        at.* = @byteSwap(value[i]);
    }
}

pub fn isZero(value: *const Scalar) bool {
    var seen: u32 = 0;
    for (value) |limb| seen |= limb;
    return seen == 0;
}

/// Whether the value is below n.
pub fn isReduced(value: *const Scalar) bool {
    var i: usize = LIMBS;
    while (i > 0) {
        i -= 1;
        if (value[i] != ORDER[i]) return value[i] < ORDER[i];
    }
    return false;
}

/// n - value, for 0 < value < n.
pub fn negate(value: *const Scalar, result: *Scalar) void {
    subtract(&ORDER, value, result);
}

/// a * b mod n.
pub fn multiply(a: *const Scalar, b: *const Scalar, result: *Scalar) void {
    var wide: [2 * LIMBS]u32 = @splat(0);
    for (0..LIMBS) |i| {
        var carry: u64 = 0;
        const factor: u64 = a[i];
        for (0..LIMBS) |j| {
            // At most (2^32-1)^2 + 2 (2^32-1) = 2^64 - 1.
            const sum = factor *% b[j] +% wide[i + j] +% carry;
            wide[i + j] = @truncate(sum);
            carry = sum >> 32;
        }
        wide[i + LIMBS] = @truncate(carry);
    }
    reduce(&wide, result);
}

/// 48 big-endian bytes modulo n (RFC 9380 hash_to_field with L = 48).
pub fn fromWideBytes(bytes: *const [48]u8, result: *Scalar) void {
    var wide: [2 * LIMBS]u32 = @splat(0);
    for (0..12) |i| {
        const at: *align(1) const u32 = @ptrCast(bytes[44 - 4 * i ..][0..4]);
        wide[i] = @byteSwap(at.*);
    }
    reduce(&wide, result);
}

/// Folds the high half into the low one, 2^256 being FOLD modulo n, until it is empty: 256 bits, then 129, then at most 4.
fn reduce(wide: *[2 * LIMBS]u32, result: *Scalar) void {
    var filled: usize = LIMBS;
    while (true) {
        while (filled > 0 and wide[LIMBS + filled - 1] == 0) filled -= 1;
        if (filled == 0) break;
        const high: [LIMBS]u32 = wide[LIMBS..].*;
        wide[LIMBS..].* = @splat(0);
        for (0..filled) |i| {
            var carry: u64 = 0;
            const factor: u64 = high[i];
            for (FOLD, 0..) |limb, j| {
                const sum = factor *% limb +% wide[i + j] +% carry;
                wide[i + j] = @truncate(sum);
                carry = sum >> 32;
            }
            var at = i + FOLD.len;
            while (carry != 0) : (at += 1) {
                const sum = carry + wide[at];
                wide[at] = @truncate(sum);
                carry = sum >> 32;
            }
        }
    }
    result.* = wide[0..LIMBS].*;
    if (!isReduced(result)) {
        const over = result.*;
        subtract(&over, &ORDER, result);
    }
}

fn subtract(a: *const Scalar, b: *const Scalar, result: *Scalar) void {
    var borrow: u64 = 0;
    for (0..LIMBS) |i| {
        const difference = @as(u64, a[i]) -% b[i] -% borrow;
        result[i] = @truncate(difference);
        borrow = difference >> 63;
    }
}
