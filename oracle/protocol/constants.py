"""The protocol's constants.

Generated from contracts/protocol.toml by `python -m contracts.generate`. Do not edit.
A layout's `*_OFFSET` and `*_SIZE` are in bytes; `*_SIZE` is its fixed part.
"""

from typing import Final

# version
PROTOCOL_VERSION: Final = 1
"""First byte of every message body."""

# domain
DOMAIN_MESSAGE: Final = b"SIBYL_MESSAGE_V1".ljust(32, b"\0")
"""Prefix of the digest of one message body."""
DOMAIN_BATCH: Final = b"SIBYL_BATCH_V1".ljust(32, b"\0")
"""Prefix of the value that the committee signs: a Merkle root of digests."""
DOMAIN_KEY: Final = b"SIBYL_KEY_V1".ljust(32, b"\0")
"""Prefix of what a group key signs to prove its possession."""
DOMAIN_MODEL: Final = b"SIBYL_MODEL_V1".ljust(32, b"\0")
"""Prefix of a model id."""

# merkle
MERKLE_LEAF_PREFIX: Final = 0
"""First byte of a hashed leaf. Source: RFC 9162 section 2.1.1."""
MERKLE_NODE_PREFIX: Final = 1
"""First byte of a hashed inner node. Source: RFC 9162 section 2.1.1."""
MERKLE_MAX_DEPTH: Final = 16
"""Longest branch accepted, in nodes (65,536 messages under one signature)."""

# kind
KIND_MESSAGE: Final = 1
"""A user's message, delivered to IERC7786Recipient.receiveMessage. Source: ERC-7786."""
KIND_INFERENCE_REQUEST: Final = 2
"""Asks the committee; never delivered to a chain."""
KIND_INFERENCE_RESULT: Final = 3
"""The committee's answer to an inference request."""
KIND_NON_DELIVERY: Final = 4
"""The committee's word to a message's sender that it expired undelivered and never will be delivered."""
KIND_ROTATION: Final = 5
"""A new group key for the next committee epoch, signed under the old one."""

# policy
POLICY_ATTESTED: Final = 1
"""Each signer checked the ezkl proof; the chain checks the committee's signature."""
POLICY_PROVEN: Final = 2
"""The chain checks the ezkl proof itself; no signature."""
POLICY_BOTH: Final = 3
"""The chain checks the signature and the ezkl proof."""
POLICY_RECOMPUTED: Final = 4
"""Each signer recomputed the output itself; the chain checks the committee's signature. A proof is made when
somebody asks for it."""

# status
STATUS_ANSWERED: Final = 0
"""The payload carries outputs."""
STATUS_UNKNOWN_MODEL: Final = 1
"""Refused: no node of the committee holds this model. The fee goes back."""
STATUS_WRONG_SHAPE: Final = 2
"""Refused: the number of inputs is not the model's. The fee goes back."""
STATUS_OUT_OF_RANGE: Final = 3
"""Refused: an input lies outside the calibrated range. The fee goes back."""
STATUS_INFERENCE_FAILED: Final = 4
"""Refused: the model gave no valid output for these inputs. The fee goes back."""
STATUS_UNSUPPORTED_POLICY: Final = 5
"""Refused: a destination cannot check what the policy asks. The fee goes back."""

# chain_type
CHAIN_TYPE_EIP155: Final = 0
"""EVM chains; the reference is the chain id. Source: ERC-7930, CAIP-350 eip155."""
CHAIN_TYPE_SOLANA: Final = 2
"""Solana; the reference is the 32-byte genesis hash. Source: ERC-7930, CAIP-350 solana."""

# interop
INTEROP_VERSION: Final = 1
"""Version of an interoperable address. Source: ERC-7930."""

# limits
MAX_PAYLOAD_SIZE: Final = 16384
"""Bytes of payload in one message."""
MAX_INPUTS: Final = 1024
"""Quantised inputs in one request."""
MAX_OUTPUTS: Final = 64
"""Quantised outputs in one result."""
MAX_REMOTES: Final = 4
"""Further destinations of one request, beside its origin."""
MAX_MEMBERS: Final = 256
"""Members of a committee."""
MIN_MEMBERS: Final = 4
"""Fewest members of a committee that a rotation may bring."""
MAX_SCALE: Final = 30
"""Largest fixed-point scale, in bits after the point."""

# solana_seed
SEED_CONFIG: Final = b"config"
"""Seeds of the configuration: [config]."""
SEED_COMMITTEE: Final = b"committee"
"""[committee, epoch u32 LE]."""
SEED_MODEL: Final = b"model"
"""[model, model id]."""
SEED_PEER: Final = b"peer"
"""[peer, origin hash = keccak256(body bytes 2..68)]."""
SEED_OUTBOX: Final = b"outbox"
"""[outbox, sequence u64 LE]."""
SEED_INBOX: Final = b"inbox"
"""[inbox, digest]."""
SEED_REPLAY: Final = b"replay"
"""[replay, origin hash, window u64 LE], window = sequence / REPLAY_WINDOW."""

