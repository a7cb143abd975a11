// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A contract that sends messages with an expiry
interface INonDeliveryRecipient {
    /// @notice The gateway calls it when the committee signed that a message of this contract expired and never will be delivered.
    /// @dev Check that the caller is the gateway. Called at most once for a message; when it reverts, or returns anything but its own
    /// selector, the notice stays undelivered and anyone may deliver it again.
    /// @param digest of the message: what `sendMessage` returned
    /// @param payload of the message
    /// @return this function's selector
    function receiveNonDelivery(bytes32 digest, bytes calldata payload) external returns (bytes4);
}
