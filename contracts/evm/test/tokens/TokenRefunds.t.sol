// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../../src/interfaces/IGateway.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {TokenPayload} from "../../src/tokens/TokenPayload.sol";
import {Bodies} from "../support/Bodies.sol";
import {TokenWorld} from "./TokenWorld.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @title Expiry of transfers, and what comes back when they lapse
contract TokenRefundsTest is TokenWorld {
    // ---- attacks

    function test_attack__receiveNonDelivery_called_by_another_than_the_gateway__refused() public {
        (bytes32 digest,) = lapsed(native, 5e9);
        bytes memory payload = payloadFrom(alice, SOL_USER, 5e9, 0);
        address[4] memory callers = [alice, address(this), address(factory), address(native)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.startPrank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, callers[i]));
            native.receiveNonDelivery(digest, payload);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, callers[i]));
            wrapped.receiveNonDelivery(digest, payload);
            vm.stopPrank();
        }
        vm.assertFalse(native.refunded(digest), "nothing happened");
    }

    function test_attack__non_delivery_as_an_ordinary_message__refused() public {
        // Whatever is sent as a message, by the authority itself, is read as a transfer in.
        (bytes32 digest,) = lapsed(native, 5e9);
        bytes memory payload = payloadFrom(alice, SOL_USER, 5e9, 0);
        bytes memory malformed = abi.encodeWithSelector(TokenPayload.MalformedPayload.selector);
        expectRefused(fromSolana(address(native), payload), malformed);
        expectRefused(fromSolana(address(native), bytes.concat(digest, payload)), malformed);
    }

    function test_attack__non_delivery_from_another_origin__refused() public {
        (bytes32 digest,) = lapsed(native, 5e9);
        Bodies.Body memory b = nonDelivery(address(native), 999, digest, payloadFrom(alice, SOL_USER, 5e9, 0));
        (b.originReference, b.originGateway) = (PEER_CHAIN, PEER_GATEWAY);
        b.sender = PEER_GATEWAY;
        (bool ok,) = tryDeliver(Bodies.encode(b));
        vm.assertFalse(ok, "a peer chain's committee does not tell what lapsed here");
        vm.assertEq(native.locked(), 5e9, "locked");
    }

    function test_attack__refund_twice__refused() public {
        lock(20 ether);
        (bytes32 digest, bytes memory body) = lapsed(native, 5e9);
        deliver(body);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        vm.expectRevert(abi.encodeWithSelector(IGateway.AlreadyDelivered.selector, Bodies.digest(body)));
        gateway.deliver(a, d);
        // The same word under another sequence, which only a lying committee signs: the bridge remembers.
        bytes memory again = Bodies.encode(nonDelivery(address(native), 999, digest, payloadFrom(alice, SOL_USER, 5e9, 0)));
        (bool ok, bytes memory reason) = tryDeliver(again);
        vm.assertFalse(ok, "again");
        vm.assertEq(reason, abi.encodeWithSelector(ITokenBridge.AlreadyRefunded.selector, digest), "by the bridge");
        vm.assertEq(native.locked(), 20e9, "once");
    }

    function test_attack__refund_of_what_was_delivered_elsewhere__bounded_by_the_limits() public {
        // It cannot be told apart here; what a lying quorum can do is what it can do with a forged transfer in, and no more.
        native.setLimits(limits(unlimited(), rate(3e9, 0)));
        lock(20 ether);
        (bytes32 first, bytes memory one) = lapsed(native, 2e9);
        (bytes32 second, bytes memory two) = lapsed(native, 2e9);
        uint256 before = token.balanceOf(alice);
        deliver(one);
        deliver(two);
        vm.assertEq(token.balanceOf(alice) - before, 2 ether, "the first within the rate");
        vm.assertEq(native.waiting(second).amount, 2e9, "the second waits");
        vm.assertTrue(native.refunded(first) && native.refunded(second), "both are done");
        vm.prank(GUARDIAN);
        factory.pause(address(native));
        vm.warp(START + 1 hours);
        vm.expectRevert(ITokenBridge.BridgePaused.selector);
        native.release(second);
    }

    function test_attack__from_on_another_chain_or_not_canonical__refused() public {
        (bytes32 digest,) = lapsed(native, 5e9);
        bytes memory to = abi.encodePacked(SOL_USER);
        bytes memory here = InteroperableAddress.formatEvmV1(block.chainid, alice);
        bytes[10] memory bad = [
            abi.encode(InteroperableAddress.formatEvmV1(1, alice), to, 5e9, 0), // another chain
            abi.encode(bytes.concat(hex"0001000003007a6914", bytes20(alice)), to, 5e9, 0), // a leading zero
            abi.encode(interop(SOL_USER), abi.encodePacked(alice), 5e9, 0), // the other direction
            abi.encode(here, to, 5e9), // the payload of an older bridge
            abi.encode(here, to, 5e9, 5e9), // a fee that is not less
            abi.encode(here, to, 0, 0),
            abi.encode(here, to, uint256(type(uint64).max) + 1, 0),
            abi.encode(here, abi.encodePacked(alice), 5e9, 0), // a recipient of 20 bytes
            bytes.concat(abi.encode(here, to, 5e9, 0), hex"00"),
            bytes("")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            Bodies.Body memory b = nonDelivery(address(native), uint64(900 + i), digest, bad[i]);
            (bool ok, bytes memory reason) = tryDeliver(Bodies.encode(b));
            vm.assertFalse(ok, "refused");
            vm.assertEq(reason, abi.encodeWithSelector(TokenPayload.MalformedPayload.selector), "malformed");
        }
        vm.assertFalse(native.refunded(digest), "may still come");
    }

    function test_attack__from_is_nobody_or_the_bridge__refused() public {
        lock(5 ether);
        address[2] memory bad = [address(0), address(native)];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory payload = payloadFrom(bad[i], SOL_USER, 1e9, 0);
            (bool ok, bytes memory reason) = tryDeliver(Bodies.encode(nonDelivery(address(native), 900, "x", payload)));
            vm.assertFalse(ok, "refused");
            vm.assertEq(reason, abi.encodeWithSelector(ITokenBridge.RefusedRecipient.selector, word(bad[i])), "recipient");
        }
    }

    function test_attack__another_bridges_lapsed_message__pays_by_its_own_bridge_alone() public {
        // The gateway brings the word to the message's sender, which the signed body names: nobody else can be told of it.
        (bytes32 digest, bytes memory body) = lapsed(native, 5e9);
        Bodies.Body memory b = nonDelivery(address(wrapped), 1, digest, payloadFrom(alice, SOL_USER, 5e9, 0));
        vm.assertTrue(keccak256(Bodies.encode(b)) != keccak256(body), "another body, which nobody signed");
        (IGateway.Attestation memory a,) = attest(body);
        IGateway.Delivery[] memory d = new IGateway.Delivery[](1);
        d[0].body = Bodies.encode(b);
        vm.expectRevert();
        gateway.deliver(a, d);
        vm.assertEq(wrappedToken.totalSupply(), 0, "nothing minted");
    }

    function test_attack__word_with_the_id_of_what_waits__does_not_overwrite_it() public {
        lock(20 ether);
        native.setLimits(limits(unlimited(), rate(0, 0)));
        bytes32 id = receiveTokens(native, prover, 5e9);
        bytes memory body = Bodies.encode(nonDelivery(address(native), 900, id, payloadFrom(alice, SOL_USER, 1, 0)));
        (bool ok, bytes memory reason) = tryDeliver(body);
        vm.assertFalse(ok, "refused");
        vm.assertEq(reason, abi.encodeWithSelector(ITokenBridge.AlreadyQueued.selector, id), "waits already");
        vm.assertEq(native.waiting(id).to, prover, "as it was");
        vm.assertEq(native.queued(), 5e9, "queued");
    }

    function test_attack__more_than_is_locked__stays_undelivered() public {
        lock(5 ether);
        bytes memory body = Bodies.encode(nonDelivery(address(native), 900, "x", payloadFrom(alice, SOL_USER, 6e9, 0)));
        (bool ok, bytes memory reason) = tryDeliver(body);
        vm.assertFalse(ok, "refused");
        vm.assertEq(reason, abi.encodeWithSelector(ITokenBridge.InsufficientLocked.selector, 6e9, 5e9), "locked");
    }

    // ---- what comes back

    function test_refund__native__whole_amount_with_the_fee_to_its_sender() public {
        uint64 sequence = gateway.nextSequence();
        vm.prank(alice);
        bytes32 digest = native.crosschainTransfer(interop(SOL_USER), 5 ether, START + 60, 1 ether);
        bytes memory payload = payloadFrom(alice, SOL_USER, 5e9, 1e9);
        bytes memory body = Bodies.encode(nonDelivery(address(native), sequence, digest, payload));
        vm.warp(START + 61);
        vm.expectEmit(true, true, true, true, address(native));
        emit ITokenBridge.Refunded(digest, alice, 5e9);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        vm.prank(prover); // a relayer is not paid for it
        gateway.deliver(a, d);
        vm.assertEq(token.balanceOf(alice), 1000 ether, "all back");
        vm.assertEq(token.balanceOf(prover), 0, "no fee");
        vm.assertEq(native.locked(), 0, "locked");
        vm.assertTrue(native.refunded(digest), "known");
    }

    function test_refund__wrapped__minted_again_under_the_cap() public {
        receiveTokens(wrapped, alice, 10e9);
        (bytes32 digest, bytes memory body) = lapsed(wrapped, 4e9);
        vm.assertEq(wrapped.minted(), 6e9, "burnt");
        wrapped.setLimits(capped(9e9));
        (bool ok, bytes memory reason) = tryDeliver(body);
        vm.assertFalse(ok, "over the cap");
        vm.assertEq(reason, abi.encodeWithSelector(ITokenBridge.CapExceeded.selector, 10e9, 9e9), "cap");
        wrapped.setLimits(capped(10e9));
        deliver(body);
        vm.assertEq(wrappedToken.balanceOf(alice), 10e9, "back");
        vm.assertTrue(wrapped.refunded(digest), "known");
    }

    function test_refund__paused_or_over_the_rate__waits() public {
        (bytes32 digest, bytes memory body) = lapsed(native, 5e9);
        vm.prank(GUARDIAN);
        factory.pause(address(native));
        (bool ok, bytes memory reason) = tryDeliver(body);
        vm.assertFalse(ok, "paused");
        vm.assertEq(reason, abi.encodeWithSelector(ITokenBridge.BridgePaused.selector), "paused");
        factory.unpause(address(native));
        native.setLimits(limits(unlimited(), rate(4e9, 0)));
        deliver(body);
        vm.assertEq(native.waiting(digest).amount, 5e9, "queued");
        vm.assertEq(native.waiting(digest).to, alice, "for its sender");
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.StillQueued.selector, digest, START + 1 hours));
        native.release(digest);
        vm.warp(START + 1 hours);
        native.release(digest);
        vm.assertEq(token.balanceOf(alice), 1000 ether, "back");
    }

    function test_refund__ether__comes_back_wrapped() public {
        ITokenBridge bridge = registerNative(address(weth));
        uint64 sequence = gateway.nextSequence();
        vm.prank(alice);
        (bool ok, bytes memory id) = address(bridge).call{value: 2 ether}(
            abi.encodeWithSignature("crosschainTransferEther(bytes,uint64,uint256)", interop(SOL_USER), START + 9, 1e9)
        );
        vm.assertTrue(ok, "sent");
        bytes memory payload = payloadFrom(alice, SOL_USER, 2e9, 1);
        deliver(Bodies.encode(nonDelivery(address(bridge), sequence, abi.decode(id, (bytes32)), payload)));
        vm.assertEq(weth.balanceOf(alice), 2 ether, "as wrapped ether");
    }

    // ---- expiry

    function test_expiry__none_given__a_day() public {
        vm.expectEmit(true, true, true, false, address(native));
        emit ITokenBridge.TransferTerms(_digest(START + 1 days, 1e9, 0), START + 1 days, 0);
        vm.prank(alice);
        bytes32 id = native.crosschainTransfer(interop(SOL_USER), 1 ether);
        vm.assertEq(id, _digestOf(gateway.nextSequence() - 1, START + 1 days, 1e9, 0), "in the signed body");
        vm.prank(alice);
        id = native.crosschainTransfer(interop(SOL_USER), 1 ether, 0, 0);
        vm.assertEq(id, _digestOf(gateway.nextSequence() - 1, START + 1 days, 1e9, 0), "0 is none");
    }

    function test_expiry__given__between_now_and_30_days() public {
        uint64[2] memory good = [START + 1, START + 30 days];
        uint64[4] memory bad = [START, START - 1, START + 30 days + 1, type(uint64).max];
        vm.startPrank(alice);
        for (uint256 i = 0; i < good.length; ++i) {
            bytes32 id = native.crosschainTransfer(interop(SOL_USER), 1 ether, good[i], 1e9);
            vm.assertEq(id, _digestOf(gateway.nextSequence() - 1, good[i], 1e9, 1), "as given");
        }
        for (uint256 i = 0; i < bad.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InvalidExpiry.selector, bad[i], START, START + 30 days));
            native.crosschainTransfer(interop(SOL_USER), 1 ether, bad[i], 0);
        }
        vm.stopPrank();
    }

    function _digest(uint64 expiry, uint256 wire, uint256 fee) private view returns (bytes32) {
        return _digestOf(gateway.nextSequence(), expiry, wire, fee);
    }

    function _digestOf(uint64 sequence, uint64 expiry, uint256 wire, uint256 fee) private view returns (bytes32) {
        Bodies.Body memory b = message(sequence, address(0));
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.destinationType, b.destinationReference, b.destinationGateway) = (SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM);
        (b.sender, b.recipient, b.expiry) = (word(address(native)), AUTHORITY, expiry);
        b.payload = payloadFrom(alice, SOL_USER, wire, fee);
        return Bodies.digest(Bodies.encode(b));
    }
}
