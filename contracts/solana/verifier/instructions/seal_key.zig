//! seal_key: the content is complete and has the hash that the account's address is made of. From now on nothing changes it, and proofs are checked
//! under it.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const keys = @import("../key.zig");
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;

pub fn process(invocation: *const runtime.Invocation, arguments: *runtime.Reader) Error!void {
    try arguments.finish();
    const own = try state.openOwnKey(invocation);
    if (own.account.data_length != own.view.whole()) return error.IncompleteKey;
    const content = state.contentOf(state.Key, own.account);
    var hash: [32]u8 = undefined;
    runtime.keccak(&.{runtime.Slice.of(content)}, &hash);
    if (!runtime.equal(&hash, &own.view.hash)) return error.WrongHash;
    if (keys.Key.of(@alignCast(content)) == null) return error.InvalidKey;
    own.view.sealed = 1;
}
