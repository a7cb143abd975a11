//! unpause: the governance authority ends a pause of one token or of all, as it announced. The guardian cannot.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const announced = @import("../announced.zig");
const pause = @import("pause.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Invocation = runtime.Invocation;

const ANNOUNCEMENT_ACCOUNTS = 2;

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const ours = invocation.count -| ANNOUNCEMENT_ACCOUNTS;
    if (ours != 2 and ours != 3) return error.WrongAccountCount;
    const list = try invocation.accounts(invocation.count);
    const switches = try pause.open(invocation, list[0..ours]);
    try state.requireAuthority(switches.bridge, switches.signer);
    const act = announced.Act{ .token = if (ours == 3) list[2] else null, .destination = null };
    try announced.take(invocation, &act, list[ours], list[ours + 1]);
    if (switches.token) |token| {
        token.paused = 0;
        token.paused_since = 0;
        token.exit_begin = 0;
        token.exit_left = 0;
    } else switches.bridge.paused = 0;
}
