//! The scalar field of BN254 (order r) for sBPF, which has neither a 128-bit product nor carries: nine limbs of 29 bits in 64-bit words,
//! Montgomery multiplication with R = 2^261 in generated assembly. All values are public: nothing is constant-time.
//!
//! Lazy: a limb may exceed 29 bits and a value may exceed r, within bounds that each function states. Limbs count in units: an element of
//! `n` units has limbs below n·2^29. The results of a multiplication have one unit and a value below
//! r·(1 + the sum of the products of the operands' sizes in r / 169), since 2^261 > 169 r, and what is added.
//!
//! An element stands for v·R^d (mod r); `d` is its degree. Bytes have degree 0, a product's degree is the sum of the two less one; callers keep
//! count, and constants of any degree are made at compile time by `constant`.

const std = @import("std");

pub const LIMBS = 9;
pub const BITS = 29;
const MASK: comptime_int = (1 << BITS) - 1;
/// Least significant limb first.
pub const Fr = [LIMBS]u64;

pub const ORDER: comptime_int = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
const RADIX: comptime_int = 1 << (LIMBS * BITS);

/// value·R^degree.
pub fn constant(comptime value: comptime_int, comptime degree: comptime_int) Fr {
    comptime {
        var found: comptime_int = @mod(value, ORDER);
        for (0..degree) |_| found = @mod(found * RADIX, ORDER);
        return limbsOf(found);
    }
}

fn limbsOf(comptime value: comptime_int) Fr {
    var rest: comptime_int = value;
    var limbs: Fr = undefined;
    for (&limbs) |*limb| {
        limb.* = @intCast(rest & MASK);
        rest >>= BITS;
    }
    if (rest != 0) @compileError("a constant has more than 261 bits");
    return limbs;
}

const MODULUS: Fr = limbsOf(ORDER);
/// -1/r mod 2^29.
const NEGATED_INVERSE: comptime_int = 0x0fff_ffff;

comptime {
    if ((ORDER * NEGATED_INVERSE + 1) & MASK != 0) @compileError("NEGATED_INVERSE is wrong");
    if (RADIX < 169 * ORDER) @compileError("R is too small for the bounds");
}

/// 16r plus a constant, whose limbs (but the top one) are so large that subtracting `units` units never borrows. It has one unit more.
fn lifted(comptime value: Fr, comptime units: comptime_int) Fr {
    comptime {
        var whole: comptime_int = 16 * ORDER;
        for (value, 0..) |limb, i| whole += @as(comptime_int, limb) << @as(comptime_int, i * BITS);
        var limbs = limbsOf(whole);
        for (0..LIMBS - 1) |i| {
            limbs[i] += units << BITS;
            limbs[i + 1] -= units;
        }
        for (limbs[0 .. LIMBS - 1]) |limb| if (limb < units * MASK) @compileError("a limb can borrow");
        // An element below 8r has a top limb below that of 8r, plus what its lower limbs carry.
        if (limbs[LIMBS - 1] <= (8 * ORDER >> ((LIMBS - 1) * BITS)) + units) @compileError("the top limb can borrow");
        return limbs;
    }
}

const ZERO: Fr = @splat(0);
/// Times this, an element loses one degree and is below 2r.
pub const ONE: Fr = constant(1, 0);

/// a + b. Units and values add up.
pub noinline fn add(out: *Fr, a: *const Fr, b: *const Fr) void {
    @setRuntimeSafety(false);
    inline for (0..LIMBS) |i| out[i] = a[i] + b[i];
}

/// a - b, for b of `units` units and below 8r. The result has `units` + 1 units more than a, and 16r more.
pub inline fn subtractInline(out: *Fr, a: *const Fr, b: *const Fr, comptime units: comptime_int) void {
    @setRuntimeSafety(false);
    const lift = comptime lifted(ZERO, units);
    inline for (0..LIMBS) |i| out[i] = a[i] + lift[i] - b[i];
}

/// The same as a call: ten units dearer, 400 bytes smaller.
pub noinline fn subtract(out: *Fr, a: *const Fr, b: *const Fr, comptime units: comptime_int) void {
    subtractInline(out, a, b, units);
}

