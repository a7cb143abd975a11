// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplitter} from "./interfaces/IFeeSplitter.sol";

/// @title FeeSplitter
/// @notice Implements {IFeeSplitter}.
/// @dev For the oracle hub's treasury: whoever calls `hub.withdrawFor(splitter)` moves the fees here. A change of payees is a new
/// splitter and `hub.setTreasury`.
contract FeeSplitter is IFeeSplitter {
    address[] private _payees;
    mapping(address payee => bool) private _isPayee;
    mapping(address payee => uint256) public override released;
    uint256 private _totalReleased;

    constructor(address[] memory payees_) {
        if (payees_.length == 0) revert InvalidPayee(address(0));
        for (uint256 i = 0; i < payees_.length; ++i) {
            address payee = payees_[i];
            if (payee == address(0) || _isPayee[payee]) revert InvalidPayee(payee);
            _isPayee[payee] = true;
        }
        _payees = payees_;
    }

    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// @inheritdoc IFeeSplitter
    function release(address payee) external {
        uint256 amount = due(payee);
        if (amount == 0) revert NothingDue(payee);
        released[payee] += amount;
        _totalReleased += amount;
        emit Released(payee, amount);
        (bool sent,) = payee.call{value: amount}("");
        if (!sent) revert TransferFailed(payee);
    }

    /// @inheritdoc IFeeSplitter
    function due(address payee) public view returns (uint256) {
        if (!_isPayee[payee]) revert NotPayee(payee);
        return (address(this).balance + _totalReleased) / _payees.length - released[payee];
    }

    /// @inheritdoc IFeeSplitter
    function payees() external view returns (address[] memory) {
        return _payees;
    }
}
