// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "./generated/ProtocolConstants.sol";
import {ICommittee} from "./interfaces/ICommittee.sol";
import {IGateway} from "./interfaces/IGateway.sol";
import {IMessageErrors} from "./interfaces/IMessageErrors.sol";
import {BoundedCall} from "./libraries/BoundedCall.sol";
import {Interop} from "./libraries/Interop.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {MessageBody} from "./libraries/MessageBody.sol";
import {Read} from "./libraries/Read.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC7786GatewaySource, IERC7786Recipient} from "@openzeppelin/contracts/interfaces/draft-IERC7786.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @title Gateway
/// @notice Implements {IGateway}.
/// @dev Posting calls nobody, so a recipient may post from within its delivery; delivering is not re-entrant.
contract Gateway is IGateway, Ownable2Step, Pausable, ReentrancyGuardTransient {
    ICommittee public immutable override committee;

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

    constructor(address owner_, ICommittee committee_) Ownable(owner_) {
        committee = committee_;
    }

    /// @inheritdoc IERC7786GatewaySource
    function sendMessage(bytes calldata recipient, bytes calldata payload, bytes[] calldata attributes)
        external
        payable
        whenNotPaused
        returns (bytes32 sendId)
    {
        if (attributes.length != 0) revert UnsupportedAttribute(bytes4(attributes[0]));
        if (msg.value != 0) revert ValueNotAccepted(msg.value);
        (uint16 chainType, bytes32 chainReference, bytes32 account) = Interop.parse(recipient);
        bytes32 gateway = _peerGateways[chainType][chainReference];
        if (gateway == 0) revert NoPeerForChain(chainType, chainReference);
        (, sendId) = _post(
            MessageBody.Fields({
                kind: C.KIND_MESSAGE,
                destinationChainType: chainType,
                destinationChainReference: chainReference,
                destinationGateway: gateway,
                sequence: 0,
                sender: Read.toWord(msg.sender),
                recipient: account,
                expiry: 0
            }),
            payload
        );
        bytes memory sender = InteroperableAddress.formatEvmV1(block.chainid, msg.sender);
        emit MessageSent(sendId, sender, recipient, payload, 0, attributes);
    }

    /// @inheritdoc IGateway
    function post(uint8 kind, bytes32 sender, uint64 expiry, bytes calldata payload)
        external
        whenNotPaused
        returns (uint64 sequence, bytes32 digest)
    {
        // Results come from the committee alone; messages have no handler.
        if (kind != C.KIND_INFERENCE_REQUEST || handler[kind] != msg.sender) revert NotHandler(kind, msg.sender);
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
    function deliver(Attestation calldata attestation, Delivery[] calldata deliveries) external whenNotPaused nonReentrant {
        uint256 count = deliveries.length;
        if (count == 0) revert EmptyBatch();
        bytes32 root;
        bool any;
        bytes memory failure;
        for (uint256 i = 0; i < count; ++i) {
            Delivery calldata delivery = deliveries[i];
            MessageBody.check(delivery.body);
            bytes32 digest = MessageBody.digest(delivery.body);
            bytes32 computed = Merkle.rootOf(digest, delivery.branch);
            if (i == 0) {
                root = computed;
                _verify(attestation, root);
            } else if (computed != root) {
                revert RootMismatch(digest);
            }
            bytes memory reason = _deliver(delivery.body, digest);
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
        if (kind <= C.KIND_MESSAGE || kind > C.KIND_INFERENCE_RESULT) revert IMessageErrors.WrongKind(kind);
        handler[kind] = handler_;
        if (handler_ != address(0)) {
            _reserved[handler_] = true;
            _reservedTags |= _tagOf(handler_);
        }
        emit HandlerSet(kind, handler_);
    }

    /// @inheritdoc IGateway
    function pause() external onlyOwner {
        _pause();
    }

    /// @inheritdoc IGateway
    function unpause() external onlyOwner {
        _unpause();
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
    function supportsAttribute(bytes4) external pure returns (bool) {
        return false;
    }

    function _post(MessageBody.Fields memory fields, bytes calldata payload) private returns (uint64 sequence, bytes32 digest) {
        sequence = nextSequence;
        nextSequence = sequence + 1;
        fields.sequence = sequence;
        bytes memory body = MessageBody.encode(fields, address(this), payload);
        digest = MessageBody.digestOf(body);
        emit MessagePosted(sequence, digest, body);
    }

    function _verify(Attestation calldata attestation, bytes32 root) private view {
        bytes32 signed = Merkle.signedValue(root);
        committee.verify(attestation.epoch, signed, attestation.rx, attestation.ry, attestation.z);
    }

    /// @dev Delivers one message whose signature was checked.
    /// @return failure empty when delivered; otherwise the encoded error to revert with when nothing else was delivered
    function _deliver(bytes calldata body, bytes32 digest) private returns (bytes memory failure) {
        bytes32 origin = _checkRoute(body, digest);
        uint64 sequence = MessageBody.sequence(body);
        mapping(uint256 => uint256) storage bits = _deliveredBits[origin];
        uint256 index = sequence >> 8;
        uint256 bit = 1 << (sequence & 0xff);
        uint256 word = bits[index];
        if (word & bit != 0) return abi.encodeWithSelector(AlreadyDelivered.selector, digest);
        // Marked before the call: a recipient sees its message as delivered.
        bits[index] = word | bit;
        if (_call(body, digest)) {
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
    function _checkRoute(bytes calldata body, bytes32 digest) private view returns (bytes32 origin) {
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
        uint8 kind = MessageBody.kind(body);
        bytes32 recipient = MessageBody.recipient(body);
        address account = address(uint160(uint256(recipient)));
        bool allowed = kind == C.KIND_MESSAGE
            ? !_isReserved(account)
            : kind == C.KIND_INFERENCE_RESULT && account != address(0) && handler[kind] == account;
        if (!allowed) revert WrongRecipient(kind, recipient);
    }

    /// @dev Whether an account is the protocol's own, and so never gets a user's message.
    function _isReserved(address account) private view returns (bool) {
        if (account == address(this) || account == address(committee)) return true;
        return _reservedTags & _tagOf(account) != 0 && _reserved[account];
    }

    function _tagOf(address account) private pure returns (uint16) {
        return uint16(1 << (uint160(account) & 15));
    }

    /// @dev Calls the recipient; true only when it returned ERC-7786's magic value (an account without code does not).
    function _call(bytes calldata body, bytes32 digest) private returns (bool) {
        bytes memory sender =
            Interop.format(MessageBody.originChainType(body), MessageBody.originChainReference(body), MessageBody.sender(body));
        bytes memory data = abi.encodeCall(IERC7786Recipient.receiveMessage, (digest, sender, MessageBody.payload(body)));
        address recipient = address(uint160(uint256(MessageBody.recipient(body))));
        (bool success, bytes32 word) = BoundedCall.callWithGas(recipient, gasleft(), data);
        return success && word == bytes32(IERC7786Recipient.receiveMessage.selector);
    }
}
