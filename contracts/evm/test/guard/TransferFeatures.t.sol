// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TransferFeatures} from "../../src/guard/TransferFeatures.sol";
import {SibylTest} from "../support/SibylTest.sol";

/// @title The shared vectors of tests/vectors/risk_features.json, which the reference in Python writes
contract TransferFeaturesTest is SibylTest {
    function setUp() public override {}

    function test_features__vectors__as_the_reference_computes_them() public view {
        string memory json = vm.readFile(string.concat(VECTORS, "risk_features.json"));
        vm.assertEq(TransferFeatures.ONE, 1 << vm.parseJsonUint(json, ".scale"), "scale");
        uint256 count;
        for (; vm.keyExistsJson(json, _at(count)); ++count) {
            _check(json, _at(count));
        }
        vm.assertTrue(count >= 50, "vectors were read");
    }

    function _check(string memory json, string memory item) private pure {
        string memory name = vm.parseJsonString(json, string.concat(item, ".name"));
        bool unlimited = vm.parseJsonBool(json, string.concat(item, ".unlimited"));
        TransferFeatures.Transfer memory transfer = TransferFeatures.Transfer({
            amount: uint64(vm.parseJsonUint(json, string.concat(item, ".amount"))),
            total: uint128(vm.parseJsonUint(json, string.concat(item, ".total"))),
            bucket: unlimited ? type(uint256).max : vm.parseJsonUint(json, string.concat(item, ".bucket_available")),
            movedToday: uint128(vm.parseJsonUint(json, string.concat(item, ".moved_today"))),
            fresh: vm.parseJsonBool(json, string.concat(item, ".fresh")),
            inbound: vm.parseJsonBool(json, string.concat(item, ".inbound"))
        });
        int64[] memory inputs = TransferFeatures.inputsOf(transfer);
        int256[] memory expected = vm.parseJsonIntArray(json, string.concat(item, ".features"));
        vm.assertEq(inputs.length, expected.length, name);
        for (uint256 i = 0; i < inputs.length; ++i) {
            vm.assertEq(int256(inputs[i]), expected[i], name);
        }
    }

    /// @dev Whatever a bridge is in: the model's bound holds, so that a request is never refused for its inputs.
    function testFuzz_features__any__within_16(TransferFeatures.Transfer memory transfer) public pure {
        if (transfer.amount == 0) transfer.amount = 1;
        int64[] memory inputs = TransferFeatures.inputsOf(transfer);
        for (uint256 i = 0; i < inputs.length; ++i) {
            vm.assertTrue(inputs[i] >= 0 && inputs[i] <= 16 * 1024, "bound");
        }
    }

    function _at(uint256 i) private pure returns (string memory) {
        return string.concat(".cases[", vm.toString(i), "]");
    }
}
