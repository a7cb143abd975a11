//! emergency_exit: the governance authority takes a bounded part of a paused native token's vault, as it announced: at most a tenth of what
//! was locked when the day began, after seven days of pause. What is counted as locked shrinks with it, so every node then sees less locked
//! than minted, and signs nothing of the token any more: an exit winds a token down.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const announced = @import("../announced.zig");
const gateway = @import("../gateway.zig");
const limits = @import("../limits.zig");
const spl = @import("../spl.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct {
    authority: gateway.Authority,
    token_account: *Account,
    token: *state.Token,
    mint: *Account,
    vault: *Account,
    destination: *Account,
    scheduled: *Account,
    scheduled_payer: *Account,
};

fn validateAccounts(invocation: *const Invocation, out: *Accounts) Error!void {
    const list = try invocation.accounts(9);
    const bridge = try state.openBridge(invocation, list[1]);
    try state.requireAuthority(bridge, list[0]);
    out.authority = .{ .account = list[1], .bridge = bridge };
    try list[2].requireWritable();
    out.token_account = list[2];
    out.token = try state.openToken(invocation, list[2], bridge);
    if (!out.token.isNative()) return error.NotNative;
    if (!runtime.equal(&list[3].key, &out.token.mint)) return error.WrongMint;
    out.mint = list[3];
    try state.requireVault(invocation, list[4], out.token);
    out.vault = list[4];
    out.destination = list[5];
    if (!runtime.equal(&list[6].key, &out.token.token_program)) return error.WrongTokenProgram;
    out.scheduled = list[7];
    out.scheduled_payer = list[8];
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const amount = try arguments.int(u64);
    try arguments.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &accounts);
    const act = announced.Act{ .token = accounts.token_account, .destination = accounts.destination };
    try announced.requireReady(invocation, &act, accounts.scheduled, accounts.scheduled_payer);
    if (amount == 0) return error.AmountTooSmall;
    try takeShare(accounts.token, amount, try runtime.now());
    accounts.token.outstanding = try limits.shrink(accounts.token.outstanding, amount);
    try pay(&accounts, amount);
    // Last: the runtime refuses a call while lamports are between two accounts.
    try runtime.close(accounts.scheduled, accounts.scheduled_payer);
}

fn takeShare(token: *state.Token, amount: u64, now: u64) Error!void {
    if (token.paused == 0 or token.paused_since == 0) return error.NotPaused;
    if (now < try runtime.add(token.paused_since, constants.TOKENS_EXIT_PAUSE)) return error.NotPaused;
    if (token.exit_begin == 0 or now >= try runtime.add(token.exit_begin, constants.TOKENS_EXIT_PERIOD)) {
        token.exit_begin = now;
        token.exit_left = token.outstanding / constants.TOKENS_EXIT_SHARE;
    }
    if (amount > token.exit_left) return error.OverShare;
    token.exit_left -= amount;
}

/// From the vault to the destination: exactly that, on both sides.
fn pay(accounts: *const Accounts, amount: u64) Error!void {
    const token = accounts.token;
    const program = &token.token_program;
    const owner = &accounts.authority.account.key;
    const units = try token.unitsOf(amount);
    const held = try spl.checkAccount(accounts.vault, program, &token.mint, owner);
    const before = try spl.checkAnyAccount(accounts.destination, program, &token.mint);
    const mover = spl.Mover{ .account = accounts.authority.account, .derivation = state.authorityOf(accounts.authority.bridge) };
    try spl.transfer(program, accounts.vault, accounts.mint, accounts.destination, &mover, .{ .units = units, .decimals = token.native_decimals });
    const left = try spl.checkAccount(accounts.vault, program, &token.mint, owner);
    const after = try spl.checkAnyAccount(accounts.destination, program, &token.mint);
    if (held != try runtime.add(left, units) or after != try runtime.add(before, units)) return error.NotExact;
}
