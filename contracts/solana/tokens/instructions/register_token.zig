//! register_token: a mint of this chain becomes a native token of the bridge. Creates its account and vault, and sends the registration
//! to the factory. Anyone may call it, and again: then it only sends the registration once more. Name and symbol are those that the
//! mint itself holds; a registrant cannot choose them.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const abi = @import("../abi.zig");
const gateway = @import("../gateway.zig");
const spl = @import("../spl.zig");
const state = @import("../state.zig");
const text = @import("../text.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const Arguments = struct { token_bump: *const [1]u8, vault_bump: *const [1]u8, outbox_bump: u8, sequence: u64 };

const Accounts = struct {
    payer: *Account,
    authority: gateway.Authority,
    token: *Account,
    mint: *Account,
    vault: *Account,
    program: *Account,
    system: *Account,
    post: gateway.Post,
};

fn validateAccounts(invocation: *const Invocation, arguments: *const Arguments, out: *Accounts) Error!void {
    const list = try invocation.accounts(11);
    try list[0].requirePayer();
    const bridge = try state.openBridge(invocation, list[1]);
    out.payer = list[0];
    out.authority = .{ .account = list[1], .bridge = bridge };
    out.token = list[2];
    out.mint = list[3];
    out.vault = list[4];
    out.program = list[5];
    out.system = list[10];
    out.post = .{
        .payer = list[0],
        .program = list[6],
        .config = list[7],
        .outbox = list[8],
        .peer = list[9],
        .system = list[10],
        .outbox_bump = arguments.outbox_bump,
        .sequence = arguments.sequence,
        .expiry = 0, // a registration never expires: it can be delivered whenever somebody does
    };
}

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    const arguments = Arguments{
        .token_bump = try reader.array(1),
        .vault_bump = try reader.array(1),
        .outbox_bump = try reader.int(u8),
        .sequence = try reader.int(u64),
    };
    try reader.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &arguments, &accounts);
    try state.requireRunning(accounts.authority.bridge, null);
    const mint = try spl.openMint(accounts.mint, accounts.program);
    if (mint.authority) |owner| if (runtime.equal(owner, &accounts.authority.account.key)) return error.WrappedMint;
    if (mint.decimals > constants.TOKENS_MAX_DECIMALS) return error.UnsupportedDecimals;

    const token = if (runtime.equal(&accounts.token.owner, invocation.program_id))
        try openKnown(invocation, &accounts)
    else
        try create(invocation, &arguments, &accounts, mint.decimals);
    var names: text.Names = undefined;
    names.ofMint(&mint, &accounts.mint.key);
    var payload: [abi.REGISTRATION_SIZE]u8 = undefined;
    abi.writeRegistration(&payload, &.{
        .token = &token.mint,
        .wire_decimals = token.wire_decimals,
        .name = names.name(),
        .symbol = names.symbol(),
    });
    try gateway.send(&accounts.authority, &accounts.post, &accounts.authority.bridge.factory, &payload);
}

fn openKnown(invocation: *const Invocation, accounts: *const Accounts) Error!*state.Token {
    const token = try state.openToken(invocation, accounts.token, accounts.authority.bridge);
    if (!token.isNative() or !runtime.equal(&token.mint, &accounts.mint.key)) return error.WrongToken;
    try state.requireVault(invocation, accounts.vault, token);
    return token;
}

fn create(invocation: *const Invocation, arguments: *const Arguments, accounts: *const Accounts, decimals: u8) Error!*state.Token {
    const bridge = accounts.authority.bridge;
    const mint = &accounts.mint.key;
    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_TOKEN), Slice.of(mint) };
    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.token,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = &arguments.token_bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const token = try sibyl.account.create(state.Token, invocation, &creation, 0);
    token.kind = constants.TOKENS_KIND_NATIVE;
    token.native_decimals = decimals;
    token.wire_decimals = @min(decimals, constants.TOKENS_MAX_WIRE_DECIMALS);
    token.asset_bump = arguments.vault_bump[0];
    token.mint = mint.*;
    token.native_token = mint.*;
    token.token_program = accounts.program.key;
    abi.create2(&bridge.factory, mint, &bridge.wrapped_init_code_hash, &token.evm_bridge);
    try token.unlimited();

    const vault_seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_VAULT), Slice.of(mint) };
    try runtime.createAccount(invocation, &.{
        .payer = accounts.payer,
        .account = accounts.vault,
        .system = accounts.system,
        .derivation = .{ .seeds = &vault_seeds, .bump = &arguments.vault_bump[0] },
        .size = spl.ACCOUNT_SIZE,
        .escrow = 0,
        .owner = &accounts.program.key,
    });
    try spl.initializeAccount(&accounts.program.key, accounts.vault, accounts.mint, &accounts.authority.account.key);
    return token;
}
