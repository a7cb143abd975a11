// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IOracleConsumer} from "../interfaces/IOracleConsumer.sol";

/// @title A clinic that asks whether a tumour is malignant, and keeps the answers
/// @notice An example of a consumer. The model is a demonstration, not a medical device.
interface ITumourConsumer is IOracleConsumer {
    /// @notice What became of one request.
    /// @param known whether an answer or refusal arrived
    /// @param malignant the decision: the logit is above 0
    /// @param status STATUS_*; a refusal has no logit and no decision
    /// @param policy POLICY_* under which this chain took the answer
    /// @param scale bits after the point: logit = value / 2^scale
    /// @param logit quantised logit of malignancy
    /// @param decidedAt Unix second of the block that brought it
    struct Diagnosis {
        bool known;
        bool malignant;
        uint8 status;
        uint8 policy;
        uint8 scale;
        int64 logit;
        uint64 decidedAt;
    }

    event Asked(bytes32 indexed requestId);
    event Diagnosed(bytes32 indexed requestId, bool malignant, int64 logit, uint8 scale);
    event NotDiagnosed(bytes32 indexed requestId, uint8 status);
    event SourceSet(bytes32 indexed source, bool trusted);

    error OnlyHub(address caller);
    /// @notice The answer is for a request that neither this contract nor a configured source made.
    error NotAsked(bytes32 requestId);
    error WrongModel(bytes32 modelId);
    error WrongOutputCount(uint256 count);

    /// @notice Asks for one patient (owner only). `msg.value` is the fee; a refund can be taken back by {collect}.
    /// @param features the patient's standardised features, quantised at the model's input scale
    function ask(int64[] calldata features, uint8 policy, uint64 deadline, uint32 callbackGasLimit, bytes calldata remotes)
        external
        payable
        returns (bytes32 requestId);

    /// @notice Takes answers to requests that `requester` makes on another chain, or no longer (owner only).
    function setSource(
        uint16 originChainType,
        bytes32 originChainReference,
        bytes32 originGateway,
        bytes32 requester,
        bool trusted
    ) external;

    /// @notice Sends refunded fees to the owner.
    function collect() external;

    function diagnosisOf(bytes32 requestId) external view returns (Diagnosis memory);
}
