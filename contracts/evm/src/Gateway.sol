// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "./generated/ProtocolConstants.sol";
import {ICommittee} from "./interfaces/ICommittee.sol";
import {IGateway} from "./interfaces/IGateway.sol";
import {IMessageAttributes} from "./interfaces/IMessageAttributes.sol";
import {IMessageErrors} from "./interfaces/IMessageErrors.sol";
import {INonDeliveryRecipient} from "./interfaces/INonDeliveryRecipient.sol";
import {BoundedCall} from "./libraries/BoundedCall.sol";
import {Interop} from "./libraries/Interop.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {MessageBody} from "./libraries/MessageBody.sol";
import {Read} from "./libraries/Read.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC7786GatewaySource, IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @title Gateway
/// @notice Implements {IGateway}.
/// @dev Posting calls nobody, so a recipient may post from within its delivery; delivering is not re-entrant.
contract Gateway is IGateway, Ownable2Step, Pausable {
    /// @dev An attribute's selector and one word.
    uint256 private constant ATTRIBUTE_SIZE = 36;

    ICommittee public immutable override committee;

    /// @dev While {deliver} runs: its caller (the low 160 bits) and the epoch it was called with (the next 32); zero otherwise. The guard
    /// against re-entrancy, which needs one word anyway, so that {relayer} and {attestedEpoch} cost nothing more.
    uint256 private transient _delivery;

    uint64 public override nextSequence = 1;
    /// @dev Bit (address mod 16) of each reserved account. It lies in the slot of the pause flag, which each delivery reads anyway: a
    /// zero bit, as most recipients have, saves the look-up of {_reserved} (2,000 gas).
    uint16 private _reservedTags;
    mapping(bytes32 originHash => bool) private _peers;
    mapping(uint16 chainType => mapping(bytes32 chainReference => bytes32)) private _peerGateways;
    mapping(uint8 kind => address) public override handler;
    /// @dev Whoever was ever a handler: it trusts what the gateway brings, also after its replacement. A KIND_MESSAGE never reaches it.
    mapping(address account => bool) private _reserved;
    mapping(bytes32 originHash => mapping(uint256 index => uint256)) private _deliveredBits;
    address public override guardian;

    constructor(address owner_, ICommittee committee_) Ownable(owner_) {
        committee = committee_;
        handler[C.KIND_ROTATION] = address(committee_);
        emit HandlerSet(C.KIND_ROTATION, address(committee_));
    }

    /// @inheritdoc IERC7786GatewaySource
    function sendMessage(bytes calldata recipient, bytes calldata payload, bytes[] calldata attributes)
        external
        payable
        whenNotPaused
        returns (bytes32 sendId)
    {
        if (msg.value != 0) revert ValueNotAccepted(msg.value);
        MessageBody.Fields memory fields = _fieldsTo(recipient);
        if (attributes.length != 0) fields.expiry = _expiryOf(attributes, payload.length);
        (, sendId) = _post(fields, payload);
        bytes memory sender = InteroperableAddress.formatEvmV1(block.chainid, msg.sender);
        emit MessageSent(sendId, sender, recipient, payload, 0, attributes);
    }

    /// @inheritdoc IGateway
    function post(uint8 kind, bytes32 sender, uint64 expiry, bytes calldata payload)
        external
        whenNotPaused
        returns (uint64 sequence, bytes32 digest)
    {
        // Results and non-deliveries come from the committee's members alone; messages have no handler.
        bool postable = kind == C.KIND_INFERENCE_REQUEST || kind == C.KIND_ROTATION;
        if (!postable || handler[kind] != msg.sender) revert NotHandler(kind, msg.sender);
        return _post(
            MessageBody.Fields({
                kind: kind,
                destinationChainType: C.CHAIN_TYPE_EIP155,
                destinationChainReference: bytes32(block.chainid),
                destinationGateway: Read.toWord(address(this)),
                sequence: 0,
                sender: sender,
                recipient: Read.toWord(msg.sender),
                expiry: expiry
            }),
            payload
        );
    }

    /// @inheritdoc IGateway
    function deliver(Attestation calldata attestation, Delivery[] calldata deliveries) external whenNotPaused {
        if (_delivery != 0) revert ReentrantDelivery();
        uint32 epoch = attestation.epoch;
        _delivery = (uint256(epoch) << 160) | uint160(msg.sender);
        uint256 count = deliveries.length;
        if (count == 0) revert EmptyBatch();
        bytes32 root;
        bool any;
        bytes memory failure;
        for (uint256 i = 0; i < count; ++i) {
            bytes calldata body = deliveries[i].body;
            MessageBody.checkArrived(body);
            bytes32 digest = MessageBody.digest(body);
            bytes32 computed = Merkle.rootOf(digest, deliveries[i].branch);
            if (i == 0) {
                root = computed;
                _verify(attestation, epoch, root);
            } else if (computed != root) {
                revert RootMismatch(digest);
            }
            bytes memory reason = _deliver(body, digest);
            if (reason.length == 0) any = true;
            // A recipient's failure says more than a replay beside it: who retries must not take the former for done.
            else if (failure.length == 0 || bytes4(reason) == RecipientReverted.selector) failure = reason;
        }
        if (!any) {
            assembly ("memory-safe") {
                // Assembly: `failure` is an encoded error already.
                revert(add(failure, 0x20), mload(failure))
            }
        }
        _delivery = 0;
    }

    /// @inheritdoc IGateway
    function setPeer(bytes calldata origin, bool trusted) external onlyOwner {
        if (origin.length != MessageBody.ORIGIN_SIZE) {
            revert IMessageErrors.WrongLength(MessageBody.ORIGIN_SIZE, origin.length);
        }
        uint16 chainType = uint16(Read.uintAt(origin, 0, 2));
        bytes32 chainReference = Read.word(origin, 2);
        bytes32 gateway = Read.word(origin, 34);
        Read.checkChain(chainType, chainReference);
        Read.checkAccount(chainType, gateway);
        if (gateway == 0) revert IMessageErrors.InvalidAddress(gateway);
        bytes32 hash = keccak256(origin);
        _peers[hash] = trusted;
        if (trusted) _peerGateways[chainType][chainReference] = gateway;
        else if (_peerGateways[chainType][chainReference] == gateway) delete _peerGateways[chainType][chainReference];
        emit PeerSet(hash, origin, trusted);
    }

    /// @inheritdoc IGateway
    function setHandler(uint8 kind, address handler_) external onlyOwner {
        if (kind != C.KIND_INFERENCE_REQUEST && kind != C.KIND_INFERENCE_RESULT) revert IMessageErrors.WrongKind(kind);
        handler[kind] = handler_;
        if (handler_ != address(0)) {
            _reserved[handler_] = true;
            _reservedTags |= _tagOf(handler_);
        }
        emit HandlerSet(kind, handler_);
    }

    /// @inheritdoc IGateway
    function setGuardian(address guardian_) external onlyOwner {
        guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    /// @inheritdoc IGateway
    function pause() external {
        if (msg.sender != guardian && msg.sender != owner()) revert NotGuardian(msg.sender);
        _pause();
    }

    /// @inheritdoc IGateway
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @inheritdoc IGateway
    function relayer() external view returns (address) {
        return address(uint160(_delivery));
    }

    /// @inheritdoc IGateway
    function attestedEpoch() external view returns (uint32) {
        return uint32(_delivery >> 160);
    }

    /// @inheritdoc IGateway
    function delivered(bytes32 originHash_, uint64 sequence) external view returns (bool) {
        return _deliveredBits[originHash_][sequence >> 8] & (1 << (sequence & 0xff)) != 0;
    }

    /// @inheritdoc IGateway
    function isPeer(bytes32 originHash_) public view returns (bool) {
        return _peers[originHash_] || originHash_ == originHash();
    }

    /// @inheritdoc IGateway
    function peerGateway(uint16 chainType, bytes32 chainReference) external view returns (bytes32) {
        return _peerGateways[chainType][chainReference];
    }

    /// @inheritdoc IGateway
    /// @dev Computed, not stored: after a fork of the chain this gateway is another origin.
    function originHash() public view returns (bytes32) {
        return keccak256(MessageBody.encodeOrigin(address(this)));
    }

    /// @inheritdoc IERC7786GatewaySource
    function supportsAttribute(bytes4 selector) external pure returns (bool) {
        return selector == IMessageAttributes.expiry.selector;
    }

    /// @dev What the body of the caller's message to an ERC-7930 address says, but for its sequence and expiry.
    function _fieldsTo(bytes calldata recipient) private view returns (MessageBody.Fields memory fields) {
        (uint16 chainType, bytes32 chainReference, bytes32 account) = Interop.parse(recipient);
        bytes32 gateway = _peerGateways[chainType][chainReference];
        if (gateway == 0) revert NoPeerForChain(chainType, chainReference);
        fields.kind = C.KIND_MESSAGE;
        fields.destinationChainType = chainType;
        fields.destinationChainReference = chainReference;
        fields.destinationGateway = gateway;
        fields.sender = Read.toWord(msg.sender);
        fields.recipient = account;
    }

    /// @dev The expiry that a message's one attribute gives.
    function _expiryOf(bytes[] calldata attributes, uint256 payloadSize) private view returns (uint64 expiry) {
        for (uint256 i = 0; i < attributes.length; ++i) {
            bytes calldata attribute = attributes[i];
            bytes4 selector = bytes4(attribute);
            if (selector != IMessageAttributes.expiry.selector) revert UnsupportedAttribute(selector);
            if (i != 0) revert DuplicateAttribute(selector);
            uint256 value = uint256(Read.word(attribute, 4));
            if (attribute.length != ATTRIBUTE_SIZE || value > type(uint64).max) revert InvalidAttribute(attribute);
            expiry = uint64(value);
        }
        if (expiry <= block.timestamp) revert ExpiryPassed(expiry);
        if (msg.sender.code.length == 0) revert SenderWithoutCode(msg.sender);
        // The notice of a non-delivery carries the payload behind the digest.
        if (payloadSize > C.MAX_PAYLOAD_SIZE - C.NON_DELIVERY_SIZE) revert IMessageErrors.PayloadTooLarge(payloadSize);
    }

    function _post(MessageBody.Fields memory fields, bytes calldata payload) private returns (uint64 sequence, bytes32 digest) {
        sequence = nextSequence;
        nextSequence = sequence + 1;
        fields.sequence = sequence;
        bytes memory body = MessageBody.encode(fields, address(this), payload);
        digest = MessageBody.digestOf(body);
        emit MessagePosted(sequence, digest, body);
    }

    function _verify(Attestation calldata attestation, uint32 epoch, bytes32 root) private view {
        committee.verify(epoch, Merkle.signedValue(root), attestation.rx, attestation.ry, attestation.z);
    }

    /// @dev Delivers one message whose signature was checked.
    /// @return failure empty when delivered; otherwise the encoded error to revert with when nothing else was delivered
    function _deliver(bytes calldata body, bytes32 digest) private returns (bytes memory failure) {
        uint8 kind = MessageBody.kind(body);
        bytes32 origin = _checkRoute(body, digest, kind);
        uint64 sequence = MessageBody.sequence(body);
        mapping(uint256 => uint256) storage bits = _deliveredBits[origin];
        uint256 index = sequence >> 8;
        uint256 bit = 1 << (sequence & 0xff);
        uint256 word = bits[index];
        if (word & bit != 0) return abi.encodeWithSelector(AlreadyDelivered.selector, digest);
        // Marked before the call: a recipient sees its message as delivered.
        bits[index] = word | bit;
        if (_call(body, digest, kind)) {
            emit MessageDelivered(digest, origin, sequence);
        } else {
            // Nothing can have changed the word meanwhile: only {deliver} writes it, and it is not re-entrant.
            bytes memory reason = BoundedCall.reason();
            bits[index] = word;
            emit DeliveryFailed(digest, reason);
            failure = abi.encodeWithSelector(RecipientReverted.selector, digest, reason);
        }
    }

    /// @dev Refuses what this gateway must not deliver, to whom, or no longer.
    function _checkRoute(bytes calldata body, bytes32 digest, uint8 kind) private view returns (bytes32 origin) {
        uint16 chainType = MessageBody.destinationChainType(body);
        bytes32 chainReference = MessageBody.destinationChainReference(body);
        bytes32 gateway = MessageBody.destinationGateway(body);
        if (chainType != C.CHAIN_TYPE_EIP155 || uint256(chainReference) != block.chainid || gateway != Read.toWord(address(this)))
        {
            revert WrongDestination(chainType, chainReference, gateway);
        }
        origin = MessageBody.originHash(body);
        if (!isPeer(origin)) revert UnknownPeer(origin);
        uint64 expiry = MessageBody.expiry(body);
        if (expiry != 0 && block.timestamp > expiry) revert Expired(digest, expiry);
        bytes32 recipient = MessageBody.recipient(body);
        address account = Read.toAddress(recipient);
        bool allowed = kind == C.KIND_MESSAGE ? !_isReserved(account) : _takesKind(body, kind, account, origin);
        if (!allowed) revert WrongRecipient(kind, recipient);
    }

    /// @dev Whether `account` takes a message of a kind that users do not post.
    function _takesKind(bytes calldata body, uint8 kind, address account, bytes32 origin) private view returns (bool) {
        if (account == address(0)) return false;
        if (kind == C.KIND_NON_DELIVERY) {
            // This gateway's own word about a post of its own, and nobody else's.
            uint256 size = MessageBody.payload(body).length;
            if (size < C.NON_DELIVERY_SIZE) revert IMessageErrors.WrongLength(C.NON_DELIVERY_SIZE, size);
            return origin == originHash() && MessageBody.sender(body) == Read.toWord(address(this)) && !_isReserved(account);
        }
        return (kind == C.KIND_INFERENCE_RESULT || kind == C.KIND_ROTATION) && handler[kind] == account;
    }

    /// @dev Whether an account is the protocol's own, and so never gets a user's message.
    function _isReserved(address account) private view returns (bool) {
        if (account == address(this) || account == address(committee)) return true;
        return _reservedTags & _tagOf(account) != 0 && _reserved[account];
    }

    function _tagOf(address account) private pure returns (uint16) {
        return uint16(1 << (uint160(account) & 15));
    }

    /// @dev Calls the recipient; true only when it returned its function's selector (an account without code does not).
    function _call(bytes calldata body, bytes32 digest, uint8 kind) private returns (bool) {
        bool notice = kind == C.KIND_NON_DELIVERY;
        bytes memory data = notice ? _noticeCall(body) : _messageCall(body, digest);
        address recipient = address(uint160(uint256(MessageBody.recipient(body))));
        (bool success, bytes32 word) = BoundedCall.callWithGas(recipient, gasleft(), data);
        bytes4 magic = notice ? INonDeliveryRecipient.receiveNonDelivery.selector : IERC7786Recipient.receiveMessage.selector;
        return success && word == bytes32(magic);
    }

    function _messageCall(bytes calldata body, bytes32 digest) private pure returns (bytes memory) {
        bytes memory sender =
            Interop.format(MessageBody.originChainType(body), MessageBody.originChainReference(body), MessageBody.sender(body));
        return abi.encodeCall(IERC7786Recipient.receiveMessage, (digest, sender, MessageBody.payload(body)));
    }

    /// @dev The payload is the digest of the message that expired, and then its payload; {_takesKind} checked the length.
    function _noticeCall(bytes calldata body) private pure returns (bytes memory) {
        bytes calldata notice = MessageBody.payload(body);
        bytes32 expired = Read.word(notice, C.NON_DELIVERY_DIGEST_OFFSET);
        return abi.encodeCall(INonDeliveryRecipient.receiveNonDelivery, (expired, notice[C.NON_DELIVERY_SIZE:]));
    }
}
