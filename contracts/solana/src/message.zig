//! The message body, its digest, and the payloads of requests, results, non-deliveries and rotations (PROTOCOL.md sections 1 and 3). A view is only made
//! of bytes that were checked; bytes left over are refused. It knows no accounts and no signatures.

const constants = @import("generated/constants.zig");
const runtime = @import("runtime.zig");
const Error = @import("errors.zig").Error;
const Slice = runtime.Slice;
const readBig = runtime.readBig;
const writeBig = runtime.writeBig;

const HEADER = constants.BODY_SIZE;
/// Chain type, chain reference and gateway: what names an origin or a destination.
pub const PLACE_SIZE = 66;
pub const Place = [PLACE_SIZE]u8;

comptime {
    if (constants.BODY_DESTINATION_CHAIN_TYPE_OFFSET - constants.BODY_ORIGIN_CHAIN_TYPE_OFFSET != PLACE_SIZE or
        constants.BODY_SEQUENCE_OFFSET - constants.BODY_DESTINATION_CHAIN_TYPE_OFFSET != PLACE_SIZE)
        @compileError("an origin or destination has another size");
    if (constants.BODY_PAYLOAD_SIZE_OFFSET + 2 != HEADER) @compileError("the payload size is not the body's last field");
}

/// A checked body.
pub const Body = struct {
    bytes: []const u8,

    pub fn kind(self: Body) u8 {
        return self.bytes[constants.BODY_KIND_OFFSET];
    }
    pub fn origin(self: Body) *const Place {
        return self.bytes[constants.BODY_ORIGIN_CHAIN_TYPE_OFFSET..][0..PLACE_SIZE];
    }
    pub fn originGateway(self: Body) *const [32]u8 {
        return self.bytes[constants.BODY_ORIGIN_GATEWAY_OFFSET..][0..32];
    }
    pub fn destination(self: Body) *const Place {
        return self.bytes[constants.BODY_DESTINATION_CHAIN_TYPE_OFFSET..][0..PLACE_SIZE];
    }
    pub fn sequence(self: Body) u64 {
        return readBig(u64, self.bytes[constants.BODY_SEQUENCE_OFFSET..][0..8]);
    }
    pub fn sender(self: Body) *const [32]u8 {
        return self.bytes[constants.BODY_SENDER_OFFSET..][0..32];
    }
    pub fn recipient(self: Body) *const [32]u8 {
        return self.bytes[constants.BODY_RECIPIENT_OFFSET..][0..32];
    }
    /// Unix seconds; 0: never.
    pub fn expiry(self: Body) u64 {
        return readBig(u64, self.bytes[constants.BODY_EXPIRY_OFFSET..][0..8]);
    }
    pub fn payload(self: Body) []const u8 {
        return self.bytes[HEADER..];
    }
    pub fn digest(self: Body, result: *[32]u8) void {
        runtime.keccak(&.{ Slice.of(&constants.DOMAIN_MESSAGE), Slice.of(self.bytes) }, result);
    }
};

/// Checks a body's form: version, kind, length, chain types and references, address padding.
pub fn parseBody(bytes: []const u8) Error!Body {
    if (bytes.len < HEADER) return error.InvalidBody;
    if (bytes[constants.BODY_VERSION_OFFSET] != constants.PROTOCOL_VERSION) return error.UnknownVersion;
    switch (bytes[constants.BODY_KIND_OFFSET]) {
        constants.KIND_MESSAGE, constants.KIND_INFERENCE_REQUEST, constants.KIND_INFERENCE_RESULT, constants.KIND_NON_DELIVERY, constants.KIND_ROTATION => {},
        else => return error.UnknownKind,
    }
    const body = Body{ .bytes = bytes };
    const size = readBig(u16, bytes[constants.BODY_PAYLOAD_SIZE_OFFSET..][0..2]);
    if (size > constants.MAX_PAYLOAD_SIZE) return error.PayloadTooLarge;
    if (bytes.len != HEADER + @as(usize, size)) return error.InvalidBody;
    try checkPlace(body.origin());
    try checkPlace(body.destination());
    try checkAddress(chainType(body.origin()), body.sender());
    try checkAddress(chainType(body.destination()), body.recipient());
    if (body.sequence() == 0) return error.ZeroSequence;
    return body;
}

