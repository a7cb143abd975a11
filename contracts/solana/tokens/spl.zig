//! SPL Token, Token-2022 and the associated-token program: what their accounts hold, read from the bytes, and the calls that this
//! program makes. A mint or token account is believed only when its owner is the token program that was asked for. Mints of
//! Token-2022 may have extensions from a list of harmless ones; whatever else is there, also what is not known yet, is refused.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Derivation = runtime.Derivation;
const Invocation = runtime.Invocation;
const Pubkey = runtime.Pubkey;
const Slice = runtime.Slice;

/// TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA
pub const TOKEN: Pubkey = .{
    0x06, 0xdd, 0xf6, 0xe1, 0xd7, 0x65, 0xa1, 0x93, 0xd9, 0xcb, 0xe1, 0x46, 0xce, 0xeb, 0x79, 0xac,
    0x1c, 0xb4, 0x85, 0xed, 0x5f, 0x5b, 0x37, 0x91, 0x3a, 0x8c, 0xf5, 0x85, 0x7e, 0xff, 0x00, 0xa9,
};
/// TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb
pub const TOKEN_2022: Pubkey = .{
    0x06, 0xdd, 0xf6, 0xe1, 0xee, 0x75, 0x8f, 0xde, 0x18, 0x42, 0x5d, 0xbc, 0xe4, 0x6c, 0xcd, 0xda,
    0xb6, 0x1a, 0xfc, 0x4d, 0x83, 0xb9, 0x0d, 0x27, 0xfe, 0xbd, 0xf9, 0x28, 0xd8, 0xa1, 0x8b, 0xfc,
};
/// ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL
pub const ASSOCIATED: Pubkey = .{
    0x8c, 0x97, 0x25, 0x8f, 0x4e, 0x24, 0x89, 0xf1, 0xbb, 0x3d, 0x10, 0x29, 0x14, 0x8e, 0x0d, 0x83,
    0x0b, 0x5a, 0x13, 0x99, 0xda, 0xff, 0x10, 0x84, 0x04, 0x8e, 0x7b, 0xd8, 0xdb, 0xe9, 0xf8, 0x59,
};
/// So11111111111111111111111111111111111111112
pub const NATIVE_MINT: Pubkey = .{
    0x06, 0x9b, 0x88, 0x57, 0xfe, 0xab, 0x81, 0x84, 0xfb, 0x68, 0x7f, 0x63, 0x46, 0x18, 0xc0, 0x35,
    0xda, 0xc4, 0x39, 0xdc, 0x1a, 0xeb, 0x3b, 0x55, 0x98, 0xa0, 0xf0, 0x00, 0x00, 0x00, 0x00, 0x01,
};

const MINT_SIZE = 82;
pub const ACCOUNT_SIZE = 165;
/// Refused by Token-2022 itself: a multisig of this length could look like anything.
const MULTISIG_SIZE = 355;
/// With extensions, mints are padded to an account's length; then the type, then the extensions.
const EXTENSIONS_START = ACCOUNT_SIZE + 1;
const TYPE_MINT: u8 = 1;
const TYPE_ACCOUNT: u8 = 2;
const STATE_INITIALIZED: u8 = 1;

const EXTENSION_INTEREST = 10;
const EXTENSION_METADATA_POINTER = 18;
const EXTENSION_METADATA = 19;
const EXTENSION_GROUP_POINTER = 20;
const EXTENSION_GROUP_MEMBER = 23;
const EXTENSION_SCALED_AMOUNT = 25;

/// A wrapped mint before its metadata: the padded mint, its type, and the metadata pointer (4 + 64 bytes).
pub const POINTER_MINT_SIZE = EXTENSIONS_START + 4 + 64;
/// What the metadata adds: header, update authority, mint, three lengths (the URI is empty) and the count of further fields.
pub const METADATA_FIXED_SIZE = 4 + 32 + 32 + 4 + 4 + 4 + 4;

pub const Mint = struct {
    decimals: u8,
    /// Null: nobody can mint any more.
    authority: ?*const Pubkey,
    name: []const u8,
    symbol: []const u8,
};

