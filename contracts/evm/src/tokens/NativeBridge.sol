// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenFactory} from "./ITokenFactory.sol";
import {IWeth} from "./IWeth.sol";
import {TokenBridge} from "./TokenBridge.sol";
import {CrosschainLinked} from "@openzeppelin/contracts/crosschain/CrosschainLinked.sol";
import {BridgeERC20} from "@openzeppelin/contracts/crosschain/bridges/BridgeERC20.sol";
import {BridgeFungible} from "@openzeppelin/contracts/crosschain/bridges/abstract/BridgeFungible.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";

/// @title Bridge of an ERC-20 that lives on this chain: locks it, and releases what was locked
/// @notice {locked} counts what messages brought in and out, and never looks at the balance: tokens that are sent here without a transfer,
/// and a rebase upwards, are nobody's; a rebase downwards stops the last releases.
contract NativeBridge is BridgeERC20, TokenBridge {
    constructor() BridgeERC20(IERC20(ITokenFactory(msg.sender).parameters().token)) {}

    /// @notice Sends ether, as wrapped ether; only on the bridge of the factory's WETH. What is below one wire unit comes back.
    /// @param to ERC-7930 address on the linked chain
    function crosschainTransferEther(bytes calldata to) external payable returns (bytes32 sendId) {
        if (address(token()) != factory.weth()) revert NotWrappedEther(address(token()));
        sendId = _crosschainTransfer(_msgSender(), to, msg.value);
        uint256 dust = msg.value % scale;
        if (dust != 0) Address.sendValue(payable(_msgSender()), dust);
    }

    /// @notice Wire units that are locked here, those that wait in the queue among them.
    function locked() external view returns (uint256) {
        return _total;
    }

    /// @inheritdoc BridgeERC20
    /// @dev `amount` is in wire units. Only {crosschainTransferEther} lets value in.
    function _onSend(address from, uint256 amount) internal override(BridgeFungible, BridgeERC20) {
        _increase(amount);
        uint256 debit = amount * scale;
        uint256 before = token().balanceOf(address(this));
        if (msg.value != 0) IWeth(address(token())).deposit{value: debit}();
        else super._onSend(from, debit);
        uint256 balance = token().balanceOf(address(this));
        if (balance < before || balance - before < debit) {
            revert FeeOnTransfer(debit, balance < before ? 0 : balance - before);
        }
    }

    /// @inheritdoc BridgeERC20
    /// @dev `amount` is in wire units, and was checked by {_checkInbound} when its message came.
    function _onReceive(address to, uint256 amount) internal override(BridgeFungible, BridgeERC20) {
        _total -= uint120(amount);
        super._onReceive(to, amount * scale);
    }

    /// @dev What waits is promised already.
    function _checkInbound(uint256 amount) internal view override {
        if (amount + queued() > _total) revert InsufficientLocked(amount, _total - queued());
    }

    function _usePermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) internal override {
        // Whoever saw the signature may have used it first: the allowance decides, not who set it.
        try IERC20Permit(address(token())).permit(_msgSender(), address(this), amount, deadline, v, r, s) {} catch {}
    }

    // ---- which of two parents: always {TokenBridge}, which asks the other itself

    function _crosschainTransfer(address from, bytes memory to, uint256 amount)
        internal
        override(BridgeFungible, TokenBridge)
        returns (bytes32)
    {
        return TokenBridge._crosschainTransfer(from, to, amount);
    }

    function _isAuthorizedGateway(address instance, bytes calldata sender)
        internal
        view
        override(CrosschainLinked, TokenBridge)
        returns (bool)
    {
        return TokenBridge._isAuthorizedGateway(instance, sender);
    }

    function _processMessage(address instance, bytes32 receiveId, bytes calldata sender, bytes calldata payload)
        internal
        override(BridgeFungible, TokenBridge)
    {
        TokenBridge._processMessage(instance, receiveId, sender, payload);
    }
}
