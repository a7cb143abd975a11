//! set_limits: the governance authority sets both buckets and the cap of one token, in wire units. Buckets start full. What is outstanding
//! beyond a lower cap stays; nothing more is added until there is room.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Invocation = runtime.Invocation;

fn validateAccounts(invocation: *const Invocation) Error!*state.Token {
    const list = try invocation.accounts(3);
    const bridge = try state.openBridge(invocation, list[1]);
    try state.requireAuthority(bridge, list[0]);
    try list[2].requireWritable();
    return state.openToken(invocation, list[2], bridge);
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const outbound_capacity = try arguments.int(u64);
    const outbound_refill = try arguments.int(u64);
    const inbound_capacity = try arguments.int(u64);
    const inbound_refill = try arguments.int(u64);
    const cap = try arguments.int(u64);
    try arguments.finish();
    const token = try validateAccounts(invocation);
    const now = try runtime.now();
    token.outbound().set(outbound_capacity, outbound_refill, now);
    token.inbound().set(inbound_capacity, inbound_refill, now);
    token.cap = cap;
}
