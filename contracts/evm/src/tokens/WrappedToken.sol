// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenFactory} from "./ITokenFactory.sol";
import {TokenMetadata} from "./TokenMetadata.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC20Bridgeable} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC20Bridgeable.sol";

/// @title A token of the linked chain, as an ERC-20 here (ERC-7802, ERC-2612)
/// @notice Its bridge alone mints and burns. Nobody owns it, and nothing about it can change.
contract WrappedToken is ERC20Permit, ERC20Bridgeable {
    /// @notice Only the bridge mints and burns.
    error NotBridge(address caller);

    uint256 private constant MAX_DOMAIN_NAME = 31;

    address public immutable bridge;
    /// @notice Account of the token on the linked chain.
    bytes32 public immutable nativeToken;
    uint8 private immutable _decimals;

    constructor() ERC20(_name(), _symbol()) ERC20Permit(_domainName()) {
        ITokenFactory.Parameters memory given = ITokenFactory(msg.sender).parameters();
        (bridge, nativeToken, _decimals) = (given.bridge, given.nativeToken, given.wireDecimals);
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function _checkTokenBridge(address caller) internal view override {
        if (caller != bridge) revert NotBridge(caller);
    }

    function _name() private view returns (string memory) {
        return string(ITokenFactory(msg.sender).parameters().name);
    }

    /// @dev The name, as far as it fits into OpenZeppelin's EIP-712 domain: 31 bytes. `eip712Domain` (ERC-5267) tells which it is.
    function _domainName() private view returns (string memory) {
        bytes memory name_ = bytes(_name());
        return string(name_.length <= MAX_DOMAIN_NAME ? name_ : TokenMetadata.fit(name_, MAX_DOMAIN_NAME));
    }

    function _symbol() private view returns (string memory) {
        return string(ITokenFactory(msg.sender).parameters().symbol);
    }
}
