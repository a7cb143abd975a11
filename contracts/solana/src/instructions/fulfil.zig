//! fulfil: anyone answers a pending request under POLICY_PROVEN with a proof, which the model's verifier checks in a call. What is proven is rebuilt here: the
//! inputs of the stored request and the outputs that are recorded, never instances from outside. The fee goes to the payer.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const inbox = @import("../inbox.zig");
const message = @import("../message.zig");
const runtime = @import("../runtime.zig");
const scalars = @import("../instance.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct {
    payer: *Account,
    model: *Account,
    replay: *Account,
    inbox: *Account,
    outbox: *Account,
    verifier: *Account,
    key: *Account,
    proof: *Account,
    system: *Account,
};

const Arguments = struct { inbox_bump: *const [1]u8, replay_bump: *const [1]u8, outputs: []const u8, tail: []const u8 };

/// What is built: the result's body, and what the verifier is called with.
const Room = extern struct {
    body: [constants.BODY_SIZE + constants.RESULT_SIZE + 8 * constants.MAX_OUTPUTS]u8,
    call: [CALL_HEADER + 32 * constants.MAX_PROVEN_INSTANCES + constants.VERIFIER_PROOF_SIZE]u8,
};

/// Number of the instruction, number of instances.
const CALL_HEADER = 3;

comptime {
    if (@sizeOf(Room) > runtime.HEAP_SIZE) @compileError("the heap that every program has is too small");
    // What one program may hand to another.
    if (@sizeOf(@FieldType(Room, "call")) > 10_240) @compileError("the verifier cannot be called with so many instances");
}

fn parse(reader: *runtime.Reader, out: *Arguments) Error!void {
    out.inbox_bump = try reader.array(1);
    out.replay_bump = try reader.array(1);
    const count = try reader.int(u8);
    out.outputs = try reader.take(@as(usize, count) * 8);
    if (reader.bytes.len > constants.VERIFIER_PROOF_SIZE) return error.InvalidInstruction;
    out.tail = reader.bytes;
}

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(9);
    try list[0].requirePayer();
    return .{
        .payer = list[0],
        .model = list[1],
        .replay = list[2],
        .inbox = list[3],
        .outbox = list[4],
        .verifier = list[5],
        .key = list[6],
        .proof = list[7],
        .system = list[8],
    };
}

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    var arguments: Arguments = undefined;
    try parse(reader, &arguments);
    const accounts = try validateAccounts(invocation);
    const outbox = try account.openOutbox(invocation, accounts.outbox);
    if (outbox.state != constants.OUTBOX_PENDING) return error.NotPending;
    const asked = account.bodyOf(account.Outbox, accounts.outbox);
    const request = message.requestIn(asked);
    if (request.policy() != constants.POLICY_PROVEN) return error.UnsupportedPolicy;
    const time = try runtime.now();
    if (time > outbox.expiry) return error.Expired;
    const model = try account.openModel(invocation, accounts.model, request.modelId());
    try checkVerifier(&accounts, model);
    if (arguments.outputs.len != @as(usize, model.output_count) * 8) return error.WrongOutputCount;
    // Registration sees to that; what is built here would leave its room otherwise.
    if (request.inputs().len + arguments.outputs.len > 8 * @as(usize, constants.MAX_PROVEN_INSTANCES)) return error.WrongOutputCount;

    const room = runtime.heap(Room);
    try prove(room, &accounts, request.inputs(), &arguments);
    const body = message.Body{ .bytes = writeResult(&room.body, asked, outbox, model.output_scale, arguments.outputs) };
    var digest: [32]u8 = undefined;
    body.digest(&digest);
    try inbox.receive(invocation, &.{
        .payer = accounts.payer,
        .replay = accounts.replay,
        .inbox = accounts.inbox,
        .system = accounts.system,
        .inbox_bump = &arguments.inbox_bump[0],
        .replay_bump = &arguments.replay_bump[0],
        .body = body,
        .digest = &digest,
        .time = time,
        .epoch = 0,
    });
    // Last: the runtime refuses a call between the two halves of a movement of lamports.
    try runtime.moveLamports(accounts.outbox, accounts.payer, outbox.fee);
    outbox.fee = 0;
    outbox.state = constants.OUTBOX_ANSWERED;
}

