//! write_proof: the payer writes a part of a proof, over whatever stands there.

const runtime = @import("sibyl").runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;

pub fn process(invocation: *const runtime.Invocation, arguments: *runtime.Reader) Error!void {
    const offset = try arguments.int(u16);
    const part = try arguments.take(arguments.bytes.len);
    const own = try state.openOwnProof(invocation);
    try state.write(state.contentOf(state.Proof, own.account), offset, part);
}
