// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITransferGuard} from "../../src/guard/ITransferGuard.sol";
import {IModelRegistry} from "../../src/interfaces/IModelRegistry.sol";
import {IOracleHub} from "../../src/interfaces/IOracleHub.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {Bodies} from "../support/Bodies.sol";
import {GuardWorld} from "./GuardWorld.sol";

/// @dev Asks, and takes no ether back unless told to; calls the guard again while it is being paid.
contract GreedyAsker {
    ITransferGuard public guard;
    bool public worked;
    bool public refuses;

    constructor(ITransferGuard guard_) {
        guard = guard_;
    }

    receive() external payable {
        if (refuses) revert();
        (worked,) = address(guard).call(abi.encodeCall(ITransferGuard.withdraw, ()));
    }

    function setRefuses(bool refuses_) external {
        refuses = refuses_;
    }

    function ask(address bridge, bytes32 id) external payable returns (bytes32) {
        return guard.askInbound{value: msg.value}(bridge, id);
    }

    function withdraw() external {
        guard.withdraw();
    }
}

/// @title What the guard does not let pass
contract GuardAttacksTest is GuardWorld {
    // ---- a lying committee

    function test_attack__forged_transfer_by_the_committees_key__not_cleared_by_that_key() public {
        // A quorum that lies signs a message that nobody sent: it is taken, and waits. Under POLICY_PROVEN nothing that it signs clears it.
        (bytes32 id, bytes32 key) = arrives(native, 400e9);
        (bytes32 requestId, bytes memory body) = askIn(native, id);
        uint8[3] memory policies = [ATTESTED, PROVEN, BOTH];
        for (uint256 i = 0; i < 3; ++i) {
            (bool ok,) = tryDeliver(Bodies.encode(signedResult(requestId, body, policies[i], 0, BOUND - 1)));
            vm.assertFalse(ok, "a signed answer");
        }
        // As the answer to another chain's request, with the guard as its consumer and the same id or another.
        bytes32[2] memory ids = [requestId, keccak256("another")];
        for (uint256 i = 0; i < 2; ++i) {
            Bodies.Body memory b = signedResult(ids[i], body, ATTESTED, 0, BOUND - 1);
            (b.originReference, b.originGateway, b.sender) = (PEER_CHAIN, PEER_GATEWAY, PEER_GATEWAY);
            tryDeliver(Bodies.encode(b));
        }
        // As a plain message to the guard, which takes none.
        Bodies.Body memory plain = message(900, address(guard));
        plain.payload = abi.encode(answer(requestId, RISK, 0, BOUND - 1));
        (bool taken,) = tryDeliver(Bodies.encode(plain));
        vm.assertFalse(taken, "no recipient of messages");
        is_(key, ITransferGuard.State.Asked);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, id));
        native.release(id);
        // A refusal it may sign: the fee goes back, and nothing is cleared.
        deliver(Bodies.encode(signedResult(requestId, body, PROVEN, 3, 0)));
        is_(key, ITransferGuard.State.None);
        vm.warp(START + 40 days);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, id));
        native.release(id);
        // The honest road: a proof of the true score.
        (, body) = askIn(native, id);
        proven(body, BOUND - 1);
        native.release(id);
        vm.assertEq(token.balanceOf(prover), 400 ether, "paid");
    }

    function test_attack__forged_transfer_that_is_held__does_not_bind_what_others_are_owed() public {
        // Most of the vault, forged and denied for good: everybody else is paid as before.
        (bytes32 forged, bytes32 key) = arrives(native, 495e9);
        guard.decide(key, false, 0);
        vm.assertEq(native.queued(), 0, "nothing is promised");
        for (uint256 i = 0; i < 50; ++i) {
            receiveTokens(native, treasury, 9e9);
        }
        vm.assertEq(token.balanceOf(treasury), 450 ether, "paid");
        // Cleared by mistake: it takes no more than is left, nor what is promised to others.
        guard.decide(key, true, 0);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InsufficientLocked.selector, 495e9, 50e9));
        native.release(forged);
        native.setLimits(limits(unlimited(), rate(0, 0)));
        (bytes32 second, bytes32 other) = arrives(native, 45e9);
        receiveTokens(native, treasury, 9e9);
        guard.decide(other, true, 0);
        vm.warp(START + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.InsufficientLocked.selector, 45e9, 41e9));
        native.release(second);
    }

    function test_attack__forged_non_delivery__guarded_like_a_transfer_in() public {
        bytes memory payload = payloadFrom(prover, SOL_USER, 400e9, 0);
        bytes32 digest = keccak256("never sent");
        deliver(Bodies.encode(nonDelivery(address(native), 900, digest, payload)));
        vm.assertEq(native.waiting(digest).amount, 400e9, "waits");
        vm.warp(START + 40 days);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, digest));
        native.release(digest);
    }

    function test_attack__proof_of_other_features_or_another_score__refused_by_the_hub() public {
        (bytes32 id, bytes32 key) = arrives(native, 400e9);
        (, bytes memory body) = askIn(native, id);
        int64[] memory good = new int64[](1);
        good[0] = BOUND - 1;
        int64[] memory bad = new int64[](1);
        bad[0] = BOUND + 1;
        bytes memory proof = zkProof(featuresIn(body), bad);
        vm.expectRevert();
        hub.fulfil(body, good, proof);
        int64[] memory others = featuresIn(body);
        others[0] -= 256;
        proof = zkProof(others, good);
        vm.expectRevert();
        hub.fulfil(body, good, proof);
        is_(key, ITransferGuard.State.Asked);
        proven(body, BOUND + 1);
        is_(key, ITransferGuard.State.Denied);
    }

    // ---- the hub's word

    function test_attack__onAnswer_by_another_than_the_hub__refused() public {
        (bytes32 id, bytes32 key) = arrives(native, 400e9);
        (bytes32 requestId,) = askIn(native, id);
        address[4] memory callers = [alice, address(this), address(native), address(gateway)];
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(ITransferGuard.OnlyHub.selector, callers[i]));
            guard.onAnswer(answer(requestId, RISK, 0, BOUND - 1));
        }
        is_(key, ITransferGuard.State.Asked);
    }

    function test_attack__answer_to_a_request_of_somebody_else_or_of_another_model__refused() public {
        (bytes32 id, bytes32 key) = arrives(native, 400e9);
        (bytes32 requestId,) = askIn(native, id);
        vm.startPrank(address(hub));
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotAsked.selector, bytes32("x")));
        guard.onAnswer(answer("x", RISK, 0, BOUND - 1));
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.WrongModel.selector, MODEL));
        guard.onAnswer(answer(requestId, MODEL, 0, BOUND - 1));
        guard.onAnswer(answer(requestId, RISK, 0, BOUND));
        is_(key, ITransferGuard.State.Denied);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotAsked.selector, requestId));
        guard.onAnswer(answer(requestId, RISK, 0, BOUND - 1));
        vm.stopPrank();
    }

    function test_attack__answer_of_a_model_that_was_replaced__clears_nothing() public {
        (bytes32 id, bytes32 key) = arrives(native, 400e9);
        (, bytes memory body) = askIn(native, id);
        bytes32 next = keccak256("a better model");
        registry.register(_riskModel(next));
        ITransferGuard.Settings memory changed = settings(PROVEN);
        changed.modelId = next;
        guard.setSettings(address(native), changed);
        proven(body, BOUND - 1);
        is_(key, ITransferGuard.State.None);
        // A bound that was tightened meanwhile holds too.
        guard.setSettings(address(native), settings(PROVEN));
        (, body) = askIn(native, id);
        changed = settings(PROVEN);
        changed.scoreBound = 100;
        guard.setSettings(address(native), changed);
        proven(body, 100);
        is_(key, ITransferGuard.State.Denied);
    }

    // ---- clearances

    function test_attack__outbound_clearance_for_another_amount_recipient_sender_or_bridge__refused() public {
        _clearOut(20e9);
        vm.startPrank(alice);
        vm.expectRevert(_noClearance(native, alice, SOL_USER, 20e9 + 1));
        native.crosschainTransfer(interop(SOL_USER), 20 ether + SCALE);
        vm.expectRevert(_noClearance(native, alice, SOL_USER, 20e9 - 1));
        native.crosschainTransfer(interop(SOL_USER), 20 ether - 1);
        bytes32 other = keccak256("another recipient");
        vm.expectRevert(_noClearance(native, alice, other, 20e9));
        native.crosschainTransfer(interop(other), 20 ether);
        token.transfer(prover, 20 ether);
        vm.stopPrank();
        vm.startPrank(prover);
        token.approve(address(native), 20 ether);
        vm.expectRevert(_noClearance(native, prover, SOL_USER, 20e9));
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
        vm.stopPrank();
        wrapped.setGuard(address(0), 0);
        receiveTokens(wrapped, alice, 20e9);
        wrapped.setGuard(address(guard), LIMIT);
        vm.startPrank(alice);
        vm.expectRevert(_noClearance(wrapped, alice, SOL_USER, 20e9));
        wrapped.crosschainTransfer(interop(SOL_USER), 20e9);
        // What it was for.
        native.crosschainTransfer(interop(SOL_USER), 20 ether, 0, 1 ether);
        vm.stopPrank();
    }

    function test_attack__outbound_clearance_twice_or_too_late__refused() public {
        _clearOut(20e9);
        vm.startPrank(alice);
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
        vm.expectRevert(_noClearance(native, alice, SOL_USER, 20e9));
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
        vm.stopPrank();
        bytes32 key = _clearOut(20e9);
        vm.warp(START + LIFETIME + 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NoClearance.selector, key));
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
        _clearOut(20e9);
        vm.warp(START + LIFETIME + 1 + LIFETIME);
        vm.prank(alice);
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
    }

    function test_attack__a_transfer_that_fails__does_not_use_up_the_clearance() public {
        bytes32 key = _clearOut(20e9);
        vm.startPrank(alice);
        token.approve(address(native), 0);
        vm.expectRevert();
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
        is_(key, ITransferGuard.State.Cleared);
        token.approve(address(native), 20 ether);
        native.crosschainTransfer(interop(SOL_USER), 20 ether);
        vm.stopPrank();
    }

    function test_attack__somebody_calls_the_guard_as_if_he_were_a_bridge__writes_under_his_own_name() public {
        bytes32 key = _clearOut(20e9);
        vm.startPrank(prover);
        vm.expectRevert(
            abi.encodeWithSelector(ITransferGuard.NoClearance.selector, guard.outboundKey(prover, alice, SOL_USER, 20e9))
        );
        guard.onOutbound(alice, SOL_USER, 20e9, true);
        guard.onOutbound(alice, SOL_USER, type(uint64).max, false);
        guard.onInbound(alice, type(uint64).max);
        vm.stopPrank();
        is_(key, ITransferGuard.State.Cleared);
        vm.assertTrue(guard.movedToday(address(native), false) == 0 && guard.isFresh(address(native), alice, true), "untouched");
    }

    function test_attack__ask_for_what_is_not_there_or_not_guarded__refused() public {
        vm.startPrank(prover);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotWaiting.selector, bytes32("x")));
        guard.askInbound{value: RISK_PRICE}(address(native), "x");
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NoSettings.selector, prover));
        guard.askInbound{value: RISK_PRICE}(prover, "x");
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NoSettings.selector, prover));
        guard.askOutbound{value: RISK_PRICE}(prover, SOL_USER, 20e9);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotGuarded.selector, address(native), LIMIT));
        guard.askOutbound{value: RISK_PRICE}(address(native), SOL_USER, LIMIT);
        vm.expectRevert(abi.encodeWithSelector(IOracleHub.FeeTooLow.selector, RISK_PRICE, RISK_PRICE - 1));
        guard.askOutbound{value: RISK_PRICE - 1}(address(native), SOL_USER, 20e9);
        vm.stopPrank();
        native.setGuard(address(0), 0);
        vm.prank(prover);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotGuarded.selector, address(native), 20e9));
        guard.askOutbound{value: RISK_PRICE}(address(native), SOL_USER, 20e9);
    }

    function test_attack__asked_again_until_the_score_fits__once_alone() public {
        (bytes32 id, bytes32 key) = arrives(native, 400e9);
        (bytes32 requestId, bytes memory body) = askIn(native, id);
        vm.prank(prover);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.AlreadyAsked.selector, key, requestId));
        guard.askInbound{value: RISK_PRICE}(address(native), id);
        proven(body, BOUND);
        vm.warp(START + 400 days);
        vm.prank(prover);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.AlreadyDecided.selector, key, ITransferGuard.State.Denied));
        guard.askInbound{value: RISK_PRICE}(address(native), id);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, id));
        native.release(id);
    }

    function test_attack__roles__others_set_and_decide_nothing() public {
        (bytes32 id, bytes32 key) = arrives(native, 400e9);
        ITransferGuard.Settings memory some = settings(ATTESTED);
        address[2] memory others = [alice, GUARDIAN];
        for (uint256 i = 0; i < 2; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotAllowed.selector, others[i]));
            guard.setSettings(address(native), some);
            vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotAllowed.selector, others[i]));
            guard.decide(key, true, 0);
            vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAllowed.selector, others[i]));
            native.setGuard(address(0), 0);
            vm.stopPrank();
        }
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotAllowed.selector, alice));
        guard.decide(key, false, 0);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotAGuard.selector, alice));
        native.setGuard(alice, 1);
        // A guardian stops what a score cleared, as he could by a pause.
        (, bytes memory body) = askIn(native, id);
        proven(body, BOUND - 1);
        vm.prank(GUARDIAN);
        guard.decide(key, false, 0);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotCleared.selector, id));
        native.release(id);
    }

    // ---- the money

    function test_attack__fee_back_twice_or_to_another__refused() public {
        (bytes32 id,) = arrives(native, 400e9);
        (bytes32 requestId,) = askIn(native, id);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.StillPending.selector, requestId, START + 1 hours));
        guard.settle(requestId);
        vm.warp(START + 1 hours + 1);
        hub.refund(requestId); // anyone may, at the hub
        hub.withdrawFor(address(guard));
        guard.settle(requestId);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NotAsked.selector, requestId));
        guard.settle(requestId);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NothingToWithdraw.selector, alice));
        guard.withdraw();
        uint256 before = prover.balance;
        vm.startPrank(prover);
        guard.withdraw();
        vm.assertEq(prover.balance - before, RISK_PRICE, "back");
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.NothingToWithdraw.selector, prover));
        guard.withdraw();
        vm.stopPrank();
        vm.assertEq(address(guard).balance, 0, "nothing is left");
    }

    function test_attack__asker_reenters_or_refuses_his_fee__takes_his_own_alone() public {
        (bytes32 first,) = arrives(native, 100e9);
        (bytes32 second,) = arrives(native, 100e9);
        GreedyAsker greedy = new GreedyAsker(guard);
        bytes32 one = greedy.ask{value: RISK_PRICE}(address(native), first);
        (bytes32 two,) = askIn(native, second);
        vm.warp(START + 1 hours + 1);
        guard.settle(one);
        guard.settle(two);
        greedy.setRefuses(true);
        vm.expectRevert(abi.encodeWithSelector(ITransferGuard.TransferFailed.selector, address(greedy)));
        greedy.withdraw();
        greedy.setRefuses(false);
        greedy.withdraw();
        vm.assertFalse(greedy.worked(), "not again within");
        vm.assertEq(address(greedy).balance, RISK_PRICE, "his own");
        vm.prank(prover);
        guard.withdraw();
        vm.assertEq(address(guard).balance + hub.creditOf(address(guard)), 0, "all paid");
        vm.prank(alice);
        (bool ok,) = address(guard).call{value: 1}("");
        vm.assertFalse(ok, "takes no ether from others");
    }

    // ---- words

    function _riskModel(bytes32 id) private view returns (IModelRegistry.Model memory risk) {
        risk = registry.model(RISK);
        risk.id = id;
    }

    function _clearOut(uint64 amount) private returns (bytes32 key) {
        (, bytes memory body) = askOut(native, amount);
        proven(body, BOUND - 1);
        key = guard.outboundKey(address(native), alice, SOL_USER, amount);
        is_(key, ITransferGuard.State.Cleared);
    }

    function _noClearance(ITokenBridge bridge, address from, bytes32 to, uint64 amount) private view returns (bytes memory) {
        return abi.encodeWithSelector(ITransferGuard.NoClearance.selector, guard.outboundKey(address(bridge), from, to, amount));
    }
}