pub fn chainType(place: *const Place) u16 {
    return readBig(u16, place[0..2]);
}

/// A known chain type, a valid reference and a correctly padded gateway.
pub fn checkPlace(place: *const Place) Error!void {
    const kind = chainType(place);
    switch (kind) {
        constants.CHAIN_TYPE_EIP155 => {
            const reference = place[2..34];
            if (!zeros(reference[0..24]) or readBig(u64, reference[24..32]) == 0) return error.InvalidChainReference;
        },
        constants.CHAIN_TYPE_SOLANA => {},
        else => return error.UnknownChainType,
    }
    try checkAddress(kind, place[34..66]);
}

/// An EVM address is 20 bytes behind 12 zeros. (Not inlined into its many callers: 2 KB of program.)
pub noinline fn checkAddress(kind: u16, address: *const [32]u8) Error!void {
    if (kind == constants.CHAIN_TYPE_EIP155 and !zeros(address[0..12])) return error.InvalidAddressPadding;
}

fn zeros(bytes: []const u8) bool {
    var seen: u8 = 0;
    for (bytes) |byte| seen |= byte;
    return seen == 0;
}

/// Writes this program's own place (as origin or destination).
pub noinline fn writePlace(place: *Place, chain_reference: *const [32]u8, gateway: *const [32]u8) void {
    writeBig(u16, place[0..2], constants.CHAIN_TYPE_SOLANA);
    place[2..34].* = chain_reference.*;
    place[34..66].* = gateway.*;
}

pub noinline fn samePlace(a: *const Place, b: *const Place) bool {
    return a[0] == b[0] and a[1] == b[1] and runtime.equal(a[2..34], b[2..34]) and runtime.equal(a[34..66], b[34..66]);
}

/// The header of a body that is about to be posted.
pub const Header = struct {
    kind: u8,
    origin: *const Place,
    destination: *const Place,
    sequence: u64,
    sender: *const [32]u8,
    recipient: *const [32]u8,
    expiry: u64,
    payload_size: u16,
};

pub fn writeHeader(bytes: *[HEADER]u8, header: *const Header) void {
    bytes[constants.BODY_VERSION_OFFSET] = constants.PROTOCOL_VERSION;
    bytes[constants.BODY_KIND_OFFSET] = header.kind;
    bytes[constants.BODY_ORIGIN_CHAIN_TYPE_OFFSET..][0..PLACE_SIZE].* = header.origin.*;
    bytes[constants.BODY_DESTINATION_CHAIN_TYPE_OFFSET..][0..PLACE_SIZE].* = header.destination.*;
    writeBig(u64, bytes[constants.BODY_SEQUENCE_OFFSET..][0..8], header.sequence);
    bytes[constants.BODY_SENDER_OFFSET..][0..32].* = header.sender.*;
    bytes[constants.BODY_RECIPIENT_OFFSET..][0..32].* = header.recipient.*;
    writeBig(u64, bytes[constants.BODY_EXPIRY_OFFSET..][0..8], header.expiry);
    writeBig(u16, bytes[constants.BODY_PAYLOAD_SIZE_OFFSET..][0..2], header.payload_size);
}

/// A checked payload of KIND_INFERENCE_RESULT.
pub const Result = struct {
    bytes: []const u8,

    pub fn status(self: Result) u8 {
        return self.bytes[constants.RESULT_STATUS_OFFSET];
    }
    pub fn policy(self: Result) u8 {
        return self.bytes[constants.RESULT_POLICY_OFFSET];
    }
    pub fn modelId(self: Result) *const [32]u8 {
        return self.bytes[constants.RESULT_MODEL_ID_OFFSET..][0..32];
    }
    pub fn requestId(self: Result) *const [32]u8 {
        return self.bytes[constants.RESULT_REQUEST_ID_OFFSET..][0..32];
    }
    pub fn inputCommitment(self: Result) *const [32]u8 {
        return self.bytes[constants.RESULT_INPUT_COMMITMENT_OFFSET..][0..32];
    }
    pub fn requester(self: Result) *const [32]u8 {
        return self.bytes[constants.RESULT_REQUESTER_OFFSET..][0..32];
    }
    pub fn consumer(self: Result) *const [32]u8 {
        return self.bytes[constants.RESULT_CONSUMER_OFFSET..][0..32];
    }
    pub fn outputScale(self: Result) u8 {
        return self.bytes[constants.RESULT_OUTPUT_SCALE_OFFSET];
    }
    pub fn outputCount(self: Result) u8 {
        return self.bytes[constants.RESULT_OUTPUT_COUNT_OFFSET];
    }
    /// Output `index` as int64; the caller stays below `outputCount`.
    pub fn output(self: Result, index: usize) i64 {
        return @bitCast(readBig(u64, self.bytes[constants.RESULT_SIZE + 8 * index ..][0..8]));
    }
};

