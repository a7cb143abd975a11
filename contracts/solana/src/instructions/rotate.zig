//! rotate: takes a delivered rotation and creates the committee epoch that it brings. Anyone may call it. What counts was signed by the
//! committee: the instruction has no arguments but a bump. The inbox account goes with it, and the replay bit stays.

const account = @import("../account.zig");
const committee = @import("../committee.zig");
const constants = @import("../generated/constants.zig");
const message = @import("../message.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct {
    payer: *Account,
    config: *account.Config,
    inbox_account: *Account,
    inbox: *account.Inbox,
    inbox_payer: *Account,
    previous: *account.Committee,
    next: *Account,
    system: *Account,
};

fn validateAccounts(invocation: *const Invocation, out: *Accounts) Error!void {
    const list = try invocation.accounts(7);
    try list[0].requirePayer();
    out.payer = list[0];
    try list[1].requireWritable();
    out.config = try account.openConfig(invocation, list[1]);
    out.inbox_account = list[2];
    out.inbox = try account.openInbox(invocation, list[2]);
    try list[3].requireWritable();
    if (!runtime.equal(&list[3].key, &out.inbox.payer)) return error.WrongPayer;
    out.inbox_payer = list[3];
    try list[4].requireWritable();
    out.previous = try account.openCommittee(invocation, list[4], out.config.current_epoch);
    out.next = list[5];
    out.system = list[6];
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    try arguments.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &accounts);
    if (accounts.inbox.kind != constants.KIND_ROTATION) return error.NotRotation;
    const body = try message.parseBody(account.bodyOf(account.Inbox, accounts.inbox_account));
    const rotation = try message.parseRotation(body);
    try committee.create(invocation, &.{
        .payer = accounts.payer,
        .config = accounts.config,
        .previous = accounts.previous,
        .account = accounts.next,
        .system = accounts.system,
        .bump = &bump[0],
        .epoch = rotation.epoch(),
        .overlap = rotation.overlap(),
        .key = .{ .x = rotation.groupKeyX(), .parity = rotation.groupKeyParity() },
        .possession = rotation.proofOfPossession(),
    });
    // Last: the runtime refuses a call while lamports are between two accounts.
    try runtime.close(accounts.inbox_account, accounts.inbox_payer);
}
