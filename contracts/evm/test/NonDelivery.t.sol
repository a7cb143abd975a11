// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "../src/interfaces/IGateway.sol";
import {IMessageAttributes} from "../src/interfaces/IMessageAttributes.sol";
import {IMessageErrors} from "../src/interfaces/IMessageErrors.sol";
import {INonDeliveryRecipient} from "../src/interfaces/INonDeliveryRecipient.sol";
import {Bodies} from "./support/Bodies.sol";
import {Villain} from "./support/Consumers.sol";
import {SibylTest} from "./support/SibylTest.sol";
import {IERC7786GatewaySource, IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @title Messages that can expire, the committee's word that they did, and who is paid for delivering
contract NonDeliveryTest is SibylTest {
    bytes private constant EVM_RECIPIENT = hex"00010000021b591400000000000000000000000000000000000000c0";
    uint64 private constant EXPIRY = START + 60;
    bytes32 private constant LOST = keccak256("a lost message");

    Sender private _sender;

    function setUp() public override {
        super.setUp();
        _sender = new Sender(gateway);
    }

    // ---- the attribute

    function test_sendMessage__expiry__is_in_the_body() public {
        Bodies.Body memory b = message(1, address(0));
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.destinationReference, b.destinationGateway) = (PEER_CHAIN, PEER_GATEWAY);
        (b.sender, b.recipient, b.expiry, b.payload) = (word(address(_sender)), bytes32(uint256(0xc0)), EXPIRY, "hello");
        bytes memory body = Bodies.encode(b);
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessagePosted(1, Bodies.digest(body), body);
        vm.assertEq(_sender.send(EVM_RECIPIENT, "hello", _expiry(EXPIRY)), Bodies.digest(body), "send id");
        vm.assertTrue(gateway.supportsAttribute(IMessageAttributes.expiry.selector), "supported");
        vm.assertTrue(IMessageAttributes.expiry.selector == bytes4(keccak256("expiry(uint64)")), "as PROTOCOL.md says");
    }

    function test_sendMessage__expiry__payload_leaves_room_for_the_digest() public {
        _sender.send(EVM_RECIPIENT, new bytes(16384 - 32), _expiry(EXPIRY));
        vm.expectRevert(abi.encodeWithSelector(IMessageErrors.PayloadTooLarge.selector, 16384 - 31));
        _sender.send(EVM_RECIPIENT, new bytes(16384 - 31), _expiry(EXPIRY));
    }

    function test_sendMessage__attribute_malformed__refused() public {
        bytes4 selector = IMessageAttributes.expiry.selector;
        bytes[5] memory attributes = [
            abi.encodePacked(selector), // no word
            abi.encodePacked(selector, EXPIRY), // eight bytes
            bytes.concat(abi.encodeWithSelector(selector, EXPIRY), hex"00"), // trailing byte
            abi.encodeWithSelector(selector, uint256(1) << 64), // over 64 bits
            abi.encodeWithSelector(selector, type(uint256).max)
        ];
        for (uint256 i = 0; i < attributes.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IGateway.InvalidAttribute.selector, attributes[i]));
            _sender.send(EVM_RECIPIENT, "", list(attributes[i]));
        }
        bytes[3] memory unknown = [bytes(""), hex"01", abi.encodeWithSignature("gasLimit(uint256)", 1)];
        for (uint256 i = 0; i < unknown.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IERC7786GatewaySource.UnsupportedAttribute.selector, bytes4(unknown[i])));
            _sender.send(EVM_RECIPIENT, "", list(unknown[i]));
            vm.expectRevert(abi.encodeWithSelector(IERC7786GatewaySource.UnsupportedAttribute.selector, bytes4(unknown[i])));
            _sender.send(EVM_RECIPIENT, "", list(_expiry(EXPIRY)[0], unknown[i]));
        }
        vm.expectRevert(abi.encodeWithSelector(IGateway.DuplicateAttribute.selector, selector));
        _sender.send(EVM_RECIPIENT, "", list(_expiry(EXPIRY)[0], _expiry(EXPIRY)[0]));
    }

    function test_sendMessage__expiry_not_in_the_future__refused() public {
        uint64[3] memory times = [uint64(0), START - 1, START];
        for (uint256 i = 0; i < times.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(IGateway.ExpiryPassed.selector, times[i]));
            _sender.send(EVM_RECIPIENT, "", _expiry(times[i]));
        }
        _sender.send(EVM_RECIPIENT, "", _expiry(START + 1));
        _sender.send(EVM_RECIPIENT, "", _expiry(type(uint64).max));
    }

    function test_sendMessage__expiry_from_an_account_without_code__refused() public {
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(IGateway.SenderWithoutCode.selector, alice));
        gateway.sendMessage(EVM_RECIPIENT, "", _expiry(EXPIRY));
        vm.prank(alice);
        gateway.sendMessage(EVM_RECIPIENT, "", new bytes[](0)); // without one it may
    }

    // ---- the notice

    function test_deliver__non_delivery__tells_the_sender_what_it_sent() public {
        bytes32 digest = _sender.send(EVM_RECIPIENT, "hello", _expiry(EXPIRY));
        vm.warp(EXPIRY + 1);
        bytes memory body = Bodies.encode(nonDelivery(1, address(_sender), digest, "hello"));
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.MessageDelivered(Bodies.digest(body), gateway.originHash(), 1);
        deliver(body);
        vm.assertEq(_sender.digest(), digest, "digest");
        vm.assertEq(_sender.payload(), "hello", "payload");
        vm.assertTrue(gateway.delivered(gateway.originHash(), 1), "delivered");
        _refused(nonDelivery(1, address(_sender), digest, "hello"), IGateway.AlreadyDelivered.selector);
    }

    function test_deliver__non_delivery_of_the_largest_payload__delivered() public {
        bytes memory payload = new bytes(16384 - 32);
        deliver(Bodies.encode(nonDelivery(1, address(_sender), LOST, payload)));
        vm.assertEq(_sender.payload().length, payload.length, "payload");
    }

    function test_deliver__non_delivery_refused_by_the_sender__can_be_tried_again() public {
        bytes memory body = Bodies.encode(nonDelivery(1, address(_sender), LOST, ""));
        bytes memory good = Bodies.encode(message(2, address(recorder)));
        for (uint8 mode = 1; mode <= 4; ++mode) {
            _sender.set(mode);
            (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
            (bool ok, bytes memory reason) = address(gateway).call{gas: 3_000_000}(abi.encodeCall(IGateway.deliver, (a, d)));
            vm.assertFalse(ok, "must revert");
            vm.assertTrue(bytes4(reason) == IGateway.RecipientReverted.selector, "typed reason");
            vm.assertLe(reason.length, 600, "bounded reason");
            vm.assertFalse(gateway.delivered(gateway.originHash(), 1), "not delivered");
        }
        // It holds up no message beside it.
        _sender.set(1);
        (IGateway.Attestation memory both, IGateway.Delivery[] memory deliveries) = attest(list(body, good));
        vm.expectEmit(true, true, true, true, address(gateway));
        emit IGateway.DeliveryFailed(Bodies.digest(body), abi.encodeWithSelector(Sender.NotNow.selector));
        gateway.deliver(both, deliveries);
        vm.assertEq(recorder.count(), 1, "the good one");
        _sender.set(0);
        deliver(body);
        vm.assertEq(_sender.digest(), LOST, "told at last");
    }

    function test_deliver__non_delivery_to_one_without_the_function_or_code__not_delivered() public {
        _refused(nonDelivery(1, address(recorder), LOST, ""), IGateway.RecipientReverted.selector);
        _refused(nonDelivery(1, alice, LOST, ""), IGateway.RecipientReverted.selector);
        vm.assertEq(recorder.count(), 0, "receiveMessage is never called for it");
    }

    // ---- attacks

    function test_attack_non_delivery__of_another_origin_or_sender__refused() public {
        Bodies.Body memory b = nonDelivery(1, address(_sender), LOST, "");
        (b.originReference, b.originGateway, b.sender) = (PEER_CHAIN, PEER_GATEWAY, PEER_GATEWAY);
        _refused(b, IGateway.WrongRecipient.selector);
        b = nonDelivery(1, address(_sender), LOST, "");
        b.sender = word(address(_sender));
        _refused(b, IGateway.WrongRecipient.selector);
        b = nonDelivery(1, address(_sender), LOST, "");
        b.payload = new bytes(31);
        _refused(b, IMessageErrors.WrongLength.selector);
    }

    function test_attack_non_delivery__to_the_protocol_itself_or_nobody__refused() public {
        address[4] memory targets = [address(gateway), address(committee), address(hub), address(0)];
        for (uint256 i = 0; i < targets.length; ++i) {
            _refused(nonDelivery(1, targets[i], LOST, ""), IGateway.WrongRecipient.selector);
        }
        gateway.setHandler(RESULT, address(_sender)); // reserved from then on
        _refused(nonDelivery(1, address(_sender), LOST, ""), IGateway.WrongRecipient.selector);
    }

    function test_attack_non_delivery__message_that_was_delivered_here__never_both() public {
        // A message of this chain to itself: its notice and it share one bit of the replay map.
        gateway.setPeer(Bodies.origin(EIP155, CHAIN, word(address(gateway))), true);
        Bodies.Body memory b = message(1, address(recorder));
        (b.originReference, b.originGateway, b.sender) = (CHAIN, word(address(gateway)), word(address(_sender)));
        deliver(Bodies.encode(b));
        _refused(nonDelivery(1, address(_sender), LOST, ""), IGateway.AlreadyDelivered.selector);
        deliver(Bodies.encode(nonDelivery(2, address(_sender), LOST, "")));
        b.sequence = 2;
        _refused(b, IGateway.AlreadyDelivered.selector);
    }

    function test_attack_non_delivery__user_posts_the_kind__refused() public {
        vm.prank(address(_sender));
        vm.expectRevert(abi.encodeWithSelector(IGateway.NotHandler.selector, NON_DELIVERY, address(_sender)));
        gateway.post(NON_DELIVERY, word(address(_sender)), 0, "");
    }

    function test_attack_non_delivery__sender_delivers_again_from_within__refused() public {
        bytes memory body = Bodies.encode(message(2, address(recorder)));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        _sender.plan(abi.encodeCall(IGateway.deliver, (a, d)));
        deliver(Bodies.encode(nonDelivery(1, address(_sender), LOST, "")));
        vm.assertEq(_sender.refusal(), abi.encodeWithSelector(IGateway.ReentrantDelivery.selector), "guarded");
        gateway.deliver(a, d);
    }

    // ---- the relayer

    function test_relayer__during_a_delivery__its_caller_and_the_epoch() public {
        Teller teller = new Teller(gateway);
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(Bodies.encode(message(1, address(teller))));
        vm.prank(alice);
        gateway.deliver(a, d);
        vm.assertEq(teller.relayer(), alice, "relayer");
        vm.assertEq(teller.epoch(), 1, "epoch");
        vm.assertEq(gateway.relayer(), address(0), "nobody afterwards");
        vm.assertEq(gateway.attestedEpoch(), 0, "none afterwards");
        // Two deliveries in one transaction: each has its own, and a refused one leaves nothing behind.
        Villain villain = new Villain();
        bytes memory bad = Bodies.encode(message(2, address(villain)));
        (IGateway.Attestation memory refused, IGateway.Delivery[] memory never) = attest(bad);
        vm.expectRevert();
        gateway.deliver(refused, never);
        vm.assertEq(gateway.relayer(), address(0), "nobody after a refusal");
        deliver(Bodies.encode(message(3, address(teller))));
        vm.assertEq(teller.relayer(), address(this), "relayer");
    }

    // ---- words

    function _expiry(uint64 time) private pure returns (bytes[] memory) {
        return list(abi.encodeCall(IMessageAttributes.expiry, (time)));
    }

    function _refused(Bodies.Body memory b, bytes4 reason) private {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(Bodies.encode(b));
        (bool ok, bytes memory data) = address(gateway).call(abi.encodeCall(IGateway.deliver, (a, d)));
        vm.assertFalse(ok, "must be refused");
        vm.assertTrue(bytes4(data) == reason, string.concat("reason, instead of ", vm.toString(bytes32(bytes4(data)))));
    }
}

