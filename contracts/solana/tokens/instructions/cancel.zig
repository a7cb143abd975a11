//! cancel: the governance authority or the guardian takes back what was announced. Its rent goes to who paid it.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { scheduled: *Account, payer: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(4);
    try list[0].requireSigner();
    const bridge = try state.openBridge(invocation, list[1]);
    try state.requireGuardian(bridge, list[0]);
    const scheduled = try state.openScheduled(invocation, list[2]);
    try list[3].requireWritable();
    if (!runtime.equal(&list[3].key, &scheduled.payer)) return error.WrongPayer;
    return .{ .scheduled = list[2], .payer = list[3] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    try runtime.close(accounts.scheduled, accounts.payer);
}
