//! redeem: takes one delivered transfer. Its inbox account is closed with it and Sibyl's replay bit stays, so it happens once. Anyone may
//! call it: nothing depends on who does, but for who pays for an account to create, and gets the fee that the sender offered (when it
//! names a token account of its own, and is not the recipient).

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const abi = @import("../abi.zig");
const gateway = @import("../gateway.zig");
const payout = @import("../payout.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const COMMON_ACCOUNTS = 6;

const Accounts = struct {
    payer: *Account,
    authority: gateway.Authority,
    token: *state.Token,
    inbox: gateway.Inbox,
    payout: payout.Accounts,
    fee_account: ?*Account,
};

fn validateAccounts(invocation: *const Invocation, out: *Accounts) Error!void {
    if (invocation.count < COMMON_ACCOUNTS) return error.WrongAccountCount;
    const list = try invocation.accounts(invocation.count);
    try list[0].requirePayer();
    out.payer = list[0];
    // Four accounts pay, seven also create; one more is where the fee goes.
    const paying = list.len - COMMON_ACCOUNTS;
    const with_fee = paying == 5 or paying == 8;
    const end = if (with_fee) list.len - 1 else list.len;
    out.fee_account = if (with_fee) list[end] else null;
    out.payout = try payout.accountsOf(list[0], list[COMMON_ACCOUNTS..end]);
    out.authority = .{ .account = list[1], .bridge = try state.openBridge(invocation, list[1]) };
    try list[2].requireWritable();
    out.token = try state.openToken(invocation, list[2], out.authority.bridge);
    out.inbox = try gateway.readInbox(&out.authority, list[3], list[4], list[5]);
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    try arguments.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &accounts);
    const token = accounts.token;
    try state.requireRunning(accounts.authority.bridge, token);
    try gateway.requireKind(&accounts.inbox, constants.KIND_MESSAGE);
    if (!runtime.equal(accounts.inbox.body.sender(), &token.evm_bridge)) return error.WrongBridge;
    const transfer = try abi.parseTransfer(accounts.inbox.body.payload());
    try token.inbound().take(transfer.amount, try runtime.now());
    const own = runtime.equal(transfer.recipient, &accounts.payer.key);
    const due = payout.Due{
        .recipient = transfer.recipient.*,
        .amount = transfer.amount,
        .bump = bump,
        .fee = transfer.fee,
        .fee_account = if (own) null else accounts.fee_account,
    };
    try gateway.closeInbox(&accounts.authority, &accounts.inbox);
    try payout.pay(invocation, &accounts.authority, token, &accounts.payout, &due);
}
