// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IWeth} from "./IWeth.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title Wrapped ether for devnets and tests; a public chain has its own
contract Weth is IWeth, ERC20 {
    constructor() ERC20("Wrapped Ether", "WETH") {}

    receive() external payable {
        deposit();
    }

    /// @inheritdoc IWeth
    function deposit() public payable {
        _mint(msg.sender, msg.value);
    }

    /// @inheritdoc IWeth
    function withdraw(uint256 amount) external {
        _burn(msg.sender, amount);
        Address.sendValue(payable(msg.sender), amount);
    }
}
