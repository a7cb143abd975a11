//! unpause: the governance authority ends a pause of one token or of all. The guardian cannot.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const pause = @import("pause.zig");
const Error = @import("../errors.zig").Error;
const Invocation = runtime.Invocation;

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const switches = try pause.open(invocation);
    try state.requireAuthority(switches.bridge, switches.signer);
    switches.set(0);
}
