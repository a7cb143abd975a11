//! enqueue: a delivered transfer, or the refund of one, that is over the inbound limit moves into the queue, from where it is paid after the delay. Anyone may call it;
//! what the bucket has room for cannot be queued, so nobody delays another's transfer that way.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const abi = @import("../abi.zig");
const gateway = @import("../gateway.zig");
const payout = @import("../payout.zig");
const refund = @import("refund.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const Accounts = struct {
    payer: *Account,
    authority: gateway.Authority,
    token_account: *Account,
    token: *state.Token,
    inbox: gateway.Inbox,
    queued: *Account,
    system: *Account,
};

fn validateAccounts(invocation: *const Invocation, out: *Accounts) Error!void {
    const list = try invocation.accounts(8);
    try list[0].requirePayer();
    out.payer = list[0];
    out.authority = .{ .account = list[1], .bridge = try state.openBridge(invocation, list[1]) };
    out.token_account = list[2];
    out.token = try state.openToken(invocation, list[2], out.authority.bridge);
    out.inbox = try gateway.readInbox(&out.authority, list[3], list[4], list[5]);
    out.queued = list[6];
    out.system = list[7];
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const expiry: ?u64 = if (arguments.bytes.len == 0) null else try arguments.int(u64);
    try arguments.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &accounts);
    const bridge = accounts.authority.bridge;
    try state.requireRunning(bridge, accounts.token);
    const waiting = try waitingIn(&accounts, expiry);
    try payout.requireRecipient(&accounts.authority, waiting.recipient);
    const now = try runtime.now();
    if (waiting.amount <= accounts.token.inbound().available(now)) return error.UnderLimit;

    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_QUEUED), Slice.of(accounts.inbox.digest) };
    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.queued,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = &bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const queued = try sibyl.account.create(state.Queued, invocation, &creation, 0);
    queued.amount = waiting.amount;
    queued.releasable_at = try runtime.add(now, bridge.queue_delay);
    queued.token = accounts.token_account.key;
    queued.recipient = waiting.recipient.*;
    queued.payer = accounts.payer.key;
    queued.digest = accounts.inbox.digest.*;
    try gateway.closeInbox(&accounts.authority, &accounts.inbox);
}

const Waiting = struct { recipient: *const [32]u8, amount: u64 };

/// The transfer in the inbox account, or, when an expiry is given, what a non-delivery gives back.
fn waitingIn(accounts: *const Accounts, expiry: ?u64) Error!Waiting {
    if (expiry) |original| {
        const sent = try refund.sentIn(&accounts.authority, accounts.token, &accounts.inbox, original);
        return .{ .recipient = sent.sender, .amount = sent.amount };
    }
    try gateway.requireKind(&accounts.inbox, constants.KIND_MESSAGE);
    if (!runtime.equal(accounts.inbox.body.sender(), &accounts.token.evm_bridge)) return error.WrongBridge;
    const transfer = try abi.parseTransfer(accounts.inbox.body.payload());
    return .{ .recipient = transfer.recipient, .amount = transfer.amount };
}