/// value - b, for a constant and b of one unit, below 8r. The result has two units and is below 17r.
pub noinline fn subtractFrom(out: *Fr, comptime value: Fr, b: *const Fr) void {
    @setRuntimeSafety(false);
    const lift = comptime lifted(value, 1);
    inline for (0..LIMBS) |i| out[i] = lift[i] - b[i];
}

/// The four words of 64 bits, most significant first, of 32 big-endian bytes.
pub const Words = [4]u64;

pub inline fn wordsOf(bytes: *const [32]u8) Words {
    var words: Words = undefined;
    inline for (0..4) |i| {
        const at: *align(1) const u64 = @ptrCast(bytes[8 * i ..][0..8]);
        words[i] = @byteSwap(at.*);
    }
    return words;
}

/// Whether the value is below r.
pub inline fn isCanonical(words: *const Words) bool {
    return isBelow(words, ORDER);
}

pub inline fn isBelow(words: *const Words, comptime limit: comptime_int) bool {
    inline for (0..4) |i| {
        const part: u64 = @truncate(limit >> (192 - 64 * i));
        if (words[i] != part) return words[i] < part;
    }
    return false;
}

/// One unit; the value as it is, up to 2^256.
pub inline fn fromWords(out: *Fr, words: *const Words) void {
    @setRuntimeSafety(false);
    inline for (0..LIMBS) |i| {
        const at = i * BITS;
        const word = 3 - at / 64;
        const shift = at % 64;
        var limb = words[word] >> shift;
        if (shift + BITS > 64 and word > 0) limb |= words[word - 1] << (64 - shift);
        out[i] = if (i == LIMBS - 1) limb else limb & MASK;
    }
}

/// Degree 0, one unit, canonical; or null.
pub inline fn parse(out: *Fr, bytes: *const [32]u8) bool {
    const words = wordsOf(bytes);
    if (!isCanonical(&words)) return false;
    fromWords(out, &words);
    return true;
}

/// Big-endian bytes of the same residue, for a value below 2^256; not reduced. At most 2^35 in a limb.
pub fn toBytes(bytes: *[32]u8, a: *const Fr) void {
    @setRuntimeSafety(false);
    var limbs: Fr = undefined;
    normalise(&limbs, a);
    inline for (0..4) |word| {
        const at = (3 - word) * 64;
        var value: u64 = 0;
        inline for (0..LIMBS) |i| {
            const from = i * BITS;
            if (from < at + 64 and from + BITS > at) {
                value |= if (from >= at) limbs[i] << (from - at) else limbs[i] >> (at - from);
            }
        }
        const place: *align(1) u64 = @ptrCast(bytes[8 * word ..][0..8]);
        place.* = @byteSwap(value);
    }
}

/// The same value in one unit.
pub noinline fn normalise(out: *Fr, a: *const Fr) void {
    @setRuntimeSafety(false);
    var rest: u64 = 0;
    inline for (0..LIMBS) |i| {
        rest += a[i];
        out[i] = if (i == LIMBS - 1) rest else rest & MASK;
        rest >>= BITS;
    }
}

/// Whether a normalised element (a multiplication's result) below 3r is zero as a residue: 0, r or 2r.
pub noinline fn vanishes(a: *const Fr) bool {
    return same(a, &ZERO) or same(a, &MODULUS) or same(a, &TWICE);
}

pub inline fn isZero(a: *const Fr) bool {
    return same(a, &ZERO);
}

const TWICE: Fr = limbsOf(2 * ORDER);

inline fn same(a: *const Fr, comptime b: *const Fr) bool {
    inline for (0..LIMBS) |i| if (a[i] != b[i]) return false;
    return true;
}

/// A residue close to zero: ±magnitude.
pub const Small = struct { magnitude: u64, negative: bool };

/// The canonical value as a small one, if it is within 2^29 of zero: most instances are, being quantised numbers.
pub inline fn smallOf(words: *const Words) ?Small {
    @setRuntimeSafety(false);
    if (words[0] | words[1] | words[2] == 0 and words[3] <= MASK) return .{ .magnitude = words[3], .negative = false };
    inline for (0..3) |i| if (words[i] != @as(u64, @truncate(ORDER >> (192 - 64 * i)))) return null;
    const low: u64 = @truncate(ORDER);
    comptime if (low <= MASK) @compileError("a small negative number borrows from the higher words");
    const magnitude = low -% words[3];
    return if (magnitude <= MASK) .{ .magnitude = magnitude, .negative = true } else null;
}

