//! Checks a Halo2-KZG proof of the one-column family: the equations of VERIFIER.md, in the arrangement that costs least here.
//!
//! Guarantees: true only for what `circuits.halo2.verify` accepts under the same key, whatever the hint. Every word of the proof and of the instances
//! is canonical, every point is on the curve (each goes through the curve's syscall, which refuses canonical ones that are not) and none is infinity. The caller has checked that
//! the key is the registered one. All memory is one `Workspace`; nothing is allocated.
//!
//! Comments give the degree of a value (see field.zig) in brackets where it is not plain from the call.

const std = @import("std");

const field = @import("field.zig");
const curve = @import("curve.zig");
const keys = @import("key.zig");
const syscalls = @import("syscalls.zig");
const Engine = field.Engine;
const Fr = field.Fr;
const constant = field.constant;

pub const PROOF_LENGTH = 1952;
pub const HINT_LENGTH = 32;

/// Offsets of the proof's points, in proof order.
const POINTS = 14;
const OPENINGS = PROOF_LENGTH - 128;
const EVALUATIONS = 29;

pub const At = enum(u8) { a_0, a_1, a_2, m_0, m_1, z_0, z_1, phi_0, phi_1, random, h_0, h_1, h_2, h_3, w, w_prime };
pub const Eval = enum(u8) { a_0, a_1, a_2, a_2_prev, f_0, f_1, f_2, f_3, f_4, f_5, f_6, f_7, random, sigma_0, sigma_1, sigma_2, sigma_3, sigma_4, z_0, z_0_next, z_0_last, z_1, z_1_next, phi_0, phi_0_next, m_0, phi_1, phi_1_next, m_1 };
pub const Challenge = enum(u8) { theta, beta, gamma, y, x, zeta, nu, mu };
/// What is divided by: x^n - 1; x less the roots of the rows of l_last, l_0, l_blind, and of the instances; x; μ less three opening points.
pub const Divisor = enum(u8) { vanishing, l_last, l_0, l_blind, instance, x, mu_last, mu_prev, mu_next };
const DIVISORS = 9;

pub const Claim = struct {
    key: *const keys.Key,
    proof: *const [PROOF_LENGTH]u8,
    instances: []const [32]u8,
    /// One over the product of all divisors, degree 1, canonical: whoever submits the proof computes it (`circuits.halo2.prepared.hint`).
    hint: *const [HINT_LENGTH]u8,

    inline fn point(self: *const Claim, comptime which: At) *const keys.Point {
        const i: usize = @backingInt(which);
        const at = if (i < POINTS) 64 * i else OPENINGS + 64 * (i - POINTS);
        return self.proof[at..][0..64];
    }
};

/// Everything that one verification computes. Fields of degree 1 unless said otherwise.
pub const Workspace = extern struct {
    engine: Engine,
    /// [0], canonical.
    evaluations: [EVALUATIONS]Fr,
    /// As hashed: any 256 bits.
    hashes: [8][32]u8,
    /// [0], up to 2^256.
    plain: [8]Fr,
    beta: Fr,
    gamma: Fr,
    y: Fr,
    x: Fr,
    zeta: Fr,
    nu: Fr,
    mu: Fr,
    x_n: Fr,
    divisors: [DIVISORS]Fr,
    /// One over each divisor.
    inverses: [DIVISORS]Fr,
    hint: Fr,
    /// Lagrange terms divided by x^n - 1.
    l_last: Fr,
    l_0: Fr,
    l_blind: Fr,
    /// The instance column at x.
    instance: Fr,
    /// 1/(x^n - 1) minus the two Lagrange terms below it: the weight of what holds on usable rows.
    active: Fr,
    a_0: Fr,
    a_1: Fr,
    /// [2].
    a_0_twice: Fr,
    /// The constraints folded so far [0]; at the end the quotient's value.
    folded: Fr,
    /// Scalars of the combination, plain and below 2^256.
    x_n_bytes: [32]u8,
    set_bytes: [3][32]u8,
    value_bytes: [32]u8,
    w_bytes: [32]u8,
    zeta_squared_bytes: [32]u8,
    /// Above the divisors of l_blind and of the instance column.
    blind_numerator: Fr,
    instance_numerator: Fr,
    group: curve.Sum,
    side: curve.Sum,
    pairing: [384]u8,

    inline fn eval(self: *Workspace, comptime which: Eval) *Fr {
        return &self.evaluations[@backingInt(which)];
    }

    inline fn raw(self: *Workspace, comptime which: Challenge) *Fr {
        return &self.plain[@backingInt(which)];
    }

    inline fn divisor(self: *Workspace, comptime which: Divisor) *Fr {
        return &self.divisors[@backingInt(which)];
    }

    inline fn over(self: *Workspace, comptime which: Divisor) *Fr {
        return &self.inverses[@backingInt(which)];
    }
};