# solana_account
ACCOUNT_CONFIG: Final = 1
"""First byte of the configuration account."""
ACCOUNT_COMMITTEE: Final = 2
"""First byte of a committee account."""
ACCOUNT_MODEL: Final = 3
"""First byte of a model account."""
ACCOUNT_PEER: Final = 4
"""First byte of a peer account."""
ACCOUNT_OUTBOX: Final = 5
"""First byte of an outbox account (a posted message or request)."""
ACCOUNT_INBOX: Final = 6
"""First byte of an inbox account (a delivered message or result)."""
ACCOUNT_REPLAY: Final = 7
"""First byte of a replay bitmap account."""
ACCOUNT_LAYOUT_VERSION: Final = 1
"""Second byte of every account of the program."""

# solana_outbox_state
OUTBOX_POSTED: Final = 1
"""A message without answer: stays for the readers."""
OUTBOX_PENDING: Final = 2
"""A request whose fee is escrowed."""
OUTBOX_ANSWERED: Final = 3
"""Answered; the fee went to the treasury."""
OUTBOX_REFUSED: Final = 4
"""Refused by a signed result; the fee went back to the requester."""

# solana_instruction
INSTRUCTION_INITIALISE: Final = 0
"""Creates the configuration and the first committee."""
INSTRUCTION_SET_COMMITTEE: Final = 1
"""Authority: a further committee epoch, and the end of the old one."""
INSTRUCTION_REGISTER_MODEL: Final = 2
"""Authority: registers or changes a model."""
INSTRUCTION_REGISTER_PEER: Final = 3
"""Authority: trusts an origin gateway."""
INSTRUCTION_SEND: Final = 4
"""Posts a KIND_MESSAGE."""
INSTRUCTION_REQUEST: Final = 5
"""Posts a KIND_INFERENCE_REQUEST and escrows its fee."""
INSTRUCTION_DELIVER: Final = 6
"""Delivers one signed message."""
INSTRUCTION_CLOSE_INBOX: Final = 7
"""Gives an inbox account's rent back to who paid it."""
INSTRUCTION_CLOSE_OUTBOX: Final = 8
"""Gives an answered or expired outbox account's rent back to the sender."""
INSTRUCTION_REFUND: Final = 9
"""After the deadline: fee and rent of an unanswered request to the requester."""
INSTRUCTION_ROTATE: Final = 10
"""Anyone: takes a delivered rotation and creates the next committee epoch, which begins after the delay."""
INSTRUCTION_VETO: Final = 11
"""Authority: removes an epoch that has not begun."""
INSTRUCTION_FULFIL: Final = 12
"""Anyone: answers a pending POLICY_PROVEN request of this chain with a proof; the fee is the payer's."""

# solana_replay
REPLAY_WINDOW: Final = 1024
"""Sequences in one replay bitmap account (and bits in its bitmap)."""

# solana_proven
MAX_PROVEN_INSTANCES: Final = 256
"""Inputs and outputs together of a model whose proofs this chain checks: one call between programs carries
them."""

# solana_verifier_seed
VERIFIER_SEED_KEY: Final = b"key"
"""[key, keccak256 of the content, payer]: a verifying key."""
VERIFIER_SEED_PROOF: Final = b"proof"
"""[proof, label, payer]: a proof on its way; the label of a delivery is its request's id."""

# solana_verifier_account
VERIFIER_ACCOUNT_KEY: Final = 1
"""First byte of a verifying-key account."""
VERIFIER_ACCOUNT_PROOF: Final = 2
"""First byte of a proof account."""

# solana_verifier_limits
VERIFIER_PROOF_SIZE: Final = 1472
"""Bytes of a packed proof and its hint (1,440 and 32)."""
VERIFIER_GROWTH: Final = 10240
"""Most bytes by which one instruction can make an account larger."""

# solana_verifier_instruction
VERIFIER_INSTRUCTION_CREATE_KEY: Final = 0
"""Creates an empty key account; its payer alone writes it."""
VERIFIER_INSTRUCTION_WRITE_KEY: Final = 1
"""Payer: writes a part of an unsealed key's content; the account grows towards its size."""
VERIFIER_INSTRUCTION_SEAL_KEY: Final = 2
"""Payer: seals a key whose content has the hash that its address was made of. For good."""
VERIFIER_INSTRUCTION_CLOSE_KEY: Final = 3
"""Payer: takes the rent of an unsealed key back."""
VERIFIER_INSTRUCTION_CREATE_PROOF: Final = 4
"""Creates a proof account with its first bytes."""
VERIFIER_INSTRUCTION_WRITE_PROOF: Final = 5
"""Payer: writes a part of a proof."""
VERIFIER_INSTRUCTION_CLOSE_PROOF: Final = 6
"""Payer: takes the rent of a proof account back."""
VERIFIER_INSTRUCTION_VERIFY: Final = 7
"""Payer of the proof account: succeeds for a valid proof under a sealed key, and closes the proof account."""

# solana_tokens_seed
TOKENS_SEED_BRIDGE: Final = b"bridge"
"""[bridge]: settings, and the bridge authority that owns vaults and mints and sends and receives every token
message."""
TOKENS_SEED_TOKEN: Final = b"token"
"""[token, mint] of a native token, [token, origin hash, EVM bridge] of a wrapped one."""
TOKENS_SEED_MINT: Final = b"mint"
"""[mint, origin hash, EVM bridge]: the mint of a wrapped token."""
TOKENS_SEED_VAULT: Final = b"vault"
"""[vault, mint]: the token account that holds what is locked of a native token."""
TOKENS_SEED_QUEUED: Final = b"queued"
"""[queued, digest]: an inbound transfer over the limit."""
TOKENS_SEED_SCHEDULED: Final = b"scheduled"
"""[scheduled, keccak256 of the instruction's data and of the addresses it acts on]: an announced act of
governance."""

