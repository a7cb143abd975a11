// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {Blueprint} from "../../src/tokens/Blueprint.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {ITokenFactory} from "../../src/tokens/ITokenFactory.sol";
import {NativeBridge} from "../../src/tokens/NativeBridge.sol";
import {TokenFactory} from "../../src/tokens/TokenFactory.sol";
import {Weth} from "../../src/tokens/Weth.sol";
import {WrappedBridge} from "../../src/tokens/WrappedBridge.sol";
import {WrappedToken} from "../../src/tokens/WrappedToken.sol";
import {Bodies} from "../support/Bodies.sol";
import {SibylTest} from "../support/SibylTest.sol";
import {PlainToken} from "./Tokens.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @dev Cheatcodes beyond those that the other tests use.
interface TokenVm {
    function sign(uint256 privateKey, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function etch(address target, bytes calldata code) external;
    function computeCreate2Address(bytes32 salt, bytes32 hash, address deployer) external pure returns (address);
}

/// @title A chain with the token bridge on it, and the bridge authority's words
abstract contract TokenWorld is SibylTest {
    TokenVm internal constant tokenVm = TokenVm(address(vm));

    bytes32 internal constant AUTHORITY = keccak256("the bridge authority");
    bytes32 internal constant SOL_USER = keccak256("a user of Solana");
    bytes32 internal constant MINT = keccak256("an SPL mint");
    address internal constant GUARDIAN = address(0x6A4D);
    uint256 internal constant ALICE_KEY = uint256(keccak256("alice's key"));
    /// @dev 18 decimals natively, 9 on the wire.
    uint256 internal constant SCALE = 1e9;

    TokenFactory internal factory;
    Weth internal weth;
    PlainToken internal token;
    NativeBridge internal native;
    WrappedBridge internal wrapped;
    WrappedToken internal wrappedToken;
    uint64 internal nextFromSolana = 1;

    function setUp() public virtual override {
        super.setUp();
        alice = vm.createWallet(ALICE_KEY).addr;
        vm.deal(alice, 100 ether);
        weth = new Weth();
        factory = new TokenFactory(address(this), gateway, interop(AUTHORITY), address(weth), blueprints());
        factory.grantRole(factory.GUARDIAN_ROLE(), GUARDIAN);
        token = new PlainToken("A Token", "TOK", 18);
        native = registerNative(address(token));
        (wrapped, wrappedToken) = registerWrapped(MINT, 9);
        token.mint(alice, 1000 ether);
        vm.prank(alice);
        token.approve(address(native), type(uint256).max);
    }

    function blueprints() internal returns (ITokenFactory.Blueprints memory) {
        return ITokenFactory.Blueprints(
            address(new Blueprint(type(NativeBridge).creationCode)),
            address(new Blueprint(type(WrappedBridge).creationCode)),
            address(new Blueprint(type(WrappedToken).creationCode))
        );
    }

    // ---- registrations

    function registerNative(address token_) internal returns (NativeBridge bridge) {
        (address deployed,) = factory.registerNative(token_);
        return NativeBridge(deployed);
    }

    function registerWrapped(bytes32 mint, uint8 decimals) internal returns (WrappedBridge, WrappedToken) {
        deliver(fromSolana(address(factory), abi.encode(mint, decimals, bytes("A Mint"), bytes("MNT"))));
        return (WrappedBridge(factory.bridgeOf(mint)), WrappedToken(factory.predictToken(mint)));
    }

    // ---- messages

    /// @dev ERC-7930 address on the linked chain.
    function interop(bytes32 account) internal pure returns (bytes memory) {
        return bytes.concat(hex"0001000220", SOLANA_CHAIN, hex"20", account);
    }

    function payloadTo(address to, uint256 amount) internal pure returns (bytes memory) {
        return payloadTo(to, amount, 0);
    }

    function payloadTo(address to, uint256 amount, uint256 fee) internal pure returns (bytes memory) {
        return abi.encode(interop(SOL_USER), abi.encodePacked(to), amount, fee);
    }

    /// @dev What a bridge here sends: `from` as OpenZeppelin formats it.
    function payloadFrom(address from, bytes32 to, uint256 amount, uint256 fee) internal view returns (bytes memory) {
        return abi.encode(InteroperableAddress.formatEvmV1(block.chainid, from), abi.encodePacked(to), amount, fee);
    }

    /// @dev The calldata of OpenZeppelin's entry; the name alone stands for two.
    function transferCall(bytes memory to, uint256 amount) internal pure returns (bytes memory) {
        return abi.encodeWithSignature("crosschainTransfer(bytes,uint256)", to, amount);
    }

    /// @dev The committee's word that a message of `bridge` lapsed, with the message's sequence; its id is what `digest` says.
    function nonDelivery(address bridge, uint64 sequence, bytes32 digest, bytes memory payload)
        internal
        view
        returns (Bodies.Body memory b)
    {
        b = message(sequence, bridge);
        b.kind = NON_DELIVERY;
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.sender, b.payload) = (word(address(gateway)), bytes.concat(digest, payload));
    }

