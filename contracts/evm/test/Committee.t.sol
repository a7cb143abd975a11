// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Committee} from "../src/Committee.sol";
import {ICommittee} from "../src/interfaces/ICommittee.sol";
import {Harness} from "./support/Harness.sol";
import {SibylTest} from "./support/SibylTest.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

contract CommitteeTest is SibylTest {
    event log_named_uint(string key, uint256 val);

    uint256 private constant OTHER = uint256(keccak256("another secret")) % N;
    bytes32 private constant VALUE = keccak256("signed");

    function test_verify__signature_of_the_epoch__accepted() public {
        (uint256 rx, uint256 ry, uint256 z) = schnorr(SECRET, VALUE);
        committee.verify(1, VALUE, rx, ry, z);
    }

    function test_verify__other_value_or_key__refused() public {
        (uint256 rx, uint256 ry, uint256 z) = schnorr(SECRET, VALUE);
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(1, keccak256("other"), rx, ry, z);
        (rx, ry, z) = schnorr(OTHER, VALUE);
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(1, VALUE, rx, ry, z);
    }

    function test_verify__unknown_epoch__refused() public {
        (uint256 rx, uint256 ry, uint256 z) = schnorr(SECRET, VALUE);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 2));
        committee.verify(2, VALUE, rx, ry, z);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 0));
        committee.verify(0, VALUE, rx, ry, z);
    }

    function test_verify__gas__within_the_bound() public {
        Harness harness = new Harness();
        (uint256 px, uint8 parity) = publicKey(SECRET);
        (uint256 rx, uint256 ry, uint256 z) = schnorr(SECRET, VALUE);
        uint256 spent = harness.gasOfCheck(px, parity, VALUE, rx, ry, z);
        emit log_named_uint("gas of the signature check", spent); // `sibyl bench` reads this line
        vm.assertLe(spent, 4600, "gas of the signature check");
    }

    function test_rotation__old_epoch__valid_until_its_last_second() public {
        setKey(2, OTHER, START + 100);
        vm.assertEq(committee.currentEpoch(), 2, "epoch");
        (uint256 rx, uint256 ry, uint256 z) = schnorr(SECRET, VALUE);
        (uint256 rx2, uint256 ry2, uint256 z2) = schnorr(OTHER, VALUE);
        vm.warp(START + 100);
        committee.verify(1, VALUE, rx, ry, z);
        committee.verify(2, VALUE, rx2, ry2, z2);
        vm.warp(START + 101);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochEnded.selector, 1, START + 100));
        committee.verify(1, VALUE, rx, ry, z);
        committee.verify(2, VALUE, rx2, ry2, z2);
    }

    function test_rotation__previous_without_end__both_stay_valid() public {
        setKey(2, OTHER, 0);
        vm.warp(START + 1e9);
        (uint256 rx, uint256 ry, uint256 z) = schnorr(SECRET, VALUE);
        committee.verify(1, VALUE, rx, ry, z);
    }

    function test_endEpoch__never_later__refused() public {
        committee.endEpoch(1, START + 100);
        committee.endEpoch(1, START + 50);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EndNotEarlier.selector, 1, START + 51));
        committee.endEpoch(1, START + 51);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EndNotEarlier.selector, 1, 0));
        committee.endEpoch(1, 0);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 9));
        committee.endEpoch(9, START);
    }

    function test_setGroupKey__not_the_next_epoch__refused() public {
        (uint256 px, uint8 parity) = publicKey(OTHER);
        uint32[3] memory epochs = [uint32(0), 1, 3];
        for (uint256 i = 0; i < epochs.length; ++i) {
            ICommittee.Signature memory proof = possession(epochs[i], OTHER);
            vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochNotNext.selector, epochs[i], 2));
            committee.setGroupKey(epochs[i], px, parity, 0, proof);
        }
    }

    function test_setGroupKey__x_not_below_the_order__refused() public {
        ICommittee.Signature memory proof = possession(2, OTHER);
        uint256[3] memory xs = [0, N, type(uint256).max];
        for (uint256 i = 0; i < xs.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidGroupKey.selector, xs[i], 0));
            committee.setGroupKey(2, xs[i], 0, 0, proof);
        }
        (uint256 px,) = publicKey(OTHER);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidGroupKey.selector, px, 2));
        committee.setGroupKey(2, px, 2, 0, proof);
    }

    function test_setGroupKey__without_possession__refused() public {
        // A rogue key, chosen as a function of the honest one, has no known secret: no signature of its own.
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(2, SECRET);
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.setGroupKey(2, px, parity, 0, proof);
        // Nor does the proof of another epoch, or of the negated key.
        proof = possession(3, OTHER);
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.setGroupKey(2, px, parity, 0, proof);
        proof = possession(2, OTHER);
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.setGroupKey(2, px, 1 - parity, 0, proof);
        committee.setGroupKey(2, px, parity, 0, proof);
    }

    function test_setGroupKey__batch_signature_as_possession__refused() public {
        // The committee never signs a bare value: a batch signature over the registration has another tag.
        (uint256 px, uint8 parity) = publicKey(SECRET);
        bytes32 registration = keccak256(bytes.concat("SIBYL_KEY_V1", new bytes(20), abi.encode(2, px, parity)));
        ICommittee.Signature memory proof;
        (proof.rx, proof.ry, proof.z) = schnorr(SECRET, keccak256(bytes.concat("SIBYL_BATCH_V1", new bytes(18), registration)));
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.setGroupKey(2, px, parity, 0, proof);
    }

    function test_owner__stranger__refused() public {
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(2, OTHER);
        bytes memory refused = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(refused);
        committee.setGroupKey(2, px, parity, 0, proof);
        vm.expectRevert(refused);
        committee.endEpoch(1, 1);
        vm.stopPrank();
    }

    function test_owner__two_steps__new_owner_must_accept() public {
        committee.transferOwnership(alice);
        vm.assertEq(committee.owner(), address(this), "not yet");
        vm.prank(alice);
        committee.acceptOwnership();
        vm.assertEq(committee.owner(), alice, "accepted");
    }

    function test_groupKey__fresh_committee__none() public {
        Committee fresh = new Committee(address(this));
        vm.assertEq(fresh.currentEpoch(), 0, "no epoch");
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 1));
        fresh.groupKey(1);
        (uint256 px,) = publicKey(SECRET);
        vm.assertEq(committee.groupKey(1).px, px, "key");
    }

    function testFuzz_verify__any_scalars__only_the_signature(uint256 rx, uint256 ry, uint256 z) public {
        // The chance to hit a valid signature is that of breaking the scheme.
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(1, VALUE, rx, ry, z);
    }

    function testFuzz_verify__any_key_and_value__accepts_own_refuses_changed(uint256 seed, bytes32 value, uint256 bit) public {
        uint256 secret = clamp(seed, 1, N - 1);
        setKey(2, secret, 0);
        (uint256 rx, uint256 ry, uint256 z) = schnorr(secret, value);
        committee.verify(2, value, rx, ry, z);
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(2, value ^ bytes32(1 << (bit % 256)), rx, ry, z);
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(2, value, rx, ry, z ^ (1 << (bit % 256)));
    }
}
