// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Read} from "../libraries/Read.sol";
import {Blueprints as BlueprintCode} from "./Blueprint.sol";
import {ITokenBridge} from "./ITokenBridge.sol";
import {ITokenFactory} from "./ITokenFactory.sol";
import {TokenMetadata} from "./TokenMetadata.sol";
import {TokenPayload} from "./TokenPayload.sol";
import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {CrosschainLinked} from "@openzeppelin/contracts/crosschain/CrosschainLinked.sol";
import {IERC7786GatewaySource} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Create2} from "@openzeppelin/contracts/utils/Create2.sol";

/// @title TokenFactory
/// @notice Implements {ITokenFactory}.
/// @dev Of what is not its own, it calls tokens by static calls alone, and the gateway.
contract TokenFactory is ITokenFactory, AccessControl, CrosschainLinked {
    bytes32 public constant override GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");

    /// @dev With more, 2^64 - 1 wire units in the token's smallest unit would not fit in 256 bits.
    uint8 private constant MAX_NATIVE_DECIMALS = 66;
    /// @dev Gas of a look at a balance.
    uint256 private constant LOOK_GAS = 200_000;

    IERC7786GatewaySource public immutable override gateway;
    address public immutable override weth;
    address private immutable _nativeBridge;
    address private immutable _wrappedBridge;
    address private immutable _wrappedToken;
    bytes32 private immutable _nativeBridgeHash;
    bytes32 private immutable _wrappedBridgeHash;
    bytes32 private immutable _wrappedTokenHash;

    bytes private _counterpart;
    bytes32[] private _tokens;
    mapping(bytes32 nativeToken => address) public override bridgeOf;
    mapping(address bridge => bool) private _isBridge;
    mapping(address token => bool) private _isWrapped;
    mapping(bytes32 recipient => bool) public override isRefusedRecipient;

    // What is being deployed. It ends with the transaction.
    bytes32 private transient _givenNativeToken;
    address private transient _givenBridge;
    address private transient _givenToken;
    uint8 private transient _givenWireDecimals;
    uint256 private transient _givenScale;
    bytes32 private transient _givenName;
    uint8 private transient _givenNameSize;
    bytes32 private transient _givenSymbol;
    uint8 private transient _givenSymbolSize;

    /// @param owner_ gets governance, and is the first guardian
    /// @param counterpart_ the bridge authority, as an ERC-7930 address
    constructor(
        address owner_,
        IERC7786GatewaySource gateway_,
        bytes memory counterpart_,
        address weth_,
        Blueprints memory blueprints
    ) CrosschainLinked(_link(gateway_, counterpart_)) {
        (bool valid,, bytes32 account) = TokenPayload.parseSolana(counterpart_);
        if (!valid || account == 0) revert InvalidCounterpart(counterpart_);
        _grantRole(DEFAULT_ADMIN_ROLE, owner_);
        _grantRole(GUARDIAN_ROLE, owner_);
        (gateway, weth, _counterpart) = (gateway_, weth_, counterpart_);
        _nativeBridge = blueprints.nativeBridge;
        _wrappedBridge = blueprints.wrappedBridge;
        _wrappedToken = blueprints.wrappedToken;
        _nativeBridgeHash = keccak256(BlueprintCode.creationCodeOf(blueprints.nativeBridge));
        _wrappedBridgeHash = keccak256(BlueprintCode.creationCodeOf(blueprints.wrappedBridge));
        _wrappedTokenHash = keccak256(BlueprintCode.creationCodeOf(blueprints.wrappedToken));
    }

    // ---- registration

    /// @inheritdoc ITokenFactory
    function registerNative(address token) external returns (address bridge, bytes32 digest) {
        if (token.code.length == 0) revert NotAContract(token);
        if (_isWrapped[token]) revert IsWrapped(token);
        bytes32 id = Read.toWord(token);
        bridge = bridgeOf[id];
        if (bridge != address(0)) revert AlreadyRegistered(id, bridge);
        uint8 decimals = TokenMetadata.decimalsOf(token);
        if (decimals > MAX_NATIVE_DECIMALS) revert UnsupportedDecimals(decimals);
        uint8 most = TokenPayload.MAX_WIRE_DECIMALS;
        uint8 wireDecimals = decimals < most ? decimals : most;
        (_givenNativeToken, _givenToken, _givenWireDecimals) = (id, token, wireDecimals);
        _givenScale = 10 ** uint256(decimals - wireDecimals);
        bridge = _deploy(_nativeBridge, id);
        _record(id, bridge, token, true, wireDecimals);
        digest = _announce(id, token, wireDecimals);
    }

    /// @inheritdoc ITokenFactory
    function announce(address token) external returns (bytes32 digest) {
        bytes32 id = Read.toWord(token);
        address bridge = bridgeOf[id];
        if (bridge == address(0)) revert NotRegistered(id);
        return _announce(id, token, ITokenBridge(bridge).wireDecimals());
    }

    // ---- guardians and governance

    /// @inheritdoc ITokenFactory
    function pause(address bridge) external onlyRole(GUARDIAN_ROLE) {
        _setPaused(bridge, true);
    }

    /// @inheritdoc ITokenFactory
    function unpause(address bridge) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _setPaused(bridge, false);
    }

    /// @inheritdoc ITokenFactory
    function setRefusedRecipients(bytes32[] calldata recipients, bool refused) external onlyRole(DEFAULT_ADMIN_ROLE) {
        for (uint256 i = 0; i < recipients.length; ++i) {
            isRefusedRecipient[recipients[i]] = refused;
            emit RefusedRecipientSet(recipients[i], refused);
        }
    }

    // ---- views

    /// @inheritdoc ITokenFactory
    function counterpart() external view returns (bytes memory) {
        return _counterpart;
    }

    /// @inheritdoc ITokenFactory
    function predictBridge(bytes32 nativeToken, bool native) public view returns (address) {
        return Create2.computeAddress(nativeToken, native ? _nativeBridgeHash : _wrappedBridgeHash);
    }

    /// @inheritdoc ITokenFactory
    function predictToken(bytes32 nativeToken) public view returns (address) {
        return Create2.computeAddress(nativeToken, _wrappedTokenHash);
    }

    /// @inheritdoc ITokenFactory
    function codeHashes() external view returns (bytes32 nativeBridge, bytes32 wrappedBridge, bytes32 wrappedToken) {
        return (_nativeBridgeHash, _wrappedBridgeHash, _wrappedTokenHash);
    }

    /// @inheritdoc ITokenFactory
    function tokenCount() external view returns (uint256) {
        return _tokens.length;
    }

    /// @inheritdoc ITokenFactory
    function tokenAt(uint256 index) external view returns (bytes32) {
        return _tokens[index];
    }

    /// @inheritdoc ITokenFactory
    function holdings(uint256 first, uint256 count) external view returns (Holding[] memory found) {
        uint256 end = _tokens.length;
        if (first > end) first = end;
        if (count < end - first) end = first + count;
        found = new Holding[](end - first);
        for (uint256 i = first; i < end; ++i) {
            found[i - first] = _holding(_tokens[i]);
        }
    }

    /// @inheritdoc ITokenFactory
    function parameters() external view returns (Parameters memory given) {
        given.nativeToken = _givenNativeToken;
        (given.bridge, given.token) = (_givenBridge, _givenToken);
        (given.wireDecimals, given.scale) = (_givenWireDecimals, _givenScale);
        given.name = _text(_givenName, _givenNameSize);
        given.symbol = _text(_givenSymbol, _givenSymbolSize);
    }

    // ---- within

    /// @dev A registration from the linked chain. One that came before is taken again, and changes nothing.
    function _processMessage(address, bytes32, bytes calldata, bytes calldata payload) internal override {
        (bytes32 id, uint8 wireDecimals, bytes calldata name, bytes calldata symbol) = TokenPayload.decodeRegistration(payload);
        // Accounts of Solana fill their 32 bytes, so both kinds of names share a table and never meet.
        if (uint256(id) <= type(uint160).max) revert ForeignToken(id);
        if (bridgeOf[id] != address(0)) return;
        (_givenNativeToken, _givenBridge, _givenToken) = (id, predictBridge(id, false), predictToken(id));
        (_givenWireDecimals, _givenScale) = (wireDecimals, 1);
        (_givenName, _givenNameSize) = (bytes32(name), uint8(name.length));
        (_givenSymbol, _givenSymbolSize) = (bytes32(symbol), uint8(symbol.length));
        address token = _deploy(_wrappedToken, id);
        address bridge = _deploy(_wrappedBridge, id);
        _isWrapped[token] = true;
        _record(id, bridge, token, false, wireDecimals);
    }

    function _holding(bytes32 id) private view returns (Holding memory holding) {
        holding.nativeToken = id;
        holding.bridge = bridgeOf[id];
        holding.native = uint256(id) <= type(uint160).max;
        ITokenBridge bridge = ITokenBridge(holding.bridge);
        (holding.wireDecimals, holding.counter) = (bridge.wireDecimals(), bridge.outstanding());
        holding.held = holding.native
            ? _balanceOf(address(uint160(uint256(id))), holding.bridge) / bridge.scale()
            : IERC20(predictToken(id)).totalSupply();
    }

    /// @dev Anybody's token: it gets so much gas and one word, and what it does not tell is 0.
    function _balanceOf(address token, address account) private view returns (uint256 amount) {
        bytes memory data = abi.encodeCall(IERC20.balanceOf, (account));
        // The 63/64 rule would give it less, and make an honest token look empty.
        if (gasleft() < 2 * LOOK_GAS) revert InsufficientGas(gasleft(), 2 * LOOK_GAS);
        uint256 most = LOOK_GAS;
        assembly ("memory-safe") {
            // Assembly: Solidity's call copies all that is returned.
            let done := staticcall(most, token, add(data, 0x20), mload(data), 0x00, 0x20)
            if and(done, gt(returndatasize(), 0x1f)) { amount := mload(0x00) }
        }
    }

    function _deploy(address blueprint, bytes32 salt) private returns (address) {
        return Create2.deploy(0, salt, BlueprintCode.creationCodeOf(blueprint));
    }

    function _record(bytes32 id, address bridge, address token, bool native, uint8 wireDecimals) private {
        bridgeOf[id] = bridge;
        _isBridge[bridge] = true;
        _tokens.push(id);
        emit TokenRegistered(id, bridge, token, native, wireDecimals);
    }

    function _announce(bytes32 id, address token, uint8 wireDecimals) private returns (bytes32 digest) {
        bytes memory payload =
            TokenPayload.encodeRegistration(id, wireDecimals, TokenMetadata.nameOf(token), TokenMetadata.symbolOf(token));
        digest = gateway.sendMessage(_counterpart, payload, new bytes[](0));
        emit RegistrationSent(id, digest);
    }

    function _setPaused(address bridge, bool paused) private {
        if (!_isBridge[bridge]) revert UnknownBridge(bridge);
        ITokenBridge(bridge).setPaused(paused);
    }

    function _text(bytes32 value, uint8 size) private pure returns (bytes memory text) {
        text = abi.encodePacked(value);
        assembly ("memory-safe") {
            // Assembly: shortens the copy in place.
            mstore(text, size)
        }
    }

    function _link(IERC7786GatewaySource gateway_, bytes memory counterpart_) private pure returns (Link[] memory links) {
        links = new Link[](1);
        links[0] = Link(address(gateway_), counterpart_);
    }
}
