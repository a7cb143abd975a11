//! The program's own accounts: their layouts (held to protocol.toml at compile time) and the one way to open them, which
//! checks owner, size, type, version and address. Nothing else in the program casts account data.

const constants = @import("generated/constants.zig");
const runtime = @import("runtime.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;
const Derivation = runtime.Derivation;
const Invocation = runtime.Invocation;
const Pubkey = runtime.Pubkey;
const Slice = runtime.Slice;

pub const Config = extern struct {
    pub const TYPE = constants.ACCOUNT_CONFIG;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    reserved: u8,
    current_epoch: u32,
    next_sequence: u64,
    activation_delay: u32,
    reserved_2: [4]u8,
    authority: Pubkey,
    treasury: Pubkey,
    chain_reference: [32]u8,
};

pub const Committee = extern struct {
    pub const TYPE = constants.ACCOUNT_COMMITTEE;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    group_key_parity: u8,
    epoch: u32,
    valid_from: u64,
    valid_until: u64,
    group_key_x: [32]u8,
};

pub const Model = extern struct {
    pub const TYPE = constants.ACCOUNT_MODEL;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    active: u8,
    input_count: u16,
    output_count: u16,
    input_scale: u8,
    output_scale: u8,
    reserved: [6]u8,
    input_bound: u64,
    price: u64,
    model_id: [32]u8,
    verifier: Pubkey,
    verifying_key: Pubkey,
};

pub const Peer = extern struct {
    pub const TYPE = constants.ACCOUNT_PEER;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    active: u8,
    reserved: [2]u8,
    origin: [66]u8,
};

pub const Outbox = extern struct {
    pub const TYPE = constants.ACCOUNT_OUTBOX;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    state: u8,
    body_size: u32,
    sequence: u64,
    fee: u64,
    expiry: u64,
    sender: Pubkey,
    digest: [32]u8,
};

pub const Inbox = extern struct {
    pub const TYPE = constants.ACCOUNT_INBOX;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    kind: u8,
    body_size: u32,
    delivered_at: u64,
    epoch: u32,
    reserved: [4]u8,
    payer: Pubkey,
    digest: [32]u8,
};

pub const Replay = extern struct {
    pub const TYPE = constants.ACCOUNT_REPLAY;
    account_type: u8,
    layout_version: u8,
    bump: u8,
    reserved: [5]u8,
    window: u64,
    bitmap: [128]u8,
};

comptime {
    assertLayout(Config, "CONFIG_ACCOUNT");
    assertLayout(Committee, "COMMITTEE_ACCOUNT");
    assertLayout(Model, "MODEL_ACCOUNT");
    assertLayout(Peer, "PEER_ACCOUNT");
    assertLayout(Outbox, "OUTBOX_ACCOUNT");
    assertLayout(Inbox, "INBOX_ACCOUNT");
    assertLayout(Replay, "REPLAY_ACCOUNT");
    if (constants.REPLAY_WINDOW != 8 * 128) @compileError("the bitmap has one bit for each sequence of a window");
}

/// Refuses to compile when a field stands elsewhere than protocol.toml says.
pub fn assertLayout(comptime T: type, comptime prefix: []const u8) void {
    @setEvalBranchQuota(20_000);
    for (@typeInfo(T).@"struct".field_names) |name| {
        if (@offsetOf(T, name) != @field(constants, prefix ++ "_" ++ upper(name) ++ "_OFFSET"))
            @compileError(prefix ++ "." ++ name ++ " is at another offset than in protocol.toml");
    }
    if (@sizeOf(T) != @field(constants, prefix ++ "_SIZE")) @compileError(prefix ++ " has another size than in protocol.toml");
}

fn upper(comptime name: []const u8) *const [name.len]u8 {
    comptime var text: [name.len]u8 = undefined;
    inline for (name, 0..) |character, i| text[i] = if (character >= 'a' and character <= 'z') character - 32 else character;
    const done = text;
    return &done;
}

/// Opens an account of fixed size after checking owner, size, type and version. The address is checked by the functions below.
pub fn open(comptime T: type, invocation: *const Invocation, account: *Account) Error!*T {
    const view = try openPrefix(T, invocation.program_id, account);
    if (account.data_length != @sizeOf(T)) return error.WrongAccountSize;
    return view;
}

/// Opens an account whose header is followed by a body of `body_size` bytes. `owner` is the Sibyl program, for consumers too.
pub fn openWithBody(comptime T: type, owner: *const Pubkey, account: *Account) Error!*T {
    const view = try openPrefix(T, owner, account);
    if (account.data_length != @sizeOf(T) + @as(u64, view.body_size)) return error.WrongAccountSize;
    return view;
}

/// Opens an account by its header alone; whatever follows is the caller's to check.
pub fn openPrefix(comptime T: type, owner: *const Pubkey, account: *Account) Error!*T {
    if (!runtime.equal(&account.owner, owner)) return error.WrongOwner;
    if (account.data_length < @sizeOf(T)) return error.WrongAccountSize;
    const view: *T = @ptrCast(@alignCast(account.data().ptr));
    if (view.account_type != T.TYPE or view.layout_version != constants.ACCOUNT_LAYOUT_VERSION) return error.WrongAccountType;
    return view;
}

/// The body that follows an outbox or inbox header.
pub fn bodyOf(comptime T: type, account: *Account) []u8 {
    return account.data()[@sizeOf(T)..];
}

pub noinline fn openConfig(invocation: *const Invocation, account: *Account) Error!*Config {
    const config = try open(Config, invocation, account);
    const seeds = [_]Slice{Slice.of(constants.SEED_CONFIG)};
    try runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &config.bump });
    return config;
}

