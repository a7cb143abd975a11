//! close_sent: long after a transfer's expiry its outbox account is closed at Sibyl; the rent goes to who sent the transfer and paid it.
//! Anyone may call it. (A refund does not need the account.)

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const message = sibyl.message;
const runtime = sibyl.runtime;
const abi = @import("../abi.zig");
const gateway = @import("../gateway.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { authority: gateway.Authority, outbox: *Account, posted: *const sibyl.account.Outbox, sender: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(4);
    try list[0].requireWritable();
    const bridge = try state.openBridge(invocation, list[0]);
    try list[1].requireWritable();
    try list[2].requireWritable();
    if (!runtime.equal(&list[3].key, &bridge.sibyl)) return error.WrongAddress;
    const posted = try sibyl.account.openWithBody(sibyl.account.Outbox, &bridge.sibyl, list[1]);
    if (!runtime.equal(&posted.sender, &list[0].key)) return error.WrongBridge;
    return .{ .authority = .{ .account = list[0], .bridge = bridge }, .outbox = list[1], .posted = posted, .sender = list[2] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    // A registration, which never expires, has another payload.
    const body = message.Body{ .bytes = sibyl.account.bodyOf(sibyl.account.Outbox, accounts.outbox) };
    const sent = try abi.parseSent(body.payload(), &accounts.authority.bridge.chain_reference);
    if (!runtime.equal(sent.sender, &accounts.sender.key)) return error.WrongPayer;
    if (try runtime.now() <= try runtime.add(accounts.posted.expiry, constants.TOKENS_CLOSE_DELAY)) return error.TooEarly;
    const rent = accounts.outbox.lamports;
    try gateway.closeOutbox(&accounts.authority, accounts.outbox);
    // Sibyl gave it to the bridge authority, whose lamports this program moves.
    try runtime.moveLamports(accounts.authority.account, accounts.sender, rent);
}
