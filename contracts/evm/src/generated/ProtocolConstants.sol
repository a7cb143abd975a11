// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The protocol's constants
/// @notice Generated from contracts/protocol.toml by `python -m contracts.generate`. Do not edit.
/// @dev Offsets and sizes of layouts are in bytes; a SIZE is the fixed part.
library ProtocolConstants {
    // version
    /// @dev First byte of every message body.
    uint8 internal constant PROTOCOL_VERSION = 1;

    // domain
    /// @dev Prefix of the digest of one message body.
    bytes32 internal constant DOMAIN_MESSAGE = "SIBYL_MESSAGE_V1";
    /// @dev Prefix of the value that the committee signs: a Merkle root of digests.
    bytes32 internal constant DOMAIN_BATCH = "SIBYL_BATCH_V1";
    /// @dev Prefix of what a group key signs to prove its possession.
    bytes32 internal constant DOMAIN_KEY = "SIBYL_KEY_V1";
    /// @dev Prefix of a model id.
    bytes32 internal constant DOMAIN_MODEL = "SIBYL_MODEL_V1";

    // merkle
    /// @dev First byte of a hashed leaf. Source: RFC 9162 section 2.1.1.
    uint8 internal constant MERKLE_LEAF_PREFIX = 0;
    /// @dev First byte of a hashed inner node. Source: RFC 9162 section 2.1.1.
    uint8 internal constant MERKLE_NODE_PREFIX = 1;
    /// @dev Longest branch accepted, in nodes (65,536 messages under one signature).
    uint8 internal constant MERKLE_MAX_DEPTH = 16;

    // kind
    /// @dev A user's message, delivered to IERC7786Recipient.receiveMessage. Source: ERC-7786.
    uint8 internal constant KIND_MESSAGE = 1;
    /// @dev Asks the committee; never delivered to a chain.
    uint8 internal constant KIND_INFERENCE_REQUEST = 2;
    /// @dev The committee's answer to an inference request.
    uint8 internal constant KIND_INFERENCE_RESULT = 3;
    /// @dev The committee's word to a message's sender that it expired undelivered and never will be
    /// delivered.
    uint8 internal constant KIND_NON_DELIVERY = 4;
    /// @dev A new group key for the next committee epoch, signed under the old one.
    uint8 internal constant KIND_ROTATION = 5;

    // policy
    /// @dev Each signer checked the ezkl proof; the chain checks the committee's signature.
    uint8 internal constant POLICY_ATTESTED = 1;
    /// @dev The chain checks the ezkl proof itself; no signature.
    uint8 internal constant POLICY_PROVEN = 2;
    /// @dev The chain checks the signature and the ezkl proof.
    uint8 internal constant POLICY_BOTH = 3;
    /// @dev Each signer recomputed the output itself; the chain checks the committee's signature. A proof is
    /// made when somebody asks for it.
    uint8 internal constant POLICY_RECOMPUTED = 4;

    // status
    /// @dev The payload carries outputs.
    uint8 internal constant STATUS_ANSWERED = 0;
    /// @dev Refused: no node of the committee holds this model. The fee goes back.
    uint8 internal constant STATUS_UNKNOWN_MODEL = 1;
    /// @dev Refused: the number of inputs is not the model's. The fee goes back.
    uint8 internal constant STATUS_WRONG_SHAPE = 2;
    /// @dev Refused: an input lies outside the calibrated range. The fee goes back.
    uint8 internal constant STATUS_OUT_OF_RANGE = 3;
    /// @dev Refused: the model gave no valid output for these inputs. The fee goes back.
    uint8 internal constant STATUS_INFERENCE_FAILED = 4;
    /// @dev Refused: a destination cannot check what the policy asks. The fee goes back.
    uint8 internal constant STATUS_UNSUPPORTED_POLICY = 5;

    // chain_type
    /// @dev EVM chains; the reference is the chain id. Source: ERC-7930, CAIP-350 eip155.
    uint16 internal constant CHAIN_TYPE_EIP155 = 0;
    /// @dev Solana; the reference is the 32-byte genesis hash. Source: ERC-7930, CAIP-350 solana.
    uint16 internal constant CHAIN_TYPE_SOLANA = 2;

    // interop
    /// @dev Version of an interoperable address. Source: ERC-7930.
    uint16 internal constant INTEROP_VERSION = 1;

    // limits
    /// @dev Bytes of payload in one message.
    uint16 internal constant MAX_PAYLOAD_SIZE = 16384;
    /// @dev Quantised inputs in one request.
    uint16 internal constant MAX_INPUTS = 1024;
    /// @dev Quantised outputs in one result.
    uint16 internal constant MAX_OUTPUTS = 64;
    /// @dev Further destinations of one request, beside its origin.
    uint16 internal constant MAX_REMOTES = 4;
    /// @dev Members of a committee.
    uint16 internal constant MAX_MEMBERS = 256;
    /// @dev Fewest members of a committee that a rotation may bring.
    uint16 internal constant MIN_MEMBERS = 4;
    /// @dev Largest fixed-point scale, in bits after the point.
    uint16 internal constant MAX_SCALE = 30;

    // layout body: The signed body of a message: this header, then the payload and nothing after it. Integers
    // big-endian.
    /// @dev 1 byte: PROTOCOL_VERSION.
    uint256 internal constant BODY_VERSION_OFFSET = 0;
    /// @dev 1 byte: KIND_*.
    uint256 internal constant BODY_KIND_OFFSET = 1;
    /// @dev 2 bytes: CHAIN_TYPE_* of the origin.
    uint256 internal constant BODY_ORIGIN_CHAIN_TYPE_OFFSET = 2;
    /// @dev 32 bytes: ERC-7930 chain reference, left-padded with zeros.
    uint256 internal constant BODY_ORIGIN_CHAIN_REFERENCE_OFFSET = 4;
    /// @dev 32 bytes: gateway that posted the message or its request, left-padded.
    uint256 internal constant BODY_ORIGIN_GATEWAY_OFFSET = 36;
    /// @dev 2 bytes: CHAIN_TYPE_* of the destination.
    uint256 internal constant BODY_DESTINATION_CHAIN_TYPE_OFFSET = 68;
    /// @dev 32 bytes: ERC-7930 chain reference, left-padded with zeros.
    uint256 internal constant BODY_DESTINATION_CHAIN_REFERENCE_OFFSET = 70;
    /// @dev 32 bytes: gateway that may deliver the message, left-padded.
    uint256 internal constant BODY_DESTINATION_GATEWAY_OFFSET = 102;
    /// @dev 8 bytes: number of the post at the origin gateway, from 1; a result carries its request's.
    uint256 internal constant BODY_SEQUENCE_OFFSET = 134;
    /// @dev 32 bytes: account that posted (a result: the origin gateway), left-padded.
    uint256 internal constant BODY_SENDER_OFFSET = 142;
    /// @dev 32 bytes: account that receives (a request and a result: the destination gateway's oracle hub),
    /// left-padded.
    uint256 internal constant BODY_RECIPIENT_OFFSET = 174;
    /// @dev 8 bytes: last Unix second of the destination's clock at which it may be delivered; 0: never
    /// expires.
    uint256 internal constant BODY_EXPIRY_OFFSET = 206;
    /// @dev 2 bytes: bytes of payload that follow.
    uint256 internal constant BODY_PAYLOAD_SIZE_OFFSET = 214;
    /// @dev The signed body of a message: this header, then the payload and nothing after it. Integers
    /// big-endian.
    uint256 internal constant BODY_SIZE = 216;

    // layout request: Payload of KIND_INFERENCE_REQUEST: this header, then `remote_count` remotes, then
    // `input_count` inputs (int64 each).
    /// @dev 32 bytes: registered model.
    uint256 internal constant REQUEST_MODEL_ID_OFFSET = 0;
    /// @dev 16 bytes: escrowed fee in the origin's smallest unit (wei, lamports).
    uint256 internal constant REQUEST_FEE_OFFSET = 32;
    /// @dev 4 bytes: gas for the consumer's callback on EVM destinations, in gas units.
    uint256 internal constant REQUEST_CALLBACK_GAS_LIMIT_OFFSET = 48;
    /// @dev 1 byte: POLICY_* at the origin.
    uint256 internal constant REQUEST_POLICY_OFFSET = 52;
    /// @dev 1 byte: number of remotes, at most MAX_REMOTES.
    uint256 internal constant REQUEST_REMOTE_COUNT_OFFSET = 53;
    /// @dev 2 bytes: number of inputs, 1 to MAX_INPUTS.
    uint256 internal constant REQUEST_INPUT_COUNT_OFFSET = 54;
    /// @dev Payload of KIND_INFERENCE_REQUEST: this header, then `remote_count` remotes, then `input_count`
    /// inputs (int64 each).
    uint256 internal constant REQUEST_SIZE = 56;

    // layout remote: One further destination of a request.
    /// @dev 1 byte: POLICY_* at this destination.
    uint256 internal constant REMOTE_POLICY_OFFSET = 0;
    /// @dev 2 bytes: CHAIN_TYPE_*.
    uint256 internal constant REMOTE_CHAIN_TYPE_OFFSET = 1;
    /// @dev 32 bytes: ERC-7930 chain reference, left-padded.
    uint256 internal constant REMOTE_CHAIN_REFERENCE_OFFSET = 3;
    /// @dev 32 bytes: gateway on that chain, left-padded.
    uint256 internal constant REMOTE_GATEWAY_OFFSET = 35;
    /// @dev 32 bytes: oracle hub on that chain (Solana: the program), left-padded.
    uint256 internal constant REMOTE_HUB_OFFSET = 67;
    /// @dev 32 bytes: account on that chain that the answer is for, left-padded.
    uint256 internal constant REMOTE_CONSUMER_OFFSET = 99;
    /// @dev One further destination of a request.
    uint256 internal constant REMOTE_SIZE = 131;

    // layout result: Payload of KIND_INFERENCE_RESULT: this header, then `output_count` outputs (int64 each).
    /// @dev 1 byte: STATUS_*; outputs only when STATUS_ANSWERED.
    uint256 internal constant RESULT_STATUS_OFFSET = 0;
    /// @dev 1 byte: POLICY_* at this destination.
    uint256 internal constant RESULT_POLICY_OFFSET = 1;
    /// @dev 32 bytes: model that answered.
    uint256 internal constant RESULT_MODEL_ID_OFFSET = 2;
    /// @dev 32 bytes: digest of the request's body.
    uint256 internal constant RESULT_REQUEST_ID_OFFSET = 34;
    /// @dev 32 bytes: keccak256 of the request's input bytes (8 per input, big-endian).
    uint256 internal constant RESULT_INPUT_COMMITMENT_OFFSET = 66;
    /// @dev 32 bytes: sender of the request on its origin, left-padded.
    uint256 internal constant RESULT_REQUESTER_OFFSET = 98;
    /// @dev 32 bytes: account on this destination that the answer is for, left-padded.
    uint256 internal constant RESULT_CONSUMER_OFFSET = 130;
    /// @dev 4 bytes: gas for the consumer's callback, in gas units.
    uint256 internal constant RESULT_CALLBACK_GAS_LIMIT_OFFSET = 162;
    /// @dev 1 byte: bits after the point: value = output / 2^output_scale.
    uint256 internal constant RESULT_OUTPUT_SCALE_OFFSET = 166;
    /// @dev 1 byte: number of outputs, at most MAX_OUTPUTS.
    uint256 internal constant RESULT_OUTPUT_COUNT_OFFSET = 167;
    /// @dev Payload of KIND_INFERENCE_RESULT: this header, then `output_count` outputs (int64 each).
    uint256 internal constant RESULT_SIZE = 168;

    // layout non_delivery: Payload of KIND_NON_DELIVERY: this header, then the payload of the message that
    // expired.
    /// @dev 32 bytes: digest of the message that expired.
    uint256 internal constant NON_DELIVERY_DIGEST_OFFSET = 0;
    /// @dev Payload of KIND_NON_DELIVERY: this header, then the payload of the message that expired.
    uint256 internal constant NON_DELIVERY_SIZE = 32;

    // layout rotation: Payload of KIND_ROTATION: this header, then `member_count` operator numbers (1 byte
    // each), then `remote_count` rotation remotes.
    /// @dev 4 bytes: the new committee epoch: the current one plus 1.
    uint256 internal constant ROTATION_EPOCH_OFFSET = 0;
    /// @dev 32 bytes: x of the new group public key.
    uint256 internal constant ROTATION_GROUP_KEY_X_OFFSET = 4;
    /// @dev 1 byte: parity of its y, 0 or 1.
    uint256 internal constant ROTATION_GROUP_KEY_PARITY_OFFSET = 36;
    /// @dev 33 bytes: R of the new key's proof of possession, SEC1 compressed.
    uint256 internal constant ROTATION_PROOF_R_OFFSET = 37;
    /// @dev 32 bytes: z of the new key's proof of possession.
    uint256 internal constant ROTATION_PROOF_Z_OFFSET = 70;
    /// @dev 4 bytes: seconds for which the old epoch is taken after the new one begins.
    uint256 internal constant ROTATION_OVERLAP_OFFSET = 102;
    /// @dev 32 bytes: transcript hash of the key generation that made the key.
    uint256 internal constant ROTATION_TRANSCRIPT_OFFSET = 106;
    /// @dev 2 bytes: members needed to sign.
    uint256 internal constant ROTATION_THRESHOLD_OFFSET = 138;
    /// @dev 2 bytes: members of the new committee, MIN_MEMBERS to MAX_MEMBERS.
    uint256 internal constant ROTATION_MEMBER_COUNT_OFFSET = 140;
    /// @dev 1 byte: number of remotes, at most MAX_REMOTES.
    uint256 internal constant ROTATION_REMOTE_COUNT_OFFSET = 142;
    /// @dev Payload of KIND_ROTATION: this header, then `member_count` operator numbers (1 byte each), then
    /// `remote_count` rotation remotes.
    uint256 internal constant ROTATION_SIZE = 143;

    // layout rotation_remote: One further destination of a rotation.
    /// @dev 2 bytes: CHAIN_TYPE_*.
    uint256 internal constant ROTATION_REMOTE_CHAIN_TYPE_OFFSET = 0;
    /// @dev 32 bytes: ERC-7930 chain reference, left-padded.
    uint256 internal constant ROTATION_REMOTE_CHAIN_REFERENCE_OFFSET = 2;
    /// @dev 32 bytes: gateway on that chain, left-padded.
    uint256 internal constant ROTATION_REMOTE_GATEWAY_OFFSET = 34;
    /// @dev 32 bytes: account that keeps the group keys there (Solana: the program), left-padded.
    uint256 internal constant ROTATION_REMOTE_COMMITTEE_OFFSET = 66;
    /// @dev One further destination of a rotation.
    uint256 internal constant ROTATION_REMOTE_SIZE = 98;
}
