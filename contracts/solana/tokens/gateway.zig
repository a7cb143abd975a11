//! What this program does with Sibyl: reads an inbox account that is meant for the bridge, closes it, and sends messages in the
//! bridge authority's name. Sibyl checked signature, origin and replay before it wrote an inbox account; who wrote it, and to and
//! from whom it is, is checked here.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const message = sibyl.message;
const runtime = sibyl.runtime;
const state = @import("state.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Slice = runtime.Slice;

/// The bridge authority's account, and what it holds.
pub const Authority = struct { account: *Account, bridge: *const state.Bridge };

/// An inbox account that was believed, and the accounts that close it.
pub const Inbox = struct {
    account: *Account,
    payer: *Account,
    program: *Account,
    digest: *const [32]u8,
    body: message.Body,
};

/// Reads an inbox account: written by Sibyl, to the bridge authority, and either a message of a user's kind from the linked gateway, or
/// Sibyl's own word that a message of the bridge authority was not delivered.
pub fn readInbox(authority: *const Authority, account: *Account, payer: *Account, program: *Account) Error!Inbox {
    const bridge = authority.bridge;
    if (!runtime.equal(&program.key, &bridge.sibyl)) return error.WrongAddress;
    try account.requireWritable();
    try payer.requireWritable();
    const inbox = try sibyl.account.openWithBody(sibyl.account.Inbox, &bridge.sibyl, account);
    const body = try message.parseBody(sibyl.account.bodyOf(sibyl.account.Inbox, account));
    switch (body.kind()) {
        constants.KIND_MESSAGE => if (!message.samePlace(body.origin(), &bridge.origin)) return error.WrongOrigin,
        constants.KIND_NON_DELIVERY => {
            var home: message.Place = undefined;
            message.writePlace(&home, &bridge.chain_reference, &bridge.sibyl);
            if (!message.samePlace(body.origin(), &home)) return error.WrongOrigin;
            if (!runtime.equal(body.sender(), &bridge.sibyl)) return error.WrongOrigin;
        },
        else => return error.UnknownKind,
    }
    if (!runtime.equal(body.recipient(), &authority.account.key)) return error.WrongBridge;
    return .{ .account = account, .payer = payer, .program = program, .digest = &inbox.digest, .body = body };
}

/// That the inbox account holds a message of this kind.
pub fn requireKind(inbox: *const Inbox, kind: u8) Error!void {
    if (inbox.body.kind() != kind) return error.UnknownKind;
}

/// Sibyl gives the rent back to its payer and keeps the replay bit. Views into the inbox account end here.
pub fn closeInbox(authority: *const Authority, inbox: *const Inbox) Error!void {
    const accounts = [_]*Account{ authority.account, inbox.account, inbox.payer };
    try runtime.invoke(&.{
        .program_id = &authority.bridge.sibyl,
        .accounts = &accounts,
        .signers = 0b001,
        .data = &.{constants.INSTRUCTION_CLOSE_INBOX},
        .derivation = state.authorityOf(authority.bridge),
    });
}

/// The accounts and arguments of Sibyl's `send`.
pub const Post = struct {
    payer: *Account,
    program: *Account,
    config: *Account,
    outbox: *Account,
    peer: *Account,
    system: *Account,
    outbox_bump: u8,
    sequence: u64,
    /// Unix seconds; 0: never.
    expiry: u64,
};

/// Sends `payload` (at most 512 bytes) to a contract of the linked chain. `payer` pays the rent of the outbox account beforehand, so
/// that the bridge authority, which holds data and can pay nobody, has nothing to pay.
pub fn send(authority: *const Authority, post: *const Post, recipient: *const [32]u8, payload: []const u8) Error!void {
    const bridge = authority.bridge;
    try post.payer.requirePayer();
    if (!runtime.equal(&post.program.key, &bridge.sibyl)) return error.WrongAddress;
    const rent = try runtime.rentMinimum(constants.OUTBOX_ACCOUNT_SIZE + constants.BODY_SIZE + payload.len);
    if (post.outbox.lamports < rent) try runtime.transfer(post.payer, post.outbox, rent - post.outbox.lamports);

    const HEAD = 1 + 1 + 8 + 8 + message.PLACE_SIZE + 32 + 2;
    var data: [HEAD + 512]u8 = undefined;
    data[0] = constants.INSTRUCTION_SEND;
    data[1] = post.outbox_bump;
    @as(*align(1) u64, @ptrCast(data[2..10])).* = post.sequence;
    @as(*align(1) u64, @ptrCast(data[10..18])).* = post.expiry;
    @as(*align(1) u16, @ptrCast(data[18..20])).* = message.chainType(&bridge.origin);
    data[20..84].* = bridge.origin[2..66].*;
    data[84..116].* = recipient.*;
    @as(*align(1) u16, @ptrCast(data[116..118])).* = @intCast(payload.len);
    @memcpy(data[HEAD..][0..payload.len], payload);
    const accounts = [_]*Account{ authority.account, post.config, post.outbox, post.peer, post.system };
    try runtime.invoke(&.{
        .program_id = &bridge.sibyl,
        .accounts = &accounts,
        .signers = 0b00001,
        .data = data[0 .. HEAD + payload.len],
        .derivation = state.authorityOf(bridge),
    });
}

/// Sibyl gives the rent of a post to its sender, the bridge authority, which signs for it.
pub fn closeOutbox(authority: *const Authority, outbox: *Account) Error!void {
    const accounts = [_]*Account{ outbox, authority.account };
    try runtime.invoke(&.{
        .program_id = &authority.bridge.sibyl,
        .accounts = &accounts,
        .signers = 0b10,
        .data = &.{constants.INSTRUCTION_CLOSE_OUTBOX},
        .derivation = state.authorityOf(authority.bridge),
    });
}