# solana_tokens_account
TOKENS_ACCOUNT_BRIDGE: Final = 1
"""First byte of the bridge account."""
TOKENS_ACCOUNT_TOKEN: Final = 2
"""First byte of a token's account."""
TOKENS_ACCOUNT_QUEUED: Final = 3
"""First byte of a queued transfer's account."""
TOKENS_ACCOUNT_SCHEDULED: Final = 4
"""First byte of an announced act of governance."""

# solana_tokens_kind
TOKENS_KIND_NATIVE: Final = 1
"""The token lives on this chain: locked in its vault, and released."""
TOKENS_KIND_WRAPPED: Final = 2
"""The token lives on the EVM chain: minted and burnt here."""

# solana_tokens_limits
TOKENS_MAX_WIRE_DECIMALS: Final = 9
"""wire decimals = min(native decimals, this)."""
TOKENS_MAX_DECIMALS: Final = 28
"""Native decimals of a Solana mint that can be registered: a wire unit fits 64 bits."""
TOKENS_MAX_NAME: Final = 32
"""Bytes of a registered token's name."""
TOKENS_MAX_SYMBOL: Final = 10
"""Bytes of a registered token's symbol."""

# solana_tokens_amounts
TOKENS_DEFAULT_LIFETIME: Final = 86400
"""Seconds until a transfer expires whose sender names no expiry."""
TOKENS_MAX_LIFETIME: Final = 2592000
"""Most seconds from a transfer to its expiry (30 days)."""
TOKENS_CLOSE_DELAY: Final = 2592000
"""Seconds after a transfer's expiry from which its outbox account may be closed (30 days)."""
TOKENS_EXIT_PAUSE: Final = 604800
"""Seconds (7 days) that a token must have been paused without break before an emergency exit."""
TOKENS_EXIT_PERIOD: Final = 86400
"""Seconds of one period of an emergency exit."""
TOKENS_EXIT_SHARE: Final = 10
"""An emergency exit takes at most 1/this of what was locked at the period's begin, once a period."""
TOKENS_UNLIMITED: Final = 18446744073709551615
"""A bucket's capacity, or a cap, that limits nothing."""

# solana_tokens_instruction
TOKENS_INSTRUCTION_INITIALISE: Final = 0
"""Upgrade authority: creates the bridge account."""
TOKENS_INSTRUCTION_REGISTER_TOKEN: Final = 1
"""Anyone: registers a native mint and sends its registration (again: sends it again)."""
TOKENS_INSTRUCTION_SEND_TOKENS: Final = 2
"""Locks or burns, and sends the transfer."""
TOKENS_INSTRUCTION_REDEEM: Final = 3
"""Anyone: takes one delivered transfer and mints or releases."""
TOKENS_INSTRUCTION_ACCEPT_REGISTRATION: Final = 4
"""Anyone: takes one delivered registration and creates the wrapped mint."""
TOKENS_INSTRUCTION_PAUSE: Final = 5
"""Guardian or authority: stops one token or all."""
TOKENS_INSTRUCTION_UNPAUSE: Final = 6
"""Authority: ends a pause."""
TOKENS_INSTRUCTION_SET_LIMITS: Final = 7
"""Authority: buckets and cap of one token."""
TOKENS_INSTRUCTION_ENQUEUE: Final = 8
"""Anyone: moves one delivered transfer that is over the inbound limit into the queue."""
TOKENS_INSTRUCTION_RELEASE: Final = 9
"""Anyone: pays a queued transfer out after the delay."""
TOKENS_INSTRUCTION_REFUND: Final = 10
"""Anyone: takes a delivered non-delivery of a transfer of this program and gives the tokens back to their
sender."""
TOKENS_INSTRUCTION_SCHEDULE: Final = 11
"""Authority: announces an unpause, new limits or an emergency exit, to be carried out after the governance
delay."""
TOKENS_INSTRUCTION_CANCEL: Final = 12
"""Authority or guardian: takes back what was announced."""
TOKENS_INSTRUCTION_EMERGENCY_EXIT: Final = 13
"""Authority: takes a bounded part of a paused native token's vault, after the delay."""
TOKENS_INSTRUCTION_CLOSE_SENT: Final = 14
"""Anyone: closes the outbox account of a transfer long past its expiry; the rent goes to its sender."""

# layout body: The signed body of a message: this header, then the payload and nothing after it. Integers
# big-endian.
BODY_VERSION_OFFSET: Final = 0
"""1 byte: PROTOCOL_VERSION."""
BODY_KIND_OFFSET: Final = 1
"""1 byte: KIND_*."""
BODY_ORIGIN_CHAIN_TYPE_OFFSET: Final = 2
"""2 bytes: CHAIN_TYPE_* of the origin."""
BODY_ORIGIN_CHAIN_REFERENCE_OFFSET: Final = 4
"""32 bytes: ERC-7930 chain reference, left-padded with zeros."""
BODY_ORIGIN_GATEWAY_OFFSET: Final = 36
"""32 bytes: gateway that posted the message or its request, left-padded."""
BODY_DESTINATION_CHAIN_TYPE_OFFSET: Final = 68
"""2 bytes: CHAIN_TYPE_* of the destination."""
BODY_DESTINATION_CHAIN_REFERENCE_OFFSET: Final = 70
"""32 bytes: ERC-7930 chain reference, left-padded with zeros."""
BODY_DESTINATION_GATEWAY_OFFSET: Final = 102
"""32 bytes: gateway that may deliver the message, left-padded."""
BODY_SEQUENCE_OFFSET: Final = 134
"""8 bytes: number of the post at the origin gateway, from 1; a result carries its request's."""
BODY_SENDER_OFFSET: Final = 142
"""32 bytes: account that posted (a result: the origin gateway), left-padded."""
BODY_RECIPIENT_OFFSET: Final = 174
"""32 bytes: account that receives (a request and a result: the destination gateway's oracle hub),
left-padded."""
BODY_EXPIRY_OFFSET: Final = 206
"""8 bytes: last Unix second of the destination's clock at which it may be delivered; 0: never expires."""
BODY_PAYLOAD_SIZE_OFFSET: Final = 214
"""2 bytes: bytes of payload that follow."""
BODY_SIZE: Final = 216
"""The signed body of a message: this header, then the payload and nothing after it. Integers big-endian."""

