// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "./IGateway.sol";
import {IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @title The committee's group keys, by epoch, and the check of its signatures
/// @notice A signature is unmodified RFC 9591 FROST(secp256k1, SHA-256) over a 32-byte value, under the group key of one epoch. Epochs
/// are consecutive, from 1. A new one is brought by a rotation that the epoch before it signed, or by the owner, and begins after
/// {activationDelay}; until then the owner may veto it, and no further one is taken.
interface ICommittee is IERC7786Recipient {
    /// @notice Group public key of one committee epoch, and who holds it.
    /// @param px x coordinate, non-zero and below the group order n
    /// @param parity parity of the y coordinate, 0 or 1
    /// @param validFrom first Unix second at which signatures of this epoch are taken
    /// @param validUntil last Unix second at which they are; 0: no end
    /// @param threshold members that it takes to sign
    /// @param members number of members
    struct GroupKey {
        uint256 px;
        uint8 parity;
        uint64 validFrom;
        uint64 validUntil;
        uint16 threshold;
        uint16 members;
    }

    /// @notice A FROST signature: the point R (affine) and the scalar z.
    struct Signature {
        uint256 rx;
        uint256 ry;
        uint256 z;
    }

    /// @notice An epoch was added. `operators` names for each member the operator who runs it.
    event EpochAdded(uint32 indexed epoch, uint256 px, uint8 parity, uint64 validFrom, uint16 threshold, bytes operators);
    /// @notice The last second of an epoch was set; 0: it has no end again.
    event EpochEnds(uint32 indexed epoch, uint64 validUntil);
    /// @notice Governance removed an epoch that had not begun.
    event EpochVetoed(uint32 indexed epoch, uint256 px);
    /// @notice A rotation was posted; nodes sign it when their operators took part in making the key.
    event RotationProposed(uint32 indexed epoch, bytes32 indexed digest, uint256 px);
    event GatewaySet(address indexed gateway);

    /// @notice Epochs are consecutive: the next one is `expected`.
    error EpochNotNext(uint32 epoch, uint32 expected);
    /// @notice No group key was set for this epoch.
    error UnknownEpoch(uint32 epoch);
    /// @notice The epoch's signatures are taken from `validFrom` on.
    error EpochNotBegun(uint32 epoch, uint64 validFrom);
    /// @notice The epoch ended at `validUntil`; ask the current committee to sign.
    error EpochEnded(uint32 epoch, uint64 validUntil);
    /// @notice The newest epoch begins at `validFrom`; until then there is no further one.
    error EpochPending(uint32 epoch, uint64 validFrom);
    /// @notice Only an epoch that has not begun can be vetoed; this one did at `validFrom`.
    error EpochBegun(uint32 epoch, uint64 validFrom);
    /// @notice x is zero or not below the group order, or the parity is not 0 or 1.
    error InvalidGroupKey(uint256 px, uint8 parity);
    /// @notice Governance vetoed this key: it never comes back. Generate another one.
    error KeyVetoed(uint256 px);
    /// @notice A committee has MIN_MEMBERS to MAX_MEMBERS members.
    error InvalidMemberCount(uint256 members);
    /// @notice Of `members` members at least `least` and at most all sign.
    error InvalidThreshold(uint256 threshold, uint256 least, uint256 members);
    /// @notice One operator runs more than `most` members, and so could stop the committee.
    error OperatorTooHeavy(uint8 operator, uint256 most);
    /// @notice The new group key did not sign its own registration.
    error InvalidProofOfPossession();
    /// @notice The signature is not one of this epoch's group key over this value.
    error InvalidSignature();
    /// @notice An epoch's end may be brought forward, never put off.
    error EndNotEarlier(uint32 epoch, uint64 validUntil);
    /// @notice A rotation counts under the signature of the newest epoch alone: one that overlaps must not replace its successor.
    error NotByNewestEpoch(uint32 epoch, uint32 newest);
    /// @notice Only the gateway may call this.
    error OnlyGateway(address caller);
    /// @notice The gateway was set already, or is none of this committee.
    error InvalidGateway(address gateway);
    /// @notice A delay is at least one second: a veto needs time.
    error InvalidDelay(uint32 delay);

    /// @notice Names the gateway that posts and brings rotations: once, by the owner. Its `committee()` must be this contract.
    function setGateway(IGateway gateway_) external;

    /// @notice Sets the group key of epoch 1, which begins at once: once, by the owner.
    /// @dev The proof of possession signs `keccak256("SIBYL_KEY_V1" right-padded to 32 ‖ epoch ‖ px ‖ parity)`, 32 bytes each.
    /// @param threshold members that it takes to sign, ⌊2n/3⌋ + 1 to n
    /// @param operators for each of the n members, in the order of identifiers, the number of the operator who runs it; none occurs more
    /// than n - threshold times
    function setFirstKey(
        uint256 px,
        uint8 parity,
        uint16 threshold,
        bytes calldata operators,
        Signature calldata proofOfPossession
    ) external;

    /// @notice Posts a rotation (PROTOCOL.md section 3), for the committee to sign. Anyone may, who holds a key with a proof of possession.
    /// @param payload `[layout.rotation]`, operators, remotes
    /// @return digest of the message
    function proposeRotation(bytes calldata payload) external returns (bytes32 digest);

    /// @notice Adds the next epoch in place of a committee that can no longer sign (owner only). It begins after {activationDelay}.
    /// @dev The epoch, which the proof of possession covers, is `newestEpoch() + 1`.
    /// @param overlap seconds for which the epoch before is taken after the new one begins; {endEpoch} ends it sooner
    function replaceKey(
        uint256 px,
        uint8 parity,
        uint16 threshold,
        bytes calldata operators,
        uint32 overlap,
        Signature calldata proofOfPossession
    ) external;

    /// @notice Removes the newest epoch before it begins (owner only). The one before it gets back the end it had; the number is used
    /// again, the key never.
    function veto(uint32 epoch) external;

    /// @notice Brings the end of an epoch that has begun forward (owner only). 1 ends it at once.
    function endEpoch(uint32 epoch, uint64 validUntil) external;

    /// @notice Group key of an epoch, begun or not, ended or not; reverts with {UnknownEpoch}.
    function groupKey(uint32 epoch) external view returns (GroupKey memory);

    /// @notice Newest epoch, begun or not; 0 before the first key.
    function newestEpoch() external view returns (uint32);

    /// @notice Newest epoch that has begun; 0 before the first key. Also when its end has come.
    function activeEpoch() external view returns (uint32);

    /// @notice Seconds between the arrival of a new key and its epoch's begin.
    function activationDelay() external view returns (uint32);

    /// @notice Whether governance vetoed a key.
    function isVetoed(uint256 px) external view returns (bool);

    function gateway() external view returns (IGateway);

    /// @notice Returns when (rx, ry, z) is a signature of `epoch`'s group key over `signed`, and reverts otherwise.
    function verify(uint32 epoch, bytes32 signed, uint256 rx, uint256 ry, uint256 z) external view;
}
