//! release: pays a queued transfer out after the delay, and gives the rent of its account back. Anyone may call it. The bucket is not asked
//! again; pauses and the cap are.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const gateway = @import("../gateway.zig");
const payout = @import("../payout.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const COMMON_ACCOUNTS = 5;

const Accounts = struct {
    authority: gateway.Authority,
    token: *state.Token,
    queued_account: *Account,
    queued: *state.Queued,
    queued_payer: *Account,
    payout: payout.Accounts,
};

fn validateAccounts(invocation: *const Invocation, out: *Accounts) Error!void {
    if (invocation.count < COMMON_ACCOUNTS) return error.WrongAccountCount;
    const list = try invocation.accounts(invocation.count);
    try list[0].requirePayer();
    out.payout = try payout.accountsOf(list[0], list[COMMON_ACCOUNTS..]);
    out.authority = .{ .account = list[1], .bridge = try state.openBridge(invocation, list[1]) };
    try list[2].requireWritable();
    out.token = try state.openToken(invocation, list[2], out.authority.bridge);
    out.queued_account = list[3];
    out.queued = try state.openQueued(invocation, list[3]);
    if (!runtime.equal(&out.queued.token, &list[2].key)) return error.WrongToken;
    out.queued_payer = list[4];
    try list[4].requireWritable();
    if (!runtime.equal(&out.queued.payer, &list[4].key)) return error.WrongPayer;
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    try arguments.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &accounts);
    try state.requireRunning(accounts.authority.bridge, accounts.token);
    if (try runtime.now() < accounts.queued.releasable_at) return error.NotReleasable;
    const due = payout.Due{ .recipient = accounts.queued.recipient, .amount = accounts.queued.amount, .bump = bump };
    try payout.pay(invocation, &accounts.authority, accounts.token, &accounts.payout, &due);
    // Last: the runtime refuses a call while lamports are between two accounts.
    try runtime.close(accounts.queued_account, accounts.queued_payer);
}