# layout request: Payload of KIND_INFERENCE_REQUEST: this header, then `remote_count` remotes, then
# `input_count` inputs (int64 each).
REQUEST_MODEL_ID_OFFSET: Final = 0
"""32 bytes: registered model."""
REQUEST_FEE_OFFSET: Final = 32
"""16 bytes: escrowed fee in the origin's smallest unit (wei, lamports)."""
REQUEST_CALLBACK_GAS_LIMIT_OFFSET: Final = 48
"""4 bytes: gas for the consumer's callback on EVM destinations, in gas units."""
REQUEST_POLICY_OFFSET: Final = 52
"""1 byte: POLICY_* at the origin."""
REQUEST_REMOTE_COUNT_OFFSET: Final = 53
"""1 byte: number of remotes, at most MAX_REMOTES."""
REQUEST_INPUT_COUNT_OFFSET: Final = 54
"""2 bytes: number of inputs, 1 to MAX_INPUTS."""
REQUEST_SIZE: Final = 56
"""Payload of KIND_INFERENCE_REQUEST: this header, then `remote_count` remotes, then `input_count` inputs
(int64 each)."""

# layout remote: One further destination of a request.
REMOTE_POLICY_OFFSET: Final = 0
"""1 byte: POLICY_* at this destination."""
REMOTE_CHAIN_TYPE_OFFSET: Final = 1
"""2 bytes: CHAIN_TYPE_*."""
REMOTE_CHAIN_REFERENCE_OFFSET: Final = 3
"""32 bytes: ERC-7930 chain reference, left-padded."""
REMOTE_GATEWAY_OFFSET: Final = 35
"""32 bytes: gateway on that chain, left-padded."""
REMOTE_HUB_OFFSET: Final = 67
"""32 bytes: oracle hub on that chain (Solana: the program), left-padded."""
REMOTE_CONSUMER_OFFSET: Final = 99
"""32 bytes: account on that chain that the answer is for, left-padded."""
REMOTE_SIZE: Final = 131
"""One further destination of a request."""

# layout result: Payload of KIND_INFERENCE_RESULT: this header, then `output_count` outputs (int64 each).
RESULT_STATUS_OFFSET: Final = 0
"""1 byte: STATUS_*; outputs only when STATUS_ANSWERED."""
RESULT_POLICY_OFFSET: Final = 1
"""1 byte: POLICY_* at this destination."""
RESULT_MODEL_ID_OFFSET: Final = 2
"""32 bytes: model that answered."""
RESULT_REQUEST_ID_OFFSET: Final = 34
"""32 bytes: digest of the request's body."""
RESULT_INPUT_COMMITMENT_OFFSET: Final = 66
"""32 bytes: keccak256 of the request's input bytes (8 per input, big-endian)."""
RESULT_REQUESTER_OFFSET: Final = 98
"""32 bytes: sender of the request on its origin, left-padded."""
RESULT_CONSUMER_OFFSET: Final = 130
"""32 bytes: account on this destination that the answer is for, left-padded."""
RESULT_CALLBACK_GAS_LIMIT_OFFSET: Final = 162
"""4 bytes: gas for the consumer's callback, in gas units."""
RESULT_OUTPUT_SCALE_OFFSET: Final = 166
"""1 byte: bits after the point: value = output / 2^output_scale."""
RESULT_OUTPUT_COUNT_OFFSET: Final = 167
"""1 byte: number of outputs, at most MAX_OUTPUTS."""
RESULT_SIZE: Final = 168
"""Payload of KIND_INFERENCE_RESULT: this header, then `output_count` outputs (int64 each)."""

# layout non_delivery: Payload of KIND_NON_DELIVERY: this header, then the payload of the message that
# expired.
NON_DELIVERY_DIGEST_OFFSET: Final = 0
"""32 bytes: digest of the message that expired."""
NON_DELIVERY_SIZE: Final = 32
"""Payload of KIND_NON_DELIVERY: this header, then the payload of the message that expired."""

