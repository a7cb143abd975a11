//! register_model: the authority registers a model, or changes a registered one (its price, whether it takes requests, or what checks its proofs).
//! The key account is not read here: its address is made of its content's hash, and the verifier takes sealed keys only.

const account = @import("../account.zig");
const constants = @import("../generated/constants.zig");
const runtime = @import("../runtime.zig");
const Error = @import("../errors.zig").Error;
const Account = runtime.Account;
const Invocation = runtime.Invocation;
const Slice = runtime.Slice;

const LARGEST_BOUND: u64 = (1 << 63) - 1;

const Accounts = struct { payer: *Account, model: *Account, system: *Account };

fn validateAccounts(invocation: *const Invocation) Error!Accounts {
    const list = try invocation.accounts(4);
    const config = try account.openConfig(invocation, list[1]);
    try account.requireAuthority(config, list[0]);
    try list[2].requireWritable();
    return .{ .payer = list[0], .model = list[2], .system = list[3] };
}

pub fn process(invocation: *const Invocation, arguments: *runtime.Reader) Error!void {
    const bump = try arguments.array(1);
    const model_id = try arguments.array(32);
    const input_count = try arguments.int(u16);
    const output_count = try arguments.int(u16);
    const input_scale = try arguments.int(u8);
    const output_scale = try arguments.int(u8);
    const input_bound = try arguments.int(u64);
    const price = try arguments.int(u64);
    const active = try arguments.int(u8);
    const verifier = try arguments.array(32);
    const verifying_key = try arguments.array(32);
    try arguments.finish();
    const accounts = try validateAccounts(invocation);
    if (input_count == 0 or input_count > constants.MAX_INPUTS or output_count == 0 or output_count > constants.MAX_OUTPUTS or
        input_scale > constants.MAX_SCALE or output_scale > constants.MAX_SCALE or input_bound == 0 or
        input_bound > LARGEST_BOUND or active > 1 or runtime.isZero(model_id)) return error.InvalidModel;
    const proven = !runtime.isZero(verifier);
    if (proven == runtime.isZero(verifying_key)) return error.InvalidModel;
    if (proven and input_count + output_count > constants.MAX_PROVEN_INSTANCES) return error.InvalidModel;

    const model = try openOrCreate(invocation, &accounts, model_id, &bump[0]);
    model.input_count = input_count;
    model.output_count = output_count;
    model.input_scale = input_scale;
    model.output_scale = output_scale;
    model.input_bound = input_bound;
    model.price = price;
    model.active = active;
    model.model_id = model_id.*;
    model.verifier = verifier.*;
    model.verifying_key = verifying_key.*;
}

fn openOrCreate(invocation: *const Invocation, accounts: *const Accounts, model_id: *const [32]u8, bump: *const u8) Error!*account.Model {
    if (runtime.equal(&accounts.model.owner, invocation.program_id)) return account.openModel(invocation, accounts.model, model_id);
    const seeds = [_]Slice{ Slice.of(constants.SEED_MODEL), Slice.of(model_id) };
    var creation = runtime.Creation{
        .payer = accounts.payer,
        .account = accounts.model,
        .system = accounts.system,
        .derivation = .{ .seeds = &seeds, .bump = bump },
        .size = 0,
        .escrow = 0,
    };
    return account.create(account.Model, invocation, &creation, 0);
}
