//! initialise: links this program to one Sibyl program and one EVM chain's factory. Only the program's upgrade authority may call it,
//! so that nobody can front-run a deployment; it becomes the governance authority.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const message = sibyl.message;
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const Accounts = struct { payer: *Account, bridge: *Account, program: *Account, config: *sibyl.account.Config, system: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(6);
    try list[0].requirePayer();
    try sibyl.authority.requireUpgradeAuthority(invocation, list[0], list[2]);
    if (list[3].executable == 0) return error.WrongAddress;
    // Opened as the Sibyl program itself does, in its name.
    const theirs = Invocation{ .program_id = &list[3].key, .count = 0, .data = &.{}, .list = undefined };
    const config = try sibyl.account.openConfig(&theirs, list[4]);
    return .{ .payer = list[0], .bridge = list[1], .program = list[3], .config = config, .system = list[5] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const origin = try arguments.array(message.PLACE_SIZE);
    const factory = try arguments.array(32);
    const native_hash = try arguments.array(32);
    const wrapped_hash = try arguments.array(32);
    const guardian = try arguments.array(32);
    const queue_delay = try arguments.int(u32);
    const governance_delay = try arguments.int(u32);
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    message.checkPlace(origin) catch return error.InvalidSetting;
    if (message.chainType(origin) != constants.CHAIN_TYPE_EIP155 or runtime.isZero(origin[34..66])) return error.InvalidSetting;
    message.checkAddress(constants.CHAIN_TYPE_EIP155, factory) catch return error.InvalidSetting;
    if (runtime.isZero(factory) or runtime.isZero(native_hash) or runtime.isZero(wrapped_hash) or runtime.isZero(guardian)) return error.InvalidSetting;
    if (runtime.equal(native_hash, wrapped_hash)) return error.InvalidSetting; // one salt would be two tokens' bridge

    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.bridge,
        .system = accounts.system,
        .derivation = .{ .seeds = &state.BRIDGE_SEEDS, .bump = &bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const bridge = try sibyl.account.create(state.Bridge, invocation, &creation, 0);
    bridge.queue_delay = queue_delay;
    bridge.governance_delay = governance_delay;
    bridge.sibyl = accounts.program.key;
    bridge.origin = origin.*;
    runtime.keccak(&.{Slice.of(origin)}, &bridge.origin_hash);
    bridge.chain_reference = accounts.config.chain_reference;
    bridge.factory = factory.*;
    bridge.native_init_code_hash = native_hash.*;
    bridge.wrapped_init_code_hash = wrapped_hash.*;
    bridge.authority = accounts.payer.key;
    bridge.guardian = guardian.*;
}
