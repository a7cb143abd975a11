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
    uint256 private constant THIRD = uint256(keccak256("a third secret")) % N;
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

    function test_replaceKey__old_epoch__valid_until_its_last_second() public {
        replaceKey(2, OTHER, 100);
        uint64 begin = START + DELAY;
        vm.assertEq(committee.newestEpoch(), 2, "newest");
        vm.assertEq(committee.activeEpoch(), 1, "not begun");
        vm.warp(begin - 1);
        _accepts(1, SECRET);
        _refuses(2, OTHER, abi.encodeWithSelector(ICommittee.EpochNotBegun.selector, 2, begin));
        vm.warp(begin);
        vm.assertEq(committee.activeEpoch(), 2, "begun");
        _accepts(1, SECRET);
        _accepts(2, OTHER);
        vm.warp(begin + 100);
        _accepts(1, SECRET);
        vm.warp(begin + 101);
        _refuses(1, SECRET, abi.encodeWithSelector(ICommittee.EpochEnded.selector, 1, begin + 100));
        _accepts(2, OTHER);
    }

    function test_replaceKey__longest_overlap__no_overflow() public {
        replaceKey(2, OTHER, type(uint32).max);
        vm.assertEq(committee.groupKey(1).validUntil, uint256(START) + DELAY + type(uint32).max, "end");
    }

    function test_replaceKey__old_one_ends_sooner__its_end_stays() public {
        committee.endEpoch(1, START + 5);
        replaceKey(2, OTHER, 100);
        vm.assertEq(committee.groupKey(1).validUntil, START + 5, "end");
        committee.veto(2);
        vm.assertEq(committee.groupKey(1).validUntil, START + 5, "end after the veto");
    }

    function test_replaceKey__without_overlap__old_one_ends_when_the_new_begins() public {
        replaceKey(2, OTHER, 0);
        vm.warp(START + DELAY);
        _accepts(1, SECRET);
        _accepts(2, OTHER);
        vm.warp(START + DELAY + 1);
        _refuses(1, SECRET, abi.encodeWithSelector(ICommittee.EpochEnded.selector, 1, START + DELAY));
    }

    function test_replaceKey__one_pending__refused_until_it_begins() public {
        replaceKey(2, OTHER, 0);
        (uint256 px, uint8 parity) = publicKey(THIRD);
        ICommittee.Signature memory proof = possession(3, THIRD);
        bytes memory pending = abi.encodeWithSelector(ICommittee.EpochPending.selector, 2, START + DELAY);
        vm.expectRevert(pending);
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
        vm.warp(START + DELAY);
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
        vm.assertEq(committee.newestEpoch(), 3, "newest");
    }

    function test_veto__before_the_begin__old_end_restored_number_reused_key_never() public {
        replaceKey(2, OTHER, 100);
        vm.warp(START + DELAY - 1);
        vm.expectEmit(true, true, true, true, address(committee));
        emit ICommittee.EpochVetoed(2, committee.groupKey(2).px);
        committee.veto(2);
        vm.assertEq(committee.newestEpoch(), 1, "newest");
        vm.assertEq(committee.groupKey(1).validUntil, 0, "no end again");
        _refuses(2, OTHER, abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 2));
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(2, OTHER);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.KeyVetoed.selector, px));
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
        replaceKey(2, THIRD, 0);
        vm.warp(START + 2 * uint64(DELAY));
        _accepts(2, THIRD);
        _refuses(2, OTHER, abi.encodeWithSelector(ICommittee.InvalidSignature.selector));
    }

    function test_veto__too_late_or_not_the_newest__refused() public {
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochBegun.selector, 1, START));
        committee.veto(1);
        replaceKey(2, OTHER, 100);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochBegun.selector, 1, START));
        committee.veto(1);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 3));
        committee.veto(3);
        vm.warp(START + DELAY);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochBegun.selector, 2, START + DELAY));
        committee.veto(2);
    }

    function test_veto__old_epoch_was_ended_meanwhile__stays_ended() public {
        // A veto must not give back what was taken from a committee that is distrusted.
        replaceKey(2, OTHER, 100);
        committee.endEpoch(1, START + 10);
        committee.veto(2);
        vm.assertEq(committee.groupKey(1).validUntil, START + 10, "end");
        vm.warp(START + 11);
        _refuses(1, SECRET, abi.encodeWithSelector(ICommittee.EpochEnded.selector, 1, START + 10));
        // The owner has a way out.
        replaceKey(2, THIRD, 0);
        vm.warp(START + 11 + DELAY);
        _accepts(2, THIRD);
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
        replaceKey(2, OTHER, 0);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochNotBegun.selector, 2, START + DELAY));
        committee.endEpoch(2, START + 1);
    }

    function test_setFirstKey__again__refused() public {
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(1, OTHER);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.EpochNotNext.selector, 1, 2));
        committee.setFirstKey(px, parity, 3, OPERATORS, proof);
    }

    function test_keys__x_not_below_the_order__refused() public {
        ICommittee.Signature memory proof = possession(2, OTHER);
        uint256[3] memory xs = [0, N, type(uint256).max];
        for (uint256 i = 0; i < xs.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidGroupKey.selector, xs[i], 0));
            committee.replaceKey(xs[i], 0, 3, OPERATORS, 0, proof);
        }
        (uint256 px,) = publicKey(OTHER);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidGroupKey.selector, px, 2));
        committee.replaceKey(px, 2, 3, OPERATORS, 0, proof);
    }

    function test_keys__without_possession__refused() public {
        // A rogue key, chosen as a function of the honest one, has no known secret: no signature of its own.
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(2, SECRET);
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
        // Nor does the proof of another epoch, or of the negated key.
        proof = possession(3, OTHER);
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
        proof = possession(2, OTHER);
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.replaceKey(px, 1 - parity, 3, OPERATORS, 0, proof);
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
    }

    function test_keys__batch_signature_as_possession__refused() public {
        // The committee never signs a bare value: a batch signature over the registration has another tag.
        (uint256 px, uint8 parity) = publicKey(SECRET);
        bytes32 registration = keccak256(bytes.concat("SIBYL_KEY_V1", new bytes(20), abi.encode(2, px, parity)));
        ICommittee.Signature memory proof;
        (proof.rx, proof.ry, proof.z) = schnorr(SECRET, keccak256(bytes.concat("SIBYL_BATCH_V1", new bytes(18), registration)));
        vm.expectRevert(ICommittee.InvalidProofOfPossession.selector);
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
    }

    function test_members__quorum_or_one_operators_weight__refused() public {
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(2, OTHER);
        _refusesMembers(px, parity, 3, hex"000102", abi.encodeWithSelector(ICommittee.InvalidMemberCount.selector, 3), proof);
        bytes memory many = new bytes(257);
        _refusesMembers(px, parity, 172, many, abi.encodeWithSelector(ICommittee.InvalidMemberCount.selector, 257), proof);
        bytes memory low = abi.encodeWithSelector(ICommittee.InvalidThreshold.selector, 2, 3, 4);
        _refusesMembers(px, parity, 2, OPERATORS, low, proof);
        _refusesMembers(px, parity, 5, OPERATORS, abi.encodeWithSelector(ICommittee.InvalidThreshold.selector, 5, 3, 4), proof);
        // Ronin: many members of one operator. With all of them needed, any one can stop the committee.
        _refusesMembers(px, parity, 4, OPERATORS, abi.encodeWithSelector(ICommittee.OperatorTooHeavy.selector, 0, 0), proof);
        _refusesMembers(px, parity, 3, hex"00010201", abi.encodeWithSelector(ICommittee.OperatorTooHeavy.selector, 1, 1), proof);
        committee.replaceKey(px, parity, 5, hex"07070303ff2a00", 0, proof); // 2 of 7 at most
        vm.assertEq(committee.groupKey(2).members, 7, "members");
        vm.assertEq(committee.groupKey(2).threshold, 5, "threshold");
    }

    function testFuzz_members__any_committee__no_operator_can_stop_it(uint256 seed, uint8 size, uint16 threshold) public {
        uint256 n = clamp(size, 1, 40);
        bytes memory operators = new bytes(n);
        uint256 heaviest;
        uint256[8] memory runs;
        for (uint256 i = 0; i < n; ++i) {
            uint256 operator = (seed >> (3 * i)) & 7;
            operators[i] = bytes1(uint8(operator));
            if (++runs[operator] > heaviest) heaviest = runs[operator];
        }
        threshold = uint16(clamp(threshold, n / 2, n + 1));
        (uint256 px, uint8 parity) = publicKey(OTHER);
        bytes memory call = abi.encodeCall(ICommittee.replaceKey, (px, parity, threshold, operators, 0, possession(2, OTHER)));
        (bool ok,) = address(committee).call(call);
        bool sound = n >= 4 && 3 * uint256(threshold) > 2 * n && threshold <= n && heaviest + threshold <= n;
        vm.assertTrue(ok == sound, "members");
    }

    function test_owner__stranger__refused() public {
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(2, OTHER);
        replaceKey(2, THIRD, 0);
        bytes memory refused = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(refused);
        committee.setFirstKey(px, parity, 3, OPERATORS, proof);
        vm.expectRevert(refused);
        committee.replaceKey(px, parity, 3, OPERATORS, 0, proof);
        vm.expectRevert(refused);
        committee.veto(2);
        vm.expectRevert(refused);
        committee.endEpoch(1, 1);
        vm.expectRevert(refused);
        committee.setGateway(gateway);
        vm.stopPrank();
    }

    function test_setGateway__again_or_of_another_committee__refused() public {
        vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidGateway.selector, address(gateway)));
        committee.setGateway(gateway);
        Committee fresh = new Committee(address(this), DELAY);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidGateway.selector, address(gateway)));
        fresh.setGateway(gateway);
    }

    function test_constructor__no_delay__refused() public {
        vm.expectRevert(abi.encodeWithSelector(ICommittee.InvalidDelay.selector, 0));
        new Committee(address(this), 0);
    }

    function test_owner__two_steps__new_owner_must_accept() public {
        committee.transferOwnership(alice);
        vm.assertEq(committee.owner(), address(this), "not yet");
        vm.prank(alice);
        committee.acceptOwnership();
        vm.assertEq(committee.owner(), alice, "accepted");
    }

    function test_groupKey__fresh_committee__none() public {
        Committee fresh = new Committee(address(this), DELAY);
        vm.assertEq(fresh.newestEpoch(), 0, "no epoch");
        vm.assertEq(fresh.activeEpoch(), 0, "none active");
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 1));
        fresh.groupKey(1);
        (uint256 px, uint8 parity) = publicKey(OTHER);
        ICommittee.Signature memory proof = possession(1, OTHER);
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, 0));
        fresh.replaceKey(px, parity, 3, OPERATORS, 0, proof);
        setFirstKey(fresh, OTHER);
        vm.assertEq(fresh.groupKey(1).px, px, "key");
        vm.assertEq(fresh.groupKey(1).validFrom, START, "at once");
        vm.assertEq(fresh.activeEpoch(), 1, "active");
    }

    function testFuzz_verify__any_scalars__only_the_signature(uint256 rx, uint256 ry, uint256 z) public {
        // The chance to hit a valid signature is that of breaking the scheme.
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(1, VALUE, rx, ry, z);
    }

    function testFuzz_verify__any_key_and_value__accepts_own_refuses_changed(uint256 seed, bytes32 value, uint256 bit) public {
        uint256 secret = clamp(seed, 1, N - 1);
        vm.assume(secret != SECRET);
        replaceKey(2, secret, 0);
        vm.warp(START + DELAY);
        (uint256 rx, uint256 ry, uint256 z) = schnorr(secret, value);
        committee.verify(2, value, rx, ry, z);
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(2, value ^ bytes32(1 << (bit % 256)), rx, ry, z);
        vm.expectRevert(ICommittee.InvalidSignature.selector);
        committee.verify(2, value, rx, ry, z ^ (1 << (bit % 256)));
    }

    function _accepts(uint32 epoch, uint256 secret) private {
        (uint256 rx, uint256 ry, uint256 z) = schnorr(secret, VALUE);
        committee.verify(epoch, VALUE, rx, ry, z);
    }

    function _refuses(uint32 epoch, uint256 secret, bytes memory reason) private {
        (uint256 rx, uint256 ry, uint256 z) = schnorr(secret, VALUE);
        vm.expectRevert(reason);
        committee.verify(epoch, VALUE, rx, ry, z);
    }

    function _refusesMembers(
        uint256 px,
        uint8 parity,
        uint16 threshold,
        bytes memory operators,
        bytes memory reason,
        ICommittee.Signature memory proof
    ) private {
        vm.expectRevert(reason);
        committee.replaceKey(px, parity, threshold, operators, 0, proof);
    }
}
