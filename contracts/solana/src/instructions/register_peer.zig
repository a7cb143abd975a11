//! register_peer: the authority trusts an origin gateway (and allows it as a destination), or stops trusting it.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const message = @import("../message.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const Accounts = struct { payer: *Account, config: *account.Config, peer: *Account, system: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(4);
    const config = try account.openConfig(invocation, list[1]);
    try account.requireAuthority(config, list[0]);
    try list[2].requireWritable();
    return .{ .payer = list[0], .config = config, .peer = list[2], .system = list[3] };
}

/// The instruction's data, as it stands.
const Arguments = extern struct { bump: u8, active: u8, origin: message.Place };

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    const arguments = try reader.whole(Arguments);
    const origin = &arguments.origin;
    const accounts = try validateAccounts(invocation);
    message.checkPlace(origin) catch return error.InvalidPeer;
    var home: message.Place = undefined;
    message.writePlace(&home, &accounts.config.chain_reference, invocation.program_id);
    if (arguments.active > 1 or runtime.isZero(origin[34..66]) or message.samePlace(origin, &home)) return error.InvalidPeer;

    const peer = try openOrCreate(invocation, &accounts, origin, &arguments.bump);
    peer.active = arguments.active;
    peer.origin = origin.*;
}

fn openOrCreate(invocation: *const Invocation, accounts: *const Accounts, origin: *const message.Place, bump: *const u8) Error!*account.Peer {
    if (runtime.equal(&accounts.peer.owner, invocation.program_id)) return account.openPeer(invocation, accounts.peer, origin);
    var hash: [32]u8 = undefined;
    runtime.keccak(&.{Slice.of(origin)}, &hash);
    const seeds = [_]Slice{ Slice.of(constants.SEED_PEER), Slice.of(&hash) };
    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.peer,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = bump },
        .size = 0,
        .escrow = 0,
    };
    return account.create(account.Peer, invocation, &creation, 0);
}
