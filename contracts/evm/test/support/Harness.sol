// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Frost} from "../../src/libraries/Frost.sol";
import {InferenceRequest} from "../../src/libraries/InferenceRequest.sol";
import {InferenceResult} from "../../src/libraries/InferenceResult.sol";
import {Interop} from "../../src/libraries/Interop.sol";
import {Merkle} from "../../src/libraries/Merkle.sol";
import {MessageBody} from "../../src/libraries/MessageBody.sol";
import {ProofCheck} from "../../src/libraries/ProofCheck.sol";
import {Rotation} from "../../src/libraries/Rotation.sol";

/// @title The libraries as external functions, for calldata and for reverts
contract Harness {
    function check(bytes calldata body) external pure {
        MessageBody.check(body);
    }

    function digest(bytes calldata body) external pure returns (bytes32) {
        return MessageBody.digest(body);
    }

    function digestOf(bytes calldata body) external pure returns (bytes32) {
        return MessageBody.digestOf(body);
    }

    function originHash(bytes calldata body) external pure returns (bytes32) {
        return MessageBody.originHash(body);
    }

    function fields(bytes calldata body)
        external
        pure
        returns (uint8 kind, uint64 sequence, bytes32 sender, bytes32 recipient, uint64 expiry, bytes memory payload)
    {
        MessageBody.check(body);
        return (
            MessageBody.kind(body),
            MessageBody.sequence(body),
            MessageBody.sender(body),
            MessageBody.recipient(body),
            MessageBody.expiry(body),
            MessageBody.payload(body)
        );
    }

    /// @dev Checks a body and, for a request, its payload.
    function request(bytes calldata body)
        external
        pure
        returns (InferenceRequest.Decoded memory decoded, bytes memory remotes, bytes memory inputs)
    {
        MessageBody.check(body);
        bytes calldata payload = MessageBody.payload(body);
        decoded = InferenceRequest.decode(payload, MessageBody.originChainType(body), MessageBody.originChainReference(body));
        remotes = InferenceRequest.remotesOf(payload, decoded.remoteCount);
        inputs = InferenceRequest.inputsOf(payload, decoded.remoteCount);
    }

    function requestPayload(bytes calldata payload) external pure returns (InferenceRequest.Decoded memory) {
        return InferenceRequest.decode(payload, 0, bytes32(uint256(31337)));
    }

    function encodeRequest(InferenceRequest.Decoded memory asked, bytes calldata remotes, int64[] calldata values)
        external
        pure
        returns (bytes memory)
    {
        return InferenceRequest.encode(asked, remotes, values);
    }

    function result(bytes calldata payload) external pure returns (InferenceResult.Decoded memory) {
        return InferenceResult.decode(payload);
    }

    function resultOf(bytes calldata body) external pure returns (InferenceResult.Decoded memory) {
        MessageBody.check(body);
        return InferenceResult.decode(MessageBody.payload(body));
    }

    function rotation(bytes calldata payload)
        external
        pure
        returns (Rotation.Decoded memory decoded, bytes memory operators, bytes memory remotes)
    {
        return Rotation.decode(payload);
    }

    function rotationOf(bytes calldata body) external pure {
        MessageBody.check(body);
        Rotation.decode(MessageBody.payload(body));
    }

    function decompress(uint8 sign, uint256 x) external view returns (uint256) {
        return Frost.decompress(sign, x);
    }

    function signedValue(bytes32 digest_, bytes32[] calldata branch) external pure returns (bytes32) {
        return Merkle.signedValue(Merkle.rootOf(digest_, branch));
    }

    function parse(bytes calldata encoded) external pure returns (uint16, bytes32, bytes32) {
        return Interop.parse(encoded);
    }

    function format(uint16 chainType, bytes32 chain, bytes32 account) external pure returns (bytes memory) {
        return Interop.format(chainType, chain, account);
    }

    function instances(bytes calldata inputs, int64[] memory outputs) external pure returns (uint256[] memory) {
        return ProofCheck.instances(inputs, outputs);
    }

    function isValid(uint256 px, uint8 parity, bytes32 value, uint256 rx, uint256 ry, uint256 z) external view returns (bool) {
        return Frost.isGroupKey(px, parity) && Frost.isValid(px, parity, value, rx, ry, z);
    }

    /// @dev Gas of the signature check alone.
    function gasOfCheck(uint256 px, uint8 parity, bytes32 value, uint256 rx, uint256 ry, uint256 z)
        external
        view
        returns (uint256 used)
    {
        uint256 before = gasleft();
        bool valid = Frost.isValid(px, parity, value, rx, ry, z);
        used = before - gasleft();
        require(valid);
    }
}
