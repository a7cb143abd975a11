//! The protocol's constants. Generated from contracts/protocol.toml by `python -m contracts.generate`. Do not edit.
//! Offsets and sizes of layouts are in bytes; a SIZE is the fixed part.

// version
/// First byte of every message body.
pub const PROTOCOL_VERSION: u8 = 1;

// domain
/// Prefix of the digest of one message body.
pub const DOMAIN_MESSAGE: [32]u8 = "SIBYL_MESSAGE_V1\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".*;
/// Prefix of the value that the committee signs: a Merkle root of digests.
pub const DOMAIN_BATCH: [32]u8 = "SIBYL_BATCH_V1\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".*;
/// Prefix of what a group key signs to prove its possession.
pub const DOMAIN_KEY: [32]u8 = "SIBYL_KEY_V1\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".*;
/// Prefix of a model id.
pub const DOMAIN_MODEL: [32]u8 = "SIBYL_MODEL_V1\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".*;

// merkle
/// First byte of a hashed leaf. Source: RFC 9162 section 2.1.1.
pub const MERKLE_LEAF_PREFIX: u8 = 0;
/// First byte of a hashed inner node. Source: RFC 9162 section 2.1.1.
pub const MERKLE_NODE_PREFIX: u8 = 1;
/// Longest branch accepted, in nodes (65,536 messages under one signature).
pub const MERKLE_MAX_DEPTH: u8 = 16;

// kind
/// A user's message, delivered to IERC7786Recipient.receiveMessage. Source: ERC-7786.
pub const KIND_MESSAGE: u8 = 1;
/// Asks the committee; never delivered to a chain.
pub const KIND_INFERENCE_REQUEST: u8 = 2;
/// The committee's answer to an inference request.
pub const KIND_INFERENCE_RESULT: u8 = 3;
/// The committee's word to a message's sender that it expired undelivered and never will be delivered.
pub const KIND_NON_DELIVERY: u8 = 4;
/// A new group key for the next committee epoch, signed under the old one.
pub const KIND_ROTATION: u8 = 5;

// policy
/// Each signer checked the ezkl proof; the chain checks the committee's signature.
pub const POLICY_ATTESTED: u8 = 1;
/// The chain checks the ezkl proof itself; no signature.
pub const POLICY_PROVEN: u8 = 2;
/// The chain checks the signature and the ezkl proof.
pub const POLICY_BOTH: u8 = 3;
/// Each signer recomputed the output itself; the chain checks the committee's signature. A proof is made when
/// somebody asks for it.
pub const POLICY_RECOMPUTED: u8 = 4;

// status
/// The payload carries outputs.
pub const STATUS_ANSWERED: u8 = 0;
/// Refused: no node of the committee holds this model. The fee goes back.
pub const STATUS_UNKNOWN_MODEL: u8 = 1;
/// Refused: the number of inputs is not the model's. The fee goes back.
pub const STATUS_WRONG_SHAPE: u8 = 2;
/// Refused: an input lies outside the calibrated range. The fee goes back.
pub const STATUS_OUT_OF_RANGE: u8 = 3;
/// Refused: the model gave no valid output for these inputs. The fee goes back.
pub const STATUS_INFERENCE_FAILED: u8 = 4;
/// Refused: a destination cannot check what the policy asks. The fee goes back.
pub const STATUS_UNSUPPORTED_POLICY: u8 = 5;

// chain_type
/// EVM chains; the reference is the chain id. Source: ERC-7930, CAIP-350 eip155.
pub const CHAIN_TYPE_EIP155: u16 = 0;
/// Solana; the reference is the 32-byte genesis hash. Source: ERC-7930, CAIP-350 solana.
pub const CHAIN_TYPE_SOLANA: u16 = 2;

// interop
/// Version of an interoperable address. Source: ERC-7930.
pub const INTEROP_VERSION: u16 = 1;

// limits
/// Bytes of payload in one message.
pub const MAX_PAYLOAD_SIZE: u16 = 16384;
/// Quantised inputs in one request.
pub const MAX_INPUTS: u16 = 1024;
/// Quantised outputs in one result.
pub const MAX_OUTPUTS: u16 = 64;
/// Further destinations of one request, beside its origin.
pub const MAX_REMOTES: u16 = 4;
/// Members of a committee.
pub const MAX_MEMBERS: u16 = 256;
/// Fewest members of a committee that a rotation may bring.
pub const MIN_MEMBERS: u16 = 4;
/// Largest fixed-point scale, in bits after the point.
pub const MAX_SCALE: u16 = 30;

// solana_seed
/// Seeds of the configuration: [config].
pub const SEED_CONFIG = "config";
/// [committee, epoch u32 LE].
pub const SEED_COMMITTEE = "committee";
/// [model, model id].
pub const SEED_MODEL = "model";
/// [peer, origin hash = keccak256(body bytes 2..68)].
pub const SEED_PEER = "peer";
/// [outbox, sequence u64 LE].
pub const SEED_OUTBOX = "outbox";
/// [inbox, digest].
pub const SEED_INBOX = "inbox";
/// [replay, origin hash, window u64 LE], window = sequence / REPLAY_WINDOW.
pub const SEED_REPLAY = "replay";

// solana_account
/// First byte of the configuration account.
pub const ACCOUNT_CONFIG: u8 = 1;
/// First byte of a committee account.
pub const ACCOUNT_COMMITTEE: u8 = 2;
/// First byte of a model account.
pub const ACCOUNT_MODEL: u8 = 3;
/// First byte of a peer account.
pub const ACCOUNT_PEER: u8 = 4;
/// First byte of an outbox account (a posted message or request).
pub const ACCOUNT_OUTBOX: u8 = 5;
/// First byte of an inbox account (a delivered message or result).
pub const ACCOUNT_INBOX: u8 = 6;
/// First byte of a replay bitmap account.
pub const ACCOUNT_REPLAY: u8 = 7;
/// Second byte of every account of the program.
pub const ACCOUNT_LAYOUT_VERSION: u8 = 1;

