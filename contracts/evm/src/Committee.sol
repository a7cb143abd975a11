// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "./generated/ProtocolConstants.sol";
import {ICommittee} from "./interfaces/ICommittee.sol";
import {Frost} from "./libraries/Frost.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @title Committee
/// @notice Implements {ICommittee}.
contract Committee is ICommittee, Ownable2Step {
    uint32 public override currentEpoch;
    mapping(uint32 epoch => GroupKey) private _keys;

    constructor(address owner_) Ownable(owner_) {}

    /// @inheritdoc ICommittee
    function setGroupKey(uint32 epoch, uint256 px, uint8 parity, uint64 previousValidUntil, Signature calldata proofOfPossession)
        external
        onlyOwner
    {
        uint32 previous = currentEpoch;
        if (epoch != previous + 1) revert EpochNotNext(epoch, previous + 1);
        if (!Frost.isGroupKey(px, parity)) revert InvalidGroupKey(px, parity);
        bytes32 registration = keccak256(abi.encode(C.DOMAIN_KEY, uint256(epoch), px, uint256(parity)));
        Signature calldata proof = proofOfPossession;
        if (!Frost.isValid(px, parity, registration, proof.rx, proof.ry, proof.z)) revert InvalidProofOfPossession();
        currentEpoch = epoch;
        _keys[epoch] = GroupKey({px: px, parity: parity, validUntil: 0});
        emit GroupKeySet(epoch, px, parity);
        if (previous != 0 && previousValidUntil != 0) _endEpoch(previous, previousValidUntil);
    }

    /// @inheritdoc ICommittee
    function endEpoch(uint32 epoch, uint64 validUntil) external onlyOwner {
        if (_keys[epoch].px == 0) revert UnknownEpoch(epoch);
        _endEpoch(epoch, validUntil);
    }

    /// @inheritdoc ICommittee
    function groupKey(uint32 epoch) external view returns (GroupKey memory key) {
        key = _keys[epoch];
        if (key.px == 0) revert UnknownEpoch(epoch);
    }

    /// @inheritdoc ICommittee
    function verify(uint32 epoch, bytes32 signed, uint256 rx, uint256 ry, uint256 z) external view {
        GroupKey storage key = _keys[epoch];
        uint256 px = key.px;
        if (px == 0) revert UnknownEpoch(epoch);
        uint64 validUntil = key.validUntil;
        if (validUntil != 0 && block.timestamp > validUntil) revert EpochEnded(epoch, validUntil);
        if (!Frost.isValid(px, key.parity, signed, rx, ry, z)) revert InvalidSignature();
    }

    /// @dev An end that could be put off would revive a committee that was ended because it is distrusted.
    function _endEpoch(uint32 epoch, uint64 validUntil) private {
        uint64 current = _keys[epoch].validUntil;
        if (validUntil == 0 || (current != 0 && validUntil > current)) revert EndNotEarlier(epoch, validUntil);
        _keys[epoch].validUntil = validUntil;
        emit EpochEnds(epoch, validUntil);
    }
}
