//! A verifying key as its account holds it: written once, sealed by its hash (see `circuits/halo2/prepared.py`, which makes it from ezkl's files).
//! Field elements are ready limbs of degree 1, so that nothing is parsed or derived while a proof is checked.

const field = @import("field.zig");
const Fr = field.Fr;

pub const TAG = "SIBYLP21".*;
pub const MIN_K = 4;
pub const MAX_K = 24;
pub const MAX_INSTANCES = 1024;
pub const FIXED = 8;
pub const PERMUTED = 5;
/// Affine coordinates, big-endian; infinity is all zero.
pub const Point = [64]u8;

/// What depends on the row of a public instance.
pub const Row = extern struct {
    /// ω^i.
    root: Fr,
    /// 2^29·ω^i.
    root_shifted: Fr,
};

pub const Key = extern struct {
    tag: [8]u8,
    k: u32,
    instance_count: u32,
    /// halo2's digest of the key: the transcript begins with it.
    digest: [32]u8,
    /// -s·G2 as the syscall takes it.
    neg_s_g2: [128]u8,
    fixed: [FIXED]Point,
    permutation: [PERMUTED]Point,
    omega: Fr,
    omega_inverse: Fr,
    /// ω^-6.
    omega_last: Fr,
    /// ω^-6/n.
    last_numerator: Fr,
    /// 1/n.
    first_numerator: Fr,
    /// Coefficients below the leading one of Π(X - ω^i), i from -5 to -1, lowest first.
    blind_denominator: [5]Fr,
    /// Coefficients of Σ ω^i/n·Π_{j≠i}(X - ω^j), lowest first.
    blind_numerator: [5]Fr,
    /// 1/(ω^-1 - 1).
    prev_weight: Fr,
    /// 1/((ω^-6 - 1)(ω^-6 - ω)), 1/((1 - ω^-6)(1 - ω)), 1/((ω - ω^-6)(ω - 1)).
    last_weights: [3]Fr,
    /// 1/(ω - 1).
    next_weight: Fr,
    // Row for each instance follows.

    pub fn of(data: []align(8) const u8) ?*const Key {
        if (data.len < @sizeOf(Key)) return null;
        const key: *const Key = @ptrCast(data.ptr);
        if (!@import("std").mem.eql(u8, &key.tag, &TAG)) return null;
        // The verifier's loops begin at the first instance and the second squaring.
        if (key.instance_count == 0 or key.instance_count > MAX_INSTANCES or key.k < MIN_K or key.k > MAX_K) return null;
        if (data.len != @sizeOf(Key) + @as(usize, key.instance_count) * @sizeOf(Row)) return null;
        return key;
    }

    pub fn rows(self: *const Key) [*]const Row {
        const start: [*]align(8) const u8 = @ptrCast(self);
        return @ptrCast(start + @sizeOf(Key));
    }
};

comptime {
    if (@offsetOf(Key, "digest") != 16 or @offsetOf(Key, "omega") != 1008 or @sizeOf(Key) != 1008 + 20 * @sizeOf(Fr)) @compileError("the key has another layout");
}