// solana_outbox_state
/// A message without answer: stays for the readers.
pub const OUTBOX_POSTED: u8 = 1;
/// A request whose fee is escrowed.
pub const OUTBOX_PENDING: u8 = 2;
/// Answered; the fee went to the treasury.
pub const OUTBOX_ANSWERED: u8 = 3;
/// Refused by a signed result; the fee went back to the requester.
pub const OUTBOX_REFUSED: u8 = 4;

// solana_instruction
/// Creates the configuration and the first committee.
pub const INSTRUCTION_INITIALISE: u8 = 0;
/// Authority: a further committee epoch, and the end of the old one.
pub const INSTRUCTION_SET_COMMITTEE: u8 = 1;
/// Authority: registers or changes a model.
pub const INSTRUCTION_REGISTER_MODEL: u8 = 2;
/// Authority: trusts an origin gateway.
pub const INSTRUCTION_REGISTER_PEER: u8 = 3;
/// Posts a KIND_MESSAGE.
pub const INSTRUCTION_SEND: u8 = 4;
/// Posts a KIND_INFERENCE_REQUEST and escrows its fee.
pub const INSTRUCTION_REQUEST: u8 = 5;
/// Delivers one signed message.
pub const INSTRUCTION_DELIVER: u8 = 6;
/// Gives an inbox account's rent back to who paid it.
pub const INSTRUCTION_CLOSE_INBOX: u8 = 7;
/// Gives an answered or expired outbox account's rent back to the sender.
pub const INSTRUCTION_CLOSE_OUTBOX: u8 = 8;
/// After the deadline: fee and rent of an unanswered request to the requester.
pub const INSTRUCTION_REFUND: u8 = 9;
/// Anyone: takes a delivered rotation and creates the next committee epoch, which begins after the delay.
pub const INSTRUCTION_ROTATE: u8 = 10;
/// Authority: removes an epoch that has not begun.
pub const INSTRUCTION_VETO: u8 = 11;
/// Anyone: answers a pending POLICY_PROVEN request of this chain with a proof; the fee is the payer's.
pub const INSTRUCTION_FULFIL: u8 = 12;

// solana_replay
/// Sequences in one replay bitmap account (and bits in its bitmap).
pub const REPLAY_WINDOW: u16 = 1024;

// solana_proven
/// Inputs and outputs together of a model whose proofs this chain checks: one call between programs carries
/// them.
pub const MAX_PROVEN_INSTANCES: u16 = 256;

// solana_verifier_seed
/// [key, keccak256 of the content, payer]: a verifying key.
pub const VERIFIER_SEED_KEY = "key";
/// [proof, label, payer]: a proof on its way; the label of a delivery is its request's id.
pub const VERIFIER_SEED_PROOF = "proof";

// solana_verifier_account
/// First byte of a verifying-key account.
pub const VERIFIER_ACCOUNT_KEY: u8 = 1;
/// First byte of a proof account.
pub const VERIFIER_ACCOUNT_PROOF: u8 = 2;

// solana_verifier_limits
/// Bytes of a packed proof and its hint (1,440 and 32).
pub const VERIFIER_PROOF_SIZE: u16 = 1472;
/// Most bytes by which one instruction can make an account larger.
pub const VERIFIER_GROWTH: u16 = 10240;

// solana_verifier_instruction
/// Creates an empty key account; its payer alone writes it.
pub const VERIFIER_INSTRUCTION_CREATE_KEY: u8 = 0;
/// Payer: writes a part of an unsealed key's content; the account grows towards its size.
pub const VERIFIER_INSTRUCTION_WRITE_KEY: u8 = 1;
/// Payer: seals a key whose content has the hash that its address was made of. For good.
pub const VERIFIER_INSTRUCTION_SEAL_KEY: u8 = 2;
/// Payer: takes the rent of an unsealed key back.
pub const VERIFIER_INSTRUCTION_CLOSE_KEY: u8 = 3;
/// Creates a proof account with its first bytes.
pub const VERIFIER_INSTRUCTION_CREATE_PROOF: u8 = 4;
/// Payer: writes a part of a proof.
pub const VERIFIER_INSTRUCTION_WRITE_PROOF: u8 = 5;
/// Payer: takes the rent of a proof account back.
pub const VERIFIER_INSTRUCTION_CLOSE_PROOF: u8 = 6;
/// Payer of the proof account: succeeds for a valid proof under a sealed key, and closes the proof account.
pub const VERIFIER_INSTRUCTION_VERIFY: u8 = 7;

// solana_tokens_seed
/// [bridge]: settings, and the bridge authority that owns vaults and mints and sends and receives every token
/// message.
pub const TOKENS_SEED_BRIDGE = "bridge";
/// [token, mint] of a native token, [token, origin hash, EVM bridge] of a wrapped one.
pub const TOKENS_SEED_TOKEN = "token";
/// [mint, origin hash, EVM bridge]: the mint of a wrapped token.
pub const TOKENS_SEED_MINT = "mint";
/// [vault, mint]: the token account that holds what is locked of a native token.
pub const TOKENS_SEED_VAULT = "vault";
/// [queued, digest]: an inbound transfer over the limit.
pub const TOKENS_SEED_QUEUED = "queued";
/// [scheduled, keccak256 of the instruction's data and of the addresses it acts on]: an announced act of
/// governance.
pub const TOKENS_SEED_SCHEDULED = "scheduled";

