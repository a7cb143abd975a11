// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITransferGuard} from "../../src/guard/ITransferGuard.sol";
import {TransferGuard} from "../../src/guard/TransferGuard.sol";
import {IModelRegistry} from "../../src/interfaces/IModelRegistry.sol";
import {IOracleConsumer} from "../../src/interfaces/IOracleConsumer.sol";
import {IOracleHub} from "../../src/interfaces/IOracleHub.sol";
import {ITokenBridge} from "../../src/tokens/ITokenBridge.sol";
import {Bodies} from "../support/Bodies.sol";
import {HashVerifier} from "../support/Consumers.sol";
import {TokenWorld} from "../tokens/TokenWorld.sol";

/// @title The token bridge with a guard on both bridges, and the real hub with a model of its shape
abstract contract GuardWorld is TokenWorld {
    bytes32 internal constant RISK = keccak256("the risk model");
    uint64 internal constant LIMIT = 10e9;
    int64 internal constant BOUND = 500;
    uint32 internal constant LIFETIME = 2 hours;
    uint128 internal constant RISK_PRICE = 777;

    TransferGuard internal guard;

    function setUp() public virtual override {
        super.setUp();
        IModelRegistry.Model memory risk = model(RISK, address(new HashVerifier()));
        (risk.inputCount, risk.outputCount, risk.inputScale, risk.outputScale) = (6, 1, 10, 20);
        (risk.inputBound, risk.price) = (16 << 10, RISK_PRICE);
        registry.register(risk);
        guard = new TransferGuard(factory, hub);
        // Something to take from; before there is a guard to ask.
        lock(500 ether);
        guarded(native, PROVEN);
        guarded(wrapped, PROVEN);
        vm.deal(prover, 1 ether);
    }

    function settings(uint8 policy) internal pure returns (ITransferGuard.Settings memory) {
        return ITransferGuard.Settings(RISK, policy, BOUND, LIFETIME, 300_000);
    }

    function guarded(ITokenBridge bridge, uint8 policy) internal {
        guard.setSettings(address(bridge), settings(policy));
        bridge.setGuard(address(guard), LIMIT);
    }

    /// @dev A transfer in over the limit, which waits.
    function arrives(ITokenBridge bridge, uint64 amount) internal returns (bytes32 id, bytes32 key) {
        id = receiveTokens(bridge, prover, amount);
        vm.assertEq(bridge.waiting(id).amount, amount, "waits");
        key = guard.inboundKey(address(bridge), id);
    }

    /// @dev Somebody asks for the score of what waits; `body` is the request that must have been posted.
    function askIn(ITokenBridge bridge, bytes32 id) internal returns (bytes32 requestId, bytes memory body) {
        ITokenBridge.Waiting memory entry = bridge.waiting(id);
        int64[] memory features = guard.featuresOf(address(bridge), entry.to, entry.amount, true);
        uint64 sequence = gateway.nextSequence();
        vm.prank(prover);
        requestId = guard.askInbound{value: RISK_PRICE}(address(bridge), id);
        body = requestBody(sequence, features, guard.settingsOf(address(bridge)).policy);
        vm.assertEq(requestId, Bodies.digest(body), "the request");
    }

    function askOut(ITokenBridge bridge, uint64 amount) internal returns (bytes32 requestId, bytes memory body) {
        int64[] memory features = guard.featuresOf(address(bridge), alice, amount, false);
        uint64 sequence = gateway.nextSequence();
        vm.prank(alice);
        requestId = guard.askOutbound{value: RISK_PRICE}(address(bridge), SOL_USER, amount);
        body = requestBody(sequence, features, guard.settingsOf(address(bridge)).policy);
        vm.assertEq(requestId, Bodies.digest(body), "the request");
    }

    function requestBody(uint64 sequence, int64[] memory features, uint8 policy) internal view returns (bytes memory) {
        Bodies.Body memory b = message(sequence, address(hub));
        b.kind = REQUEST;
        (b.originReference, b.originGateway) = (CHAIN, word(address(gateway)));
        (b.sender, b.expiry) = (word(address(guard)), uint64(block.timestamp) + 1 hours);
        b.payload = Bodies.request(RISK, RISK_PRICE, 300_000, policy, "", features);
        return Bodies.encode(b);
    }

    /// @dev What the body of a request asks, as the proof binds it.
    function proven(bytes memory body, int64 score) internal {
        int64[] memory given = new int64[](1);
        given[0] = score;
        hub.fulfil(body, given, zkProof(featuresIn(body), given));
    }

    function featuresIn(bytes memory body) internal pure returns (int64[] memory features) {
        features = new int64[](6);
        for (uint256 i = 0; i < 6; ++i) {
            uint256 place = body.length - 48 + 8 * i;
            assembly ("memory-safe") {
                mstore(add(add(features, 0x20), mul(0x20, i)), sar(192, mload(add(add(body, 0x20), place))))
            }
        }
    }

    /// @dev A result that the committee signs.
    function signedResult(bytes32 requestId, bytes memory body, uint8 policy, uint8 status, int64 score)
        internal
        view
        returns (Bodies.Body memory b)
    {
        Bodies.Result memory r = result(requestId, address(guard), policy);
        (r.modelId, r.status, r.outputScale) = (RISK, status, status == 0 ? 20 : 0);
        r.inputCommitment = keccak256(Bodies.pack(featuresIn(body)));
        r.outputs = new int64[](status == 0 ? 1 : 0);
        if (status == 0) r.outputs[0] = score;
        b = resultBody(sequenceOf(body), r);
        b.expiry = uint64(block.timestamp) + 1 hours;
    }

    function state(bytes32 key) internal view returns (ITransferGuard.State) {
        return guard.clearanceOf(key).state;
    }

    function answer(bytes32 requestId, bytes32 modelId, uint8 status, int64 score)
        internal
        pure
        returns (IOracleConsumer.Answer memory a)
    {
        (a.requestId, a.modelId, a.status, a.policy) = (requestId, modelId, status, PROVEN);
        a.outputs = new int64[](status == 0 ? 1 : 0);
        if (status == 0) a.outputs[0] = score;
    }

    function is_(bytes32 key, ITransferGuard.State expected) internal view {
        vm.assertEq(uint8(state(key)), uint8(expected), "state");
    }

    function hubState(bytes32 requestId) internal view returns (IOracleHub.State) {
        return hub.requestOf(requestId).state;
    }
}
