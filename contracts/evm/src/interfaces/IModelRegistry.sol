// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The models that this chain's oracle hub takes requests for
/// @notice A model never changes once registered, but for its price and whether it takes requests: what a pending request is
/// checked against stays as it was.
interface IModelRegistry {
    /// @notice One model.
    /// @param id model id (PROTOCOL.md section 5)
    /// @param verifier ezkl verifier contract; zero: policies that check the proof on this chain are refused
    /// @param inputCount inputs of a request, 1 to MAX_INPUTS
    /// @param outputCount outputs of an answer, 1 to MAX_OUTPUTS
    /// @param inputScale bits after the point of an input
    /// @param outputScale bits after the point of an output
    /// @param inputBound largest absolute value of a quantised input, at most 2^63 - 1
    /// @param proofLength exact size of a proof in bytes; 0 if and only if there is no verifier
    /// @param price least fee of a request, in wei
    /// @param licence keccak256 of the licence text, or an SPDX identifier right-padded
    /// @param active whether new requests are taken
    struct Model {
        bytes32 id;
        address verifier;
        uint16 inputCount;
        uint16 outputCount;
        uint8 inputScale;
        uint8 outputScale;
        uint64 inputBound;
        uint32 proofLength;
        uint128 price;
        bytes32 licence;
        bool active;
    }

    /// @notice What checking an answer needs; fields as in {Model}.
    struct Verification {
        address verifier;
        uint16 inputCount;
        uint16 outputCount;
        uint8 outputScale;
        uint32 proofLength;
    }

    event ModelRegistered(bytes32 indexed id, Model model);
    event ModelActive(bytes32 indexed id, bool active);
    event ModelPrice(bytes32 indexed id, uint128 price);

    error ModelUnknown(bytes32 id);
    error ModelExists(bytes32 id);
    /// @notice A field is out of its bounds, or the verifier has no code.
    error InvalidModel(bytes32 id);

    /// @notice Registers a model (owner only).
    function register(Model calldata model_) external;

    /// @notice Starts or stops new requests (owner only). Pending requests are answered as before.
    function setActive(bytes32 id, bool active) external;

    /// @notice Sets the least fee of new requests (owner only).
    function setPrice(bytes32 id, uint128 price) external;

    /// @notice A model by its id; reverts with {ModelUnknown}.
    function model(bytes32 id) external view returns (Model memory);

    /// @notice What checking an answer needs, in one storage read; reverts with {ModelUnknown}.
    function verification(bytes32 id) external view returns (Verification memory);
}
