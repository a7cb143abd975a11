//! What the Solana runtime gives a program: the serialised input, syscalls, program-derived addresses, and calls to other
//! programs. Guarantees: no account is read beyond its data, duplicates resolve to one account, and an address is accepted only
//! when its seeds give it. It knows nothing of Sibyl's accounts or messages.

const Error = @import("errors.zig").Error;

pub const Pubkey = [32]u8;
pub const SYSTEM_PROGRAM: Pubkey = @splat(0);
/// Accounts that one instruction can take; more are refused.
pub const MAX_ACCOUNTS = 16;
const MAX_SEEDS = 3;
const PDA_MARKER = "ProgramDerivedAddress";
/// Bytes that the runtime leaves behind each account's data for growth.
const GROWTH_SPACE = 10_240;
const NOT_DUPLICATE = 0xff;

/// A piece of bytes as syscalls take it.
pub const Slice = extern struct {
    pointer: [*]const u8,
    length: u64,

    pub fn of(bytes: []const u8) Slice {
        return .{ .pointer = bytes.ptr, .length = bytes.len };
    }
};

/// Bytes of the heap that a call has without asking for more.
pub const HEAP_SIZE = 32 * 1024;

/// The heap as one value. At an address that the compiler does not know: known ones make constant expressions of every copy's operands.
pub inline fn heap(comptime T: type) *align(8) T {
    return asm volatile (""
        : [address] "=r" (-> *align(8) T),
        : [start] "0" (@as(u64, 0x3_0000_0000)),
    );
}

extern fn sol_log_(message: [*]const u8, length: u64) void;
extern fn sol_keccak256(pieces: [*]const Slice, count: u64, result: *[32]u8) u64;
extern fn sol_sha256(pieces: [*]const Slice, count: u64, result: *[32]u8) u64;
extern fn sol_secp256k1_recover(hash: *const [32]u8, recovery_id: u64, signature: *const [64]u8, result: *[64]u8) u64;
extern fn sol_try_find_program_address(seeds: [*]const Slice, count: u64, program_id: *const Pubkey, result: *Pubkey, bump: *u8) u64;
extern fn sol_invoke_signed_c(instruction: *const CInstruction, infos: [*]const CAccountInfo, info_count: u64, signers: [*]const CSigner, signer_count: u64) u64;
extern fn sol_get_clock_sysvar(result: *Clock) u64;
extern fn sol_get_rent_sysvar(result: *Rent) u64;
extern fn sol_set_return_data(data: [*]const u8, length: u64) void;
extern fn sol_get_return_data(data: [*]u8, length: u64, program_id: *Pubkey) u64;

const Clock = extern struct { slot: u64, epoch_start: i64, epoch: u64, leader_schedule_epoch: u64, unix_timestamp: i64 };
const Rent = extern struct { lamports_per_byte: u64, exemption_threshold_bits: u64, burn_percent: u64 };
const CMeta = extern struct { key: *const Pubkey, writable: bool, signer: bool };
const CInstruction = extern struct { program_id: *const Pubkey, metas: [*]const CMeta, meta_count: u64, data: [*]const u8, data_length: u64 };
const CSigner = extern struct { seeds: [*]const Slice, count: u64 };
const CAccountInfo = extern struct {
    key: *const Pubkey,
    lamports: *u64,
    data_length: u64,
    data: [*]u8,
    owner: *const Pubkey,
    rent_epoch: u64,
    signer: bool,
    writable: bool,
    executable: bool,
};

/// One account, in place in the serialised input; its data follows.
pub const Account = extern struct {
    duplicate: u8,
    signer: u8,
    writable: u8,
    executable: u8,
    padding: u32,
    key: Pubkey,
    owner: Pubkey,
    lamports: u64,
    data_length: u64,

    pub fn data(self: *Account) []u8 {
        const start: [*]u8 = @ptrCast(self);
        return (start + @sizeOf(Account))[0..self.data_length];
    }

    pub fn requireSigner(self: *const Account) Error!void {
        if (self.signer == 0) return error.MissingSignature;
    }

    pub fn requireWritable(self: *const Account) Error!void {
        if (self.writable == 0) return error.NotWritable;
    }

    pub fn requirePayer(self: *const Account) Error!void {
        try self.requireSigner();
        try self.requireWritable();
    }
};