/// A mint and the program that owns it. Name and symbol are empty when the mint itself holds none.
pub fn openMint(mint: *Account, program: *const Account) Error!Mint {
    try requireTokenProgram(&program.key);
    if (!runtime.equal(&mint.owner, &program.key)) return error.WrongMint;
    const data = mint.data();
    if (data.len < MINT_SIZE or data.len == MULTISIG_SIZE or data[45] != 1) return error.WrongMint;
    var found = Mint{ .decimals = data[44], .authority = if (data[0] != 0) data[4..36] else null, .name = &.{}, .symbol = &.{} };
    if (data.len == MINT_SIZE) return found;
    if (!runtime.equal(&program.key, &TOKEN_2022) or data.len < EXTENSIONS_START or data[ACCOUNT_SIZE] != TYPE_MINT) return error.WrongMint;
    try readExtensions(data[EXTENSIONS_START..], &mint.key, &found);
    return found;
}

fn readExtensions(extensions: []const u8, mint: *const Pubkey, found: *Mint) Error!void {
    var here = false;
    var rest = runtime.Reader{ .bytes = extensions };
    while (rest.bytes.len >= 4) {
        const kind = try rest.int(u16);
        const value = rest.take(try rest.int(u16)) catch return error.UnsafeMint;
        switch (kind) {
            0 => break, // nothing follows
            EXTENSION_METADATA_POINTER => here = value.len == 64 and runtime.equal(value[32..64], mint),
            EXTENSION_METADATA => readMetadata(value, found) catch return error.UnsafeMint,
            EXTENSION_GROUP_POINTER...EXTENSION_GROUP_MEMBER, EXTENSION_INTEREST, EXTENSION_SCALED_AMOUNT => {},
            else => return error.UnsafeMint,
        }
    }
    // A pointer elsewhere says that what stands here does not count.
    if (!here) {
        found.name = &.{};
        found.symbol = &.{};
    }
}

fn readMetadata(value: []const u8, found: *Mint) Error!void {
    var reader = runtime.Reader{ .bytes = value };
    _ = try reader.take(64);
    found.name = try reader.take(try reader.int(u32));
    found.symbol = try reader.take(try reader.int(u32));
}

pub fn requireTokenProgram(key: *const Pubkey) Error!void {
    if (!runtime.equal(key, &TOKEN) and !runtime.equal(key, &TOKEN_2022)) return error.WrongTokenProgram;
}

/// A token account that is usable, of this mint and this owner; returns its amount.
pub fn checkAccount(account: *Account, program: *const Pubkey, mint: *const Pubkey, owner: *const Pubkey) Error!u64 {
    const held = try checkAnyAccount(account, program, mint);
    if (!runtime.equal(account.data()[32..64], owner)) return error.WrongTokenAccount;
    return held;
}

/// The same, of whichever owner.
pub fn checkAnyAccount(account: *Account, program: *const Pubkey, mint: *const Pubkey) Error!u64 {
    if (!runtime.equal(&account.owner, program)) return error.WrongTokenAccount;
    const data = account.data();
    if (data.len < ACCOUNT_SIZE or data.len == MULTISIG_SIZE) return error.WrongTokenAccount;
    if (data.len > ACCOUNT_SIZE and data[ACCOUNT_SIZE] != TYPE_ACCOUNT) return error.WrongTokenAccount;
    if (data[108] != STATE_INITIALIZED) return error.WrongTokenAccount;
    if (!runtime.equal(data[0..32], mint)) return error.WrongTokenAccount;
    return runtime.readLittle(u64, data[64..72]);
}

/// The associated token account of `owner`. Its own program creates none at another bump than the canonical one.
pub fn requireAssociated(account: *const Account, owner: *const Pubkey, program: *const Pubkey, mint: *const Pubkey, bump: *const [1]u8) Error!void {
    var address: Pubkey = undefined;
    runtime.sha256(&.{ Slice.of(owner), Slice.of(program), Slice.of(mint), Slice.of(bump), Slice.of(&ASSOCIATED), Slice.of("ProgramDerivedAddress") }, &address);
    if (!runtime.equal(&address, &account.key)) return error.NotAssociated;
}

// ---- calls ----

/// Who moves tokens: an account that signed the transaction (no derivation), or the bridge authority.
pub const Mover = struct { account: *Account, derivation: ?Derivation };
pub const Amount = struct { units: u64, decimals: u8 };

