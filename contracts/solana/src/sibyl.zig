//! What another program imports to read Sibyl's inbox accounts or to ask by a call: account layouts, message views and the
//! runtime's helpers.

pub const account = @import("account.zig");
pub const authority = @import("authority.zig");
pub const committee = @import("committee.zig");
pub const constants = @import("generated/constants.zig");
pub const errors = @import("errors.zig");
pub const frost = @import("frost.zig");
pub const merkle = @import("merkle.zig");
pub const message = @import("message.zig");
pub const runtime = @import("runtime.zig");
pub const scalar = @import("scalar.zig");
