//! close_inbox: gives an inbox account's rent back to who paid it. The recipient (of a result: the consumer) may close it at
//! once (a rotation is addressed to the program, and only `rotate` closes it); a result also its payer, after the expiry. A message is closed by its recipient alone, since it may carry value that is not
//! taken yet. The replay bitmap stays, so a closed message cannot be delivered again.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const message = @import("../message.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { closer: *Account, inbox_account: *Account, inbox: *account.Inbox, payer: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(3);
    try list[0].requireSigner();
    const inbox = try account.openInbox(invocation, list[1]);
    try list[2].requireWritable();
    if (!runtime.equal(&list[2].key, &inbox.payer)) return error.WrongPayer;
    return .{ .closer = list[0], .inbox_account = list[1], .inbox = inbox, .payer = list[2] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    const body = message.Body{ .bytes = account.bodyOf(account.Inbox, accounts.inbox_account) };
    if (!runtime.equal(&accounts.closer.key, try receiverOf(body))) try requirePayerAfterExpiry(&accounts, body);
    try runtime.close(accounts.inbox_account, accounts.payer);
}

fn requirePayerAfterExpiry(accounts: *const Accounts, body: message.Body) Error!void {
    if (body.kind() != constants.KIND_INFERENCE_RESULT) return error.MissingSignature;
    if (!runtime.equal(&accounts.closer.key, &accounts.inbox.payer)) return error.WrongPayer;
    if (body.expiry() == 0 or try runtime.now() <= body.expiry()) return error.TooEarly;
}

fn receiverOf(body: message.Body) Error!*const [32]u8 {
    if (body.kind() != constants.KIND_INFERENCE_RESULT) return body.recipient();
    return (try message.parseResult(body)).consumer();
}
