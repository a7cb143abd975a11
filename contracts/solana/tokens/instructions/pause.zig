//! pause: the guardian, or the governance authority, stops one token or all. Nothing is lost: what was delivered waits.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const switches = try open(invocation);
    const signer = switches.signer;
    if (!runtime.equal(&signer.key, &switches.bridge.guardian) and !runtime.equal(&signer.key, &switches.bridge.authority)) return error.NotGuardian;
    switches.set(1);
}

/// What pause and unpause change: the bridge, or one token.
pub const Switches = struct {
    signer: *Account,
    bridge: *state.Bridge,
    token: ?*state.Token,

    pub fn set(self: *const Switches, paused: u8) void {
        if (self.token) |token| {
            token.paused = paused;
        } else {
            self.bridge.paused = paused;
        }
    }
};

pub fn open(invocation: *const Invocation) Error!Switches {
    if (invocation.count != 2 and invocation.count != 3) return error.WrongAccountCount;
    const list = try invocation.accounts(invocation.count);
    try list[0].requireSigner();
    const bridge = try state.openBridge(invocation, list[1]);
    if (invocation.count == 2) {
        try list[1].requireWritable();
        return .{ .signer = list[0], .bridge = bridge, .token = null };
    }
    try list[2].requireWritable();
    return .{ .signer = list[0], .bridge = bridge, .token = try state.openToken(invocation, list[2], bridge) };
}
