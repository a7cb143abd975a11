//! request: posts a KIND_INFERENCE_REQUEST and escrows its fee in the outbox account, beyond the rent. What the chain can know
//! is refused at once: model, input count and bound, fee, deadline, policy, remotes.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const message = @import("../message.zig");
const outbox = @import("../outbox.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const Accounts = struct { requester: *Account, config: *account.Config, model: *account.Model, outbox: *Account, system: *Account };

const Arguments = struct {
    bump: *const [1]u8,
    sequence: u64,
    model_id: *const [32]u8,
    fee: u64,
    deadline: u64,
    callback_gas_limit: u32,
    policy: u8,
    remote_count: u8,
    remotes: []const u8,
    input_count: u16,
    inputs: []const u8,
};

fn validateAccounts(invocation: *const Invocation, model_id: *const [32]u8) Error!Accounts {
    const list = try invocation.accounts(5);
    try list[0].requirePayer();
    try list[1].requireWritable();
    const config = try account.openConfig(invocation, list[1]);
    const model = try account.openModel(invocation, list[2], model_id);
    try list[3].requireWritable();
    return .{ .requester = list[0], .config = config, .model = model, .outbox = list[3], .system = list[4] };
}

fn parse(arguments: *runtime.Reader, out: *Arguments) Error!void {
    out.bump = try arguments.array(1);
    out.sequence = try arguments.int(u64);
    out.model_id = try arguments.array(32);
    out.fee = try arguments.int(u64);
    out.deadline = try arguments.int(u64);
    out.callback_gas_limit = try arguments.int(u32);
    out.policy = try arguments.int(u8);
    out.remote_count = try arguments.int(u8);
    if (out.remote_count > constants.MAX_REMOTES) return error.TooManyRemotes;
    out.remotes = try arguments.take(@as(usize, out.remote_count) * constants.REMOTE_SIZE);
    out.input_count = try arguments.int(u16);
    if (out.input_count > constants.MAX_INPUTS) return error.WrongInputCount;
    out.inputs = try arguments.take(@as(usize, out.input_count) * 8);
    try arguments.finish();
}

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    var arguments: Arguments = undefined;
    try parse(reader, &arguments);
    const accounts = try validateAccounts(invocation, arguments.model_id);
    var home: message.Place = undefined;
    message.writePlace(&home, &accounts.config.chain_reference, invocation.program_id);
    try check(&arguments, accounts.model, &home);

    const size = constants.REQUEST_SIZE + arguments.remotes.len + arguments.inputs.len;
    const room = try outbox.open(invocation, &.{
        .sender = accounts.requester,
        .config = accounts.config,
        .outbox = accounts.outbox,
        .system = accounts.system,
        .bump = &arguments.bump[0],
        .sequence = arguments.sequence,
        .kind = constants.KIND_INFERENCE_REQUEST,
        .state = constants.OUTBOX_PENDING,
        .destination = &home,
        .origin = &home,
        .recipient = invocation.program_id,
        .expiry = arguments.deadline,
        .fee = arguments.fee,
        .payload_size = @intCast(size),
    });
    writePayload(room, &arguments);
    outbox.seal(accounts.outbox);
}

fn check(arguments: *const Arguments, model: *const account.Model, home: *const message.Place) Error!void {
    if (model.active != 1) return error.InactiveModel;
    if (arguments.input_count != model.input_count) return error.WrongInputCount;
    try message.checkInputs(arguments.inputs, model.input_bound);
    if (arguments.fee < model.price) return error.FeeTooLow;
    if (arguments.deadline == 0 or arguments.deadline < try runtime.now()) return error.DeadlinePassed;
    // Only the origin stores the request, so a proof serves no remote.
    const proven = arguments.policy == constants.POLICY_PROVEN and !runtime.isZero(&model.verifier) and arguments.remote_count == 0;
    if (!message.isSignedPolicy(arguments.policy) and !proven) return error.UnsupportedPolicy;
    try message.checkRemotes(arguments.remotes);
    try message.checkServable(arguments.remotes, home);
}

fn writePayload(room: []u8, arguments: *const Arguments) void {
    room[constants.REQUEST_MODEL_ID_OFFSET..][0..32].* = arguments.model_id.*;
    runtime.writeBig(u64, room[constants.REQUEST_FEE_OFFSET + 8 ..][0..8], arguments.fee); // 16 bytes, the upper half is zero
    runtime.writeBig(u32, room[constants.REQUEST_CALLBACK_GAS_LIMIT_OFFSET..][0..4], arguments.callback_gas_limit);
    room[constants.REQUEST_POLICY_OFFSET] = arguments.policy;
    room[constants.REQUEST_REMOTE_COUNT_OFFSET] = arguments.remote_count;
    runtime.writeBig(u16, room[constants.REQUEST_INPUT_COUNT_OFFSET..][0..2], arguments.input_count);
    const remotes_end = constants.REQUEST_SIZE + arguments.remotes.len;
    @memcpy(room[constants.REQUEST_SIZE..remotes_end], arguments.remotes);
    @memcpy(room[remotes_end..], arguments.inputs);
}
