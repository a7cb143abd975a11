//! The token program's own errors, beside those of the Sibyl program whose modules it uses: number and sentence. Numbers never
//! change their meaning; `contracts/solana/errors.py` reads this file too.

const sibyl = @import("sibyl");
const runtime = sibyl.runtime;

pub const Own = error{
    WrongBridge,
    WrongToken,
    WrongMint,
    WrongTokenProgram,
    WrongVault,
    WrongTokenAccount,
    NotAssociated,
    UnsafeMint,
    UnsupportedDecimals,
    InvalidTransfer,
    InvalidRegistration,
    WrongOrigin,
    AmountTooSmall,
    AmountTooLarge,
    OverLimit,
    UnderLimit,
    OverCap,
    Paused,
    NotGuardian,
    NotReleasable,
    NotExact,
    InsufficientLocked,
    ForbiddenRecipient,
    WrappedMint,
    InsufficientTokens,
    FeeTooHigh,
    ExpiryTooFar,
    WrongNotice,
    NotNative,
    NotPaused,
    OverShare,
    UnknownAct,
    NotAnnounced,
};

pub const Error = sibyl.errors.Error || Own;

fn entry(err: Own) sibyl.errors.Entry {
    return switch (err) {
        error.WrongBridge => .{ .code = 700, .sentence = "The message's sender is not the EVM contract that speaks for this token, or its recipient is not the bridge authority." },
        error.WrongToken => .{ .code = 701, .sentence = "The token's account is not the one of this mint or EVM bridge." },
        error.WrongMint => .{ .code = 702, .sentence = "The mint is not this token's, or is not a mint." },
        error.WrongTokenProgram => .{ .code = 703, .sentence = "The token program is neither SPL Token nor Token-2022, or not the one that owns the mint." },
        error.WrongVault => .{ .code = 704, .sentence = "The vault is not this token's (a wrapped token has none: pass the mint in its place)." },
        error.WrongTokenAccount => .{ .code = 705, .sentence = "The token account is of another mint or owner, is frozen, or was not created yet." },
        error.NotAssociated => .{ .code = 706, .sentence = "The destination is not the recipient's associated token account." },
        error.UnsafeMint => .{ .code = 707, .sentence = "The mint has an extension that this bridge does not take: fees, hooks, a permanent delegate, closing, pausing or the like." },
        error.UnsupportedDecimals => .{ .code = 708, .sentence = "The mint has too many decimals: one wire unit would not fit 64 bits." },
        error.InvalidTransfer => .{ .code = 709, .sentence = "The payload is not a token transfer as abi.encode writes it, or its amount is not 1 to 2^64 - 1." },
        error.InvalidRegistration => .{ .code = 710, .sentence = "The payload is not a token registration as abi.encode writes it, or its token is no EVM address." },
        error.WrongOrigin => .{ .code = 711, .sentence = "The message comes from another gateway than the one that this bridge is linked to." },
        error.AmountTooSmall => .{ .code = 712, .sentence = "The amount is below one wire unit: nothing would cross." },
        error.AmountTooLarge => .{ .code = 713, .sentence = "The amount does not fit 64 bits." },
        error.OverLimit => .{ .code = 714, .sentence = "The amount is over the token's rate limit now: wait, send less, or (a delivered one) queue it." },
        error.UnderLimit => .{ .code = 715, .sentence = "The transfer is within the rate limit: redeem it instead of queueing it." },
        error.OverCap => .{ .code = 716, .sentence = "More would be locked or minted than the token's cap allows." },
        error.Paused => .{ .code = 717, .sentence = "The bridge, or this token, is paused." },
        error.NotGuardian => .{ .code = 718, .sentence = "Only the guardian or the governance authority may pause, or cancel an announcement." },
        error.NotReleasable => .{ .code = 719, .sentence = "The queue delay has not passed yet." },
        error.NotExact => .{ .code = 720, .sentence = "The vault did not get or give exactly the amount: tokens with fees cannot cross." },
        error.InsufficientLocked => .{ .code = 721, .sentence = "More would be released or burnt than is outstanding." },
        error.ForbiddenRecipient => .{ .code = 722, .sentence = "The recipient is zero or a part of the bridge: tokens sent there would be lost." },
        error.WrappedMint => .{ .code = 723, .sentence = "This mint is a wrapped token of the bridge: send it home instead of registering it." },
        error.InsufficientTokens => .{ .code = 724, .sentence = "The sender's token account holds less than the amount." },
        error.FeeTooHigh => .{ .code = 725, .sentence = "The fee must be less than the amount that crosses." },
        error.ExpiryTooFar => .{ .code = 726, .sentence = "The expiry is too far ahead: a transfer expires within 30 days." },
        error.WrongNotice => .{ .code = 727, .sentence = "The non-delivery is not about a transfer of this token, or its transfer had another expiry." },
        error.NotNative => .{ .code = 728, .sentence = "Only a native token has a vault that could be wound down." },
        error.NotPaused => .{ .code = 729, .sentence = "An emergency exit needs the token itself to have been paused for seven days without break." },
        error.OverShare => .{ .code = 730, .sentence = "An emergency exit takes at most a tenth of what was locked when its day began." },
        error.UnknownAct => .{ .code = 731, .sentence = "Only an unpause, new limits and an emergency exit are announced." },
        error.NotAnnounced => .{ .code = 732, .sentence = "This act was not announced with these very arguments and accounts: schedule it, and wait for the delay." },
    };
}

/// Logs the error's name and sentence and returns the number that the transaction fails with.
pub fn report(err: Error) u64 {
    @branchHint(.cold);
    return switch (err) {
        error.WrongBridge, error.WrongToken, error.WrongMint, error.WrongTokenProgram, error.WrongVault, error.WrongTokenAccount, error.NotAssociated, error.UnsafeMint, error.UnsupportedDecimals, error.InvalidTransfer, error.InvalidRegistration, error.WrongOrigin, error.AmountTooSmall, error.AmountTooLarge, error.OverLimit, error.UnderLimit, error.OverCap, error.Paused, error.NotGuardian, error.NotReleasable, error.NotExact, error.InsufficientLocked, error.ForbiddenRecipient, error.WrappedMint, error.InsufficientTokens, error.FeeTooHigh, error.ExpiryTooFar, error.WrongNotice, error.NotNative, error.NotPaused, error.OverShare, error.UnknownAct, error.NotAnnounced => |own| reportOwn(own),
        else => |other| sibyl.errors.report(other),
    };
}

fn reportOwn(err: Own) u64 {
    runtime.log(@errorName(err));
    const found = entry(err);
    runtime.log(found.sentence);
    return found.code;
}
