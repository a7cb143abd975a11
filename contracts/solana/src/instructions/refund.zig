//! refund: after the deadline of an unanswered request, its fee and rent go to the requester. Anyone may call it. A delivery is
//! taken until the deadline and a refund only after it, so that never both happen.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { outbox_account: *Account, outbox: *account.Outbox, requester: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(2);
    const outbox = try account.openOutbox(invocation, list[0]);
    try list[1].requireWritable();
    if (!runtime.equal(&list[1].key, &outbox.sender)) return error.WrongRequester;
    return .{ .outbox_account = list[0], .outbox = outbox, .requester = list[1] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    if (accounts.outbox.state != constants.OUTBOX_PENDING) return error.NotPending;
    if (try runtime.now() <= accounts.outbox.expiry) return error.TooEarly;
    try runtime.close(accounts.outbox_account, accounts.requester);
}