comptime {
    // The heap that every program has holds a workspace and a proof.
    if (@sizeOf(Workspace) + PROOF_LENGTH > 32 * 1024) @compileError("the workspace is too large");
}

/// Whether the proof holds.
pub fn verify(ws: *Workspace, claim: *const Claim) bool {
    if (!read(ws, claim)) return false;
    if (!draw(ws, claim)) return false;
    domain(ws, claim);
    instances(ws, claim);
    if (!invert(ws, claim)) return false;
    gates(ws);
    copies(ws);
    ranges(ws);
    opening(ws, claim);
    return combine(ws, claim) and paired(ws, claim);
}

const ONE_1: Fr = constant(1, 1);
const MINUS_ONE_1: Fr = constant(-1, 1);
const RAISE: Fr = constant(1, 2);
const DELTA = 4131629893567559867359510883348571134090853742863529169391034518566172092834;

/// Evaluations, the hint and points in their canonical form.
pub fn read(ws: *Workspace, claim: *const Claim) bool {
    for (&ws.evaluations, 0..) |*value, i| {
        if (!field.parse(value, claim.proof[64 * POINTS + 32 * i ..][0..32])) return false;
    }
    if (!field.parse(&ws.hint, claim.hint)) return false;
    inline for (comptime std.enums.values(At)) |name| {
        // Whether it is on the curve the syscalls check.
        if (!curve.isProper(claim.point(name))) return false;
    }
    return true;
}

/// The eight challenges.
pub fn draw(ws: *Workspace, claim: *const Claim) bool {
    const count = claim.instances.len;
    if (count != claim.key.instance_count) return false;
    for (claim.instances) |*instance| if (!field.isCanonical(&field.wordsOf(instance))) return false;
    const words = @as([*]const u8, @ptrCast(claim.instances.ptr))[0 .. 32 * count];
    const proof = claim.proof;
    const first = [_]syscalls.Slice{ .of(&claim.key.digest), .of(words), .of(proof[0..192]) };
    hash(ws, .theta, &first);
    absorb(ws, .theta, .beta, proof[192..320]);
    absorb(ws, .beta, .gamma, "\x01");
    absorb(ws, .gamma, .y, proof[320..640]);
    absorb(ws, .y, .x, proof[640..896]);
    absorb(ws, .x, .zeta, proof[896..OPENINGS]);
    absorb(ws, .zeta, .nu, "\x01");
    absorb(ws, .nu, .mu, proof[OPENINGS..][0..64]);
    for (&ws.plain, &ws.hashes) |*value, *bytes| field.fromWords(value, &field.wordsOf(bytes));
    const e = &ws.engine;
    e.multiply(&ws.beta, ws.raw(.beta), &RAISE);
    e.multiply(&ws.gamma, ws.raw(.gamma), &RAISE);
    e.multiply(&ws.y, ws.raw(.y), &RAISE);
    e.multiply(&ws.x, ws.raw(.x), &RAISE);
    e.multiply(&ws.zeta, ws.raw(.zeta), &RAISE);
    e.multiply(&ws.nu, ws.raw(.nu), &RAISE);
    e.multiply(&ws.mu, ws.raw(.mu), &RAISE);
    return true;
}

fn absorb(ws: *Workspace, comptime state: Challenge, comptime next: Challenge, bytes: []const u8) void {
    hash(ws, next, &.{ .of(&ws.hashes[@backingInt(state)]), .of(bytes) });
}

