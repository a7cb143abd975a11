//! Payloads (TOKENS.md section 3) as Solidity's abi.encode writes them, and where an EVM factory deploys. Of the many ABI encodings
//! of a value one is taken: canonical offsets, exact length, zero padding, nothing trailing. `oracle/protocol/tokens.py` is the
//! reference; the shared vectors hold this file to it.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const Error = @import("errors.zig").Error;
const Slice = runtime.Slice;

const WORD = 32;
const EVM_ADDRESS = 20;
const TRANSFER_HEAD = 4 * WORD;
const REGISTRATION_HEAD = 4 * WORD;
/// ERC-7930: version, chain type, two lengths.
const INTEROP_HEAD = 6;
const INTEROP_SOLANA = INTEROP_HEAD + 2 * WORD;

/// Payload sizes of what this program sends.
pub const TRANSFER_SIZE = TRANSFER_HEAD + (WORD + 3 * WORD) + (WORD + WORD);
pub const REGISTRATION_SIZE = REGISTRATION_HEAD + 4 * WORD;

/// `fee` is the part of `amount` that pays whoever delivers.
pub const Transfer = struct { recipient: *const [32]u8, amount: u64, fee: u64 };
pub const Registration = struct { token: *const [32]u8, wire_decimals: u8, name: []const u8, symbol: []const u8 };

const Malformed = error{Malformed};

/// A payload from an EVM chain to Solana.
pub fn parseTransfer(payload: []const u8) Error!Transfer {
    return transferIn(payload) catch return error.InvalidTransfer;
}

/// A registration, of a token of whichever chain.
pub fn parseRegistration(payload: []const u8) Error!Registration {
    return registrationIn(payload) catch return error.InvalidRegistration;
}

fn transferIn(payload: []const u8) Malformed!Transfer {
    var parser = try Parser.begin(payload, TRANSFER_HEAD);
    try checkEvmSender(try parser.dynamic(0, 1, payload.len));
    const recipient = try parser.dynamic(1, WORD, WORD);
    try parser.finish();
    const amount = try parser.number(2);
    const fee = try parser.number(3);
    if (fee >= amount) return error.Malformed; // so that the amount is not zero either
    return .{ .recipient = recipient[0..WORD], .amount = amount, .fee = fee };
}

fn registrationIn(payload: []const u8) Malformed!Registration {
    var parser = try Parser.begin(payload, REGISTRATION_HEAD);
    const name = try parser.dynamic(2, 1, constants.TOKENS_MAX_NAME);
    const symbol = try parser.dynamic(3, 1, constants.TOKENS_MAX_SYMBOL);
    try parser.finish();
    const decimals = try parser.number(1);
    if (decimals > constants.TOKENS_MAX_WIRE_DECIMALS) return error.Malformed;
    const token = payload[0..WORD];
    if (runtime.isZero(token)) return error.Malformed;
    return .{ .token = token, .wire_decimals = @intCast(decimals), .name = name, .symbol = symbol };
}

/// An ERC-7930 address on an EVM chain: the chain id in the fewest bytes, at most eight and not zero, then 20 bytes.
fn checkEvmSender(address: []const u8) Malformed!void {
    if (address.len < INTEROP_HEAD) return error.Malformed;
    if (runtime.readBig(u16, address[0..2]) != constants.INTEROP_VERSION) return error.Malformed;
    if (runtime.readBig(u16, address[2..4]) != constants.CHAIN_TYPE_EIP155) return error.Malformed;
    const reference: usize = address[4];
    if (reference == 0 or reference > 8) return error.Malformed;
    if (address.len != INTEROP_HEAD + reference + EVM_ADDRESS) return error.Malformed;
    if (address[5] == 0 or address[5 + reference] != EVM_ADDRESS) return error.Malformed;
}

/// Reads front to back: each dynamic value must begin where the one before it ended.
const Parser = struct {
    bytes: []const u8,
    next: usize,

    fn begin(bytes: []const u8, head: usize) Malformed!Parser {
        if (bytes.len < head) return error.Malformed;
        return .{ .bytes = bytes, .next = head };
    }

    /// The word at `at` as a number of 64 bits.
    fn wordAt(self: *const Parser, at: usize) Malformed!u64 {
        if (self.bytes.len < WORD or at > self.bytes.len - WORD) return error.Malformed;
        const word = self.bytes[at..][0..WORD];
        if (!zeros(word[0..24])) return error.Malformed;
        return runtime.readBig(u64, word[24..32]);
    }

    fn number(self: *const Parser, index: usize) Malformed!u64 {
        return self.wordAt(index * WORD);
    }

    /// The `bytes` whose offset is in head word `index`.
    fn dynamic(self: *Parser, index: usize, least: usize, most: usize) Malformed![]const u8 {
        if (try self.number(index) != self.next) return error.Malformed;
        const length = try self.wordAt(self.next);
        if (length < least or length > most) return error.Malformed; // bounds it by the payload's own length at the latest
        const size: usize = @intCast(length);
        const start = self.next + WORD;
        const end = start + (size + WORD - 1) / WORD * WORD;
        if (end > self.bytes.len) return error.Malformed;
        if (!zeros(self.bytes[start + size .. end])) return error.Malformed;
        self.next = end;
        return self.bytes[start..][0..size];
    }

    fn finish(self: *const Parser) Malformed!void {
        if (self.next != self.bytes.len) return error.Malformed;
    }
};