# layout rotation: Payload of KIND_ROTATION: this header, then `member_count` operator numbers (1 byte each),
# then `remote_count` rotation remotes.
ROTATION_EPOCH_OFFSET: Final = 0
"""4 bytes: the new committee epoch: the current one plus 1."""
ROTATION_GROUP_KEY_X_OFFSET: Final = 4
"""32 bytes: x of the new group public key."""
ROTATION_GROUP_KEY_PARITY_OFFSET: Final = 36
"""1 byte: parity of its y, 0 or 1."""
ROTATION_PROOF_R_OFFSET: Final = 37
"""33 bytes: R of the new key's proof of possession, SEC1 compressed."""
ROTATION_PROOF_Z_OFFSET: Final = 70
"""32 bytes: z of the new key's proof of possession."""
ROTATION_OVERLAP_OFFSET: Final = 102
"""4 bytes: seconds for which the old epoch is taken after the new one begins."""
ROTATION_TRANSCRIPT_OFFSET: Final = 106
"""32 bytes: transcript hash of the key generation that made the key."""
ROTATION_THRESHOLD_OFFSET: Final = 138
"""2 bytes: members needed to sign."""
ROTATION_MEMBER_COUNT_OFFSET: Final = 140
"""2 bytes: members of the new committee, MIN_MEMBERS to MAX_MEMBERS."""
ROTATION_REMOTE_COUNT_OFFSET: Final = 142
"""1 byte: number of remotes, at most MAX_REMOTES."""
ROTATION_SIZE: Final = 143
"""Payload of KIND_ROTATION: this header, then `member_count` operator numbers (1 byte each), then
`remote_count` rotation remotes."""

# layout rotation_remote: One further destination of a rotation.
ROTATION_REMOTE_CHAIN_TYPE_OFFSET: Final = 0
"""2 bytes: CHAIN_TYPE_*."""
ROTATION_REMOTE_CHAIN_REFERENCE_OFFSET: Final = 2
"""32 bytes: ERC-7930 chain reference, left-padded."""
ROTATION_REMOTE_GATEWAY_OFFSET: Final = 34
"""32 bytes: gateway on that chain, left-padded."""
ROTATION_REMOTE_COMMITTEE_OFFSET: Final = 66
"""32 bytes: account that keeps the group keys there (Solana: the program), left-padded."""
ROTATION_REMOTE_SIZE: Final = 98
"""One further destination of a rotation."""

# layout config_account: Solana account [config].
CONFIG_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: ACCOUNT_CONFIG."""
CONFIG_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
CONFIG_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
CONFIG_ACCOUNT_RESERVED_OFFSET: Final = 3
"""1 byte: zero."""
CONFIG_ACCOUNT_CURRENT_EPOCH_OFFSET: Final = 4
"""4 bytes: newest committee epoch, u32."""
CONFIG_ACCOUNT_NEXT_SEQUENCE_OFFSET: Final = 8
"""8 bytes: sequence of the next post, u64, from 1."""
CONFIG_ACCOUNT_ACTIVATION_DELAY_OFFSET: Final = 16
"""4 bytes: seconds between a rotation's arrival and its epoch's begin, u32."""
CONFIG_ACCOUNT_RESERVED_2_OFFSET: Final = 20
"""4 bytes: zero."""
CONFIG_ACCOUNT_AUTHORITY_OFFSET: Final = 24
"""32 bytes: governance account."""
CONFIG_ACCOUNT_TREASURY_OFFSET: Final = 56
"""32 bytes: account that fees go to."""
CONFIG_ACCOUNT_CHAIN_REFERENCE_OFFSET: Final = 88
"""32 bytes: genesis hash of this cluster."""
CONFIG_ACCOUNT_SIZE: Final = 120
"""Solana account [config]."""

# layout committee_account: Solana account [committee, epoch].
COMMITTEE_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: ACCOUNT_COMMITTEE."""
COMMITTEE_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
COMMITTEE_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
COMMITTEE_ACCOUNT_GROUP_KEY_PARITY_OFFSET: Final = 3
"""1 byte: parity of the group public key's y, 0 or 1."""
COMMITTEE_ACCOUNT_EPOCH_OFFSET: Final = 4
"""4 bytes: u32."""
COMMITTEE_ACCOUNT_VALID_FROM_OFFSET: Final = 8
"""8 bytes: first Unix second at which this epoch's signatures are taken, u64."""
COMMITTEE_ACCOUNT_VALID_UNTIL_OFFSET: Final = 16
"""8 bytes: last Unix second at which this epoch's signatures are taken, u64; 0: no end."""
COMMITTEE_ACCOUNT_GROUP_KEY_X_OFFSET: Final = 24
"""32 bytes: x of the group public key, big-endian."""
COMMITTEE_ACCOUNT_SIZE: Final = 56
"""Solana account [committee, epoch]."""

# layout model_account: Solana account [model, model id].
MODEL_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: ACCOUNT_MODEL."""
MODEL_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
MODEL_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
MODEL_ACCOUNT_ACTIVE_OFFSET: Final = 3
"""1 byte: 1: takes requests."""
MODEL_ACCOUNT_INPUT_COUNT_OFFSET: Final = 4
"""2 bytes: u16."""
MODEL_ACCOUNT_OUTPUT_COUNT_OFFSET: Final = 6
"""2 bytes: u16."""
MODEL_ACCOUNT_INPUT_SCALE_OFFSET: Final = 8
"""1 byte: bits after the point of an input."""
MODEL_ACCOUNT_OUTPUT_SCALE_OFFSET: Final = 9
"""1 byte: bits after the point of an output."""
MODEL_ACCOUNT_RESERVED_OFFSET: Final = 10
"""6 bytes: zero."""
MODEL_ACCOUNT_INPUT_BOUND_OFFSET: Final = 16
"""8 bytes: largest absolute value of a quantised input, u64, at most 2^63 - 1."""
MODEL_ACCOUNT_PRICE_OFFSET: Final = 24
"""8 bytes: least fee of a request in lamports, u64."""
MODEL_ACCOUNT_MODEL_ID_OFFSET: Final = 32
"""32 bytes: see DOMAIN_MODEL."""
MODEL_ACCOUNT_VERIFIER_OFFSET: Final = 64
"""32 bytes: program that checks this model's proofs; zero: this chain cannot check them."""
MODEL_ACCOUNT_VERIFYING_KEY_OFFSET: Final = 96
"""32 bytes: its key account for this model; zero exactly when `verifier` is."""
MODEL_ACCOUNT_SIZE: Final = 128
"""Solana account [model, model id]."""