comptime {
    if (@offsetOf(Account, "key") != 8 or @offsetOf(Account, "owner") != 40 or @offsetOf(Account, "lamports") != 72 or
        @offsetOf(Account, "data_length") != 80 or @sizeOf(Account) != 88) @compileError("the runtime's account header has another layout");
    if (@sizeOf(CAccountInfo) != 56 or @sizeOf(CMeta) != 16 or @sizeOf(Clock) != 40) @compileError("a structure of the C interface has another size");
}

/// One call of the program: who calls it, with what.
pub const Invocation = struct {
    program_id: *const Pubkey,
    count: usize,
    data: []const u8,
    list: [MAX_ACCOUNTS]*Account,

    /// Reads the runtime's serialised input.
    pub fn parse(self: *Invocation, input: [*]align(8) u8) Error!void {
        const count = readWord(input);
        if (count > MAX_ACCOUNTS) return error.WrongAccountCount;
        var at: usize = 8;
        for (0..count) |i| {
            const found: *Account = @ptrCast(@alignCast(input + at));
            if (found.duplicate == NOT_DUPLICATE) {
                self.list[i] = found;
                at += @sizeOf(Account) + found.data_length + GROWTH_SPACE;
                at = (at + 7) & ~@as(usize, 7);
                at += 8; // rent epoch
            } else {
                // The runtime points to an earlier account only; the same pointer keeps both views one.
                if (found.duplicate >= i) return error.WrongAccountCount;
                self.list[i] = self.list[found.duplicate];
                at += 8;
            }
        }
        self.count = count;
        const length = readWord(input + at);
        self.data = (input + at + 8)[0..length];
        self.program_id = @ptrCast(input + at + 8 + length);
    }

    /// The accounts, when there are exactly `expected`.
    pub fn accounts(self: *const Invocation, expected: usize) Error![]const *Account {
        if (self.count != expected) return error.WrongAccountCount;
        return self.list[0..expected];
    }
};

fn readWord(at: [*]const u8) u64 {
    return readLittle(u64, at[0..8]);
}

/// Reads arguments one after another; `finish` refuses what is left over.
pub const Reader = struct {
    bytes: []const u8,

    pub fn take(self: *Reader, length: usize) Error![]const u8 {
        if (self.bytes.len < length) return error.InvalidInstruction;
        const taken = self.bytes[0..length];
        self.bytes = self.bytes[length..];
        return taken;
    }

    pub fn array(self: *Reader, comptime length: usize) Error!*const [length]u8 {
        return (try self.take(length))[0..length];
    }

    /// A little-endian integer.
    pub fn int(self: *Reader, comptime T: type) Error!T {
        return readLittle(T, try self.array(@divExact(@bitSizeOf(T), 8)));
    }

    /// All that is left, as a structure of exactly that size whose fields need no alignment.
    pub fn whole(self: *Reader, comptime T: type) Error!*align(1) const T {
        if (self.bytes.len != @sizeOf(T)) return error.InvalidInstruction;
        return @ptrCast(self.bytes.ptr);
    }

    pub fn finish(self: *const Reader) Error!void {
        if (self.bytes.len != 0) return error.InvalidInstruction;
    }
};

pub fn readLittle(comptime T: type, bytes: *const [@divExact(@bitSizeOf(T), 8)]u8) T {
    return @as(*align(1) const T, @ptrCast(bytes)).*;
}

pub fn readBig(comptime T: type, bytes: *const [@divExact(@bitSizeOf(T), 8)]u8) T {
    return @byteSwap(@as(*align(1) const T, @ptrCast(bytes)).*);
}

