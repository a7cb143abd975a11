// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The verifier contract that ezkl generates for one circuit
interface IHalo2Verifier {
    /// @notice True when the proof is valid for these instances; an invalid one reverts with empty data.
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external returns (bool);
}
