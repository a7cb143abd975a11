//! Names and symbols of tokens: within their bounds, and always valid UTF-8, since Token-2022 takes no other text.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const abi = @import("abi.zig");
const spl = @import("spl.zig");

const MAX_NAME = constants.TOKENS_MAX_NAME;
const MAX_SYMBOL = constants.TOKENS_MAX_SYMBOL;

/// A name and a symbol, copied.
pub const Names = struct {
    name_bytes: [MAX_NAME]u8,
    name_length: usize,
    symbol_bytes: [MAX_SYMBOL]u8,
    symbol_length: usize,

    pub fn name(self: *const Names) []const u8 {
        return self.name_bytes[0..self.name_length];
    }
    pub fn symbol(self: *const Names) []const u8 {
        return self.symbol_bytes[0..self.symbol_length];
    }

    /// As a registration gives them, within their bounds already. Bytes that are no text become question marks.
    pub fn ofRegistration(self: *Names, registration: *const abi.Registration) void {
        self.name_length = copy(&self.name_bytes, registration.name);
        self.symbol_length = copy(&self.symbol_bytes, registration.symbol);
    }

    /// As the mint holds them, cut to their bounds; the first hexadecimal digits of its address where it holds none.
    pub fn ofMint(self: *Names, mint: *const spl.Mint, address: *const runtime.Pubkey) void {
        if (runtime.equal(address, &spl.NATIVE_MINT)) {
            self.name_length = copy(&self.name_bytes, "Wrapped SOL");
            self.symbol_length = copy(&self.symbol_bytes, "SOL");
            return;
        }
        self.name_length = if (mint.name.len > 0) copy(&self.name_bytes, mint.name) else hexadecimal(&self.name_bytes, address);
        self.symbol_length = if (mint.symbol.len > 0) copy(&self.symbol_bytes, mint.symbol) else hexadecimal(&self.symbol_bytes, address);
    }
};

/// Copies as many whole characters as fit.
fn copy(out: []u8, given: []const u8) usize {
    var length = @min(out.len, given.len);
    if (length < given.len) while (length > 0 and given[length] & 0xc0 == 0x80) : (length -= 1) {};
    if (length == 0) length = @min(out.len, given.len); // no character begins here
    for (given[0..length], 0..) |byte, i| out[i] = byte;
    if (!validText(out[0..length])) for (out[0..length]) |*byte| {
        if (byte.* >= 0x80) byte.* = '?';
    };
    return length;
}

/// UTF-8 as Rust's `str` has it: no overlong forms, no surrogates, at most U+10FFFF.
fn validText(bytes: []const u8) bool {
    var at: usize = 0;
    while (at < bytes.len) {
        const first = bytes[at];
        const further: usize = if (first < 0x80) 0 else if (first >= 0xc2 and first <= 0xdf) 1 else if (first >= 0xe0 and first <= 0xef) 2 else if (first >= 0xf0 and first <= 0xf4) 3 else return false;
        if (bytes.len - at <= further) return false;
        for (1..further + 1) |i| if (bytes[at + i] & 0xc0 != 0x80) return false;
        if (further >= 2) {
            const second = bytes[at + 1];
            if (first == 0xe0 and second < 0xa0 or first == 0xed and second > 0x9f) return false;
            if (first == 0xf0 and second < 0x90 or first == 0xf4 and second > 0x8f) return false;
        }
        at += further + 1;
    }
    return true;
}

fn hexadecimal(out: []u8, address: *const runtime.Pubkey) usize {
    const DIGITS = "0123456789abcdef";
    out[0] = '0';
    out[1] = 'x';
    for (address[0 .. (out.len - 2) / 2], 0..) |byte, i| {
        out[2 + 2 * i] = DIGITS[byte >> 4];
        out[3 + 2 * i] = DIGITS[byte & 15];
    }
    return out.len;
}
