// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IMessageErrors} from "../interfaces/IMessageErrors.sol";

/// @title Batches of digests (PROTOCOL.md section 2)
/// @dev A root is always computed from a leaf and never taken from a caller or from storage, so no default value can be trusted.
library Merkle {
    /// @notice Root of the batch that holds `digest` at the end of `branch`.
    function rootOf(bytes32 digest, bytes32[] calldata branch) internal pure returns (bytes32 node) {
        uint256 depth = branch.length;
        if (depth > C.MERKLE_MAX_DEPTH) revert IMessageErrors.BranchTooLong(depth);
        node = leaf(digest);
        for (uint256 i = 0; i < depth; ++i) {
            node = join(node, branch[i]);
        }
    }

    /// @notice Hash of a leaf; no inner node has its prefix.
    function leaf(bytes32 digest) internal pure returns (bytes32 hash) {
        uint256 prefix = C.MERKLE_LEAF_PREFIX;
        assembly ("memory-safe") {
            // Assembly: 33 bytes in scratch space, without an allocation.
            mstore8(0x00, prefix)
            mstore(0x01, digest)
            hash := keccak256(0x00, 33)
        }
    }

    /// @notice Hash of an inner node over two nodes in either order.
    function join(bytes32 a, bytes32 b) internal pure returns (bytes32 hash) {
        uint256 prefix = C.MERKLE_NODE_PREFIX;
        assembly ("memory-safe") {
            // Assembly: 65 bytes beyond the free pointer, which is not moved.
            let swap := gt(a, b)
            let m := mload(0x40)
            mstore8(m, prefix)
            mstore(add(m, 1), xor(a, mul(swap, xor(a, b))))
            mstore(add(m, 33), xor(b, mul(swap, xor(a, b))))
            hash := keccak256(m, 65)
        }
    }

    /// @notice What the committee signs for a root.
    function signedValue(bytes32 root) internal pure returns (bytes32 hash) {
        bytes32 tag = C.DOMAIN_BATCH;
        assembly ("memory-safe") {
            mstore(0x00, tag)
            mstore(0x20, root)
            hash := keccak256(0x00, 0x40)
        }
    }
}
