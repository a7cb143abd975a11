//! Verification of one RFC 9591 FROST(secp256k1, SHA-256) signature with the runtime's ECDSA recovery.
//!
//! With r = Px, the parity of P, hash = -z Px and s = -e Px (mod n), recovery gives r^-1 (s P - hash G) = z G - e P, which is R
//! exactly when the signature is valid. Both coordinates of R are compared (x, and the parity of y).

const runtime = @import("runtime.zig");
const scalar = @import("scalar.zig");
const Error = @import("errors.zig").Error;
const Scalar = scalar.Scalar;
const Slice = runtime.Slice;

pub const SIGNATURE_SIZE = 65;
const KEY_TAG: [32]u8 = tag: {
    const text = "SIBYL_KEY_V1";
    var padded: [32]u8 = @splat(0);
    padded[0..text.len].* = text.*;
    break :tag padded;
};

/// A group public key.
pub const GroupKey = struct { x: *const [32]u8, parity: u8 };

/// Refuses keys under which recovery would prove nothing: x = 0 or x >= n, or a parity that is no bit. Whether x is a point's
/// is shown by the proof of possession.
pub fn checkKey(key: GroupKey) Error!void {
    const x = scalar.fromBytes(key.x);
    if (key.parity > 1 or scalar.isZero(&x) or !scalar.isReduced(&x)) return error.InvalidGroupKey;
}

/// `signature` is R (SEC1 compressed, 33 bytes) ‖ z (32 bytes) over the 32 bytes of `message`.
pub fn verify(key: GroupKey, message: *const [32]u8, signature: *const [SIGNATURE_SIZE]u8) Error!void {
    try checkKey(key);
    const commitment = signature[0..33];
    if (commitment[0] != 2 and commitment[0] != 3) return error.InvalidSignature;
    const z = scalar.fromBytes(signature[33..65]);
    if (scalar.isZero(&z) or !scalar.isReduced(&z)) return error.InvalidSignature;
    const x = scalar.fromBytes(key.x);
    var challenge: Scalar = undefined;
    challengeOf(key, commitment, message, &challenge);
    if (scalar.isZero(&challenge)) return error.InvalidSignature;

    var hash: [32]u8 = undefined;
    negativeProduct(&z, &x, &hash);
    var ecdsa: [64]u8 = undefined;
    ecdsa[0..32].* = key.x.*;
    negativeProduct(&challenge, &x, ecdsa[32..64]);

    var point: [64]u8 = undefined;
    if (!runtime.recover(&hash, key.parity, &ecdsa, &point)) return error.InvalidSignature;
    const same_x = runtime.equal(point[0..32], commitment[1..33]);
    const same_parity = point[63] & 1 == commitment[0] & 1;
    if (!same_x or !same_parity) return error.InvalidSignature;
}

/// The proof that whoever sets a key can sign with it (no rogue or mistyped key becomes the committee's).
pub fn verifyPossession(epoch: u32, key: GroupKey, signature: *const [SIGNATURE_SIZE]u8) Error!void {
    var epoch_word: [32]u8 = @splat(0);
    runtime.writeBig(u32, epoch_word[28..32], epoch);
    var parity_word: [32]u8 = @splat(0);
    parity_word[31] = key.parity;
    var message: [32]u8 = undefined;
    runtime.keccak(&.{ Slice.of(&KEY_TAG), Slice.of(&epoch_word), Slice.of(key.x), Slice.of(&parity_word) }, &message);
    try verify(key, &message, signature);
}

/// -(a b) mod n; both factors are nonzero and n is prime, so the product is not zero.
fn negativeProduct(a: *const Scalar, b: *const Scalar, bytes: *[32]u8) void {
    var product: Scalar = undefined;
    scalar.multiply(a, b, &product);
    var negative: Scalar = undefined;
    scalar.negate(&product, &negative);
    scalar.toBytes(&negative, bytes);
}

/// e = H2(R ‖ P ‖ message) of RFC 9591 section 6.5: expand_message_xmd (RFC 9380 section 5.3.1) to 48 bytes, modulo n.
fn challengeOf(key: GroupKey, commitment: *const [33]u8, message: *const [32]u8, challenge: *Scalar) void {
    const DST = "FROST-secp256k1-SHA256-v1chal";
    const DST_PRIME = DST ++ [1]u8{DST.len};
    const Z_PAD: [64]u8 = @splat(0); // SHA-256's block
    const LENGTH = [3]u8{ 0, 48, 0 }; // I2OSP(48, 2) ‖ I2OSP(0, 1)
    const prefix = [1]u8{2 + key.parity};
    var b0: [32]u8 = undefined;
    runtime.sha256(&.{
        Slice.of(&Z_PAD),  Slice.of(commitment), Slice.of(&prefix),   Slice.of(key.x),
        Slice.of(message), Slice.of(&LENGTH),    Slice.of(DST_PRIME),
    }, &b0);
    var uniform: [64]u8 = undefined;
    const FIRST = [1]u8{1};
    runtime.sha256(&.{ Slice.of(&b0), Slice.of(&FIRST), Slice.of(DST_PRIME) }, uniform[0..32]);
    var mixed: [32]u8 = undefined;
    for (&mixed, b0, uniform[0..32]) |*out, a, b| out.* = a ^ b;
    const SECOND = [1]u8{2};
    runtime.sha256(&.{ Slice.of(&mixed), Slice.of(&SECOND), Slice.of(DST_PRIME) }, uniform[32..64]);
    scalar.fromWideBytes(uniform[0..48], challenge);
}
