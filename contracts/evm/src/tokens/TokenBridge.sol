// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ProtocolConstants as C} from "../generated/ProtocolConstants.sol";
import {ITransferGuard} from "../guard/ITransferGuard.sol";
import {IGateway} from "../interfaces/IGateway.sol";
import {IMessageAttributes} from "../interfaces/IMessageAttributes.sol";
import {INonDeliveryRecipient} from "../interfaces/INonDeliveryRecipient.sol";
import {Interop} from "../libraries/Interop.sol";
import {ITokenBridge} from "./ITokenBridge.sol";
import {ITokenFactory} from "./ITokenFactory.sol";
import {TokenBucket} from "./TokenBucket.sol";
import {TokenPayload} from "./TokenPayload.sol";
import {TokenTerms} from "./TokenTerms.sol";
import {CrosschainLinked} from "@openzeppelin/contracts/crosschain/CrosschainLinked.sol";
import {BridgeFungible} from "@openzeppelin/contracts/crosschain/bridges/abstract/BridgeFungible.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

/// @title What both kinds of bridge do alike: checks, limits, the queue, the guard, fees, refunds, and amounts to and from wire units
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
    uint40 private _pausedSince;
    address private _guard;
    uint64 private _guardLimit;
    mapping(bytes32 id => Waiting) private _waiting;
    /// @dev What waits for the guard is promised to nobody: a forged transfer that is never cleared must not bind what others are owed.
    mapping(bytes32 id => bool) private _held;
    mapping(bytes32 id => bool) public override refunded;

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
    function crosschainTransfer(bytes calldata to, uint256 amount, uint64 expiry, uint256 fee) external returns (bytes32 sendId) {
        return _send(to, amount, expiry, fee);
    }

    /// @inheritdoc ITokenBridge
    function crosschainTransferWithPermit(bytes calldata to, uint256 amount, uint64 expiry, uint256 fee, Permit calldata permit)
        external
        returns (bytes32 sendId)
    {
        _usePermit(amount, permit);
        // The owner is the caller, never an argument: a permit says nothing of where tokens may go.
        return _send(to, amount, expiry, fee);
    }

    /// @inheritdoc INonDeliveryRecipient
    /// @dev Whether the message was delivered after all cannot be told here: the committee says that it was not, as it says that a message
    /// came. What it says is bound by the same limits; that it says so once is kept here too, and not only by the gateway.
    function receiveNonDelivery(bytes32 digest, bytes calldata payload) external nonReentrant returns (bytes4) {
        if (msg.sender != _gateway) revert NotAllowed(msg.sender);
        (address from,, uint64 amount,) = TokenPayload.decodeSent(payload);
        if (refunded[digest]) revert AlreadyRefunded(digest);
        refunded[digest] = true;
        emit Refunded(digest, from, amount);
        if (_admit(digest, from, amount)) _payOut(digest, from, amount, 0);
        return INonDeliveryRecipient.receiveNonDelivery.selector;
    }

    /// @inheritdoc ITokenBridge
    function release(bytes32 id) external nonReentrant {
        if (paused) revert BridgePaused();
        Waiting memory entry = _waiting[id];
        if (entry.to == address(0)) revert NotQueued(id);
        bool guarded = _isGuarded(entry.amount);
        if (guarded && !ITransferGuard(_guard).isCleared(address(this), id)) revert NotCleared(id);
        if (block.timestamp < entry.releasableAt && !(guarded && _inbound.tryTake(entry.amount))) {
            revert StillQueued(id, entry.releasableAt);
        }
        delete _waiting[id];
        if (_held[id]) {
            delete _held[id];
            _checkInbound(entry.amount);
        } else {
            _queued -= entry.amount;
        }
        emit Released(id, entry.to, entry.amount);
        _payOut(id, entry.to, entry.amount, 0);
    }

    /// @inheritdoc ITokenBridge
    function setLimits(Limits calldata limits_) external {
        _checkGovernance();
        if (limits_.queueDelay > MAX_QUEUE_DELAY) revert QueueDelayTooLong(limits_.queueDelay, MAX_QUEUE_DELAY);
        _outbound.set(limits_.outbound);
        _inbound.set(limits_.inbound);
        (_capped, _cap, _queueDelay) = (limits_.capped, limits_.cap, limits_.queueDelay);
        emit LimitsSet(limits_);
    }

    /// @inheritdoc ITokenBridge
    function setGuard(address guard_, uint64 limit) external {
        _checkGovernance();
        // Without code each transfer would fail, which is a pause and should look like one.
        if (guard_ != address(0) && guard_.code.length == 0) revert NotAGuard(guard_);
        (_guard, _guardLimit) = (guard_, limit);
        emit GuardSet(guard_, limit);
    }

    /// @inheritdoc ITokenBridge
    function setPaused(bool paused_) external {
        if (msg.sender != address(factory)) revert NotAllowed(msg.sender);
        // A pause of what is paused already does not begin it anew.
        if (paused_ != paused) _pausedSince = paused_ ? uint40(block.timestamp) : 0;
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
    function pausedSince() public view returns (uint256) {
        return _pausedSince;
    }

    /// @inheritdoc ITokenBridge
    function guard() external view returns (address, uint64) {
        return (_guard, _guardLimit);
    }

    /// @inheritdoc ITokenBridge
    function outstanding() public view returns (uint256) {
        return _total;
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

    /// @dev OpenZeppelin's own entry, `crosschainTransfer(to, amount)`; `from` is its caller.
    function _crosschainTransfer(address, bytes memory to, uint256 amount) internal virtual override returns (bytes32 sendId) {
        return _send(to, amount, 0, 0);
    }

    /// @dev Every way out ends here. `amount` is in the token's smallest unit; what is below one wire unit is not touched.
    function _send(bytes memory to, uint256 amount, uint64 expiry, uint256 fee) internal nonReentrant returns (bytes32 sendId) {
        if (paused) revert BridgePaused();
        bytes32 account = _checkRecipient(to);
        uint256 wire = amount / scale;
        if (wire == 0 || wire > type(uint64).max) revert AmountOutOfRange(amount, scale, scale * type(uint64).max);
        uint256 wireFee = fee / scale;
        if (fee % scale != 0 || wireFee >= wire) revert InvalidFee(fee, scale);
        expiry = _checkExpiry(expiry);
        if (!_outbound.tryTake(uint64(wire))) revert RateLimited(wire, _outbound.available());
        address from = _msgSender();
        if (_guard != address(0)) ITransferGuard(_guard).onOutbound(from, account, uint64(wire), _isGuarded(wire));
        _onSend(from, wire);
        sendId = _post(TokenPayload.encodeTransfer(from, account, wire, wireFee), expiry);
        emit CrosschainFungibleTransferSent(sendId, from, to, wire);
        emit TransferTerms(sendId, expiry, uint64(wireFee));
    }

    function _checkRecipient(bytes memory to) private view returns (bytes32 account) {
        bool valid;
        bytes32 chain;
        (valid, chain, account) = TokenPayload.parseSolana(to);
        if (!valid || chain != _chain) revert InvalidRecipient(to);
        if (account == 0 || account == _authority || factory.isRefusedRecipient(account)) revert RefusedRecipient(account);
    }

    function _checkExpiry(uint64 expiry) private view returns (uint64) {
        if (expiry == 0) return uint64(block.timestamp + TokenTerms.DEFAULT_LIFETIME);
        uint256 latest = block.timestamp + TokenTerms.MAX_LIFETIME;
        if (expiry <= block.timestamp || expiry > latest) revert InvalidExpiry(expiry, block.timestamp, latest);
        return expiry;
    }

    /// @dev Posts to the counterpart, whose address is known without the parent's look-up in storage.
    function _post(bytes memory payload, uint64 expiry) private returns (bytes32) {
        bytes[] memory attributes = new bytes[](1);
        attributes[0] = abi.encodeCall(IMessageAttributes.expiry, (expiry));
        bytes memory counterpart = Interop.formatWords(C.CHAIN_TYPE_SOLANA, _chain, _authority);
        return IGateway(_gateway).sendMessage(counterpart, payload, attributes);
    }

    /// @dev Sets the allowance that a transfer needs, if the kind of bridge needs one.
    function _usePermit(uint256 amount, Permit calldata permit) internal virtual;

    // ---- in

    /// @dev The one counterpart, through the one gateway. The same as the parent's look-up in storage, which costs 10,000 gas.
    function _isAuthorizedGateway(address instance, bytes calldata sender) internal view virtual override returns (bool) {
        return instance == _gateway && keccak256(sender) == _counterpartHash;
    }

    /// @dev Pays out, or queues. Reverting leaves the message with the gateway, to be delivered later.
    function _processMessage(address, bytes32 receiveId, bytes calldata, bytes calldata payload)
        internal
        virtual
        override
        nonReentrant
    {
        (bytes calldata from, address to, uint64 amount, uint64 fee) = TokenPayload.decodeTransfer(payload, _chain);
        if (!_admit(receiveId, to, amount)) return;
        emit CrosschainFungibleTransferReceived(receiveId, from, to, amount);
        _payOut(receiveId, to, amount, fee);
    }

    /// @dev Whether what came is to be paid at once; otherwise it waits in the queue.
    function _admit(bytes32 id, address to, uint64 amount) private returns (bool) {
        if (paused) revert BridgePaused();
        if (to == address(0) || to == address(this)) revert RefusedRecipient(bytes32(uint256(uint160(to))));
        _checkInbound(amount);
        bool guarded = _isGuarded(amount);
        // What is guarded takes its part of the rate when it is paid: what is never cleared must not use it up.
        if (!guarded && _inbound.tryTake(amount)) return true;
        // A message's id is used once; the id of a refund is what the committee says.
        if (_waiting[id].to != address(0)) revert AlreadyQueued(id);
        uint32 releasableAt = uint32(block.timestamp) + _queueDelay;
        _waiting[id] = Waiting(to, amount, releasableAt);
        if (guarded) _held[id] = true;
        else _queued += amount;
        emit Queued(id, to, amount, releasableAt, guarded);
        return false;
    }

    /// @dev Pays `amount` to `to`, of which `fee` goes to who delivers, if anybody does who can be paid. Counts first, pays second.
    function _payOut(bytes32 id, address to, uint64 amount, uint64 fee) private {
        _count(amount);
        if (_guard != address(0)) ITransferGuard(_guard).onInbound(to, amount);
        address relayer = fee == 0 ? address(0) : IGateway(_gateway).relayer();
        if (relayer != address(0) && relayer != to && _tryPay(relayer, fee)) {
            emit RelayerPaid(id, relayer, fee);
            amount -= fee;
        }
        _onReceive(to, amount);
    }

    /// @dev Counts what is about to be released or minted.
    function _count(uint256 amount) internal virtual;

    /// @dev Pays wire units that {_count} counted, or nothing at all: never reverts for a token or an account that refuses.
    function _tryPay(address to, uint256 amount) internal virtual returns (bool);

    function _isGuarded(uint256 amount) private view returns (bool) {
        return _guard != address(0) && amount > _guardLimit;
    }

    function _checkGovernance() internal view {
        if (!factory.hasRole(0, msg.sender)) revert NotAllowed(msg.sender);
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
