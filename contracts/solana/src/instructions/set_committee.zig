//! set_committee: the authority replaces a committee that can no longer sign. Its key, too, counts only after the activation delay.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const frost = @import("../frost.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const Accounts = struct { payer: *Account, config: *account.Config, previous: *account.Committee, next: *Account, system: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(5);
    try list[1].requireWritable();
    const config = try account.openConfig(invocation, list[1]);
    try account.requireAuthority(config, list[0]);
    try list[2].requireWritable();
    const previous = try account.openCommittee(invocation, list[2], config.current_epoch);
    return .{ .payer = list[0], .config = config, .previous = previous, .next = list[3], .system = list[4] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const epoch = try arguments.int(u32);
    const overlap = try arguments.int(u32);
    const parity = try arguments.int(u8);
    const key = frost.GroupKey{ .parity = parity, .x = try arguments.array(32) };
    const possession = try arguments.array(frost.SIGNATURE_SIZE);
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    if (accounts.config.current_epoch == 0xffff_ffff or epoch != accounts.config.current_epoch + 1) return error.WrongEpoch;
    try frost.verifyPossession(epoch, key, possession);

    const seeds = [_]Slice{ Slice.of(constants.SEED_COMMITTEE), Slice.of(account.bytesOf(&epoch)) };
    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.next,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = &bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const committee = try account.create(account.Committee, invocation, &creation, 0);
    const valid_from = try runtime.add(try runtime.now(), accounts.config.activation_delay);
    committee.epoch = epoch;
    committee.valid_from = valid_from;
    committee.group_key_parity = key.parity;
    committee.group_key_x = key.x.*;
    accounts.previous.valid_until = try runtime.add(valid_from, overlap);
    accounts.config.current_epoch = epoch;
}
