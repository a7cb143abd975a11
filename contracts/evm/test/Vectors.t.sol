// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {InferenceRequest} from "../src/libraries/InferenceRequest.sol";
import {InferenceResult} from "../src/libraries/InferenceResult.sol";
import {Rotation} from "../src/libraries/Rotation.sol";
import {Harness} from "./support/Harness.sol";
import {SibylTest} from "./support/SibylTest.sol";

/// @title The shared vectors of tests/vectors, which Python and Zig read as well
contract VectorsTest is SibylTest {
    Harness private _harness;
    string private _json;

    function setUp() public override {
        _harness = new Harness();
        _json = vm.readFile(string.concat(VECTORS, "messages.json"));
    }

    function test_body__valid_vectors__fields_and_digest() public view {
        uint256 count = _count(".messages");
        vm.assertTrue(count >= 17, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".messages", i);
            bytes memory body = _bytes(item, ".body");
            (uint8 kind, uint64 sequence, bytes32 sender, bytes32 recipient, uint64 expiry, bytes memory payload) =
                _harness.fields(body);
            vm.assertEq(kind, vm.parseJsonUint(_json, string.concat(item, ".kind")), "kind");
            vm.assertEq(sequence, vm.parseJsonUint(_json, string.concat(item, ".sequence")), "sequence");
            vm.assertEq(sender, _word(item, ".sender"), "sender");
            vm.assertEq(recipient, _word(item, ".recipient"), "recipient");
            vm.assertEq(expiry, vm.parseJsonUint(_json, string.concat(item, ".expiry")), "expiry");
            vm.assertEq(payload, _bytes(item, ".payload"), "payload");
            vm.assertEq(_harness.originHash(body), _word(item, ".origin_hash"), "origin hash");
            vm.assertEq(_harness.digest(body), _word(item, ".digest"), "digest");
            vm.assertEq(_harness.digestOf(body), _word(item, ".digest"), "digest of memory");
        }
    }

    function test_body__invalid_vectors__revert() public {
        uint256 count = _count(".invalid");
        vm.assertTrue(count >= 30, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".invalid", i);
            string memory name = vm.parseJsonString(_json, string.concat(item, ".name"));
            bytes memory body = _bytes(item, ".body");
            bool header = keccak256(bytes(vm.parseJsonString(_json, string.concat(item, ".invalid")))) == keccak256("body");
            if (header) {
                (bool valid,) = address(_harness).call(abi.encodeCall(Harness.check, (body)));
                vm.assertFalse(valid, name);
            } else {
                // The header is valid: what is refused is the payload.
                _harness.check(body);
                uint8 kind = uint8(body[1]);
                // A non-delivery without a digest has no decoder of its own: the gateway refuses it.
                if (kind == NON_DELIVERY) {
                    vm.assertTrue(body.length < 216 + 32, name);
                    continue;
                }
                bytes memory call = kind == REQUEST
                    ? abi.encodeCall(Harness.request, (body))
                    : kind == ROTATION ? abi.encodeCall(Harness.rotationOf, (body)) : abi.encodeCall(Harness.resultOf, (body));
                (bool valid,) = address(_harness).call(call);
                vm.assertFalse(valid, name);
            }
        }
    }

    function test_rotation__vectors__decode() public view {
        uint256 count = _count(".rotations");
        vm.assertTrue(count >= 3, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".rotations", i);
            bytes memory post = _bytes(item, ".post");
            (uint8 kind,,,,, bytes memory payload) = _harness.fields(post);
            vm.assertEq(kind, ROTATION, "kind");
            (Rotation.Decoded memory rotation, bytes memory operators, bytes memory remotes) = _harness.rotation(payload);
            vm.assertEq(rotation.epoch, vm.parseJsonUint(_json, string.concat(item, ".epoch")), "epoch");
            vm.assertEq(bytes32(rotation.px), _word(item, ".group_key_x"), "key");
            vm.assertEq(rotation.parity, vm.parseJsonUint(_json, string.concat(item, ".group_key_parity")), "parity");
            vm.assertEq(rotation.overlap, vm.parseJsonUint(_json, string.concat(item, ".overlap")), "overlap");
            vm.assertEq(rotation.threshold, vm.parseJsonUint(_json, string.concat(item, ".threshold")), "threshold");
            vm.assertEq(operators, _bytes(item, ".operators"), "operators");
            bytes memory proof = bytes.concat(bytes1(rotation.proofSign), bytes32(rotation.proofX), bytes32(rotation.proofZ));
            vm.assertEq(proof, _bytes(item, ".proof_of_possession"), "proof of possession");
            vm.assertEq(payload.length, 143 + operators.length + remotes.length, "length");
            for (uint256 j = 0; vm.keyExistsJson(_json, _at(string.concat(item, ".messages"), j)); ++j) {
                bytes memory body = vm.parseJsonBytes(_json, _at(string.concat(item, ".messages"), j));
                (,,,,, bytes memory same) = _harness.fields(body);
                vm.assertEq(same, payload, "payload of each destination");
            }
        }
    }

    function test_non_delivery__vectors__say_what_was_sent() public view {
        uint256 count = _count(".non_deliveries");
        vm.assertTrue(count >= 2, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".non_deliveries", i);
            bytes memory sent = _bytes(item, ".message");
            bytes memory payload = bytes.concat(_harness.digest(sent), _slice(sent, 216, sent.length));
            bytes memory origin = _slice(sent, 2, 68);
            bytes memory route = bytes.concat(hex"0104", origin, origin, _slice(sent, 134, 142));
            // Sender: the origin's gateway. Recipient: the message's sender. It never expires.
            bytes memory ends = bytes.concat(_slice(sent, 36, 68), _slice(sent, 142, 174), new bytes(8));
            bytes memory notice = bytes.concat(route, ends, bytes2(uint16(payload.length)), payload);
            vm.assertEq(_bytes(item, ".notice"), notice, "notice");
            _harness.check(notice);
        }
    }

    function test_batch__vectors__every_branch_leads_to_the_signed_value() public view {
        uint256 count = _count(".batches");
        vm.assertTrue(count >= 8, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".batches", i);
            bytes32[] memory digests = vm.parseJsonBytes32Array(_json, string.concat(item, ".digests"));
            for (uint256 j = 0; j < digests.length; ++j) {
                bytes32[] memory branch = _branch(item, j);
                vm.assertEq(_harness.signedValue(digests[j], branch), _word(item, ".signed"), "signed value");
            }
        }
    }

    function test_result__vectors__decode_and_match_their_request() public view {
        uint256 count = _count(".results");
        vm.assertTrue(count >= 3, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".results", i);
            bytes memory body = _bytes(item, ".request");
            bytes32 id = _word(item, ".request_id");
            vm.assertEq(_harness.digest(body), id, "request id");
            (InferenceRequest.Decoded memory asked,, bytes memory packed) = _harness.request(body);
            vm.assertEq(asked.inputCommitment, _word(item, ".input_commitment"), "input commitment");
            _checkInputs(item, packed);
            for (uint256 j = 0; vm.keyExistsJson(_json, _at(string.concat(item, ".results"), j)); ++j) {
                bytes memory answer = vm.parseJsonBytes(_json, _at(string.concat(item, ".results"), j));
                if (answer[68] != 0 || answer[69] != 0) continue; // a destination that is not EVM
                InferenceResult.Decoded memory decoded = _harness.resultOf(answer);
                vm.assertEq(decoded.requestId, id, "request id of result");
                vm.assertEq(decoded.inputCommitment, asked.inputCommitment, "commitment of result");
                vm.assertEq(decoded.modelId, asked.modelId, "model of result");
                vm.assertEq(decoded.outputScale, vm.parseJsonUint(_json, string.concat(item, ".output_scale")), "scale");
                int256[] memory expected = vm.parseJsonIntArray(_json, string.concat(item, ".outputs"));
                vm.assertEq(decoded.outputs.length, expected.length, "outputs");
                for (uint256 k = 0; k < expected.length; ++k) {
                    vm.assertEq(int256(decoded.outputs[k]), expected[k], "output");
                }
            }
        }
    }

    function test_interop__vectors__round_trip() public view {
        uint256 count = _count(".interoperable_addresses");
        vm.assertTrue(count >= 3, "vectors were read");
        for (uint256 i = 0; i < count; ++i) {
            string memory item = _at(".interoperable_addresses", i);
            bytes memory encoded = _bytes(item, ".encoded");
            (uint16 chainType, bytes32 chain, bytes32 account) = _harness.parse(encoded);
            vm.assertEq(chainType, vm.parseJsonUint(_json, string.concat(item, ".chain_type")), "chain type");
            vm.assertEq(chain, _word(item, ".chain_reference"), "chain reference");
            vm.assertEq(account, _word(item, ".account"), "account");
            vm.assertEq(_harness.format(chainType, chain, account), encoded, "encoding");
        }
    }

    function test_frost__vectors__accept_and_refuse() public view {
        string memory json = vm.readFile(string.concat(VECTORS, "frost_signatures.json"));
        uint256 accepted;
        uint256 i = 0;
        for (; vm.keyExistsJson(json, _at(".signatures", i)); ++i) {
            accepted += _checkSignature(json, _at(".signatures", i));
        }
        vm.assertTrue(i >= 40 && accepted >= 12, "vectors were read");
        // Cases that only the affine form can express, such as another y for the same x.
        uint256 j = 0;
        for (; vm.keyExistsJson(json, _at(".uncompressed_only", j)); ++j) {
            vm.assertEq(_checkSignature(json, _at(".uncompressed_only", j)), 0, "affine cases are invalid");
        }
        vm.assertTrue(j > 0, "affine vectors were read");
    }

    function _checkSignature(string memory json, string memory item) private view returns (uint256) {
        bytes memory key = vm.parseJsonBytes(json, string.concat(item, ".group_key"));
        bool expected = vm.parseJsonBool(json, string.concat(item, ".ok"));
        uint256 px;
        assembly {
            px := mload(add(key, 0x21))
        }
        bool valid = _harness.isValid(
            px,
            uint8(key[0]) & 1,
            vm.parseJsonBytes32(json, string.concat(item, ".message")),
            uint256(vm.parseJsonBytes32(json, string.concat(item, ".rx"))),
            uint256(vm.parseJsonBytes32(json, string.concat(item, ".ry"))),
            uint256(vm.parseJsonBytes32(json, string.concat(item, ".z")))
        );
        vm.assertTrue(valid == expected, vm.parseJsonString(json, string.concat(item, ".name")));
        return valid ? 1 : 0;
    }

    function _checkInputs(string memory item, bytes memory packed) private view {
        int256[] memory expected = vm.parseJsonIntArray(_json, string.concat(item, ".inputs"));
        vm.assertEq(packed.length, expected.length * 8, "inputs");
        uint256[] memory instances = _harness.instances(packed, new int64[](0));
        for (uint256 i = 0; i < expected.length; ++i) {
            uint256 element = expected[i] < 0 ? FIELD - uint256(-expected[i]) : uint256(expected[i]);
            vm.assertEq(instances[i], element, "instance");
        }
    }

    function _branch(string memory item, uint256 index) private view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(_json, _at(string.concat(item, ".branches"), index));
    }

    function _slice(bytes memory data, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            part[i - from] = data[i];
        }
    }

    function _count(string memory key) private view returns (uint256 count) {
        while (vm.keyExistsJson(_json, _at(key, count))) ++count;
    }

    function _at(string memory key, uint256 index) private pure returns (string memory) {
        return string.concat(key, "[", vm.toString(index), "]");
    }

    function _bytes(string memory item, string memory key) private view returns (bytes memory) {
        return vm.parseJsonBytes(_json, string.concat(item, key));
    }

    function _word(string memory item, string memory key) private view returns (bytes32) {
        return vm.parseJsonBytes32(_json, string.concat(item, key));
    }
}
