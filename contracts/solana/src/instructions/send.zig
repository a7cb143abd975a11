//! send: posts a KIND_MESSAGE to a registered peer. The message stays in its outbox account for the readers.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const message = @import("../message.zig");
const outbox = @import("../outbox.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { sender: *Account, config: *account.Config, outbox: *Account, system: *Account };

fn validateAccounts(invocation: *const Invocation, destination: *const message.Place) Error!Accounts {
    const list = try invocation.accounts(5);
    try list[0].requirePayer();
    try list[1].requireWritable();
    const config = try account.openConfig(invocation, list[1]);
    try list[2].requireWritable();
    try account.requirePeer(invocation, list[3], destination);
    return .{ .sender = list[0], .config = config, .outbox = list[2], .system = list[4] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const sequence = try arguments.int(u64);
    const expiry = try arguments.int(u64);
    const chain_type = try arguments.int(u16);
    var destination: message.Place = undefined;
    runtime.writeBig(u16, destination[0..2], chain_type);
    destination[2..34].* = (try arguments.array(32)).*;
    destination[34..66].* = (try arguments.array(32)).*;
    const recipient = try arguments.array(32);
    const payload_size = try arguments.int(u16);
    const payload = try arguments.take(payload_size);
    try arguments.finish();
    try checkExpiry(expiry, payload_size);
    try message.checkPlace(&destination);
    try message.checkAddress(chain_type, recipient);
    if (runtime.isZero(recipient)) return error.WrongRecipient;
    const accounts = try validateAccounts(invocation, &destination);

    var home: message.Place = undefined;
    message.writePlace(&home, &accounts.config.chain_reference, invocation.program_id);
    const room = try outbox.open(invocation, &.{
        .sender = accounts.sender,
        .config = accounts.config,
        .outbox = accounts.outbox,
        .system = accounts.system,
        .bump = &bump[0],
        .sequence = sequence,
        .kind = constants.KIND_MESSAGE,
        .state = constants.OUTBOX_POSTED,
        .destination = &destination,
        .origin = &home,
        .recipient = recipient,
        .expiry = expiry,
        .fee = 0,
        .payload_size = payload_size,
    });
    @memcpy(room, payload);
    outbox.seal(accounts.outbox);
}

/// An expiry lies ahead, and leaves room for the notice of a non-delivery, which repeats the payload.
fn checkExpiry(expiry: u64, payload_size: u16) Error!void {
    if (expiry == 0) return;
    if (expiry <= try runtime.now()) return error.DeadlinePassed;
    if (payload_size > constants.MAX_PAYLOAD_SIZE - constants.NON_DELIVERY_SIZE) return error.PayloadTooLarge;
}
