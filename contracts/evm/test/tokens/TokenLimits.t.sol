// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {TokenBucket} from "../../src/tokens/TokenBucket.sol";
import {TokenWorld} from "./TokenWorld.sol";

/// @dev A bucket on its own.
contract BucketHarness {
    using TokenBucket for TokenBucket.Bucket;

    TokenBucket.Bucket private _bucket;

    function set(ITokenBridge.Rate calldata rate) external {
        _bucket.set(rate);
    }

    function tryTake(uint64 amount) external returns (bool) {
        return _bucket.tryTake(amount);
    }

    function available() external view returns (uint256) {
        return _bucket.available();
    }
}

/// @title Token buckets, the queue and the caps
contract TokenLimitsTest is TokenWorld {
    uint64 private constant MAX = type(uint64).max;

    // ---- the bucket

    function test_bucket__takes_until_empty_and_refills_up_to_its_capacity() public {
        BucketHarness bucket = new BucketHarness();
        vm.assertTrue(bucket.tryTake(MAX) && bucket.tryTake(MAX), "no limit at first");
        bucket.set(rate(100, 10));
        vm.assertEq(bucket.available(), 100, "begins full");
        vm.assertTrue(bucket.tryTake(60), "some");
        vm.assertFalse(bucket.tryTake(41), "more than is left");
        vm.assertEq(bucket.available(), 40, "nothing taken by a refusal");
        vm.assertTrue(bucket.tryTake(40), "all");
        vm.warp(START + 3);
        vm.assertEq(bucket.available(), 30, "refilled");
        vm.warp(START + 1000 days);
        vm.assertEq(bucket.available(), 100, "not over the capacity");
        vm.assertFalse(bucket.tryTake(101), "never more than the capacity");
    }

    function test_bucket__changed__never_refills_by_the_change() public {
        BucketHarness bucket = new BucketHarness();
        bucket.set(rate(100, 10));
        bucket.tryTake(100);
        bucket.set(rate(200, 1));
        vm.assertEq(bucket.available(), 0, "a larger one");
        vm.warp(START + 150);
        bucket.set(rate(50, 1));
        vm.assertEq(bucket.available(), 50, "a smaller one");
        bucket.set(unlimited());
        vm.assertEq(bucket.available(), type(uint256).max, "none");
        bucket.set(rate(0, MAX));
        vm.warp(START + 1000 days);
        vm.assertFalse(bucket.tryTake(1), "capacity 0 lets nothing through");
    }

    /// @dev Over any time no more passes than the capacity and what was refilled.
    function testFuzz_bucket__never_lets_more_through(
        uint64 capacity,
        uint64 refill,
        uint64[12] memory amounts,
        uint16[12] memory waits
    ) public {
        BucketHarness bucket = new BucketHarness();
        bucket.set(rate(capacity, refill));
        uint256 passed;
        uint256 elapsed;
        for (uint256 i = 0; i < amounts.length; ++i) {
            elapsed += waits[i];
            vm.warp(START + elapsed);
            uint64 amount = i % 2 == 0 ? amounts[i] : uint64(amounts[i] % (uint256(capacity) + 1));
            bool fits = amount <= bucket.available();
            vm.assertTrue(bucket.tryTake(amount) == fits, "takes what is available");
            if (fits) passed += amount;
            vm.assertTrue(passed <= capacity + elapsed * refill, "bounded");
        }
    }

    // ---- outbound

    function test_outbound__over_the_rate__refused_until_refilled() public {
        native.setLimits(limits(rate(3e9, 1e6), unlimited()));
        lock(2 ether);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.RateLimited.selector, 1e9 + 1, 1e9));
        lock(1 ether + SCALE);
        lock(1 ether);
        vm.warp(START + 500);
        lock(0.5 ether);
        (uint256 out,) = native.available();
        vm.assertEq(out, 0, "empty again");
        vm.assertEq(native.locked(), 3.5e9, "locked");
    }

    function test_outbound__wrapped__has_a_rate_too() public {
        receiveTokens(wrapped, alice, 100);
        wrapped.setLimits(limits(rate(60, 1), unlimited()));
        vm.startPrank(alice);
        wrapped.crosschainTransfer(interop(SOL_USER), 60);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.RateLimited.selector, 40, 0));
        wrapped.crosschainTransfer(interop(SOL_USER), 40);
        vm.stopPrank();
    }

    function test_cap__native__most_that_is_locked() public {
        native.setLimits(capped(3e9));
        lock(3 ether);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.CapExceeded.selector, 3e9 + 1, 3e9));
        lock(SCALE);
        receiveTokens(native, prover, 1e9);
        lock(1 ether);
    }

    function test_cap__wrapped__message_stays_until_there_is_room() public {
        wrapped.setLimits(capped(100));
        receiveTokens(wrapped, alice, 90);
        bytes memory body = fromSolana(address(wrapped), payloadTo(alice, 11));
        expectRefused(body, abi.encodeWithSelector(ITokenBridge.CapExceeded.selector, 101, 100));
        vm.prank(alice);
        wrapped.crosschainTransfer(interop(SOL_USER), 1);
        deliver(body);
        vm.assertEq(wrapped.minted(), 100, "minted");
    }

    // ---- inbound and the queue

    function test_inbound__over_the_rate__queued_and_released_after_the_delay() public {
        wrapped.setLimits(limits(unlimited(), rate(50, 1)));
        receiveTokens(wrapped, alice, 30);
        bytes memory body = fromSolana(address(wrapped), payloadTo(prover, 21));
        bytes32 id = bodyDigest(body);
        vm.expectEmit(true, true, true, true, address(wrapped));
        emit ITokenBridge.Queued(id, prover, 21, START + 1 hours, false);
        deliver(body);
        vm.assertEq(wrappedToken.balanceOf(prover), 0, "nothing yet");
        vm.assertEq(wrapped.queued(), 21, "queued");
        vm.assertEq(wrapped.waiting(id).to, prover, "entry");
        receiveTokens(wrapped, alice, 20); // the bucket kept what the queued one did not get
        vm.warp(START + 1 hours - 1);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.StillQueued.selector, id, START + 1 hours));
        wrapped.release(id);
        vm.warp(START + 1 hours);
        vm.expectEmit(true, true, true, true, address(wrapped));
        emit ITokenBridge.Released(id, prover, 21);
        vm.prank(address(0xA27)); // anyone
        wrapped.release(id);
        vm.assertEq(wrappedToken.balanceOf(prover), 21, "paid");
        vm.assertEq(wrapped.minted(), 71, "minted");
        vm.assertEq(wrapped.queued(), 0, "queue");
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.NotQueued.selector, id));
        wrapped.release(id);
    }

    function test_queue__native__keeps_what_it_promised() public {
        lock(10 ether);
        native.setLimits(limits(unlimited(), rate(1e9, 0)));
        bytes32 id = receiveTokens(native, prover, 8e9);
        vm.assertEq(native.locked(), 10e9, "still locked");
        // 10 are locked, 8 of them promised.
        bytes memory body = fromSolana(address(native), payloadTo(treasury, 2e9 + 1));
        expectRefused(body, abi.encodeWithSelector(ITokenBridge.InsufficientLocked.selector, 2e9 + 1, 2e9));
        receiveTokens(native, treasury, 1e9);
        vm.warp(START + 1 hours);
        native.release(id);
        vm.assertEq(token.balanceOf(prover), 8 ether, "paid");
        vm.assertEq(native.locked(), 1e9, "locked");
    }

    function test_queue__delay_changed__entries_keep_theirs() public {
        wrapped.setLimits(limits(unlimited(), rate(0, 0)));
        bytes32 id = receiveTokens(wrapped, prover, 5);
        ITokenBridge.Limits memory changed = limits(unlimited(), unlimited());
        changed.queueDelay = 30 days + 1;
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.QueueDelayTooLong.selector, 30 days + 1, 30 days));
        wrapped.setLimits(changed);
        changed.queueDelay = 30 days;
        wrapped.setLimits(changed);
        vm.warp(START + 1 hours);
        wrapped.release(id);
    }

    function test_queue__over_the_cap__waits_until_there_is_room() public {
        ITokenBridge.Limits memory tight = limits(unlimited(), rate(0, 0));
        (tight.capped, tight.cap) = (true, 4);
        wrapped.setLimits(tight);
        bytes32 id = receiveTokens(wrapped, prover, 5);
        vm.warp(START + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(ITokenBridge.CapExceeded.selector, 5, 4));
        wrapped.release(id);
        vm.assertEq(wrapped.queued(), 5, "still there");
        tight.cap = 5;
        wrapped.setLimits(tight);
        wrapped.release(id);
    }

    function test_limits__set__reported() public {
        ITokenBridge.Limits memory given = ITokenBridge.Limits(rate(7, 8), rate(9, 10), true, 11, 12);
        vm.expectEmit(true, true, true, true, address(native));
        emit ITokenBridge.LimitsSet(given);
        native.setLimits(given);
        vm.assertEq(abi.encode(native.limits()), abi.encode(given), "limits");
    }

    // ---- amounts

    function testFuzz_amounts__any__what_leaves_is_what_is_locked_and_dust_stays(uint256 amount) public {
        uint256 most = SCALE * uint256(MAX);
        amount = amount % (most + 10 * SCALE);
        token.mint(alice, amount);
        uint256 before = token.balanceOf(alice);
        vm.prank(alice);
        (bool ok,) = address(native).call(transferCall(interop(SOL_USER), amount));
        uint256 wire = amount / SCALE;
        vm.assertTrue(ok == (wire >= 1 && wire <= MAX), "allowed");
        if (!ok) wire = 0;
        vm.assertEq(native.locked(), wire, "locked");
        vm.assertEq(before - token.balanceOf(alice), wire * SCALE, "taken");
        vm.assertEq(token.balanceOf(address(native)), wire * SCALE, "vault");
        if (ok) receiveTokens(native, prover, wire);
        vm.assertEq(token.balanceOf(prover), wire * SCALE, "there and back");
    }
}
