// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ITokenBridge} from "./ITokenBridge.sol";
import {ITokenFactory} from "./ITokenFactory.sol";
import {TokenBucket} from "./TokenBucket.sol";
import {TokenPayload} from "./TokenPayload.sol";
import {CrosschainLinked} from "@openzeppelin/contracts/crosschain/CrosschainLinked.sol";
import {BridgeFungible} from "@openzeppelin/contracts/crosschain/bridges/abstract/BridgeFungible.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title What both kinds of bridge do alike: checks, limits, the queue, and amounts to and from wire units
/// @dev Effects come before calls of the token, and each way in that moves tokens is guarded against re-entrance.
/// `_onSend` and `_onReceive` of the parents get wire units here.
abstract contract TokenBridge is ITokenBridge, BridgeFungible, ReentrancyGuardTransient {
    using TokenBucket for TokenBucket.Bucket;

    uint32 private constant DEFAULT_QUEUE_DELAY = 1 days;
    uint32 private constant MAX_QUEUE_DELAY = 30 days;

    ITokenFactory public immutable override factory;
    bytes32 public immutable override nativeToken;
    uint8 public immutable override wireDecimals;
    uint256 public immutable override scale;
    address private immutable _gateway;
    bytes32 private immutable _counterpartHash;
    bytes32 private immutable _chain;
    bytes32 private immutable _authority;

    /// @dev Locked (native) or minted (wrapped) wire units. In one slot with what every transfer reads.
    uint120 internal _total;
    uint120 private _queued;
    bool public override paused;
    bool private _capped;
    TokenBucket.Bucket private _outbound;
    TokenBucket.Bucket private _inbound;
    uint120 private _cap;
    uint32 private _queueDelay = DEFAULT_QUEUE_DELAY;
    mapping(bytes32 id => Waiting) private _waiting;

    /// @dev Takes no arguments: {ITokenFactory-parameters} says why.
    constructor() CrosschainLinked(_linkOf(ITokenFactory(msg.sender))) {
        ITokenFactory factory_ = ITokenFactory(msg.sender);
        ITokenFactory.Parameters memory given = factory_.parameters();
        bytes memory counterpart = factory_.counterpart();
        factory = factory_;
        (nativeToken, wireDecimals, scale) = (given.nativeToken, given.wireDecimals, given.scale);
        (_gateway, _counterpartHash) = (address(factory_.gateway()), keccak256(counterpart));
        (, _chain, _authority) = TokenPayload.parseSolana(counterpart);
    }

    // ---- ways in

    /// @inheritdoc ITokenBridge
    function crosschainTransferWithPermit(bytes calldata to, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        returns (bytes32 sendId)
    {
        _usePermit(amount, deadline, v, r, s);
        // The owner is the caller, never an argument: a permit says nothing of where tokens may go.
        return _crosschainTransfer(_msgSender(), to, amount);
    }

    /// @inheritdoc ITokenBridge
    function release(bytes32 id) external nonReentrant {
        if (paused) revert BridgePaused();
        Waiting memory entry = _waiting[id];
        if (entry.to == address(0)) revert NotQueued(id);
        if (block.timestamp < entry.releasableAt) revert StillQueued(id, entry.releasableAt);
        delete _waiting[id];
        _queued -= entry.amount;
        emit Released(id, entry.to, entry.amount);
        _onReceive(entry.to, entry.amount);
    }

    /// @inheritdoc ITokenBridge
    function setLimits(Limits calldata limits_) external {
        if (!factory.hasRole(0, msg.sender)) revert NotAllowed(msg.sender);
        if (limits_.queueDelay > MAX_QUEUE_DELAY) revert QueueDelayTooLong(limits_.queueDelay, MAX_QUEUE_DELAY);
        _outbound.set(limits_.outbound);
        _inbound.set(limits_.inbound);
        (_capped, _cap, _queueDelay) = (limits_.capped, limits_.cap, limits_.queueDelay);
        emit LimitsSet(limits_);
    }

    /// @inheritdoc ITokenBridge
    function setPaused(bool paused_) external {
        if (msg.sender != address(factory)) revert NotAllowed(msg.sender);
        paused = paused_;
        emit PausedSet(paused_);
    }

    // ---- views

    /// @inheritdoc ITokenBridge
    function limits() external view returns (Limits memory) {
        return Limits(_outbound.rateOf(), _inbound.rateOf(), _capped, _cap, _queueDelay);
    }

    /// @inheritdoc ITokenBridge
    function available() external view returns (uint256 outbound, uint256 inbound) {
        return (_outbound.available(), _inbound.available());
    }

    /// @inheritdoc ITokenBridge
    function queued() public view returns (uint256) {
        return _queued;
    }

    /// @inheritdoc ITokenBridge
    function waiting(bytes32 id) external view returns (Waiting memory) {
        return _waiting[id];
    }

    // ---- out

    /// @dev Every way out ends here. `amount` is in the token's smallest unit; what is below one wire unit is not touched.
    function _crosschainTransfer(address from, bytes memory to, uint256 amount)
        internal
        virtual
        override
        nonReentrant
        returns (bytes32 sendId)
    {
        if (paused) revert BridgePaused();
        (bool valid, bytes32 chain, bytes32 account) = TokenPayload.parseSolana(to);
        if (!valid || chain != _chain) revert InvalidRecipient(to);
        if (account == 0 || account == _authority || factory.isRefusedRecipient(account)) revert RefusedRecipient(account);
        uint256 wire = amount / scale;
        if (wire == 0 || wire > type(uint64).max) revert AmountOutOfRange(amount, scale, scale * type(uint64).max);
        if (!_outbound.tryTake(uint64(wire))) revert RateLimited(wire, _outbound.available());
        return super._crosschainTransfer(from, to, wire);
    }

    /// @dev Sets the allowance that a transfer needs, if the kind of bridge needs one.
    function _usePermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) internal virtual;

    // ---- in

    /// @dev The one counterpart, through the one gateway. The same as the parent's look-up in storage, which costs 10,000 gas.
    function _isAuthorizedGateway(address instance, bytes calldata sender) internal view virtual override returns (bool) {
        return instance == _gateway && keccak256(sender) == _counterpartHash;
    }

    /// @dev Pays out, or queues what is over the limit. Reverting leaves the message with the gateway, to be delivered later.
    function _processMessage(address, bytes32 receiveId, bytes calldata, bytes calldata payload)
        internal
        virtual
        override
        nonReentrant
    {
        if (paused) revert BridgePaused();
        (bytes calldata from, address to, uint64 amount) = TokenPayload.decodeTransfer(payload, _chain);
        if (to == address(0) || to == address(this)) revert RefusedRecipient(bytes32(uint256(uint160(to))));
        _checkInbound(amount);
        if (_inbound.tryTake(amount)) {
            emit CrosschainFungibleTransferReceived(receiveId, from, to, amount);
            _onReceive(to, amount);
            return;
        }
        uint32 releasableAt = uint32(block.timestamp) + _queueDelay;
        _waiting[receiveId] = Waiting(to, amount, releasableAt);
        _queued += amount;
        emit Queued(receiveId, to, amount, releasableAt);
    }

    /// @dev Refuses what can never be paid.
    function _checkInbound(uint256 amount) internal view virtual {}

    /// @dev Counts what is locked or minted from now on.
    function _increase(uint256 amount) internal {
        uint256 total = _total + amount;
        if (_capped && total > _cap) revert CapExceeded(total, _cap);
        // Wire units of 2^56 largest transfers: no token of this world has them, and a total beyond reverts.
        if (total > type(uint120).max) revert CapExceeded(total, type(uint120).max);
        _total = uint120(total);
    }

    function _linkOf(ITokenFactory factory_) private view returns (Link[] memory links) {
        links = new Link[](1);
        links[0] = Link(address(factory_.gateway()), factory_.counterpart());
    }
}
