// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../src/interfaces/IGateway.sol";
import {IMessageErrors} from "../src/interfaces/IMessageErrors.sol";
import {Bodies} from "./support/Bodies.sol";
import {Villain} from "./support/Consumers.sol";
import {SibylTest} from "./support/SibylTest.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IERC7786GatewaySource} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

contract GatewayTest is SibylTest {
    bytes private constant EVM_RECIPIENT = hex"00010000021b591400000000000000000000000000000000000000c0";

    // ---- posting

    function test_sendMessage__to_evm__posts_the_specified_body() public {
        bytes memory body = Bodies.encode(_posted(1, EIP155, PEER_CHAIN, PEER_GATEWAY, bytes32(uint256(0xc0))));
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessagePosted(1, Bodies.digest(body), body);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IERC7786GatewaySource.MessageSent(
            Bodies.digest(body), abi.encodePacked(hex"00010000027a6914", alice), EVM_RECIPIENT, "hello", 0, new bytes[](0)
        );
        vm.prank(alice);
        bytes32 id = gateway.sendMessage(EVM_RECIPIENT, "hello", new bytes[](0));
        vm.assertEq(id, Bodies.digest(body), "send id");
        vm.assertEq(gateway.nextSequence(), 2, "sequence");
    }

    function test_sendMessage__to_solana__posts_the_specified_body() public {
        bytes32 account = keccak256("an account");
        bytes memory body = Bodies.encode(_posted(1, SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM, account));
        vm.prank(alice);
        bytes32 id = gateway.sendMessage(bytes.concat(hex"0001000220", SOLANA_CHAIN, hex"20", account), "hello", new bytes[](0));
        vm.assertEq(id, Bodies.digest(body), "send id");
    }

    function test_sendMessage__no_peer_for_the_chain__refused() public {
        bytes memory recipient = abi.encodePacked(hex"00010000010514", alice);
        vm.expectRevert(abi.encodeWithSelector(IGateway.NoPeerForChain.selector, EIP155, bytes32(uint256(5))));
        gateway.sendMessage(recipient, "", new bytes[](0));
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, PEER_GATEWAY), false);
        vm.expectRevert(abi.encodeWithSelector(IGateway.NoPeerForChain.selector, EIP155, PEER_CHAIN));
        gateway.sendMessage(EVM_RECIPIENT, "", new bytes[](0));
    }

    function test_sendMessage__malformed_recipient__refused() public {
        bytes[10] memory recipients = [
            bytes(""),
            hex"00010000021b591400000000000000000000000000000000000000", // cut
            hex"00010000021b591400000000000000000000000000000000000000c000", // trailing byte
            hex"0001000003001b591400000000000000000000000000000000000000c0", // leading zero
            hex"00010000001400000000000000000000000000000000000000c0", // no chain
            hex"00010000021b5900", // no account
            hex"00010000090100000000000000001400000000000000000000000000000000000000c0", // over 64 bits
            hex"00020000021b591400000000000000000000000000000000000000c0", // version 2
            hex"00010003021b591400000000000000000000000000000000000000c0", // unknown chain type
            hex"00010002021b591400000000000000000000000000000000000000c0" // Solana with EVM lengths
        ];
        for (uint256 i = 0; i < recipients.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IGateway.InvalidInteroperableAddress.selector, recipients[i]));
            gateway.sendMessage(recipients[i], "", new bytes[](0));
        }
    }

    function test_sendMessage__value_attribute_or_size__refused() public {
        bytes[] memory attributes = new bytes[](1);
        attributes[0] = hex"01020304aa";
        vm.expectRevert(abi.encodeWithSelector(IERC7786GatewaySource.UnsupportedAttribute.selector, bytes4(0x01020304)));
        gateway.sendMessage(EVM_RECIPIENT, "", attributes);
        vm.assertFalse(gateway.supportsAttribute(0x01020304), "no attribute");
        vm.deal(address(this), 1);
        vm.expectRevert(abi.encodeWithSelector(IGateway.ValueNotAccepted.selector, 1));
        gateway.sendMessage{value: 1}(EVM_RECIPIENT, "", new bytes[](0));
        gateway.sendMessage(EVM_RECIPIENT, new bytes(16384), new bytes[](0));
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.PayloadTooLarge.selector, 16385));
        gateway.sendMessage(EVM_RECIPIENT, new bytes(16385), new bytes[](0));
    }

    function test_post__not_the_handler_or_not_its_kind__refused() public {
        uint8[7] memory kinds = [0, MESSAGE, REQUEST, RESULT, NON_DELIVERY, ROTATION, 6];
        for (uint256 i = 0; i < kinds.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IGateway.NotHandler.selector, kinds[i], address(this)));
            gateway.post(kinds[i], 0, 0, "");
        }
        // The hub handles results, but only the committee posts them.
        vm.prank(address(hub));
        vm.expectRevert(abi.encodeWithSelector(IGateway.NotHandler.selector, RESULT, address(hub)));
        gateway.post(RESULT, 0, 0, "");
        vm.prank(address(hub));
        gateway.post(REQUEST, 0, 0, "");
    }

    // ---- delivering

    function test_deliver__signed_message__reaches_the_recipient_with_its_sender() public {
        Bodies.Body memory b = message(9, address(recorder));
        bytes memory body = Bodies.encode(b);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessageDelivered(Bodies.digest(body), _peerHash(), 9);
        deliver(body);
        vm.assertTrue(gateway.delivered(_peerHash(), 9), "delivered");
        vm.assertFalse(gateway.delivered(_peerHash(), 8), "another sequence");
        vm.assertFalse(gateway.delivered(gateway.originHash(), 9), "another origin");
        vm.assertEq(recorder.lastId(), Bodies.digest(body), "receive id");
        vm.assertEq(recorder.lastSender(), abi.encodePacked(hex"00010000021b5914", alice), "sender");
        vm.assertEq(recorder.lastPayload(), b.payload, "payload");
    }

    function test_deliver__from_solana__sender_is_an_interoperable_address() public {
        Bodies.Body memory b = message(1, address(recorder));
        (b.originType, b.originReference, b.originGateway) = (SOLANA, SOLANA_CHAIN, SOLANA_PROGRAM);
        b.sender = keccak256("an account");
        deliver(Bodies.encode(b));
        vm.assertEq(recorder.lastSender(), bytes.concat(hex"0001000220", SOLANA_CHAIN, hex"20", b.sender), "sender");
    }

    function test_deliver__largest_sequence_and_payload__delivered() public {
        Bodies.Body memory b = message(type(uint64).max, address(recorder));
        b.payload = new bytes(16384);
        deliver(Bodies.encode(b));
        vm.assertTrue(gateway.delivered(_peerHash(), type(uint64).max), "delivered");
        vm.assertEq(recorder.lastPayload().length, 16384, "payload");
    }

    function test_deliver__any_order__each_once() public {
        uint64[5] memory sequences = [uint64(300), 2, 256, 255, 1];
        for (uint256 i = 0; i < sequences.length; ++i) {
            deliver(Bodies.encode(message(sequences[i], address(recorder))));
        }
        vm.assertEq(recorder.count(), 5, "deliveries");
    }

    function test_deliver__batch__every_size_and_subset() public {
        uint64 sequence = 1;
        for (uint256 size = 1; size <= 9; ++size) {
            bytes[] memory bodies = new bytes[](size);
            for (uint256 i = 0; i < size; ++i) {
                bodies[i] = Bodies.encode(message(sequence++, address(recorder)));
            }
            (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(bodies);
            // The last one alone first, then all: what was delivered is skipped.
            IGateway.Delivery[] memory last = new IGateway.Delivery[](1);
            last[0] = deliveries[size - 1];
            gateway.deliver(attestation, last);
            if (size > 1) gateway.deliver(attestation, deliveries);
        }
        vm.assertEq(recorder.count(), 45, "deliveries");
    }

    function test_deliver__one_of_two_already_delivered__the_other_is() public {
        bytes memory one = Bodies.encode(message(1, address(recorder)));
        bytes memory two = Bodies.encode(message(2, address(recorder)));
        deliver(one);
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(list(one, two));
        gateway.deliver(attestation, deliveries);
        vm.assertEq(recorder.count(), 2, "deliveries");
        vm.expectRevert(abi.encodeWithSelector(IGateway.AlreadyDelivered.selector, Bodies.digest(one)));
        gateway.deliver(attestation, deliveries);
    }

    function test_deliver__empty__refused() public {
        (IGateway.Attestation memory attestation,) = attest(Bodies.encode(message(1, address(recorder))));
        vm.expectRevert(IGateway.EmptyBatch.selector);
        gateway.deliver(attestation, new IGateway.Delivery[](0));
    }

    function test_deliver__at_expiry_and_after__last_second_counts() public {
        Bodies.Body memory b = message(1, address(recorder));
        b.expiry = START + 10;
        vm.warp(START + 11);
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(Bodies.encode(b));
        vm.expectRevert(abi.encodeWithSelector(IGateway.Expired.selector, Bodies.digest(Bodies.encode(b)), START + 10));
        gateway.deliver(attestation, deliveries);
        vm.warp(START + 10);
        gateway.deliver(attestation, deliveries);
    }

    function test_deliver__recipient_reverts__alone_reverts_and_can_be_tried_again() public {
        Villain villain = new Villain();
        Villain.Mode[4] memory modes = [Villain.Mode.Revert, Villain.Mode.WrongMagic, Villain.Mode.Bomb, Villain.Mode.EatGas];
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) =
            attest(Bodies.encode(message(1, address(villain))));
        for (uint256 i = 0; i < modes.length; ++i) {
            villain.set(modes[i]);
            (bool ok, bytes memory reason) =
                address(gateway).call{gas: 3_000_000}(abi.encodeCall(IGateway.deliver, (attestation, deliveries)));
            vm.assertFalse(ok, "must revert");
            vm.assertTrue(bytes4(reason) == IGateway.RecipientReverted.selector, "typed reason");
            vm.assertLe(reason.length, 600, "bounded reason");
            vm.assertFalse(gateway.delivered(_peerHash(), 1), "not delivered");
        }
        villain.plan(Villain.Mode.Reenter, address(recorder), abi.encodeWithSignature("count()"));
        gateway.deliver(attestation, deliveries);
        vm.assertTrue(gateway.delivered(_peerHash(), 1), "delivered at last");
    }

    function test_deliver__recipient_reverts__does_not_stop_the_others() public {
        Villain villain = new Villain();
        bytes memory bad = Bodies.encode(message(1, address(villain)));
        bytes memory good = Bodies.encode(message(2, address(recorder)));
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(list(bad, good));
        bytes memory reason = abi.encodeWithSelector(Villain.Villainy.selector);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.DeliveryFailed(Bodies.digest(bad), reason);
        gateway.deliver(attestation, deliveries);
        vm.assertTrue(gateway.delivered(_peerHash(), 2), "the good one");
        vm.assertFalse(gateway.delivered(_peerHash(), 1), "the bad one");
        vm.expectRevert(abi.encodeWithSelector(IGateway.RecipientReverted.selector, Bodies.digest(bad), reason));
        gateway.deliver(attestation, deliveries);
    }

    function test_deliver__recipient_without_code__not_delivered() public {
        bytes memory body = Bodies.encode(message(1, address(0xDEAD)));
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) = attest(body);
        vm.expectRevert(abi.encodeWithSelector(IGateway.RecipientReverted.selector, Bodies.digest(body), bytes("")));
        gateway.deliver(attestation, deliveries);
    }

    function test_deliver__recipient_answers_from_within__posts() public {
        Villain villain = new Villain();
        bytes memory reply = abi.encodeCall(IERC7786GatewaySource.sendMessage, (EVM_RECIPIENT, "pong", new bytes[](0)));
        villain.plan(Villain.Mode.Reenter, address(gateway), reply);
        deliver(Bodies.encode(message(1, address(villain))));
        vm.assertTrue(villain.attackWorked(), "the reply was posted");
        vm.assertEq(gateway.nextSequence(), 2, "posted");
    }

    // ---- governance

    function test_pause__paused__nothing_posts_or_delivers_until_unpaused() public {
        (IGateway.Attestation memory attestation, IGateway.Delivery[] memory deliveries) =
            attest(Bodies.encode(message(1, address(recorder))));
        gateway.pause();
        vm.expectRevert(Pausable.EnforcedPause.selector);
        gateway.deliver(attestation, deliveries);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        gateway.sendMessage(EVM_RECIPIENT, "", new bytes[](0));
        vm.prank(address(hub));
        vm.expectRevert(Pausable.EnforcedPause.selector);
        gateway.post(REQUEST, 0, 0, "");
        gateway.unpause();
        gateway.deliver(attestation, deliveries);
    }

    function test_owner__stranger__refused() public {
        bytes memory refused = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice);
        bytes memory origin = Bodies.origin(EIP155, PEER_CHAIN, PEER_GATEWAY);
        vm.startPrank(alice);
        vm.expectRevert(refused);
        gateway.setPeer(origin, true);
        vm.expectRevert(refused);
        gateway.setHandler(RESULT, alice);
        vm.expectRevert(refused);
        gateway.setGuardian(alice);
        vm.expectRevert(abi.encodeWithSelector(IGateway.NotGuardian.selector, alice));
        gateway.pause();
        vm.expectRevert(refused);
        gateway.unpause();
        vm.stopPrank();
    }

    function test_guardian__pauses__only_the_owner_unpauses() public {
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.GuardianSet(alice);
        gateway.setGuardian(alice);
        vm.startPrank(alice);
        gateway.pause();
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        gateway.unpause();
        vm.stopPrank();
        gateway.unpause();
        gateway.setGuardian(address(0));
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IGateway.NotGuardian.selector, alice));
        gateway.pause();
    }

    function test_setPeer__malformed_origin__refused() public {
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.WrongLength.selector, 66, 65));
        gateway.setPeer(new bytes(65), true);
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.InvalidChainReference.selector, bytes32(0)));
        gateway.setPeer(new bytes(66), true);
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.UnknownChainType.selector, 1));
        gateway.setPeer(Bodies.origin(1, PEER_CHAIN, PEER_GATEWAY), true);
        bytes32 unpadded = bytes32(uint256(1) << 160);
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.InvalidAddress.selector, unpadded));
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, unpadded), true);
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.InvalidAddress.selector, bytes32(0)));
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, 0), true);
    }

    function test_setPeer__two_gateways_of_a_chain__both_trusted_the_newer_is_the_destination() public {
        bytes32 newer = bytes32(uint256(0xCAFE));
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, newer), true);
        vm.assertEq(gateway.peerGateway(EIP155, PEER_CHAIN), newer, "destination");
        vm.assertTrue(gateway.isPeer(_peerHash()), "older stays trusted");
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, PEER_GATEWAY), false);
        vm.assertEq(gateway.peerGateway(EIP155, PEER_CHAIN), newer, "destination stays");
        gateway.setPeer(Bodies.origin(EIP155, PEER_CHAIN, newer), false);
        vm.assertEq(gateway.peerGateway(EIP155, PEER_CHAIN), 0, "no destination");
    }

    function test_setHandler__kind_of_users__refused() public {
        uint8[5] memory kinds = [0, MESSAGE, NON_DELIVERY, ROTATION, 6];
        for (uint256 i = 0; i < kinds.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IMessageErrors.WrongKind.selector, kinds[i]));
            gateway.setHandler(kinds[i], alice);
        }
    }

    function _posted(uint64 sequence, uint16 chainType, bytes32 chain, bytes32 peer, bytes32 account)
        private
        view
        returns (Bodies.Body memory b)
    {
        b = message(sequence, address(0));
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.destinationType, b.destinationReference, b.destinationGateway) = (chainType, chain, peer);
        (b.recipient, b.payload) = (account, "hello");
    }

    function _peerHash() private pure returns (bytes32) {
        return Bodies.originHash(EIP155, PEER_CHAIN, PEER_GATEWAY);
    }
}
