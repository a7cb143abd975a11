//! A proof on its way here, with half of each point: x, and in its highest bit whether y is the larger root. 512 bytes less to upload; the verifier gets
//! back the very bytes of the proof, which the transcript is about.

const curve = @import("curve.zig");
const verifier = @import("verifier.zig");

pub const LENGTH = verifier.PROOF_LENGTH - 32 * POINTS;
const POINTS = 16;
const LEADING = 14;
const EVALUATIONS = 29 * 32;

/// False for an x that is on no point; whether the rest is proper the verifier asks itself.
pub noinline fn unpack(proof: *[verifier.PROOF_LENGTH]u8, from: *const [LENGTH]u8) bool {
    for (0..POINTS) |i| {
        const gap: usize = if (i < LEADING) 0 else EVALUATIONS;
        if (!curve.decompress(proof[64 * i + gap ..][0..64], from[32 * i + gap ..][0..32])) return false;
    }
    proof[64 * LEADING ..][0..EVALUATIONS].* = from[32 * LEADING ..][0..EVALUATIONS].*;
    return true;
}
