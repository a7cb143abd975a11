// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title What the bridge needs of wrapped ether: WETH9's own interface
interface IWeth is IERC20 {
    /// @notice Gives the caller as many tokens as it sends wei.
    function deposit() external payable;

    /// @notice Takes the caller's tokens and sends as many wei.
    function withdraw(uint256 amount) external;
}
