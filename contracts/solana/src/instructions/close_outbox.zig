//! close_outbox: gives the rent of a settled request, or of a posted message, back to who posted it. A pending request is
//! never closed here (see refund). Only the sender may close a posted message: it alone knows that nobody needs it any more; one with an expiry stays until then.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { outbox_account: *Account, outbox: *account.Outbox, sender: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(2);
    const outbox = try account.openOutbox(invocation, list[0]);
    try list[1].requireWritable();
    if (!runtime.equal(&list[1].key, &outbox.sender)) return error.WrongRequester;
    return .{ .outbox_account = list[0], .outbox = outbox, .sender = list[1] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    switch (accounts.outbox.state) {
        constants.OUTBOX_ANSWERED, constants.OUTBOX_REFUSED => {},
        constants.OUTBOX_POSTED => {
            try accounts.sender.requireSigner();
            // Until then nodes still read it, and after it whoever proves what a non-delivery is about may.
            if (accounts.outbox.expiry != 0 and try runtime.now() <= accounts.outbox.expiry) return error.TooEarly;
        },
        else => return error.NotPending,
    }
    try runtime.close(accounts.outbox_account, accounts.sender);
}
