//! write_key: the payer writes a part of an unsealed key. First the account grows towards its size, as far as one instruction may let it.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;

pub fn process(invocation: *const runtime.Invocation, arguments: *runtime.Reader) Error!void {
    const offset = try arguments.int(u32);
    const part = try arguments.take(arguments.bytes.len);
    const own = try state.openOwnKey(invocation);
    runtime.grow(own.account, @min(own.view.whole(), own.account.data_length + constants.VERIFIER_GROWTH));
    try state.write(state.contentOf(state.Key, own.account), offset, part);
}