pub fn writeBig(comptime T: type, bytes: *[@divExact(@bitSizeOf(T), 8)]u8, value: T) void {
    @as(*align(1) T, @ptrCast(bytes)).* = @byteSwap(value);
}

pub noinline fn equal(a: *const [32]u8, b: *const [32]u8) bool {
    const x: *align(1) const [4]u64 = @ptrCast(a);
    const y: *align(1) const [4]u64 = @ptrCast(b);
    return x[0] == y[0] and x[1] == y[1] and x[2] == y[2] and x[3] == y[3];
}

pub noinline fn isZero(a: *const [32]u8) bool {
    return equal(a, &SYSTEM_PROGRAM);
}

pub fn log(message: []const u8) void {
    sol_log_(message.ptr, message.len);
}

pub fn keccak(pieces: []const Slice, result: *[32]u8) void {
    _ = sol_keccak256(pieces.ptr, pieces.len, result);
}

pub fn sha256(pieces: []const Slice, result: *[32]u8) void {
    _ = sol_sha256(pieces.ptr, pieces.len, result);
}

/// The 64 bytes x ‖ y of the recovered point, or false when there is none.
pub fn recover(hash: *const [32]u8, parity: u8, signature: *const [64]u8, result: *[64]u8) bool {
    return sol_secp256k1_recover(hash, parity, signature, result) == 0;
}

pub fn setReturnData(data: []const u8) void {
    sol_set_return_data(data.ptr, data.len);
}

/// Unix seconds of the cluster's clock.
pub noinline fn now() Error!u64 {
    var clock: Clock = undefined;
    if (sol_get_clock_sysvar(&clock) != 0) return error.SystemCallFailed;
    if (clock.unix_timestamp < 0) return error.SystemCallFailed;
    return @intCast(clock.unix_timestamp);
}

/// Lamports that an account with `size` bytes of data must hold.
pub fn rentMinimum(size: u64) Error!u64 {
    const ACCOUNT_OVERHEAD = 128;
    const ONE = 0x3FF0_0000_0000_0000; // 1.0 and 2.0 as binary64: the program has no floating point
    const TWO = 0x4000_0000_0000_0000;
    var rent: Rent = undefined;
    if (sol_get_rent_sysvar(&rent) != 0) return error.SystemCallFailed;
    const years: u64 = switch (rent.exemption_threshold_bits) {
        ONE => 1,
        TWO => 2,
        else => return error.UnsupportedRent,
    };
    if (rent.lamports_per_byte > 0xffff_ffff) return error.UnsupportedRent;
    return (ACCOUNT_OVERHEAD + size) *% rent.lamports_per_byte *% years; // sizes stay below 2^24
}

pub fn add(a: u64, b: u64) Error!u64 {
    const sum = a +% b;
    return if (sum < a) error.NumberTooLarge else sum;
}

/// Moves lamports out of an account of this program. Correct when both are the same account.
pub noinline fn moveLamports(from: *Account, to: *Account, amount: u64) Error!void {
    if (from.lamports < amount) return error.NumberTooLarge;
    from.lamports -= amount;
    to.lamports = try add(to.lamports, amount);
}

/// Makes an account of this program longer, at most by GROWTH_SPACE bytes in one instruction (the runtime refuses more); what is new is zero. The rent
/// was paid before.
pub fn grow(account: *Account, length: u64) void {
    account.data_length = length;
}

/// Gives all lamports to `to` and leaves an empty account of the system program, so that nothing can revive it with old data.
/// (Not inlined into each closing instruction: the program stays smaller.)
pub noinline fn close(account: *Account, to: *Account) Error!void {
    try moveLamports(account, to, account.lamports);
    @memset(account.data(), 0);
    account.owner = SYSTEM_PROGRAM;
    account.data_length = 0;
}

// ---- program-derived addresses ----

/// Seeds (at most MAX_SEEDS) and the byte that holds the bump.
pub const Derivation = struct {
    seeds: []const Slice,
    bump: *const u8,

    fn fill(self: Derivation, parts: *[MAX_SEEDS + 3]Slice) usize {
        for (self.seeds, 0..) |seed, i| parts[i] = seed;
        parts[self.seeds.len] = .{ .pointer = @ptrCast(self.bump), .length = 1 };
        return self.seeds.len + 1;
    }
};