pub noinline fn openCommittee(invocation: *const Invocation, account: *Account, epoch: u32) Error!*Committee {
    const committee = try open(Committee, invocation, account);
    if (committee.epoch != epoch) return error.WrongEpoch;
    const seeds = [_]Slice{ Slice.of(constants.SEED_COMMITTEE), Slice.of(bytesOf(&committee.epoch)) };
    try runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &committee.bump });
    return committee;
}

pub noinline fn openModel(invocation: *const Invocation, account: *Account, model_id: *const [32]u8) Error!*Model {
    const model = try open(Model, invocation, account);
    const seeds = [_]Slice{ Slice.of(constants.SEED_MODEL), Slice.of(model_id) };
    try runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &model.bump });
    return model;
}

/// The peer account of an origin (chain type, reference, gateway), whether active or not.
pub noinline fn openPeer(invocation: *const Invocation, account: *Account, origin: *const [66]u8) Error!*Peer {
    const peer = try open(Peer, invocation, account);
    var hash: [32]u8 = undefined;
    runtime.keccak(&.{Slice.of(origin)}, &hash);
    const seeds = [_]Slice{ Slice.of(constants.SEED_PEER), Slice.of(&hash) };
    runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &peer.bump }) catch return error.UnknownPeer;
    return peer;
}

/// The peer of an origin, which must be active.
pub fn requirePeer(invocation: *const Invocation, account: *Account, origin: *const [66]u8) Error!void {
    const peer = openPeer(invocation, account, origin) catch return error.UnknownPeer;
    if (peer.active != 1) return error.InactivePeer;
}

pub noinline fn openOutbox(invocation: *const Invocation, account: *Account) Error!*Outbox {
    try account.requireWritable();
    const outbox = try openWithBody(Outbox, invocation.program_id, account);
    const seeds = [_]Slice{ Slice.of(constants.SEED_OUTBOX), Slice.of(bytesOf(&outbox.sequence)) };
    try runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &outbox.bump });
    return outbox;
}

pub noinline fn openInbox(invocation: *const Invocation, account: *Account) Error!*Inbox {
    try account.requireWritable();
    const inbox = try openWithBody(Inbox, invocation.program_id, account);
    const seeds = [_]Slice{ Slice.of(constants.SEED_INBOX), Slice.of(&inbox.digest) };
    try runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &inbox.bump });
    return inbox;
}

pub noinline fn openReplay(invocation: *const Invocation, account: *Account, origin_hash: *const [32]u8, window: *const u64) Error!*Replay {
    try account.requireWritable();
    const replay = try open(Replay, invocation, account);
    const seeds = [_]Slice{ Slice.of(constants.SEED_REPLAY), Slice.of(origin_hash), Slice.of(bytesOf(window)) };
    try runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &replay.bump });
    return replay;
}

/// Creates an account of layout T with `extra` bytes behind it, and writes its type, version and bump. The rest is zero.
pub fn create(comptime T: type, invocation: *const Invocation, creation: *runtime.Creation, extra: usize) Error!*T {
    creation.size = @sizeOf(T) + @as(u64, extra);
    try runtime.createAccount(invocation, creation);
    const view: *T = @ptrCast(@alignCast(creation.account.data().ptr));
    view.account_type = T.TYPE;
    view.layout_version = constants.ACCOUNT_LAYOUT_VERSION;
    view.bump = creation.derivation.bump.*;
    return view;
}

/// The authority in the configuration must have signed and pay for what is created.
pub noinline fn requireAuthority(config: *const Config, signer: *const Account) Error!void {
    try signer.requirePayer();
    if (!runtime.equal(&config.authority, &signer.key)) return error.NotAuthority;
}

/// An integer's bytes as they stand in memory (little-endian).
pub fn bytesOf(value: anytype) []const u8 {
    const pointer: [*]const u8 = @ptrCast(value);
    return pointer[0..@sizeOf(@TypeOf(value.*))];
}
