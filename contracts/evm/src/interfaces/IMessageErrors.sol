// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Why bytes are not a valid body, request, remote or result
/// @notice Every decoder reverts with one of these, or returns a value whose every field was checked.
interface IMessageErrors {
    /// @notice The bytes are longer or shorter than their own fields say (`expected` is the least when a header is cut).
    error WrongLength(uint256 expected, uint256 actual);
    /// @notice Not PROTOCOL_VERSION.
    error UnsupportedVersion(uint8 version);
    /// @notice Not a KIND_*.
    error UnknownKind(uint8 kind);
    /// @notice Not the kind that this function takes.
    error WrongKind(uint8 kind);
    /// @notice Not a CHAIN_TYPE_*.
    error UnknownChainType(uint16 chainType);
    /// @notice An eip155 reference is zero or over 64 bits.
    error InvalidChainReference(bytes32 chainReference);
    /// @notice A 20-byte address is not left-padded with zeros.
    error InvalidAddress(bytes32 account);
    /// @notice Sequences start at 1.
    error InvalidSequence();
    /// @notice More than MAX_PAYLOAD_SIZE bytes of payload.
    error PayloadTooLarge(uint256 size);
    /// @notice Not a POLICY_* that this version serves (at this place).
    error UnsupportedPolicy(uint8 policy);
    /// @notice Not a STATUS_*.
    error UnknownStatus(uint8 status);
    /// @notice No input, or more than MAX_INPUTS.
    error InvalidInputCount(uint256 count);
    /// @notice Outputs without an answer, an answer without outputs, or more than MAX_OUTPUTS.
    error InvalidOutputCount(uint256 count);
    /// @notice Over MAX_SCALE, or not zero in a refusal.
    error InvalidScale(uint8 scale);
    /// @notice More than MAX_REMOTES remotes.
    error TooManyRemotes(uint256 count);
    /// @notice Two destinations of one request share this chain.
    error DuplicateChain(uint16 chainType, bytes32 chainReference);
    /// @notice A Merkle branch over MERKLE_MAX_DEPTH.
    error BranchTooLong(uint256 length);
}