/// For an account that this program created before (its bump was checked then): the address as a plain hash, which costs a
/// tenth of the syscall that also searches the bump.
pub noinline fn requireAddress(invocation: *const Invocation, account: *const Account, derivation: Derivation) Error!void {
    var parts: [MAX_SEEDS + 3]Slice = undefined;
    const count = derivation.fill(&parts);
    parts[count] = Slice.of(invocation.program_id);
    parts[count + 1] = Slice.of(PDA_MARKER);
    var address: Pubkey = undefined;
    sha256(parts[0 .. count + 2], &address);
    if (!equal(&address, &account.key)) return error.WrongAddress;
}

/// For an account that is about to be created: the full check, and that the bump is the canonical (highest) one. Every lower
/// bump that works gives a second address for the same seeds: a second, empty replay bitmap would let a message in twice.
pub fn requireNewAddress(invocation: *const Invocation, account: *const Account, derivation: Derivation) Error!void {
    try requireCanonical(invocation.program_id, &account.key, derivation);
}

/// `key` must be the canonical address of these seeds, and the bump its own. Costs 1,500 units for each bump tried.
pub fn requireCanonical(program_id: *const Pubkey, key: *const Pubkey, derivation: Derivation) Error!void {
    var address: Pubkey = undefined;
    var bump: u8 = 0;
    if (sol_try_find_program_address(derivation.seeds.ptr, derivation.seeds.len, program_id, &address, &bump) != 0) return error.SystemCallFailed;
    if (bump != derivation.bump.*) return error.NotCanonicalBump;
    if (!equal(&address, key)) return error.WrongAddress;
}

/// For an address of another program, once in a deployment: searches the bump.
pub fn requireForeignAddress(account: *const Account, seed: []const u8, program_id: *const Pubkey) Error!void {
    const seeds = [1]Slice{Slice.of(seed)};
    var address: Pubkey = undefined;
    var bump: u8 = 0;
    if (sol_try_find_program_address(&seeds, 1, program_id, &address, &bump) != 0) return error.SystemCallFailed;
    if (!equal(&address, &account.key)) return error.WrongAddress;
}

/// What `createAccount` needs: who pays, what to create, with how many bytes and how many lamports beyond rent.
pub const Creation = struct {
    payer: *Account,
    account: *Account,
    system: *Account,
    derivation: Derivation,
    size: u64,
    escrow: u64,
    /// Program that will own the account; null: this one.
    owner: ?*const Pubkey = null,
};

/// Creates an account at its derived address, for this program unless the creation names another owner. It works on an address that somebody sent lamports to before
/// (which would make the system program's CreateAccount fail for good).
pub fn createAccount(invocation: *const Invocation, creation: *const Creation) Error!void {
    const account = creation.account;
    try creation.payer.requirePayer();
    try account.requireWritable();
    if (!equal(&creation.system.key, &SYSTEM_PROGRAM)) return error.WrongAddress;
    try requireNewAddress(invocation, account, creation.derivation);
    if (!equal(&account.owner, &SYSTEM_PROGRAM) or account.data_length != 0) return error.AlreadyExists;
    const wanted = try add(try rentMinimum(creation.size), creation.escrow);
    if (account.lamports == 0) {
        try systemCreate(invocation, creation, wanted);
    } else {
        if (account.lamports < wanted) try transfer(creation.payer, account, wanted - account.lamports);
        try systemAllocateAndAssign(invocation, creation);
    }
    if (account.data_length != creation.size or !equal(&account.owner, creation.owner orelse invocation.program_id)) return error.SystemCallFailed;
}

