//! set_committee: the authority replaces a committee that can no longer sign. The new key counts after the activation delay, as after a
//! rotation.

const account = @import("../account.zig");
const committee = @import("../committee.zig");
const frost = @import("../frost.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

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
    try committee.create(invocation, &.{
        .payer = accounts.payer,
        .config = accounts.config,
        .previous = accounts.previous,
        .account = accounts.next,
        .system = accounts.system,
        .bump = &bump[0],
        .epoch = epoch,
        .overlap = overlap,
        .key = key,
        .possession = possession,
    });
}
