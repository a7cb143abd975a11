// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Committee} from "../src/Committee.sol";
import {ICommittee} from "../src/interfaces/ICommittee.sol";
import {IGateway} from "../src/interfaces/IGateway.sol";
import {Bodies} from "./support/Bodies.sol";
import {SibylTest} from "./support/SibylTest.sol";

/// @title Random interleavings of rotations, replacements, vetoes, ends and time
/// @dev Each act is tried whether or not it is allowed, and the handler knows from its own model, which is a plain list, which it is.
contract CommitteeHandler is SibylTest {
    struct Known {
        uint256 secret;
        uint256 begin;
        uint256 end; // 0: none
        uint256 endBefore;
    }

    Known[] public epochs; // epoch number is the index plus 1
    uint256[] public vetoedSecrets;
    mapping(bytes32 act => uint256) public done;
    uint256 private _secrets;
    uint64 private _sequence;

    constructor() {
        setUp();
        epochs.push(Known(SECRET, START, 0, 0));
    }

    function parts() external view returns (Committee) {
        return committee;
    }

    function count() external view returns (uint256) {
        return epochs.length;
    }

    function vetoedCount() external view returns (uint256) {
        return vetoedSecrets.length;
    }

    /// @dev A rotation to a fresh key, signed by any epoch that ever was; or to a key that was vetoed.
    function rotateAct(uint256 signer, uint32 overlap, uint256 old) external {
        overlap %= 10_000;
        bool again = vetoedSecrets.length != 0 && old % 4 == 0;
        uint256 secret = again ? vetoedSecrets[old % vetoedSecrets.length] : _fresh();
        uint256 by = signer % epochs.length;
        uint32 next = uint32(epochs.length + 1);
        bytes memory payload = Bodies.encode(newKey(next, secret, overlap));
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) =
            attestBy(epochs[by].secret, uint32(by + 1), Bodies.encode(rotationBody(++_sequence, payload)));
        (bool ok,) = address(gateway).call(abi.encodeCall(IGateway.deliver, (a, d)));
        bool allowed = !again && by + 1 == epochs.length && valid(by);
        vm.assertTrue(ok == allowed, "rotation");
        if (ok) _succeed(secret, overlap, "rotate");
    }

    function replaceAct(uint32 overlap) external {
        overlap %= 10_000;
        uint256 secret = _fresh();
        (uint256 px, uint8 parity) = publicKey(secret);
        ICommittee.Signature memory proof = possession(uint32(epochs.length + 1), secret);
        bytes memory call = abi.encodeCall(ICommittee.replaceKey, (px, parity, 3, OPERATORS, overlap, proof));
        (bool ok,) = address(committee).call(call);
        vm.assertTrue(ok == (block.timestamp >= epochs[epochs.length - 1].begin), "replacement");
        if (ok) _succeed(secret, overlap, "replace");
    }

    function vetoAct(uint256 which) external {
        uint256 place = which % 3 == 0 ? which % epochs.length : epochs.length - 1;
        (bool ok,) = address(committee).call(abi.encodeCall(ICommittee.veto, (uint32(place + 1))));
        Known memory known = epochs[place];
        vm.assertTrue(ok == (block.timestamp < known.begin), "veto");
        if (!ok) return;
        vetoedSecrets.push(known.secret);
        epochs.pop();
        epochs[place - 1].end = known.endBefore;
        ++done["veto"];
    }

    function endAct(uint256 which, uint256 ahead) external {
        uint256 place = which % epochs.length;
        uint64 end = uint64(block.timestamp + ahead % 5_000);
        (bool ok,) = address(committee).call(abi.encodeCall(ICommittee.endEpoch, (uint32(place + 1), end)));
        Known storage known = epochs[place];
        bool allowed = block.timestamp >= known.begin && (known.end == 0 || end <= known.end);
        vm.assertTrue(ok == allowed, "end");
        if (!ok) return;
        known.end = end;
        if (place + 1 < epochs.length) epochs[place + 1].endBefore = end;
        ++done["end"];
    }

    function timeAct(uint256 step) external {
        vm.warp(block.timestamp + step % 2_000);
        ++done["time"];
    }

    function valid(uint256 place) public view returns (bool) {
        Known memory known = epochs[place];
        return block.timestamp >= known.begin && (known.end == 0 || block.timestamp <= known.end);
    }

    /// @dev Whether a signature of an epoch is taken.
    function taken(uint256 place) external returns (bool ok) {
        bytes32 value = keccak256("any");
        (uint256 rx, uint256 ry, uint256 z) = schnorr(epochs[place].secret, value);
        (ok,) = address(committee).call(abi.encodeCall(ICommittee.verify, (uint32(place + 1), value, rx, ry, z)));
    }

    function keyOf(uint256 secret) external returns (uint256 px) {
        (px,) = publicKey(secret);
    }

    function _succeed(uint256 secret, uint256 overlap, bytes32 act) private {
        Known storage old = epochs[epochs.length - 1];
        uint256 begin = block.timestamp + DELAY;
        uint256 endBefore = old.end;
        if (endBefore == 0 || begin + overlap < endBefore) old.end = begin + overlap;
        epochs.push(Known(secret, begin, 0, endBefore));
        ++done[act];
    }

    function _fresh() private returns (uint256) {
        return uint256(keccak256(abi.encode("secret", ++_secrets))) % N;
    }
}