fn systemCreate(invocation: *const Invocation, creation: *const Creation, lamports: u64) Error!void {
    var data: [52]u8 = undefined;
    @as(*align(1) u32, @ptrCast(data[0..4])).* = 0; // SystemInstruction::CreateAccount
    @as(*align(1) u64, @ptrCast(data[4..12])).* = lamports;
    @as(*align(1) u64, @ptrCast(data[12..20])).* = creation.size;
    data[20..52].* = (creation.owner orelse invocation.program_id).*;
    const accounts = [_]*Account{ creation.payer, creation.account };
    try invoke(&.{ .program_id = &SYSTEM_PROGRAM, .accounts = &accounts, .signers = 0b11, .data = &data, .derivation = creation.derivation });
}

fn systemAllocateAndAssign(invocation: *const Invocation, creation: *const Creation) Error!void {
    const accounts = [_]*Account{creation.account};
    var allocate: [12]u8 = undefined;
    @as(*align(1) u32, @ptrCast(allocate[0..4])).* = 8; // SystemInstruction::Allocate
    @as(*align(1) u64, @ptrCast(allocate[4..12])).* = creation.size;
    try invoke(&.{ .program_id = &SYSTEM_PROGRAM, .accounts = &accounts, .signers = 1, .data = &allocate, .derivation = creation.derivation });
    var assign: [36]u8 = undefined;
    @as(*align(1) u32, @ptrCast(assign[0..4])).* = 1; // SystemInstruction::Assign
    assign[4..36].* = (creation.owner orelse invocation.program_id).*;
    try invoke(&.{ .program_id = &SYSTEM_PROGRAM, .accounts = &accounts, .signers = 1, .data = &assign, .derivation = creation.derivation });
}

/// A transfer by the system program, from an account that signed the transaction.
pub fn transfer(from: *Account, to: *Account, lamports: u64) Error!void {
    var data: [12]u8 = undefined;
    @as(*align(1) u32, @ptrCast(data[0..4])).* = 2; // SystemInstruction::Transfer
    @as(*align(1) u64, @ptrCast(data[4..12])).* = lamports;
    const accounts = [_]*Account{ from, to };
    try invoke(&.{ .program_id = &SYSTEM_PROGRAM, .accounts = &accounts, .signers = 0b01, .data = &data, .derivation = null });
}

/// A call to another program. Bit i of `signers`: account i is passed as a signer; the derivation signs for its address.
pub const Call = struct {
    program_id: *const Pubkey,
    accounts: []const *Account,
    signers: u64,
    data: []const u8,
    derivation: ?Derivation,
};

/// Calls another program; writable flags are passed on as they are. A failure ends the whole transaction.
pub fn invoke(call: *const Call) Error!void {
    var metas: [MAX_ACCOUNTS]CMeta = undefined;
    var infos: [MAX_ACCOUNTS]CAccountInfo = undefined;
    if (call.accounts.len > MAX_ACCOUNTS) return error.WrongAccountCount;
    for (call.accounts, 0..) |account, i| {
        metas[i] = .{ .key = &account.key, .writable = account.writable != 0, .signer = call.signers >> @intCast(i) & 1 != 0 };
        infos[i] = .{
            .key = &account.key,
            .lamports = &account.lamports,
            .data_length = account.data_length,
            .data = account.data().ptr,
            .owner = &account.owner,
            .rent_epoch = 0,
            .signer = account.signer != 0,
            .writable = account.writable != 0,
            .executable = account.executable != 0,
        };
    }
    const instruction = CInstruction{
        .program_id = call.program_id,
        .metas = &metas,
        .meta_count = call.accounts.len,
        .data = call.data.ptr,
        .data_length = call.data.len,
    };
    var seeds: [MAX_SEEDS + 3]Slice = undefined;
    var signer = CSigner{ .seeds = &seeds, .count = 0 };
    if (call.derivation) |derivation| signer.count = derivation.fill(&seeds);
    const signers: u64 = if (call.derivation == null) 0 else 1;
    if (sol_invoke_signed_c(&instruction, &infos, call.accounts.len, @ptrCast(&signer), signers) != 0) return error.SystemCallFailed;
}