// solana_tokens_account
/// First byte of the bridge account.
pub const TOKENS_ACCOUNT_BRIDGE: u8 = 1;
/// First byte of a token's account.
pub const TOKENS_ACCOUNT_TOKEN: u8 = 2;
/// First byte of a queued transfer's account.
pub const TOKENS_ACCOUNT_QUEUED: u8 = 3;
/// First byte of an announced act of governance.
pub const TOKENS_ACCOUNT_SCHEDULED: u8 = 4;

// solana_tokens_kind
/// The token lives on this chain: locked in its vault, and released.
pub const TOKENS_KIND_NATIVE: u8 = 1;
/// The token lives on the EVM chain: minted and burnt here.
pub const TOKENS_KIND_WRAPPED: u8 = 2;

// solana_tokens_limits
/// wire decimals = min(native decimals, this).
pub const TOKENS_MAX_WIRE_DECIMALS: u8 = 9;
/// Native decimals of a Solana mint that can be registered: a wire unit fits 64 bits.
pub const TOKENS_MAX_DECIMALS: u8 = 28;
/// Bytes of a registered token's name.
pub const TOKENS_MAX_NAME: u8 = 32;
/// Bytes of a registered token's symbol.
pub const TOKENS_MAX_SYMBOL: u8 = 10;

// solana_tokens_amounts
/// Seconds until a transfer expires whose sender names no expiry.
pub const TOKENS_DEFAULT_LIFETIME: u64 = 86400;
/// Most seconds from a transfer to its expiry (30 days).
pub const TOKENS_MAX_LIFETIME: u64 = 2592000;
/// Seconds after a transfer's expiry from which its outbox account may be closed (30 days).
pub const TOKENS_CLOSE_DELAY: u64 = 2592000;
/// Seconds (7 days) that a token must have been paused without break before an emergency exit.
pub const TOKENS_EXIT_PAUSE: u64 = 604800;
/// Seconds of one period of an emergency exit.
pub const TOKENS_EXIT_PERIOD: u64 = 86400;
/// An emergency exit takes at most 1/this of what was locked at the period's begin, once a period.
pub const TOKENS_EXIT_SHARE: u64 = 10;
/// A bucket's capacity, or a cap, that limits nothing.
pub const TOKENS_UNLIMITED: u64 = 18446744073709551615;

// solana_tokens_instruction
/// Upgrade authority: creates the bridge account.
pub const TOKENS_INSTRUCTION_INITIALISE: u8 = 0;
/// Anyone: registers a native mint and sends its registration (again: sends it again).
pub const TOKENS_INSTRUCTION_REGISTER_TOKEN: u8 = 1;
/// Locks or burns, and sends the transfer.
pub const TOKENS_INSTRUCTION_SEND_TOKENS: u8 = 2;
/// Anyone: takes one delivered transfer and mints or releases.
pub const TOKENS_INSTRUCTION_REDEEM: u8 = 3;
/// Anyone: takes one delivered registration and creates the wrapped mint.
pub const TOKENS_INSTRUCTION_ACCEPT_REGISTRATION: u8 = 4;
/// Guardian or authority: stops one token or all.
pub const TOKENS_INSTRUCTION_PAUSE: u8 = 5;
/// Authority: ends a pause.
pub const TOKENS_INSTRUCTION_UNPAUSE: u8 = 6;
/// Authority: buckets and cap of one token.
pub const TOKENS_INSTRUCTION_SET_LIMITS: u8 = 7;
/// Anyone: moves one delivered transfer that is over the inbound limit into the queue.
pub const TOKENS_INSTRUCTION_ENQUEUE: u8 = 8;
/// Anyone: pays a queued transfer out after the delay.
pub const TOKENS_INSTRUCTION_RELEASE: u8 = 9;
/// Anyone: takes a delivered non-delivery of a transfer of this program and gives the tokens back to their
/// sender.
pub const TOKENS_INSTRUCTION_REFUND: u8 = 10;
/// Authority: announces an unpause, new limits or an emergency exit, to be carried out after the governance
/// delay.
pub const TOKENS_INSTRUCTION_SCHEDULE: u8 = 11;
/// Authority or guardian: takes back what was announced.
pub const TOKENS_INSTRUCTION_CANCEL: u8 = 12;
/// Authority: takes a bounded part of a paused native token's vault, after the delay.
pub const TOKENS_INSTRUCTION_EMERGENCY_EXIT: u8 = 13;
/// Anyone: closes the outbox account of a transfer long past its expiry; the rent goes to its sender.
pub const TOKENS_INSTRUCTION_CLOSE_SENT: u8 = 14;

// layout body: The signed body of a message: this header, then the payload and nothing after it. Integers
// big-endian.
/// 1 byte: PROTOCOL_VERSION.
pub const BODY_VERSION_OFFSET: usize = 0;
/// 1 byte: KIND_*.
pub const BODY_KIND_OFFSET: usize = 1;
/// 2 bytes: CHAIN_TYPE_* of the origin.
pub const BODY_ORIGIN_CHAIN_TYPE_OFFSET: usize = 2;
/// 32 bytes: ERC-7930 chain reference, left-padded with zeros.
pub const BODY_ORIGIN_CHAIN_REFERENCE_OFFSET: usize = 4;
/// 32 bytes: gateway that posted the message or its request, left-padded.
pub const BODY_ORIGIN_GATEWAY_OFFSET: usize = 36;
/// 2 bytes: CHAIN_TYPE_* of the destination.
pub const BODY_DESTINATION_CHAIN_TYPE_OFFSET: usize = 68;
/// 32 bytes: ERC-7930 chain reference, left-padded with zeros.
pub const BODY_DESTINATION_CHAIN_REFERENCE_OFFSET: usize = 70;
/// 32 bytes: gateway that may deliver the message, left-padded.
pub const BODY_DESTINATION_GATEWAY_OFFSET: usize = 102;
/// 8 bytes: number of the post at the origin gateway, from 1; a result carries its request's.
pub const BODY_SEQUENCE_OFFSET: usize = 134;
/// 32 bytes: account that posted (a result: the origin gateway), left-padded.
pub const BODY_SENDER_OFFSET: usize = 142;
/// 32 bytes: account that receives (a request and a result: the destination gateway's oracle hub),
/// left-padded.
pub const BODY_RECIPIENT_OFFSET: usize = 174;
/// 8 bytes: last Unix second of the destination's clock at which it may be delivered; 0: never expires.
pub const BODY_EXPIRY_OFFSET: usize = 206;
/// 2 bytes: bytes of payload that follow.
pub const BODY_PAYLOAD_SIZE_OFFSET: usize = 214;
/// The signed body of a message: this header, then the payload and nothing after it. Integers big-endian.
pub const BODY_SIZE: usize = 216;

