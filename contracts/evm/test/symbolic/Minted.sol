// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {ITokenFactory} from "../../src/tokens/ITokenFactory.sol";
import {WrappedBridge} from "../../src/tokens/WrappedBridge.sol";
import {Symbolic} from "./Symbolic.sol";
import {IERC7786GatewaySource, IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @dev Counts what is minted and burnt, and refuses nobody.
contract CountingToken {
    uint256 public supplied;
    uint256 public burnt;

    function crosschainMint(address, uint256 amount) external {
        supplied += amount;
    }

    function crosschainBurn(address, uint256 amount) external {
        burnt += amount;
    }
}

/// @dev Takes what is posted; who delivers at this moment, and what it answers, may be anything.
contract AnyGateway {
    address public relayer;
    bytes32 private _sendId;

    function supportsAttribute(bytes4) external pure returns (bool) {
        return true;
    }

    function sendMessage(bytes calldata, bytes calldata, bytes[] calldata) external payable returns (bytes32) {
        return _sendId;
    }
}

/// @dev Clears or does not clear, refuses or does not refuse.
contract AnyGuard {
    bool private _refuses;
    mapping(address bridge => mapping(bytes32 id => bool)) public isCleared;

    function onOutbound(address, bytes32, uint64, bool) external view {
        require(!_refuses);
    }

    function onInbound(address, uint64) external view {
        require(!_refuses);
    }
}

/// @dev What a bridge reads; who governs and which recipients are refused may be anything.
contract AnyFactory {
    mapping(bytes32 role => mapping(address account => bool)) public hasRole;
    mapping(bytes32 recipient => bool) public isRefusedRecipient;
    IERC7786GatewaySource public immutable gateway;
    address private immutable _token;

    constructor(address gateway_, address token) {
        (gateway, _token) = (IERC7786GatewaySource(gateway_), token);
    }

    function deploy() external returns (address) {
        return address(new WrappedBridge());
    }

    function counterpart() public pure returns (bytes memory) {
        return abi.encodePacked(uint40(0x0001000220), keccak256("chain"), uint8(32), keccak256("authority"));
    }

    /// @dev A wrapped token has the wire's decimals: its scale is 1.
    function parameters() external view returns (ITokenFactory.Parameters memory given) {
        (given.nativeToken, given.token, given.wireDecimals, given.scale) = (keccak256("mint"), _token, 9, 1);
    }
}

/// @title Proofs: a wrapped token's bridge never mints more than what the gateway brought it
/// @dev By induction over calls of the bridge, each of its nine functions that are no views. Let P be `minted` and all that waits in the queue,
/// together. A call of the gateway raises P by at most the amount in its payload; {WrappedBridge-release} mints what waited and takes it from
/// the queue; nothing else raises P, and nobody else can call what the gateway calls. `minted` is at most P: it never exceeds the sum of the
/// amounts in what the gateway brought, each of which the committee signed, once each ({ReplayProof}). The token is told to mint and burn
/// exactly what `minted` rises and falls by.
///
/// Assumed: any storage of the bridge, so any history (but the guard is {AnyGuard} or none); any caller, time, relayer, governance, refused
/// recipients, and answers of the guard; calls of the token, the guard and the gateway do not call back (the bridge's lock is for those). The
/// counterpart and chain 31337 are fixed, the scale is 1 as the factory gives it. Each proof looks at two entries of the queue: that of the
/// call, and any other, which must not change.
contract MintedProof is Symbolic {
    struct State {
        uint256 minted;
        uint256 waits;
        uint256 otherWaits;
        uint256 supplied;
        uint256 burnt;
    }

    WrappedBridge private _bridge;
    CountingToken private _token;
    AnyFactory private _factory;
    address private _gateway;
    address private _guard;

    function setUp() public {
        _token = new CountingToken();
        _guard = address(new AnyGuard());
        _gateway = address(new AnyGateway());
        _factory = new AnyFactory(_gateway, address(_token));
        // Storage that a constructor wrote would be kept: the bridge's code moves to an account of its own.
        _bridge = WrappedBridge(_arbitrary(_factory.deploy(), address(0xb41d9e)));
        svm.enableSymbolicStorage(_guard);
        svm.enableSymbolicStorage(_gateway);
        svm.enableSymbolicStorage(address(_factory));
    }

    function check_receiveMessage__by_gateway__at_most_its_amount() public {
        (bytes32 id, bytes memory call, bytes memory payload) = _message();
        _comesIn(id, call, payload);
    }

    function refute_receiveMessage__never_mints() public {
        (bytes32 id, bytes memory call,) = _message();
        _refuteMints(_gateway, id, call);
    }

    function refute_receiveMessage__never_queues() public {
        (bytes32 id, bytes memory call,) = _message();
        _setGuard();
        vm.assume(_bridge.waiting(id).amount == 0);
        if (_call(_gateway, call)) assert(_bridge.waiting(id).amount == 0);
    }

    function check_receiveNonDelivery__by_gateway__at_most_its_amount() public {
        (bytes32 id, bytes memory call, bytes memory payload) = _notice();
        _comesIn(id, call, payload);
    }

    function refute_receiveNonDelivery__never_mints() public {
        (bytes32 id, bytes memory call,) = _notice();
        _refuteMints(_gateway, id, call);
    }

    function check_receive__not_by_gateway__reverts() public {
        address caller = svm.createAddress("caller");
        vm.assume(caller != _gateway);
        bytes memory payload = svm.createBytes(320, "payload");
        bytes32 id = svm.createBytes32("id");
        bytes memory call = svm.createBool("notice")
            ? abi.encodeCall(_bridge.receiveNonDelivery, (id, payload))
            : _receiveMessage(id, svm.createBytes(70, "sender"), payload);
        assert(!_call(caller, call));
    }

    function check_release__by_anybody__mints_what_waited_once() public {
        bytes32 id = svm.createBytes32("id");
        bytes32 other = _other(id);
        _setGuard();
        State memory before = _state(id, other);
        if (!_call(svm.createAddress("caller"), abi.encodeCall(_bridge.release, (id)))) return;
        State memory afterwards = _state(id, other);
        assert(afterwards.minted == before.minted + before.waits);
        assert(afterwards.waits == 0);
        _others(before, afterwards);
        // And not twice.
        assert(!_call(svm.createAddress("next caller"), abi.encodeCall(_bridge.release, (id))));
    }

    function refute_release__never_mints() public {
        bytes32 id = svm.createBytes32("id");
        _refuteMints(svm.createAddress("caller"), id, abi.encodeCall(_bridge.release, (id)));
    }

    function check_crosschainTransfer__by_anybody__burns_its_amount() public {
        bytes32 id = svm.createBytes32("id");
        bytes32 other = _other(id);
        _setGuard();
        uint256 amount = svm.createUint256("amount");
        bytes memory call = _transfer(amount);
        State memory before = _state(id, other);
        if (!_call(svm.createAddress("caller"), call)) return;
        State memory afterwards = _state(id, other);
        assert(amount <= type(uint64).max); // first: a sum that overflows would revert, which is no failure to halmos
        assert(afterwards.minted + amount == before.minted);
        assert(afterwards.waits == before.waits);
        _others(before, afterwards);
    }

    function refute_crosschainTransfer__never_done() public {
        _setGuard();
        assert(!_call(svm.createAddress("caller"), _transfer(svm.createUint256("amount"))));
    }

    function check_settings__by_anybody__count_nothing() public {
        bytes32 id = svm.createBytes32("id");
        bytes32 other = _other(id);
        State memory before = _state(id, other);
        bytes memory call = _setting();
        vm.warp(svm.createUint(40, "now"));
        if (!_call(svm.createAddress("caller"), call)) return;
        State memory afterwards = _state(id, other);
        assert(afterwards.minted == before.minted && afterwards.waits == before.waits);
        _others(before, afterwards);
    }

    function refute_settings__never_done() public {
        assert(!_call(svm.createAddress("caller"), _setting()));
    }

    /// @dev A call of the gateway with this id, whose amount lies at byte 64 of the payload.
    function _comesIn(bytes32 id, bytes memory call, bytes memory payload) private {
        bytes32 other = _other(id);
        _setGuard();
        uint256 amount;
        assembly {
            amount := mload(add(payload, 96))
        }
        State memory before = _state(id, other);
        if (!_call(_gateway, call)) return;
        State memory afterwards = _state(id, other);
        assert(amount <= type(uint64).max); // first: a sum that overflows would revert, which is no failure to halmos
        assert(afterwards.minted + afterwards.waits <= before.minted + before.waits + amount);
        assert(afterwards.minted >= before.minted);
        _others(before, afterwards);
    }

    /// @dev Whatever the call: no other entry of the queue changes, and the supply moves as `minted` does.
    function _others(State memory before, State memory afterwards) private pure {
        assert(afterwards.otherWaits == before.otherWaits);
        assert(afterwards.supplied + before.burnt + before.minted == afterwards.minted + before.supplied + afterwards.burnt);
    }

    function _refuteMints(address caller, bytes32 id, bytes memory call) private {
        _setGuard();
        State memory before = _state(id, id);
        if (_call(caller, call)) assert(_bridge.minted() <= before.minted);
    }

    /// @dev A transfer as the gateway brings it. Payloads of another length are refused before anything else is done.
    function _message() private returns (bytes32 id, bytes memory call, bytes memory payload) {
        (id, payload) = (svm.createBytes32("id"), svm.createBytes(320, "payload"));
        call = _receiveMessage(id, svm.createBytes(70, "sender"), payload);
    }

    /// @dev A non-delivery. The size of its sender's address is the one that this chain's id gives: with any other, the bridge finds that the
    /// payload is not what it would have sent.
    function _notice() private returns (bytes32 id, bytes memory call, bytes memory payload) {
        id = svm.createBytes32("id");
        payload = bytes.concat(svm.createBytes(128, "head"), bytes32(uint256(28)), svm.createBytes(96, "tail"));
        call = abi.encodeCall(_bridge.receiveNonDelivery, (id, payload));
    }

    function _transfer(uint256 amount) private returns (bytes memory) {
        bytes memory to = svm.createBytes(70, "to");
        // By signature: `abi.encodeCall` cannot choose between two functions of one name.
        if (svm.createBool("short")) return abi.encodeWithSignature("crosschainTransfer(bytes,uint256)", to, amount);
        uint64 expiry = uint64(svm.createUint(64, "expiry"));
        uint256 fee = svm.createUint256("fee");
        if (svm.createBool("permit")) {
            ITokenBridge.Permit memory permit = ITokenBridge.Permit(
                svm.createUint256("deadline"), uint8(svm.createUint(8, "v")), svm.createBytes32("r"), svm.createBytes32("s")
            );
            return abi.encodeCall(_bridge.crosschainTransferWithPermit, (to, amount, expiry, fee, permit));
        }
        return abi.encodeWithSignature("crosschainTransfer(bytes,uint256,uint64,uint256)", to, amount, expiry, fee);
    }

    function _setting() private returns (bytes memory) {
        if (svm.createBool("guard")) {
            return abi.encodeCall(_bridge.setGuard, (_guard, uint64(svm.createUint(64, "guard limit"))));
        }
        if (svm.createBool("pause")) return abi.encodeCall(_bridge.setPaused, (svm.createBool("paused")));
        uint120 cap = uint120(svm.createUint(120, "cap"));
        uint32 delay = uint32(svm.createUint(32, "delay"));
        bool capped = svm.createBool("capped");
        return abi.encodeCall(_bridge.setLimits, (ITokenBridge.Limits(_rate("out"), _rate("in"), capped, cap, delay)));
    }

    function _other(bytes32 id) private returns (bytes32 other) {
        other = svm.createBytes32("other id");
        vm.assume(id != other);
    }

    /// @dev No guard, or one; any limit. (Storage alone could hold any account as the guard, which halmos cannot call.)
    function _setGuard() private {
        address guard = svm.createBool("guarded") ? _guard : address(0);
        (bool done,) = address(_bridge).call(abi.encodeCall(_bridge.setGuard, (guard, uint64(svm.createUint(64, "limit")))));
        vm.assume(done);
        vm.warp(svm.createUint(40, "now"));
    }

    function _rate(string memory name) private returns (ITokenBridge.Rate memory) {
        uint64 capacity = uint64(svm.createUint(64, string.concat("capacity ", name)));
        uint64 refill = uint64(svm.createUint(64, string.concat("refill ", name)));
        return ITokenBridge.Rate(svm.createBool(string.concat("limited ", name)), capacity, refill);
    }

    function _state(bytes32 id, bytes32 other) private view returns (State memory) {
        uint256 waits = _bridge.waiting(id).amount;
        return State(_bridge.minted(), waits, _bridge.waiting(other).amount, _token.supplied(), _token.burnt());
    }

    function _call(address caller, bytes memory call) private returns (bool done) {
        vm.prank(caller);
        (done,) = address(_bridge).call(call);
    }

    function _receiveMessage(bytes32 id, bytes memory sender, bytes memory payload) private pure returns (bytes memory) {
        return abi.encodeCall(IERC7786Recipient.receiveMessage, (id, sender, payload));
    }
}
