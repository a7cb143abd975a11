// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Creation code that lies on the chain, to be deployed many times (ERC-5202)
/// @notice The deployed code is `fe 71 00` and the creation code: it cannot be called, only copied.
contract Blueprint {
    constructor(bytes memory creationCode) {
        bytes memory code = bytes.concat(hex"fe7100", creationCode);
        assembly ("memory-safe") {
            // Assembly: a constructor returns code of its own choice in no other way.
            return(add(code, 0x20), mload(code))
        }
    }
}

/// @title Reads blueprints
library Blueprints {
    /// @notice No blueprint of ERC-5202, version 0 without preamble data.
    error NotABlueprint(address account);

    uint256 private constant PREAMBLE_SIZE = 3;

    /// @notice The creation code of a blueprint.
    function creationCodeOf(address blueprint) internal view returns (bytes memory code) {
        bytes memory whole = blueprint.code;
        if (whole.length <= PREAMBLE_SIZE || bytes3(whole) != 0xfe7100) revert NotABlueprint(blueprint);
        uint256 size = whole.length - PREAMBLE_SIZE;
        assembly ("memory-safe") {
            // Assembly: drops the preamble in place; the size word moves over its last bytes.
            code := add(whole, PREAMBLE_SIZE)
            mstore(code, size)
        }
    }
}