inline fn hash(ws: *Workspace, comptime next: Challenge, pieces: []const syscalls.Slice) void {
    _ = syscalls.sol_keccak256(pieces.ptr, pieces.len, &ws.hashes[@backingInt(next)]);
}

/// x^n, and every divisor but the instances'.
pub fn domain(ws: *Workspace, claim: *const Claim) void {
    const e = &ws.engine;
    const key = claim.key;
    var t: Fr = undefined;
    e.multiply(&ws.x_n, &ws.x, &ws.x);
    for (1..key.k) |_| e.multiply(&ws.x_n, &ws.x_n, &ws.x_n);
    field.add(&t, &ws.x_n, &MINUS_ONE_1);
    field.normalise(ws.divisor(.vanishing), &t);
    field.subtract(&t, &ws.x, &key.omega_last, 1);
    field.normalise(ws.divisor(.l_last), &t);
    field.add(&t, &ws.x, &MINUS_ONE_1);
    field.normalise(ws.divisor(.l_0), &t);

    const d = ws.divisor(.l_blind);
    field.add(&t, &ws.x, &key.blind_denominator[4]);
    e.multiplyAdd(d, &t, &ws.x, &key.blind_denominator[3]);
    for (0..3) |i| e.multiplyAdd(d, d, &ws.x, &key.blind_denominator[2 - i]);
    const n = &ws.blind_numerator;
    e.multiplyAdd(n, &key.blind_numerator[4], &ws.x, &key.blind_numerator[3]);
    for (0..3) |i| e.multiplyAdd(n, n, &ws.x, &key.blind_numerator[2 - i]);

    ws.divisor(.x).* = ws.x;
    inline for (.{ &key.omega_last, &key.omega_inverse, &key.omega }, .{ Divisor.mu_last, Divisor.mu_prev, Divisor.mu_next }) |root, which| {
        e.multiply(&t, &ws.x, root);
        field.subtract(&t, &ws.mu, &t, 1);
        field.normalise(ws.divisor(which), &t);
    }
}

/// Σ v_i·ω^i/(x - ω^i), kept as one fraction.
pub fn instances(ws: *Workspace, claim: *const Claim) void {
    const e = &ws.engine;
    const n = &ws.instance_numerator;
    const d = ws.divisor(.instance);
    var t: Fr = undefined;
    var v: Fr = undefined;
    for (claim.instances, claim.key.rows()[0..claim.instances.len], 0..) |*instance, *row, i| {
        const words = field.wordsOf(instance);
        if (field.smallOf(&words)) |small| {
            field.multiplySmall(&v, &small, &row.root_shifted);
        } else {
            field.fromWords(&v, &words);
            e.multiply(&v, &v, &RAISE);
            e.multiply(&v, &v, &row.root);
        }
        field.subtractInline(&t, &ws.x, &row.root, 1);
        if (i == 0) {
            field.normalise(n, &v);
            field.normalise(d, &t);
        } else {
            e.dot2(n, n, &t, &v, d);
            e.multiply(d, d, &t);
        }
    }
}

/// One over each divisor, from one over their product: the hint, which nothing but that product's inverse passes for. If a divisor is zero, none does.
pub fn invert(ws: *Workspace, claim: *const Claim) bool {
    const e = &ws.engine;
    var t: Fr = undefined;
    // Products of the divisors before each; then, from the last one back, of the hint and those after it.
    ws.inverses[1] = ws.divisors[0];
    for (2..DIVISORS) |i| e.multiply(&ws.inverses[i], &ws.inverses[i - 1], &ws.divisors[i - 1]);
    e.multiply(&t, &ws.inverses[DIVISORS - 1], &ws.divisors[DIVISORS - 1]);
    e.multiplyAdd(&t, &t, &ws.hint, &MINUS_ONE_1);
    if (!field.vanishes(&t)) return false;
    t = ws.hint;
    for (1..DIVISORS) |back| {
        const i = DIVISORS - back;
        e.multiply(&ws.inverses[i], &ws.inverses[i], &t);
        e.multiply(&t, &t, &ws.divisors[i]);
    }
    ws.inverses[0] = t;

    e.multiply(&ws.l_last, ws.over(.l_last), &claim.key.last_numerator);
    e.multiply(&ws.l_0, ws.over(.l_0), &claim.key.first_numerator);
    e.multiply(&ws.l_blind, ws.over(.l_blind), &ws.blind_numerator);
    field.add(&t, &ws.l_last, &ws.l_blind);
    field.subtract(&t, ws.over(.vanishing), &t, 2);
    field.normalise(&ws.active, &t);
    // (x^n - 1)/n.
    e.multiply(&t, ws.divisor(.vanishing), &claim.key.first_numerator);
    e.multiply(&t, &t, &ws.instance_numerator);
    e.multiply(&ws.instance, &t, ws.over(.instance));
    return true;
}

