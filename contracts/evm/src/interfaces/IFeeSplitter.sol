// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title A treasury that a fixed set of payees share equally, each pulling its own part
interface IFeeSplitter {
    event Received(address indexed from, uint256 amount);
    event Released(address indexed payee, uint256 amount);

    error InvalidPayee(address payee);
    error NotPayee(address account);
    error NothingDue(address payee);
    error TransferFailed(address payee);

    /// @notice Sends a payee what is due to it; anyone may call.
    function release(address payee) external;

    /// @notice Wei that `release` would send.
    function due(address payee) external view returns (uint256);

    function payees() external view returns (address[] memory);
    function released(address payee) external view returns (uint256);
}
