// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITransferGuard} from "../../src/guard/ITransferGuard.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {IModelRegistry} from "../../src/interfaces/IModelRegistry.sol";
import {IOracleHub} from "../../src/interfaces/IOracleHub.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {Bodies} from "../support/Bodies.sol";
import {GuardWorld} from "./GuardWorld.sol";

/// @title Guarded transfers: asked, scored, cleared or denied, released
contract TransferGuardTest is GuardWorld {
    // ---- in

    function test_in__up_to_the_limit__paid_at_once() public {
        receiveTokens(native, prover, LIMIT);
        vm.assertEq(token.balanceOf(prover), 10 ether, "paid");
        receiveTokens(wrapped, prover, LIMIT);
        vm.assertEq(wrappedToken.balanceOf(prover), LIMIT, "minted");
    }

    function test_in__over_the_limit__waits_for_a_score_and_is_paid_below_the_bound() public {
        bytes memory incoming = fromSolana(address(native), payloadTo(prover, LIMIT + 1, 5));
        vm.expectEmit(true, true, true, true, address(native));
        emit ITokenBridge.Queued(Bodies.digest(incoming), prover, LIMIT + 1, START + 1 days, true);
        deliver(incoming);
        bytes32 id = Bodies.digest(incoming);
        (bytes32 requestId, bytes memory body) = askIn(native, id);
        bytes32 key = guard.inboundKey(address(native), id);
        vm.expectEmit(true, true, true, true, address(guard));
        emit ITransferGuard.Decided(key, requestId, true, BOUND - 1, 0);
        proven(body, BOUND - 1);
        vm.assertTrue(guard.isCleared(address(native), id), "cleared");
        vm.assertEq(guard.clearanceOf(key).score, BOUND - 1, "score");
        vm.prank(alice);
        native.release(id); // anyone, and at once: it is within the rate
        vm.assertEq(token.balanceOf(prover), 10 ether + SCALE, "all of it: no fee");
        vm.assertEq(native.queued(), 0, "queue");
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotQueued.selector, id));
        native.release(id);
    }

    function test_in__at_the_bound_or_over__waits_for_governance() public {
        (bytes32 id, bytes32 key) = arrives(wrapped, 20e9);
        (, bytes memory body) = askIn(wrapped, id);
        proven(body, BOUND);
        is_(key, ITransferGuard.State.Denied);
        vm.warp(START + 30 days);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, id));
        wrapped.release(id);
        vm.expectEmit(true, true, true, true, address(guard));
        emit ITransferGuard.Decided(key, 0, true, 0, 0);
        guard.decide(key, true, 0);
        wrapped.release(id);
        vm.assertEq(wrappedToken.balanceOf(prover), 20e9, "paid");
    }

    function test_in__cleared_but_over_the_rate__waits_its_time() public {
        native.setLimits(limits(unlimited(), rate(30e9, 0)));
        (bytes32 first,) = arrives(native, 20e9);
        (bytes32 second,) = arrives(native, 20e9);
        (, uint256 left) = native.available();
        vm.assertEq(left, 30e9, "what waits for a score takes nothing of the rate");
        (, bytes memory body) = askIn(native, first);
        proven(body, 0);
        (, body) = askIn(native, second);
        proven(body, 0);
        native.release(first);
        (, left) = native.available();
        vm.assertEq(left, 10e9, "taken when it is paid");
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.StillQueued.selector, second, START + 1 hours));
        native.release(second);
        vm.warp(START + 1 hours);
        native.release(second);
        vm.assertEq(token.balanceOf(prover), 40 ether, "both");
    }

    function test_in__guard_taken_away__what_waits_is_queued_like_the_rest() public {
        (bytes32 id,) = arrives(native, 20e9);
        native.setGuard(address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.StillQueued.selector, id, START + 1 days));
        native.release(id);
        vm.warp(START + 1 days);
        native.release(id);
    }

    function test_in__guard_set_or_limit_lowered_later__holds_for_what_waits() public {
        native.setGuard(address(0), 0);
        native.setLimits(limits(unlimited(), rate(0, 0)));
        bytes32 id = receiveTokens(native, prover, 20e9);
        native.setGuard(address(guard), LIMIT);
        vm.warp(START + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, id));
        native.release(id);
        vm.expectEmit(true, true, true, true, address(native));
        emit ITokenBridge.GuardSet(address(guard), 20e9);
        native.setGuard(address(guard), 20e9);
        native.release(id);
    }

    function test_in__refund_over_the_limit__guarded_too() public {
        bytes32 key = guard.outboundKey(address(native), alice, SOL_USER, 20e9);
        guard.decide(key, true, 0);
        (bytes32 digest, bytes memory word_) = lapsed(native, 20e9);
        deliver(word_);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, digest));
        native.release(digest);
        (, bytes memory body) = askIn(native, digest);
        proven(body, 0);
        native.release(digest);
        vm.assertEq(token.balanceOf(alice), 500 ether, "back");
    }

    function test_in__attested_policy__cleared_by_the_committees_answer() public {
        guarded(native, ATTESTED);
        (bytes32 id, bytes32 key) = arrives(native, 20e9);
        (bytes32 requestId, bytes memory body) = askIn(native, id);
        deliver(Bodies.encode(signedResult(requestId, body, ATTESTED, 0, BOUND - 1)));
        is_(key, ITransferGuard.State.Cleared);
        native.release(id);
    }

    // ---- out

    function test_out__over_the_limit__needs_a_clearance_and_locks_nothing_before() public {
        bytes32 key = guard.outboundKey(address(native), alice, SOL_USER, 20e9);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NoClearance.selector, key));
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
        vm.assertEq(native.locked(), 500e9, "nothing locked");
        vm.prank(alice);
        native.crosschainTransfer(interop(SOL_USER), 10 ether + 5); // the dust does not count
        (, bytes memory body) = askOut(native, 20e9);
        proven(body, BOUND - 1);
        vm.expectEmit(true, true, true, true, address(guard));
        emit ITransferGuard.ClearanceUsed(key, address(native));
        vm.prank(alice);
        native.crosschainTransfer(interop(SOL_USER), 20 ether, START + 60, 1 ether);
        vm.assertEq(native.locked(), 530e9, "locked");
        is_(key, ITransferGuard.State.None);
    }

    function test_out__denied__may_be_asked_again_when_the_denial_ends() public {
        (, bytes memory body) = askOut(native, 20e9);
        proven(body, BOUND + 5);
        bytes32 key = guard.outboundKey(address(native), alice, SOL_USER, 20e9);
        vm.warp(START + LIFETIME);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.AlreadyDecided.selector, key, ITransferGuard.State.Denied));
        guard.askOutbound{value: RISK_PRICE}(address(native), SOL_USER, 20e9);
        vm.warp(START + LIFETIME + 1);
        (, body) = askOut(native, 20e9);
        proven(body, 1);
        is_(key, ITransferGuard.State.Cleared);
    }

    // ---- what the model sees

    function test_features__from_the_chains_state_at_the_asking() public {
        native.setLimits(limits(rate(100e9, 0), rate(50e9, 0)));
        int64[] memory seen = guard.featuresOf(address(native), prover, 25e9, true);
        // 25e9 has 35 bits; 25 of 500; 25 of 50; nothing moved; new; inbound.
        _seen(seen, [int64(35 * 256), 51, 512, 0, 1024, 1024]);
        receiveTokens(native, prover, 5e9);
        seen = guard.featuresOf(address(native), prover, 25e9, true);
        _seen(seen, [int64(35 * 256), 51, 568, 10, 0, 1024]);
        // The other way nothing moved today, but the lock before there was a guard: alice is new too.
        seen = guard.featuresOf(address(native), alice, 25e9, false);
        _seen(seen, [int64(35 * 256), 51, 256, 0, 1024, 0]);
        vm.prank(alice);
        native.crosschainTransfer(interop(SOL_USER), 10 ether);
        vm.assertEq(guard.movedToday(address(native), false), 10e9, "out");
        vm.assertEq(guard.movedToday(address(native), true), 5e9, "in");
        vm.assertTrue(
            !guard.isFresh(address(native), alice, false) && guard.isFresh(address(native), alice, true), "by direction"
        );
        vm.assertTrue(guard.isFresh(address(wrapped), alice, false), "by bridge");
        vm.warp((START / 1 days + 1) * 1 days - 1);
        vm.assertEq(guard.movedToday(address(native), true), 5e9, "the day's last second");
        vm.warp((START / 1 days + 1) * 1 days);
        vm.assertEq(guard.movedToday(address(native), true), 0, "the next day");
        receiveTokens(native, prover, 2e9);
        vm.assertEq(guard.movedToday(address(native), true), 2e9, "begins anew");
    }

    // ---- fees

    function test_fee__refused_by_the_committee__back_to_the_asker_who_may_ask_again() public {
        (bytes32 id, bytes32 key) = arrives(native, 20e9);
        (bytes32 requestId, bytes memory body) = askIn(native, id);
        vm.expectEmit(true, true, true, true, address(guard));
        emit ITransferGuard.Unanswered(key, requestId, prover, RISK_PRICE);
        deliver(Bodies.encode(signedResult(requestId, body, PROVEN, 4, 0)));
        is_(key, ITransferGuard.State.None);
        vm.assertEq(guard.creditOf(prover), RISK_PRICE, "credit");
        uint256 before = prover.balance;
        vm.prank(prover);
        guard.withdraw();
        vm.assertEq(prover.balance - before, RISK_PRICE, "back");
        askIn(native, id);
    }

    function test_fee__no_answer_in_time__settled_by_anyone() public {
        (bytes32 id, bytes32 key) = arrives(native, 20e9);
        (bytes32 requestId,) = askIn(native, id);
        vm.warp(START + 1 hours + 1);
        vm.prank(alice);
        guard.settle(requestId);
        vm.assertEq(guard.creditOf(prover), RISK_PRICE, "credit");
        is_(key, ITransferGuard.State.None);
        vm.assertEq(uint8(hubState(requestId)), uint8(IOracleHub.State.Refunded), "refunded at the hub");
    }

    function test_settle__callback_without_enough_gas__taken_from_the_hubs_record() public {
        ITransferGuard.Settings memory stingy = settings(PROVEN);
        stingy.callbackGas = 2_000;
        guard.setSettings(address(native), stingy);
        (bytes32 id, bytes32 key) = arrives(native, 20e9);
        vm.prank(prover);
        bytes32 requestId = guard.askInbound{value: RISK_PRICE}(address(native), id);
        int64[] memory features = guard.featuresOf(address(native), prover, 20e9, true);
        Bodies.Body memory b = message(gateway.nextSequence() - 1, address(hub));
        (b.kind, b.originReference, b.originGateway) = (REQUEST, CHAIN, word(address(gateway)));
        (b.sender, b.expiry) = (word(address(guard)), START + 1 hours);
        b.payload = Bodies.request(RISK, RISK_PRICE, 2_000, PROVEN, "", features);
        vm.assertEq(Bodies.digest(Bodies.encode(b)), requestId, "the request");
        proven(Bodies.encode(b), BOUND - 1);
        is_(key, ITransferGuard.State.Asked);
        guard.settle(requestId);
        is_(key, ITransferGuard.State.Cleared);
        native.release(id);
        vm.assertEq(guard.creditOf(prover), 0, "the fee was earned");
    }

    function test_decide__while_a_score_is_on_its_way__stands() public {
        (bytes32 id, bytes32 key) = arrives(native, 20e9);
        (, bytes memory body) = askIn(native, id);
        vm.prank(GUARDIAN);
        guard.decide(key, false, 0);
        proven(body, BOUND - 1);
        is_(key, ITransferGuard.State.Denied);
        (bytes32 other, bytes32 otherKey) = arrives(native, 20e9);
        (, body) = askIn(native, other);
        guard.decide(otherKey, true, 0);
        proven(body, BOUND + 1);
        is_(otherKey, ITransferGuard.State.Cleared);
    }

    function test_settings__that_cannot_work__refused() public {
        ITransferGuard.Settings[5] memory bad;
        for (uint256 i = 0; i < 5; ++i) {
            bad[i] = settings(PROVEN);
        }
        bad[0].modelId = MODEL; // three inputs
        bad[1].policy = RECOMPUTED;
        bad[2].policy = 0;
        bad[3].lifetime = 0;
        bad[4].callbackGas = hub.MAX_CALLBACK_GAS() + 1;
        for (uint256 i = 0; i < 5; ++i) {
            vm.expectRevert(ITransferGuard.InvalidSettings.selector);
            guard.setSettings(address(native), bad[i]);
        }
        ITransferGuard.Settings memory none = settings(PROVEN);
        none.modelId = keccak256("unknown");
        vm.expectRevert();
        guard.setSettings(address(native), none);
    }

    function _seen(int64[] memory features, int64[6] memory expected) private pure {
        for (uint256 i = 0; i < 6; ++i) {
            vm.assertEq(int256(features[i]), int256(expected[i]), vm.toString(i));
        }
    }
}
