//! register_model: the authority registers a model, or changes a registered one (its price, bound, or whether it takes requests). Once it has a verifier, that, its
//! key, counts and scales stay: no authority decides about the proofs of requests that wait.
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

/// The instruction's data, as it stands.
const Arguments = extern struct {
    bump: u8,
    model_id: [32]u8,
    input_count: u16 align(1),
    output_count: u16 align(1),
    input_scale: u8,
    output_scale: u8,
    input_bound: u64 align(1),
    price: u64 align(1),
    active: u8,
    verifier: [32]u8,
    verifying_key: [32]u8,
};

pub fn process(invocation: *const Invocation, reader: *runtime.Reader) Error!void {
    const terms = try reader.whole(Arguments);
    const accounts = try validateAccounts(invocation);
    try check(terms);
    const model = try openOrCreate(invocation, &accounts, &terms.model_id, &terms.bump);
    if (!runtime.isZero(&model.verifier) and !sameProofs(model, terms)) return error.FixedModel;
    model.input_count = terms.input_count;
    model.output_count = terms.output_count;
    model.input_scale = terms.input_scale;
    model.output_scale = terms.output_scale;
    model.input_bound = terms.input_bound;
    model.price = terms.price;
    model.active = terms.active;
    model.model_id = terms.model_id;
    model.verifier = terms.verifier;
    model.verifying_key = terms.verifying_key;
}

fn check(terms: *align(1) const Arguments) Error!void {
    if (terms.input_count == 0 or terms.input_count > constants.MAX_INPUTS or terms.output_count == 0 or terms.output_count > constants.MAX_OUTPUTS or
        terms.input_scale > constants.MAX_SCALE or terms.output_scale > constants.MAX_SCALE or terms.input_bound == 0 or
        terms.input_bound > LARGEST_BOUND or terms.active > 1 or runtime.isZero(&terms.model_id)) return error.InvalidModel;
    const proven = !runtime.isZero(&terms.verifier);
    if (proven == runtime.isZero(&terms.verifying_key)) return error.InvalidModel;
    if (proven and terms.input_count + terms.output_count > constants.MAX_PROVEN_INSTANCES) return error.InvalidModel;
}

/// Whether proofs are of the same statement, checked by the same verifier under the same key.
fn sameProofs(model: *const account.Model, terms: *align(1) const Arguments) bool {
    return runtime.equal(&model.verifier, &terms.verifier) and runtime.equal(&model.verifying_key, &terms.verifying_key) and
        model.input_count == terms.input_count and model.output_count == terms.output_count and
        model.input_scale == terms.input_scale and model.output_scale == terms.output_scale;
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