contract CommitteeInvariants is SibylTest {
    CommitteeHandler private _handler;

    function setUp() public override {
        _handler = new CommitteeHandler();
    }

    /// @dev Only the handler's acts are called.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(_handler);
        targets[0].selectors = new bytes4[](5);
        targets[0].selectors[0] = CommitteeHandler.rotateAct.selector;
        targets[0].selectors[1] = CommitteeHandler.replaceAct.selector;
        targets[0].selectors[2] = CommitteeHandler.vetoAct.selector;
        targets[0].selectors[3] = CommitteeHandler.endAct.selector;
        targets[0].selectors[4] = CommitteeHandler.timeAct.selector;
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function invariant_epochs__as_the_model_says() public {
        Committee kept = _handler.parts();
        uint256 count = _handler.count();
        vm.assertEq(kept.newestEpoch(), count, "newest");
        uint256 active = count;
        for (uint256 i = 0; i < count; ++i) {
            (uint256 secret, uint256 begin, uint256 end,) = _handler.epochs(i);
            ICommittee.GroupKey memory key = kept.groupKey(uint32(i + 1));
            vm.assertEq(key.px, _handler.keyOf(secret), "key");
            vm.assertTrue(key.validFrom == begin && key.validUntil == end, "times");
            vm.assertFalse(kept.isVetoed(key.px), "no epoch has a vetoed key");
            if (i + 1 < count) vm.assertTrue(end != 0 && begin <= block.timestamp, "all but the newest have begun and end");
            if (begin > block.timestamp) active = i;
        }
        vm.assertEq(kept.activeEpoch(), active, "active");
        vm.expectRevert(abi.encodeWithSelector(ICommittee.UnknownEpoch.selector, uint32(count + 1)));
        kept.groupKey(uint32(count + 1));
    }

    function invariant_signatures__taken_while_their_epoch_lasts() public {
        uint256 count = _handler.count();
        uint256 first = count > 3 ? count - 3 : 0;
        for (uint256 i = first; i < count; ++i) {
            vm.assertTrue(_handler.taken(i) == _handler.valid(i), "signature");
        }
    }

    function invariant_vetoed__never_a_key_again() public {
        Committee kept = _handler.parts();
        for (uint256 i = 0; i < _handler.vetoedCount(); ++i) {
            vm.assertTrue(kept.isVetoed(_handler.keyOf(_handler.vetoedSecrets(i))), "vetoed");
        }
    }

    /// @dev The acts do what they say: without this the invariants could hold because nothing ever happens.
    function test_handler__each_act__happens() public {
        _handler.rotateAct(0, 100, 1);
        _handler.rotateAct(0, 100, 1); // pending: refused
        _handler.vetoAct(1);
        _handler.rotateAct(0, 100, 0); // the vetoed key: refused
        _handler.replaceAct(100);
        _handler.timeAct(1_999);
        _handler.timeAct(1_999);
        _handler.vetoAct(1); // too late
        _handler.rotateAct(0, 100, 1); // by the old epoch: refused
        _handler.endAct(0, 1); // over already: refused
        _handler.endAct(1, 4_000);
        _handler.rotateAct(1, 100, 1);
        bytes32[5] memory acts = [bytes32("rotate"), "replace", "veto", "end", "time"];
        for (uint256 i = 0; i < acts.length; ++i) {
            vm.assertTrue(_handler.done(acts[i]) != 0, string(abi.encodePacked(acts[i])));
        }
        vm.assertEq(_handler.done("rotate"), 2, "rotations");
        invariant_epochs__as_the_model_says();
        invariant_signatures__taken_while_their_epoch_lasts();
        invariant_vetoed__never_a_key_again();
    }
}