// layout request: Payload of KIND_INFERENCE_REQUEST: this header, then `remote_count` remotes, then
// `input_count` inputs (int64 each).
/// 32 bytes: registered model.
pub const REQUEST_MODEL_ID_OFFSET: usize = 0;
/// 16 bytes: escrowed fee in the origin's smallest unit (wei, lamports).
pub const REQUEST_FEE_OFFSET: usize = 32;
/// 4 bytes: gas for the consumer's callback on EVM destinations, in gas units.
pub const REQUEST_CALLBACK_GAS_LIMIT_OFFSET: usize = 48;
/// 1 byte: POLICY_* at the origin.
pub const REQUEST_POLICY_OFFSET: usize = 52;
/// 1 byte: number of remotes, at most MAX_REMOTES.
pub const REQUEST_REMOTE_COUNT_OFFSET: usize = 53;
/// 2 bytes: number of inputs, 1 to MAX_INPUTS.
pub const REQUEST_INPUT_COUNT_OFFSET: usize = 54;
/// Payload of KIND_INFERENCE_REQUEST: this header, then `remote_count` remotes, then `input_count` inputs
/// (int64 each).
pub const REQUEST_SIZE: usize = 56;

// layout remote: One further destination of a request.
/// 1 byte: POLICY_* at this destination.
pub const REMOTE_POLICY_OFFSET: usize = 0;
/// 2 bytes: CHAIN_TYPE_*.
pub const REMOTE_CHAIN_TYPE_OFFSET: usize = 1;
/// 32 bytes: ERC-7930 chain reference, left-padded.
pub const REMOTE_CHAIN_REFERENCE_OFFSET: usize = 3;
/// 32 bytes: gateway on that chain, left-padded.
pub const REMOTE_GATEWAY_OFFSET: usize = 35;
/// 32 bytes: oracle hub on that chain (Solana: the program), left-padded.
pub const REMOTE_HUB_OFFSET: usize = 67;
/// 32 bytes: account on that chain that the answer is for, left-padded.
pub const REMOTE_CONSUMER_OFFSET: usize = 99;
/// One further destination of a request.
pub const REMOTE_SIZE: usize = 131;

// layout result: Payload of KIND_INFERENCE_RESULT: this header, then `output_count` outputs (int64 each).
/// 1 byte: STATUS_*; outputs only when STATUS_ANSWERED.
pub const RESULT_STATUS_OFFSET: usize = 0;
/// 1 byte: POLICY_* at this destination.
pub const RESULT_POLICY_OFFSET: usize = 1;
/// 32 bytes: model that answered.
pub const RESULT_MODEL_ID_OFFSET: usize = 2;
/// 32 bytes: digest of the request's body.
pub const RESULT_REQUEST_ID_OFFSET: usize = 34;
/// 32 bytes: keccak256 of the request's input bytes (8 per input, big-endian).
pub const RESULT_INPUT_COMMITMENT_OFFSET: usize = 66;
/// 32 bytes: sender of the request on its origin, left-padded.
pub const RESULT_REQUESTER_OFFSET: usize = 98;
/// 32 bytes: account on this destination that the answer is for, left-padded.
pub const RESULT_CONSUMER_OFFSET: usize = 130;
/// 4 bytes: gas for the consumer's callback, in gas units.
pub const RESULT_CALLBACK_GAS_LIMIT_OFFSET: usize = 162;
/// 1 byte: bits after the point: value = output / 2^output_scale.
pub const RESULT_OUTPUT_SCALE_OFFSET: usize = 166;
/// 1 byte: number of outputs, at most MAX_OUTPUTS.
pub const RESULT_OUTPUT_COUNT_OFFSET: usize = 167;
/// Payload of KIND_INFERENCE_RESULT: this header, then `output_count` outputs (int64 each).
pub const RESULT_SIZE: usize = 168;

// layout non_delivery: Payload of KIND_NON_DELIVERY: this header, then the payload of the message that
// expired.
/// 32 bytes: digest of the message that expired.
pub const NON_DELIVERY_DIGEST_OFFSET: usize = 0;
/// Payload of KIND_NON_DELIVERY: this header, then the payload of the message that expired.
pub const NON_DELIVERY_SIZE: usize = 32;

