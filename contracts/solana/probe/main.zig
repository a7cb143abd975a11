//! For tests only, never deployed: runs the program's own decoding, hashing and signature check on given bytes, so that the
//! shared vectors hold this implementation too. The first byte chooses; the answer is the return data, a refusal its error.

const std = @import("std");
const sibyl = @import("sibyl");
const runtime = sibyl.runtime;
const Error = sibyl.errors.Error;

pub const panic = std.debug.no_panic;

fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    var invocation: runtime.Invocation = undefined;
    invocation.parse(input) catch |err| return sibyl.errors.report(err);
    dispatch(&invocation) catch |err| return sibyl.errors.report(err);
    return 0;
}

comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}

fn dispatch(invocation: *const runtime.Invocation) Error!void {
    var arguments = runtime.Reader{ .bytes = invocation.data };
    switch (try arguments.int(u8)) {
        0 => try bodyDigest(arguments.bytes),
        1 => try batchValue(&arguments),
        2 => try signature(&arguments),
        3 => try product(&arguments),
        4 => try rotationFields(arguments.bytes),
        5 => try noticeFields(arguments.bytes),
        else => return error.InvalidInstruction,
    }
}

/// Decodes a whole message; returns its digest.
fn bodyDigest(bytes: []const u8) Error!void {
    const body = try sibyl.message.parseBody(bytes);
    switch (body.kind()) {
        sibyl.constants.KIND_INFERENCE_REQUEST => _ = try sibyl.message.parseRequest(body),
        sibyl.constants.KIND_INFERENCE_RESULT => _ = try sibyl.message.parseResult(body),
        sibyl.constants.KIND_NON_DELIVERY => _ = try sibyl.message.parseNonDelivery(body),
        sibyl.constants.KIND_ROTATION => _ = try sibyl.message.parseRotation(body),
        else => {},
    }
    var digest: [32]u8 = undefined;
    body.digest(&digest);
    runtime.setReturnData(&digest);
}

/// Digest, then the branch; returns what the committee signs.
fn batchValue(arguments: *runtime.Reader) Error!void {
    const digest = try arguments.array(32);
    var root: [32]u8 = undefined;
    try sibyl.merkle.rootOf(digest, arguments.bytes, &root);
    var signed: [32]u8 = undefined;
    sibyl.merkle.signedValue(&root, &signed);
    runtime.setReturnData(&signed);
}

/// Group key (SEC1 compressed), message, signature.
fn signature(arguments: *runtime.Reader) Error!void {
    const prefix = try arguments.int(u8);
    const key = sibyl.frost.GroupKey{ .parity = prefix -% 2, .x = try arguments.array(32) };
    const message = try arguments.array(32);
    try sibyl.frost.verify(key, message, try arguments.array(sibyl.frost.SIGNATURE_SIZE));
}

/// Two numbers below 2^256; returns their product modulo the group's order.
fn product(arguments: *runtime.Reader) Error!void {
    const a = sibyl.scalar.fromBytes(try arguments.array(32));
    const b = sibyl.scalar.fromBytes(try arguments.array(32));
    var result: sibyl.scalar.Scalar = undefined;
    sibyl.scalar.multiply(&a, &b, &result);
    var bytes: [32]u8 = undefined;
    sibyl.scalar.toBytes(&result, &bytes);
    runtime.setReturnData(&bytes);
}

/// A whole rotation; returns epoch, overlap, threshold (u64 each, little-endian), parity, x, proof of possession and operators, as read.
fn rotationFields(bytes: []const u8) Error!void {
    const rotation = try sibyl.message.parseRotation(try sibyl.message.parseBody(bytes));
    var out: [24 + 1 + 32 + 65 + 256]u8 = undefined;
    const numbers = [3]u64{ rotation.epoch(), rotation.overlap(), rotation.threshold() };
    for (numbers, 0..) |number, i| @as(*align(1) u64, @ptrCast(out[8 * i ..][0..8])).* = number;
    out[24] = rotation.groupKeyParity();
    out[25..57].* = rotation.groupKeyX().*;
    out[57..122].* = rotation.proofOfPossession().*;
    const operators = rotation.operators();
    @memcpy(out[122..][0..operators.len], operators);
    runtime.setReturnData(out[0 .. 122 + operators.len]);
}

/// A whole non-delivery; returns the digest and the payload that it tells of.
fn noticeFields(bytes: []const u8) Error!void {
    const notice = try sibyl.message.parseNonDelivery(try sibyl.message.parseBody(bytes));
    var out: [32 + 512]u8 = undefined;
    out[0..32].* = notice.digest().*;
    @memcpy(out[32..][0..notice.payload().len], notice.payload());
    runtime.setReturnData(out[0 .. 32 + notice.payload().len]);
}
