//! close_key: the payer of a key that was never sealed takes its rent back.

const runtime = @import("sibyl").runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;

pub fn process(invocation: *const runtime.Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const own = try state.openOwnKey(invocation);
    try own.payer.requireWritable();
    try runtime.close(own.account, own.payer);
}
