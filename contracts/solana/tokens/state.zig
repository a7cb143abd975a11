//! The token program's accounts: their layouts (held to protocol.toml at compile time) and the one way to open them, which
//! checks owner, size, type, version and address.

const sibyl = @import("sibyl");
const account = sibyl.account;
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const limits = @import("limits.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Pubkey = runtime.Pubkey;
const Slice = runtime.Slice;

pub const Bridge = extern struct {
    pub const TYPE = constants.TOKENS_ACCOUNT_BRIDGE;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    paused: u8,
    queue_delay: u32,
    sibyl: Pubkey,
    origin: sibyl.message.Place,
    reserved: [2]u8,
    governance_delay: u32,
    origin_hash: [32]u8,
    chain_reference: [32]u8,
    factory: [32]u8,
    native_init_code_hash: [32]u8,
    wrapped_init_code_hash: [32]u8,
    authority: Pubkey,
    guardian: Pubkey,
};

pub const Token = extern struct {
    pub const TYPE = constants.TOKENS_ACCOUNT_TOKEN;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    kind: u8,
    wire_decimals: u8,
    native_decimals: u8,
    paused: u8,
    asset_bump: u8,
    outstanding: u64,
    cap: u64,
    outbound_capacity: u64,
    outbound_refill: u64,
    outbound_level: u64,
    outbound_updated: u64,
    inbound_capacity: u64,
    inbound_refill: u64,
    inbound_level: u64,
    inbound_updated: u64,
    paused_since: u64,
    exit_begin: u64,
    exit_left: u64,
    mint: Pubkey,
    token_program: Pubkey,
    evm_bridge: [32]u8,
    native_token: [32]u8,

    pub fn outbound(self: *Token) *limits.Bucket {
        return @ptrCast(&self.outbound_capacity);
    }
    pub fn inbound(self: *Token) *limits.Bucket {
        return @ptrCast(&self.inbound_capacity);
    }
    pub fn isNative(self: *const Token) bool {
        return self.kind == constants.TOKENS_KIND_NATIVE;
    }
    /// As a token begins: no cap, no limits.
    pub fn unlimited(self: *Token) Error!void {
        const now = try runtime.now();
        self.cap = constants.TOKENS_UNLIMITED;
        self.outbound().set(constants.TOKENS_UNLIMITED, 0, now);
        self.inbound().set(constants.TOKENS_UNLIMITED, 0, now);
    }
    /// Smallest units of the mint in `amount` wire units.
    pub fn unitsOf(self: *const Token, amount: u64) Error!u64 {
        return limits.scaled(amount, self.native_decimals - self.wire_decimals);
    }
    /// Whole wire units in `units` smallest units of the mint.
    pub fn wireOf(self: *const Token, units: u64) u64 {
        return units / limits.powerOfTen(self.native_decimals - self.wire_decimals);
    }
};

pub const Queued = extern struct {
    pub const TYPE = constants.TOKENS_ACCOUNT_QUEUED;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    reserved: [5]u8,
    amount: u64,
    releasable_at: u64,
    token: Pubkey,
    recipient: Pubkey,
    payer: Pubkey,
    digest: [32]u8,
};

pub const Scheduled = extern struct {
    pub const TYPE = constants.TOKENS_ACCOUNT_SCHEDULED;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    reserved: [5]u8,
    ready_at: u64,
    payer: Pubkey,
    operation: [32]u8,
};

comptime {
    account.assertLayout(Scheduled, "TOKENS_SCHEDULED_ACCOUNT");
    account.assertLayout(Bridge, "TOKENS_BRIDGE_ACCOUNT");
    account.assertLayout(Token, "TOKENS_TOKEN_ACCOUNT");
    account.assertLayout(Queued, "TOKENS_QUEUED_ACCOUNT");
    if (@offsetOf(Token, "outbound_updated") - @offsetOf(Token, "outbound_capacity") != @offsetOf(limits.Bucket, "updated") or
        @offsetOf(Token, "inbound_updated") - @offsetOf(Token, "inbound_capacity") != @offsetOf(limits.Bucket, "updated"))
        @compileError("a token's bucket is not four numbers in a row");
}

pub const BRIDGE_SEEDS = [_]Slice{Slice.of(constants.TOKENS_SEED_BRIDGE)};

/// What lets the program sign as the bridge authority.
pub fn authorityOf(bridge: *const Bridge) runtime.Derivation {
    return .{ .seeds = &BRIDGE_SEEDS, .bump = &bridge.bump };
}

pub fn openBridge(invocation: *const Invocation, given: *Account) Error!*Bridge {
    const bridge = try account.open(Bridge, invocation, given);
    try runtime.requireAddress(invocation, given, authorityOf(bridge));
    return bridge;
}

pub fn openToken(invocation: *const Invocation, given: *Account, bridge: *const Bridge) Error!*Token {
    const token = try account.open(Token, invocation, given);
    const seeds = if (token.isNative())
        [_]Slice{ Slice.of(constants.TOKENS_SEED_TOKEN), Slice.of(&token.mint), Slice.of(&.{}) }
    else
        [_]Slice{ Slice.of(constants.TOKENS_SEED_TOKEN), Slice.of(&bridge.origin_hash), Slice.of(&token.evm_bridge) };
    runtime.requireAddress(invocation, given, .{ .seeds = &seeds, .bump = &token.bump }) catch return error.WrongToken;
    return token;
}

pub fn openQueued(invocation: *const Invocation, given: *Account) Error!*Queued {
    try given.requireWritable();
    const queued = try account.open(Queued, invocation, given);
    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_QUEUED), Slice.of(&queued.digest) };
    try runtime.requireAddress(invocation, given, .{ .seeds = &seeds, .bump = &queued.bump });
    return queued;
}

pub fn openScheduled(invocation: *const Invocation, given: *Account) Error!*Scheduled {
    try given.requireWritable();
    const scheduled = try account.open(Scheduled, invocation, given);
    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_SCHEDULED), Slice.of(&scheduled.operation) };
    try runtime.requireAddress(invocation, given, .{ .seeds = &seeds, .bump = &scheduled.bump });
    return scheduled;
}

/// The vault of a native token.
pub fn requireVault(invocation: *const Invocation, given: *const Account, token: *const Token) Error!void {
    const seeds = [_]Slice{ Slice.of(constants.TOKENS_SEED_VAULT), Slice.of(&token.mint) };
    runtime.requireAddress(invocation, given, .{ .seeds = &seeds, .bump = &token.asset_bump }) catch return error.WrongVault;
}

/// Neither the bridge nor the token is paused.
pub fn requireRunning(bridge: *const Bridge, token: ?*const Token) Error!void {
    if (bridge.paused != 0) return error.Paused;
    if (token) |one| if (one.paused != 0) return error.Paused;
}

pub fn requireAuthority(bridge: *const Bridge, signer: *const Account) Error!void {
    try signer.requireSigner();
    if (!runtime.equal(&bridge.authority, &signer.key)) return error.NotAuthority;
}

/// The guardian, or the governance authority in its place.
pub fn requireGuardian(bridge: *const Bridge, signer: *const Account) Error!void {
    try signer.requireSigner();
    if (!runtime.equal(&signer.key, &bridge.guardian) and !runtime.equal(&signer.key, &bridge.authority)) return error.NotGuardian;
}
