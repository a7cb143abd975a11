//! refund: takes a delivered non-delivery of a transfer of this program, and gives the whole amount back to its sender, under the limits of
//! an inbound transfer. Anyone may call it. A non-delivery does not say to whom its message was to go, so the message is put together
//! again, with the token's EVM bridge as its recipient: only for the right token, and the right expiry, does its digest come out.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const message = sibyl.message;
const runtime = sibyl.runtime;
const abi = @import("../abi.zig");
const gateway = @import("../gateway.zig");
const payout = @import("../payout.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const COMMON_ACCOUNTS = 6;

const Accounts = struct { authority: gateway.Authority, token: *state.Token, inbox: gateway.Inbox, payout: payout.Accounts };

fn validateAccounts(invocation: *const Invocation, out: *Accounts) Error!void {
    if (invocation.count < COMMON_ACCOUNTS) return error.WrongAccountCount;
    const list = try invocation.accounts(invocation.count);
    try list[0].requirePayer();
    out.payout = try payout.accountsOf(list[0], list[COMMON_ACCOUNTS..]);
    out.authority = .{ .account = list[1], .bridge = try state.openBridge(invocation, list[1]) };
    try list[2].requireWritable();
    out.token = try state.openToken(invocation, list[2], out.authority.bridge);
    out.inbox = try gateway.readInbox(&out.authority, list[3], list[4], list[5]);
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const expiry = try arguments.int(u64);
    try arguments.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &accounts);
    const token = accounts.token;
    try state.requireRunning(accounts.authority.bridge, token);
    const sent = try sentIn(&accounts.authority, token, &accounts.inbox, expiry);
    try token.inbound().take(sent.amount, try runtime.now());
    const due = payout.Due{ .recipient = sent.sender.*, .amount = sent.amount, .bump = bump };
    try gateway.closeInbox(&accounts.authority, &accounts.inbox);
    try payout.pay(invocation, &accounts.authority, token, &accounts.payout, &due);
}

/// The transfer of `token` that a non-delivery tells of; `expiry` is what the transfer had.
pub fn sentIn(authority: *const gateway.Authority, token: *const state.Token, inbox: *const gateway.Inbox, expiry: u64) Error!abi.Sent {
    try gateway.requireKind(inbox, constants.KIND_NON_DELIVERY);
    const notice = try message.parseNonDelivery(inbox.body);
    const bridge = authority.bridge;
    const payload = notice.payload();
    if (payload.len != abi.TRANSFER_SIZE) return error.WrongNotice;
    var header: [constants.BODY_SIZE]u8 = undefined;
    message.writeHeader(&header, &.{
        .kind = constants.KIND_MESSAGE,
        .origin = inbox.body.origin(),
        .destination = &bridge.origin,
        .sequence = inbox.body.sequence(),
        .sender = &authority.account.key,
        .recipient = &token.evm_bridge,
        .expiry = expiry,
        .payload_size = abi.TRANSFER_SIZE,
    });
    var digest: [32]u8 = undefined;
    runtime.keccak(&.{ Slice.of(&constants.DOMAIN_MESSAGE), Slice.of(&header), Slice.of(payload) }, &digest);
    if (!runtime.equal(&digest, notice.digest())) return error.WrongNotice;
    return abi.parseSent(payload, &bridge.chain_reference);
}
