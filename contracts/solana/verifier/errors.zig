//! The verifier program's own errors, beside those of the Sibyl program whose modules it uses: number and sentence. Numbers never
//! change their meaning; `contracts/solana/errors.py` reads this file too.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;

pub const Own = error{
    InvalidProof,
    InvalidKey,
    SealedKey,
    UnsealedKey,
    IncompleteKey,
    WrongHash,
    OutOfBounds,
    WrongProofSize,
};

pub const Error = sibyl.errors.Error || Own;

fn entry(err: Own) sibyl.errors.Entry {
    return switch (err) {
        error.InvalidProof => .{ .code = 800, .sentence = "The proof does not hold for these instances under this key, or its hint is another proof's." },
        error.InvalidKey => .{ .code = 801, .sentence = "The content is no prepared key: another tag or length, or a size that no key has." },
        error.SealedKey => .{ .code = 802, .sentence = "The key is sealed: it never changes and is never closed." },
        error.UnsealedKey => .{ .code = 803, .sentence = "The key is not sealed yet: its payer must finish and seal it first." },
        error.IncompleteKey => .{ .code = 804, .sentence = "The key's account has not grown to its size: write all parts first." },
        error.WrongHash => .{ .code = 805, .sentence = "The content's hash is not the one that the key's address is made of: write the parts again." },
        error.OutOfBounds => .{ .code = 806, .sentence = "The part does not fit the account: write a key's first parts first, and no more than was announced." },
        error.WrongProofSize => .{ .code = 807, .sentence = "The account and the tail together are not a packed proof with its hint, byte for byte." },
    };
}

/// Logs the error's name and sentence and returns the number that the transaction fails with.
pub fn report(err: Error) u64 {
    @branchHint(.cold);
    return switch (err) {
        error.InvalidProof, error.InvalidKey, error.SealedKey, error.UnsealedKey, error.IncompleteKey, error.WrongHash, error.OutOfBounds, error.WrongProofSize => |own| reportOwn(own),
        else => |other| sibyl.errors.report(other),
    };
}

fn reportOwn(err: Own) u64 {
    runtime.log(@errorName(err));
    const found = entry(err);
    runtime.log(found.sentence);
    return found.code;
}
