//! For tests only, never deployed: runs parts of the verifier on given bytes and hands back what they computed and what they cost.

const std = @import("std");
const field = @import("field.zig");
const keys = @import("key.zig");
const packed_form = @import("packed.zig");
const syscalls = @import("syscalls.zig");
const verifier = @import("verifier.zig");

pub const panic = std.debug.no_panic;

/// The heap, at an address that the compiler does not know: known ones make constant expressions of every copy's operands.
inline fn heap() *align(8) verifier.Workspace {
    return asm volatile (""
        : [address] "=r" (-> *align(8) verifier.Workspace),
        : [start] "0" (@as(u64, 0x3_0000_0000)),
    );
}

const Account = struct { data: []align(8) const u8 };

/// Three accounts at most, none of them twice, then the instruction's data.
fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    const count: *const u64 = @ptrCast(input);
    var accounts: [3]Account = undefined;
    if (count.* > accounts.len) return 1;
    var at: usize = 8;
    for (accounts[0..count.*]) |*account| {
        if (input[at] != 0xff) return 1;
        const length: *const u64 = @ptrCast(@alignCast(input + at + 80));
        account.data = @alignCast((input + at + 88)[0..length.*]);
        at = (at + 88 + length.* + 10_240 + 7) / 8 * 8 + 8;
    }
    const length: *const u64 = @ptrCast(@alignCast(input + at));
    const data = (input + at + 8)[0..length.*];
    if (data.len < 1) return 2;
    if (count.* == 0) return arithmetic(data);
    if (count.* != 3) return 1;
    return verification(data[0], &accounts);
}

comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}

const WHOLE = 0xff;

/// Runs so many of the stages on a prepared key, a proof, and a hint with instances; logs the units after each; returns what they left.
fn verification(stages: u8, accounts: *const [3]Account) u64 {
    const key = keys.Key.of(accounts[0].data) orelse return 16;
    const rest = accounts[2].data;
    const ws = heap();
    const given = accounts[1].data;
    const compact = given.len == packed_form.LENGTH;
    if ((given.len != verifier.PROOF_LENGTH and !compact) or rest.len < verifier.HINT_LENGTH or rest.len % 32 != 0) return 17;
    const words: [*]const [32]u8 = @ptrCast(rest.ptr);
    const unpacked: *[verifier.PROOF_LENGTH]u8 = @ptrFromInt(@intFromPtr(ws) + @sizeOf(verifier.Workspace));
    if (compact) {
        syscalls.sol_log_compute_units_();
        if (!packed_form.unpack(unpacked, given[0..packed_form.LENGTH])) return 18;
    }
    const claim = verifier.Claim{
        .key = key,
        .proof = if (compact) unpacked else given[0..verifier.PROOF_LENGTH],
        .hint = rest[0..verifier.HINT_LENGTH],
        .instances = words[verifier.HINT_LENGTH / 32 .. rest.len / 32],
    };
    syscalls.sol_log_compute_units_();
    if (stages == WHOLE) {
        // As programs call it.
        if (!verifier.verify(ws, &claim)) return WHOLE;
        syscalls.sol_log_compute_units_();
        return 0;
    }
    inline for (.{ verifier.read, verifier.draw, verifier.domain, verifier.instances, verifier.invert, verifier.gates, verifier.copies, verifier.ranges, verifier.opening, verifier.combine, verifier.paired }, 0..) |stage, i| {
        if (i < stages) {
            const takes_claim = @TypeOf(stage) != fn (*verifier.Workspace) void;
            const done = if (takes_claim) stage(ws, &claim) else stage(ws);
            if (@TypeOf(done) == bool and !done) return 32 + i;
            syscalls.sol_log_compute_units_();
        }
    }
    var reply: [18][32]u8 = undefined;
    var plain: field.Fr = undefined;
    inline for (.{ &ws.beta, &ws.gamma, &ws.y, &ws.x, &ws.zeta, &ws.nu, &ws.mu, &ws.x_n, &ws.active }, 0..) |value, i| {
        ws.engine.multiply(&plain, value, &field.ONE);
        field.toBytes(&reply[i], &plain);
    }
    field.toBytes(&reply[9], &ws.folded);
    reply[10] = ws.x_n_bytes;
    reply[11..14].* = ws.set_bytes;
    reply[14] = ws.value_bytes;
    reply[15] = ws.w_bytes;
    reply[16] = ws.group.total[0..32].*;
    reply[17] = ws.group.total[32..64].*;
    syscalls.sol_set_return_data(@ptrCast(&reply), @sizeOf(@TypeOf(reply)));
    return 0;
}

/// operation, a, b, c, d, e, f (32 bytes each): the result's bytes (degree as it falls) and the units that it took.
fn arithmetic(data: []const u8) u64 {
    if (data.len != 1 + 6 * 32) return 2;
    var values: [6]field.Fr = undefined;
    for (&values, 0..) |*value, i| {
        const words = field.wordsOf(data[1 + 32 * i ..][0..32]);
        field.fromWords(value, &words);
    }
    var engine: field.Engine = undefined;
    var out: field.Fr = undefined;
    syscalls.sol_log_compute_units_();
    switch (data[0]) {
        0 => engine.multiply(&out, &values[0], &values[1]),
        1 => engine.multiplyAdd(&out, &values[0], &values[1], &values[2]),
        2 => engine.dot2(&out, &values[0], &values[1], &values[2], &values[3]),
        3 => engine.dot3(&out, &.{ &values[0], &values[1], &values[2], &values[3], &values[4], &values[5] }),
        4 => field.add(&out, &values[0], &values[1]),
        5 => field.subtract(&out, &values[0], &values[1], 1),
        6 => out = values[0],
        7 => {
            engine.multiply(&out, &values[0], &values[1]);
            const same = field.vanishes(&out);
            out = @splat(0);
            out[0] = @intFromBool(same);
        },
        8 => {
            const ok = field.parse(&out, data[1..33]);
            if (!ok) return 3;
        },
        else => return 4,
    }
    syscalls.sol_log_compute_units_();
    var reply: [32]u8 = undefined;
    field.toBytes(&reply, &out);
    syscalls.sol_set_return_data(&reply, reply.len);
    return 0;
}
