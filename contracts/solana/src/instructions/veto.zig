//! veto: the authority removes the newest committee epoch before it begins. The one before has no end again, and its successor will have
//! the removed one's number.

const account = @import("../account.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const FIRST_EPOCH: u32 = 1;
const NO_END: u64 = 0;

const Accounts = struct {
    config: *account.Config,
    previous: *account.Committee,
    vetoed_account: *Account,
    vetoed: *account.Committee,
    receiver: *Account,
};

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(5);
    try list[0].requireSigner();
    try list[1].requireWritable();
    const config = try account.openConfig(invocation, list[1]);
    if (!runtime.equal(&config.authority, &list[0].key)) return error.NotAuthority;
    if (config.current_epoch == FIRST_EPOCH) return error.WrongEpoch;
    try list[2].requireWritable();
    const previous = try account.openCommittee(invocation, list[2], config.current_epoch - 1);
    try list[3].requireWritable();
    const vetoed = try account.openCommittee(invocation, list[3], config.current_epoch);
    try list[4].requireWritable();
    return .{ .config = config, .previous = previous, .vetoed_account = list[3], .vetoed = vetoed, .receiver = list[4] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    if (try runtime.now() >= accounts.vetoed.valid_from) return error.AlreadyBegun;
    accounts.previous.valid_until = NO_END;
    accounts.config.current_epoch -= 1;
    try runtime.close(accounts.vetoed_account, accounts.receiver);
}
