//! deliver: takes one signed message. It checks form, destination, origin, expiry, signature and replay; then it writes the
//! inbox account (of a rotation, too: `rotate` takes it), and for the result of a request of this chain it settles the escrowed fee. Whatever fails, fails the whole
//! instruction. Anyone may call it: nothing depends on who does.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const frost = @import("../frost.zig");
const inbox = @import("../inbox.zig");
const merkle = @import("../merkle.zig");
const message = @import("../message.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;

const COMMON_ACCOUNTS = 7;
const SETTLING_ACCOUNTS = COMMON_ACCOUNTS + 3;

const Arguments = struct {
    epoch: u32,
    signature: *const [frost.SIGNATURE_SIZE]u8,
    inbox_bump: *const [1]u8,
    replay_bump: *const [1]u8,
    branch: []const u8,
    body: message.Body,
};

/// The accounts of every delivery; the rest is there for the result of a request of this chain.
const Accounts = struct {
    payer: *Account,
    config: *account.Config,
    committee: *account.Committee,
    replay: *Account,
    inbox: *Account,
    system: *Account,
    from_home: bool,
    outbox: ?*Account,
    treasury: ?*Account,
    requester: ?*Account,
};

fn parse(reader: *runtime.Reader, out: *Arguments) Error!void {
    out.epoch = try reader.int(u32);
    out.signature = try reader.array(frost.SIGNATURE_SIZE);
    out.inbox_bump = try reader.array(1);
    out.replay_bump = try reader.array(1);
    const branch_count = try reader.int(u8);
    if (branch_count > constants.MERKLE_MAX_DEPTH) return error.BranchTooLong;
    out.branch = try reader.take(@as(usize, branch_count) * 32);
    const body_size = try reader.int(u16);
    out.body = try message.parseBody(try reader.take(body_size));
    try reader.finish();
}

fn validateAccounts(invocation: *const Invocation, arguments: *const Arguments, out: *Accounts) Error!void {
    if (invocation.count < COMMON_ACCOUNTS) return error.WrongAccountCount;
    const list = try invocation.accounts(invocation.count);
    const body = arguments.body;
    try list[0].requirePayer();
    out.payer = list[0];
    out.config = try account.openConfig(invocation, list[1]);
    out.committee = try account.openCommittee(invocation, list[2], arguments.epoch);
    var home: message.Place = undefined;
    message.writePlace(&home, &out.config.chain_reference, invocation.program_id);
    if (!message.samePlace(body.destination(), &home)) return error.WrongDestination;
    out.from_home = message.samePlace(body.origin(), &home);
    if (out.from_home) {
        if (!runtime.equal(&list[3].key, &list[1].key)) return error.WrongAddress;
    } else {
        try account.requirePeer(invocation, list[3], body.origin());
    }
    out.replay = list[4];
    out.inbox = list[5];
    out.system = list[6];
    const settles = out.from_home and body.kind() == constants.KIND_INFERENCE_RESULT;
    if (invocation.count != @as(usize, if (settles) SETTLING_ACCOUNTS else COMMON_ACCOUNTS)) return error.WrongAccountCount;
    out.outbox = if (settles) list[7] else null;
    out.treasury = if (settles) list[8] else null;
    out.requester = if (settles) list[9] else null;
}

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    var arguments: Arguments = undefined;
    try parse(reader, &arguments);
    var accounts: Accounts = undefined;
    try validateAccounts(invocation, &arguments, &accounts);
    const body = arguments.body;
    const time = try runtime.now();
    if (body.expiry() != 0 and time > body.expiry()) return error.Expired;
    try checkKind(invocation, &accounts, body);

    var digest: [32]u8 = undefined;
    body.digest(&digest);
    try checkSignature(&arguments, accounts.committee, time, &digest);
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
        .epoch = arguments.epoch,
    });
    // Last: the runtime refuses a call to the system program between the two halves of a movement of lamports, and the payer
    // of the calls above may be the requester.
    if (accounts.outbox != null) try settle(invocation, &accounts, body);
}

