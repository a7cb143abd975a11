//! pause: the guardian, or the governance authority, stops one token or all. Nothing is lost: what was delivered waits.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    if (invocation.count != 2 and invocation.count != 3) return error.WrongAccountCount;
    const switches = try open(invocation, try invocation.accounts(invocation.count));
    try state.requireGuardian(switches.bridge, switches.signer);
    if (switches.token) |token| {
        if (token.paused == 0) token.paused_since = try runtime.now(); // a second pause is no new begin
        token.paused = 1;
    } else switches.bridge.paused = 1;
}

/// What pause and unpause change: the bridge, or one token.
pub const Switches = struct {
    signer: *Account,
    bridge: *state.Bridge,
    token: ?*state.Token,
};

/// From signer and bridge, and perhaps a token.
pub fn open(invocation: *const Invocation, list: []const *Account) Error!Switches {
    try list[0].requireSigner();
    const bridge = try state.openBridge(invocation, list[1]);
    if (list.len == 2) {
        try list[1].requireWritable();
        return .{ .signer = list[0], .bridge = bridge, .token = null };
    }
    try list[2].requireWritable();
    return .{ .signer = list[0], .bridge = bridge, .token = try state.openToken(invocation, list[2], bridge) };
}
