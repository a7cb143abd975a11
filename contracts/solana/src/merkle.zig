//! The root of a batch, always computed from a leaf and its branch (PROTOCOL.md section 2): a root is never taken from anyone.

const constants = @import("generated/constants.zig");
const runtime = @import("runtime.zig");
const Error = @import("errors.zig").Error;
const Slice = runtime.Slice;

const LEAF = [1]u8{constants.MERKLE_LEAF_PREFIX};
const NODE = [1]u8{constants.MERKLE_NODE_PREFIX};

/// `branch` holds siblings of 32 bytes each, from the leaf up.
pub fn rootOf(digest: *const [32]u8, branch: []const u8, root: *[32]u8) Error!void {
    if (branch.len > 32 * @as(usize, constants.MERKLE_MAX_DEPTH)) return error.BranchTooLong;
    runtime.keccak(&.{ Slice.of(&LEAF), Slice.of(digest) }, root);
    var at: usize = 0;
    while (at < branch.len) : (at += 32) {
        const sibling: *const [32]u8 = branch[at..][0..32];
        const below = root.*;
        const first = if (less(&below, sibling)) &below else sibling;
        const second = if (first == sibling) &below else sibling;
        runtime.keccak(&.{ Slice.of(&NODE), Slice.of(first), Slice.of(second) }, root);
    }
}

/// What the committee signs for a root.
pub fn signedValue(root: *const [32]u8, signed: *[32]u8) void {
    runtime.keccak(&.{ Slice.of(&constants.DOMAIN_BATCH), Slice.of(root) }, signed);
}

fn less(a: *const [32]u8, b: *const [32]u8) bool {
    for (0..4) |i| {
        const x = runtime.readBig(u64, a[8 * i ..][0..8]);
        const y = runtime.readBig(u64, b[8 * i ..][0..8]);
        if (x != y) return x < y;
    }
    return false;
}
