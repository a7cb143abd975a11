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

/// The instruction's data, as it stands.
const Arguments = extern struct {
    config_bump: u8,
    committee_bump: u8,
    activation_delay: u32 align(1),
    chain_reference: [32]u8,
    treasury: [32]u8,
    parity: u8,
    key_x: [32]u8,
    possession: [frost.SIGNATURE_SIZE]u8,
};

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    const arguments = try reader.whole(Arguments);
    const accounts = try validateAccounts(invocation);
    if (runtime.isZero(&arguments.treasury) or runtime.isZero(&arguments.chain_reference)) return error.InvalidSetting;
    const key = frost.GroupKey{ .parity = arguments.parity, .x = &arguments.key_x };
    try frost.verifyPossession(FIRST_EPOCH, key, &arguments.possession);

    const config_seeds = [_]Slice{Slice.of(constants.SEED_CONFIG)};
    var config_creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.config,
        .system = accounts.system,
        .derivation = .{ .seeds = &config_seeds, .bump = &arguments.config_bump },
        .size = 0,
        .escrow = 0,
    };
    const config = try account.create(account.Config, invocation, &config_creation, 0);
    config.current_epoch = FIRST_EPOCH;
    config.next_sequence = FIRST_SEQUENCE;
    config.activation_delay = arguments.activation_delay;
    config.authority = accounts.payer.key;
    config.treasury = arguments.treasury;
    config.chain_reference = arguments.chain_reference;

    const epoch = FIRST_EPOCH;
    const committee_seeds = [_]Slice{ Slice.of(constants.SEED_COMMITTEE), Slice.of(account.bytesOf(&epoch)) };
    var committee_creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.committee,
        .system = accounts.system,
        .derivation = .{ .seeds = &committee_seeds, .bump = &arguments.committee_bump },
        .size = 0,
        .escrow = 0,
    };
    const committee = try account.create(account.Committee, invocation, &committee_creation, 0);
    committee.epoch = FIRST_EPOCH;
    committee.valid_from = try runtime.now();
    committee.group_key_parity = key.parity;
    committee.group_key_x = key.x.*;
}
