//! The syscalls that the verifier needs.

/// A piece of bytes as syscalls take it.
pub const Slice = extern struct {
    pointer: [*]const u8,
    length: u64,

    pub inline fn of(bytes: []const u8) Slice {
        return .{ .pointer = bytes.ptr, .length = bytes.len };
    }
};

pub extern fn sol_keccak256(pieces: [*]const Slice, count: u64, result: *[32]u8) u64;
pub extern fn sol_alt_bn128_group_op(operation: u64, input: [*]const u8, length: u64, result: [*]u8) u64;
pub extern fn sol_alt_bn128_compression(operation: u64, input: [*]const u8, length: u64, result: [*]u8) u64;
pub extern fn sol_set_return_data(data: [*]const u8, length: u64) void;
pub extern fn sol_log_compute_units_() void;
