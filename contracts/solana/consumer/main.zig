//! The example consumer: a program that asks Sibyl by a call and uses the answers, its own and those of a consumer on another
//! chain. It shows what every reader of an inbox account must check (PROTOCOL.md section 7). The model is a tumour classifier
//! whose one output is the logit of "malignant".
//!
//! Accounts of this program (PDAs):
//!   [settings]            who Sibyl is, which model counts, whose questions from another chain count. Set by the upgrade authority.
//!   [asker]               no data; the requester of `ask`, and the consumer that results must name. Holds lamports for rent and fee.
//!   [answer, request id]  one recorded answer.
//!
//! | instruction | data after the number | accounts (w writable, s signer) |
//! |---|---|---|
//! | 0 configure | bump u8, Sibyl program 32, model id 32, foreign origin hash 32, foreign requester 32 (both zero: none) | authority ws, settings w, program_data, system |
//! | 1 ask | asker bump u8, then the data of Sibyl's `request` after its number | payer ws, settings, asker w, Sibyl program, Sibyl config w, model, outbox w, system |
//! | 2 read | record bump u8, asker bump u8 | payer ws, settings, inbox, record w, system |

const std = @import("std");
const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const Account = runtime.Account;
const Error = sibyl.errors.Error;
const Invocation = runtime.Invocation;
const Pubkey = runtime.Pubkey;
const Slice = runtime.Slice;

pub const panic = std.debug.no_panic;

const SEED_SETTINGS = "settings";
const SEED_ASKER = "asker";
const SEED_ANSWER = "answer";
const TYPE_SETTINGS: u8 = 1;
const TYPE_ANSWER: u8 = 2;

const DECISION_BENIGN: u8 = 0;
const DECISION_MALIGNANT: u8 = 1;
const DECISION_NONE: u8 = 255; // refused: there is no answer

const Settings = extern struct {
    account_type: u8,
    bump: u8,
    reserved: [6]u8,
    sibyl: Pubkey,
    model_id: [32]u8,
    foreign_origin_hash: [32]u8,
    foreign_requester: [32]u8,
};

const Answer = extern struct {
    account_type: u8,
    bump: u8,
    status: u8,
    decision: u8,
    output_scale: u8,
    reserved: [3]u8,
    logit: i64,
    delivered_at: u64,
    request_id: [32]u8,
    input_commitment: [32]u8,
    requester: [32]u8,
};

comptime {
    if (@sizeOf(Settings) != 136 or @offsetOf(Settings, "sibyl") != 8) @compileError("the settings have another layout");
    if (@sizeOf(Answer) != 120 or @offsetOf(Answer, "logit") != 8 or @offsetOf(Answer, "request_id") != 24) @compileError("the answer has another layout");
}

fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    var invocation: Invocation = undefined;
    invocation.parse(input) catch |err| return sibyl.errors.report(err);
    dispatch(&invocation) catch |err| return sibyl.errors.report(err);
    return 0;
}

comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}

fn dispatch(invocation: *const Invocation) Error!void {
    var arguments = runtime.Reader{ .bytes = invocation.data };
    switch (try arguments.int(u8)) {
        0 => try configure(invocation, &arguments),
        1 => try ask(invocation, &arguments),
        2 => try read(invocation, &arguments),
        else => return error.InvalidInstruction,
    }
}

// ---- configure ----

