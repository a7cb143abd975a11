//! The Sibyl program: gateway, committee, registry and oracle hub of a Solana cluster (PROTOCOL.md section 7).
//! This file takes a call apart and hands it to the instruction; each instruction has a file of its own.

const std = @import("std");
const constants = @import("generated/constants.zig");
const errors = @import("errors.zig");
const runtime = @import("runtime.zig");

/// A failed safety check aborts the transaction.
pub const panic = std.debug.no_panic;

const SUCCESS: u64 = 0;

fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    var invocation: runtime.Invocation = undefined;
    invocation.parse(input) catch |err| return errors.report(err);
    dispatch(&invocation) catch |err| return errors.report(err);
    return SUCCESS;
}

comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}

fn dispatch(invocation: *const runtime.Invocation) errors.Error!void {
    var arguments = runtime.Reader{ .bytes = invocation.data };
    switch (try arguments.int(u8)) {
        constants.INSTRUCTION_INITIALISE => try @import("instructions/initialise.zig").process(invocation, &arguments),
        constants.INSTRUCTION_SET_COMMITTEE => try @import("instructions/set_committee.zig").process(invocation, &arguments),
        constants.INSTRUCTION_REGISTER_MODEL => try @import("instructions/register_model.zig").process(invocation, &arguments),
        constants.INSTRUCTION_REGISTER_PEER => try @import("instructions/register_peer.zig").process(invocation, &arguments),
        constants.INSTRUCTION_SEND => try @import("instructions/send.zig").process(invocation, &arguments),
        constants.INSTRUCTION_REQUEST => try @import("instructions/request.zig").process(invocation, &arguments),
        constants.INSTRUCTION_DELIVER => try @import("instructions/deliver.zig").process(invocation, &arguments),
        constants.INSTRUCTION_CLOSE_INBOX => try @import("instructions/close_inbox.zig").process(invocation, &arguments),
        constants.INSTRUCTION_CLOSE_OUTBOX => try @import("instructions/close_outbox.zig").process(invocation, &arguments),
        constants.INSTRUCTION_REFUND => try @import("instructions/refund.zig").process(invocation, &arguments),
        constants.INSTRUCTION_ROTATE => try @import("instructions/rotate.zig").process(invocation, &arguments),
        constants.INSTRUCTION_VETO => try @import("instructions/veto.zig").process(invocation, &arguments),
        constants.INSTRUCTION_FULFIL => try @import("instructions/fulfil.zig").process(invocation, &arguments),
        else => return error.InvalidInstruction,
    }
}