/// Folds in a constraint: everything so far times y, plus weight·content [0], for a content of at most five units.
noinline fn fold(ws: *Workspace, weight: *const Fr, content: *const Fr) void {
    ws.engine.dot2(&ws.folded, &ws.folded, &ws.y, weight, content);
}

/// The products that are not zero only where the selector has the value 1, 2 or 3.
const Selected = [3]Fr;

noinline fn select(e: *Engine, column: *const Fr, out: *Selected) void {
    var s: Fr = undefined;
    var t: Fr = undefined;
    var r: Fr = undefined;
    e.multiply(&s, column, &RAISE);
    field.subtractFrom(&t, comptime constant(3, 1), &s);
    e.multiply(&r, &s, &t); // s(3 - s)
    field.subtractFrom(&t, comptime constant(2, 1), &s);
    e.multiply(&out[0], &r, &t);
    field.subtractFrom(&t, comptime constant(1, 1), &s);
    e.multiply(&out[1], &r, &t);
    field.subtractFrom(&t, comptime constant(2, 1), &r); // (1 - s)(2 - s)
    e.multiply(&out[2], &s, &t);
}

pub fn gates(ws: *Workspace) void {
    const e = &ws.engine;
    const a = ws.eval(.a_0);
    const b = ws.eval(.a_1);
    const c = ws.eval(.a_2);
    const previous = ws.eval(.a_2_prev);
    e.multiply(&ws.a_0, a, &RAISE);
    e.multiply(&ws.a_1, b, &RAISE);
    var ab: Fr = undefined; // [0]
    e.multiply(&ab, a, &ws.a_1);
    var t: Fr = undefined;
    var s: Selected = undefined;
    var u: Selected = undefined;

    select(e, ws.eval(.f_5), &s);
    field.add(&t, a, b);
    field.subtract(&t, c, &t, 2);
    e.multiply(&ws.folded, &s[0], &t);
    field.subtract(&t, c, &ab, 1);
    fold(ws, &s[2], &t);
    field.add(&t, c, b);
    field.subtract(&t, &t, a, 1);
    fold(ws, &s[1], &t);

    select(e, ws.eval(.f_6), &s);
    field.add(&t, previous, &ab);
    field.subtract(&t, c, &t, 2);
    fold(ws, &s[1], &t);
    field.subtract(&t, c, &ab, 1);
    fold(ws, &s[0], &t);

    // A model without products and sums leaves this selector empty; then its gates are zero, and only y's powers remain.
    const empty = field.isZero(ws.eval(.f_7));
    if (!empty) {
        select(e, ws.eval(.f_7), &u);
        field.subtract(&t, c, b, 1);
        fold(ws, &u[0], &t);
    } else step(ws, &ws.y);
    e.multiply(&ab, previous, &ws.a_1);
    field.subtract(&t, c, &ab, 1);
    fold(ws, &s[2], &t);
    if (!empty) {
        field.subtract(&t, c, b, 1);
        fold(ws, &u[2], &t);
        field.add(&t, previous, b);
        field.subtract(&t, c, &t, 2);
        fold(ws, &u[1], &t);
    } else {
        step(ws, &ws.y);
        step(ws, &ws.y);
    }
    // Two empty constraints; and the division by x^n - 1, which the weights of all that follows have in them.
    step(ws, &ws.y);
    step(ws, &ws.y);
    step(ws, ws.over(.vanishing));
}

