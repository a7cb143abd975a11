// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Interop} from "../libraries/Interop.sol";
import {Read} from "../libraries/Read.sol";

/// @title Payloads of the token bridge (TOKENS.md section 3): as they come from Solana, and as they go there and may come back undelivered
/// @dev Every field has one size only, so that canonical `abi.encode` data has one length and one place for each field: it is compared
/// word by word instead of being followed by its offsets.
library TokenPayload {
    /// @notice Not the canonical encoding of a transfer or a registration, or a value out of its range.
    error MalformedPayload();

    /// @dev Most decimals of an amount on the wire.
    uint8 internal constant MAX_WIRE_DECIMALS = 9;
    uint256 internal constant MAX_NAME = 32;
    uint256 internal constant MAX_SYMBOL = 10;

    /// @dev Bytes of `abi.encode(bytes from, bytes to, uint256 amount, uint256 fee)` with 70 and 20 bytes.
    uint256 private constant TRANSFER_SIZE = 320;
    uint256 private constant REGISTRATION_SIZE = 256;
    /// @dev ERC-7930 version 1, chain type Solana, 32 bytes of reference; then the reference, and the size of the account.
    uint256 private constant SOLANA_HEAD = 0x0001000220;
    uint256 private constant SOLANA_ADDRESS_SIZE = 70;

    /// @notice A transfer from an account on the Solana chain of this genesis hash to an account here; `fee` is less than `amount`.
    function decodeTransfer(bytes calldata payload, bytes32 chain)
        internal
        pure
        returns (bytes calldata from, address to, uint64 amount, uint64 fee)
    {
        if (payload.length != TRANSFER_SIZE) revert MalformedPayload();
        uint256 to_ = _at(payload, 288);
        bool canonical = _at(payload, 0) == 128 && _at(payload, 32) == 256 && _at(payload, 128) == SOLANA_ADDRESS_SIZE
            && _at(payload, 256) == 20 && _at(payload, 230) >> 48 == 0 && uint96(to_) == 0;
        bool known =
            Read.uintAt(payload, 160, 5) == SOLANA_HEAD && Read.word(payload, 165) == chain && Read.uintAt(payload, 197, 1) == 32;
        if (!canonical || !known) revert MalformedPayload();
        (amount, fee) = _amounts(payload);
        return (payload[160:160 + SOLANA_ADDRESS_SIZE], address(uint160(to_ >> 96)), amount, fee);
    }

    /// @notice A transfer from an account here to an account on the Solana chain.
    function encodeTransfer(address from, bytes32 to, uint256 amount, uint256 fee) internal view returns (bytes memory) {
        return abi.encode(Interop.formatEvm(uint64(block.chainid), from), abi.encodePacked(to), amount, fee);
    }

    /// @notice What {encodeTransfer} gave, on this very chain, for an account of it.
    function decodeSent(bytes calldata payload) internal view returns (address from, bytes32 to, uint64 amount, uint64 fee) {
        // At least the shortest one, so that every read below lies within.
        if (payload.length < 256) revert MalformedPayload();
        (amount, fee) = _amounts(payload);
        // The account ends where the size of `from` says, and the recipient is the last word: whatever else these bytes are, they are
        // not what encodes again to them.
        uint256 size = _at(payload, 128);
        if (size < 27 || size > 34) revert MalformedPayload();
        from = address(uint160(Read.uintAt(payload, 140 + size, 20)));
        to = Read.word(payload, payload.length - 32);
        if (keccak256(payload) != keccak256(encodeTransfer(from, to, amount, fee))) revert MalformedPayload();
    }

    /// @notice A registration; name and symbol are not empty.
    function decodeRegistration(bytes calldata payload)
        internal
        pure
        returns (bytes32 token, uint8 wireDecimals, bytes calldata name, bytes calldata symbol)
    {
        if (payload.length != REGISTRATION_SIZE) revert MalformedPayload();
        token = Read.word(payload, 0);
        uint256 decimals = _at(payload, 32);
        uint256 nameSize = _at(payload, 128);
        uint256 symbolSize = _at(payload, 192);
        bool valid = token != 0 && decimals <= MAX_WIRE_DECIMALS && _at(payload, 64) == 128 && _at(payload, 96) == 192
            && nameSize != 0 && nameSize <= MAX_NAME && symbolSize != 0 && symbolSize <= MAX_SYMBOL;
        // A shift by 256 bits gives zero: a name that fills its word has no padding.
        if (!valid || _at(payload, 160) << (8 * nameSize) != 0 || _at(payload, 224) << (8 * symbolSize) != 0) {
            revert MalformedPayload();
        }
        return (token, uint8(decimals), payload[160:160 + nameSize], payload[224:224 + symbolSize]);
    }

    /// @notice A native token's registration for the linked chain.
    function encodeRegistration(bytes32 token, uint8 wireDecimals, bytes memory name, bytes memory symbol)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encode(token, wireDecimals, name, symbol);
    }

    /// @notice Chain reference and account of a canonical ERC-7930 address of an account on a Solana chain.
    function parseSolana(bytes memory encoded) internal pure returns (bool valid, bytes32 chain, bytes32 account) {
        if (encoded.length != SOLANA_ADDRESS_SIZE) return (false, 0, 0);
        uint256 head;
        assembly ("memory-safe") {
            // Assembly: three loads within the length that was checked, instead of slices.
            head := mload(add(encoded, 0x20))
            chain := mload(add(encoded, 0x25))
            account := mload(add(encoded, 0x46))
        }
        valid = head >> 216 == SOLANA_HEAD && encoded[37] == 0x20;
    }

    function _amounts(bytes calldata payload) private pure returns (uint64 amount, uint64 fee) {
        uint256 amount_ = _at(payload, 64);
        uint256 fee_ = _at(payload, 96);
        // Less than the amount, so that an amount of 0 is refused here too.
        if (amount_ > type(uint64).max || fee_ >= amount_) revert MalformedPayload();
        return (uint64(amount_), uint64(fee_));
    }

    function _at(bytes calldata payload, uint256 offset) private pure returns (uint256) {
        return uint256(Read.word(payload, offset));
    }
}
