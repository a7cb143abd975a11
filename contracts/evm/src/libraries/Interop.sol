// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {Read} from "./Read.sol";
import {InteroperableAddress} from "@openzeppelin/contracts/utils/draft-InteroperableAddress.sol";

/// @title ERC-7930 addresses to and from the padded fields of a body
library Interop {
    /// @notice The account as an ERC-7930 address.
    /// @param chainType a known chain type
    /// @param chainReference valid for it
    /// @param account valid for it
    function format(uint16 chainType, bytes32 chainReference, bytes32 account) internal pure returns (bytes memory) {
        if (chainType == C.CHAIN_TYPE_EIP155) {
            return InteroperableAddress.formatEvmV1(uint256(chainReference), address(uint160(uint256(account))));
        }
        return InteroperableAddress.formatV1(bytes2(chainType), bytes.concat(chainReference), bytes.concat(account));
    }

    /// @notice Parses an ERC-7930 address of a supported chain, with an account.
    /// @dev Stricter than OpenZeppelin's parser: of the many encodings of an address one is taken, that of {format}.
    function parse(bytes calldata encoded) internal pure returns (uint16 chainType, bytes32 chainReference, bytes32 account) {
        (bool valid, bytes2 type_, bytes calldata ref, bytes calldata addr) = InteroperableAddress.tryParseV1Calldata(encoded);
        chainType = uint16(type_);
        bool evm = chainType == C.CHAIN_TYPE_EIP155;
        valid = valid && (evm || chainType == C.CHAIN_TYPE_SOLANA) && encoded.length == 6 + ref.length + addr.length
            && addr.length == (evm ? 20 : 32) && (evm ? ref.length != 0 && ref.length <= 8 && ref[0] != 0 : ref.length == 32);
        if (!valid) revert IGateway.InvalidInteroperableAddress(encoded);
        chainReference = bytes32(Read.uintAt(ref, 0, ref.length));
        account = bytes32(Read.uintAt(addr, 0, addr.length));
    }
}