noinline fn step(ws: *Workspace, factor: *const Fr) void {
    ws.engine.multiply(&ws.folded, &ws.folded, factor);
}

/// The copy constraints.
pub fn copies(ws: *Workspace) void {
    const e = &ws.engine;
    var t: Fr = undefined;
    var u: Fr = undefined;
    field.subtractFrom(&t, comptime constant(1, 0), ws.eval(.z_0));
    fold(ws, &ws.l_0, &t);
    e.multiply(&t, ws.eval(.z_1), &RAISE);
    field.add(&u, ws.eval(.z_1), &comptime constant(-1, 0));
    e.multiply(&t, &t, &u);
    fold(ws, &ws.l_last, &t);
    field.subtract(&t, ws.eval(.z_1), ws.eval(.z_0_last), 1);
    fold(ws, &ws.l_0, &t);

    var beta_2: Fr = undefined; // [2]
    var beta_x: Fr = undefined;
    e.multiply(&beta_2, &ws.beta, &RAISE);
    e.multiply(&beta_x, &ws.beta, &ws.x);
    var columns: [5]Fr = undefined; // value + γ
    field.add(&columns[0], &ws.a_0, &ws.gamma);
    field.add(&columns[1], &ws.a_1, &ws.gamma);
    e.multiplyAdd(&columns[2], ws.eval(.a_2), &RAISE, &ws.gamma);
    e.multiplyAdd(&columns[3], ws.eval(.f_0), &RAISE, &ws.gamma);
    field.add(&columns[4], &ws.instance, &ws.gamma);

    var left: Fr = ws.eval(.z_0_next).*;
    var right: Fr = ws.eval(.z_0).*;
    inline for (0..5) |i| {
        e.multiplyAdd(&t, &ws.evaluations[@backingInt(Eval.sigma_0) + i], &beta_2, &columns[i]);
        if (i == 0) {
            field.add(&u, &beta_x, &columns[i]);
        } else {
            e.multiplyAdd(&u, &beta_x, &comptime constant(power(DELTA, i), 1), &columns[i]);
        }
        if (i == 2 or i == 4) {
            field.subtractFrom(&right, comptime constant(0, 0), &right);
            e.dot2(&t, &left, &t, &right, &u);
            fold(ws, &ws.active, &t);
            left = ws.eval(.z_1_next).*;
            right = ws.eval(.z_1).*;
        } else {
            e.multiply(&left, &left, &t);
            e.multiply(&right, &right, &u);
        }
    }
}

fn power(comptime base: comptime_int, comptime exponent: comptime_int) comptime_int {
    comptime {
        var total: comptime_int = 1;
        for (0..exponent) |_| total = @mod(total * base, field.ORDER);
        return total;
    }
}

/// The two range checks.
pub fn ranges(ws: *Workspace) void {
    const e = &ws.engine;
    e.multiply(&ws.a_0_twice, &ws.a_0, &RAISE);
    var input: Fr = undefined;
    var start: Fr = undefined;
    // f·(a + 1) - 1 + β.
    field.add(&input, &ws.a_0_twice, &RAISE);
    field.add(&start, &ws.beta, &MINUS_ONE_1);
    e.multiplyAdd(&input, ws.eval(.f_3), &input, &start);
    range(ws, &input, ws.eval(.f_1), ws.eval(.phi_0));
    // f·a + β.
    e.multiplyAdd(&input, ws.eval(.f_4), &ws.a_0_twice, &ws.beta);
    range(ws, &input, ws.eval(.f_2), ws.eval(.phi_1));
}

