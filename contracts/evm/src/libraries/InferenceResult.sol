// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IMessageErrors} from "../interfaces/IMessageErrors.sol";
import {Read} from "./Read.sol";

/// @title Payload of an inference result for an EVM destination (PROTOCOL.md section 3)
library InferenceResult {
    /// @dev Bytes of one quantised value.
    uint256 internal constant VALUE_SIZE = 8;

    /// @notice A result whose every field was checked.
    struct Decoded {
        uint8 status;
        uint8 policy;
        bytes32 modelId;
        bytes32 requestId;
        bytes32 inputCommitment;
        bytes32 requester;
        address consumer;
        uint32 callbackGasLimit;
        uint8 outputScale;
        int64[] outputs;
    }

    /// @notice Decodes a result; reverts with an {IMessageErrors} error unless every field and the length are valid.
    function decode(bytes calldata payload) internal pure returns (Decoded memory decoded) {
        if (payload.length < C.RESULT_SIZE) revert IMessageErrors.WrongLength(C.RESULT_SIZE, payload.length);
        decoded.status = uint8(Read.uintAt(payload, C.RESULT_STATUS_OFFSET, 1));
        decoded.policy = uint8(Read.uintAt(payload, C.RESULT_POLICY_OFFSET, 1));
        decoded.modelId = Read.word(payload, C.RESULT_MODEL_ID_OFFSET);
        decoded.requestId = Read.word(payload, C.RESULT_REQUEST_ID_OFFSET);
        decoded.inputCommitment = Read.word(payload, C.RESULT_INPUT_COMMITMENT_OFFSET);
        decoded.requester = Read.word(payload, C.RESULT_REQUESTER_OFFSET);
        decoded.consumer = Read.toAddress(Read.word(payload, C.RESULT_CONSUMER_OFFSET));
        decoded.callbackGasLimit = uint32(Read.uintAt(payload, C.RESULT_CALLBACK_GAS_LIMIT_OFFSET, 4));
        decoded.outputScale = uint8(Read.uintAt(payload, C.RESULT_OUTPUT_SCALE_OFFSET, 1));
        uint256 count = Read.uintAt(payload, C.RESULT_OUTPUT_COUNT_OFFSET, 1);
        _check(decoded, count);
        uint256 size = C.RESULT_SIZE + count * VALUE_SIZE;
        if (payload.length != size) revert IMessageErrors.WrongLength(size, payload.length);
        decoded.outputs = new int64[](count);
        for (uint256 i = 0; i < count; ++i) {
            decoded.outputs[i] = int64(uint64(Read.uintAt(payload, C.RESULT_SIZE + i * VALUE_SIZE, VALUE_SIZE)));
        }
    }

    function _check(Decoded memory decoded, uint256 count) private pure {
        if (decoded.status > C.STATUS_UNSUPPORTED_POLICY) revert IMessageErrors.UnknownStatus(decoded.status);
        if (decoded.policy < C.POLICY_ATTESTED || decoded.policy > C.POLICY_RECOMPUTED) {
            revert IMessageErrors.UnsupportedPolicy(decoded.policy);
        }
        bool answered = decoded.status == C.STATUS_ANSWERED;
        if (answered == (count == 0) || count > C.MAX_OUTPUTS) revert IMessageErrors.InvalidOutputCount(count);
        if (decoded.outputScale > (answered ? C.MAX_SCALE : 0)) revert IMessageErrors.InvalidScale(decoded.outputScale);
    }
}
