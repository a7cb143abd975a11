// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {NativeBridge} from "../../src/tokens/NativeBridge.sol";
import {WrappedBridge} from "../../src/tokens/WrappedBridge.sol";
import {WrappedToken} from "../../src/tokens/WrappedToken.sol";
import {Bodies} from "../support/Bodies.sol";
import {TokenWorld} from "./TokenWorld.sol";
import {PlainToken} from "./Tokens.sol";

/// @title Random interleavings of transfers, deliveries, replays, pauses, limits and releases
/// @dev Each act is tried whether or not it is allowed, and the handler knows from its own model which it is. The other chain is a model
/// too: it holds what came over (and may send back at most that), and has a vault of its own for the wrapped token.
contract TokenHandler is TokenWorld {
    struct Sent {
        bytes body;
        address to;
        uint64 amount;
        bool delivered;
        bool native_;
    }

    struct Side {
        uint256 inTransit; // wire units, sent by the other chain and not delivered
        uint256 received; // delivered by messages, those that were queued among them
        uint256 sent; // sent from here
        uint256 queued;
        uint256 remote; // what the other chain may still send
        bool paused;
        uint256 level; // of the inbound bucket
        uint256 levelAt;
        uint256 capacity;
        uint256 refill;
        bool limited;
        bool capped;
        uint256 cap;
    }

    uint256 private constant REMOTE_VAULT = 1e15;
    uint32 private constant QUEUE_DELAY = 1 hours;

    Side[2] public sides; // 0 wrapped, 1 native
    Sent[] public messages;
    bytes32[] private _queue;
    mapping(bytes32 id => uint256) private _releasableAt;
    mapping(bytes32 id => bool) private _waits;
    mapping(bytes32 id => bool) private _ofNative;
    mapping(bytes32 act => uint256) public done;
    address[3] private _actors;

    constructor() {
        setUp();
        _actors = [alice, prover, treasury];
        for (uint256 i = 0; i < 3; ++i) {
            token.mint(_actors[i], 1e9 ether + 7);
            vm.prank(_actors[i]);
            token.approve(address(native), type(uint256).max);
        }
        sides[0].remote = REMOTE_VAULT;
    }

    function parts() external view returns (NativeBridge, WrappedBridge, PlainToken, WrappedToken, address[3] memory) {
        return (native, wrapped, token, wrappedToken, _actors);
    }

    function side(uint256 i) external view returns (Side memory) {
        return sides[i];
    }

    function count() external view returns (uint256) {
        return messages.length;
    }

    // ---- acts

    /// @dev A user sends from here: dust and all.
    function sendAct(uint256 who, uint256 amount, bool isNative) external {
        Side storage s = sides[isNative ? 1 : 0];
        address from = _actors[who % 3];
        uint256 scale = isNative ? SCALE : 1;
        amount = amount % (who % 5 == 0 ? 2e5 * scale : 2e9 * scale);
        uint256 wire = amount / scale;
        uint256 balance = isNative ? token.balanceOf(from) : wrappedToken.balanceOf(from);
        bool allowed = !s.paused && wire != 0 && wire * scale <= balance;
        if (isNative && s.capped) allowed = allowed && native.locked() + wire <= s.cap;
        vm.prank(from);
        (bool ok,) = address(_bridge(isNative)).call(transferCall(interop(SOL_USER), amount));
        vm.assertTrue(ok == allowed, "send");
        if (!ok) return;
        s.sent += wire;
        s.remote += wire;
        uint256 left = isNative ? token.balanceOf(from) : wrappedToken.balanceOf(from);
        vm.assertEq(balance - left, wire * scale, "dust stays");
        ++done[isNative ? bytes32("lock") : bytes32("burn")];
    }

    /// @dev The other chain sends: never more than it has. Delivered later, in any order.
    function remoteSendAct(uint256 who, uint256 amount, bool isNative) external {
        Side storage s = sides[isNative ? 1 : 0];
        if (s.remote == 0) return;
        uint64 wire = uint64(clamp(amount, 1, s.remote < 3e9 ? s.remote : 3e9));
        address to = _actors[who % 3];
        s.remote -= wire;
        s.inTransit += wire;
        bytes memory body = fromSolana(address(_bridge(isNative)), payloadTo(to, wire));
        messages.push(Sent(body, to, wire, false, isNative));
    }

    function deliverAct(uint256 which) external {
        if (messages.length == 0) return;
        Sent storage m = messages[which % messages.length];
        Side storage s = sides[m.native_ ? 1 : 0];
        uint256 before = _balance(m.native_, m.to);
        bool fits = !s.limited || m.amount <= _level(s);
        // Over the rate it is queued, which the cap does not hinder.
        bool allowed = !m.delivered && !s.paused && (m.native_ || !fits || !s.capped || wrapped.minted() + m.amount <= s.cap);
        (bool ok,) = tryDeliver(m.body);
        vm.assertTrue(ok == allowed, "deliver");
        if (!ok) {
            if (m.delivered) ++done["replay"];
            return;
        }
        m.delivered = true;
        s.inTransit -= m.amount;
        s.received += m.amount;
        uint256 paid = fits ? m.amount : 0;
        vm.assertEq(_balance(m.native_, m.to) - before, paid * (m.native_ ? SCALE : 1), "paid");
        if (fits) {
            if (s.limited) (s.level, s.levelAt) = (_level(s) - m.amount, block.timestamp);
            ++done[m.native_ ? bytes32("release") : bytes32("mint")];
        } else {
            bytes32 id = Bodies.digest(m.body);
            _queue.push(id);
            (_waits[id], _ofNative[id], _releasableAt[id]) = (true, m.native_, block.timestamp + QUEUE_DELAY);
            s.queued += m.amount;
            ++done["queue"];
        }
    }

    function releaseAct(uint256 which) external {
        if (_queue.length == 0) return;
        bytes32 id = _queue[which % _queue.length];
        bool isNative = _ofNative[id];
        Side storage s = sides[isNative ? 1 : 0];
        ITokenBridge.Waiting memory entry = _bridge(isNative).waiting(id);
        bool allowed = _waits[id] && !s.paused && block.timestamp >= _releasableAt[id];
        if (!isNative && s.capped) allowed = allowed && wrapped.minted() + entry.amount <= s.cap;
        uint256 before = _balance(isNative, entry.to);
        (bool ok,) = address(_bridge(isNative)).call(abi.encodeCall(ITokenBridge.release, (id)));
        vm.assertTrue(ok == allowed, "release");
        if (!ok) return;
        _waits[id] = false;
        s.queued -= entry.amount;
        vm.assertEq(_balance(isNative, entry.to) - before, uint256(entry.amount) * (isNative ? SCALE : 1), "paid");
        ++done["unqueue"];
    }

    function pauseAct(uint8 dice, bool isNative) external {
        // Mostly running.
        bool paused = dice < 60;
        if (paused) vm.prank(GUARDIAN);
        if (paused) factory.pause(address(_bridge(isNative)));
        else factory.unpause(address(_bridge(isNative)));
        sides[isNative ? 1 : 0].paused = paused;
        ++done[paused ? bytes32("pause") : bytes32("resume")];
    }

    function limitAct(uint64 capacity, uint64 refill, bool limited, uint256 cap, bool isNative) external {
        Side storage s = sides[isNative ? 1 : 0];
        (capacity, refill) = (capacity % 4e9, refill % 1e7);
        uint256 level = s.limited ? _level(s) : type(uint256).max;
        ITokenBridge.Limits memory given = limits(unlimited(), limited ? rate(capacity, refill) : unlimited());
        given.queueDelay = QUEUE_DELAY;
        (given.capped, given.cap) = (cap % 3 == 0, uint120(cap % 2e10));
        _bridge(isNative).setLimits(given);
        (s.limited, s.capacity, s.refill) = (limited, capacity, refill);
        (s.level, s.levelAt) = (level < capacity ? level : capacity, block.timestamp);
        (s.capped, s.cap) = (given.capped, given.cap);
        ++done["limit"];
    }

    function timeAct(uint16 elapsed) external {
        vm.warp(block.timestamp + elapsed);
    }

    /// @dev Somebody posts a transfer's words himself: never taken.
    function forgeAct(uint256 amount, bool isNative) external {
        Bodies.Body memory b = authorityMessage(address(_bridge(isNative)), payloadTo(alice, clamp(amount, 1, 1e9)));
        b.sender = SOL_USER;
        (bool ok,) = tryDeliver(Bodies.encode(b));
        vm.assertFalse(ok, "forged");
        ++done["forge"];
    }

    /// @dev Tokens given to the vault are nobody's.
    function giveAct(uint256 who, uint256 amount) external {
        address from = _actors[who % 3];
        amount = amount % 1e9;
        if (token.balanceOf(from) < amount) return;
        vm.prank(from);
        token.transfer(address(native), amount);
        ++done["give"];
    }

    function _bridge(bool isNative) private view returns (ITokenBridge) {
        return isNative ? ITokenBridge(native) : ITokenBridge(wrapped);
    }

    function _balance(bool isNative, address account) private view returns (uint256) {
        return isNative ? token.balanceOf(account) : wrappedToken.balanceOf(account);
    }

    function _level(Side storage s) private view returns (uint256) {
        uint256 level = s.level + (block.timestamp - s.levelAt) * s.refill;
        return level < s.capacity ? level : s.capacity;
    }
}

