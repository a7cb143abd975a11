// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {INonDeliveryRecipient} from "../interfaces/INonDeliveryRecipient.sol";
import {ITokenFactory} from "./ITokenFactory.sol";

/// @title One token's bridge to the linked chain (TOKENS.md section 4)
/// @notice What is common to {NativeBridge} and {WrappedBridge}. Amounts of OpenZeppelin's transfer events, of limits, counters and the
/// queue are in wire units (10^-wireDecimals of a token); what users pass to a transfer is in the token's own smallest unit.
/// A transfer that expires undelivered comes back whole, fee included, by {INonDeliveryRecipient}: as an inbound transfer to its sender.
interface ITokenBridge is INonDeliveryRecipient {
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

    /// @notice A token's permit (ERC-2612) for this bridge, of the transfer's whole amount.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice On what terms a transfer went out: until when it may be delivered, and what of it pays whoever delivers it (wire units).
    event TransferTerms(bytes32 indexed sendId, uint64 expiry, uint64 fee);
    /// @notice An inbound transfer passed the rate limit, or needs the guard's clearance (`guarded`), and waits.
    event Queued(bytes32 indexed id, address indexed to, uint256 amount, uint256 releasableAt, bool guarded);
    /// @notice A transfer that waited was paid out.
    event Released(bytes32 indexed id, address indexed to, uint256 amount);
    /// @notice Part of an inbound transfer went to who delivered it.
    event RelayerPaid(bytes32 indexed id, address indexed relayer, uint256 fee);
    /// @notice A transfer that expired undelivered comes back to its sender: now, or by the queue.
    event Refunded(bytes32 indexed id, address indexed to, uint256 amount);
    event LimitsSet(Limits limits);
    /// @notice Transfers over `limit` wire units need the guard's clearance; zero: none do.
    event GuardSet(address indexed guard, uint64 limit);
    event PausedSet(bool paused);

    /// @notice The bridge is paused: nothing leaves, arrives or is released.
    error BridgePaused();
    /// @notice The amount is under one wire unit (`least`) or over 2^64 - 1 of them (`most`), in the token's smallest unit.
    error AmountOutOfRange(uint256 amount, uint256 least, uint256 most);
    /// @notice Not the canonical ERC-7930 address of an account on the linked chain.
    error InvalidRecipient(bytes recipient);
    /// @notice An account that cannot own tokens: zero, the bridge itself, or a program that the factory lists.
    error RefusedRecipient(bytes32 recipient);
    /// @notice The fee is a whole number of wire units (`unit` each, in the token's smallest unit), and less than the amount.
    error InvalidFee(uint256 fee, uint256 unit);
    /// @notice A transfer expires after `after_` and not after `latest` (Unix seconds).
    error InvalidExpiry(uint256 expiry, uint256 after_, uint256 latest);
    /// @notice The transfer of this message was given back already.
    error AlreadyRefunded(bytes32 id);
    /// @notice A transfer of this id waits here already.
    error AlreadyQueued(bytes32 id);
    /// @notice The transfer needs the guard's clearance, and has none.
    error NotCleared(bytes32 id);
    /// @notice There is no contract at the guard's address.
    error NotAGuard(address guard);
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

    /// @notice Sends tokens to the linked chain, as OpenZeppelin's `crosschainTransfer(to, amount)` does, on terms of one's own.
    /// @param to ERC-7930 address on the linked chain
    /// @param amount that leaves the caller, fee included
    /// @param expiry last Unix second at which it may be delivered, at most 30 days ahead; 0: in a day
    /// @param fee part of `amount` that pays whoever delivers it; whole wire units
    function crosschainTransfer(bytes calldata to, uint256 amount, uint64 expiry, uint256 fee) external returns (bytes32 sendId);

    /// @notice Like {crosschainTransfer}, with the token's permit for this bridge in the same transaction.
    /// @dev A permit that somebody spent beforehand does no harm: then the allowance is there already.
    function crosschainTransferWithPermit(bytes calldata to, uint256 amount, uint64 expiry, uint256 fee, Permit calldata permit)
        external
        returns (bytes32 sendId);

    /// @notice Pays out a transfer that waits; anyone may call. One over the rate must have waited for its time; one that the guard asked
    /// for must be cleared, and then either fit the rate or have waited.
    function release(bytes32 id) external;

    /// @notice Sets all limits (governance only). Transfers that wait already keep their time.
    function setLimits(Limits calldata limits) external;

    /// @notice Sets the guard and the limit over which it is asked (governance only). What waits is held to the new setting.
    function setGuard(address guard, uint64 limit) external;

    /// @notice Pauses or resumes (factory only, which knows who may).
    function setPaused(bool paused_) external;

    function factory() external view returns (ITokenFactory);

    /// @notice Account of the native token: this chain's ERC-20 left-padded, or the other chain's mint.
    function nativeToken() external view returns (bytes32);

    function wireDecimals() external view returns (uint8);

    /// @notice Smallest units of the token here in one wire unit.
    function scale() external view returns (uint256);

    function paused() external view returns (bool);

    /// @notice Unix second since which the bridge is paused without break; 0: it is not.
    function pausedSince() external view returns (uint256);

    /// @notice The guard (zero: none), and the wire units over which it is asked.
    function guard() external view returns (address guard, uint64 limit);

    /// @notice Wire units that are locked (native) or minted (wrapped).
    function outstanding() external view returns (uint256);

    /// @notice Whether the transfer of this message was given back, or waits to be.
    function refunded(bytes32 id) external view returns (bool);

    function limits() external view returns (Limits memory);

    /// @notice Wire units that may pass at this moment, out and in; 2^256 - 1: any number.
    function available() external view returns (uint256 outbound, uint256 inbound);

    /// @notice Wire units that are promised to transfers that wait; what waits for the guard is not among them.
    function queued() external view returns (uint256);

    function waiting(bytes32 id) external view returns (Waiting memory);
}