/// `sums` are φ, φ(ωx) and the multiplicity, which stand side by side in a proof.
noinline fn range(ws: *Workspace, input: *const Fr, column: *const Fr, sums: *const Fr) void {
    const e = &ws.engine;
    const phi, const next, const multiplicity = .{ &of(sums)[0], &of(sums)[1], &of(sums)[2] };
    fold(ws, &ws.l_0, phi);
    fold(ws, &ws.l_last, phi);
    var table: Fr = undefined;
    var change: Fr = undefined;
    e.multiplyAdd(&table, column, &RAISE, &ws.beta);
    e.multiply(&table, &table, input);
    field.subtract(&change, next, phi, 1);
    e.dot2(&change, &table, &change, input, multiplicity);
    field.add(&table, column, ws.raw(.beta));
    field.subtract(&change, &change, &table, 2);
    fold(ws, &ws.active, &change);
}

fn of(first: *const Fr) *const [3]Fr {
    return @ptrCast(first);
}

comptime {
    for (.{ .{ Eval.phi_0, Eval.phi_0_next, Eval.m_0 }, .{ Eval.phi_1, Eval.phi_1_next, Eval.m_1 } }) |names| {
        for (names, 0..) |name, i| if (@backingInt(name) != @backingInt(names[0]) + i) @compileError("the range sums are not side by side");
    }
}

/// The scalars of the opening.
pub fn opening(ws: *Workspace, claim: *const Claim) void {
    const e = &ws.engine;
    var t: Fr = undefined;
    var here: Fr = undefined; // μ - x
    var ratios: Ratios = undefined;
    field.subtract(&here, &ws.mu, &ws.x, 1);
    e.multiply(&ratios.last, ws.over(.mu_last), &here);
    e.multiply(&ratios.prev, ws.over(.mu_prev), &here);
    e.multiply(&ratios.next, ws.over(.mu_next), &here);
    field.subtract(&t, &ws.x, &ws.mu, 1);
    e.multiply(&t, &t, &field.ONE);
    field.toBytes(&ws.w_bytes, &t);
    e.multiply(&t, ws.raw(.zeta), &ws.zeta);
    field.toBytes(&ws.zeta_squared_bytes, &t);
    e.multiply(&t, &ws.x_n, &field.ONE);
    field.toBytes(&ws.x_n_bytes, &t);

    // ν/(μ - p_prev), ν²/((μ - p_last)(μ - p_next)), ν³/(μ - p_next) [0].
    var nu_next: Fr = undefined;
    e.multiply(&nu_next, &ws.nu, ws.over(.mu_next));
    e.multiply(&t, ws.raw(.nu), ws.over(.mu_prev));
    field.toBytes(&ws.set_bytes[0], &t);
    e.multiply(&t, ws.raw(.nu), ws.over(.mu_last));
    e.multiply(&t, &t, &nu_next);
    field.toBytes(&ws.set_bytes[1], &t);
    e.multiply(&t, ws.raw(.nu), &ws.nu);
    e.multiply(&t, &t, &nu_next);
    field.toBytes(&ws.set_bytes[2], &t);

    claimed(ws, claim.key, &ratios);
}

/// (μ - x)/(μ - p) for the other opening points p.
const Ratios = struct { last: Fr, prev: Fr, next: Fr };

