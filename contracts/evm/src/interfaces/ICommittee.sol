// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The committee's group keys, by epoch, and the check of its signatures
/// @notice A signature is unmodified RFC 9591 FROST(secp256k1, SHA-256) over a 32-byte value, under the group key of one epoch.
interface ICommittee {
    /// @notice Group public key of one committee epoch.
    /// @param px x coordinate, non-zero and below the group order n
    /// @param parity parity of the y coordinate, 0 or 1
    /// @param validUntil last Unix second at which signatures of this epoch are taken; 0: no end
    struct GroupKey {
        uint256 px;
        uint8 parity;
        uint64 validUntil;
    }

    /// @notice A FROST signature: the point R (affine) and the scalar z.
    struct Signature {
        uint256 rx;
        uint256 ry;
        uint256 z;
    }

    event GroupKeySet(uint32 indexed epoch, uint256 px, uint8 parity);
    event EpochEnds(uint32 indexed epoch, uint64 validUntil);

    /// @notice Epochs are consecutive, from 1: the next one is `expected`.
    error EpochNotNext(uint32 epoch, uint32 expected);
    /// @notice No group key was set for this epoch.
    error UnknownEpoch(uint32 epoch);
    /// @notice The epoch ended at `validUntil`; ask the current committee to sign.
    error EpochEnded(uint32 epoch, uint64 validUntil);
    /// @notice x is zero or not below the group order, or the parity is not 0 or 1.
    error InvalidGroupKey(uint256 px, uint8 parity);
    /// @notice The new group key did not sign its own registration.
    error InvalidProofOfPossession();
    /// @notice The signature is not one of this epoch's group key over this value.
    error InvalidSignature();
    /// @notice An epoch's end may be brought forward, never put off.
    error EndNotEarlier(uint32 epoch, uint64 validUntil);

    /// @notice Sets the group key of the next epoch, and the end of the epoch before it.
    /// @dev Owner only. The proof of possession signs `keccak256("SIBYL_KEY_V1" right-padded to 32 ‖ epoch ‖ px ‖ parity)`, 32 bytes each.
    /// @param epoch `currentEpoch() + 1`
    /// @param px x coordinate of the group public key
    /// @param parity parity of its y coordinate
    /// @param previousValidUntil last second of the epoch before (0: no end; ignored for the first epoch). 1 ends it at once.
    /// @param proofOfPossession signature by the new group key
    function setGroupKey(uint32 epoch, uint256 px, uint8 parity, uint64 previousValidUntil, Signature calldata proofOfPossession)
        external;

    /// @notice Brings the end of an epoch forward (owner only).
    function endEpoch(uint32 epoch, uint64 validUntil) external;

    /// @notice Group key of an epoch; reverts with {UnknownEpoch}.
    function groupKey(uint32 epoch) external view returns (GroupKey memory);

    /// @notice Newest epoch; 0 before the first key.
    function currentEpoch() external view returns (uint32);

    /// @notice Returns when (rx, ry, z) is a signature of `epoch`'s group key over `signed`, and reverts otherwise.
    function verify(uint32 epoch, bytes32 signed, uint256 rx, uint256 ry, uint256 z) external view;
}
