// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "./generated/ProtocolConstants.sol";
import {ICommittee} from "./interfaces/ICommittee.sol";
import {IGateway} from "./interfaces/IGateway.sol";
import {Frost} from "./libraries/Frost.sol";
import {Read} from "./libraries/Read.sol";
import {Rotation} from "./libraries/Rotation.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @title Committee
/// @notice Implements {ICommittee}.
/// @dev Invariants: epochs 1 to {newestEpoch} have keys and no others have; all but the newest have begun, and have an end; no key of an
/// epoch was vetoed.
contract Committee is ICommittee, Ownable2Step {
    /// @dev Two slots: a signature's check reads both, and nothing more. `endBefore` is the end that the epoch before had when this one
    /// was added: what a veto gives back.
    struct Epoch {
        uint256 px;
        uint64 validFrom;
        uint64 validUntil;
        uint8 parity;
        uint16 threshold;
        uint16 members;
        uint64 endBefore;
    }

    uint32 public immutable override activationDelay;

    IGateway public override gateway;
    uint32 public override newestEpoch;
    mapping(uint32 epoch => Epoch) private _epochs;
    mapping(uint256 px => bool) public override isVetoed;

    constructor(address owner_, uint32 activationDelay_) Ownable(owner_) {
        if (activationDelay_ == 0) revert InvalidDelay(activationDelay_);
        activationDelay = activationDelay_;
    }

    /// @inheritdoc ICommittee
    function setGateway(IGateway gateway_) external onlyOwner {
        if (address(gateway) != address(0) || address(gateway_.committee()) != address(this)) {
            revert InvalidGateway(address(gateway_));
        }
        gateway = gateway_;
        emit GatewaySet(address(gateway_));
    }

    /// @inheritdoc ICommittee
    function setFirstKey(
        uint256 px,
        uint8 parity,
        uint16 threshold,
        bytes calldata operators,
        Signature calldata proofOfPossession
    ) external onlyOwner {
        if (newestEpoch != 0) revert EpochNotNext(1, newestEpoch + 1);
        _checkKey(1, px, parity, proofOfPossession);
        Rotation.checkMembers(threshold, operators);
        _add(px, parity, threshold, operators, uint64(block.timestamp), 0);
    }

    /// @inheritdoc ICommittee
    function replaceKey(
        uint256 px,
        uint8 parity,
        uint16 threshold,
        bytes calldata operators,
        uint32 overlap,
        Signature calldata proofOfPossession
    ) external onlyOwner {
        _checkKey(_next(), px, parity, proofOfPossession);
        Rotation.checkMembers(threshold, operators);
        _succeed(px, parity, threshold, operators, overlap);
    }

    /// @inheritdoc ICommittee
    function proposeRotation(bytes calldata payload) external returns (bytes32 digest) {
        (Rotation.Decoded memory rotation,, bytes calldata remotes) = _checkRotation(payload);
        if (address(gateway) == address(0)) revert InvalidGateway(address(0));
        Rotation.checkNoneIs(remotes, C.CHAIN_TYPE_EIP155, bytes32(block.chainid));
        (, digest) = gateway.post(C.KIND_ROTATION, Read.toWord(address(this)), 0, payload);
        emit RotationProposed(rotation.epoch, digest, rotation.px);
    }

    /// @inheritdoc IERC7786Recipient
    /// @dev A rotation, from the gateway, which delivers nothing else here. Where it was posted does not matter: the newest epoch signed it.
    function receiveMessage(bytes32, bytes calldata, bytes calldata payload) external payable returns (bytes4) {
        if (msg.sender != address(gateway)) revert OnlyGateway(msg.sender);
        (Rotation.Decoded memory rotation, bytes calldata operators,) = _checkRotation(payload);
        uint32 signedBy = gateway.attestedEpoch();
        if (signedBy != newestEpoch) revert NotByNewestEpoch(signedBy, newestEpoch);
        _succeed(rotation.px, rotation.parity, rotation.threshold, operators, rotation.overlap);
        return IERC7786Recipient.receiveMessage.selector;
    }

    /// @inheritdoc ICommittee
    function veto(uint32 epoch) external onlyOwner {
        Epoch memory vetoed = _known(epoch);
        // All but the newest have begun.
        if (block.timestamp >= vetoed.validFrom) revert EpochBegun(epoch, vetoed.validFrom);
        uint32 previous = epoch - 1;
        newestEpoch = previous;
        _epochs[previous].validUntil = vetoed.endBefore;
        delete _epochs[epoch];
        isVetoed[vetoed.px] = true;
        emit EpochVetoed(epoch, vetoed.px);
        emit EpochEnds(previous, vetoed.endBefore);
    }

    /// @inheritdoc ICommittee
    /// @dev An end that could be put off would revive a committee that was ended because it is distrusted.
    function endEpoch(uint32 epoch, uint64 validUntil) external onlyOwner {
        Epoch storage ending = _known(epoch);
        if (block.timestamp < ending.validFrom) revert EpochNotBegun(epoch, ending.validFrom);
        uint64 current = ending.validUntil;
        if (validUntil == 0 || (current != 0 && validUntil > current)) revert EndNotEarlier(epoch, validUntil);
        ending.validUntil = validUntil;
        // Nor does a veto of the epoch after it put the end off again.
        if (epoch < newestEpoch) _epochs[epoch + 1].endBefore = validUntil;
        emit EpochEnds(epoch, validUntil);
    }

    /// @inheritdoc ICommittee
    function groupKey(uint32 epoch) external view returns (GroupKey memory) {
        Epoch storage found = _known(epoch);
        return GroupKey({
            px: found.px,
            parity: found.parity,
            validFrom: found.validFrom,
            validUntil: found.validUntil,
            threshold: found.threshold,
            members: found.members
        });
    }

    /// @inheritdoc ICommittee
    function activeEpoch() external view returns (uint32 epoch) {
        epoch = newestEpoch;
        if (block.timestamp < _epochs[epoch].validFrom) --epoch;
    }

    /// @inheritdoc ICommittee
    function verify(uint32 epoch, bytes32 signed, uint256 rx, uint256 ry, uint256 z) external view {
        Epoch storage key = _epochs[epoch];
        uint256 px = key.px;
        if (px == 0) revert UnknownEpoch(epoch);
        (uint64 validFrom, uint64 validUntil, uint8 parity) = _terms(key);
        if (block.timestamp < validFrom) revert EpochNotBegun(epoch, validFrom);
        if (validUntil != 0 && block.timestamp > validUntil) revert EpochEnded(epoch, validUntil);
        if (!Frost.isValid(px, parity, signed, rx, ry, z)) revert InvalidSignature();
    }

    /// @dev The fields of the second slot that a signature's check needs.
    function _terms(Epoch storage key) private view returns (uint64 validFrom, uint64 validUntil, uint8 parity) {
        assembly ("memory-safe") {
            // Assembly: one look-up (100 gas each) instead of one for each field.
            let terms := sload(add(key.slot, 1))
            validFrom := and(terms, 0xffffffffffffffff)
            validUntil := and(shr(64, terms), 0xffffffffffffffff)
            parity := and(shr(128, terms), 0xff)
        }
    }

    /// @dev Number of the next epoch, when the newest has begun.
    function _next() private view returns (uint32) {
        uint32 newest = newestEpoch;
        uint64 validFrom = _known(newest).validFrom;
        if (block.timestamp < validFrom) revert EpochPending(newest, validFrom);
        return newest + 1;
    }

    /// @dev Decodes a rotation that may follow the newest epoch.
    function _checkRotation(bytes calldata payload)
        private
        view
        returns (Rotation.Decoded memory rotation, bytes calldata operators, bytes calldata remotes)
    {
        (rotation, operators, remotes) = Rotation.decode(payload);
        uint32 next = _next();
        if (rotation.epoch != next) revert EpochNotNext(rotation.epoch, next);
        uint256 ry = Frost.decompress(rotation.proofSign, rotation.proofX);
        _checkKey(next, rotation.px, rotation.parity, Signature({rx: rotation.proofX, ry: ry, z: rotation.proofZ}));
    }

    function _checkKey(uint32 epoch, uint256 px, uint8 parity, Signature memory proof) private view {
        if (!Frost.isGroupKey(px, parity)) revert InvalidGroupKey(px, parity);
        if (isVetoed[px]) revert KeyVetoed(px);
        bytes32 registration = keccak256(abi.encode(C.DOMAIN_KEY, uint256(epoch), px, uint256(parity)));
        if (!Frost.isValid(px, parity, registration, proof.rx, proof.ry, proof.z)) revert InvalidProofOfPossession();
    }

    /// @dev Adds the epoch after the newest one, which ends `overlap` seconds after the new one begins, unless it ends sooner already.
    function _succeed(uint256 px, uint8 parity, uint16 threshold, bytes calldata operators, uint32 overlap) private {
        uint32 previous = newestEpoch;
        uint64 validFrom = uint64(block.timestamp) + activationDelay;
        uint64 endBefore = _epochs[previous].validUntil;
        uint64 end = validFrom + overlap;
        _add(px, parity, threshold, operators, validFrom, endBefore);
        if (endBefore == 0 || end < endBefore) {
            _epochs[previous].validUntil = end;
            emit EpochEnds(previous, end);
        }
    }

    function _add(uint256 px, uint8 parity, uint16 threshold, bytes calldata operators, uint64 validFrom, uint64 endBefore)
        private
    {
        uint32 epoch = ++newestEpoch;
        _epochs[epoch] = Epoch({
            px: px,
            validFrom: validFrom,
            validUntil: 0,
            parity: parity,
            threshold: threshold,
            members: uint16(operators.length),
            endBefore: endBefore
        });
        emit EpochAdded(epoch, px, parity, validFrom, threshold, operators);
    }

    function _known(uint32 epoch) private view returns (Epoch storage found) {
        found = _epochs[epoch];
        if (found.px == 0) revert UnknownEpoch(epoch);
    }
}