fn zeros(bytes: []const u8) bool {
    var seen: u8 = 0;
    for (bytes) |byte| seen |= byte;
    return seen == 0;
}

/// A transfer from a Solana account to an EVM address.
pub const Outgoing = struct {
    chain_reference: *const [32]u8,
    sender: *const [32]u8,
    recipient: *const [EVM_ADDRESS]u8,
    amount: u64,
    fee: u64,
};

/// Its payload.
pub fn writeTransfer(out: *[TRANSFER_SIZE]u8, transfer: *const Outgoing) void {
    @memset(out, 0);
    writeWord(out[0..32], TRANSFER_HEAD);
    writeWord(out[32..64], TRANSFER_HEAD + 4 * WORD);
    writeWord(out[64..96], transfer.amount);
    writeWord(out[96..128], transfer.fee);
    writeWord(out[128..160], INTEROP_SOLANA);
    const from = out[160..][0..INTEROP_SOLANA];
    runtime.writeBig(u16, from[0..2], constants.INTEROP_VERSION);
    runtime.writeBig(u16, from[2..4], constants.CHAIN_TYPE_SOLANA);
    from[4] = WORD;
    from[5..37].* = transfer.chain_reference.*;
    from[37] = WORD;
    from[38..70].* = transfer.sender.*;
    writeWord(out[256..288], EVM_ADDRESS);
    out[288..308].* = transfer.recipient.*;
}

/// The payload of a registration; name and symbol are within their bounds and not empty.
pub fn writeRegistration(out: *[REGISTRATION_SIZE]u8, registration: *const Registration) void {
    @memset(out, 0);
    out[0..32].* = registration.token.*;
    writeWord(out[32..64], registration.wire_decimals);
    writeWord(out[64..96], REGISTRATION_HEAD);
    writeWord(out[96..128], REGISTRATION_HEAD + 2 * WORD);
    writeWord(out[128..160], registration.name.len);
    @memcpy(out[160..][0..registration.name.len], registration.name);
    writeWord(out[192..224], registration.symbol.len);
    @memcpy(out[224..][0..registration.symbol.len], registration.symbol);
}

/// What a transfer of this program said: who sent it, and how much. Taken apart by writing it again: nothing else has the same bytes.
pub const Sent = struct { sender: *const [32]u8, amount: u64 };

pub fn parseSent(payload: []const u8, chain_reference: *const [32]u8) Error!Sent {
    if (payload.len != TRANSFER_SIZE) return error.InvalidTransfer;
    const given = payload[0..TRANSFER_SIZE];
    const sender = given[198..230];
    const amount = runtime.readBig(u64, given[88..96]);
    const fee = runtime.readBig(u64, given[120..128]);
    var again: [TRANSFER_SIZE]u8 = undefined;
    writeTransfer(&again, &.{
        .chain_reference = chain_reference,
        .sender = sender,
        .recipient = given[288..308],
        .amount = amount,
        .fee = fee,
    });
    var at: usize = 0;
    while (at < TRANSFER_SIZE) : (at += 32) {
        if (!runtime.equal(given[at..][0..32], again[at..][0..32])) return error.InvalidTransfer;
    }
    if (fee >= amount) return error.InvalidTransfer; // so that the amount is not zero either
    return .{ .sender = sender, .amount = amount };
}

fn writeWord(out: *[32]u8, value: u64) void {
    runtime.writeBig(u64, out[24..32], value);
}

/// The left-padded address that a factory's CREATE2 gives (EIP-1014).
pub fn create2(factory: *const [32]u8, salt: *const [32]u8, init_code_hash: *const [32]u8, out: *[32]u8) void {
    runtime.keccak(&.{ Slice.of("\xff"), Slice.of(factory[12..32]), Slice.of(salt), Slice.of(init_code_hash) }, out);
    out[0..12].* = @splat(0);
}
