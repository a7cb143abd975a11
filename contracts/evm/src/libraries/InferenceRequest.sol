// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IMessageErrors} from "../interfaces/IMessageErrors.sol";
import {Read} from "./Read.sol";

/// @title Payload of an inference request (PROTOCOL.md section 3)
library InferenceRequest {
    /// @dev Bytes of one quantised value.
    uint256 internal constant VALUE_SIZE = 8;

    /// @notice A request's header.
    struct Decoded {
        bytes32 modelId;
        uint128 fee;
        uint32 callbackGasLimit;
        uint8 policy;
        uint8 remoteCount;
        bytes32 inputCommitment;
    }

    /// @notice One further destination.
    struct Remote {
        uint8 policy;
        uint16 chainType;
        bytes32 chainReference;
        bytes32 gateway;
        bytes32 hub;
        bytes32 consumer;
    }

    /// @notice Decodes a request; reverts with an {IMessageErrors} error unless every field and the length are valid.
    /// @param originChainType chain type of the request's own chain
    /// @param originChainReference its reference
    function decode(bytes calldata payload, uint16 originChainType, bytes32 originChainReference)
        internal
        pure
        returns (Decoded memory decoded)
    {
        if (payload.length < C.REQUEST_SIZE) revert IMessageErrors.WrongLength(C.REQUEST_SIZE, payload.length);
        uint256 remoteCount = Read.uintAt(payload, C.REQUEST_REMOTE_COUNT_OFFSET, 1);
        if (remoteCount > C.MAX_REMOTES) revert IMessageErrors.TooManyRemotes(remoteCount);
        uint256 inputCount = Read.uintAt(payload, C.REQUEST_INPUT_COUNT_OFFSET, 2);
        if (inputCount == 0 || inputCount > C.MAX_INPUTS) revert IMessageErrors.InvalidInputCount(inputCount);
        uint256 size = C.REQUEST_SIZE + remoteCount * C.REMOTE_SIZE + inputCount * VALUE_SIZE;
        if (payload.length != size) revert IMessageErrors.WrongLength(size, payload.length);
        decoded.modelId = Read.word(payload, C.REQUEST_MODEL_ID_OFFSET);
        decoded.fee = uint128(Read.uintAt(payload, C.REQUEST_FEE_OFFSET, 16));
        decoded.callbackGasLimit = uint32(Read.uintAt(payload, C.REQUEST_CALLBACK_GAS_LIMIT_OFFSET, 4));
        decoded.policy = uint8(Read.uintAt(payload, C.REQUEST_POLICY_OFFSET, 1));
        decoded.remoteCount = uint8(remoteCount);
        decoded.inputCommitment = keccak256(inputsOf(payload, remoteCount));
        checkPolicy(decoded.policy, remoteCount);
        checkRemotes(remotesOf(payload, remoteCount), originChainType, originChainReference);
    }

    /// @notice The remotes of a decoded request, REMOTE_SIZE bytes each.
    function remotesOf(bytes calldata payload, uint256 remoteCount) internal pure returns (bytes calldata) {
        return payload[C.REQUEST_SIZE:C.REQUEST_SIZE + remoteCount * C.REMOTE_SIZE];
    }

    /// @notice The inputs of a decoded request, VALUE_SIZE bytes each.
    function inputsOf(bytes calldata payload, uint256 remoteCount) internal pure returns (bytes calldata) {
        return payload[C.REQUEST_SIZE + remoteCount * C.REMOTE_SIZE:];
    }

    /// @notice Refuses an unknown policy, and remotes of a request that only a proof answers.
    function checkPolicy(uint8 policy, uint256 remoteCount) internal pure {
        if (policy < C.POLICY_ATTESTED || policy > C.POLICY_RECOMPUTED) revert IMessageErrors.UnsupportedPolicy(policy);
        if (policy == C.POLICY_PROVEN && remoteCount != 0) revert IMessageErrors.TooManyRemotes(remoteCount);
    }

    /// @notice Refuses what decodes but no destination of this version serves: {decode} takes it, because the committee answers it by
    /// a signed refusal when another chain let it pass.
    function checkServed(bytes calldata remotes_) internal pure {
        uint256 count = remotes_.length / C.REMOTE_SIZE;
        for (uint256 i = 0; i < count; ++i) {
            Remote memory remote = remoteAt(remotes_, i);
            // Solana takes no signature together with a proof in this version.
            bool served = remote.policy != C.POLICY_BOTH || remote.chainType == C.CHAIN_TYPE_EIP155;
            if (!served) revert IMessageErrors.UnsupportedPolicy(remote.policy);
        }
    }

    /// @notice Checks a list of remotes: its length, each field, and that no two destinations share a chain.
    /// @return count number of remotes
    function checkRemotes(bytes calldata list, uint16 originChainType, bytes32 originChainReference)
        internal
        pure
        returns (uint256 count)
    {
        count = list.length / C.REMOTE_SIZE;
        if (count * C.REMOTE_SIZE != list.length) revert IMessageErrors.WrongLength(count * C.REMOTE_SIZE, list.length);
        if (count > C.MAX_REMOTES) revert IMessageErrors.TooManyRemotes(count);
        for (uint256 i = 0; i < count; ++i) {
            Remote memory remote = remoteAt(list, i);
            _checkRemote(remote);
            bool duplicate = remote.chainType == originChainType && remote.chainReference == originChainReference;
            for (uint256 j = 0; j < i; ++j) {
                Remote memory other = remoteAt(list, j);
                duplicate = duplicate || (remote.chainType == other.chainType && remote.chainReference == other.chainReference);
            }
            if (duplicate) revert IMessageErrors.DuplicateChain(remote.chainType, remote.chainReference);
        }
    }

    /// @notice The remote number `index` of a list that was checked.
    function remoteAt(bytes calldata list, uint256 index) internal pure returns (Remote memory) {
        uint256 start = index * C.REMOTE_SIZE;
        return Remote({
            policy: uint8(Read.uintAt(list, start + C.REMOTE_POLICY_OFFSET, 1)),
            chainType: uint16(Read.uintAt(list, start + C.REMOTE_CHAIN_TYPE_OFFSET, 2)),
            chainReference: Read.word(list, start + C.REMOTE_CHAIN_REFERENCE_OFFSET),
            gateway: Read.word(list, start + C.REMOTE_GATEWAY_OFFSET),
            hub: Read.word(list, start + C.REMOTE_HUB_OFFSET),
            consumer: Read.word(list, start + C.REMOTE_CONSUMER_OFFSET)
        });
    }

    /// @notice Payload of a request.
    /// @param asked the header; its commitment and number of remotes are not read
    /// @param remotes_ a checked list
    /// @param values at most MAX_INPUTS
    function encode(Decoded memory asked, bytes calldata remotes_, int64[] calldata values) internal pure returns (bytes memory) {
        bytes memory packed = packInputs(values);
        return abi.encodePacked(
            asked.modelId,
            asked.fee,
            asked.callbackGasLimit,
            asked.policy,
            uint8(remotes_.length / C.REMOTE_SIZE),
            uint16(values.length),
            remotes_,
            packed
        );
    }

    /// @notice The inputs of a request as its payload holds them: 8 bytes each, big-endian.
    function packInputs(int64[] calldata values) internal pure returns (bytes memory packed) {
        uint256 count = values.length;
        packed = new bytes(count * VALUE_SIZE);
        for (uint256 i = 0; i < count; ++i) {
            int64 value = values[i];
            assembly ("memory-safe") {
                // Assembly: an 8-byte store. It writes 32 bytes, of which the next turn (or nobody) overwrites 24; the last turn's
                // surplus lies in `packed`'s own padding or beyond the free pointer.
                mstore(add(add(packed, 0x20), shl(3, i)), shl(192, value))
            }
        }
    }

    function _checkRemote(Remote memory remote) private pure {
        Read.checkChain(remote.chainType, remote.chainReference);
        Read.checkAccount(remote.chainType, remote.gateway);
        Read.checkAccount(remote.chainType, remote.hub);
        Read.checkAccount(remote.chainType, remote.consumer);
        bool known = remote.policy >= C.POLICY_ATTESTED && remote.policy <= C.POLICY_RECOMPUTED;
        // A proof alone never travels: only the origin stores the request.
        if (!known || remote.policy == C.POLICY_PROVEN) revert IMessageErrors.UnsupportedPolicy(remote.policy);
    }
}
