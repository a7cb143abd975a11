//! Who may deploy: the program's upgrade authority, read from the loader's own account.

const runtime = @import("runtime.zig");
const Error = @import("errors.zig").Error;
const Account = runtime.Account;

/// BPFLoaderUpgradeab1e11111111111111111111111
pub const UPGRADEABLE_LOADER: runtime.Pubkey = .{
    0x02, 0xa8, 0xf6, 0x91, 0x4e, 0x88, 0xa1, 0xb0, 0xe2, 0x10, 0x15, 0x3e, 0xf7, 0x63, 0xae, 0x2b,
    0x00, 0xc2, 0xb9, 0x3d, 0x16, 0xc1, 0x24, 0xd2, 0xc0, 0x53, 0x7a, 0x10, 0x04, 0x80, 0x00, 0x00,
};

/// The program data account: state u32 (3), slot u64, authority as an option (1 byte) and 32 bytes, then the program.
const STATE_PROGRAM_DATA: u32 = 3;
const OPTION_OFFSET = 12;
const AUTHORITY_OFFSET = 13;
const HEADER_SIZE = 45;

pub fn requireUpgradeAuthority(invocation: *const runtime.Invocation, signer: *const Account, program_data: *Account) Error!void {
    try signer.requireSigner();
    try runtime.requireForeignAddress(program_data, invocation.program_id, &UPGRADEABLE_LOADER);
    if (!runtime.equal(&program_data.owner, &UPGRADEABLE_LOADER)) return error.WrongOwner;
    const data = program_data.data();
    if (data.len < HEADER_SIZE) return error.WrongAccountSize;
    if (runtime.readLittle(u32, data[0..4]) != STATE_PROGRAM_DATA) return error.WrongAccountType;
    const set = data[OPTION_OFFSET] == 1;
    if (!set or !runtime.equal(data[AUTHORITY_OFFSET..][0..32], &signer.key)) return error.NotUpgradeAuthority;
}
