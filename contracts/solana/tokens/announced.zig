//! Acts of governance that are announced before they are done: what exactly was announced is the address of an account, so that only
//! that can be carried out, once, after the delay.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const state = @import("state.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const NOBODY: [32]u8 = @splat(0);

/// What an act works on, beside its instruction data.
pub const Act = struct { token: ?*const Account, destination: ?*const Account };

/// keccak256(instruction data ‖ token account or zero ‖ destination or zero)
pub fn operationOf(data: []const u8, token: *const [32]u8, destination: *const [32]u8, out: *[32]u8) void {
    runtime.keccak(&.{ Slice.of(data), Slice.of(token), Slice.of(destination) }, out);
}

/// Only what changes limits or moves what is locked is announced; a pause must be quick.
pub fn requireAnnounceable(data: []const u8) Error!void {
    if (data.len == 0) return error.UnknownAct;
    switch (data[0]) {
        constants.TOKENS_INSTRUCTION_UNPAUSE, constants.TOKENS_INSTRUCTION_SET_LIMITS, constants.TOKENS_INSTRUCTION_EMERGENCY_EXIT => {},
        else => return error.UnknownAct,
    }
}

/// Checks that this very call was announced and has waited, and takes the announcement away; its rent goes to its payer. An instruction
/// that calls other programs does so before: the runtime refuses a call while lamports are between two accounts.
pub fn take(invocation: *const Invocation, act: *const Act, account: *Account, payer: *Account) Error!void {
    try requireReady(invocation, act, account, payer);
    try runtime.close(account, payer);
}

/// The check alone.
pub fn requireReady(invocation: *const Invocation, act: *const Act, account: *Account, payer: *Account) Error!void {
    const scheduled = try state.openScheduled(invocation, account);
    try payer.requireWritable();
    if (!runtime.equal(&payer.key, &scheduled.payer)) return error.WrongPayer;
    var operation: [32]u8 = undefined;
    const token = if (act.token) |one| &one.key else &NOBODY;
    const destination = if (act.destination) |one| &one.key else &NOBODY;
    operationOf(invocation.data, token, destination, &operation);
    if (!runtime.equal(&operation, &scheduled.operation)) return error.NotAnnounced;
    if (try runtime.now() < scheduled.ready_at) return error.TooEarly;
}
