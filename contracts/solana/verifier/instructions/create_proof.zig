//! create_proof: an account for the first bytes of a packed proof and its hint, with some of them written.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const state = @import("../state.zig");
const Error = @import("../errors.zig").Error;
const Slice = runtime.Slice;

pub fn process(invocation: *const runtime.Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const label = try arguments.array(32);
    const size = try arguments.int(u16);
    const part = try arguments.take(arguments.bytes.len);
    const list = try invocation.accounts(3);
    if (size > constants.VERIFIER_PROOF_SIZE) return error.WrongProofSize;
    const seeds = [_]Slice{ Slice.of(constants.VERIFIER_SEED_PROOF), Slice.of(label), Slice.of(&list[0].key) };
    var creation = runtime.Creation{
        .payer = list[0],
        .account = list[1],
        .system = list[2],
        .derivation = .{ .seeds = &seeds, .bump = &bump[0] },
        .size = 0,
        .escrow = 0,
    };
    const proof = try sibyl.account.create(state.Proof, invocation, &creation, size);
    proof.payer = list[0].key;
    proof.label = label.*;
    try state.write(state.contentOf(state.Proof, list[1]), 0, part);
}