fn configure(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const program = try arguments.array(32);
    const model_id = try arguments.array(32);
    const foreign_origin_hash = try arguments.array(32);
    const foreign_requester = try arguments.array(32);
    try arguments.finish();
    const list = try invocation.accounts(4);
    try list[0].requirePayer();
    try list[1].requireWritable();
    try sibyl.authority.requireUpgradeAuthority(invocation, list[0], list[2]);
    const seeds = [_]Slice{Slice.of(SEED_SETTINGS)};
    const exists = runtime.equal(&list[1].owner, invocation.program_id);
    if (!exists) try runtime.createAccount(invocation, &.{
        .payer = list[0],
        .account = list[1],
        .system = list[3],
        .derivation = .{ .seeds = &seeds, .bump = &bump[0] },
        .size = @sizeOf(Settings),
        .escrow = 0,
    });
    const settings = if (exists) try openSettings(invocation, list[1]) else viewOf(Settings, list[1]);
    settings.account_type = TYPE_SETTINGS;
    if (!exists) settings.bump = bump[0];
    settings.sibyl = program.*;
    settings.model_id = model_id.*;
    settings.foreign_origin_hash = foreign_origin_hash.*;
    settings.foreign_requester = foreign_requester.*;
}

fn viewOf(comptime T: type, account: *Account) *T {
    return @ptrCast(@alignCast(account.data().ptr));
}

fn openSettings(invocation: *const Invocation, account: *Account) Error!*Settings {
    if (!runtime.equal(&account.owner, invocation.program_id)) return error.WrongOwner;
    if (account.data_length != @sizeOf(Settings)) return error.WrongAccountSize;
    const settings = viewOf(Settings, account);
    if (settings.account_type != TYPE_SETTINGS) return error.WrongAccountType;
    const seeds = [_]Slice{Slice.of(SEED_SETTINGS)};
    try runtime.requireAddress(invocation, account, .{ .seeds = &seeds, .bump = &settings.bump });
    return settings;
}

// ---- ask ----

/// Asks Sibyl in this program's own name: the asker account is the requester, pays rent and fee, and gets what comes back.
fn ask(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const FEE_OFFSET = 41; // in the data of Sibyl's request after its number: bump 1, sequence 8, model id 32, then the fee
    const REMOTE_COUNT_OFFSET = FEE_OFFSET + 8 + 8 + 4 + 1;
    const MAX_DATA = 1_100;
    const bump = try arguments.array(1);
    const request = arguments.bytes;
    if (request.len <= REMOTE_COUNT_OFFSET or request.len > MAX_DATA) return error.InvalidInstruction;
    const list = try invocation.accounts(8);
    const payer = list[0];
    const asker = list[2];
    try payer.requirePayer();
    try asker.requireWritable();
    const settings = try openSettings(invocation, list[1]);
    if (!runtime.equal(&list[3].key, &settings.sibyl)) return error.WrongAddress;
    if (!runtime.equal(request[9..41], &settings.model_id)) return error.InvalidModel;
    const seeds = [_]Slice{Slice.of(SEED_ASKER)};
    const derivation = runtime.Derivation{ .seeds = &seeds, .bump = &bump[0] };
    try runtime.requireNewAddress(invocation, asker, derivation);

    const fee = runtime.readLittle(u64, request[FEE_OFFSET..][0..8]);
    // Sibyl's payload is at most its instruction data, so this is enough for the outbox account's rent.
    const outbox_size = sibyl.constants.OUTBOX_ACCOUNT_SIZE + sibyl.constants.BODY_SIZE + request.len;
    const needed = try runtime.add(try runtime.add(fee, try runtime.rentMinimum(outbox_size)), try runtime.rentMinimum(0));
    if (asker.lamports < needed) try runtime.transfer(payer, asker, needed - asker.lamports);

    var data: [MAX_DATA + 1]u8 = undefined;
    data[0] = sibyl.constants.INSTRUCTION_REQUEST;
    @memcpy(data[1..][0..request.len], request);
    const accounts = [_]*Account{ asker, list[4], list[5], list[6], list[7] };
    try runtime.invoke(&.{
        .program_id = &settings.sibyl,
        .accounts = &accounts,
        .signers = 0b00001,
        .data = data[0 .. request.len + 1],
        .derivation = derivation,
    });
}

// ---- read ----

