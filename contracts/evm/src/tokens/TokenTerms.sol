// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title The token bridge's times and shares (contracts/protocol.toml, TOKENS_*; a test holds both to each other)
library TokenTerms {
    /// @dev Seconds until a transfer expires whose sender names no expiry.
    uint256 internal constant DEFAULT_LIFETIME = 86_400;
    /// @dev Most seconds from a transfer to its expiry.
    uint256 internal constant MAX_LIFETIME = 2_592_000;
    /// @dev Seconds for which a bridge must have been paused without break before an emergency exit.
    uint256 internal constant EXIT_PAUSE = 604_800;
    /// @dev Seconds of one period of an emergency exit.
    uint256 internal constant EXIT_PERIOD = 86_400;
    /// @dev An emergency exit takes at most 1/this of what was locked at a period's begin.
    uint256 internal constant EXIT_SHARE = 10;
}
