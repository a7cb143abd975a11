const std = @import("std");
const sibyl = @import("sibyl");
pub const panic = std.debug.no_panic;
fn entrypoint(input: [*]align(8) u8) callconv(.c) u64 {
    var invocation: sibyl.runtime.Invocation = undefined;
    invocation.parse(input) catch |err| return sibyl.errors.report(err);
    return 0;
}
comptime {
    @export(&entrypoint, .{ .name = "entrypoint" });
}