/// Records the answer of one inbox account, and returns it: logit i64 LE, scale, decision, status.
fn read(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const record_bump = try arguments.array(1);
    const asker_bump = try arguments.array(1);
    try arguments.finish();
    const list = try invocation.accounts(5);
    try list[0].requirePayer();
    const settings = try openSettings(invocation, list[1]);

    // 1. Sibyl wrote this account: its owner, size, type and version.
    const inbox = try sibyl.account.openWithBody(sibyl.account.Inbox, &settings.sibyl, list[2]);
    if (inbox.kind != sibyl.constants.KIND_INFERENCE_RESULT) return error.UnknownKind;
    // 2. Its body is a result. Sibyl checked that before it wrote it; decoding gives the fields.
    const body = try sibyl.message.parseBody(sibyl.account.bodyOf(sibyl.account.Inbox, list[2]));
    const result = try sibyl.message.parseResult(body);
    // 3. It is for this program, about the model that counts, and was asked by somebody who counts.
    try requireAsker(invocation, result.consumer(), &asker_bump[0]);
    if (!runtime.equal(result.modelId(), &settings.model_id)) return error.InvalidModel;
    try requireKnownQuestion(settings, body, result);

    const seeds = [_]Slice{ Slice.of(SEED_ANSWER), Slice.of(result.requestId()) };
    try runtime.createAccount(invocation, &.{
        .payer = list[0],
        .account = list[3],
        .system = list[4],
        .derivation = .{ .seeds = &seeds, .bump = &record_bump[0] },
        .size = @sizeOf(Answer),
        .escrow = 0,
    });
    const answer = viewOf(Answer, list[3]);
    record(answer, result);
    answer.bump = record_bump[0];
    answer.delivered_at = inbox.delivered_at;
    var reply: [11]u8 = undefined;
    @as(*align(1) i64, @ptrCast(reply[0..8])).* = answer.logit;
    reply[8] = answer.output_scale;
    reply[9] = answer.decision;
    reply[10] = answer.status;
    runtime.setReturnData(&reply);
}

/// The consumer named in a result must be this program's asker account.
fn requireAsker(invocation: *const Invocation, consumer: *const [32]u8, bump: *const u8) Error!void {
    const seeds = [_]Slice{Slice.of(SEED_ASKER)};
    const derivation = runtime.Derivation{ .seeds = &seeds, .bump = bump };
    runtime.requireCanonical(invocation.program_id, consumer, derivation) catch return error.WrongRecipient;
}

/// A question of this program itself, or of the one requester on the one other chain that the settings name.
fn requireKnownQuestion(settings: *const Settings, body: sibyl.message.Body, result: sibyl.message.Result) Error!void {
    const home = runtime.equal(body.originGateway(), &settings.sibyl) and sibyl.message.samePlace(body.origin(), body.destination());
    if (home) {
        if (!runtime.equal(result.requester(), result.consumer())) return error.WrongRequester;
        return;
    }
    var origin_hash: [32]u8 = undefined;
    runtime.keccak(&.{Slice.of(body.origin())}, &origin_hash);
    if (runtime.isZero(&settings.foreign_requester)) return error.WrongRequester;
    if (!runtime.equal(&origin_hash, &settings.foreign_origin_hash)) return error.UnknownPeer;
    if (!runtime.equal(result.requester(), &settings.foreign_requester)) return error.WrongRequester;
}

fn record(answer: *Answer, result: sibyl.message.Result) void {
    answer.account_type = TYPE_ANSWER;
    answer.status = result.status();
    answer.output_scale = result.outputScale();
    answer.request_id = result.requestId().*;
    answer.input_commitment = result.inputCommitment().*;
    answer.requester = result.requester().*;
    if (result.status() == sibyl.constants.STATUS_ANSWERED) {
        answer.logit = result.output(0);
        answer.decision = if (answer.logit > 0) DECISION_MALIGNANT else DECISION_BENIGN;
    } else {
        answer.decision = DECISION_NONE;
    }
}
