// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IHalo2Verifier} from "../interfaces/IHalo2Verifier.sol";

/// @title Calls an ezkl verifier with instances that this chain rebuilt
library ProofCheck {
    /// @dev Order of BN254's scalar field, in which the circuit computes.
    uint256 internal constant R = 21888242871839275222246405745257275088548364400416034343698204186575808495617;

    /// @notice Whether the proof is valid for instances `inputs mod R ‖ outputs mod R`. A verifier that reverts, has no code, or returns
    /// anything but the word 1 says no.
    /// @param verifier registered verifier contract
    /// @param proof of the registered length
    /// @param inputs int64 each, 8 bytes big-endian, as in the request's body
    /// @param outputs the outputs that are about to be recorded
    function isValid(address verifier, bytes calldata proof, bytes calldata inputs, int64[] memory outputs)
        internal
        view
        returns (bool valid)
    {
        bytes memory data = abi.encodeCall(IHalo2Verifier.verifyProof, (proof, instances(inputs, outputs)));
        assembly ("memory-safe") {
            // Assembly: a static call with a bounded return; a proof is checked, never trusted to change anything.
            mstore(0x00, 0)
            let returned := staticcall(gas(), verifier, add(data, 0x20), mload(data), 0x00, 0x20)
            valid := and(returned, and(eq(returndatasize(), 0x20), eq(mload(0x00), 1)))
        }
    }

    /// @notice The public instances: each value mod R.
    function instances(bytes calldata inputs, int64[] memory outputs) internal pure returns (uint256[] memory list) {
        uint256 order = R;
        uint256 inputCount = inputs.length / 8;
        uint256 count = inputCount + outputs.length;
        list = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            int256 value = i < inputCount ? _inputAt(inputs, i) : int256(outputs[i - inputCount]);
            // Two's complement plus the order is the residue of a negative value.
            unchecked {
                list[i] = value < 0 ? order + uint256(value) : uint256(value);
            }
        }
    }

    function _inputAt(bytes calldata inputs, uint256 index) private pure returns (int256 value) {
        assembly ("memory-safe") {
            // Assembly: the arithmetic shift extends the sign of the 8 bytes.
            value := sar(192, calldataload(add(inputs.offset, shl(3, index))))
        }
    }
}
