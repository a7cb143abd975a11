// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Bodies and payloads from fields, written from PROTOCOL.md and not from the contracts under test
library Bodies {
    struct Body {
        uint8 kind;
        uint16 originType;
        bytes32 originReference;
        bytes32 originGateway;
        uint16 destinationType;
        bytes32 destinationReference;
        bytes32 destinationGateway;
        uint64 sequence;
        bytes32 sender;
        bytes32 recipient;
        uint64 expiry;
        bytes payload;
    }

    struct Result {
        uint8 status;
        uint8 policy;
        bytes32 modelId;
        bytes32 requestId;
        bytes32 inputCommitment;
        bytes32 requester;
        bytes32 consumer;
        uint32 callbackGasLimit;
        uint8 outputScale;
        int64[] outputs;
    }

    function encode(Body memory b) internal pure returns (bytes memory) {
        bytes memory route = bytes.concat(
            bytes1(0x01),
            bytes1(b.kind),
            bytes2(b.originType),
            b.originReference,
            b.originGateway,
            bytes2(b.destinationType),
            b.destinationReference,
            b.destinationGateway
        );
        bytes memory rest = bytes.concat(
            bytes8(b.sequence), b.sender, b.recipient, bytes8(b.expiry), bytes2(uint16(b.payload.length)), b.payload
        );
        return bytes.concat(route, rest);
    }

    function encode(Result memory r) internal pure returns (bytes memory) {
        bytes memory ids = bytes.concat(r.modelId, r.requestId, r.inputCommitment, r.requester, r.consumer);
        return bytes.concat(
            bytes1(r.status),
            bytes1(r.policy),
            ids,
            bytes4(r.callbackGasLimit),
            bytes1(r.outputScale),
            bytes1(uint8(r.outputs.length)),
            pack(r.outputs)
        );
    }

    function request(
        bytes32 modelId,
        uint128 fee,
        uint32 callbackGasLimit,
        uint8 policy,
        bytes memory remotes,
        int64[] memory inputs
    ) internal pure returns (bytes memory) {
        return bytes.concat(
            modelId,
            bytes16(fee),
            bytes4(callbackGasLimit),
            bytes1(policy),
            bytes1(uint8(remotes.length / 131)),
            bytes2(uint16(inputs.length)),
            remotes,
            pack(inputs)
        );
    }

    function remote(uint8 policy, uint16 chainType, bytes32 chain, bytes32 gateway, bytes32 hub, bytes32 consumer)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(bytes1(policy), bytes2(chainType), chain, gateway, hub, consumer);
    }

    struct NewKey {
        uint32 epoch;
        uint256 px;
        uint8 parity;
        uint256 proofRx;
        uint256 proofRy;
        uint256 proofZ;
        uint32 overlap;
        uint16 threshold;
        bytes operators;
        bytes remotes;
    }

    function encode(NewKey memory k) internal pure returns (bytes memory) {
        bytes memory proof = bytes.concat(bytes1(uint8(2 + (k.proofRy & 1))), bytes32(k.proofRx), bytes32(k.proofZ));
        return bytes.concat(
            bytes4(k.epoch),
            bytes32(k.px),
            bytes1(k.parity),
            proof,
            bytes4(k.overlap),
            keccak256("a transcript"),
            bytes2(k.threshold),
            bytes2(uint16(k.operators.length)),
            bytes1(uint8(k.remotes.length / 98)),
            k.operators,
            k.remotes
        );
    }

    function rotationRemote(uint16 chainType, bytes32 chain, bytes32 gateway, bytes32 committee)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(bytes2(chainType), chain, gateway, committee);
    }

    function pack(int64[] memory values) internal pure returns (bytes memory packed) {
        for (uint256 i = 0; i < values.length; ++i) {
            packed = bytes.concat(packed, bytes8(uint64(values[i])));
        }
    }

    function digest(bytes memory body) internal pure returns (bytes32) {
        return keccak256(bytes.concat("SIBYL_MESSAGE_V1", new bytes(16), body));
    }

    function originHash(uint16 chainType, bytes32 chain, bytes32 gateway) internal pure returns (bytes32) {
        return keccak256(origin(chainType, chain, gateway));
    }

    function origin(uint16 chainType, bytes32 chain, bytes32 gateway) internal pure returns (bytes memory) {
        return bytes.concat(bytes2(chainType), chain, gateway);
    }

    /// @dev Root of a batch, levels left to right, and the branch of one of its leaves.
    function batch(bytes32[] memory digests, uint256 index) internal pure returns (bytes32 root, bytes32[] memory branch) {
        bytes32[] memory level = new bytes32[](digests.length);
        for (uint256 i = 0; i < digests.length; ++i) {
            level[i] = keccak256(bytes.concat(bytes1(0), digests[i]));
        }
        bytes32[] memory path = new bytes32[](16);
        uint256 depth;
        while (level.length > 1) {
            if (index ^ 1 < level.length) path[depth++] = level[index ^ 1];
            bytes32[] memory next = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < next.length; ++i) {
                next[i] = 2 * i + 1 < level.length ? join(level[2 * i], level[2 * i + 1]) : level[2 * i];
            }
            (level, index) = (next, index / 2);
        }
        branch = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            branch[i] = path[i];
        }
        return (level[0], branch);
    }

    function join(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(bytes1(0x01), a, b)) : keccak256(bytes.concat(bytes1(0x01), b, a));
    }

    function signedValue(bytes32 root) internal pure returns (bytes32) {
        return keccak256(bytes.concat("SIBYL_BATCH_V1", new bytes(18), root));
    }
}
