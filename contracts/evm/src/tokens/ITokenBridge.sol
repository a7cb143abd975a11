// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenFactory} from "./ITokenFactory.sol";

/// @title One token's bridge to the linked chain (TOKENS.md section 4)
/// @notice What is common to {NativeBridge} and {WrappedBridge}. Amounts of OpenZeppelin's transfer events, of limits, counters and the
/// queue are in wire units (10^-wireDecimals of a token); what users pass to a transfer is in the token's own smallest unit.
interface ITokenBridge {
    /// @notice Limit of one direction: a token bucket that holds `capacity` wire units and refills by the second.
    /// @dev Not limited: nothing is counted, and a limit set later begins with a full bucket.
    struct Rate {
        bool limited;
        uint64 capacity;
        uint64 refillPerSecond;
    }

    /// @notice All limits of a bridge. `cap` (when `capped`) is the most that may be locked (native) or minted (wrapped);
    /// `queueDelay` is for how many seconds an inbound transfer over its rate waits.
    struct Limits {
        Rate outbound;
        Rate inbound;
        bool capped;
        uint120 cap;
        uint32 queueDelay;
    }

    /// @notice An inbound transfer that waits, in one slot. `to` zero: none.
    struct Waiting {
        address to;
        uint64 amount;
        uint32 releasableAt;
    }

    /// @notice An inbound transfer passed the rate limit and waits.
    event Queued(bytes32 indexed id, address indexed to, uint256 amount, uint256 releasableAt);
    /// @notice A transfer that waited was paid out.
    event Released(bytes32 indexed id, address indexed to, uint256 amount);
    event LimitsSet(Limits limits);
    event PausedSet(bool paused);

    /// @notice The bridge is paused: nothing leaves, arrives or is released.
    error BridgePaused();
    /// @notice The amount is under one wire unit (`least`) or over 2^64 - 1 of them (`most`), in the token's smallest unit.
    error AmountOutOfRange(uint256 amount, uint256 least, uint256 most);
    /// @notice Not the canonical ERC-7930 address of an account on the linked chain.
    error InvalidRecipient(bytes recipient);
    /// @notice An account that cannot own tokens: zero, the bridge itself, or a program that the factory lists.
    error RefusedRecipient(bytes32 recipient);
    /// @notice The outbound limit leaves `available` wire units at this moment.
    error RateLimited(uint256 amount, uint256 available);
    /// @notice `total` wire units would be locked or minted, more than the cap.
    error CapExceeded(uint256 total, uint256 cap);
    /// @notice A message wants more than is locked here and not promised to transfers that wait.
    error InsufficientLocked(uint256 amount, uint256 locked);
    /// @notice The token gave the bridge less than it debited: tokens with a fee on transfer are not taken.
    error FeeOnTransfer(uint256 debited, uint256 received);
    /// @notice Ether crosses over the bridge of wrapped ether only.
    error NotWrappedEther(address token);
    /// @notice No transfer of this id waits here.
    error NotQueued(bytes32 id);
    /// @notice The transfer waits until then (Unix seconds).
    error StillQueued(bytes32 id, uint256 releasableAt);
    /// @notice Transfers over the rate wait at most `most` seconds: a queue must not become a confiscation.
    error QueueDelayTooLong(uint256 delay, uint256 most);
    /// @notice Only the factory, or only who has governance there.
    error NotAllowed(address caller);

    /// @notice Like `crosschainTransfer`, with the token's permit for this bridge (ERC-2612) in the same transaction.
    /// @dev A permit that somebody spent beforehand does no harm: then the allowance is there already.
    function crosschainTransferWithPermit(bytes calldata to, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        returns (bytes32 sendId);

    /// @notice Pays out a transfer that has waited long enough; anyone may call.
    function release(bytes32 id) external;

    /// @notice Sets all limits (governance only). Transfers that wait already keep their time.
    function setLimits(Limits calldata limits) external;

    /// @notice Pauses or resumes (factory only, which knows who may).
    function setPaused(bool paused_) external;

    function factory() external view returns (ITokenFactory);

    /// @notice Account of the native token: this chain's ERC-20 left-padded, or the other chain's mint.
    function nativeToken() external view returns (bytes32);

    function wireDecimals() external view returns (uint8);

    /// @notice Smallest units of the token here in one wire unit.
    function scale() external view returns (uint256);

    function paused() external view returns (bool);

    function limits() external view returns (Limits memory);

    /// @notice Wire units that may pass at this moment, out and in; 2^256 - 1: any number.
    function available() external view returns (uint256 outbound, uint256 inbound);

    /// @notice Wire units of all transfers that wait.
    function queued() external view returns (uint256);

    function waiting(bytes32 id) external view returns (Waiting memory);
}
