//! send_tokens: locks tokens of this chain in their vault, or burns wrapped ones, and sends the transfer to the token's EVM bridge. What
//! is below one wire unit is never taken.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const abi = @import("../abi.zig");
const gateway = @import("../gateway.zig");
const limits = @import("../limits.zig");
const spl = @import("../spl.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Arguments = struct { outbox_bump: u8, sequence: u64, recipient: *const [20]u8, amount: u64, expiry: u64, fee: u64 };

const Accounts = struct {
    sender: *Account,
    authority: gateway.Authority,
    token: *state.Token,
    mint: *Account,
    source: *Account,
    vault: *Account,
    post: gateway.Post,
};

fn validateAccounts(invocation: *const Invocation, arguments: *const Arguments, out: *Accounts) Error!void {
    const list = try invocation.accounts(12);
    try list[0].requirePayer();
    const bridge = try state.openBridge(invocation, list[1]);
    try list[2].requireWritable();
    const token = try state.openToken(invocation, list[2], bridge);
    if (!runtime.equal(&list[3].key, &token.mint)) return error.WrongMint;
    if (!runtime.equal(&list[6].key, &token.token_program)) return error.WrongTokenProgram;
    if (token.isNative()) {
        try state.requireVault(invocation, list[5], token);
    } else if (!runtime.equal(&list[5].key, &token.mint)) return error.WrongVault;
    out.sender = list[0];
    out.authority = .{ .account = list[1], .bridge = bridge };
    out.token = token;
    out.mint = list[3];
    out.source = list[4];
    out.vault = list[5];
    out.post = .{
        .payer = list[0],
        .program = list[7],
        .config = list[8],
        .outbox = list[9],
        .peer = list[10],
        .system = list[11],
        .outbox_bump = arguments.outbox_bump,
        .sequence = arguments.sequence,
        .expiry = try expiryOf(arguments.expiry),
    };
}

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    const arguments = Arguments{
        .outbox_bump = try reader.int(u8),
        .sequence = try reader.int(u64),
        .recipient = try reader.array(20),
        .amount = try reader.int(u64),
        .expiry = try reader.int(u64),
        .fee = try reader.int(u64),
    };
    try reader.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &arguments, &accounts);
    const token = accounts.token;
    try state.requireRunning(accounts.authority.bridge, token);
    try checkRecipient(accounts.authority.bridge, token, arguments.recipient);

    const wire = token.wireOf(arguments.amount);
    if (wire == 0) return error.AmountTooSmall;
    if (arguments.fee >= wire) return error.FeeTooHigh;
    try token.outbound().take(wire, try runtime.now());
    try collect(&accounts, wire);
    var payload: [abi.TRANSFER_SIZE]u8 = undefined;
    abi.writeTransfer(&payload, &.{
        .chain_reference = &accounts.authority.bridge.chain_reference,
        .sender = &accounts.sender.key,
        .recipient = arguments.recipient,
        .amount = wire,
        .fee = arguments.fee,
    });
    try gateway.send(&accounts.authority, &accounts.post, &token.evm_bridge, &payload);
}

/// Every transfer expires, so that what is never delivered comes back. (Sibyl refuses an expiry that is not ahead.)
fn expiryOf(wanted: u64) Error!u64 {
    const now = try runtime.now();
    if (wanted == 0) return runtime.add(now, constants.TOKENS_DEFAULT_LIFETIME);
    if (wanted > try runtime.add(now, constants.TOKENS_MAX_LIFETIME)) return error.ExpiryTooFar;
    return wanted;
}

/// Zero and the bridge's own contracts could never spend what they get.
fn checkRecipient(bridge: *const state.Bridge, token: *const state.Token, recipient: *const [20]u8) Error!void {
    var padded: [32]u8 = @splat(0);
    padded[12..32].* = recipient.*;
    if (runtime.isZero(&padded) or runtime.equal(&padded, &token.evm_bridge) or runtime.equal(&padded, &bridge.factory) or
        runtime.equal(&padded, bridge.origin[34..66])) return error.ForbiddenRecipient;
}

/// Takes the sender's tokens: exactly `wire` wire units, by balance difference.
fn collect(accounts: *const Accounts, wire: u64) Error!void {
    const token = accounts.token;
    const program = &token.token_program;
    const units = try token.unitsOf(wire);
    const amount = spl.Amount{ .units = units, .decimals = token.native_decimals };
    const sender = spl.Mover{ .account = accounts.sender, .derivation = null };
    const held = try spl.checkAccount(accounts.source, program, &token.mint, &accounts.sender.key);
    if (held < units) return error.InsufficientTokens;
    if (token.isNative()) {
        const owner = &accounts.authority.account.key;
        token.outstanding = try limits.grow(token.outstanding, wire, token.cap);
        const before = try spl.checkAccount(accounts.vault, program, &token.mint, owner);
        try spl.transfer(program, accounts.source, accounts.mint, accounts.vault, &sender, amount);
        const after = try spl.checkAccount(accounts.vault, program, &token.mint, owner);
        if (after != try runtime.add(before, units)) return error.NotExact;
    } else {
        token.outstanding = try limits.shrink(token.outstanding, wire);
        try spl.burn(program, accounts.source, accounts.mint, &sender, amount);
    }
    const left = try spl.checkAccount(accounts.source, program, &token.mint, &accounts.sender.key);
    if (left > held or held - left != units) return error.NotExact;
}