fn amountCall(number: u8, program: *const Pubkey, accounts: []const *Account, mover: *const Mover, amount: Amount) Error!void {
    var data: [10]u8 = undefined;
    data[0] = number;
    @as(*align(1) u64, @ptrCast(data[1..9])).* = amount.units;
    data[9] = amount.decimals;
    try runtime.invoke(&.{
        .program_id = program,
        .accounts = accounts,
        .signers = @as(u64, 1) << @intCast(accounts.len - 1),
        .data = &data,
        .derivation = mover.derivation,
    });
}

/// TransferChecked
pub fn transfer(program: *const Pubkey, source: *Account, mint: *Account, target: *Account, mover: *const Mover, amount: Amount) Error!void {
    const accounts = [_]*Account{ source, mint, target, mover.account };
    try amountCall(12, program, &accounts, mover, amount);
}

/// MintToChecked
pub fn mintTo(program: *const Pubkey, mint: *Account, target: *Account, mover: *const Mover, amount: Amount) Error!void {
    const accounts = [_]*Account{ mint, target, mover.account };
    try amountCall(14, program, &accounts, mover, amount);
}

/// BurnChecked
pub fn burn(program: *const Pubkey, source: *Account, mint: *Account, mover: *const Mover, amount: Amount) Error!void {
    const accounts = [_]*Account{ source, mint, mover.account };
    try amountCall(15, program, &accounts, mover, amount);
}

/// InitializeAccount3
pub fn initializeAccount(program: *const Pubkey, account: *Account, mint: *Account, owner: *const Pubkey) Error!void {
    var data: [33]u8 = undefined;
    data[0] = 18;
    data[1..33].* = owner.*;
    const accounts = [_]*Account{ account, mint };
    try runtime.invoke(&.{ .program_id = program, .accounts = &accounts, .signers = 0, .data = &data, .derivation = null });
}

/// MetadataPointerExtension::Initialize: the metadata stands in the mint itself, and `authority` could point elsewhere.
pub fn initializePointer(mint: *Account, authority: *const Pubkey) Error!void {
    var data: [66]u8 = undefined;
    data[0] = 39;
    data[1] = 0;
    data[2..34].* = authority.*;
    data[34..66].* = mint.key;
    const accounts = [_]*Account{mint};
    try runtime.invoke(&.{ .program_id = &TOKEN_2022, .accounts = &accounts, .signers = 0, .data = &data, .derivation = null });
}

/// InitializeMint2, without a freeze authority.
pub fn initializeMint(mint: *Account, decimals: u8, authority: *const Pubkey) Error!void {
    var data: [35]u8 = undefined;
    data[0] = 20;
    data[1] = decimals;
    data[2..34].* = authority.*;
    data[34] = 0;
    const accounts = [_]*Account{mint};
    try runtime.invoke(&.{ .program_id = &TOKEN_2022, .accounts = &accounts, .signers = 0, .data = &data, .derivation = null });
}

/// TokenMetadataInstruction::Initialize with an empty URI; the mint account holds the lamports for it already.
pub fn initializeMetadata(mint: *Account, mover: *const Mover, name: []const u8, symbol: []const u8) Error!void {
    const DISCRIMINATOR = [8]u8{ 210, 225, 30, 162, 88, 184, 77, 141 }; // sha256("spl_token_metadata_interface:initialize_account")
    var data: [8 + 4 + 32 + 4 + 10 + 4]u8 = @splat(0);
    data[0..8].* = DISCRIMINATOR;
    var at: usize = 8;
    for ([_][]const u8{ name, symbol, "" }) |text| {
        @as(*align(1) u32, @ptrCast(data[at..][0..4])).* = @intCast(text.len);
        @memcpy(data[at + 4 ..][0..text.len], text);
        at += 4 + text.len;
    }
    const accounts = [_]*Account{ mint, mover.account, mint, mover.account };
    try runtime.invoke(&.{ .program_id = &TOKEN_2022, .accounts = &accounts, .signers = 0b1000, .data = data[0..at], .derivation = mover.derivation });
}

/// AssociatedTokenAccountInstruction::CreateIdempotent
pub const Association = struct { payer: *Account, account: *Account, owner: *Account, mint: *Account, system: *Account, program: *Account };

pub fn createAssociated(wanted: *const Association) Error!void {
    const accounts = [_]*Account{ wanted.payer, wanted.account, wanted.owner, wanted.mint, wanted.system, wanted.program };
    try runtime.invoke(&.{ .program_id = &ASSOCIATED, .accounts = &accounts, .signers = 1, .data = &.{1}, .derivation = null });
}