/// Σ ν^i·c_i·r_i(μ): what the commitments' combination opens to.
fn claimed(ws: *Workspace, key: *const keys.Key, ratios: *Ratios) void {
    const e = &ws.engine;
    var weights: [3]Fr = undefined;
    var opened: [3]Fr = undefined;
    var t: Fr = undefined;
    var u: Fr = undefined;
    e.multiply(&t, &ws.nu, ws.over(.x)); // ν/x
    e.multiply(&weights[0], &t, &key.prev_weight);
    e.multiply(&weights[1], &t, &t);
    e.multiply(&weights[2], &ws.nu, &ws.nu);
    e.multiply(&t, &t, &key.next_weight);
    e.multiply(&weights[2], &weights[2], &t);

    e.multiply(&t, ws.eval(.a_2_prev), &ratios.prev);
    field.subtract(&opened[0], &t, ws.eval(.a_2), 1);

    // The third set needs its ratio once more after this one spoils it, so it goes first.
    e.multiplyAdd(&t, ws.eval(.phi_1), &ws.zeta, ws.eval(.phi_0));
    e.multiplyAdd(&t, &t, &ws.zeta, ws.eval(.z_1));
    e.multiplyAdd(&u, ws.eval(.phi_1_next), &ws.zeta, ws.eval(.phi_0_next));
    e.multiplyAdd(&u, &u, &ws.zeta, ws.eval(.z_1_next));
    e.multiply(&u, &u, &ratios.next);
    field.subtract(&opened[2], &u, &t, 1);
    field.normalise(&opened[2], &opened[2]);

    e.multiply(&ratios.last, &ratios.last, &key.last_weights[0]);
    e.multiply(&ratios.next, &ratios.next, &key.last_weights[2]);
    e.dot3(&opened[1], &.{ ws.eval(.z_0_last), &ratios.last, ws.eval(.z_0), &key.last_weights[1], ws.eval(.z_0_next), &ratios.next });

    e.multiplyAdd(&t, ws.eval(.random), &ws.zeta, &ws.folded);
    inline for (.{ .sigma_4, .sigma_3, .sigma_2, .sigma_1, .sigma_0, .f_7, .f_6, .f_5, .f_4, .f_3, .f_2, .f_1, .f_0, .m_1, .m_0, .a_1, .a_0 }) |name| {
        e.multiplyAdd(&t, &t, &ws.zeta, ws.eval(name));
    }
    e.dot3(&u, &.{ &weights[0], &opened[0], &weights[1], &opened[1], &weights[2], &opened[2] });
    field.add(&t, &t, &u);
    field.toBytes(&ws.value_bytes, &t);
}

/// The point that is paired with G2.
pub fn combine(ws: *Workspace, claim: *const Claim) bool {
    const zeta = &ws.hashes[@backingInt(Challenge.zeta)];
    const sum = &ws.group;
    const side = &ws.side;
    side.set(claim.point(.h_3));
    inline for (.{ At.h_2, At.h_1, At.h_0 }) |name| if (!side.fold(&ws.x_n_bytes, claim.point(name))) return false;
    sum.set(claim.point(.random));
    if (!sum.fold(zeta, &side.total)) return false;
    inline for (0..keys.PERMUTED) |i| if (!sum.fold(zeta, &claim.key.permutation[keys.PERMUTED - 1 - i])) return false;
    // A selector that the model does not use commits to infinity: its step and the next are one multiplication by ζ².
    const last = &claim.key.fixed[keys.FIXED - 1];
    const unused = curve.isInfinity(last);
    if (!unused and !sum.fold(zeta, last)) return false;
    if (!sum.fold(if (unused) &ws.zeta_squared_bytes else zeta, &claim.key.fixed[keys.FIXED - 2])) return false;
    inline for (2..keys.FIXED) |i| if (!sum.fold(zeta, &claim.key.fixed[keys.FIXED - 1 - i])) return false;
    inline for (.{ At.m_1, At.m_0, At.a_1, At.a_0 }) |name| if (!sum.fold(zeta, claim.point(name))) return false;

    side.set(claim.point(.phi_1));
    if (!side.fold(zeta, claim.point(.phi_0)) or !side.fold(zeta, claim.point(.z_1))) return false;
    if (!side.scale(&ws.set_bytes[2]) or !sum.add(&side.total)) return false;
    const rest = .{
        .{ claim.point(.a_2), &ws.set_bytes[0] },
        .{ claim.point(.z_0), &ws.set_bytes[1] },
        .{ &curve.MINUS_G1, &ws.value_bytes },
        .{ claim.point(.w), &ws.w_bytes },
        .{ claim.point(.w_prime), &ws.hashes[@backingInt(Challenge.mu)] },
    };
    inline for (rest) |term| {
        side.set(term[0]);
        if (!side.scale(term[1]) or !sum.add(&side.total)) return false;
    }
    return true;
}

pub fn paired(ws: *Workspace, claim: *const Claim) bool {
    const p = &ws.pairing;
    p[0..64].* = ws.group.total;
    p[64..192].* = curve.G2;
    p[192..256].* = claim.point(.w_prime).*;
    p[256..384].* = claim.key.neg_s_g2;
    return curve.pairingIsOne(p);
}
