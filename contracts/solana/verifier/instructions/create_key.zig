//! create_key: an empty account for a key whose content has this hash. The rent of the whole content is paid at once, so that the account can grow.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Slice = runtime.Slice;

pub fn process(invocation: *const runtime.Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const hash = try arguments.array(32);
    const size = try arguments.int(u32);
    try arguments.finish();
    const list = try invocation.accounts(3);
    if (size < state.MIN_KEY or size > state.MAX_KEY) return error.InvalidKey;
    const now = @min(size, constants.VERIFIER_GROWTH - @sizeOf(state.Key));
    const seeds = [_]Slice{ Slice.of(constants.VERIFIER_SEED_KEY), Slice.of(hash), Slice.of(&list[0].key) };
    var creation = runtime.Creation{
        .payer = list[0],
        .account = list[1],
        .system = list[2],
        .derivation = .{ .seeds = &seeds, .bump = &bump[0] },
        .size = 0,
        .escrow = try runtime.rentMinimum(size) - try runtime.rentMinimum(now),
    };
    const key = try sibyl.account.create(state.Key, invocation, &creation, now);
    key.size = size;
    key.payer = list[0].key;
    key.hash = hash.*;
}
