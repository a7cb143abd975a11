//! The verifier program's accounts: their layouts (held to protocol.toml at compile time) and the one way to open them, which checks owner,
//! size, type, version and address.

const sibyl = @import("sibyl");
const account = sibyl.account;
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const keys = @import("key.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Pubkey = runtime.Pubkey;
const Slice = runtime.Slice;

/// A verifying key; its content follows, all of it once the account has grown.
pub const Key = extern struct {
    pub const TYPE = constants.VERIFIER_ACCOUNT_KEY;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    sealed: u8,
    size: u32,
    payer: Pubkey,
    hash: [32]u8,

    /// Bytes of the whole account once it has grown.
    pub fn whole(self: *const Key) u64 {
        return @sizeOf(Key) + @as(u64, self.size);
    }

    pub fn requireUnsealed(self: *const Key) Error!void {
        if (self.sealed != 0) return error.SealedKey;
    }
};

/// The first bytes of a packed proof and its hint follow.
pub const Proof = extern struct {
    pub const TYPE = constants.VERIFIER_ACCOUNT_PROOF;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    reserved: [5]u8,
    payer: Pubkey,
    label: [32]u8,
};

pub const MIN_KEY = @sizeOf(keys.Key) + @sizeOf(keys.Row);
pub const MAX_KEY = @sizeOf(keys.Key) + keys.MAX_INSTANCES * @sizeOf(keys.Row);

comptime {
    account.assertLayout(Key, "VERIFIER_KEY_ACCOUNT");
    account.assertLayout(Proof, "VERIFIER_PROOF_ACCOUNT");
    // A key's limbs are read in place.
    if (@sizeOf(Key) % 8 != 0) @compileError("a key's content is not aligned");
}

pub fn openKey(invocation: *const Invocation, account_: *Account) Error!*Key {
    const key = try account.openPrefix(Key, invocation.program_id, account_);
    if (account_.data_length > key.whole()) return error.WrongAccountSize;
    const seeds = [_]Slice{ Slice.of(constants.VERIFIER_SEED_KEY), Slice.of(&key.hash), Slice.of(&key.payer) };
    try runtime.requireAddress(invocation, account_, .{ .seeds = &seeds, .bump = &key.bump });
    return key;
}

pub fn openProof(invocation: *const Invocation, account_: *Account) Error!*Proof {
    try account_.requireWritable();
    const proof = try account.openPrefix(Proof, invocation.program_id, account_);
    const seeds = [_]Slice{ Slice.of(constants.VERIFIER_SEED_PROOF), Slice.of(&proof.label), Slice.of(&proof.payer) };
    try runtime.requireAddress(invocation, account_, .{ .seeds = &seeds, .bump = &proof.bump });
    return proof;
}

/// The account, and its payer, who must sign. `list` is the payer, then the account.
pub fn OwnedBy(comptime T: type) type {
    return struct { payer: *Account, account: *Account, view: *T };
}

/// A key that its payer, who signs, may still change.
pub fn openOwnKey(invocation: *const Invocation) Error!OwnedBy(Key) {
    const list = try invocation.accounts(2);
    try list[1].requireWritable();
    const key = try openKey(invocation, list[1]);
    try requirePayer(list[0], &key.payer);
    try key.requireUnsealed();
    return .{ .payer = list[0], .account = list[1], .view = key };
}

/// A proof of the payer, who signs.
pub fn openOwnProof(invocation: *const Invocation) Error!OwnedBy(Proof) {
    const list = try invocation.accounts(2);
    const proof = try openProof(invocation, list[1]);
    try requirePayer(list[0], &proof.payer);
    return .{ .payer = list[0], .account = list[1], .view = proof };
}

pub fn requirePayer(signer: *const Account, payer: *const Pubkey) Error!void {
    try signer.requireSigner();
    if (!runtime.equal(&signer.key, payer)) return error.WrongPayer;
}

/// What follows the header.
pub fn contentOf(comptime T: type, account_: *Account) []u8 {
    return account_.data()[@sizeOf(T)..];
}

/// Writes a part into an account's content.
pub fn write(content: []u8, offset: u64, part: []const u8) Error!void {
    if (offset > content.len or part.len > content.len - offset) return error.OutOfBounds;
    @memcpy(content[offset..][0..part.len], part);
}
