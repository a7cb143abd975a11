// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title Timelock
/// @notice Owner of every contract in production: what governance does is announced, and can be seen and cancelled, before it happens.
/// @dev OpenZeppelin's, without an administrator: its own roles and delay change by its own acts alone. The committee's activation delay
/// must be longer than `minDelay`, or a veto comes too late.
contract Timelock is TimelockController {
    /// @param minDelay seconds between an announcement and the act
    /// @param proposers who may announce and cancel
    /// @param executors who may carry out what is ready; the zero address: anyone
    constructor(uint256 minDelay, address[] memory proposers, address[] memory executors)
        TimelockController(minDelay, proposers, executors, address(0))
    {}
}
