// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {ICommittee} from "../interfaces/ICommittee.sol";
import {IMessageErrors} from "../interfaces/IMessageErrors.sol";
import {Frost} from "./Frost.sol";
import {Read} from "./Read.sol";

/// @title Payload of a rotation (PROTOCOL.md section 3), and the rules for a committee's members
library Rotation {
    /// @notice A rotation whose every field was checked, but for the proof of possession: `proofSign` and `proofX` are its R, compressed.
    struct Decoded {
        uint32 epoch;
        uint256 px;
        uint8 parity;
        uint8 proofSign;
        uint256 proofX;
        uint256 proofZ;
        uint32 overlap;
        uint16 threshold;
    }

    /// @notice Decodes a rotation; reverts with an {ICommittee} or {IMessageErrors} error unless every field and the length are valid.
    /// @return rotation the header
    /// @return operators one byte a member
    /// @return remotes ROTATION_REMOTE_SIZE bytes each, on chains that differ
    function decode(bytes calldata payload)
        internal
        pure
        returns (Decoded memory rotation, bytes calldata operators, bytes calldata remotes)
    {
        if (payload.length < C.ROTATION_SIZE) revert IMessageErrors.WrongLength(C.ROTATION_SIZE, payload.length);
        rotation.epoch = uint32(Read.uintAt(payload, C.ROTATION_EPOCH_OFFSET, 4));
        rotation.px = uint256(Read.word(payload, C.ROTATION_GROUP_KEY_X_OFFSET));
        rotation.parity = uint8(Read.uintAt(payload, C.ROTATION_GROUP_KEY_PARITY_OFFSET, 1));
        rotation.proofSign = uint8(Read.uintAt(payload, C.ROTATION_PROOF_R_OFFSET, 1));
        rotation.proofX = uint256(Read.word(payload, C.ROTATION_PROOF_R_OFFSET + 1));
        rotation.proofZ = uint256(Read.word(payload, C.ROTATION_PROOF_Z_OFFSET));
        rotation.overlap = uint32(Read.uintAt(payload, C.ROTATION_OVERLAP_OFFSET, 4));
        rotation.threshold = uint16(Read.uintAt(payload, C.ROTATION_THRESHOLD_OFFSET, 2));
        uint256 memberCount = Read.uintAt(payload, C.ROTATION_MEMBER_COUNT_OFFSET, 2);
        uint256 remoteCount = Read.uintAt(payload, C.ROTATION_REMOTE_COUNT_OFFSET, 1);
        if (remoteCount > C.MAX_REMOTES) revert IMessageErrors.TooManyRemotes(remoteCount);
        uint256 remotesAt = C.ROTATION_SIZE + memberCount;
        uint256 size = remotesAt + remoteCount * C.ROTATION_REMOTE_SIZE;
        if (payload.length != size) revert IMessageErrors.WrongLength(size, payload.length);
        operators = payload[C.ROTATION_SIZE:remotesAt];
        remotes = payload[remotesAt:];
        if (!Frost.isGroupKey(rotation.px, rotation.parity)) revert ICommittee.InvalidGroupKey(rotation.px, rotation.parity);
        checkMembers(rotation.threshold, operators);
        _checkRemotes(remotes);
    }

    /// @notice Refuses a committee whose quorum is too low, or whom one operator alone could stop.
    /// @param threshold members that it takes to sign
    /// @param operators for each member the number of its operator
    function checkMembers(uint256 threshold, bytes calldata operators) internal pure {
        uint256 members = operators.length;
        if (members < C.MIN_MEMBERS || members > C.MAX_MEMBERS) revert ICommittee.InvalidMemberCount(members);
        uint256 least = 2 * members / 3 + 1;
        if (threshold < least || threshold > members) revert ICommittee.InvalidThreshold(threshold, least, members);
        uint256 most = members - threshold;
        uint256[256] memory runs;
        for (uint256 i = 0; i < members; ++i) {
            uint8 operator = uint8(operators[i]);
            if (++runs[operator] > most) revert ICommittee.OperatorTooHeavy(operator, most);
        }
    }

    /// @notice Refuses a remote on this chain, where the rotation begins.
    function checkNoneIs(bytes calldata remotes, uint16 chainType, bytes32 chainReference) internal pure {
        for (uint256 start = 0; start < remotes.length; start += C.ROTATION_REMOTE_SIZE) {
            (uint16 type_, bytes32 reference_) = _chainAt(remotes, start);
            if (type_ == chainType && reference_ == chainReference) revert IMessageErrors.DuplicateChain(type_, reference_);
        }
    }

    function _checkRemotes(bytes calldata remotes) private pure {
        for (uint256 start = 0; start < remotes.length; start += C.ROTATION_REMOTE_SIZE) {
            (uint16 chainType, bytes32 chainReference) = _chainAt(remotes, start);
            Read.checkChain(chainType, chainReference);
            bytes32 gateway = Read.word(remotes, start + C.ROTATION_REMOTE_GATEWAY_OFFSET);
            Read.checkAccounts(chainType, gateway, Read.word(remotes, start + C.ROTATION_REMOTE_COMMITTEE_OFFSET));
            checkNoneIs(remotes[:start], chainType, chainReference);
        }
    }

    function _chainAt(bytes calldata remotes, uint256 start) private pure returns (uint16, bytes32) {
        return (
            uint16(Read.uintAt(remotes, start + C.ROTATION_REMOTE_CHAIN_TYPE_OFFSET, 2)),
            Read.word(remotes, start + C.ROTATION_REMOTE_CHAIN_REFERENCE_OFFSET)
        );
    }
}
