// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenFactory} from "./ITokenFactory.sol";
import {IWeth} from "./IWeth.sol";
import {TokenBridge} from "./TokenBridge.sol";
import {TokenTerms} from "./TokenTerms.sol";
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
    /// @notice Governance took tokens out; `locked` wire units are left.
    event EmergencyExit(address indexed to, uint256 amount, uint256 locked);

    /// @notice An emergency exit needs a pause of a week; this one began at `since` (0: there is none).
    error NotPausedLongEnough(uint256 since);
    /// @notice `left` wire units may leave in the present period, at least one at a time.
    error ExitTooLarge(uint256 amount, uint256 left);

    uint40 private _exitBegin;
    uint120 private _exitLeft;

    constructor() BridgeERC20(IERC20(ITokenFactory(msg.sender).parameters().token)) {}

    /// @notice Sends ether, as wrapped ether; only on the bridge of the factory's WETH. What is below one wire unit comes back.
    /// @param to ERC-7930 address on the linked chain
    function crosschainTransferEther(bytes calldata to) external payable returns (bytes32 sendId) {
        return _sendEther(to, 0, 0);
    }

    /// @notice The same, with an expiry and a fee as {ITokenBridge-crosschainTransfer} takes them.
    function crosschainTransferEther(bytes calldata to, uint64 expiry, uint256 fee) external payable returns (bytes32 sendId) {
        return _sendEther(to, expiry, fee);
    }

    /// @notice Takes locked tokens out (governance only), while the bridge has been paused for a week without break: at most a tenth of
    /// what was locked at the begin of each day. It shrinks {locked}: the nodes sign nothing of this token from then on.
    /// @param amount wire units; what is promised to transfers that wait cannot be taken
    function emergencyExit(address to, uint256 amount) external nonReentrant {
        _checkGovernance();
        if (to == address(0) || to == address(this)) revert RefusedRecipient(bytes32(uint256(uint160(to))));
        uint256 since = pausedSince();
        if (since == 0 || block.timestamp < since + TokenTerms.EXIT_PAUSE) revert NotPausedLongEnough(since);
        if (block.timestamp >= _exitBegin + TokenTerms.EXIT_PERIOD) {
            (_exitBegin, _exitLeft) = (uint40(block.timestamp), uint120(_total / TokenTerms.EXIT_SHARE));
        }
        if (amount == 0 || amount > _exitLeft) revert ExitTooLarge(amount, _exitLeft);
        _checkInbound(amount);
        _exitLeft -= uint120(amount);
        _count(amount);
        emit EmergencyExit(to, amount, _total);
        _onReceive(to, amount);
    }

    /// @notice Called by this contract alone: what it does is undone when the token refuses.
    function payFee(address to, uint256 amount) external {
        if (msg.sender != address(this)) revert NotAllowed(msg.sender);
        _onReceive(to, amount);
    }

    /// @notice Wire units that are locked here, those that wait in the queue among them.
    function locked() external view returns (uint256) {
        return outstanding();
    }

    /// @notice The present period of an emergency exit: its begin (Unix seconds; 0: there was none), and what may still leave in it.
    function exitPeriod() external view returns (uint256 begin, uint256 left) {
        return (_exitBegin, _exitLeft);
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
    /// @dev `amount` is in wire units, and was counted by {_count}.
    function _onReceive(address to, uint256 amount) internal override(BridgeFungible, BridgeERC20) {
        super._onReceive(to, amount * scale);
    }

    function _count(uint256 amount) internal override {
        _total -= uint120(amount);
    }

    /// @dev By a call of its own: a token that says no after it moved something has then moved nothing.
    function _tryPay(address to, uint256 amount) internal override returns (bool) {
        try this.payFee(to, amount) {
            return true;
        } catch {
            return false;
        }
    }

    /// @dev What waits is promised already.
    function _checkInbound(uint256 amount) internal view override {
        if (amount + queued() > _total) revert InsufficientLocked(amount, _total - queued());
    }

    function _usePermit(uint256 amount, Permit calldata permit) internal override {
        IERC20Permit erc20 = IERC20Permit(address(token()));
        // Whoever saw the signature may have used it first: the allowance decides, not who set it.
        try erc20.permit(_msgSender(), address(this), amount, permit.deadline, permit.v, permit.r, permit.s) {} catch {}
    }

    function _sendEther(bytes calldata to, uint64 expiry, uint256 fee) private returns (bytes32 sendId) {
        if (address(token()) != factory.weth()) revert NotWrappedEther(address(token()));
        sendId = _send(to, msg.value, expiry, fee);
        uint256 dust = msg.value % scale;
        if (dust != 0) Address.sendValue(payable(_msgSender()), dust);
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
