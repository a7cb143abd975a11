//! schedule: the governance authority announces an unpause, new limits or an emergency exit, with all that it will be called with, so that
//! everybody can read what comes. After the delay the authority carries it out; until then it, or the guardian, can cancel it.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const announced = @import("../announced.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const Accounts = struct { payer: *Account, bridge: *const state.Bridge, scheduled: *Account, system: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(4);
    try list[0].requirePayer();
    const bridge = try state.openBridge(invocation, list[1]);
    try state.requireAuthority(bridge, list[0]);
    return .{ .payer = list[0], .bridge = bridge, .scheduled = list[2], .system = list[3] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const token = try arguments.array(32);
    const destination = try arguments.array(32);
    const data = try arguments.take(arguments.bytes.len);
    const accounts = try validateAccounts(invocation);
    try announced.requireAnnounceable(data);
    var operation: [32]u8 = undefined;
    announced.operationOf(data, token, destination, &operation);

    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_SCHEDULED), Slice.of(&operation) };
    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.scheduled,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = &bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const scheduled = try sibyl.account.create(state.Scheduled, invocation, &creation, 0);
    scheduled.ready_at = try runtime.add(try runtime.now(), accounts.bridge.governance_delay);
    scheduled.payer = accounts.payer.key;
    scheduled.operation = operation;
}