/// Checks a result's payload: exact length, known status and policy, outputs exactly when answered.
pub fn parseResult(body: Body) Error!Result {
    const bytes = body.payload();
    if (bytes.len < constants.RESULT_SIZE) return error.InvalidResult;
    const result = Result{ .bytes = bytes };
    const count: usize = result.outputCount();
    if (bytes.len != constants.RESULT_SIZE + 8 * count) return error.InvalidResult;
    if (result.status() > constants.STATUS_UNSUPPORTED_POLICY) return error.InvalidResult;
    if (!knownPolicy(result.policy())) return error.InvalidResult;
    if (result.status() == constants.STATUS_ANSWERED) {
        if (count == 0 or count > constants.MAX_OUTPUTS or result.outputScale() > constants.MAX_SCALE) return error.InvalidResult;
    } else if (count != 0 or result.outputScale() != 0) return error.InvalidResult;
    try checkAddress(chainType(body.origin()), result.requester());
    try checkAddress(chainType(body.destination()), result.consumer());
    return result;
}

/// A checked payload of KIND_INFERENCE_REQUEST.
pub const Request = struct {
    bytes: []const u8,

    pub fn modelId(self: Request) *const [32]u8 {
        return self.bytes[constants.REQUEST_MODEL_ID_OFFSET..][0..32];
    }
    pub fn policy(self: Request) u8 {
        return self.bytes[constants.REQUEST_POLICY_OFFSET];
    }
    pub fn remoteCount(self: Request) u8 {
        return self.bytes[constants.REQUEST_REMOTE_COUNT_OFFSET];
    }
    pub fn inputCount(self: Request) u16 {
        return readBig(u16, self.bytes[constants.REQUEST_INPUT_COUNT_OFFSET..][0..2]);
    }
    pub fn remotes(self: Request) []const u8 {
        return self.bytes[constants.REQUEST_SIZE..][0 .. @as(usize, self.remoteCount()) * constants.REMOTE_SIZE];
    }
    /// Eight bytes each, big-endian int64.
    pub fn inputs(self: Request) []const u8 {
        return self.bytes[constants.REQUEST_SIZE + @as(usize, self.remoteCount()) * constants.REMOTE_SIZE ..];
    }
};

/// The request in a body that this program wrote itself, and so need not check.
pub fn requestIn(body: []const u8) Request {
    return .{ .bytes = body[HEADER..] };
}

/// Checks a request's payload: exact length, counts, policies that a signature can serve on remotes, remotes on different chains.
pub fn parseRequest(body: Body) Error!Request {
    const bytes = body.payload();
    if (bytes.len < constants.REQUEST_SIZE) return error.InvalidRequest;
    const request = Request{ .bytes = bytes };
    if (request.remoteCount() > constants.MAX_REMOTES) return error.TooManyRemotes;
    const inputs: usize = request.inputCount();
    if (inputs == 0 or inputs > constants.MAX_INPUTS) return error.InvalidRequest;
    if (bytes.len != constants.REQUEST_SIZE + @as(usize, request.remoteCount()) * constants.REMOTE_SIZE + 8 * inputs) return error.InvalidRequest;
    if (!knownPolicy(request.policy())) return error.InvalidRequest;
    if (request.policy() == constants.POLICY_PROVEN and request.remoteCount() != 0) return error.InvalidRequest;
    try checkRemotes(request.remotes());
    return request;
}

fn knownPolicy(policy: u8) bool {
    return policy >= constants.POLICY_ATTESTED and policy <= constants.POLICY_RECOMPUTED;
}