// layout rotation: Payload of KIND_ROTATION: this header, then `member_count` operator numbers (1 byte each),
// then `remote_count` rotation remotes.
/// 4 bytes: the new committee epoch: the current one plus 1.
pub const ROTATION_EPOCH_OFFSET: usize = 0;
/// 32 bytes: x of the new group public key.
pub const ROTATION_GROUP_KEY_X_OFFSET: usize = 4;
/// 1 byte: parity of its y, 0 or 1.
pub const ROTATION_GROUP_KEY_PARITY_OFFSET: usize = 36;
/// 33 bytes: R of the new key's proof of possession, SEC1 compressed.
pub const ROTATION_PROOF_R_OFFSET: usize = 37;
/// 32 bytes: z of the new key's proof of possession.
pub const ROTATION_PROOF_Z_OFFSET: usize = 70;
/// 4 bytes: seconds for which the old epoch is taken after the new one begins.
pub const ROTATION_OVERLAP_OFFSET: usize = 102;
/// 32 bytes: transcript hash of the key generation that made the key.
pub const ROTATION_TRANSCRIPT_OFFSET: usize = 106;
/// 2 bytes: members needed to sign.
pub const ROTATION_THRESHOLD_OFFSET: usize = 138;
/// 2 bytes: members of the new committee, MIN_MEMBERS to MAX_MEMBERS.
pub const ROTATION_MEMBER_COUNT_OFFSET: usize = 140;
/// 1 byte: number of remotes, at most MAX_REMOTES.
pub const ROTATION_REMOTE_COUNT_OFFSET: usize = 142;
/// Payload of KIND_ROTATION: this header, then `member_count` operator numbers (1 byte each), then
/// `remote_count` rotation remotes.
pub const ROTATION_SIZE: usize = 143;

// layout rotation_remote: One further destination of a rotation.
/// 2 bytes: CHAIN_TYPE_*.
pub const ROTATION_REMOTE_CHAIN_TYPE_OFFSET: usize = 0;
/// 32 bytes: ERC-7930 chain reference, left-padded.
pub const ROTATION_REMOTE_CHAIN_REFERENCE_OFFSET: usize = 2;
/// 32 bytes: gateway on that chain, left-padded.
pub const ROTATION_REMOTE_GATEWAY_OFFSET: usize = 34;
/// 32 bytes: account that keeps the group keys there (Solana: the program), left-padded.
pub const ROTATION_REMOTE_COMMITTEE_OFFSET: usize = 66;
/// One further destination of a rotation.
pub const ROTATION_REMOTE_SIZE: usize = 98;

// layout config_account: Solana account [config].
/// 1 byte: ACCOUNT_CONFIG.
pub const CONFIG_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const CONFIG_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const CONFIG_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: zero.
pub const CONFIG_ACCOUNT_RESERVED_OFFSET: usize = 3;
/// 4 bytes: newest committee epoch, u32.
pub const CONFIG_ACCOUNT_CURRENT_EPOCH_OFFSET: usize = 4;
/// 8 bytes: sequence of the next post, u64, from 1.
pub const CONFIG_ACCOUNT_NEXT_SEQUENCE_OFFSET: usize = 8;
/// 4 bytes: seconds between a rotation's arrival and its epoch's begin, u32.
pub const CONFIG_ACCOUNT_ACTIVATION_DELAY_OFFSET: usize = 16;
/// 4 bytes: zero.
pub const CONFIG_ACCOUNT_RESERVED_2_OFFSET: usize = 20;
/// 32 bytes: governance account.
pub const CONFIG_ACCOUNT_AUTHORITY_OFFSET: usize = 24;
/// 32 bytes: account that fees go to.
pub const CONFIG_ACCOUNT_TREASURY_OFFSET: usize = 56;
/// 32 bytes: genesis hash of this cluster.
pub const CONFIG_ACCOUNT_CHAIN_REFERENCE_OFFSET: usize = 88;
/// Solana account [config].
pub const CONFIG_ACCOUNT_SIZE: usize = 120;

// layout committee_account: Solana account [committee, epoch].
/// 1 byte: ACCOUNT_COMMITTEE.
pub const COMMITTEE_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const COMMITTEE_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const COMMITTEE_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: parity of the group public key's y, 0 or 1.
pub const COMMITTEE_ACCOUNT_GROUP_KEY_PARITY_OFFSET: usize = 3;
/// 4 bytes: u32.
pub const COMMITTEE_ACCOUNT_EPOCH_OFFSET: usize = 4;
/// 8 bytes: first Unix second at which this epoch's signatures are taken, u64.
pub const COMMITTEE_ACCOUNT_VALID_FROM_OFFSET: usize = 8;
/// 8 bytes: last Unix second at which this epoch's signatures are taken, u64; 0: no end.
pub const COMMITTEE_ACCOUNT_VALID_UNTIL_OFFSET: usize = 16;
/// 32 bytes: x of the group public key, big-endian.
pub const COMMITTEE_ACCOUNT_GROUP_KEY_X_OFFSET: usize = 24;
/// Solana account [committee, epoch].
pub const COMMITTEE_ACCOUNT_SIZE: usize = 56;

// layout model_account: Solana account [model, model id].
/// 1 byte: ACCOUNT_MODEL.
pub const MODEL_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const MODEL_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const MODEL_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: 1: takes requests.
pub const MODEL_ACCOUNT_ACTIVE_OFFSET: usize = 3;
/// 2 bytes: u16.
pub const MODEL_ACCOUNT_INPUT_COUNT_OFFSET: usize = 4;
/// 2 bytes: u16.
pub const MODEL_ACCOUNT_OUTPUT_COUNT_OFFSET: usize = 6;
/// 1 byte: bits after the point of an input.
pub const MODEL_ACCOUNT_INPUT_SCALE_OFFSET: usize = 8;
/// 1 byte: bits after the point of an output.
pub const MODEL_ACCOUNT_OUTPUT_SCALE_OFFSET: usize = 9;
/// 6 bytes: zero.
pub const MODEL_ACCOUNT_RESERVED_OFFSET: usize = 10;
/// 8 bytes: largest absolute value of a quantised input, u64, at most 2^63 - 1.
pub const MODEL_ACCOUNT_INPUT_BOUND_OFFSET: usize = 16;
/// 8 bytes: least fee of a request in lamports, u64.
pub const MODEL_ACCOUNT_PRICE_OFFSET: usize = 24;
/// 32 bytes: see DOMAIN_MODEL.
pub const MODEL_ACCOUNT_MODEL_ID_OFFSET: usize = 32;
/// 32 bytes: program that checks this model's proofs; zero: this chain cannot check them.
pub const MODEL_ACCOUNT_VERIFIER_OFFSET: usize = 64;
/// 32 bytes: its key account for this model; zero exactly when `verifier` is.
pub const MODEL_ACCOUNT_VERIFYING_KEY_OFFSET: usize = 96;
/// Solana account [model, model id].
pub const MODEL_ACCOUNT_SIZE: usize = 128;

