//! initialise: creates the configuration and the first committee. Only the program's upgrade authority may call it, so that
//! nobody can front-run a deployment.

const account = @import("../account.zig");
const authority = @import("../authority.zig");
const constants = @import("../generated/constants.zig");
const frost = @import("../frost.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const FIRST_EPOCH: u32 = 1;
const FIRST_SEQUENCE: u64 = 1;

const Accounts = struct { payer: *Account, config: *Account, committee: *Account, system: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(5);
    try list[0].requirePayer();
    try authority.requireUpgradeAuthority(invocation, list[0], list[3]);
    return .{ .payer = list[0], .config = list[1], .committee = list[2], .system = list[4] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const config_bump = try arguments.array(1);
    const committee_bump = try arguments.array(1);
    const activation_delay = try arguments.int(u32);
    const chain_reference = try arguments.array(32);
    const treasury = try arguments.array(32);
    const parity = try arguments.int(u8);
    const key = frost.GroupKey{ .parity = parity, .x = try arguments.array(32) };
    const possession = try arguments.array(frost.SIGNATURE_SIZE);
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    if (runtime.isZero(treasury) or runtime.isZero(chain_reference)) return error.InvalidSetting;
    try frost.verifyPossession(FIRST_EPOCH, key, possession);

    const config_seeds = [_]Slice{Slice.of(constants.SEED_CONFIG)};
    var config_creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.config,
        .system = accounts.system,
        .derivation = .{ .seeds = &config_seeds, .bump = &config_bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const config = try account.create(account.Config, invocation, &config_creation, 0);
    config.current_epoch = FIRST_EPOCH;
    config.next_sequence = FIRST_SEQUENCE;
    config.activation_delay = activation_delay;
    config.authority = accounts.payer.key;
    config.treasury = treasury.*;
    config.chain_reference = chain_reference.*;

    const epoch = FIRST_EPOCH;
    const committee_seeds = [_]Slice{ Slice.of(constants.SEED_COMMITTEE), Slice.of(account.bytesOf(&epoch)) };
    var committee_creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.committee,
        .system = accounts.system,
        .derivation = .{ .seeds = &committee_seeds, .bump = &committee_bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const committee = try account.create(account.Committee, invocation, &committee_creation, 0);
    committee.epoch = FIRST_EPOCH;
    committee.valid_from = try runtime.now();
    committee.group_key_parity = key.parity;
    committee.group_key_x = key.x.*;
}
