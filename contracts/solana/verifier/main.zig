//! The verifier program: keeps verifying keys and proofs, and says whether a proof holds (PROTOCOL.md section 7, VERIFIER.md). The Sibyl program calls
//! it, as anyone may. It knows no requests and no models. This file takes a call apart and hands it to the instruction.

const std = @import("std");
const sibyl = @import("sibyl");
const constants = sibyl.constants;
const errors = @import("errors.zig");
const runtime = sibyl.runtime;

/// A failed safety check aborts the transaction.
pub const panic = std.debug.no_panic;

fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    var invocation: runtime.Invocation = undefined;
    invocation.parse(input) catch |err| return errors.report(err);
    dispatch(&invocation) catch |err| return errors.report(err);
    return 0;
}

comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}

fn dispatch(invocation: *const runtime.Invocation) errors.Error!void {
    var arguments = runtime.Reader{ .bytes = invocation.data };
    switch (try arguments.int(u8)) {
        constants.VERIFIER_INSTRUCTION_CREATE_KEY => try @import("instructions/create_key.zig").process(invocation, &arguments),
        constants.VERIFIER_INSTRUCTION_WRITE_KEY => try @import("instructions/write_key.zig").process(invocation, &arguments),
        constants.VERIFIER_INSTRUCTION_SEAL_KEY => try @import("instructions/seal_key.zig").process(invocation, &arguments),
        constants.VERIFIER_INSTRUCTION_CLOSE_KEY => try @import("instructions/close_key.zig").process(invocation, &arguments),
        constants.VERIFIER_INSTRUCTION_CREATE_PROOF => try @import("instructions/create_proof.zig").process(invocation, &arguments),
        constants.VERIFIER_INSTRUCTION_WRITE_PROOF => try @import("instructions/write_proof.zig").process(invocation, &arguments),
        constants.VERIFIER_INSTRUCTION_CLOSE_PROOF => try @import("instructions/close_proof.zig").process(invocation, &arguments),
        constants.VERIFIER_INSTRUCTION_VERIFY => try @import("instructions/verify.zig").process(invocation, &arguments),
        else => return error.InvalidInstruction,
    }
}
