// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IGateway} from "./IGateway.sol";
import {IModelRegistry} from "./IModelRegistry.sol";
import {IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @title Takes inference requests with an escrowed fee, and records and hands over their answers
interface IOracleHub is IERC7786Recipient {
    /// @notice None → Pending → Answered | Refused | Refunded; a request of another chain goes None → Answered | Refused.
    enum State {
        None,
        Pending,
        Answered,
        Refused,
        Refunded
    }

    /// @notice A request made on this chain. Everything else about it is bound by its id.
    /// @param requester account that asked, and gets refunds
    /// @param state see {State}
    /// @param policy POLICY_* on this chain
    /// @param callbackGasLimit gas of the consumer's callback; 0: no callback
    /// @param deadline last second at which it may be answered
    /// @param fee wei escrowed (still shown once paid out)
    struct Request {
        address requester;
        State state;
        uint8 policy;
        uint32 callbackGasLimit;
        uint64 deadline;
        uint128 fee;
    }

    /// @notice A recorded answer or refusal, to a request of this or another chain.
    /// @param state None and Pending mean: nothing recorded yet
    /// @param status STATUS_*; not 0 exactly when refused
    /// @param policy POLICY_* under which it was taken
    /// @param outputScale bits after the point
    /// @param consumer account on this chain that the answer is for
    /// @param outputs quantised outputs
    struct RecordedAnswer {
        State state;
        uint8 status;
        uint8 policy;
        uint8 outputScale;
        address consumer;
        int64[] outputs;
    }

    event Requested(bytes32 indexed requestId, address indexed requester, bytes32 indexed modelId, uint256 fee);
    event Answered(bytes32 indexed requestId, address indexed consumer, uint8 policy, uint8 outputScale, int64[] outputs);
    event Refused(bytes32 indexed requestId, uint8 status);
    event Refunded(bytes32 indexed requestId, address indexed requester, uint256 fee);
    /// @notice The consumer's callback reverted or ran out of its gas; `reason`: at most 256 bytes of what it returned.
    event CallbackFailed(bytes32 indexed requestId, bytes reason);
    event Credited(address indexed account, uint256 amount);
    event Withdrawn(address indexed account, uint256 amount);
    event TreasurySet(address indexed treasury);

    error ModelInactive(bytes32 modelId);
    /// @notice The model takes `expected` inputs.
    error WrongInputCount(uint256 expected, uint256 actual);
    /// @notice The input's absolute value is over the model's bound.
    error InputOutOfRange(uint256 index, int64 value, uint64 bound);
    error FeeTooLow(uint256 price, uint256 fee);
    /// @notice The deadline is not in the future.
    error DeadlinePassed(uint64 deadline);
    /// @notice Refund only after the deadline.
    error DeadlineNotPassed(uint64 deadline);
    error CallbackGasTooHigh(uint32 limit, uint32 maximum);
    /// @notice The request is unknown here, or was answered, refused or refunded.
    error NotPending(bytes32 requestId, State state);
    /// @notice The request has another policy.
    error WrongPolicy(bytes32 requestId, uint8 policy);
    error OnlyGateway(address caller);
    /// @notice The message's sender is not the gateway of a known origin: it is no committee result.
    error NotAResult(bytes32 digest);
    /// @notice The result's `field` is not what the request says.
    error ResultMismatch(bytes32 requestId, bytes32 field);
    /// @notice Under POLICY_BOTH an answer is taken by {fulfilBoth} only.
    error ProofRequired(bytes32 requestId);
    /// @notice An answer under POLICY_PROVEN is never signed.
    error SignedProven(bytes32 requestId);
    error WrongProofLength(uint256 expected, uint256 actual);
    error InvalidProof(bytes32 requestId);
    /// @notice The gas left cannot supply the request's callback: send the transaction with more.
    error InsufficientGas(uint256 available, uint256 required);
    error NothingToWithdraw(address account);
    error TransferFailed(address account);
    error ZeroAddress();

    /// @notice Asks a registered model; `msg.value` is the fee and is escrowed whole.
    /// @param modelId registered, active model
    /// @param inputs quantised inputs: value × 2^inputScale, rounded half away from zero
    /// @param policy POLICY_ATTESTED, POLICY_PROVEN or POLICY_BOTH on this chain
    /// @param deadline last Unix second at which the request may be answered
    /// @param callbackGasLimit gas of `onAnswer`, at most MAX_CALLBACK_GAS; 0: no callback
    /// @param remotes further destinations, `[layout.remote]` each (131 bytes)
    /// @return requestId digest of the request's body
    function request(
        bytes32 modelId,
        int64[] calldata inputs,
        uint8 policy,
        uint64 deadline,
        uint32 callbackGasLimit,
        bytes calldata remotes
    ) external payable returns (bytes32 requestId);

    /// @notice Answers a POLICY_PROVEN request of this chain; open to anyone, and the fee is credited to the caller.
    /// @dev The caller of the first valid transaction earns the fee: whoever copies it from a public mempool with a higher tip may
    /// be first. Provers who mind submit through a private relay.
    function fulfil(bytes calldata requestBody, int64[] calldata outputs, bytes calldata zkProof) external;

    /// @notice Delivers an answer under POLICY_BOTH: the committee's signature and the proof in one transaction.
    /// @param requestBody body of the request, of this or another chain
    function fulfilBoth(
        IGateway.Attestation calldata attestation,
        IGateway.Delivery calldata delivery,
        bytes calldata requestBody,
        bytes calldata zkProof
    ) external;

    /// @notice After the deadline: credits the fee of an unanswered request to its requester. Anyone may call.
    function refund(bytes32 requestId) external;

    /// @notice Sends the caller its credited fees.
    function withdraw() external;

    /// @notice Sends `account` its credited fees; anyone may call.
    function withdrawFor(address account) external;

    /// @notice Sets who earns the fees of signed answers (owner only).
    function setTreasury(address treasury_) external;

    function answerOf(bytes32 requestId) external view returns (RecordedAnswer memory);
    function requestOf(bytes32 requestId) external view returns (Request memory);
    function creditOf(address account) external view returns (uint256);
    function treasury() external view returns (address);
    function gateway() external view returns (IGateway);
    function registry() external view returns (IModelRegistry);

    /// @notice Largest callback gas limit of a request.
    function MAX_CALLBACK_GAS() external view returns (uint32);
}