// layout peer_account: Solana account [peer, origin hash].
/// 1 byte: ACCOUNT_PEER.
pub const PEER_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const PEER_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const PEER_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: 1: messages of this origin are taken.
pub const PEER_ACCOUNT_ACTIVE_OFFSET: usize = 3;
/// 2 bytes: zero.
pub const PEER_ACCOUNT_RESERVED_OFFSET: usize = 4;
/// 66 bytes: chain type (2, big-endian), chain reference (32), gateway (32), as in a body.
pub const PEER_ACCOUNT_ORIGIN_OFFSET: usize = 6;
/// Solana account [peer, origin hash].
pub const PEER_ACCOUNT_SIZE: usize = 72;

// layout outbox_account: Solana account [outbox, sequence]: this header, then the body.
/// 1 byte: ACCOUNT_OUTBOX.
pub const OUTBOX_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const OUTBOX_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const OUTBOX_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: OUTBOX_*.
pub const OUTBOX_ACCOUNT_STATE_OFFSET: usize = 3;
/// 4 bytes: bytes of body that follow, u32.
pub const OUTBOX_ACCOUNT_BODY_SIZE_OFFSET: usize = 4;
/// 8 bytes: u64.
pub const OUTBOX_ACCOUNT_SEQUENCE_OFFSET: usize = 8;
/// 8 bytes: lamports escrowed beyond rent, u64.
pub const OUTBOX_ACCOUNT_FEE_OFFSET: usize = 16;
/// 8 bytes: Unix seconds, u64.
pub const OUTBOX_ACCOUNT_EXPIRY_OFFSET: usize = 24;
/// 32 bytes: who posted, paid and gets the rent back.
pub const OUTBOX_ACCOUNT_SENDER_OFFSET: usize = 32;
/// 32 bytes: digest of the body (a request's id).
pub const OUTBOX_ACCOUNT_DIGEST_OFFSET: usize = 64;
/// Solana account [outbox, sequence]: this header, then the body.
pub const OUTBOX_ACCOUNT_SIZE: usize = 96;

// layout inbox_account: Solana account [inbox, digest]: this header, then the body.
/// 1 byte: ACCOUNT_INBOX.
pub const INBOX_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const INBOX_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const INBOX_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: KIND_* of the body.
pub const INBOX_ACCOUNT_KIND_OFFSET: usize = 3;
/// 4 bytes: bytes of body that follow, u32.
pub const INBOX_ACCOUNT_BODY_SIZE_OFFSET: usize = 4;
/// 8 bytes: Unix seconds of the delivery, u64.
pub const INBOX_ACCOUNT_DELIVERED_AT_OFFSET: usize = 8;
/// 4 bytes: committee epoch whose signature was checked, u32; 0: a proof was checked, no signature.
pub const INBOX_ACCOUNT_EPOCH_OFFSET: usize = 16;
/// 4 bytes: zero.
pub const INBOX_ACCOUNT_RESERVED_OFFSET: usize = 20;
/// 32 bytes: who paid the rent and gets it back.
pub const INBOX_ACCOUNT_PAYER_OFFSET: usize = 24;
/// 32 bytes: digest of the body.
pub const INBOX_ACCOUNT_DIGEST_OFFSET: usize = 56;
/// Solana account [inbox, digest]: this header, then the body.
pub const INBOX_ACCOUNT_SIZE: usize = 88;

// layout replay_account: Solana account [replay, origin hash, window].
/// 1 byte: ACCOUNT_REPLAY.
pub const REPLAY_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const REPLAY_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const REPLAY_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 5 bytes: zero.
pub const REPLAY_ACCOUNT_RESERVED_OFFSET: usize = 3;
/// 8 bytes: u64.
pub const REPLAY_ACCOUNT_WINDOW_OFFSET: usize = 8;
/// 128 bytes: bit sequence % REPLAY_WINDOW is set once delivered; bit i is bit i % 8 of byte i / 8.
pub const REPLAY_ACCOUNT_BITMAP_OFFSET: usize = 16;
/// Solana account [replay, origin hash, window].
pub const REPLAY_ACCOUNT_SIZE: usize = 144;

// layout verifier_key_account: Account [key, hash, payer] of the verifier program: this header, then `size`
// bytes of a prepared key (circuits/halo2/prepared.py), once all are written.
/// 1 byte: VERIFIER_ACCOUNT_KEY.
pub const VERIFIER_KEY_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const VERIFIER_KEY_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const VERIFIER_KEY_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: 1: the content has this hash, and nothing changes it any more.
pub const VERIFIER_KEY_ACCOUNT_SEALED_OFFSET: usize = 3;
/// 4 bytes: bytes of the content, u32.
pub const VERIFIER_KEY_ACCOUNT_SIZE_OFFSET: usize = 4;
/// 32 bytes: who writes it and, until it is sealed, may close it.
pub const VERIFIER_KEY_ACCOUNT_PAYER_OFFSET: usize = 8;
/// 32 bytes: keccak256 of the content.
pub const VERIFIER_KEY_ACCOUNT_HASH_OFFSET: usize = 40;
/// Account [key, hash, payer] of the verifier program: this header, then `size` bytes of a prepared key
/// (circuits/halo2/prepared.py), once all are written.
pub const VERIFIER_KEY_ACCOUNT_SIZE: usize = 72;

