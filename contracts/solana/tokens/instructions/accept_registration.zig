//! accept_registration: takes one delivered registration from the factory, and creates the wrapped token: its account, and its mint with
//! name, symbol and decimals on chain. Anyone may call it. A second registration of one token changes nothing and is put away.

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
const Pubkey = runtime.Pubkey;
const Slice = runtime.Slice;

const Accounts = struct {
    payer: *Account,
    authority: gateway.Authority,
    token: *Account,
    mint: *Account,
    inbox: gateway.Inbox,
    system: *Account,
};

fn validateAccounts(invocation: *const Invocation, out: *Accounts) Error!void {
    const list = try invocation.accounts(9);
    try list[0].requirePayer();
    out.payer = list[0];
    out.authority = .{ .account = list[1], .bridge = try state.openBridge(invocation, list[1]) };
    out.token = list[2];
    out.mint = list[3];
    out.inbox = try gateway.readInbox(&out.authority, list[4], list[5], list[6]);
    if (!runtime.equal(&list[7].key, &spl.TOKEN_2022)) return error.WrongTokenProgram;
    out.system = list[8];
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const token_bump = try arguments.array(1);
    const mint_bump = try arguments.array(1);
    try arguments.finish();
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &accounts);
    const bridge = accounts.authority.bridge;
    try state.requireRunning(bridge, null);
    try gateway.requireKind(&accounts.inbox, constants.KIND_MESSAGE);
    if (!runtime.equal(accounts.inbox.body.sender(), &bridge.factory)) return error.WrongBridge;
    const registration = try abi.parseRegistration(accounts.inbox.body.payload());
    sibyl.message.checkAddress(constants.CHAIN_TYPE_EIP155, registration.token) catch return error.InvalidRegistration;
    var evm_bridge: [32]u8 = undefined;
    abi.create2(&bridge.factory, registration.token, &bridge.native_init_code_hash, &evm_bridge);

    if (runtime.equal(&accounts.token.owner, invocation.program_id)) {
        const known = try state.openToken(invocation, accounts.token, bridge);
        if (known.isNative() or !runtime.equal(&known.evm_bridge, &evm_bridge)) return error.WrongToken;
        if (!runtime.equal(&known.mint, &accounts.mint.key)) return error.WrongMint;
    } else {
        try createToken(invocation, &accounts, &registration, &.{ .evm_bridge = &evm_bridge, .token_bump = token_bump, .mint_bump = mint_bump });
        try createMint(invocation, &accounts, &registration, &.{ .evm_bridge = &evm_bridge, .token_bump = token_bump, .mint_bump = mint_bump });
    }
    try gateway.closeInbox(&accounts.authority, &accounts.inbox);
}

const Place = struct { evm_bridge: *const [32]u8, token_bump: *const [1]u8, mint_bump: *const [1]u8 };

fn createToken(invocation: *const Invocation, accounts: *const Accounts, registration: *const abi.Registration, place: *const Place) Error!void {
    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_TOKEN), Slice.of(&accounts.authority.bridge.origin_hash), Slice.of(place.evm_bridge) };
    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.token,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = &place.token_bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const token = try sibyl.account.create(state.Token, invocation, &creation, 0);
    token.kind = constants.TOKENS_KIND_WRAPPED;
    token.wire_decimals = registration.wire_decimals;
    token.native_decimals = registration.wire_decimals;
    token.asset_bump = place.mint_bump[0];
    token.mint = accounts.mint.key;
    token.token_program = spl.TOKEN_2022;
    token.evm_bridge = place.evm_bridge.*;
    token.native_token = registration.token.*;
    try token.unlimited();
}

/// The mint, with lamports for the metadata that the token program appends to it.
fn createMint(invocation: *const Invocation, accounts: *const Accounts, registration: *const abi.Registration, place: *const Place) Error!void {
    var names: text.Names = undefined;
    names.ofRegistration(registration);
    const metadata_size = spl.METADATA_FIXED_SIZE + names.name().len + names.symbol().len;
    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_MINT), Slice.of(&accounts.authority.bridge.origin_hash), Slice.of(place.evm_bridge) };
    const grown = try runtime.rentMinimum(spl.POINTER_MINT_SIZE + metadata_size);
    try runtime.createAccount(invocation, &.{
        .payer = accounts.payer,
        .account = accounts.mint,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = &place.mint_bump[0] },
        .size = spl.POINTER_MINT_SIZE,
        .escrow = grown - try runtime.rentMinimum(spl.POINTER_MINT_SIZE),
        .owner = &spl.TOKEN_2022,
    });
    const authority = &accounts.authority.account.key;
    try spl.initializePointer(accounts.mint, authority);
    try spl.initializeMint(accounts.mint, registration.wire_decimals, authority);
    const mover = spl.Mover{ .account = accounts.authority.account, .derivation = state.authorityOf(accounts.authority.bridge) };
    try spl.initializeMetadata(accounts.mint, &mover, names.name(), names.symbol());
}
