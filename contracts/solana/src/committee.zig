//! How the next committee epoch begins, whoever brings its key: a rotation that the committee signed, or the authority. Its signatures
//! count after the activation delay, in which the authority can veto it; those of the one before for a while longer.

const account = @import("account.zig");
const constants = @import("generated/constants.zig");
const frost = @import("frost.zig");
const runtime = @import("runtime.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const LAST_EPOCH: u32 = 0xffff_ffff;

/// The epoch to create. `overlap`: seconds for which the previous one is taken after this one begins.
pub const Next = struct {
    payer: *Account,
    config: *account.Config,
    previous: *account.Committee,
    account: *Account,
    system: *Account,
    bump: *const u8,
    epoch: u32,
    overlap: u32,
    key: frost.GroupKey,
    possession: *const [frost.SIGNATURE_SIZE]u8,
};

/// Creates it. `previous` is the newest epoch, which has no end yet; one that has not begun itself must begin or be vetoed first, so that
/// there is never more than one pending.
pub noinline fn create(invocation: *const Invocation, next: *const Next) Error!void {
    const config = next.config;
    if (config.current_epoch == LAST_EPOCH or next.epoch != config.current_epoch + 1) return error.WrongEpoch;
    const now = try runtime.now();
    if (now < next.previous.valid_from) return error.PendingEpoch;
    try frost.verifyPossession(next.epoch, next.key, next.possession);

    const seeds = [_]Slice{ Slice.of(constants.SEED_COMMITTEE), Slice.of(account.bytesOf(&next.epoch)) };
    var creation = runtime.Creation{
        .payer = next.payer,
        .account = next.account,
        .system = next.system,
        .derivation = .{ .seeds = &seeds, .bump = next.bump },
        .size = 0,
        .escrow = 0,
    };
    const committee = try account.create(account.Committee, invocation, &creation, 0);
    committee.epoch = next.epoch;
    committee.valid_from = try runtime.add(now, config.activation_delay);
    committee.group_key_parity = next.key.parity;
    committee.group_key_x = next.key.x.*;
    next.previous.valid_until = try runtime.add(committee.valid_from, next.overlap);
    config.current_epoch = next.epoch;
}
