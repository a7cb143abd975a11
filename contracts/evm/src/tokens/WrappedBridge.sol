// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenFactory} from "./ITokenFactory.sol";
import {TokenBridge} from "./TokenBridge.sol";
import {CrosschainLinked} from "@openzeppelin/contracts/crosschain/CrosschainLinked.sol";
import {BridgeERC7802} from "@openzeppelin/contracts/crosschain/bridges/BridgeERC7802.sol";
import {BridgeFungible} from "@openzeppelin/contracts/crosschain/bridges/abstract/BridgeFungible.sol";
import {IERC7802} from "@openzeppelin/contracts/interfaces/draft-IERC7802.sol";

/// @title Bridge of a token that lives on the linked chain: mints its {WrappedToken}, and burns it
/// @notice {minted} is the wrapped token's total supply, counted here by messages alone.
contract WrappedBridge is BridgeERC7802, TokenBridge {
    constructor() BridgeERC7802(IERC7802(ITokenFactory(msg.sender).parameters().token)) {}

    /// @notice Wire units that were minted and not burnt.
    function minted() external view returns (uint256) {
        return outstanding();
    }

    /// @inheritdoc BridgeERC7802
    /// @dev `from` is always the caller of the transfer, whose consent this is; ERC-7802 asks for no allowance.
    function _onSend(address from, uint256 amount) internal override(BridgeFungible, BridgeERC7802) {
        // No more can be burnt than was minted; the subtraction would revert before the token does.
        _total -= uint120(amount);
        super._onSend(from, amount * scale);
    }

    /// @inheritdoc BridgeERC7802
    function _onReceive(address to, uint256 amount) internal override(BridgeFungible, BridgeERC7802) {
        super._onReceive(to, amount * scale);
    }

    function _count(uint256 amount) internal override {
        _increase(amount);
    }

    /// @dev The wrapped token calls nobody, and refuses no account but zero.
    function _tryPay(address to, uint256 amount) internal override returns (bool) {
        _onReceive(to, amount);
        return true;
    }

    /// @dev Nothing to do: burning needs no allowance. Wallets may treat both kinds of bridge alike.
    function _usePermit(uint256, Permit calldata) internal pure override {}

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
