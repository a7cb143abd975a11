//! set_limits: the governance authority sets both buckets and the cap of one token, in wire units, as it announced. Buckets start full. What
//! is outstanding beyond a lower cap stays; nothing more is added until there is room.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const announced = @import("../announced.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { token_account: *Account, token: *state.Token, scheduled: *Account, scheduled_payer: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(5);
    const bridge = try state.openBridge(invocation, list[1]);
    try state.requireAuthority(bridge, list[0]);
    try list[2].requireWritable();
    const token = try state.openToken(invocation, list[2], bridge);
    return .{ .token_account = list[2], .token = token, .scheduled = list[3], .scheduled_payer = list[4] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const outbound_capacity = try arguments.int(u64);
    const outbound_refill = try arguments.int(u64);
    const inbound_capacity = try arguments.int(u64);
    const inbound_refill = try arguments.int(u64);
    const cap = try arguments.int(u64);
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    const act = announced.Act{ .token = accounts.token_account, .destination = null };
    try announced.take(invocation, &act, accounts.scheduled, accounts.scheduled_payer);
    const token = accounts.token;
    const now = try runtime.now();
    token.outbound().set(outbound_capacity, outbound_refill, now);
    token.inbound().set(inbound_capacity, inbound_refill, now);
    token.cap = cap;
}