/// The very program and key that governance registered for the model.
fn checkVerifier(accounts: *const Accounts, model: *const account.Model) Error!void {
    if (runtime.isZero(&model.verifier)) return error.WrongVerifier;
    if (!runtime.equal(&accounts.verifier.key, &model.verifier) or !runtime.equal(&accounts.key.key, &model.verifying_key)) return error.WrongVerifier;
}

/// Calls the verifier; it fails, and with it everything, unless the proof holds.
fn prove(room: *Room, accounts: *const Accounts, inputs: []const u8, arguments: *const Arguments) Error!void {
    const count = (inputs.len + arguments.outputs.len) / 8;
    room.call[0] = constants.VERIFIER_INSTRUCTION_VERIFY;
    @as(*align(1) u16, @ptrCast(room.call[1..3])).* = @intCast(count);
    const words: [*][32]u8 = @ptrCast(room.call[CALL_HEADER..]);
    const split = inputs.len / 8;
    for (0..split) |i| scalars.write(&words[i], inputs[8 * i ..][0..8]);
    for (split..count) |i| scalars.write(&words[i], arguments.outputs[8 * (i - split) ..][0..8]);
    const end = CALL_HEADER + 32 * count;
    @memcpy(room.call[end..][0..arguments.tail.len], arguments.tail);
    const called = [_]*Account{ accounts.key, accounts.proof, accounts.payer };
    try runtime.invoke(&.{
        .program_id = &accounts.verifier.key,
        .accounts = &called,
        .signers = 0b100,
        .data = room.call[0 .. end + arguments.tail.len],
        .derivation = null,
    });
}

/// The result of PROTOCOL.md section 3: the request's header with another kind, sender and length, then the answer.
fn writeResult(body: []u8, asked: []const u8, outbox: *const account.Outbox, output_scale: u8, outputs: []const u8) []const u8 {
    const request = message.requestIn(asked);
    body[0..constants.BODY_SIZE].* = asked[0..constants.BODY_SIZE].*;
    body[constants.BODY_KIND_OFFSET] = constants.KIND_INFERENCE_RESULT;
    const gateway = message.Body{ .bytes = asked };
    body[constants.BODY_SENDER_OFFSET..][0..32].* = gateway.originGateway().*;
    const size = constants.RESULT_SIZE + outputs.len;
    runtime.writeBig(u16, body[constants.BODY_PAYLOAD_SIZE_OFFSET..][0..2], @intCast(size));
    const result = body[constants.BODY_SIZE..][0..size];
    result[constants.RESULT_STATUS_OFFSET] = constants.STATUS_ANSWERED;
    result[constants.RESULT_POLICY_OFFSET] = constants.POLICY_PROVEN;
    result[constants.RESULT_MODEL_ID_OFFSET..][0..32].* = request.modelId().*;
    result[constants.RESULT_REQUEST_ID_OFFSET..][0..32].* = outbox.digest;
    runtime.keccak(&.{runtime.Slice.of(request.inputs())}, result[constants.RESULT_INPUT_COMMITMENT_OFFSET..][0..32]);
    result[constants.RESULT_REQUESTER_OFFSET..][0..32].* = outbox.sender;
    result[constants.RESULT_CONSUMER_OFFSET..][0..32].* = outbox.sender;
    result[constants.RESULT_CALLBACK_GAS_LIMIT_OFFSET..][0..4].* = request.bytes[constants.REQUEST_CALLBACK_GAS_LIMIT_OFFSET..][0..4].*;
    result[constants.RESULT_OUTPUT_SCALE_OFFSET] = output_scale;
    result[constants.RESULT_OUTPUT_COUNT_OFFSET] = @intCast(outputs.len / 8);
    @memcpy(result[constants.RESULT_SIZE..], outputs);
    return body[0 .. constants.BODY_SIZE + size];
}
