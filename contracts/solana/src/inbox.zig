//! What every delivery ends with, whether a signature or a proof stands behind it: the replay bit of (origin, sequence), and the inbox account.

const account = @import("account.zig");
const constants = @import("generated/constants.zig");
const message = @import("message.zig");
const runtime = @import("runtime.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

/// A message that may be delivered, and where.
pub const Delivery = struct {
    payer: *Account,
    replay: *Account,
    inbox: *Account,
    system: *Account,
    inbox_bump: *const u8,
    replay_bump: *const u8,
    body: message.Body,
    digest: *const [32]u8,
    /// Unix seconds.
    time: u64,
    /// Of the committee that signed; 0: none did.
    epoch: u32,
};

/// Takes it, unless one of its origin and sequence was taken before; returns its digest to the caller.
pub noinline fn receive(invocation: *const Invocation, delivery: *const Delivery) Error!void {
    try mark(invocation, delivery);
    try write(invocation, delivery);
}

/// Sets the bit of (origin, sequence); the first delivery in a window creates its bitmap.
fn mark(invocation: *const Invocation, delivery: *const Delivery) Error!void {
    const body = delivery.body;
    var origin_hash: [32]u8 = undefined;
    runtime.keccak(&.{Slice.of(body.origin())}, &origin_hash);
    const window = body.sequence() / constants.REPLAY_WINDOW;
    const bit: usize = @intCast(body.sequence() % constants.REPLAY_WINDOW);
    const replay = try openOrCreateReplay(invocation, delivery, &origin_hash, &window);
    const mask = @as(u8, 1) << @intCast(bit % 8);
    const cell = &replay.bitmap[bit / 8];
    if (cell.* & mask != 0) return error.AlreadyDelivered;
    cell.* |= mask;
}

fn openOrCreateReplay(invocation: *const Invocation, delivery: *const Delivery, origin_hash: *const [32]u8, window: *const u64) Error!*account.Replay {
    if (runtime.equal(&delivery.replay.owner, invocation.program_id)) {
        return account.openReplay(invocation, delivery.replay, origin_hash, window);
    }
    const seeds = [_]Slice{ Slice.of(constants.SEED_REPLAY), Slice.of(origin_hash), Slice.of(account.bytesOf(window)) };
    var creation = runtime.Creation{
        .payer = delivery.payer,
        .account = delivery.replay,
        .system = delivery.system,
        .derivation = .{ .seeds = &seeds, .bump = delivery.replay_bump },
        .size = 0,
        .escrow = 0,
    };
    const replay = try account.create(account.Replay, invocation, &creation, 0);
    replay.window = window.*;
    return replay;
}

fn write(invocation: *const Invocation, delivery: *const Delivery) Error!void {
    const body = delivery.body.bytes;
    const seeds = [_]Slice{ Slice.of(constants.SEED_INBOX), Slice.of(delivery.digest) };
    var creation = runtime.Creation{
        .payer = delivery.payer,
        .account = delivery.inbox,
        .system = delivery.system,
        .derivation = .{ .seeds = &seeds, .bump = delivery.inbox_bump },
        .size = 0,
        .escrow = 0,
    };
    const inbox = try account.create(account.Inbox, invocation, &creation, body.len);
    inbox.kind = delivery.body.kind();
    inbox.body_size = @intCast(body.len);
    inbox.delivered_at = delivery.time;
    inbox.epoch = delivery.epoch;
    inbox.payer = delivery.payer.key;
    inbox.digest = delivery.digest.*;
    @memcpy(account.bodyOf(account.Inbox, delivery.inbox), body);
    runtime.setReturnData(delivery.digest);
}