fn checkKind(invocation: *const Invocation, accounts: *const Accounts, body: message.Body) Error!void {
    const to_program = runtime.equal(body.recipient(), invocation.program_id);
    switch (body.kind()) {
        constants.KIND_MESSAGE => if (to_program or runtime.isZero(body.recipient())) return error.WrongRecipient,
        constants.KIND_INFERENCE_RESULT => {
            if (!to_program) return error.WrongRecipient;
            if (!runtime.equal(body.sender(), body.originGateway())) return error.WrongSender;
            const result = try message.parseResult(body);
            // A refusal gives nothing but the fee back, so it is taken under every policy.
            if (result.status() == constants.STATUS_ANSWERED and !message.isSignedPolicy(result.policy())) return error.UnsupportedPolicy;
        },
        constants.KIND_NON_DELIVERY => {
            if (!accounts.from_home) return error.ForeignNotice;
            if (to_program or runtime.isZero(body.recipient())) return error.WrongRecipient;
            if (!runtime.equal(body.sender(), body.originGateway())) return error.WrongSender;
            _ = try message.parseNonDelivery(body);
        },
        constants.KIND_ROTATION => {
            // This program posts none, so one that names it as origin was never posted.
            if (accounts.from_home) return error.NotDeliverable;
            if (!to_program) return error.WrongRecipient;
            _ = try message.parseRotation(body);
        },
        else => return error.NotDeliverable,
    }
}

fn checkSignature(arguments: *const Arguments, committee: *const account.Committee, time: u64, digest: *const [32]u8) Error!void {
    if (time < committee.valid_from) return error.PendingEpoch;
    if (committee.valid_until != 0 and time > committee.valid_until) return error.EndedEpoch;
    var root: [32]u8 = undefined;
    try merkle.rootOf(digest, arguments.branch, &root);
    var signed: [32]u8 = undefined;
    merkle.signedValue(&root, &signed);
    const key = frost.GroupKey{ .x = &committee.group_key_x, .parity = committee.group_key_parity };
    try frost.verify(key, &signed, arguments.signature);
}

/// The fee of an answered request goes to the treasury, that of a refused one back to its requester.
fn settle(invocation: *const Invocation, accounts: *const Accounts, body: message.Body) Error!void {
    const outbox_account = accounts.outbox.?;
    const treasury = accounts.treasury.?;
    const requester = accounts.requester.?;
    const result = try message.parseResult(body);
    const outbox = try account.openOutbox(invocation, outbox_account);
    if (outbox.sequence != body.sequence() or !runtime.equal(&outbox.digest, result.requestId())) return error.WrongRequest;
    if (outbox.state != constants.OUTBOX_PENDING) return error.NotPending;
    // What was asked to be proven is not answered by less.
    const asked = account.bodyOf(account.Outbox, outbox_account);
    if (result.policy() != asked[constants.BODY_SIZE + constants.REQUEST_POLICY_OFFSET]) return error.UnsupportedPolicy;
    if (!runtime.equal(&treasury.key, &accounts.config.treasury)) return error.WrongTreasury;
    if (!runtime.equal(&requester.key, &outbox.sender) or !runtime.equal(&requester.key, result.requester())) return error.WrongRequester;
    if (!runtime.equal(&requester.key, result.consumer())) return error.WrongRequester;
    try treasury.requireWritable();
    try requester.requireWritable();
    if (result.status() == constants.STATUS_ANSWERED) {
        if (!try canHold(treasury, outbox.fee)) return error.TreasuryNotFunded;
        try runtime.moveLamports(outbox_account, treasury, outbox.fee);
        outbox.fee = 0;
        outbox.state = constants.OUTBOX_ANSWERED;
    } else {
        // A requester whose account is empty may be too poor to hold a small fee; it then stays in the outbox account, whose
        // closing pays everything to the requester. A refusal is never blocked by that.
        if (try canHold(requester, outbox.fee)) {
            try runtime.moveLamports(outbox_account, requester, outbox.fee);
            outbox.fee = 0;
        }
        outbox.state = constants.OUTBOX_REFUSED;
    }
}

/// Whether the account would be rent-exempt with `amount` more (the runtime fails the transaction otherwise).
fn canHold(receiver: *const Account, amount: u64) Error!bool {
    if (amount == 0) return true;
    return try runtime.add(receiver.lamports, amount) >= try runtime.rentMinimum(receiver.data_length);
}