    /// @dev Alice sends `wire` units, which lapse.
    function lapsed(ITokenBridge bridge, uint64 wire) internal returns (bytes32 digest, bytes memory body) {
        uint64 sequence = gateway.nextSequence();
        uint256 amount = wire * bridge.scale();
        vm.prank(alice);
        digest = bridge.crosschainTransfer(interop(SOL_USER), amount, 0, 0);
        body = Bodies.encode(nonDelivery(address(bridge), sequence, digest, payloadFrom(alice, SOL_USER, wire, 0)));
    }

    /// @dev The next message of the bridge authority.
    function fromSolana(address recipient, bytes memory payload) internal returns (bytes memory) {
        return Bodies.encode(authorityMessage(recipient, payload));
    }

    function authorityMessage(address recipient, bytes memory payload) internal returns (Bodies.Body memory b) {
        b = message(nextFromSolana++, recipient);
        (b.originType, b.originReference, b.originGateway) = (SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM);
        (b.sender, b.payload) = (AUTHORITY, payload);
    }

    /// @dev A message to `bridge` that pays `amount` wire units, delivered. Its id is the message's digest.
    function receiveTokens(ITokenBridge bridge, address to, uint256 amount) internal returns (bytes32 id) {
        bytes memory body = fromSolana(address(bridge), payloadTo(to, amount));
        deliver(body);
        return Bodies.digest(body);
    }

    /// @dev Delivers; `reason` is what the recipient reverted with, when it did.
    function tryDeliver(bytes memory body) internal returns (bool ok, bytes memory reason) {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        (ok, reason) = address(gateway).call(abi.encodeCall(IGateway.deliver, (a, d)));
        if (!ok && bytes4(reason) == IGateway.RecipientReverted.selector) {
            (, reason) = this.unpack(reason);
        }
    }

    function unpack(bytes calldata reason) external pure returns (bytes32 digest, bytes memory inner) {
        return abi.decode(reason[4:], (bytes32, bytes));
    }

    /// @dev Delivers what the recipient must refuse with this error.
    function expectRefused(bytes memory body, bytes memory refusal_) internal {
        (bool ok, bytes memory reason) = tryDeliver(body);
        vm.assertFalse(ok, "refused");
        vm.assertEq(reason, refusal_, "reason");
        vm.assertFalse(gateway.delivered(Bodies.originHash(SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM), sequenceOf(body)), "kept");
    }

    function sequenceOf(bytes memory body) internal pure returns (uint64 sequence) {
        assembly ("memory-safe") {
            sequence := shr(192, mload(add(body, 0xa6)))
        }
    }

    function bodyDigest(bytes memory body) internal pure returns (bytes32) {
        return Bodies.digest(body);
    }

    function lock(uint256 amount) internal {
        vm.prank(alice);
        native.crosschainTransfer(interop(SOL_USER), amount);
    }

    // ---- governance

    function rate(uint64 capacity, uint64 refill) internal pure returns (ITokenBridge.Rate memory) {
        return ITokenBridge.Rate(true, capacity, refill);
    }

    function unlimited() internal pure returns (ITokenBridge.Rate memory) {
        return ITokenBridge.Rate(false, 0, 0);
    }

    function limits(ITokenBridge.Rate memory outbound, ITokenBridge.Rate memory inbound)
        internal
        pure
        returns (ITokenBridge.Limits memory)
    {
        return ITokenBridge.Limits(outbound, inbound, false, 0, 1 hours);
    }

    function capped(uint120 cap) internal pure returns (ITokenBridge.Limits memory) {
        return ITokenBridge.Limits(unlimited(), unlimited(), true, cap, 1 hours);
    }
}