# layout peer_account: Solana account [peer, origin hash].
PEER_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: ACCOUNT_PEER."""
PEER_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
PEER_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
PEER_ACCOUNT_ACTIVE_OFFSET: Final = 3
"""1 byte: 1: messages of this origin are taken."""
PEER_ACCOUNT_RESERVED_OFFSET: Final = 4
"""2 bytes: zero."""
PEER_ACCOUNT_ORIGIN_OFFSET: Final = 6
"""66 bytes: chain type (2, big-endian), chain reference (32), gateway (32), as in a body."""
PEER_ACCOUNT_SIZE: Final = 72
"""Solana account [peer, origin hash]."""

# layout outbox_account: Solana account [outbox, sequence]: this header, then the body.
OUTBOX_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: ACCOUNT_OUTBOX."""
OUTBOX_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
OUTBOX_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
OUTBOX_ACCOUNT_STATE_OFFSET: Final = 3
"""1 byte: OUTBOX_*."""
OUTBOX_ACCOUNT_BODY_SIZE_OFFSET: Final = 4
"""4 bytes: bytes of body that follow, u32."""
OUTBOX_ACCOUNT_SEQUENCE_OFFSET: Final = 8
"""8 bytes: u64."""
OUTBOX_ACCOUNT_FEE_OFFSET: Final = 16
"""8 bytes: lamports escrowed beyond rent, u64."""
OUTBOX_ACCOUNT_EXPIRY_OFFSET: Final = 24
"""8 bytes: Unix seconds, u64."""
OUTBOX_ACCOUNT_SENDER_OFFSET: Final = 32
"""32 bytes: who posted, paid and gets the rent back."""
OUTBOX_ACCOUNT_DIGEST_OFFSET: Final = 64
"""32 bytes: digest of the body (a request's id)."""
OUTBOX_ACCOUNT_SIZE: Final = 96
"""Solana account [outbox, sequence]: this header, then the body."""

# layout inbox_account: Solana account [inbox, digest]: this header, then the body.
INBOX_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: ACCOUNT_INBOX."""
INBOX_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
INBOX_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
INBOX_ACCOUNT_KIND_OFFSET: Final = 3
"""1 byte: KIND_* of the body."""
INBOX_ACCOUNT_BODY_SIZE_OFFSET: Final = 4
"""4 bytes: bytes of body that follow, u32."""
INBOX_ACCOUNT_DELIVERED_AT_OFFSET: Final = 8
"""8 bytes: Unix seconds of the delivery, u64."""
INBOX_ACCOUNT_EPOCH_OFFSET: Final = 16
"""4 bytes: committee epoch whose signature was checked, u32; 0: a proof was checked, no signature."""
INBOX_ACCOUNT_RESERVED_OFFSET: Final = 20
"""4 bytes: zero."""
INBOX_ACCOUNT_PAYER_OFFSET: Final = 24
"""32 bytes: who paid the rent and gets it back."""
INBOX_ACCOUNT_DIGEST_OFFSET: Final = 56
"""32 bytes: digest of the body."""
INBOX_ACCOUNT_SIZE: Final = 88
"""Solana account [inbox, digest]: this header, then the body."""

# layout replay_account: Solana account [replay, origin hash, window].
REPLAY_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: ACCOUNT_REPLAY."""
REPLAY_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
REPLAY_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
REPLAY_ACCOUNT_RESERVED_OFFSET: Final = 3
"""5 bytes: zero."""
REPLAY_ACCOUNT_WINDOW_OFFSET: Final = 8
"""8 bytes: u64."""
REPLAY_ACCOUNT_BITMAP_OFFSET: Final = 16
"""128 bytes: bit sequence % REPLAY_WINDOW is set once delivered; bit i is bit i % 8 of byte i / 8."""
REPLAY_ACCOUNT_SIZE: Final = 144
"""Solana account [replay, origin hash, window]."""

