// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {IMessageErrors} from "../interfaces/IMessageErrors.sol";

/// @title Big-endian fields of calldata, and the two checks that every layout shares
/// @dev The readers check no bounds: the decoders that call them have compared the length first.
library Read {
    /// @notice The 32 bytes at `offset`.
    function word(bytes calldata data, uint256 offset) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            // Assembly: a slice expression would check bounds that the caller checked already.
            value := calldataload(add(data.offset, offset))
        }
    }

    /// @notice The unsigned integer of `size` bytes (at most 32) at `offset`.
    function uintAt(bytes calldata data, uint256 offset, uint256 size) internal pure returns (uint256) {
        return uint256(word(data, offset)) >> (256 - 8 * size);
    }

    /// @notice Refuses an unknown chain type, and an eip155 reference that is zero or over 64 bits.
    function checkChain(uint256 chainType, bytes32 chainReference) internal pure {
        if (chainType == C.CHAIN_TYPE_EIP155) {
            if (chainReference == 0 || uint256(chainReference) > type(uint64).max) {
                revert IMessageErrors.InvalidChainReference(chainReference);
            }
        } else if (chainType != C.CHAIN_TYPE_SOLANA) {
            revert IMessageErrors.UnknownChainType(uint16(chainType));
        }
    }

    /// @notice Refuses an EVM account with a non-zero pad byte.
    function checkAccount(uint256 chainType, bytes32 account) internal pure {
        if (chainType == C.CHAIN_TYPE_EIP155 && uint256(account) > type(uint160).max) {
            revert IMessageErrors.InvalidAddress(account);
        }
    }

    /// @notice {checkAccount} of two accounts on one chain.
    function checkAccounts(uint256 chainType, bytes32 one, bytes32 two) internal pure {
        if (chainType == C.CHAIN_TYPE_EIP155 && uint256(one | two) > type(uint160).max) {
            checkAccount(chainType, one);
            checkAccount(chainType, two);
        }
    }

    /// @notice A 20-byte account as an address; reverts when it is not padded with zeros.
    function toAddress(bytes32 account) internal pure returns (address) {
        checkAccount(C.CHAIN_TYPE_EIP155, account);
        return address(uint160(uint256(account)));
    }

    /// @notice An address as a body holds it.
    function toWord(address account) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }
}