/// The form of a request's remotes (whole ones): known chains, all different, and a policy that a signature can serve.
pub fn checkRemotes(bytes: []const u8) Error!void {
    const count = bytes.len / constants.REMOTE_SIZE;
    for (0..count) |i| {
        const remote = remoteAt(bytes, i);
        const place = placeOf(remote);
        try checkPlace(place);
        const kind = chainType(place);
        try checkAddress(kind, remote[constants.REMOTE_HUB_OFFSET..][0..32]);
        try checkAddress(kind, remote[constants.REMOTE_CONSUMER_OFFSET..][0..32]);
        const policy = remote[constants.REMOTE_POLICY_OFFSET];
        // Only the origin stores the request, so a remote cannot check a proof without the signature.
        if (!knownPolicy(policy) or policy == constants.POLICY_PROVEN) return error.InvalidRequest;
        for (0..i) |earlier| if (sameChain(place, placeOf(remoteAt(bytes, earlier)))) return error.DuplicateDestination;
    }
}

/// What a poster refuses beyond the form: a remote on its own chain, or a policy that the remote's kind of chain cannot serve.
pub fn checkServable(bytes: []const u8, home: *const Place) Error!void {
    for (0..bytes.len / constants.REMOTE_SIZE) |i| {
        const remote = remoteAt(bytes, i);
        const place = placeOf(remote);
        if (sameChain(place, home)) return error.DuplicateDestination;
        const policy = remote[constants.REMOTE_POLICY_OFFSET];
        const both = policy == constants.POLICY_BOTH and chainType(place) == constants.CHAIN_TYPE_EIP155;
        if (!isSignedPolicy(policy) and !both) return error.UnsupportedPolicy;
    }
}

/// Whether the committee's signature alone carries an answer under this policy (PROTOCOL.md §4).
pub fn isSignedPolicy(policy: u8) bool {
    return policy == constants.POLICY_ATTESTED or policy == constants.POLICY_RECOMPUTED;
}

fn remoteAt(bytes: []const u8, index: usize) *const [constants.REMOTE_SIZE]u8 {
    return bytes[index * constants.REMOTE_SIZE ..][0..constants.REMOTE_SIZE];
}

fn placeOf(remote: *const [constants.REMOTE_SIZE]u8) *const Place {
    return remote[constants.REMOTE_CHAIN_TYPE_OFFSET..][0..PLACE_SIZE];
}

noinline fn sameChain(a: *const Place, b: *const Place) bool {
    return a[0] == b[0] and a[1] == b[1] and runtime.equal(a[2..34], b[2..34]);
}

/// Each input's absolute value is at most `bound` (itself at most 2^63 - 1).
pub fn checkInputs(bytes: []const u8, bound: u64) Error!void {
    var at: usize = 0;
    while (at < bytes.len) : (at += 8) {
        const value: i64 = @bitCast(readBig(u64, bytes[at..][0..8]));
        const magnitude: u64 = if (value < 0) 0 -% @as(u64, @bitCast(value)) else @bitCast(value);
        if (magnitude > bound) return error.InputOutOfBounds;
    }
}

/// A checked payload of KIND_NON_DELIVERY.
pub const NonDelivery = struct {
    bytes: []const u8,

    /// Of the message that expired.
    pub fn digest(self: NonDelivery) *const [32]u8 {
        return self.bytes[constants.NON_DELIVERY_DIGEST_OFFSET..][0..32];
    }
    /// What that message said.
    pub fn payload(self: NonDelivery) []const u8 {
        return self.bytes[constants.NON_DELIVERY_SIZE..];
    }
};

pub fn parseNonDelivery(body: Body) Error!NonDelivery {
    if (body.payload().len < constants.NON_DELIVERY_SIZE) return error.InvalidNonDelivery;
    return .{ .bytes = body.payload() };
}