# layout verifier_key_account: Account [key, hash, payer] of the verifier program: this header, then `size`
# bytes of a prepared key (circuits/halo2/prepared.py), once all are written.
VERIFIER_KEY_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: VERIFIER_ACCOUNT_KEY."""
VERIFIER_KEY_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
VERIFIER_KEY_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
VERIFIER_KEY_ACCOUNT_SEALED_OFFSET: Final = 3
"""1 byte: 1: the content has this hash, and nothing changes it any more."""
VERIFIER_KEY_ACCOUNT_SIZE_OFFSET: Final = 4
"""4 bytes: bytes of the content, u32."""
VERIFIER_KEY_ACCOUNT_PAYER_OFFSET: Final = 8
"""32 bytes: who writes it and, until it is sealed, may close it."""
VERIFIER_KEY_ACCOUNT_HASH_OFFSET: Final = 40
"""32 bytes: keccak256 of the content."""
VERIFIER_KEY_ACCOUNT_SIZE: Final = 72
"""Account [key, hash, payer] of the verifier program: this header, then `size` bytes of a prepared key
(circuits/halo2/prepared.py), once all are written."""

# layout verifier_proof_account: Account [proof, label, payer] of the verifier program: this header, then the
# first bytes of a packed proof and its hint; `verify` brings the rest.
VERIFIER_PROOF_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: VERIFIER_ACCOUNT_PROOF."""
VERIFIER_PROOF_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
VERIFIER_PROOF_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
VERIFIER_PROOF_ACCOUNT_RESERVED_OFFSET: Final = 3
"""5 bytes: zero."""
VERIFIER_PROOF_ACCOUNT_PAYER_OFFSET: Final = 8
"""32 bytes: who writes and closes it, and gets the rent back."""
VERIFIER_PROOF_ACCOUNT_LABEL_OFFSET: Final = 40
"""32 bytes: chosen by the payer: the request's id."""
VERIFIER_PROOF_ACCOUNT_SIZE: Final = 72
"""Account [proof, label, payer] of the verifier program: this header, then the first bytes of a packed proof
and its hint; `verify` brings the rest."""

# layout tokens_bridge_account: Solana account [bridge] of the token program.
TOKENS_BRIDGE_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: TOKENS_ACCOUNT_BRIDGE."""
TOKENS_BRIDGE_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
TOKENS_BRIDGE_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
TOKENS_BRIDGE_ACCOUNT_PAUSED_OFFSET: Final = 3
"""1 byte: 1: nothing moves."""
TOKENS_BRIDGE_ACCOUNT_QUEUE_DELAY_OFFSET: Final = 4
"""4 bytes: seconds that a queued transfer waits, u32."""
TOKENS_BRIDGE_ACCOUNT_SIBYL_OFFSET: Final = 8
"""32 bytes: the Sibyl program."""
TOKENS_BRIDGE_ACCOUNT_ORIGIN_OFFSET: Final = 40
"""66 bytes: the EVM gateway: chain type (2, big-endian), chain reference (32), gateway (32), as in a body."""
TOKENS_BRIDGE_ACCOUNT_RESERVED_OFFSET: Final = 106
"""2 bytes: zero."""
TOKENS_BRIDGE_ACCOUNT_GOVERNANCE_DELAY_OFFSET: Final = 108
"""4 bytes: seconds between announcing and carrying out an act of governance, u32."""
TOKENS_BRIDGE_ACCOUNT_ORIGIN_HASH_OFFSET: Final = 112
"""32 bytes: keccak256 of `origin`."""
TOKENS_BRIDGE_ACCOUNT_CHAIN_REFERENCE_OFFSET: Final = 144
"""32 bytes: genesis hash of this cluster, as the Sibyl program has it."""
TOKENS_BRIDGE_ACCOUNT_FACTORY_OFFSET: Final = 176
"""32 bytes: TokenFactory on the EVM chain, left-padded."""
TOKENS_BRIDGE_ACCOUNT_NATIVE_INIT_CODE_HASH_OFFSET: Final = 208
"""32 bytes: CREATE2 init-code hash of NativeBridge."""
TOKENS_BRIDGE_ACCOUNT_WRAPPED_INIT_CODE_HASH_OFFSET: Final = 240
"""32 bytes: CREATE2 init-code hash of WrappedBridge."""
TOKENS_BRIDGE_ACCOUNT_AUTHORITY_OFFSET: Final = 272
"""32 bytes: governance account."""
TOKENS_BRIDGE_ACCOUNT_GUARDIAN_OFFSET: Final = 304
"""32 bytes: may pause."""
TOKENS_BRIDGE_ACCOUNT_SIZE: Final = 336
"""Solana account [bridge] of the token program."""

# layout tokens_token_account: Solana account [token, ...] of the token program. Amounts in wire units; a
# bucket is capacity, refill per second, level, time of the level.
TOKENS_TOKEN_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: TOKENS_ACCOUNT_TOKEN."""
TOKENS_TOKEN_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
TOKENS_TOKEN_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
TOKENS_TOKEN_ACCOUNT_KIND_OFFSET: Final = 3
"""1 byte: TOKENS_KIND_*."""
TOKENS_TOKEN_ACCOUNT_WIRE_DECIMALS_OFFSET: Final = 4
"""1 byte: decimals of a wire unit."""
TOKENS_TOKEN_ACCOUNT_NATIVE_DECIMALS_OFFSET: Final = 5
"""1 byte: decimals of the mint."""
TOKENS_TOKEN_ACCOUNT_PAUSED_OFFSET: Final = 6
"""1 byte: 1: this token does not move."""
TOKENS_TOKEN_ACCOUNT_ASSET_BUMP_OFFSET: Final = 7
"""1 byte: bump of the vault (native) or of the mint (wrapped)."""
TOKENS_TOKEN_ACCOUNT_OUTSTANDING_OFFSET: Final = 8
"""8 bytes: locked (native) or minted less burnt (wrapped), u64."""
TOKENS_TOKEN_ACCOUNT_CAP_OFFSET: Final = 16
"""8 bytes: most that may be outstanding, u64."""
TOKENS_TOKEN_ACCOUNT_OUTBOUND_CAPACITY_OFFSET: Final = 24
"""8 bytes: u64."""
TOKENS_TOKEN_ACCOUNT_OUTBOUND_REFILL_OFFSET: Final = 32
"""8 bytes: per second, u64."""
TOKENS_TOKEN_ACCOUNT_OUTBOUND_LEVEL_OFFSET: Final = 40
"""8 bytes: what the bucket held at `outbound_updated`, u64."""
TOKENS_TOKEN_ACCOUNT_OUTBOUND_UPDATED_OFFSET: Final = 48
"""8 bytes: Unix seconds, u64."""
TOKENS_TOKEN_ACCOUNT_INBOUND_CAPACITY_OFFSET: Final = 56
"""8 bytes: u64."""
TOKENS_TOKEN_ACCOUNT_INBOUND_REFILL_OFFSET: Final = 64
"""8 bytes: per second, u64."""
TOKENS_TOKEN_ACCOUNT_INBOUND_LEVEL_OFFSET: Final = 72
"""8 bytes: what the bucket held at `inbound_updated`, u64."""
TOKENS_TOKEN_ACCOUNT_INBOUND_UPDATED_OFFSET: Final = 80
"""8 bytes: Unix seconds, u64."""
TOKENS_TOKEN_ACCOUNT_PAUSED_SINCE_OFFSET: Final = 88
"""8 bytes: Unix seconds since which the token is paused without break, u64; 0: it is not."""
TOKENS_TOKEN_ACCOUNT_EXIT_BEGIN_OFFSET: Final = 96
"""8 bytes: Unix seconds at which the period of an emergency exit began, u64; 0: none."""
TOKENS_TOKEN_ACCOUNT_EXIT_LEFT_OFFSET: Final = 104
"""8 bytes: wire units that may still leave in that period, u64."""
TOKENS_TOKEN_ACCOUNT_MINT_OFFSET: Final = 112
"""32 bytes: mint on this chain."""
TOKENS_TOKEN_ACCOUNT_TOKEN_PROGRAM_OFFSET: Final = 144
"""32 bytes: SPL Token or Token-2022, which owns the mint."""
TOKENS_TOKEN_ACCOUNT_EVM_BRIDGE_OFFSET: Final = 176
"""32 bytes: the one EVM contract that speaks for the token, left-padded."""
TOKENS_TOKEN_ACCOUNT_NATIVE_TOKEN_OFFSET: Final = 208
"""32 bytes: native token's account: the mint, or the padded ERC-20 address."""
TOKENS_TOKEN_ACCOUNT_SIZE: Final = 240
"""Solana account [token, ...] of the token program. Amounts in wire units; a bucket is capacity, refill per
second, level, time of the level."""

