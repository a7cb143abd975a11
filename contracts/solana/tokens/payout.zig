//! Paying a recipient: mints a wrapped token or releases a native one to the recipient's associated token account, which it creates
//! when its accounts are given. Used by redeem, refund and release; they have decided before that the amount is due.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const gateway = @import("gateway.zig");
const limits = @import("limits.zig");
const spl = @import("spl.zig");
const state = @import("state.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Pubkey = runtime.Pubkey;

/// What creates the associated account.
const Creation = struct { owner: *Account, associated: *Account, system: *Account };

pub const Accounts = struct {
    payer: *Account,
    mint: *Account,
    vault: *Account,
    target: *Account,
    program: *Account,
    creation: ?Creation,
};

/// From mint, vault, target and token program, then either nothing or owner, associated-token program and system program.
pub fn accountsOf(payer: *Account, list: []const *Account) Error!Accounts {
    if (list.len != 4 and list.len != 7) return error.WrongAccountCount;
    return .{
        .payer = payer,
        .mint = list[0],
        .vault = list[1],
        .target = list[2],
        .program = list[3],
        .creation = if (list.len == 7) .{ .owner = list[4], .associated = list[5], .system = list[6] } else null,
    };
}

/// Pays `amount` wire units to the associated account of `recipient`, but for `fee` of them to the fee account where there is one. Counters
/// first, calls after.
pub fn pay(
    invocation: *const Invocation,
    authority: *const gateway.Authority,
    token: *state.Token,
    accounts: *const Accounts,
    due: *const Due,
) Error!void {
    if (!runtime.equal(&accounts.mint.key, &token.mint)) return error.WrongMint;
    if (!runtime.equal(&accounts.program.key, &token.token_program)) return error.WrongTokenProgram;
    try requireRecipient(authority, &due.recipient);
    try spl.requireAssociated(accounts.target, &due.recipient, &token.token_program, &token.mint, due.bump);
    if (accounts.creation) |creation| try create(accounts, &creation, &due.recipient);
    if (token.isNative()) {
        try state.requireVault(invocation, accounts.vault, token);
        token.outstanding = try limits.shrink(token.outstanding, due.amount);
    } else {
        if (!runtime.equal(&accounts.vault.key, &token.mint)) return error.WrongVault;
        token.outstanding = try limits.grow(token.outstanding, due.amount, token.cap);
    }
    const fee = if (due.fee_account == null) 0 else due.fee;
    if (due.fee_account) |account| {
        if (fee != 0) try move(authority, token, accounts, &.{ .target = account, .owner = &accounts.payer.key, .amount = fee });
    }
    try move(authority, token, accounts, &.{ .target = accounts.target, .owner = &due.recipient, .amount = due.amount - fee });
}

const Payment = struct { target: *Account, owner: *const Pubkey, amount: u64 };

/// Releases or mints to one token account, which must have got exactly that.
fn move(authority: *const gateway.Authority, token: *const state.Token, accounts: *const Accounts, payment: *const Payment) Error!void {
    const units = try token.unitsOf(payment.amount);
    const amount = spl.Amount{ .units = units, .decimals = token.native_decimals };
    const mover = spl.Mover{ .account = authority.account, .derivation = state.authorityOf(authority.bridge) };
    const before = try spl.checkAccount(payment.target, &token.token_program, &token.mint, payment.owner);
    if (token.isNative()) {
        try spl.transfer(&token.token_program, accounts.vault, accounts.mint, payment.target, &mover, amount);
    } else {
        try spl.mintTo(&token.token_program, accounts.mint, payment.target, &mover, amount);
    }
    const after = try spl.checkAccount(payment.target, &token.token_program, &token.mint, payment.owner);
    if (after != try runtime.add(before, units)) return error.NotExact;
}

/// What is due to whom, copied out of the account that said so. `fee` (less than `amount`) goes to `fee_account`, a token account of the
/// payer; without one, all goes to the recipient.
pub const Due = struct {
    recipient: Pubkey,
    amount: u64,
    bump: *const [1]u8,
    fee: u64 = 0,
    fee_account: ?*Account = null,
};

/// The bridge authority owns vaults, and what is paid to it is locked for good.
pub fn requireRecipient(authority: *const gateway.Authority, recipient: *const Pubkey) Error!void {
    if (runtime.isZero(recipient) or runtime.equal(recipient, &authority.account.key)) return error.ForbiddenRecipient;
}

fn create(accounts: *const Accounts, creation: *const Creation, recipient: *const Pubkey) Error!void {
    if (!runtime.equal(&creation.owner.key, recipient)) return error.WrongAddress;
    if (!runtime.equal(&creation.associated.key, &spl.ASSOCIATED)) return error.WrongTokenProgram;
    try accounts.payer.requirePayer();
    try spl.createAssociated(&.{
        .payer = accounts.payer,
        .account = accounts.target,
        .owner = creation.owner,
        .mint = accounts.mint,
        .system = creation.system,
        .program = accounts.program,
    });
}