/// small·c/2^29, for c of one unit below 2r: one step of a Montgomery reduction. Two units at most, and below 17r.
pub inline fn multiplySmall(out: *Fr, small: *const Small, c: *const Fr) void {
    @setRuntimeSafety(false);
    var column = small.magnitude *% c[0];
    const quotient = (column *% NEGATED_INVERSE) & MASK;
    column = (column +% quotient *% MODULUS[0]) >> BITS;
    inline for (1..LIMBS) |i| {
        column +%= small.magnitude *% c[i] +% quotient *% MODULUS[i];
        out[i - 1] = column & MASK;
        column >>= BITS;
    }
    out[LIMBS - 1] = column;
    if (small.negative) subtractFrom(out, ZERO, out);
}

/// Where multiplications keep what they are doing. One serves a whole verification.
pub const Engine = extern struct {
    columns: [17]u64,
    quotients: [LIMBS]u64,
    out: *Fr,
    plus: *const Fr,
    pairs: [6]*const Fr,

    /// a·b. The product of the units must be at most 6; `out` may be an operand.
    pub inline fn multiply(self: *Engine, out: *Fr, a: *const Fr, b: *const Fr) void {
        self.out = out;
        self.pairs[0] = a;
        self.pairs[1] = b;
        product(self);
    }

    /// a·b + c.
    pub inline fn multiplyAdd(self: *Engine, out: *Fr, a: *const Fr, b: *const Fr, c: *const Fr) void {
        self.plus = c;
        self.out = out;
        self.pairs[0] = a;
        self.pairs[1] = b;
        productPlus(self);
    }

    /// a·b + c·d. The sum of the products of units must be at most 6.
    pub inline fn dot2(self: *Engine, out: *Fr, a: *const Fr, b: *const Fr, c: *const Fr, d: *const Fr) void {
        self.out = out;
        self.pairs = .{ a, b, c, d, undefined, undefined };
        productSum2(self);
    }

    /// a·b + c·d + e·f.
    pub inline fn dot3(self: *Engine, out: *Fr, pairs: *const [6]*const Fr) void {
        self.out = out;
        self.pairs = pairs.*;
        productSum3(self);
    }
};

noinline fn product(engine: *Engine) void {
    run(engine, comptime program(1, false));
}

noinline fn productPlus(engine: *Engine) void {
    run(engine, comptime program(1, true));
}

noinline fn productSum2(engine: *Engine) void {
    run(engine, comptime program(2, false));
}

noinline fn productSum3(engine: *Engine) void {
    run(engine, comptime program(3, false));
}

inline fn run(engine: *Engine, comptime text: []const u8) void {
    asm volatile (text
        :
        : [engine] "{r1}" (engine),
        : .{ .r0 = true, .r2 = true, .r3 = true, .r4 = true, .r5 = true, .r6 = true, .r7 = true, .r8 = true, .r9 = true, .memory = true });
}

const LOW = 5;
const COLUMNS = 2 * LIMBS - 1;
const QUOTIENTS = @offsetOf(Engine, "quotients");
const OUT = @offsetOf(Engine, "out");
const PLUS = @offsetOf(Engine, "plus");
const PAIRS = @offsetOf(Engine, "pairs");

fn line(comptime format: []const u8, comptime arguments: anytype) []const u8 {
    return std.fmt.comptimePrint(format ++ "\n", arguments);
}

/// Registers: r0 a term, r1 the engine, r2 the left operand, r3 the right one, r4.. some limbs of the right one, r9 a column.
/// Each pair takes two passes, over the low five and the high four limbs of its right operand; columns wait in memory in between. The
/// last pass also reduces: column by column it adds the multiple of r that clears it, and hands out what is left above.
fn program(comptime pairs: usize, comptime plus: bool) []const u8 {
    @setEvalBranchQuota(1_000_000);
    var text: []const u8 = "";
    var reach: usize = 0;
    for (0..pairs) |pair| {
        text = text ++ line("r2 = *(u64 *)(r1 + {d})", .{PAIRS + 16 * pair}) ++ line("r3 = *(u64 *)(r1 + {d})", .{PAIRS + 16 * pair + 8});
        text = text ++ pass(0, LOW, reach);
        reach = @max(reach, LIMBS + LOW - 1);
        if (pair + 1 < pairs) {
            text = text ++ pass(LOW, LIMBS, reach);
            reach = COLUMNS;
        } else {
            text = text ++ lastPass(reach, plus);
        }
    }
    return text;
}

