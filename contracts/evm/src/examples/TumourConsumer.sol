// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IOracleConsumer} from "../interfaces/IOracleConsumer.sol";
import {IOracleHub} from "../interfaces/IOracleHub.sol";
import {ITumourConsumer} from "./ITumourConsumer.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";

/// @title TumourConsumer
/// @notice Implements {ITumourConsumer}.
contract TumourConsumer is ITumourConsumer, Ownable2Step {
    IOracleHub public immutable hub;
    bytes32 public immutable modelId;

    mapping(bytes32 requestId => bool) public asked;
    /// @notice Trusted requesters on other chains, by {sourceOf}.
    mapping(bytes32 source => bool) public trustedSource;
    mapping(bytes32 requestId => Diagnosis) private _diagnoses;

    constructor(address owner_, IOracleHub hub_, bytes32 modelId_) Ownable(owner_) {
        hub = hub_;
        modelId = modelId_;
    }

    /// @dev Takes refunds from the hub.
    receive() external payable {}

    /// @inheritdoc ITumourConsumer
    function ask(int64[] calldata features, uint8 policy, uint64 deadline, uint32 callbackGasLimit, bytes calldata remotes)
        external
        payable
        onlyOwner
        returns (bytes32 requestId)
    {
        requestId = hub.request{value: msg.value}(modelId, features, policy, deadline, callbackGasLimit, remotes);
        asked[requestId] = true;
        emit Asked(requestId);
    }

    /// @inheritdoc IOracleConsumer
    function onAnswer(Answer calldata answer) external {
        if (msg.sender != address(hub)) revert OnlyHub(msg.sender);
        // The hub answers a request of this chain to its requester alone, so one's own need no further check.
        if (!asked[answer.requestId] && !trustedSource[_sourceOf(answer)]) revert NotAsked(answer.requestId);
        if (answer.modelId != modelId) revert WrongModel(answer.modelId);
        bool answered = answer.status == C.STATUS_ANSWERED;
        if (answer.outputs.length != (answered ? 1 : 0)) revert WrongOutputCount(answer.outputs.length);
        int64 logit = answered ? answer.outputs[0] : int64(0);
        _diagnoses[answer.requestId] = Diagnosis({
            known: true,
            malignant: logit > 0,
            status: answer.status,
            policy: answer.policy,
            scale: answer.outputScale,
            logit: logit,
            decidedAt: uint64(block.timestamp)
        });
        if (answered) emit Diagnosed(answer.requestId, logit > 0, logit, answer.outputScale);
        else emit NotDiagnosed(answer.requestId, answer.status);
    }

    /// @inheritdoc ITumourConsumer
    function setSource(
        uint16 originChainType,
        bytes32 originChainReference,
        bytes32 originGateway,
        bytes32 requester,
        bool trusted
    ) external onlyOwner {
        bytes32 source = sourceOf(originChainType, originChainReference, originGateway, requester);
        trustedSource[source] = trusted;
        emit SourceSet(source, trusted);
    }

    /// @inheritdoc ITumourConsumer
    function collect() external {
        if (hub.creditOf(address(this)) != 0) hub.withdraw();
        (bool sent,) = owner().call{value: address(this).balance}("");
        if (!sent) revert IOracleHub.TransferFailed(owner());
    }

    /// @inheritdoc ITumourConsumer
    function diagnosisOf(bytes32 requestId) external view returns (Diagnosis memory) {
        return _diagnoses[requestId];
    }

    /// @notice Names a requester on a chain.
    function sourceOf(uint16 originChainType, bytes32 originChainReference, bytes32 originGateway, bytes32 requester)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(originChainType, originChainReference, originGateway, requester));
    }

    function _sourceOf(Answer calldata answer) private pure returns (bytes32) {
        return sourceOf(answer.originChainType, answer.originChainReference, answer.originGateway, answer.requester);
    }
}
