// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITransferGuard} from "../../src/guard/ITransferGuard.sol";
import {TransferGuard} from "../../src/guard/TransferGuard.sol";
import {IGateway} from "../../src/interfaces/IGateway.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {NativeBridge} from "../../src/tokens/NativeBridge.sol";
import {WrappedBridge} from "../../src/tokens/WrappedBridge.sol";
import {WrappedToken} from "../../src/tokens/WrappedToken.sol";
import {Bodies} from "../support/Bodies.sol";
import {TokenWorld} from "./TokenWorld.sol";
import {PlainToken} from "./Tokens.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Random interleavings of transfers with fees and expiries, deliveries, lapses and refunds, replays, pauses, limits, the guard's holds,
/// releases and emergency exits
/// @dev Each act is tried whether or not it is allowed, and the handler knows from its own model which it is. The other chain is a model
/// too: it takes what goes out or lets it lapse, holds what came over (and may send back at most that), and has a vault of its own for the
/// wrapped token.
contract TokenHandler is TokenWorld {
    /// @dev A message to this chain: a transfer in, or the word that a transfer out lapsed.
    struct Sent {
        bytes body;
        address to;
        uint64 amount;
        uint64 fee;
        bool delivered;
        bool native_;
        bool refund;
    }

    /// @dev A transfer out, until the other chain has taken it or it has lapsed.
    struct Out {
        bytes32 id;
        uint64 sequence;
        address from;
        uint64 amount;
        uint64 fee;
        uint64 expiry;
        bool native_;
        bool settled;
    }

    struct Side {
        uint256 inTransit; // wire units, sent by the other chain and not delivered
        uint256 outTransit; // sent from here and not taken there, nor come back
        uint256 received; // delivered by messages, refunds and those that were queued among them
        uint256 sent; // sent from here
        uint256 queued; // promised
        uint256 held; // by the guard
        uint256 remote; // what the other chain may still send
        uint256 exited;
        bool paused;
        uint256 level; // of the inbound bucket
        uint256 levelAt;
        uint256 capacity;
        uint256 refill;
        bool limited;
        bool capped;
        uint256 cap;
        bool guarded;
        uint256 guardLimit;
    }

    uint256 private constant REMOTE_VAULT = 1e15;
    uint32 private constant QUEUE_DELAY = 1 hours;
    address public constant RELAYER = address(0x9E1A);
    address public constant SAFE = address(0x5AFE);

    TransferGuard public guard;
    Side[2] private _sides; // 0 wrapped, 1 native
    Sent[] public messages;
    Out[] private _outs;
    bytes32[] private _queue;
    mapping(bytes32 id => uint256) private _releasableAt;
    mapping(bytes32 id => bool) private _waits;
    mapping(bytes32 id => bool) private _cleared;
    mapping(bytes32 id => bool) private _held;
    mapping(bytes32 id => bool) private _ofNative;
    mapping(bytes32 act => uint256) public done;
    address[3] private _actors;

    constructor() {
        setUp();
        guard = new TransferGuard(factory, hub);
        _actors = [alice, prover, treasury];
        for (uint256 i = 0; i < 3; ++i) {
            token.mint(_actors[i], 1e9 ether + 7);
            vm.prank(_actors[i]);
            token.approve(address(native), type(uint256).max);
        }
        _sides[0].remote = REMOTE_VAULT;
    }

    function parts() external view returns (NativeBridge, WrappedBridge, PlainToken, WrappedToken, address[3] memory) {
        return (native, wrapped, token, wrappedToken, _actors);
    }

    function side(uint256 i) external view returns (Side memory) {
        return _sides[i];
    }

    function count() external view returns (uint256) {
        return messages.length;
    }

    // ---- acts

    /// @dev A user sends from here: dust and all, on any terms, cleared by the guard or not.
    function sendAct(uint256 who, uint256 amount, uint256 fee, uint32 life, bool cleared, bool isNative) external {
        uint256 scale = isNative ? SCALE : 1;
        amount = amount % (who % 5 == 0 ? 2e5 * scale : 2e9 * scale);
        Out memory o;
        (o.from, o.native_, o.sequence) = (_actors[who % 3], isNative, gateway.nextSequence());
        o.amount = uint64(amount / scale);
        o.fee = uint64(fee % (uint256(o.amount) + 2));
        o.expiry = uint64(block.timestamp) + life % 3 days;
        _send(o, amount, cleared);
    }

    function _send(Out memory o, uint256 amount, bool cleared) private {
        Side storage s = _sides[o.native_ ? 1 : 0];
        uint256 balance = _balance(o.native_, o.from);
        bool allowed = _maySend(s, o, balance, cleared);
        if (cleared) guard.decide(guard.outboundKey(address(_bridge(o.native_)), o.from, SOL_USER, o.amount), true, 0);
        bytes memory call = _call(o, amount);
        vm.prank(o.from);
        (bool ok, bytes memory id) = address(_bridge(o.native_)).call(call);
        vm.assertTrue(ok == allowed, "send");
        if (!ok) return;
        o.id = abi.decode(id, (bytes32));
        _outs.push(o);
        s.sent += o.amount;
        s.outTransit += o.amount;
        vm.assertEq(balance - _balance(o.native_, o.from), o.amount * (o.native_ ? SCALE : 1), "dust stays");
        ++done[o.native_ ? bytes32("lock") : bytes32("burn")];
    }

    function _maySend(Side storage s, Out memory o, uint256 balance, bool cleared) private view returns (bool) {
        if (s.paused || o.amount == 0 || o.fee >= o.amount || o.expiry <= block.timestamp) return false;
        if (o.amount * (o.native_ ? SCALE : 1) > balance) return false;
        if (o.native_ && s.capped && native.locked() + o.amount > s.cap) return false;
        return cleared || !s.guarded || o.amount <= s.guardLimit || _standing(o);
    }

    /// @dev A clearance of an earlier act that was not used.
    function _standing(Out memory o) private view returns (bool) {
        bytes32 key = guard.outboundKey(address(_bridge(o.native_)), o.from, SOL_USER, o.amount);
        return guard.clearanceOf(key).state == ITransferGuard.State.Cleared;
    }

    function _call(Out memory o, uint256 amount) private pure returns (bytes memory) {
        uint256 fee = o.fee * (o.native_ ? SCALE : 1);
        string memory signature = "crosschainTransfer(bytes,uint256,uint64,uint256)";
        return abi.encodeWithSignature(signature, interop(SOL_USER), amount, o.expiry, fee);
    }

    /// @dev The other chain takes what came, in time, or never.
    function takeAct(uint256 which) external {
        if (_outs.length == 0) return;
        Out storage o = _outs[which % _outs.length];
        if (o.settled) return;
        o.settled = true;
        Side storage s = _sides[o.native_ ? 1 : 0];
        if (block.timestamp <= o.expiry) {
            s.outTransit -= o.amount;
            s.remote += o.amount;
            ++done["take"];
            return;
        }
        bytes memory payload = payloadFrom(o.from, SOL_USER, o.amount, o.fee);
        bytes memory body = Bodies.encode(nonDelivery(address(_bridge(o.native_)), o.sequence, o.id, payload));
        messages.push(Sent(body, o.from, o.amount, 0, false, o.native_, true));
        ++done["lapse"];
    }

    /// @dev The other chain sends: never more than it has. Delivered later, in any order.
    function remoteSendAct(uint256 who, uint256 amount, uint256 fee, bool isNative) external {
        Side storage s = _sides[isNative ? 1 : 0];
        if (s.remote == 0) return;
        uint64 wire = uint64(clamp(amount, 1, s.remote < 3e9 ? s.remote : 3e9));
        uint64 part = who % 4 == 0 ? 0 : uint64(fee % wire);
        address to = _actors[who % 3];
        s.remote -= wire;
        s.inTransit += wire;
        bytes memory body = fromSolana(address(_bridge(isNative)), payloadTo(to, wire, part));
        messages.push(Sent(body, to, wire, part, false, isNative, false));
    }

    function deliverAct(uint256 which, bool byRelayer) external {
        if (messages.length == 0) return;
        Sent storage m = messages[which % messages.length];
        Side storage s = _sides[m.native_ ? 1 : 0];
        uint256 before = _balance(m.native_, m.to);
        uint256 feeBefore = _balance(m.native_, RELAYER);
        bool fits = !(s.guarded && m.amount > s.guardLimit) && (!s.limited || m.amount <= _level(s));
        // Over the rate, or held by the guard, it is queued, which the cap does not hinder.
        bool allowed = !m.delivered && !s.paused;
        allowed = allowed && (m.native_ ? m.amount + s.queued <= native.locked() : !fits || _underCap(s, m.amount));
        bool ok = _tryDeliverBy(byRelayer ? RELAYER : m.to, m.body);
        vm.assertTrue(ok == allowed, "deliver");
        if (!ok) {
            if (m.delivered) ++done["replay"];
            return;
        }
        uint256 fee = fits && byRelayer ? m.fee : 0;
        uint256 scale = m.native_ ? SCALE : 1;
        vm.assertEq(_balance(m.native_, m.to) - before, (fits ? m.amount - fee : 0) * scale, "paid");
        vm.assertEq(_balance(m.native_, RELAYER) - feeBefore, fee * scale, "fee");
        if (fee != 0) ++done["fee"];
        _delivered(m, s, fits);
    }

    function _delivered(Sent storage m, Side storage s, bool fits) private {
        m.delivered = true;
        if (m.refund) s.outTransit -= m.amount;
        else s.inTransit -= m.amount;
        s.received += m.amount;
        if (fits) {
            if (s.limited) (s.level, s.levelAt) = (_level(s) - m.amount, block.timestamp);
            ++done[m.refund ? bytes32("refund") : m.native_ ? bytes32("release") : bytes32("mint")];
            return;
        }
        bytes32 id = m.refund ? _idIn(m.body) : Bodies.digest(m.body);
        _queue.push(id);
        (_waits[id], _ofNative[id], _releasableAt[id]) = (true, m.native_, block.timestamp + QUEUE_DELAY);
        _held[id] = s.guarded && m.amount > s.guardLimit;
        if (_held[id]) s.held += m.amount;
        else s.queued += m.amount;
        ++done["queue"];
    }

    function releaseAct(uint256 which) external {
        if (_queue.length == 0) return;
        bytes32 id = _queue[which % _queue.length];
        bool isNative = _ofNative[id];
        Side storage s = _sides[isNative ? 1 : 0];
        ITokenBridge.Waiting memory entry = _bridge(isNative).waiting(id);
        (bool allowed, bool byRate) = _mayRelease(s, id, entry.amount);
        uint256 before = _balance(isNative, entry.to);
        (bool ok,) = address(_bridge(isNative)).call(abi.encodeCall(ITokenBridge.release, (id)));
        vm.assertTrue(ok == allowed, "release");
        if (!ok) return;
        if (byRate && s.limited) (s.level, s.levelAt) = (_level(s) - entry.amount, block.timestamp);
        _waits[id] = false;
        if (_held[id]) s.held -= entry.amount;
        else s.queued -= entry.amount;
        vm.assertEq(_balance(isNative, entry.to) - before, uint256(entry.amount) * (isNative ? SCALE : 1), "paid");
        ++done[s.guarded && entry.amount > s.guardLimit ? bytes32("cleared") : bytes32("unqueue")];
    }

    function _mayRelease(Side storage s, bytes32 id, uint256 amount) private view returns (bool, bool byRate) {
        bool held = s.guarded && amount > s.guardLimit;
        bool late = block.timestamp >= _releasableAt[id];
        byRate = !late && held && (!s.limited || amount <= _level(s));
        if (!_waits[id] || s.paused || (held && !_cleared[id]) || !(late || byRate)) return (false, byRate);
        if (!_ofNative[id]) return (_underCap(s, amount), byRate);
        return (!_held[id] || amount + s.queued <= native.locked(), byRate);
    }

    /// @dev A guard or none, and what it thinks of something that waits.
    function guardAct(bool on, uint256 limit, bool isNative) external {
        Side storage s = _sides[isNative ? 1 : 0];
        (s.guarded, s.guardLimit) = (on, limit % 2e9);
        _bridge(isNative).setGuard(on ? address(guard) : address(0), uint64(s.guardLimit));
        ++done["guard"];
    }

    function decideAct(uint256 which, bool clear) external {
        if (_queue.length == 0) return;
        bytes32 id = _queue[which % _queue.length];
        guard.decide(guard.inboundKey(address(_bridge(_ofNative[id])), id), clear, 0);
        _cleared[id] = clear;
        ++done["decide"];
    }

    /// @dev Governance takes tokens out, mostly when it may not.
    function exitAct(uint256 amount, bool waited) external {
        Side storage s = _sides[1];
        if (waited) {
            factory.pause(address(native));
            s.paused = true;
            vm.warp(block.timestamp + 7 days);
        }
        uint256 since = native.pausedSince();
        (uint256 begin, uint256 left) = native.exitPeriod();
        if (block.timestamp >= begin + 1 days) left = native.locked() / 10;
        amount = amount % (left + 2);
        bool allowed = since != 0 && block.timestamp >= since + 7 days && amount != 0 && amount <= left;
        allowed = allowed && amount + s.queued <= native.locked();
        (bool ok,) = address(native).call(abi.encodeCall(native.emergencyExit, (SAFE, amount)));
        vm.assertTrue(ok == allowed, "exit");
        if (!ok) return;
        s.exited += amount;
        ++done["exit"];
    }

    function pauseAct(uint8 dice, bool isNative) external {
        // Mostly running.
        bool paused = dice < 60;
        if (paused) vm.prank(GUARDIAN);
        if (paused) factory.pause(address(_bridge(isNative)));
        else factory.unpause(address(_bridge(isNative)));
        _sides[isNative ? 1 : 0].paused = paused;
        ++done[paused ? bytes32("pause") : bytes32("resume")];
    }

    function limitAct(uint64 capacity, uint64 refill, bool limited, uint256 cap, bool isNative) external {
        Side storage s = _sides[isNative ? 1 : 0];
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

    function _underCap(Side storage s, uint256 amount) private view returns (bool) {
        return !s.capped || wrapped.minted() + amount <= s.cap;
    }

    function _tryDeliverBy(address relayer, bytes memory body) private returns (bool ok) {
        (IGateway.Attestation memory a, IGateway.Delivery[] memory d) = attest(body);
        vm.prank(relayer);
        (ok,) = address(gateway).call(abi.encodeCall(IGateway.deliver, (a, d)));
    }

    /// @dev The digest that a non-delivery tells of: its payload's first word.
    function _idIn(bytes memory body) private pure returns (bytes32 id) {
        assembly ("memory-safe") {
            id := mload(add(body, add(0x20, 216)))
        }
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
        bytes4[] memory selectors = new bytes4[](18);
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
        selectors[12] = TokenHandler.takeAct.selector;
        selectors[13] = TokenHandler.takeAct.selector;
        selectors[14] = TokenHandler.guardAct.selector;
        selectors[15] = TokenHandler.decideAct.selector;
        selectors[16] = TokenHandler.exitAct.selector;
        selectors[17] = TokenHandler.deliverAct.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(_handler), selectors);
    }

    /// @dev Every wire unit that was ever locked is somewhere, once: what is locked here, less what governance took out, covers all that
    /// the other chain minted and may redeem, what is on its way there or back, and what waits.
    function invariant_locked__covers_what_may_be_redeemed() public view {
        TokenHandler.Side memory s = _handler.side(1);
        vm.assertEq(
            _native.locked() + s.exited, s.remote + s.inTransit + s.outTransit + s.queued + s.held, "every wire unit is somewhere"
        );
        vm.assertEq(_native.locked() + s.exited, s.sent - (s.received - s.queued - s.held), "sent less paid");
        vm.assertTrue(_native.locked() + s.exited >= s.remote, "locked covers minted");
        vm.assertTrue(_token.balanceOf(address(_native)) >= _native.locked() * SCALE, "vault");
        vm.assertTrue(_native.locked() >= _native.queued(), "promised");
        vm.assertEq(_native.queued(), s.queued, "queued");
    }

    function invariant_minted__is_received_less_burnt_less_queued() public view {
        TokenHandler.Side memory s = _handler.side(0);
        vm.assertEq(_wrapped.minted(), s.received - s.sent - s.queued - s.held, "minted");
        vm.assertEq(_wrappedToken.totalSupply(), _wrapped.minted(), "supply");
        vm.assertEq(_wrapped.queued(), s.queued, "queued");
        // The other chain's vault: all but what its users hold again.
        uint256 vault = 1e15 - s.remote;
        vm.assertEq(vault, _wrapped.minted() + s.queued + s.held + s.inTransit + s.outTransit, "every wire unit is somewhere");
        vm.assertTrue(vault >= _wrapped.minted(), "locked covers minted");
        vm.assertEq(_sum(IERC20(address(_wrappedToken))), _wrapped.minted(), "somebody has each");
    }

    /// @dev Nothing is lost and nothing made: all balances together are what was ever issued.
    function invariant_balances__sum_up() public view {
        vm.assertEq(_sum(IERC20(address(_token))) + _token.balanceOf(address(_native)), _token.totalSupply(), "native token");
    }

    function invariant_messages__delivered_once_as_the_model_says() public view {
        uint256[2] memory received;
        for (uint256 i = 0; i < _handler.count(); ++i) {
            (,, uint64 amount,, bool delivered, bool native_,) = _handler.messages(i);
            if (delivered) received[native_ ? 1 : 0] += amount;
        }
        vm.assertEq(received[0], _handler.side(0).received, "wrapped");
        vm.assertEq(received[1], _handler.side(1).received, "native");
    }

    function _sum(IERC20 erc20) private view returns (uint256 held) {
        for (uint256 i = 0; i < 3; ++i) {
            held += erc20.balanceOf(_actors[i]);
        }
        held += erc20.balanceOf(_handler.RELAYER()) + erc20.balanceOf(_handler.SAFE());
    }

    /// @dev A run of nothing but refusals would prove nothing: each act must happen where it is allowed.
    function test_handler__each_act__does_something() public {
        for (uint256 i = 0; i < 2; ++i) {
            bool isNative = i == 1;
            uint256 first = _handler.count();
            if (!isNative) _handler.remoteSendAct(0, 9e8, 0, false);
            if (!isNative) _handler.deliverAct(first++, true);
            _handler.sendAct(isNative ? 1 : 3, 5e8 * (isNative ? SCALE : 1), 7, 2 days, true, isNative);
            _handler.takeAct(2 * i);
            _handler.remoteSendAct(1, 2e8, 1e7, isNative);
            _handler.remoteSendAct(1, 1e8, 1e7, isNative);
            _handler.deliverAct(first, true);
            _handler.deliverAct(first, true);
            _handler.limitAct(0, 0, true, 1, isNative);
            _handler.deliverAct(first + 1, true);
            _handler.releaseAct(2 * i);
            _handler.pauseAct(0, isNative);
            _handler.timeAct(7200);
            _handler.releaseAct(2 * i);
            _handler.pauseAct(100, isNative);
            _handler.releaseAct(2 * i);
            _handler.limitAct(0, 0, false, 1, isNative);
            _handler.forgeAct(5, isNative);
            // Lapses, is held by the guard, and comes back when it is cleared.
            _handler.sendAct(isNative ? 1 : 3, 1e8 * (isNative ? SCALE : 1), 7, 60, true, isNative);
            _handler.timeAct(61);
            _handler.takeAct(2 * i + 1);
            _handler.guardAct(true, 5e7, isNative);
            _handler.deliverAct(first + 2, true);
            _handler.releaseAct(2 * i + 1);
            _handler.decideAct(2 * i + 1, true);
            _handler.releaseAct(2 * i + 1);
            _handler.guardAct(false, 0, isNative);
        }
        _handler.sendAct(1, 1e8 * SCALE, 7, 60, true, true);
        _handler.timeAct(61);
        _handler.takeAct(4);
        _handler.deliverAct(_handler.count() - 1, true);
        _handler.exitAct(5, false);
        _handler.sendAct(1, 1e8 * SCALE, 7, 60, true, true);
        _handler.exitAct(5, true);
        _handler.giveAct(0, 5);
        bytes32[19] memory acts = [
            bytes32("lock"),
            "burn",
            "release",
            "mint",
            "replay",
            "queue",
            "unqueue",
            "pause",
            "resume",
            "limit",
            "forge",
            "give",
            "take",
            "lapse",
            "refund",
            "cleared",
            "guard",
            "decide",
            "exit"
        ];
        for (uint256 i = 0; i < acts.length; ++i) {
            vm.assertTrue(_handler.done(acts[i]) != 0, string(abi.encodePacked(acts[i])));
        }
        vm.assertTrue(_handler.done("fee") != 0, "fee");
        invariant_locked__covers_what_may_be_redeemed();
        invariant_minted__is_received_less_burnt_less_queued();
        invariant_balances__sum_up();
        invariant_messages__delivered_once_as_the_model_says();
    }
}
