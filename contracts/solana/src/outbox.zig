//! Posting: takes the next sequence, creates the outbox account and writes the body's header into it. `send` and `request`
//! write their payload, then `seal` stores the digest.

const account = @import("account.zig");
const constants = @import("generated/constants.zig");
const message = @import("message.zig");
const runtime = @import("runtime.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

/// What is posted; the sequence is the caller's expectation of the next one.
pub const Post = struct {
    sender: *Account,
    config: *account.Config,
    outbox: *Account,
    system: *Account,
    bump: *const u8,
    sequence: u64,
    kind: u8,
    state: u8,
    destination: *const message.Place,
    origin: *const message.Place,
    recipient: *const [32]u8,
    expiry: u64,
    fee: u64,
    payload_size: u16,
};

/// Creates the outbox account with the header written; returns the room for the payload.
pub fn open(invocation: *const Invocation, post: *const Post) Error![]u8 {
    const config = post.config;
    if (post.sequence != config.next_sequence) return error.WrongSequence;
    if (post.payload_size > constants.MAX_PAYLOAD_SIZE) return error.PayloadTooLarge;
    const seeds = [_]Slice{ Slice.of(constants.SEED_OUTBOX), Slice.of(account.bytesOf(&post.sequence)) };
    var creation = runtime.Creation{
        .payer = post.sender,
        .account = post.outbox,
        .system = post.system,
        .derivation = .{ .seeds = &seeds, .bump = post.bump },
        .size = 0,
        .escrow = post.fee,
    };
    const body_size = constants.BODY_SIZE + @as(usize, post.payload_size);
    const outbox = try account.create(account.Outbox, invocation, &creation, body_size);
    outbox.state = post.state;
    outbox.body_size = @intCast(body_size);
    outbox.sequence = post.sequence;
    outbox.fee = post.fee;
    outbox.expiry = post.expiry;
    outbox.sender = post.sender.key;
    config.next_sequence = try runtime.add(config.next_sequence, 1);

    const body = account.bodyOf(account.Outbox, post.outbox);
    message.writeHeader(body[0..constants.BODY_SIZE], &.{
        .kind = post.kind,
        .origin = post.origin,
        .destination = post.destination,
        .sequence = post.sequence,
        .sender = &post.sender.key,
        .recipient = post.recipient,
        .expiry = post.expiry,
        .payload_size = post.payload_size,
    });
    return body[constants.BODY_SIZE..];
}

/// Stores the digest of the finished body and returns it to the caller (also to a program that called this one).
pub fn seal(outbox: *Account) void {
    const view: *account.Outbox = @ptrCast(@alignCast(outbox.data().ptr));
    const body = message.Body{ .bytes = account.bodyOf(account.Outbox, outbox) };
    body.digest(&view.digest);
    runtime.setReturnData(&view.digest);
}