fn loads(comptime from: usize, comptime to: usize) []const u8 {
    var text: []const u8 = "";
    for (from..to) |j| text = text ++ line("r{d} = *(u64 *)(r3 + {d})", .{ 4 + j - from, 8 * j });
    return text;
}

fn terms(comptime from: usize, comptime to: usize, comptime column: usize, comptime empty: bool) []const u8 {
    var text: []const u8 = "";
    var first = empty;
    for (from..to) |j| {
        if (j > column or column - j >= LIMBS) continue;
        const target: usize = if (first) 9 else 0;
        text = text ++ line("r{d} = *(u64 *)(r2 + {d})", .{ target, 8 * (column - j) }) ++ line("r{d} *= r{d}", .{ target, 4 + j - from });
        if (!first) text = text ++ line("r9 += r0", .{});
        first = false;
    }
    return text;
}

/// Adds a's products with limbs from..to of b to the columns; the first `reach` columns hold something already.
fn pass(comptime from: usize, comptime to: usize, comptime reach: usize) []const u8 {
    var text: []const u8 = loads(from, to);
    for (from..to + LIMBS - 1) |column| {
        const empty = column >= reach;
        if (!empty) text = text ++ line("r9 = *(u64 *)(r1 + {d})", .{8 * column});
        text = text ++ terms(from, to, column, empty) ++ line("*(u64 *)(r1 + {d}) = r9", .{8 * column});
    }
    return text;
}

fn lastPass(comptime reach: usize, comptime plus: bool) []const u8 {
    var text: []const u8 = loads(LOW, LIMBS) ++ line("r3 = *(u64 *)(r1 + {d})", .{OUT});
    if (plus) text = text ++ line("r8 = *(u64 *)(r1 + {d})", .{PLUS});
    for (0..COLUMNS) |column| {
        if (column == 0) {
            text = text ++ line("r9 = *(u64 *)(r1 + 0)", .{});
        } else if (column < reach) {
            text = text ++ line("r0 = *(u64 *)(r1 + {d})", .{8 * column}) ++ line("r9 += r0", .{});
        }
        text = text ++ terms(LOW, LIMBS, column, false);
        for (0..LIMBS) |i| {
            // The quotient digit i times the limb of r that falls into this column; the digit of this very column comes below.
            if (i >= column or column - i >= LIMBS) continue;
            text = text ++ line("r0 = *(u64 *)(r1 + {d})", .{QUOTIENTS + 8 * i}) ++ line("r0 *= {d}", .{MODULUS[column - i]}) ++ line("r9 += r0", .{});
        }
        if (column < LIMBS) {
            text = text ++ line("r0 = r9", .{}) ++ line("r0 *= {d}", .{NEGATED_INVERSE}) ++ line("r0 &= {d}", .{MASK});
            text = text ++ line("*(u64 *)(r1 + {d}) = r0", .{QUOTIENTS + 8 * column});
            text = text ++ line("r0 *= {d}", .{MODULUS[0]}) ++ line("r9 += r0", .{});
        } else {
            if (plus) text = text ++ addend(column - LIMBS);
            text = text ++ line("r0 = r9", .{}) ++ line("r0 &= {d}", .{MASK}) ++ line("*(u64 *)(r3 + {d}) = r0", .{8 * (column - LIMBS)});
        }
        text = text ++ line("r9 >>= {d}", .{BITS});
    }
    if (plus) text = text ++ addend(LIMBS - 1);
    return text ++ line("*(u64 *)(r3 + {d}) = r9", .{8 * (LIMBS - 1)});
}

/// A limb of what is added, before the column is cut: so the sum has one unit too.
fn addend(comptime limb: usize) []const u8 {
    return line("r0 = *(u64 *)(r8 + {d})", .{8 * limb}) ++ line("r9 += r0", .{});
}