# layout tokens_queued_account: Solana account [queued, digest] of the token program.
TOKENS_QUEUED_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: TOKENS_ACCOUNT_QUEUED."""
TOKENS_QUEUED_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
TOKENS_QUEUED_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
TOKENS_QUEUED_ACCOUNT_RESERVED_OFFSET: Final = 3
"""5 bytes: zero."""
TOKENS_QUEUED_ACCOUNT_AMOUNT_OFFSET: Final = 8
"""8 bytes: wire units, u64."""
TOKENS_QUEUED_ACCOUNT_RELEASABLE_AT_OFFSET: Final = 16
"""8 bytes: Unix seconds, u64."""
TOKENS_QUEUED_ACCOUNT_TOKEN_OFFSET: Final = 24
"""32 bytes: the token's [token, ...] account."""
TOKENS_QUEUED_ACCOUNT_RECIPIENT_OFFSET: Final = 56
"""32 bytes: owner of the associated token account that is paid."""
TOKENS_QUEUED_ACCOUNT_PAYER_OFFSET: Final = 88
"""32 bytes: who paid the rent and gets it back."""
TOKENS_QUEUED_ACCOUNT_DIGEST_OFFSET: Final = 120
"""32 bytes: digest of the message."""
TOKENS_QUEUED_ACCOUNT_SIZE: Final = 152
"""Solana account [queued, digest] of the token program."""

# layout tokens_scheduled_account: Solana account [scheduled, operation] of the token program.
TOKENS_SCHEDULED_ACCOUNT_ACCOUNT_TYPE_OFFSET: Final = 0
"""1 byte: TOKENS_ACCOUNT_SCHEDULED."""
TOKENS_SCHEDULED_ACCOUNT_LAYOUT_VERSION_OFFSET: Final = 1
"""1 byte: ACCOUNT_LAYOUT_VERSION."""
TOKENS_SCHEDULED_ACCOUNT_BUMP_OFFSET: Final = 2
"""1 byte: PDA bump."""
TOKENS_SCHEDULED_ACCOUNT_RESERVED_OFFSET: Final = 3
"""5 bytes: zero."""
TOKENS_SCHEDULED_ACCOUNT_READY_AT_OFFSET: Final = 8
"""8 bytes: Unix seconds from which it may be carried out, u64."""
TOKENS_SCHEDULED_ACCOUNT_PAYER_OFFSET: Final = 16
"""32 bytes: who paid the rent and gets it back."""
TOKENS_SCHEDULED_ACCOUNT_OPERATION_OFFSET: Final = 48
"""32 bytes: what was announced."""
TOKENS_SCHEDULED_ACCOUNT_SIZE: Final = 80
"""Solana account [scheduled, operation] of the token program."""
