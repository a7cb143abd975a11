// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "./generated/ProtocolConstants.sol";
import {IGateway} from "./interfaces/IGateway.sol";
import {IMessageErrors} from "./interfaces/IMessageErrors.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {IOracleConsumer} from "./interfaces/IOracleConsumer.sol";
import {IOracleHub} from "./interfaces/IOracleHub.sol";
import {BoundedCall} from "./libraries/BoundedCall.sol";
import {InferenceRequest} from "./libraries/InferenceRequest.sol";
import {InferenceResult} from "./libraries/InferenceResult.sol";
import {Interop} from "./libraries/Interop.sol";
import {MessageBody} from "./libraries/MessageBody.sol";
import {ProofCheck} from "./libraries/ProofCheck.sol";
import {Read} from "./libraries/Read.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {TransientSlot} from "@openzeppelin/contracts/utils/TransientSlot.sol";

/// @title OracleHub
/// @notice Implements {IOracleHub}.
/// @dev Every function finishes its own state before it calls a consumer, so a consumer may ask, withdraw or refund from within its
/// callback. Invariant: the balance is the sum of pending fees and of credits (more only if ether was forced in).
contract OracleHub is IOracleHub, Ownable2Step, ReentrancyGuardTransient {
    using TransientSlot for *;

    /// @dev A request, or a foreign request's answer, in two slots; `firstOutput` fills the second, so that a model with one output
    /// is recorded without a further slot.
    struct Record {
        address account; // requester; for a request of another chain the consumer
        State state;
        uint8 policy;
        uint32 callbackGasLimit;
        uint8 status;
        uint8 outputScale;
        uint8 outputCount;
        bool foreign;
        uint128 fee;
        uint64 deadline;
        int64 firstOutput;
    }

    uint32 public constant override MAX_CALLBACK_GAS = 2_000_000;
    /// @dev Gas kept beside the callback's own: the call's price (2,600), the event of a failure, and the way back through the gateway.
    uint256 private constant CALLBACK_RESERVE = 15_000;
    /// @dev Outputs in one slot.
    uint256 private constant OUTPUTS_PER_SLOT = 4;

    IGateway public immutable override gateway;
    IModelRegistry public immutable override registry;

    address public override treasury;
    mapping(bytes32 requestId => Record) private _records;
    /// @dev The second and later outputs, four to a slot, the earliest in the lowest bits.
    mapping(bytes32 requestId => mapping(uint256 index => uint256)) private _moreOutputs;
    mapping(address account => uint256) public override creditOf;

    constructor(address owner_, IGateway gateway_, IModelRegistry registry_, address treasury_) Ownable(owner_) {
        gateway = gateway_;
        registry = registry_;
        _setTreasury(treasury_);
    }

    /// @inheritdoc IOracleHub
    function request(
        bytes32 modelId,
        int64[] calldata inputs,
        uint8 policy,
        uint64 deadline,
        uint32 callbackGasLimit,
        bytes calldata remotes
    ) external payable returns (bytes32 requestId) {
        if (deadline <= block.timestamp) revert DeadlinePassed(deadline);
        if (callbackGasLimit > MAX_CALLBACK_GAS) revert CallbackGasTooHigh(callbackGasLimit, MAX_CALLBACK_GAS);
        _checkModel(modelId, inputs, policy);
        uint256 remoteCount = InferenceRequest.checkRemotes(remotes, C.CHAIN_TYPE_EIP155, bytes32(block.chainid));
        InferenceRequest.checkPolicy(policy, remoteCount);
        InferenceRequest.checkServed(remotes);
        InferenceRequest.Decoded memory asked;
        asked.modelId = modelId;
        asked.fee = uint128(msg.value);
        asked.callbackGasLimit = callbackGasLimit;
        asked.policy = policy;
        requestId = _post(asked, deadline, remotes, inputs);
        _open(requestId, asked, deadline);
        emit Requested(requestId, msg.sender, modelId, msg.value);
    }

    /// @inheritdoc IOracleHub
    function fulfil(bytes calldata requestBody, int64[] calldata outputs, bytes calldata zkProof) external nonReentrant {
        // The digest of a stored request vouches for every byte of the body: this hub made it.
        bytes32 requestId = MessageBody.digest(requestBody);
        Record memory record = _pending(requestId);
        if (record.policy != C.POLICY_PROVEN) revert WrongPolicy(requestId, record.policy);
        InferenceRequest.Decoded memory asked = _decodeRequest(requestBody);
        uint8 outputScale = _checkProof(requestId, asked, requestBody, outputs, zkProof);
        IOracleConsumer.Answer memory answer = IOracleConsumer.Answer({
            requestId: requestId,
            modelId: asked.modelId,
            inputCommitment: asked.inputCommitment,
            originChainType: C.CHAIN_TYPE_EIP155,
            originChainReference: bytes32(block.chainid),
            originGateway: Read.toWord(address(gateway)),
            requester: Read.toWord(record.account),
            policy: C.POLICY_PROVEN,
            status: C.STATUS_ANSWERED,
            outputScale: outputScale,
            outputs: outputs
        });
        _credit(msg.sender, record.fee);
        _conclude(record, answer);
    }

    /// @inheritdoc IOracleHub
    function fulfilBoth(
        IGateway.Attestation calldata attestation,
        IGateway.Delivery calldata delivery,
        bytes calldata requestBody,
        bytes calldata zkProof
    ) external nonReentrant {
        MessageBody.check(delivery.body);
        uint8 kind = MessageBody.kind(delivery.body);
        if (kind != C.KIND_INFERENCE_RESULT) revert IMessageErrors.WrongKind(kind);
        InferenceResult.Decoded memory result = InferenceResult.decode(MessageBody.payload(delivery.body));
        if (result.policy != C.POLICY_BOTH || result.status != C.STATUS_ANSWERED) {
            revert WrongPolicy(result.requestId, result.policy);
        }
        _checkSameRequest(result, delivery.body, requestBody);
        _checkAnswersRequest(result, requestBody, zkProof);
        TransientSlot.BooleanSlot flag = MessageBody.digest(delivery.body).asBoolean();
        flag.tstore(true);
        IGateway.Delivery[] memory deliveries = new IGateway.Delivery[](1);
        deliveries[0] = delivery;
        gateway.deliver(attestation, deliveries);
        flag.tstore(false);
    }

    /// @inheritdoc IERC7786Recipient
    /// @dev From the gateway only, which delivers nothing but committee results here. `sender` of a result is its origin's gateway:
    /// that it is a known one is checked again, so that this hub does not rest on how the gateway was set up.
    function receiveMessage(bytes32 receiveId, bytes calldata sender, bytes calldata payload) external payable returns (bytes4) {
        if (msg.sender != address(gateway)) revert OnlyGateway(msg.sender);
        (uint16 chainType, bytes32 chainReference, bytes32 originGateway) = Interop.parse(sender);
        bytes32 originHash = keccak256(abi.encodePacked(chainType, chainReference, originGateway));
        if (!gateway.isPeer(originHash)) revert NotAResult(receiveId);
        InferenceResult.Decoded memory result = InferenceResult.decode(payload);
        if (result.status == C.STATUS_ANSWERED) _checkSignedAnswer(receiveId, result);
        bool foreign = originHash != gateway.originHash();
        Record memory record = foreign ? _foreignRecord(result) : _matchingRecord(result);
        IOracleConsumer.Answer memory answer = IOracleConsumer.Answer({
            requestId: result.requestId,
            modelId: result.modelId,
            inputCommitment: result.inputCommitment,
            originChainType: chainType,
            originChainReference: chainReference,
            originGateway: originGateway,
            requester: result.requester,
            policy: result.policy,
            status: result.status,
            outputScale: result.outputScale,
            outputs: result.outputs
        });
        if (!foreign) _credit(result.status == C.STATUS_ANSWERED ? treasury : record.account, record.fee);
        _conclude(record, answer);
        return IERC7786Recipient.receiveMessage.selector;
    }

    /// @inheritdoc IOracleHub
    function refund(bytes32 requestId) external {
        Record storage record = _records[requestId];
        if (record.state != State.Pending) revert NotPending(requestId, record.state);
        if (block.timestamp <= record.deadline) revert DeadlineNotPassed(record.deadline);
        record.state = State.Refunded;
        _credit(record.account, record.fee);
        emit Refunded(requestId, record.account, record.fee);
    }

    /// @inheritdoc IOracleHub
    function withdraw() external {
        withdrawFor(msg.sender);
    }

    /// @inheritdoc IOracleHub
    function withdrawFor(address account) public {
        uint256 amount = creditOf[account];
        if (amount == 0) revert NothingToWithdraw(account);
        creditOf[account] = 0;
        emit Withdrawn(account, amount);
        (bool sent,) = account.call{value: amount}("");
        if (!sent) revert TransferFailed(account);
    }

    /// @inheritdoc IOracleHub
    function setTreasury(address treasury_) external onlyOwner {
        _setTreasury(treasury_);
    }

    /// @inheritdoc IOracleHub
    function answerOf(bytes32 requestId) external view returns (RecordedAnswer memory answer) {
        Record memory record = _records[requestId];
        answer = RecordedAnswer({
            state: record.state,
            status: record.status,
            policy: record.policy,
            outputScale: record.outputScale,
            consumer: record.account,
            outputs: new int64[](record.outputCount)
        });
        for (uint256 i = 0; i < record.outputCount; ++i) {
            answer.outputs[i] = i == 0 ? record.firstOutput : _laterOutput(requestId, i - 1);
        }
    }

    /// @inheritdoc IOracleHub
    function requestOf(bytes32 requestId) external view returns (Request memory) {
        Record memory record = _records[requestId];
        // A foreign request is not this chain's: only its answer is here.
        if (record.foreign) delete record;
        return Request({
            requester: record.account,
            state: record.state,
            policy: record.policy,
            callbackGasLimit: record.callbackGasLimit,
            deadline: record.deadline,
            fee: record.fee
        });
    }

    // ---- asking

    function _checkModel(bytes32 modelId, int64[] calldata inputs, uint8 policy) private view {
        IModelRegistry.Model memory model = registry.model(modelId);
        if (!model.active) revert ModelInactive(modelId);
        if (msg.value < model.price) revert FeeTooLow(model.price, msg.value);
        bool needsProof = policy == C.POLICY_PROVEN || policy == C.POLICY_BOTH;
        if (needsProof && model.verifier == address(0)) revert IMessageErrors.UnsupportedPolicy(policy);
        if (inputs.length != model.inputCount) revert WrongInputCount(model.inputCount, inputs.length);
        int256 bound = int256(uint256(model.inputBound));
        for (uint256 i = 0; i < inputs.length; ++i) {
            int256 value = inputs[i];
            if (value > bound || value < -bound) revert InputOutOfRange(i, inputs[i], model.inputBound);
        }
    }

    function _post(InferenceRequest.Decoded memory asked, uint64 deadline, bytes calldata remotes, int64[] calldata inputs)
        private
        returns (bytes32 requestId)
    {
        bytes memory payload = InferenceRequest.encode(asked, remotes, inputs);
        (, requestId) = gateway.post(C.KIND_INFERENCE_REQUEST, Read.toWord(msg.sender), deadline, payload);
    }

    function _open(bytes32 requestId, InferenceRequest.Decoded memory asked, uint64 deadline) private {
        Record memory record;
        record.account = msg.sender;
        record.state = State.Pending;
        record.policy = asked.policy;
        record.callbackGasLimit = asked.callbackGasLimit;
        record.fee = asked.fee;
        record.deadline = deadline;
        _records[requestId] = record;
    }

    // ---- checking an answer

    function _pending(bytes32 requestId) private view returns (Record memory record) {
        record = _records[requestId];
        if (record.state != State.Pending) revert NotPending(requestId, record.state);
        // A refund is possible from the next second on: of the two never both.
        if (block.timestamp > record.deadline) revert DeadlinePassed(record.deadline);
    }

    function _decodeRequest(bytes calldata body) private pure returns (InferenceRequest.Decoded memory) {
        return InferenceRequest.decode(
            MessageBody.payload(body), MessageBody.originChainType(body), MessageBody.originChainReference(body)
        );
    }

    /// @dev Whether a signature suffices for this answer.
    function _checkSignedAnswer(bytes32 digest, InferenceResult.Decoded memory result) private view {
        if (result.policy == C.POLICY_ATTESTED || result.policy == C.POLICY_RECOMPUTED) return;
        if (result.policy == C.POLICY_PROVEN) revert SignedProven(result.requestId);
        // Nothing but POLICY_BOTH is left: {InferenceResult.decode} refuses unknown policies.
        if (!digest.asBoolean().tload()) revert ProofRequired(result.requestId);
    }

    /// @dev The pending request of this chain that the result answers.
    function _matchingRecord(InferenceResult.Decoded memory result) private view returns (Record memory record) {
        bytes32 requestId = result.requestId;
        record = _pending(requestId);
        if (record.policy != result.policy) revert ResultMismatch(requestId, "policy");
        if (record.account != result.consumer) revert ResultMismatch(requestId, "consumer");
        if (Read.toWord(record.account) != result.requester) revert ResultMismatch(requestId, "requester");
        if (record.callbackGasLimit != result.callbackGasLimit) revert ResultMismatch(requestId, "callback_gas_limit");
    }

    /// @dev A new record for the answer to a request of another chain.
    function _foreignRecord(InferenceResult.Decoded memory result) private view returns (Record memory record) {
        State state = _records[result.requestId].state;
        if (state != State.None) revert NotPending(result.requestId, state);
        record.account = result.consumer;
        record.policy = result.policy;
        // The origin may know no bound; the answer must not be undeliverable for that.
        record.callbackGasLimit = result.callbackGasLimit > MAX_CALLBACK_GAS ? MAX_CALLBACK_GAS : result.callbackGasLimit;
        record.foreign = true;
    }

    /// @dev Under POLICY_BOTH everything that the result's body says is what the request's body says.
    function _checkSameRequest(InferenceResult.Decoded memory result, bytes calldata body, bytes calldata requestBody)
        private
        pure
    {
        bytes32 id = result.requestId;
        if (MessageBody.digest(requestBody) != id) revert ResultMismatch(id, "request_id");
        MessageBody.check(requestBody);
        uint8 kind = MessageBody.kind(requestBody);
        if (kind != C.KIND_INFERENCE_REQUEST) revert IMessageErrors.WrongKind(kind);
        if (MessageBody.originHash(body) != MessageBody.originHash(requestBody)) revert ResultMismatch(id, "origin");
        if (MessageBody.sequence(body) != MessageBody.sequence(requestBody)) revert ResultMismatch(id, "sequence");
        if (MessageBody.expiry(body) != MessageBody.expiry(requestBody)) revert ResultMismatch(id, "expiry");
        if (MessageBody.sender(requestBody) != result.requester) revert ResultMismatch(id, "requester");
    }

    /// @dev Under POLICY_BOTH the result's payload is what the request's payload asks for, and the proof is for both.
    function _checkAnswersRequest(InferenceResult.Decoded memory result, bytes calldata requestBody, bytes calldata zkProof)
        private
        view
    {
        bytes32 id = result.requestId;
        InferenceRequest.Decoded memory asked = _decodeRequest(requestBody);
        if (asked.modelId != result.modelId) revert ResultMismatch(id, "model_id");
        if (asked.inputCommitment != result.inputCommitment) revert ResultMismatch(id, "input_commitment");
        if (asked.callbackGasLimit != result.callbackGasLimit) revert ResultMismatch(id, "callback_gas_limit");
        if (!_isDestination(result.consumer, requestBody, asked)) revert ResultMismatch(id, "destination");
        uint8 outputScale = _checkProof(id, asked, requestBody, result.outputs, zkProof);
        if (outputScale != result.outputScale) revert ResultMismatch(id, "output_scale");
    }

    /// @dev Whether the request asks for its answer under POLICY_BOTH by this hub for `consumer`.
    function _isDestination(address consumer, bytes calldata requestBody, InferenceRequest.Decoded memory asked)
        private
        view
        returns (bool)
    {
        bytes32 self = Read.toWord(address(this));
        bytes32 chain = bytes32(block.chainid);
        bytes32 account = Read.toWord(consumer);
        if (MessageBody.originHash(requestBody) == gateway.originHash()) {
            return asked.policy == C.POLICY_BOTH && MessageBody.recipient(requestBody) == self
                && MessageBody.sender(requestBody) == account;
        }
        bytes calldata remotes = InferenceRequest.remotesOf(MessageBody.payload(requestBody), asked.remoteCount);
        for (uint256 i = 0; i < asked.remoteCount; ++i) {
            InferenceRequest.Remote memory remote = InferenceRequest.remoteAt(remotes, i);
            if (remote.chainType != C.CHAIN_TYPE_EIP155 || remote.chainReference != chain) continue;
            return remote.policy == C.POLICY_BOTH && remote.gateway == Read.toWord(address(gateway)) && remote.hub == self
                && remote.consumer == account;
        }
        return false;
    }

    /// @dev Checks a proof for exactly these inputs and outputs, which are the instances: nothing public is read from the proof.
    function _checkProof(
        bytes32 requestId,
        InferenceRequest.Decoded memory asked,
        bytes calldata requestBody,
        int64[] memory outputs,
        bytes calldata zkProof
    ) private view returns (uint8) {
        bytes calldata inputs = InferenceRequest.inputsOf(MessageBody.payload(requestBody), asked.remoteCount);
        IModelRegistry.Verification memory model = registry.verification(asked.modelId);
        if (model.verifier == address(0)) revert IMessageErrors.UnsupportedPolicy(C.POLICY_PROVEN);
        uint256 inputCount = inputs.length / InferenceRequest.VALUE_SIZE;
        if (inputCount != model.inputCount) revert WrongInputCount(model.inputCount, inputCount);
        if (outputs.length != model.outputCount) revert IMessageErrors.InvalidOutputCount(outputs.length);
        if (zkProof.length != model.proofLength) revert WrongProofLength(model.proofLength, zkProof.length);
        if (!ProofCheck.isValid(model.verifier, zkProof, inputs, outputs)) revert InvalidProof(requestId);
        return model.outputScale;
    }

    // ---- recording an answer

    /// @dev Records, announces and hands over an answer or refusal. The last step of every path: it calls the consumer.
    function _conclude(Record memory record, IOracleConsumer.Answer memory answer) private {
        bool answered = answer.status == C.STATUS_ANSWERED;
        bytes32 requestId = answer.requestId;
        record.state = answered ? State.Answered : State.Refused;
        record.status = answer.status;
        record.outputScale = answer.outputScale;
        record.outputCount = uint8(answer.outputs.length);
        if (answered) {
            record.firstOutput = answer.outputs[0];
            _storeLaterOutputs(requestId, answer.outputs);
        }
        _records[requestId] = record;
        if (answered) emit Answered(requestId, record.account, answer.policy, answer.outputScale, answer.outputs);
        else emit Refused(requestId, answer.status);
        if (record.callbackGasLimit != 0) _callBack(record.account, record.callbackGasLimit, answer);
    }

    /// @dev Gives the consumer its whole gas limit, or reverts: who submits the transaction cannot starve the callback. After the
    /// reserve is taken, 63/64 of what is left reaches the callee (EIP-150).
    function _callBack(address consumer, uint32 gasLimit, IOracleConsumer.Answer memory answer) private {
        // The protocol's own contracts take no answers: a requester on another chain may name any consumer.
        if (consumer == address(this) || consumer == address(gateway)) return;
        bytes memory data = abi.encodeCall(IOracleConsumer.onAnswer, (answer));
        uint256 required = uint256(gasLimit) + gasLimit / 63 + 1 + CALLBACK_RESERVE;
        uint256 available = gasleft();
        if (available < required) revert InsufficientGas(available, required);
        (bool success,) = BoundedCall.callWithGas(consumer, gasLimit, data);
        if (!success) emit CallbackFailed(answer.requestId, BoundedCall.reason());
    }

    function _storeLaterOutputs(bytes32 requestId, int64[] memory outputs) private {
        uint256 count = outputs.length;
        for (uint256 start = 1; start < count; start += OUTPUTS_PER_SLOT) {
            uint256 word = 0;
            for (uint256 i = start; i < count && i < start + OUTPUTS_PER_SLOT; ++i) {
                word |= uint256(uint64(outputs[i])) << (64 * (i - start));
            }
            _moreOutputs[requestId][(start - 1) / OUTPUTS_PER_SLOT] = word;
        }
    }

    function _laterOutput(bytes32 requestId, uint256 index) private view returns (int64) {
        uint256 word = _moreOutputs[requestId][index / OUTPUTS_PER_SLOT];
        return int64(uint64(word >> (64 * (index % OUTPUTS_PER_SLOT))));
    }

    function _credit(address account, uint256 amount) private {
        if (amount == 0) return;
        creditOf[account] += amount;
        emit Credited(account, amount);
    }

    function _setTreasury(address treasury_) private {
        if (treasury_ == address(0)) revert ZeroAddress();
        treasury = treasury_;
        emit TreasurySet(treasury_);
    }
}
