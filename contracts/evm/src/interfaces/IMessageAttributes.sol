// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The ERC-7786 attributes that the gateway supports
/// @notice An attribute is encoded like a call: `abi.encodeCall(IMessageAttributes.expiry, (time))`. Nobody implements this interface.
interface IMessageAttributes {
    /// @notice Last Unix second of the message's delivery, after the present.
    function expiry(uint64 time) external;
}
