// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {ITokenFactory} from "../../src/tokens/ITokenFactory.sol";
import {NativeBridge} from "../../src/tokens/NativeBridge.sol";
import {TokenPayload} from "../../src/tokens/TokenPayload.sol";
import {Bodies} from "../support/Bodies.sol";
import {TokenWorld} from "./TokenWorld.sol";
import {
    BlockingToken,
    FalseToken,
    FeeToken,
    LyingToken,
    NamelessToken,
    OddToken,
    PlainToken,
    RebasingToken,
    ReentrantToken,
    SilentToken
} from "./Tokens.sol";
import {ERC7786Recipient} from "@openzeppelin/contracts/crosschain/ERC7786Recipient.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @dev Deploys with the factory's salts and code, from its own address.
contract Squatter {
    function squat(bytes32 salt, bytes memory code) external returns (address deployed) {
        assembly {
            deployed := create2(0, add(code, 0x20), mload(code), salt)
        }
    }
}

/// @title Forged messages, wrong speakers, and tokens that do not behave
contract TokenAttacksTest is TokenWorld {
    // ---- forged messages

    function test_attack__user_sends_a_transfer_payload_himself__refused() public {
        // The committee signs what was posted: here a user's own message from Solana with the words of a transfer.
        lock(5 ether);
        Bodies.Body memory b = authorityMessage(address(native), payloadTo(alice, 5e9));
        b.sender = SOL_USER;
        expectRefused(
            Bodies.encode(b),
            abi.encodeWithSelector(
                ERC7786Recipient.ERC7786RecipientUnauthorizedGateway.selector, address(gateway), interop(SOL_USER)
            )
        );
        b = authorityMessage(address(wrapped), payloadTo(alice, 5e9));
        b.sender = SOL_USER;
        (bool ok,) = tryDeliver(Bodies.encode(b));
        vm.assertFalse(ok, "no mint");
        vm.assertEq(wrappedToken.totalSupply(), 0, "nothing minted");
    }

    function test_attack__message_from_another_chain__refused() public {
        lock(5 ether);
        // The same account on a trusted EVM chain, and an EVM contract that carries the authority's last bytes as its address.
        Bodies.Body memory b = message(1, address(native));
        b.payload = payloadTo(alice, 5e9);
        (bool ok, bytes memory reason) = tryDeliver(Bodies.encode(b));
        vm.assertFalse(ok, "another chain");
        vm.assertTrue(bytes4(reason) == ERC7786Recipient.ERC7786RecipientUnauthorizedGateway.selector, "by its sender");
        b.sender = AUTHORITY & bytes32(uint256(type(uint160).max));
        (ok,) = tryDeliver(Bodies.encode(b));
        vm.assertFalse(ok, "another chain, similar account");
        // Another cluster of Solana with the very same authority.
        bytes32 cluster = keccak256("another cluster");
        gateway.setPeer(Bodies.origin(SOLANA, cluster, SOLANA_PROGRAM), true);
        b = authorityMessage(address(native), payloadTo(alice, 5e9));
        b.originReference = cluster;
        (ok,) = tryDeliver(Bodies.encode(b));
        vm.assertFalse(ok, "another cluster");
        vm.assertEq(native.locked(), 5e9, "locked");
    }

    function test_attack__bridge_speaks_to_a_bridge_of_its_own_chain__refused() public {
        // A message that this chain's own bridge posted, delivered here: the origin is trusted, the sender is not the counterpart.
        Bodies.Body memory b = message(1, address(native));
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.sender, b.payload) = (word(address(wrapped)), payloadTo(alice, 1));
        (bool ok,) = tryDeliver(Bodies.encode(b));
        vm.assertFalse(ok, "refused");
    }

    function test_attack__message_for_one_token_at_another__only_its_recipient_takes_it() public {
        // The authority's message to `wrapped` moves nothing of any other bridge.
        lock(5 ether);
        receiveTokens(wrapped, alice, 3e9);
        vm.assertEq(native.locked(), 5e9, "the other bridge");
        // What was minted for one mint cannot leave by another's bridge.
        NativeBridge other = registerNative(address(weth));
        vm.prank(alice);
        vm.expectRevert();
        other.crosschainTransfer(interop(SOL_USER), 3e9);
    }

    function test_attack__receiveMessage_called_directly__refused() public {
        bytes memory payload = payloadTo(alice, 1);
        bytes memory registration = abi.encode(keccak256("m"), 9, bytes("n"), bytes("s"));
        address[3] memory callers = [alice, address(this), address(native)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.startPrank(callers[i]);
            bytes memory refusal_ = abi.encodeWithSelector(
                ERC7786Recipient.ERC7786RecipientUnauthorizedGateway.selector, callers[i], interop(AUTHORITY)
            );
            vm.expectRevert(refusal_);
            wrapped.receiveMessage(0, interop(AUTHORITY), payload);
            vm.expectRevert(refusal_);
            native.receiveMessage(0, interop(AUTHORITY), payload);
            vm.expectRevert(refusal_);
            factory.receiveMessage(0, interop(AUTHORITY), registration);
            vm.stopPrank();
        }
    }

    function test_attack__delivered_twice__refused() public {
        bytes memory body = fromSolana(address(wrapped), payloadTo(alice, 5));
        deliver(body);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        vm.expectRevert(abi.encodeWithSelector(IGateway.AlreadyDelivered.selector, Bodies.digest(body)));
        gateway.deliver(a, d);
        // A queued one counts as delivered too.
        wrapped.setLimits(limits(unlimited(), rate(0, 0)));
        body = fromSolana(address(wrapped), payloadTo(alice, 5));
        deliver(body);
        (a, d) = attest(body);
        vm.expectRevert(abi.encodeWithSelector(IGateway.AlreadyDelivered.selector, Bodies.digest(body)));
        gateway.deliver(a, d);
        vm.assertEq(wrapped.minted() + wrapped.queued(), 10, "once each");
    }

    function test_attack__registration_payload_to_a_bridge_and_reverse__refused() public {
        bytes memory malformed = abi.encodeWithSelector(TokenPayload.MalformedPayload.selector);
        expectRefused(fromSolana(address(wrapped), abi.encode(MINT, 9, bytes("n"), bytes("s"))), malformed);
        expectRefused(fromSolana(address(native), ""), malformed);
        expectRefused(fromSolana(address(factory), payloadTo(alice, 1)), malformed);
        expectRefused(fromSolana(address(wrapped), bytes.concat(payloadTo(alice, 1), hex"00")), malformed);
        expectRefused(fromSolana(address(wrapped), payloadTo(alice, 0)), malformed);
        expectRefused(fromSolana(address(wrapped), payloadTo(alice, uint256(type(uint64).max) + 1)), malformed);
    }

    // ---- registrations

    function test_attack__registration_of_a_stranger__refused() public {
        bytes32 mint = keccak256("a mint that a stranger registers");
        Bodies.Body memory b = authorityMessage(address(factory), abi.encode(mint, 9, bytes("n"), bytes("s")));
        b.sender = SOL_USER;
        expectRefused(
            Bodies.encode(b),
            abi.encodeWithSelector(
                ERC7786Recipient.ERC7786RecipientUnauthorizedGateway.selector, address(gateway), interop(SOL_USER)
            )
        );
        vm.assertEq(factory.bridgeOf(mint), address(0), "not registered");
    }

    function test_attack__registration_under_the_name_of_an_ERC20__refused() public {
        // Wrapped tokens under the name of an ERC-20 would keep it from ever being registered.
        expectRefused(
            fromSolana(address(factory), abi.encode(address(weth), 9, bytes("n"), bytes("s"))),
            abi.encodeWithSelector(ITokenFactory.ForeignToken.selector, word(address(weth)))
        );
        registerNative(address(weth));
    }

    function test_attack__squatting_the_predicted_address__impossible() public {
        bytes32 mint = keccak256("a mint to come");
        address bridge = factory.predictBridge(mint, false);
        address erc20 = factory.predictToken(mint);
        // Ether at the address is no obstacle.
        vm.deal(bridge, 1 ether);
        vm.deal(erc20, 1 ether);
        // The same salt and code from another deployer, as far as its constructor lets it: another address.
        address squatted = new Squatter().squat(mint, type(PlainToken).creationCode);
        vm.assertTrue(squatted != bridge && squatted != erc20, "another address");
        registerWrapped(mint, 9);
        vm.assertTrue(bridge.code.length != 0 && erc20.code.length != 0, "deployed");
    }

    function test_attack__bridge_code_deployed_by_another__asks_that_other() public {
        // Its constructor asks its deployer for the parameters, and no bridge of the factory's is where it lands.
        address fake = new Squatter().squat(word(address(token)), type(NativeBridge).creationCode);
        vm.assertEq(fake, address(0), "its deployer has no parameters");
    }

    // ---- tokens that do not behave

    function test_token__fee_on_transfer__refused() public {
        FeeToken fee = new FeeToken();
        fee.mint(alice, 10 ether);
        NativeBridge bridge = _approve(address(fee));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.FeeOnTransfer.selector, 1 ether, 0.999 ether));
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
        fee.setFee(0);
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
        // A fee that begins later takes from the recipient, never from the vault.
        fee.setFee(10);
        receiveTokens(bridge, prover, 5e8);
        vm.assertEq(fee.balanceOf(prover), 0.495 ether, "recipient");
        vm.assertEq(fee.balanceOf(address(bridge)), bridge.locked() * SCALE, "vault");
    }

    function test_token__returns_false__refused() public {
        FalseToken lying = new FalseToken();
        lying.mint(alice, 10 ether);
        NativeBridge bridge = _approve(address(lying));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
        lying.setLying(false);
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
        lying.setLying(true);
        bytes memory body = fromSolana(address(bridge), payloadTo(prover, 1e9));
        expectRefused(body, abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(lying)));
        vm.assertEq(bridge.locked(), 1e9, "still locked");
        lying.setLying(false);
        deliver(body);
    }

    function test_token__says_true_and_moves_nothing__refused() public {
        NativeBridge bridge = registerNative(address(new LyingToken()));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.FeeOnTransfer.selector, 1 ether, 0));
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
    }

    function test_token__no_return_value_and_bytes32_metadata__works() public {
        SilentToken old = new SilentToken();
        old.mint(alice, 10e6);
        _expectRegistration(address(old), 6, "Maker of Old", "OLD");
        NativeBridge bridge = _approve(address(old));
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 3e6);
        receiveTokens(bridge, prover, 2e6);
        vm.assertEq(old.balanceOf(prover), 2e6, "there and back");
        vm.assertEq(bridge.locked(), 1e6, "locked");
    }

    function test_token__no_metadata__registers_with_its_address() public {
        NamelessToken nameless = new NamelessToken();
        bytes memory hexadecimal = _hex(address(nameless));
        _expectRegistration(address(nameless), 0, _cut(hexadecimal, 32), _cut(hexadecimal, 10));
        NativeBridge bridge = registerNative(address(nameless));
        nameless.mint(alice, 10);
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 7);
        vm.assertEq(bridge.locked(), 7, "whole units");
    }

    function test_token__decimals_0_6_18_30__there_and_back() public {
        uint8[4] memory decimals = [0, 6, 18, 30];
        for (uint256 i = 0; i < 4; ++i) {
            PlainToken some = new PlainToken("Some", "SOME", decimals[i]);
            uint256 unit = 10 ** uint256(decimals[i] > 9 ? decimals[i] - 9 : 0);
            some.mint(alice, 1001 * unit);
            NativeBridge bridge = _approve(address(some));
            vm.prank(alice);
            bridge.crosschainTransfer(interop(SOL_USER), 1000 * unit + (unit - 1));
            receiveTokens(bridge, prover, 999);
            vm.assertEq(some.balanceOf(prover), 999 * unit, "released");
            vm.assertEq(some.balanceOf(alice), unit, "taken exactly");
            vm.assertEq(bridge.locked(), 1, "locked");
        }
    }

    function test_token__rebased_down__stops_releases_and_mints_nothing() public {
        RebasingToken rebasing = new RebasingToken();
        rebasing.mint(alice, 10 ether);
        NativeBridge bridge = _approve(address(rebasing));
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 10 ether);
        rebasing.rebase(500);
        receiveTokens(bridge, prover, 4e9);
        bytes memory body = fromSolana(address(bridge), payloadTo(treasury, 6e9));
        (bool ok,) = tryDeliver(body);
        vm.assertFalse(ok, "the vault is short");
        vm.assertEq(bridge.locked(), 6e9, "the counter says what is owed");
        rebasing.rebase(1000);
        rebasing.mint(address(bridge), 4 ether); // somebody makes up for what the rebase took
        deliver(body);
        vm.assertEq(bridge.locked(), 0, "paid when it can be");
        // What a rebase upwards adds is nobody's: a message cannot have more than was locked.
        vm.prank(prover);
        rebasing.approve(address(bridge), type(uint256).max);
        vm.prank(prover);
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
        rebasing.rebase(2000);
        expectRefused(
            fromSolana(address(bridge), payloadTo(prover, 2e9)),
            abi.encodeWithSelector(ITokenBridge.InsufficientLocked.selector, 2e9, 1e9)
        );
    }

    function test_token__blocks_the_recipient__message_stays() public {
        BlockingToken blocking = new BlockingToken();
        blocking.mint(alice, 10 ether);
        NativeBridge bridge = _approve(address(blocking));
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 5 ether);
        blocking.setBlocked(prover, true);
        bytes memory body = fromSolana(address(bridge), payloadTo(prover, 1e9));
        expectRefused(body, abi.encodeWithSelector(BlockingToken.Blocked.selector, prover));
        receiveTokens(bridge, treasury, 1e9); // others are not held up
        blocking.setBlocked(prover, false);
        deliver(body);
        vm.assertEq(bridge.locked(), 3e9, "locked");
    }

    function test_token__reenters_at_the_transfer__refused() public {
        ReentrantToken hook = new ReentrantToken();
        hook.mint(alice, 10 ether);
        hook.mint(address(hook), 10 ether);
        NativeBridge bridge = _approve(address(hook));
        vm.prank(address(hook));
        hook.approve(address(bridge), type(uint256).max);
        bytes memory guard = abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        // A transfer within a transfer would count the same tokens twice.
        hook.plan(address(bridge), transferCall(interop(SOL_USER), 1 ether));
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
        vm.assertFalse(hook.worked(), "transfer in transfer");
        vm.assertEq(hook.reason(), guard, "guarded");
        vm.assertEq(bridge.locked(), 1e9, "once");
        // A release within a transfer, and a transfer within a release.
        bridge.setLimits(limits(unlimited(), rate(0, 0)));
        bytes32 id = receiveTokens(bridge, prover, 5e8);
        bytes32 second = receiveTokens(bridge, prover, 5e8);
        vm.warp(START + 1 hours);
        hook.plan(address(bridge), abi.encodeCall(bridge.release, (id)));
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 1 ether);
        vm.assertFalse(hook.worked(), "release in transfer");
        hook.plan(address(bridge), abi.encodeCall(bridge.release, (id)));
        bridge.release(id);
        vm.assertFalse(hook.worked(), "the same release again");
        hook.plan(address(bridge), transferCall(interop(SOL_USER), 1 ether));
        bridge.release(second);
        vm.assertFalse(hook.worked(), "transfer in release");
        vm.assertEq(hook.reason(), guard, "guarded");
        vm.assertEq(hook.balanceOf(prover), 1 ether, "paid once");
        vm.assertEq(hook.balanceOf(address(bridge)), bridge.locked() * SCALE, "vault");
    }

    function test_token__reenters_at_a_delivery__refused() public {
        ReentrantToken hook = new ReentrantToken();
        hook.mint(alice, 10 ether);
        NativeBridge bridge = _approve(address(hook));
        vm.prank(alice);
        bridge.crosschainTransfer(interop(SOL_USER), 5 ether);
        bytes memory first = fromSolana(address(bridge), payloadTo(prover, 1e9));
        bytes memory other = fromSolana(address(wrapped), payloadTo(prover, 1e9));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(other);
        hook.plan(address(gateway), abi.encodeCall(IGateway.deliver, (a, d)));
        deliver(first);
        vm.assertFalse(hook.worked(), "a delivery in a delivery");
        vm.assertEq(bridge.locked(), 4e9, "locked");
        vm.assertEq(wrapped.minted(), 0, "not minted within");
    }

    function test_metadata__odd_answers__fit_or_fall_back_to_the_address() public {
        bytes memory long = "a name that is a good deal longer than thirty-two bytes";
        _odd(abi.encode(long), "a name that is a good deal longe", "a name tha");
        _odd(abi.encode(unicode"₮ether ₮"), unicode"₮ether ₮", unicode"₮ether ");
        _odd(
            abi.encode(unicode"żżżżżżżżżżżżżżżżżż"),
            unicode"żżżżżżżżżżżżżżżż",
            unicode"żżżżż"
        );
        _odd(
            abi.encode(unicode"𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞"),
            unicode"𝄞𝄞𝄞𝄞𝄞𝄞𝄞𝄞",
            unicode"𝄞𝄞"
        );
        bytes[13] memory unusable = [
            bytes(""),
            hex"01",
            abi.encode(bytes("")),
            abi.encode(bytes32(0)),
            abi.encode(64, 1, 1),
            abi.encode(32, 33, uint256(1) << 255),
            abi.encode(32, type(uint256).max, 0),
            abi.encode(bytes(hex"ff41")), // no UTF-8
            abi.encode(bytes(hex"c041")), // longer than needed
            abi.encode(bytes(hex"eda080")), // a surrogate
            abi.encode(bytes(hex"f4908080")), // over U+10FFFF
            abi.encode(bytes("a\x07bell")), // a control character
            abi.encode(bytes(hex"41e282")) // cut within a character
        ];
        for (uint256 i = 0; i < unusable.length; ++i) {
            _odd(unusable[i], "", "");
        }
    }

    // ---- words

    /// @dev Registers a token that answers so, and compares what was sent; empty: its address.
    function _odd(bytes memory answer, bytes memory name, bytes memory symbol) private {
        address odd = address(new OddToken(answer));
        if (name.length == 0) (name, symbol) = (_cut(_hex(odd), 32), _cut(_hex(odd), 10));
        _expectRegistration(odd, 9, name, symbol);
        factory.registerNative(odd);
    }

    function _expectRegistration(address erc20, uint8 decimals, bytes memory name, bytes memory symbol) private {
        Bodies.Body memory b = message(gateway.nextSequence(), address(0));
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.destinationType, b.destinationReference, b.destinationGateway) = (SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM);
        (b.sender, b.recipient) = (word(address(factory)), AUTHORITY);
        b.payload = abi.encode(erc20, decimals, name, symbol);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessagePosted(b.sequence, Bodies.digest(Bodies.encode(b)), Bodies.encode(b));
    }

    function _approve(address erc20) private returns (NativeBridge bridge) {
        bridge = registerNative(erc20);
        vm.prank(alice);
        // By hand: old tokens return nothing.
        (bool ok,) = erc20.call(abi.encodeCall(ERC20.approve, (address(bridge), type(uint256).max)));
        vm.assertTrue(ok, "approved");
    }

    function _hex(address account) private pure returns (bytes memory text) {
        bytes16 digits = "0123456789abcdef";
        text = new bytes(42);
        (text[0], text[1]) = ("0", "x");
        for (uint256 i = 0; i < 40; ++i) {
            text[41 - i] = digits[(uint160(account) >> (4 * i)) & 15];
        }
    }

    function _cut(bytes memory text, uint256 size) private pure returns (bytes memory cut) {
        cut = new bytes(size);
        for (uint256 i = 0; i < size; ++i) {
            cut[i] = text[i];
        }
    }
}