// layout verifier_proof_account: Account [proof, label, payer] of the verifier program: this header, then the
// first bytes of a packed proof and its hint; `verify` brings the rest.
/// 1 byte: VERIFIER_ACCOUNT_PROOF.
pub const VERIFIER_PROOF_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const VERIFIER_PROOF_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const VERIFIER_PROOF_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 5 bytes: zero.
pub const VERIFIER_PROOF_ACCOUNT_RESERVED_OFFSET: usize = 3;
/// 32 bytes: who writes and closes it, and gets the rent back.
pub const VERIFIER_PROOF_ACCOUNT_PAYER_OFFSET: usize = 8;
/// 32 bytes: chosen by the payer: the request's id.
pub const VERIFIER_PROOF_ACCOUNT_LABEL_OFFSET: usize = 40;
/// Account [proof, label, payer] of the verifier program: this header, then the first bytes of a packed proof
/// and its hint; `verify` brings the rest.
pub const VERIFIER_PROOF_ACCOUNT_SIZE: usize = 72;

// layout tokens_bridge_account: Solana account [bridge] of the token program.
/// 1 byte: TOKENS_ACCOUNT_BRIDGE.
pub const TOKENS_BRIDGE_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const TOKENS_BRIDGE_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const TOKENS_BRIDGE_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: 1: nothing moves.
pub const TOKENS_BRIDGE_ACCOUNT_PAUSED_OFFSET: usize = 3;
/// 4 bytes: seconds that a queued transfer waits, u32.
pub const TOKENS_BRIDGE_ACCOUNT_QUEUE_DELAY_OFFSET: usize = 4;
/// 32 bytes: the Sibyl program.
pub const TOKENS_BRIDGE_ACCOUNT_SIBYL_OFFSET: usize = 8;
/// 66 bytes: the EVM gateway: chain type (2, big-endian), chain reference (32), gateway (32), as in a body.
pub const TOKENS_BRIDGE_ACCOUNT_ORIGIN_OFFSET: usize = 40;
/// 2 bytes: zero.
pub const TOKENS_BRIDGE_ACCOUNT_RESERVED_OFFSET: usize = 106;
/// 4 bytes: seconds between announcing and carrying out an act of governance, u32.
pub const TOKENS_BRIDGE_ACCOUNT_GOVERNANCE_DELAY_OFFSET: usize = 108;
/// 32 bytes: keccak256 of `origin`.
pub const TOKENS_BRIDGE_ACCOUNT_ORIGIN_HASH_OFFSET: usize = 112;
/// 32 bytes: genesis hash of this cluster, as the Sibyl program has it.
pub const TOKENS_BRIDGE_ACCOUNT_CHAIN_REFERENCE_OFFSET: usize = 144;
/// 32 bytes: TokenFactory on the EVM chain, left-padded.
pub const TOKENS_BRIDGE_ACCOUNT_FACTORY_OFFSET: usize = 176;
/// 32 bytes: CREATE2 init-code hash of NativeBridge.
pub const TOKENS_BRIDGE_ACCOUNT_NATIVE_INIT_CODE_HASH_OFFSET: usize = 208;
/// 32 bytes: CREATE2 init-code hash of WrappedBridge.
pub const TOKENS_BRIDGE_ACCOUNT_WRAPPED_INIT_CODE_HASH_OFFSET: usize = 240;
/// 32 bytes: governance account.
pub const TOKENS_BRIDGE_ACCOUNT_AUTHORITY_OFFSET: usize = 272;
/// 32 bytes: may pause.
pub const TOKENS_BRIDGE_ACCOUNT_GUARDIAN_OFFSET: usize = 304;
/// Solana account [bridge] of the token program.
pub const TOKENS_BRIDGE_ACCOUNT_SIZE: usize = 336;

