// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ICommittee} from "./ICommittee.sol";
import {IERC7786GatewaySource} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";

/// @title Posts messages to other chains and delivers those that the committee signed
/// @notice An ERC-7786 source gateway. Recipients implement `IERC7786Recipient`; `receiveId` is the message's digest.
interface IGateway is IERC7786GatewaySource {
    /// @notice The unsigned envelope's signature, over the Merkle root of a batch.
    struct Attestation {
        uint32 epoch;
        uint256 rx;
        uint256 ry;
        uint256 z;
    }

    /// @notice One signed body and its branch to the batch's root (empty in a batch of one).
    struct Delivery {
        bytes body;
        bytes32[] branch;
    }

    /// @notice The one event that nodes read: `body` is what they sign, or answer.
    event MessagePosted(uint64 indexed sequence, bytes32 indexed digest, bytes body);
    event MessageDelivered(bytes32 indexed digest, bytes32 indexed originHash, uint64 sequence);
    /// @notice The recipient reverted (`reason`: at most 256 bytes of it); the message can be delivered again.
    event DeliveryFailed(bytes32 indexed digest, bytes reason);
    event PeerSet(bytes32 indexed originHash, bytes origin, bool trusted);
    event HandlerSet(uint8 indexed kind, address indexed handler);
    event GuardianSet(address indexed guardian);

    /// @notice `deliver` was called with nothing to deliver.
    error EmptyBatch();
    /// @notice Messages of one call must lead to one root.
    error RootMismatch(bytes32 digest);
    /// @notice The body names another chain or gateway as its destination.
    error WrongDestination(uint16 chainType, bytes32 chainReference, bytes32 gateway);
    /// @notice The body's origin is not this gateway and not a registered peer.
    error UnknownPeer(bytes32 originHash);
    /// @notice The message's last second has passed.
    error Expired(bytes32 digest, uint64 expiry);
    /// @notice Delivered before: (origin, sequence) is used up.
    error AlreadyDelivered(bytes32 digest);
    /// @notice The recipient reverted, and nothing else was delivered in this call.
    error RecipientReverted(bytes32 digest, bytes reason);
    /// @notice Nobody takes this kind, or this recipient takes another kind.
    error WrongRecipient(uint8 kind, bytes32 recipient);
    /// @notice Only the handler of a kind may post it.
    error NotHandler(uint8 kind, address caller);
    /// @notice This gateway takes no native value with a message.
    error ValueNotAccepted(uint256 value);
    /// @notice Not a canonical ERC-7930 address of a supported chain, with an account.
    error InvalidInteroperableAddress(bytes recipient);
    /// @notice The recipient's chain has no registered peer.
    error NoPeerForChain(uint16 chainType, bytes32 chainReference);
    /// @notice The attribute is not its selector and one word that holds its value.
    error InvalidAttribute(bytes attribute);
    /// @notice An attribute may be given once.
    error DuplicateAttribute(bytes4 selector);
    /// @notice A message's expiry lies after the present.
    error ExpiryPassed(uint64 expiry);
    /// @notice Who sends a message with an expiry is told when it was not delivered, and so must be a contract.
    error SenderWithoutCode(address sender);
    /// @notice A recipient called `deliver` from within its delivery.
    error ReentrantDelivery();
    /// @notice Only the guardian or the owner may pause.
    error NotGuardian(address caller);

    /// @notice Posts a message of a kind that the caller handles; its destination is this gateway, its recipient the caller.
    /// @param kind a kind registered for the caller: KIND_INFERENCE_REQUEST or KIND_ROTATION
    /// @param sender account on whose behalf the handler posts, left-padded
    /// @param expiry last Unix second of delivery; 0: none
    function post(uint8 kind, bytes32 sender, uint64 expiry, bytes calldata payload)
        external
        returns (uint64 sequence, bytes32 digest);

    /// @notice Delivers messages of one signed batch, in the order given.
    /// @dev Invalid bodies, branches and signatures revert. A replay is skipped, and a recipient that reverts leaves its message
    /// undelivered; when no message at all was delivered, the call reverts: with {RecipientReverted} if a
    /// recipient did, else with {AlreadyDelivered}. A KIND_NON_DELIVERY goes to `INonDeliveryRecipient.receiveNonDelivery`, everything
    /// else to `IERC7786Recipient.receiveMessage`.
    function deliver(Attestation calldata attestation, Delivery[] calldata deliveries) external;

    /// @notice Who called {deliver}, during it; zero otherwise. Recipients pay the fee of a message to this account.
    function relayer() external view returns (address);

    /// @notice Epoch whose signature {deliver} was called with, during it; zero otherwise.
    function attestedEpoch() external view returns (uint32);

    /// @notice Whether (origin, sequence) was delivered here.
    function delivered(bytes32 originHash, uint64 sequence) external view returns (bool);

    /// @notice Trusts or distrusts an origin (owner only). The peer set last for a chain is the destination of messages to it.
    /// @param origin chain type (2 bytes), chain reference (32), gateway (32), as in a body
    function setPeer(bytes calldata origin, bool trusted) external;

    /// @notice Sets who posts and receives a kind (owner only). Whoever was a handler once never receives a KIND_MESSAGE. The committee is
    /// the handler of KIND_ROTATION, for good.
    function setHandler(uint8 kind, address handler_) external;

    /// @notice Sets who may pause beside the owner (owner only); zero: nobody.
    function setGuardian(address guardian_) external;

    /// @notice Stops posting and delivering (guardian or owner).
    function pause() external;

    /// @notice Ends a pause (owner only).
    function unpause() external;

    function committee() external view returns (ICommittee);

    /// @notice Whether messages of this origin are taken: a registered peer, or this gateway itself.
    function isPeer(bytes32 originHash) external view returns (bool);

    /// @notice Gateway to which messages for a chain go; zero: none.
    function peerGateway(uint16 chainType, bytes32 chainReference) external view returns (bytes32);

    function handler(uint8 kind) external view returns (address);

    function guardian() external view returns (address);

    /// @notice Sequence of the next post, from 1.
    function nextSequence() external view returns (uint64);

    /// @notice This gateway as an origin: keccak256 of its 66 bytes.
    function originHash() external view returns (bytes32);
}
