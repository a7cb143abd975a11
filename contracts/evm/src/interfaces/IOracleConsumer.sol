// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A contract that receives answers
/// @dev Check, in this order: the caller is the hub; the answer is for a request of one's own, or (from another chain) its origin
/// and requester are the configured ones, since anybody on a peer chain may name any consumer; `status` is 0; `modelId`.
interface IOracleConsumer {
    /// @notice The outcome of one inference request.
    /// @param requestId digest of the request's body
    /// @param modelId model that answered
    /// @param inputCommitment keccak256 of the request's input bytes (8 each, big-endian)
    /// @param originChainType CHAIN_TYPE_* of the chain on which the request was made
    /// @param originChainReference that chain's reference, left-padded
    /// @param originGateway gateway that posted the request, left-padded
    /// @param requester account that asked, left-padded
    /// @param policy POLICY_* under which this chain took the answer
    /// @param status STATUS_*; 0: answered, otherwise refused without outputs (on the request's chain the fee is credited back)
    /// @param outputScale bits after the point: value = output / 2^outputScale
    /// @param outputs quantised outputs
    struct Answer {
        bytes32 requestId;
        bytes32 modelId;
        bytes32 inputCommitment;
        uint16 originChainType;
        bytes32 originChainReference;
        bytes32 originGateway;
        bytes32 requester;
        uint8 policy;
        uint8 status;
        uint8 outputScale;
        int64[] outputs;
    }

    /// @notice Called once per answer or refusal with the request's callback gas limit. When it fails, the answer stays readable
    /// by `IOracleHub.answerOf`, and is not offered again.
    function onAnswer(Answer calldata answer) external;
}