contract TokenInvariantsTest is TokenWorld {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    TokenHandler private _handler;
    NativeBridge private _native;
    WrappedBridge private _wrapped;
    PlainToken private _token;
    WrappedToken private _wrappedToken;
    address[3] private _actors;

    function setUp() public override {
        _handler = new TokenHandler();
        (_native, _wrapped, _token, _wrappedToken, _actors) = _handler.parts();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory selectors = new bytes4[](12);
        selectors[0] = TokenHandler.sendAct.selector;
        selectors[1] = TokenHandler.remoteSendAct.selector;
        selectors[2] = TokenHandler.deliverAct.selector;
        selectors[3] = TokenHandler.releaseAct.selector;
        selectors[4] = TokenHandler.pauseAct.selector;
        selectors[5] = TokenHandler.limitAct.selector;
        selectors[6] = TokenHandler.timeAct.selector;
        selectors[7] = TokenHandler.forgeAct.selector;
        selectors[8] = TokenHandler.giveAct.selector;
        // The road of most transfers twice as often.
        selectors[9] = TokenHandler.sendAct.selector;
        selectors[10] = TokenHandler.remoteSendAct.selector;
        selectors[11] = TokenHandler.deliverAct.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(_handler), selectors);
    }

    /// @dev What is locked here covers all that the other chain may still redeem, is on its way, or waits.
    function invariant_locked__covers_what_may_be_redeemed() public view {
        TokenHandler.Side memory s = _handler.side(1);
        vm.assertEq(_native.locked(), s.remote + s.inTransit + s.queued, "every wire unit is somewhere");
        vm.assertTrue(_token.balanceOf(address(_native)) >= _native.locked() * SCALE, "vault");
        vm.assertTrue(_native.locked() >= _native.queued(), "promised");
    }

    function invariant_minted__is_received_less_burnt_less_queued() public view {
        TokenHandler.Side memory s = _handler.side(0);
        vm.assertEq(_wrapped.minted(), s.received - s.sent - s.queued, "minted");
        vm.assertEq(_wrappedToken.totalSupply(), _wrapped.minted(), "supply");
        vm.assertEq(_wrapped.queued(), s.queued, "queued");
        uint256 held;
        for (uint256 i = 0; i < 3; ++i) {
            held += _wrappedToken.balanceOf(_actors[i]);
        }
        vm.assertEq(held, _wrapped.minted(), "somebody has each");
    }

    function invariant_messages__delivered_once_as_the_model_says() public view {
        uint256[2] memory received;
        for (uint256 i = 0; i < _handler.count(); ++i) {
            (,, uint64 amount, bool delivered, bool native_) = _handler.messages(i);
            if (delivered) received[native_ ? 1 : 0] += amount;
        }
        vm.assertEq(received[0], _handler.side(0).received, "wrapped");
        vm.assertEq(received[1], _handler.side(1).received, "native");
    }

    /// @dev A run of nothing but refusals would prove nothing: each act must happen where it is allowed.
    function test_handler__each_act__does_something() public {
        for (uint256 i = 0; i < 2; ++i) {
            bool isNative = i == 1;
            _handler.sendAct(1, 1e9 * SCALE + 5, isNative);
            _handler.remoteSendAct(1, 4e8, isNative);
            _handler.remoteSendAct(1, 4e8, isNative);
            _handler.deliverAct(2 * i);
            _handler.deliverAct(2 * i);
            _handler.limitAct(0, 0, true, 1, isNative);
            _handler.deliverAct(2 * i + 1);
            _handler.releaseAct(i);
            _handler.pauseAct(0, isNative);
            _handler.timeAct(7200);
            _handler.releaseAct(i);
            _handler.pauseAct(100, isNative);
            _handler.releaseAct(i);
            _handler.forgeAct(5, isNative);
        }
        _handler.sendAct(1, 5e8, false);
        _handler.giveAct(0, 5);
        bytes32[12] memory acts = [
            bytes32("lock"), "burn", "release", "mint", "replay", "queue", "unqueue", "pause", "resume", "limit", "forge", "give"
        ];
        for (uint256 i = 0; i < acts.length; ++i) {
            vm.assertTrue(_handler.done(acts[i]) != 0, string(abi.encodePacked(acts[i])));
        }
        invariant_locked__covers_what_may_be_redeemed();
        invariant_minted__is_received_less_burnt_less_queued();
        invariant_messages__delivered_once_as_the_model_says();
    }
}
