// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {TokenPayload} from "./TokenPayload.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Bytes} from "@openzeppelin/contracts/utils/Bytes.sol";
import {Strings} from "@openzeppelin/contracts/utils/Strings.sol";

/// @title Name, symbol and decimals of any ERC-20, however it states them
/// @notice What is returned is valid UTF-8 without control characters, not empty, and short enough for a registration: cut at the end of a
/// character, and the beginning of the token's address in hexadecimal digits when the token states nothing usable.
library TokenMetadata {
    using Bytes for bytes;

    function nameOf(address token) internal view returns (bytes memory) {
        return _text(token, IERC20Metadata.name.selector, TokenPayload.MAX_NAME);
    }

    function symbolOf(address token) internal view returns (bytes memory) {
        return _text(token, IERC20Metadata.symbol.selector, TokenPayload.MAX_SYMBOL);
    }

    /// @notice 0 for a token that does not say: its smallest unit is then all that there is.
    function decimalsOf(address token) internal view returns (uint8 decimals) {
        (, decimals) = SafeERC20.tryGetDecimals(IERC20(token));
    }

    /// @notice The beginning of `text`, at most `most` bytes of whole characters; empty when it is not valid UTF-8, or has control characters.
    function fit(bytes memory text, uint256 most) internal pure returns (bytes memory) {
        uint256 end;
        while (end < text.length) {
            uint256 size = _characterAt(text, end);
            if (size == 0) return "";
            if (end + size > most) break;
            end += size;
        }
        return text.slice(0, end);
    }

    function _text(address token, bytes4 selector, uint256 most) private view returns (bytes memory text) {
        (bool success, bytes memory data) = token.staticcall(abi.encodePacked(selector));
        if (success) text = fit(_unpack(data), most);
        if (text.length == 0) text = bytes(Strings.toHexString(token)).slice(0, most);
    }

    /// @dev The content of an ABI-encoded `string`, or of a `bytes32` with zeros at its end as old tokens have it; else empty.
    function _unpack(bytes memory data) private pure returns (bytes memory) {
        if (data.length == 32) {
            uint256 size;
            while (size < 32 && data[size] != 0) {
                ++size;
            }
            return data.slice(0, size);
        }
        if (data.length < 64 || _wordAt(data, 0) != 32) return "";
        uint256 length = _wordAt(data, 32);
        return length > data.length - 64 ? bytes("") : data.slice(64, 64 + length);
    }

    function _wordAt(bytes memory data, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            // Assembly: the caller has compared the length.
            word := mload(add(add(data, 0x20), offset))
        }
    }

    /// @dev Bytes of the character at `i` (RFC 3629); 0: none.
    function _characterAt(bytes memory text, uint256 i) private pure returns (uint256 size) {
        uint8 first = uint8(text[i]);
        if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
        if (first < 0xc2 || first > 0xf4) return 0;
        size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        if (text.length - i < size) return 0;
        // The second byte's range keeps out longer forms than needed, surrogates, and what lies over U+10FFFF.
        uint8 least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8 most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        for (uint256 j = i + 1; j < i + size; ++j) {
            uint8 next = uint8(text[j]);
            if (next < least || next > most) return 0;
            (least, most) = (0x80, 0xbf);
        }
    }
}
