//! verify: succeeds exactly when the proof holds for the instances under a sealed key of this program; then the proof account is closed to its payer.
//! The caller names the key and the instances: which of them mean anything is the caller's matter.

const sibyl = @import("sibyl");
const constants = sibyl.constants;
const runtime = sibyl.runtime;
const keys = @import("../key.zig");
const packed_form = @import("../packed.zig");
const state = @import("../state.zig");
const verifier = @import("../verifier.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;

/// What one verification works on.
const Room = extern struct {
    workspace: verifier.Workspace,
    unpacked: [verifier.PROOF_LENGTH]u8,
    given: extern struct { proof: [packed_form.LENGTH]u8, hint: [verifier.HINT_LENGTH]u8 },
};

comptime {
    if (constants.VERIFIER_PROOF_SIZE != packed_form.LENGTH + verifier.HINT_LENGTH) @compileError("a packed proof with its hint has another size");
    if (@sizeOf(Room) > runtime.HEAP_SIZE) @compileError("the heap that every program has is too small");
}

const Accounts = struct { key: *const keys.Key, proof: *Account, payer: *Account };

fn validateAccounts(invocation: *const runtime.Invocation) Error!Accounts {
    const list = try invocation.accounts(3);
    const header = try state.openKey(invocation, list[0]);
    if (header.sealed != 1) return error.UnsealedKey;
    const key = keys.Key.of(@alignCast(state.contentOf(state.Key, list[0]))) orelse return error.InvalidKey;
    const proof = try state.openProof(invocation, list[1]);
    try state.requirePayer(list[2], &proof.payer);
    try list[2].requireWritable();
    return .{ .key = key, .proof = list[1], .payer = list[2] };
}

pub fn process(invocation: *const runtime.Invocation, arguments: *runtime.Reader) Error!void {
    const count = try arguments.int(u16);
    const words = try arguments.take(@as(usize, count) * 32);
    const tail = try arguments.take(arguments.bytes.len);
    const accounts = try validateAccounts(invocation);
    const room = runtime.heap(Room);
    const first = state.contentOf(state.Proof, accounts.proof);
    const given: *[constants.VERIFIER_PROOF_SIZE]u8 = @ptrCast(&room.given);
    if (first.len + tail.len != given.len) return error.WrongProofSize;
    @memcpy(given[0..first.len], first);
    @memcpy(given[first.len..], tail);
    if (!packed_form.unpack(&room.unpacked, &room.given.proof)) return error.InvalidProof;
    const instances: [*]const [32]u8 = @ptrCast(words.ptr);
    const claim = verifier.Claim{ .key = accounts.key, .proof = &room.unpacked, .instances = instances[0..count], .hint = &room.given.hint };
    if (!verifier.verify(&room.workspace, &claim)) return error.InvalidProof;
    try runtime.close(accounts.proof, accounts.payer);
}