// layout tokens_token_account: Solana account [token, ...] of the token program. Amounts in wire units; a
// bucket is capacity, refill per second, level, time of the level.
/// 1 byte: TOKENS_ACCOUNT_TOKEN.
pub const TOKENS_TOKEN_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const TOKENS_TOKEN_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const TOKENS_TOKEN_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 1 byte: TOKENS_KIND_*.
pub const TOKENS_TOKEN_ACCOUNT_KIND_OFFSET: usize = 3;
/// 1 byte: decimals of a wire unit.
pub const TOKENS_TOKEN_ACCOUNT_WIRE_DECIMALS_OFFSET: usize = 4;
/// 1 byte: decimals of the mint.
pub const TOKENS_TOKEN_ACCOUNT_NATIVE_DECIMALS_OFFSET: usize = 5;
/// 1 byte: 1: this token does not move.
pub const TOKENS_TOKEN_ACCOUNT_PAUSED_OFFSET: usize = 6;
/// 1 byte: bump of the vault (native) or of the mint (wrapped).
pub const TOKENS_TOKEN_ACCOUNT_ASSET_BUMP_OFFSET: usize = 7;
/// 8 bytes: locked (native) or minted less burnt (wrapped), u64.
pub const TOKENS_TOKEN_ACCOUNT_OUTSTANDING_OFFSET: usize = 8;
/// 8 bytes: most that may be outstanding, u64.
pub const TOKENS_TOKEN_ACCOUNT_CAP_OFFSET: usize = 16;
/// 8 bytes: u64.
pub const TOKENS_TOKEN_ACCOUNT_OUTBOUND_CAPACITY_OFFSET: usize = 24;
/// 8 bytes: per second, u64.
pub const TOKENS_TOKEN_ACCOUNT_OUTBOUND_REFILL_OFFSET: usize = 32;
/// 8 bytes: what the bucket held at `outbound_updated`, u64.
pub const TOKENS_TOKEN_ACCOUNT_OUTBOUND_LEVEL_OFFSET: usize = 40;
/// 8 bytes: Unix seconds, u64.
pub const TOKENS_TOKEN_ACCOUNT_OUTBOUND_UPDATED_OFFSET: usize = 48;
/// 8 bytes: u64.
pub const TOKENS_TOKEN_ACCOUNT_INBOUND_CAPACITY_OFFSET: usize = 56;
/// 8 bytes: per second, u64.
pub const TOKENS_TOKEN_ACCOUNT_INBOUND_REFILL_OFFSET: usize = 64;
/// 8 bytes: what the bucket held at `inbound_updated`, u64.
pub const TOKENS_TOKEN_ACCOUNT_INBOUND_LEVEL_OFFSET: usize = 72;
/// 8 bytes: Unix seconds, u64.
pub const TOKENS_TOKEN_ACCOUNT_INBOUND_UPDATED_OFFSET: usize = 80;
/// 8 bytes: Unix seconds since which the token is paused without break, u64; 0: it is not.
pub const TOKENS_TOKEN_ACCOUNT_PAUSED_SINCE_OFFSET: usize = 88;
/// 8 bytes: Unix seconds at which the period of an emergency exit began, u64; 0: none.
pub const TOKENS_TOKEN_ACCOUNT_EXIT_BEGIN_OFFSET: usize = 96;
/// 8 bytes: wire units that may still leave in that period, u64.
pub const TOKENS_TOKEN_ACCOUNT_EXIT_LEFT_OFFSET: usize = 104;
/// 32 bytes: mint on this chain.
pub const TOKENS_TOKEN_ACCOUNT_MINT_OFFSET: usize = 112;
/// 32 bytes: SPL Token or Token-2022, which owns the mint.
pub const TOKENS_TOKEN_ACCOUNT_TOKEN_PROGRAM_OFFSET: usize = 144;
/// 32 bytes: the one EVM contract that speaks for the token, left-padded.
pub const TOKENS_TOKEN_ACCOUNT_EVM_BRIDGE_OFFSET: usize = 176;
/// 32 bytes: native token's account: the mint, or the padded ERC-20 address.
pub const TOKENS_TOKEN_ACCOUNT_NATIVE_TOKEN_OFFSET: usize = 208;
/// Solana account [token, ...] of the token program. Amounts in wire units; a bucket is capacity, refill per
/// second, level, time of the level.
pub const TOKENS_TOKEN_ACCOUNT_SIZE: usize = 240;

// layout tokens_queued_account: Solana account [queued, digest] of the token program.
/// 1 byte: TOKENS_ACCOUNT_QUEUED.
pub const TOKENS_QUEUED_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const TOKENS_QUEUED_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const TOKENS_QUEUED_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 5 bytes: zero.
pub const TOKENS_QUEUED_ACCOUNT_RESERVED_OFFSET: usize = 3;
/// 8 bytes: wire units, u64.
pub const TOKENS_QUEUED_ACCOUNT_AMOUNT_OFFSET: usize = 8;
/// 8 bytes: Unix seconds, u64.
pub const TOKENS_QUEUED_ACCOUNT_RELEASABLE_AT_OFFSET: usize = 16;
/// 32 bytes: the token's [token, ...] account.
pub const TOKENS_QUEUED_ACCOUNT_TOKEN_OFFSET: usize = 24;
/// 32 bytes: owner of the associated token account that is paid.
pub const TOKENS_QUEUED_ACCOUNT_RECIPIENT_OFFSET: usize = 56;
/// 32 bytes: who paid the rent and gets it back.
pub const TOKENS_QUEUED_ACCOUNT_PAYER_OFFSET: usize = 88;
/// 32 bytes: digest of the message.
pub const TOKENS_QUEUED_ACCOUNT_DIGEST_OFFSET: usize = 120;
/// Solana account [queued, digest] of the token program.
pub const TOKENS_QUEUED_ACCOUNT_SIZE: usize = 152;

// layout tokens_scheduled_account: Solana account [scheduled, operation] of the token program.
/// 1 byte: TOKENS_ACCOUNT_SCHEDULED.
pub const TOKENS_SCHEDULED_ACCOUNT_ACCOUNT_TYPE_OFFSET: usize = 0;
/// 1 byte: ACCOUNT_LAYOUT_VERSION.
pub const TOKENS_SCHEDULED_ACCOUNT_LAYOUT_VERSION_OFFSET: usize = 1;
/// 1 byte: PDA bump.
pub const TOKENS_SCHEDULED_ACCOUNT_BUMP_OFFSET: usize = 2;
/// 5 bytes: zero.
pub const TOKENS_SCHEDULED_ACCOUNT_RESERVED_OFFSET: usize = 3;
/// 8 bytes: Unix seconds from which it may be carried out, u64.
pub const TOKENS_SCHEDULED_ACCOUNT_READY_AT_OFFSET: usize = 8;
/// 32 bytes: who paid the rent and gets it back.
pub const TOKENS_SCHEDULED_ACCOUNT_PAYER_OFFSET: usize = 16;
/// 32 bytes: what was announced.
pub const TOKENS_SCHEDULED_ACCOUNT_OPERATION_OFFSET: usize = 48;
/// Solana account [scheduled, operation] of the token program.
pub const TOKENS_SCHEDULED_ACCOUNT_SIZE: usize = 80;
