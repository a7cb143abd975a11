//! The token program (TOKENS.md section 5): locks and releases tokens of this chain, mints and burns those of the EVM chain. It is an
//! ordinary recipient of Sibyl's messages and its `[bridge]` account, the bridge authority, an ordinary sender: signatures and replay
//! are Sibyl's matter. This file takes a call apart and hands it to the instruction; each instruction has a file of its own.
//!
//! | instruction | data after the number | accounts (w writable, s signer) |
//! |---|---|---|
//! | 0 initialise | bump u8, origin 66, factory 32, native and wrapped init-code hash 32 each, guardian 32, queue delay u32, governance delay u32 | upgrade authority ws, bridge w, program data, Sibyl program, Sibyl config, system |
//! | 1 register_token | token bump u8, vault bump u8, outbox bump u8, sequence u64 | payer ws, bridge w, token w, mint, vault w, token program, Sibyl program, Sibyl config w, outbox w, peer, system |
//! | 2 send_tokens | outbox bump u8, sequence u64, recipient 20, amount u64 (smallest units of the mint), expiry u64 (0: the default lifetime), fee u64 (wire units, out of the amount) | sender ws, bridge w, token w, mint w, source w, vault w, token program, Sibyl program, Sibyl config w, outbox w, peer, system |
//! | 3 redeem | bump u8 of the associated account | payer ws, bridge, token w, inbox w, inbox payer w, Sibyl program, mint w, vault w, associated account w, token program; to create that account also: its owner, associated-token program, system; to take the fee also: a token account of the payer w |
//! | 4 accept_registration | token bump u8, mint bump u8 | payer ws, bridge, token w, mint w, inbox w, inbox payer w, Sibyl program, Token-2022, system |
//! | 5 pause | – | guardian or authority s, bridge w; for one token alone also: token w |
//! | 6 unpause | – | authority s, bridge w; for one token alone: bridge, token w; then announcement w, its payer w |
//! | 7 set_limits | capacity u64 and refill u64 outbound, the same inbound, cap u64 | authority s, bridge, token w, announcement w, its payer w |
//! | 8 enqueue | bump u8 of the queued account; for a non-delivery also: expiry u64 of the transfer | payer ws, bridge, token, inbox w, inbox payer w, Sibyl program, queued w, system |
//! | 9 release | bump u8 of the associated account | payer ws, bridge, token w, queued w, queued payer w, mint w, vault w, associated account w, token program; to create that account also: its owner, associated-token program, system |
//! | 10 refund | bump u8 of the associated account, expiry u64 of the transfer | as redeem, without a fee |
//! | 11 schedule | bump u8, token account 32 or zeros, destination 32 or zeros, instruction data to come | authority ws, bridge, announcement w, system |
//! | 12 cancel | – | guardian or authority s, bridge, announcement w, its payer w |
//! | 13 emergency_exit | amount u64 (wire units) | authority s, bridge, token w, mint, vault w, destination w, token program, announcement w, its payer w |
//! | 14 close_sent | – | bridge w, outbox w, sender of the transfer w, Sibyl program |
//!
//! A wrapped token has no vault: the mint stands in its place.

const std = @import("std");
const sibyl = @import("sibyl");
const constants = sibyl.constants;
const errors = @import("errors.zig");
const runtime = sibyl.runtime;

/// A failed safety check aborts the transaction.
pub const panic = std.debug.no_panic;

fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    var invocation: runtime.Invocation = undefined;
    invocation.parse(input) catch |err| return errors.report(err);
    dispatch(&invocation) catch |err| return errors.report(err);
    return 0;
}

comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}

fn dispatch(invocation: *const runtime.Invocation) errors.Error!void {
    var arguments = runtime.Reader{ .bytes = invocation.data };
    switch (try arguments.int(u8)) {
        constants.TOKENS_INSTRUCTION_INITIALISE => try @import("instructions/initialise.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_REGISTER_TOKEN => try @import("instructions/register_token.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_SEND_TOKENS => try @import("instructions/send_tokens.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_REDEEM => try @import("instructions/redeem.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_ACCEPT_REGISTRATION => try @import("instructions/accept_registration.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_PAUSE => try @import("instructions/pause.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_UNPAUSE => try @import("instructions/unpause.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_SET_LIMITS => try @import("instructions/set_limits.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_ENQUEUE => try @import("instructions/enqueue.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_RELEASE => try @import("instructions/release.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_REFUND => try @import("instructions/refund.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_SCHEDULE => try @import("instructions/schedule.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_CANCEL => try @import("instructions/cancel.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_EMERGENCY_EXIT => try @import("instructions/emergency_exit.zig").process(invocation, &arguments),
        constants.TOKENS_INSTRUCTION_CLOSE_SENT => try @import("instructions/close_sent.zig").process(invocation, &arguments),
        else => return error.InvalidInstruction,
    }
}
