// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Gateway} from "../../src/Gateway.sol";
import {ICommittee} from "../../src/interfaces/ICommittee.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {Symbolic, YesCommittee} from "./Symbolic.sol";

/// @dev Takes everything, counts it, and may try to deliver another message from within.
contract Taker {
    uint256 public count;
    address private _target;
    bytes private _attack;

    function plan(address target, bytes calldata attack) external {
        (_target, _attack) = (target, attack);
    }

    function receiveMessage(bytes32, bytes calldata, bytes calldata) external payable returns (bytes4) {
        return _take(this.receiveMessage.selector);
    }

    function receiveNonDelivery(bytes32, bytes calldata) external returns (bytes4) {
        return _take(this.receiveNonDelivery.selector);
    }

    function _take(bytes4 selector) private returns (bytes4) {
        ++count;
        if (_target != address(0)) {
            (bool done,) = _target.call(_attack);
            done;
        }
        return selector;
    }
}

/// @title Proofs: no message is delivered twice, whatever the gateway's state, the bodies and the signatures
/// @dev Assumed: any storage of the gateway, so any history; the signature check says yes to all; bodies of 216 or 248 bytes (no payload, or
/// 32 bytes of it), whose kind, origin, sequence, sender, expiry and payload may be anything. Version, destination and recipient are fixed to
/// what alone can be delivered in this world, in which one account takes messages. One message a call, without a Merkle branch. The time is
/// second 1, at which nothing has expired: expiry only refuses.
contract ReplayProof is Symbolic {
    Gateway private _gateway;
    Taker private _taker;

    function setUp() public {
        _taker = new Taker();
        Gateway original = new Gateway(address(this), ICommittee(address(new YesCommittee())));
        _gateway = Gateway(_arbitrary(address(original), address(0x6a7e)));
    }

    function check_deliver__same_origin_and_sequence__not_twice() public {
        (bytes memory one, bytes memory two) = _twins(32, 0);
        _notTwice(one, two);
    }

    function check_deliver__non_delivery_and_message__not_twice() public {
        (bytes memory one, bytes memory two) = _twins(32, 32);
        vm.assume(one[1] == 0x04);
        _notTwice(one, two);
    }

    function check_deliver__recipient_delivers_from_within__not_twice() public {
        (bytes memory one, bytes memory two) = _twins(32, 0);
        _taker.plan(address(_gateway), _call(two));
        (bool done,) = address(_gateway).call(_call(one));
        done;
        assert(_taker.count() <= 1);
    }

    function check_deliver__delivered__says_so_and_stays_so() public {
        bytes memory body = _body(svm.createBytes(66, "origin"), svm.createBytes(8, "sequence"), 32, "one");
        (bytes32 origin, uint64 sequence) = _identity(body);
        bytes32 other = svm.createBytes32("another origin");
        uint64 number = uint64(svm.createUint(64, "another sequence"));
        bool before = _gateway.delivered(other, number);
        (bool done,) = address(_gateway).call(_call(body));
        if (done) assert(_gateway.delivered(origin, sequence));
        // And no delivery touches another message's bit.
        if (other != origin || number != sequence) assert(_gateway.delivered(other, number) == before);
    }

    function refute_deliver__never_done() public {
        assert(!_done(_body(svm.createBytes(66, "origin"), svm.createBytes(8, "sequence"), 32, "one")));
    }

    function refute_deliver__non_delivery__never_done() public {
        bytes memory body = _body(svm.createBytes(66, "origin"), svm.createBytes(8, "sequence"), 32, "one");
        vm.assume(body[1] == 0x04);
        assert(!_done(body));
    }

    function _done(bytes memory body) private returns (bool done) {
        (done,) = address(_gateway).call(_call(body));
    }

    function _notTwice(bytes memory one, bytes memory two) private {
        (bool first,) = address(_gateway).call(_call(one));
        if (!first) return; // nothing was delivered, so nothing can be delivered twice
        (bool second,) = address(_gateway).call(_call(two));
        assert(!second);
    }

    /// @dev Two bodies that share origin and sequence, and nothing else that is said here.
    function _twins(uint256 payloadOne, uint256 payloadTwo) private returns (bytes memory one, bytes memory two) {
        bytes memory origin = svm.createBytes(66, "origin");
        bytes memory sequence = svm.createBytes(8, "sequence");
        one = _body(origin, sequence, payloadOne, "one");
        two = _body(origin, sequence, payloadTwo, "two");
    }

    function _body(bytes memory origin, bytes memory sequence, uint256 payload, string memory name)
        private
        returns (bytes memory)
    {
        bytes memory kind = svm.createBytes(1, string.concat("kind ", name));
        bytes memory destination = abi.encodePacked(uint16(0), block.chainid, _word(address(_gateway)));
        bytes memory head = bytes.concat(hex"01", kind, origin, destination, sequence);
        bytes memory sender = svm.createBytes(32, string.concat("sender ", name));
        bytes memory expiry = svm.createBytes(8, string.concat("expiry ", name));
        bytes memory tail = bytes.concat(sender, _word(address(_taker)), expiry, bytes2(uint16(payload)));
        if (payload != 0) tail = bytes.concat(tail, svm.createBytes(payload, string.concat("payload ", name)));
        return bytes.concat(head, tail);
    }

    function _word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    /// @dev (origin hash, sequence) as PROTOCOL.md places them.
    function _identity(bytes memory body) private pure returns (bytes32 hash, uint64 sequence) {
        assembly {
            hash := keccak256(add(body, 34), 66)
            sequence := shr(192, mload(add(body, 166)))
        }
    }

    function _call(bytes memory body) private pure returns (bytes memory) {
        IGateway.Delivery[] memory deliveries = new IGateway.Delivery[](1);
        deliveries[0] = IGateway.Delivery(body, new bytes32[](0));
        return abi.encodeCall(IGateway.deliver, (IGateway.Attestation(1, 1, 1, 1), deliveries));
    }
}
