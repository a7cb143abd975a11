// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IMessageErrors} from "../interfaces/IMessageErrors.sol";
import {Read} from "./Read.sol";

/// @title The signed body of a message (PROTOCOL.md section 1)
/// @notice {check} first: the readers assume a body that passed it.
library MessageBody {
    /// @dev Bytes of (chain type, chain reference, gateway).
    uint256 internal constant ORIGIN_SIZE = C.BODY_DESTINATION_CHAIN_TYPE_OFFSET - C.BODY_ORIGIN_CHAIN_TYPE_OFFSET;

    /// @notice What `encode` takes.
    struct Fields {
        uint8 kind;
        uint16 destinationChainType;
        bytes32 destinationChainReference;
        bytes32 destinationGateway;
        uint64 sequence;
        bytes32 sender;
        bytes32 recipient;
        uint64 expiry;
    }

    /// @notice Reverts with an {IMessageErrors} error unless every field of the header is valid and the length is exact.
    function check(bytes calldata body) internal pure {
        checkArrived(body);
        uint256 destinationType = destinationChainType(body);
        Read.checkChain(destinationType, destinationChainReference(body));
        Read.checkAccounts(destinationType, destinationGateway(body), recipient(body));
    }

    /// @notice {check} but for the destination and the recipient: for whoever compares them with itself.
    function checkArrived(bytes calldata body) internal pure {
        if (body.length < C.BODY_SIZE) revert IMessageErrors.WrongLength(C.BODY_SIZE, body.length);
        uint256 head = Read.uintAt(body, C.BODY_VERSION_OFFSET, 1);
        if (head != C.PROTOCOL_VERSION) revert IMessageErrors.UnsupportedVersion(uint8(head));
        uint8 kind_ = kind(body);
        if (kind_ < C.KIND_MESSAGE || kind_ > C.KIND_ROTATION) revert IMessageErrors.UnknownKind(kind_);
        uint256 originType = originChainType(body);
        Read.checkChain(originType, originChainReference(body));
        Read.checkAccounts(originType, originGateway(body), sender(body));
        if (sequence(body) == 0) revert IMessageErrors.InvalidSequence();
        uint256 size = Read.uintAt(body, C.BODY_PAYLOAD_SIZE_OFFSET, 2);
        if (size > C.MAX_PAYLOAD_SIZE) revert IMessageErrors.PayloadTooLarge(size);
        if (body.length != C.BODY_SIZE + size) revert IMessageErrors.WrongLength(C.BODY_SIZE + size, body.length);
    }

    /// @notice Body of a message that this contract posts, with this chain and gateway as its origin.
    function encode(Fields memory fields, address gateway, bytes calldata content) internal view returns (bytes memory) {
        if (content.length > C.MAX_PAYLOAD_SIZE) revert IMessageErrors.PayloadTooLarge(content.length);
        // In two parts: one call with all fields would need more stack than there is.
        bytes memory head = abi.encodePacked(
            C.PROTOCOL_VERSION,
            fields.kind,
            encodeOrigin(gateway),
            fields.destinationChainType,
            fields.destinationChainReference,
            fields.destinationGateway
        );
        return
            abi.encodePacked(
                head, fields.sequence, fields.sender, fields.recipient, fields.expiry, uint16(content.length), content
            );
    }

    /// @notice The 66 bytes (chain type, chain reference, gateway) of a gateway on this chain.
    function encodeOrigin(address gateway) internal view returns (bytes memory) {
        return abi.encodePacked(C.CHAIN_TYPE_EIP155, bytes32(block.chainid), Read.toWord(gateway));
    }

    /// @notice Digest of a body in calldata.
    function digest(bytes calldata body) internal pure returns (bytes32 hash) {
        bytes32 tag = C.DOMAIN_MESSAGE;
        assembly ("memory-safe") {
            // Assembly: hashes beyond the free pointer, which abi.encodePacked would move.
            let m := mload(0x40)
            mstore(m, tag)
            calldatacopy(add(m, 0x20), body.offset, body.length)
            hash := keccak256(m, add(body.length, 0x20))
        }
    }

    /// @notice Digest of a body in memory.
    function digestOf(bytes memory body) internal pure returns (bytes32) {
        return keccak256(bytes.concat(C.DOMAIN_MESSAGE, body));
    }

    /// @notice keccak256 of the origin's 66 bytes.
    function originHash(bytes calldata body) internal pure returns (bytes32 hash) {
        uint256 offset = C.BODY_ORIGIN_CHAIN_TYPE_OFFSET;
        uint256 size = ORIGIN_SIZE;
        assembly ("memory-safe") {
            let m := mload(0x40)
            calldatacopy(m, add(body.offset, offset), size)
            hash := keccak256(m, size)
        }
    }

    function kind(bytes calldata body) internal pure returns (uint8) {
        return uint8(Read.uintAt(body, C.BODY_KIND_OFFSET, 1));
    }

    function originChainType(bytes calldata body) internal pure returns (uint16) {
        return uint16(Read.uintAt(body, C.BODY_ORIGIN_CHAIN_TYPE_OFFSET, 2));
    }

    function originChainReference(bytes calldata body) internal pure returns (bytes32) {
        return Read.word(body, C.BODY_ORIGIN_CHAIN_REFERENCE_OFFSET);
    }

    function originGateway(bytes calldata body) internal pure returns (bytes32) {
        return Read.word(body, C.BODY_ORIGIN_GATEWAY_OFFSET);
    }

    function destinationChainType(bytes calldata body) internal pure returns (uint16) {
        return uint16(Read.uintAt(body, C.BODY_DESTINATION_CHAIN_TYPE_OFFSET, 2));
    }

    function destinationChainReference(bytes calldata body) internal pure returns (bytes32) {
        return Read.word(body, C.BODY_DESTINATION_CHAIN_REFERENCE_OFFSET);
    }

    function destinationGateway(bytes calldata body) internal pure returns (bytes32) {
        return Read.word(body, C.BODY_DESTINATION_GATEWAY_OFFSET);
    }

    function sequence(bytes calldata body) internal pure returns (uint64) {
        return uint64(Read.uintAt(body, C.BODY_SEQUENCE_OFFSET, 8));
    }

    function sender(bytes calldata body) internal pure returns (bytes32) {
        return Read.word(body, C.BODY_SENDER_OFFSET);
    }

    function recipient(bytes calldata body) internal pure returns (bytes32) {
        return Read.word(body, C.BODY_RECIPIENT_OFFSET);
    }

    function expiry(bytes calldata body) internal pure returns (uint64) {
        return uint64(Read.uintAt(body, C.BODY_EXPIRY_OFFSET, 8));
    }

    function payload(bytes calldata body) internal pure returns (bytes calldata) {
        return body[C.BODY_SIZE:];
    }
}
