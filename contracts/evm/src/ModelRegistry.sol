// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "./generated/ProtocolConstants.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @title ModelRegistry
/// @notice Implements {IModelRegistry}.
contract ModelRegistry is IModelRegistry, Ownable2Step {
    /// @dev Three slots, packed so that checking an answer reads the first one only and a price change writes the second only.
    struct Entry {
        address verifier;
        uint16 inputCount;
        uint16 outputCount;
        uint8 inputScale;
        uint8 outputScale;
        uint32 proofLength;
        bool active;
        uint64 inputBound;
        uint128 price;
        bytes32 licence;
    }

    mapping(bytes32 id => Entry) private _models;

    constructor(address owner_) Ownable(owner_) {}

    /// @inheritdoc IModelRegistry
    function register(Model calldata model_) external onlyOwner {
        if (_models[model_.id].inputCount != 0) revert ModelExists(model_.id);
        if (!_isValid(model_)) revert InvalidModel(model_.id);
        _models[model_.id] = Entry({
            verifier: model_.verifier,
            inputCount: model_.inputCount,
            outputCount: model_.outputCount,
            inputScale: model_.inputScale,
            outputScale: model_.outputScale,
            proofLength: model_.proofLength,
            active: model_.active,
            inputBound: model_.inputBound,
            price: model_.price,
            licence: model_.licence
        });
        emit ModelRegistered(model_.id, model_);
    }

    /// @inheritdoc IModelRegistry
    function setActive(bytes32 id, bool active) external onlyOwner {
        _entry(id).active = active;
        emit ModelActive(id, active);
    }

    /// @inheritdoc IModelRegistry
    function setPrice(bytes32 id, uint128 price) external onlyOwner {
        _entry(id).price = price;
        emit ModelPrice(id, price);
    }

    /// @inheritdoc IModelRegistry
    function model(bytes32 id) external view returns (Model memory) {
        Entry memory entry = _entry(id);
        return Model({
            id: id,
            verifier: entry.verifier,
            inputCount: entry.inputCount,
            outputCount: entry.outputCount,
            inputScale: entry.inputScale,
            outputScale: entry.outputScale,
            inputBound: entry.inputBound,
            proofLength: entry.proofLength,
            price: entry.price,
            licence: entry.licence,
            active: entry.active
        });
    }

    /// @inheritdoc IModelRegistry
    function verification(bytes32 id) external view returns (Verification memory) {
        Entry storage entry = _entry(id);
        return Verification({
            verifier: entry.verifier,
            inputCount: entry.inputCount,
            outputCount: entry.outputCount,
            outputScale: entry.outputScale,
            proofLength: entry.proofLength
        });
    }

    function _entry(bytes32 id) private view returns (Entry storage entry) {
        entry = _models[id];
        if (entry.inputCount == 0) revert ModelUnknown(id);
    }

    function _isValid(Model calldata model_) private view returns (bool) {
        bool checksProof = model_.verifier != address(0);
        return model_.id != 0 && model_.inputCount != 0 && model_.inputCount <= C.MAX_INPUTS && model_.outputCount != 0
            && model_.outputCount <= C.MAX_OUTPUTS && model_.inputScale <= C.MAX_SCALE && model_.outputScale <= C.MAX_SCALE
            && model_.inputBound != 0 && model_.inputBound <= uint64(type(int64).max)
            && (checksProof == (model_.proofLength != 0)) && (!checksProof || model_.verifier.code.length != 0);
    }
}
