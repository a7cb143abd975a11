// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {NativeBridge} from "../../src/tokens/NativeBridge.sol";
import {TokenWorld} from "./TokenWorld.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title The emergency exit: late, little by little, and by governance alone
contract TokenExitTest is TokenWorld {
    address private constant SAFE = address(0x5AFE);

    function test_attack__exit_by_others__refused() public {
        lock(100 ether);
        _pauseFor(7 days);
        address[3] memory others = [alice, GUARDIAN, address(factory)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, others[i]));
            native.emergencyExit(others[i], 1);
        }
    }

    function test_attack__exit_without_a_week_of_pause__refused() public {
        lock(100 ether);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.NotPausedLongEnough.selector, 0));
        native.emergencyExit(SAFE, 1);
        _pauseFor(7 days - 1);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.NotPausedLongEnough.selector, START));
        native.emergencyExit(SAFE, 1);
        // Resumed for a moment: the week begins anew. Paused again while paused: it does not.
        factory.unpause(address(native));
        factory.pause(address(native));
        vm.warp(START + 7 days + 1);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.NotPausedLongEnough.selector, START + 7 days - 1));
        native.emergencyExit(SAFE, 1);
        factory.pause(address(native));
        vm.warp(START + 14 days - 2);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.NotPausedLongEnough.selector, START + 7 days - 1));
        native.emergencyExit(SAFE, 1);
        vm.warp(START + 14 days - 1);
        native.emergencyExit(SAFE, 1);
    }

    function test_attack__exit_over_a_tenth_a_day__refused() public {
        lock(100 ether);
        _pauseFor(7 days);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.ExitTooLarge.selector, 10e9 + 1, 10e9));
        native.emergencyExit(SAFE, 10e9 + 1);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.ExitTooLarge.selector, 0, 10e9));
        native.emergencyExit(SAFE, 0);
        native.emergencyExit(SAFE, 4e9);
        native.emergencyExit(SAFE, 6e9);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.ExitTooLarge.selector, 1, 0));
        native.emergencyExit(SAFE, 1);
        vm.warp(START + 8 days - 1);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.ExitTooLarge.selector, 1, 0));
        native.emergencyExit(SAFE, 1);
        // The next day it is a tenth of what is left. Days without an exit are not saved up.
        vm.warp(START + 20 days);
        vm.expectRevert(abi.encodeWithSelector(NativeBridge.ExitTooLarge.selector, 9e9 + 1, 9e9));
        native.emergencyExit(SAFE, 9e9 + 1);
        native.emergencyExit(SAFE, 9e9);
        vm.assertEq(token.balanceOf(SAFE), 19 ether, "out");
        vm.assertEq(native.locked(), 81e9, "locked shrinks with it");
        vm.assertEq(token.balanceOf(address(native)), 81 ether, "vault");
        (uint256 begin, uint256 left) = native.exitPeriod();
        vm.assertTrue(begin == START + 20 days && left == 0, "period");
    }

    function test_attack__exit_of_what_waits__refused() public {
        lock(10 ether);
        native.setLimits(limits(unlimited(), rate(0, 0)));
        bytes32 id = receiveTokens(native, prover, 95e8);
        _pauseFor(7 days);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InsufficientLocked.selector, 1e9, 5e8));
        native.emergencyExit(SAFE, 1e9);
        native.emergencyExit(SAFE, 5e8);
        factory.unpause(address(native));
        native.release(id);
        vm.assertEq(token.balanceOf(prover), 9.5 ether, "kept for whom it was promised");
    }

    function test_attack__exit_to_nobody_or_to_the_bridge__refused() public {
        lock(10 ether);
        _pauseFor(7 days);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.RefusedRecipient.selector, bytes32(0)));
        native.emergencyExit(address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.RefusedRecipient.selector, word(address(native))));
        native.emergencyExit(address(native), 1);
    }

    function test_exit__over_many_days__never_takes_all_at_once() public {
        lock(100 ether);
        _pauseFor(7 days);
        uint256 left = 100e9;
        for (uint256 day = 0; day < 30; ++day) {
            vm.warp(START + 7 days + day * 1 days);
            vm.expectEmit(true, true, true, true, address(native));
            emit NativeBridge.EmergencyExit(SAFE, left / 10, left - left / 10);
            native.emergencyExit(SAFE, left / 10);
            left -= left / 10;
            vm.assertEq(native.locked(), left, "locked");
        }
        vm.assertTrue(left > 4e9, "after a month there is something left");
    }

    function test_exit__governance_is_a_timelock__announced_before() public {
        lock(100 ether);
        address[] memory proposers = new address[](1);
        proposers[0] = address(this);
        TimelockController timelock = new TimelockController(2 days, proposers, proposers, address(0));
        factory.grantRole(0, address(timelock));
        factory.renounceRole(0, address(this));
        _pauseFor(7 days);
        bytes memory call = abi.encodeCall(native.emergencyExit, (SAFE, 10e9));
        timelock.schedule(address(native), 0, call, 0, 0, 2 days);
        vm.expectRevert();
        timelock.execute(address(native), 0, call, 0, 0);
        vm.warp(START + 9 days);
        timelock.execute(address(native), 0, call, 0, 0);
        vm.assertEq(token.balanceOf(SAFE), 10 ether, "after the delay");
    }

    function _pauseFor(uint256 time) private {
        vm.prank(GUARDIAN);
        factory.pause(address(native));
        vm.warp(START + time);
    }
}