/// A checked payload of KIND_ROTATION.
pub const Rotation = struct {
    bytes: []const u8,

    pub fn epoch(self: Rotation) u32 {
        return readBig(u32, self.bytes[constants.ROTATION_EPOCH_OFFSET..][0..4]);
    }
    pub fn groupKeyX(self: Rotation) *const [32]u8 {
        return self.bytes[constants.ROTATION_GROUP_KEY_X_OFFSET..][0..32];
    }
    pub fn groupKeyParity(self: Rotation) u8 {
        return self.bytes[constants.ROTATION_GROUP_KEY_PARITY_OFFSET];
    }
    /// R (33) and z (32), one behind the other.
    pub fn proofOfPossession(self: Rotation) *const [65]u8 {
        return self.bytes[constants.ROTATION_PROOF_R_OFFSET..][0..65];
    }
    /// Seconds.
    pub fn overlap(self: Rotation) u32 {
        return readBig(u32, self.bytes[constants.ROTATION_OVERLAP_OFFSET..][0..4]);
    }
    pub fn threshold(self: Rotation) u16 {
        return readBig(u16, self.bytes[constants.ROTATION_THRESHOLD_OFFSET..][0..2]);
    }
    pub fn memberCount(self: Rotation) u16 {
        return readBig(u16, self.bytes[constants.ROTATION_MEMBER_COUNT_OFFSET..][0..2]);
    }
    pub fn remoteCount(self: Rotation) u8 {
        return self.bytes[constants.ROTATION_REMOTE_COUNT_OFFSET];
    }
    /// One number for each member.
    pub fn operators(self: Rotation) []const u8 {
        return self.bytes[constants.ROTATION_SIZE..][0..self.memberCount()];
    }
    pub fn remotes(self: Rotation) []const u8 {
        return self.bytes[constants.ROTATION_SIZE + @as(usize, self.memberCount()) ..];
    }
};

comptime {
    if (constants.ROTATION_PROOF_Z_OFFSET - constants.ROTATION_PROOF_R_OFFSET != 33 or
        constants.ROTATION_OVERLAP_OFFSET - constants.ROTATION_PROOF_R_OFFSET != 65) @compileError("a proof of possession is not R, then z");
}

/// Checks a rotation's payload: exact length, a parity that is a bit, a committee of a lawful size whose quorum is large enough and
/// that no operator can stop alone, and remotes on known, different chains. Key and proof of possession are the caller's to check.
pub noinline fn parseRotation(body: Body) Error!Rotation {
    const bytes = body.payload();
    if (bytes.len < constants.ROTATION_SIZE) return error.InvalidRotation;
    const rotation = Rotation{ .bytes = bytes };
    const members: usize = rotation.memberCount();
    const remotes: usize = rotation.remoteCount();
    if (remotes > constants.MAX_REMOTES) return error.TooManyRemotes;
    if (members < constants.MIN_MEMBERS or members > constants.MAX_MEMBERS) return error.InvalidRotation;
    if (bytes.len != constants.ROTATION_SIZE + members + remotes * constants.ROTATION_REMOTE_SIZE) return error.InvalidRotation;
    if (rotation.groupKeyParity() > 1) return error.InvalidRotation;
    const threshold: usize = rotation.threshold();
    if (threshold < 2 * members / 3 + 1 or threshold > members) return error.InvalidRotation;
    try checkOperators(rotation.operators(), members - threshold);
    try checkRotationRemotes(rotation.remotes(), remotes);
    return rotation;
}

/// No operator runs more members than may be missing.
fn checkOperators(operators: []const u8, most: usize) Error!void {
    var counts: [256]u16 = @splat(0);
    for (operators) |operator| {
        counts[operator] += 1;
        if (counts[operator] > most) return error.OperatorTooHeavy;
    }
}

fn checkRotationRemotes(bytes: []const u8, count: usize) Error!void {
    for (0..count) |i| {
        const place = rotationPlaceAt(bytes, i);
        try checkPlace(place);
        try checkAddress(chainType(place), bytes[i * constants.ROTATION_REMOTE_SIZE + constants.ROTATION_REMOTE_COMMITTEE_OFFSET ..][0..32]);
        for (0..i) |earlier| if (sameChain(place, rotationPlaceAt(bytes, earlier))) return error.DuplicateDestination;
    }
}

fn rotationPlaceAt(bytes: []const u8, index: usize) *const Place {
    return bytes[index * constants.ROTATION_REMOTE_SIZE ..][0..PLACE_SIZE];
}
