// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICommittee} from "../src/interfaces/ICommittee.sol";
import {IGateway} from "../src/interfaces/IGateway.sol";
import {IMessageErrors} from "../src/interfaces/IMessageErrors.sol";
import {InferenceRequest} from "../src/libraries/InferenceRequest.sol";
import {InferenceResult} from "../src/libraries/InferenceResult.sol";
import {Bodies} from "./support/Bodies.sol";
import {Harness} from "./support/Harness.sol";
import {SibylTest} from "./support/SibylTest.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @title Any bytes: decoders return a checked value or one of their own errors, and undo what encoders do
contract FuzzTest is SibylTest {
    Harness private _harness;

    function setUp() public override {
        _harness = new Harness();
    }

    function testFuzz_decoders__any_bytes__typed_errors_only(bytes calldata data) public {
        _typed(abi.encodeCall(Harness.check, (data)));
        _typed(abi.encodeCall(Harness.requestPayload, (data)));
        _typed(abi.encodeCall(Harness.result, (data)));
        _typed(abi.encodeCall(Harness.parse, (data)));
        _typed(abi.encodeCall(Harness.rotation, (data)));
    }

    /// @dev Random bytes rarely get past the length; these are valid but for one byte.
    function testFuzz_decoders__one_byte_changed__typed_errors_only(uint256 seed, uint256 place, bytes1 value) public {
        (Bodies.Body memory b,) = _request(seed);
        bytes memory data = Bodies.encode(b);
        data[place % data.length] = value;
        _typed(abi.encodeCall(Harness.request, (data)));
        data = Bodies.encode(_result(seed));
        data[place % data.length] = value;
        _typed(abi.encodeCall(Harness.result, (data)));
        data = _rotation(seed);
        data[place % data.length] = value;
        _typed(abi.encodeCall(Harness.rotation, (data)));
    }

    function testFuzz_decoders__cut_or_lengthened__refused(uint256 seed, uint256 size) public {
        (Bodies.Body memory b,) = _request(seed);
        bytes memory data = Bodies.encode(b);
        _harness.request(data);
        _refuse(abi.encodeCall(Harness.check, (_resized(data, size))));
        _refuse(abi.encodeCall(Harness.requestPayload, (_resized(b.payload, size))));
        data = Bodies.encode(_result(seed));
        _harness.result(data);
        _refuse(abi.encodeCall(Harness.result, (_resized(data, size))));
        data = _rotation(seed);
        _harness.rotation(data);
        _refuse(abi.encodeCall(Harness.rotation, (_resized(data, size))));
    }

    function testFuzz_body__round_trip(uint64 sequence, bytes32 recipient, uint64 expiry, bytes calldata payload) public view {
        vm.assume(sequence != 0 && payload.length <= 16384);
        Bodies.Body memory b = Bodies.Body({
            kind: MESSAGE,
            originType: SOLANA,
            originReference: keccak256(payload),
            originGateway: recipient,
            destinationType: SOLANA,
            destinationReference: recipient,
            destinationGateway: recipient,
            sequence: sequence,
            sender: ~recipient,
            recipient: recipient,
            expiry: expiry,
            payload: payload
        });
        bytes memory body = Bodies.encode(b);
        (uint8 kind, uint64 sequence_, bytes32 sender, bytes32 recipient_, uint64 expiry_, bytes memory payload_) =
            _harness.fields(body);
        vm.assertEq(kind, MESSAGE, "kind");
        vm.assertEq(sequence_, sequence, "sequence");
        vm.assertEq(sender, ~recipient, "sender");
        vm.assertEq(recipient_, recipient, "recipient");
        vm.assertEq(expiry_, expiry, "expiry");
        vm.assertEq(payload_, payload, "payload");
        vm.assertEq(_harness.digest(body), Bodies.digest(body), "digest");
    }

    function testFuzz_request__round_trip(uint256 seed) public view {
        (Bodies.Body memory b, int64[] memory values) = _request(seed);
        (InferenceRequest.Decoded memory asked, bytes memory remotes, bytes memory packed) = _harness.request(Bodies.encode(b));
        vm.assertEq(packed, Bodies.pack(values), "inputs");
        vm.assertEq(asked.inputCommitment, keccak256(packed), "commitment");
        vm.assertEq(_harness.encodeRequest(asked, remotes, values), b.payload, "payload");
    }

    function testFuzz_result__round_trip(uint256 seed) public view {
        Bodies.Result memory r = _result(seed);
        InferenceResult.Decoded memory d = _harness.result(Bodies.encode(r));
        Bodies.Result memory again = Bodies.Result({
            status: d.status,
            policy: d.policy,
            modelId: d.modelId,
            requestId: d.requestId,
            inputCommitment: d.inputCommitment,
            requester: d.requester,
            consumer: word(d.consumer),
            callbackGasLimit: d.callbackGasLimit,
            outputScale: d.outputScale,
            outputs: d.outputs
        });
        vm.assertEq(Bodies.encode(again), Bodies.encode(r), "result");
    }

    function testFuzz_interop__round_trip(uint64 chain, address account, bytes32 genesis, bytes32 key) public view {
        vm.assume(chain != 0);
        bytes memory encoded = _harness.format(EIP155, bytes32(uint256(chain)), word(account));
        vm.assertEq(encoded, InteroperableAddress.formatEvmV1(chain, account), "as OpenZeppelin writes it");
        (uint16 chainType, bytes32 reference_, bytes32 account_) = _harness.parse(encoded);
        vm.assertTrue(chainType == EIP155 && uint256(reference_) == chain && account_ == word(account), "evm");
        encoded = _harness.format(SOLANA, genesis, key);
        bytes memory expected = InteroperableAddress.formatV1(bytes2(SOLANA), bytes.concat(genesis), bytes.concat(key));
        vm.assertEq(encoded, expected, "as OpenZeppelin writes it");
        (chainType, reference_, account_) = _harness.parse(encoded);
        vm.assertTrue(chainType == SOLANA && reference_ == genesis && account_ == key, "solana");
    }

    function testFuzz_merkle__any_batch__every_leaf_leads_to_the_root(uint256 seed, uint256 size) public view {
        bytes32[] memory digests = new bytes32[](clamp(size, 1, 40));
        for (uint256 i = 0; i < digests.length; ++i) {
            digests[i] = keccak256(abi.encode(seed, i));
        }
        for (uint256 i = 0; i < digests.length; ++i) {
            (bytes32 root, bytes32[] memory branch) = Bodies.batch(digests, i);
            vm.assertEq(_harness.signedValue(digests[i], branch), Bodies.signedValue(root), "root");
        }
    }

    function _request(uint256 seed) private pure returns (Bodies.Body memory b, int64[] memory values) {
        values = new int64[](clamp(seed >> 8, 1, 40));
        for (uint256 i = 0; i < values.length; ++i) {
            values[i] = int64(uint64(uint256(keccak256(abi.encode(seed, i)))));
        }
        bytes memory remotes;
        uint256 count = seed % 5;
        for (uint256 i = 1; i <= count; ++i) {
            bytes32 hash = keccak256(abi.encode(seed, "remote", i));
            remotes = i % 2 == 0
                ? bytes.concat(remotes, Bodies.remote(ATTESTED, SOLANA, hash, hash, hash, hash))
                : bytes.concat(remotes, Bodies.remote(BOTH, EIP155, bytes32(i), 0, 0, hash >> 96));
        }
        b = Bodies.Body({
            kind: REQUEST,
            originType: EIP155,
            originReference: CHAIN,
            originGateway: bytes32(seed) >> 96,
            destinationType: EIP155,
            destinationReference: CHAIN,
            destinationGateway: bytes32(seed) >> 96,
            sequence: uint64(seed) | 1,
            sender: bytes32(uint256(1)),
            recipient: bytes32(uint256(2)),
            expiry: uint64(seed >> 64),
            payload: Bodies.request(bytes32(seed), uint128(seed), uint32(seed), count == 0 ? PROVEN : BOTH, remotes, values)
        });
    }

    function _result(uint256 seed) private pure returns (Bodies.Result memory r) {
        r = result(bytes32(seed), address(uint160(seed)), uint8(1 + (seed >> 8) % 4));
        if (seed % 3 == 0) {
            (r.status, r.outputScale, r.outputs) = (uint8(1 + (seed >> 16) % 5), 0, new int64[](0));
        } else {
            r.outputScale = uint8((seed >> 16) % 31);
            r.outputs = new int64[](1 + (seed >> 24) % 64);
            for (uint256 i = 0; i < r.outputs.length; ++i) {
                r.outputs[i] = int64(uint64(uint256(keccak256(abi.encode(seed, i)))));
            }
        }
    }

    /// @dev A committee of 4 to 35 operators with up to 4 remotes.
    function _rotation(uint256 seed) private pure returns (bytes memory) {
        Bodies.NewKey memory k;
        (k.epoch, k.px, k.parity) = (uint32(seed), uint256(keccak256(abi.encode(seed))) >> 1, uint8(seed >> 40) & 1);
        (k.proofRx, k.proofRy, k.proofZ, k.overlap) = (seed, seed >> 1, ~seed, uint32(seed >> 64));
        uint256 members = 4 + (seed >> 50) % 32;
        k.threshold = uint16(2 * members / 3 + 1);
        k.operators = new bytes(members);
        for (uint256 i = 0; i < members; ++i) {
            k.operators[i] = bytes1(uint8(i * 7));
        }
        for (uint256 i = 0; i < seed % 5; ++i) {
            bytes32 account = bytes32(seed) >> 96;
            k.remotes = bytes.concat(k.remotes, Bodies.rotationRemote(EIP155, bytes32(i + 1), account, account));
        }
        return Bodies.encode(k);
    }

    function _resized(bytes memory data, uint256 size) private pure returns (bytes memory changed) {
        size = clamp(size, 0, data.length + 40);
        if (size == data.length) ++size;
        changed = new bytes(size);
        for (uint256 i = 0; i < size && i < data.length; ++i) {
            changed[i] = data[i];
        }
    }

    function _refuse(bytes memory call) private {
        (bool ok,) = address(_harness).call(call);
        vm.assertFalse(ok, "must be refused");
        _typed(call);
    }

    /// @dev A refusal carries an error of ours: never a panic, an empty reason, or another's.
    function _typed(bytes memory call) private {
        (bool ok, bytes memory reason) = address(_harness).call(call);
        if (ok) return;
        bytes4[22] memory known = [
            IMessageErrors.WrongLength.selector,
            IMessageErrors.UnsupportedVersion.selector,
            IMessageErrors.UnknownKind.selector,
            IMessageErrors.WrongKind.selector,
            IMessageErrors.UnknownChainType.selector,
            IMessageErrors.InvalidChainReference.selector,
            IMessageErrors.InvalidAddress.selector,
            IMessageErrors.InvalidSequence.selector,
            IMessageErrors.PayloadTooLarge.selector,
            IMessageErrors.UnsupportedPolicy.selector,
            IMessageErrors.UnknownStatus.selector,
            IMessageErrors.InvalidInputCount.selector,
            IMessageErrors.InvalidOutputCount.selector,
            IMessageErrors.InvalidScale.selector,
            IMessageErrors.TooManyRemotes.selector,
            IMessageErrors.DuplicateChain.selector,
            IMessageErrors.BranchTooLong.selector,
            IGateway.InvalidInteroperableAddress.selector,
            ICommittee.InvalidGroupKey.selector,
            ICommittee.InvalidMemberCount.selector,
            ICommittee.InvalidThreshold.selector,
            ICommittee.OperatorTooHeavy.selector
        ];
        for (uint256 i = 0; i < known.length; ++i) {
            if (bytes4(reason) == known[i]) return;
        }
        vm.assertEq(reason, "", "a typed error");
        vm.assertTrue(false, "an empty reason");
    }
}
