// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Calls to contracts that nobody vouches for
/// @dev Copies at most MAX_REASON bytes of what comes back, so that a callee cannot make its caller pay for copying megabytes.
library BoundedCall {
    /// @dev Most bytes of return data that are kept.
    uint256 internal constant MAX_REASON = 256;

    /// @notice Calls `target` with `data` and at most `gasLimit` gas, without value.
    /// @return success whether the call returned
    /// @return word its first 32 bytes; zero when it returned fewer, or failed
    function callWithGas(address target, uint256 gasLimit, bytes memory data) internal returns (bool success, bytes32 word) {
        assembly ("memory-safe") {
            // Assembly: Solidity's call copies all of the return data.
            success := call(gasLimit, target, 0, add(data, 0x20), mload(data), 0x00, 0x20)
            if and(success, gt(returndatasize(), 0x1f)) { word := mload(0x00) }
        }
    }

    /// @notice The beginning of the last call's return data.
    function reason() internal pure returns (bytes memory data) {
        uint256 limit = MAX_REASON;
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, limit) { size := limit }
            data := mload(0x40)
            mstore(data, size)
            // Clears the padding of the last word, which an ABI encoder copies.
            mstore(add(add(data, 0x20), size), 0)
            returndatacopy(add(data, 0x20), 0, size)
            mstore(0x40, and(add(add(data, 0x5f), size), not(0x1f)))
        }
    }
}