/// @dev Sends messages that can expire, and hears of them; or does not want to.
contract Sender is INonDeliveryRecipient {
    error NotNow();

    IGateway private immutable _gateway;
    uint8 private _mode;
    bytes32 public digest;
    bytes public payload;
    bytes public refusal;
    bytes private _attack;

    constructor(IGateway gateway) {
        _gateway = gateway;
    }

    function send(bytes calldata to, bytes calldata words, bytes[] calldata attributes) external returns (bytes32) {
        return _gateway.sendMessage(to, words, attributes);
    }

    function set(uint8 mode) external {
        _mode = mode;
    }

    function plan(bytes calldata attack) external {
        _attack = attack;
    }

    function receiveNonDelivery(bytes32 digest_, bytes calldata payload_) external returns (bytes4) {
        if (_mode == 1) revert NotNow();
        if (_mode == 2) return IERC7786Recipient.receiveMessage.selector;
        if (_mode == 3) {
            assembly {
                revert(0, 1000000)
            }
        }
        if (_mode == 4) {
            for (uint256 i = 0;; ++i) {
                digest = bytes32(i);
            }
        }
        if (_attack.length != 0) (, refusal) = address(_gateway).call(_attack);
        (digest, payload) = (digest_, payload_);
        return this.receiveNonDelivery.selector;
    }
}

/// @dev Notes who brings it its message, and under which epoch.
contract Teller is IERC7786Recipient {
    IGateway private immutable _gateway;
    address public relayer;
    uint32 public epoch;

    constructor(IGateway gateway) {
        _gateway = gateway;
    }

    function receiveMessage(bytes32, bytes calldata, bytes calldata) external payable returns (bytes4) {
        (relayer, epoch) = (_gateway.relayer(), _gateway.attestedEpoch());
        return this.receiveMessage.selector;
    }
}
