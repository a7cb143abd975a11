//! Amounts: decimals, token buckets and caps, in whole numbers that never wrap. (The machine has no checked product of 64
//! bits: each product here is bounded by a division before it.)

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const Error = @import("errors.zig").Error;

const UNLIMITED = constants.TOKENS_UNLIMITED;

/// A token bucket: holds at most `capacity`, gains `refill` each second, and held `level` at `updated`.
pub const Bucket = extern struct {
    capacity: u64,
    refill: u64,
    level: u64,
    updated: u64,

    /// What it holds at `now`. A clock that went back refills nothing.
    pub fn available(self: *const Bucket, now: u64) u64 {
        if (self.capacity == UNLIMITED) return UNLIMITED;
        const room = self.capacity - self.level;
        const seconds = if (now > self.updated) now - self.updated else 0;
        if (self.refill == 0 or seconds == 0) return self.level;
        if (seconds > room / self.refill) return self.capacity;
        return self.level + seconds *% self.refill; // at most `room`
    }

    /// Takes `amount` out, or refuses.
    pub fn take(self: *Bucket, amount: u64, now: u64) Error!void {
        if (self.capacity == UNLIMITED) return;
        const held = self.available(now);
        if (amount > held) return error.OverLimit;
        self.level = held - amount;
        self.updated = @max(now, self.updated);
    }

    /// A new rule; the bucket starts full.
    pub fn set(self: *Bucket, capacity: u64, refill: u64, now: u64) void {
        self.* = .{ .capacity = capacity, .refill = refill, .level = capacity, .updated = now };
    }
};

/// `outstanding` with `amount` more, within the cap.
pub fn grow(outstanding: u64, amount: u64, cap: u64) Error!u64 {
    const sum = runtime.add(outstanding, amount) catch return error.OverCap;
    if (sum > cap) return error.OverCap;
    return sum;
}

pub fn shrink(outstanding: u64, amount: u64) Error!u64 {
    if (amount > outstanding) return error.InsufficientLocked;
    return outstanding - amount;
}

pub fn powerOfTen(exponent: u8) u64 {
    var value: u64 = 1;
    for (0..exponent) |_| value *%= 10; // at most 19 of them: TOKENS_MAX_DECIMALS
    return value;
}

/// `amount` with `exponent` zeros, or AmountTooLarge. Step by step: LLVM would make one wide product of a division and a product.
pub fn scaled(amount: u64, exponent: u8) Error!u64 {
    var value = amount;
    for (0..exponent) |_| {
        if (value > @as(u64, 0xffff_ffff_ffff_ffff) / 10) return error.AmountTooLarge;
        value *%= 10;
    }
    return value;
}
